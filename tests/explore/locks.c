/* SPDX-License-Identifier: MIT */
/*
 * The locks by themselves. What a lock guards is touched by plain accesses here: a lock that lets
 * in two who exclude each other, or that does not order what they do, is a data race, and one that
 * forgets to wake somebody is a deadlock.
 */
#include "explore.h"
#include "sync/range.h"
#include "sync/rwsem.h"

#define PLACES 4

static uint64_t guarded[PLACES]; /* range locks: one number of the range; the others: the first */

static void check_total(uint64_t expected)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < PLACES; i++)
		total += guarded[i];
	expect_equal(total, expected);
}

static void check_1(void)
{
	check_total(1);
}

static void check_2(void)
{
	check_total(2);
}

/* --- the spin lock --- */

static struct spinlock spin;

static void spin_once(void)
{
	port_pin();
	spin_lock(&spin, RANK_LEAF);
	guarded[0]++;
	spin_unlock(&spin);
	port_unpin();
}

static void spin_try(void)
{
	port_pin();
	if (spin_trylock(&spin, RANK_LEAF)) {
		expect(guarded[0] <= 2);
		spin_unlock(&spin);
	}
	port_unpin();
}

SCENARIO(spin_lock_excludes, "two who spin for a lock, and one who tries",
	 .run = { spin_once, spin_once, spin_try }, .check = check_2);

/* --- the range lock --- */

static struct range_lock ranges;
static struct range entries[EXPLORE_CPUS];

static void touch(uint64_t start, uint64_t end, bool exclusive)
{
	for (uint64_t i = start; i < end; i++) {
		if (exclusive)
			guarded[i]++;
		else
			expect(guarded[i] <= EXPLORE_CPUS);
	}
}

/*
 * The entry stands for one on the stack of a caller that has returned: whoever still looks at it
 * races with what the caller writes there next.
 */
static void let_go(struct range *own)
{
	range_release(&ranges, own);
	memset(own, 0x5a, sizeof(*own));
}

/* Returns whether it had to wait. */
static bool hold(uint64_t start, uint64_t end, bool exclusive)
{
	struct range *own = &entries[port_cpu()];
	bool waited = range_acquire(&ranges, own, start, end, exclusive);

	touch(start, end, exclusive);
	let_go(own);
	return waited;
}

static void hold_0_to_1(void)
{
	hold(0, 1, true);
}

static void share_0_to_1(void)
{
	hold(0, 1, false);
}

static void hold_twice(void)
{
	hold(0, 1, true);
	hold(0, 1, true);
}

static void check_3(void)
{
	check_total(3);
}

SCENARIO(range_same, "writers of one range, one of them twice", .run = { hold_twice, hold_0_to_1 },
	 .check = check_3);
SCENARIO(range_shared_and_exclusive, "a writer of a range and two readers",
	 .run = { hold_0_to_1, share_0_to_1, share_0_to_1 }, .check = check_1);

static void hold_0_to_2(void)
{
	hold(0, 2, true);
}

static void hold_1_to_3(void)
{
	hold(1, 3, true);
}

static void hold_2_to_4(void)
{
	hold(2, 4, true);
}

static void check_6(void)
{
	check_total(6);
}

/* [0, 2) and [2, 4) do not meet; [1, 3) may wait for both of them at once. */
SCENARIO(range_overlap, "three ranges of which the middle one overlaps the others",
	 .run = { hold_0_to_2, hold_2_to_4, hold_1_to_3 }, .check = check_6);

static void hold_0_at_once(void)
{
	expect(!hold(0, 2, true));
}

static void share_2_at_once(void)
{
	expect(!hold(2, 4, false));
}

SCENARIO(range_no_conflict, "nobody waits: disjoint, or both shared",
	 .run = { hold_0_at_once, share_2_at_once, share_2_at_once }, .check = check_2);

/*
 *     CPU 0   shares it ........................ leaves
 *     CPU 1              wants it exclusively: waits ......... writes, leaves
 *     CPU 2                          shares it? Not before CPU 1 has had it
 */
static void share_in_turn(void)
{
	struct range *own = &entries[port_cpu()];
	bool behind_writer = range_count(&ranges) == 2;

	range_acquire(&ranges, own, 0, 1, false);
	if (behind_writer)
		expect_equal(guarded[0], 1);
	let_go(own);
}

SCENARIO(range_first_come, "a reader of a range does not overtake a writer that waits",
	 .run = { share_0_to_1, hold_0_to_1, share_in_turn }, .check = check_1);

/*
 *     CPU 0   has [0, 2) .................. lets CPU 1 in
 *     CPU 1          wants [1, 4): waits ................. has it
 *     CPU 2   reserves [3, 4)    ahead of CPU 1, or not at all
 */
static void hold_1_to_4(void)
{
	hold(1, 4, true);
}

static void reserve_3_to_4(void)
{
	struct range *own = &entries[port_cpu()];
	uint64_t start, end;

	if (range_reserve(&ranges, own, 3, 4, &start, &end)) {
		touch(3, 4, true);
		let_go(own);
	} else {
		expect(start == 1 && end == 4);
	}
}

SCENARIO(range_reserve_ahead, "a range reserved ahead of one that waits, or is being let in",
	 .run = { hold_0_to_2, hold_1_to_4, reserve_3_to_4 });

/* --- the reader-writer lock --- */

static struct rwsem sem;
static _Atomic uint32_t readers; /* that have it */

static void write_it(void)
{
	rwsem_write(&sem);
	guarded[0]++;
	expect(at_load(&readers) == 0);
	rwsem_write_done(&sem);
}

static void read_it(void)
{
	rwsem_read(&sem);
	at_add(&readers, 1u);
	expect(guarded[0] <= 2);
	at_sub(&readers, 1u);
	rwsem_read_done(&sem);
}

SCENARIO(rwsem_two_writers, "two writers and a reader", .run = { write_it, write_it, read_it },
	 .check = check_2);
SCENARIO(rwsem_two_readers, "a writer and two readers", .run = { write_it, read_it, read_it },
	 .check = check_1);

static void write_and_read_on(void)
{
	rwsem_write(&sem);
	uint64_t value = ++guarded[0];

	rwsem_downgrade(&sem);
	expect_equal(guarded[0], value);
	rwsem_read_done(&sem);
}

SCENARIO(rwsem_downgrades, "a writer becomes a reader, beside a writer and a reader",
	 .run = { write_and_read_on, write_it, read_it }, .check = check_2);

#define ONE_READER_AND_WAITING (1u << 30 | 1) /* src/sync/rwsem.c */

static void read_in_turn(void)
{
	bool writer_waits = at_load(&sem.state) == ONE_READER_AND_WAITING;

	if (!rwsem_try_read(&sem))
		return;
	if (writer_waits)
		expect_equal(guarded[0], 1);
	rwsem_read_done(&sem);
}

SCENARIO(rwsem_writer_waits, "a reader does not overtake a writer that waits",
	 .run = { read_it, write_it, read_in_turn }, .check = check_1);
