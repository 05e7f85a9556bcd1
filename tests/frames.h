/* SPDX-License-Identifier: MIT */
/* What the tests of frame/ share: physical memory, CPUs, and a way to see a panic. */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame/frame.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define ARENA (3 * GIB)

#ifdef QUIRE_DEBUG
#define DEBUG_CHECKS true
#else
#define DEBUG_CHECKS false
#endif

/* The arena is address space, of which a test touches what it uses. */
static inline int frames_arena(void **state)
{
	(void)state;
	soft_memory = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return soft_memory == MAP_FAILED ? -1 : 0;
}

/* One range on one node. */
static inline void frames_start(uint64_t base, uint64_t size, unsigned cpus)
{
	struct quire_memory range = { base, size, 0 };
	void *reserved;

	memset(soft_cpu_nodes, 0, sizeof(soft_cpu_nodes));
	soft_cpu_index = 0;
	inject_set(0);
	assert_int_equal(frame_init(&range, 1, 1, cpus, 0, &reserved), 0);
	assert_null(frame_validate());
}

static inline struct frame_stats frames_now(void)
{
	struct frame_stats stats;

	frame_stats(&stats);
	return stats;
}

/* All frames are back, and in the pool. */
static inline void frames_all_back(void)
{
	struct frame_stats stats;

	frame_drain_all();
	assert_null(frame_validate());
	frame_stats(&stats);
	assert_int_equal(stats.stocked, 0);
	assert_int_equal(stats.free, stats.total);
}

/* Does the call panic? It runs in a process of its own. */
static inline bool panics(void (*call)(void *), void *argument)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		fclose(stderr);
		call(argument);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* Random numbers, one state for each thread. */
static inline uint32_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

#endif
