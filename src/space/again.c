/* SPDX-License-Identifier: MIT */
/*
 * Writers and exhausted memory. What an edit replaces is freed after a grace period; where a CPU
 * holds that up (it need only be one that the host does not run), edits would use up all memory
 * while most of it is free in truth. So a call that fails is made once more after what waits has
 * been freed. It has changed nothing, or what it did is done again to no effect.
 */
#include "space/space.h"

#define MEMORY_WAIT_NS 1000000000ull
#define RECLAIM 128 /* frames, from the caches of objects */

bool space_again(int64_t result, bool *waited)
{
	struct frame_stats frames;

	grace_poll();
	if (likely(result != -QUIRE_ENOMEM) || *waited)
		return false;
	*waited = true;
	/* There is memory: it was a limit, or a hole. */
	frame_stats(&frames);
	if (frames.free)
		return false;
	return object_reclaim(RECLAIM) || (grace_pending() && grace_barrier(MEMORY_WAIT_NS));
}
