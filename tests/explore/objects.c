/* SPDX-License-Identifier: MIT */
#include "disk.h"

static struct quire_object *object;

static void entered(void)
{
	object = make_file(&disk_ops, ALL_CAPS, 2);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
	map_object(D, 2, QUIRE_MAP_SHARED, object, 0);
	load(D);
}

static void truncate_all(void)
{
	expect(quire_object_truncate(object, 0) == 0);
	expect_equal(load(A), BUS);
}

static void read_a(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == BUS);
}

SCENARIO(Q10_read, "a read of a cached page against truncation", .setup = entered,
	 .run = { truncate_all, read_a });
