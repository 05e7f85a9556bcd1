/* SPDX-License-Identifier: MIT */
/*
 * Spin locks: the contended case, and what a debug build knows of the locks that each CPU holds.
 *
 * The fast case is in spin.h. Who does not get the lock at once reads it until it looks free and
 * only then tries again, so that waiters share the line instead of pulling it from the holder. A
 * queue lock would be fair, but costs more where nobody waits, and almost nobody ever waits for a
 * leaf.
 *
 * Ranks (debug builds). A CPU's locks stand on its stack in the order in which it took them; each
 * acquisition must have a rank above the topmost, so the stack is sorted by rank. Locks may be
 * given back in any order: the rest closes up and stays sorted. spin_trylock obeys the ranks,
 * too: there is no place that needs to break them.
 */
#include "sync/spin.h"

void spin_lock_slow(struct spinlock *lock)
{
	for (unsigned turn = 0;; turn++) {
		uint32_t free = 0;

		/* Pairs with the release store of spin_unlock. */
		if (at_load(&lock->word) == 0 && at_cas(&lock->word, &free, 1u))
			return;
		port_pause(turn);
	}
}

#ifdef QUIRE_DEBUG

/* What one CPU holds; touched by that CPU only, while it is pinned. */
static struct {
	const struct spinlock *lock[RANK_COUNT];
	enum lock_rank rank[RANK_COUNT];
	unsigned count;
} __attribute__((aligned(CACHE_LINE))) held[MAX_CPUS];

void spin_debug_acquired(const struct spinlock *lock, enum lock_rank rank)
{
	unsigned cpu = port_cpu(), n = held[cpu].count;

	require(rank < RANK_COUNT);
	require(n == 0 || held[cpu].rank[n - 1] < rank);
	held[cpu].lock[n] = lock;
	held[cpu].rank[n] = rank;
	held[cpu].count = n + 1;
}

void spin_debug_released(const struct spinlock *lock)
{
	unsigned cpu = port_cpu(), at = 0;

	while (at < held[cpu].count && held[cpu].lock[at] != lock)
		at++;
	require(at < held[cpu].count);
	held[cpu].count--;
	for (; at < held[cpu].count; at++) {
		held[cpu].lock[at] = held[cpu].lock[at + 1];
		held[cpu].rank[at] = held[cpu].rank[at + 1];
	}
}

bool spin_debug_held(const struct spinlock *lock)
{
	unsigned cpu = port_cpu();

	for (unsigned at = 0; at < held[cpu].count; at++)
		if (held[cpu].lock[at] == lock)
			return true;
	return false;
}

bool spin_debug_none_held(void)
{
	return held[port_cpu()].count == 0;
}

#endif
