/* SPDX-License-Identifier: MIT */
/* The operations whose instructions `quire bench --instructions` counts. */
#include "bench_operations.h"

#include <string.h>

static uint64_t page_at(uint64_t index)
{
	return ARENA_BASE + index * QUIRE_PAGE_SIZE;
}

static bool write_pages(struct worker *w, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (!bench_write(w, page_at(i)))
			return false;
	return true;
}

static bool read_pages(struct worker *w, uint64_t count)
{
	char value;

	for (uint64_t i = 0; i < count; i++)
		if (!bench_read(w, page_at(i), &value))
			return false;
	return true;
}

static bool fork_often(struct worker *w, uint64_t count)
{
	struct quire_mm *child;

	while (count-- > 0) {
		int r = quire_fork(w->run->mm, &child);

		if (r != 0)
			return bench_fail(w->run, "fork", r);
	}
	return true;
}

/* What to prepare. */

static bool mapped(struct worker *w)
{
	return bench_map(w->run, ARENA_BASE, OPERATION_PAGES * QUIRE_PAGE_SIZE);
}

static bool zero_mapped(struct worker *w)
{
	return mapped(w) && read_pages(w, OPERATION_PAGES);
}

static bool populated(struct worker *w)
{
	return mapped(w) && write_pages(w, OPERATION_PAGES);
}

static bool forked(struct worker *w)
{
	return populated(w) && fork_often(w, 1);
}

static bool forked_and_gone(struct worker *w)
{
	struct quire_mm *child;

	if (!populated(w) || quire_fork(w->run->mm, &child) != 0)
		return false;
	quire_mm_destroy(child);
	return true;
}

static bool populated_64(struct worker *w)
{
	return bench_map(w->run, ARENA_BASE, 64 * QUIRE_PAGE_SIZE) && write_pages(w, 64);
}

static bool populated_1(struct worker *w)
{
	return bench_map(w->run, ARENA_BASE, QUIRE_PAGE_SIZE) && write_pages(w, 1);
}

static bool file_mapped(struct worker *w, int prot, int kind)
{
	const uint64_t bytes = OPERATION_PAGES * QUIRE_PAGE_SIZE;

	return bench_open_file(w->run, 0, bytes) &&
	       bench_map_at(w->run, ARENA_BASE, bytes, prot, kind, 0);
}

static bool private_file(struct worker *w)
{
	return file_mapped(w, BENCH_RW, QUIRE_MAP_PRIVATE);
}

static bool shared_file(struct worker *w)
{
	return file_mapped(w, BENCH_RW, QUIRE_MAP_SHARED);
}

static bool shared_file_to_read(struct worker *w)
{
	return file_mapped(w, QUIRE_PROT_READ, QUIRE_MAP_SHARED);
}

/* Every page has been written, so that the file knows; no page is entered. */
static bool shared_file_written(struct worker *w)
{
	return shared_file(w) && write_pages(w, OPERATION_PAGES) &&
	       bench_advise(w->run, ARENA_BASE, OPERATION_PAGES * QUIRE_PAGE_SIZE,
			    QUIRE_MADV_DONTNEED);
}

static bool shared_memory(struct worker *w)
{
	return bench_map_at(w->run, ARENA_BASE, OPERATION_PAGES * QUIRE_PAGE_SIZE, BENCH_RW,
			    QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS, BENCH_ANONYMOUS);
}

/* What to count. */

static bool unmap_pages(struct worker *w, uint64_t count)
{
	return bench_unmap(w->run, ARENA_BASE, count * QUIRE_PAGE_SIZE);
}

static bool map_unmap(struct worker *w, uint64_t count, uint64_t bytes, bool touch)
{
	while (count-- > 0)
		if (!bench_map(w->run, ARENA_BASE, bytes) ||
		    (touch && !bench_write(w, ARENA_BASE)) ||
		    !bench_unmap(w->run, ARENA_BASE, bytes))
			return false;
	return true;
}

static bool map_unmap_page(struct worker *w, uint64_t count)
{
	return map_unmap(w, count, QUIRE_PAGE_SIZE, false);
}

static bool map_unmap_large(struct worker *w, uint64_t count)
{
	return map_unmap(w, count, 128 * MIB, false);
}

static bool map_touch_unmap(struct worker *w, uint64_t count)
{
	return map_unmap(w, count, QUIRE_PAGE_SIZE, true);
}

static bool protect_often(struct worker *w, uint64_t page, uint64_t count)
{
	while (count-- > 0)
		if (!bench_protect(w->run, page, QUIRE_PAGE_SIZE, QUIRE_PROT_READ) ||
		    !bench_protect(w->run, page, QUIRE_PAGE_SIZE, BENCH_RW))
			return false;
	return true;
}

static bool protect_split(struct worker *w, uint64_t count)
{
	return protect_often(w, page_at(32), count);
}

static bool protect_whole(struct worker *w, uint64_t count)
{
	return protect_often(w, page_at(0), count);
}

static bool protect_pages(struct worker *w, uint64_t count)
{
	return bench_protect(w->run, ARENA_BASE, count * QUIRE_PAGE_SIZE, QUIRE_PROT_READ);
}

static bool give_back(struct worker *w, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (!bench_advise(w->run, page_at(i), QUIRE_PAGE_SIZE, QUIRE_MADV_DONTNEED))
			return false;
	return true;
}

static bool populate(struct worker *w, uint64_t count)
{
	return bench_advise(w->run, ARENA_BASE, count * QUIRE_PAGE_SIZE, QUIRE_MADV_POPULATE_WRITE);
}

static bool brk_touch(struct worker *w, uint64_t count)
{
	while (count-- > 0)
		if (!bench_brk(w->run, HEAP_BASE + QUIRE_PAGE_SIZE) || !bench_write(w, HEAP_BASE) ||
		    !bench_brk(w->run, HEAP_BASE))
			return false;
	return true;
}

/* As the port clears and copies pages: for the columns "without the page". */

static unsigned char source[QUIRE_PAGE_SIZE], target[QUIRE_PAGE_SIZE];

/* The compiler must believe that somebody looks at the page. */
static void looked_at(void *page)
{
	__asm__ volatile("" : : "r"(page) : "memory");
}

static bool clear_page(struct worker *w, uint64_t count)
{
	(void)w;
	while (count-- > 0) {
		memset(target, 0, sizeof target);
		looked_at(target);
	}
	return true;
}

static bool copy_page(struct worker *w, uint64_t count)
{
	(void)w;
	looked_at(source); /* else it is known to be zero, and copying it is clearing */
	while (count-- > 0) {
		memcpy(target, source, sizeof target);
		looked_at(target);
	}
	return true;
}

const struct operation clear_operation = { "clear-page", NULL, clear_page, 100, 300, 1, 0, 0, 0 };
const struct operation copy_operation = { "copy-page", NULL, copy_page, 100, 300, 1, 0, 0, 0 };

const struct operation operations[] = {
	{ "translation-miss", populated, read_pages, 1024, 3072, 1, 0, 0, 1 },
	{ "first-write", mapped, write_pages, 1024, 3072, 1, 1, 0, 1 },
	{ "zero-read", mapped, read_pages, 1024, 3072, 1, 0, 0, 1 },
	{ "zero-write", zero_mapped, write_pages, 1024, 3072, 1, 1, 0, 1 },
	{ "cow-copy", forked, write_pages, 1024, 3072, 1, 0, 1, 1 },
	{ "cow-reuse", forked_and_gone, write_pages, 1024, 3072, 1, 0, 0, 1 },
	{ "file-private-write", private_file, write_pages, 1024, 3072, 1, 0, 1, 1 },
	{ "file-shared-write", shared_file, write_pages, 1024, 3072, 1, 0, 0, 1 },
	{ "file-shared-again", shared_file_written, write_pages, 1024, 3072, 1, 0, 0, 1 },
	{ "file-read-page", shared_file_to_read, read_pages, 1024, 3072, 1, 0, 0, 1 },
	{ "shared-first-write", shared_memory, write_pages, 1024, 3072, 1, 1, 0, 1 },
	{ "fork-page", populated, fork_often, 0, 1, OPERATION_PAGES, 0, 0, 0 },
	{ "munmap-page", populated, unmap_pages, 1024, 3072, 1, 0, 0, 0 },
	{ "munmap-zero-page", zero_mapped, unmap_pages, 1024, 3072, 1, 0, 0, 0 },
	{ "mmap-munmap", NULL, map_unmap_page, 200, 600, 1, 0, 0, 0 },
	{ "mmap-munmap-128m", NULL, map_unmap_large, 200, 600, 1, 0, 0, 0 },
	{ "mmap-touch-munmap", NULL, map_touch_unmap, 200, 600, 1, 1, 0, 1 },
	{ "mprotect-split", populated_64, protect_split, 200, 600, 2, 0, 0, 0 },
	{ "mprotect-vma", populated_1, protect_whole, 200, 600, 2, 0, 0, 0 },
	{ "mprotect-page", populated, protect_pages, 1024, 3072, 1, 0, 0, 0 },
	{ "dontneed", populated, give_back, 200, 600, 1, 0, 0, 0 },
	{ "populate-page", mapped, populate, 1024, 3072, 1, 1, 0, 0 },
	{ "brk-touch", NULL, brk_touch, 200, 600, 1, 1, 0, 1 },
	{ .name = NULL },
};

const struct operation *operation_find(const char *name)
{
	for (const struct operation *operation = operations; operation->name; operation++)
		if (strcmp(operation->name, name) == 0)
			return operation;
	if (strcmp(name, clear_operation.name) == 0)
		return &clear_operation;
	return strcmp(name, copy_operation.name) == 0 ? &copy_operation : NULL;
}
