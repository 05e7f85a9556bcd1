/* SPDX-License-Identifier: MIT */
/*
 * Range lock: a sleeping lock over [start, end) of an address space.
 *
 * Two holders conflict if their ranges overlap and at least one is exclusive. First come, first
 * served among those that conflict: an entry waits for each conflicting entry that stood in the
 * list before it (`blockers` counts them), and for nothing else; so nobody starves, and disjoint
 * ranges never meet except in the short spin lock of the list. Entries live on their owners'
 * stacks.
 *
 * Who waits sleeps on its own word; the unlocker lowers the words of later entries that it blocked.
 */
#ifndef QUIRE_SYNC_RANGE_H
#define QUIRE_SYNC_RANGE_H

#include "sync/spin.h"

struct range {
	struct range *next, *prev;
	struct range *woken; /* chains those that one release lets in */
	uint64_t start, end;
	_Atomic uint32_t blockers; /* 0: granted */
	bool exclusive;
	bool passing; /* only waits: blocks nobody, and leaves the list when it is let in */
};

struct range_lock {
	struct spinlock lock;	    /* RANK_RANGES */
	struct range *first, *last; /* in order of arrival */
};

void range_lock_init(struct range_lock *);

/*
 * Lock [start, end).
 * => no spin lock held, outside any section; sleeps (goes offline while it does).
 * => returns true if it had to wait.
 */
bool range_acquire(struct range_lock *, struct range *, uint64_t start, uint64_t end,
		   bool exclusive);

/* As range_acquire, but false at once where that would wait. => may be called in a section. */
bool range_try(struct range_lock *, struct range *, uint64_t start, uint64_t end, bool exclusive);

/*
 * Lock [start, end) exclusively, before everybody who still waits: for a caller that holds another
 * range already and so must not wait. Returns false if a holder overlaps, with its bounds.
 * => never sleeps; may be called under RANK_TREE
 */
bool range_reserve(struct range_lock *, struct range *, uint64_t start, uint64_t end,
		   uint64_t *hit_start, uint64_t *hit_end);

/*
 * Wait until those who hold or wait for any of [start, end) now are through.
 * => as range_acquire; holds nothing and is in nobody's way, not even while it wakes up
 * => returns true if it had to wait.
 */
bool range_wait(struct range_lock *, uint64_t start, uint64_t end);

/* Wakes whom it blocked. Never sleeps. */
void range_release(struct range_lock *, struct range *);

/*
 * Is any part of [start, end) held exclusively (granted, not merely waited for)? If so *hit_start
 * and *hit_end are that holder's bounds.
 * => may be called under RANK_TREE.
 */
bool range_conflict(struct range_lock *, uint64_t start, uint64_t end, uint64_t *hit_start,
		    uint64_t *hit_end);

/* Number of entries: for the validator. */
unsigned range_count(struct range_lock *);

#endif
