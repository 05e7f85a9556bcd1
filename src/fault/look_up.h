/* SPDX-License-Identifier: MIT */
/* The first step of a fault, of fault.c alone: which VMA? */
#ifndef QUIRE_FAULT_LOOK_UP_H
#define QUIRE_FAULT_LOOK_UP_H

#include "fault/fault.h"

static inline enum outcome classic(struct fault *f, enum quire_counter reason)
{
	f->reason = reason;
	return FAULT_CLASSIC;
}

/* What each CPU's last faults found (struct known, in fault.h). */
static struct known caches[MAX_CPUS];

/* => in a section */
static ALWAYS_INLINE bool cached(struct fault *f)
{
	const struct known *cache = f->known = &caches[port_cpu()];

	if (cache->space != f->mm->id || cache->era != grace_era() ||
	    f->address < cache->vma->start || f->address >= cache->vma->end)
		return false;
	f->vma = cache->vma;
	/* Acquire: as in look_up. */
	return likely(at_load_acquire(&f->vma->seq) == VMA_LIVE);
}

/*
 * Not in the baselines: the systems that they stand for find the VMA in their tree, and walk, with
 * each fault. (What is left of another space must not go with a leaf of this one.)
 * => in the section in which f->vma was found, and was live after that
 */
static inline void remember(const struct fault *f)
{
	if (unlikely(f->mm->mode != QUIRE_SPECULATIVE)) {
		f->known->space = 0;
		f->known->leaf_at = KNOWN_NO_LEAF;
		return;
	}
	if (f->known->space != f->mm->id || f->known->era != grace_era())
		*f->known = (struct known){ f->mm->id, grace_era(), .leaf_at = KNOWN_NO_LEAF };
	f->known->vma = f->vma;
}

/* The VMA that this CPU knows was replaced: is what came in its place usable? => in a section */
static __attribute__((noinline)) bool followed(struct fault *f)
{
	struct known *known = f->known;

	if (known->space != f->mm->id || known->era != grace_era())
		return false;
	f->vma = vma_follow(known->vma, f->address);
	if (!f->vma)
		return false;
	known->vma = f->vma;
	return true;
}

/* Find the VMA in the tree and see whether it is usable. => in a section */
static __attribute__((noinline)) enum outcome search(struct fault *f)
{
	struct tree tree = tree_snapshot(&f->mm->tree);
	uint64_t seq;

	f->vma = tree_find(&tree, f->address);
	if (unlikely(!f->vma)) {
		struct vma *above = tree_next(&tree, f->address);

		return classic(f, above && above->flags & VMA_GROWSDOWN ? QUIRE_CLASSIC_GROWTH
									: QUIRE_CLASSIC_NO_VMA);
	}
	/* Acquire: pairs with the stores of space_set_live and retire. */
	seq = at_load_acquire(&f->vma->seq);
	if (unlikely(seq != VMA_LIVE)) {
		if (seq == VMA_PENDING)
			return classic(f, QUIRE_CLASSIC_PENDING);
		f->reason = QUIRE_RETRY_VMA;
		return FAULT_RETRY;
	}
	remember(f);
	return FAULT_OK;
}

/* Does what is mapped allow this path? (An object has to say so: H53, lineage 13.) */
static inline bool opted_in(const struct vma *vma, enum quire_path path)
{
	return path == QUIRE_PATH_CLASSIC || !vma->mapping ||
	       vma->mapping->object->caps & QUIRE_CAN_FAULT;
}

/* => in a section */
static ALWAYS_INLINE enum outcome look_up(struct fault *f, enum quire_path path)
{
	enum outcome outcome = cached(f) || followed(f) ? FAULT_OK : search(f);

	if (outcome == FAULT_OK && unlikely(!fault_allowed(f->vma, f->access)))
		return classic(f, QUIRE_CLASSIC_ACCESS);
	if (outcome == FAULT_OK && unlikely(!opted_in(f->vma, path)))
		return classic(f, QUIRE_CLASSIC_OBJECT);
	return outcome;
}

#endif
