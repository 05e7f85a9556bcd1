/* SPDX-License-Identifier: MIT */
/*
 * mremap (H16, H36): entries that move, within a leaf and across leaves, against faults at the
 * source and at the target, and against who would unhook the leaves.
 *
 *     source ─► pending ─► hold the target's leaf ─► publish ─► move; flush ─► target live
 *
 * CPU 0 moves, and then reads what it has moved: every store that was let through at the source
 * must be seen by then, and none may come after.
 */
#include "explore.h"
#include "space/mm.h"
#include "frame/frame.h"

static uint64_t written, seen; /* what the store of CPU 1 came to; what CPU 0 read after the move */

static void move(uint64_t from, uint64_t to)
{
	const int flags = QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED;

	expect_equal(quire_mremap(mm, from, PAGE, PAGE, flags, to), to);
}

static void try_write(uint64_t address)
{
	written = store(address, 8);
	expect(written == DONE || written == MAPERR);
}

/* A has a page, and B none yet. */
static void touched(void)
{
	map(A, 2, READ_WRITE);
	store(A, 7);
}

/* CPU 1 has a translation, which it uses without looking at any table. */
static void known_to_both(void)
{
	touched();
	as_cpu(1);
	store(A, 7);
	as_cpu(0);
}

/* --- faults at the source --- */

static void move_in_leaf(void)
{
	move(A, C);
	seen = load(C);
	expect_equal(load(A), MAPERR);
}

static void move_across(void)
{
	move(A, D);
	seen = load(D);
}

static void write_source(void)
{
	try_write(A);
}

static void written_before(void)
{
	expect_equal(seen, written == DONE ? 8 : 7);
}

SCENARIO(H16_source_stale, "a page moves under a stale translation", .setup = known_to_both,
	 .run = { move_in_leaf, write_source }, .check = written_before);
SCENARIO(H16_source_same_leaf, "a page moves within its leaf under a fault", .setup = touched,
	 .run = { move_in_leaf, write_source }, .check = written_before);
SCENARIO(H36_source_other_leaf, "a page moves to another leaf under a fault", .setup = touched,
	 .run = { move_across, write_source }, .check = written_before);

static void shared_page(void)
{
	struct quire_mm *child;

	known_to_both();
	expect(quire_fork(mm, &child) == 0);
}

SCENARIO(H34_move_meets_busy, "a page moves while it is copied on write", .setup = shared_page,
	 .run = { move_in_leaf, write_source }, .check = written_before);

/* B has no page, but its leaf is there. */
static void move_untouched(void)
{
	move(B, D);
	seen = load(D);
}

static void write_untouched(void)
{
	try_write(B);
}

static void first_or_none(void)
{
	expect_equal(seen, written == DONE ? 8 : 0);
}

/*
 * fault    checked; leaf locked .............. stores
 * move                            source pending ─ looks what is to be moved: behind the leaf lock
 */
SCENARIO(H16_first_touch, "a page appears at the source of a move", .setup = touched,
	 .run = { move_untouched, write_untouched }, .check = first_or_none);

/* No leaf is there either (Q3). */
static void untouched(void)
{
	map(A, 2, READ_WRITE);
}

SCENARIO(H16_first_leaf, "a leaf appears at the source of a move", .setup = untouched,
	 .run = { move_untouched, write_untouched }, .check = first_or_none);

/* --- faults at the target --- */

static void write_target(void)
{
	try_write(C);
	if (written == DONE)
		expect_equal(load(C), 8);
}

static void target_written(void)
{
	expect_equal(load(C), written == DONE ? 8 : 7);
	expect(seen == 7 || seen == load(C));
}

SCENARIO(H16_target, "a fault at the place that a page moves to", .setup = touched,
	 .run = { move_in_leaf, write_target }, .check = target_written);

/* Something is there already. */
static void target_taken(void)
{
	map(A, 2, READ_WRITE);
	store(A, 7);
	store(B, 6);
	map(D, 1, READ_WRITE);
	store(D, 5);
}

/* The read between them misses: flushes are answered there. */
static void read_target(void)
{
	uint64_t first = load(D), other = load(B), second = load(D);

	expect(first == 5 || first == 7);
	expect_equal(other, 6);
	expect(second == 7 || (second == 5 && first == 5));
}

static void target_moved(void)
{
	expect_equal(seen, 7);
}

SCENARIO(H16_replaced_target, "a page moves over another that is being read", .setup = target_taken,
	 .run = { move_across, read_target }, .check = target_moved);

/* --- leaves that would be unhooked --- */

/* Beside the source and beside the target, a page that is unmapped. */
static void pages_beside(void)
{
	touched();
	store(B, 6);
	map(D + PAGE, 1, READ_WRITE);
	store(D + PAGE, 5);
}

static void unmap_beside_source(void)
{
	unmap(B, 1);
}

static void unmap_beside_target(void)
{
	unmap(D + PAGE, 1);
}

SCENARIO(H36_source_emptied, "the leaf that a page moves out of is emptied by munmap",
	 .setup = pages_beside, .run = { move_across, unmap_beside_source }, .check = target_moved);
SCENARIO(H36_target_emptied, "the leaf that a page moves into is emptied by munmap",
	 .setup = pages_beside, .run = { move_across, unmap_beside_target }, .check = target_moved);

static void move_there(void)
{
	move(A, D);
}

static void move_back(void)
{
	move(D + PAGE, C);
}

static void both_moved(void)
{
	expect_equal(load(D), 7);
	expect_equal(load(C), 5);
}

SCENARIO(H36_crosswise, "two moves between the same two leaves, in both directions",
	 .setup = pages_beside, .run = { move_there, move_back }, .check = both_moved);

/* --- and memory is short --- */

static int64_t place;

/* The leaf must be had before anything is published, and still be there when the page moves. */
static void move_short_of_memory(void)
{
	inject_set(1);
	place = quire_mremap(mm, A, PAGE, PAGE, QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, D);
	expect(place == (int64_t)D || place == -QUIRE_ENOMEM);
}

static void moved_or_not(void)
{
	expect_equal(load(place > 0 ? D : A), 7);
}

SCENARIO(H36_target_short, "the target's leaf is emptied by munmap, and no new one is to be had",
	 .setup = pages_beside, .run = { move_short_of_memory, unmap_beside_target },
	 .check = moved_or_not);

/*
 * Two moves, each to where the other comes from, and somebody whom both must wait for: each holds
 * its source and can't have its target, lets go, waits, and begins again.
 */
static void crossing(void)
{
	map(A, 3, READ_WRITE);
}

/* The source may have gone with the other's move. */
static void try_to_move(uint64_t from, uint64_t to)
{
	int64_t at = quire_mremap(mm, from, PAGE, PAGE, QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED,
				  to);

	expect(at == (int64_t)to || at == -QUIRE_EFAULT);
}

static void move_a_to_c(void)
{
	try_to_move(A, C);
}

static void move_c_to_a(void)
{
	try_to_move(C, A);
}

/* Holds the range for a moment, in the way of both. */
static void hold_c(void)
{
	struct range range;

	range_acquire(&mm->ranges, &range, C, C + PAGE, true);
	range_release(&mm->ranges, &range);
}

SCENARIO(moves_crossing, "two moves, each to where the other comes from, and another writer there",
	 .setup = crossing, .run = { move_a_to_c, move_c_to_a, hold_c }, .speculative_only = true);
