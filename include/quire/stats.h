/* SPDX-License-Identifier: MIT */
/*
 * Counters and events. Counters are kept for each space and CPU and summed when they are read;
 * totals include spaces that are gone. A fault that succeeds counts once, as (path, kind); each way
 * to fail has a counter and, when it happens, leaves an event.
 */
#ifndef QUIRE_STATS_H
#define QUIRE_STATS_H

#include <quire/types.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

/* Which way a fault was resolved. */
#define QUIRE_PATHS(X)                                                                             \
	X(SPECULATIVE, speculative) /* without any lock but the leaf's */                          \
	X(VMA_LOCK, vma_lock)	    /* baseline: under its VMA's lock */                           \
	X(CLASSIC, classic)	    /* range of the page locked (baselines: the space locked) */

/* What it did. */
#define QUIRE_KINDS(X)                                                                             \
	X(ZERO_READ, zero_read)	    /* first touch, read: the zero page */                         \
	X(FIRST_WRITE, first_write) /* first touch, write: a fresh page */                         \
	X(ZERO_WRITE, zero_write)   /* write over the zero page: a fresh page */                   \
	X(COW_COPY, cow_copy)	    /* write to a shared page: a copy */                           \
	X(COW_REUSE, cow_reuse)	    /* write to a page no longer shared: only rights */            \
	X(RIGHTS, rights) /* the entry was narrower than the mapping allows: only rights */        \
	X(OBJECT_READ, object_read)   /* a page of an object, without the right to write */        \
	X(OBJECT_WRITE, object_write) /* a page of an object, writable: shared */                  \
	X(OBJECT_COPY, object_copy)   /* a private write to a page of an object: a copy */         \
	X(DEVICE, device)	      /* a frame of a device */                                    \
	X(SPURIOUS, spurious) /* nothing to do: another CPU had done it, or a stale translation */ \
	X(VERDICT, verdict)   /* no access: SIGSEGV, SIGBUS or out of memory */

/* Why an attempt began again. */
#define QUIRE_RETRIES(X)                                                                           \
	X(RETRY_VMA, vma_changed)     /* the mapping of this address changed */                    \
	X(RETRY_TABLE, table_changed) /* the leaf was unhooked, or a table appeared */             \
	X(RETRY_ENTRY, entry_changed) /* the entry is not the one that was read */                 \
	X(RETRY_BUSY, entry_busy)     /* another fault is replacing this very entry */             \
	X(RETRY_PAGE, page_changed)   /* the object's page left the cache, or was cleaned */       \
	X(RETRY_WAIT, page_waits)     /* the page had to be fetched, or waited for */

/* Why a fault went (on) to the classic path. */
#define QUIRE_CLASSICS(X)                                                                          \
	X(CLASSIC_OFF, speculation_off)	    /* switched off, port not opted in, or a baseline */   \
	X(CLASSIC_NO_VMA, no_vma)	    /* no mapping: only the classic path says so */        \
	X(CLASSIC_GROWTH, stack_growth)	    /* below a stack that may grow */                      \
	X(CLASSIC_ACCESS, no_access)	    /* not allowed: only the classic path says so */       \
	X(CLASSIC_PENDING, vma_pending)	    /* a call is about to put this mapping in place */     \
	X(CLASSIC_RETRIES, retries)	    /* too many retries */                                 \
	X(CLASSIC_MEMORY, no_memory)	    /* nothing to be had without waiting */                \
	X(CLASSIC_OBJECT, object_refuses)   /* its object does not allow speculation */            \
	X(CLASSIC_BUS, beyond_end)	    /* beyond the end of the object, or not readable */    \
	X(CLASSIC_CONTENDED, vma_contended) /* vma-lock: a writer has or wants the VMA */

#define QUIRE_OTHERS(X)                                                                            \
	X(LEAF_CONTENDED, leaf_contended)  /* the leaf lock was not free at once */                \
	X(REVALIDATED, revalidated)	   /* the VMA was replaced, this mapping was not */        \
	X(RANGE_WAIT_FAULT, fault_waits)   /* classic faults that waited for a writer's range */   \
	X(RANGE_WAIT_WRITER, writer_waits) /* writers that waited for a range */                   \
	X(UNUSED_FRAME, unused_frames)	   /* frames prepared for nothing */                       \
	X(UNUSED_TABLE, unused_tables)	   /* tables prepared for nothing */                       \
	X(READY_FRAME, ready_frames)	   /* fresh frames that were zeroed ahead */               \
	X(GROWTHS, stack_growths)	   /* VMAs extended by a fault */                          \
	X(OOMS, ooms)			   /* OOM verdicts */                                      \
	X(FLUSHES, flushes)		   /* translation flushes asked of the port */             \
	X(TABLES_FREED, tables_freed)                                                              \
	X(AROUND, mapped_around) /* pages entered beside the one that was asked */                 \
	X(NOWAIT_SPECULATIVE, nowait_speculative) /* callers that asked for both */

enum quire_path {
#define X(name, text) QUIRE_PATH_##name,
	QUIRE_PATHS(X)
#undef X
		QUIRE_PATH_COUNT
};

enum quire_kind {
#define X(name, text) QUIRE_KIND_##name,
	QUIRE_KINDS(X)
#undef X
		QUIRE_KIND_COUNT
};

enum quire_counter {
#define X(name, text) QUIRE_##name,
	QUIRE_RETRIES(X) QUIRE_CLASSICS(X) QUIRE_OTHERS(X)
#undef X
		QUIRE_COUNTER_COUNT
};

struct quire_stats {
	uint64_t faults[QUIRE_PATH_COUNT][QUIRE_KIND_COUNT];
	uint64_t counters[QUIRE_COUNTER_COUNT];
	uint64_t anonymous;		     /* pages mapped now (the zero page not counted) */
	uint64_t object_pages;		     /* pages of objects mapped now (devices not counted) */
	uint64_t tables;		     /* page tables now */
	uint64_t vmas, mapped, locked, data; /* number; bytes */
};

/*
 * mm NULL: totals over all spaces, dead ones included. A snapshot: exact when nothing runs.
 * => the CPU is online. Does not block.
 */
void quire_stats(struct quire_mm *mm, struct quire_stats *stats);

/*
 * What one CPU has counted, over all spaces, dead ones included; what there is now (from
 * `anonymous` on) is 0, and all of it for a CPU that does not exist. As quire_stats.
 */
void quire_stats_cpu(unsigned cpu, struct quire_stats *stats);

/* Names as in the tables above; NULL if out of range. */
const char *quire_path_name(enum quire_path path);
const char *quire_kind_name(enum quire_kind kind);
const char *quire_counter_name(enum quire_counter counter);

/* An event: one way to fail, taken by one fault; or a stalled grace period. */
struct quire_event {
	uint64_t time; /* port_clock() */
	uint64_t address;
	struct quire_mm *mm; /* for comparison only: it may be gone */
	uint16_t cpu;
	/* enum quire_counter; QUIRE_COUNTER_COUNT: a grace period stalls on CPU `address`. */
	uint16_t counter;
	uint32_t sequence; /* counts up on each CPU */
};
/*
 * The last events of a CPU, oldest first, at most `count`; returns how many. Events lost to the
 * ring's size show as gaps in sequence.
 */
size_t quire_events(unsigned cpu, struct quire_event *events, size_t count);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
