/* SPDX-License-Identifier: MIT */
/* The range lock: what conflicts, in which order waiters get in, and that nobody is forgotten. */
#include "threads.h"
#include "sync/range.h"

#define FOREVER UINT64_MAX
#define STANDSTILL_NS (60000 * MILLISECOND) /* by then it will never be */

static struct range_lock lock;

static void test_what_conflicts(void **state)
{
	struct range held, other;

	(void)state;
	cpus_start(1, 0);
	range_lock_init(&lock);

	assert_false(range_acquire(&lock, &held, 10, 20, true));
	assert_false(range_try(&lock, &other, 10, 20, true));
	assert_false(range_try(&lock, &other, 19, 20, false));
	assert_false(range_try(&lock, &other, 0, 11, true));
	assert_false(range_try(&lock, &other, 12, 13, false));
	assert_false(range_try(&lock, &other, 0, FOREVER, true));
	assert_int_equal(range_count(&lock), 1);
	/* Neighbours, not overlaps. */
	assert_true(range_try(&lock, &other, 0, 10, true));
	range_release(&lock, &other);
	assert_false(range_acquire(&lock, &other, 20, FOREVER, true));
	assert_int_equal(range_count(&lock), 2);
	range_release(&lock, &other);
	range_release(&lock, &held);

	assert_true(range_try(&lock, &held, 10, 20, false));
	assert_false(range_acquire(&lock, &other, 0, FOREVER, false));
	range_release(&lock, &other);
	assert_false(range_try(&lock, &other, 15, 16, true));
	range_release(&lock, &held);
	assert_true(range_try(&lock, &other, 15, 16, true));
	range_release(&lock, &other);
	assert_int_equal(range_count(&lock), 0);
	cpus_stop();
}

static void test_release_in_any_order(void **state)
{
	struct range ranges[6], all;

	(void)state;
	cpus_start(1, 0);
	range_lock_init(&lock);
	for (unsigned i = 0; i < 6; i++)
		assert_false(range_acquire(&lock, &ranges[i], i, i + 1, true));
	for (unsigned i = 0; i < 6; i++) {
		static const unsigned order[] = { 3, 5, 0, 1, 4, 2 };

		assert_false(range_try(&lock, &all, order[i], order[i] + 1, true));
		range_release(&lock, &ranges[order[i]]);
		assert_int_equal(range_count(&lock), 5 - i);
		assert_true(range_try(&lock, &all, order[i], order[i] + 1, true));
		range_release(&lock, &all);
	}
	assert_true(range_try(&lock, &all, 0, FOREVER, true));
	range_release(&lock, &all);
	cpus_stop();
}

static void acquire_nothing(void)
{
	struct range range;

	range_acquire(&lock, &range, 5, 5, true);
}

static void test_empty_range_panics(void **state)
{
	(void)state;
	cpus_start(1, 0);
	range_lock_init(&lock);
	assert_true(panics(acquire_nothing));
	cpus_stop();
}

/*
 * A queue of waiters, each a thread that waits for its range, notes its turn, and holds it a while.
 * All wait for the main thread; then
 *   0 and 4 come first,
 *   1, 2 and 5 together after 0,
 *   3 after 1 and 2.
 */
#define WAITERS 6
static const struct waiter {
	uint64_t start, end;
	bool exclusive;
} waiters[WAITERS] = {
	{ 0, 40, true },  { 20, 60, false }, { 30, 80, false },
	{ 50, 70, true }, { 90, 99, true },  { 35, 36, false },
};
static _Atomic uint32_t turn, granted[WAITERS], gone[WAITERS], may_leave[WAITERS];

static void wait_in_queue(unsigned cpu)
{
	const struct waiter *w = &waiters[cpu - 1];
	struct range range;

	thread_check(range_acquire(&lock, &range, w->start, w->end, w->exclusive));
	at_store_release(&granted[cpu - 1], at_add(&turn, 1u) + 1);
	await(&may_leave[cpu - 1], 1);
	at_store_release(&gone[cpu - 1], 1u);
	range_release(&lock, &range);
}

/* The waiters of the mask have been let in, and after a while there are still no others. */
static void expect_granted(unsigned mask)
{
	for (unsigned i = 0; i < WAITERS; i++)
		if (mask >> i & 1)
			await(&granted[i], 1);
	nap(5 * MILLISECOND);
	for (unsigned i = 0; i < WAITERS; i++)
		assert_int_equal(at_load_acquire(&granted[i]) != 0, mask >> i & 1);
}

static void test_order(void **state)
{
	struct thread threads[WAITERS];
	struct range range;

	(void)state;
	cpus_start(1 + WAITERS, 0);
	range_lock_init(&lock);
	range_acquire(&lock, &range, 0, 100, true);
	for (unsigned i = 0; i < WAITERS; i++) {
		at_store(&may_leave[i], 0u);
		at_store(&granted[i], 0u);
		thread_start(&threads[i], i + 1, wait_in_queue);
		while (range_count(&lock) != i + 2)
			sched_yield();
	}
	expect_granted(0);
	range_release(&lock, &range);
	expect_granted(1 << 0 | 1 << 4);
	/* Who comes now stands behind those that wait, even if its range is free. */
	assert_false(range_try(&lock, &range, 75, 76, true));
	assert_true(range_try(&lock, &range, 75, 76, false));
	range_release(&lock, &range);
	at_store_release(&may_leave[0], 1u);
	expect_granted(1 << 0 | 1 << 4 | 1 << 1 | 1 << 2 | 1 << 5);
	at_store_release(&may_leave[1], 1u);
	expect_granted(1 << 0 | 1 << 4 | 1 << 1 | 1 << 2 | 1 << 5); /* 3 still waits for 2 */
	at_store_release(&may_leave[5], 1u);
	at_store_release(&may_leave[2], 1u);
	expect_granted((1 << WAITERS) - 1);
	at_store_release(&may_leave[3], 1u);
	at_store_release(&may_leave[4], 1u);
	for (unsigned i = 0; i < WAITERS; i++)
		thread_join(&threads[i]);
	assert_int_equal(range_count(&lock), 0);
	cpus_stop();
}

static void wait_for_all(unsigned cpu)
{
	struct range range;

	(void)cpu;
	thread_check(range_acquire(&lock, &range, 0, 100, true));
	at_store_release(&turn, 1u);
	await(&may_leave[0], 1);
	range_release(&lock, &range);
}

static void test_conflict(void **state)
{
	struct range a, b;
	struct thread thread;
	uint64_t start = 1, end = 2;

	(void)state;
	cpus_start(2, 0);
	range_lock_init(&lock);
	at_store(&turn, 0u);
	at_store(&may_leave[0], 0u);
	assert_false(range_conflict(&lock, 0, FOREVER, &start, &end));
	range_acquire(&lock, &a, 10, 20, false);
	assert_false(range_conflict(&lock, 0, FOREVER, &start, &end));
	range_acquire(&lock, &b, 30, 40, true);
	assert_false(range_conflict(&lock, 20, 30, &start, &end));
	assert_false(range_conflict(&lock, 40, 50, &start, &end));
	assert_int_equal(start, 1);
	assert_int_equal(end, 2);
	assert_true(range_conflict(&lock, 39, 50, &start, &end));
	assert_int_equal(start, 30);
	assert_int_equal(end, 40);

	/* One that only waits does not count; once it is let in, it does. */
	thread_start(&thread, 1, wait_for_all);
	while (range_count(&lock) != 3)
		sched_yield();
	assert_false(range_conflict(&lock, 50, 60, &start, &end));
	range_release(&lock, &b);
	assert_false(range_conflict(&lock, 0, FOREVER, &start, &end));
	range_release(&lock, &a);
	await(&turn, 1);
	assert_true(range_conflict(&lock, 50, 60, &start, &end));
	assert_int_equal(start, 0);
	assert_int_equal(end, 100);
	at_store_release(&may_leave[0], 1u);
	thread_join(&thread);
	assert_false(range_conflict(&lock, 0, FOREVER, &start, &end));
	cpus_stop();
}

static void pass_by(unsigned cpu)
{
	(void)cpu;
	assert_true(range_wait(&lock, 15, 35));
	at_store_release(&turn, 1u);
}

/* It waits, nobody waits for it, and it leaves nothing behind. */
static void test_wait(void **state)
{
	struct range a, b;
	struct thread thread;
	uint64_t start, end;

	(void)state;
	cpus_start(2, 0);
	range_lock_init(&lock);
	at_store(&turn, 0u);
	assert_false(range_wait(&lock, 0, FOREVER));
	assert_int_equal(range_count(&lock), 0);
	range_acquire(&lock, &a, 10, 20, false);
	thread_start(&thread, 1, pass_by);
	while (range_count(&lock) != 2)
		sched_yield();
	/* Behind the one who waits, and in front of it. */
	assert_true(range_try(&lock, &b, 25, 35, true));
	range_release(&lock, &b);
	assert_true(range_reserve(&lock, &b, 25, 35, &start, &end));
	range_release(&lock, &a);
	nap(10 * MILLISECOND);
	assert_int_equal(at_load_acquire(&turn), 0);
	range_release(&lock, &b);
	assert_int_equal(range_count(&lock), 0);
	await(&turn, 1);
	thread_join(&thread);
	cpus_stop();
}

static void test_reserve(void **state)
{
	struct range a, b, c;
	struct thread thread;
	uint64_t start, end;

	(void)state;
	cpus_start(2, 0);
	range_lock_init(&lock);
	at_store(&turn, 0u);
	at_store(&may_leave[0], 0u);
	range_acquire(&lock, &a, 10, 20, true);
	range_acquire(&lock, &b, 30, 40, false);
	thread_start(&thread, 1, wait_for_all);
	while (range_count(&lock) != 3)
		sched_yield();

	/* Holders are in the way, the waiting one is not; a try would have to wait behind it. */
	assert_false(range_reserve(&lock, &c, 19, 25, &start, &end));
	assert_int_equal(start, 10);
	assert_int_equal(end, 20);
	assert_false(range_reserve(&lock, &c, 39, 50, &start, &end));
	assert_int_equal(start, 30);
	assert_int_equal(end, 40);
	assert_int_equal(range_count(&lock), 3);
	assert_false(range_try(&lock, &c, 50, 60, true));
	assert_true(range_reserve(&lock, &c, 50, 60, &start, &end));
	assert_int_equal(range_count(&lock), 4);
	assert_true(range_conflict(&lock, 0, 100, &start, &end));
	assert_int_equal(start, 50);

	/* The waiting one waits for it, too. */
	range_release(&lock, &a);
	range_release(&lock, &b);
	nap(10 * MILLISECOND);
	assert_int_equal(at_load_acquire(&turn), 0);
	range_release(&lock, &c);
	await(&turn, 1);
	assert_false(range_reserve(&lock, &c, 50, 60, &start, &end));
	assert_int_equal(end, 100);
	at_store_release(&may_leave[0], 1u);
	thread_join(&thread);
	assert_true(range_reserve(&lock, &c, 0, FOREVER, &start, &end));
	range_release(&lock, &c);
	cpus_stop();
}

/* Shared holders that always overlap in time don't keep an exclusive one out. */

#define ENTRIES 200
static _Atomic uint32_t stop;

static void crowd(unsigned cpu)
{
	struct range range;

	if (cpu == 0) {
		for (unsigned i = 0; i < ENTRIES; i++) {
			range_acquire(&lock, &range, 0, 100, true);
			range_release(&lock, &range);
		}
		at_store(&stop, 1u);
		return;
	}
	while (!at_load(&stop)) {
		range_acquire(&lock, &range, 10 * cpu, 10 * cpu + 50, false);
		sched_yield(); /* holding it: so that another is in before this one leaves */
		range_release(&lock, &range);
	}
}

static void test_no_starvation(void **state)
{
	(void)state;
	cpus_start(4, 0);
	range_lock_init(&lock);
	at_store(&stop, 0u);
	threads_run(4, crowd); /* and returns */
	assert_int_equal(range_count(&lock), 0);
	cpus_stop();
}

/* Who waits is offline, however deep it had nested, and is back where it was after. */

static void wait_nested(unsigned cpu)
{
	struct range range;

	(void)cpu;
	grace_online();
	grace_online();
	thread_check(range_acquire(&lock, &range, 0, 1, true));
	range_release(&lock, &range);
	grace_offline();
	grace_offline();
	thread_check(grace_is_online());
	grace_offline();
	thread_check(!grace_is_online());
	grace_online();
}

static void wait_offline(unsigned cpu)
{
	struct range range;

	(void)cpu;
	grace_offline();
	thread_check(range_acquire(&lock, &range, 0, 1, true));
	thread_check(!grace_is_online());
	range_release(&lock, &range);
	grace_online();
}

static struct deferred item;
static _Atomic uint32_t freed;

static void note_freed(struct deferred *d)
{
	(void)d;
	at_store(&freed, 1u);
}

static void check_sleeper(void (*sleeper)(unsigned))
{
	struct range range;
	struct thread thread;

	cpus_start(2, 0);
	range_lock_init(&lock);
	at_store(&freed, 0u);
	grace_online();
	range_acquire(&lock, &range, 0, 1, true);
	thread_start(&thread, 1, sleeper);
	while (range_count(&lock) != 2)
		sched_yield();
	grace_defer(&item, note_freed);
	/* Were the sleeper online, this would find no end. */
	assert_true(grace_barrier(STANDSTILL_NS));
	assert_int_equal(at_load(&freed), 1);
	range_release(&lock, &range);
	thread_join(&thread);
	grace_offline();
	cpus_stop();
}

static void test_sleepers_are_offline(void **state)
{
	(void)state;
	check_sleeper(wait_nested);
	check_sleeper(wait_offline);
}

#ifdef QUIRE_DEBUG

static void acquire_in_section(void)
{
	struct range range;

	grace_online();
	section_enter();
	range_acquire(&lock, &range, 0, 1, true);
}

static void acquire_under_spin_lock(void)
{
	struct range range;
	struct spinlock spin = { 0 };

	spin_lock(&spin, RANK_SPACES);
	range_acquire(&lock, &range, 0, 1, true);
}

static void release_a_waiter(void)
{
	struct range range;

	range_acquire(&lock, &range, 0, 1, true);
	at_store(&range.blockers, 1u);
	range_release(&lock, &range);
}

static void test_misuse_panics(void **state)
{
	(void)state;
	cpus_start(1, 0);
	range_lock_init(&lock);
	assert_true(panics(acquire_in_section));
	assert_true(panics(acquire_under_spin_lock));
	assert_true(panics(release_a_waiter));
	cpus_stop();
}

#endif

/* At random, against a shadow: who holds each slot. */

#define SLOTS 48
#define STRESSERS 4
#define EXCLUSIVE 1000u
static _Atomic uint32_t holders[SLOTS];
static uint32_t payload[SLOTS]; /* plain: for ThreadSanitizer, and torn if two write */
static _Atomic uint64_t end_at, waited, tries, tries_failed, taken, reserved;

/* It did test something. */
static bool enough(void)
{
	return at_load(&taken) > 1000 && at_load(&waited) > 10 && at_load(&reserved) > 10 &&
	       at_load(&tries_failed) > 0 && at_load(&tries_failed) < at_load(&tries);
}

static void hold(const struct range *range, bool exclusive, uint32_t *random)
{
	uint32_t sum = 0;

	for (uint64_t i = range->start; i < range->end; i++) {
		uint32_t before = at_add(&holders[i], exclusive ? EXCLUSIVE : 1u);

		thread_check(exclusive ? before == 0 : before < EXCLUSIVE);
		if (exclusive)
			payload[i]++;
		else
			sum += payload[i];
	}
	if (random_next(random) % 8 == 0 || sum == 1)
		sched_yield();
	for (uint64_t i = range->start; i < range->end; i++)
		at_sub(&holders[i], exclusive ? EXCLUSIVE : 1u);
}

static void stress(unsigned cpu)
{
	uint32_t random = 0x9e3779b9u * (cpu + 1);

	/* Until the time is up; on a busy machine longer, but not for ever. */
	while (port_clock() < at_load(&end_at) + (enough() ? 0 : STANDSTILL_NS)) {
		struct range range;
		uint32_t r = random_next(&random);
		uint64_t start = r % SLOTS, length = 1 + (r >> 8) % 12;
		uint64_t end = start + length < SLOTS ? start + length : SLOTS;
		bool exclusive = (r >> 16) % 3 == 0;

		if ((r >> 20) % 5 == 1) {
			exclusive = true;
			if (!range_reserve(&lock, &range, start, end, &start, &end))
				continue;
			at_add(&reserved, 1ull);
		} else if ((r >> 20) % 5 == 0) {
			at_add(&tries, 1ull);
			if (!range_try(&lock, &range, start, end, exclusive)) {
				at_add(&tries_failed, 1ull);
				continue;
			}
		} else if (range_acquire(&lock, &range, start, end, exclusive)) {
			at_add(&waited, 1ull);
		}
		at_add(&taken, 1ull);
		hold(&range, exclusive, &random);
		range_release(&lock, &range);
		/* The frame of the entry is soon something else. */
		memset(&range, 0x5a, sizeof(range));
		__asm__ volatile("" : : "r"(&range) : "memory");
	}
}

static void test_stress(void **state)
{
	(void)state;
	cpus_start(STRESSERS, 0);
	range_lock_init(&lock);
	at_store(&end_at, port_clock() + 1500 * MILLISECOND);
	threads_run(STRESSERS, stress);
	assert_int_equal(range_count(&lock), 0);
	for (unsigned i = 0; i < SLOTS; i++)
		assert_int_equal(at_load(&holders[i]), 0);
	assert_true(enough());
	cpus_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_conflicts),
		cmocka_unit_test(test_release_in_any_order),
		cmocka_unit_test(test_empty_range_panics),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_conflict),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_no_starvation),
		cmocka_unit_test(test_sleepers_are_offline),
#ifdef QUIRE_DEBUG
		cmocka_unit_test(test_misuse_panics),
#endif
		cmocka_unit_test(test_stress),
	};

	return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
