/* SPDX-License-Identifier: MIT */
/*
 * What the calls do with mappings of objects: merging and splitting, what objects may refuse and
 * are told, mremap, fork, truncation wherever pages have got to, what is said of the layout,
 * locking, devices; in each mode. Faults are in test_objects.c.
 */
#include "pager.h"
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define ANON (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED)

static uint64_t vmas(void)
{
	look();
	return before.vmas;
}

static void unmap(uint64_t page, uint64_t pages)
{
	assert_int_equal(quire_munmap(mm, AT(page), PAGES(pages)), 0);
}

/* A mapping of the object from this page of it on is at AT(page), and so long. */
static void shows(uint64_t page, uint64_t pages, const struct quire_object *object, uint64_t index)
{
	struct quire_vma_info info = vma_at(AT(page));

	assert_int_equal(info.start, AT(page));
	assert_int_equal(info.end, AT(page + pages));
	assert_ptr_equal(info.object, object);
	assert_int_equal(info.offset, PAGES(index));
}

/* --- merging and splitting */

static void merging(void **state)
{
	struct pager *other = pager_new(&pager_ops, ALL_CAPS, PAGES(64));

	(void)state;
	map(0, 4, RW, SHARED, pager->object, 10);
	map(4, 4, RW, SHARED, pager->object, 14); /* continues it */
	assert_int_equal(vmas(), 1);
	shows(0, 8, pager->object, 10);
	assert_int_equal(object_stats(pager->object).mappings, 1);
	map(8, 4, RW, SHARED, pager->object, 19); /* leaves a page out */
	map(12, 4, RW, SHARED, other->object, 23);
	map(16, 4, RW, PRIVATE, other->object, 27);
	map(20, 4, R, PRIVATE, other->object, 31);
	assert_int_equal(vmas(), 5);
	for (unsigned i = 0; i < 8; i++)
		store(AT(i), i);
	/* What is written is found again by way of the merged mapping. */
	assert_int_equal(quire_object_sync(pager->object, 0, UINT64_MAX), 0);
	assert_int_equal(rights_at(AT(0)), RIGHT_READ);
	assert_int_equal(rights_at(AT(7)), RIGHT_READ);
	unmap(3, 2);
	assert_int_equal(vmas(), 6);
	shows(0, 3, pager->object, 10);
	shows(5, 3, pager->object, 15);
	map(3, 2, RW, SHARED, pager->object, 13); /* into the hole: one again */
	shows(0, 8, pager->object, 10);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(load(AT(i)), i);
	assert_int_equal(calls(pager, OP_OPEN) - calls(pager, OP_CLOSE),
			 object_stats(pager->object).mappings);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(24)), 0);
	assert_int_equal(object_stats(pager->object).mappings, 0);
	quire_object_put(other->object);
	pager_end(other);
}

/* Pieces that are split off are one mapping to the object. */
static void splitting(void **state)
{
	(void)state;
	map(0, 16, RW, SHARED, pager->object, 0);
	for (unsigned i = 0; i < 16; i++)
		store(AT(i), 50 + i);
	assert_int_equal(quire_mprotect(mm, AT(4), PAGES(4), R), 0);
	assert_int_equal(quire_madvise(mm, AT(10), PAGES(2), QUIRE_MADV_DONTFORK), 0);
	assert_int_equal(quire_mlock(mm, AT(13), PAGES(1)), 0);
	assert_int_equal(vmas(), 7);
	shows(4, 4, pager->object, 4);
	shows(14, 2, pager->object, 14);
	assert_int_equal(calls(pager, OP_OPEN), 1);
	unmap(0, 3);
	unmap(8, 8);
	assert_int_equal(calls(pager, OP_CLOSE), 0);
	assert_int_equal(load(AT(5)), 55);
	assert_int_equal(quire_object_truncate(pager->object, PAGES(5)), 0);
	assert_int_equal(entered(0, 16), 2);
	unmap(3, 5);
	assert_int_equal(calls(pager, OP_CLOSE), 1);
}

/* --- what objects may refuse */

static void may_not_be_split(void **state)
{
	struct pager *p = pager_new(&pager_ops, ALL_CAPS, PAGES(16));

	(void)state;
	map(0, 16, RW, SHARED, p->object, 0);
	store(AT(3), 33);
	p->whole = true;
	assert_int_equal(quire_munmap(mm, AT(4), PAGES(4)), -QUIRE_EINVAL);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(4)), -QUIRE_EINVAL);
	assert_int_equal(quire_munmap(mm, AT(12), PAGES(20)), -QUIRE_EINVAL);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(4), R), -QUIRE_EINVAL);
	assert_int_equal(quire_madvise(mm, AT(4), PAGES(1), QUIRE_MADV_DONTFORK), -QUIRE_EINVAL);
	assert_int_equal(quire_mlock(mm, AT(4), PAGES(1)), -QUIRE_EINVAL);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(16), PAGES(8), 0, 0), -QUIRE_EINVAL);
	assert_int_equal(quire_mremap(mm, AT(4), PAGES(4), PAGES(8), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_EINVAL);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(16), PAGES(8), MOVE, AT(32)), -QUIRE_EINVAL);
	assert_int_equal(quire_mmap(mm, AT(4), PAGES(4), RW, ANON), -QUIRE_EINVAL);
	assert_int_equal(quire_mmap_object(mm, AT(4), PAGES(4), R, SHARED, p->object, 0, RWX),
			 -QUIRE_EINVAL);
	assert_int_equal(vmas(), 1);
	shows(0, 16, p->object, 0);
	assert_int_equal(load(AT(3)), 33);
	assert_int_equal(calls(p, OP_OPEN) - calls(p, OP_CLOSE), 1);
	check_valid();
	/* What splits nothing is allowed; so is what is merged again. */
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(16), R), 0);
	assert_int_equal(quire_madvise(mm, AT(4), PAGES(1), QUIRE_MADV_DONTNEED), 0);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(16), PAGES(20), MOVE, AT(32)), AT(32));
	assert_int_equal(load(AT(35)), 33);
	p->whole = false;
	unmap(40, 2);
	assert_true(calls(p, OP_MAY_SPLIT) > 0);
	unmap(0, 64);
	quire_object_put(p->object);
	pager_end(p);
}

static void may_not_be_opened(void **state)
{
	struct pager *other = pager_new(&pager_ops, ALL_CAPS, PAGES(64));
	struct quire_mm *child = NULL;

	(void)state;
	let_answer(pager, OP_OPEN, -QUIRE_EPERM, 1);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(8), RW, SHARED, pager->object, 0, RWX),
			 -QUIRE_EPERM);
	assert_int_equal(vmas(), 0);
	let_answer(pager, OP_OPEN, -QUIRE_EAGAIN, 1);
	assert_int_equal(
		quire_mmap_object(mm, 0, PAGES(8), RW, QUIRE_MAP_SHARED, pager->object, 0, RWX),
		-QUIRE_EAGAIN);
	assert_int_equal(object_stats(pager->object).mappings, 0);
	map(0, 8, RW, SHARED, pager->object, 4);
	assert_ptr_equal(pager->opened.mm, mm);
	assert_int_equal(pager->opened.start, AT(0));
	assert_int_equal(pager->opened.length, PAGES(8));
	assert_int_equal(pager->opened.offset, PAGES(4));
	assert_int_equal(pager->opened.prot, RW);
	assert_true(pager->opened.shared);
	store(AT(1), 11);
	map(16, 4, R, PRIVATE, pager->object, 0);
	assert_false(pager->opened.shared);

	let_answer(pager, OP_OPEN, -QUIRE_EPERM, 1);
	assert_int_equal(quire_fork(mm, &child), -QUIRE_EPERM);
	assert_null(child);
	let_answer(pager, OP_OPEN, -QUIRE_EPERM, 1);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(8), MOVE, AT(64)), -QUIRE_EPERM);
	let_answer(pager, OP_OPEN, -QUIRE_EPERM, 1);
	assert_int_equal(quire_mremap(mm, AT(2), PAGES(2), PAGES(9), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_EPERM);
	let_answer(pager, OP_OPEN, -QUIRE_EPERM, 1);
	assert_int_equal(quire_mremap(mm, AT(0), 0, PAGES(8), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_EPERM);
	/* An error like any other; and none that is one. */
	let_answer(pager, OP_OPEN, -QUIRE_EBUSY, 1);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(8), MOVE, AT(64)), -QUIRE_EBUSY);
	let_answer(pager, OP_OPEN, 1, 1);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(8), MOVE, AT(64)), -QUIRE_EIO);
	assert_int_equal(vmas(), 2);
	shows(0, 8, pager->object, 4);
	assert_int_equal(load(AT(1)), 11);
	assert_int_equal(rights_at(AT(1)), RIGHT_READ | RIGHT_WRITE);
	assert_int_equal(calls(pager, OP_OPEN) - calls(pager, OP_CLOSE), 2);
	/* The last of three is refused: the others are closed again. */
	map(32, 4, R, SHARED, other->object, 0);
	quire_object_put(other->object);
	let_answer(other, OP_OPEN, -QUIRE_EPERM, 1);
	assert_int_equal(quire_fork(mm, &child), -QUIRE_EPERM);
	assert_int_equal(calls(pager, OP_OPEN) - calls(pager, OP_CLOSE), 2);
	assert_int_equal(rights_at(AT(1)), RIGHT_READ | RIGHT_WRITE);
	assert_int_equal(quire_fork(mm, &child), 0);
	quire_mm_destroy(child);
	unmap(32, 4);
	pager_end(other);
}

static void may_not_be_written(void **state)
{
	(void)state;
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), RW, SHARED, pager->object, 0, R),
			 -QUIRE_EACCES);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), R, SHARED, pager->object, 0, W),
			 -QUIRE_EACCES);
	assert_int_equal(
		quire_mmap_object(mm, AT(0), PAGES(4), R | X, SHARED, pager->object, 0, RW),
		-QUIRE_EPERM);
	assert_int_equal(vmas(), 0);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), R, SHARED, pager->object, 0, R),
			 AT(0));
	assert_int_equal(
		quire_mmap_object(mm, AT(4), PAGES(4), RW, PRIVATE, pager->object, PAGES(4), R),
		AT(4));
	load(AT(0));
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(4), RW), -QUIRE_EACCES);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(4), R | X), -QUIRE_EACCES);
	assert_int_equal(quire_mprotect(mm, AT(4), PAGES(4), R | X), -QUIRE_EACCES);
	refused(AT(0), QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	store(AT(4), 1); /* a copy is the writer's own */
	/* The same after a move and in a child. */
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(4), PAGES(4), MOVE, AT(32)), AT(32));
	assert_int_equal(quire_mprotect(mm, AT(32), PAGES(4), RW), -QUIRE_EACCES);
	/* One that may be written is not merged with one that may not. */
	map(36, 4, R, SHARED, pager->object, 4);
	shows(32, 4, pager->object, 0);
	assert_int_equal(quire_mprotect(mm, AT(36), PAGES(4), RW), 0);
}

static void arguments(void **state)
{
	struct quire_object *o = pager->object;
	const uint64_t end = QUIRE_OBJECT_MAX - PAGES(2);

	(void)state;
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), R, SHARED, o, 100, RWX),
			 -QUIRE_EINVAL);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), R, SHARED, NULL, 0, RWX),
			 -QUIRE_EBADF);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), R, SHARED, o, end, RWX),
			 -QUIRE_EOVERFLOW);
	assert_int_equal(
		quire_mmap_object(mm, AT(0), PAGES(4), R, PRIVATE | QUIRE_MAP_GROWSDOWN, o, 0, RWX),
		-QUIRE_EINVAL);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), R, QUIRE_MAP_FIXED, o, 0, RWX),
			 -QUIRE_EINVAL);
	assert_int_equal(vmas(), 0);
	/* At the end of all offsets, and beyond. */
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(2), R, SHARED, o, end, RWX), AT(0));
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(2), PAGES(4), 0, 0), AT(0));
	refused(AT(0), QUIRE_READ, QUIRE_FAULT_BUS);
	refused(AT(3), QUIRE_READ, QUIRE_FAULT_BUS);
	assert_int_equal(quire_object_truncate(o, PAGES(1)), 0);
	assert_int_equal(vmas(), 1);
}

/* --- the end of an object */

static void release(void **state)
{
	struct pager *p = pager_new(&pager_ops, ALL_CAPS, PAGES(8));
	struct quire_mm *child;

	(void)state;
	map(0, 8, RW, SHARED, p->object, 0);
	quire_object_put(p->object);
	store(AT(1), 1);
	unmap(0, 7);
	assert_int_equal(calls(p, OP_RELEASE), 0);
	assert_int_equal(quire_fork(mm, &child), 0);
	map(7, 1, R, ANON & ~QUIRE_MAP_ANONYMOUS, pager->object, 0); /* over the last of it */
	assert_int_equal(calls(p, OP_RELEASE), 0);
	quire_mm_destroy(child);
	assert_int_equal(kept(p, 1), 1); /* what was dirty has been written */
	pager_end(p);

	p = pager_new(&pager_ops, ALL_CAPS, PAGES(8));
	map(0, 4, RW, SHARED, p->object, 0);
	store(AT(0), 5);
	quire_object_get(p->object);
	unmap(0, 4);
	quire_object_put(p->object);
	assert_int_equal(calls(p, OP_RELEASE), 0);
	assert_int_equal(kept(p, 0), kept_value(0));
	quire_object_put(p->object);
	assert_int_equal(kept(p, 0), 5);
	pager_end(p);

	/* mremap over the last mapping; and one that was never mapped. */
	p = pager_new(&pager_ops, ALL_CAPS, PAGES(8));
	map(0, 4, RW, PRIVATE, p->object, 0);
	quire_object_put(p->object);
	store(AT(0), 5);
	map(8, 4, R, SHARED, pager->object, 0);
	assert_int_equal(quire_mremap(mm, AT(8), PAGES(4), PAGES(4), MOVE, AT(0)), AT(0));
	assert_int_equal(kept(p, 0), kept_value(0));
	pager_end(p);
	p = pager_new(&pager_ops, ALL_CAPS, PAGES(8));
	quire_object_put(p->object);
	pager_end(p);
}

/* --- mremap */

static void moving(void **state)
{
	unsigned opens;

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 2);
	map(16, 8, RW, PRIVATE, pager->object, 2);
	for (unsigned i = 0; i < 8; i++) {
		store(AT(i), 10 + i);
		if (i & 1)
			store(AT(16 + i), 20 + i);
		else
			load(AT(16 + i));
	}
	look();
	assert_int_equal(before.object_pages, 12);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(8), MOVE, AT(510)), AT(510));
	assert_int_equal(quire_mremap(mm, AT(18), PAGES(4), PAGES(6), MOVE, AT(40)), AT(40));
	shows(510, 8, pager->object, 2);
	shows(40, 6, pager->object, 4);
	look();
	assert_int_equal(before.object_pages, 12);
	assert_int_equal(entered(510, 8), 8); /* nothing is faulted in again */
	assert_int_equal(entered(40, 6), 4);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(load(AT(510 + i)), 10 + i);
	for (unsigned i = 2; i < 6; i++)
		assert_int_equal(load(AT(38 + i)), i & 1 ? 20 + i : 10 + i);
	assert_int_equal(load(AT(45)), 17);
	refused(AT(0), QUIRE_READ, QUIRE_FAULT_MAPERR);
	/* The object finds its pages where they are now. */
	assert_int_equal(quire_object_sync(pager->object, 0, UINT64_MAX), 0);
	assert_int_equal(rights_at(AT(511)), RIGHT_READ);
	assert_int_equal(rights_at(AT(513)), RIGHT_READ);
	opens = calls(pager, OP_OPEN) - calls(pager, OP_CLOSE);
	/* The first, moved; the second, of which a part was moved. */
	assert_int_equal(opens, 3);
	assert_int_equal(quire_object_truncate(pager->object, PAGES(4)), 0);
	assert_int_equal(entered(510, 8), 2);
	assert_int_equal(entered(40, 6), 0);
	assert_int_equal(entered(16, 8), 2);
	assert_int_equal(load(AT(17)), 21);
}

static void resizing(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	store(AT(7), 7);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(4), 0, 0), AT(0));
	shows(0, 4, pager->object, 0);
	refused(AT(7), QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(4), PAGES(12), 0, 0), AT(0));
	shows(0, 12, pager->object, 0);
	assert_int_equal(load(AT(7)), 7);
	assert_int_equal(load(AT(11)), kept_value(11));
	assert_int_equal(calls(pager, OP_OPEN), 1);
	/* What has grown is found, too. */
	assert_int_equal(quire_object_truncate(pager->object, PAGES(6)), 0);
	assert_int_equal(entered(6, 6), 0);
	map(12, 1, R, SHARED, pager->object, 40);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(12), PAGES(13), 0, 0), -QUIRE_ENOMEM);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(12), PAGES(4), MOVE, AT(32)), AT(32));
	shows(32, 4, pager->object, 0);
	assert_int_equal(vmas(), 2);
}

static void dontunmap(void **state)
{
	(void)state;
	map(0, 4, RW, SHARED, pager->object, 0);
	map(8, 4, RW, PRIVATE, pager->object, 0);
	store(AT(0), 1);
	store(AT(8) + 8, 2);
	assert_int_equal(
		quire_mremap(mm, AT(0), PAGES(4), PAGES(4), MOVE | QUIRE_MREMAP_DONTUNMAP, AT(32)),
		AT(32));
	assert_int_equal(
		quire_mremap(mm, AT(8), PAGES(4), PAGES(4), MOVE | QUIRE_MREMAP_DONTUNMAP, AT(40)),
		AT(40));
	assert_int_equal(entered(0, 12), 0);
	assert_int_equal(vmas(), 4);
	assert_int_equal(calls(pager, OP_OPEN), 4);
	assert_int_equal(load(AT(0)), 1); /* shared: both show the object */
	store(AT(0), 3);
	assert_int_equal(load(AT(32)), 3);
	assert_int_equal(load(AT(8) + 8), 0); /* private: the copy has gone along */
	assert_int_equal(load(AT(40) + 8), 2);
	assert_int_equal(quire_object_truncate(pager->object, 0), 0);
	assert_int_equal(entered(0, 48), 0);
}

/* An old length of 0: a second mapping of what a shared one shows. */
static void duplicating(void **state)
{
	int64_t second;

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 4);
	map(8, 4, RW, PRIVATE, pager->object, 0);
	store(AT(2), 22);
	second = quire_mremap(mm, AT(2), 0, PAGES(3), QUIRE_MREMAP_MAYMOVE, 0);
	assert_true(second > 0);
	assert_int_equal(vma_at((uint64_t)second).offset, PAGES(6));
	assert_int_equal(load((uint64_t)second), 22);
	store((uint64_t)second, 23);
	assert_int_equal(load(AT(2)), 23);
	assert_int_equal(quire_mremap(mm, AT(0), 0, PAGES(4), MOVE, AT(64)), AT(64));
	assert_int_equal(load(AT(66)), 23);
	assert_int_equal(calls(pager, OP_OPEN), 4);
	assert_int_equal(quire_mremap(mm, AT(0), 0, PAGES(4), 0, 0), -QUIRE_ENOMEM);
	assert_int_equal(quire_mremap(mm, AT(8), 0, PAGES(4), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_EINVAL);
	assert_int_equal(quire_mremap(mm, AT(20), 0, PAGES(4), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_EFAULT);
	assert_int_equal(quire_object_sync(pager->object, 0, UINT64_MAX), 0);
	store(AT(66), 24);
	assert_int_equal(load((uint64_t)second), 24);
}

/* --- fork */

static void forking(void **state)
{
	struct quire_mm *child;

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	map(8, 8, RW, PRIVATE, pager->object, 0);
	map(16, 8, RW, SHARED, pager->object, 8);
	assert_int_equal(quire_madvise(mm, AT(16), PAGES(8), QUIRE_MADV_DONTFORK), 0);
	store(AT(0), 1);
	store(AT(9), 2);
	load(AT(10));
	assert_int_equal(quire_fork(mm, &child), 0);
	assert_int_equal(calls(pager, OP_OPEN), 5);
	/* The copy is inherited, pages of the object are found again; the parent keeps its own. */
	assert_int_equal(entry_in(child, AT(0)), PTE_NONE);
	assert_int_equal(entry_in(child, AT(10)), PTE_NONE);
	assert_int_equal(pte_pfn(entry_in(child, AT(9))), pte_pfn(entry_in(mm, AT(9))));
	assert_int_equal(rights_at(AT(0)), RIGHT_READ | RIGHT_WRITE);
	assert_int_equal(rights_at(AT(9)), RIGHT_READ);
	check_valid();
	quire_soft_switch(cpu, child);
	assert_int_equal(load(AT(0)), 1);
	store(AT(0), 3);
	store(AT(7), 4);
	store(AT(9), 5);
	store(AT(10), 6);
	refused(AT(16), QUIRE_READ, QUIRE_FAULT_MAPERR);
	quire_soft_switch(cpu, mm);
	assert_int_equal(load(AT(0)), 3);
	assert_int_equal(load(AT(7)), 4);
	assert_int_equal(load(AT(9)), 2);
	assert_int_equal(load(AT(10)), kept_value(2));
	look();
	store(AT(9), 7); /* nobody else has it now */
	resolved(path, QUIRE_KIND_COW_REUSE);
	/* Cleaning protects in both. */
	assert_int_equal(quire_object_sync(pager->object, 0, UINT64_MAX), 0);
	assert_int_equal(pte_rights(entry_in(child, AT(0))), RIGHT_READ);
	assert_int_equal(pte_rights(entry_in(mm, AT(0))), RIGHT_READ);
	quire_mm_destroy(child);
	assert_int_equal(calls(pager, OP_CLOSE), 2);
}

/* --- truncation, wherever its pages have got to */

static void truncation_everywhere(void **state)
{
	struct quire_mm *child, *stranger;

	(void)state;
	map(0, 16, RW, PRIVATE, pager->object, 0);
	for (unsigned i = 0; i < 16; i++)
		store(AT(i), i);
	assert_int_equal(quire_fork(mm, &child), 0);
	/* Copies: moved, in what a munmap has left, and under something else. */
	assert_int_equal(quire_mremap(mm, AT(8), PAGES(2), PAGES(2), MOVE, AT(1000)), AT(1000));
	unmap(10, 2);
	assert_int_equal(quire_mmap(mm, AT(12), PAGES(1), RW, ANON), AT(12));
	store(AT(12), 112);
	map(13, 1, RW, PRIVATE, pager->object, 2); /* a page that stays */
	store(AT(13), 113);
	assert_int_equal(quire_mm_create(NULL, &stranger), 0);
	assert_int_equal(
		quire_mmap_object(stranger, AT(100), PAGES(16), RW, SHARED, pager->object, 0, RWX),
		AT(100));
	quire_soft_switch(cpu, stranger);
	store(AT(115), 15);
	store(AT(101), 1);
	quire_soft_switch(cpu, mm);

	assert_int_equal(quire_object_truncate(pager->object, PAGES(4)), 0);
	check_valid();
	for (unsigned i = 0; i < 16; i++) {
		bool stays = i < 4 || i == 12 || i == 13;

		assert_int_equal(entry_in(mm, AT(i)) != PTE_NONE, stays);
		assert_int_equal(entry_in(child, AT(i)) != PTE_NONE, i < 4);
		assert_int_equal(entry_in(stranger, AT(100 + i)) != PTE_NONE, i == 1);
	}
	assert_int_equal(entered(1000, 2), 0);
	refused(AT(1000), QUIRE_READ, QUIRE_FAULT_BUS);
	assert_int_equal(load(AT(12)), 112);
	assert_int_equal(load(AT(13)), 113);
	assert_int_equal(load(AT(3)), 3);
	assert_int_equal(quire_object_truncate(pager->object, PAGES(20)), 0);
	assert_int_equal(load(AT(1001)), 0);
	quire_mm_destroy(stranger);
	quire_mm_destroy(child);
}

/* Across leaves, and more pages than a sweep takes at once. */
static void truncation_of_much(void **state)
{
	struct quire_object *object;
	const uint64_t pages = 1500;

	(void)state;
	assert_int_equal(quire_shared_create(PAGES(pages), NULL, &object), 0);
	map(300, pages, RW, SHARED, object, 0);
	map(3000, pages, RW, PRIVATE, object, 0);
	for (uint64_t i = 0; i < pages; i++) {
		store(AT(300 + i), i);
		if (i % 3 == 0)
			store(AT(3000 + i), i);
		else
			load(AT(3000 + i));
	}
	assert_int_equal(object_stats(object).cached, pages);
	assert_int_equal(quire_object_truncate(object, PAGES(600)), 0);
	assert_int_equal(entered(300, 600) + entered(3000, 600), 1200);
	assert_int_equal(entered(900, 900) + entered(3600, 900), 0);
	assert_int_equal(object_stats(object).cached, 600);
	check_valid();
	assert_int_equal(quire_object_remove(object, PAGES(100), PAGES(300)), 0);
	assert_int_equal(entered(400, 300), 0);
	assert_int_equal(entered(3100, 300), 100);
	quire_object_put(object);
	unmap(0, 5000);
	look();
	assert_int_equal(before.object_pages + before.anonymous, 0);
	assert_int_equal(before.tables, 1);
}

/* --- munmap is at work, its entries are not gone yet: who cleans their pages must wait for it */

struct actor {
	pthread_t thread;
	unsigned index;
	int (*act)(void);
	_Atomic bool done;
};

static void *actor_main(void *argument)
{
	struct actor *actor = argument;
	struct quire_soft_cpu *mine = quire_soft_attach(actor->index);

	quire_soft_enter(mine);
	require(actor->act() == 0);
	at_store_release(&actor->done, true);
	quire_soft_leave(mine);
	quire_soft_detach(mine);
	return NULL;
}

static void begin(struct actor *actor, unsigned index, int (*act)(void))
{
	*actor = (struct actor){ .index = index, .act = act };
	assert_int_equal(pthread_create(&actor->thread, NULL, actor_main, actor), 0);
}

static int act_munmap(void)
{
	return quire_munmap(mm, AT(0), PAGES(4));
}

static int act_map_over(void)
{
	return quire_mmap(mm, AT(0), PAGES(4), R, ANON) == AT(0) ? 0 : -QUIRE_EIO;
}

static int act_dontneed(void)
{
	return quire_madvise(mm, AT(0), PAGE_SIZE, QUIRE_MADV_DONTNEED);
}

static int act_sync(void)
{
	return quire_object_sync(pager->object, 0, UINT64_MAX);
}

/* => in a section */
static bool shows_object(uint64_t address)
{
	const struct vma *vma = tree_find(&mm->tree, address);

	return vma && vma->mapping;
}

/* Until the page, which is pinned, is no longer dirty: who cleans it is about to sweep. */
static void await_cleaning(struct frame *frame)
{
	while (at_load(&frame->u.object.state) & PAGE_DIRTY)
		usleep(1000);
}

static void last_write(int (*act)(void))
{
	struct actor unmapping, syncing;
	struct frame *frame;
	struct walk walk;

	map(0, 4, RW, SHARED, pager->object, 0);
	store(AT(0), 1);
	section_enter();
	frame = page_get(pager->object, 0);
	assert_int_equal(table_walk(&mm->tables, AT(0), &walk), WALK_LEAF);
	table_lock(walk.table); /* the sweep stands before it */
	begin(&unmapping, 1, act);
	while (shows_object(AT(0)))
		usleep(1000);
	begin(&syncing, 2, act_sync);
	await_cleaning(frame);
	usleep(50000);
	assert_false(at_load(&unmapping.done));
	assert_false(at_load(&syncing.done));
	/* What its entry allows is done by a CPU: the last write. */
	*(uint64_t *)port_frame(pte_pfn(at_load(walk.slot))) = 2;
	table_unlock(walk.table);
	frame_put(frame);
	section_leave();
	quire_soft_leave(cpu);
	pthread_join(unmapping.thread, NULL);
	pthread_join(syncing.thread, NULL);
	quire_soft_enter(cpu);
	assert_int_equal(kept(pager, 0), 2);
	memcpy(pager->kept[0], &(uint64_t){ kept_value(0) }, 8);
	assert_int_equal(quire_object_invalidate(pager->object, 0, PAGES(4)), 0);
	assert_int_equal(calls(pager, OP_OPEN), calls(pager, OP_CLOSE));
}

static void write_before_unmapping(void **state)
{
	(void)state;
	last_write(act_munmap);
	last_write(act_map_over);
}

/*
 * An entry is gone, but a CPU may still have its translation: who cleans the page must wait until
 * it is dropped. (This CPU is inside and answers nobody until it leaves.)
 */
static void write_before_flush(void **state)
{
	struct actor zapping, syncing;
	struct frame *frame;
	struct walk walk;

	(void)state;
	map(0, 4, RW, SHARED, pager->object, 0);
	store(AT(0), 1);
	section_enter();
	frame = page_get(pager->object, 0);
	assert_int_equal(table_walk(&mm->tables, AT(0), &walk), WALK_LEAF);
	section_leave();
	begin(&zapping, 1, act_dontneed);
	while (at_load(walk.slot) != PTE_NONE)
		usleep(1000);
	begin(&syncing, 2, act_sync);
	await_cleaning(frame);
	usleep(50000);
	assert_false(at_load(&zapping.done));
	assert_false(at_load(&syncing.done));
	store(AT(0), 2);
	quire_soft_leave(cpu);
	pthread_join(zapping.thread, NULL);
	pthread_join(syncing.thread, NULL);
	quire_soft_enter(cpu);
	page_unpin(frame);
	assert_int_equal(kept(pager, 0), 2);
	assert_int_equal(load(AT(0)), 2);
}

/* --- what is said of the layout */

static void text(void **state)
{
	char maps[512];

	(void)state;
	map(0, 4, RW, SHARED, pager->object, 3);
	map(8, 4, R | X, PRIVATE, pager->object, 0);
	quire_mm_maps(mm, maps, sizeof(maps));
	assert_string_equal(
		maps, "10000000-10004000 rw-s 00003000 08:11 4711                               "
		      "/tests/kept\n"
		      "10008000-1000c000 r-xp 00000000 08:11 4711                               "
		      "/tests/kept\n");
	shows(0, 4, pager->object, 3);
	assert_int_equal(quire_mmap(mm, AT(16), PAGES(1), R,
				    QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED),
			 AT(16));
	quire_mm_maps(mm, maps, sizeof(maps));
	assert_non_null(strstr(maps, "10010000-10011000 r--s 00000000 00:01 "));
	assert_non_null(strstr(maps, " /dev/zero (deleted)\n"));
	assert_int_equal(quire_mmap(mm, AT(32), PAGES(1), R, ANON), AT(32));
	assert_null(vma_at(AT(32)).object);
}

static void residency(void **state)
{
	unsigned char vector[8];

	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	assert_int_equal(quire_mincore(mm, AT(0), PAGES(8), vector), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(vector[i] & 1, 0);
	quire_object_readahead(pager->object, PAGES(2), PAGES(3));
	assert_int_equal(entered(0, 8), 0);
	assert_int_equal(quire_mincore(mm, AT(0), PAGES(8), vector), 0);
	for (unsigned i = 0; i < 8; i++) /* in the cache is there */
		assert_int_equal(vector[i] & 1, i >= 2 && i < 5);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(8), QUIRE_MADV_WILLNEED), 0);
	assert_int_equal(quire_mincore(mm, AT(0), PAGES(8), vector), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(vector[i] & 1, 1);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(8), QUIRE_MADV_PAGEOUT), 0);
	assert_int_equal(object_stats(pager->object).cached, 0);
	assert_int_equal(quire_mincore(mm, AT(0), PAGES(8), vector), 0);
	assert_int_equal(vector[2] & 1, 0);
}

static void advice(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	map(8, 8, RW, PRIVATE, pager->object, 0);
	store(AT(0), 1);
	store(AT(9), 2);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(16), QUIRE_MADV_DONTNEED), 0);
	assert_int_equal(entered(0, 16), 0);
	assert_int_equal(load(AT(0)), 1);	      /* the object has it */
	assert_int_equal(load(AT(9)), kept_value(1)); /* the copy is lost */
	store(AT(9), 2);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(8), QUIRE_MADV_FREE), -QUIRE_EINVAL);
	assert_int_equal(quire_madvise(mm, AT(8), PAGES(8), QUIRE_MADV_REMOVE), -QUIRE_EACCES);
	assert_int_equal(quire_madvise(mm, AT(8), PAGES(8), QUIRE_MADV_WIPEONFORK), -QUIRE_EINVAL);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(2), QUIRE_MADV_REMOVE), 0);
	assert_int_equal(load(AT(0)), 0);
	assert_int_equal(load(AT(8)), 0);
	assert_int_equal(load(AT(9)), 2);
	assert_int_equal(kept(pager, 0), 0);
	let_answer(pager, OP_REMOVE, -QUIRE_EIO, 1);
	assert_int_equal(quire_madvise(mm, AT(3), PAGES(1), QUIRE_MADV_REMOVE), -QUIRE_EIO);
	/* What is used of late stays. */
	load(AT(3));
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(8), QUIRE_MADV_COLD), 0);
	assert_int_not_equal(entry_in(mm, AT(3)), PTE_NONE);
	assert_int_equal(load(AT(3)), kept_value(3));
}

/* --- locking and populating */

static void populating(void **state)
{
	(void)state;
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(8), RW, SHARED | QUIRE_MAP_POPULATE,
					   pager->object, 0, RWX),
			 AT(0));
	assert_int_equal(entered(0, 8), 8);
	assert_int_equal(object_stats(pager->object).dirty, 0); /* by reading */
	assert_int_equal(calls(pager, OP_MKWRITE), 0);
	assert_int_equal(quire_mmap_object(mm, AT(8), PAGES(4), RW, PRIVATE | QUIRE_MAP_POPULATE,
					   pager->object, 0, RWX),
			 AT(8));
	look();
	assert_int_equal(before.anonymous, 4); /* by writing: the copies are made */
	assert_int_equal(load(AT(9)), kept_value(1));
	map(16, 8, RW, SHARED, pager->object, 20);
	assert_int_equal(quire_madvise(mm, AT(16), PAGES(4), QUIRE_MADV_POPULATE_WRITE), 0);
	assert_int_equal(object_stats(pager->object).dirty, 4);
	map(24, 8, RW, SHARED, pager->object, KEPT_PAGES - 4);
	assert_int_equal(quire_madvise(mm, AT(24), PAGES(8), QUIRE_MADV_POPULATE_READ),
			 -QUIRE_EFAULT);
	assert_int_equal(entered(24, 8), 4);
}

static void locking(void **state)
{
	(void)state;
	map(0, 8, RW, SHARED, pager->object, 0);
	assert_int_equal(quire_mlock(mm, AT(0), PAGES(8)), 0);
	assert_int_equal(entered(0, 8), 8);
	assert_true(vma_at(AT(0)).locked);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(8), QUIRE_MADV_DONTNEED), -QUIRE_EINVAL);
	assert_int_equal(quire_msync(mm, AT(0), PAGES(8), QUIRE_MS_SYNC | QUIRE_MS_INVALIDATE),
			 -QUIRE_EBUSY);
	assert_int_equal(quire_munlock(mm, AT(0), PAGES(8)), 0);
	assert_int_equal(quire_msync(mm, AT(0), PAGES(8), QUIRE_MS_SYNC | QUIRE_MS_INVALIDATE), 0);
	/* Beyond the end nothing can be locked in. */
	map(8, 8, R, SHARED, pager->object, KEPT_PAGES - 4);
	assert_int_equal(quire_mlock(mm, AT(8), PAGES(8)), -QUIRE_ENOMEM);
	assert_int_equal(quire_mlockall(mm, QUIRE_MCL_FUTURE), 0);
	map(16, 4, RW, PRIVATE, pager->object, 0);
	assert_int_equal(entered(16, 4), 4);
	/* A second mapping of one that is locked is locked. */
	assert_int_equal(quire_munlockall(mm), 0);
	assert_int_equal(quire_mlock(mm, AT(0), PAGES(8)), 0);
	assert_int_equal(quire_mremap(mm, AT(0), 0, PAGES(4), MOVE, AT(64)), AT(64));
	assert_int_equal(entered(64, 4), 4);
}

/* The heap is anonymous, but something else may be mapped in it, and goes with it. */
static void in_the_heap(void **state)
{
	const struct quire_mm_config config = { .mode = (enum quire_mode)path, .brk_start = AT(0) };
	struct pager *p = pager_new(&pager_ops, ALL_CAPS, PAGES(8));
	struct quire_mm *other;

	(void)state;
	assert_int_equal(quire_mm_create(&config, &other), 0);
	quire_soft_switch(cpu, other);
	assert_int_equal(quire_brk(other, AT(8)), AT(8));
	assert_int_equal(quire_mmap_object(other, AT(4), PAGES(2), RW, SHARED, p->object, 0, RWX),
			 AT(4));
	quire_object_put(p->object);
	store(AT(5), 1);
	assert_int_equal(quire_brk(other, AT(1)), AT(1));
	assert_int_equal(kept(p, 1), 1);
	pager_end(p);
	quire_soft_switch(cpu, mm);
	quire_mm_destroy(other);
}

/* --- devices */

static uint64_t *device_word(uint64_t page)
{
	return quire_soft_physical(MACHINE_MEMORY + PAGES(page));
}

static void devices(void **state)
{
	struct quire_object *device;
	struct quire_mm *child;

	(void)state;
	assert_int_equal(quire_device_create(MACHINE_MEMORY + 1, PAGES(8), NULL, &device),
			 -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(MACHINE_MEMORY, PAGES(8), NULL, &device), 0);
	assert_int_equal(quire_mmap_object(mm, AT(0), PAGES(4), RW, PRIVATE, device, 0, RWX),
			 -QUIRE_EINVAL);
	map(0, 10, RW, SHARED, device, 0);
	map(16, 4, R, PRIVATE, device, 2);
	assert_int_equal(quire_mprotect(mm, AT(16), PAGES(4), RW), -QUIRE_EACCES);
	*device_word(2) = 1234;
	look();
	fault(AT(2), QUIRE_READ, QUIRE_FAULT_DONE);
	resolved(path, QUIRE_KIND_DEVICE);
	assert_true(pte_is_special(entry_in(mm, AT(2))));
	assert_int_equal(load(AT(2)), 1234);
	assert_int_equal(load(AT(16)), 1234);
	store(AT(2), 4321);
	assert_int_equal(*device_word(2), 4321);
	store(AT(7), 7);
	assert_int_equal(*device_word(7), 7);
	refused(AT(8), QUIRE_READ, QUIRE_FAULT_BUS);
	look();
	assert_int_equal(before.object_pages + before.anonymous, 0);
	check_valid();

	/* Rights come and go. */
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(8), R), 0);
	refused(AT(2), QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(8), RW), 0);
	store(AT(2), 1);
	assert_int_equal(quire_fork(mm, &child), 0);
	assert_int_equal(entry_in(child, AT(2)), PTE_NONE);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(4), PAGES(4), MOVE, AT(32)), AT(32));
	assert_int_equal(load(AT(34)), 1);
	store(AT(35), 35);
	assert_int_equal(*device_word(3), 35);
	assert_int_equal(quire_mremap(mm, AT(32), 0, PAGES(4), MOVE, AT(48)), AT(48));
	assert_int_equal(load(AT(51)), 35);
	quire_soft_switch(cpu, child);
	store(AT(2), 2);
	quire_soft_switch(cpu, mm);
	assert_int_equal(load(AT(34)), 2);
	quire_mm_destroy(child);
	assert_int_equal(quire_object_truncate(device, 0), -QUIRE_EINVAL);
	assert_int_equal(quire_madvise(mm, AT(32), PAGES(2), QUIRE_MADV_DONTNEED), -QUIRE_EINVAL);
	assert_int_equal(quire_madvise(mm, AT(32), PAGES(2), QUIRE_MADV_WILLNEED), 0);
	assert_int_equal(quire_msync(mm, AT(32), PAGES(4), QUIRE_MS_SYNC), 0);
	assert_int_equal(load(AT(34)), 2);
	unmap(0, 64);
	refused(AT(34), QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_int_equal(*device_word(3), 35);
	quire_object_put(device);
}

int main(void)
{
	static enum quire_mode modes[] = { QUIRE_SPECULATIVE, QUIRE_VMA_LOCK, QUIRE_CLASSIC };
	const struct CMUnitTest tests[] = {
		MODES(merging),
		MODES(splitting),
		MODES(may_not_be_split),
		MODES(may_not_be_opened),
		MODES(may_not_be_written),
		MODES(arguments),
		MODES(release),
		MODES(moving),
		MODES(resizing),
		MODES(dontunmap),
		MODES(duplicating),
		MODES(forking),
		MODES(truncation_everywhere),
		MODES(truncation_of_much),
		SPECULATIVE(write_before_unmapping),
		MODES(write_before_flush),
		MODES(text),
		MODES(residency),
		MODES(advice),
		MODES(populating),
		MODES(locking),
		MODES(in_the_heap),
		MODES(devices),
	};

	return cmocka_run_group_tests_name("mappings", tests, NULL, NULL);
}
