/* SPDX-License-Identifier: MIT */
/*
 * Threads fault without pause in one VMA, while the last one, without pause, does something else.
 *
 *     VMA:   │ section of worker 0 │ section of worker 1 │ ... │ a leaf │ a leaf │
 *             leaf leaf leaf leaf                                 └ mprotect-vma └ dontneed
 *             ...........m ........m
 *
 * A worker writes the pages of its section one after the other, gives them all back (DONTNEED) and
 * starts again. In each leaf it leaves out the last page (m): mprotect-leaf changes the rights of
 * this page in the leaf where worker 0 is just faulting.
 *
 * Each antagonist has a twin, "apart", that does the very same in a space of its own, laid out
 * alike: what the two threads take from each other there they take as two programs would (caches,
 * memory, the pools of frames), and what is lost beyond that is lost by sharing the space.
 */
#include "bench_loop.h"

#define SPIN_TURNS 1000
#define SPARSE                                                                                     \
	(64 * QUIRE_PAGE_SIZE) /* dontneed writes a page in 64 before it gives back the leaf */
#define LARGE (128 * MIB)

enum antagonist {
	SPIN,
	MMAP_PAGE,
	MMAP_LARGE,
	PROTECT_VMA,
	PROTECT_LEAF,
	UNMAP,
	FORK,
	DONTNEED,
	FLUSH
};

/* Where worker `index` faults; of the antagonist: its own two leaves. */
static uint64_t section(const struct run *run, unsigned index)
{
	return ARENA_BASE + index * run->options->section_bytes;
}

static bool map_sections(struct run *run)
{
	unsigned faulting = run->cpus - 1;

	return bench_map(run, ARENA_BASE, section(run, faulting) - ARENA_BASE + 2 * LEAF_BYTES);
}

static bool is_antagonist(const struct worker *w)
{
	return w->index == w->run->cpus - 1;
}

/* For the antagonist's calls: in which space. */
static struct run *space_of(struct worker *w)
{
	return w->run->apart ? w->run->apart : w->run;
}

static bool write_all(struct worker *w, uint64_t start, uint64_t bytes, uint64_t step)
{
	for (uint64_t page = start; page < start + bytes; page += step)
		if (!bench_running(w) || !bench_write(w, page))
			return false;
	return true;
}

static bool populate_far(struct worker *w, uint64_t bytes)
{
	return bench_map(space_of(w), FAR_BASE, bytes) &&
	       write_all(w, FAR_BASE, bytes, QUIRE_PAGE_SIZE);
}

/* What is there all the time is made before the run measures, so that it costs no fault's time. */
static bool prepare(struct worker *w)
{
	if (!is_antagonist(w))
		return true;
	switch ((enum antagonist)w->run->loop->argument) {
	case FORK:
		return populate_far(w, w->run->options->antagonist_bytes);
	case FLUSH:
		return populate_far(w, QUIRE_PAGE_SIZE);
	default:
		return true;
	}
}

/* What the worker has answered so far, for the main thread: its CPU's counts are its own. */
static void show_answers(struct worker *w)
{
	if (!w->cpu)
		return;
	atomic_store_explicit(&w->answers, w->cpu->flushes, memory_order_relaxed);
	atomic_store_explicit(&w->answer_ns, w->cpu->flush_ns, memory_order_relaxed);
}

static void fault(struct worker *w)
{
	uint64_t start = section(w->run, w->index), bytes = w->run->options->section_bytes;

	for (;;) {
		for (uint64_t leaf = start; leaf < start + bytes; leaf += LEAF_BYTES) {
			atomic_store_explicit(&w->position, leaf, memory_order_relaxed);
			show_answers(w);
			for (uint64_t page = 0; page < LEAF_BYTES - QUIRE_PAGE_SIZE;
			     page += QUIRE_PAGE_SIZE) {
				if (!bench_running(w) || !bench_write_timed(w, leaf + page))
					return;
				bench_count(w, 1);
			}
		}
		if (!bench_advise(w->run, start, bytes, QUIRE_MADV_DONTNEED))
			return;
	}
}

static bool spin(struct worker *w)
{
	for (unsigned i = 0; i < SPIN_TURNS; i++)
		if (!bench_running(w))
			return false;
	return true;
}

static bool map_and_unmap(struct worker *w, uint64_t bytes)
{
	return bench_map(space_of(w), FAR_BASE, bytes) && bench_unmap(space_of(w), FAR_BASE, bytes);
}

/* Take a populated page's right to be written, and give it back: two splits or merges of the VMA.
 */
static bool protect(struct worker *w, uint64_t page)
{
	return bench_write(w, page) &&
	       bench_protect(space_of(w), page, QUIRE_PAGE_SIZE, QUIRE_PROT_READ) &&
	       bench_protect(space_of(w), page, QUIRE_PAGE_SIZE,
			     QUIRE_PROT_READ | QUIRE_PROT_WRITE);
}

static bool protect_leaf(struct worker *w)
{
	uint64_t leaf = atomic_load_explicit(&w->run->workers[0].position, memory_order_relaxed);

	return leaf == 0 || protect(w, leaf + LEAF_BYTES - QUIRE_PAGE_SIZE);
}

static bool populate_and_unmap(struct worker *w)
{
	uint64_t bytes = w->run->options->antagonist_bytes;

	return bench_map(space_of(w), FAR_BASE, bytes) &&
	       write_all(w, FAR_BASE, bytes, QUIRE_PAGE_SIZE) &&
	       bench_unmap(space_of(w), FAR_BASE, bytes);
}

static bool write_and_give_back(struct worker *w)
{
	uint64_t leaf = section(w->run, w->index) + LEAF_BYTES;

	return write_all(w, leaf, LEAF_BYTES, SPARSE) &&
	       bench_advise(space_of(w), leaf, LEAF_BYTES, QUIRE_MADV_DONTNEED);
}

/* Nothing but a shootdown that those that fault must answer: the layout stays as it is. */
static bool flush(struct worker *w)
{
	return bench_write(w, FAR_BASE) &&
	       bench_advise(space_of(w), FAR_BASE, QUIRE_PAGE_SIZE, QUIRE_MADV_DONTNEED);
}

static bool disturb(struct worker *w)
{
	switch ((enum antagonist)w->run->loop->argument) {
	case SPIN:
		return spin(w);
	case MMAP_PAGE:
		return map_and_unmap(w, QUIRE_PAGE_SIZE);
	case MMAP_LARGE:
		return map_and_unmap(w, LARGE);
	case PROTECT_VMA:
		return protect(w, section(w->run, w->index) + LEAF_BYTES / 2);
	case PROTECT_LEAF:
		return protect_leaf(w);
	case UNMAP:
		return populate_and_unmap(w);
	case FORK:
		return bench_fork(space_of(w));
	case DONTNEED:
		return write_and_give_back(w);
	case FLUSH:
		return flush(w);
	}
	return false;
}

static void work(struct worker *w)
{
	if (!is_antagonist(w)) {
		fault(w);
		return;
	}
	while (bench_running(w) && disturb(w))
		bench_count(w, 1);
	if (w->run->apart && atomic_load(&w->run->apart->failed))
		bench_apart_failed(w->run);
}

bool bench_is_antagonist(const struct loop *loop)
{
	return loop->work == work;
}

#define ANTAGONIST(loop_name, argument_, apart_, text)                                             \
	{                                                                                          \
		.name = "antagonist-" loop_name, .group = "antagonists", .unit = "faults",         \
		.what = "faults beside a thread that " text, .min_cpus = 2, .argument = argument_, \
		.latency = true, .apart = apart_, .setup = map_sections, .prepare = prepare,       \
		.work = work                                                                       \
	}
/* And its twin after it. */
#define WITH_TWIN(loop_name, argument_, text)                                                      \
	ANTAGONIST(loop_name, argument_, false, text),                                             \
		ANTAGONIST(loop_name "-apart", argument_, true, text ", in a space of its own")

/* The first is what the others are compared with. */
const struct loop bench_antagonists[] = {
	ANTAGONIST("spin", SPIN, false, "only spins"),
	WITH_TWIN("mmap", MMAP_PAGE, "maps and unmaps a page far away"),
	WITH_TWIN("mmap-128m", MMAP_LARGE, "maps and unmaps 128 MiB far away"),
	WITH_TWIN("mprotect-vma", PROTECT_VMA, "mprotects a page of the same VMA, other leaf"),
	WITH_TWIN("mprotect-leaf", PROTECT_LEAF, "mprotects a page of the same leaf"),
	WITH_TWIN("munmap", UNMAP, "populates and unmaps 1 GiB elsewhere"),
	WITH_TWIN("fork", FORK, "forks the space with 1 GiB populated; the child exits"),
	WITH_TWIN("dontneed", DONTNEED, "gives back 2 MiB elsewhere in the same VMA"),
	WITH_TWIN("flush", FLUSH, "gives back a page far away: shootdowns alone"),
	{ .name = NULL },
};
