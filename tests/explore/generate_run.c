/* SPDX-License-Identifier: MIT */
/*
 * A generated scenario in one schedule, and what must be true of each: the history is linearizable
 * (linear.h), all CPUs see the same pages, and children are what fork made them.
 *
 * A bad translation that a CPU is left with shows at the end, when every CPU loads from every page
 * and stores to it.
 *
 * Which operation came wholly before which is part of the result, so the explorer must see it: two
 * schedules that differ in that alone would be one to it (search.c). So each CPU counts its returns
 * in a shared word, and each call begins with a look at those of the others. In the weak memories
 * an operation also ends with a fence: what it stores takes effect before it returns, else no
 * history would be linearizable, as on real machines.
 */
#include "generate_plan.h"
#include "frame/frame.h"
#include <quire/mm.h>
#include <string.h>

#define UNKNOWN 0xff /* a value that nobody stored */

struct record records[GENERATED_CPUS][PER_CPU];
static struct quire_mm *setup_child;
static struct quire_object *object; /* NULL: there is none */
/* The explorer undoes what runs do to it, line by line: it shares its line with nothing. */
static struct {
	_Atomic uint32_t count[16];
} __attribute__((aligned(64))) returned;

/* --- setup --- */

static uint64_t address_of(unsigned page)
{
	return plan.base + page * PAGE;
}

static uint8_t first_value(unsigned p)
{
	const struct linear_page *page = &plan.pages[p];

	return page->shows ? plan.object.value[page->shows - 1] : page->value;
}

static void touch(unsigned p, enum touched touched)
{
	if (touched == WRITTEN)
		expect_equal(store(address_of(p), first_value(p)), DONE);
	else if (touched == READ)
		expect_equal(load(address_of(p)), first_value(p));
}

static void map_page(unsigned p)
{
	const struct linear_page *page = &plan.pages[p];

	if (page->shows)
		map_object(address_of(p), 1, QUIRE_MAP_SHARED, object, page->shows - 1);
	else
		map(address_of(p), 1, READ_WRITE);
	touch(p, plan.touched[p]);
	protect(address_of(p), 1, page->prot);
}

void generated_setup(void)
{
	object = generated_object(plan.kind, &plan.object);
	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (plan.pages[p].mapped)
			map_page(p);
	setup_child = NULL;
	if (plan.forks)
		expect(quire_fork(mm, &setup_child) == 0);
	for (unsigned c = 0; c < plan.cpus; c++) {
		as_cpu(c);
		for (unsigned p = 0; p < LINEAR_PAGES; p++)
			touch(p, plan.warm[c][p]);
	}
	inject_set(plan.failing);
}

/* --- the programs --- */

static int result_of_access(uint64_t got)
{
	if (got == MAPERR)
		return LINEAR_MAPERR;
	if (got == ACCERR)
		return LINEAR_ACCERR;
	if (got == BUS)
		return LINEAR_BUS;
	return got < UNKNOWN ? (int)got : UNKNOWN;
}

static int64_t map_what(const struct linear_operation *o)
{
	uint64_t address = address_of(o->page), length = o->pages * PAGE;

	if (o->shows)
		return quire_mmap_object(mm, address, length, o->prot,
					 QUIRE_MAP_SHARED | QUIRE_MAP_FIXED, object,
					 (o->shows - 1) * PAGE, READ_WRITE);
	return quire_mmap(mm, address, length, o->prot,
			  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED);
}

static int perform_on_object(const struct linear_operation *o)
{
	switch (o->kind) {
	case LINEAR_TRUNCATE:
		return quire_object_truncate(object, o->pages * PAGE);
	case LINEAR_HOLE:
		return quire_object_remove(object, o->page * PAGE, PAGE);
	case LINEAR_SYNC:
		return quire_object_sync(object, 0, LINEAR_OBJECT * PAGE);
	default:
		return quire_object_invalidate(object, 0, LINEAR_OBJECT * PAGE);
	}
}

static int perform(const struct linear_operation *o, struct record *r)
{
	const int move_flags = QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED;
	uint64_t address = address_of(o->page), length = o->pages * PAGE;
	uint64_t target = address_of(o->target);
	struct quire_mm *child = NULL;
	int64_t got;

	switch (o->kind) {
	case LINEAR_LOAD:
		return result_of_access(load(address));
	case LINEAR_STORE:
		return result_of_access(store(address, o->value));
	case LINEAR_MUNMAP:
		return quire_munmap(mm, address, length);
	case LINEAR_MMAP:
		got = map_what(o);
		return got == (int64_t)address ? 0 : (int)got;
	case LINEAR_MPROTECT:
		return quire_mprotect(mm, address, length, o->prot);
	case LINEAR_DONTNEED:
		return quire_madvise(mm, address, length, QUIRE_MADV_DONTNEED);
	case LINEAR_MREMAP:
		got = quire_mremap(mm, address, length, length, move_flags, target);
		return got == (int64_t)target ? 0 : (int)got;
	case LINEAR_FORK:
		/* By way of the stack: records are not the explorer's to undo. */
		got = quire_fork(mm, &child);
		r->child = child;
		return (int)got;
	default:
		return perform_on_object(o);
	}
}

static void run_program(unsigned cpu)
{
	if (explore_time() == 1) /* the first of this run */
		memset(records, 0, sizeof(records));
	for (unsigned i = 0; i < plan.count[cpu]; i++) {
		struct linear_operation *o = &plan.operations[cpu][i];
		struct record *r = &records[cpu][i];

		for (unsigned c = 0; c < plan.cpus; c++)
			r->seen[c] = c == cpu ? i : at_load(&returned.count[c]);
		r->called = true;
		r->call = explore_time();
		o->result = perform(o, r);
		if (plan.fences)
			at_fence();
		r->end = explore_time();
		r->returned = true;
		at_store(&returned.count[cpu], i + 1);
	}
}

static void run_0(void)
{
	run_program(0);
}

static void run_1(void)
{
	run_program(1);
}

static void run_2(void)
{
	run_program(2);
}

void (*const generated_programs[GENERATED_CPUS])(void) = { run_0, run_1, run_2 };

/* --- the check --- */

static void observe_layout(struct quire_mm *space, struct linear_page *pages)
{
	struct quire_vma_info info;

	memset(pages, 0, LINEAR_PAGES * sizeof(pages[0]));
	for (unsigned p = 0; p < LINEAR_PAGES; p++) {
		if (quire_vma_find(space, address_of(p), &info) != 0 || info.start > address_of(p))
			continue;
		pages[p].mapped = 1;
		pages[p].prot = (uint8_t)info.prot;
		if (info.object)
			pages[p].shows = (uint8_t)(1 + (info.offset + address_of(p) - info.start) /
							       PAGE);
	}
}

/* What the page of the object contains; BUS: beyond the end. */
static uint64_t content_of(unsigned i)
{
	uint64_t word;

	if (i * PAGE >= quire_object_size(object))
		return BUS;
	expect(quire_object_read(object, i * PAGE, &word, sizeof(word)) == 8);
	return word;
}

static void observe_object(struct linear_object *o)
{
	memset(o, 0, sizeof(*o));
	if (!object)
		return;
	o->pages = (uint8_t)(quire_object_size(object) / PAGE);
	for (unsigned i = 0; i < o->pages; i++)
		o->value[i] = (uint8_t)result_of_access(content_of(i));
}

/* What the CPU reads; a page that it may not read becomes readable for it. */
static void observe_contents(struct quire_mm *space, struct linear_page *pages)
{
	for (unsigned p = 0; p < LINEAR_PAGES; p++) {
		uint64_t address = address_of(p);

		if (!pages[p].mapped)
			continue;
		if (!(pages[p].prot & QUIRE_PROT_READ))
			expect(quire_mprotect(space, address, PAGE, QUIRE_PROT_READ) == 0);
		if (pages[p].shows)
			expect_equal(load(address), content_of(pages[p].shows - 1));
		else
			pages[p].value = (uint8_t)result_of_access(load(address));
	}
}

static void observe(struct quire_mm *space, struct linear_page *pages)
{
	observe_layout(space, pages);
	observe_contents(space, pages);
}

/* No CPU has kept a translation that allows more than the layout does. */
static void check_refused(const struct linear_page *pages)
{
	for (unsigned c = 0; c < plan.cpus; c++) {
		as_cpu(c);
		for (unsigned p = 0; p < LINEAR_PAGES; p++) {
			uint64_t verdict = pages[p].mapped ? ACCERR : MAPERR;

			if (!(pages[p].prot & QUIRE_PROT_READ))
				expect_equal(load(address_of(p)), verdict);
			if (!(pages[p].prot & QUIRE_PROT_WRITE))
				expect_equal(store(address_of(p), UNKNOWN), verdict);
		}
	}
	as_cpu(0);
}

static void all_see(const struct linear_page *pages, unsigned p, uint64_t value)
{
	if (pages[p].shows)
		expect_equal(content_of(pages[p].shows - 1), value);
	for (unsigned c = 0; c < plan.cpus; c++) {
		as_cpu(c);
		expect_equal(load(address_of(p)), value);
	}
}

/* Nor one of another page: all see what CPU 0 sees, and what any of them stores. */
static void check_coherent(const struct linear_page *pages)
{
	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (pages[p].prot & QUIRE_PROT_READ)
			all_see(pages, p,
				pages[p].shows ? content_of(pages[p].shows - 1) : pages[p].value);
	for (unsigned c = 0; c < plan.cpus; c++) {
		for (unsigned p = 0; p < LINEAR_PAGES; p++) {
			if (!(pages[p].prot & QUIRE_PROT_WRITE))
				continue;
			as_cpu(c);
			if (pages[p].shows && content_of(pages[p].shows - 1) == BUS) {
				expect_equal(store(address_of(p), 200 + c), BUS);
				continue;
			}
			expect_equal(store(address_of(p), 200 + c), DONE);
			all_see(pages, p, 200 + c);
		}
	}
	as_cpu(0);
}

/* No store was missed by those who write back. */
static void check_saved(void)
{
	if (plan.kind != ON_DISK)
		return;
	expect(quire_object_sync(object, 0, LINEAR_OBJECT * PAGE) == 0);
	for (unsigned i = 0; i < LINEAR_OBJECT; i++)
		if (content_of(i) != BUS)
			expect_equal(at_load(&generated_disk[i]), content_of(i));
}

/* What a child writes, its parent does not see. => the child's contents have been looked at */
static void check_isolation(struct quire_mm *child, const struct linear_page *pages)
{
	struct linear_page before[LINEAR_PAGES], after[LINEAR_PAGES];

	observe(mm, before);
	run_space(child);
	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (pages[p].prot & QUIRE_PROT_WRITE && !pages[p].shows)
			expect_equal(store(address_of(p), 99), DONE);
	run_space(mm);
	observe(mm, after);
	expect(memcmp(before, after, sizeof(before)) == 0);
}

static void check_child(struct quire_mm *child, struct linear_page *pages)
{
	run_space(child);
	observe(child, pages);
	run_space(mm);
	check_isolation(child, pages);
}

/* The operations in the order of their CPUs. */
static void collect(struct linear_history *h)
{
	unsigned first[GENERATED_CPUS];

	for (unsigned c = 0; c < plan.cpus; c++) {
		first[c] = h->count;
		for (unsigned i = 0; i < plan.count[c]; i++)
			h->operations[h->count++] = plan.operations[c][i];
	}
	for (unsigned c = 0; c < plan.cpus; c++)
		for (unsigned i = 0; i < plan.count[c]; i++)
			for (unsigned k = 0; k < plan.cpus; k++)
				h->operations[first[c] + i].before |=
					((1u << records[c][i].seen[k]) - 1) << first[k];
}

void generated_check(void)
{
	struct linear_history h = {
		.memory_fails = plan.failing != 0,
		.kept_elsewhere = plan.kind == ON_DISK,
	};
	struct linear_page child[LINEAR_PAGES];

	inject_set(0);
	memcpy(h.first, plan.pages, sizeof(h.first));
	h.object_first = plan.object;
	observe_object(&h.object_last);
	collect(&h);
	observe_layout(mm, h.last);
	check_refused(h.last);
	observe_contents(mm, h.last);
	check_coherent(h.last);
	check_saved();
	if (setup_child) {
		check_child(setup_child, child);
		expect(memcmp(child, plan.pages, sizeof(child)) == 0);
	}
	for (unsigned i = 0, c = 0; c < plan.cpus; c++)
		for (unsigned k = 0; k < plan.count[c]; k++, i++)
			if (records[c][k].child)
				check_child(records[c][k].child, h.operations[i].child);
	if (!linear_check(&h))
		explore_fail("not linearizable");
	inject_set(plan.failing);
}
