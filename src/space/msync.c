/* SPDX-License-Identifier: MIT */
/*
 * msync: the dirty pages of shared mappings are written, object by object, with nothing locked. A
 * hole does not end the call: it goes on behind it and returns ENOMEM at the end. MS_ASYNC and
 * MS_INVALIDATE do nothing more, as in Linux: the cache is one for mappings and files, and dirty
 * pages are written in their time.
 */
#include "space/space.h"

static bool any_locked(struct quire_mm *mm, uint64_t start, uint64_t end)
{
	bool any = false;

	section_enter();
	for_each_vma(vma, &mm->tree, start, end)
		any |= (vma->flags & VMA_LOCKED) != 0;
	section_leave();
	return any;
}

static int sync_range(struct quire_mm *mm, uint64_t start, uint64_t end, bool *hole)
{
	struct space_part part;
	int error = 0;

	while (start < end && !error && space_next_part(mm, start, end, &part)) {
		*hole |= part.start > start;
		if (part.object && part.flags & VMA_SHARED)
			error = quire_object_sync(part.object, part.index << PAGE_SHIFT,
						  part.end - part.start);
		if (part.object)
			quire_object_put(part.object);
		start = part.end;
	}
	*hole |= start < end;
	return error;
}

int quire_msync(struct quire_mm *mm, uint64_t address, uint64_t length, int flags)
{
	const int known = QUIRE_MS_ASYNC | QUIRE_MS_INVALIDATE | QUIRE_MS_SYNC;
	uint64_t end = address + PAGE_ALIGN(length);
	bool hole = false;
	int error = 0;

	if (flags & ~known || address & PAGE_MASK ||
	    (flags & (QUIRE_MS_ASYNC | QUIRE_MS_SYNC)) == (QUIRE_MS_ASYNC | QUIRE_MS_SYNC))
		return -QUIRE_EINVAL;
	if (end < address)
		return -QUIRE_ENOMEM;
	if (flags & QUIRE_MS_INVALIDATE && any_locked(mm, address, end))
		return -QUIRE_EBUSY;
	if (flags & QUIRE_MS_SYNC) {
		error = sync_range(mm, address, end, &hole);
	} else {
		space_edit_begin(mm);
		hole = space_mapped(mm, address, end, 0) < (end - address) >> PAGE_SHIFT;
		space_edit_end(mm);
	}
	if (error)
		return error;
	return hole ? -QUIRE_ENOMEM : 0;
}
