/* SPDX-License-Identifier: MIT */
/*
 * What an object's operations are promised, beside syncs: a page is asked for before it becomes
 * dirty (page_mkwrite), does not change while it is saved (QUIRE_STABLE_WRITES), is saved again
 * after an error, and may be completed by another CPU.
 */
#include "writeback.h"
#include "port.h"
#include "sync/atomic.h"

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
