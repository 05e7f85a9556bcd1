/* SPDX-License-Identifier: MIT */
/*
 * Pages that are not there: who has them fetched, who waits for them, and who takes them away
 * meanwhile; pages that begin as zero; and the nodes of the cache that come and go with them.
 *
 *     R   inserts the page, READING ─ fills it ─ READY ─ wakes
 *     F        finds it READING ─ leaves ─ sleeps ................ ─ looks again
 *     T                     takes it out: GONE ─ wakes
 */
#include "disk.h"
#include "frame/frame.h"
#include "sync/atomic.h"

static struct quire_object *object;
static struct quire_pages *asked; /* that have been answered with QUIRE_WAIT */
static _Atomic bool asking, hole;
static _Atomic uint32_t calls;

/* The leaf of A to C is there; pages of the object are not. */
static void make(const struct quire_object_ops *ops, unsigned caps, uint64_t pages)
{
	asked = NULL;
	at_store(&asking, false);
	at_store(&hole, false);
	at_store(&calls, 0u);
	object = make_file(ops, caps, pages);
	map(C, 1, READ_WRITE);
	store(C, 7);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
}

static void not_there(void)
{
	make(&disk_ops, QUIRE_CAN_FAULT, 2);
}

static void read_a(void)
{
	expect_equal(load(A), disk_value(0));
	expect_equal(load(A + HALF), disk_value(0));
}

static void read_b(void)
{
	expect_equal(load(B + HALF), disk_value(1));
}

SCENARIO(fetch_same, "two reads of a page that is not there", .setup = not_there,
	 .run = { read_a, read_a });
SCENARIO(fetch_ahead, "a read of a page that another CPU reads ahead", .setup = not_there,
	 .run = { read_a, read_b });

static void two_around(void)
{
	make(&disk_ops, ALL_CAPS, 2);
}

/* The neighbour may be there, and not be READY. */
static void read_both(void)
{
	read_a();
	read_b();
}

static void ahead(void)
{
	quire_object_readahead(object, PAGE, PAGE);
}

SCENARIO(H50_neighbour_reading, "a fault beside a page that is being read", .setup = two_around,
	 .run = { read_both, ahead });

/* --- completion by another CPU --- */

/* The first time; then as the disk. */
static int read_later(struct quire_object *which, struct quire_pages *pages)
{
	if (at_add(&calls, 1u) != 0)
		return disk_read(which, pages);
	asked = pages;
	at_store_release(&asking, true); /* pairs with complete */
	return QUIRE_WAIT;
}

static _Atomic bool completed;

/* Nobody is at the object's pages any more. */
static void release(struct quire_object *which)
{
	(void)which;
	expect(!at_load(&asking) || at_load(&completed));
}

static const struct quire_object_ops later_ops = {
	.fault = read_later,
	.writepages = disk_write,
	.release = release,
};

static void later(void)
{
	at_store(&completed, false);
	make(&later_ops, QUIRE_CAN_FAULT, 1);
}

static void wait_until_asked(void)
{
	unsigned turn = 0;

	while (!at_load_acquire(&asking)) /* pairs with read_later */
		port_pause(turn++);
}

static void complete(int error)
{
	wait_until_asked();
	disk_read(object, asked);
	at_store(&completed, true);
	quire_pages_done(asked, error);
}

static void complete_well(void)
{
	complete(0);
}

static void complete_with_error(void)
{
	complete(-QUIRE_EIO);
}

SCENARIO(fetch_later, "a read is completed by another CPU", .setup = later,
	 .run = { read_a, complete_well });
SCENARIO(fetch_later_two, "two wait for a read that is completed by another CPU", .setup = later,
	 .run = { read_a, read_a, complete_well });

/* The page of the failed read is not entered, and the next access has it read again. */
static void bus_once(void)
{
	expect_equal(load(A), BUS);
	expect_equal(load(A), disk_value(0));
}

SCENARIO(fetch_later_fails, "a read fails on another CPU", .setup = later,
	 .run = { bus_once, complete_with_error });

static void release_early(void)
{
	unmap(A, 2);
}

static void ask_only(void)
{
	quire_object_readahead(object, 0, PAGE);
	quire_object_put(object);
}

/* The mapping's and this CPU's references are the only ones. */
SCENARIO(H55_fetch_outlasts, "an object's last reference goes while a page of it is being read",
	 .setup = later, .run = { ask_only, release_early, complete_well });

/* --- errors --- */

static int read_once_wrong(struct quire_object *which, struct quire_pages *pages)
{
	return at_add(&calls, 1u) == 0 ? -QUIRE_EIO : disk_read(which, pages);
}

static const struct quire_object_ops failing_ops = { .fault = read_once_wrong };

static void failing(void)
{
	make(&failing_ops, QUIRE_CAN_FAULT, 1);
}

static uint64_t values[2];

static void read_into_0(void)
{
	values[0] = load(A);
}

static void read_into_1(void)
{
	values[1] = load(A);
}

/* Who has waited for the read of another asks anew. */
static void one_bus_at_most(void)
{
	expect(values[0] == disk_value(0) || values[0] == BUS);
	expect(values[1] == disk_value(0) || values[1] == BUS);
	expect(values[0] != BUS || values[1] != BUS);
	expect_equal(load(A), disk_value(0));
}

SCENARIO(fetch_fails_once, "a read fails beside another access to its page", .setup = failing,
	 .run = { read_into_0, read_into_1 }, .check = one_bus_at_most);

/* --- taken out while it is being read --- */

static int read_or_hole(struct quire_object *which, struct quire_pages *pages)
{
	return at_load_acquire(&hole) ? 0 : disk_read(which, pages); /* pairs with remember_hole */
}

static int remember_hole(struct quire_object *which, uint64_t offset, uint64_t length)
{
	(void)which, (void)offset, (void)length;
	at_store_release(&hole, true); /* pairs with read_or_hole */
	return 0;
}

static const struct quire_object_ops hole_ops = {
	.fault = read_or_hole,
	.remove = remember_hole,
};

static void cut(void)
{
	expect(quire_object_truncate(object, 0) == 0);
	expect_equal(load(A), BUS);
}

static void read_or_bus(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == BUS);
}

SCENARIO(Q10_fetch, "truncation against a read of a page that is not there", .setup = not_there,
	 .run = { cut, read_or_bus });

static void cut_only(void)
{
	expect(quire_object_truncate(object, 0) == 0);
}

static void begin_and_cut(void)
{
	quire_object_readahead(object, 0, PAGE);
	cut_only();
}

static void wait_and_read(void)
{
	wait_until_asked();
	read_or_bus();
}

SCENARIO(Q10_fetch_later, "truncation of a page whose read is completed by another CPU",
	 .setup = later, .run = { begin_and_cut, wait_and_read, complete_well });

static void holes(void)
{
	make(&hole_ops, QUIRE_CAN_FAULT, 1);
}

static void make_hole(void)
{
	expect(quire_object_remove(object, 0, PAGE) == 0);
	expect_equal(load(A), 0);
}

static void read_or_zero(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == 0);
}

SCENARIO(Q10_fetch_hole, "a hole is made where a page is being read", .setup = holes,
	 .run = { make_hole, read_or_zero });

/* --- pages that begin as zero, and the nodes they are kept in --- */

#define NODE 64 /* pages */

/* Shared memory of four nodes. Its pages: 0 and 1 at A and B; 64 and 65 at D. */
static void memory(void)
{
	object = make_object(NULL, QUIRE_CAN_FAULT, 4 * NODE);
	map(C, 1, READ_WRITE);
	store(C, 7);
	map(D + 2 * PAGE, 1, READ_WRITE);
	store(D + 2 * PAGE, 7);
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

/*
 *     F   adds a node ─ locks it: below the limit? ─ inserts
 *     T   lowers the limit ─ looks for nodes ─ locks each, empties it
 */
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

static void failing_fetch(void)
{
	not_there();
	inject_set(1);
}

static void failing_touch(void)
{
	memory();
	inject_set(1);
}

SCENARIO(H59_fetch, "two reads of a page that is not there, page 1 fails", .setup = failing_fetch,
	 .run = { read_a, read_a });
SCENARIO(H59_touch, "two first touches of shared memory, page 1 fails", .setup = failing_touch,
	 .run = { write_a, write_a_half }, .check = one_page);
