/* SPDX-License-Identifier: MIT */
/* What is mapped where, for calls that work on objects with nothing locked. */
#include "space/space.h"

bool space_next_part(struct quire_mm *mm, uint64_t start, uint64_t end, struct space_part *part)
{
	const struct vma *vma;
	struct span span;
	bool found;

	section_enter();
	vma = tree_next(&mm->tree, start);
	found = vma && vma->start < end;
	if (found) {
		span = vma_part(vma, start, end);
		*part = (struct space_part){ span.start, span.end, vma->flags, NULL, 0 };
		if (vma->mapping && object_try_get(vma->mapping->object)) {
			part->object = vma->mapping->object;
			part->index = mapping_index(vma->mapping, span.start);
		}
	}
	section_leave();
	return found;
}
