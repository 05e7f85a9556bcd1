/* SPDX-License-Identifier: MIT */
/*
 * A loop runs in several workers, each a thread on a CPU of its own, until it is stopped or each
 * worker has done enough. Everything that they map lies in their slots, so that what a worker
 * leaves there when it is stopped can be taken away:
 *
 *     ARENA ──► │ slot of worker 0 │ slot of worker 1 │ ...
 */
#ifndef LOOPS_H
#define LOOPS_H

#include "thread.h"

#include <stdatomic.h>

enum { MOST_WORKERS = 16 };
#define SLOT (1ul << 30)
#define ARENA ((unsigned char *)0x100000000000)

struct worker {
	_Alignas(64) _Atomic uint64_t count; /* operations done */
	_Atomic uint64_t ticks;		     /* and what they took, if the loop times them */
	_Alignas(64) _Atomic(unsigned char *) mailbox;
	unsigned index;
	uint32_t random;
	struct thread thread;
};

struct loop {
	const char *name, *unit;
	void (*work)(struct worker *w);
	void (*prepare)(void); /* before the workers start; may be NULL */
	unsigned argument;
	bool timed; /* it times its operations itself, and does other things between them */
};

struct run {
	const struct loop *loop;
	unsigned workers;
	size_t pages;	/* of a large mapping */
	uint64_t limit; /* operations of each worker, after which it ends its round and is done */
	_Atomic bool stop;
	_Atomic uint32_t arrived, phase; /* at the barrier */
	struct worker worker[MOST_WORKERS];
};

extern struct run run;
extern const struct loop loops[]; /* the last one has no name */

static inline bool stopped(void)
{
	return atomic_load_explicit(&run.stop, memory_order_relaxed);
}

/* Is there another round to do? */
static inline bool going(struct worker *w)
{
	return !stopped() && atomic_load_explicit(&w->count, memory_order_relaxed) < run.limit;
}

static inline void add(_Atomic uint64_t *own, uint64_t more)
{
	uint64_t value = atomic_load_explicit(own, memory_order_relaxed);

	atomic_store_explicit(own, value + more, memory_order_relaxed);
}

#endif
