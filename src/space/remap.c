/* SPDX-License-Identifier: MIT */
/*
 * mremap.
 *
 *   shrink   unmap the tail
 *   grow     in place if what follows is free: an edit
 *   move     both ranges locked;                          no memory, or a limit:
 *            1  source ─► pending: no fault adds          nothing has happened
 *               an entry any more
 *            2  make and hold the target's tables         source live again
 *            3  publish: source gone, target pending      let go of the tables, source live again
 *            4  sweep away what was mapped at the
 *               target (FIXED), flush
 *            5  move the entries leaf by leaf, both       cannot fail
 *               leaves locked; flush
 *            6  target ─► live
 *
 * A fault at either address meanwhile finds a pending VMA or none, and waits for the range. So it
 * never sees a page at neither or at both places, and nothing is installed at the target before the
 * old entries are there (H16). With DONTUNMAP the source stays, pending until 6, and is empty then.
 *
 * A mapping of an object gets a new place in the object's list before 3, behind that of the source
 * (object/mapping.h). An old length of 0 asks for a second mapping of what a shared one shows.
 */
#include "space/space.h"

#define IN_THE_WAY 1 /* beside errors, which are negative */

struct remap {
	struct quire_mm *mm;
	uint64_t old, old_length, new_length, target;
	int flags;
	struct space_lock lock, target_lock;
	bool target_locked;
	struct mapping *mapping; /* of the target, of an object */
	struct deferred *gone;	 /* see space_take_gone */
	struct span busy;	 /* with IN_THE_WAY: who is there will soon be through */
};

static int64_t check_arguments(const struct remap *r)
{
	const int known = QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED | QUIRE_MREMAP_DONTUNMAP;
	const struct quire_mm *mm = r->mm;

	if (r->flags & ~known ||
	    (r->flags & (QUIRE_MREMAP_FIXED | QUIRE_MREMAP_DONTUNMAP) &&
	     !(r->flags & QUIRE_MREMAP_MAYMOVE)) ||
	    (r->flags & QUIRE_MREMAP_DONTUNMAP && r->old_length != r->new_length) ||
	    r->old & PAGE_MASK || !r->new_length || r->new_length > mm->end)
		return -QUIRE_EINVAL;
	if (r->flags & (QUIRE_MREMAP_FIXED | QUIRE_MREMAP_DONTUNMAP)) {
		/* With DONTUNMAP alone the target is a hint, but checked just so. */
		if (r->target & PAGE_MASK || r->target > mm->end - r->new_length)
			return -QUIRE_EINVAL;
		if (r->target < r->old + r->old_length && r->old < r->target + r->new_length)
			return -QUIRE_EINVAL;
	}
	if (r->flags & QUIRE_MREMAP_FIXED && r->target < mm->start)
		return -QUIRE_EPERM;
	return 0;
}

/* What is moved; the rest of a longer source is unmapped, whatever it is. */
static uint64_t moved_length(const struct remap *r)
{
	return r->old_length < r->new_length ? r->old_length : r->new_length;
}

/* The VMA of the source, which must hold all that is moved or grows. => in an edit or a section */
static int find_source(const struct remap *r, const struct vma **vma)
{
	*vma = tree_find(&r->mm->tree, r->old);
	if (!*vma)
		return -QUIRE_EFAULT;
	return moved_length(r) > (*vma)->end - r->old ? -QUIRE_EFAULT : 0;
}

static uint64_t growth(const struct remap *r)
{
	if (r->flags & QUIRE_MREMAP_DONTUNMAP)
		return r->new_length >> PAGE_SHIFT;
	return r->new_length > r->old_length ? (r->new_length - r->old_length) >> PAGE_SHIFT : 0;
}

/*
 * May a mapping with these VMA flags grow so, in place of what is mapped at a FIXED target?
 * => in an edit
 */
static int check_growth(const struct remap *r, uint32_t flags)
{
	uint64_t more = growth(r);

	/* With DONTUNMAP the lock goes with the pages: no more are locked than before. */
	if (flags & VMA_LOCKED && r->new_length > r->old_length && !space_may_lock(r->mm, more))
		return -QUIRE_EAGAIN;
	return space_may_map(r->mm, more, flags,
			     r->flags & QUIRE_MREMAP_FIXED
				     ? space_mapped(r->mm, r->target, r->target + r->new_length, 0)
				     : 0);
}

/* --- in place --- */

/* Unmaps the tail; only the first page must be mapped. */
static int64_t shrink(struct remap *r)
{
	uint64_t end = r->old + r->old_length;
	struct space_lock lock;
	int error = 0;

	space_lock(&lock, r->mm, r->old, end, SPACE_EDIT);
	space_edit_begin(r->mm);
	if (!tree_find(&r->mm->tree, r->old))
		error = -QUIRE_EFAULT;
	space_edit_end(r->mm);
	if (!error && r->new_length < r->old_length)
		error = space_unmap(&lock, r->old + r->new_length, end);
	space_unlock(&lock);
	return error ? error : (int64_t)r->old;
}

/*
 * Returns the address, -QUIRE_ENOMEM if what follows is not free (the gap below a stack is, for
 * this, as in Linux), or another error.
 */
static int64_t grow_in_place(struct remap *r)
{
	uint64_t end = r->old + r->old_length, new_end = r->old + r->new_length;
	struct quire_mm *mm = r->mm;
	struct vma_attributes as;
	const struct vma *vma;
	struct space_lock lock;
	bool locked = false;
	int error;

	space_lock(&lock, mm, r->old, new_end, SPACE_EDIT);
	space_edit_begin(mm);
	error = find_source(r, &vma);
	if (!error)
		error = check_growth(r, vma->flags);
	if (!error && (vma->end != end || new_end > mm->end || space_occupied(mm, end, new_end)))
		error = -QUIRE_ENOMEM;
	if (!error) {
		as = vma_attributes(vma);
		locked = (vma->flags & (VMA_LOCKED | VMA_ONFAULT)) == VMA_LOCKED;
		error = space_replace(mm, end, new_end, &as);
	}
	space_edit_end(mm);
	space_unlock(&lock);
	if (!error && locked)
		space_populate_mapped(mm, end, new_end);
	return error ? error : (int64_t)r->old;
}

/* --- moving --- */

/*
 * Lock the source, and a target that is given. Who holds one range must not wait for another:
 * ranges are first come, first served, so somebody who wants both at once may stand in the line in
 * between, waiting for the one that is held. So: wait for the lower, and have the higher at once or
 * neither.
 */
static void lock_ranges(struct remap *r)
{
	uint64_t old_end = r->old + r->old_length, target_end = r->target + r->new_length;
	bool source_first = r->old < r->target;
	struct space_lock *first = source_first ? &r->lock : &r->target_lock;
	struct space_lock *second = source_first ? &r->target_lock : &r->lock;
	uint64_t start = source_first ? r->target : r->old;
	uint64_t end = source_first ? target_end : old_end;

	r->target_locked = r->flags & QUIRE_MREMAP_FIXED && r->mm->mode == QUIRE_SPECULATIVE;
	if (!r->target_locked) {
		space_lock(&r->lock, r->mm, r->old, old_end, SPACE_EDIT);
		return;
	}
	for (;;) {
		space_lock(first, r->mm, source_first ? r->old : r->target,
			   source_first ? old_end : target_end, SPACE_EDIT);
		if (space_reserve(second, r->mm, start, end, &r->busy.start, &r->busy.end))
			return;
		space_unlock(first);
		space_wait(r->mm, &r->busy);
	}
}

static void unlock_ranges(struct remap *r)
{
	if (r->target_locked)
		space_unlock(&r->target_lock);
	space_unlock(&r->lock);
}

/*
 * Find and lock a place for the target.
 * => in an edit; IN_THE_WAY: somebody is, in r->busy
 */
static int reserve_target(struct remap *r)
{
	int64_t place = space_find_gap(r->mm, r->target, r->new_length, &r->busy);

	if (place < 0)
		return r->busy.start < r->busy.end ? IN_THE_WAY : (int)place;
	r->target = (uint64_t)place;
	if (!space_reserve(&r->target_lock, r->mm, r->target, r->target + r->new_length,
			   &r->busy.start, &r->busy.end))
		return IN_THE_WAY;
	r->target_locked = r->mm->mode == QUIRE_SPECULATIVE;
	return 0;
}

/* A target that comes to nothing. => pinned, in an edit or not */
static void forget_mapping(struct remap *r)
{
	if (r->mapping)
		mapping_drop(r->mapping);
	r->mapping = NULL;
}

/* Step 1, with all checks. */
static int suspend_source(struct remap *r, struct vma_attributes *as)
{
	const struct vma *vma;
	int error = find_source(r, &vma);

	if (!error)
		error = check_growth(r, vma->flags);
	if (!error && !(r->flags & QUIRE_MREMAP_FIXED))
		error = reserve_target(r);
	if (error)
		return error;
	*as = vma_attributes(vma);
	as->pending = true;
	if (as->mapping)
		error = space_make_mapping(r->mm, as->mapping->object, r->target, r->new_length,
					   as->mapping->origin + (r->target - r->old), as->flags,
					   &r->mapping);
	if (error)
		return error;
	error = space_replace(r->mm, r->old, r->old + moved_length(r), as);
	if (error)
		forget_mapping(r);
	return error;
}

/*
 * Step 3. *replaced: something was mapped at the target. r->gone: mappings that have no VMAs now.
 */
static int publish(struct remap *r, const struct vma_attributes *as, bool *replaced)
{
	uint64_t old_end = r->old + r->old_length, target_end = r->target + r->new_length;
	bool stays = r->flags & QUIRE_MREMAP_DONTUNMAP;
	struct vma_attributes left = *as, there = *as;
	int error;

	left.flags &= ~(VMA_LOCKED | VMA_ONFAULT); /* the lock goes with the pages */
	there.mapping = r->mapping;
	space_edit_begin(r->mm);
	*replaced = space_occupied(r->mm, r->target, target_end);
	/* Once more, since step 1: other calls map and lock pages, too. */
	error = check_growth(r, as->flags);
	if (!error)
		error = space_exchange(r->mm, r->old, old_end, stays ? &left : NULL, r->target,
				       target_end, &there);
	if (error)
		forget_mapping(r);
	r->gone = space_take_gone(r->mm);
	space_edit_end(r->mm);
	return error;
}

/* Steps 2 to 6. => the source is pending */
static int move(struct remap *r, const struct vma_attributes *as)
{
	uint64_t length = moved_length(r);
	struct quire_mm *mm = r->mm;
	bool replaced;
	int error;

	if (!space_move_prepare(mm, r->old, r->target, length)) {
		space_edit_begin(mm);
		forget_mapping(r);
		space_edit_end(mm);
		space_set_live(mm, r->old);
		return -QUIRE_ENOMEM;
	}
	error = publish(r, as, &replaced);
	if (error) {
		space_move_cancel(mm, r->old, r->target, length);
		space_set_live(mm, r->old);
		return error;
	}
	if (replaced)
		space_zap(mm, r->target, r->target + r->new_length, ZAP_REPLACED);
	space_move(mm, r->old, r->target, length);
	space_set_live(mm, r->target);
	if (r->flags & QUIRE_MREMAP_DONTUNMAP)
		space_set_live(mm, r->old);
	else
		space_zap(mm, r->old, r->old + r->old_length, ZAP_UNMAPPED);
	space_forget(r->gone);
	return 0;
}

static int64_t move_somewhere(struct remap *r)
{
	struct vma_attributes as;
	uint64_t hint = r->target;
	int error;

	for (;;) {
		lock_ranges(r);
		space_edit_begin(r->mm);
		error = suspend_source(r, &as);
		space_edit_end(r->mm);
		if (!error)
			error = move(r, &as);
		unlock_ranges(r);
		if (error != IN_THE_WAY)
			break;
		space_wait(r->mm, &r->busy);
		r->target = hint;
	}
	if (error)
		return error;
	if ((as.flags & (VMA_LOCKED | VMA_ONFAULT)) == VMA_LOCKED && r->new_length > r->old_length)
		space_populate_mapped(r->mm, r->target + r->old_length, r->target + r->new_length);
	return (int64_t)r->target;
}

/*
 * A source that no range can be locked for: it reaches beyond the last address (so its tail can't
 * be unmapped).
 */
static int64_t check_source(const struct remap *r)
{
	const struct quire_mm *mm = r->mm;
	bool mapped;

	if (r->old <= mm->end && r->old_length <= mm->end - r->old)
		return 0;
	section_enter();
	mapped = tree_find(&mm->tree, r->old) != NULL;
	section_leave();
	return mapped && r->new_length < r->old_length ? -QUIRE_EINVAL : -QUIRE_EFAULT;
}

/* A second mapping, from the source's address on, of what a shared mapping shows. */
static int64_t duplicate(const struct remap *r)
{
	int flags = r->flags & QUIRE_MREMAP_FIXED ? QUIRE_MAP_FIXED : 0;
	struct space_part part;
	int64_t result;

	if (!space_next_part(r->mm, r->old, r->old + PAGE_SIZE, &part))
		return -QUIRE_EFAULT;
	if (!part.object || !(part.flags & VMA_SHARED))
		result = -QUIRE_EINVAL;
	else if (!(r->flags & QUIRE_MREMAP_MAYMOVE))
		result = -QUIRE_ENOMEM;
	else
		result = space_map_object(r->mm, flags ? r->target : 0, r->new_length, flags,
					  part.flags, part.object, part.index << PAGE_SHIFT);
	if (part.object)
		quire_object_put(part.object);
	return result;
}

static int64_t remap(struct remap *r)
{
	bool must_move = r->flags & (QUIRE_MREMAP_FIXED | QUIRE_MREMAP_DONTUNMAP);
	int64_t result = check_arguments(r);

	if (!result && !r->old_length)
		return duplicate(r);
	if (!result)
		result = check_source(r);
	if (result)
		return result;
	if (!must_move) {
		r->target = 0;
		result = r->new_length <= r->old_length ? shrink(r) : grow_in_place(r);
		if (result != -QUIRE_ENOMEM || r->new_length <= r->old_length ||
		    !(r->flags & QUIRE_MREMAP_MAYMOVE))
			return result;
	}
	return move_somewhere(r);
}

int64_t quire_mremap(struct quire_mm *mm, uint64_t old, uint64_t old_length, uint64_t new_length,
		     int flags, uint64_t new_address)
{
	struct remap r = {
		.mm = mm,
		.old = old,
		.old_length = PAGE_ALIGN(old_length),
		.new_length = PAGE_ALIGN(new_length),
		.target = new_address,
		.flags = flags,
	};
	bool waited = false;
	struct remap once;
	int64_t result;

	do {
		once = r;
		result = remap(&once);
	} while (space_again(result, &waited));
	object_reap();
	return result;
}
