/* SPDX-License-Identifier: MIT */
/*
 * Shootdowns.
 *
 *     flusher                                 CPU that takes up the space (quire_x86_switch)
 *     (entries replaced)
 *     full fence                        A     own bit into space->cpus (full barrier)        A
 *     read space->cpus                        load the root; walks begin
 *                                             own bit out of the old space's set
 *
 *     flusher                                 target, in the interrupt
 *     request = range; waiting = n      B     mask = exchange(pending, 0)                    B
 *     for each target:                        for each flusher in mask:
 *         own bit into its pending                drop its request's range
 *         the first bit there? interrupt          its waiting -= 1                           C
 *     drop the range itself
 *     wait until waiting == 0           C
 *
 * A: either the flusher sees the bit, or the target's walks begin after the entries were replaced.
 * A CPU leaves a set after it has loaded another root, which dropped everything of the old one. So
 * the set is exactly those CPUs that may translate or walk by the tables; an idle CPU has the
 * kernel's root and is in no set: it is not interrupted, and finds nothing stale when it comes
 * back.
 *
 * B: who takes the mask sees the requests behind its bits. If other bits were there before ours,
 * somebody else's interrupt is on its way, and will find ours: it is sent after the bit was set,
 * and the mask is taken after it came.
 *
 * C: all that the target did by the old translations is before the subtraction, and before what the
 * flusher does next (it may give the page to somebody else). The interrupt itself came between two
 * instructions: nothing of the target is half-way through a translation.
 *
 * Each flusher has one request, its CPU's. It waits with interrupts enabled, so it answers others
 * that wait for it: any number may flush at once. A request is dropped by whoever is asked, without
 * a look at which space it runs by now: at worst that was for nothing.
 *
 * Weighed and left: leaving the tables loaded in idle CPUs, marked, and flushed when they come back
 * ("lazy"). It would save them a reload; but a CPU walks its tables ahead of need, idle or not, so
 * when a table goes away it had to be interrupted after all. Process-context identifiers would keep
 * translations over a reload, and need a count of flushes for each space and identifier.
 */
#include "x86.h"

#include "space/mm.h"

#define DROP_SINGLY 32 /* pages; for more, everything is dropped */

struct quire_x86_cpu *x86_cpus[MAX_CPUS];
uint32_t x86_moves;

static struct quire_x86_cpu *self(void)
{
	return x86_cpus[port_cpu()];
}

/* An empty range is for the sake of tables above the leaves. */
static void drop(uint64_t start, uint64_t end)
{
	if (start == end || end - start > DROP_SINGLY * PAGE_SIZE)
		x86_load_root(x86_root());
	else
		for (; start < end; start += PAGE_SIZE)
			x86_drop_page(start);
}

/* Ask the CPU to look at the request of this one. */
static void post(unsigned target, unsigned index)
{
	_Atomic uint64_t *pending = x86_shared(&x86_cpus[target]->pending[index / 64]);

	/* B: pairs with the exchange of quire_x86_flush_interrupt. */
	if (at_add(pending, 1ull << index % 64) == 0)
		quire_x86_send(target);
}

static void ask(const uint64_t *cpus, unsigned index)
{
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		for (uint64_t left = cpus[i]; left != 0; left &= left - 1)
			post(i * 64 + (unsigned)__builtin_ctzll(left), index);
}

void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables)
{
	unsigned index = port_cpu(), others = 0, turn = 0;
	struct quire_x86_cpu *cpu = x86_cpus[index];
	_Atomic uint64_t *waiting = x86_shared(&cpu->waiting);
	uint64_t cpus[MAX_CPUS / 64];
	bool own;

	assert_debug(x86_interrupts_enabled());
	(void)tables; /* what drops translations drops walks, too */
	/* A: pairs with the addition of quire_x86_switch. */
	at_fence();
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		/* Acquire: pairs with quire_x86_switch's leaving. */
		cpus[i] = at_load_acquire(&space->cpus[i]);
	own = cpus[index / 64] >> index % 64 & 1;
	cpus[index / 64] &= ~(1ull << index % 64);
	for (unsigned i = 0; i < MAX_CPUS / 64; i++)
		for (uint64_t left = cpus[i]; left != 0; left &= left - 1)
			others++;
	if (others != 0) {
		cpu->start = start;
		cpu->end = end;
		at_store(waiting, (uint64_t)others);
		ask(cpus, index);
	}
	if (own) {
		drop(start, end);
		cpu->flushes++;
	}
	/* C: pairs with the subtraction of quire_x86_flush_interrupt. */
	while (others != 0 && at_load_acquire(waiting) != 0)
		port_pause(turn++);
}

static void answer(struct quire_x86_cpu *flusher)
{
	drop(flusher->start, flusher->end);
	self()->interrupts++;
	/* C: pairs with the load of port_flush, after which the request is another one. */
	at_sub(x86_shared(&flusher->waiting), 1ull);
}

void quire_x86_flush_interrupt(void)
{
	struct quire_x86_cpu *cpu = self();

	for (unsigned i = 0; i < MAX_CPUS / 64; i++) {
		_Atomic uint64_t *pending = x86_shared(&cpu->pending[i]);

		if (at_load(pending) == 0)
			continue;
		/* B: pairs with the addition of post. */
		for (uint64_t mask = at_xchg(pending, 0ull); mask != 0; mask &= mask - 1)
			answer(x86_cpus[i * 64 + (unsigned)__builtin_ctzll(mask)]);
	}
}

void quire_x86_switch(struct quire_mm *mm)
{
	struct quire_x86_cpu *cpu = self();
	struct port_space *from = cpu->space, *to = mm != NULL ? &mm->tables.port : NULL;
	unsigned word = cpu->index / 64;
	uint64_t bit = 1ull << cpu->index % 64;

	if (to == from)
		return;
	if (to != NULL)
		/* A: pairs with the fence of port_flush. */
		at_add(&to->cpus[word], bit);
	x86_load_root(to != NULL ? to->root_pfn << PAGE_SHIFT : x86_machine.kernel_root);
	cpu->space = to;
	if (from != NULL)
		/* Release: pairs with port_flush's look at the set. */
		at_sub(&from->cpus[word], bit);
}
