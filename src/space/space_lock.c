/* SPDX-License-Identifier: MIT */
/* How the three modes exclude one another's calls: the table is in space.h. */
#include "space/space.h"

static void count_wait(struct quire_mm *mm, bool waited, enum space_lock_kind kind)
{
	if (likely(!waited))
		return;
	port_pin();
	trace_count(&mm_trace(mm)->counters[kind == SPACE_FAULT ? QUIRE_RANGE_WAIT_FAULT
								: QUIRE_RANGE_WAIT_WRITER]);
	port_unpin();
}

void space_lock(struct space_lock *lock, struct quire_mm *mm, uint64_t start, uint64_t end,
		enum space_lock_kind kind)
{
	bool waited = false;

	lock->mm = mm;
	lock->ranged = false;
	lock->shared = kind == SPACE_ZAP || kind == SPACE_FAULT;
	if (mm->mode != QUIRE_SPECULATIVE) {
		waited = lock->shared ? rwsem_read(&mm->lock) : rwsem_write(&mm->lock);
	} else if (start < end) {
		lock->ranged = true;
		waited = range_acquire(&mm->ranges, &lock->range, start, end,
				       kind == SPACE_EDIT || kind == SPACE_ZAP);
	}
	count_wait(mm, waited, kind);
}

bool space_reserve(struct space_lock *lock, struct quire_mm *mm, uint64_t start, uint64_t end,
		   uint64_t *hit_start, uint64_t *hit_end)
{
	lock->mm = mm;
	lock->ranged = mm->mode == QUIRE_SPECULATIVE;
	return !lock->ranged ||
	       range_reserve(&mm->ranges, &lock->range, start, end, hit_start, hit_end);
}

void space_unlock(struct space_lock *lock)
{
	if (lock->ranged)
		range_release(&lock->mm->ranges, &lock->range);
	else if (lock->mm->mode == QUIRE_SPECULATIVE)
		return;
	else if (lock->shared)
		rwsem_read_done(&lock->mm->lock);
	else
		rwsem_write_done(&lock->mm->lock);
}

void space_downgrade(struct space_lock *lock)
{
	if (lock->mm->mode == QUIRE_SPECULATIVE || lock->shared)
		return;
	rwsem_downgrade(&lock->mm->lock);
	lock->shared = true;
}

void space_wait(struct quire_mm *mm, const struct span *span)
{
	count_wait(mm, range_wait(&mm->ranges, span->start, span->end), SPACE_EDIT);
}
