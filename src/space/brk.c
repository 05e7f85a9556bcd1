/* SPDX-License-Identifier: MIT */
/* brk: the heap, a mapping from brk_start to the break, whose end a program moves. */
#include "space/space.h"

/* The page above the new break must be free too, and a stack's gap. => in an edit */
static bool may_grow(struct quire_mm *mm, uint64_t from, uint64_t to)
{
	uint64_t pages = (to - from) >> PAGE_SHIFT;
	uint32_t flags = VMA_READ | VMA_WRITE | mm->lock_future;

	if (to + PAGE_SIZE > mm->end || to - mm->brk_start > mm->limits.data ||
	    tree_gap(&mm->tree, from, to + PAGE_SIZE, to + PAGE_SIZE - from, true, mm->stack_gap) ==
		    TREE_NO_GAP)
		return false;
	if (space_may_map(mm, pages, flags, 0))
		return false;
	return !(flags & VMA_LOCKED) || space_may_lock(mm, pages);
}

/*
 * => the range between the breaks is locked. Returns whether it moved; *seen is where it was, and
 * if that is not `old`, somebody else was there first.
 */
static bool move_break(struct space_lock *lock, uint64_t old, uint64_t address, uint64_t *seen)
{
	struct vma_attributes as = { .flags = VMA_READ | VMA_WRITE | lock->mm->lock_future };
	struct quire_mm *mm = lock->mm;
	uint64_t from = PAGE_ALIGN(old), to = PAGE_ALIGN(address);
	struct deferred *gone;
	bool moved;

	space_edit_begin(mm);
	*seen = mm->brk;
	if (*seen != old)
		moved = false;
	else if (to > from)
		moved = may_grow(mm, from, to) && !space_replace(mm, from, to, &as);
	else
		moved = to == from || !space_replace(mm, to, from, NULL);
	if (moved)
		mm->brk = address;
	gone = space_take_gone(mm);
	space_edit_end(mm);
	if (moved && to < from) {
		space_downgrade(lock);
		space_zap(mm, to, from, ZAP_UNMAPPED);
	}
	space_forget(gone);
	return moved;
}

static uint64_t current_break(struct quire_mm *mm)
{
	uint64_t brk;

	space_edit_begin(mm);
	brk = mm->brk;
	space_edit_end(mm);
	return brk;
}

uint64_t quire_brk(struct quire_mm *mm, uint64_t address)
{
	uint64_t old = current_break(mm), low, high, seen;
	struct space_lock lock;
	bool moved, populate, waited = false;

	for (;;) {
		if (!mm->brk_start || address < mm->brk_start || address > mm->end ||
		    address == old)
			return old;
		low = address < old ? address : old;
		high = address < old ? old : address;
		space_lock(&lock, mm, low & ~PAGE_MASK, PAGE_ALIGN(high) + PAGE_SIZE, SPACE_EDIT);
		moved = move_break(&lock, old, address, &seen);
		populate = mm->lock_future == VMA_LOCKED && address > old;
		space_unlock(&lock);
		object_reap(); /* of what else was mapped there */
		if (moved && populate)
			space_populate_mapped(mm, PAGE_ALIGN(old), PAGE_ALIGN(address));
		if (!space_again(moved ? 0 : -QUIRE_ENOMEM, &waited) && (moved || seen == old))
			return moved ? address : old;
		old = seen; /* somebody else moved it: once more */
	}
}
