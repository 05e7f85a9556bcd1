/* SPDX-License-Identifier: MIT */
/*
 * Entries that go from one record of a mapping to another beside a sweep of all: by fork, by
 * mremap, by mappings that are merged; and mappings that are replaced.
 *
 *     sweep            record of the source ──► record made later
 *     fork, mremap          entry: source ──────────► target
 *
 * When both are through no entry may be left of what the sweep has taken away.
 */
#include "disk.h"

static struct quire_object *object;
static struct quire_mm *child;

/* The object's pages are in its cache; and the leaf of A to C is there. */
static void cached(void)
{
	object = make_cached(&disk_ops, QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE, 2);
	make_leaf(C);
}

static void truncate_all(void)
{
	expect(quire_object_truncate(object, 0) == 0);
}

static void sync_all(void)
{
	expect(quire_object_sync(object, 0, 2 * PAGE) == 0);
}

static void saved(void)
{
	sync_all();
	expect_equal(disk[0][0], 5);
}

/* --- copied --- */

/* A private copy of page 0 at A. */
static void copied(void)
{
	cached();
	map_object(A, 1, QUIRE_MAP_PRIVATE, object, 0);
	store(A, 5);
}

static void fork_it(void)
{
	expect(quire_fork(mm, &child) == 0);
}

static void gone_from_child(void)
{
	expect_equal(load(A), BUS);
	expect_equal(peek(child, A), BUS);
}

SCENARIO(Q10_forked_copy, "fork of a private copy against truncation", .setup = copied,
	 .run = { fork_it, truncate_all }, .check = gone_from_child);

/*
 *     F   child's record ............................... copies the private page to the child
 *     S         mmap beside A ─ sweep: the child, then A's record
 *
 * Were A merged with what is mapped beside it, its record would be later than the child's.
 */
static void map_beside_and_truncate(void)
{
	expect_equal(quire_mmap_object(mm, B, PAGE, READ_WRITE, QUIRE_MAP_PRIVATE, object, PAGE,
				       READ_WRITE),
		     B);
	truncate_all();
}

SCENARIO(Q10_merged_in_fork, "fork of a private copy against a neighbour and truncation",
	 .setup = copied, .run = { fork_it, map_beside_and_truncate }, .check = gone_from_child);

/* --- moved --- */

static void move(uint64_t from, uint64_t to)
{
	const int flags = QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED;

	expect_equal(quire_mremap(mm, from, PAGE, PAGE, flags, to), to);
}

static void move_to_b(void)
{
	move(A, B);
}

static void move_to_d(void)
{
	move(A, D);
}

static void shown(void)
{
	cached();
	make_leaf(D + PAGE);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	store(A, disk_value(0));
}

static void gone_from_b(void)
{
	expect_equal(load(B), BUS);
}

static void gone_from_d(void)
{
	expect_equal(load(D), BUS);
}

SCENARIO(Q10_moved_copy, "a private copy moves beside truncation", .setup = copied,
	 .run = { move_to_b, truncate_all }, .check = gone_from_b);
SCENARIO(Q10_moved, "a page moves to another leaf beside truncation", .setup = shown,
	 .run = { move_to_d, truncate_all }, .check = gone_from_d);

static void move_then_write(void)
{
	move(A, B);
	expect_equal(store(B, 5), DONE);
}

SCENARIO(Q13_moved_dirty, "a page that can be written to moves beside a sync", .setup = shown,
	 .run = { move_then_write, sync_all }, .check = saved);

/* The page at D goes where its mapping and that of A become one. */
static void to_be_merged(void)
{
	cached();
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	map_object(D, 1, QUIRE_MAP_SHARED, object, 1);
	store(D, disk_value(1));
}

static void move_beside(void)
{
	move(D, B);
}

SCENARIO(Q10_merged, "a page moves into a merged mapping beside truncation", .setup = to_be_merged,
	 .run = { move_beside, truncate_all }, .check = gone_from_b);

/* --- replaced --- */

static struct quire_object *second;

/* As shown to the fault: the same rights, another object. */
static void another(void)
{
	cached();
	second = make_object(NULL, QUIRE_CAN_FAULT, 1);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
}

static void map_second(void)
{
	map_object(A, 1, QUIRE_MAP_SHARED, second, 0);
	expect_equal(load(A), 0);
}

static void read_first_or_second(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == 0);
}

SCENARIO(H19_another_object, "another object is mapped over a page that is being read",
	 .setup = another, .run = { map_second, read_first_or_second });
