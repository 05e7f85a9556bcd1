/* SPDX-License-Identifier: MIT */
/*
 * Page tables that come and go (H25 to H39, Q3). What sweeps take away is in sweeps.c, moves are in
 * moves.c.
 *
 *     root ─► [ ] ─► [middle] ─┬─► [leaf: A B C ...]
 *                              └─► [leaf: D ...]
 *
 * A fault hooks what is missing on the way down; munmap unhooks what it leaves empty, on the way
 * up. What must never come of it: a page in a table that is no longer hooked (the validator misses
 * it, or finds its frame lost), a page where nothing is mapped, a walk through freed memory.
 */
#include "explore.h"
#include <quire/stats.h>

/* --- tables that appear --- */

static void nothing_there(void)
{
	map(A, 2, READ_WRITE);
}

static void write_a(void)
{
	expect_equal(store(A, 1), DONE);
}

static void write_b(void)
{
	expect_equal(store(B, 2), DONE);
}

static void both_written(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(B), 2);
}

SCENARIO(H29_hook_at_once, "two faults hook the same tables", .setup = nothing_there,
	 .run = { write_a, write_b }, .check = both_written);

static uint64_t tables_before;

static uint64_t count_tables(void)
{
	struct quire_stats stats;

	quire_stats(mm, &stats);
	return stats.tables;
}

static void same_tables(void)
{
	expect_equal(count_tables(), tables_before);
}

/* The leaf of A is missing, and its parent stays whatever happens. */
static void leaf_missing(void)
{
	map(D, 1, READ_WRITE);
	store(D, 4);
	tables_before = count_tables();
	map(A, 1, READ_WRITE);
}

static void unmap_a(void)
{
	unmap(A, 1);
	expect_equal(load(A), MAPERR);
}

static void write_a_or_not(void)
{
	uint64_t done = store(A, 1);

	expect(done == DONE || done == MAPERR);
}

/*
 * munmap    publishes ─ fence ─ no leaf: nothing to sweep
 * fault     checked before that ─ hooks the leaf ─ fence ─ leaf lock ─ must check again
 */
SCENARIO(Q3_hook_behind_sweep, "a leaf is hooked behind a munmap that found none",
	 .setup = leaf_missing, .run = { unmap_a, write_a_or_not }, .check = same_tables);

/* --- tables that disappear under a fault --- */

/*
 * CPU 1 faults pages in without running the space: then no flush waits for it, so a munmap may come
 * to its end, and another call after it, in the middle of the fault.
 */
static void elsewhere(void)
{
	as_cpu(1);
	run_space(NULL);
	as_cpu(0);
}

static void touch(uint64_t address)
{
	enum quire_verdict verdict = quire_fault(mm, address, QUIRE_WRITE);

	expect(verdict == QUIRE_FAULT_DONE || verdict == QUIRE_FAULT_MAPERR);
}

/* The leaf is there for the sake of A; the fault is at B. */
static void one_touched(void)
{
	map(A, 2, READ_WRITE);
	store(A, 7);
}

static void one_touched_elsewhere(void)
{
	one_touched();
	elsewhere();
}

static void renew(void)
{
	unmap(A, 2);
	map(A, 2, READ_WRITE);
}

static void touch_b(void)
{
	touch(B);
}

static void fresh_b(void)
{
	expect_equal(load(B), 0);
}

/*
 * What is mapped at B says the same as before, so nothing but the mark tells the fault that the
 * leaf it has walked to is dead.
 */
SCENARIO(H26_dying_leaf, "a leaf dies, and the same is mapped again, before a fault locks it",
	 .setup = one_touched_elsewhere, .run = { renew, touch_b }, .check = fresh_b);

/* The fault at D finds its leaf missing, in a table that dies with the leaf of A. */
static void two_leaves(void)
{
	map(A, LEAF / PAGE + 1, READ_WRITE);
	store(A, 7);
	elsewhere();
}

static void renew_d(void)
{
	unmap(A, LEAF / PAGE + 1);
	map(D, 1, READ_WRITE);
}

static void touch_d(void)
{
	touch(D);
}

static void fresh_d(void)
{
	expect_equal(load(D), 0);
}

SCENARIO(H29_dying_parent, "a leaf is hooked into a table that dies", .setup = two_leaves,
	 .run = { renew_d, touch_d }, .check = fresh_d);

static void unmap_and_free(void)
{
	unmap(A, 2);
	expect(quire_barrier(0) == 0);
}

SCENARIO(H25_walk, "tables are freed while a fault walks in them", .setup = one_touched_elsewhere,
	 .run = { unmap_and_free, touch_b });

static void read_a(void)
{
	uint64_t value = load(A);

	expect(value == 7 || value == MAPERR);
}

SCENARIO(H25_hardware_walk, "tables are freed while the MMU walks in them", .setup = one_touched,
	 .run = { unmap_and_free, read_a });

/* The page-walk cache of CPU 1 has the leaf. */
static void walked_to(void)
{
	one_touched();
	as_cpu(1);
	read_a();
	as_cpu(0);
}

static void read_b_twice(void)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t value = load(B);

		expect(value == 0 || value == MAPERR);
	}
}

SCENARIO(H25_walk_cache, "tables are freed whose leaf a page-walk cache has", .setup = walked_to,
	 .run = { unmap_and_free, read_b_twice });

/* --- neighbours in the leaf --- */

static void unmap_a_only(void)
{
	unmap(A, 1);
}

static void unmap_b(void)
{
	unmap(B, 1);
}

/* Only B has a page: both munmaps may find the leaf empty. */
static void other_touched(void)
{
	tables_before = count_tables();
	map(A, 2, READ_WRITE);
	store(B, 7);
}

SCENARIO(H35_same_leaf, "two munmaps unhook the same tables", .setup = other_touched,
	 .run = { unmap_a, unmap_b }, .check = same_tables);

static void each_leaf_touched(void)
{
	tables_before = count_tables();
	map(A, 1, READ_WRITE);
	store(A, 7);
	map(D, 1, READ_WRITE);
	store(D, 7);
}

static void unmap_d(void)
{
	unmap(D, 1);
}

SCENARIO(H35_same_parent, "two munmaps unhook leaves of the same table", .setup = each_leaf_touched,
	 .run = { unmap_a, unmap_d }, .check = same_tables);

/* D has no leaf: whoever unmaps A last leaves nothing for the other to find. */
static void one_leaf_touched(void)
{
	tables_before = count_tables();
	map(A, 1, READ_WRITE);
	store(A, 7);
	map(D, 1, READ_WRITE);
}

SCENARIO(H35_no_leaf, "munmap where no leaf is, and of the only leaf", .setup = one_leaf_touched,
	 .run = { unmap_a, unmap_d }, .check = same_tables);

static void one_touched_counted(void)
{
	tables_before = count_tables();
	one_touched();
}

static void counted_elsewhere(void)
{
	one_touched_counted();
	elsewhere();
}

static void unmap_b_and_free(void)
{
	unmap_b();
	expect(quire_barrier(0) == 0);
}

static void unmap_a_elsewhere(void)
{
	expect(quire_munmap(mm, A, PAGE) == 0);
}

SCENARIO(H25_unhook, "a leaf is unhooked and freed while another munmap means to unhook it",
	 .setup = counted_elsewhere, .run = { unmap_b_and_free, unmap_a_elsewhere },
	 .check = same_tables);

static void use_b(void)
{
	write_b();
	unmap_b();
}

/*
 * munmap of A    leaf empty, unlocks ......................... nothing mapped here: unhooks?
 * CPU 1                              writes B; munmap: publishes ......................... sweeps
 */
SCENARIO(H35_refilled, "a leaf that was empty is filled again before it is unhooked",
	 .setup = one_touched_counted, .run = { unmap_a, use_b }, .check = same_tables);

/*
 * munmap of A    leaf empty, unlocks ........................... nothing mapped here: unhooks
 * fault at B                         locks the leaf, checks ..................... stores
 * munmap of B                                               publishes
 */
SCENARIO(H35_being_filled, "a leaf is unhooked while a fault holds its lock",
	 .setup = one_touched_elsewhere, .run = { unmap_a_only, touch_b, unmap_b });

static void only_a(void)
{
	map(A, 1, READ_WRITE);
	store(A, 7);
}

static void map_b(void)
{
	map(B, 1, READ_WRITE);
	write_b();
	expect_equal(load(B), 2);
}

static void b_written(void)
{
	expect_equal(load(B), 2);
}

SCENARIO(H39_neighbour, "a neighbour maps in the leaf that munmap is about to unhook",
	 .setup = only_a, .run = { unmap_a, map_b }, .check = b_written);
