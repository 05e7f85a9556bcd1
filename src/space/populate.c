/* SPDX-License-Identifier: MIT */
/* Faulting pages in ahead of use (MAP_POPULATE, MADV_POPULATE_*, mlock), as any fault does. */
#include "space/space.h"

int space_populate(struct quire_mm *mm, uint64_t start, uint64_t end, enum quire_access access)
{
	for (; start < end; start += PAGE_SIZE) {
		switch (quire_fault(mm, start, access)) {
		case QUIRE_FAULT_DONE:
			break;
		case QUIRE_FAULT_MAPERR:
			return -QUIRE_ENOMEM;
		case QUIRE_FAULT_OOM:
			return -QUIRE_EAGAIN;
		case QUIRE_FAULT_BUS:
			return -QUIRE_EFAULT;
		default:
			return -QUIRE_EACCES;
		}
	}
	return 0;
}

int space_populate_mapped(struct quire_mm *mm, uint64_t start, uint64_t end)
{
	int error = 0;

	while (start < end && !error) {
		struct span part = { end, end };
		uint32_t flags = 0;
		const struct vma *vma;

		section_enter();
		vma = tree_next(&mm->tree, start);
		if (vma && vma->start < end) {
			part = vma_part(vma, start, end);
			flags = vma->flags;
		}
		section_leave();
		if (part.start < end && !(flags & VMA_PROT))
			error = -QUIRE_EACCES;
		else
			error = space_populate(mm, part.start, part.end,
					       (flags & (VMA_WRITE | VMA_SHARED)) == VMA_WRITE
						       ? QUIRE_WRITE
						       : QUIRE_READ);
		start = part.end;
	}
	return error;
}
