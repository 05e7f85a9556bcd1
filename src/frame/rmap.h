/* SPDX-License-Identifier: MIT */
/*
 * Reverse map: which entries map an anonymous frame.
 *
 * An exclusive frame keeps its one (tables, address) in the descriptor; a frame that several
 * entries map keeps one there and the others in a list. The descriptor has room for one entry of
 * the list, too: who adds a second mapping to an exclusive frame finds the list empty, so that room
 * free, and needs no memory. Others are small objects. An entry and its reverse map change
 * together, under the leaf lock of that entry (Q15); where a frame has or gets more than one
 * mapping, also under the frame's own lock (RANK_RMAP). Each mapping holds one reference; a pin
 * (frame_try_get) holds one too, but gives no right to look at the reverse map.
 *
 *     descriptor: (tables, address) ──more──► rmap (tables, address) ──► rmap ... ──► NULL
 *                 [second] ◄╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ may be one of these, anywhere in the list
 *     mapcount = 1 + length of the list
 */
#ifndef QUIRE_FRAME_RMAP_H
#define QUIRE_FRAME_RMAP_H

#include "frame/slab.h"

extern HIDDEN struct slab rmap_slab; /* slab_init'ed by who starts Quire, with sizeof(struct rmap)
				      */

/*
 * A fresh frame (refs 1, nobody else knows it) becomes FRAME_ANON and is about to be mapped here:
 * the reference is the mapping's.
 */
static inline void rmap_first(struct frame *frame, struct tables *tables, uint64_t address)
{
	frame->kind = FRAME_ANON;
	spin_init(&frame->u.page.lock);
	frame->u.page.mapcount = 1;
	frame->u.page.tables = tables;
	frame->u.page.address = address;
	frame->u.page.more = NULL;
}

/* Does the reverse map of the frame have this mapping? For the validator. => nothing else runs */
bool rmap_has(struct frame *, const struct tables *, uint64_t address);

/* No other mapping has the frame, nor will have. => the leaf lock of a mapping of it held */
static inline bool rmap_is_exclusive(struct frame *frame)
{
	/* Acquire: pairs with the release in frame_put, see rmap.c. */
	return at_load_acquire(&frame->refs) == 1;
}

/* rmap.c: of a frame that is not exclusive. */
bool rmap_add_shared(struct frame *, struct tables *, uint64_t address);
void rmap_remove_shared(struct frame *, const struct tables *, uint64_t address);

/*
 * One more mapping, and one more reference. If the frame was exclusive, no lock is taken: whoever
 * finds it shared comes by one of the leaves that are locked here.
 * => the leaf lock of an existing mapping of the frame held, and that of the new one; pinned.
 *    Returns false, with nothing changed, if there is no memory: never of an exclusive frame.
 */
static ALWAYS_INLINE bool rmap_add(struct frame *frame, struct tables *tables, uint64_t address)
{
	assert_debug(frame->kind == FRAME_ANON);
	if (unlikely(!rmap_is_exclusive(frame)))
		return rmap_add_shared(frame, tables, address);
	assert_debug(frame->u.page.mapcount == 1 && frame->u.page.more == NULL);
	frame_get(frame);
	frame->u.page.second.next = NULL;
	frame->u.page.second.tables = tables;
	frame->u.page.second.address = address;
	frame->u.page.more = &frame->u.page.second;
	frame->u.page.mapcount = 2;
	return true;
}

/*
 * The mapping (tables, address) is gone; its reference is the caller's now, to be put after the
 * flush. A frame with refs 1 is exclusive: no lock is taken.
 * => leaf lock held
 */
static inline void rmap_remove(struct frame *frame, const struct tables *tables, uint64_t address)
{
	assert_debug(frame->kind == FRAME_ANON);
	if (unlikely(!rmap_is_exclusive(frame))) {
		rmap_remove_shared(frame, tables, address);
		return;
	}
	assert_debug(rmap_has(frame, tables, address) && frame->u.page.more == NULL);
	frame->u.page.mapcount = 0;
}
/* The mapping has moved. => both leaf locks held. */
void rmap_move(struct frame *, struct tables *, uint64_t from, uint64_t to);

#endif
