/* SPDX-License-Identifier: MIT */
/*
 * A loop in the form of ebizzy, a web server's work with an allocator that maps every chunk:
 *
 *     chunks:  │ 0 1 2 3 ... │ 0 1 2 3 ... │ ...       of all threads, filled before
 *                     │ copy a random part of a random one
 *                     ▼
 *     new:     │ ... 2 3 4 ... │  mapped where the space finds room, searched, unmapped
 *
 * So mappings of all threads lie side by side and merge: most faults are in a VMA that another
 * thread is just changing.
 */
#include "bench_loop.h"

#include <string.h>

#define CHUNKS 16
#define CHUNK_BYTES (512 * 1024u)
#define CHUNK_PAGES (CHUNK_BYTES / QUIRE_PAGE_SIZE)
#define PAGE_WORDS (QUIRE_PAGE_SIZE / sizeof(uint64_t))

static uint64_t chunk(unsigned index)
{
	return ARENA_BASE + index * CHUNK_BYTES;
}

/* The place of a chunk's page. NULL: bench_fail was called. */
static uint64_t *page_of(struct worker *w, uint64_t address, enum quire_access access)
{
	uint64_t *words = bench_translate(w, address, access);

	if (!words)
		bench_fail(w->run, "a page of a chunk", -(int64_t)w->cpu->verdict);
	return words;
}

static bool map_chunks(struct run *run)
{
	return bench_map(run, ARENA_BASE, CHUNKS * CHUNK_BYTES);
}

/* The i-th word of a chunk is i. */
static bool fill_chunks(struct worker *w)
{
	for (uint64_t i = 0; w->index == 0 && i < CHUNKS * CHUNK_PAGES; i++) {
		uint64_t *words = page_of(w, ARENA_BASE + i * QUIRE_PAGE_SIZE, QUIRE_WRITE);

		if (!words)
			return false;
		for (uint64_t j = 0; j < PAGE_WORDS; j++)
			words[j] = i % CHUNK_PAGES * PAGE_WORDS + j;
	}
	return true;
}

/* A translation is good until the next safepoint, and to find the second may be one: what the first
 * found stays, for nobody unmaps a chunk, and nobody else the copy. */
static bool copy(struct worker *w, uint64_t to, uint64_t from, uint64_t pages)
{
	for (uint64_t offset = 0; offset < pages * QUIRE_PAGE_SIZE; offset += QUIRE_PAGE_SIZE) {
		const uint64_t *source = page_of(w, from + offset, QUIRE_READ);
		uint64_t *target = source ? page_of(w, to + offset, QUIRE_WRITE) : NULL;

		if (!target)
			return false;
		memcpy(target, source, QUIRE_PAGE_SIZE);
	}
	return true;
}

/* Whether the key is among so many words in ascending order. */
static bool search(struct worker *w, uint64_t base, uint64_t words, uint64_t key)
{
	uint64_t low = 0, high = words;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2, place = base + middle * sizeof(uint64_t);
		const uint64_t *word = page_of(w, place, QUIRE_READ);

		if (!word)
			return false;
		if (*word == key)
			return true;
		if (*word < key)
			low = middle + 1;
		else
			high = middle;
	}
	return bench_fail(w->run, "finding what was copied", 0);
}

static void ebizzy(struct worker *w)
{
	while (bench_running(w)) {
		uint64_t pages = 1 + bench_random(&w->random) % CHUNK_PAGES;
		uint64_t first = bench_random(&w->random) % (CHUNK_PAGES - pages + 1);
		uint64_t from = chunk(bench_random(&w->random) % CHUNKS) + first * QUIRE_PAGE_SIZE;
		uint64_t words = pages * PAGE_WORDS, to;
		uint64_t key = first * PAGE_WORDS + bench_random(&w->random) % words;

		if (!bench_map_anywhere(w->run, pages * QUIRE_PAGE_SIZE, &to) ||
		    !copy(w, to, from, pages) || !search(w, to, words, key) ||
		    !bench_unmap(w->run, to, pages * QUIRE_PAGE_SIZE))
			return;
		bench_count(w, 1);
	}
}

const struct loop bench_ebizzy[] = {
	{ .name = "ebizzy",
	  .group = "ebizzy",
	  .unit = "iterations",
	  .what = "map a chunk of random size, copy into it, search it, unmap it",
	  .min_cpus = 1,
	  .setup = map_chunks,
	  .prepare = fill_chunks,
	  .work = ebizzy },
	{ .name = NULL },
};
