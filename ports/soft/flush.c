/* SPDX-License-Identifier: MIT */
/*
 * Shootdowns.
 *
 *     flusher                             target
 *     (entries replaced)
 *     full fence                   A      soft_run: set own bit in space->cpus (barrier)     A
 *     for each CPU in space->cpus:            ... walks, translates, uses host pointers
 *         post in its mailbox             safepoint: if (request) answer
 *     full fence                   B      soft_come_in: inside = 1; full fence               B
 *     for each of them:                       if (request) answer
 *         wait until it is outside
 *         or has answered                 soft_go_out: inside = 0 (release)
 *
 * A: either the flusher sees the bit, or the target's walks begin after the entries were replaced.
 *
 * B: either the flusher sees that the target is inside and waits, or the target sees the request
 * before it uses any translation. A target that is outside uses none.
 *
 * A mailbox holds a few ranges, or "everything"; its lock is held for a few stores and taken
 * nowhere else. To answer is to drop what was asked for and then to store, with release, how many
 * requests that covers: the flusher's acquire load of it orders all that the target did through the
 * old translations before what the flusher does next (it may give the page to somebody else). Where
 * tables were unhooked, what the page-walk cache has, one leaf, is forgotten, too.
 *
 * Two CPUs that flush at once answer each other, since port_pause answers. Weighed and left: one
 * request word with a bit for "everything" and no lock (each small flush would cost its targets
 * their whole TLB), and signals (a target inside a host library can't be interrupted safely).
 */
#include "soft.h"

#define DROP_SINGLY 32 /* pages; a larger range drops the whole TLB */
#define TIMED 16       /* one answer in so many is timed */

unsigned char *soft_memory;
uint64_t soft_frames;
unsigned char soft_cpu_nodes[MAX_CPUS];
struct soft_cpu soft_cpus[MAX_CPUS];
_Thread_local unsigned soft_cpu_index __attribute__((tls_model("initial-exec")));
_Thread_local struct soft_cpu *soft_self __attribute__((tls_model("initial-exec")));

static _Atomic uint32_t no_request; /* of threads that are no CPU */
_Thread_local uint32_t soft_key_register __attribute__((tls_model("initial-exec")));
_Thread_local _Atomic uint32_t *soft_request
	__attribute__((tls_model("initial-exec"))) = &no_request;

static void drop_slot(struct quire_soft_tlb_entry *entry)
{
	entry->tag_read = SOFT_NO_TAG;
	entry->tag_write = SOFT_NO_TAG;
	entry->tag_exec = SOFT_NO_TAG;
}

void soft_drop_all(struct soft_cpu *cpu)
{
	for (unsigned i = 0; i < QUIRE_SOFT_TLB; i++)
		drop_slot(&cpu->public.tlb[i]);
	soft_forget_leaf(cpu);
}

static void drop_range(struct soft_cpu *cpu, uint64_t start, uint64_t end)
{
	if (end > start && end - start > DROP_SINGLY * PAGE_SIZE) {
		soft_drop_all(cpu);
		return;
	}
	for (uint64_t at = start; at < end; at += PAGE_SIZE)
		drop_slot(&cpu->public.tlb[at / PAGE_SIZE % QUIRE_SOFT_TLB]);
}

/* Not a lock of the core: it has no rank, and who waits for it must not answer meanwhile. */
static void mailbox_lock(struct soft_cpu *cpu)
{
	uint32_t free = 0;

	/* Pairs with mailbox_unlock: who sees a request sees what was replaced before it. */
	for (unsigned turn = 0; !at_cas(&cpu->lock, &free, 1u); free = 0)
		soft_relax(turn++);
}

static void mailbox_unlock(struct soft_cpu *cpu)
{
	/* Pairs with the exchange of mailbox_lock. */
	at_store_release(&cpu->lock, 0u);
}

/* Ask the CPU to drop [start, end), and its leaf. Returns what `answered` must reach. */
static uint64_t post(struct soft_cpu *cpu, uint64_t start, uint64_t end, bool tables)
{
	mailbox_lock(cpu);
	cpu->tables |= tables;
	if (cpu->count == SOFT_RANGES) {
		cpu->everything = true;
	} else {
		cpu->ranges[cpu->count].start = start;
		cpu->ranges[cpu->count].end = end;
		cpu->count++;
	}
	uint64_t number = ++cpu->posted;

	at_store(&cpu->public.request, 1u);
	mailbox_unlock(cpu);
	return number;
}

static void answer(struct soft_cpu *cpu)
{
	mailbox_lock(cpu);
	if (cpu->everything)
		soft_drop_all(cpu);
	else
		for (uint32_t i = 0; i < cpu->count; i++)
			drop_range(cpu, cpu->ranges[i].start, cpu->ranges[i].end);
	if (cpu->tables)
		soft_forget_leaf(cpu);
	cpu->everything = false;
	cpu->tables = false;
	cpu->count = 0;
	uint64_t number = cpu->posted;

	at_store(&cpu->public.request, 0u);
	mailbox_unlock(cpu);
	/* Pairs with wait_for: accesses by what was dropped are over. */
	at_store_release(&cpu->answered, number);
}

void soft_answer(void)
{
	struct soft_cpu *cpu = soft_self;
	/* Two looks at the clock would cost about as much as the answer itself. */
	bool timed = cpu->public.flushes++ % TIMED == 0;
	uint64_t since = timed ? port_clock() : 0;

	answer(cpu);
	if (timed)
		cpu->public.flush_ns += (port_clock() - since) * TIMED;
}

static void wait_for(struct soft_cpu *cpu, uint64_t number)
{
	unsigned turn = 0;

	/* Acquire, both: pair with soft_go_out and soft_answer. */
	while (at_load_acquire(&cpu->inside) != 0 && at_load_acquire(&cpu->answered) < number)
		port_pause(turn++);
}

/* Post to all of 64 CPUs, then wait for all. */
static void flush_some(unsigned first, uint64_t cpus, uint64_t start, uint64_t end, bool tables)
{
	uint64_t numbers[64];

	for (uint64_t left = cpus; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		numbers[i] = post(&soft_cpus[first + i], start, end, tables);
	}
	/* B: pairs with the fence of soft_come_in. */
	at_fence();
	for (uint64_t left = cpus; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		wait_for(&soft_cpus[first + i], numbers[i]);
	}
}

void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables)
{
	/* A: pairs with the addition in soft_run. */
	at_fence();
	for (unsigned first = 0; first < MAX_CPUS; first += 64) {
		/* Acquire: pairs with soft_run's end of a run. */
		uint64_t cpus = at_load_acquire(&space->cpus[first / 64]);

		if (cpus == 0)
			continue;
		if (soft_self != NULL && soft_cpu_index / 64 == first / 64 &&
		    (cpus >> soft_cpu_index % 64 & 1) != 0) {
			drop_range(soft_self, start, end);
			if (tables)
				soft_forget_leaf(soft_self);
			cpus &= ~(1ull << soft_cpu_index % 64);
		}
		if (cpus != 0)
			flush_some(first, cpus, start, end, tables);
	}
}

void soft_come_in(struct soft_cpu *cpu)
{
	at_store(&cpu->inside, 1u);
	/* B: pairs with the fence of flush_some. */
	at_fence();
	if (at_load(&cpu->public.request) != 0)
		soft_answer();
}

void soft_go_out(struct soft_cpu *cpu)
{
	/* Pairs with wait_for. */
	at_store_release(&cpu->inside, 0u);
}

void soft_run(struct soft_cpu *cpu, struct port_space *space)
{
	unsigned index = cpu->public.index;

	soft_drop_all(cpu);
	if (cpu->space != NULL)
		/* Release: pairs with port_flush's look at the set. */
		at_sub(&cpu->space->cpus[index / 64], 1ull << index % 64);
	cpu->space = space;
	if (space != NULL)
		/* A: a full barrier, which pairs with the fence of port_flush. */
		at_add(&space->cpus[index / 64], 1ull << index % 64);
}

void soft_adopt(struct soft_cpu *cpu)
{
	soft_self = cpu;
	soft_cpu_index = cpu->public.index;
	soft_request = &cpu->public.request;
	soft_key_register = cpu->public.key_register;
	soft_drop_all(cpu);
}

void soft_abandon(void)
{
	soft_self = NULL;
	soft_cpu_index = 0;
	soft_request = &no_request;
	soft_key_register = 0;
}

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels)
{
	if (levels < 4 || levels > PORT_MAX_LEVELS)
		return -QUIRE_EINVAL;
	space->root_pfn = root_pfn;
	space->levels = levels;
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		at_store(&space->cpus[i], 0ull);
	return 0;
}

void port_space_exit(struct port_space *space)
{
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		require(at_load(&space->cpus[i]) == 0);
}
