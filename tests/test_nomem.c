/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out, at every point of every call.
 *
 * A scenario is a small world and one call in it. A clean run counts the call's allocations and
 * notes what the world looks like after it. Then, each time in a fresh world,
 *
 *     once      the n-th allocation fails, for every n (debug builds)
 *     short     only k frames and no spare small object are left, for each k: failure lasts
 *
 * and the call must have done all, or must say that there is no memory and have changed nothing;
 * with memory again it must succeed; and at the end every frame and every object must be back.
 */
#include "object/kinds.h"
#include "frame/rmap.h"
#include "space/machine.h"
#include "space/mm.h"
#include <quire/soft.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define ANONYMOUS (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)
#define FIXED (ANONYMOUS | QUIRE_MAP_FIXED)
#define MEMORY (8ull << 20)
#define FRAMES (MEMORY / PAGE_SIZE)
#define AREA 0x10000000ull   /* 16 written pages; more of them beside it in some worlds */
#define BEYOND 0x18000000ull /* free */
#define LARGE 0x20000000ull  /* LARGE_PAGES written pages in some worlds, across two leaves */
#define LARGE_PAGES 300ull
#define HEAP 0x30000000ull
#define STACK 0x40000000ull /* the lowest page of a stack */
#define SHOWN 0x44000000ull /* pages of an object, shared; behind them the same, private */
#define COPIED (SHOWN + PAGES(OBJECT_PAGES))
#define OBJECT_PAGES 16ull
#define FAR 4000ull /* where the pages of shared memory begin */
#define PAGES(n) ((n)*PAGE_SIZE)

/* What may be seen of a failure: */
enum {
	WHOLE = 0,
	RESIDENCY = 1, /* pages that were faulted in before memory ran out */
	LAYOUT = 2,    /* marks on VMAs: Linux, too, does them one by one */
	GROWN = 4,     /* a stack that grew before its page could not be had */
};

struct scenario {
	const char *name;
	void (*prepare)(void);
	int64_t (*call)(void);
	int allowed;
};

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm, *child;		     /* child: what a fork gave */
static struct quire_object *object;		     /* a file, or shared memory, in some worlds */
static uint64_t first_index;			     /* of its pages that are mapped */
static unsigned char store[OBJECT_PAGES][PAGE_SIZE]; /* what the file is kept in */
static enum quire_mode mode;
static unsigned levels;

/* --- worlds */

static void map(uint64_t address, uint64_t pages, int prot)
{
	assert_int_equal(quire_mmap(mm, address, PAGES(pages), prot, FIXED), address);
}

/* A mark in three places of the page, which says where it was written. */
static void put(uint64_t address, uint64_t value)
{
	assert_true(quire_soft_store(cpu, address, 8, address + value));
	assert_true(quire_soft_store(cpu, address + 2048, 8, address + value + 1));
	assert_true(quire_soft_store(cpu, address + PAGE_SIZE - 8, 8, address + value + 2));
}

static void fill(uint64_t address, uint64_t pages)
{
	map(address, pages, RW);
	for (uint64_t i = 0; i < pages; i++)
		put(address + PAGES(i), i);
}

static void empty(void)
{
}

static void area(void)
{
	fill(AREA, 16);
}

static void area_in_parts(void)
{
	area();
	assert_int_equal(quire_mprotect(mm, AREA + PAGES(4), PAGES(2), QUIRE_PROT_READ), 0);
	assert_int_equal(quire_munmap(mm, AREA + PAGES(9), PAGES(1)), 0);
	assert_int_equal(quire_madvise(mm, AREA + PAGES(12), PAGES(2), QUIRE_MADV_DONTFORK), 0);
}

static void area_protected(void)
{
	area();
	assert_int_equal(quire_mprotect(mm, AREA + PAGES(4), PAGES(4), QUIRE_PROT_READ), 0);
}

static void area_locked(void)
{
	area();
	assert_int_equal(quire_mlock(mm, AREA + PAGES(4), PAGES(4)), 0);
}

static void large(void)
{
	area();
	fill(LARGE + PAGES(400), LARGE_PAGES);
}

static void two_areas(void)
{
	area();
	fill(BEYOND + PAGES(500), 24);
}

static void many_vmas(void)
{
	for (uint64_t i = 0; i < 60; i++)
		map(AREA + PAGES(i), 1, i % 2 ? QUIRE_PROT_READ : RW);
	for (uint64_t i = 0; i < 60; i += 2)
		put(AREA + PAGES(i), i);
}

static void zero_pages(void)
{
	uint64_t value;

	map(AREA, 16, RW);
	for (uint64_t i = 0; i < 16; i++)
		assert_true(quire_soft_load(cpu, AREA + PAGES(i), 8, &value));
}

static void unmapped_leaf(void)
{
	map(AREA, 16, RW);
}

/* A table is there down to this level: a page in the span of one of its entries was touched. */
static void table_of(unsigned level)
{
	map(AREA, 16, RW);
	fill((AREA ^ table_entry_span(level)) & ~(table_entry_span(level) - 1), 1);
}

static void table_1(void)
{
	table_of(1);
}

static void table_2(void)
{
	table_of(2);
}

static void table_3(void)
{
	table_of(3);
}

static void forked(void)
{
	area();
	assert_int_equal(quire_fork(mm, &child), 0);
}

static void forked_and_left(void)
{
	forked();
	quire_mm_destroy(child);
	child = NULL;
}

static void stack(void)
{
	assert_int_equal(quire_mmap(mm, STACK, PAGES(4), RW, FIXED | QUIRE_MAP_GROWSDOWN), STACK);
	put(STACK, 0);
}

static void file(void)
{
	area();
	memset(store, 0, sizeof(store));
	for (uint64_t i = 0; i < OBJECT_PAGES; i++)
		memcpy(store[i] + 2048, &(uint64_t){ 0x6b657074 + i }, 8);
	first_index = 0;
	assert_int_equal(quire_memory_file_create(store, sizeof(store), true, NULL, &object), 0);
}

static void memory(void)
{
	area();
	first_index = FAR;
	assert_int_equal(quire_shared_create(PAGES(FAR + OBJECT_PAGES), NULL, &object), 0);
}

static void show(uint64_t address, uint64_t pages, int prot, int flags)
{
	assert_int_equal(quire_mmap_object(mm, address, PAGES(pages), prot, flags | QUIRE_MAP_FIXED,
					   object, PAGES(first_index), 7),
			 address);
}

static void file_mapped(void)
{
	file();
	show(SHOWN, OBJECT_PAGES, RW, QUIRE_MAP_SHARED);
	show(COPIED, OBJECT_PAGES, RW, QUIRE_MAP_PRIVATE);
}

static void memory_mapped(void)
{
	memory();
	show(SHOWN, OBJECT_PAGES, RW, QUIRE_MAP_SHARED);
	show(COPIED, OBJECT_PAGES, RW, QUIRE_MAP_PRIVATE);
}

/* Some pages written, some copied, some read. */
static void use_object(void)
{
	uint64_t value;

	for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
		assert_true(quire_soft_load(cpu, SHOWN + PAGES(i), 8, &value));
		if (i % 3 == 0)
			put(SHOWN + PAGES(i), i);
		if (i % 3 == 1)
			put(COPIED + PAGES(i), i);
		else
			assert_true(quire_soft_load(cpu, COPIED + PAGES(i), 8, &value));
	}
}

static void file_used(void)
{
	file_mapped();
	use_object();
}

static void memory_used(void)
{
	memory_mapped();
	use_object();
}

/* All is in the cache, nothing is entered. */
static void file_resident(void)
{
	file_mapped();
	quire_object_readahead(object, 0, sizeof(store));
}

static void file_forked(void)
{
	file_used();
	assert_int_equal(quire_fork(mm, &child), 0);
}

static void heap(void)
{
	assert_int_equal(quire_brk(mm, HEAP + PAGES(40) + 100), HEAP + PAGES(40) + 100);
	for (uint64_t i = 0; i < 40; i++)
		put(HEAP + PAGES(i), i);
}

/* --- calls */

static int64_t mmap_anywhere(void)
{
	return quire_mmap(mm, 0, PAGES(3), QUIRE_PROT_READ, ANONYMOUS);
}

static int64_t mmap_merging(void)
{
	return quire_mmap(mm, AREA + PAGES(16), PAGES(3), RW, ANONYMOUS);
}

static int64_t mmap_into_hole(void)
{
	return quire_mmap(mm, AREA + PAGES(9), PAGES(1), RW, FIXED);
}

static int64_t mmap_noreplace(void)
{
	return quire_mmap(mm, BEYOND, PAGES(5), RW, ANONYMOUS | QUIRE_MAP_FIXED_NOREPLACE);
}

static int64_t mmap_over_middle(void)
{
	return quire_mmap(mm, AREA + PAGES(5), PAGES(4), QUIRE_PROT_READ, FIXED);
}

static int64_t mmap_over_same(void)
{
	return quire_mmap(mm, AREA + PAGES(5), PAGES(4), RW, FIXED);
}

static int64_t mmap_over_parts(void)
{
	return quire_mmap(mm, AREA + PAGES(2), PAGES(12), RW, FIXED);
}

static int64_t mmap_over_large(void)
{
	return quire_mmap(mm, LARGE, PAGES(1000), RW, FIXED);
}

static int64_t mmap_populate(void)
{
	return quire_mmap(mm, BEYOND, PAGES(6), RW, FIXED | QUIRE_MAP_POPULATE);
}

static int64_t mmap_locked(void)
{
	return quire_mmap(mm, BEYOND, PAGES(6), RW, FIXED | QUIRE_MAP_LOCKED);
}

static int64_t munmap_middle(void)
{
	return quire_munmap(mm, AREA + PAGES(5), PAGES(4));
}

static int64_t munmap_all(void)
{
	return quire_munmap(mm, AREA, PAGES(64));
}

static int64_t munmap_large(void)
{
	return quire_munmap(mm, LARGE, PAGES(1000));
}

static int64_t munmap_some(void)
{
	return quire_munmap(mm, AREA + PAGES(11), PAGES(36));
}

static int64_t mprotect_middle(void)
{
	return quire_mprotect(mm, AREA + PAGES(5), PAGES(4), QUIRE_PROT_READ);
}

static int64_t mprotect_none(void)
{
	return quire_mprotect(mm, AREA, PAGES(16), QUIRE_PROT_NONE);
}

static int64_t mprotect_back(void)
{
	return quire_mprotect(mm, AREA + PAGES(4), PAGES(4), RW);
}

static int64_t mprotect_many(void)
{
	return quire_mprotect(mm, AREA + PAGES(7), PAGES(40), QUIRE_PROT_READ | QUIRE_PROT_EXEC);
}

static int64_t pkey_mprotect_middle(void)
{
	return quire_pkey_mprotect(mm, AREA + PAGES(5), PAGES(4), RW, 0);
}

static int64_t mremap_shrink(void)
{
	return quire_mremap(mm, AREA, PAGES(16), PAGES(5), 0, 0);
}

static int64_t mremap_shrink_middle(void)
{
	return quire_mremap(mm, AREA + PAGES(4), PAGES(8), PAGES(5), 0, 0);
}

static int64_t mremap_grow(void)
{
	return quire_mremap(mm, AREA, PAGES(16), PAGES(25), 0, 0);
}

static int64_t mremap_move(void)
{
	return quire_mremap(mm, AREA, PAGES(8), PAGES(20), QUIRE_MREMAP_MAYMOVE, 0);
}

static int64_t mremap_middle(void)
{
	return quire_mremap(mm, AREA + PAGES(4), PAGES(4), PAGES(4),
			    QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, BEYOND + PAGES(510));
}

static int64_t mremap_over(void)
{
	return quire_mremap(mm, AREA + PAGES(4), PAGES(8), PAGES(14),
			    QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, BEYOND + PAGES(505));
}

static int64_t mremap_far(void)
{
	return quire_mremap(mm, AREA, PAGES(16), PAGES(16),
			    QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, 0x600000000000 - PAGES(8));
}

static int64_t mremap_large(void)
{
	return quire_mremap(mm, LARGE + PAGES(400), PAGES(LARGE_PAGES), PAGES(LARGE_PAGES),
			    QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, BEYOND + PAGES(300));
}

static int64_t mremap_dontunmap(void)
{
	return quire_mremap(mm, AREA + PAGES(2), PAGES(8), PAGES(8),
			    QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_DONTUNMAP, 0);
}

static int64_t madvise_dontneed(void)
{
	return quire_madvise(mm, AREA + PAGES(5), PAGES(4), QUIRE_MADV_DONTNEED);
}

static int64_t madvise_dontneed_large(void)
{
	return quire_madvise(mm, LARGE + PAGES(400), PAGES(LARGE_PAGES), QUIRE_MADV_DONTNEED);
}

static int64_t madvise_dontfork(void)
{
	return quire_madvise(mm, AREA + PAGES(5), PAGES(4), QUIRE_MADV_DONTFORK);
}

static int64_t madvise_populate_read(void)
{
	return quire_madvise(mm, AREA, PAGES(16), QUIRE_MADV_POPULATE_READ);
}

static int64_t madvise_populate_write(void)
{
	return quire_madvise(mm, AREA, PAGES(16), QUIRE_MADV_POPULATE_WRITE);
}

static int64_t mlock_middle(void)
{
	return quire_mlock(mm, AREA + PAGES(5), PAGES(4));
}

static int64_t mlock_onfault(void)
{
	return quire_mlock2(mm, AREA + PAGES(5), PAGES(4), QUIRE_MLOCK_ONFAULT);
}

static int64_t munlock_middle(void)
{
	return quire_munlock(mm, AREA + PAGES(5), PAGES(2));
}

static int64_t munlock_merging(void)
{
	return quire_munlock(mm, AREA, PAGES(16));
}

static int64_t mlockall_both(void)
{
	return quire_mlockall(mm, QUIRE_MCL_CURRENT | QUIRE_MCL_FUTURE);
}

static int64_t munlockall(void)
{
	return quire_munlockall(mm);
}

static int64_t brk_to(uint64_t pages)
{
	uint64_t want = HEAP + PAGES(pages) + 8;

	return quire_brk(mm, want) == want ? (int64_t)want : -QUIRE_ENOMEM;
}

static int64_t brk_begin(void)
{
	return brk_to(4);
}

static int64_t brk_grow(void)
{
	return brk_to(50);
}

static int64_t brk_shrink(void)
{
	return brk_to(2);
}

static int64_t do_fork(void)
{
	return quire_fork(mm, &child);
}

static int64_t fork_child(void)
{
	struct quire_mm *parent = child, *second;
	int error = quire_fork(parent, &second);

	if (error == 0)
		quire_mm_destroy(second);
	return error;
}

static int64_t create(void)
{
	struct quire_mm *other;
	int error = quire_mm_create(NULL, &other);

	if (error == 0)
		quire_mm_destroy(other);
	return error;
}

static int64_t fault(uint64_t address, enum quire_access access)
{
	switch (quire_fault(mm, address, access)) {
	case QUIRE_FAULT_DONE:
		return 0;
	case QUIRE_FAULT_OOM:
		return -QUIRE_ENOMEM;
	default:
		return -QUIRE_EFAULT;
	}
}

static int64_t fault_read(void)
{
	return fault(AREA + PAGES(7), QUIRE_READ);
}

static int64_t fault_write(void)
{
	return fault(AREA + PAGES(7), QUIRE_WRITE);
}

static int64_t fault_growth(void)
{
	return fault(STACK - PAGES(5), QUIRE_WRITE);
}

/* --- calls, with objects */

static int64_t object_create(void)
{
	struct quire_object *file_object;
	int error = quire_memory_file_create(store, sizeof(store), true, NULL, &file_object);

	if (!error)
		quire_object_put(file_object);
	return error;
}

static int64_t mmap_object(void)
{
	return quire_mmap_object(mm, 0, PAGES(5), RW, QUIRE_MAP_SHARED, object,
				 PAGES(first_index + 4), 7);
}

static int64_t mmap_object_over(void)
{
	return quire_mmap_object(mm, SHOWN + PAGES(12), PAGES(8), RW,
				 QUIRE_MAP_PRIVATE | QUIRE_MAP_FIXED, object, PAGES(first_index),
				 7);
}

static int64_t mmap_object_merging(void)
{
	return quire_mmap_object(mm, SHOWN - PAGES(4), PAGES(8), RW,
				 QUIRE_MAP_SHARED | QUIRE_MAP_FIXED, object, PAGES(FAR - 4), 7);
}

static int64_t mmap_object_populate(void)
{
	return quire_mmap_object(mm, 0, PAGES(12), QUIRE_PROT_READ,
				 QUIRE_MAP_SHARED | QUIRE_MAP_POPULATE, object, PAGES(first_index),
				 7);
}

static int64_t mmap_shared(void)
{
	return quire_mmap(mm, BEYOND, PAGES(6), RW,
			  QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED);
}

static int64_t munmap_object(void)
{
	return quire_munmap(mm, SHOWN + PAGES(8), PAGES(16));
}

static int64_t munmap_objects(void)
{
	return quire_munmap(mm, SHOWN, PAGES(2 * OBJECT_PAGES));
}

static int64_t mprotect_object(void)
{
	return quire_mprotect(mm, SHOWN + PAGES(2), PAGES(4), QUIRE_PROT_READ);
}

static int64_t mremap_object(void)
{
	return quire_mremap(mm, SHOWN + PAGES(2), PAGES(9), PAGES(20), QUIRE_MREMAP_MAYMOVE, 0);
}

static int64_t mremap_copies(void)
{
	return quire_mremap(mm, COPIED, PAGES(16), PAGES(16),
			    QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, SHOWN + PAGES(508));
}

static int64_t mremap_duplicate(void)
{
	return quire_mremap(mm, SHOWN + PAGES(2), 0, PAGES(5), QUIRE_MREMAP_MAYMOVE, 0);
}

static int64_t fault_shown_read(void)
{
	return fault(SHOWN + PAGES(5), QUIRE_READ);
}

static int64_t fault_shown_write(void)
{
	return fault(SHOWN + PAGES(5), QUIRE_WRITE);
}

static int64_t fault_copied_read(void)
{
	return fault(COPIED + PAGES(5), QUIRE_READ);
}

static int64_t fault_copied_write(void)
{
	return fault(COPIED + PAGES(5), QUIRE_WRITE);
}

/* What it reports as done must be done. */
static int64_t sync_object(void)
{
	int error = quire_msync(mm, SHOWN, PAGES(OBJECT_PAGES), QUIRE_MS_SYNC);
	uint64_t value = 0;

	memcpy(&value, store[3], 8);
	assert_true(error || value == SHOWN + PAGES(3) + 3);
	return error;
}

static int64_t truncate_smaller(void)
{
	return quire_object_truncate(object, PAGES(first_index + 4) + 100);
}

/* Away and back: what comes back is zero. */
static int64_t truncate_both(void)
{
	int error = quire_object_truncate(object, PAGES(first_index + 4) + 100);

	return error ? error : quire_object_truncate(object, PAGES(first_index + OBJECT_PAGES + 3));
}

static int64_t remove_some(void)
{
	return quire_object_remove(object, PAGES(first_index + 3), PAGES(6));
}

static int64_t advise_pageout(void)
{
	return quire_madvise(mm, SHOWN, PAGES(OBJECT_PAGES), QUIRE_MADV_PAGEOUT);
}

static int64_t advise_willneed(void)
{
	return quire_madvise(mm, SHOWN, PAGES(OBJECT_PAGES), QUIRE_MADV_WILLNEED);
}

static int64_t object_read(void)
{
	uint64_t value;

	return quire_object_read(object, PAGES(first_index + 7) + 2048, &value, 8);
}

static int64_t object_write(void)
{
	uint64_t value = 0x77726974;

	return quire_object_write(object, PAGES(first_index + 7) + 2048, &value, 8);
}

static int64_t object_write_page(void)
{
	static const unsigned char page[PAGE_SIZE] = { 1, 2, 3 };

	return quire_object_write(object, PAGES(first_index + 9), page, PAGE_SIZE);
}

/* --- what a world looks like */

struct view {
	struct quire_vma_info vmas[160]; /* neighbours that are equal joined */
	unsigned vma_count;
	struct {
		uint64_t address, value;
		bool own; /* has a page, not the zero page */
	} pages[1200];
	unsigned page_count;
	unsigned object_count; /* pages of objects that are entered */
	uint64_t brk;
	struct quire_stats stats;
};

struct world {
	struct view parent, child;
	bool has_child;
	uint64_t size, contents[OBJECT_PAGES]; /* of the object */
};

static bool equal_vmas(const struct quire_vma_info *a, const struct quire_vma_info *b)
{
	return a->start == b->start && a->end == b->end && a->prot == b->prot && a->key == b->key &&
	       a->locked == b->locked && a->growsdown == b->growsdown &&
	       a->dontfork == b->dontfork && a->shared == b->shared && a->object == b->object &&
	       a->offset == b->offset;
}

static const struct quire_object a_known, a_new; /* stand for objects: ours, and others */

static void see_vmas(struct quire_mm *of, struct view *view)
{
	struct quire_vma_info info, joined;

	for (uint64_t at = 0; quire_vma_find(of, at, &info) == 0; at = info.end) {
		struct quire_vma_info *last = view->vma_count ? &view->vmas[view->vma_count - 1]
							      : NULL;

		if (last && last->end == info.start) {
			joined = info;
			joined.start = last->start;
			if (info.object)
				joined.offset -= info.start - last->start;
			last->end = info.end;
			if (equal_vmas(last, &joined))
				continue;
			last->end = info.start;
		}
		assert_true(view->vma_count < 160);
		view->vmas[view->vma_count++] = info;
	}
	/* In another world it is another one. */
	for (unsigned i = 0; i < view->vma_count; i++)
		if (view->vmas[i].object)
			view->vmas[i].object = view->vmas[i].object == object ? &a_known : &a_new;
}

/* A page without an entry and one with the zero page look the same. Nothing is touched. */
static void see_page(struct quire_mm *of, uint64_t address, struct view *view)
{
	struct walk walk;
	pte entry = PTE_NONE;

	if (table_walk(&of->tables, address, &walk) == WALK_LEAF)
		entry = at_load(walk.slot);
	if (entry == PTE_NONE || pte_pfn(entry) == frame_pfn(frame_zero))
		return;
	assert_true(pte_is_mapped(entry) && view->page_count < 1200);
	if (frame_of(pte_pfn(entry))->kind == FRAME_OBJECT) {
		view->object_count++;
		return;
	}

	const uint64_t *words = port_frame(pte_pfn(entry));

	view->pages[view->page_count].address = address;
	view->pages[view->page_count].value = words[0] + 3 * words[256] + 5 * words[511];
	view->page_count++;
}

static void see(struct quire_mm *of, struct view *view)
{
	memset(view, 0, sizeof(*view));
	see_vmas(of, view);
	section_enter();
	for (unsigned i = 0; i < view->vma_count; i++)
		for (uint64_t at = view->vmas[i].start; at < view->vmas[i].end; at += PAGE_SIZE)
			see_page(of, at, view);
	section_leave();
	view->brk = quire_brk(of, 0);
	quire_stats(of, &view->stats);
	assert_int_equal(view->stats.anonymous, view->page_count);
	assert_int_equal(view->stats.object_pages, view->object_count);
}

/* What a page of the object holds, or would once it is fetched. Nothing is fetched. */
static uint64_t object_page(uint64_t index)
{
	struct frame *page;
	uint64_t value = 0;

	section_enter();
	page = page_get(object, first_index + index);
	if (page || object->tracks) {
		const unsigned char *bytes = page ? frame_bytes(page) : store[index];

		for (unsigned i = 0; i < PAGE_SIZE; i += 8)
			value = value * 31 + *(const uint64_t *)(bytes + i);
	}
	if (page)
		frame_put(page);
	section_leave();
	return value;
}

/* Neither does it matter which pages are in the cache, nor which are entered. */
static void see_object(struct world *world)
{
	world->size = object ? quire_object_size(object) : 0;
	for (uint64_t i = 0; i < OBJECT_PAGES; i++)
		world->contents[i] = PAGES(first_index + i) < world->size ? object_page(i) : 0;
}

static void look(struct world *world)
{
	const char *wrong = quire_validate(NULL);

	if (wrong)
		fail_msg("%s", wrong);
	see(mm, &world->parent);
	see_object(world);
	world->has_child = child != NULL;
	if (child)
		see(child, &world->child);
}

/* Pages with nothing in them are left out where residency may differ. */
static unsigned next_page(const struct view *view, unsigned i, bool residency)
{
	while (residency && i < view->page_count && view->pages[i].value == 0)
		i++;
	return i;
}

static const char *differ(const struct view *a, const struct view *b, int allowed)
{
	unsigned i = 0, j = 0;

	for (;; i++, j++) {
		i = next_page(a, i, allowed & RESIDENCY);
		j = next_page(b, j, allowed & RESIDENCY);
		if (i >= a->page_count || j >= b->page_count)
			break;
		if (a->pages[i].address != b->pages[j].address)
			return "a page has appeared or gone";
		if (a->pages[i].value != b->pages[j].value)
			return "a page's contents have changed";
	}
	if (i < a->page_count || j < b->page_count)
		return "pages have appeared or gone at the end";
	if (a->brk != b->brk)
		return "the break has moved";
	if (allowed & GROWN)
		return NULL;
	if (a->stats.mapped != b->stats.mapped)
		return "the bytes mapped have changed";
	if (allowed & LAYOUT)
		return NULL;
	if (a->stats.locked != b->stats.locked || a->stats.data != b->stats.data)
		return "the bytes locked or of data have changed";
	if (a->vma_count != b->vma_count)
		return "the layout has changed";
	for (i = 0; i < a->vma_count; i++)
		if (!equal_vmas(&a->vmas[i], &b->vmas[i]))
			return "a VMA has changed";
	return NULL;
}

static const char *worlds_differ(const struct world *a, const struct world *b, int allowed)
{
	const char *how = differ(&a->parent, &b->parent, allowed);

	if (!how && a->has_child != b->has_child)
		return "a child has appeared or gone";
	if (!how && (a->size != b->size || memcmp(a->contents, b->contents, sizeof(a->contents))))
		return "the object has changed";
	if (!how && a->has_child)
		how = differ(&a->child, &b->child, allowed);
	return how;
}

/* --- nothing is lost */

static struct slab *const caches[] = {
	&vma_slab,    &tree_slab,  &rmap_slab,	&mm_slab,   &mapping_slab,
	&object_slab, &cache_slab, &pages_slab, &file_slab,
};
#define CACHES (sizeof(caches) / sizeof(caches[0]))

static uint64_t free_frames(void)
{
	struct quire_memory_stats stats;

	assert_int_equal(quire_barrier(0), 0);
	for (unsigned i = 0; i < CACHES; i++)
		assert_int_equal(slab_drain(caches[i]), 0);
	quire_memory_stats(&stats);
	assert_int_equal(stats.deferred, 0);
	return stats.free;
}

static void begin(const struct scenario *s)
{
	const struct quire_mm_config config = {
		.mode = mode,
		.mmap_top = 0x7f0000000000,
		.brk_start = HEAP,
	};

	assert_int_equal(quire_mm_create(&config, &mm), 0);
	quire_soft_switch(cpu, mm);
	child = NULL;
	s->prepare();
	assert_int_equal(quire_barrier(0), 0);
}

static void end(uint64_t free_before)
{
	quire_soft_switch(cpu, NULL);
	if (child)
		quire_mm_destroy(child);
	quire_mm_destroy(mm);
	child = mm = NULL;
	if (object)
		quire_object_put(object);
	object = NULL;
	assert_int_equal(free_frames(), free_before);
}

/* Take all memory but so many frames, and everything out of the caches. */
static struct {
	struct frame *frames[FRAMES];
	unsigned frame_count;
	void *objects[CACHES][8192];
	unsigned object_count[CACHES];
} hog;

static void hog_memory(unsigned left)
{
	section_enter();
	while ((hog.frames[hog.frame_count] = frame_alloc(0)))
		hog.frame_count++;
	for (unsigned i = 0; i < CACHES; i++)
		while ((hog.objects[i][hog.object_count[i]] = slab_alloc(caches[i])))
			hog.object_count[i]++;
	while (left-- && hog.frame_count)
		frame_put(hog.frames[--hog.frame_count]);
	section_leave();
}

static void hog_release(void)
{
	section_enter();
	for (unsigned i = 0; i < CACHES; i++)
		while (hog.object_count[i])
			slab_free(caches[i], hog.objects[i][--hog.object_count[i]]);
	while (hog.frame_count)
		frame_put(hog.frames[--hog.frame_count]);
	section_leave();
}

/* --- one scenario */

static const char *const mode_names[] = { "speculative", "vma-lock", "classic" };
static struct world before, after, now;

static bool says_no_memory(int64_t result)
{
	/* EAGAIN: what mlock says of pages that could not be had. */
	return result == -QUIRE_ENOMEM || result == -QUIRE_EAGAIN;
}

#define check(s, how, n, condition, text)                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s, %s, %s %u: %s", (s)->name, mode_names[mode], (how),          \
				 (unsigned)(n), (text));                                           \
	} while (0)

/* The call has been made with too little memory. */
static void check_outcome(const struct scenario *s, const char *how, unsigned n, int64_t result,
			  int64_t expected)
{
	const char *wrong;

	look(&now);
	if (result == expected) {
		wrong = worlds_differ(&now, &after, s->allowed & RESIDENCY);
		check(s, how, n, !wrong, wrong);
		return;
	}
	check(s, how, n, says_no_memory(result), "another result");
	wrong = worlds_differ(&now, &before, s->allowed);
	check(s, how, n, !wrong, wrong);
	result = s->call();
	check(s, how, n, result == expected, "fails with memory again");
	look(&now);
	wrong = worlds_differ(&now, &after, WHOLE);
	check(s, how, n, !wrong, wrong);
}

/* What the call does when nothing fails. Returns the number of its allocations. */
static unsigned run_clean(const struct scenario *s, uint64_t free_before, int64_t *expected)
{
	unsigned count;

	begin(s);
	look(&before);
	inject_set(0);
	*expected = s->call();
	count = (unsigned)inject_count();
	check(s, "clean", 0, *expected >= 0, "fails");
	look(&after);
	end(free_before);
	return count;
}

static void run(void **state)
{
	const struct scenario *s = *state;
	uint64_t free_before = free_frames();
	int64_t expected, result;
	unsigned count = run_clean(s, free_before, &expected);

	for (unsigned n = 1; n <= count; n++) {
		begin(s);
		inject_set(n);
		result = s->call();
		inject_set(0);
		check_outcome(s, "failing allocation", n, result, expected);
		end(free_before);
	}
	for (unsigned left = 0; left < 12; left++) {
		begin(s);
		hog_memory(left);
		result = s->call();
		hog_release();
		check_outcome(s, "frames left", left, result, expected);
		end(free_before);
	}
}

static const struct scenario scenarios[] = {
	{ "create", empty, create, WHOLE },
	{ "mmap anywhere", area, mmap_anywhere, WHOLE },
	{ "mmap, the first", empty, mmap_anywhere, WHOLE },
	{ "mmap merging", area, mmap_merging, WHOLE },
	{ "mmap into a hole", area_in_parts, mmap_into_hole, WHOLE },
	{ "mmap noreplace", area, mmap_noreplace, WHOLE },
	{ "mmap over the middle", area, mmap_over_middle, WHOLE },
	{ "mmap over the same", area, mmap_over_same, WHOLE },
	{ "mmap over parts", area_in_parts, mmap_over_parts, WHOLE },
	{ "mmap over a large area", large, mmap_over_large, WHOLE },
	{ "mmap populate", area, mmap_populate, RESIDENCY },
	{ "mmap locked", area, mmap_locked, RESIDENCY },
	{ "munmap the middle", area, munmap_middle, WHOLE },
	{ "munmap all", area, munmap_all, WHOLE },
	{ "munmap all of many", many_vmas, munmap_all, WHOLE },
	{ "munmap some of many", many_vmas, munmap_some, WHOLE },
	{ "munmap a large area", large, munmap_large, WHOLE },
	{ "munmap shared pages", forked, munmap_middle, WHOLE },
	{ "mprotect the middle", area, mprotect_middle, WHOLE },
	{ "mprotect none", area, mprotect_none, WHOLE },
	{ "mprotect back", area_protected, mprotect_back, WHOLE },
	{ "mprotect many", many_vmas, mprotect_many, LAYOUT },
	{ "pkey_mprotect", area_protected, pkey_mprotect_middle, LAYOUT },
	{ "mremap shrink", area, mremap_shrink, WHOLE },
	{ "mremap shrink the middle", area, mremap_shrink_middle, WHOLE },
	{ "mremap grow", area, mremap_grow, WHOLE },
	{ "mremap move", area, mremap_move, WHOLE },
	{ "mremap the middle", area, mremap_middle, WHOLE },
	{ "mremap over", two_areas, mremap_over, WHOLE },
	{ "mremap far", area, mremap_far, WHOLE },
	{ "mremap a large area", large, mremap_large, WHOLE },
	{ "mremap dontunmap", area, mremap_dontunmap, WHOLE },
	{ "mremap shared pages", forked, mremap_move, WHOLE },
	{ "madvise dontneed", area, madvise_dontneed, WHOLE },
	{ "madvise dontneed, a large area", large, madvise_dontneed_large, WHOLE },
	{ "madvise dontfork", area, madvise_dontfork, WHOLE },
	{ "madvise populate read", unmapped_leaf, madvise_populate_read, RESIDENCY },
	{ "madvise populate write", unmapped_leaf, madvise_populate_write, RESIDENCY },
	{ "mlock", area, mlock_middle, RESIDENCY | LAYOUT },
	{ "mlock unpopulated", unmapped_leaf, mlock_middle, RESIDENCY | LAYOUT },
	{ "mlock onfault", area, mlock_onfault, WHOLE },
	{ "munlock", area_locked, munlock_middle, WHOLE },
	{ "munlock merging", area_locked, munlock_merging, LAYOUT },
	{ "mlockall", area_in_parts, mlockall_both, RESIDENCY | LAYOUT },
	{ "munlockall", area_locked, munlockall, LAYOUT },
	{ "brk, the first", area, brk_begin, WHOLE },
	{ "brk grow", heap, brk_grow, WHOLE },
	{ "brk shrink", heap, brk_shrink, WHOLE },
	{ "fork", area, do_fork, WHOLE },
	{ "fork of parts", area_in_parts, do_fork, WHOLE },
	{ "fork of many", many_vmas, do_fork, WHOLE },
	{ "fork of a large area", large, do_fork, WHOLE },
	{ "fork of zero pages", zero_pages, do_fork, WHOLE },
	{ "fork of a child", forked, fork_child, WHOLE },
	{ "read, no table", unmapped_leaf, fault_read, WHOLE },
	{ "write, no table", unmapped_leaf, fault_write, WHOLE },
	{ "write, table of level 3", table_3, fault_write, WHOLE },
	{ "write, table of level 2", table_2, fault_write, WHOLE },
	{ "write, table of level 1", table_1, fault_write, WHOLE },
	{ "write over the zero page", zero_pages, fault_write, WHOLE },
	{ "write, copy", forked, fault_write, WHOLE },
	{ "write, reuse", forked_and_left, fault_write, WHOLE },
	{ "stack growth", stack, fault_growth, GROWN },
	{ "create a file", area, object_create, WHOLE },
	{ "mmap a file", file, mmap_object, WHOLE },
	{ "mmap a file over itself", file_used, mmap_object_over, WHOLE },
	{ "mmap memory, merging", memory_used, mmap_object_merging, WHOLE },
	{ "mmap a file, populate", file, mmap_object_populate, RESIDENCY },
	{ "mmap memory, populate", memory, mmap_object_populate, RESIDENCY },
	{ "mmap shared", area, mmap_shared, WHOLE },
	{ "munmap parts of a file", file_used, munmap_object, WHOLE },
	{ "munmap a file", file_used, munmap_objects, WHOLE },
	{ "munmap memory", memory_used, munmap_objects, WHOLE },
	{ "mprotect a file", file_used, mprotect_object, WHOLE },
	{ "mremap a file", file_used, mremap_object, WHOLE },
	{ "mremap memory", memory_used, mremap_object, WHOLE },
	{ "mremap copies", file_used, mremap_copies, WHOLE },
	{ "mremap a second mapping", file_used, mremap_duplicate, WHOLE },
	{ "fork with a file", file_used, do_fork, WHOLE },
	{ "fork with memory", memory_used, do_fork, WHOLE },
	{ "read a file", file_mapped, fault_shown_read, WHOLE },
	{ "read a file, resident", file_resident, fault_shown_read, WHOLE },
	{ "write a file", file_mapped, fault_shown_write, WHOLE },
	{ "write a file, resident", file_resident, fault_shown_write, WHOLE },
	{ "write a file, read", file_used, fault_shown_write, WHOLE },
	{ "read a file, private", file_mapped, fault_copied_read, WHOLE },
	{ "write a file, private", file_mapped, fault_copied_write, WHOLE },
	{ "write a file, private, read", file_used, fault_copied_write, WHOLE },
	{ "write a file, private, forked", file_forked, fault_copied_write, WHOLE },
	{ "read memory", memory_mapped, fault_shown_read, WHOLE },
	{ "write memory", memory_mapped, fault_shown_write, WHOLE },
	{ "write memory, private", memory_mapped, fault_copied_write, WHOLE },
	{ "msync", file_used, sync_object, WHOLE },
	{ "msync, forked", file_forked, sync_object, WHOLE },
	{ "truncate memory", memory_used, truncate_smaller, WHOLE },
	{ "truncate memory both ways", memory_used, truncate_both, WHOLE },
	{ "remove from a file", file_used, remove_some, WHOLE },
	{ "remove from memory", memory_used, remove_some, WHOLE },
	{ "madvise pageout", file_forked, advise_pageout, WHOLE },
	{ "madvise willneed", file_mapped, advise_willneed, WHOLE },
	{ "read by call", file, object_read, WHOLE },
	{ "write by call", file, object_write, WHOLE },
	{ "write by call, to memory", memory, object_write, WHOLE },
	{ "write by call, a page", file, object_write_page, WHOLE },
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --- until nothing goes any more */

/* One kind of call after the other, whatever it says. */
static void any_call(unsigned turn)
{
	const uint64_t place = AREA + PAGES(32) * (turn * 7 % 200);
	uint64_t value = 0;

	switch (turn % 9) {
	case 0:
		quire_mmap(mm, place, PAGES(32), RW, turn % 16 ? ANONYMOUS : FIXED);
		break;
	case 1:
		quire_soft_write(cpu, place, &value, 8);
		break;
	case 2:
		quire_soft_write(cpu, place + PAGES(9), &value, 8);
		break;
	case 3:
		quire_mprotect(mm, place, PAGES(3), QUIRE_PROT_READ);
		break;
	case 4:
		quire_mremap(mm, place, PAGES(9), PAGES(20), QUIRE_MREMAP_MAYMOVE, 0);
		break;
	case 5:
		quire_madvise(mm, place, PAGES(32), QUIRE_MADV_POPULATE_WRITE);
		break;
	case 6:
		quire_mlock(mm, place, PAGES(5));
		break;
	case 7:
		quire_mmap(mm, place, PAGES(32), RW,
			   QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED);
		quire_soft_write(cpu, place + PAGES(3), &value, 8);
		break;
	default:
		quire_brk(mm, HEAP + PAGES(turn * 5 % 64));
	}
}

/* Some calls, everything that is left, the same calls again. */
static void use_up(unsigned round)
{
	const uint64_t rest = 0x50000000;

	for (unsigned turn = 0; turn < 400; turn++)
		any_call(turn + round);
	map(rest, FRAMES, RW);
	assert_int_equal(quire_madvise(mm, rest, PAGES(FRAMES), QUIRE_MADV_POPULATE_WRITE),
			 -QUIRE_ENOMEM);
	for (unsigned turn = 0; turn < 400; turn++)
		any_call(turn + round);
	quire_madvise(mm, rest, PAGES(FRAMES), QUIRE_MADV_POPULATE_WRITE);
}

static void exhaustion(void **state)
{
	const struct scenario start = { "exhaustion", empty, NULL, 0 };
	uint64_t free_before = free_frames();

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		struct quire_memory_stats stats;
		const char *wrong;

		begin(&start);
		use_up(round);
		quire_memory_stats(&stats);
		assert_true(stats.free < 4);
		assert_int_equal(quire_fork(mm, &child), -QUIRE_ENOMEM);
		child = NULL;
		wrong = quire_validate(NULL);
		if (wrong)
			fail_msg("%s", wrong);
		/* What is unmapped can be used again. */
		assert_int_equal(quire_munmap(mm, mm->start, mm->end - mm->start), 0);
		map(AREA, FRAMES / 2, RW);
		assert_int_equal(
			quire_madvise(mm, AREA, PAGES(FRAMES / 2), QUIRE_MADV_POPULATE_WRITE), 0);
		end(free_before);
	}
}

static int setup(void **state)
{
	const struct quire_soft_config config = { .cpus = 2, .memory = MEMORY, .levels = levels };
	int error = quire_soft_init(&config);

	(void)state;
	if (error)
		return error;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit();
}

static int run_all(const char *name, enum quire_mode with_mode, unsigned with_levels)
{
	struct CMUnitTest tests[SCENARIOS + 1] = { 0 };

	for (size_t i = 0; i < SCENARIOS; i++) {
		tests[i].name = scenarios[i].name;
		tests[i].test_func = run;
		tests[i].initial_state = (void *)(uintptr_t)&scenarios[i];
	}
	tests[SCENARIOS].name = "until nothing goes";
	tests[SCENARIOS].test_func = exhaustion;
	mode = with_mode;
	levels = with_levels;
	return cmocka_run_group_tests_name(name, tests, setup, teardown);
}

int main(void)
{
	return run_all("speculative", QUIRE_SPECULATIVE, 4) +
	       run_all("five levels", QUIRE_SPECULATIVE, 5) +
	       run_all("vma-lock", QUIRE_VMA_LOCK, 4) + run_all("classic", QUIRE_CLASSIC, 4);
}
