/* SPDX-License-Identifier: MIT */
/*
 * Grace periods: what a reader in a section may still hold is freed only after it has left.
 *
 * Quiescent-state based. A CPU is *online* while it may run sections, *offline* while it sleeps,
 * idles or runs code that has nothing to do with Quire. Each end of an outermost section is a
 * quiescent state, and a port reports others (a safepoint of guest code, return to user, a context
 * switch).
 *
 *     gp          a global number, raised by one when a batch of deferred work begins to wait
 *     cpu.seen    the gp that the CPU has seen in a quiescent state; 0: offline
 *
 * Writer: unpublish; raise gp to g; the batch may run when each CPU has seen >= g or is offline.
 * Reader: enters by nothing at all; leaves by "load-acquire gp; if it is new, store-release seen".
 *   That is right without a fence: a CPU that has loaded gp >= g (acquire) sees everything that was
 *   unpublished before (release), so no later section of it finds the object; earlier sections
 *   ended before the release store.
 * Online is where the fence is: store seen, full fence, then the first section; the writer
 *   unpublishes, locks its list (a full barrier), looks at seen: one of the two sees the other.
 *
 * Deferred work is kept in per-CPU lists, each with its own lock: `next` gathers; when `wait`
 * is empty and next has GRACE_BATCH entries (or someone asks), next becomes wait and gp is raised.
 * A CPU polls its own wait list at the ends of writers' calls and in quire_quiescent; a list of a
 * CPU that goes offline is taken over by whoever calls grace_barrier, or goes on when it is online
 * again. A period that has not ended after stall_ns is reported once: a counter, an event naming
 * the CPU.
 */
#ifndef QUIRE_SYNC_GRACE_H
#define QUIRE_SYNC_GRACE_H

#include "port.h"
#include "sync/atomic.h"
#include "sync/spin.h"

#define GRACE_BATCH 64

/* Embedded in what is freed later. `free` runs with no lock held, pinned, outside any section. */
struct deferred {
	struct deferred *next;
	void (*free)(struct deferred *);
};

struct grace_cpu {
	/* This CPU's own: written in each section. */
	uint32_t depth; /* nesting of sections */
	uint32_t online;
	uint64_t era; /* see grace_era */
	/* The deferred lists, in grace.c's keeping: under `lock` */
	uint32_t next_count;
	uint32_t passed; /* CPUs below this one no longer hold up wait_head */
	struct deferred *next_head, **next_tail;
	uint64_t wait_since; /* port_clock() when it began */

	/* Read by all. */
	_Atomic uint64_t seen __attribute__((aligned(64))); /* written by this CPU only */
	struct deferred *wait_head;
	_Atomic uint64_t wait_gp;	  /* the period that wait_head waits for; 0: it is empty */
	_Atomic uint64_t deferred, freed; /* items ever put on the list, and freed of them */
	bool reported, freeing;		  /* the period stalls; somebody is at freeing a batch */
	struct spinlock lock;		  /* guards the lists: grace_barrier takes them over */
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct grace_cpu) == 128, "two cache lines a CPU");

extern HIDDEN struct grace_cpu *grace_cpus;
extern HIDDEN _Atomic uint64_t grace_gp;

/*
 * Bytes that grace_init needs (aligned to 128), and the start. All CPUs begin offline. stall_ns 0:
 * no period is reported as stalled.
 */
size_t grace_memory(unsigned cpus);
void grace_init(void *memory, unsigned cpus, uint64_t stall_ns);

/* => on this CPU, pinned, outside any section */
static inline void grace_quiescent(struct grace_cpu *cpu)
{
	/* Acquire: pairs with the raise of grace_gp. Release: pairs with grace.c's look at seen. */
	uint64_t gp = at_load_acquire(&grace_gp);

	if (unlikely(gp != at_load(&cpu->seen))) {
		at_store_release(&cpu->seen, gp);
		cpu->era++;
	}
}

/* A section: pinned, never sleeps, may nest. Returns whose. => the CPU is online. */
static inline struct grace_cpu *section_enter(void)
{
	port_pin();
	struct grace_cpu *cpu = &grace_cpus[port_cpu()];

	assert_debug(cpu->online);
	cpu->depth++;
	return cpu;
}

/* => `cpu` is what section_enter returned */
static inline void section_leave_as(struct grace_cpu *cpu)
{
	assert_debug(cpu->depth > 0);
	if (likely(--cpu->depth == 0))
		grace_quiescent(cpu);
	port_unpin();
}

static inline void section_leave(void)
{
	section_leave_as(&grace_cpus[port_cpu()]);
}

/*
 * A number that changes whenever this CPU passes a period or comes online. What was found not to be
 * retired in a section is still allocated in a later one of the same era: it is freed after a
 * period that begins after its retirement, and this CPU, online all the time, holds that up. (What
 * it has seen of the periods would not do: a CPU that was offline in between was not waited for,
 * and may see the same number again.) => in a section
 */
static inline uint64_t grace_era(void)
{
	return grace_cpus[port_cpu()].era;
}

/* True inside a section. For assertions. */
bool section_inside(void);

/* Bring the calling CPU under grace periods, and take it out. Nest (a count). Not in a section. */
void grace_online(void);
void grace_offline(void);
bool grace_is_online(void);
/*
 * Offline however often it is nested, and back to what it was: around a sleep. What runs on the CPU
 * meanwhile brings it online itself. grace_suspend returns what grace_resume needs. Not in a
 * section.
 */
uint32_t grace_suspend(void);
void grace_resume(uint32_t nested);

/*
 * Reports a quiescent state and runs what has waited long enough.
 * => online, outside any section, no lock held. Never sleeps.
 */
void grace_poll(void);

/*
 * Run free(item) after every section that is open now has ended.
 * => pinned or in a section; never fails, never sleeps
 */
void grace_defer(struct deferred *item, void (*free)(struct deferred *));

/*
 * Returns when everything that any CPU deferred before the call has been freed.
 * => online, outside any section, no lock held; may wait for other CPUs' sections (spins with
 *    port_pause), for at most timeout_ns (0: no bound). Returns false if the time ran out.
 */
bool grace_barrier(uint64_t timeout_ns);

/* Items deferred and not yet freed, over all CPUs: a snapshot. */
uint64_t grace_pending(void);
/* Periods reported as stalled so far. */
uint64_t grace_stalls(void);

#endif
