/* SPDX-License-Identifier: MIT */
/* A sweep under way; see sweep.c. Shared with move.c and fork.c. */
#ifndef QUIRE_SPACE_SWEEP_H
#define QUIRE_SPACE_SWEEP_H

#include "space/space.h"

struct sweep {
	struct quire_mm *mm;
	struct gather gather;
	struct frame *leaf;
	uint64_t address, end;
	unsigned room; /* frames that may still be gathered under this lock */
	unsigned turn;
	bool busy;	     /* the entry at `address` is in transition: pause, come again */
	uint32_t flags, key; /* of space_narrow */
	int64_t unmapped;    /* anonymous pages */
	int64_t objects;     /* pages of objects */
};

/* Where the leaf that the sweep is at, or the sweep itself, ends. */
static inline uint64_t sweep_leaf_end(const struct sweep *s)
{
	uint64_t end = s->leaf->u.table.base + table_span(0);

	return end < s->end ? end : s->end;
}

void sweep_begin(struct sweep *, struct quire_mm *, uint64_t start, uint64_t end);
/*
 * Lock the next leaf of the sweep.
 * => opens a section, which sweep_end_leaf closes. Returns false at the end, with neither.
 */
bool sweep_next_leaf(struct sweep *);
void sweep_end_leaf(struct sweep *);
/*
 * Flush, and free what [start, end) had. Where sweeps are not alone (the baselines) another may
 * have taken an entry and not have flushed yet: it is counted in `sweeps` until it has.
 */
void sweep_finish(struct sweep *, uint64_t start, uint64_t end);
/* Take the entry at s->address away. => leaf locked, room */
void sweep_zap(struct sweep *, slot *at, pte entry);
/*
 * Of a free range: the span around it in which nothing is mapped in the current layout; tables that
 * lie in it whole are needed by nobody.
 * => in a section
 */
void sweep_free_span(struct quire_mm *, uint64_t start, uint64_t end, uint64_t *floor,
		     uint64_t *ceiling);

#endif
