/* SPDX-License-Identifier: MIT */
/*
 * Counters of a space (one block for each CPU, on its own lines) and the ring of events of each
 * CPU. A fault raises its counters with plain loads and stores.
 */
#ifndef QUIRE_TRACE_TRACE_H
#define QUIRE_TRACE_TRACE_H

#include "port.h"
#include "sync/atomic.h"
#include <quire/stats.h>

struct trace_block {
	/* The first line: those that were speculative. */
	_Atomic uint64_t faults[QUIRE_PATH_COUNT][QUIRE_KIND_COUNT];
	_Atomic int64_t anonymous; /* pages mapped less pages unmapped by this CPU */
	_Atomic int64_t objects;   /* the same of pages of objects */
	_Atomic int64_t tables;	   /* tables hooked less tables unhooked */
	_Atomic uint64_t counters[QUIRE_COUNTER_COUNT];
} __attribute__((aligned(64)));

/* Raise a counter of this CPU's block. => pinned */
static inline void trace_count(_Atomic uint64_t *counter)
{
	at_store(counter, at_load(counter) + 1);
}

/* What this CPU adds to a count that others may take from. => pinned */
static inline void trace_add(_Atomic int64_t *count, int64_t change)
{
	at_store(count, at_load(count) + change);
}

/* Bytes for the rings, aligned to 128; and the start. */
size_t trace_memory(unsigned cpus);
void trace_init(void *memory, unsigned cpus);

/* => pinned */
void trace_event(struct quire_mm *mm, uint64_t address, unsigned counter);

/* Add a block to sums. */
void trace_sum(struct quire_stats *stats, const struct trace_block *block);
/* Add what a space counted that is going away. => nobody counts in `block` any more */
void trace_keep(struct trace_block *kept, const struct trace_block *block);

#endif
