/* SPDX-License-Identifier: MIT */
/* The soft port, inside: a virtual CPU as flushes see it, and what the port's files share. */
#ifndef SOFT_H
#define SOFT_H

#include "port.h"
#include "sync/atomic.h"
#include <quire/soft.h>

#define SOFT_RANGES 4	 /* requests that a mailbox keeps apart; more become "everything" */
#define SOFT_NO_TAG 1ull /* matches no page */

struct soft_cpu {
	struct quire_soft_cpu public;
	/* The mailbox, on a line with public.request, which is part of it. */
	_Atomic uint32_t lock;
	bool everything, tables; /* tables: the leaf, too */
	uint32_t count;		 /* of ranges */
	uint64_t posted;	 /* number of requests so far */
	struct {
		uint64_t start, end;
	} ranges[SOFT_RANGES];

	/* Written by the CPU itself; others read. */
	_Atomic uint64_t answered __attribute__((aligned(64))); /* that many requests */
	_Atomic uint32_t inside;

	_Atomic uint32_t taken;	  /* by a thread */
	uint32_t depth;		  /* of quire_soft_enter; this CPU's own */
	struct port_space *space; /* that it runs; this CPU's own */

	/* The page-walk cache (mmu.c), this CPU's own: address / SOFT_LEAF_SPAN, or SOFT_NO_LEAF */
	uint64_t leaf_of __attribute__((aligned(64)));
	_Atomic pte *leaf;
};

#define SOFT_LEAF_SPAN (PAGE_SIZE * TABLE_ENTRIES) /* what a leaf translates */
#define SOFT_NO_LEAF UINT64_MAX			   /* greater than any of these */

extern struct soft_cpu soft_cpus[MAX_CPUS];
extern _Thread_local struct soft_cpu *soft_self __attribute__((tls_model("initial-exec")));

/* The calling thread becomes the CPU, outside, its TLB empty; and the reverse. => no space. */
void soft_adopt(struct soft_cpu *cpu);
void soft_abandon(void);

/* Between outside and inside. => the calling thread's CPU, in the other state. */
void soft_come_in(struct soft_cpu *cpu);
void soft_go_out(struct soft_cpu *cpu);

static inline void soft_forget_leaf(struct soft_cpu *cpu)
{
	cpu->leaf_of = SOFT_NO_LEAF;
}

/* Run another space (NULL: none). => this CPU's; translations are dropped. */
void soft_run(struct soft_cpu *cpu, struct port_space *space);
void soft_drop_all(struct soft_cpu *cpu);

/* One turn of a wait that answers nobody. */
void soft_relax(unsigned turn);

#endif
