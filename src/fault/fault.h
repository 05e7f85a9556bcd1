/* SPDX-License-Identifier: MIT */
/* One fault, one context: passed through the functions of fault/, on the stack of quire_fault. */
#ifndef QUIRE_FAULT_FAULT_H
#define QUIRE_FAULT_FAULT_H

#include "space/mm.h"

/*
 * What an attempt comes to. "Again" and "must be classic" are different things: a retry is cheap
 * and likely to succeed; the other is certain not to succeed without the range lock.
 */
enum outcome {
	FAULT_OK,
	FAULT_RETRY,   /* something changed meanwhile: fault->reason says what */
	FAULT_CLASSIC, /* only the classic path can say: fault->reason says why */
	FAULT_MEMORY,  /* no frame without waiting */
	FAULT_WAIT,    /* for a page of an object: fault->object, index, mkwrite */
};

/*
 * What a CPU's last look-ups found: a VMA, a leaf, and what is mapped in that leaf.
 *
 *     known ──► leaf      version: as it was when the VMA was live, both looked at under its lock
 *       │                 the same now: what `seen` says of an address in this leaf is true
 *       ├─ seen           a copy of the VMA: a fault in the leaf reads no line of the VMA
 *       └─────► vma       for other leaves: while it is live, what it says is true
 *
 * So a fault in the leaf reads neither the tree nor the VMA, both of which edits write, nor the
 * tables above; and an edit that has nothing to do with the leaf costs it nothing. (An edit raises
 * the version of the leaves that it sweeps: docs/design.md, 4.11.) The VMA, the leaf, and the
 * record and the object that the VMA shows, are still allocated if the CPU is in the same era
 * (sync/grace.h).
 */
struct known {
	uint64_t space; /* quire_mm.id; 0: none */
	uint64_t era;
	struct vma *vma;
	uint64_t leaf_at; /* an address that the leaf translates */
#define KNOWN_NO_LEAF UINT64_MAX
	struct frame *leaf;
	slot *slots;	  /* its entries */
	uint64_t version; /* of the leaf; if it has one, `seen` is a copy of `vma` */
#define KNOWN_NO_VERSION UINT64_MAX
	struct vma seen; /* start to mapping; its counts say nothing */
} __attribute__((aligned(CACHE_LINE)));

struct fault {
	struct quire_mm *mm;
	uint64_t address; /* of the page */
	enum quire_access access;
	enum quire_counter reason; /* of what was no success */

	/* Valid in the section of the attempt. */
	struct known *known;	   /* this CPU's */
	const struct vma *vma;	   /* known->vma or known->seen, which say the same */
	struct trace_block *trace; /* this CPU's counters */
	_Atomic uint64_t *kinds;   /* of these, those of successes on the path that is tried */

	/*
	 * Prepared, and handed from one attempt to the next and to the classic path. At most one of
	 * each: that is the bound on what all CPUs together can have prepared for nothing.
	 */
	struct frame *page;  /* nobody else knows it */
	struct frame *table; /* kept by an attempt only if that comes to nothing */
	bool page_zeroed;
	bool hooked; /* a table that was prepared is in place, and empty as far as we know */

	/*
	 * The ticket of FAULT_WAIT: all that a fault has while it waits. The object with a
	 * reference; whether the page is to be asked for writing, or fetched.
	 */
	bool mkwrite;
	struct quire_object *object;
	uint64_t index;
	/* What waiting came to, if in vain, and of which object (for comparison only). */
	int error;
	const struct quire_object *failed;
};

/* What is looked at before it is set; all of it would be a quarter of a short fault's work. */
static inline void fault_init(struct fault *f, struct quire_mm *mm, uint64_t address,
			      enum quire_access access)
{
	f->mm = mm;
	f->address = address & ~PAGE_MASK;
	f->access = access;
	f->page = NULL;
	f->table = NULL;
	f->hooked = false;
	f->error = 0;
}

/* Does the VMA, and this CPU's key register, allow the access? */
static inline bool fault_allowed(const struct vma *vma, enum quire_access access)
{
	if (access == QUIRE_WRITE)
		return (vma->flags & VMA_WRITE) && port_key_allows(vma->key, true);
	if (access == QUIRE_READ)
		return (vma->flags & VMA_PROT) && port_key_allows(vma->key, false);
	return (vma->flags & VMA_EXEC) != 0;
}

#endif
