/* SPDX-License-Identifier: MIT */
/*
 * What a sweep has taken away and what must happen then, in this order: flush, then free (Q7).
 *
 * Frames are kept in a small array inside the gather and then in batch frames taken from the pool;
 * where none is to be had, the gather flushes early. gather_room is called with no lock held before
 * each leaf, so that nothing is flushed under a leaf lock.
 */
#ifndef QUIRE_TABLE_GATHER_H
#define QUIRE_TABLE_GATHER_H

#include "table/table.h"

#define GATHER_SMALL 32
#define GATHER_BATCH 1024u /* indices of 32 bits in a frame */

struct gather {
	struct tables *tables;
	uint64_t start, end;	/* what must be flushed; empty if start >= end */
	struct frame *unhooked; /* tables */
	uint32_t count;
	uint32_t small[GATHER_SMALL]; /* frames, as indices into frame_table */
	struct frame *batches;	      /* frames full of such indices; the first is being filled */
	uint32_t batch_count;
};

void gather_init(struct gather *, struct tables *);

static inline unsigned gather_left(const struct gather *g)
{
	return g->batches ? GATHER_BATCH - g->batch_count : GATHER_SMALL - g->count;
}

/* A batch frame, or what there is is flushed. => as gather_room */
unsigned gather_more_room(struct gather *);
/*
 * How many frames gather_frame can take now; never 0: makes room with a batch frame, or by flushing
 * early.
 * => no spin lock held, outside a section (it may flush)
 */
static inline unsigned gather_room(struct gather *g)
{
	return likely(gather_left(g)) ? gather_left(g) : gather_more_room(g);
}

/* One reference to put after the flush. => room; leaf lock may be held. */
void gather_frame(struct gather *, struct frame *);
/* An entry for [address, address + size) was replaced. */
static inline void gather_flush(struct gather *g, uint64_t address, uint64_t size)
{
	if (address < g->start)
		g->start = address;
	if (address + size > g->end)
		g->end = address + size;
}
/* Flush if anything must be, then free everything. => no spin lock held, outside a section */
void gather_finish(struct gather *);

#endif
