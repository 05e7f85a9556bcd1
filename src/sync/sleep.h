/* SPDX-License-Identifier: MIT */
/* How the sleeping locks sleep: out of the way of grace periods. */
#ifndef QUIRE_SYNC_SLEEP_H
#define QUIRE_SYNC_SLEEP_H

#include "sync/grace.h"

/*
 * Sleep while *word == seen; may return early, so callers loop.
 * => outside any section, no spin lock held. However often the caller has said grace_online, its
 * CPU is offline meanwhile.
 */
static inline void sleep_on(_Atomic uint32_t *word, uint32_t seen)
{
	uint32_t nested = grace_suspend();

	port_wait(word, seen);
	grace_resume(nested);
}

/*
 * Around code of the embedder's, which may sleep: nobody waits for this CPU meanwhile.
 * => outside any section, no spin lock held
 */
struct away {
	uint32_t nested, depth;
};

static inline struct away away_begin(void)
{
	assert_none_held();
	return (struct away){ .nested = grace_suspend(), .depth = port_away() };
}

static inline void away_end(struct away away)
{
	port_back(away.depth);
	grace_resume(away.nested);
}

#endif
