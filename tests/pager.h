/* SPDX-License-Identifier: MIT */
/*
 * What the tests of mapped objects share: a space on the soft port; and a pager, an object whose
 * operations keep pages in an array, answer as the test says, and count how often they are called.
 */
#ifndef TESTS_PAGER_H
#define TESTS_PAGER_H

#include "object/kinds.h"
#include "frame/rmap.h"
#include "space/machine.h"
#include "space/space.h"
#include <quire/quire.h>
#include <quire/soft.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define PAGES(n) ((uint64_t)(n)*PAGE_SIZE)
#define BASE 0x10000000ull
#define AT(page) (BASE + PAGES(page))
#define R QUIRE_PROT_READ
#define W QUIRE_PROT_WRITE
#define X QUIRE_PROT_EXEC
#define RW (R | W)
#define RWX (RW | X)
#define SHARED (QUIRE_MAP_SHARED | QUIRE_MAP_FIXED)
#define PRIVATE (QUIRE_MAP_PRIVATE | QUIRE_MAP_FIXED)
#define MOVE (QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED)
#define DEVICE_PAGES 16ull
#define MACHINE_MEMORY (16ull << 20)

#define ALL_CAPS (QUIRE_CAN_FAULT | QUIRE_CAN_MAP_AROUND | QUIRE_CAN_MKWRITE)

enum operation {
	OP_FAULT,
	OP_MKWRITE,
	OP_WRITE,
	OP_SYNC,
	OP_TRUNCATE,
	OP_REMOVE,
	OP_INVALIDATE,
	OP_OPEN,
	OP_CLOSE,
	OP_MAY_SPLIT,
	OP_RELEASE,
	OPERATIONS
};

#define KEPT_PAGES 64

struct pager {
	struct quire_object *object;
	_Atomic unsigned calls[OPERATIONS];
	_Atomic unsigned times[OPERATIONS];  /* so many calls from now on answer ... */
	int answers[OPERATIONS];	     /* ... so; 0 afterwards */
	_Atomic bool in_section;	     /* where the last page_mkwrite was called */
	bool whole;			     /* may not be split */
	struct quire_mapping_info opened;    /* the last one */
	struct quire_pages *_Atomic waiting; /* what was answered with QUIRE_WAIT */
	unsigned char kept[KEPT_PAGES][PAGE_SIZE];
};

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;
static enum quire_path path; /* where a fault that meets nothing special is resolved */
static struct pager *pager;  /* with all operations and capabilities, KEPT_PAGES long */
static struct quire_stats before;
static uint64_t free_before;

/* --- the operations */

static struct pager *pager_of(struct quire_object *object)
{
	return quire_object_private(object);
}

static int answer(struct pager *p, enum operation op)
{
	at_add(&p->calls[op], 1u);
	if (at_load(&p->times[op]) == 0)
		return 0;
	at_sub(&p->times[op], 1u);
	return p->answers[op];
}

/* Fill the pages of a request with what is kept. */
static void pager_fill(const struct quire_pages *pages)
{
	const struct pager *p = pager_of(pages->object);

	for (uint64_t at = 0; at < pages->length; at += PAGE_SIZE) {
		uint64_t left = pages->length - at;

		memcpy(pages->bytes[at / PAGE_SIZE], p->kept[pages->index + at / PAGE_SIZE],
		       left < PAGE_SIZE ? left : PAGE_SIZE);
	}
}

static int pager_fault(struct quire_object *object, struct quire_pages *pages)
{
	struct pager *p = pager_of(object);
	int error = answer(p, OP_FAULT);

	if (!error)
		pager_fill(pages);
	/* Release: pairs with the test's acquire load. */
	if (error == QUIRE_WAIT)
		at_store_release(&p->waiting, pages);
	return error;
}

static int pager_mkwrite(struct quire_object *object, uint64_t index)
{
	struct pager *p = pager_of(object);

	(void)index;
	at_store(&p->in_section, section_inside());
	return answer(p, OP_MKWRITE);
}

static int pager_write(struct quire_object *object, struct quire_pages *pages)
{
	struct pager *p = pager_of(object);
	int error = answer(p, OP_WRITE);

	for (uint64_t at = 0; !error && at < pages->length; at += PAGE_SIZE) {
		uint64_t left = pages->length - at;

		memcpy(p->kept[pages->index + at / PAGE_SIZE], pages->bytes[at / PAGE_SIZE],
		       left < PAGE_SIZE ? left : PAGE_SIZE);
	}
	/* Release: pairs with the test's acquire load. */
	if (error == QUIRE_WAIT)
		at_store_release(&p->waiting, pages);
	return error;
}

static int pager_sync(struct quire_object *object)
{
	return answer(pager_of(object), OP_SYNC);
}

static int pager_truncate(struct quire_object *object, uint64_t size)
{
	struct pager *p = pager_of(object);
	uint64_t old = quire_object_size(object);
	int error = answer(p, OP_TRUNCATE);

	if (!error && size < old)
		memset((char *)p->kept + size, 0, old - size);
	return error;
}

static int pager_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	struct pager *p = pager_of(object);
	int error = answer(p, OP_REMOVE);

	if (!error)
		memset((char *)p->kept + offset, 0, length);
	return error;
}

static void pager_invalidate(struct quire_object *object, uint64_t index, uint64_t count)
{
	(void)index;
	(void)count;
	answer(pager_of(object), OP_INVALIDATE);
}

static int pager_open(struct quire_object *object, const struct quire_mapping_info *info)
{
	struct pager *p = pager_of(object);

	int error = answer(p, OP_OPEN);

	p->opened = *info;
	/* Those that fail are not closed, and not counted. */
	if (error)
		at_sub(&p->calls[OP_OPEN], 1u);
	return error;
}

static void pager_close(struct quire_object *object, struct quire_mm *of)
{
	(void)of;
	answer(pager_of(object), OP_CLOSE);
}

static bool pager_may_split(struct quire_object *object, uint64_t offset)
{
	struct pager *p = pager_of(object);

	(void)offset;
	answer(p, OP_MAY_SPLIT);
	return !p->whole;
}

static void pager_release(struct quire_object *object)
{
	answer(pager_of(object), OP_RELEASE);
}

static const struct quire_object_ops pager_ops = {
	.fault = pager_fault,
	.page_mkwrite = pager_mkwrite,
	.writepages = pager_write,
	.sync = pager_sync,
	.truncate = pager_truncate,
	.remove = pager_remove,
	.invalidate = pager_invalidate,
	.open = pager_open,
	.close = pager_close,
	.may_split = pager_may_split,
	.release = pager_release,
};

/* --- pagers */

/* The words of a page that the tests look at, and what a new pager keeps there. */
static const uint64_t marks[] = { 0, 2048, PAGE_SIZE - 8 };

static uint64_t kept_value(uint64_t page)
{
	return 0x6b65707400000000 + page;
}

static struct pager *pager_new(const struct quire_object_ops *ops, unsigned caps, uint64_t size)
{
	struct pager *p = calloc(1, sizeof(*p));
	const struct quire_object_config config = {
		.ops = ops,
		.caps = caps,
		.size = size,
		.private_data = p,
		.name = "/tests/kept",
		.device_major = 8,
		.device_minor = 17,
		.inode = 4711,
	};

	assert_non_null(p);
	for (uint64_t i = 0; i < KEPT_PAGES; i++)
		for (unsigned m = 0; m < 3; m++)
			memcpy(p->kept[i] + marks[m], &(uint64_t){ kept_value(i) }, 8);
	assert_int_equal(quire_object_create(&config, &p->object), 0);
	return p;
}

static unsigned calls(const struct pager *p, enum operation op)
{
	return at_load(&p->calls[op]);
}

/* The next `times` calls of this operation answer so. */
static void let_answer(struct pager *p, enum operation op, int what, unsigned times)
{
	p->answers[op] = what;
	at_store(&p->times[op], times);
}

static uint64_t kept(const struct pager *p, uint64_t page)
{
	uint64_t value;

	memcpy(&value, p->kept[page], 8);
	return value;
}

/* => it has been released: nobody maps it, and the test's reference was given back */
static void pager_end(struct pager *p)
{
	assert_int_equal(calls(p, OP_RELEASE), 1);
	assert_int_equal(calls(p, OP_OPEN), calls(p, OP_CLOSE));
	free(p);
}

/* --- the space */

static uint64_t free_frames(void)
{
	struct slab *const slabs[] = { &vma_slab,   &tree_slab,	   &rmap_slab,
				       &mm_slab,    &mapping_slab, &object_slab,
				       &cache_slab, &pages_slab,   &file_slab };
	struct quire_memory_stats stats;

	assert_int_equal(quire_barrier(0), 0);
	for (size_t i = 0; i < sizeof(slabs) / sizeof(slabs[0]); i++)
		slab_drain(slabs[i]);
	quire_memory_stats(&stats);
	assert_int_equal(stats.deferred, 0);
	return stats.free;
}

/* state: the mode. */
__attribute__((unused)) static int setup(void **state)
{
	const enum quire_mode *mode = *state;
	const struct quire_soft_config machine = {
		.cpus = 4,
		.memory = MACHINE_MEMORY,
		.device_memory = PAGES(DEVICE_PAGES),
	};
	const struct quire_mm_config config = { .mode = *mode, .mmap_top = 0x7f0000000000 };

	assert_int_equal(quire_soft_init(&machine), 0);
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	free_before = free_frames();
	pager = pager_new(&pager_ops, ALL_CAPS, PAGES(KEPT_PAGES));
	assert_int_equal(quire_mm_create(&config, &mm), 0);
	quire_soft_switch(cpu, mm);
	path = (enum quire_path) * mode; /* they are in the same order */
	quire_stats(mm, &before);
	return 0;
}

static void check_valid(void)
{
	const char *wrong = quire_validate(NULL);

	if (wrong)
		fail_msg("%s", wrong);
}

__attribute__((unused)) static int teardown(void **state)
{
	(void)state;
	check_valid();
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	if (pager) {
		assert_int_equal(calls(pager, OP_RELEASE), 0);
		assert_int_equal(quire_soft_exit(), -QUIRE_EBUSY);
		quire_object_put(pager->object);
		pager_end(pager);
	}
	check_valid();
	assert_int_equal(free_frames(), free_before);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit();
}

#define MODES(test)                                                                                \
	{ #test ", speculative", test, setup, teardown, &modes[0] },                               \
		{ #test ", vma-lock", test, setup, teardown, &modes[1] },                          \
	{                                                                                          \
#test ", classic", test, setup, teardown, &modes[2]                                \
	}
#define SPECULATIVE(test)                                                                          \
	{                                                                                          \
#test, test, setup, teardown, &modes[0]                                            \
	}

/* --- calls and accesses */

/* Map pages [index, index + pages) of an object at AT(page). */
__attribute__((unused)) static void map(uint64_t page, uint64_t pages, int prot, int flags,
					struct quire_object *object, uint64_t index)
{
	assert_int_equal(quire_mmap_object(mm, AT(page), PAGES(pages), prot, flags, object,
					   PAGES(index), RWX),
			 AT(page));
}

__attribute__((unused)) static void store(uint64_t address, uint64_t value)
{
	if (!quire_soft_store(cpu, address, 8, value))
		fail_msg("writing %#lx is refused: %d", address, cpu->verdict);
}

__attribute__((unused)) static uint64_t load(uint64_t address)
{
	uint64_t value = UINT64_MAX;

	if (!quire_soft_load(cpu, address, 8, &value))
		fail_msg("reading %#lx is refused: %d", address, cpu->verdict);
	return value;
}

__attribute__((unused)) static void refused(uint64_t address, enum quire_access access,
					    enum quire_verdict verdict)
{
	assert_null(quire_soft_translate(cpu, address, access));
	assert_int_equal(cpu->verdict, verdict);
}

__attribute__((unused)) static void fault(uint64_t address, enum quire_access access,
					  enum quire_verdict expected)
{
	assert_int_equal(quire_fault(mm, address, access), expected);
}

/* The entry in a space; PTE_NONE, too, where there is no table. */
__attribute__((unused)) static pte entry_in(struct quire_mm *of, uint64_t address)
{
	enum walk_status status;
	struct walk walk;
	pte entry;

	section_enter();
	status = table_walk(&of->tables, address, &walk);
	entry = status == WALK_LEAF ? at_load(walk.slot) : PTE_NONE;
	section_leave();
	return entry;
}

__attribute__((unused)) static unsigned rights_at(uint64_t address)
{
	pte entry = entry_in(mm, address);

	assert_true(pte_is_mapped(entry));
	return pte_rights(entry);
}

/* How many pages of [page, page + pages) have an entry. */
__attribute__((unused)) static unsigned entered(uint64_t page, uint64_t pages)
{
	unsigned count = 0;

	for (uint64_t i = 0; i < pages; i++)
		count += entry_in(mm, AT(page + i)) != PTE_NONE;
	return count;
}

/* How often it happened since the last look. */
__attribute__((unused)) static uint64_t counted(enum quire_counter counter)
{
	struct quire_stats now;

	quire_stats(mm, &now);
	return now.counters[counter] - before.counters[counter];
}

__attribute__((unused)) static void look(void)
{
	quire_stats(mm, &before);
}

/* Exactly one fault was resolved since the last look, in this way. */
__attribute__((unused)) static void resolved(enum quire_path by, enum quire_kind kind)
{
	struct quire_stats now;

	quire_stats(mm, &now);
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			if (now.faults[p][k] - before.faults[p][k] != (p == by && k == kind))
				fail_msg("%lu x %s, %s", now.faults[p][k] - before.faults[p][k],
					 quire_path_name((enum quire_path)p),
					 quire_kind_name((enum quire_kind)k));
	before = now;
}

__attribute__((unused)) static struct quire_vma_info vma_at(uint64_t address)
{
	struct quire_vma_info info = { 0 };

	assert_int_equal(quire_vma_find(mm, address, &info), 0);
	assert_true(info.start <= address);
	return info;
}

__attribute__((unused)) static struct quire_object_stats object_stats(struct quire_object *object)
{
	struct quire_object_stats stats;

	quire_object_stats(object, &stats);
	return stats;
}

#endif
