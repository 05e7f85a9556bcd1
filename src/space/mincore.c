/* SPDX-License-Identifier: MIT */
/* mincore: which pages are there. A snapshot of each page, not of all at one moment. */
#include "space/space.h"

static bool resident(const struct quire_mm *mm, uint64_t address)
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
		section_enter();
		mapped = tree_find(&mm->tree, address) != NULL;
		if (mapped)
			*vector++ = resident(mm, address);
		section_leave();
	}
	return mapped ? 0 : -QUIRE_ENOMEM;
}
