/* SPDX-License-Identifier: MIT */
/*
 * What the conflict table does with objects, and where:
 *
 *     HOME, next_leaf, far_in_home    one mapping of the object, index i at A + i pages
 *     sharing                         another space that maps it in the same way, 16 leaves on
 *     twin                            another space, too, with the very pages of HOME
 *     ELSEWHERE                       mapped once more in the first space, from leaf 16 on
 *
 *     end_of_leaf, start_of_leaf      mapped from page 32 on: where a leaf ends and the next begins
 *                                     is in the midst of a node of the cache
 *
 * Which object it is, and whether it is mapped shared, the fault at HOME decides: it maps it there,
 * over the anonymous memory.
 */
#include "conflicts.h"
#include "object/object.h"
#include <quire/mm.h>

#define PAGES ((uint64_t)LEAVES * 512) /* of each object */
#define HALF_NODE (CACHE_SLOTS / 2)
#define AROUND 16
#define FAR 16 /* leaves, into the object */
#define NOT_MEMORY (1ull << 40)

static const struct place sharing = { "in another space", A + FAR *LEAF, FOREIGN };
/* What is run there in turn 2 is about the page that turn 3 at HOME is about. */
static const struct place twin = { "of the same page in another space", A - 2 * PAGE,
				   FOREIGN | SAME_PAGE };
static const struct place end_of_leaf = { "", A + LEAF - 72 * PAGE, SAME_NODE };
static const struct place start_of_leaf = { "in the next leaf, in one node", A + LEAF - 56 * PAGE,
					    SAME_VMA | SAME_NODE };
static const struct place of_object = { "of the object", A, FOREIGN };
static const struct place in_object = { "elsewhere in the object", A, FOREIGN };
static const struct place of_another = { "of another object", A, FOREIGN };

/* For faults one by one; for those that enter neighbours; one that nobody maps. */
static struct quire_object *file, *around, *another;
static struct quire_object *shared, *device;
static struct quire_object *home; /* the one at HOME */

static int fill_or_save(struct quire_object *object, struct quire_pages *pages)
{
	(void)object, (void)pages;
	return 0;
}

static int agree(struct quire_object *object, uint64_t index)
{
	(void)object, (void)index;
	return 0;
}

void prepare_objects(void)
{
	static const struct quire_object_ops ops = {
		.fault = fill_or_save,
		.page_mkwrite = agree,
		.writepages = fill_or_save,
	};

	file = make_object(&ops, QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE, PAGES);
	around = make_object(&ops, ALL_CAPS, PAGES);
	another = make_object(&ops, ALL_CAPS, PAGES);
	expect_equal(quire_shared_create(PAGES * PAGE, NULL, &shared), 0);
	expect_equal(quire_device_create(NOT_MEMORY, PAGES * PAGE, NULL, &device), 0);
}

/* --- faults --- */

static void show(const struct place *place, struct quire_object *object, int type)
{
	if (place->flags & FOREIGN)
		make_space();
	else if (place == &HOME || place == &end_of_leaf)
		home = object;
	else
		return;
	map_object(A, LEAVES * 512, type, object, place->flags & SAME_NODE ? HALF_NODE : 0);
}

/* The leaf is there and, of the cache, the nodes. Next to the runs' pages: so it is at their ends.
 */
static void touch_ends(const struct place *place)
{
	fault(page_of(place, 0) + PAGE, QUIRE_WRITE);
	fault(page_of(place, TURNS - 1) - PAGE, QUIRE_WRITE);
}

static uint64_t offset_of(const struct place *place, unsigned turn)
{
	return page_of(place, turn) - A + (place->flags & SAME_NODE ? HALF_NODE * PAGE : 0);
}

static void read_page(const struct place *place, unsigned turn)
{
	fault(page_of(place, turn), QUIRE_READ);
}

static void write_page(const struct place *place, unsigned turn)
{
	fault(page_of(place, turn), QUIRE_WRITE);
}

/* The runs' pages are in the cache, clean. */
static void cache_pages(const struct place *place, int type)
{
	show(place, file, type);
	for (unsigned turn = 0; turn < TURNS; turn++)
		quire_object_readahead(file, offset_of(place, turn), PAGE);
	touch_ends(place);
}

static void cache_shared(const struct place *place)
{
	cache_pages(place, QUIRE_MAP_SHARED);
}

static void cache_private(const struct place *place)
{
	cache_pages(place, QUIRE_MAP_PRIVATE);
}

static void cache_dirty(const struct place *place)
{
	uint64_t word = 1;

	cache_shared(place);
	for (unsigned turn = 0; turn < TURNS; turn++)
		expect_equal(quire_object_write(file, offset_of(place, turn), &word, 8), 8);
}

static void read_shared(const struct place *place)
{
	cache_shared(place);
	for (unsigned turn = 0; turn < TURNS; turn++)
		read_page(place, turn);
}

static void read_private(const struct place *place)
{
	cache_private(place);
	for (unsigned turn = 0; turn < TURNS; turn++)
		read_page(place, turn);
}

static uint64_t window(const struct place *place, unsigned turn)
{
	return place->base + (1 + turn) * AROUND * PAGE;
}

static void cache_windows(const struct place *place)
{
	show(place, around, QUIRE_MAP_SHARED);
	for (unsigned turn = 0; turn < TURNS; turn++)
		quire_object_readahead(around, window(place, turn) - A, AROUND * PAGE);
	fault(place->base, QUIRE_WRITE);
}

static void read_window(const struct place *place, unsigned turn)
{
	fault(window(place, turn) + PAGE, QUIRE_READ);
}

static void begin_shared(const struct place *place)
{
	show(place, shared, QUIRE_MAP_SHARED);
	touch_ends(place);
}

static void write_new_node(const struct place *place, unsigned turn)
{
	fault(place->base + (2 + turn) * CACHE_SLOTS * PAGE, QUIRE_WRITE);
}

static void begin_device(const struct place *place)
{
	show(place, device, QUIRE_MAP_SHARED);
	touch_ends(place);
}

static const struct operation object_faults[] = {
	{ "file read", 0, cache_shared, NULL, read_page, QUIRE_KIND_OBJECT_READ, 3 },
	{ "file read (16 pages)", 0, cache_windows, NULL, read_window, QUIRE_KIND_OBJECT_READ, 18 },
	{ "file write (dirty page)", 0, cache_dirty, NULL, write_page, QUIRE_KIND_OBJECT_WRITE, 2 },
	{ "file write (clean page)", 0, cache_shared, NULL, write_page, QUIRE_KIND_OBJECT_WRITE,
	  5 },
	{ "file write (clean page, mapped)", 0, read_shared, NULL, write_page,
	  QUIRE_KIND_OBJECT_WRITE, 6 },
	{ "file copy", 0, cache_private, NULL, write_page, QUIRE_KIND_OBJECT_COPY, 4 },
	{ "file copy (mapped)", FLUSHES, read_private, NULL, write_page, QUIRE_KIND_OBJECT_COPY,
	  4 },
	{ "shared first touch", SIZES, begin_shared, NULL, write_page, QUIRE_KIND_OBJECT_WRITE, 4 },
	{ "shared first touch (new node)", SIZES | NODES, begin_shared, NULL, write_new_node,
	  QUIRE_KIND_OBJECT_WRITE, 5 },
	{ "device", 0, begin_device, NULL, write_page, QUIRE_KIND_DEVICE, 1 },
};
#define FILE_READ (&object_faults[0])
#define WRITE_DIRTY (&object_faults[2])
#define WRITE_CLEAN (&object_faults[3])
#define FILE_COPY (&object_faults[5])
#define FIRST_TOUCH (&object_faults[7])

/* --- beside them --- */

static void map_file(const struct place *place, unsigned turn)
{
	(void)place;
	expect(quire_mmap_object(mm, 0, PAGE, READ_WRITE, QUIRE_MAP_SHARED, home,
				 (FAR * 512 + turn) * PAGE, READ_WRITE) > 0);
}

static void show_elsewhere(const struct place *place)
{
	(void)place;
	map_object(ELSEWHERE.base, LEAVES / 2 * 512, QUIRE_MAP_SHARED, home, FAR * 512);
}

static void dirty_elsewhere(const struct place *place, unsigned turn)
{
	(void)place;
	fault(page_of(&ELSEWHERE, turn), QUIRE_WRITE);
}

static uint64_t far_offset(unsigned turn)
{
	return FAR * LEAF + page_of(&ELSEWHERE, turn) - ELSEWHERE.base;
}

static void sync_page(const struct place *place, unsigned turn)
{
	(void)place;
	expect_equal(quire_object_sync(home, far_offset(turn), PAGE), 0);
}

static void fetch_around(const struct place *place)
{
	(void)place;
	for (unsigned turn = 0; turn < TURNS; turn++)
		quire_object_readahead(home, far_offset(turn) + PAGE, PAGE);
}

static void fetch_page(const struct place *place, unsigned turn)
{
	(void)place;
	quire_object_readahead(home, far_offset(turn), PAGE);
}

static void fetch_new_node(const struct place *place, unsigned turn)
{
	(void)place;
	quire_object_readahead(home, LEAF + (2 + turn) * CACHE_SLOTS * PAGE, PAGE);
}

static void drop_page(const struct place *place, unsigned turn)
{
	(void)place;
	expect_equal(quire_object_invalidate(home, far_offset(turn) + PAGE, PAGE), 0);
}

static void fetch_end(const struct place *place)
{
	struct quire_object *object = place == &of_another ? another : home;

	quire_object_readahead(object, (PAGES - AROUND) * PAGE, AROUND * PAGE);
}

static void set_size(struct quire_object *object, uint64_t pages)
{
	int error = quire_object_truncate(object, pages * PAGE);

	expect_equal(error, object == device ? -QUIRE_EINVAL : 0);
}

static void cut_off(const struct place *place, unsigned turn)
{
	set_size(place == &of_another ? another : home, PAGES - 1 - turn);
}

static void append(const struct place *place, unsigned turn)
{
	(void)place;
	set_size(home, PAGES + 1 + turn);
}

#define BESIDE(id, text, flags, prepare, before, run)                                              \
	static const struct operation id = {                                                       \
		text, flags, prepare, before, run, QUIRE_KIND_COUNT, 0                             \
	}
BESIDE(mmap_object, "mmap", WRITES, NULL, NULL, map_file);
BESIDE(sync_one, "sync", FLUSHES, show_elsewhere, dirty_elsewhere, sync_page);
BESIDE(fetch_one, "fetch", 0, fetch_around, NULL, fetch_page);
BESIDE(fetch_node, "fetch (new node)", NODES, NULL, NULL, fetch_new_node);
BESIDE(invalidate, "invalidation", 0, fetch_around, NULL, drop_page);
BESIDE(truncate_end, "truncation", RESIZES, fetch_end, NULL, cut_off);
BESIDE(truncate_other, "truncation", 0, fetch_end, NULL, cut_off);
BESIDE(grow, "growth", RESIZES, NULL, NULL, append);

static const struct second seconds[] = {
	{ NULL, &next_leaf },
	{ NULL, &sharing },
	{ WRITE_CLEAN, &sharing },
	{ &mmap_object, &of_object },
	{ &mmap_over, &far_in_home },
	{ &munmap_one, &far_in_home },
	{ &mprotect_one, &far_in_home },
	{ &mremap_one, &far_in_home },
	{ &munmap_page, &far_in_home },
	{ &mprotect_page, &far_in_home },
	{ &mremap_page, &far_in_home },
	{ &sync_one, &in_object },
	{ &fetch_one, &in_object },
	{ &fetch_node, &in_object },
	{ &invalidate, &in_object },
	{ &truncate_end, &of_object },
	{ &grow, &of_object },
	{ &truncate_other, &of_another },
};

const struct group objects = {
	object_faults,
	sizeof(object_faults) / sizeof(object_faults[0]),
	seconds,
	sizeof(seconds) / sizeof(seconds[0]),
};

const struct couple couples[] = {
	{ FILE_READ, &end_of_leaf, FILE_READ, &start_of_leaf },
	{ WRITE_DIRTY, &end_of_leaf, WRITE_DIRTY, &start_of_leaf },
	{ WRITE_CLEAN, &end_of_leaf, WRITE_CLEAN, &start_of_leaf },
	{ FIRST_TOUCH, &end_of_leaf, FIRST_TOUCH, &start_of_leaf },
	{ FILE_READ, &HOME, FILE_READ, &twin },
	{ WRITE_DIRTY, &HOME, WRITE_DIRTY, &twin },
	{ FILE_COPY, &HOME, FILE_COPY, &twin },
};
const unsigned couples_count = sizeof(couples) / sizeof(couples[0]);
