/* SPDX-License-Identifier: MIT */
/*
 * What a CPU knows of its leaf (docs/design.md, 4.11): F has faulted in the leaf and reads no VMA
 * since; W changes what is mapped there.
 *
 *     F   knows: version 1 ....... leaf locked: 1 ─ stores          the sweep finds the entry
 *     W                  publishes ─                    leaf locked ─ version 2 ─ sweeps
 *     F                                                          leaf locked: 2 ─ looks anew
 *
 * When W's call has returned, W looks itself, and so does the validator at the end.
 */
#include "disk.h"

static bool done_or(uint64_t result, uint64_t refused)
{
	return result == DONE || result == refused;
}

/* CPU 1 knows the leaf, by the zero page at C. */
static void known_as(int prot)
{
	map(A, 3, prot);
	as_cpu(1);
	load(C);
}

static void known(void)
{
	known_as(READ_WRITE);
}

/* The same, and the leaf is empty. */
static void known_empty(void)
{
	known();
	expect(quire_madvise(mm, C, PAGE, QUIRE_MADV_DONTNEED) == 0);
}

static void unmap_a(void)
{
	unmap(A, 1);
	expect_equal(load(A), MAPERR);
}

static void write_or_unmapped(void)
{
	expect(done_or(store(A, 1), MAPERR));
}

SCENARIO(known_unmapped, "munmap of a page in a leaf that the fault's CPU knows", .setup = known,
	 .run = { unmap_a, write_or_unmapped });
SCENARIO(known_unmapped_empty, "the same, and the leaf is empty", .setup = known_empty,
	 .run = { unmap_a, write_or_unmapped });

/* Twice: CPU 1 learns before the edit, between the edits, or after them. */
static void unmap_a_and_b(void)
{
	unmap(A, 1);
	unmap(B, 1);
	expect_equal(load(B), MAPERR);
}

static void write_twice(void)
{
	write_or_unmapped();
	expect(done_or(store(B, 1), MAPERR));
}

SCENARIO(known_unmapped_twice, "two pages are unmapped, one after the other", .setup = known,
	 .run = { unmap_a_and_b, write_twice });

static void forbid_writing(void)
{
	protect(A, 1, QUIRE_PROT_READ);
	expect_equal(store(A, 9), ACCERR);
}

static void write_or_refused(void)
{
	expect(done_or(store(A, 1), ACCERR));
}

SCENARIO(known_narrowed, "mprotect to fewer rights in a leaf that the fault's CPU knows",
	 .setup = known, .run = { forbid_writing, write_or_refused });

/* Another leaf of the same VMA, which is not there yet: what is known of the first says nothing. */
static void known_first_of_two(void)
{
	map(A, (D - A) / PAGE + 1, READ_WRITE);
	as_cpu(1);
	load(C);
}

static void unmap_d(void)
{
	unmap(D, 1);
	expect_equal(load(D), MAPERR);
}

static void write_d_or_unmapped(void)
{
	expect(done_or(store(D, 1), MAPERR));
}

SCENARIO(known_other_leaf, "munmap of a page in another leaf than the fault's CPU knows",
	 .setup = known_first_of_two, .run = { unmap_d, write_d_or_unmapped });

/* --- rights that are given: no sweep --- */

static void known_read_only(void)
{
	known_as(QUIRE_PROT_READ);
}

static void widened(void)
{
	known_read_only();
	as_cpu(0);
	protect(A, 3, READ_WRITE);
}

static void write_a(void)
{
	expect_equal(store(A, 1), DONE);
}

static void forbid_b(void)
{
	protect(B, 1, QUIRE_PROT_NONE);
}

SCENARIO(known_widened, "the right to write was given after the fault's CPU had learnt of the leaf",
	 .setup = widened, .run = { forbid_b, write_a });

static void give_and_take(void)
{
	protect(A, 3, READ_WRITE);
	forbid_writing();
}

static void read_then_write(void)
{
	expect_equal(load(A), 0);
	write_or_refused();
}

SCENARIO(known_widened_and_narrowed, "the right to write is given, and taken again",
	 .setup = known_read_only, .run = { give_and_take, read_then_write });

/* --- something else is mapped there --- */

static void map_over_read_only(void)
{
	map(A, 1, QUIRE_PROT_READ);
	expect_equal(load(A), 0);
}

SCENARIO(known_mapped_over, "MAP_FIXED over a page in a leaf that the fault's CPU knows",
	 .setup = known, .run = { map_over_read_only, write_or_refused });

static void move(uint64_t from, uint64_t to)
{
	expect_equal(
		quire_mremap(mm, from, PAGE, PAGE, QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, to),
		to);
}

static uint64_t written, seen;

static void move_away(void)
{
	move(A, D);
	seen = load(D);
	expect_equal(load(A), MAPERR);
}

static void write_source(void)
{
	written = store(A, 8);
	expect(done_or(written, MAPERR));
}

static void moved_or_never_written(void)
{
	expect_equal(seen, written == DONE ? 8 : 0);
}

SCENARIO(known_source, "mremap away from a leaf that the fault's CPU knows", .setup = known,
	 .run = { move_away, write_source }, .check = moved_or_never_written);

/* What moves in is at D: so the target's leaf, that of A, is the lower. */
static void known_and_other(void)
{
	known();
	as_cpu(0);
	map(D, 1, READ_WRITE);
	store(D, 7);
}

static void move_in(void)
{
	move(D, A);
	seen = load(A);
	expect(seen == 7 || seen == 8);
}

static void write_target(void)
{
	expect_equal(store(A, 8), DONE);
}

SCENARIO(known_target, "mremap into a leaf that the fault's CPU knows", .setup = known_and_other,
	 .run = { move_in, write_target });

/* --- the leaf goes, and another comes --- */

static void unmap_and_map(void)
{
	unmap(A, 3);
	map(A, 3, READ_WRITE);
	expect_equal(store(A, 7), DONE);
}

static void write_beside(void)
{
	expect(done_or(store(A + 8, 8), MAPERR));
}

static void a_is_there(void)
{
	expect_equal(load(A), 7);
}

SCENARIO(known_leaf_anew, "the leaf is unhooked and another one hooked for the same addresses",
	 .setup = known_empty, .run = { unmap_and_map, write_beside }, .check = a_is_there);

/* A fault beyond the end of an object hooks the leaf, comes to nothing, and unhooks it. */
static void beyond_the_end(void)
{
	struct quire_object *object = make_file(&disk_ops, ALL_CAPS, 1);

	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
	map(C, 1, READ_WRITE);
	expect(quire_object_truncate(object, 0) == 0);
}

static void touch_beyond(void)
{
	expect_equal(load(B), BUS);
}

static void write_drop_write(void)
{
	expect_equal(store(C, 1), DONE);
	expect(quire_madvise(mm, C, PAGE, QUIRE_MADV_DONTNEED) == 0);
	expect_equal(store(C, 2), DONE);
	expect_equal(load(C), 2);
}

static void c_is_there(void)
{
	expect_equal(load(C), 2);
}

SCENARIO(known_leaf_unhooked,
	 "the leaf is unhooked, though mapped, by the fault that had hooked it",
	 .setup = beyond_the_end, .run = { touch_beyond, write_drop_write }, .check = c_is_there);

/* --- the copy's bounds --- */

static void two_mappings(void)
{
	map(A, 1, READ_WRITE);
	map(B, 1, QUIRE_PROT_READ);
	as_cpu(1);
	load(A);
}

static void write_both(void)
{
	expect_equal(store(B, 1), ACCERR);
	expect_equal(store(A, 1), DONE);
}

static void read_b(void)
{
	expect_equal(load(B), 0);
}

SCENARIO(known_bounds, "two mappings in a leaf, of which the fault's CPU knows one",
	 .setup = two_mappings, .run = { read_b, write_both });

/* CPU 1 knows the leaf by A's mapping, and then another mapping in it. */
static void known_then_other(void)
{
	map(A, 2, READ_WRITE);
	map(C, 1, QUIRE_PROT_READ);
	as_cpu(1);
	load(B);
	load(C);
}

SCENARIO(known_then_other_vma, "munmap in a leaf of which the fault's CPU has known two mappings",
	 .setup = known_then_other, .run = { unmap_a, write_or_unmapped });

/* --- what the copy leads to --- */

static void known_object(void)
{
	struct quire_object *object = make_file(&disk_ops, ALL_CAPS, 2);

	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
	map(C, 1, READ_WRITE);
	as_cpu(1);
	load(B);
}

static void unmap_object_and_wait(void)
{
	unmap(A, 2);
	expect(quire_barrier(0) == 0);
}

static void read_or_unmapped(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == MAPERR);
}

SCENARIO(known_object_unmapped, "the record that the copy shows is dropped and freed",
	 .setup = known_object, .run = { unmap_object_and_wait, read_or_unmapped });
