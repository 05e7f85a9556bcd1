/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and the buddy allocator.
 *
 * Memory of one range:
 *
 *     base                                                          end of the largest range
 *     │ blocks, as large as they come │ zero page │ reserve │ stocks │ descriptors │
 *
 * A free block of 2^k frames is FRAME_FREE at its head, FRAME_TAIL in the rest, and in list k of
 * its node. Its buddy is the block whose number differs in bit k alone; two free buddies of one
 * node are never left side by side: they are merged when the second is given back. So the free
 * lists are a function of the set of free frames, and memory that is all given back looks as it did
 * at the start.
 *
 * Splits and merges write heads only: a tail stays a tail, so an operation costs at most
 * FRAME_MAX_ORDER descriptors.
 */
#include "frame/pool.h"
#include <quire/types.h>

struct frame *frame_table;
uint64_t frame_first, frame_count, frame_total;
static uint64_t kept_first, kept_end; /* what frame_init keeps for Quire itself: numbers */
struct frame *frame_zero;
struct pool pools[MAX_NODES];
struct stock *stocks;
unsigned pool_count, stock_count;

struct frame *frame_of_bytes(const void *p)
{
	uint64_t pfn = port_frame_number(p);

	require(pfn >= frame_first && pfn < frame_last());
	return frame_of(pfn);
}

/* --- the buddy allocator --- */

static void list_add(struct pool *pool, struct frame *frame, unsigned order)
{
	struct frame *next = pool->lists[order];

	frame->kind = FRAME_FREE;
	frame->order = (uint8_t)order;
	frame->pooled = true;
	frame->u.free.prev = NULL;
	frame->u.free.next = next;
	if (next != NULL)
		next->u.free.prev = frame;
	pool->lists[order] = frame;
}

/* The frame is left as a tail, which is what it is unless the caller makes it a head again. */
static void list_remove(struct pool *pool, struct frame *frame)
{
	struct frame *next = frame->u.free.next, *prev = frame->u.free.prev;

	if (next != NULL)
		next->u.free.prev = prev;
	if (prev != NULL)
		prev->u.free.next = next;
	else
		pool->lists[frame->order] = next;
	frame->kind = FRAME_TAIL;
	frame->pooled = false;
}

/* The buddy of the block at `pfn`, if it can be merged with it: free, whole, of the same node. */
static struct frame *free_buddy(uint64_t pfn, unsigned order, unsigned node)
{
	uint64_t other = pfn ^ 1ull << order;
	struct frame *buddy;

	if (other < frame_first || other >= frame_last())
		return NULL;
	buddy = frame_of(other);
	if (buddy->node != node || !buddy->pooled || buddy->order != order)
		return NULL;
	return buddy;
}

struct frame *pool_take(struct pool *pool, unsigned order)
{
	unsigned k = order;
	struct frame *frame;

	assert_held(&pool->lock);
	while (pool->lists[k] == NULL) {
		if (k == FRAME_MAX_ORDER)
			return NULL;
		k++;
	}
	frame = pool->lists[k];
	list_remove(pool, frame);
	while (k > order) {
		k--;
		list_add(pool, frame + (1ull << k), k);
	}
	frame->order = (uint8_t)order;
	at_store(&pool->free, at_load(&pool->free) - (1ull << order));
	return frame;
}

struct frame *pool_take_small(struct pool *pool, uint32_t frames)
{
	unsigned order = 0;

	while (pool->lists[order] == NULL && 2ull << order <= frames)
		order++;
	return pool_take(pool, order);
}

void pool_give(struct pool *pool, struct frame *frame, unsigned order)
{
	uint64_t pfn = frame_pfn(frame);
	unsigned node = frame->node;
	struct frame *buddy;

	assert_held(&pool->lock);
	at_store(&pool->free, at_load(&pool->free) + (1ull << order));
	frame->kind = FRAME_TAIL;
	while (order < FRAME_MAX_ORDER && (buddy = free_buddy(pfn, order, node)) != NULL) {
		list_remove(pool, buddy);
		pfn &= ~(1ull << order);
		order++;
	}
	list_add(pool, frame_of(pfn), order);
}

void pool_give_run(struct pool *pool, struct frame *first, uint64_t count)
{
	uint64_t pfn = frame_pfn(first), last = pfn + count;

	for (uint64_t i = 0; i < count; i++)
		first[i].kind = FRAME_TAIL;
	while (pfn < last) {
		unsigned order = 0;

		/* As large as alignment allows; the pool merges what there is beside. */
		while (order < FRAME_MAX_ORDER && (pfn & ((2ull << order) - 1)) == 0 &&
		       pfn + (2ull << order) <= last)
			order++;
		pool_give(pool, frame_of(pfn), order);
		pfn += 1ull << order;
	}
}

/* --- start --- */

/* The whole pages of a range: [*first, *last), possibly none. */
static void whole_pages(const struct quire_memory *range, uint64_t *first, uint64_t *last)
{
	*first = (range->base + PAGE_MASK) >> PAGE_SHIFT;
	*last = (range->base + range->size) >> PAGE_SHIFT;
	if (*last < *first)
		*last = *first;
}

static bool overlap(const struct quire_memory *a, const struct quire_memory *b)
{
	return a->size != 0 && b->size != 0 && a->base < b->base + b->size &&
	       b->base < a->base + a->size;
}

/* Checks the ranges; sets frame_first and frame_count, and *largest to the one with most pages. */
static int survey(const struct quire_memory *ranges, size_t count, unsigned nodes,
		  const struct quire_memory **largest)
{
	const uint64_t limit = 1ull << 52; /* what an entry has room for */
	uint64_t low = UINT64_MAX, high = 0, most = 0;

	for (size_t i = 0; i < count; i++) {
		const struct quire_memory *range = &ranges[i];
		uint64_t first, last;

		if (range->base > limit || range->size > limit - range->base ||
		    range->node >= nodes)
			return -QUIRE_EINVAL;
		for (size_t j = 0; j < i; j++)
			if (overlap(range, &ranges[j]))
				return -QUIRE_EINVAL;
		whole_pages(range, &first, &last);
		if (first == last)
			continue;
		low = first < low ? first : low;
		high = last > high ? last : high;
		if (last - first > most) {
			most = last - first;
			*largest = range;
		}
	}
	if (most == 0 || high - low > UINT32_MAX)
		return -QUIRE_EINVAL;
	frame_first = low;
	frame_count = high - low;
	return 0;
}

/* Make frames of [first, last). */
static void add_memory(uint64_t first, uint64_t last, unsigned node)
{
	struct pool *pool = &pools[node];

	for (uint64_t pfn = first; pfn < last; pfn++)
		frame_of(pfn)->node = (uint8_t)node;
	spin_lock(&pool->lock, RANK_POOL);
	pool_give_run(pool, frame_of(first), last - first);
	spin_unlock(&pool->lock);
	frame_total += last - first;
}

static uint64_t round_up(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

/*
 * Keep the zero page, `reserve` bytes, the stocks and the descriptors at the top of [first, *last),
 * all zero, which makes of every descriptor a FRAME_HOLE without references.
 */
static int carve(uint64_t first, uint64_t *last, unsigned cpus, uint64_t reserve, void **reserved)
{
	uint64_t bytes = (*last - first) << PAGE_SHIFT, stock_bytes = cpus * sizeof(struct stock);
	unsigned char *memory;

	if (reserve > bytes)
		return -QUIRE_ENOMEM;
	reserve = round_up(reserve, 128);
	if (PAGE_SIZE + reserve + stock_bytes + frame_count * sizeof(struct frame) > bytes)
		return -QUIRE_ENOMEM;
	bytes = round_up(PAGE_SIZE + reserve + stock_bytes + frame_count * sizeof(struct frame),
			 PAGE_SIZE);
	*last -= bytes >> PAGE_SHIFT;
	kept_first = *last;
	kept_end = *last + (bytes >> PAGE_SHIFT);
	memory = port_frame(*last);
	memset(memory, 0, bytes);
	*reserved = memory + PAGE_SIZE;
	stocks = (struct stock *)(void *)(memory + PAGE_SIZE + reserve);
	frame_table = (struct frame *)(void *)(memory + PAGE_SIZE + reserve + stock_bytes);
	frame_zero = frame_of(*last);
	return 0;
}

bool frame_is_ours(uint64_t first, uint64_t end)
{
	if (first < kept_end && end > kept_first)
		return true;
	if (first < frame_first)
		first = frame_first;
	if (end > frame_first + frame_count)
		end = frame_first + frame_count;
	while (first < end && frame_of(first)->kind == FRAME_HOLE)
		first++;
	return first < end;
}

int frame_init(const struct quire_memory *ranges, size_t count, unsigned nodes, unsigned cpus,
	       size_t reserve, void **reserved)
{
	const struct quire_memory *largest = NULL;
	uint64_t first, last;
	int error;

	if (cpus == 0 || cpus > MAX_CPUS || nodes == 0 || nodes > MAX_NODES)
		return -QUIRE_EINVAL;
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		if (port_cpu_node(cpu) >= nodes)
			return -QUIRE_EINVAL;
	error = survey(ranges, count, nodes, &largest);
	if (error != 0)
		return error;
	whole_pages(largest, &first, &last);
	error = carve(first, &last, cpus, reserve, reserved);
	if (error != 0)
		return error;

	stock_count = cpus;
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		stocks[cpu].node = port_cpu_node(cpu);
	pool_count = nodes;
	memset(pools, 0, sizeof(pools));
	frame_zero->kind = FRAME_ZERO;
	frame_zero->node = (uint8_t)largest->node;
	at_store(&frame_zero->refs, 1u);
	frame_total = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t start, end;

		whole_pages(&ranges[i], &start, &end);
		add_memory(start, &ranges[i] == largest ? last : end, ranges[i].node);
	}
	return 0;
}

/* --- figures --- */

void frame_stats(struct frame_stats *stats)
{
	*stats = (struct frame_stats){ .total = frame_total };
	for (unsigned node = 0; node < pool_count; node++)
		stats->free += at_load(&pools[node].free);
	for (unsigned cpu = 0; cpu < stock_count; cpu++) {
		uint32_t zeroed = at_load(&stocks[cpu].zeroed);

		stats->stocked += at_load(&stocks[cpu].count) + zeroed;
		stats->zeroed += zeroed;
	}
}

void frame_count_kinds(uint64_t kinds[FRAME_ZERO + 1])
{
	memset(kinds, 0, (FRAME_ZERO + 1) * sizeof(kinds[0]));
	for (uint64_t i = 0; i < frame_count; i++)
		kinds[frame_table[i].kind]++;
}
