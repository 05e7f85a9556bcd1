/* SPDX-License-Identifier: MIT */
/*
 * The CPUs' stocks: taking and giving back single frames without a lock.
 *
 *     frame_alloc ◄── frames[0..count) ◄──STOCK_BATCH── pools     the top is warm: taken first
 *     frame_put   ──► frames[0..count) ──STOCK_BATCH──► pools     the bottom is cold: goes first
 *     frame_alloc_zeroed ◄── zeroed_frames[] ◄── frame_idle
 *
 * A stock belongs to its CPU: who is pinned there touches it with plain accesses. A frame of
 * another node, had in need, goes back to its own node and not into the stock, which would
 * otherwise hand out remote memory long after the need is over.
 *
 * References. A stale reader may try to raise `refs` of any frame at any time, so refs is changed
 * by atomic read-modify-write only, but for 0 -> 1: nobody raises it from 0. That holds for the
 * sole owner of a fresh, never mapped frame too: someone may have read its number in an entry of
 * its previous life.
 */
#include "frame/pool.h"

/* How many frames, from the first on, follow each other in memory, in one node. */
static unsigned run_length(struct frame **frames, unsigned count)
{
	unsigned length = 1;

	while (length < count && frames[length] == frames[0] + length &&
	       frames[length]->node == frames[0]->node)
		length++;
	return length;
}

/* Give frames of any nodes to their pools: in runs, which cost little more than one frame. */
static void give_all(struct frame **frames, unsigned count)
{
	struct pool *locked = NULL;
	unsigned length;

	for (unsigned i = 0; i < count; i += length) {
		struct pool *pool = &pools[frames[i]->node];

		if (pool != locked) {
			if (locked != NULL)
				spin_unlock(&locked->lock);
			spin_lock(&pool->lock, RANK_POOL);
			locked = pool;
		}
		length = run_length(&frames[i], count - i);
		pool_give_run(pool, frames[i], length);
	}
	if (locked != NULL)
		spin_unlock(&locked->lock);
}

/*
 * A block's frames become single ones: the lowest comes on top, so that frames are taken, and most
 * often given back, in the order in which they lie (run_length).
 */
static uint32_t cut(struct stock *stock, uint32_t count, struct frame *block)
{
	for (struct frame *frame = block + (1ull << block->order); frame-- > block;) {
		frame->kind = FRAME_STOCK;
		frame->order = 0;
		stock->frames[count++] = frame;
	}
	return count;
}

/*
 * Fill an empty stock from the own node, or the next that has anything: small blocks first, and
 * more than half of a batch. Returns how many it has then.
 */
static __attribute__((noinline)) uint32_t refill(struct stock *stock)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < pool_count && count == 0; i++) {
		struct pool *pool = &pools[(stock->node + i) % pool_count];
		struct frame *block;

		if (at_load(&pool->free) == 0)
			continue;
		spin_lock(&pool->lock, RANK_POOL);
		/* A large block is not split for the last few. */
		while (count <= STOCK_BATCH / 2 &&
		       (block = pool_take_small(pool, STOCK_BATCH - count)) != NULL)
			count = cut(stock, count, block);
		spin_unlock(&pool->lock);
	}
	at_store(&stock->count, count);
	return count;
}

static struct frame *pop_zeroed(struct stock *stock, uint32_t count)
{
	at_store(&stock->zeroed, count - 1);
	return stock->zeroed_frames[count - 1];
}

/* How many frames the stock has, after a refill if need be. */
static uint32_t stocked(struct stock *stock)
{
	uint32_t count = at_load(&stock->count);

	return likely(count != 0) ? count : refill(stock);
}

/* A block of the pools, the own node's first. */
static struct frame *take_block(const struct stock *stock, unsigned order)
{
	for (unsigned i = 0; i < pool_count; i++) {
		struct pool *pool = &pools[(stock->node + i) % pool_count];
		struct frame *frame;

		if (at_load(&pool->free) >> order == 0)
			continue;
		spin_lock(&pool->lock, RANK_POOL);
		frame = pool_take(pool, order);
		spin_unlock(&pool->lock);
		if (frame != NULL)
			return frame;
	}
	return NULL;
}

/*
 * What frame_take does when the stock has not what is wanted. Out of line, so that the fast path
 * saves no registers.
 */
static __attribute__((noinline)) struct frame *take_slowly(struct stock *stock, unsigned order)
{
	struct frame *frame;
	uint32_t count;

	if (order > FRAME_MAX_ORDER)
		return NULL;
	if (order == 0) {
		count = stocked(stock);
		if (count != 0)
			return hand_out(stock_pop(stock, count));
		count = at_load(&stock->zeroed);
		frame = count != 0 ? pop_zeroed(stock, count) : NULL;
	} else {
		frame = take_block(stock, order);
		if (frame == NULL) {
			/* What this CPU has in stock may be what keeps a block apart. */
			frame_drain();
			frame = take_block(stock, order);
		}
	}
	return frame != NULL ? hand_out(frame) : NULL;
}

struct frame *frame_take(unsigned order)
{
	struct stock *stock = own_stock();
	uint32_t count = at_load(&stock->count);

	if (likely(order == 0 && count != 0))
		return hand_out(stock_pop(stock, count));
	return take_slowly(stock, order);
}

struct frame *frame_alloc(unsigned order)
{
	return inject_fails() ? NULL : frame_take(order);
}

struct frame *stock_alloc_slowly(struct stock *stock, bool *was_ready)
{
	uint32_t count = at_load(&stock->zeroed);
	struct frame *frame;

	if (count != 0) {
		*was_ready = true;
		return hand_out(pop_zeroed(stock, count));
	}
	count = stocked(stock);
	if (unlikely(count == 0))
		return NULL;
	frame = stock_pop(stock, count);
	port_clear_page(frame_bytes(frame));
	return hand_out(frame);
}

struct frame *frame_alloc_zeroed(bool *was_ready)
{
	bool ready;
	struct frame *frame = stock_alloc_zeroed(&ready);

	if (was_ready != NULL)
		*was_ready = ready;
	return frame;
}

bool frame_try_get(struct frame *frame)
{
	uint32_t refs = at_load(&frame->refs);

	while (refs != 0)
		/* Pairs with the release in hand_out, see there. */
		if (at_cas(&frame->refs, &refs, refs + 1))
			return true;
	return false;
}

static void push(struct stock *stock, struct frame *frame)
{
	uint32_t count = at_load(&stock->count);

	frame->kind = FRAME_STOCK;
	stock->frames[count] = frame;
	at_store(&stock->count, count + 1);
}

/* Give the coldest frames of a full stock to their pools. */
static void spill(struct stock *stock)
{
	give_all(stock->frames, STOCK_BATCH);
	memcpy(stock->frames, stock->frames + STOCK_BATCH,
	       (STOCK_SIZE - STOCK_BATCH) * sizeof(stock->frames[0]));
	at_store(&stock->count, STOCK_SIZE - STOCK_BATCH);
}

/* Nobody holds the frame, and it can't go into the stock at once. */
static __attribute__((noinline)) void give_slowly(struct stock *stock, struct frame *frame)
{
	struct pool *pool = &pools[frame->node];

	if (frame->order == 0 && frame->node == stock->node) {
		spill(stock);
		push(stock, frame);
		return;
	}
	spin_lock(&pool->lock, RANK_POOL);
	pool_give(pool, frame, frame->order);
	spin_unlock(&pool->lock);
}

/* Returns whether it was the last reference. */
static inline bool put_reference(struct frame *frame)
{
	/*
	 * Release: what was done under this reference; acquire, by the last: what was done under
	 * the others. Pairs with itself.
	 */
	uint32_t refs = at_sub(&frame->refs, 1u);

	require(refs != 0);
	return refs == 1;
}

/* Nobody holds the frame. */
static inline void give(struct stock *stock, struct frame *frame)
{
	if (unlikely(frame->order != 0 || frame->node != stock->node ||
		     at_load(&stock->count) == STOCK_SIZE))
		give_slowly(stock, frame);
	else
		push(stock, frame);
}

void frame_put(struct frame *frame)
{
	if (put_reference(frame))
		give(own_stock(), frame);
}

void frame_put_all(const uint32_t *frames, size_t count)
{
	struct stock *stock = own_stock();

	for (size_t i = 0; i < count; i++) {
		struct frame *frame = frame_table + frames[i];

		if (put_reference(frame))
			give(stock, frame);
	}
}

/* For debug builds. */
__attribute__((unused)) static bool is_zero(const struct frame *frame)
{
	const uint64_t *words = frame_bytes(frame);
	uint64_t any = 0;

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		any |= words[i];
	return any == 0;
}

void frame_put_zeroed(struct frame *frame)
{
	struct stock *stock = own_stock();
	uint32_t count = at_load(&stock->zeroed);

	if (!put_reference(frame))
		return;
	assert_debug(is_zero(frame));
	if (count == STOCK_SIZE || frame->node != stock->node) {
		give(stock, frame);
		return;
	}
	frame->kind = FRAME_STOCK;
	stock->zeroed_frames[count] = frame;
	at_store(&stock->zeroed, count + 1);
}

unsigned frame_idle(unsigned count)
{
	struct stock *stock = own_stock();
	unsigned done = 0;

	while (done < count) {
		uint32_t zeroed = at_load(&stock->zeroed), left = stocked(stock);
		struct frame *frame;

		if (zeroed == STOCK_SIZE || left == 0)
			break;
		frame = stock_pop(stock, left);
		port_clear_page(frame_bytes(frame));
		stock->zeroed_frames[zeroed] = frame;
		at_store(&stock->zeroed, zeroed + 1);
		done++;
	}
	return done;
}

static void drain(struct stock *stock)
{
	give_all(stock->frames, at_load(&stock->count));
	at_store(&stock->count, 0u);
	give_all(stock->zeroed_frames, at_load(&stock->zeroed));
	at_store(&stock->zeroed, 0u);
}

void frame_drain(void)
{
	drain(own_stock());
}

void frame_drain_all(void)
{
	for (unsigned cpu = 0; cpu < stock_count; cpu++)
		drain(&stocks[cpu]);
}
