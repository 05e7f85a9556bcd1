/* SPDX-License-Identifier: MIT */
/* Where a new mapping goes. */
#include "space/space.h"

/* The range [start, end) is free in the layout, stack gaps included. */
static bool is_gap(const struct quire_mm *mm, uint64_t start, uint64_t end)
{
	return tree_gap(&mm->tree, start, end, end - start, true, mm->stack_gap) != TREE_NO_GAP;
}

/* The best gap in [low, high) that no writer is sweeping. */
static uint64_t search(struct quire_mm *mm, uint64_t low, uint64_t high, uint64_t length, bool down,
		       struct span *swept)
{
	uint64_t hit_start, hit_end, place;

	while (low < high) {
		place = tree_gap(&mm->tree, low, high, length, down, mm->stack_gap);
		if (place == TREE_NO_GAP ||
		    !range_conflict(&mm->ranges, place, place + length, &hit_start, &hit_end))
			return place;
		*swept = (struct span){ hit_start, hit_end };
		if (down)
			high = hit_start < high ? hit_start : high - PAGE_SIZE;
		else
			low = hit_end > low ? hit_end : low + PAGE_SIZE;
	}
	return TREE_NO_GAP;
}

int64_t space_find_gap(struct quire_mm *mm, uint64_t hint, uint64_t length, struct span *swept)
{
	uint64_t hit_start, hit_end, place;

	assert_held(&mm->tree_lock);
	*swept = (struct span){ 0, 0 };
	if (length > mm->end - mm->start)
		return -QUIRE_ENOMEM;
	if (hint >= mm->start && hint <= mm->end - length && is_gap(mm, hint, hint + length) &&
	    !range_conflict(&mm->ranges, hint, hint + length, &hit_start, &hit_end))
		return (int64_t)hint;
	place = search(mm, mm->start, mm->mmap_top, length, true, swept);
	if (place == TREE_NO_GAP)
		place = search(mm, mm->mmap_top, mm->end, length, false, swept);
	return place == TREE_NO_GAP ? -QUIRE_ENOMEM : (int64_t)place;
}
