/* SPDX-License-Identifier: MIT */
/*
 * Grace periods: the deferring side. The readers' side is inline in grace.h.
 *
 *     grace_defer ─► next ─── begin: raise gp ───► wait ─── every CPU has passed ───► freed
 *                    (gathers)                     (one period)
 *
 * Each CPU has such a list, under its own lock. The CPU itself works on it in grace_defer and
 * grace_poll and takes no other CPU's lock there; grace_barrier works on the lists of all CPUs,
 * also of those that are offline for good, by the very same step. Batches of one list are freed in
 * order and one at a time (`freeing`), so that `freed` counts the items in the order in which they
 * were deferred: that is what a barrier waits for.
 *
 * Why a batch that has waited for g = wait_gp is free:
 *
 *     deferring side                          a reader's CPU
 *     unpublish; defer; raise gp to g         online:  store seen; full fence; first section
 *     full barrier; look at seen              between: load-acquire gp; store-release seen; section
 *
 *   seen >= g    the CPU loaded gp >= g, so it saw what was unpublished: later sections don't find
 *                it. Earlier ones ended before the release store that was seen.
 *   seen == 0    the barriers: either the look sees that the CPU came online, or the CPU's first
 *                section sees the unpublishing. Sections from before it went offline ended before
 *                that release store (and before the one by which it comes online).
 *   A CPU that was found so once has passed for good: `passed` remembers how far the look came, and
 *   each look begins there. A period costs a look at each CPU, and one for each poll too early.
 *
 * Weighed and left: epochs with an announcement in each section (a fence in each); one list for all
 * (one lock for all).
 */
#include "sync/grace.h"
#include "trace/trace.h"

struct grace_cpu *grace_cpus;
_Atomic uint64_t grace_gp;
static unsigned cpu_count;
static uint64_t stall_after;
static _Atomic uint64_t stalls;

static struct grace_cpu *this_cpu(void)
{
	return &grace_cpus[port_cpu()];
}

size_t grace_memory(unsigned cpus)
{
	return cpus * sizeof(struct grace_cpu);
}

void grace_init(void *memory, unsigned cpus, uint64_t stall_ns)
{
	grace_cpus = memory;
	cpu_count = cpus;
	stall_after = stall_ns;
	at_store(&grace_gp, 1ull);
	at_store(&stalls, 0ull);
	memset(memory, 0, grace_memory(cpus));
	for (unsigned i = 0; i < cpus; i++)
		grace_cpus[i].next_tail = &grace_cpus[i].next_head;
}

bool section_inside(void)
{
	bool inside;

	port_pin();
	inside = this_cpu()->depth > 0;
	port_unpin();
	return inside;
}

bool grace_is_online(void)
{
	bool online;

	port_pin();
	online = this_cpu()->online > 0;
	port_unpin();
	return online;
}

void grace_resume(uint32_t nested)
{
	struct grace_cpu *cpu;

	port_pin();
	cpu = this_cpu();
	assert_debug(cpu->depth == 0);
	if (cpu->online == 0 && nested > 0) {
		/*
		 * Acquire: pairs with the raise in begin. Release: with the look in passed_all,
		 * for the sections from before the CPU went offline. Fence: see passed_all.
		 */
		at_store_release(&cpu->seen, at_load_acquire(&grace_gp));
		cpu->era++;
		at_fence();
	}
	cpu->online += nested;
	port_unpin();
}

/* Take `levels` off the nesting, all of them if that is more. Returns how many it took. */
static uint32_t go_offline(uint32_t levels)
{
	struct grace_cpu *cpu;

	port_pin();
	cpu = this_cpu();
	assert_debug(cpu->depth == 0);
	if (levels >= cpu->online) {
		levels = cpu->online;
		/* Release: pairs with the look at seen in passed_all. */
		at_store_release(&cpu->seen, 0ull);
	}
	cpu->online -= levels;
	port_unpin();
	return levels;
}

uint32_t grace_suspend(void)
{
	return go_offline(UINT32_MAX);
}

void grace_online(void)
{
	grace_resume(1);
}

void grace_offline(void)
{
	uint32_t levels = go_offline(1);

	require(levels == 1);
}

/* Have all CPUs passed what the list waits for? => list locked */
static bool passed_all(struct grace_cpu *list)
{
	/*
	 * Between the unpublishing and the look the list was locked, which is a full barrier: it
	 * pairs with the fence of grace_resume.
	 */
	for (; list->passed < cpu_count; list->passed++) {
		/* Pairs with the release stores of grace_quiescent, go_offline, grace_resume. */
		uint64_t seen = at_load_acquire(&grace_cpus[list->passed].seen);

		if (seen != 0 && seen < at_load(&list->wait_gp))
			return false;
	}
	return true;
}

/* What has gathered begins to wait. => list locked, nothing waits on it */
static void begin(struct grace_cpu *list)
{
	list->wait_head = list->next_head;
	list->next_head = NULL;
	list->next_tail = &list->next_head;
	list->next_count = 0;
	/* Release: pairs with the load of grace_gp in grace_quiescent. */
	at_store(&list->wait_gp, at_add(&grace_gp, 1ull) + 1);
	list->wait_since = port_clock();
	list->passed = 0;
	list->reported = false;
}

/* Does the list's period have to be reported now? => list locked, passed_all has said no */
static bool stalled(struct grace_cpu *list)
{
	if (list->reported || stall_after == 0 || port_clock() - list->wait_since < stall_after)
		return false;
	list->reported = true;
	return true;
}

/*
 * Any number of items: a whole sweep's tables may have gathered behind a batch that waited.
 * => pinned, but not all the time; no lock held; the list's `freeing` is ours
 */
static void free_batch(struct grace_cpu *list, struct deferred *item)
{
	uint64_t count = 0;

	while (item) {
		struct deferred *next = item->next;

		item->free(item);
		item = next;
		/* A pinned CPU may answer no flush: not for longer than GRACE_BATCH items. */
		if (++count % GRACE_BATCH == 0) {
			port_unpin();
			port_pin();
		}
	}
	spin_lock(&list->lock, RANK_WAIT);
	/* Release: pairs with the load in grace_barrier. */
	at_store_release(&list->freed, at_load(&list->freed) + count);
	list->freeing = false;
	spin_unlock(&list->lock);
}

/*
 * One step of a list: free what has waited long enough; begin the next period if a batch is full,
 * or if the caller asks and anything has gathered.
 * => pinned, no lock held, outside any section
 */
static void step(struct grace_cpu *list, bool ask)
{
	struct deferred *batch = NULL;
	bool report = false;
	uint32_t who = 0;

	spin_lock(&list->lock, RANK_WAIT);
	if (list->wait_head && !list->freeing) {
		if (passed_all(list)) {
			batch = list->wait_head;
			list->wait_head = NULL;
			at_store(&list->wait_gp, 0ull);
			list->freeing = true;
		} else {
			who = list->passed;
			report = stalled(list);
		}
	}
	if (!list->wait_head && list->next_count >= (ask ? 1 : GRACE_BATCH))
		begin(list);
	spin_unlock(&list->lock);
	if (batch)
		free_batch(list, batch);
	if (report) {
		/* A count of its own: nothing to pair with. */
		at_add(&stalls, 1ull);
		trace_event(NULL, who, QUIRE_COUNTER_COUNT);
	}
}

void grace_defer(struct deferred *item, void (*free)(struct deferred *))
{
	struct grace_cpu *list = this_cpu();

	item->next = NULL;
	item->free = free;
	spin_lock(&list->lock, RANK_WAIT);
	*list->next_tail = item;
	list->next_tail = &item->next;
	/* Only ever changed under the lock; looked at without it. */
	at_store(&list->deferred, at_load(&list->deferred) + 1);
	if (++list->next_count >= GRACE_BATCH && !list->wait_head)
		begin(list);
	spin_unlock(&list->lock);
}

void grace_poll(void)
{
	struct grace_cpu *cpu;

	port_pin();
	cpu = this_cpu();
	assert_debug(cpu->online && cpu->depth == 0);
	assert_none_held();
	grace_quiescent(cpu);
	/* Where no batch waits, less than one has gathered. At worst a barrier is faster. */
	if (at_load(&cpu->wait_gp) != 0)
		step(cpu, false);
	port_unpin();
}

/* A barrier's work on a list. A quiescent state first: it may be what holds up the period. */
static void push(struct grace_cpu *list)
{
	port_pin();
	grace_quiescent(this_cpu());
	step(list, true);
	port_unpin();
}

bool grace_barrier(uint64_t timeout_ns)
{
	uint64_t since = port_clock();

	assert_debug(grace_is_online() && !section_inside());
	assert_none_held();
	/* First all periods begin, so that they pass side by side; then each list is waited for. */
	for (unsigned i = 0; i < cpu_count; i++)
		push(&grace_cpus[i]);
	for (unsigned i = 0; i < cpu_count; i++) {
		struct grace_cpu *list = &grace_cpus[i];
		uint64_t target = at_load(&list->deferred);

		/* Acquire: pairs with the release store of free_batch. */
		for (unsigned turn = 0; at_load_acquire(&list->freed) < target; turn++) {
			if (timeout_ns != 0 && port_clock() - since >= timeout_ns)
				return false;
			port_pause(turn);
			push(list);
		}
	}
	return true;
}

uint64_t grace_pending(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < cpu_count; i++) {
		/* Acquire: pairs with free_batch's release store. So no difference is negative. */
		uint64_t freed = at_load_acquire(&grace_cpus[i].freed);

		sum += at_load(&grace_cpus[i].deferred) - freed;
	}
	return sum;
}

uint64_t grace_stalls(void)
{
	return at_load(&stalls);
}
