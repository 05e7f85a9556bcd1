/* SPDX-License-Identifier: MIT */
/*
 * The allocator of a C library under threads: blocks of all sizes, of which many are freed by
 * another thread than the one that took them. Built with glibc, whose threads grow arenas by
 * mprotect, and with musl, which maps and unmaps.
 */
#include "tap.h"

#include "options.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 6, PLACES = 200, TURNS = 5000 };

struct block {
	size_t size;
	unsigned char bytes[];
};

/* Any thread takes what is there and leaves something else. */
static _Atomic(struct block *) places[PLACES];

static size_t a_size(uint64_t *random)
{
	switch (random_below(random, 100)) {
	case 0:
		return 1000000 + random_below(random, 1000000);
	case 1:
	case 2:
		return 100000 + random_below(random, 100000);
	default:
		return 1 + random_below(random, random_below(random, 4) ? 200 : 8000);
	}
}

static unsigned char byte_of(size_t size, size_t at)
{
	return (unsigned char)(size * 31 + at);
}

static size_t step(size_t size)
{
	return size > 4096 ? 1021 : 1;
}

static void fill(struct block *block, size_t size)
{
	block->size = size;
	for (size_t i = 0; i < size; i += step(size))
		block->bytes[i] = byte_of(size, i);
}

static bool right(const struct block *block, size_t stored, size_t size)
{
	for (size_t i = 0; i < size; i += step(stored))
		if (block->bytes[i] != byte_of(stored, i))
			return false;
	return true;
}

static void *work(void *first)
{
	uint64_t random = (uint64_t)first;
	unsigned long bad = 0;

	for (int i = 0; i < TURNS; i++) {
		size_t size = a_size(&random), old;
		struct block *block = malloc(sizeof(*block) + size), *found;

		if (!block) {
			bad++;
			continue;
		}
		fill(block, size);
		/* Release: what was filled; acquire: what another thread has filled. The partner is
		 * this same line. */
		found = atomic_exchange_explicit(&places[random_below(&random, PLACES)], block,
						 memory_order_acq_rel);
		if (!found)
			continue;
		old = found->size;
		bad += !right(found, old, old);
		if (random_below(&random, 8) == 0) {
			size = a_size(&random);
			block = realloc(found, sizeof(*block) + size);
			if (block)
				found = block, bad += !right(block, old, size < old ? size : old);
		}
		free(found);
	}
	return (void *)bad;
}

static void shared_blocks(void)
{
	pthread_t threads[THREADS];
	void *bad;

	for (size_t i = 0; i < THREADS; i++)
		need(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
	for (size_t i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], &bad) == 0 && bad == NULL);
	for (size_t i = 0; i < PLACES; i++) {
		struct block *block = places[i];

		check(!block || right(block, block->size, block->size));
		free(block);
	}
}

/* Threads come and go, each with memory of its own; a child of fork goes on allocating. */
static void *short_lived(void *unused)
{
	void *blocks[50];

	(void)unused;
	for (size_t i = 0; i < 50; i++) {
		blocks[i] = malloc(100 + 300 * i);
		if (blocks[i])
			memset(blocks[i], 1, 100 + 300 * i);
	}
	for (size_t i = 0; i < 50; i++)
		free(blocks[i]);
	return NULL;
}

static void generations(void)
{
	pthread_t threads[8];

	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < 8; i++)
			need(pthread_create(&threads[i], NULL, short_lived, NULL) == 0);
		pid_t child = fork();
		if (child == 0) {
			short_lived(NULL);
			_exit(0);
		}
		check(exited(child, 0));
		for (size_t i = 0; i < 8; i++)
			check(pthread_join(threads[i], NULL) == 0);
	}
}

TAP_MAIN(CASE(shared_blocks), CASE(generations))
