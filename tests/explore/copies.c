/* SPDX-License-Identifier: MIT */
/*
 * Sharing pages and parting again: fork, copy-on-write, reuse. What is shown:
 *
 *     no write is lost            whatever is copied while whoever writes through a translation
 *     one page at one address     who has seen a CPU's later store sees its earlier one, too
 *     a child stands still        from the return of fork on
 *
 * The explorer copies and clears a page in two halves, so values are watched in the first word of
 * each: at A and at A + HALF.
 */
#include "explore.h"

static struct quire_mm *child, *second;
static uint64_t seen;

/* The CPU has a translation to write with. */
static void touch_as(unsigned cpu)
{
	as_cpu(cpu);
	store(A, 7);
	store(A + HALF, 7);
}

static void touched(unsigned cpus)
{
	map(A, 2, READ_WRITE);
	for (unsigned i = 0; i < cpus; i++)
		touch_as(i);
}

static void touched_by_2(void)
{
	touched(2);
}

/* CPU 1's write is a fault. */
static void touched_but_by_1(void)
{
	touched(1);
	touch_as(2);
}

/* Shared with a child, and read by both CPUs; B is the space's own. */
static void shared(void)
{
	touched(2);
	as_cpu(0);
	expect(quire_fork(mm, &child) == 0);
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		load(A);
		store(B, 0);
	}
}

/* Not writable any more, but nobody else's: the child is gone. */
static void shared_once(void)
{
	shared();
	quire_mm_destroy(child);
}

/* The same but the zero page. */
static void zero_page(void)
{
	map(A, 2, READ_WRITE);
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		load(A);
		store(B, 0);
	}
}

/* As a guest's loop does: whoever waits for a flush gets on, and the next access may miss. */
static void safepoint(void)
{
	quire_soft_safepoint(quire_soft_self());
}

static void fork_child(void)
{
	expect(quire_fork(mm, &child) == 0);
}

static void fork_second(void)
{
	expect(quire_fork(mm, &second) == 0);
}

static void write_8(void)
{
	expect_equal(store(A, 8), DONE);
}

static void write_half(void)
{
	expect_equal(store(A + HALF, 9), DONE);
}

static void write_twice(void)
{
	write_8();
	safepoint();
	write_8();
}

static void both_written(void)
{
	expect_equal(load(A), 8);
	expect_equal(load(A + HALF), 9);
}

/* --- no write is lost --- */

/*
 *     CPU 0   fork: not writable ........................................... flush
 *     CPU 1                       copies the page ......... stores the copy
 *     CPU 2                                        writes to the old page
 */
SCENARIO(H40_lost_update, "fork, a copy-on-write, and a write through an old translation",
	 .setup = touched_but_by_1, .run = { fork_child, write_8, write_half },
	 .check = both_written);
SCENARIO(H40_two_copies, "two copies-on-write of one page", .setup = shared,
	 .run = { write_8, write_half }, .check = both_written);
SCENARIO(H40_two_zero_writes, "two writes over the zero page", .setup = zero_page,
	 .run = { write_8, write_half }, .check = both_written);

/*
 * Q1: while CPU 0 copies, the page is CPU 1's to write, and then shared again: the entry is what it
 * was.
 */
static void reuse_and_share(void)
{
	expect(quire_munmap(child, A, PAGE) == 0);
	write_half();
	fork_second();
}

SCENARIO(Q1_writable_in_between, "a page that is copied is reused, written and shared again",
	 .setup = shared, .run = { write_8, reuse_and_share }, .check = both_written);

/* --- one page at one address (docs/races.md, 1) --- */

/* Told by a barrier and a store, so that the guest's own order holds on every machine. */
static void write_then_tell(void)
{
	uint64_t told = 1;

	write_8();
	expect(quire_soft_rmw(quire_soft_self(), B, 8, QUIRE_SOFT_XCHG, &told));
}

/* By a translation from before the write, or one made while the page was replaced. */
static void read_if_told(void)
{
	safepoint();
	load(A);
	if (load(B))
		expect_equal(load(A), 8);
}

SCENARIO(Q5_two_pages_copy, "a copy-on-write beside reads through an old translation",
	 .setup = shared, .run = { write_then_tell, read_if_told });
SCENARIO(Q5_two_pages_zero, "the same over the zero page", .setup = zero_page,
	 .run = { write_then_tell, read_if_told });

/* --- a child stands still --- */

/* To look in the middle of a run: the child's own contents, as of fork's return. */
static void fork_and_look(void)
{
	fork_child();
	seen = peek(child, A);
}

static void still(void)
{
	expect_equal(peek(child, A), seen);
	expect_equal(load(A), 8);
}

SCENARIO(H40_child_stands_still, "fork against writes through an old translation",
	 .setup = touched_by_2, .run = { fork_and_look, write_twice }, .check = still);
/*
 *     CPU 0   fork: nothing to write-protect, flush? ── writes by its old translation
 *     CPU 1   fork: not writable ...................................................... flush
 */
static void fork_and_write(void)
{
	fork_child();
	write_8();
}

static void child_has_7(void)
{
	expect_equal(peek(child, A), 7);
	expect_equal(load(A), 8);
}

SCENARIO(H40_two_forks, "two forks at once (docs/races.md, 5)", .setup = touched_by_2,
	 .run = { fork_and_write, fork_second }, .check = child_has_7);
SCENARIO(H40_fork_against_reuse, "fork against a write to a page that only we have",
	 .setup = shared_once, .run = { fork_and_look, write_twice }, .check = still);

/* --- what is in the child (H49, Q14) --- */

static void touched_and_more(void)
{
	touched(2);
	map(D, 1, READ_WRITE);
}

static void touch_others(void)
{
	expect_equal(store(B, 5), DONE);
	expect_equal(store(D, 5), DONE);
}

static void touched_is_there(void)
{
	uint64_t b = peek(child, B), d = peek(child, D);

	expect_equal(peek(child, A), 7);
	expect_equal(peek(child, A + HALF), 7);
	expect(b == 0 || b == 5);
	expect(d == 0 || d == 5);
	expect(load(B) == 5 && load(D) == 5);
}

SCENARIO(Q14_fork_first_touches, "fork against first touches: what was there is in the child",
	 .setup = touched_and_more, .run = { fork_child, touch_others }, .check = touched_is_there);

static void copied_is_there(void)
{
	uint64_t value = peek(second, A);

	expect(value == 7 || value == 8);
	expect_equal(peek(second, A + HALF), 7);
	expect_equal(peek(child, A), 7);
	expect_equal(load(A), 8);
}

SCENARIO(H49_fork_meets_a_copy, "fork against a copy-on-write: the page is in the child",
	 .setup = shared, .run = { fork_second, write_8 }, .check = copied_is_there);

/* --- parting --- */

static void child_on_1(void)
{
	shared();
	as_cpu(1);
	run_space(child);
	load(A);
}

static void write_9_in_child(void)
{
	expect_equal(store(A, 9), DONE);
}

static void parted(void)
{
	expect_equal(load(A), 8);
	expect_equal(load(A + HALF), 7);
	expect_equal(peek(child, A), 9);
	expect_equal(peek(child, A + HALF), 7);
}

SCENARIO(H40_parent_and_child, "parent and child write at once", .setup = child_on_1,
	 .run = { write_8, write_9_in_child }, .check = parted);

static void destroy_child(void)
{
	quire_mm_destroy(child);
}

static void only_written(void)
{
	expect_equal(load(A), 8);
	expect_equal(load(A + HALF), 7);
}

SCENARIO(H40_child_ends, "a write while the child is torn down", .setup = shared,
	 .run = { write_8, destroy_child }, .check = only_written);

static void unmap_here(void)
{
	unmap(A, 1);
}

static void child_has_9(void)
{
	expect_equal(peek(child, A), 9);
	expect_equal(peek(child, A + HALF), 7);
}

SCENARIO(Q15_unmap_and_copy, "one of two sharers unmaps, the other copies", .setup = child_on_1,
	 .run = { unmap_here, write_9_in_child }, .check = child_has_9);
