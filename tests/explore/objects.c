/* SPDX-License-Identifier: MIT */
/*
 * Pages of objects that are taken away beside faults: truncation (Q10), holes, invalidation,
 * reclaim (Q11). T is the CPU that takes, F the one that faults.
 *
 *     F   finds the page ─ pins it ─ locks the leaf: still the cache's? ─ stores
 *     T        takes it out of the cache ─ sweeps the mappings: locks the leaf ─ flushes ─ gives up
 *
 * When T's call has returned T looks itself: the page must be gone from every mapping.
 */
#include "disk.h"
#include "sync/atomic.h"

static struct quire_object *object;

static bool done_or(uint64_t result, uint64_t refused)
{
	return result == DONE || result == refused;
}

/* The pages of the object in its cache, by no mapping; and the leaf of A to C is there. */
static void have_pages(int type)
{
	uint64_t word;

	make_leaf(C);
	map_object(A, 2, type, object, 0);
	expect_equal(quire_object_read(object, 0, &word, 8), 8);
}

static void shared_with(unsigned caps)
{
	object = make_file(&disk_ops, caps, 2);
	have_pages(QUIRE_MAP_SHARED);
}

static void shared(void)
{
	shared_with(QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE);
}

static void private(void)
{
	object = make_file(&disk_ops, QUIRE_CAN_FAULT, 2);
	have_pages(QUIRE_MAP_PRIVATE);
}

/* Entered, and both CPUs have translations. */
static void shown(void)
{
	shared();
	load(A);
	as_cpu(1);
	load(A);
}

static void shown_dirty(void)
{
	shown();
	store(A, disk_value(0));
	as_cpu(0);
	store(A, disk_value(0));
}

static void private_shown(void)
{
	private();
	load(A);
	as_cpu(1);
	load(A);
}

/* A private copy, which both CPUs can write to. */
static void private_copied(void)
{
	private();
	store(A, disk_value(0));
	as_cpu(1);
	store(A, disk_value(0));
}

/* --- Q10: truncation --- */

static void cut(void)
{
	expect(quire_object_truncate(object, 0) == 0);
	expect_equal(load(A), BUS);
}

static void read_or_bus(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == BUS);
}

static void write_or_bus(void)
{
	expect(done_or(store(A, 5), BUS));
}

static void nothing_is_left(void)
{
	struct quire_object_stats stats;

	quire_object_stats(object, &stats);
	expect_equal(stats.cached, 0);
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		expect_equal(load(A), BUS);
	}
}

#define CUT(name, about, prepare, program)                                                         \
	SCENARIO(Q10_##name, about " against truncation", .setup = prepare,                        \
		 .run = { cut, program }, .check = nothing_is_left)

static _Atomic bool told;

/* When the object is told, no mapping shows the page any more. */
static void tell(struct quire_object *which, uint64_t index, uint64_t count)
{
	(void)which, (void)index, (void)count;
	at_store_release(&told, true); /* pairs with read_when_told */
}

static const struct quire_object_ops told_ops = {
	.fault = disk_read,
	.writepages = disk_write,
	.invalidate = tell,
};

static void shown_until_told(void)
{
	at_store(&told, false);
	object = make_file(&told_ops, QUIRE_CAN_FAULT, 2);
	have_pages(QUIRE_MAP_SHARED);
	as_cpu(1);
	load(A);
}

static void read_when_told(void)
{
	bool gone = at_load_acquire(&told); /* pairs with tell */
	uint64_t value = load(A);

	expect(value == BUS || (value == disk_value(0) && !gone));
}

CUT(told, "a read when the object knows that its page has gone", shown_until_told, read_when_told);
CUT(read, "a read", shared, read_or_bus);
CUT(write, "a shared write", shared, write_or_bus);
CUT(private_write, "a private write", private, write_or_bus);
CUT(known, "a read by a translation", shown, read_or_bus);
CUT(shared_again, "a write to a page that is shown read-only", shown, write_or_bus);
CUT(known_dirty, "a write by a translation", shown_dirty, write_or_bus);
CUT(private_again, "a write to a page that is shown privately", private_shown, write_or_bus);
CUT(private_copy, "a write to a private copy", private_copied, write_or_bus);

/* --- a hole: the page is gone, the index is not --- */

static void make_hole(void)
{
	expect(quire_object_remove(object, 0, PAGE) == 0);
	expect_equal(load(A), 0);
}

static void read_or_zero(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == 0);
}

SCENARIO(Q10_hole, "a read against the removal of the page", .setup = shared,
	 .run = { make_hole, read_or_zero });

static void make_hole_only(void)
{
	expect(quire_object_remove(object, 0, PAGE) == 0);
}

/* A write after the hole is there; one before it is not, nor is it saved any more. */
static void write_5(void)
{
	expect_equal(store(A, 5), DONE);
}

static void five_or_zero(void)
{
	uint64_t value = load(A);

	expect(value == 0 || value == 5);
	expect_equal(load(A + HALF), 0);
	expect(quire_object_sync(object, 0, PAGE) == 0);
	expect_equal(disk[0][0], value);
	expect_equal(disk[0][1], 0);
}

SCENARIO(Q10_hole_write, "a write against the removal of the page", .setup = shown_dirty,
	 .run = { make_hole_only, write_5 }, .check = five_or_zero);

/* --- the rest of the last page --- */

static void cut_half(void)
{
	expect(quire_object_truncate(object, HALF) == 0);
}

static void read_half(void)
{
	uint64_t value = load(A + HALF);

	expect(value == disk_value(0) || value == 0);
}

static void rest_is_zero(void)
{
	expect_equal(load(A), disk_value(0));
	expect_equal(load(A + HALF), 0);
	expect_equal(load(B), BUS);
}

/* Nothing is in the cache. The disk keeps what is cut off. */
static void not_there(void)
{
	object = make_file(&disk_ops, QUIRE_CAN_FAULT, 2);
	make_leaf(C);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
}

/*
 *     F   has the page READING: fills it ─ looks at the size ─ zeroes the rest ─ READY
 *     T      sets the size ─ looks at the last page: READING? ................. ─ zeroes the rest
 */
SCENARIO(Q10_half_a_page, "truncation in the middle of a page that is being read",
	 .setup = not_there, .run = { cut_half, read_half }, .check = rest_is_zero);

/* The same, by a write through the cache, which makes the object larger again if it must. */
static void write_half(void)
{
	const uint64_t nine = 9;

	expect_equal(quire_object_write(object, HALF, &nine, 8), 8);
}

static void size_tells(void)
{
	expect_equal(load(A + HALF), quire_object_size(object) > HALF ? 9 : 0);
}

SCENARIO(Q10_half_written, "truncation in the middle of a page that is being written to",
	 .setup = shared, .run = { cut_half, write_half }, .check = size_tells);

/* --- invalidation --- */

/* What is on the disk changes behind the cache. */
static void change_and_invalidate(void)
{
	disk[0][0] = 1;
	expect(quire_object_invalidate(object, 0, PAGE) == 0);
	expect_equal(load(A), 1);
}

static void read_old_or_new(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == 1);
}

SCENARIO(invalidate_read, "a read against invalidation", .setup = shared,
	 .run = { change_and_invalidate, read_old_or_new });
SCENARIO(invalidate_known, "a read by a translation against invalidation", .setup = shown,
	 .run = { change_and_invalidate, read_old_or_new });

static void invalidate(void)
{
	int error = quire_object_invalidate(object, 0, PAGE);

	expect(error == 0 || error == -QUIRE_EBUSY);
}

static void five_everywhere(void)
{
	expect_equal(load(A), 5);
	expect_equal(load(A + HALF), disk_value(0));
	expect(quire_object_sync(object, 0, PAGE) == 0);
	expect_equal(disk[0][0], 5);
}

SCENARIO(invalidate_write, "a write to a clean page against invalidation", .setup = shown,
	 .run = { invalidate, write_5 }, .check = five_everywhere);

/* CPU 1 has a translation of the page at D; at A it will be entered anew. */
static void shown_elsewhere(void)
{
	shared();
	map_object(D, 1, QUIRE_MAP_SHARED, object, 0);
	as_cpu(1);
	load(D);
}

static void write_here_read_there(void)
{
	expect_equal(store(A, 5), DONE);
	expect_equal(load(D), 5);
}

/* The old page is in no mapping any more when a new one comes to its place. */
SCENARIO(invalidate_two_places, "invalidation against a write here and a read there",
	 .setup = shown_elsewhere, .run = { invalidate, write_here_read_there },
	 .check = five_everywhere);

/* Both want the page to leave. */
static void invalidated_or_cut(void)
{
	expect(quire_object_invalidate(object, 0, PAGE) == 0);
}

SCENARIO(Q10_leaving, "truncation against invalidation", .setup = shown,
	 .run = { cut, invalidated_or_cut }, .check = nothing_is_left);

static void copy_stays(void)
{
	expect_equal(load(A), 5);
	expect_equal(load(A + HALF), disk_value(0));
}

SCENARIO(invalidate_private, "a private write against invalidation", .setup = private_shown,
	 .run = { invalidate, write_5 }, .check = copy_stays);

/* --- Q11: reclaim --- */

static void reclaim(void)
{
	quire_reclaim(1);
}

static void read_it(void)
{
	expect_equal(load(A), disk_value(0));
}

/* The other page has gone, and this one counts as used no longer. */
static void aged(void)
{
	shared();
	expect_equal(quire_reclaim(1), 1);
}

SCENARIO(Q11_read, "reclaim of a page against a read", .setup = aged, .run = { reclaim, read_it });
SCENARIO(Q11_write, "reclaim of a page against a write", .setup = aged, .run = { reclaim, write_5 },
	 .check = five_everywhere);
SCENARIO(Q11_known, "reclaim of a page that is shown, against a write", .setup = shown,
	 .run = { reclaim, write_5 }, .check = five_everywhere);

/* --- H53: what an object does not allow is not done speculatively --- */

static void refusing(void)
{
	shared_with(0);
}

static void unmap_a(void)
{
	unmap(A, 1);
}

static void write_or_unmapped(void)
{
	expect(done_or(store(A, 5), MAPERR));
}

static void never_speculative(void)
{
	struct quire_stats stats;

	quire_stats(mm, &stats);
	expect_equal(stats.faults[QUIRE_PATH_SPECULATIVE][QUIRE_KIND_OBJECT_WRITE], 0);
}

SCENARIO(H53_object_refuses, "an object without capabilities: a write against munmap",
	 .setup = refusing, .run = { unmap_a, write_or_unmapped }, .check = never_speculative);

/* --- H57: devices --- */

static void device(void)
{
	make_leaf(C);
	expect(quire_device_create(DEVICE, 2 * PAGE, NULL, &object) == 0);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
	as_cpu(1);
	store(B, 3);
}

static uint64_t registers(unsigned page)
{
	return *(const volatile uint64_t *)quire_soft_physical(DEVICE + page * PAGE);
}

static void unmap_and_look(void)
{
	uint64_t value;

	unmap(A, 2);
	value = registers(0);
	expect(value == 0 || value == 5);
	expect_equal(load(A), MAPERR);
	expect_equal(registers(0), value);
}

SCENARIO(H57_device_unmapped, "a device's page is unmapped beside its first write", .setup = device,
	 .run = { unmap_and_look, write_or_unmapped });

static void map_over(void)
{
	map(A, 2, READ_WRITE);
	expect(load(A) == 0 || load(A) == 5);
	expect_equal(load(B), 0);
}

static void device_or_memory(void)
{
	expect_equal(load(A) + registers(0), 5);
	expect_equal(registers(1), 3);
}

SCENARIO(H57_device_mapped_over, "memory is mapped over a device beside a write to it",
	 .setup = device, .run = { map_over, write_5 }, .check = device_or_memory);
