/* SPDX-License-Identifier: MIT */
/*
 * What a frame and a small object cost.
 *
 *     bench_frame                     nanoseconds of each, by one CPU
 *     bench_frame stock 1000000       of one, that many times
 *
 * Instructions of one operation (the total divided by the number of times):
 *
 *     valgrind --tool=callgrind --toggle-collect=stock bench_frame stock 1000000
 *     valgrind --tool=callgrind --toggle-collect=frame_alloc_zeroed bench_frame ready 1000000
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame/frame.h"
#include "frame/rmap.h"
#include "frame/slab.h"

#define ARENA (256ull << 20)
#define TIMES 2000000
#define MANY 256 /* more than a stock or a magazine holds */

static struct slab slab;

static void check(bool good)
{
	if (good)
		return;
	fputs("bench_frame: no memory, or no such benchmark\n", stderr);
	exit(1);
}

static void start(void)
{
	struct quire_memory range = { 0, ARENA, 0 };
	size_t magazines = slab_memory(1);
	void *reserved = NULL;

	soft_memory = aligned_alloc(PAGE_SIZE, ARENA);
	check(soft_memory != NULL);
	memset(soft_memory, 1, ARENA); /* so that no page is first touched while the clock runs */
	check(frame_init(&range, 1, 1, 1, 2 * magazines, &reserved) == 0);
	slab_init(&slab, "bench", 64, reserved, 1);
	slab_init(&rmap_slab, "rmap", sizeof(struct rmap), (char *)reserved + magazines, 1);
}

/* ---- each does its operation `times` times, and is a function of its own, for callgrind ---- */

/* A frame from the stock, and back. */
__attribute__((noinline)) static void stock(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		frame_put(frame_alloc(0));
}

/* Frames through the stock, from the pool and back to it. */
__attribute__((noinline)) static void pool(unsigned times)
{
	struct frame *frames[MANY];

	for (unsigned i = 0; i < times; i += MANY) {
		for (unsigned j = 0; j < MANY; j++)
			frames[j] = frame_alloc(0);
		for (unsigned j = 0; j < MANY; j++)
			frame_put(frames[j]);
	}
}

/* A block of 2 MiB, and back. */
__attribute__((noinline)) static void huge(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		frame_put(frame_alloc(9));
}

/* A frame that must be zeroed now, and back. */
__attribute__((noinline)) static void zeroing(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		frame_put(frame_alloc_zeroed(NULL));
}

/* Frames zeroed ahead (and the zeroing), and back. */
__attribute__((noinline)) static void ready(unsigned times)
{
	struct frame *frames[64];

	for (unsigned i = 0; i < times; i += 64) {
		check(frame_idle(64) == 64);
		for (unsigned j = 0; j < 64; j++)
			frames[j] = frame_alloc_zeroed(NULL);
		for (unsigned j = 0; j < 64; j++)
			frame_put(frames[j]);
	}
}

/* A pin of a frame that is in use, and its release. */
__attribute__((noinline)) static void pin(unsigned times)
{
	struct frame *frame = frame_alloc(0);

	for (unsigned i = 0; i < times; i++) {
		check(frame_try_get(frame));
		frame_put(frame);
	}
	frame_put(frame);
}

/* An object from the magazine, and back. */
__attribute__((noinline)) static void object(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		slab_free(&slab, slab_alloc(&slab));
}

/* Objects through the magazine, from their frames and back. */
__attribute__((noinline)) static void objects(unsigned times)
{
	void *all[MANY];

	for (unsigned i = 0; i < times; i += MANY) {
		for (unsigned j = 0; j < MANY; j++)
			all[j] = slab_alloc(&slab);
		for (unsigned j = 0; j < MANY; j++)
			slab_free(&slab, all[j]);
	}
}

/* A second mapping of a frame (a fork), and its end. */
__attribute__((noinline)) static void share(unsigned times)
{
	struct frame *frame = frame_alloc(0);
	struct tables *parent = (struct tables *)&slab, *child = (struct tables *)&rmap_slab;

	rmap_first(frame, parent, 0);
	for (unsigned i = 0; i < times; i++) {
		(void)rmap_add(frame, child, 0);
		rmap_remove(frame, child, 0);
		frame_put(frame);
	}
	frame_put(frame);
}

static const struct {
	const char *name, *what;
	void (*run)(unsigned times);
} benchmarks[] = {
	{ "stock", "frame from the stock, and back", stock },
	{ "pool", "frame from the pool, and back", pool },
	{ "huge", "2 MiB block, and back", huge },
	{ "zeroing", "frame zeroed on demand, and back", zeroing },
	{ "ready", "frame zeroed ahead (and the zeroing), and back", ready },
	{ "pin", "pin of a frame, and its release", pin },
	{ "object", "object from the magazine, and back", object },
	{ "objects", "object from its frame, and back", objects },
	{ "share", "second mapping, and its end", share },
};

static void measure(size_t i, unsigned times)
{
	uint64_t begin, ns;

	benchmarks[i].run(times / 16 + MANY);
	begin = port_clock();
	benchmarks[i].run(times);
	ns = port_clock() - begin;
	printf("%-8s %8.1f ns  %s\n", benchmarks[i].name, (double)ns / times, benchmarks[i].what);
}

int main(int argc, char **argv)
{
	const size_t count = sizeof(benchmarks) / sizeof(benchmarks[0]);
	size_t i = 0;

	start();
	if (argc == 1) {
		for (; i < count; i++)
			measure(i, TIMES);
		return 0;
	}
	check(argc == 3);
	while (i < count && strcmp(benchmarks[i].name, argv[1]) != 0)
		i++;
	check(i < count);
	/* Once, with nothing before it: what callgrind collects is exactly this. */
	benchmarks[i].run((unsigned)strtoul(argv[2], NULL, 10));
	return 0;
}
