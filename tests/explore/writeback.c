/* SPDX-License-Identifier: MIT */
/*
 * Write-back: what is written to, by mappings or by quire_object_write, is on the disk after a
 * sync that comes later, whatever other sync was under way. S is the CPU that syncs, W the one that
 * writes.
 *
 *     S   mark off ─ DIRTY off, WRITING on ─ sweep: write-protect, flush ─ save ─ WRITING off
 *     W   lock the leaf ─ DIRTY on ─ mark on ─ entry that allows writing ─ stores, again and again
 */
#include "disk.h"
#include "object/object.h"

#define CAPS (QUIRE_CAN_FAULT | QUIRE_CAN_MKWRITE)

static struct quire_object *object;
static struct quire_mm *other;

/* The object's pages are in its cache, at A and B by no entry; and the leaf is there. */
static void have_file(const struct quire_object_ops *ops, unsigned caps)
{
	uint64_t word;

	object = make_file(ops, caps, 2);
	expect_equal(quire_object_read(object, 0, &word, 8), 8);
	map(C, 1, READ_WRITE);
	store(C, 7);
	map_object(A, 2, QUIRE_MAP_SHARED, object, 0);
}

static void sync(void)
{
	expect(quire_object_sync(object, 0, 2 * PAGE) == 0);
}

static void write_to(uint64_t address, uint64_t value)
{
	expect_equal(store(address, value), DONE);
}

/* What CPU 1 may write to, by a translation. */
static void make_dirty(void)
{
	as_cpu(1);
	write_to(A, 1);
	as_cpu(0);
}

/* The same, and it is clean by now: both CPUs may read it. */
static void make_clean(void)
{
	make_dirty();
	sync();
	load(A);
	as_cpu(1);
	load(A);
	as_cpu(0);
}

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

static void write_5(void)
{
	write_to(A, 5);
}

static void write_5_and_6(void)
{
	write_to(A, 5);
	write_to(A + HALF, 6);
}

static void saved_5(void)
{
	struct quire_object_stats stats;

	expect_equal(load(A), 5);
	sync();
	quire_object_stats(object, &stats);
	expect_equal(stats.dirty, 0);
	expect_equal(disk[0][0], 5);
}

static void saved_5_and_6(void)
{
	saved_5();
	expect_equal(load(A + HALF), 6);
	expect_equal(disk[0][1], 6);
}

SCENARIO(sync_first_write, "a sync against the first write to a page", .setup = not_entered,
	 .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(sync_entered_dirty, "a sync against a write that enters a dirty page",
	 .setup = dirty_elsewhere, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(sync_clean, "a sync against a write to a page that is shown clean", .setup = clean,
	 .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(sync_known, "a sync against writes by a translation", .setup = dirty,
	 .run = { sync, write_5_and_6 }, .check = saved_5_and_6);

/* W has seen its own write on the disk. */
static void write_and_sync(void)
{
	write_to(A, 5);
	sync();
	expect_equal(disk[0][0], 5);
}

SCENARIO(sync_two, "a sync beside a write that is followed by a sync", .setup = dirty,
	 .run = { sync, write_and_sync });
SCENARIO(sync_two_clean, "the same, of a page that is clean at first", .setup = clean,
	 .run = { sync, write_and_sync });

/* --- two writers --- */

static void write_half(void)
{
	write_to(A + HALF, 6);
}

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
	map(C, 1, READ_WRITE);
	store(C, 7);
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

static void write_call(void)
{
	const uint64_t five = 5;

	expect_equal(quire_object_write(object, 0, &five, 8), 8);
}

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

/* --- page_mkwrite --- */

static _Atomic uint32_t asked, saved, failures;

static int count_asked(struct quire_object *which, uint64_t index)
{
	(void)which, (void)index;
	at_add(&asked, 1u);
	return 0;
}

/* Whatever is saved was asked for since it was clean. */
static int write_asked(struct quire_object *which, struct quire_pages *pages)
{
	expect(at_add(&saved, 1u) < at_load(&asked));
	return disk_write(which, pages);
}

static const struct quire_object_ops asking_ops = {
	.fault = disk_read,
	.page_mkwrite = count_asked,
	.writepages = write_asked,
};

static void asking_with(unsigned caps)
{
	at_store(&asked, 0u);
	at_store(&saved, 0u);
	have_file(&asking_ops, caps);
}

static void asking(void)
{
	asking_with(CAPS);
}

static void asking_dirty(void)
{
	asking();
	make_dirty();
}

static void asking_clean(void)
{
	asking();
	make_clean();
}

static void asking_elsewhere(void)
{
	asking();
	map_object(D, 1, QUIRE_MAP_SHARED, object, 0);
	write_to(D, 1);
}

/* Not in a section: the fault leaves to ask. */
static void asking_outside(void)
{
	asking_with(QUIRE_CAN_FAULT);
	make_dirty();
}

SCENARIO(mkwrite_first, "a page that is to be asked for: a sync against its first write",
	 .setup = asking, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(mkwrite_clean, "a page that is to be asked for: a sync against a write to it when clean",
	 .setup = asking_clean, .run = { write_and_sync, write_half }, .check = saved_5_and_6);
SCENARIO(mkwrite_entered_dirty,
	 "a page that is to be asked for: a sync against a write that enters it dirty",
	 .setup = asking_elsewhere, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(mkwrite_known, "a page that is to be asked for: a sync against writes by a translation",
	 .setup = asking_dirty, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(mkwrite_outside, "a page that is to be asked for where one may sleep: sync against write",
	 .setup = asking_outside, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(mkwrite_call, "a page that is to be asked for: a sync against quire_object_write",
	 .setup = asking_dirty, .run = { sync, write_call }, .check = saved_5);

/* Refused, or not now: the first time. */
static int refuse_once(struct quire_object *which, uint64_t index)
{
	(void)which, (void)index;
	return at_add(&asked, 1u) == 0 ? -QUIRE_EACCES : 0;
}

static int wait_once(struct quire_object *which, uint64_t index)
{
	(void)which, (void)index;
	return at_add(&asked, 1u) == 0 ? QUIRE_WAIT : 0;
}

static const struct quire_object_ops refusing_ops = {
	.fault = disk_read,
	.page_mkwrite = refuse_once,
	.writepages = disk_write,
};

static const struct quire_object_ops waiting_ops = {
	.fault = disk_read,
	.page_mkwrite = wait_once,
	.writepages = disk_write,
};

static void refusing(void)
{
	at_store(&asked, 0u);
	have_file(&refusing_ops, QUIRE_CAN_FAULT);
}

static void waiting(void)
{
	at_store(&asked, 0u);
	have_file(&waiting_ops, CAPS);
}

static uint64_t results[2];

static void try_5(void)
{
	results[0] = store(A, 5);
}

static void try_half(void)
{
	results[1] = store(A + HALF, 6);
}

/* The refusal is for who has asked, unless the other has made the page dirty by then. */
static void one_is_refused(void)
{
	expect(results[0] == DONE || results[0] == BUS);
	expect(results[1] == DONE || results[1] == BUS);
	expect(results[0] == DONE || results[1] == DONE);
	expect_equal(load(A), results[0] == DONE ? 5 : disk_value(0));
	expect_equal(load(A + HALF), results[1] == DONE ? 6 : disk_value(0));
}

SCENARIO(mkwrite_refused, "of two writes one is refused by the object", .setup = refusing,
	 .run = { try_5, try_half }, .check = one_is_refused);
SCENARIO(mkwrite_waits, "of two writes one has to wait for the object", .setup = waiting,
	 .run = { write_5, write_half }, .check = saved_5_and_6);

/* --- QUIRE_STABLE_WRITES --- */

/* Nothing changes while it is being saved. */
static int write_twice(struct quire_object *which, struct quire_pages *pages)
{
	uint64_t first;

	disk_write(which, pages);
	first = disk[pages->index][0];
	disk_write(which, pages);
	expect_equal(disk[pages->index][0], first);
	return 0;
}

static const struct quire_object_ops stable_ops = {
	.fault = disk_read,
	.writepages = write_twice,
};

static void stable(void)
{
	have_file(&stable_ops, CAPS | QUIRE_STABLE_WRITES);
	make_dirty();
}

static void stable_elsewhere(void)
{
	have_file(&stable_ops, CAPS | QUIRE_STABLE_WRITES);
	map_object(D, 1, QUIRE_MAP_SHARED, object, 0);
	write_to(D, 1);
}

SCENARIO(stable_known, "a page that must not change while it is saved: writes by a translation",
	 .setup = stable, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);
SCENARIO(stable_call, "a page that must not change while it is saved: quire_object_write",
	 .setup = stable, .run = { sync, write_call }, .check = saved_5);
SCENARIO(stable_first, "a page that must not change while it is saved: a first write",
	 .setup = stable_elsewhere, .run = { sync, write_5_and_6 }, .check = saved_5_and_6);

/* --- errors --- */

static int fail_once(struct quire_object *which, struct quire_pages *pages)
{
	return at_add(&failures, 1u) == 0 ? -QUIRE_EIO : disk_write(which, pages);
}

static const struct quire_object_ops failing_ops = {
	.fault = disk_read,
	.writepages = fail_once,
};

static void failing(void)
{
	at_store(&failures, 0u);
	have_file(&failing_ops, CAPS);
	make_dirty();
}

static void sync_fails(void)
{
	expect(quire_object_sync(object, 0, PAGE) == -QUIRE_EIO);
}

SCENARIO(sync_fails_once, "a write that fails beside writes by a translation", .setup = failing,
	 .run = { sync_fails, write_5_and_6 }, .check = saved_5_and_6);

/* --- completion by another CPU --- */

static struct quire_pages *given;
static _Atomic bool begun, giving;

/* The first one in a run. */
static int write_later(struct quire_object *which, struct quire_pages *pages)
{
	if (!at_load(&begun) || at_load(&giving))
		return disk_write(which, pages);
	given = pages;
	at_store_release(&giving, true); /* pairs with complete */
	return QUIRE_WAIT;
}

static const struct quire_object_ops later_ops = {
	.fault = disk_read,
	.writepages = write_later,
};

static void later(void)
{
	given = NULL;
	at_store(&begun, false);
	at_store(&giving, false);
	have_file(&later_ops, CAPS);
	make_dirty();
}

static void complete(void)
{
	unsigned turn = 0;

	while (!at_load_acquire(&giving)) /* pairs with write_later */
		port_pause(turn++);
	disk_write(object, given);
	quire_pages_done(given, 0);
}

static void sync_late(void)
{
	at_store(&begun, true);
	sync();
}

static void sync_and_look(void)
{
	sync_late();
	expect_equal(disk[0][0], 1);
}

SCENARIO(sync_later, "a write is completed by another CPU", .setup = later,
	 .run = { sync_and_look, complete });

static void complete_and_write(void)
{
	complete();
	write_5_and_6();
}

SCENARIO(sync_later_write, "a page is written to when its write is completed", .setup = later,
	 .run = { sync_late, complete_and_write }, .check = saved_5_and_6);
