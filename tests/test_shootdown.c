/* SPDX-License-Identifier: MIT */
/*
 * Shootdowns and waiting of the soft port, with threads. The property: after port_flush has
 * returned no CPU reads or writes through an entry that was replaced before the call.
 */
#include "soft_by_hand.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define STRESS_NS 1000000000ull
#define STANDSTILL_NS 60000000000ull /* by then it will never be enough */
#define PAGES 3			     /* that the stress flushes, one flusher each */

static _Atomic uint32_t stage, done;
static _Atomic uint64_t wrong;

static void reach(uint32_t n)
{
	at_store_release(&stage, n);
}

static void await(_Atomic uint32_t *word, uint32_t n)
{
	while (at_load_acquire(word) < n)
		sched_yield();
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

static int fresh(void **state)
{
	(void)state;
	at_store(&stage, 0u);
	at_store(&done, 0u);
	at_store(&wrong, 0ull);
	build(4);
	for (unsigned i = 0; i < PAGES; i++)
		at_store(leaf(i), pte_make(100 + i, RIGHT_READ | RIGHT_WRITE, 0));
	return 0;
}

/* The ways in which a CPU lets a flusher go on. */
enum way { SAFEPOINT, PAUSE, UNPIN, LEAVE, SLEEP };

static _Atomic uint32_t word;

static void *target(void *argument)
{
	enum way way = *(enum way *)argument;
	struct quire_soft_cpu *cpu = begin(1);

	quire_soft_translate(cpu, VA, QUIRE_READ);
	reach(1);
	await(&stage, 2);
	switch (way) {
	case SAFEPOINT:
		quire_soft_safepoint(cpu);
		break;
	case PAUSE:
		port_pause(0);
		break;
	case UNPIN:
		port_pin();
		port_unpin();
		break;
	case LEAVE:
		soft_go_out(soft_self);
		break;
	case SLEEP:
		while (at_load(&word) == 0)
			port_wait(&word, 0);
	}
	await(&done, 1);
	if (way == LEAVE)
		soft_come_in(soft_self);
	if (cpu->tlb[VA / PAGE_SIZE % QUIRE_SOFT_TLB].tag_read != SOFT_NO_TAG)
		at_add(&wrong, 1ull);
	finish();
	return NULL;
}

static void *flusher(void *argument)
{
	(void)argument;
	begin(0);
	port_flush(space, VA, VA + PAGE_SIZE, false);
	at_store_release(&done, 1u);
	finish();
	return NULL;
}

static void waits_for(enum way way)
{
	pthread_t threads[2];

	at_store(&word, 0u);
	pthread_create(&threads[0], NULL, target, &way);
	await(&stage, 1);
	pthread_create(&threads[1], NULL, flusher, NULL);
	/* However late the host runs the flusher: once it has asked, it waits. */
	await(&soft_cpus[1].public.request, 1);
	sleep_ms(20);
	assert_int_equal(at_load(&done), 0);
	reach(2);
	await(&done, 1);
	at_store(&word, 1u);
	port_wake(&word);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	assert_int_equal(at_load(&wrong), 0);
}

static void answers_at_safepoint(void **state)
{
	(void)state;
	waits_for(SAFEPOINT);
}

static void answers_in_pause(void **state)
{
	(void)state;
	waits_for(PAUSE);
}

static void answers_at_end_of_section(void **state)
{
	(void)state;
	waits_for(UNPIN);
}

static void leaving_is_an_answer(void **state)
{
	(void)state;
	waits_for(LEAVE);
}

static void sleeping_is_an_answer(void **state)
{
	(void)state;
	waits_for(SLEEP);
}

/* Flushers that are each other's targets. */
static void *mutual(void *argument)
{
	struct quire_soft_cpu *cpu = begin(*(unsigned *)argument);

	for (unsigned i = 0; i < 3000; i++) {
		quire_soft_translate(cpu, VA, QUIRE_READ);
		port_flush(space, VA, VA + PAGE_SIZE, i % 2 == 0);
		if (cpu->tlb[VA / PAGE_SIZE % QUIRE_SOFT_TLB].tag_read != SOFT_NO_TAG)
			at_add(&wrong, 1ull);
	}
	finish();
	return NULL;
}

static void flushers_answer_each_other(void **state)
{
	pthread_t threads[CPUS];
	unsigned index[CPUS];

	(void)state;
	for (unsigned i = 0; i < CPUS; i++) {
		index[i] = i;
		pthread_create(&threads[i], NULL, mutual, &index[i]);
	}
	for (unsigned i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(at_load(&wrong), 0);
	assert_int_equal(at_load(&space->cpus[0]), 0);
}

/*
 * Stress. Each page has two frames, 100 + n and 200 + n. Two writers store to all pages, several
 * times between two safepoints, and come and go. A flusher for each of two pages changes its page's
 * frame, flushes, and from then on owns the old frame: nobody may write to it.
 */
static void *writer(void *argument)
{
	struct quire_soft_cpu *cpu = begin(*(unsigned *)argument);
	unsigned random = cpu->index + 1;

	while (at_load(&done) == 0) {
		random = random * 1103515245 + 12345;
		for (unsigned i = 0; i < 8; i++) {
			uint64_t at = VA + (random >> (8 + i)) % PAGES * PAGE_SIZE + i * 8;
			uint64_t *p = quire_soft_translate(cpu, at, QUIRE_WRITE);

			for (uint64_t n = 1; n < 20; n++)
				__atomic_store_n(p, n, __ATOMIC_RELAXED);
		}
		quire_soft_safepoint(cpu);
		if (random >> 16 & 1) {
			soft_go_out(soft_self);
			if (random >> 17 & 1)
				sched_yield();
			soft_come_in(soft_self);
		} else if ((random >> 18 & 7) == 0) {
			soft_run(soft_self, NULL);
			soft_run(soft_self, space);
		}
	}
	finish();
	return NULL;
}

static _Atomic uint64_t rounds[CPUS]; /* of each owner */

static bool enough(void)
{
	return at_load(&rounds[2]) >= 10 && at_load(&rounds[3]) >= 10;
}

static void *owner(void *argument)
{
	unsigned index = *(unsigned *)argument, page = index - 2;
	uint64_t pfn = 100 + page, other = 200 + page;

	begin(index);
	while (at_load(&done) == 0) {
		pte e = pte_make(other, RIGHT_READ | RIGHT_WRITE, 0);
		uint64_t at = VA + page * PAGE_SIZE;

		e = at_xchg(leaf(page), e);
		port_flush(space, at, at + PAGE_SIZE, false);
		/* Plain accesses: ThreadSanitizer is to see that they are ordered after the
		 * writers'. */
		volatile uint64_t *mine = port_frame(pfn);

		if (pte_pfn(e) != pfn)
			at_add(&wrong, 1ull);
		for (unsigned i = 0; i < 8; i++)
			mine[i] = 1000 + i;
		if (at_add(&rounds[index], 1ull) % 4 == 0)
			sched_yield();
		for (unsigned i = 0; i < 8; i++)
			if (mine[i] != 1000 + i)
				at_add(&wrong, 1ull);
		other = pfn;
		pfn = pte_pfn(at_load(leaf(page)));
		quire_soft_safepoint(&soft_self->public);
	}
	finish();
	return NULL;
}

static void no_write_after_flush(void **state)
{
	pthread_t threads[CPUS];
	unsigned index[CPUS];
	uint64_t since = port_clock();

	(void)state;
	for (unsigned i = 0; i < CPUS; i++) {
		index[i] = i;
		pthread_create(&threads[i], NULL, i < 2 ? writer : owner, &index[i]);
	}
	while (port_clock() - since < (enough() ? STRESS_NS : STANDSTILL_NS))
		sleep_ms(10);
	at_store(&done, 1u);
	for (unsigned i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(at_load(&wrong), 0);
	assert_true(enough());
}

/*
 * The two fences B: a CPU that does nothing but come in, store and leave, against one that does
 * nothing but flush.
 */
static void *visitor(void *argument)
{
	struct quire_soft_cpu *cpu = begin(1);

	(void)argument;
	while (at_load(&done) == 0) {
		uint64_t *p = quire_soft_translate(cpu, VA, QUIRE_WRITE);

		__atomic_store_n(p, 1, __ATOMIC_RELAXED);
		soft_go_out(soft_self);
		for (unsigned i = 0; i < 20; i++)
			soft_relax(0);
		soft_come_in(soft_self);
	}
	finish();
	return NULL;
}

static void coming_in_is_noticed(void **state)
{
	uint64_t pfn = 100, other = 200;
	pthread_t thread;

	(void)state;
	begin(0);
	pthread_create(&thread, NULL, visitor, NULL);
	for (uint64_t end = port_clock() + STRESS_NS; port_clock() < end;) {
		at_xchg(leaf(0), pte_make(other, RIGHT_READ | RIGHT_WRITE, 0));
		port_flush(space, VA, VA + PAGE_SIZE, false);
		volatile uint64_t *mine = port_frame(pfn);

		*mine = 1000;
		for (unsigned i = 0; i < 50; i++)
			soft_relax(0);
		if (*mine != 1000)
			at_add(&wrong, 1ull);
		other = pfn;
		pfn = pte_pfn(at_load(leaf(0)));
	}
	at_store(&done, 1u);
	soft_go_out(soft_self);
	pthread_join(thread, NULL);
	soft_come_in(soft_self);
	finish();
	assert_int_equal(at_load(&wrong), 0);
}

static void *ping(void *argument)
{
	uint32_t me = *(uint32_t *)argument;

	for (uint32_t turn = me; turn < 4000; turn += 2) {
		uint32_t seen;

		while ((seen = at_load_acquire(&word)) != turn)
			port_wait(&word, seen);
		at_store_release(&word, turn + 1);
		port_wake(&word);
	}
	return NULL;
}

static void waiting(void **state)
{
	uint32_t me[2] = { 0, 1 };
	pthread_t threads[2];
	uint64_t before = port_clock();

	(void)state;
	at_store(&word, 7u);
	port_wait(&word, 8);
	sleep_ms(2);
	assert_true(port_clock() - before >= 2000000);
	at_store(&word, 0u);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, ping, &me[i]);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(at_load(&word), 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting),
		cmocka_unit_test_setup(answers_at_safepoint, fresh),
		cmocka_unit_test_setup(answers_in_pause, fresh),
		cmocka_unit_test_setup(answers_at_end_of_section, fresh),
		cmocka_unit_test_setup(leaving_is_an_answer, fresh),
		cmocka_unit_test_setup(sleeping_is_an_answer, fresh),
		cmocka_unit_test_setup(flushers_answer_each_other, fresh),
		cmocka_unit_test_setup(no_write_after_flush, fresh),
		cmocka_unit_test_setup(coming_in_is_noticed, fresh),
	};

	return cmocka_run_group_tests_name("shootdown", tests, setup, teardown);
}
