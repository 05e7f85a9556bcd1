/* SPDX-License-Identifier: MIT */
/*
 * Where an object is mapped, beside sweeps of its mappings: spaces that come and go, mappings that
 * are copied, moved, merged and cut, the last of them (H55), and neighbours that a fault enters
 * (H50).
 *
 *     sweep            record of the source ──► record made later
 *     fork, mremap          entry: source ──────────► target
 *
 * S is the CPU that sweeps, by truncation or a sync. When both are through no entry may be left of
 * what S has taken away.
 */
#include "disk.h"
#include "sync/atomic.h"

static struct quire_object *object;
static struct quire_mm *child;

/* The object's pages are in its cache; and the leaf of A to C is there. */
static void have_file(const struct quire_object_ops *ops, unsigned caps)
{
	uint64_t word;

	object = make_file(ops, caps, 2);
	expect_equal(quire_object_read(object, 0, &word, 8), 8);
	map(C, 1, READ_WRITE);
	store(C, 7);
}

static void cached(void)
{
	have_file(&disk_ops, QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE);
}

static void truncate_all(void)
{
	expect(quire_object_truncate(object, 0) == 0);
}

static void truncate_and_look(void)
{
	truncate_all();
	expect_equal(load(A), BUS);
}

/* --- two spaces --- */

static struct quire_mm *other;

static void map_in_other(int type)
{
	expect(quire_mm_create(NULL, &other) == 0);
	run_space(other);
	map(C, 1, READ_WRITE);
	store(C, 7);
	map_object(A, 1, type, object, 0);
}

/* CPU 1 runs another space, and both show the object. */
static void two_spaces(void)
{
	cached();
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	as_cpu(1);
	map_in_other(QUIRE_MAP_SHARED);
}

static void write_or_bus(void)
{
	uint64_t done = store(A, 5);

	expect(done == DONE || done == BUS);
}

static void gone_from_both(void)
{
	expect_equal(load(A), BUS);
	expect_equal(peek(other, A), BUS);
}

SCENARIO(Q10_two_spaces, "truncation in one space against a write in another", .setup = two_spaces,
	 .run = { truncate_and_look, write_or_bus }, .check = gone_from_both);

static void write_first(void)
{
	expect_equal(store(A, 5), DONE);
}

static void write_second(void)
{
	expect_equal(store(A + HALF, 6), DONE);
	expect_equal(load(A + HALF), 6);
}

static void both_in_both(void)
{
	expect_equal(load(A), 5);
	expect_equal(load(A + HALF), 6);
	expect_equal(peek(other, A), 5);
	expect_equal(peek(other, A + HALF), 6);
}

SCENARIO(two_spaces_write, "two spaces write to a page for the first time", .setup = two_spaces,
	 .run = { write_first, write_second }, .check = both_in_both);

static void private_in_other(void)
{
	cached();
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	as_cpu(1);
	map_in_other(QUIRE_MAP_PRIVATE);
}

/* The copy has each word from before the write or from after it. */
static void write_privately(void)
{
	uint64_t value;

	expect_equal(store(A + HALF, 6), DONE);
	value = load(A);
	expect(value == disk_value(0) || value == 5);
	expect_equal(load(A), value);
}

static void copied_once(void)
{
	uint64_t value = peek(other, A);

	expect_equal(load(A), 5);
	expect_equal(load(A + HALF), disk_value(0));
	expect_equal(peek(other, A + HALF), 6);
	expect(value == disk_value(0) || value == 5);
}

SCENARIO(private_beside_shared, "a private copy beside a shared write", .setup = private_in_other,
	 .run = { write_first, write_privately }, .check = copied_once);

/* --- a space that goes --- */

static void space_goes(void)
{
	cached();
	map_in_other(QUIRE_MAP_SHARED);
	store(A, 5);
	run_space(mm);
}

static void destroy_other(void)
{
	quire_mm_destroy(other);
	expect(quire_barrier(0) == 0);
}

/* S is in the space, or does not find it. */
SCENARIO(H55_space_gone, "a space goes beside the truncation of what it maps", .setup = space_goes,
	 .run = { destroy_other, truncate_all });

static void sync_all(void)
{
	expect(quire_object_sync(object, 0, 2 * PAGE) == 0);
}

static void saved(void)
{
	sync_all();
	expect_equal(disk[0][0], 5);
}

SCENARIO(H55_space_synced, "a space goes beside a sync of what it has written to",
	 .setup = space_goes, .run = { destroy_other, sync_all }, .check = saved);

/* Of two pages one is dirty and the other clean. */
static void space_with_two(void)
{
	cached();
	map_in_other(QUIRE_MAP_SHARED);
	unmap(A, 1);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
	store(A, 5);
	run_space(mm);
}

static void destroy_only(void)
{
	quire_mm_destroy(other);
}

static void invalidate_second(void)
{
	expect(quire_object_invalidate(object, PAGE, PAGE) == 0);
}

/*
 *     S   in the space ─ leaves it .......................... on to the next record
 *     2                                finds S's record: no sweep may begin in it
 *     0       drops the record ─ waits ─ the space is gone
 */
SCENARIO(H55_space_two_sweeps, "a space goes beside two sweeps of an object that it maps",
	 .setup = space_with_two, .run = { destroy_only, sync_all, invalidate_second });

/* --- the last mapping, the last reference --- */

static unsigned released;

static void release(struct quire_object *which)
{
	(void)which;
	released++;
}

static const struct quire_object_ops mortal_ops = {
	.fault = disk_read,
	.writepages = disk_write,
	.release = release,
};

/* The mapping has the only reference but for CPU 1's. */
static void one_mapping(void)
{
	released = 0;
	have_file(&mortal_ops, QUIRE_CAN_FAULT);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
}

static void no_other(void)
{
	one_mapping();
	quire_object_put(object);
}

/* The same, and nothing is in the cache. */
static void no_other_not_there(void)
{
	one_mapping();
	expect(quire_object_invalidate(object, 0, PAGE) == 0);
	quire_object_put(object);
}

static void unmap_and_wait(void)
{
	unmap(A, 1);
	expect(quire_barrier(0) == 0);
}

static void read_or_unmapped(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == MAPERR);
}

static void once(void)
{
	expect_equal(load(A), MAPERR);
	expect_equal(released, 1);
}

SCENARIO(H55_object_gone, "the last munmap against a read", .setup = no_other,
	 .run = { unmap_and_wait, read_or_unmapped }, .check = once);
SCENARIO(H55_object_gone_fetch, "the last munmap against a read that has the page fetched",
	 .setup = no_other_not_there, .run = { unmap_and_wait, read_or_unmapped }, .check = once);

static void truncate_and_put(void)
{
	truncate_all();
	quire_object_put(object);
}

SCENARIO(H55_record_gone, "the last munmap against truncation and the last put",
	 .setup = one_mapping, .run = { unmap_and_wait, truncate_and_put }, .check = once);

/* Shared memory: a fault that finds the object may put a page into it when it is gone. */
static void shared_memory(void)
{
	object = make_object(NULL, QUIRE_CAN_FAULT, 2);
	map(C, 1, READ_WRITE);
	store(C, 7);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	quire_object_put(object);
}

static void write_or_unmapped(void)
{
	uint64_t done = store(A, 5);

	expect(done == DONE || done == MAPERR);
}

SCENARIO(H55_memory_gone, "the last munmap of shared memory against its first touch",
	 .setup = shared_memory, .run = { unmap_and_wait, write_or_unmapped });

/* --- a mapping that is unmapped is found as long as there are translations --- */

static void written(void)
{
	cached();
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	as_cpu(1);
	store(A, disk_value(0));
	as_cpu(0);
}

static void unmap_a(void)
{
	unmap(A, 1);
}

static uint64_t stored;

static void sync_then_write(void)
{
	sync_all();
	stored = store(A, 5);
	expect(stored == DONE || stored == MAPERR);
}

static void saved_if_stored(void)
{
	sync_all();
	expect_equal(disk[0][0], stored == DONE ? 5 : disk_value(0));
}

SCENARIO(Q7_H55_swept_before_forgotten, "a sync beside the munmap of what can be written to",
	 .setup = written, .run = { unmap_a, sync_then_write }, .check = saved_if_stored);

/* --- H50: neighbours --- */

static void two_pages(void)
{
	have_file(&disk_ops, ALL_CAPS);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
}

static void read_a(void)
{
	expect_equal(load(A), disk_value(0));
}

static void unmap_b(void)
{
	unmap(B, 1);
	expect_equal(load(B), MAPERR);
}

static void map_over_b(void)
{
	map(B, 1, READ_WRITE);
	expect_equal(load(B), 0);
}

static void cut_b(void)
{
	expect(quire_object_truncate(object, PAGE) == 0);
	expect_equal(load(B), BUS);
}

SCENARIO(H50_neighbour_unmapped, "a fault enters a neighbour that is being unmapped",
	 .setup = two_pages, .run = { unmap_b, read_a });
SCENARIO(H50_neighbour_mapped_over, "a fault enters a neighbour that is being mapped over",
	 .setup = two_pages, .run = { map_over_b, read_a });
SCENARIO(H50_neighbour_truncated, "a fault enters a neighbour that is being cut off",
	 .setup = two_pages, .run = { cut_b, read_a });

/* A mapping of one page, beside which something else is mapped, or was stored. */
static void one_of_two(void)
{
	have_file(&disk_ops, ALL_CAPS);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	map(B, 1, READ_WRITE);
}

static void read_both(void)
{
	read_a();
	expect_equal(load(B), 0);
}

static void write_b(void)
{
	expect_equal(store(B, 5), DONE);
}

static void b_is_5(void)
{
	expect_equal(load(B), 5);
}

SCENARIO(H50_neighbour_outside, "a fault beside another mapping", .setup = one_of_two,
	 .run = { read_both, read_a });

static void private_pages(void)
{
	have_file(&disk_ops, ALL_CAPS);
	map_object(A, 2, QUIRE_MAP_PRIVATE, object, 0);
}

SCENARIO(H50_neighbour_there, "a fault beside the private copy of a neighbour",
	 .setup = private_pages, .run = { read_a, write_b }, .check = b_is_5);

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
	map(D + PAGE, 1, READ_WRITE);
	store(D + PAGE, 7);
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
