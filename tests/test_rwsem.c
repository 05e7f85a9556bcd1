/* SPDX-License-Identifier: MIT */
/* The sleeping reader-writer lock: exclusion, who gets in when, and the end of its use. */
#include "threads.h"
#include "sync/rwsem.h"

#define STANDSTILL_NS (60000 * MILLISECOND) /* by then it will never be */

static struct rwsem sem;
static _Atomic uint32_t stage, leave, stop;

static void start(unsigned cpus)
{
	cpus_start(cpus, 0);
	rwsem_init(&sem);
	at_store(&stage, 0u);
	at_store(&leave, 0u);
	at_store(&stop, 0u);
}

static void test_alone(void **state)
{
	(void)state;
	start(1);
	assert_int_equal(sizeof(sem), 4);
	assert_false(rwsem_read(&sem));
	assert_false(rwsem_read(&sem));
	assert_true(rwsem_try_read(&sem));
	rwsem_read_done(&sem);
	rwsem_read_done(&sem);
	rwsem_read_done(&sem);
	assert_false(rwsem_write(&sem));
	assert_false(rwsem_try_read(&sem));
	rwsem_downgrade(&sem);
	assert_true(rwsem_try_read(&sem));
	rwsem_read_done(&sem);
	rwsem_read_done(&sem);
	assert_false(rwsem_write(&sem));
	rwsem_write_done(&sem);
	assert_true(rwsem_try_read(&sem));
	rwsem_read_done(&sem);
	cpus_stop();
}

static void write_once(unsigned cpu)
{
	(void)cpu;
	at_store_release(&stage, 1u);
	thread_check(rwsem_write(&sem));
	at_store_release(&stage, 2u);
	await(&leave, 1);
	rwsem_write_done(&sem);
}

static void read_once(unsigned cpu)
{
	(void)cpu;
	at_store_release(&stage, 1u);
	thread_check(rwsem_read(&sem));
	at_store_release(&stage, 2u);
	await(&leave, 1);
	rwsem_read_done(&sem);
}

/* Until a writer waits: new readers are turned away. */
static void await_turned_away(void)
{
	while (rwsem_try_read(&sem)) {
		rwsem_read_done(&sem);
		sched_yield();
	}
}

/* => the caller holds it for writing, and nobody else knew it. Until somebody waits, or is in. */
static void await_company(void)
{
	struct rwsem alone;

	rwsem_init(&alone);
	rwsem_write(&alone);
	while (at_load(&sem.state) == at_load(&alone.state))
		sched_yield();
}

static void test_waiting_writer_stops_readers(void **state)
{
	struct thread writer;

	(void)state;
	start(2);
	rwsem_read(&sem);
	rwsem_read(&sem);
	thread_start(&writer, 1, write_once);
	await_turned_away();
	rwsem_read_done(&sem);
	/* One reader is still in: neither the writer nor another reader may come. */
	nap(5 * MILLISECOND);
	assert_int_equal(at_load_acquire(&stage), 1);
	assert_false(rwsem_try_read(&sem));
	rwsem_read_done(&sem);
	await(&stage, 2);
	assert_false(rwsem_try_read(&sem));
	at_store_release(&leave, 1u);
	thread_join(&writer);
	assert_true(rwsem_try_read(&sem));
	rwsem_read_done(&sem);
	assert_false(rwsem_write(&sem));
	rwsem_write_done(&sem);
	cpus_stop();
}

static void test_reader_waits_for_writer(void **state)
{
	struct thread reader;

	(void)state;
	start(2);
	rwsem_write(&sem);
	thread_start(&reader, 1, read_once);
	await_company();
	nap(5 * MILLISECOND);
	assert_int_equal(at_load_acquire(&stage), 1);
	rwsem_write_done(&sem);
	await(&stage, 2);
	assert_true(rwsem_try_read(&sem));
	rwsem_read_done(&sem);
	at_store_release(&leave, 1u);
	thread_join(&reader);
	cpus_stop();
}

static void test_downgrade_lets_readers_in(void **state)
{
	struct thread reader;

	(void)state;
	start(2);
	rwsem_write(&sem);
	thread_start(&reader, 1, read_once);
	await_company();
	nap(5 * MILLISECOND);
	rwsem_downgrade(&sem);
	await(&stage, 2); /* while this thread still reads */
	rwsem_read_done(&sem);
	at_store_release(&leave, 1u);
	thread_join(&reader);
	cpus_stop();
}

static void test_downgrade_keeps_writers_out(void **state)
{
	struct thread writer;

	(void)state;
	start(2);
	rwsem_write(&sem);
	thread_start(&writer, 1, write_once);
	await_company();
	nap(5 * MILLISECOND);
	rwsem_downgrade(&sem);
	await_turned_away(); /* the writer was woken, and waits again */
	nap(5 * MILLISECOND);
	assert_int_equal(at_load_acquire(&stage), 1);
	rwsem_read_done(&sem);
	await(&stage, 2);
	at_store_release(&leave, 1u);
	thread_join(&writer);
	cpus_stop();
}

/* Readers that overlap all the time don't keep a writer out. */
#define ENTRIES 200

static void crowd(unsigned cpu)
{
	if (cpu == 0) {
		for (unsigned i = 0; i < ENTRIES; i++) {
			rwsem_write(&sem);
			rwsem_write_done(&sem);
		}
		at_store(&stop, 1u);
		return;
	}
	while (!at_load(&stop)) {
		rwsem_read(&sem);
		sched_yield();
		rwsem_read_done(&sem);
	}
}

static void test_no_starvation(void **state)
{
	(void)state;
	start(4);
	threads_run(4, crowd); /* and returns */
	cpus_stop();
}

static struct deferred item;

static void note_freed(struct deferred *d)
{
	(void)d;
	at_store(&stop, 1u);
}

static void test_sleepers_are_offline(void **state)
{
	struct thread writer;

	(void)state;
	start(2);
	grace_online();
	rwsem_read(&sem);
	thread_start(&writer, 1, write_once);
	await_turned_away();
	grace_defer(&item, note_freed);
	assert_true(grace_barrier(STANDSTILL_NS));
	assert_int_equal(at_load(&stop), 1);
	at_store(&leave, 1u);
	rwsem_read_done(&sem);
	thread_join(&writer);
	grace_offline();
	cpus_stop();
}

/*
 * Whoever gets the lock last frees it at once, while the one who let it in may still be on its way
 * out. For AddressSanitizer and ThreadSanitizer.
 */
#define LIVES 3000
static struct rwsem *_Atomic mortal;

static void hold_mortal(unsigned cpu)
{
	(void)cpu;
	for (unsigned i = 0; i < LIVES; i++) {
		struct rwsem *mine;

		for (unsigned turn = 0; (mine = at_load_acquire(&mortal)) == NULL; turn++)
			port_pause(turn);
		at_store(&mortal, NULL);
		if (i % 3 == 0)
			rwsem_downgrade(mine);
		if (i % 3 == 1)
			rwsem_write_done(mine);
		else
			rwsem_read_done(mine);
	}
}

static void test_freed_by_the_next(void **state)
{
	struct thread holder;

	(void)state;
	start(2);
	at_store(&mortal, NULL);
	thread_start(&holder, 1, hold_mortal);
	for (unsigned i = 0; i < LIVES; i++) {
		struct rwsem *mine = malloc(sizeof(*mine));

		rwsem_init(mine);
		if (i % 3 == 2)
			rwsem_read(mine);
		else
			rwsem_write(mine);
		at_store_release(&mortal, mine); /* the holder's from here on */
		rwsem_write(mine);
		memset(mine, 0xff, sizeof(*mine));
		free(mine);
		while (at_load(&mortal))
			sched_yield();
	}
	thread_join(&holder);
	cpus_stop();
}

#ifdef QUIRE_DEBUG

static void read_in_section(void)
{
	grace_online();
	section_enter();
	rwsem_read(&sem);
}

static void write_under_spin_lock(void)
{
	struct spinlock spin = { 0 };

	spin_lock(&spin, RANK_SPACES);
	rwsem_write(&sem);
}

static void read_done_without(void)
{
	rwsem_read_done(&sem);
}

static void write_done_by_reader(void)
{
	rwsem_read(&sem);
	rwsem_write_done(&sem);
}

static void test_misuse_panics(void **state)
{
	(void)state;
	start(1);
	assert_true(panics(read_in_section));
	assert_true(panics(write_under_spin_lock));
	assert_true(panics(read_done_without));
	assert_true(panics(write_done_by_reader));
	cpus_stop();
}

#endif

#define STRESSERS 4
static _Atomic uint32_t readers, writers;
static uint64_t left, right; /* plain, equal whenever nobody writes */
static _Atomic uint64_t end_at, written, seen, waited;

static bool enough(void)
{
	return at_load(&written) > 100 && at_load(&seen) > 100 && at_load(&waited) > 10;
}

static void look(void)
{
	at_add(&readers, 1u);
	thread_check(at_load(&writers) == 0);
	thread_check(left == right);
	at_add(&seen, 1ull);
	at_sub(&readers, 1u);
}

static void change(uint32_t random)
{
	thread_check(at_add(&writers, 1u) == 0);
	thread_check(at_load(&readers) == 0);
	left++;
	if (random % 16 == 0)
		sched_yield();
	right++;
	at_add(&written, 1ull);
	at_sub(&writers, 1u);
}

static void stress(unsigned cpu)
{
	uint32_t random = 0x9e3779b9u * (cpu + 1);

	/* Until the time is up; on a busy machine longer, but not for ever. */
	while (port_clock() < at_load(&end_at) + (enough() ? 0 : STANDSTILL_NS)) {
		uint32_t r = random_next(&random);

		if (r % 4 == 0) {
			at_add(&waited, rwsem_write(&sem) ? 1ull : 0ull);
			change(r >> 8);
			if (r & 64) {
				rwsem_downgrade(&sem);
				look();
				rwsem_read_done(&sem);
			} else {
				rwsem_write_done(&sem);
			}
		} else if (r % 4 == 1) {
			if (!rwsem_try_read(&sem))
				continue;
			look();
			rwsem_read_done(&sem);
		} else {
			at_add(&waited, rwsem_read(&sem) ? 1ull : 0ull);
			look();
			rwsem_read_done(&sem);
		}
	}
}

static void test_stress(void **state)
{
	(void)state;
	start(STRESSERS);
	at_store(&end_at, port_clock() + 1000 * MILLISECOND);
	threads_run(STRESSERS, stress);
	assert_int_equal(left, right);
	assert_int_equal(left, at_load(&written));
	assert_true(enough());
	assert_int_equal(at_load(&sem.state), 0);
	cpus_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_waiting_writer_stops_readers),
		cmocka_unit_test(test_reader_waits_for_writer),
		cmocka_unit_test(test_downgrade_lets_readers_in),
		cmocka_unit_test(test_downgrade_keeps_writers_out),
		cmocka_unit_test(test_no_starvation),
		cmocka_unit_test(test_sleepers_are_offline),
		cmocka_unit_test(test_freed_by_the_next),
#ifdef QUIRE_DEBUG
		cmocka_unit_test(test_misuse_panics),
#endif
		cmocka_unit_test(test_stress),
	};

	return cmocka_run_group_tests_name("rwsem", tests, NULL, NULL);
}
