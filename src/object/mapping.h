/* SPDX-License-Identifier: MIT */
/*
 * Where an object is mapped: its reverse map. A record says that pages of the object may be mapped
 * in one space, index i at origin + i pages, within [start, end):
 *
 *     object ──► record ──► record ──► record          in the order in which they were made
 *                  ▲ ▲          ▲
 *               VMA VMA        VMA                      pieces of one mmap share its record
 *
 * A record is made for each mmap, for the target of each mremap that moves, and for each mapping
 * that a fork copies; before anything can be entered there. VMAs that are split off share it. VMAs
 * with different records of the same object and origin may be merged: the merged one has the record
 * that was made last, with bounds that hold both. It goes with its last VMA, but not before the
 * entries there are gone and flushed: a sweep must find them as long as a CPU may write by them.
 *
 * Order. A sweep goes through the records from first to last, new ones come last. An entry that a
 * fork copies or a mremap moves goes from a record to one that was made later; so a sweep that
 * has not met it in the first meets it in the second. (That is why a merge keeps the later one; and
 * why there is none while a fork copies: the record that it copies from would become later than the
 * child's.)
 *
 * A sweep sleeps, and nobody may wait for it but the end of the space. So it has a reference of the
 * record that it is at, which keeps that in the list, dropped or not: the way on is never lost. And
 * it raises the space's count `busy` while it is in the space. Both are done under the object's
 * lock, and not of a record that has been dropped: who has dropped all records of a space and then
 * finds the count 0 has no sweep in it any more.
 *
 * A sweep needs no VMA to know whose an entry is: the frame says it. Only private copies, which a
 * truncation takes away too, are told by the VMA that is there.
 */
#ifndef QUIRE_OBJECT_MAPPING_H
#define QUIRE_OBJECT_MAPPING_H

#include "object/object.h"

enum mapping_sweep {
	SWEEP_PAGES,   /* take away entries of the object's pages */
	SWEEP_ALL,     /* and private copies */
	SWEEP_PROTECT, /* take the right to write from entries of the object's pages */
	SWEEP_AGE,     /* take the mark `accessed` from such entries; count locked ones as marked */
};

struct mapping {
	/* Constant. Read by faults. */
	struct quire_object *object; /* one reference */
	uint64_t origin;	     /* address of index 0, modulo 2^64 */
	struct quire_mm *mm;
	/*
	 * Sweep the entries of indices [first, last) in this mapping's bounds: lock the range, leaf
	 * by leaf, flush. Returns how many entries it met that it changed.
	 */
	uint64_t (*sweep)(struct mapping *, uint64_t first, uint64_t last, enum mapping_sweep);
	_Atomic uint32_t *busy; /* the space's count of sweeps in progress */

	/* Written by edits. */
	uint64_t vmas __attribute__((aligned(64))); /* in the tree; the space's tree lock */
	uint64_t order;				    /* constant; rises along the list */
	uint64_t start, end;			    /* only grow; object's lock */
	struct mapping *next, *prev;		    /* object's lock, as the next two */
	uint32_t refs; /* one of its VMAs, one of each sweep that is at it. Not 0: in the list */
	bool dropped;  /* the VMAs have given theirs up */
	struct deferred deferred;
};

extern struct slab mapping_slab; /* slab_init'ed by who starts Quire */

/*
 * A new record at the end of the object's list, with no VMAs yet. Asks `open`. Returns 0,
 * -QUIRE_ENOMEM, or what open says.
 * => in a section; at most RANK_TREE held
 */
struct mapping_place {
	struct quire_object *object;
	struct quire_mm *mm;
	uint64_t origin, start, end;
	uint64_t (*sweep)(struct mapping *, uint64_t first, uint64_t last, enum mapping_sweep);
	_Atomic uint32_t *busy;
	bool shared;
	int prot;
};
int mapping_make(const struct mapping_place *, struct mapping **out);
/*
 * No sweep begins in the record any more, and it is freed after a grace period (and after those
 * that are in it); `close` is told. Its reference of the object is given back (object_reap must
 * follow, by the call's end).
 * => vmas is 0; pinned; at most RANK_TREE held
 */
void mapping_drop(struct mapping *);
/* Let the record's bounds hold [start, end), too. => pinned; at most RANK_TREE held */
void mapping_extend(struct mapping *, uint64_t start, uint64_t end);

/*
 * Do two mappings show the same page at the same address? (Either may be NULL: anonymous.)
 */
static inline bool mapping_same(const struct mapping *a, const struct mapping *b)
{
	return a == b || (a && b && a->object == b->object && a->origin == b->origin);
}

/* Of two that are the same: the one that was made last. */
static inline struct mapping *mapping_later(struct mapping *a, struct mapping *b)
{
	return a && b && b->order > a->order ? b : a;
}

/* The index that the mapping shows at an address. */
static inline uint64_t mapping_index(const struct mapping *mapping, uint64_t address)
{
	return (address - mapping->origin) >> PAGE_SHIFT;
}

/*
 * Sweep every mapping of the object. What was taken away has been published, with a full barrier
 * behind it. Returns how many entries were changed.
 * => holding nothing but a reference to the object (and its `io` perhaps); may sleep
 */
uint64_t mapping_sweep_all(struct quire_object *, uint64_t first, uint64_t last,
			   enum mapping_sweep);

#endif
