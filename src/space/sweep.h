/* SPDX-License-Identifier: MIT */
/* A sweep under way; see sweep.c. Shared with move.c and fork.c. */
#ifndef QUIRE_SPACE_SWEEP_H
#define QUIRE_SPACE_SWEEP_H

#include "frame/rmap.h"
#include "space/space.h"

struct sweep {
	struct quire_mm *mm;
	struct gather gather;
	struct frame *leaf;
	uint64_t address, end;
	unsigned turn;
	bool busy;	      /* the entry at `address` is in transition: pause, come again */
	unsigned rights, key; /* of space_narrow */
	int64_t unmapped;     /* anonymous pages */
	int64_t objects;      /* pages of objects */
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
/*
 * The entry at *address is empty: to the last before one that is not, so that the loop's next step
 * leads there, or to `end`. => leaf locked
 */
static inline void sweep_skip(const struct sweep *s, uint64_t end, uint64_t *address, slot **at)
{
	const struct frame *leaf = s->leaf;
	uint64_t next = leaf->u.table.used ? table_skip_empty(leaf, *address, end) : end;

	*at += (next - *address) / PAGE_SIZE - 1;
	*address = next - PAGE_SIZE;
}

/* Take the entry of the address away. => leaf locked, room */
static ALWAYS_INLINE void sweep_zap(struct sweep *s, uint64_t address, slot *at, pte entry)
{
	struct frame *frame;

	at_xchg(at, PTE_NONE);
	s->leaf->u.table.used--;
	gather_flush(&s->gather, address, PAGE_SIZE);
	if (unlikely(pte_is_special(entry)))
		return; /* H57: it has no descriptor */
	frame = frame_of(pte_pfn(entry));
	if (frame == frame_zero)
		return;
	if (frame->kind == FRAME_OBJECT) {
		s->objects++;
	} else {
		rmap_remove(frame, &s->mm->tables, address);
		s->unmapped++;
	}
	gather_frame(&s->gather, frame);
}
/*
 * Of a free range: the span around it in which nothing is mapped in the current layout; tables that
 * lie in it whole are needed by nobody.
 * => in a section
 */
void sweep_free_span(struct quire_mm *, uint64_t start, uint64_t end, uint64_t *floor,
		     uint64_t *ceiling);

#endif
