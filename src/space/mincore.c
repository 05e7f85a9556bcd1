/* SPDX-License-Identifier: MIT */
/* mincore: which pages are there. A snapshot of each page, not of all at one moment. */
#include "space/space.h"

/* In the cache of its object: it is there, whether or not this space has an entry for it. */
static bool cached(const struct vma *vma, uint64_t address)
{
	struct cache_slot place;
	struct frame *frame;

	if (!vma->mapping || vma->mapping->object->device)
		return false;
	place = cache_find(&vma->mapping->object->cache, mapping_index(vma->mapping, address));
	frame = cache_load(&place);
	return frame && at_load(&frame->u.object.state) & PAGE_READY;
}

static bool entered(const struct quire_mm *mm, uint64_t address)
{
	struct walk walk;
	pte entry;

	switch (table_walk(&mm->tables, address, &walk)) {
	case WALK_LEAF:
		entry = at_load(walk.slot);
		return pte_is_mapped(entry) || pte_is_busy(entry);
	case WALK_MISSING:
		return false;
	default:
		return true;
	}
}

int quire_mincore(struct quire_mm *mm, uint64_t address, uint64_t length, unsigned char *vector)
{
	uint64_t end = address + PAGE_ALIGN(length);
	bool mapped = true;

	if (address & PAGE_MASK)
		return -QUIRE_EINVAL;
	if (end < address || end > mm->end || (length && end == address))
		return -QUIRE_ENOMEM;
	for (; address < end && mapped; address += PAGE_SIZE) {
		const struct vma *vma;

		section_enter();
		vma = tree_find(&mm->tree, address);
		mapped = vma != NULL;
		if (mapped)
			*vector++ = entered(mm, address) || cached(vma, address);
		section_leave();
	}
	return mapped ? 0 : -QUIRE_ENOMEM;
}
