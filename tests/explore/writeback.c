/* SPDX-License-Identifier: MIT */
/*
 * Write-back: what is written to, by mappings or by quire_object_write, is on the disk after a
 * sync that comes later, whatever other sync was under way. S is the CPU that syncs, W the one that
 * writes.
 *
 *     S   mark off ─ DIRTY off, WRITING on ─ sweep: write-protect, flush ─ save ─ WRITING off
 *     W   lock the leaf ─ DIRTY on ─ mark on ─ entry that allows writing ─ stores, again and again
 */
#include "writeback.h"
#include "object/object.h"

static struct quire_mm *other;

static void not_entered(void)
{
	have_file(&disk_ops, CAPS);
}

static void clean(void)
{
	not_entered();
	make_clean();
}

static void dirty(void)
{
	not_entered();
	make_dirty();
}

/* Dirty by another page's entry: nothing is entered at A. */
static void dirty_elsewhere(void)
{
	not_entered();
	map_object(D, 1, QUIRE_MAP_SHARED, object, 0);
	write_to(D, 1);
}

SCENARIO(sync_first_write, "a sync against the first write to a page", .setup = not_entered,
	 .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(sync_entered_dirty, "a sync against a write that enters a dirty page",
	 .setup = dirty_elsewhere, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(sync_clean, "a sync against a write to a page that is shown clean", .setup = clean,
	 .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(sync_known, "a sync against writes by a translation", .setup = dirty,
	 .run = { sync, write_5_and_6 }, .check = saved_5_and_6);

SCENARIO(sync_two, "a sync beside a write that is followed by a sync", .setup = dirty,
	 .run = { sync, write_and_sync });
SCENARIO(sync_two_clean, "the same, of a page that is clean at first", .setup = clean,
	 .run = { sync, write_and_sync });

/* --- two writers --- */

SCENARIO(sync_two_writers, "a sync against two who make the page dirty", .setup = clean,
	 .run = { sync, write_5, write_half }, .check = saved_5_and_6);

/* Another space has it, too. */
static void clean_in_two_spaces(void)
{
	not_entered();
	make_clean();
	as_cpu(1);
	expect(quire_mm_create(NULL, &other) == 0);
	run_space(other);
	make_leaf(C);
	map_object(A, 1, QUIRE_MAP_SHARED, object, 0);
	load(A);
}

static void write_half_and_sync(void)
{
	write_half();
	sync();
	expect_equal(disk[0][1], 6);
}

SCENARIO(sync_two_spaces, "two spaces write to a page, and one has it written back",
	 .setup = clean_in_two_spaces, .run = { write_half_and_sync, write_5 },
	 .check = saved_5_and_6);

static void dirty_in_two_spaces(void)
{
	clean_in_two_spaces();
	write_to(A, 1);
}

/* CPU 1 goes on writing by the translation that it has. */
SCENARIO(sync_swept_everywhere, "a sync against writes by a translation of another space",
	 .setup = dirty_in_two_spaces, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);

/* --- writing through the cache --- */

SCENARIO(sync_written_by_call, "a sync against quire_object_write", .setup = not_entered,
	 .run = { sync, write_call }, .check = saved_5);
SCENARIO(sync_call_and_store, "quire_object_write against a store to the same page", .setup = clean,
	 .run = { write_call, write_half }, .check = saved_5_and_6);

static void clean_and_sync(void)
{
	write_call();
	sync();
	expect_equal(disk[0][0], 5);
}

SCENARIO(sync_two_calls, "a sync against quire_object_write and a sync", .setup = dirty,
	 .run = { sync, clean_and_sync });

/* The page may be DIRTY by the other's doing, and not have the mark yet. */
SCENARIO(sync_call_beside_store, "quire_object_write and a sync against a store to the same page",
	 .setup = clean, .run = { clean_and_sync, write_half }, .check = saved_5_and_6);

/* The disk may be written to again while the first word is looked at: it is here, too. */
static _Atomic uint64_t saved;

static int save_and_tell(struct quire_object *asked, struct quire_pages *pages)
{
	at_store(&saved, at_load((const _Atomic uint64_t *)pages->bytes[0]));
	return disk_write(asked, pages);
}

static const struct quire_object_ops telling_ops = {
	.fault = disk_read,
	.writepages = save_and_tell,
};

/* Dirty by a call: no entry is to be flushed, which the CPU that writes would have to answer. */
static void told_dirty(void)
{
	const uint64_t one = 1;

	have_file(&telling_ops, CAPS);
	expect_equal(quire_object_write(object, 0, &one, 8), 8);
}

static void call_and_sync(void)
{
	write_call();
	sync();
	expect_equal(at_load(&saved), 5);
}

/*
 *     W   finds the page DIRTY and marked ................................. WRITING on
 *     S                                  saves it: clean
 *     X                                                   DIRTY on .................... mark on
 */
SCENARIO(sync_call_between, "the same, and somebody else's sync in between", .setup = told_dirty,
	 .run = { call_and_sync, write_half, sync }, .check = saved_5_and_6);

/* A page that is not there, written to as a whole, is not read. */
static void write_page(void)
{
	static const uint64_t words[PAGE / 8] = { 5, [HALF / 8] = 6 };

	expect_equal(quire_object_write(object, 0, words, PAGE), PAGE);
}

static void not_there(void)
{
	not_entered();
	expect(quire_object_invalidate(object, 0, PAGE) == 0);
}

static void read_old_or_new(void)
{
	uint64_t value = load(A);

	expect(value == disk_value(0) || value == 5);
}

SCENARIO(write_whole_page, "a page is written as a whole beside a read", .setup = not_there,
	 .run = { write_page, read_old_or_new }, .check = saved_5_and_6);
SCENARIO(write_whole_synced, "a page is written as a whole beside a sync", .setup = not_there,
	 .run = { write_page, sync }, .check = saved_5_and_6);

/* --- beside who takes pages away --- */

static void invalidate(void)
{
	int error = quire_object_invalidate(object, 0, PAGE);

	expect(error == 0 || error == -QUIRE_EBUSY);
}

static void write_and_save(void)
{
	write_5();
	sync();
}

SCENARIO(sync_invalidate, "a write and its sync against invalidation", .setup = clean,
	 .run = { invalidate, write_and_save }, .check = saved_5);

/* A clean page, with a mark too many. */
static void marked(void)
{
	struct cache_slot slot;

	not_entered();
	section_enter();
	slot = cache_find(&object->cache, 0);
	cache_mark(&slot);
	section_leave();
}

static void invalidate_and_write(void)
{
	invalidate();
	write_5();
}

/*
 *     S   finds the clean page ............................ its mark off
 *     W                         drops it; another, dirty, is in the slot
 */
SCENARIO(sync_slot_reused, "a sync meets a page that makes room for another", .setup = marked,
	 .run = { sync, invalidate_and_write }, .check = saved_5);

static void reclaim(void)
{
	quire_reclaim(2);
}

SCENARIO(Q11_written, "reclaim, which writes back, against writes by a translation", .setup = dirty,
	 .run = { reclaim, write_5_and_6 }, .check = saved_5_and_6);

static void cut(void)
{
	expect(quire_object_truncate(object, PAGE) == 0);
	expect_equal(load(B), BUS);
}

static void dirty_second(void)
{
	not_entered();
	as_cpu(1);
	write_to(B, 1);
}

static void sync_more(void)
{
	expect(quire_object_sync(object, 0, 2 * PAGE) == 0);
}

SCENARIO(Q10_sync, "truncation against a sync of what is cut off", .setup = dirty_second,
	 .run = { cut, sync_more });

static void cut_in_half(void)
{
	expect(quire_object_truncate(object, HALF) == 0);
}

/* Either it was cut after the write, or made larger again by it. */
static void rest_is_zero(void)
{
	uint64_t value = load(A + HALF);

	expect(value == 0 ? quire_object_size(object) == HALF : quire_object_size(object) == PAGE);
}

SCENARIO(written_and_cut, "a whole page is written that is not there, and cut in half",
	 .setup = not_there, .run = { write_page, cut_in_half }, .check = rest_is_zero);
