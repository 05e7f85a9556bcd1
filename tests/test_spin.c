/* SPDX-License-Identifier: MIT */
/* Spin locks: exclusion, and in a debug build the ranks. */
#include "threads.h"

#define THREADS 4
#define TURNS 20000
#define ROUNDS 20 /* in which somebody must have met somebody */

static struct spinlock lock;
static unsigned long plain; /* no atomic: the lock is what keeps it right */
static _Atomic unsigned long waits, refusals;
static _Atomic uint32_t inside;

static void count_up(unsigned cpu)
{
	for (unsigned i = 0; i < TURNS; i++) {
		bool at_once = spin_lock(&lock, RANK_LEAF);

		thread_check(at_add(&inside, 1u) == 0);
		plain++;
		/* Give the processor away while holding it, so that the others meet a held lock. */
		if (!at_once || (i + cpu) % 64 == 0)
			sched_yield();
		at_add(&waits, at_once ? 0ul : 1ul);
		at_sub(&inside, 1u);
		spin_unlock(&lock);
	}
}

static void test_exclusion(void **state)
{
	unsigned long turns = 0;

	(void)state;
	spin_init(&lock);
	plain = 0;
	cpus_start(THREADS, 0);
	/* On a busy machine each thread may have run by itself. */
	for (unsigned round = 0; round < ROUNDS && at_load(&waits) == 0; round++) {
		threads_run(THREADS, count_up);
		turns += (unsigned long)THREADS * TURNS;
		assert_int_equal(plain, turns);
	}
	assert_true(at_load(&waits) > 0);
	cpus_stop();
}

static void try_up(unsigned cpu)
{
	(void)cpu;
	for (unsigned done = 0, turn = 0; done < TURNS;) {
		if (!spin_trylock(&lock, RANK_LEAF)) {
			at_add(&refusals, 1ul);
			port_pause(turn++);
			continue;
		}
		plain++;
		done++;
		spin_unlock(&lock);
	}
}

static void test_trylock(void **state)
{
	(void)state;
	spin_init(&lock);
	plain = 0;
	assert_true(spin_trylock(&lock, RANK_TREE));
	/* Not by its rank, but because it is held. */
	assert_false(spin_trylock(&lock, RANK_LEAF));
	spin_unlock(&lock);
	cpus_start(THREADS, 0);
	threads_run(THREADS, try_up);
	assert_int_equal(plain, (unsigned long)THREADS * TURNS);
	cpus_stop();
}

static _Atomic uint32_t stage;
static _Atomic bool waited;

static void meet_held(unsigned cpu)
{
	(void)cpu;
	at_store_release(&stage, 1u);
	at_store(&waited, !spin_lock(&lock, RANK_LEAF));
	thread_check(at_load_acquire(&stage) == 2);
	spin_unlock(&lock);
}

/*
 * spin_lock says whether it had to wait: the counter of contended leaves hangs on it. Nobody sees
 * the other begin to wait: on a busy machine it may come late, and then says the truth, too.
 */
static void test_tells_waiting(void **state)
{
	struct thread other;

	(void)state;
	spin_init(&lock);
	cpus_start(2, 0);
	at_store(&waited, false);
	for (unsigned round = 0; round < 5 * ROUNDS && !at_load(&waited); round++) {
		at_store(&stage, 0u);
		assert_true(spin_lock(&lock, RANK_LEAF));
		thread_start(&other, 1, meet_held);
		await(&stage, 1);
		nap(20 * MILLISECOND);
		at_store_release(&stage, 2u);
		spin_unlock(&lock);
		thread_join(&other);
		assert_true(spin_lock(&lock, RANK_LEAF));
		spin_unlock(&lock);
	}
	assert_true(at_load(&waited));
	cpus_stop();
}

#ifdef QUIRE_DEBUG

static struct spinlock a, b;

static void fall_in_rank(void)
{
	spin_lock(&a, RANK_LEAF);
	spin_lock(&b, RANK_TREE);
}

static void same_rank(void)
{
	spin_lock(&a, RANK_LEAF);
	spin_lock(&b, RANK_LEAF);
}

static void fall_in_rank_trying(void)
{
	spin_lock(&a, RANK_POOL);
	(void)spin_trylock(&b, RANK_RMAP);
}

static void child_before_parent(void)
{
	spin_lock(&a, RANK_TABLE_1);
	spin_lock(&b, RANK_TABLE_2);
}

static void release_what_is_free(void)
{
	spin_lock(&a, RANK_LEAF);
	spin_unlock(&b);
}

static void release_twice(void)
{
	spin_lock(&a, RANK_LEAF);
	spin_unlock(&a);
	spin_unlock(&a);
}

static void test_violations_panic(void **state)
{
	(void)state;
	assert_true(panics(fall_in_rank));
	assert_true(panics(same_rank));
	assert_true(panics(fall_in_rank_trying));
	assert_true(panics(child_before_parent));
	assert_true(panics(release_what_is_free));
	assert_true(panics(release_twice));
}

static void test_rising_ranks(void **state)
{
	struct spinlock all[RANK_COUNT];

	(void)state;
	for (unsigned i = 0; i < RANK_COUNT; i++) {
		spin_init(&all[i]);
		spin_lock(&all[i], (enum lock_rank)i);
	}
	for (unsigned i = 0; i < RANK_COUNT; i++)
		assert_true(spin_debug_held(&all[i]));
	assert_false(spin_debug_none_held());
	/* Given back from the middle outwards; the rest must still be known. */
	for (unsigned i = 0; i < RANK_COUNT; i++) {
		unsigned at = (i + RANK_COUNT / 2) % RANK_COUNT;

		spin_unlock(&all[at]);
		assert_false(spin_debug_held(&all[at]));
		if (i + 1 < RANK_COUNT)
			assert_true(spin_debug_held(&all[(at + 1) % RANK_COUNT]));
	}
	assert_true(spin_debug_none_held());
}

static void middle_then_lower(void)
{
	struct spinlock c;

	spin_init(&c);
	spin_lock(&a, RANK_TREE);
	spin_lock(&b, RANK_LEAF);
	spin_unlock(&a);
	spin_lock(&c, RANK_RANGES);
}

static void test_order_survives_release(void **state)
{
	(void)state;
	/* The tree's lock is gone, the leaf's still forbids the ranges'. */
	assert_true(panics(middle_then_lower));
	spin_lock(&a, RANK_TREE);
	spin_lock(&b, RANK_LEAF);
	spin_unlock(&b);
	spin_lock(&b, RANK_RANGES);
	spin_unlock(&a);
	assert_true(spin_debug_held(&b));
	assert_false(spin_debug_held(&a));
	spin_unlock(&b);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exclusion),
		cmocka_unit_test(test_trylock),
		cmocka_unit_test(test_tells_waiting),
#ifdef QUIRE_DEBUG
		cmocka_unit_test(test_violations_panic),
		cmocka_unit_test(test_rising_ranks),
		cmocka_unit_test(test_order_survives_release),
#endif
	};

	return cmocka_run_group_tests_name("spin", tests, NULL, NULL);
}
