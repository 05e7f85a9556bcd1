/* SPDX-License-Identifier: MIT */
/*
 * What a sweep takes away: gaps that are still being swept (Q2), frames that somebody still has a
 * translation of (Q7), entries that a fault is replacing (H34).
 */
#include "explore.h"

static void only_a(void)
{
	map(A, 1, READ_WRITE);
	store(A, 7);
}

static void unmap_a(void)
{
	unmap(A, 1);
	expect_equal(load(A), MAPERR);
}

/* --- gaps --- */

static void unmap_a_only(void)
{
	unmap(A, 1);
}

static void unmap_b(void)
{
	unmap(B, 1);
}

static int64_t got; /* what mmap said */

static void take(uint64_t hint, uint64_t pages)
{
	got = quire_mmap(mm, hint, pages * PAGE, READ_WRITE,
			 QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS);
	if (got > 0)
		expect_equal(store((uint64_t)got, 5), DONE);
}

static void keeps_what_it_got(void)
{
	if (got > 0)
		expect_equal(load((uint64_t)got), 5);
}

/* Where the hint says, if that is free and not being swept; else anywhere. */
static void take_the_gap(void)
{
	take(A, 1);
	expect(got > 0);
}

SCENARIO(Q2_gap_by_hint, "mmap takes, by a hint, what munmap still sweeps", .setup = only_a,
	 .run = { unmap_a_only, take_the_gap }, .check = keeps_what_it_got);

/* Two pages are all that is free once both are unmapped. */
static void nearly_full(void)
{
	const uint64_t start = 0x10000, end = (1ull << 47) - PAGE;

	map(start, (A - start) / PAGE, QUIRE_PROT_NONE);
	map(A, 2, READ_WRITE);
	map(C, (end - C) / PAGE, QUIRE_PROT_NONE);
	store(A, 7);
	store(B, 7);
}

static void unmap_a_take_one(void)
{
	unmap_a_only();
	take(0, 1);
	expect(got == (int64_t)A || got == (int64_t)B);
}

SCENARIO(Q2_gap_of_one, "a gap partly in a munmap's range: the other part is taken",
	 .setup = nearly_full, .run = { unmap_b, unmap_a_take_one }, .check = keeps_what_it_got);

static void unmap_b_take_two(void)
{
	unmap_b();
	take(0, 2);
	expect(got == (int64_t)A || got == -QUIRE_ENOMEM);
}

SCENARIO(Q2_gap_of_two, "the only gap is being swept: mmap waits for it", .setup = nearly_full,
	 .run = { unmap_a_only, unmap_b_take_two }, .check = keeps_what_it_got);

/* --- frames --- */

/* CPU 1 writes by a translation from before. */
static void known_to_both(void)
{
	map(A, 1, READ_WRITE);
	store(A, 7);
	as_cpu(1);
	store(A, 7);
}

static uint64_t seen;

static void drop_a(void)
{
	expect(quire_madvise(mm, A, PAGE, QUIRE_MADV_DONTNEED) == 0);
	seen = load(A);
	expect(seen == 0 || seen == 8);
}

static void write_8(void)
{
	expect_equal(store(A, 8), DONE);
}

static void a_dropped_or_8(void)
{
	uint64_t value = load(A);

	expect(value == 8 || (value == 0 && seen == 0));
}

SCENARIO(Q7_stale_translation, "a page is dropped and freed while another CPU writes to it",
	 .setup = known_to_both, .run = { drop_a, write_8 }, .check = a_dropped_or_8);

static void drop_and_look(void)
{
	expect(quire_madvise(mm, A, PAGE, QUIRE_MADV_DONTNEED) == 0);
	expect_equal(load(A), 0);
}

/* In the baselines both at once: who finds nothing left to drop must not return before the flush.
 */
SCENARIO(Q7_dropped_twice, "two calls drop a page that both CPUs know", .setup = known_to_both,
	 .run = { drop_and_look, drop_and_look });

/* --- busy entries --- */

/* A page of two spaces: each write to it makes a copy. */
static void shared_page(void)
{
	struct quire_mm *child;

	known_to_both();
	expect(quire_fork(mm, &child) == 0);
}

static void write_a(void)
{
	expect_equal(store(A, 1), DONE);
}

static void write_a_or_not(void)
{
	uint64_t done = store(A, 1);

	expect(done == DONE || done == MAPERR);
}

static void write_beside(void)
{
	expect_equal(store(A + 8, 2), DONE);
}

static void both_copied(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(A + 8), 2);
}

SCENARIO(H34_two_copies, "two copies-on-write meet at one entry", .setup = shared_page,
	 .run = { write_a, write_beside }, .check = both_copied);

SCENARIO(H34_unmap_meets_busy, "munmap finds an entry that is being replaced", .setup = shared_page,
	 .run = { unmap_a, write_a_or_not });

static void forbid_a(void)
{
	protect(A, 1, QUIRE_PROT_NONE);
	expect_equal(load(A), ACCERR);
}

static void write_a_or_forbidden(void)
{
	uint64_t done = store(A, 1);

	expect(done == DONE || done == ACCERR);
}

SCENARIO(H34_protect_meets_busy, "mprotect finds an entry that is being replaced",
	 .setup = shared_page, .run = { forbid_a, write_a_or_forbidden });

static void zero_page(void)
{
	map(A, 1, READ_WRITE);
	load(A);
}

SCENARIO(H34_unmap_meets_zero, "munmap finds the zero page being replaced", .setup = zero_page,
	 .run = { unmap_a, write_a_or_not });
