/* SPDX-License-Identifier: MIT */
/*
 * What a fault says and what it counts: an access that is allowed is never refused, whatever call
 * is at work on the page (H58), and each fault counts once (H60).
 */
#include "explore.h"

/* By CPUs 0 and 1: they have translations to write with. */
static void touched(void)
{
	map(A, 2, READ_WRITE);
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		store(A, 7);
		store(A + HALF, 7);
	}
}

static void shared(void)
{
	struct quire_mm *child;

	touched();
	expect(quire_fork(mm, &child) == 0);
}

static void write_8(void)
{
	expect_equal(store(A, 8), DONE);
}

static void write_half(void)
{
	expect_equal(store(A + HALF, 9), DONE);
}

/* --- an access that is allowed --- */

/*
 * Who has seen that somebody may write, may.
 *
 *     CPU 0   mprotect: publishes ............................... retires the old VMA
 *     CPU 1                        may write: writes 8
 *     CPU 2                                           reads 8; writes next to it: the old VMA
 */
static void read_only(void)
{
	touched();
	protect(A, 2, QUIRE_PROT_READ);
	expect(quire_barrier(0) == 0); /* nothing is deferred that would make CPU 2 forget */
	as_cpu(2);
	expect(quire_fault(mm, A, QUIRE_READ) == QUIRE_FAULT_DONE);
	load(A);
}

static void write_or_refused(void)
{
	uint64_t done = store(A, 8);

	expect(done == DONE || done == ACCERR);
}

static void allow_write(void)
{
	protect(A, 2, READ_WRITE);
}

static void write_if_written(void)
{
	if (load(A) == 8)
		expect_equal(store(B, 9), DONE);
}

SCENARIO(H58_allowed_is_allowed, "a write that is seen, and another one, where mprotect allows it",
	 .setup = read_only, .run = { allow_write, write_or_refused, write_if_written });

/* Accessible before and after: accessible all the time. */
static void map_over(void)
{
	map(A, 1, READ_WRITE);
	expect_equal(load(A + HALF), 0);
}

static void move_over(void)
{
	expect(quire_mremap(mm, B, PAGE, PAGE, QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, A) ==
	       (int64_t)A);
}

static void accessible(void)
{
	write_8();
	quire_soft_safepoint(quire_soft_self()); /* the next one may miss */
	expect(load(A) <= 8);
	write_8();
}

SCENARIO(H58_map_over, "MAP_FIXED over the page, against accesses", .setup = touched,
	 .run = { map_over, accessible });
SCENARIO(H58_move_over, "mremap over the page, against accesses", .setup = touched,
	 .run = { move_over, accessible });

/* --- counting --- */

static void both_written(void)
{
	expect_equal(load(A), 8);
	expect_equal(load(A + HALF), 9);
}

static void counted_once(void)
{
	uint64_t taken = 0, counted = 0;
	struct quire_stats stats;

	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		taken += quire_soft_self()->faults;
	}
	quire_stats(mm, &stats);
	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
			counted += stats.faults[path][kind];
	expect_equal(counted, taken);
	expect_equal(stats.faults[QUIRE_PATH_SPECULATIVE][QUIRE_KIND_COW_COPY] +
			     stats.faults[QUIRE_PATH_CLASSIC][QUIRE_KIND_COW_COPY],
		     1);
	both_written();
}

SCENARIO(H60_counted_once, "two copies-on-write: each fault counts once, and one copies",
	 .setup = shared, .run = { write_8, write_half }, .check = counted_once,
	 .speculative_only = true);
