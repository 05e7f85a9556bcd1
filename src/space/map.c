/* SPDX-License-Identifier: MIT */
/*
 * mmap.
 *
 *   somewhere     one hold of the tree lock: find a gap, publish. No range is locked: there is
 *                 nothing to sweep, and a gap that a writer still sweeps is not taken (Q2). Merging
 *                 with a neighbour changes nothing for the neighbour's addresses.
 *   FIXED         range locked. Over nothing: publish. Over something: publish the new VMA
 *                 *pending* in place of the old ones, sweep, flush, set it live: one publication,
 *                 so that nothing is lost if there is no memory for it, and a fault that comes
 *                 between waits for the range and finds the new mapping, never none.
 *
 * A mapping of an object is in the object's list (object/mapping.h) before it is published, so that
 * no entry is missed by who takes a page away.
 */
#include "space/space.h"

#define MAP_TYPE 0xf /* of the flags: shared or private */

/* What MAP_SHARED_VALIDATE lets through; the rest of the flags, unlike with MAP_SHARED, not. */
#define MAP_KNOWN                                                                                  \
	(MAP_TYPE | QUIRE_MAP_FIXED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_GROWSDOWN |                  \
	 QUIRE_MAP_LOCKED | QUIRE_MAP_NORESERVE | QUIRE_MAP_POPULATE | QUIRE_MAP_NONBLOCK |        \
	 QUIRE_MAP_STACK | 0x1800 /* DENYWRITE, EXECUTABLE */)

struct request {
	struct quire_mm *mm;
	uint64_t address, length;
	int flags;
	uint32_t vma_flags;
	struct quire_object *object; /* NULL: anonymous */
	uint64_t offset;
	int error; /* of the type and the object: found early, reported in Linux's order */
};

static uint32_t flags_of(int prot, int flags)
{
	return ((uint32_t)prot & VMA_PROT) | (flags & QUIRE_MAP_GROWSDOWN ? VMA_GROWSDOWN : 0) |
	       (flags & QUIRE_MAP_NORESERVE ? VMA_NORESERVE : 0) |
	       (flags & QUIRE_MAP_STACK ? VMA_NOHUGEPAGE : 0) |
	       (flags & QUIRE_MAP_LOCKED ? VMA_LOCKED : 0);
}

/* The checks once the place is known. `replaced`: pages that go away for it. => in an edit */
static int check(const struct request *r, uint64_t replaced)
{
	uint64_t pages = r->length >> PAGE_SHIFT;

	if (r->vma_flags & VMA_LOCKED && !space_may_lock(r->mm, pages))
		return -QUIRE_EAGAIN;
	if (r->error)
		return r->error;
	return space_may_map(r->mm, pages, r->vma_flags, replaced);
}

int space_make_mapping(struct quire_mm *mm, struct quire_object *object, uint64_t start,
		       uint64_t length, uint64_t origin, uint32_t vma_flags, struct mapping **out)
{
	struct mapping_place place = {
		.object = object,
		.mm = mm,
		.origin = origin,
		.start = start,
		.end = start + length,
		.sweep = space_sweep_mapping,
		.busy = &mm->sweeps,
		.shared = vma_flags & VMA_SHARED,
		.prot = (int)(vma_flags & VMA_PROT),
	};

	return mapping_make(&place, out);
}

/* Publish the mapping at its place. => in an edit */
static int publish(const struct request *r, uint64_t start, bool pending)
{
	struct vma_attributes as = { .flags = r->vma_flags, .pending = pending };
	int error = 0;

	if (r->object)
		error = space_make_mapping(r->mm, r->object, start, r->length, start - r->offset,
					   r->vma_flags, &as.mapping);
	if (error)
		return error;
	error = space_replace(r->mm, start, start + r->length, &as);
	if (error && as.mapping)
		mapping_drop(as.mapping);
	return error;
}

static int64_t map_fixed(struct request *r)
{
	struct quire_mm *mm = r->mm;
	uint64_t start = r->address, end = start + r->length;
	struct space_lock lock;
	struct deferred *gone;
	uint64_t replaced;
	int error;

	space_lock(&lock, mm, start, end, SPACE_EDIT);
	space_edit_begin(mm);
	r->vma_flags |= mm->lock_future; /* here, so that mlockall misses no mapping */
	replaced = space_mapped(mm, start, end, 0);
	if (r->flags & QUIRE_MAP_FIXED_NOREPLACE && replaced) {
		error = -QUIRE_EEXIST;
	} else {
		error = check(r, replaced);
		if (!error)
			error = publish(r, start, replaced > 0);
	}
	gone = space_take_gone(mm);
	space_edit_end(mm);
	if (!error && replaced) {
		space_zap(mm, start, end, ZAP_REPLACED);
		space_set_live(mm, start);
	}
	space_forget(gone);
	space_unlock(&lock);
	return error ? error : (int64_t)start;
}

static int64_t map_somewhere(struct request *r)
{
	struct quire_mm *mm = r->mm;
	struct space_lock lock;
	struct span swept;
	int64_t place;

	for (;;) {
		int error;

		space_lock(&lock, mm, 0, 0, SPACE_EDIT);
		space_edit_begin(mm);
		r->vma_flags |= mm->lock_future; /* as in map_fixed */
		place = space_find_gap(mm, r->address, r->length, &swept);
		error = place < 0 ? (int)place : check(r, 0);
		if (!error)
			error = publish(r, (uint64_t)place, false);
		space_edit_end(mm);
		space_unlock(&lock);
		if (error && error != -QUIRE_ENOMEM)
			return error;
		if (!error)
			return place;
		if (place >= 0 || swept.start == swept.end)
			return error;
		space_wait(mm, &swept);
	}
}

static bool populates(const struct request *r)
{
	if (r->vma_flags & VMA_LOCKED)
		return !(r->vma_flags & VMA_ONFAULT);
	return (r->flags & (QUIRE_MAP_POPULATE | QUIRE_MAP_NONBLOCK)) == QUIRE_MAP_POPULATE;
}

static int64_t map(struct request *r)
{
	bool fixed = r->flags & (QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE), waited = false;
	int64_t result;

	do
		result = fixed ? map_fixed(r) : map_somewhere(r);
	while (space_again(result, &waited));
	object_reap(); /* of what was replaced */
	if (result >= 0 && populates(r))
		space_populate_mapped(r->mm, (uint64_t)result, (uint64_t)result + r->length);
	return result;
}

int64_t space_map_object(struct quire_mm *mm, uint64_t address, uint64_t length, int flags,
			 uint32_t vma_flags, struct quire_object *object, uint64_t offset)
{
	struct request r = {
		.mm = mm,
		.address = address,
		.length = length,
		.flags = flags,
		.vma_flags = vma_flags,
		.object = object,
		.offset = offset,
	};

	return map(&r);
}

/* The checks of the arguments; the request's length and address are made whole pages. */
static int check_arguments(struct request *r)
{
	bool fixed = r->flags & (QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE);
	uint64_t length = r->length;

	r->length = PAGE_ALIGN(length);
	if (!length)
		return -QUIRE_EINVAL;
	if (!r->length || r->length > r->mm->end)
		return -QUIRE_ENOMEM;
	if (fixed && r->address > r->mm->end - r->length)
		return -QUIRE_ENOMEM;
	if (fixed && r->address & PAGE_MASK)
		return -QUIRE_EINVAL;
	if (fixed && r->address < r->mm->start)
		return -QUIRE_EPERM;
	if (!fixed)
		r->address &= ~PAGE_MASK;
	return 0;
}

/* The checks of type and object, and the VMA flags that follow from them. */
static int check_object(struct request *r, int prot, int max_prot)
{
	bool shared = (r->flags & MAP_TYPE) != QUIRE_MAP_PRIVATE;
	const struct quire_object *object = r->object;

	if ((r->flags & MAP_TYPE) == QUIRE_MAP_SHARED_VALIDATE && r->flags & ~MAP_KNOWN)
		return -QUIRE_EOPNOTSUPP;
	if (shared && prot & QUIRE_PROT_WRITE && !(max_prot & QUIRE_PROT_WRITE))
		return -QUIRE_EACCES;
	if (!(max_prot & QUIRE_PROT_READ))
		return -QUIRE_EACCES;
	if (prot & QUIRE_PROT_EXEC && !(max_prot & QUIRE_PROT_EXEC))
		return -QUIRE_EPERM;
	if (r->flags & QUIRE_MAP_GROWSDOWN ||
	    (object->device && !shared && prot & QUIRE_PROT_WRITE))
		return -QUIRE_EINVAL;
	/* A device's frames are not Quire's to copy, so never privately written. */
	if (shared ? !(max_prot & QUIRE_PROT_WRITE) : object->device)
		r->vma_flags |= VMA_NOWRITE;
	if (!(max_prot & QUIRE_PROT_EXEC))
		r->vma_flags |= VMA_NOEXEC;
	return 0;
}

static int check_type(const struct request *r)
{
	int type = r->flags & MAP_TYPE;

	if (type == QUIRE_MAP_SHARED || type == QUIRE_MAP_PRIVATE ||
	    (type == QUIRE_MAP_SHARED_VALIDATE && r->object))
		return 0;
	return -QUIRE_EINVAL;
}

int64_t quire_mmap_object(struct quire_mm *mm, uint64_t address, uint64_t length, int prot,
			  int flags, struct quire_object *object, uint64_t offset, int max_prot)
{
	struct request r = {
		.mm = mm,
		.address = address,
		.length = length,
		.flags = flags,
		.object = object,
		.offset = offset,
	};
	int error;

	if (offset & PAGE_MASK)
		return -QUIRE_EINVAL;
	if (!object)
		return -QUIRE_EBADF;
	error = check_arguments(&r);
	if (error)
		return error;
	r.vma_flags = flags_of(prot, flags);
	if ((flags & MAP_TYPE) != QUIRE_MAP_PRIVATE)
		r.vma_flags |= VMA_SHARED;
	r.error = check_type(&r);
	if (offset > QUIRE_OBJECT_MAX || r.length > QUIRE_OBJECT_MAX - offset)
		r.error = -QUIRE_EOVERFLOW;
	if (!r.error)
		r.error = check_object(&r, prot, max_prot);
	return map(&r);
}

int64_t quire_mmap(struct quire_mm *mm, uint64_t address, uint64_t length, int prot, int flags)
{
	static const struct quire_object_config zero = { .name = "/dev/zero (deleted)",
							 .device_minor = 1 };
	struct request r = { .mm = mm, .address = address, .length = length, .flags = flags };
	int64_t result;
	int error;

	if (!(flags & QUIRE_MAP_ANONYMOUS))
		return -QUIRE_EBADF;
	error = check_arguments(&r);
	if (error)
		return error;
	r.vma_flags = flags_of(prot, flags);
	r.error = check_type(&r);
	if ((flags & MAP_TYPE) == QUIRE_MAP_SHARED && !r.error) {
		r.vma_flags |= VMA_SHARED;
		r.error = flags & QUIRE_MAP_GROWSDOWN
				  ? -QUIRE_EINVAL
				  : quire_shared_create(r.length, &zero, &r.object);
	}
	result = map(&r);
	if (r.object)
		quire_object_put(r.object);
	return result;
}
