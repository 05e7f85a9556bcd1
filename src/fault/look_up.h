/* SPDX-License-Identifier: MIT */
/* The first step of a fault, of fault.c alone: which VMA, and which leaf? */
#ifndef QUIRE_FAULT_LOOK_UP_H
#define QUIRE_FAULT_LOOK_UP_H

#include "fault/resolve.h"

static inline enum outcome classic(struct fault *f, enum quire_counter reason)
{
	f->reason = reason;
	return FAULT_CLASSIC;
}

/* What each CPU's last faults found (struct known, in fault.h). */
static struct known caches[MAX_CPUS];

/* => in a section */
static ALWAYS_INLINE bool in_era(const struct fault *f)
{
	return f->known->space == f->mm->id && f->known->era == grace_era();
}

static ALWAYS_INLINE bool within(const struct fault *f, const struct vma *vma)
{
	return f->address >= vma->start && f->address < vma->end;
}

/* Is the address in the leaf that this CPU knows? */
static ALWAYS_INLINE bool in_known_leaf(const struct fault *f)
{
	return (f->address ^ f->known->leaf_at) >> (PAGE_SHIFT + TABLE_BITS) == 0;
}

/*
 * Does this CPU know what is mapped in the address's leaf? A glance: the check under the leaf's
 * lock repeats it. Not for a verdict: what is known so may lack rights that were given since.
 * => in a section
 */
static ALWAYS_INLINE bool knows(struct fault *f)
{
	const struct known *known = f->known = &caches[port_cpu()];

	f->vma = &known->seen;
	return in_era(f) && in_known_leaf(f) && within(f, &known->seen) &&
	       at_load(&known->leaf->u.table.version) == known->version;
}

/* Is it the VMA that this CPU knows, and live? => in a section */
static inline bool knows_vma(struct fault *f)
{
	struct known *known = f->known = &caches[port_cpu()];

	f->vma = known->vma;
	/* Acquire: as in search. */
	return in_era(f) && within(f, known->vma) && at_load_acquire(&known->vma->seq) == VMA_LIVE;
}

/*
 * Not in the baselines: the systems that they stand for find the VMA in their tree, and walk, with
 * each fault. (What is left of another space must not go with a leaf of this one.)
 * => in the section in which the VMA was found, and was live after that
 */
static inline void remember(struct fault *f, struct vma *vma)
{
	struct known *known = f->known;

	if (unlikely(f->mm->mode != QUIRE_SPECULATIVE)) {
		known->space = 0;
		known->leaf_at = KNOWN_NO_LEAF;
	} else if (known->space != f->mm->id || known->era != grace_era()) {
		*known = (struct known){ f->mm->id, grace_era(), .leaf_at = KNOWN_NO_LEAF };
	}
	known->version = KNOWN_NO_VERSION;
	f->vma = known->vma = vma;
}

/* Find the VMA in the tree and see whether it is usable. => in a section */
static __attribute__((noinline)) enum outcome search(struct fault *f)
{
	struct tree tree = tree_snapshot(&f->mm->tree);
	struct vma *vma = tree_find(&tree, f->address);
	uint64_t seq;

	if (unlikely(!vma)) {
		struct vma *above = tree_next(&tree, f->address);

		return classic(f, above && above->flags & VMA_GROWSDOWN ? QUIRE_CLASSIC_GROWTH
									: QUIRE_CLASSIC_NO_VMA);
	}
	/* Acquire: pairs with the stores of space_set_live and retire. */
	seq = at_load_acquire(&vma->seq);
	if (unlikely(seq != VMA_LIVE)) {
		if (seq == VMA_PENDING)
			return classic(f, QUIRE_CLASSIC_PENDING);
		f->reason = QUIRE_RETRY_VMA;
		return FAULT_RETRY;
	}
	remember(f, vma);
	return FAULT_OK;
}

/* Does what is mapped allow this path? (An object has to say so: H53, lineage 13.) */
static inline bool opted_in(const struct vma *vma, enum quire_path path)
{
	return path == QUIRE_PATH_CLASSIC || !vma->mapping ||
	       vma->mapping->object->caps & QUIRE_CAN_FAULT;
}

/* Does what is mapped allow the access, and this path? */
static ALWAYS_INLINE enum outcome permitted(struct fault *f, enum quire_path path)
{
	if (unlikely(!fault_allowed(f->vma, f->access)))
		return classic(f, QUIRE_CLASSIC_ACCESS);
	if (unlikely(!opted_in(f->vma, path)))
		return classic(f, QUIRE_CLASSIC_OBJECT);
	return FAULT_OK;
}

/* => in a section */
static ALWAYS_INLINE enum outcome look_up(struct fault *f, enum quire_path path)
{
	enum outcome outcome = knows_vma(f) ? FAULT_OK : search(f);

	return likely(outcome == FAULT_OK) ? permitted(f, path) : outcome;
}

/* The leaf: this CPU's, if that is worth an attempt, or by a walk. => in a section */
static inline enum outcome reach_leaf(struct fault *f)
{
	if (in_known_leaf(f) && !at_load(&f->known->leaf->u.table.dead))
		return FAULT_OK;
	return fault_walk(f);
}

#endif
