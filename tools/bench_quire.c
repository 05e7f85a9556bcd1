/* SPDX-License-Identifier: MIT */
/*
 * What a run works in, on the soft port: a space of Quire's. Each worker is a virtual CPU, and so
 * is the main thread, which is inside only while it works.
 *
 * What is measured is Quire, not a store: that of a file keeps nothing. It is the same byte over
 * and over, and what is written to it is dropped.
 */
#define _GNU_SOURCE
#include "bench_loop.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define WARM_BYTES UINT64_C(65536)
#define BARRIER_NS UINT64_C(10000000000)

static struct quire_soft_cpu *main_cpu;

bool bench_machine_start(const struct bench_options *options, uint64_t memory, unsigned cpus)
{
	struct quire_soft_config config = {
		.cpus = cpus + 1,
		.memory = memory,
		.levels = options->levels,
	};
	int r = quire_soft_init(&config);

	if (r != 0) {
		fprintf(stderr,
			"quire bench: can't start a machine of %u CPUs and %" PRIu64
			" MiB: error %d\n",
			config.cpus, memory / MIB, -r);
		return false;
	}
	main_cpu = quire_soft_attach(cpus);
	if (!main_cpu) {
		fprintf(stderr, "quire bench: can't attach the main thread\n");
		quire_soft_exit();
		return false;
	}
	return true;
}

void bench_machine_stop(void)
{
	quire_soft_detach(main_cpu);
	quire_soft_exit();
}

bool bench_warm_memory(void)
{
	struct quire_memory_stats memory;
	struct quire_mm *mm;
	bool done = false;

	quire_soft_enter(main_cpu);
	quire_memory_stats(&memory);

	uint64_t pages = memory.free - memory.free / 16;

	if (quire_mm_create(NULL, &mm) == 0) {
		int64_t base = quire_mmap(mm, 0, pages * QUIRE_PAGE_SIZE, QUIRE_PROT_WRITE,
					  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS);

		quire_soft_switch(main_cpu, mm);
		done = base > 0;
		for (uint64_t i = 0; done && i < pages; i++)
			done = quire_soft_store(main_cpu, (uint64_t)base + i * QUIRE_PAGE_SIZE, 1,
						1);
		quire_soft_switch(main_cpu, NULL);
		quire_mm_destroy(mm);
	}
	quire_soft_leave(main_cpu);
	if (!done)
		fprintf(stderr, "quire bench: can't touch %" PRIu64 " pages of memory\n", pages);
	return done;
}

/* Begin and end */

/* A space, laid out by the loop. */
static bool make_space(struct run *run)
{
	struct quire_mm_config config = {
		.mode = (enum quire_mode)run->mode,
		.brk_start = HEAP_BASE,
		.limits.vmas = QUIRE_UNLIMITED,
	};
	int r = quire_mm_create(&config, &run->mm);

	if (r != 0)
		return bench_fail(run, "creating a space", r);
	return !run->loop->setup || run->loop->setup(run);
}

static bool make_apart(struct run *run)
{
	static struct run apart;

	apart = *run;
	apart.mm = NULL;
	run->apart = &apart;
	return make_space(&apart) || bench_apart_failed(run);
}

static bool begin(struct run *run)
{
	bool good;

	quire_soft_enter(main_cpu);
	good = make_space(run) && (!run->loop->apart || make_apart(run));
	quire_soft_leave(main_cpu);
	return good;
}

static void end(struct run *run)
{
	quire_soft_enter(main_cpu);
	if (run->mm)
		quire_mm_destroy(run->mm);
	if (run->apart && run->apart->mm)
		quire_mm_destroy(run->apart->mm);
	for (unsigned i = 0; i < BENCH_MAX_CPUS; i++)
		if (run->files[i])
			quire_object_put(run->files[i]);
	quire_barrier(0); /* what was deferred must not be the next run's work */
	quire_soft_leave(main_cpu);
}

static void stats(struct run *run, struct quire_stats *stats)
{
	quire_soft_enter(main_cpu);
	quire_stats(run->mm, stats);
	quire_soft_leave(main_cpu);
}

static bool enter(struct worker *w)
{
	w->cpu = quire_soft_attach(w->index);
	if (!w->cpu)
		return bench_fail(w->run, "attaching a virtual CPU", 0);
	quire_soft_enter(w->cpu);
	quire_soft_switch(w->cpu, bench_is_apart(w) ? w->run->apart->mm : w->run->mm);
	return true;
}

static void leave(struct worker *w)
{
	quire_soft_switch(w->cpu, NULL);
	quire_soft_leave(w->cpu);
	quire_soft_detach(w->cpu);
}

static void yield(struct worker *w)
{
	quire_soft_leave(w->cpu);
	sched_yield();
	quire_soft_enter(w->cpu);
}

/* Files. A store is nothing but its size. */

static int store_size(void *store, uint64_t *size)
{
	*size = (uintptr_t)store;
	return 0;
}

static int store_read(void *store, uint64_t offset, const struct quire_buffer *buffers,
		      unsigned count)
{
	(void)store;
	(void)offset;
	for (unsigned i = 0; i < count; i++)
		memset(buffers[i].bytes, FILE_BYTE, buffers[i].length);
	return 0;
}

static int store_write(void *store, uint64_t offset, const struct quire_buffer *buffers,
		       unsigned count)
{
	(void)store;
	(void)offset;
	(void)buffers;
	(void)count;
	return 0;
}

static int64_t open_file(struct run *run, unsigned index, uint64_t bytes)
{
	static const struct quire_store_ops ops = {
		.size = store_size,
		.read = store_read,
		.write = store_write,
	};
	static char buffer[WARM_BYTES];
	int64_t r = quire_file_create(&ops, (void *)(uintptr_t)bytes, NULL, &run->files[index]);

	for (uint64_t offset = 0; r >= 0 && offset < bytes; offset += (uint64_t)r) {
		r = quire_object_read(run->files[index], offset, buffer, sizeof buffer);
		if (r == 0)
			return -QUIRE_EIO;
	}
	return r < 0 ? r : 0;
}

/* Calls */

/*
 * Is a call to be made again? On a busy host a thread may lose its core while it is inside, and
 * what the others unmap meanwhile waits for it: that is no want of memory. Wait.
 */
static bool again(int64_t error)
{
	return error == -QUIRE_ENOMEM && quire_barrier(BARRIER_NS) == 0;
}

static int64_t map_once(struct run *run, uint64_t address, uint64_t bytes, int prot, int flags,
			unsigned file)
{
	if (file == BENCH_ANONYMOUS)
		return quire_mmap(run->mm, address, bytes, prot, flags);
	return quire_mmap_object(run->mm, address, bytes, prot, flags, run->files[file], 0,
				 BENCH_RW);
}

static int64_t map(struct run *run, uint64_t address, uint64_t bytes, int prot, int flags,
		   unsigned file)
{
	int64_t r = map_once(run, address, bytes, prot, flags, file);

	return again(r) ? map_once(run, address, bytes, prot, flags, file) : r;
}

static int64_t unmap(struct run *run, uint64_t address, uint64_t bytes)
{
	int r = quire_munmap(run->mm, address, bytes);

	return again(r) ? quire_munmap(run->mm, address, bytes) : r;
}

static int64_t protect(struct run *run, uint64_t address, uint64_t bytes, int prot)
{
	int r = quire_mprotect(run->mm, address, bytes, prot);

	return again(r) ? quire_mprotect(run->mm, address, bytes, prot) : r;
}

static int64_t advise(struct run *run, uint64_t address, uint64_t bytes, int advice)
{
	return quire_madvise(run->mm, address, bytes, advice);
}

static int64_t move_brk(struct run *run, uint64_t to)
{
	uint64_t now = quire_brk(run->mm, to);

	/* brk does not say why. */
	if (now != to && again(-QUIRE_ENOMEM))
		now = quire_brk(run->mm, to);
	return now == to ? (int64_t)to : -QUIRE_ENOMEM;
}

static int64_t fork_once(struct run *run)
{
	struct quire_mm *child;
	int r = quire_fork(run->mm, &child);

	if (r == 0)
		quire_mm_destroy(child);
	return r;
}

const struct bench_space bench_quire = {
	.begin = begin,
	.end = end,
	.stats = stats,
	.enter = enter,
	.leave = leave,
	.yield = yield,
	.open_file = open_file,
	.map = map,
	.unmap = unmap,
	.protect = protect,
	.advise = advise,
	.brk = move_brk,
	.fork = fork_once,
};
