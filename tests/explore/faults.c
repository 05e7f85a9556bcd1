/* SPDX-License-Identifier: MIT */
/*
 * The general cases: faults against faults; a fault against each writer, at the same page, in the
 * same leaf and elsewhere in the same VMA; writers against writers; three at a time. What is
 * particular to a hazard is in the other files.
 *
 *     A  B  C .......... | D ..........      one VMA, two leaves
 *     └── same leaf ───┘   └ elsewhere
 */
#include "explore.h"

/* One VMA over A to D. Untouched: no page and no table; touched: pages, and warm TLBs. */
static void untouched(void)
{
	map(A, (D - A) / PAGE + 1, READ_WRITE);
}

static void touched(void)
{
	untouched();
	store(A, 7);
	store(B, 7);
	store(D, 7);
	as_cpu(1);
	store(A, 7);
}

/* As a fork leaves it: a copy elsewhere, every write must copy. */
static void shared(void)
{
	struct quire_mm *child;

	touched();
	expect(quire_fork(mm, &child) == 0);
}

/* --- faults against faults --- */

static void write_1(void)
{
	expect_equal(store(A, 1), DONE);
	expect_equal(load(A), 1);
}

static void write_2(void)
{
	expect_equal(store(A + 8, 2), DONE);
	expect_equal(load(A + 8), 2);
}

static void read_it(void)
{
	uint64_t value = load(A);

	expect(value == 0 || value == 1 || value == 7);
}

static void write_b(void)
{
	expect_equal(store(B, 3), DONE);
}

static void write_d(void)
{
	expect_equal(store(D, 4), DONE);
}

static void both_there(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(A + 8), 2);
}

static void one_there(void)
{
	expect_equal(load(A), 1);
}

static void others_there(void)
{
	one_there();
	expect(load(B) == 3 || load(D) == 4);
}

SCENARIO(faults_write_write, "two first writes to one page", .setup = untouched,
	 .run = { write_1, write_2 }, .check = both_there);
SCENARIO(faults_write_read, "a first write and a first read of one page", .setup = untouched,
	 .run = { write_1, read_it }, .check = one_there);
SCENARIO(faults_copy_copy, "two copies-on-write of one page", .setup = shared,
	 .run = { write_1, write_2 }, .check = both_there);
SCENARIO(faults_copy_read, "a copy-on-write beside a read", .setup = shared,
	 .run = { write_1, read_it }, .check = one_there);
SCENARIO(faults_same_leaf, "first writes to two pages of a leaf", .setup = untouched,
	 .run = { write_1, write_b }, .check = others_there);
SCENARIO(faults_other_leaf, "first writes in two leaves of a VMA", .setup = untouched,
	 .run = { write_1, write_d }, .check = others_there);
SCENARIO(faults_three, "two first writes and a first read of one page", .setup = untouched,
	 .run = { write_1, write_2, read_it }, .check = both_there);

/* --- a fault against each writer --- */

/* Elsewhere: what the writer does to its page is none of the fault's business. */
static void undisturbed(void)
{
	expect_equal(store(A, 1), DONE);
	expect_equal(load(A), 1);
}

/* At the same page: done before, done after, or refused if the writer takes it away. */
static void either_way(void)
{
	uint64_t done = store(A, 1);

	expect(done == DONE || done == MAPERR || done == ACCERR);
	if (done == DONE) {
		uint64_t value = load(A);

		expect(value == 1 || value == 0 || value == MAPERR || value == ACCERR);
	}
}

static void write_stays(void)
{
	expect_equal(load(A), 1);
}

static void unmap_page(uint64_t page)
{
	unmap(page, 1);
	expect_equal(load(page), MAPERR);
}

static void replace_page(uint64_t page)
{
	map(page, 1, READ_WRITE);
}

static void protect_page(uint64_t page)
{
	protect(page, 1, QUIRE_PROT_READ);
	expect_equal(store(page, 9), ACCERR);
}

static void forbid_page(uint64_t page)
{
	protect(page, 1, QUIRE_PROT_NONE);
	expect_equal(load(page), ACCERR);
}

static void drop_page(uint64_t page)
{
	expect(quire_madvise(mm, page, PAGE, QUIRE_MADV_DONTNEED) == 0);
}

static void move_page(uint64_t page)
{
	uint64_t to = A + 4 * LEAF;

	expect(quire_mremap(mm, page, PAGE, PAGE, QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, to) ==
	       (int64_t)to);
	expect_equal(load(page), MAPERR);
}

static void lock_page(uint64_t page)
{
	expect(quire_mlock(mm, page, PAGE) == 0);
}

static void fork_all(uint64_t page)
{
	struct quire_mm *child;

	(void)page;
	expect(quire_fork(mm, &child) == 0);
}

#define AGAINST(writer, what)                                                                      \
	static void writer##_at_a(void)                                                            \
	{                                                                                          \
		writer(A);                                                                         \
	}                                                                                          \
	static void writer##_at_b(void)                                                            \
	{                                                                                          \
		writer(B);                                                                         \
	}                                                                                          \
	static void writer##_at_d(void)                                                            \
	{                                                                                          \
		writer(D);                                                                         \
	}                                                                                          \
	SCENARIO(writer##_first_write, what " against a first write to its page",                  \
		 .setup = untouched, .run = { writer##_at_a, either_way });                        \
	SCENARIO(writer##_warm_write, what " against a write through a warm TLB",                  \
		 .setup = touched, .run = { writer##_at_a, either_way });                          \
	SCENARIO(writer##_copy, what " against a copy-on-write of its page", .setup = shared,      \
		 .run = { writer##_at_a, either_way });                                            \
	SCENARIO(writer##_same_leaf, what " against a first write in the same leaf",               \
		 .setup = untouched, .run = { writer##_at_b, undisturbed }, .check = write_stays); \
	SCENARIO(writer##_same_vma, what " against a copy-on-write elsewhere in the VMA",          \
		 .setup = shared, .run = { writer##_at_d, undisturbed }, .check = write_stays)

AGAINST(unmap_page, "munmap");
AGAINST(replace_page, "mmap over it");
AGAINST(protect_page, "mprotect to read-only");
AGAINST(forbid_page, "mprotect to none");
AGAINST(drop_page, "madvise");
AGAINST(move_page, "mremap");
AGAINST(lock_page, "mlock");
AGAINST(fork_all, "fork");

/* --- writers against writers --- */

static void unmap_a_to_c(void)
{
	unmap(A, 3);
}

static void protect_b(void)
{
	int error = quire_mprotect(mm, B, PAGE, QUIRE_PROT_READ);

	expect(error == 0 || error == -QUIRE_ENOMEM);
}

static void gone_or_read_only(void)
{
	expect_equal(load(A), MAPERR);
	expect_equal(load(B), MAPERR);
	expect_equal(load(C), MAPERR);
	expect_equal(load(D), 7);
}

SCENARIO(writers_overlapping, "munmap of three pages against mprotect of one of them",
	 .setup = touched, .run = { unmap_a_to_c, protect_b }, .check = gone_or_read_only);

static void unmap_a(void)
{
	unmap(A, 1);
}

static void unmap_b(void)
{
	unmap(B, 1);
}

static void both_gone(void)
{
	expect_equal(load(A), MAPERR);
	expect_equal(load(B), MAPERR);
	expect_equal(load(C), 0);
}

SCENARIO(writers_disjoint, "munmap of two neighbours", .setup = touched,
	 .run = { unmap_a, unmap_b }, .check = both_gone);

static void map_a(void)
{
	map(A, 1, READ_WRITE);
	store(A, 1);
}

static void a_gone_or_new(void)
{
	uint64_t value = load(A);

	expect(value == MAPERR || value == 0 || value == 1);
}

SCENARIO(writers_map_unmap, "mmap over a page against its munmap", .setup = touched,
	 .run = { map_a, unmap_a }, .check = a_gone_or_new);
SCENARIO(writers_fork_unmap, "fork against munmap of one page", .setup = touched,
	 .run = { fork_all_at_a, unmap_a });
SCENARIO(writers_fork_fork, "two forks of one space", .setup = touched,
	 .run = { fork_all_at_a, fork_all_at_b });

/* --- three at a time --- */

static void unmap_b_only(void)
{
	unmap_page(B);
}

SCENARIO(three_unmap_fault_fault, "munmap against two first writes beside it", .setup = untouched,
	 .run = { unmap_b_only, write_1, write_2 }, .check = both_there);
SCENARIO(three_fork_write_write, "fork against writes by two CPUs", .setup = touched,
	 .run = { fork_all_at_a, write_1, write_2 }, .check = both_there);
SCENARIO(three_writers, "munmap, mprotect and a write to three pages of a VMA", .setup = touched,
	 .run = { unmap_b, protect_page_at_d, write_1 }, .check = one_there);
