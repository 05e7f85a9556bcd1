/* SPDX-License-Identifier: MIT */
/*
 * madvise. Four kinds of advice:
 *
 *   taking pages away now     DONTNEED, DONTNEED_LOCKED, FREE: nothing is published, since the
 *                             mapping stays; the sweep alone does it. (FREE may free at any time;
 *                             here it does so at once.)
 *   faulting pages in         POPULATE_READ, POPULATE_WRITE
 *   remembered in the VMA     DONTFORK, WIPEONFORK, RANDOM, ... and their opposites: an edit
 *   for objects               WILLNEED, COLD, PAGEOUT, REMOVE: done by the object, with nothing
 *                             locked. Anonymous memory, which is not swapped yet, accepts all but
 *                             REMOVE, to no effect
 *
 * A hole does not end the call: it goes on behind it and returns ENOMEM at the end.
 */
#include "space/space.h"

/* Advice that is remembered: which flags it clears and which it sets. */
static const struct remembered {
	uint32_t clear, set;
} remembered[] = {
	[QUIRE_MADV_NORMAL] = { VMA_RANDOM | VMA_SEQUENTIAL, 0 },
	[QUIRE_MADV_RANDOM] = { VMA_SEQUENTIAL, VMA_RANDOM },
	[QUIRE_MADV_SEQUENTIAL] = { VMA_RANDOM, VMA_SEQUENTIAL },
	[QUIRE_MADV_DONTFORK] = { 0, VMA_DONTFORK },
	[QUIRE_MADV_DOFORK] = { VMA_DONTFORK, 0 },
	[QUIRE_MADV_MERGEABLE] = { 0, VMA_MERGEABLE },
	[QUIRE_MADV_UNMERGEABLE] = { VMA_MERGEABLE, 0 },
	[QUIRE_MADV_HUGEPAGE] = { VMA_NOHUGEPAGE, VMA_HUGEPAGE },
	[QUIRE_MADV_NOHUGEPAGE] = { VMA_HUGEPAGE, VMA_NOHUGEPAGE },
	[QUIRE_MADV_DONTDUMP] = { 0, VMA_DONTDUMP },
	[QUIRE_MADV_DODUMP] = { VMA_DONTDUMP, 0 },
	[QUIRE_MADV_WIPEONFORK] = { 0, VMA_WIPEONFORK },
	[QUIRE_MADV_KEEPONFORK] = { VMA_WIPEONFORK, 0 },
};

static const struct remembered *find_remembered(int advice)
{
	const struct remembered *r;

	if (advice < 0 || (size_t)advice >= sizeof(remembered) / sizeof(remembered[0]))
		return NULL;
	r = &remembered[advice];
	return r->clear || r->set ? r : NULL;
}

static bool zaps(int advice)
{
	return advice == QUIRE_MADV_DONTNEED || advice == QUIRE_MADV_DONTNEED_LOCKED ||
	       advice == QUIRE_MADV_FREE;
}

static bool populates(int advice)
{
	return advice == QUIRE_MADV_POPULATE_READ || advice == QUIRE_MADV_POPULATE_WRITE;
}

static bool for_objects(int advice)
{
	return advice == QUIRE_MADV_WILLNEED || advice == QUIRE_MADV_COLD ||
	       advice == QUIRE_MADV_PAGEOUT || advice == QUIRE_MADV_REMOVE;
}

static bool known(int advice)
{
	return find_remembered(advice) || zaps(advice) || populates(advice) || for_objects(advice);
}

/* Whether a VMA with these flags, of this object (NULL: none), may be given this advice. */
static int check(uint32_t flags, const struct quire_object *object, int advice)
{
	bool refuses_locked = advice == QUIRE_MADV_DONTNEED || advice == QUIRE_MADV_FREE ||
			      advice == QUIRE_MADV_COLD || advice == QUIRE_MADV_PAGEOUT;

	if (refuses_locked && flags & VMA_LOCKED)
		return -QUIRE_EINVAL;
	if (object && (advice == QUIRE_MADV_FREE || (zaps(advice) && object->device)))
		return -QUIRE_EINVAL;
	if (advice == QUIRE_MADV_WIPEONFORK && (object || flags & VMA_SHARED))
		return -QUIRE_EINVAL;
	if (advice == QUIRE_MADV_REMOVE) {
		if (!object || flags & VMA_LOCKED)
			return -QUIRE_EINVAL;
		if ((flags & (VMA_SHARED | VMA_NOWRITE)) != VMA_SHARED)
			return -QUIRE_EACCES;
	}
	return 0;
}

/* What the object does for its part of the range. => no lock held, a reference to the object */
static int advise_object(struct quire_object *object, uint64_t index, uint64_t pages, int advice)
{
	switch (advice) {
	case QUIRE_MADV_WILLNEED:
		quire_object_readahead(object, index << PAGE_SHIFT, pages << PAGE_SHIFT);
		return 0;
	case QUIRE_MADV_REMOVE:
		return quire_object_remove(object, index << PAGE_SHIFT, pages << PAGE_SHIFT);
	case QUIRE_MADV_PAGEOUT:
		object_write_back(object, index, index + pages, true);
		object_drop_clean(object, index, index + pages, true, NULL);
		return 0;
	default:
		object_drop_clean(object, index, index + pages, false, NULL);
		return 0;
	}
}

/* As advise_range, for advice that objects take. => no lock held */
static int advise_objects(struct quire_mm *mm, uint64_t start, uint64_t end, int advice)
{
	struct space_part part;
	bool hole = false;
	int error = 0;

	while (start < end && !error && space_next_part(mm, start, end, &part)) {
		uint64_t pages = (part.end - part.start) >> PAGE_SHIFT;

		hole |= part.start > start;
		error = check(part.flags, part.object, advice);
		if (part.object) {
			if (!error)
				error = advise_object(part.object, part.index, pages, advice);
			quire_object_put(part.object);
		}
		start = part.end;
	}
	if (error)
		return error;
	return hole || start < end ? -QUIRE_ENOMEM : 0;
}

/* One VMA's part of the range. => the range is locked; in an edit, which it may end: then *ended */
static int advise_vma(struct quire_mm *mm, const struct vma *vma, uint64_t start, uint64_t end,
		      int advice, bool *ended)
{
	const struct remembered *r = find_remembered(advice);
	int error = check(vma->flags, vma->mapping ? vma->mapping->object : NULL, advice);

	if (error)
		return error;
	if (r)
		return space_change(mm, vma, start, end, (vma->flags & ~r->clear) | r->set,
				    vma->key);
	if (zaps(advice)) {
		*ended = true;
		space_edit_end(mm);
		space_zap(mm, start, end, ZAP_PAGES);
	}
	return 0;
}

static int advise_range(struct quire_mm *mm, uint64_t start, uint64_t end, int advice)
{
	int error = 0, hole = 0;

	while (start < end && !error) {
		struct span part = { start, end };
		const struct vma *vma;
		bool ended = false;

		space_edit_begin(mm);
		vma = tree_next(&mm->tree, start);
		if (!vma || vma->start > start)
			hole = -QUIRE_ENOMEM;
		if (vma && vma->start < end) {
			part = vma_part(vma, start, end);
			error = advise_vma(mm, vma, part.start, part.end, advice, &ended);
		}
		if (!ended)
			space_edit_end(mm);
		start = part.end;
	}
	return error ? error : hole;
}

/*
 * Where the VMA at `start` ends, or an error: there is none (a stack does not grow for it), or it
 * lacks the right.
 */
static int populatable(struct quire_mm *mm, uint64_t start, uint32_t right, uint64_t *stop)
{
	const struct vma *vma;
	int error = 0;

	section_enter();
	vma = tree_find(&mm->tree, start);
	if (!vma)
		error = -QUIRE_ENOMEM;
	else if (!(vma->flags & right))
		error = -QUIRE_EINVAL;
	else
		*stop = vma->end;
	section_leave();
	return error;
}

/* What madvise(2) says of populating: the first page that can't be. */
static int populate(struct quire_mm *mm, uint64_t start, uint64_t end, int advice)
{
	bool write = advice == QUIRE_MADV_POPULATE_WRITE;
	uint64_t stop = start;
	int error = 0;

	for (; start < end && !error; start = stop) {
		error = populatable(mm, start, write ? VMA_WRITE : VMA_READ, &stop);
		if (!error)
			error = space_populate(mm, start, stop < end ? stop : end,
					       write ? QUIRE_WRITE : QUIRE_READ);
	}
	if (error == -QUIRE_EACCES)
		return -QUIRE_EINVAL; /* the protection does not allow it, by now */
	return error == -QUIRE_EAGAIN ? -QUIRE_ENOMEM : error;
}

int quire_madvise(struct quire_mm *mm, uint64_t address, uint64_t length, int advice)
{
	uint64_t end = address + PAGE_ALIGN(length);
	struct space_lock lock;
	bool waited = false;
	int error;

	if (!known(advice) || address & PAGE_MASK || (length && !PAGE_ALIGN(length)) ||
	    end < address)
		return -QUIRE_EINVAL;
	if (end == address)
		return 0;
	if (populates(advice))
		return populate(mm, address, end, advice);
	if (for_objects(advice))
		return advise_objects(mm, address, end, advice);
	do {
		space_lock(&lock, mm, address, end,
			   find_remembered(advice) ? SPACE_EDIT : SPACE_ZAP);
		error = advise_range(mm, address, end, advice);
		space_unlock(&lock);
	} while (space_again(error, &waited));
	return error;
}
