/* SPDX-License-Identifier: MIT */
/*
 * Spin locks. Four bytes, test-and-test-and-set: one atomic read-modify-write to take, one release
 * store to give back. Held for short, bounded work; nothing sleeps, faults or flushes under one.
 *
 * Ranks: a thread takes locks in rising rank only; a debug build checks each acquisition against
 * the locks that this CPU holds. Tables: a parent before its child (the rank rises as the level
 * falls). The second of two leaves has a rank of its own: table_lock_pair, and fork.
 */
#ifndef QUIRE_SYNC_SPIN_H
#define QUIRE_SYNC_SPIN_H

#include "port.h"
#include "sync/atomic.h"

enum lock_rank {
	RANK_SPACES,	 /* the list of all address spaces */
	RANK_OBJECTS,	 /* the list of all objects */
	RANK_TREE,	 /* one space's VMA tree */
	RANK_RANGES,	 /* the list inside a range lock; innermost of the space */
	RANK_OBJECT,	 /* where an object is mapped */
	RANK_CACHE,	 /* the shape of an object's cache */
	RANK_CACHE_NODE, /* a node of it, and so the slots of 64 pages */
	RANK_TABLE_4,	 /* page tables, by level: parent before child */
	RANK_TABLE_3,
	RANK_TABLE_2,
	RANK_TABLE_1,
	RANK_LEAF,   /* level 0 */
	RANK_LEAF_2, /* the second leaf of a move or of a copy */
	RANK_RMAP,   /* a frame's reverse map */
	RANK_SLAB,   /* a cache of small objects */
	RANK_POOL,   /* a node's frame pool */
	RANK_WAIT,   /* the lists of deferred work */
	RANK_COUNT
};

struct spinlock {
	_Atomic uint32_t word;
};

/* The turns of a contended acquisition. */
void spin_lock_slow(struct spinlock *lock);

#ifdef QUIRE_DEBUG
void spin_debug_acquired(const struct spinlock *lock, enum lock_rank rank);
void spin_debug_released(const struct spinlock *lock);
bool spin_debug_held(const struct spinlock *lock);
/* True if this CPU holds no spin lock at all: asserted wherever something may sleep or flush. */
bool spin_debug_none_held(void);
#define assert_held(lock) require(spin_debug_held(lock))
#define assert_none_held() require(spin_debug_none_held())
#else
#define spin_debug_acquired(lock, rank) ((void)(rank))
#define spin_debug_released(lock) ((void)(lock))
#define assert_held(lock) ((void)(lock))
#define assert_none_held() ((void)0)
#endif

static inline void spin_init(struct spinlock *lock)
{
	at_store(&lock->word, 0u);
}

static inline bool spin_trylock(struct spinlock *lock, enum lock_rank rank)
{
	uint32_t free = 0;

	/* Pairs with the release store of spin_unlock. */
	if (!at_cas(&lock->word, &free, 1u))
		return false;
	spin_debug_acquired(lock, rank);
	return true;
}

/* => the caller is pinned. Returns false if it had to wait (it holds the lock either way). */
static inline bool spin_lock(struct spinlock *lock, enum lock_rank rank)
{
	if (likely(spin_trylock(lock, rank)))
		return true;
	spin_lock_slow(lock);
	spin_debug_acquired(lock, rank);
	return false;
}

static inline void spin_unlock(struct spinlock *lock)
{
	spin_debug_released(lock);
	/* Pairs with the compare-and-swaps of spin_trylock and spin_lock_slow. */
	at_store_release(&lock->word, 0u);
}

#endif
