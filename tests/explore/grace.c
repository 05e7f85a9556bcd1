/* SPDX-License-Identifier: MIT */
/*
 * Grace periods by themselves: what a section has found is not freed before it ends.
 *
 *     CPU 0   unpublish ── defer ── barrier ──────────────────── freed: writes to the item
 *     CPU 1        [ section: finds it, reads it ]  [ section: does not find it ]
 *
 * The item is read and "freed" by plain accesses, so to free it too early, or with nothing that
 * orders it behind the section, is a data race.
 */
#include "explore.h"
#include "sync/grace.h"

#define ALIVE 1
#define FREED 2

struct item {
	struct deferred deferred;
	uint64_t value;
};

static struct item items[2];
static _Atomic(struct item *) published;
static _Atomic uint32_t retired; /* so many items */

static void publish(void)
{
	items[0].value = items[1].value = ALIVE;
	at_store(&published, &items[0]);
	at_store(&retired, 0u);
	/* So that no period is the first of its list. */
	expect(grace_barrier(0));
}

static void free_item(struct deferred *deferred)
{
	container_of(deferred, struct item, deferred)->value = FREED;
}

static void retire(unsigned number)
{
	at_store_release(&published, NULL);
	port_pin();
	grace_defer(&items[number].deferred, free_item);
	port_unpin();
	at_store_release(&retired, number + 1);
}

static void wait_and_look(void)
{
	expect(grace_barrier(0));
	expect_equal(items[0].value, FREED);
}

static void retire_and_wait(void)
{
	retire(0);
	wait_and_look();
}

static void read_once(void)
{
	section_enter();
	struct item *found = at_load_acquire(&published);

	if (found)
		expect_equal(found->value, ALIVE);
	section_leave();
}

static void read_twice(void)
{
	read_once();
	read_once();
}

SCENARIO(grace_sections, "an item is retired beside sections of two CPUs", .setup = publish,
	 .run = { retire_and_wait, read_twice, read_once });

static void read_nested(void)
{
	section_enter();
	struct item *found = at_load_acquire(&published);

	read_once();
	if (found)
		expect_equal(found->value, ALIVE);
	section_leave();
}

SCENARIO(grace_nested, "the end of an inner section is no quiescent state", .setup = publish,
	 .run = { retire_and_wait, read_nested });

/*
 *     CPU 0   unpublish ── full fence ── look at seen: offline, so CPU 1 is not waited for
 *     CPU 1   seen ─────── full fence ── section: finds the item?
 */
static void sleep_and_read(void)
{
	read_once();
	grace_resume(grace_suspend());
	read_once();
}

/* Looks at once: a CPU that waits gives time to whatever stores are on their way. */
static void retire_and_look(void)
{
	retire(0);
	grace_barrier(1); /* begins the period, and has no time to wait for it */
	grace_poll();
	wait_and_look();
}

SCENARIO(grace_offline_and_online, "a CPU that goes offline and comes back", .setup = publish,
	 .run = { retire_and_look, sleep_and_read });

/* What was not retired in a section is still there in a later one of the same era. */
static void read_in_era(bool sleeps)
{
	section_enter();
	struct item *found = at_load_acquire(&published);
	uint64_t era = grace_era();

	section_leave();
	if (sleeps)
		grace_resume(grace_suspend());
	section_enter();
	if (found && grace_era() == era)
		expect_equal(found->value, ALIVE);
	section_leave();
}

static void read_again(void)
{
	read_in_era(false);
}

static void sleep_and_read_again(void)
{
	read_in_era(true);
}

SCENARIO(grace_era_passes, "what a CPU remembers from one section to the next", .setup = publish,
	 .run = { retire_and_wait, read_again });
SCENARIO(grace_era_offline, "what a CPU remembers from before it slept", .setup = publish,
	 .run = { retire_and_wait, sleep_and_read_again });

/* --- the lists --- */

static void wait_only(void)
{
	expect(grace_barrier(0));
}

SCENARIO(grace_two_barriers, "a barrier beside another, which may free what the first waits for",
	 .setup = publish, .run = { retire_and_wait, wait_only });

static void retire_and_leave(void)
{
	retire(0);
	grace_poll();
}

static void wait_if_retired(void)
{
	if (at_load_acquire(&retired) != 0)
		wait_and_look();
}

SCENARIO(grace_left_behind, "a barrier frees the list of a CPU that is gone", .setup = publish,
	 .run = { retire_and_leave, wait_if_retired });

/*
 * Whoever frees a batch may defer more, and may pass a period meanwhile: free_batch lets go of the
 * CPU now and then.
 *
 *     CPU 0   begins to free 0: defers 1 ........ passes .................... 0 freed
 *     CPU 1   barrier: waits for one item ..............  frees 1: goes on? 0 is not freed yet
 */
static void free_defer_and_pass(struct deferred *deferred)
{
	grace_defer(&items[1].deferred, free_item);
	section_enter();
	section_leave();
	free_item(deferred);
}

static void retired_before(void)
{
	publish();
	grace_defer(&items[0].deferred, free_defer_and_pass);
}

SCENARIO(grace_batches_in_order, "batches of one list are freed one at a time",
	 .setup = retired_before, .run = { grace_poll, wait_and_look });
