/* SPDX-License-Identifier: MIT */
/*
 * Objects that several spaces map, spaces and mappings that go beside faults and sweeps, the last
 * of them (H55), and neighbours that a fault enters (H50).
 *
 *     S   finds the record: counts itself in the space ─ sweeps it ─ leaves
 *     0              drops the record ............................. ─ waits until S has left
 *
 * S is the CPU that sweeps, by truncation or a sync.
 */
#include "disk.h"
#include "sync/atomic.h"

static struct quire_object *object;

/* The object's pages are in its cache; and the leaf of A to C is there. */
static void have_file(const struct quire_object_ops *ops, unsigned caps)
{
	object = make_cached(ops, caps, 2);
	make_leaf(C);
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
	make_leaf(C);
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
	make_leaf(C);
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
