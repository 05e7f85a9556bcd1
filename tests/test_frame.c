/* SPDX-License-Identifier: MIT */
/* Frames: start, buddies, stocks, references, injection, the validator, and all of it under
 * threads. */
#include "frames.h"
#include "frame/pool.h"
#include <quire/types.h>

#define LIST_MAX 65536

static struct frame *list[LIST_MAX];

/* Allocate single frames until there are none. */
static unsigned take_all(void)
{
	unsigned n = 0;

	while (n < LIST_MAX && (list[n] = frame_alloc(0)) != NULL)
		n++;
	assert_true(n < LIST_MAX);
	return n;
}

static void put_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		frame_put(list[i]);
}

/* ---- start ---- */

static void bad_configurations(void **state)
{
	static const struct {
		struct quire_memory ranges[2];
		size_t count;
		unsigned nodes, cpus;
		size_t reserve;
		int error;
	} cases[] = {
		{ { { 0 } }, 0, 1, 1, 0, -QUIRE_EINVAL },
		{ { { 0, 0, 0 } }, 1, 1, 1, 0, -QUIRE_EINVAL },
		{ { { 1, 2 * 4096 - 2, 0 } }, 1, 1, 1, 0, -QUIRE_EINVAL }, /* no whole page */
		{ { { 0, MIB, 1 } }, 1, 1, 1, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 } }, 1, 0, 1, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 } }, 1, MAX_NODES + 1, 1, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 } }, 1, 1, 0, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 } }, 1, 1, MAX_CPUS + 1, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 }, { MIB - 1, MIB, 0 } }, 2, 1, 1, 0, -QUIRE_EINVAL },
		{ { { MIB, 4096, 0 }, { 0, 4 * MIB, 0 } }, 2, 1, 1, 0, -QUIRE_EINVAL },
		{ { { UINT64_MAX - 4095, 8192, 0 } }, 1, 1, 1, 0, -QUIRE_EINVAL },
		{ { { 1ull << 52, 4096, 0 } }, 1, 1, 1, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 }, { 1ull << 44, MIB, 0 } }, 2, 1, 1, 0, -QUIRE_EINVAL },
		{ { { 0, MIB, 0 }, { 2 * GIB, MIB, 0 } }, 2, 1, 1, 0, -QUIRE_ENOMEM },
		{ { { 0, MIB, 0 } }, 1, 1, 1, MIB, -QUIRE_ENOMEM },
		{ { { 0, MIB, 0 } }, 1, 1, 1, SIZE_MAX, -QUIRE_ENOMEM },
		{ { { 0, 16 * 4096, 0 } }, 1, 1, MAX_CPUS, 0, -QUIRE_ENOMEM },
		{ { { 0, MIB, 0 } }, 1, 1, 1, 0, 0 },
		{ {
			  { 0, MIB, 0 },
			  { MIB, 0, 0 },
		  },
		  2,
		  1,
		  1,
		  0,
		  0 },
	};
	void *reserved;

	(void)state;
	memset(soft_cpu_nodes, 0, sizeof(soft_cpu_nodes));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(frame_init(cases[i].ranges, cases[i].count, cases[i].nodes,
					    cases[i].cpus, cases[i].reserve, &reserved),
				 cases[i].error);
	soft_cpu_nodes[1] = 1;
	assert_int_equal(frame_init(cases[17].ranges, 1, 1, 2, 0, &reserved), -QUIRE_EINVAL);
	soft_cpu_nodes[1] = 0;
}

/* The least memory that starts has a zero page, its own descriptors, and no frame left. */
static void smallest_memory(void **state)
{
	void *reserved;
	unsigned pages = 1;

	(void)state;
	for (;; pages++) {
		struct quire_memory range = { 0, pages * PAGE_SIZE, 0 };

		if (frame_init(&range, 1, 1, 1, 0, &reserved) == 0)
			break;
		assert_true(pages < 10);
	}
	assert_null(frame_validate());
	assert_null(frame_alloc(0));
	assert_null(frame_alloc(1));
	assert_null(frame_alloc_zeroed(NULL));
	assert_int_equal(frame_idle(3), 0);
	assert_int_equal(frames_now().total, 0);
}

static void odd_bounds(void **state)
{
	const uint64_t base = 5 * PAGE_SIZE + 0x123, size = 3 * MIB + 0x777;
	struct quire_memory range = { base, size, 0 };
	unsigned char *reserved;
	unsigned n;

	(void)state;
	for (uint64_t at = 0; at < 4 * MIB; at += 8)
		memset(soft_memory + at, 0xee, 8);
	assert_int_equal(frame_init(&range, 1, 1, 2, 1000, (void **)&reserved), 0);
	assert_null(frame_validate());
	assert_int_equal((uintptr_t)reserved % 128, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(reserved[i], 0);
	assert_int_equal(frame_first, 6);
	assert_int_equal(frame_last(), (base + size) / PAGE_SIZE);
	assert_int_equal(frame_zero->kind, FRAME_ZERO);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(((unsigned char *)frame_bytes(frame_zero))[i], 0);

	/* Writing to all that is handed out hurts neither what was reserved nor the descriptors. */
	memset(reserved, 0xaa, 1000);
	n = take_all();
	assert_int_equal(n, frames_now().total);
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = frame_pfn(list[i]) * PAGE_SIZE;

		assert_true(at >= base && at + PAGE_SIZE <= base + size);
		assert_ptr_equal(frame_of_bytes((char *)frame_bytes(list[i]) + 4095), list[i]);
		memset(frame_bytes(list[i]), 0x11, PAGE_SIZE);
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(reserved[i], 0xaa);
	put_all(n);
	frames_all_back();
}

static void look_up(void *bytes)
{
	frame_of_bytes(bytes);
}

static void bytes_outside(void **state)
{
	(void)state;
	frames_start(MIB, MIB, 1);
	assert_true(panics(look_up, soft_memory + MIB - 1));
	assert_true(panics(look_up, soft_memory + 2 * MIB));
	assert_false(panics(look_up, soft_memory + 2 * MIB - 1));
}

/* A block may cross from a range into the next of its node, and never into another node or a hole.
 */
static void borders(void **state)
{
	struct quire_memory ranges[] = { { 4 * MIB, 3 * MIB, 0 },
					 { 2 * MIB, 2 * MIB, 0 },
					 { 0, 2 * MIB, 0 } };
	struct frame *block;
	void *reserved;

	(void)state;
	assert_int_equal(frame_init(ranges, 3, 2, 1, 0, &reserved), 0);
	assert_null(frame_validate());
	block = frame_alloc(10);
	assert_non_null(block);
	assert_int_equal(frame_pfn(block), 0);
	frame_put(block);
	frames_all_back();

	ranges[1].node = 1;
	assert_int_equal(frame_init(ranges, 3, 2, 1, 0, &reserved), 0);
	assert_null(frame_validate());
	assert_null(frame_alloc(10));
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(list[i] = frame_alloc(9));
	assert_null(frame_alloc(9));
	put_all(3);
	frames_all_back();

	ranges[1].node = 0;
	ranges[1].base += PAGE_SIZE;
	ranges[1].size -= PAGE_SIZE;
	assert_int_equal(frame_init(ranges, 3, 1, 1, 0, &reserved), 0);
	assert_null(frame_validate());
	assert_null(frame_alloc(10));
	assert_int_equal(frame_of(512)->kind, FRAME_HOLE);
	assert_false(frame_try_get(frame_of(512)));
	put_all(take_all());
	frames_all_back();
}

/* ---- blocks ---- */

static void count_lists(unsigned counts[FRAME_MAX_ORDER + 1])
{
	memset(counts, 0, (FRAME_MAX_ORDER + 1) * sizeof(counts[0]));
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++)
		for (struct frame *f = pools[0].lists[order]; f != NULL; f = f->u.free.next)
			counts[order]++;
}

static void every_order(void **state)
{
	unsigned before[FRAME_MAX_ORDER + 1], after[FRAME_MAX_ORDER + 1];
	struct frame *blocks[FRAME_MAX_ORDER + 1];

	(void)state;
	frames_start(3 * PAGE_SIZE, 2 * GIB + 300 * MIB, 1);
	count_lists(before);
	assert_int_equal(before[FRAME_MAX_ORDER], 1);
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
		struct frame *block = blocks[order] = frame_alloc(order);

		assert_non_null(block);
		assert_int_equal(frame_pfn(block) & ((1ull << order) - 1), 0);
		assert_int_equal(block->order, order);
		assert_int_equal(block->kind, FRAME_USED);
		assert_int_equal(block->refs, 1);
		for (uint64_t i = 1; i < 1ull << order; i += 1 + i / 2) {
			assert_int_equal(block[i].kind, FRAME_TAIL);
			assert_false(frame_try_get(block + i));
		}
	}
	assert_null(frame_validate());
	assert_null(frame_alloc(FRAME_MAX_ORDER));
	assert_null(frame_alloc(FRAME_MAX_ORDER + 1));
	assert_null(frame_alloc(UINT32_MAX));
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++)
		frame_put(blocks[order]);
	frames_all_back();
	count_lists(after);
	assert_memory_equal(before, after, sizeof(before));
}

/* Exhausted, given back in a mixed-up order, and as it was at the start. */
static void exhaustion(void **state)
{
	unsigned before[FRAME_MAX_ORDER + 1], after[FRAME_MAX_ORDER + 1], n;
	uint64_t random = 1;

	(void)state;
	frames_start(7 * PAGE_SIZE, 32 * MIB, 2);
	count_lists(before);
	for (unsigned round = 0; round < 3; round++) {
		n = take_all();
		assert_int_equal(n, frames_now().total);
		assert_int_equal(frames_now().free + frames_now().stocked, 0);
		assert_null(frame_alloc_zeroed(NULL));
		assert_int_equal(frame_idle(1), 0);
		assert_null(frame_validate());
		for (unsigned i = 0; i < n; i++)
			*(struct frame **)frame_bytes(list[i]) = list[i];
		for (unsigned i = 0; i < n; i++)
			assert_ptr_equal(*(struct frame **)frame_bytes(list[i]), list[i]);
		for (unsigned i = n; i-- > 1;) {
			unsigned j = draw(&random) % (i + 1);
			struct frame *swap = list[i];

			list[i] = list[j];
			list[j] = swap;
		}
		soft_cpu_index = round % 2;
		put_all(n);
		frames_all_back();
		count_lists(after);
		assert_memory_equal(before, after, sizeof(before));
	}
	soft_cpu_index = 0;
}

/* A block that only the own stocks keep apart is found. */
static void block_out_of_stock(void **state)
{
	struct frame *keep, *block;
	unsigned n;

	(void)state;
	frames_start(0, 64 * PAGE_SIZE, 1);
	n = take_all();
	for (unsigned i = 0; i < n; i++)
		if (frame_pfn(list[i]) < 8)
			frame_put(list[i]);
	assert_int_equal(frames_now().stocked, 8);
	assert_int_equal(frame_idle(4), 4);
	assert_int_equal(frames_now().stocked, 8);
	assert_int_equal(frames_now().zeroed, 4);
	keep = frame_alloc(4);
	assert_null(keep);
	block = frame_alloc(3);
	assert_non_null(block);
	assert_int_equal(frame_pfn(block), 0);
	assert_null(frame_alloc(0));
	frame_put(block);
	for (unsigned i = 0; i < n; i++)
		if (frame_pfn(list[i]) >= 8)
			frame_put(list[i]);
	frames_all_back();
}

/* ---- stocks ---- */

static void stock_batches(void **state)
{
	struct frame_stats start;
	uint64_t batch;

	(void)state;
	frames_start(0, 4 * MIB, 2);
	start = frames_now();
	list[0] = frame_alloc(0);
	batch = frames_now().stocked + 1;
	assert_in_range(batch, STOCK_BATCH / 2 + 1, STOCK_BATCH);
	assert_int_equal(frames_now().free, start.free - batch);
	frame_put(list[0]);
	assert_ptr_equal(frame_alloc(0), list[0]); /* the warmest */
	for (unsigned i = 1; i <= STOCK_SIZE; i++)
		list[i] = frame_alloc(0);
	for (unsigned i = 0; i < STOCK_SIZE; i++)
		frame_put(list[i]);
	assert_true(frames_now().stocked <= STOCK_SIZE);
	frame_put(list[STOCK_SIZE]);
	assert_true(frames_now().stocked <= STOCK_SIZE);
	assert_null(frame_validate());

	/* Drained: one's own, or everybody's. */
	soft_cpu_index = 1;
	frame_put(frame_alloc(0));
	frame_idle(5);
	frame_drain();
	assert_int_equal(stocks[1].count + stocks[1].zeroed, 0);
	assert_true(frames_now().stocked > 0);
	frame_put(frame_alloc(0));
	soft_cpu_index = 0;
	frames_all_back();
}

static bool is_zero(struct frame *frame)
{
	const unsigned char *bytes = frame_bytes(frame);

	for (unsigned i = 0; i < PAGE_SIZE; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static void zeroed_stock(void **state)
{
	struct frame *frame;
	bool ready = true;
	unsigned n;

	(void)state;
	frames_start(0, 4 * MIB, 1);
	n = take_all();
	for (unsigned i = 0; i < n; i++)
		memset(frame_bytes(list[i]), 0xff, PAGE_SIZE);
	put_all(n);

	frame = frame_alloc_zeroed(&ready);
	assert_false(ready);
	assert_true(is_zero(frame));
	memset(frame_bytes(frame), 0xff, PAGE_SIZE);
	frame_put(frame);

	assert_int_equal(frame_idle(0), 0);
	assert_int_equal(frame_idle(10), 10);
	assert_int_equal(frame_idle(1000), STOCK_SIZE - 10);
	assert_int_equal(frame_idle(1), 0);
	assert_int_equal(frames_now().zeroed, STOCK_SIZE);
	assert_null(frame_validate());
	for (unsigned i = 0; i < STOCK_SIZE; i++) {
		list[i] = frame_alloc_zeroed(&ready);
		assert_true(ready);
		assert_true(is_zero(list[i]));
		assert_int_equal(list[i]->refs, 1);
		assert_int_equal(list[i]->kind, FRAME_USED);
	}
	assert_int_equal(frames_now().zeroed, 0);
	put_all(STOCK_SIZE);

	/* When all else is gone frame_alloc takes zeroed ones, too. */
	assert_int_equal(frame_idle(20), 20);
	assert_int_equal(take_all(), n);
	assert_int_equal(frames_now().zeroed, 0);
	ready = true;
	assert_null(frame_alloc_zeroed(&ready));
	assert_false(ready);
	put_all(n);
	frames_all_back();
}

static void nodes(void **state)
{
	struct quire_memory ranges[] = { { 0, 4 * MIB, 0 }, { 4 * MIB, 2 * MIB, 1 } };
	unsigned remote = 0, n;
	struct frame_stats stats;
	struct frame *block;
	void *reserved;

	(void)state;
	soft_cpu_nodes[1] = 1;
	assert_int_equal(frame_init(ranges, 2, 2, 2, 0, &reserved), 0);
	soft_cpu_index = 1;
	assert_int_equal((list[0] = frame_alloc(0))->node, 1);
	assert_int_equal((list[1] = frame_alloc(4))->node, 1);
	soft_cpu_index = 0;
	assert_int_equal((list[2] = frame_alloc(0))->node, 0);
	assert_int_equal((list[3] = frame_alloc(4))->node, 0);

	/* A frame of another node goes back there, not into the stock. */
	stats = frames_now();
	frame_put(list[0]);
	assert_int_equal(frames_now().free, stats.free + 1);
	for (unsigned i = 1; i < 4; i++)
		frame_put(list[i]);
	frames_all_back();

	/* When the own node has nothing left, the other helps; with blocks, too. */
	n = take_all();
	for (unsigned i = 0; i < n; i++)
		remote += list[i]->node == 1;
	assert_int_equal(n, frames_now().total);
	assert_int_equal(remote, 2 * MIB / PAGE_SIZE);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(list[i]->node, i >= n - remote);
	for (unsigned i = 0; i < n; i++)
		if (list[i]->node == 1)
			frame_put(list[i]);
	block = frame_alloc(9);
	assert_int_equal(block->node, 1);
	frame_put(block);

	/* A stock filled from afar in need drains to where it belongs. */
	block = frame_alloc(0);
	assert_int_equal(block->node, 1);
	assert_null(frame_validate());
	frame_put(block);
	for (unsigned i = 0; i < n; i++)
		if (list[i]->node == 0)
			frame_put(list[i]);
	frames_all_back();
	soft_cpu_nodes[1] = 0;
}

/* ---- references ---- */

static void put(void *frame)
{
	frame_put(frame);
}

static void references(void **state)
{
	struct frame *frame, *block;

	(void)state;
	frames_start(0, 4 * MIB, 1);
	frame = frame_alloc(0);
	assert_true(frame_try_get(frame));
	frame_get(frame);
	assert_int_equal(frame->refs, 3);
	frame_put(frame);
	frame_put(frame);
	assert_int_equal(frame->kind, FRAME_USED);
	frame_put(frame);
	assert_int_equal(frame->kind, FRAME_STOCK);
	assert_false(frame_try_get(frame));
	assert_int_equal(frame->refs, 0);
	assert_true(panics(put, frame));

	block = frame_alloc(3);
	assert_true(frame_try_get(block));
	frame_put(block);
	assert_int_equal(block->kind, FRAME_USED);
	frame_put(block);
	assert_false(frame_try_get(block));
	assert_true(panics(put, block));
	assert_true(frame_try_get(frame_zero));
	frame_put(frame_zero);
	assert_int_equal(frame_zero->kind, FRAME_ZERO);
	frames_all_back();
}

static void kinds(void **state)
{
	uint64_t counts[FRAME_ZERO + 1], all = 0;
	struct frame *frame, *block;

	(void)state;
	frames_start(0, 4 * MIB, 1);
	frame = frame_alloc(0);
	frame->kind = FRAME_ANON;
	block = frame_alloc(2);
	frame_count_kinds(counts);
	assert_int_equal(counts[FRAME_ANON], 1);
	assert_int_equal(counts[FRAME_USED], 1);
	assert_int_equal(counts[FRAME_ZERO], 1);
	assert_int_equal(counts[FRAME_STOCK], frames_now().stocked);
	assert_in_range(counts[FRAME_STOCK], STOCK_BATCH / 2, STOCK_BATCH - 1);
	assert_int_equal(counts[FRAME_TABLE] + counts[FRAME_SLAB], 0);
	for (unsigned kind = 0; kind <= FRAME_ZERO; kind++)
		all += counts[kind];
	assert_int_equal(all, 1024);
	frame_put(frame);
	frame_put(block);
	frames_all_back();
}

/* ---- injection ---- */

static void injection(void **state)
{
	(void)state;
	frames_start(0, 4 * MIB, 1);
	for (unsigned n = 1; n <= 4; n++) {
		inject_set(n);
		for (unsigned call = 1; call <= 6; call++) {
			struct frame *frame = call == 4 ? frame_alloc_zeroed(NULL)
							: frame_alloc(call % 2);

			assert_int_equal(frame == NULL, DEBUG_CHECKS && call == n);
			if (frame != NULL)
				frame_put(frame);
		}
		frame_idle(1);
		assert_int_equal(inject_count(), DEBUG_CHECKS ? 6 : 0);
	}
	inject_set(0);
	assert_int_equal(inject_count(), 0);
	for (unsigned call = 0; call < 6; call++) {
		struct frame *frame = frame_alloc(0);

		assert_non_null(frame);
		frame_put(frame);
	}
	frames_all_back();
}

/* ---- the validator: each thing that it can say, provoked ---- */

#define EXPECT(broken, text)                                                                       \
	do {                                                                                       \
		broken;                                                                            \
		assert_non_null(frame_validate());                                                 \
		assert_string_equal(frame_validate(), text);                                       \
	} while (0)

/* A free block of at least this order. */
static struct frame *some_free(unsigned order)
{
	while (pools[0].lists[order] == NULL)
		assert_true(++order <= FRAME_MAX_ORDER);
	return pools[0].lists[order];
}

static void validator_lists(void **state)
{
	struct frame *frame, *next, outside = { .order = 0 };

	(void)state;
	frames_start(0, 4 * MIB + 64 * PAGE_SIZE, 1);
	assert_non_null(list[0] = frame_alloc(0)); /* makes blocks of many orders */
	frame_drain();
	assert_null(frame_validate());

	frame = pools[0].lists[2];
	assert_non_null(frame);
	EXPECT(pools[0].lists[2] = &outside, "a free list leaves the descriptors");
	pools[0].lists[2] = frame;
	EXPECT(frame->u.free.prev = list[0], "a free list's links disagree");
	frame->u.free.prev = NULL;
	next = frame->u.free.next;
	EXPECT(frame->u.free.next = frame, "a free list's links disagree"); /* no endless loop */
	frame->u.free.next = next;
	EXPECT(frame->kind = FRAME_USED, "a frame in a free list is not free");
	frame->kind = FRAME_FREE;
	EXPECT(frame->pooled = false, "a frame in a free list is not free");
	frame->pooled = true;
	EXPECT(frame->order = 3, "a free block is in the wrong list");
	frame->order = 2;
	EXPECT(frame->node = 1, "a free block is in the wrong list");
	frame->node = 0;
	EXPECT(pools[0].free++, "a pool's count is not the sum of its lists");
	pools[0].free--;
	assert_null(frame_validate());

	/* Two buddies by hand: split the block and don't tell. */
	pools[0].lists[2] = next;
	if (next != NULL)
		next->u.free.prev = NULL;
	frame[2].kind = FRAME_FREE;
	frame[2].pooled = true;
	frame[0].order = frame[2].order = 1;
	frame[2].u.free.prev = NULL;
	frame[2].u.free.next = frame;
	frame->u.free.prev = &frame[2];
	frame->u.free.next = pools[0].lists[1];
	if (pools[0].lists[1] != NULL)
		pools[0].lists[1]->u.free.prev = frame;
	EXPECT(pools[0].lists[1] = &frame[2], "two free buddies are not merged");
}

static void validator_stocks(void **state)
{
	struct stock *stock;
	struct frame *frame;
	uint32_t count;

	(void)state;
	frames_start(0, 4 * MIB, 2);
	frame_put(frame_alloc(0));
	frame_idle(3);
	soft_cpu_index = 1;
	frame_put(frame_alloc(0));
	soft_cpu_index = 0;
	assert_null(frame_validate());

	stock = &stocks[0];
	count = stock->count;
	EXPECT(stock->count = STOCK_SIZE + 1, "a stock holds more than fits");
	stock->count = count;
	frame = stock->frames[0];
	EXPECT(frame->kind = FRAME_USED, "a frame in a stock is not a stocked frame");
	frame->kind = FRAME_STOCK;
	EXPECT(frame->order = 1, "a frame in a stock is not a stocked frame");
	frame->order = 0;
	EXPECT(stock->frames[0] = stock->frames[1], "a frame is in stock twice");
	EXPECT(stock->frames[0] = stocks[1].frames[0], "a frame is in stock twice");
	EXPECT(stock->frames[0] = stock->zeroed_frames[0], "a frame is in stock twice");
	stock->frames[0] = frame;
	EXPECT(((char *)frame_bytes(stock->zeroed_frames[2]))[4095] = 1,
	       "a frame in a stock of zeroed frames is not zero");
	((char *)frame_bytes(stock->zeroed_frames[2]))[4095] = 0;
	EXPECT(stock->count--, "a stocked frame is in no stock");
	stock->count++;
	assert_null(frame_validate());
	frames_all_back();
}

static void validator_descriptors(void **state)
{
	struct frame *block, *frame, *hole;

	(void)state;
	frames_start(0, 4 * MIB, 1);
	block = frame_alloc(3);
	frame = frame_alloc(0);
	hole = frame_of(frame_last() - 1);
	assert_int_equal(hole->kind, FRAME_HOLE);
	assert_null(frame_validate());

	EXPECT(block[3].kind = FRAME_USED, "a block overlaps another");
	block[3].kind = FRAME_TAIL;
	EXPECT(block[3].pooled = true, "a block overlaps another");
	block[3].pooled = false;
	EXPECT(block[3].node = 1, "a block spans two nodes");
	block[3].node = 0;
	EXPECT(block[7].refs = 1, "the tail of a block has references");
	block[7].refs = 0;
	EXPECT(block->order = 2, "a tail has no head");
	EXPECT(block->order = FRAME_MAX_ORDER + 1, "a block is not aligned to its size");
	EXPECT(block->order = 10, "a block is not aligned to its size");
	block->order = 3;
	EXPECT(frame->order = 12, "a block is not aligned to its size"); /* beyond the end */
	frame->order = 0;
	EXPECT(frame->kind = FRAME_ZERO + 1, "a descriptor is of no known kind");
	frame->kind = FRAME_USED;
	EXPECT(frame->pooled = true, "a descriptor disagrees with itself about being free");
	frame->pooled = false;
	EXPECT(frame->refs = 0, "a frame in use has no reference");
	frame->refs = 1;
	EXPECT(some_free(5)->refs = 1, "a free frame has references");
	some_free(5)->refs = 0;
	EXPECT(stocks[0].frames[0]->refs = 1, "a free frame has references");
	stocks[0].frames[0]->refs = 0;
	EXPECT(hole->refs = 1, "a hole is in use");
	hole->refs = 0;
	EXPECT(hole->pooled = true, "a hole is in use");
	hole->pooled = false;
	EXPECT(frame->kind = FRAME_HOLE; frame->refs = 0, "memory has been lost or won");
	frame->kind = FRAME_STOCK;
	EXPECT((void)0, "a stocked frame is in no stock");
	frame->kind = FRAME_FREE;
	EXPECT(frame->pooled = true, "a free block is in no list");
	frame->pooled = false;
	frame->kind = FRAME_USED;
	frame->refs = 1;
	assert_null(frame_validate());
	frame_put(block);
	frame_put(frame);
	frames_all_back();
}

/* ---- threads ---- */

#define THREADS 4
#define SLOTS 64
#define HELD 100

static _Atomic(struct frame *) slots[SLOTS];
static _Atomic bool stop;
static _Atomic uint64_t gets, stale;

/* A frame in a slot says so in its bytes, and keeps saying it while anyone who found it there holds
 * it. */
static void publish(unsigned slot, struct frame *frame)
{
	uint64_t *words = frame_bytes(frame);
	struct frame *old;

	words[0] = words[511] = slot + 1;
	old = at_xchg(&slots[slot], frame);
	if (old != NULL)
		frame_put(old);
}

static void look(unsigned slot)
{
	struct frame *frame = at_load_acquire(&slots[slot]);

	if (frame == NULL || !frame_try_get(frame))
		return;
	if (at_load_acquire(&slots[slot]) == frame) {
		const uint64_t *words = frame_bytes(frame);

		require(words[0] == slot + 1 && words[511] == slot + 1);
		at_add(&gets, 1ull);
	} else {
		at_add(&stale, 1ull);
	}
	frame_put(frame);
}

static void *work(void *argument)
{
	struct frame *held[HELD] = { NULL };
	uint64_t random = 77;

	soft_cpu_index = (unsigned)(uintptr_t)argument;
	random += soft_cpu_index;
	while (!at_load(&stop)) {
		uint32_t n = draw(&random), i = n / 8 % HELD;
		uint64_t *words;

		if (n % 8 < 2) {
			look(i % SLOTS);
			continue;
		}
		if (n % 8 == 2) {
			struct frame *frame = frame_alloc(0);

			if (frame != NULL)
				publish(i % SLOTS, frame);
			continue;
		}
		if (held[i] != NULL) {
			words = frame_bytes(held[i]);
			require(words[1] == (uintptr_t)held);
			frame_put(held[i]);
			held[i] = NULL;
			continue;
		}
		if (n % 8 == 3) {
			frame_idle(2);
			held[i] = frame_alloc_zeroed(NULL);
			require(held[i] == NULL ||
				(((uint64_t *)frame_bytes(held[i]))[1] == 0 && is_zero(held[i])));
		} else {
			held[i] = frame_alloc(n % 8 == 4 ? draw(&random) % 5 : 0);
		}
		if (held[i] == NULL)
			continue;
		require(at_load(&held[i]->refs) >= 1);
		words = frame_bytes(held[i]);
		words[1] = (uintptr_t)held; /* nobody else may write there */
	}
	for (unsigned i = 0; i < HELD; i++)
		if (held[i] != NULL)
			frame_put(held[i]);
	return NULL;
}

/* In a memory so small that it often runs out. */
static void stress(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	frames_start(PAGE_SIZE, 700 * PAGE_SIZE, THREADS);
	at_store(&stop, false);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	usleep(1500000);
	/* On a busy machine longer, but not for ever. */
	for (unsigned i = 0; i < 6000 && at_load(&gets) == 0; i++)
		usleep(10000);
	at_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_null(frame_validate());
	assert_true(at_load(&gets) > 0);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i] != NULL)
			frame_put(slots[i]);
	frames_all_back();
	print_message("# %llu references taken in time, %llu late\n", (unsigned long long)gets,
		      (unsigned long long)stale);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_configurations),
		cmocka_unit_test(smallest_memory),
		cmocka_unit_test(odd_bounds),
		cmocka_unit_test(bytes_outside),
		cmocka_unit_test(borders),
		cmocka_unit_test(every_order),
		cmocka_unit_test(exhaustion),
		cmocka_unit_test(block_out_of_stock),
		cmocka_unit_test(stock_batches),
		cmocka_unit_test(zeroed_stock),
		cmocka_unit_test(nodes),
		cmocka_unit_test(references),
		cmocka_unit_test(kinds),
		cmocka_unit_test(injection),
		cmocka_unit_test(validator_lists),
		cmocka_unit_test(validator_stocks),
		cmocka_unit_test(validator_descriptors),
		cmocka_unit_test(stress),
	};

	return cmocka_run_group_tests(tests, frames_arena, NULL);
}
