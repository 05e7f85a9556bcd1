/* SPDX-License-Identifier: MIT */
/*
 * The n-th page that is asked for in a run is not to be had (H59): a fault waits for memory holding
 * nothing, a fork that fails half-way leaves nothing behind. Small objects are always to be had
 * here. (nomem, among the tests, lets each allocation of each call fail, on one CPU.)
 */
#include "explore.h"
#include "frame/frame.h"

static struct quire_mm *child;

static void untouched(void)
{
	map(A, 2, READ_WRITE);
}

/* Two leaves, and both CPUs can write to the first page. */
static void touched(void)
{
	untouched();
	map(D, 1, READ_WRITE);
	store(D, 7);
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		store(A, 7);
		store(A + HALF, 7);
	}
	as_cpu(0);
}

static void shared(void)
{
	touched();
	expect(quire_fork(mm, &child) == 0);
}

#define FAILING(n, name, about, prepare, ...)                                                      \
	static void name##_setup_##n(void)                                                         \
	{                                                                                          \
		prepare();                                                                         \
		inject_set(n);                                                                     \
	}                                                                                          \
	SCENARIO(name##_##n, about ", page " #n " fails", .setup = name##_setup_##n, __VA_ARGS__)

/* --- two writes to one page, one of them without memory at first --- */

static void write_8(void)
{
	expect_equal(store(A, 8), DONE);
}

static void write_half(void)
{
	expect_equal(store(A + HALF, 9), DONE);
}

static void both_written(void)
{
	expect_equal(load(A), 8);
	expect_equal(load(A + HALF), 9);
}

#define FAILING_WRITES(n, name, prepare)                                                           \
	FAILING(n, name, "two writes", prepare, .run = { write_8, write_half },                    \
		.check = both_written)
FAILING_WRITES(1, H59_first_write, untouched);
FAILING_WRITES(4, H59_first_write, untouched); /* the page; the others are tables */
FAILING_WRITES(1, H59_copy, shared);

/* --- fork --- */

/*
 * It write-protects the first leaf, and has no page for the child's second. If it left it at that,
 * mprotect would find nothing to take away, and nothing to flush.
 */
static void try_fork_then_protect(void)
{
	int error = quire_fork(mm, &child);
	uint64_t value;

	expect(error == 0 || error == -QUIRE_ENOMEM);
	protect(A, 1, QUIRE_PROT_READ);
	value = load(A);
	expect_equal(load(A), value);
}

static void write_or_refused(void)
{
	uint64_t done = store(A, 8);

	expect(done == DONE || done == ACCERR);
}

#define FAILING_FORK(n)                                                                            \
	FAILING(n, H59_fork, "fork, then mprotect, against a write", touched,                      \
		.run = { try_fork_then_protect, write_or_refused })
FAILING_FORK(1);
FAILING_FORK(2);
FAILING_FORK(3);
FAILING_FORK(4);
FAILING_FORK(5);
FAILING_FORK(6);
