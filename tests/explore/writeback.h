/* SPDX-License-Identifier: MIT */
/* What the scenarios of write-back share: a file of two pages, at A and B, and who writes to it. */
#ifndef WRITEBACK_H
#define WRITEBACK_H

#include "disk.h"

#define CAPS (QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE)

static struct quire_object *object;

/* The object's pages are in its cache, at A and B by no entry; and the leaf is there. */
static inline void have_file(const struct quire_object_ops *ops, unsigned caps)
{
	object = make_cached(ops, caps, 2);
	make_leaf(C);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
}

static inline void sync(void)
{
	expect(quire_object_sync(object, 0, 2 * PAGE) == 0);
}

static inline void write_to(uint64_t address, uint64_t value)
{
	expect_equal(store(address, value), DONE);
}

/* What CPU 1 may write to, by a translation. */
static inline void make_dirty(void)
{
	as_cpu(1);
	write_to(A, 1);
	as_cpu(0);
}

/* The same, and it is clean by now: both CPUs may read it. */
static inline void make_clean(void)
{
	make_dirty();
	sync();
	load(A);
	as_cpu(1);
	load(A);
	as_cpu(0);
}

static inline void write_5(void)
{
	write_to(A, 5);
}

static inline void write_5_and_6(void)
{
	write_to(A, 5);
	write_to(A + HALF, 6);
}

static inline void write_half(void)
{
	write_to(A + HALF, 6);
}

static inline void saved_5(void)
{
	struct quire_object_stats stats;

	expect_equal(load(A), 5);
	sync();
	quire_object_stats(object, &stats);
	expect_equal(stats.dirty, 0);
	expect_equal(disk[0][0], 5);
}

static inline void saved_5_and_6(void)
{
	saved_5();
	expect_equal(load(A + HALF), 6);
	expect_equal(disk[0][1], 6);
}

static inline void write_call(void)
{
	const uint64_t five = 5;

	expect_equal(quire_object_write(object, 0, &five, 8), 8);
}

/* W has seen its own write on the disk. */
static inline void write_and_sync(void)
{
	write_to(A, 5);
	sync();
	expect_equal(disk[0][0], 5);
}

#endif
