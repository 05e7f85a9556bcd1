/* SPDX-License-Identifier: MIT */
/*
 * The loops of docs/benchmarks.md over files and shared memory.
 *
 *     worker 0 ──► mapping ──► file 0 ──► cache: all its pages
 *     worker 1 ──► mapping ──► file 1 ──► cache: all its pages
 *
 * Each has its own file; in the loops "-one" all have the first.
 *
 * What is measured is the memory, not a store: a file's pages are in the cache before a run begins,
 * and stay there.
 */
#include "bench_loop.h"

/* How a loop maps and touches, in its argument. */
#define SHARED 1u
#define ANONYMOUS 2u
#define READ 4u
#define ONE 8u

static bool open_files(struct run *run)
{
	unsigned count = run->loop->argument & ONE ? 1 : run->cpus;

	for (unsigned i = 0; i < count; i++)
		if (!bench_open_file(run, i, run->options->region_bytes))
			return false;
	return true;
}

static bool map(struct worker *w)
{
	unsigned how = w->run->loop->argument;
	uint64_t bytes = w->run->options->region_bytes, base = bench_slot(w);

	if (how & ANONYMOUS)
		return bench_map_at(w->run, base, bytes, BENCH_RW,
				    QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS, BENCH_ANONYMOUS);
	return bench_map_at(w->run, base, bytes, how & READ ? QUIRE_PROT_READ : BENCH_RW,
			    how & SHARED ? QUIRE_MAP_SHARED : QUIRE_MAP_PRIVATE,
			    how & ONE ? 0 : w->index);
}

static void touch(struct worker *w)
{
	uint64_t bytes = w->run->options->region_bytes, base = bench_slot(w);
	bool read = w->run->loop->argument & READ;
	char value;

	while (bench_running(w)) {
		if (!map(w))
			return;
		for (uint64_t page = base; page < base + bytes; page += QUIRE_PAGE_SIZE) {
			if (!bench_running(w) ||
			    !(read ? bench_read(w, page, &value) : bench_write(w, page)))
				return;
			bench_count(w, 1);
		}
		if (!bench_unmap(w->run, base, bytes))
			return;
	}
}

static void mmap2(struct worker *w)
{
	while (bench_running(w)) {
		if (!map(w) || !bench_unmap(w->run, bench_slot(w), w->run->options->region_bytes))
			return;
		bench_count(w, 1);
	}
}

static void tlb_flush1(struct worker *w)
{
	uint64_t pages = w->run->options->region_bytes / QUIRE_PAGE_SIZE, page;
	char value;

	if (!map(w))
		return;
	while (bench_running(w)) {
		page = bench_slot(w) + bench_random(&w->random) % pages * QUIRE_PAGE_SIZE;
		if (!bench_write(w, page) ||
		    !bench_advise(w->run, page, QUIRE_PAGE_SIZE, QUIRE_MADV_DONTNEED) ||
		    !bench_read(w, page, &value))
			return;
		if (value != FILE_BYTE) {
			bench_fail(w->run, "the file coming back by DONTNEED", 0);
			return;
		}
		bench_count(w, 1);
	}
}

#define FILES(loop_name, function, argument_, unit_, text)                                         \
	{                                                                                          \
		.name = loop_name, .group = "files", .unit = unit_, .what = text, .min_cpus = 1,   \
		.argument = argument_, .setup = open_files, .work = function                       \
	}

const struct loop bench_files[] = {
	FILES("page_fault2", touch, 0, "faults",
	      "map 128 MiB of a file privately, write a byte a page, unmap"),
	FILES("page_fault3", touch, SHARED, "faults",
	      "map 128 MiB of a file shared, write a byte a page, unmap"),
	FILES("file-read", touch, SHARED | READ, "pages",
	      "map 128 MiB of a file shared, read a byte a page, unmap"),
	FILES("file-read-one", touch, SHARED | READ | ONE, "pages",
	      "the same, all threads the same file"),
	FILES("mmap2", mmap2, 0, "iterations", "map and unmap 128 MiB of a file, untouched"),
	FILES("tlb_flush1", tlb_flush1, 0, "iterations",
	      "a page of 128 MiB of a file: write, DONTNEED, read back the file's"),
	{ .name = "shared-fault",
	  .group = "files",
	  .unit = "faults",
	  .what = "map 128 MiB of new shared memory, write a byte a page, unmap",
	  .min_cpus = 1,
	  .argument = SHARED | ANONYMOUS,
	  .work = touch },
	{ .name = NULL },
};
