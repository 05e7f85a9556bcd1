/* SPDX-License-Identifier: MIT */
/*
 * Shootdowns by themselves: the soft port's mailboxes and their two pairs of fences (flush.c).
 *
 *     CPU 0   entry ─► busy ── flush ── the page stays as it is ── entry again
 *     CPU 1   writes to the page, by a translation that it had or gets somehow
 *
 * CPU 0 is the first half of a copy-on-write (src/fault/resolve.c). The entry is stored without a
 * read-modify-write, as the port's contract allows, so that the flush's own fence is what counts.
 */
#include "explore.h"
#include "soft.h"
#include "space/mm.h"

static bool translates(uint64_t address)
{
	return soft_self->public.tlb[address / PAGE % QUIRE_SOFT_TLB].tag_write == address;
}

/* Nobody writes to the page from when it is flushed until its entry is back. */
static void shoot(uint64_t address)
{
	struct walk at;

	section_enter();
	expect(table_walk(&mm->tables, address, &at) == WALK_LEAF);
	table_lock(at.table);
	pte old = at_load(at.slot);
	const _Atomic uint64_t *word = port_frame(pte_pfn(old));

	at_store(at.slot, pte_busy(1));
	table_unlock(at.table);
	port_flush(&mm->tables.port, address, address + PAGE, false);
	uint64_t seen = at_load(word);

	expect(!translates(address));
	expect_equal(at_load(word), seen);
	table_lock(at.table);
	at_store(at.slot, old);
	table_unlock(at.table);
	section_leave();
}

static void shoot_a(void)
{
	shoot(A);
}

static void shoot_b(void)
{
	shoot(B);
}

/* Two pages that the CPUs have translations of, for writing. */
static void known_to(unsigned cpus)
{
	map(A, 2, READ_WRITE);
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		as_cpu(cpu);
		store(A, 7);
		store(B, 7);
	}
}

static void known_to_two(void)
{
	known_to(2);
}

static void write_8(void)
{
	expect_equal(store(A, 8), DONE);
}

static void write_9(void)
{
	expect_equal(store(A, 9), DONE);
}

static void check_written(void)
{
	expect_equal(load(A), 9);
}

static void write_answer_write(void)
{
	write_8();
	quire_soft_safepoint(&soft_self->public);
	write_9();
}

SCENARIO(shoot_at_work, "a flush against a CPU that writes, answers, and writes",
	 .setup = known_to_two, .run = { shoot_a, write_answer_write }, .check = check_written);

/* B: the flusher sees that CPU 1 is inside, or CPU 1 sees the request. */
static void come_in_and_write(void)
{
	write_8();
	soft_go_out(soft_self);
	soft_come_in(soft_self);
	write_9();
}

SCENARIO(shoot_comes_inside, "a flush against a CPU that goes outside and comes back",
	 .setup = known_to_two, .run = { shoot_a, come_in_and_write }, .check = check_written);

/* A: the flusher sees that CPU 1 runs the space, or CPU 1's walks see the busy entry. */
static void switch_and_write(void)
{
	quire_soft_switch(&soft_self->public, NULL);
	quire_soft_switch(&soft_self->public, mm);
	write_9();
}

SCENARIO(shoot_begins_to_run, "a flush against a CPU that leaves the space and runs it again",
	 .setup = known_to_two, .run = { shoot_a, switch_and_write }, .check = check_written);

static _Atomic uint32_t door;

static void shoot_and_wake(void)
{
	shoot(A);
	at_store_release(&door, 1u);
	port_wake(&door);
}

static void sleep_and_write(void)
{
	while (at_load_acquire(&door) == 0)
		port_wait(&door, 0);
	write_9();
}

SCENARIO(shoot_asleep, "a flush does not wait for a CPU that sleeps until it is woken",
	 .setup = known_to_two, .run = { shoot_and_wake, sleep_and_write }, .check = check_written);

/* --- several flushes --- */

/* The two pages are in one leaf, so who flushes is also waited for at its lock. */
SCENARIO(Q6_H27_two_flushers, "two CPUs flush at once, and answer each other",
	 .setup = known_to_two, .run = { shoot_a, shoot_b });

static _Atomic uint32_t gone_a, gone_b;

/* CPU 1 is the target of two who do not run the space themselves. */
static void known_to_one(void)
{
	known_to(3);
	for (unsigned cpu = 0; cpu < 3; cpu += 2) {
		as_cpu(cpu);
		run_space(NULL);
	}
}

static void flush_a(void)
{
	port_flush(&mm->tables.port, A, A + PAGE, false);
	at_store_release(&gone_a, 1u);
}

static void flush_b(void)
{
	port_flush(&mm->tables.port, B, B + PAGE, false);
	at_store_release(&gone_b, 1u);
}

static void answer_and_look(void)
{
	quire_soft_safepoint(&soft_self->public);
	if (at_load_acquire(&gone_a) != 0)
		expect(!translates(A));
	if (at_load_acquire(&gone_b) != 0)
		expect(!translates(B));
}

SCENARIO(Q6_two_flushes_one_answer, "an answer covers the requests that were dropped, no later",
	 .setup = known_to_one, .run = { flush_a, answer_and_look, flush_b });

/* More requests than a mailbox keeps apart, posted while CPU 1 is outside. */
static void shoot_many(void)
{
	for (uint64_t i = 1; i <= SOFT_RANGES; i++)
		port_flush(&mm->tables.port, D + i * PAGE, D + (i + 1) * PAGE, false);
	shoot(A);
}

SCENARIO(shoot_full_mailbox, "a flush that its target's mailbox has no room for",
	 .setup = known_to_two, .run = { shoot_many, come_in_and_write }, .check = check_written);

/* --- walks --- */

static void known_to_first(void)
{
	map(A, 1, READ_WRITE);
	store(A, 7);
}

static void unmap_a(void)
{
	unmap(A, 1);
	expect_equal(load(A), MAPERR);
}

static void read_cold(void)
{
	uint64_t value = load(A);

	expect(value == 7 || value == MAPERR);
}

static void write_cold(void)
{
	uint64_t done = store(A, 8);

	expect(done == DONE || done == MAPERR);
}

static void unmap_and_wait(void)
{
	unmap_a();
	expect(quire_barrier(0) == 0);
}

SCENARIO(walk_and_unmap, "a CPU walks to a page that goes, and its tables", .setup = known_to_first,
	 .run = { unmap_and_wait, read_cold });

/*
 * An entry that is neither accessed nor dirty (faults make none, but a walk must not rely on it),
 * in a leaf that stays.
 */
static void unmarked(void)
{
	struct walk at;

	known_to(1);
	section_enter();
	expect(table_walk(&mm->tables, A, &at) == WALK_LEAF);
	at_store(at.slot, pte_make(pte_pfn(at_load(at.slot)), RIGHT_READ | RIGHT_WRITE, 0));
	section_leave();
}

SCENARIO(walk_marks, "a CPU's walk marks an entry that goes", .setup = unmarked,
	 .run = { unmap_a, write_cold });
