/* SPDX-License-Identifier: MIT */
/*
 * Pages that are not there: who has them fetched, who waits for them, and who takes them away
 * meanwhile.
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
static _Atomic bool asking, hole, stored;
static _Atomic uint32_t calls;

/* The leaf of A to C is there; pages of the object are not. */
static void make(const struct quire_object_ops *ops, unsigned caps, uint64_t pages)
{
	asked = NULL;
	at_store(&asking, false);
	at_store(&hole, false);
	at_store(&stored, false);
	at_store(&calls, 0u);
	object = make_file(ops, caps, pages);
	make_leaf(C);
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

/* Who has seen the hole stores into it for good. */
static void make_hole_only(void)
{
	expect(quire_object_remove(object, 0, PAGE) == 0);
}

static void store_where_zero(void)
{
	if (load(A) != 0)
		return;
	at_store(&stored, true);
	expect_equal(store(A, 5), DONE);
}

static void stays_stored(void)
{
	expect_equal(load(A), at_load(&stored) ? 5 : 0);
}

SCENARIO(Q10_hole_seen, "a store to a hole that is still being made", .setup = holes,
	 .run = { make_hole_only, store_where_zero }, .check = stays_stored);

/* --- growth --- */

static int grow_disk(struct quire_object *which, uint64_t size)
{
	(void)which;
	disk[1][0] = disk[1][1] = size;
	return 0;
}

static const struct quire_object_ops growing_ops = { .fault = disk_read, .truncate = grow_disk };

static void grows(void)
{
	make(&growing_ops, QUIRE_CAN_FAULT, 1);
}

static void grow(void)
{
	expect(quire_object_truncate(object, 2 * PAGE) == 0);
}

static void read_growth(void)
{
	uint64_t value = load(B);

	expect(value == 2 * PAGE || value == BUS);
}

SCENARIO(fetch_after_growth, "what a growth has made is there for who fetches it", .setup = grows,
	 .run = { grow, read_growth });

/* --- H59: without memory --- */

static void failing_fetch(void)
{
	not_there();
	inject_set(1);
}

SCENARIO(H59_fetch, "two reads of a page that is not there, page 1 fails", .setup = failing_fetch,
	 .run = { read_a, read_a });
