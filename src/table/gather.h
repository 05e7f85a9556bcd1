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

struct gather {
	struct tables *tables;
	uint64_t start, end;	/* what must be flushed; empty if start >= end */
	struct frame *unhooked; /* tables */
	/* Where the next frame goes, and up to where there is room: in `small`, or in a batch. */
	uint32_t *next, *limit;
	struct frame *batches;	      /* frames full of such indices; the first is being filled */
	uint32_t small[GATHER_SMALL]; /* frames, as indices into frame_table */
};

void gather_init(struct gather *, struct tables *);
/*
 * How many frames gather_frame can take now, with what this makes; never 0: makes room with a batch
 * frame, or by flushing early.
 * => no spin lock held, outside a section (it may flush)
 */
unsigned gather_room(struct gather *);
/* The same, but without making any. */
static inline unsigned gather_left(const struct gather *g)
{
	return (unsigned)(g->limit - g->next);
}
/* One reference to put after the flush. => room; leaf lock may be held. */
static inline void gather_frame(struct gather *g, struct frame *frame)
{
	assert_debug(g->next < g->limit);
	*g->next++ = (uint32_t)(frame - frame_table);
}
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
