/* SPDX-License-Identifier: MIT */
/* munmap: publish, sweep, flush, free. When it returns no CPU can touch the pages. */
#include "space/space.h"

int space_unmap(struct space_lock *lock, uint64_t start, uint64_t end)
{
	struct quire_mm *mm = lock->mm;
	struct deferred *gone;
	bool any;
	int error = 0;

	space_edit_begin(mm);
	any = space_occupied(mm, start, end);
	if (any)
		error = space_replace(mm, start, end, NULL);
	gone = space_take_gone(mm);
	space_edit_end(mm);
	if (error || !any)
		return error;
	space_downgrade(lock);
	space_zap(mm, start, end, ZAP_UNMAPPED);
	space_forget(gone);
	return 0;
}

int quire_munmap(struct quire_mm *mm, uint64_t address, uint64_t length)
{
	struct space_lock lock;
	bool waited = false;
	uint64_t end;
	int error;

	if (address & PAGE_MASK || address > mm->end || length > mm->end - address)
		return -QUIRE_EINVAL;
	end = address + PAGE_ALIGN(length);
	if (end == address)
		return -QUIRE_EINVAL;
	do {
		space_lock(&lock, mm, address, end, SPACE_EDIT);
		error = space_unmap(&lock, address, end);
		space_unlock(&lock);
	} while (space_again(error, &waited));
	object_reap();
	return error;
}
