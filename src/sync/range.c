/* SPDX-License-Identifier: MIT */
/*
 * The range lock: one list in order of arrival, one word to sleep on for each entry.
 *
 *     first ─► [0,4) excl ─► [2,9) excl ─► [8,9) shared ─► [0,1) shared ─► [20,30) excl ◄─ last
 *              holds         waits for 1   waits for 1     waits for 1     holds
 *
 * An entry waits for the conflicting entries before it, however they stand; `blockers` counts them.
 * Who arrives counts them once; who leaves lowers the count of each later entry that it conflicts
 * with. So the order among those that conflict is that of arrival, an entry waits for a finite
 * number of others, and none can be overtaken for ever.
 *
 * range_wait's entry is only passing: it waits for others, nobody for it, and who lets it in takes
 * it out of the list. If it held the range until it had woken up, two callers that each reserve
 * what the other waits for would keep each other from it for ever.
 *
 * range_reserve alone goes to the front, where no holder is in its way: the waiting ones that it
 * conflicts with each wait for one more. Its caller has a range already and waits for nothing.
 *
 * Letting in. The last blocker's release stores 0 and wakes; from that store on the owner may run,
 * release and return, and the entry with its stack frame is gone. So:
 *   - under the list's lock, a count of 1 is not lowered: the entry joins the chain to be woken.
 *     It stays in the list, and nobody else lowers it, since none before it conflicts any more;
 *   - after the lock was given back, for each of the chain: read the next one, store 0, wake by the
 *     address alone.
 * The list's lock is thus never held over a wake. An owner that has not gone to sleep yet sees the
 * word changed, and does not sleep (port_wait); one that sleeps on a count above 1 needs no wake
 * until it is 0.
 *
 * Weighed and left: a tree of intervals. A list of a few writers of one space is shorter than the
 * tree's setting up, and speculative faults never come here.
 */
#include "sync/range.h"
#include "sync/sleep.h"

#ifndef SPIN_TURNS /* before the host is asked to sleep */
#define SPIN_TURNS 300
#endif

static bool overlap(const struct range *range, uint64_t start, uint64_t end)
{
	return range->start < end && start < range->end;
}

/* Does it wait for an entry ahead of it? */
static bool blocks(const struct range *ahead, const struct range *range)
{
	return !ahead->passing && (ahead->exclusive || range->exclusive) &&
	       overlap(ahead, range->start, range->end);
}

/* How many of the entries before `stop` (NULL: of all) conflict with the range. => list locked */
static uint32_t count_before(const struct range_lock *lock, const struct range *range,
			     const struct range *stop)
{
	uint32_t count = 0;

	for (const struct range *e = lock->first; e != stop; e = e->next)
		if (blocks(e, range))
			count++;
	return count;
}

/*
 * For debug builds: the list is sound, and each count is right, or still 1 for an entry that is
 * about to be let in.
 * => list locked
 */
__attribute__((unused)) static bool valid(const struct range_lock *lock)
{
	const struct range *before = NULL;

	for (const struct range *e = lock->first; e; before = e, e = e->next) {
		uint32_t expected = count_before(lock, e, e), blockers = at_load(&e->blockers);

		if (e->prev != before || e->start >= e->end)
			return false;
		if (blockers != expected && !(expected == 0 && blockers == 1))
			return false;
	}
	return lock->last == before;
}

static void append(struct range_lock *lock, struct range *range)
{
	range->next = NULL;
	range->prev = lock->last;
	if (lock->last)
		lock->last->next = range;
	else
		lock->first = range;
	lock->last = range;
	assert_debug(valid(lock));
}

static void prepend(struct range_lock *lock, struct range *range)
{
	range->prev = NULL;
	range->next = lock->first;
	if (lock->first)
		lock->first->prev = range;
	else
		lock->last = range;
	lock->first = range;
	assert_debug(valid(lock));
}

static void take_out(struct range_lock *lock, const struct range *range)
{
	if (range->prev)
		range->prev->next = range->next;
	else
		lock->first = range->next;
	if (range->next)
		range->next->prev = range->prev;
	else
		lock->last = range->prev;
}

/* Put the range into the list, unless it would have to wait and may not. Returns its blockers. */
static uint32_t enter(struct range_lock *lock, struct range *range, bool may_wait)
{
	uint32_t blockers;

	require(range->start < range->end);
	port_pin();
	spin_lock(&lock->lock, RANK_RANGES);
	blockers = count_before(lock, range, NULL);
	/* Not in the list yet, so nobody else looks: the lock publishes it. */
	at_store(&range->blockers, blockers);
	if (blockers == 0 ? !range->passing : may_wait)
		append(lock, range);
	spin_unlock(&lock->lock);
	port_unpin();
	return blockers;
}

void range_lock_init(struct range_lock *lock)
{
	spin_init(&lock->lock);
	lock->first = lock->last = NULL;
}

/* Returns whether it had to wait. */
static bool enter_and_wait(struct range_lock *lock, struct range *range)
{
	uint32_t blockers;

	assert_none_held();
	assert_debug(!section_inside());
	if (enter(lock, range, true) == 0)
		return false;
	/* Most holders are soon through: a moment in turns of a spin loop, and then asleep. */
	for (unsigned turn = 0; turn < SPIN_TURNS && at_load(&range->blockers) != 0; turn++)
		port_pause(turn);
	/* Acquire: pairs with the release store of let_in. */
	while ((blockers = at_load_acquire(&range->blockers)) != 0)
		sleep_on(&range->blockers, blockers);
	return true;
}

static void set(struct range *range, uint64_t start, uint64_t end, bool exclusive)
{
	range->start = start;
	range->end = end;
	range->exclusive = exclusive;
	range->passing = false;
}

bool range_acquire(struct range_lock *lock, struct range *range, uint64_t start, uint64_t end,
		   bool exclusive)
{
	set(range, start, end, exclusive);
	return enter_and_wait(lock, range);
}

bool range_wait(struct range_lock *lock, uint64_t start, uint64_t end)
{
	struct range range;

	set(&range, start, end, true);
	range.passing = true;
	return enter_and_wait(lock, &range);
}

bool range_try(struct range_lock *lock, struct range *range, uint64_t start, uint64_t end,
	       bool exclusive)
{
	set(range, start, end, exclusive);
	return enter(lock, range, false) == 0;
}

bool range_reserve(struct range_lock *lock, struct range *range, uint64_t start, uint64_t end,
		   uint64_t *hit_start, uint64_t *hit_end)
{
	bool free = true;

	set(range, start, end, true);
	at_store(&range->blockers, 0u);
	port_pin();
	spin_lock(&lock->lock, RANK_RANGES);
	for (const struct range *e = lock->first; e && free; e = e->next) {
		/* Whoever has nobody before it holds, or is being let in at this moment. */
		if (!overlap(e, start, end) || count_before(lock, e, e) != 0)
			continue;
		*hit_start = e->start;
		*hit_end = e->end;
		free = false;
	}
	for (struct range *e = lock->first; e && free; e = e->next)
		if (blocks(range, e))
			at_store(&e->blockers, at_load(&e->blockers) + 1);
	if (free)
		prepend(lock, range);
	spin_unlock(&lock->lock);
	port_unpin();
	return free;
}

static void let_in(struct range *woken)
{
	while (woken) {
		_Atomic uint32_t *word = &woken->blockers;

		woken = woken->woken;
		/* Then the entry may be gone. Release: pairs with range_acquire's load. */
		at_store_release(word, 0u);
		port_wake(word);
	}
}

void range_release(struct range_lock *lock, struct range *range)
{
	struct range *woken = NULL, **tail = &woken;

	port_pin();
	spin_lock(&lock->lock, RANK_RANGES);
	assert_debug(at_load(&range->blockers) == 0);
	for (struct range *e = range->next; e; e = e->next) {
		if (!blocks(range, e))
			continue;
		if (at_load(&e->blockers) == 1) {
			if (e->passing)
				take_out(lock, e);
			e->woken = NULL;
			*tail = e;
			tail = &e->woken;
		} else {
			at_store(&e->blockers, at_load(&e->blockers) - 1);
		}
	}
	take_out(lock, range);
	assert_debug(valid(lock));
	spin_unlock(&lock->lock);
	port_unpin();
	let_in(woken);
}

bool range_conflict(struct range_lock *lock, uint64_t start, uint64_t end, uint64_t *hit_start,
		    uint64_t *hit_end)
{
	bool hit = false;

	port_pin();
	spin_lock(&lock->lock, RANK_RANGES);
	for (const struct range *e = lock->first; e && !hit; e = e->next) {
		if (e->exclusive && at_load(&e->blockers) == 0 && overlap(e, start, end)) {
			*hit_start = e->start;
			*hit_end = e->end;
			hit = true;
		}
	}
	spin_unlock(&lock->lock);
	port_unpin();
	return hit;
}

unsigned range_count(struct range_lock *lock)
{
	unsigned count = 0;

	port_pin();
	spin_lock(&lock->lock, RANK_RANGES);
	for (const struct range *e = lock->first; e; e = e->next)
		count++;
	spin_unlock(&lock->lock);
	port_unpin();
	return count;
}
