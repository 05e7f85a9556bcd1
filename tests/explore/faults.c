/* SPDX-License-Identifier: MIT */
/* Faults against faults and against each writer. */
#include "explore.h"

static void two_pages(void)
{
	map(A, 2, READ_WRITE);
}

static void write_1(void)
{
	expect_equal(store(A, 1), DONE);
}

static void write_2(void)
{
	expect_equal(store(A + 8, 2), DONE);
}

static void check_both(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(A + 8), 2);
}

SCENARIO(faults_same_page, "two first writes to one page", .setup = two_pages,
	 .run = { write_1, write_2 }, .check = check_both);

static void touched(void)
{
	map(A, 2, READ_WRITE);
	store(A, 7);
	as_cpu(1);
	store(A, 7);
}

static void unmap_it(void)
{
	unmap(A, 1);
	expect_equal(load(A), MAPERR);
}

static void write_either(void)
{
	uint64_t done = store(A, 1);

	expect(done == DONE || done == MAPERR);
}

SCENARIO(unmap_same_page, "munmap against a write to its page", .setup = touched,
	 .run = { unmap_it, write_either });

static struct quire_mm *child;

static void fork_it(void)
{
	expect(quire_fork(mm, &child) == 0);
}

static void check_child(void)
{
	uint64_t value = peek(child, A);

	expect(value == 7 || value == 8);
}

static void write_twice(void)
{
	expect_equal(store(A, 8), DONE);
	expect_equal(load(A), 8);
}

SCENARIO(H40_fork_cow, "fork against writes by two CPUs through stale translations", .setup = touched,
	 .run = { fork_it, write_twice, write_2 }, .check = check_child);

static void write_either_new(void)
{
	uint64_t done = store(A, 1);

	expect(done == DONE || done == MAPERR);
}

SCENARIO(unmap_untouched_page, "munmap against a first write to its page", .setup = two_pages,
	 .run = { unmap_it, write_either_new });
