/* SPDX-License-Identifier: MIT */
/*
 * mlock and its relatives: a mark on the VMAs, which counts against a limit and keeps reclaim away,
 * and all pages faulted in (unless ONFAULT). The errors are Linux's: a hole is ENOMEM after what
 * lies before it was marked.
 */
#include "space/space.h"

#define LOCK_FLAGS (VMA_LOCKED | VMA_ONFAULT)

/* Give one VMA's part of the range these lock flags. => in an edit */
static int mark_vma(struct quire_mm *mm, const struct vma *vma, uint64_t start, uint64_t end,
		    uint32_t flags)
{
	/* Once more, since the check of the whole call: other calls lock pages, too. */
	if (flags & ~vma->flags & VMA_LOCKED && !space_may_lock(mm, (end - start) >> PAGE_SHIFT))
		return -QUIRE_ENOMEM;
	return space_change(mm, vma, start, end, (vma->flags & ~LOCK_FLAGS) | flags, vma->key);
}

/*
 * Give every VMA of the range these lock flags.
 * => the range is locked. 0 or -QUIRE_ENOMEM: a hole, the limit, or no memory
 */
static int mark(struct quire_mm *mm, uint64_t start, uint64_t end, uint32_t flags, bool holes)
{
	int error = 0;

	while (start < end && !error) {
		struct span part = { start, end };
		const struct vma *vma;

		space_edit_begin(mm);
		vma = tree_next(&mm->tree, start);
		if (!vma || vma->start >= end) {
			error = holes ? 0 : -QUIRE_ENOMEM;
		} else if (vma->start > start && !holes) {
			error = -QUIRE_ENOMEM;
		} else {
			part = vma_part(vma, start, end);
			error = mark_vma(mm, vma, part.start, part.end, flags);
		}
		space_edit_end(mm);
		start = part.end;
	}
	return error;
}

static int mark_range(struct quire_mm *mm, uint64_t start, uint64_t end, uint32_t flags)
{
	struct space_lock lock;
	bool waited = false;
	int error;

	do {
		space_lock(&lock, mm, start, end, SPACE_EDIT);
		error = mark(mm, start, end, flags, false);
		space_unlock(&lock);
	} while (space_again(error, &waited));
	return error;
}

/* The range of an mlock call, whole pages. 0, 1: nothing to do, or an error. */
static int whole_pages(uint64_t *address, uint64_t *end, uint64_t length)
{
	length = PAGE_ALIGN(length + (*address & PAGE_MASK));
	*address &= ~PAGE_MASK;
	*end = *address + length;
	if (*end < *address)
		return -QUIRE_EINVAL;
	return *end == *address;
}

static int lock_pages(struct quire_mm *mm, uint64_t address, uint64_t length, uint32_t flags)
{
	uint64_t pages = PAGE_ALIGN(length + (address & PAGE_MASK)) >> PAGE_SHIFT, end;
	int error = whole_pages(&address, &end, length);
	bool allowed;

	space_edit_begin(mm);
	/* Pages that are locked already count once. */
	if (error == 0 && !space_may_lock(mm, pages))
		pages -= space_mapped(mm, address, end, VMA_LOCKED);
	allowed = space_may_lock(mm, pages);
	space_edit_end(mm);
	if (!allowed)
		return -QUIRE_ENOMEM; /* even if the range makes no sense */
	if (error)
		return error < 0 ? error : 0;
	error = mark_range(mm, address, end, flags);
	if (!error && !(flags & VMA_ONFAULT))
		error = space_populate_mapped(mm, address, end);
	/* What mlock(2) says for pages that can't be faulted in. */
	return error == -QUIRE_EFAULT || error == -QUIRE_EACCES ? -QUIRE_ENOMEM : error;
}

int quire_mlock(struct quire_mm *mm, uint64_t address, uint64_t length)
{
	return lock_pages(mm, address, length, VMA_LOCKED);
}

int quire_mlock2(struct quire_mm *mm, uint64_t address, uint64_t length, int flags)
{
	if (flags & ~QUIRE_MLOCK_ONFAULT)
		return -QUIRE_EINVAL;
	return lock_pages(mm, address, length,
			  VMA_LOCKED | (flags & QUIRE_MLOCK_ONFAULT ? VMA_ONFAULT : 0));
}

int quire_munlock(struct quire_mm *mm, uint64_t address, uint64_t length)
{
	uint64_t end;
	int error = whole_pages(&address, &end, length);

	if (error)
		return error < 0 ? error : 0;
	return mark_range(mm, address, end, 0);
}

/* Lock flags for everything there is, and for what comes. */
static int lock_all(struct quire_mm *mm, bool current, uint32_t flags, uint32_t future)
{
	struct space_lock lock;
	bool waited = false;
	int error = 0;

	do {
		space_lock(&lock, mm, mm->start, mm->end, SPACE_EDIT);
		space_edit_begin(mm);
		mm->lock_future = future;
		space_edit_end(mm);
		if (current)
			error = mark(mm, mm->start, mm->end, flags, true);
		space_unlock(&lock);
	} while (space_again(error, &waited));
	return error;
}

int quire_mlockall(struct quire_mm *mm, int flags)
{
	const int known = QUIRE_MCL_CURRENT | QUIRE_MCL_FUTURE | QUIRE_MCL_ONFAULT;
	bool onfault = flags & QUIRE_MCL_ONFAULT, current = flags & QUIRE_MCL_CURRENT, allowed;
	uint32_t lock = VMA_LOCKED | (onfault ? VMA_ONFAULT : 0);
	int error;

	if (!flags || flags & ~known || flags == QUIRE_MCL_ONFAULT)
		return -QUIRE_EINVAL;
	space_edit_begin(mm);
	allowed = mm->mapped <= mm->limits.locked >> PAGE_SHIFT;
	space_edit_end(mm);
	if (current && !allowed)
		return -QUIRE_ENOMEM;
	error = lock_all(mm, current, lock, flags & QUIRE_MCL_FUTURE ? lock : 0);
	/* As Linux does: what can't be faulted in is no error of this call. */
	if (!error && current && !onfault)
		for (uint64_t at = mm->start; at < mm->end;) {
			struct quire_vma_info vma;

			if (quire_vma_find(mm, at, &vma))
				break;
			space_populate_mapped(mm, vma.start, vma.end);
			at = vma.end;
		}
	return error;
}

int quire_munlockall(struct quire_mm *mm)
{
	return lock_all(mm, true, 0, 0);
}
