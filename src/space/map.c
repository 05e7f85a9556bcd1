/* SPDX-License-Identifier: MIT */
/*
 * mmap.
 *
 *   somewhere     one hold of the tree lock: find a gap, publish. No range is locked: there is
 *                 nothing to sweep, and a gap that a writer still sweeps is not taken (Q2). Merging
 *                 with a neighbour changes nothing for the neighbour's addresses.
 *   FIXED         range locked. Over nothing: publish. Over something: publish the new VMA
 *                 *pending* in place of the old ones, sweep, flush, set it live: one publication,
 *                 so that nothing is lost if there is no memory for it, and a fault that comes
 *                 between waits for the range and finds the new mapping, never none.
 */
#include "space/space.h"

#define MAP_TYPE 0xf /* of the flags: shared or private */

struct request {
	struct quire_mm *mm;
	uint64_t address, length;
	int flags;
	uint32_t vma_flags;
};

static uint32_t flags_of(int prot, int flags)
{
	return ((uint32_t)prot & VMA_PROT) | (flags & QUIRE_MAP_GROWSDOWN ? VMA_GROWSDOWN : 0) |
	       (flags & QUIRE_MAP_NORESERVE ? VMA_NORESERVE : 0) |
	       (flags & QUIRE_MAP_STACK ? VMA_NOHUGEPAGE : 0) |
	       (flags & QUIRE_MAP_LOCKED ? VMA_LOCKED : 0);
}

/* The checks once the place is known. `replaced`: pages that go away for it. => in an edit */
static int check(const struct request *r, uint64_t replaced)
{
	struct quire_mm *mm = r->mm;
	uint64_t pages = r->length >> PAGE_SHIFT;

	if (r->vma_flags & VMA_LOCKED && !space_may_lock(mm, pages))
		return -QUIRE_EAGAIN;
	if ((r->flags & MAP_TYPE) != QUIRE_MAP_PRIVATE)
		return (r->flags & MAP_TYPE) == QUIRE_MAP_SHARED ? -QUIRE_ENODEV : -QUIRE_EINVAL;
	return space_may_map(mm, pages, r->vma_flags, replaced);
}

static int64_t map_fixed(struct request *r)
{
	struct vma_attributes as = { 0 };
	struct quire_mm *mm = r->mm;
	uint64_t start = r->address, end = start + r->length;
	struct space_lock lock;
	uint64_t replaced;
	int error;

	space_lock(&lock, mm, start, end, SPACE_EDIT);
	space_edit_begin(mm);
	r->vma_flags |= mm->lock_future; /* here, so that mlockall misses no mapping */
	replaced = space_mapped(mm, start, end, 0);
	if (r->flags & QUIRE_MAP_FIXED_NOREPLACE && replaced) {
		error = -QUIRE_EEXIST;
	} else {
		error = check(r, replaced);
		as.flags = r->vma_flags;
		as.pending = replaced > 0;
		if (!error)
			error = space_replace(mm, start, end, &as);
	}
	space_edit_end(mm);
	if (!error && as.pending) {
		space_zap(mm, start, end, false);
		space_set_live(mm, start);
	}
	space_unlock(&lock);
	return error ? error : (int64_t)start;
}

static int64_t map_somewhere(struct request *r)
{
	struct quire_mm *mm = r->mm;
	struct vma_attributes as = { 0 };
	struct space_lock lock;
	struct span swept;
	int64_t place;

	for (;;) {
		int error;

		space_lock(&lock, mm, 0, 0, SPACE_EDIT);
		space_edit_begin(mm);
		as.flags = r->vma_flags |= mm->lock_future; /* as in map_fixed */
		place = space_find_gap(mm, r->address, r->length, &swept);
		error = place < 0 ? (int)place : check(r, 0);
		if (!error)
			error = space_replace(mm, (uint64_t)place, (uint64_t)place + r->length,
					      &as);
		space_edit_end(mm);
		space_unlock(&lock);
		if (error && error != -QUIRE_ENOMEM)
			return error;
		if (!error)
			return place;
		if (place >= 0 || swept.start == swept.end)
			return error;
		space_wait(mm, &swept);
	}
}

static bool populates(const struct request *r)
{
	if (r->vma_flags & VMA_LOCKED)
		return !(r->vma_flags & VMA_ONFAULT);
	return (r->flags & (QUIRE_MAP_POPULATE | QUIRE_MAP_NONBLOCK)) == QUIRE_MAP_POPULATE;
}

int64_t quire_mmap(struct quire_mm *mm, uint64_t address, uint64_t length, int prot, int flags)
{
	bool fixed = flags & (QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE);
	struct request r = {
		.mm = mm,
		.address = fixed ? address : address & ~PAGE_MASK,
		.length = PAGE_ALIGN(length),
		.flags = flags,
	};
	bool waited = false;
	int64_t result;

	if (!(flags & QUIRE_MAP_ANONYMOUS))
		return -QUIRE_EBADF;
	if (!length)
		return -QUIRE_EINVAL;
	if (!r.length || r.length > mm->end)
		return -QUIRE_ENOMEM;
	if (fixed && address > mm->end - r.length)
		return -QUIRE_ENOMEM;
	if (fixed && address & PAGE_MASK)
		return -QUIRE_EINVAL;
	if (fixed && address < mm->start)
		return -QUIRE_EPERM;
	r.vma_flags = flags_of(prot, flags);
	do
		result = fixed ? map_fixed(&r) : map_somewhere(&r);
	while (space_again(result, &waited));
	if (result >= 0 && populates(&r))
		space_populate_mapped(mm, (uint64_t)result, (uint64_t)result + r.length);
	return result;
}
