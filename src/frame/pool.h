/* SPDX-License-Identifier: MIT */
/*
 * What the files of frame/ share: the nodes' pools and the CPUs' stocks.
 *
 * A descriptor has one keeper at a time: the lock of its node's pool (FRAME_FREE and what is inside
 * such a block), a CPU's stock (FRAME_STOCK), or whoever allocated it. `kind` is written by the
 * keeper alone. A merge has to look at a descriptor whose keeper it does not know: it reads `node`,
 * which is constant, and then `pooled`, which changes under that node's lock only.
 */
#ifndef QUIRE_FRAME_POOL_H
#define QUIRE_FRAME_POOL_H

#include "frame/stock.h"

struct pool {
	struct spinlock lock;  /* RANK_POOL */
	_Atomic uint64_t free; /* frames in the lists; written under lock */
	struct frame *lists[FRAME_MAX_ORDER + 1];
} __attribute__((aligned(128)));

extern HIDDEN struct pool pools[MAX_NODES];
extern unsigned pool_count, stock_count;
extern uint64_t frame_total;

/*
 * Take a block out of the pool, splitting a larger one if need be; NULL: there is none. Its kind is
 * the caller's to set.
 * => the pool's lock held
 */
struct frame *pool_take(struct pool *pool, unsigned order);
/* The smallest block there is, or as much of it as is no more than so many frames; `order` says. */
struct frame *pool_take_small(struct pool *pool, uint32_t frames);
/*
 * Put a block back, merging it with its buddies.
 * => the lock of the pool of the block's node held; refs 0
 */
void pool_give(struct pool *pool, struct frame *frame, unsigned order);
/* The same of `count` single frames that follow each other, from `first` on. */
void pool_give_run(struct pool *pool, struct frame *first, uint64_t count);

/* As frame_alloc, but failure injection does not see it: for frame/ itself. */
struct frame *frame_take(unsigned order);

/* The number after the last frame. */
static inline uint64_t frame_last(void)
{
	return frame_first + frame_count;
}

#endif
