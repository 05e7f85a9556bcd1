/* SPDX-License-Identifier: MIT */
/*
 * What is in a page, and who may: rights that are taken away, pages that are and marks that the
 * MMU sets. Sharing between spaces is in copies.c.
 *
 *     after mprotect to read-only    nothing changes any more
 *     after MADV_DONTNEED            zeros, or what was written after it
 *     a page that was written to     is marked dirty
 *
 * As there values are watched at A and at A + HALF.
 */
#include "explore.h"
#include "space/mm.h"
#include "table/table.h"

static struct quire_mm *child;

static void untouched(void)
{
	map(A, 2, READ_WRITE);
}

/* By CPUs 0 and 1: they have translations to write with. */
static void touched(void)
{
	untouched();
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		store(A, 7);
		store(A + HALF, 7);
	}
}

static void shared(void)
{
	touched();
	expect(quire_fork(mm, &child) == 0);
}

static void shared_once(void)
{
	shared();
	quire_mm_destroy(child);
}

/* As a guest's loop does: whoever waits for a flush gets on, and the next access may miss. */
static void safepoint(void)
{
	quire_soft_safepoint(quire_soft_self());
}

static bool done_or(uint64_t refused, uint64_t done)
{
	return done == DONE || done == refused;
}

static void write_8(void)
{
	expect_equal(store(A, 8), DONE);
}

static void write_half(void)
{
	expect_equal(store(A + HALF, 9), DONE);
}

/* --- taking the right to write away: H41, H47, Q4 --- */

static void stands_still(uint64_t address)
{
	uint64_t value = load(address);

	expect_equal(load(address), value);
}

static void protect_a(void)
{
	protect(A, 1, QUIRE_PROT_READ);
	stands_still(A);
}

/* Refused once, refused for ever. */
static void write_until_refused(void)
{
	uint64_t first = store(A, 8), then;

	safepoint();
	then = store(A, 9);
	expect(done_or(ACCERR, first) && done_or(ACCERR, then));
	expect(first == DONE || then == ACCERR);
}

SCENARIO(H41_protect_own, "mprotect against writes through an old translation", .setup = touched,
	 .run = { protect_a, write_until_refused });
SCENARIO(H47_protect_untouched, "mprotect against a first write", .setup = untouched,
	 .run = { protect_a, write_until_refused });
SCENARIO(H47_protect_shared, "mprotect against a copy-on-write", .setup = shared,
	 .run = { protect_a, write_until_refused });
/* Not even the old page may be read any more. */
static void protect_a_from_all(void)
{
	protect(A, 1, QUIRE_PROT_NONE);
	expect_equal(load(A), ACCERR);
}

SCENARIO(H47_protect_shared_from_all, "mprotect to nothing against a copy-on-write",
	 .setup = shared, .run = { protect_a_from_all, write_until_refused });
SCENARIO(H47_protect_reused, "mprotect against a reuse", .setup = shared_once,
	 .run = { protect_a, write_until_refused });

static void protect_and_back(void)
{
	protect(A, 1, QUIRE_PROT_READ);
	protect(A, 1, READ_WRITE);
	write_half();
}

static void write_a(void)
{
	uint64_t done = store(A, 8);

	expect(done_or(ACCERR, done));
	expect_equal(load(A), done == DONE ? 8 : 7);
}

static void half_is_9(void)
{
	expect_equal(load(A + HALF), 9);
}

SCENARIO(Q1_protected_and_back, "the mapping is read-only for a while during a copy-on-write",
	 .setup = shared, .run = { protect_and_back, write_a }, .check = half_is_9);

/* --- taking pages away --- */

static void drop(void)
{
	expect(quire_madvise(mm, A, PAGE, QUIRE_MADV_DONTNEED) == 0);
}

static void drop_a(void)
{
	drop();
	expect_equal(load(A + HALF), 0);
}

static void write_and_read(void)
{
	uint64_t value;

	write_8();
	safepoint();
	value = load(A);
	expect(value == 8 || value == 0);
}

static void written_or_dropped(void)
{
	uint64_t value = load(A);

	expect(value == 8 || value == 0);
	expect_equal(load(A + HALF), 0);
}

SCENARIO(H26_drop_own, "MADV_DONTNEED against a write through an old translation", .setup = touched,
	 .run = { drop_a, write_and_read }, .check = written_or_dropped);
SCENARIO(H26_drop_shared, "MADV_DONTNEED against a copy-on-write", .setup = shared,
	 .run = { drop_a, write_and_read }, .check = written_or_dropped);
SCENARIO(Q15_drop_untouched, "MADV_DONTNEED against a first write", .setup = untouched,
	 .run = { drop_a, write_and_read }, .check = written_or_dropped);

/* Two sweeps of one leaf, each with its flush: neither may take the other's for its own (Q4). */
static void touched_by_all(void)
{
	touched();
	store(B, 7);
	as_cpu(2);
	load(A);
	load(B);
}

static void drop_b(void)
{
	expect(quire_madvise(mm, B, PAGE, QUIRE_MADV_DONTNEED) == 0);
}

static void answer_and_read(void)
{
	uint64_t value;

	safepoint();
	value = load(A);
	expect(value == 7 || value == 0);
}

SCENARIO(Q4_two_sweeps, "two sweeps of a leaf, with old translations of both pages elsewhere",
	 .setup = touched_by_all, .run = { drop, drop_b, answer_and_read });

/* Zeroed in the fault: nothing is in stock. Who sees the entry sees zeros and what came later. */
static void nothing_zeroed(void)
{
	untouched();
	map(D, 4, READ_WRITE);
	for (unsigned i = 0; i < 4; i++)
		store(D + i * PAGE, 1);
}

static void read_zeros(void)
{
	uint64_t value = load(A);

	expect(value == 0 || value == 8);
	expect_equal(load(A + HALF), 0);
}

SCENARIO(H46_zeros_are_seen, "a first write against reads of the page", .setup = nothing_zeroed,
	 .run = { write_8, read_zeros });

/* The next frame that CPU 1 gets holds somebody's values, as in life. */
static void shared_and_dirty_stock(void)
{
	shared();
	as_cpu(1);
	map(D, 1, READ_WRITE);
	store(D, 5);
	store(D + HALF, 5);
	unmap(D, 1);
}

/* What CPU 1 has ready for a copy it then needs zeroed. */
SCENARIO(H59_page_travels, "a page that was prepared for a copy becomes a fresh one",
	 .setup = shared_and_dirty_stock, .run = { drop_a, write_and_read },
	 .check = written_or_dropped);

static void lock_a(void)
{
	unsigned char resident = 0;

	expect(quire_mlock(mm, A, PAGE) == 0);
	expect(quire_mincore(mm, A, PAGE, &resident) == 0 && resident == 1);
}

static void drop_unless_locked(void)
{
	int error = quire_madvise(mm, A, PAGE, QUIRE_MADV_DONTNEED);

	expect(error == 0 || error == -QUIRE_EINVAL);
}

SCENARIO(locked_is_resident, "mlock against MADV_DONTNEED", .setup = touched,
	 .run = { lock_a, drop_unless_locked });

/* --- marks that the MMU sets: Q13 --- */

static slot *entry_of_a(void)
{
	struct walk walk;

	section_enter();
	expect(table_walk(&mm->tables, A, &walk) == WALK_LEAF);
	section_leave();
	return walk.slot;
}

/* As if written to a disk, and read again: the next write through any CPU's MMU marks the entry. */
static void clean_a(void)
{
	at_store(entry_of_a(), at_load(entry_of_a()) & ~(SOFT_ACCESSED | SOFT_DIRTY));
	for (unsigned i = 0; i < 2; i++) {
		as_cpu(i);
		run_space(mm);
		load(A);
	}
}

static void clean(void)
{
	touched();
	clean_a();
}

static void clean_executable(void)
{
	touched();
	protect(A, 1, READ_WRITE | QUIRE_PROT_EXEC);
	clean_a();
}

static void fork_it(void)
{
	expect(quire_fork(mm, &child) == 0);
}

static void execute_a(void)
{
	expect(quire_fault(mm, A, QUIRE_EXEC) == QUIRE_FAULT_DONE);
}

static void written_is_dirty(void)
{
	if (load(A) == 8)
		expect(pte_is_dirty(at_load(entry_of_a())));
}

static void no_retries(void)
{
	struct quire_stats stats;

	written_is_dirty();
	quire_stats(mm, &stats);
	expect_equal(stats.counters[QUIRE_RETRY_ENTRY], 0);
}

static void write_or_refused(void)
{
	expect(done_or(ACCERR, store(A, 8)));
}

SCENARIO(Q13_narrow, "mprotect against the first write to a clean page", .setup = clean,
	 .run = { protect_a, write_or_refused }, .check = written_is_dirty);
SCENARIO(Q13_fork, "fork against the same", .setup = clean, .run = { fork_it, write_8 },
	 .check = written_is_dirty);
SCENARIO(Q13_widen, "a fault that widens the rights against the same; a mark is no change",
	 .setup = clean_executable, .run = { execute_a, write_8 }, .check = no_retries);
