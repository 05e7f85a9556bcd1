/* SPDX-License-Identifier: MIT */
/*
 * An address space, inside. Lines are laid out by who writes them: what a speculative fault reads
 * is never written by a writer elsewhere, but for the tree's root, which it must read.
 */
#ifndef QUIRE_SPACE_MM_H
#define QUIRE_SPACE_MM_H

#include "space/tree.h"
#include "sync/range.h"
#include "sync/rwsem.h"
#include "table/table.h"
#include "trace/trace.h"
#include <quire/mm.h>

struct quire_mm {
	/* Read by every fault; written by switches only. */
	uint64_t id;		  /* constant; no other space ever has it */
	_Atomic bool speculation; /* never in a baseline, nor where the port is not for it */
	enum quire_mode mode;	  /* constant */
	uint64_t start, end;	  /* constant */
	uint64_t stack_gap;	  /* constant */
	struct tables tables;

	/* Read by faults whose CPU does not know their VMA; written by edits. */
	struct tree tree __attribute__((aligned(64)));

	/* Written by edits. */
	struct spinlock tree_lock __attribute__((aligned(64))); /* RANK_TREE */
	uint64_t vmas, mapped, locked, data;			/* number; pages: under tree_lock */
	uint64_t brk_start, brk;				/* under tree_lock */
	uint64_t mmap_top;					/* constant */
	struct quire_limits limits;				/* under tree_lock */
	struct deferred *gone; /* records without VMAs, of the edit under way: under tree_lock */
	uint32_t lock_future;  /* VMA_LOCKED, VMA_ONFAULT for new mappings: mlockall */
	_Atomic uint32_t keys; /* allocated protection keys, a bit each; changed under tree_lock */

	/* Written by writers that start and end, and by classic faults. */
	struct range_lock ranges __attribute__((aligned(64)));

	/* The address-space lock of the baselines. */
	struct rwsem lock __attribute__((aligned(64)));

	struct quire_mm *next, *prev; /* all spaces: RANK_SPACES */
	/* In progress, by objects; in the baselines by all calls. quire_mm_destroy sleeps on it. */
	_Atomic uint32_t sweeps;

	/*
	 * Forks under way: mappings of objects are not merged (edit.c). vma-lock: no VMA may be
	 * locked by a fault, each of which reads it.
	 */
	_Atomic uint32_t forking __attribute__((aligned(64)));
};

static inline struct trace_block *mm_trace(struct quire_mm *mm)
{
	return &mm->tables.trace[port_cpu()];
}

#endif
