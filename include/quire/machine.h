/* SPDX-License-Identifier: MIT */
/*
 * Starting Quire, and what a CPU owes it.
 *
 * There is one Quire in a program: the memory, the CPUs and the counters are global; address spaces
 * are many. A port's own header (for instance quire/soft.h) has an easier start for its users.
 */
#ifndef QUIRE_MACHINE_H
#define QUIRE_MACHINE_H

#include <quire/types.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

struct quire_memory {
	uint64_t base, size; /* bytes of physical memory, of which whole pages are used */
	unsigned node;	     /* NUMA node, below quire_config.nodes */
};

struct quire_config {
	unsigned cpus;	 /* 1 to 256: port_cpu() returns less than this */
	unsigned nodes;	 /* 1 to 8 */
	unsigned levels; /* of page tables: 4, or 5 where the port can */
	const struct quire_memory *memory;
	size_t memory_count;
	uint64_t stall_ns; /* report a grace period that lasts longer; 0: one second */
};

/*
 * => called once, by one CPU, before anything else.
 * Returns 0; -QUIRE_EINVAL: a number out of the ranges above, or memory that overlaps;
 * -QUIRE_ENOMEM: the largest range is too small for the descriptors (64 bytes a frame) and the
 * per-CPU blocks; -QUIRE_EBUSY: it is running already.
 */
int quire_init(const struct quire_config *config);
/*
 * => no other CPU is online.
 * Returns 0, after which all memory is the caller's again and quire_init may be called anew;
 * -QUIRE_EBUSY: address spaces or objects exist.
 */
int quire_exit(void);

/*
 * A CPU is *online* while it may call Quire; while it sleeps, idles or is otherwise away for long
 * it must be *offline*, or it delays the freeing of memory for everybody. The calls nest. Both are
 * cheap, online has one full fence. Never block.
 */
void quire_cpu_online(void);
void quire_cpu_offline(void);
/*
 * "I hold nothing of Quire's": on return to user mode, on context switch, at safepoints. A load
 * when there is nothing to do.
 */
void quire_quiescent(void);
/* For an idle CPU, online: zero up to `pages` frames ahead of need. Returns how many it did. */
unsigned quire_idle(unsigned pages);

/*
 * Wait until everything that was waiting for a grace period is freed. Returns 0, or -QUIRE_EAGAIN
 * if timeout_ns (0: none) ran out.
 */
int quire_barrier(uint64_t timeout_ns);

/*
 * Memory for the embedder's own use: a block of 2^order pages, order 0 to QUIRE_PAGES_ORDER,
 * aligned to its size, where port_frame reaches it; zeroed or with undefined contents. NULL: no
 * such block, or a larger order; then quire_reclaim and quire_barrier may help. Neither call
 * blocks. quire_pages_free takes what quire_pages_alloc gave, with the same order. => the CPU is
 * online
 */
#define QUIRE_PAGES_ORDER 10
void *quire_pages_alloc(unsigned order, bool zeroed);
void quire_pages_free(void *pages, unsigned order);

struct quire_memory_stats {
	uint64_t total, free;	  /* pages; free includes what CPUs have in stock */
	uint64_t stocked, zeroed; /* of the free ones: in CPUs' stocks, and zeroed ahead */
	uint64_t deferred;	  /* things that wait for a grace period */
	uint64_t stalls;	  /* grace periods that were reported as stalled */
};
void quire_memory_stats(struct quire_memory_stats *);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
