/* SPDX-License-Identifier: MIT */
/* What a space sums up of its VMAs, and the limits on that. */
#include "space/space.h"

static bool is_data(uint32_t flags)
{
	return (flags & (VMA_WRITE | VMA_SHARED | VMA_GROWSDOWN)) == VMA_WRITE;
}

void space_account(struct quire_mm *mm, const struct vma *vma, int sign)
{
	uint64_t pages = vma_pages(vma) * (uint64_t)(int64_t)sign;

	mm->vmas += (uint64_t)(int64_t)sign;
	mm->mapped += pages;
	if (vma->flags & VMA_LOCKED)
		mm->locked += pages;
	if (is_data(vma->flags))
		mm->data += pages;
}

void space_account_mapping(struct quire_mm *mm, const struct vma *vma, int sign)
{
	struct mapping *mapping = vma->mapping;

	if (!mapping)
		return;
	mapping->vmas += (uint64_t)(int64_t)sign;
	if (mapping->vmas == 0) {
		mapping->deferred.next = mm->gone;
		mm->gone = &mapping->deferred;
	}
}

int space_may_map(const struct quire_mm *mm, uint64_t pages, uint32_t flags, uint64_t less)
{
	if (pages <= less)
		return 0;
	pages -= less;
	if (mm->mapped + pages > mm->limits.address_space >> PAGE_SHIFT)
		return -QUIRE_ENOMEM;
	return is_data(flags) ? space_may_write(mm, pages) : 0;
}

int space_may_write(const struct quire_mm *mm, uint64_t pages)
{
	return mm->data + pages > mm->limits.data >> PAGE_SHIFT ? -QUIRE_ENOMEM : 0;
}

uint64_t space_mapped(const struct quire_mm *mm, uint64_t start, uint64_t end, uint32_t flags)
{
	uint64_t pages = 0;

	for_each_vma(vma, &mm->tree, start, end) {
		struct span part = vma_part(vma, start, end);

		if ((vma->flags & flags) == flags)
			pages += (part.end - part.start) >> PAGE_SHIFT;
	}
	return pages;
}

bool space_may_lock(const struct quire_mm *mm, uint64_t pages)
{
	return mm->locked + pages <= mm->limits.locked >> PAGE_SHIFT;
}
