/* SPDX-License-Identifier: MIT */
/*
 * Pages that begin as zero, and the nodes of the cache, which come and go with their pages.
 *
 *     F   adds a node ─ locks it: not dead? below the limit? ─ inserts
 *     T   lowers the limit ─ looks for nodes ─ locks each, empties it ─ dead, unhooked
 */
#include "disk.h"
#include "frame/frame.h"

static struct quire_object *object;

static void cut_only(void)
{
	expect(quire_object_truncate(object, 0) == 0);
}

#define NODE 64 /* pages */

/* Shared memory of four nodes. Its pages: 0 and 1 at A and B; 64 and 65 at D. */
static void memory(void)
{
	object = make_object(NULL, QUIRE_CAN_FAULT, 4 * NODE);
	make_leaf(C);
	make_leaf(D + 2 * PAGE);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
	map_object(D, 2, QUIRE_MAP_SHARED, object, NODE);
}

static void write_a(void)
{
	expect_equal(store(A, 1), DONE);
}

static void write_a_half(void)
{
	expect_equal(store(A + HALF, 2), DONE);
}

static void one_page(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(A + HALF), 2);
}

SCENARIO(memory_first_touch, "two first touches of a page of shared memory", .setup = memory,
	 .run = { write_a, write_a_half }, .check = one_page);

static void write_or_bus(uint64_t address)
{
	uint64_t done = store(address, 1);

	expect(done == DONE || done == BUS);
}

static void write_a_or_bus(void)
{
	write_or_bus(A);
}

static void nothing_cached(void)
{
	struct quire_object_stats stats;

	quire_object_stats(object, &stats);
	expect_equal(stats.cached, 0);
	expect_equal(load(A), BUS);
}

SCENARIO(Q10_limit, "truncation against the first touch of shared memory", .setup = memory,
	 .run = { cut_only, write_a_or_bus }, .check = nothing_cached);

/* In the cache only. */
static void page_0(void)
{
	memory();
	store(A, 1);
	unmap(A, 1);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
}

static void page_1(void)
{
	memory();
	store(B, 1);
}

/* Old contents don't come back. */
static void cut_and_grow(void)
{
	cut_only();
	expect(quire_object_truncate(object, 4 * NODE * PAGE) == 0);
}

static void written(void)
{
	memory();
	store(A, 7);
	store(A + HALF, 7);
}

static void zero_or_new(void)
{
	uint64_t value = load(A);

	expect(value == 0 || value == 1);
	expect_equal(load(A + HALF), 0);
}

SCENARIO(Q10_cut_and_grown, "an object is cut and grows again beside a write", .setup = written,
	 .run = { cut_and_grow, write_a_or_bus }, .check = zero_or_new);

static void remove_page(uint64_t index)
{
	expect(quire_object_remove(object, index * PAGE, PAGE) == 0);
}

static void remove_1_and_wait(void)
{
	remove_page(1);
	expect(quire_barrier(0) == 0);
}

static void a_is_1(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(B), 0);
}

SCENARIO(node_goes, "a page enters a node of the cache that is going", .setup = page_1,
	 .run = { remove_1_and_wait, write_a }, .check = a_is_1);

static void write_d(void)
{
	expect_equal(store(D, 3), DONE);
}

static void read_1(void)
{
	expect_equal(load(A), 1);
}

static void both_nodes(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(D), 3);
}

SCENARIO(root_grows, "the cache's root grows beside a look-up", .setup = page_0,
	 .run = { write_d, read_1 }, .check = both_nodes);

static void pages_0_and_64(void)
{
	page_0();
	store(D, 3);
}

static void remove_64_and_wait(void)
{
	remove_page(NODE);
	expect(quire_barrier(0) == 0);
}

static void write_d_65(void)
{
	expect_equal(store(D + PAGE, 4), DONE);
}

static void d_is_new(void)
{
	expect_equal(load(A), 1);
	expect_equal(load(D), 0);
	expect_equal(load(D + PAGE), 4);
}

SCENARIO(root_shrinks, "the cache's root shrinks beside a look-up", .setup = pages_0_and_64,
	 .run = { remove_64_and_wait, read_1 });
SCENARIO(root_shrinks_and_grows, "the cache's root shrinks beside an insertion",
	 .setup = pages_0_and_64, .run = { remove_64_and_wait, write_d_65 }, .check = d_is_new);

/* --- H59: without memory --- */

static void failing_touch(void)
{
	memory();
	inject_set(1);
}

SCENARIO(H59_touch, "two first touches of shared memory, page 1 fails", .setup = failing_touch,
	 .run = { write_a, write_a_half }, .check = one_page);
