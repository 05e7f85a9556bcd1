/* SPDX-License-Identifier: MIT */
/*
 * The loops of docs/benchmarks.md without antagonists: RadixVM's three, will-it-scale's that need
 * anonymous memory only, and the pairs of low and high contention.
 *
 *     low:   │ worker 0's area │   gap   │ worker 1's area │   gap   │ ...
 *            each works in its own area, in order
 *     high:  │ area 0 │ area 1 │ ...
 *            one array of places, shuffled: each worker has a share of it, all over it
 */
#include "bench_loop.h"

#include <stdlib.h>

/* RadixVM */

static void local(struct worker *w)
{
	uint64_t page = bench_slot(w);

	while (bench_running(w)) {
		if (!bench_map(w->run, page, QUIRE_PAGE_SIZE) || !bench_write(w, page) ||
		    !bench_unmap(w->run, page, QUIRE_PAGE_SIZE))
			return;
		bench_count(w, 1);
	}
}

/* Wait until the mailbox is full, or empty. */
static bool mailbox_wait(struct worker *w, _Atomic uint64_t *mailbox, bool full, uint64_t *page)
{
	/* Acquire: pairs with the release of the hand-over, or of the emptying. */
	for (unsigned i = 0;; i++) {
		*page = atomic_load_explicit(mailbox, memory_order_acquire);
		if ((*page != 0) == full)
			return true;
		if (!bench_running(w))
			return false;
		bench_wait(w, i);
	}
}

static void pipeline(struct worker *w)
{
	struct worker *neighbour = &w->run->workers[(w->index + 1) % w->run->cpus];
	uint64_t page, got;

	for (uint64_t i = 0; bench_running(w); i++) {
		page = bench_slot(w) + i % 512 * QUIRE_PAGE_SIZE;
		if (!bench_map(w->run, page, QUIRE_PAGE_SIZE) || !bench_write(w, page))
			return;
		if (!mailbox_wait(w, &neighbour->mailbox, false, &got))
			return;
		atomic_store_explicit(&neighbour->mailbox, page, memory_order_release);
		if (!mailbox_wait(w, &w->mailbox, true, &got))
			return;
		atomic_store_explicit(&w->mailbox, 0, memory_order_release);
		if (!bench_write(w, got) || !bench_unmap(w->run, got, QUIRE_PAGE_SIZE))
			return;
		bench_count(w, 2);
	}
}

#define GLOBAL_PAGES 16 /* that each worker maps */

/* Each page once, in a random order: the array is shuffled while it is walked. */
static bool write_shuffled(struct worker *w, uint16_t *order, uint32_t pages)
{
	for (uint32_t i = 0; i < pages; i++) {
		uint32_t other = i + bench_random(&w->random) % (pages - i);
		uint16_t page = order[other];

		order[other] = order[i];
		order[i] = page;
		if (!bench_write(w, ARENA_BASE + page * QUIRE_PAGE_SIZE))
			return false;
	}
	bench_count(w, pages);
	return true;
}

static void global(struct worker *w)
{
	uint64_t own = ARENA_BASE + w->index * GLOBAL_PAGES * QUIRE_PAGE_SIZE;
	uint32_t pages = w->run->cpus * GLOBAL_PAGES;
	uint16_t order[BENCH_MAX_CPUS * GLOBAL_PAGES];

	for (uint16_t i = 0; i < pages; i++)
		order[i] = i;
	while (bench_running(w))
		if (!bench_map(w->run, own, GLOBAL_PAGES * QUIRE_PAGE_SIZE) || !bench_barrier(w) ||
		    !write_shuffled(w, order, pages) || !bench_barrier(w) ||
		    !bench_unmap(w->run, own, GLOBAL_PAGES * QUIRE_PAGE_SIZE))
			return;
}

/* will-it-scale */

static void page_fault1(struct worker *w)
{
	uint64_t bytes = w->run->options->region_bytes, base = bench_slot(w);

	while (bench_running(w)) {
		if (!bench_map(w->run, base, bytes))
			return;
		for (uint64_t page = base; page < base + bytes; page += QUIRE_PAGE_SIZE) {
			if (!bench_running(w) || !bench_write(w, page))
				return;
			bench_count(w, 1);
		}
		if (!bench_unmap(w->run, base, bytes))
			return;
	}
}

/* Also malloc1, where the argument says to touch the first page as malloc does. */
static void mmap1(struct worker *w)
{
	uint64_t bytes = w->run->options->region_bytes, base = bench_slot(w);

	while (bench_running(w)) {
		if (!bench_map(w->run, base, bytes) ||
		    (w->run->loop->argument && !bench_write(w, base)) ||
		    !bench_unmap(w->run, base, bytes))
			return;
		bench_count(w, 1);
	}
}

static void brk1(struct worker *w)
{
	uint64_t low = HEAP_BASE + QUIRE_PAGE_SIZE, high = low + QUIRE_PAGE_SIZE;

	while (bench_running(w)) {
		if (!bench_brk(w->run, high) || !bench_brk(w->run, low))
			return;
		bench_count(w, 1);
	}
}

static void tlb_flush2(struct worker *w)
{
	uint64_t base = bench_slot(w), page;
	char value;

	if (!bench_map(w->run, base, MIB))
		return;
	while (bench_running(w)) {
		page = base + bench_random(&w->random) % (MIB / QUIRE_PAGE_SIZE) * QUIRE_PAGE_SIZE;
		if (!bench_write(w, page) ||
		    !bench_advise(w->run, page, QUIRE_PAGE_SIZE, QUIRE_MADV_DONTNEED) ||
		    !bench_read(w, page, &value))
			return;
		if (value != 0) {
			bench_fail(w->run, "zeroing by DONTNEED", 0);
			return;
		}
		bench_count(w, 1);
	}
}

/* Low and high contention */

#define HIGH 0x10u

enum contended { DO_MMAP, DO_MMAP_FAULT, DO_FAULT, DO_UNMAP_VIRT, DO_UNMAP };

static enum contended contended_operation(const struct loop *loop)
{
	return (enum contended)(loop->argument & ~HIGH);
}

static uint64_t place_bytes(const struct loop *loop)
{
	return (contended_operation(loop) == DO_MMAP ? 4 : 1) * QUIRE_PAGE_SIZE;
}

/* Faults of all workers are to be in one VMA, at low contention too: without gaps the areas merge.
 */
static uint64_t area(const struct run *run, unsigned index)
{
	bool gaps = !(run->loop->argument & HIGH) && contended_operation(run->loop) != DO_FAULT;

	return ARENA_BASE + index * (gaps ? SLOT : run->options->area_bytes);
}

static bool contention_setup(struct run *run)
{
	uint64_t bytes = place_bytes(run->loop), each = run->options->area_bytes / bytes,
		 count = run->cpus * each;
	uint32_t random = 88675123;

	run->places = malloc(count * sizeof *run->places);
	if (!run->places)
		return bench_fail(run, "malloc", 0);
	for (uint64_t i = 0; i < count; i++)
		run->places[i] = area(run, (unsigned)(i / each)) + i % each * bytes;
	if (!(run->loop->argument & HIGH))
		return true;
	for (uint64_t i = count - 1; i > 0; i--) {
		uint64_t other = bench_random(&random) % (i + 1), place = run->places[i];

		run->places[i] = run->places[other];
		run->places[other] = place;
	}
	return true;
}

static bool at_place(struct worker *w, enum contended operation, uint64_t place)
{
	switch (operation) {
	case DO_MMAP:
		return bench_map(w->run, place, 4 * QUIRE_PAGE_SIZE);
	case DO_MMAP_FAULT:
		return bench_map(w->run, place, QUIRE_PAGE_SIZE) && bench_write(w, place);
	case DO_FAULT:
		return bench_write(w, place);
	default:
		return bench_unmap(w->run, place, QUIRE_PAGE_SIZE);
	}
}

/* What must be there before the operation. All workers return from it together. */
static bool contention_lay_out(struct worker *w, enum contended operation, const uint64_t *places,
			       uint64_t count)
{
	if (operation >= DO_FAULT &&
	    !bench_map(w->run, area(w->run, w->index), w->run->options->area_bytes))
		return false;
	if (!bench_barrier(w))
		return false;
	if (operation != DO_UNMAP)
		return true;
	for (uint64_t i = 0; i < count; i++)
		if (!bench_write(w, places[i]))
			return false;
	return bench_barrier(w);
}

/* Only the operations themselves count as time: all workers do them at once, between two barriers.
 */
static void contention(struct worker *w)
{
	enum contended operation = contended_operation(w->run->loop);
	uint64_t bytes = w->run->options->area_bytes, count = bytes / place_bytes(w->run->loop);
	const uint64_t *places = w->run->places + w->index * count;

	while (contention_lay_out(w, operation, places, count)) {
		uint64_t start = bench_ticks();

		for (uint64_t i = 0; i < count; i++)
			if (!bench_running(w) || !at_place(w, operation, places[i]))
				return;
		bench_count_timed(w, count, bench_ticks() - start);
		if (!bench_barrier(w) || !bench_unmap(w->run, area(w->run, w->index), bytes) ||
		    !bench_barrier(w))
			return;
	}
}

#define RADIXVM(loop_name, function, text)                                                         \
	{                                                                                          \
		.name = #loop_name, .group = "radixvm", .unit = "touches", .what = text,           \
		.min_cpus = 1, .work = function                                                    \
	}
#define WILL_IT_SCALE(loop_name, function, argument_, unit_, text)                                 \
	{                                                                                          \
		.name = #loop_name, .group = "will-it-scale", .unit = unit_, .what = text,         \
		.min_cpus = 1, .argument = argument_, .work = function                             \
	}
#define CONTENTION(loop_name, operation, text)                                                     \
	{ .name = "low-" loop_name,                                                                \
	  .group = "contention",                                                                   \
	  .unit = "operations",                                                                    \
	  .what = text ", each thread in its own area",                                            \
	  .min_cpus = 1,                                                                           \
	  .argument = operation,                                                                   \
	  .setup = contention_setup,                                                               \
	  .work = contention },                                                                    \
	{                                                                                          \
		.name = "high-" loop_name, .group = "contention", .unit = "operations",            \
		.what = text ", all threads over all of it", .min_cpus = 1,                        \
		.argument = (operation) | HIGH, .setup = contention_setup, .work = contention      \
	}

const struct loop bench_loops[] = {
	RADIXVM(local, local, "map, write and unmap a page, each thread at its own place"),
	RADIXVM(pipeline, pipeline, "map and write a page; the neighbour writes and unmaps it"),
	RADIXVM(global, global, "each thread maps 16 pages; all write all, at random"),
	WILL_IT_SCALE(page_fault1, page_fault1, 0, "faults",
		      "map 128 MiB, write a byte a page, unmap"),
	WILL_IT_SCALE(mmap1, mmap1, 0, "iterations", "map and unmap 128 MiB, untouched"),
	WILL_IT_SCALE(brk1, brk1, 0, "iterations", "grow and shrink the heap by a page"),
	WILL_IT_SCALE(malloc1, mmap1, 1, "iterations", "map 128 MiB, touch the first page, unmap"),
	WILL_IT_SCALE(tlb_flush2, tlb_flush2, 0, "iterations",
		      "a page of 1 MiB: write, DONTNEED, read back a zero"),
	CONTENTION("mmap", DO_MMAP, "map 4 pages"),
	CONTENTION("mmap-fault", DO_MMAP_FAULT, "map a page and write it"),
	CONTENTION("fault", DO_FAULT, "write pages of one VMA"),
	CONTENTION("unmap-virt", DO_UNMAP_VIRT, "unmap a page that was not touched"),
	CONTENTION("unmap", DO_UNMAP, "unmap a page that was written"),
	{ .name = NULL },
};
