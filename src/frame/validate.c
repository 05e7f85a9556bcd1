/* SPDX-License-Identifier: MIT */
/*
 * The frame pool's validator: free lists, stocks and descriptors must tell the same story.
 *
 *   1. each free list: links, order, alignment, no mergeable buddy left
 *   2. each stock: sizes, kinds, no frame twice, zeroed frames all zero
 *   3. all descriptors in order, block by block: kinds, references, tails
 *   4. the sums of 1 and 2 are those found by 3, so nothing is lost and nothing is in two places
 *
 * It returns the first thing that is wrong. The messages are constants: a debugger shows the rest.
 */
#include "frame/pool.h"

struct census {
	uint64_t free, stocked, all;
};

static bool in_table(const struct frame *frame)
{
	return frame >= frame_table && frame < frame_table + frame_count;
}

static bool buddy_is_free(const struct frame *frame, unsigned order)
{
	uint64_t other = frame_pfn(frame) ^ 1ull << order;
	const struct frame *buddy;

	if (order == FRAME_MAX_ORDER || other < frame_first || other >= frame_last())
		return false;
	buddy = frame_of(other);
	return buddy->kind == FRAME_FREE && buddy->order == order && buddy->node == frame->node;
}

static const char *check_list(unsigned node, unsigned order, uint64_t *frames)
{
	const struct frame *prev = NULL;

	for (const struct frame *f = pools[node].lists[order]; f != NULL; f = f->u.free.next) {
		if (!in_table(f))
			return "a free list leaves the descriptors";
		if (f->u.free.prev != prev)
			return "a free list's links disagree";
		if (f->kind != FRAME_FREE || !f->pooled)
			return "a frame in a free list is not free";
		if (f->order != order || f->node != node)
			return "a free block is in the wrong list";
		if (buddy_is_free(f, order))
			return "two free buddies are not merged";
		*frames += 1ull << order;
		prev = f;
	}
	return NULL;
}

static const char *check_pools(struct census *lists)
{
	for (unsigned node = 0; node < pool_count; node++) {
		uint64_t frames = 0;

		for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
			const char *wrong = check_list(node, order, &frames);

			if (wrong != NULL)
				return wrong;
		}
		if (frames != at_load(&pools[node].free))
			return "a pool's count is not the sum of its lists";
		lists->free += frames;
	}
	return NULL;
}

/*
 * Nothing uses `u` of a frame in stock: each place writes its address there, and a frame in two
 * places has only one of them.
 */
static void **mark_of(struct frame *frame)
{
	return (void **)(void *)&frame->u.pad[0];
}

static const char *mark_stock(struct frame **frames, uint32_t count)
{
	if (count > STOCK_SIZE)
		return "a stock holds more than fits";
	for (uint32_t i = 0; i < count; i++) {
		if (!in_table(frames[i]) || frames[i]->kind != FRAME_STOCK || frames[i]->order != 0)
			return "a frame in a stock is not a stocked frame";
		*mark_of(frames[i]) = &frames[i];
	}
	return NULL;
}

static bool marks_hold(struct frame **frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (*mark_of(frames[i]) != &frames[i])
			return false;
	return true;
}

static bool all_zero(struct frame **frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t *words = frame_bytes(frames[i]);

		for (size_t w = 0; w < PAGE_SIZE / sizeof(*words); w++)
			if (words[w] != 0)
				return false;
	}
	return true;
}

static const char *check_stocks(struct census *lists)
{
	for (unsigned cpu = 0; cpu < stock_count; cpu++) {
		struct stock *stock = &stocks[cpu];
		const char *wrong = mark_stock(stock->frames, at_load(&stock->count));

		if (wrong == NULL)
			wrong = mark_stock(stock->zeroed_frames, at_load(&stock->zeroed));
		if (wrong != NULL)
			return wrong;
		if (!all_zero(stock->zeroed_frames, at_load(&stock->zeroed)))
			return "a frame in a stock of zeroed frames is not zero";
		lists->stocked += at_load(&stock->count) + at_load(&stock->zeroed);
	}
	for (unsigned cpu = 0; cpu < stock_count; cpu++)
		if (!marks_hold(stocks[cpu].frames, at_load(&stocks[cpu].count)) ||
		    !marks_hold(stocks[cpu].zeroed_frames, at_load(&stocks[cpu].zeroed)))
			return "a frame is in stock twice";
	return NULL;
}

/* The frames after the head of a block. */
static const char *check_tails(const struct frame *head, uint64_t size)
{
	for (const struct frame *f = head + 1; f < head + size; f++) {
		if (f->kind != FRAME_TAIL || f->pooled)
			return "a block overlaps another";
		if (f->node != head->node)
			return "a block spans two nodes";
		if (at_load(&f->refs) != 0)
			return "the tail of a block has references";
	}
	return NULL;
}

static const char *check_block(const struct frame *head, struct census *found)
{
	uint64_t size = 1ull << head->order;
	bool idle = head->kind == FRAME_FREE || head->kind == FRAME_STOCK;

	if (head->kind == FRAME_TAIL)
		return "a tail has no head";
	if (head->kind > FRAME_ZERO)
		return "a descriptor is of no known kind";
	if (head->order > FRAME_MAX_ORDER || size > frame_last() - frame_pfn(head) ||
	    (frame_pfn(head) & (size - 1)) != 0)
		return "a block is not aligned to its size";
	if (head->pooled != (head->kind == FRAME_FREE))
		return "a descriptor disagrees with itself about being free";
	if (idle && at_load(&head->refs) != 0)
		return "a free frame has references";
	if (!idle && at_load(&head->refs) == 0)
		return "a frame in use has no reference";
	found->all += size;
	if (head->kind == FRAME_FREE)
		found->free += size;
	if (head->kind == FRAME_STOCK)
		found->stocked++;
	return check_tails(head, size);
}

static const char *check_descriptors(struct census *found)
{
	const struct frame *end = frame_table + frame_count;

	for (const struct frame *f = frame_table; f < end;) {
		const char *wrong;

		if (f->kind == FRAME_HOLE) {
			if (at_load(&f->refs) != 0 || f->pooled)
				return "a hole is in use";
			f++;
			continue;
		}
		wrong = check_block(f, found);
		if (wrong != NULL)
			return wrong;
		f += 1ull << f->order;
	}
	return NULL;
}

const char *frame_validate(void)
{
	struct census lists = { 0 }, found = { 0 };
	const char *wrong = check_pools(&lists);

	if (wrong == NULL)
		wrong = check_stocks(&lists);
	if (wrong == NULL)
		wrong = check_descriptors(&found);
	if (wrong != NULL)
		return wrong;
	if (found.all != frame_total + 1) /* the zero page is not counted there */
		return "memory has been lost or won";
	if (found.free != lists.free)
		return "a free block is in no list";
	if (found.stocked != lists.stocked)
		return "a stocked frame is in no stock";
	return NULL;
}
