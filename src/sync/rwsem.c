/* SPDX-License-Identifier: MIT */
/*
 * The sleeping reader-writer lock.
 *
 *     state     31      30       29..0
 *               WRITER  WAITING  readers
 *
 * WAITING: somebody sleeps, or is about to. It turns new readers away.
 *   - A writer that can't have the lock sets it. So does a reader that meets a writer.
 *   - Without WRITER it is thus a writer that waits: the last reader wakes everybody but leaves the
 *     mark, so that only a writer gets in. That writer leaves it, too: others may be asleep.
 *   - The writer that leaves clears it and wakes everybody. Readers and writers race for the lock,
 *     and a writer that loses sets it again. So a writer waits for those readers that were in or
 *     woke before it and for no later ones, and readers get their chance after each writer.
 *
 * Sleepers sleep on the state itself. Whether to sleep is a matter of the state's value alone, so a
 * value that went away and came back does no harm; and every change to a value on which nobody
 * would sleep is followed by a wake.
 *
 * Weighed and left: a second word with a count of wakes (the unlocker would touch the lock after
 * letting others in); a queue with hand-over (fairer, and slower than what the baselines stand
 * for).
 */
#include "sync/rwsem.h"
#include "sync/sleep.h"

#define RWSEM_WRITER (1u << 31)
#define RWSEM_WAITING (1u << 30)
#define RWSEM_READERS (RWSEM_WAITING - 1)
#ifndef SPIN_TURNS
#define SPIN_TURNS 64
#endif

/*
 * Wait until the state has none of `busy`, has otherwise changed, or there was a wake: for a moment
 * in turns of a spin loop, since most holders are soon through, and then asleep. The mark comes
 * before the sleep; failing that, look again.
 */
static uint32_t wait(struct rwsem *sem, uint32_t busy)
{
	uint32_t seen = at_load(&sem->state), marked;

	for (unsigned turn = 0; seen & busy && turn < SPIN_TURNS; turn++) {
		port_pause(turn);
		seen = at_load(&sem->state);
	}
	if (!(seen & busy))
		return seen;
	marked = seen | RWSEM_WAITING;
	/* Nothing to pair with: the mark guards no data, and the unlockers' exchanges find it. */
	if (seen == marked || at_cas(&sem->state, &seen, marked))
		sleep_on(&sem->state, marked);
	return at_load(&sem->state);
}

void rwsem_init(struct rwsem *sem)
{
	at_store(&sem->state, 0u);
}

bool rwsem_try_read(struct rwsem *sem)
{
	uint32_t seen = at_load(&sem->state);

	while (!(seen & (RWSEM_WRITER | RWSEM_WAITING)))
		/* Pairs with the exchanges of rwsem_write_done and rwsem_downgrade. */
		if (at_cas(&sem->state, &seen, seen + 1))
			return true;
	return false;
}

bool rwsem_read(struct rwsem *sem)
{
	bool waited = false;

	assert_none_held();
	assert_debug(!section_inside());
	while (!rwsem_try_read(sem)) {
		wait(sem, RWSEM_WRITER | RWSEM_WAITING);
		waited = true;
	}
	return waited;
}

bool rwsem_write(struct rwsem *sem)
{
	uint32_t seen = 0;
	bool waited = false;

	assert_none_held();
	assert_debug(!section_inside());
	/* Pairs with rwsem_write_done's exchange and each rwsem_read_done's subtraction. */
	while (!at_cas(&sem->state, &seen, seen | RWSEM_WRITER)) {
		while (seen & (RWSEM_WRITER | RWSEM_READERS)) {
			seen = wait(sem, RWSEM_WRITER | RWSEM_READERS);
			waited = true;
		}
	}
	return waited;
}

void rwsem_read_done(struct rwsem *sem)
{
	/* Release: pairs with the compare-and-swap of rwsem_write. */
	uint32_t old = at_sub(&sem->state, 1u);

	assert_debug((old & RWSEM_READERS) != 0 && !(old & RWSEM_WRITER));
	if (old == (RWSEM_WAITING | 1))
		port_wake(&sem->state);
}

void rwsem_write_done(struct rwsem *sem)
{
	/* Release: pairs with the compare-and-swap of rwsem_write and rwsem_try_read. */
	uint32_t old = at_xchg(&sem->state, 0u);

	assert_debug((old & ~RWSEM_WAITING) == RWSEM_WRITER);
	if (old & RWSEM_WAITING)
		port_wake(&sem->state);
}

void rwsem_downgrade(struct rwsem *sem)
{
	/* Release: pairs with the compare-and-swap of rwsem_try_read. */
	uint32_t old = at_xchg(&sem->state, 1u);

	assert_debug((old & ~RWSEM_WAITING) == RWSEM_WRITER);
	if (old & RWSEM_WAITING)
		port_wake(&sem->state);
}
