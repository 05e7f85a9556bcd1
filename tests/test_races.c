/* SPDX-License-Identifier: MIT */
/*
 * Races that the code once had, each as two threads that meet: docs/races.md tells the stories.
 * What was wrong then was wrong within half a second; now no turn may go wrong.
 */
#include "port.h"
#include "sync/atomic.h"
#include <quire/soft.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGES(n) ((uint64_t)(n)*PAGE_SIZE)
#define BASE 0x10000000ull
#define TARGET 0x20000000ull
#define HEAP 0x40000000ull

#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define ANON (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)
#define FIXED (ANON | QUIRE_MAP_FIXED)
#define STACK (FIXED | QUIRE_MAP_GROWSDOWN)
#define MOVE (QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED)

#define RACE_NS 350000000ull
#define TURNS 10       /* at least, of each thread */
#define STANDSTILL 100 /* seconds, after which SIGALRM ends the program */

/* One turn; false: something is wrong. Turns are counted from 1. */
typedef bool turn(struct quire_soft_cpu *, uint64_t number);

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;

static int setup(void **state)
{
	const enum quire_mode *mode = *state;
	struct quire_soft_config config = { .cpus = 2, .memory = 64 << 20 };
	struct quire_mm_config space = { .mode = mode ? *mode : QUIRE_SPECULATIVE,
					 .brk_start = HEAP };

	alarm(STANDSTILL);
	if (quire_soft_init(&config))
		return -1;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	if (quire_mm_create(&space, &mm))
		return -1;
	quire_soft_switch(cpu, mm);
	return 0;
}

static int teardown(void **state)
{
	const char *broken = quire_validate(NULL);

	(void)state;
	alarm(0);
	if (broken)
		print_error("%s\n", broken);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit() != 0 || broken;
}

/* --- two threads */

static struct {
	turn *other;
	bool in_step; /* the other waits for each turn to be called */
	_Atomic uint64_t called, done, wrong;
	_Atomic bool over;
} race;

/* So that turns in step meet at different moments. */
static void dawdle(uint64_t number)
{
	for (volatile uint64_t i = 0; race.in_step && i < number % 400; i++)
		;
}

/* One turn. Now and then all that was replaced is freed, however long the other is held up. */
static void take(turn *what, struct quire_soft_cpu *me, uint64_t number)
{
	dawdle(number * (me == cpu ? 11 : 7));
	if (!what(me, number))
		at_add(&race.wrong, 1ull);
	if (number % 128 == 0)
		quire_barrier(0);
}

static void *other_thread(void *argument)
{
	struct quire_soft_cpu *me = quire_soft_attach(1);

	quire_soft_enter(me);
	quire_soft_switch(me, mm);
	for (uint64_t number = 1; !at_load_acquire(&race.over); quire_soft_safepoint(me)) {
		/* Acquire: pairs with the store of in_step. */
		if (race.in_step && at_load_acquire(&race.called) < number)
			continue;
		take(race.other, me, number);
		at_store_release(&race.done, number++); /* pairs with in_step's load */
	}
	quire_soft_leave(me);
	quire_soft_detach(me);
	return argument;
}

static pthread_t begin(turn *other, bool in_step)
{
	pthread_t thread;

	race.other = other;
	race.in_step = in_step;
	at_store(&race.called, 0ull);
	at_store(&race.done, 0ull);
	at_store(&race.wrong, 0ull);
	at_store(&race.over, false);
	pthread_create(&thread, NULL, other_thread, NULL);
	return thread;
}

static void end(pthread_t thread)
{
	at_store_release(&race.over, true); /* pairs with other_thread */
	quire_soft_leave(cpu);
	pthread_join(thread, NULL);
	quire_soft_enter(cpu);
	assert_int_equal(at_load(&race.wrong), 0);
}

/* The time is up, and each has had its turns. */
static bool enough(uint64_t until, uint64_t number)
{
	return port_clock() >= until && number > TURNS && at_load(&race.done) > TURNS;
}

/* Each takes turns as fast as it can. */
static void side_by_side(turn *mine, turn *other)
{
	pthread_t thread = begin(other, false);
	uint64_t until = port_clock() + RACE_NS;

	for (uint64_t number = 1; !enough(until, number); number++) {
		take(mine, cpu, number);
		quire_soft_safepoint(cpu);
	}
	end(thread);
}

/* Both take a turn at once, then this one looks. */
static void in_step(turn *mine, turn *other, turn *look)
{
	pthread_t thread = begin(other, true);
	uint64_t until = port_clock() + RACE_NS;

	for (uint64_t number = 1; !enough(until, number); number++) {
		at_store_release(&race.called, number); /* pairs with other_thread */
		take(mine, cpu, number);
		/* Acquire: pairs with other_thread's store. */
		while (at_load_acquire(&race.done) < number)
			quire_soft_safepoint(cpu);
		if (!look(cpu, number))
			at_add(&race.wrong, 1ull);
	}
	end(thread);
}

static bool map(uint64_t address, uint64_t pages, int flags)
{
	return quire_mmap(mm, address, PAGES(pages), RW, flags) == (int64_t)address;
}

static struct quire_stats stats(void)
{
	struct quire_stats s;

	quire_stats(mm, &s);
	return s;
}

static void limit(struct quire_limits limits)
{
	quire_mm_set_limits(mm, &limits);
}

/* --- a verdict from a glance at a stack: the page below it can always be read */

static bool read_below_stack(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t value;

	(void)number;
	return quire_soft_load(me, BASE - PAGE_SIZE, 8, &value);
}

static bool map_below_stack(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	return map(BASE - PAGE_SIZE, 1, FIXED);
}

static bool unmap_below_stack(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	return !quire_munmap(mm, BASE - PAGE_SIZE, PAGE_SIZE);
}

/* The new stack is pending while the pages of the old one are swept. */
static bool replace_stack(struct quire_soft_cpu *me, uint64_t number)
{
	bool done = map(BASE, 64, STACK);

	for (unsigned i = 0; i < 64; i++)
		done = quire_soft_store(me, BASE + PAGES(i), 8, number) && done;
	return unmap_below_stack(me, number) && done;
}

static void growth_beside_mappings(void **state)
{
	(void)state;
	assert_true(map(BASE, 64, STACK));
	in_step(read_below_stack, map_below_stack, unmap_below_stack);
}

static void growth_of_replaced_stack(void **state)
{
	(void)state;
	assert_true(map(BASE, 64, STACK));
	side_by_side(read_below_stack, replace_stack);
}

/* --- two ranges, and somebody in the line who wants both */

static bool move_there_and_back(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t value = 0;

	return quire_soft_store(me, BASE, 8, number) &&
	       quire_mremap(mm, BASE, PAGES(4), PAGES(4), MOVE, TARGET) == (int64_t)TARGET &&
	       quire_mremap(mm, TARGET, PAGES(4), PAGES(4), MOVE, BASE) == (int64_t)BASE &&
	       quire_soft_load(me, BASE, 8, &value) && value == number;
}

static bool fork_once(struct quire_soft_cpu *me, uint64_t number)
{
	struct quire_mm *child;

	(void)me;
	(void)number;
	if (quire_fork(mm, &child))
		return false;
	quire_mm_destroy(child);
	return true;
}

/* There is a hole, so the result is always the same. */
static bool protect_both(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	return quire_mprotect(mm, BASE, TARGET + PAGES(4) - BASE, RW) == -QUIRE_ENOMEM;
}

static void fixed_moves_while_forking(void **state)
{
	(void)state;
	assert_true(map(BASE, 4, FIXED));
	side_by_side(move_there_and_back, fork_once);
}

static void fixed_moves_while_protecting(void **state)
{
	(void)state;
	assert_true(map(BASE, 4, FIXED));
	side_by_side(move_there_and_back, protect_both);
}

/* --- a source that no range can be locked for */

static void source_out_of_space(void **state)
{
	const uint64_t lengths[] = { 1ull << 50, 0 - BASE, 0 - BASE + PAGES(8), 1ull << 62, 0 };
	struct quire_vma_info vma;

	(void)state;
	assert_true(map(BASE, 4, FIXED));
	assert_true(quire_soft_store(cpu, BASE, 8, 1));
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		/* Below the source and above it: the range to be locked first is another one. */
		assert_true(quire_mremap(mm, BASE, lengths[i], PAGE_SIZE, MOVE, BASE / 2) < 0);
		assert_true(quire_mremap(mm, BASE, lengths[i], PAGE_SIZE, MOVE, TARGET) < 0);
		if (lengths[i])
			assert_int_equal(quire_mremap(mm, BASE, lengths[i], PAGE_SIZE, 0, 0),
					 -QUIRE_EINVAL);
		/* Nothing is there. */
		assert_int_equal(quire_mremap(mm, HEAP, lengths[i], PAGE_SIZE, 0, 0),
				 -QUIRE_EFAULT);
	}
	/* Nothing has changed, and no range is still locked. */
	assert_int_equal(quire_vma_find(mm, 0, &vma), 0);
	assert_int_equal(vma.start, BASE);
	assert_int_equal(vma.end, BASE + PAGES(4));
	assert_int_equal(quire_munmap(mm, 0x10000, TARGET), 0);
}

/* --- limits that are checked in one moment and used in another */

#define LIMIT 10

static bool lock_low(struct quire_soft_cpu *me, uint64_t number)
{
	int error = quire_mlock(mm, BASE, PAGES(8));

	(void)me;
	(void)number;
	return !error || error == -QUIRE_ENOMEM;
}

static bool lock_high(struct quire_soft_cpu *me, uint64_t number)
{
	int error = quire_mlock(mm, BASE + PAGES(256), PAGES(8));

	(void)me;
	(void)number;
	return !error || error == -QUIRE_ENOMEM;
}

/* One of them has locked its pages, not both. */
static bool locked_within_limit(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t locked = stats().locked;

	(void)me;
	(void)number;
	return !quire_munlockall(mm) && locked == PAGES(8);
}

static void locking_at_once(void **state)
{
	(void)state;
	assert_true(map(BASE, 512, FIXED));
	limit((struct quire_limits){ .locked = PAGES(LIMIT) });
	in_step(lock_low, lock_high, locked_within_limit);
}

/* From 2 pages to 8, elsewhere. */
static int64_t grow_by_moving(uint64_t from)
{
	return quire_mremap(mm, from, PAGES(2), PAGES(8), MOVE, from + TARGET);
}

static bool move_low(struct quire_soft_cpu *me, uint64_t number)
{
	int64_t result = grow_by_moving(BASE);

	(void)me;
	(void)number;
	return result == (int64_t)(BASE + TARGET) || result == -QUIRE_ENOMEM ||
	       result == -QUIRE_EAGAIN;
}

static bool move_high(struct quire_soft_cpu *me, uint64_t number)
{
	int64_t result = grow_by_moving(BASE + PAGES(512));

	(void)me;
	(void)number;
	return result == (int64_t)(BASE + PAGES(512) + TARGET) || result == -QUIRE_ENOMEM ||
	       result == -QUIRE_EAGAIN;
}

static bool prepare_moves(int flags)
{
	return !quire_munmap(mm, BASE, PAGES(1024)) &&
	       !quire_munmap(mm, BASE + TARGET, PAGES(1024)) && map(BASE, 2, FIXED | flags) &&
	       map(BASE + PAGES(512), 2, FIXED | flags);
}

/* One of them has moved, not both. */
static bool mapped_within_limit(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t mapped = stats().mapped;

	(void)me;
	(void)number;
	return prepare_moves(0) && mapped == PAGES(LIMIT);
}

static bool moved_locks_within_limit(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t locked = stats().locked;

	(void)me;
	(void)number;
	return prepare_moves(QUIRE_MAP_LOCKED) && locked == PAGES(LIMIT);
}

static void growing_by_moving_at_once(void **state)
{
	(void)state;
	assert_true(prepare_moves(0));
	limit((struct quire_limits){ .address_space = PAGES(LIMIT) });
	in_step(move_low, move_high, mapped_within_limit);
}

static void moving_locked_pages_at_once(void **state)
{
	(void)state;
	assert_true(prepare_moves(QUIRE_MAP_LOCKED));
	limit((struct quire_limits){ .locked = PAGES(LIMIT) });
	in_step(move_low, move_high, moved_locks_within_limit);
}

/* A limit below what is locked is no reason not to move it. */
static void moving_beyond_the_limit(void **state)
{
	(void)state;
	assert_true(map(BASE, 4, FIXED | QUIRE_MAP_LOCKED));
	limit((struct quire_limits){ .locked = PAGES(1) });
	assert_int_equal(quire_mremap(mm, BASE, PAGES(4), PAGES(4), MOVE, TARGET), TARGET);
	assert_int_equal(
		quire_mremap(mm, TARGET, PAGES(4), PAGES(4), MOVE | QUIRE_MREMAP_DONTUNMAP, BASE),
		BASE);
	assert_int_equal(stats().locked, PAGES(4));
	assert_int_equal(quire_mremap(mm, BASE, PAGES(4), PAGES(5), 0, 0), -QUIRE_EAGAIN);
}

/* --- limits that are half set: "unlimited" was 0 for a moment */

static bool set_unlimited(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	limit((struct quire_limits){ 0 });
	return true;
}

static bool raise_break(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	return quire_brk(mm, HEAP + PAGES(16)) == HEAP + PAGES(16) &&
	       quire_brk(mm, HEAP + (number & 1)) == HEAP + (number & 1);
}

static void limits_set_again(void **state)
{
	(void)state;
	side_by_side(raise_break, set_unlimited);
}

/* --- a break that is there, away and there again */

static bool wiggle_break(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	return quire_brk(mm, HEAP + 1 + (number & 1)) == HEAP + 1 + (number & 1);
}

static void break_moved_back(void **state)
{
	(void)state;
	side_by_side(raise_break, wiggle_break);
}

/* --- mlockall and what is mapped meanwhile */

static _Atomic int64_t mapped_at;

static bool map_somewhere(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	at_store(&mapped_at, quire_mmap(mm, BASE / 2, PAGE_SIZE, RW, ANON));
	return true;
}

static bool map_at_target(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	at_store(&mapped_at, quire_mmap(mm, TARGET, PAGE_SIZE, RW, FIXED));
	return true;
}

static bool lock_all(struct quire_soft_cpu *me, uint64_t number)
{
	(void)me;
	(void)number;
	return !quire_mlockall(mm, QUIRE_MCL_CURRENT | QUIRE_MCL_FUTURE);
}

static bool mapping_is_locked(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t address = (uint64_t)at_load(&mapped_at);
	struct quire_vma_info vma;
	bool locked = !quire_vma_find(mm, address, &vma) && vma.start <= address && vma.locked;

	(void)me;
	(void)number;
	return !quire_munlockall(mm) && !quire_munmap(mm, address, PAGE_SIZE) && locked;
}

static void mapping_while_locking_all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		assert_true(map(BASE + PAGES(2 * i), 1, FIXED));
	in_step(lock_all, map_somewhere, mapping_is_locked);
	in_step(lock_all, map_at_target, mapping_is_locked);
}

/* --- the baselines: a child has the memory of one moment */

#define FORKED 4096

static bool write_first_then_last(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t value;

	/* A page that takes the first one's place among the translations: so it is looked up. */
	return quire_soft_load(me, BASE + PAGES(QUIRE_SOFT_TLB), 8, &value) &&
	       quire_soft_store(me, BASE, 8, number) &&
	       quire_soft_store(me, BASE + PAGES(FORKED - 1), 8, number);
}

static bool look_in_child(struct quire_soft_cpu *me, uint64_t number)
{
	uint64_t first = 0, last = 0;
	struct quire_mm *child;
	bool loaded;

	(void)number;
	if (quire_fork(mm, &child))
		return false;
	quire_soft_switch(me, child);
	loaded = quire_soft_load(me, BASE, 8, &first) &&
		 quire_soft_load(me, BASE + PAGES(FORKED - 1), 8, &last);
	quire_soft_switch(me, mm);
	quire_mm_destroy(child);
	return loaded && last <= first;
}

static void fork_of_one_moment(void **state)
{
	(void)state;
	assert_true(map(BASE, FORKED, FIXED));
	for (unsigned i = 0; i < FORKED; i++)
		assert_true(quire_soft_store(cpu, BASE + PAGES(i), 8, 0));
	side_by_side(look_in_child, write_first_then_last);
}

/* --- a child in the making is in the list of all spaces (for the thread sanitizer) */

static bool sum_up(struct quire_soft_cpu *me, uint64_t number)
{
	struct quire_stats s;

	(void)me;
	(void)number;
	quire_stats(NULL, &s);
	return s.mapped == PAGES(4) || s.mapped == PAGES(8);
}

static void sums_while_forking(void **state)
{
	(void)state;
	assert_true(map(BASE, 4, FIXED));
	side_by_side(fork_once, sum_up);
}

/* --- all free memory waits for a CPU that reaches no safepoint for a while */

#define HELD_UP_NS 40000000ull
#define PATIENCE_NS 1000000000ull	  /* so long a call waits for memory, see space/again.c */
#define TAKEN (60ull << 20 >> PAGE_SHIFT) /* of the 64 MiB: little is left to edit with */

static void *far_from_safepoints(void *argument)
{
	struct quire_soft_cpu *me = quire_soft_attach(1);

	quire_soft_enter(me);
	while (!at_load_acquire(&race.over)) {
		for (uint64_t since = port_clock(); port_clock() - since < HELD_UP_NS;)
			;
		quire_soft_safepoint(me);
	}
	quire_soft_leave(me);
	quire_soft_detach(me);
	return argument;
}

/* It may fail when it has waited: then the host did not run the other for so long. */
static bool failed_at_once(bool failed, uint64_t since)
{
	return failed && port_clock() - since < PATIENCE_NS;
}

static void edits_while_memory_is_held_up(void **state)
{
	uint64_t failed = 0;
	pthread_t thread;

	(void)state;
	assert_true(map(BASE, TAKEN, FIXED | QUIRE_MAP_POPULATE));
	at_store(&race.over, false);
	assert_int_equal(pthread_create(&thread, NULL, far_from_safepoints, NULL), 0);
	for (uint64_t since = port_clock(); port_clock() - since < RACE_NS;) {
		uint64_t called = port_clock();

		failed += failed_at_once(!map(HEAP, 1, FIXED), called);
		called = port_clock();
		failed += failed_at_once(quire_munmap(mm, HEAP, PAGES(1)) != 0, called);
	}
	at_store_release(&race.over, true); /* pairs with the other's load */
	quire_soft_leave(cpu);
	pthread_join(thread, NULL);
	quire_soft_enter(cpu);
	assert_int_equal(failed, 0);
}

#define RACE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define RACE_IN(name, mode) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, &mode)

int main(void)
{
	static enum quire_mode vma_lock = QUIRE_VMA_LOCK, classic = QUIRE_CLASSIC;
	const struct CMUnitTest tests[] = {
		RACE(growth_beside_mappings),
		RACE(growth_of_replaced_stack),
		RACE(fixed_moves_while_forking),
		RACE(fixed_moves_while_protecting),
		RACE(source_out_of_space),
		RACE(locking_at_once),
		RACE(growing_by_moving_at_once),
		RACE(moving_locked_pages_at_once),
		RACE(moving_beyond_the_limit),
		RACE(limits_set_again),
		RACE(break_moved_back),
		RACE(mapping_while_locking_all),
		RACE_IN(fork_of_one_moment, vma_lock),
		RACE_IN(fork_of_one_moment, classic),
		RACE(sums_while_forking),
		RACE(edits_while_memory_is_held_up),
	};

	return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}
