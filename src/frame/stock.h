/* SPDX-License-Identifier: MIT */
/*
 * A CPU's stock of single frames, and the one thing that is done with it without a call: a fault
 * takes a frame to clear. All else is in stock.c, which has the picture.
 */
#ifndef QUIRE_FRAME_STOCK_H
#define QUIRE_FRAME_STOCK_H

#include "frame/frame.h"

#define STOCK_SIZE 64
#define STOCK_BATCH 32 /* moved between stock and pool at a time */

/* Only its own CPU touches a stock, but for the counts, which frame_stats reads. */
struct stock {
	_Atomic uint32_t count, zeroed;
	uint32_t node; /* this CPU's; constant */
	struct frame *frames[STOCK_SIZE];
	struct frame *zeroed_frames[STOCK_SIZE];
} __attribute__((aligned(128)));

extern HIDDEN struct stock *stocks;

static inline struct stock *own_stock(void)
{
	return &stocks[port_cpu()];
}

/* The uppermost of `count` frames, still FRAME_STOCK. */
static inline struct frame *stock_pop(struct stock *stock, uint32_t count)
{
	at_store(&stock->count, count - 1);
	return stock->frames[count - 1];
}

static inline struct frame *hand_out(struct frame *frame)
{
	frame->kind = FRAME_USED;
	/*
	 * Pairs with frame_try_get: whoever gets the frame in this life by a number from an earlier
	 * one sees, when it looks at that entry again, that the entry is gone.
	 */
	at_store_release(&frame->refs, 1u);
	return frame;
}

/* stock.c. As stock_alloc_zeroed, where there is a zeroed frame, or nothing in stock. */
struct frame *stock_alloc_slowly(struct stock *stock, bool *was_ready);

/* frame_alloc_zeroed, in line. */
static ALWAYS_INLINE struct frame *stock_alloc_zeroed(bool *was_ready)
{
	struct stock *stock = own_stock();
	uint32_t count = at_load(&stock->count);
	struct frame *frame;

	*was_ready = false;
	if (inject_fails())
		return NULL;
	if (unlikely(count == 0 || at_load(&stock->zeroed) != 0))
		return stock_alloc_slowly(stock, was_ready);
	frame = stock_pop(stock, count);
	port_clear_page(frame_bytes(frame));
	hand_out(frame);
	/* Once more: for all that the compiler knows, to clear the page has changed it. */
	*was_ready = false;
	return frame;
}

#endif
