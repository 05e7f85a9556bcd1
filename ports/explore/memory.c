/* SPDX-License-Identifier: MIT */
/*
 * Memory that virtual CPUs share: the atomics, their order, and store buffers.
 *
 * A location is the address of an atomic access; nothing is accessed in parts of different sizes.
 * It is *shared* once two CPUs have used it in one run and one of them has stored. Only accesses to
 * shared locations are scheduling points, and only they are part of what a state is: the others
 * commute with whatever others do. What turns out to be shared in one pass of a search counts from
 * the next pass on (memory_freeze).
 *
 * A state is what each CPU has done to shared memory and what each of these accesses depended on:
 * a hash for each CPU, of its accesses in order, each with the hash of the store that it saw and,
 * for a store, of the loads that came before it. Equal hashes: schedules that differ in the order
 * of independent accesses only, so equal states.
 *
 * Order (to find data races, watch.c) is that of C11: a release store carries its CPU's clock, an
 * acquire load that sees it joins it; so with a full fence before a relaxed store, and after a
 * relaxed load.
 *
 * Store buffers (weak modes). A store may be held back: a choice, bounded by options.delays. Then
 *     TSO             each later store of the CPU queues behind it
 *     out of order    only release stores and stores to the same place do
 * until the CPU's next fence, read-modify-write, pause, sleep or end. Its own loads see it.
 */
#include "inside.h"
#include <string.h>

struct location {
	const volatile void *address;
	bool shared, found; /* in this pass; for the next one */
	/* Of this run: */
	uint64_t run;
	uint8_t users, writers;
	uint64_t stored, loaded; /* hashes: of the last store; of the loads since, summed up */
	struct clock clock;	 /* that the last store carries */
};

#define TABLE (1u << 16)
#define CLOCK_MAX (1u << 31) /* a run adds far less than what is left above it */
static struct location locations[TABLE];
static unsigned used, shared_count;
static uint64_t run;
static uint32_t base; /* what every clock has seen at the start of a run */
bool memory_all_shared;

void memory_reset(void)
{
	memset(locations, 0, sizeof(locations));
	used = shared_count = 0;
}

/* Where the location is, or would be. */
static uint64_t slot_of(const volatile void *address)
{
	uint64_t i = mix((uintptr_t)address, 0) % TABLE;

	while (locations[i].address != address && locations[i].address != NULL)
		i = (i + 1) % TABLE;
	return i;
}

static struct location *location_of(const volatile void *address)
{
	uint64_t i = slot_of(address);

	if (locations[i].address == NULL) {
		if (++used > TABLE / 2)
			explore_fail("too many locations");
		locations[i].address = address;
	}
	struct location *l = &locations[i];

	if (l->run != run) {
		l->run = run;
		l->users = l->writers = 0;
		l->stored = l->loaded = 0;
		for (unsigned c = 0; c < CPUS; c++)
			l->clock.at[c] = base;
	}
	return l;
}

bool memory_freeze(void)
{
	bool new = false;

	for (unsigned i = 0; i < TABLE; i++) {
		struct location *l = &locations[i];

		if (l->found && !l->shared) {
			l->shared = new = true;
			shared_count++;
		}
	}
	return new;
}

unsigned memory_shared(void)
{
	return shared_count;
}

void memory_begin_run(void)
{
	for (unsigned i = 0; i < CPUS; i++)
		for (unsigned c = 0; c < CPUS; c++)
			if (vcpus[i].clock.at[c] > base)
				base = vcpus[i].clock.at[c];
	if (base > CLOCK_MAX) {
		watch_forget_clocks();
		base = 0;
	}
	run++;
	for (unsigned i = 0; i < CPUS; i++) {
		for (unsigned c = 0; c < CPUS; c++)
			vcpus[i].clock.at[c] = base;
		vcpus[i].fenced = vcpus[i].pending = vcpus[i].clock;
		vcpus[i].clock.at[i] = base + 1;
	}
}

static void join(struct clock *to, const struct clock *from)
{
	for (unsigned c = 0; c < CPUS; c++)
		if (to->at[c] < from->at[c])
			to->at[c] = from->at[c];
}

static void use(struct location *l, bool store)
{
	l->users |= (uint8_t)(1u << self);
	if (store)
		l->writers |= (uint8_t)(1u << self);
	if (l->writers && (l->users & (l->users - 1)))
		l->found = true;
}

/* The access becomes part of the CPU's history, and of the location's. */
static void note_load(struct location *l)
{
	struct vcpu *me = &vcpus[self];

	if (!l->shared)
		return;
	me->history = mix(mix(me->history, l->stored), (uintptr_t)l->address);
	l->loaded += me->history;
}

static void note_store(struct location *l)
{
	struct vcpu *me = &vcpus[self];

	if (!l->shared)
		return;
	me->history = mix(mix(me->history, l->stored + 1), mix((uintptr_t)l->address, l->loaded));
	l->stored = me->history;
	l->loaded = 0;
}

/* Before any access: a step, perhaps a switch. Only then may anything be looked at. */
static struct location *begin(const volatile void *p, unsigned size, bool store, const void *pc)
{
	struct location *l = location_of(p);

	use(l, store);
	run_step(l->shared || memory_all_shared);
	watch_atomic(p, size, pc);
	return l;
}

static bool visible(const struct location *l)
{
	return l->shared || l->found;
}

/* --- bytes --- */

static uint64_t get(const volatile void *p, unsigned size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)p;
	case 2:
		return *(const volatile uint16_t *)p;
	case 4:
		return *(const volatile uint32_t *)p;
	default:
		return *(const volatile uint64_t *)p;
	}
}

static void put(volatile void *p, unsigned size, uint64_t value)
{
	if (phase != PHASE_SETUP)
		watch_save(p, size);
	writes++;
	switch (size) {
	case 1:
		*(volatile uint8_t *)p = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)p = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)p = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)p = value;
	}
}

/* --- store buffers --- */

static bool overlap(const struct buffered *b, const volatile void *p, unsigned size)
{
	uintptr_t a = (uintptr_t)b->address, c = (uintptr_t)p;

	return a < c + size && c < a + b->size;
}

static const struct buffered *find(const volatile void *p, unsigned size)
{
	const struct vcpu *me = &vcpus[self];

	for (unsigned i = me->buffered; i-- > 0;)
		if (overlap(&me->buffer[i], p, size))
			return &me->buffer[i];
	return NULL;
}

void memory_drain(unsigned cpu)
{
	struct vcpu *v = &vcpus[cpu];

	if (v->buffered == 0)
		return;
	/* Others may run before: they see that it has not happened yet. */
	if (cpu == self)
		run_step(true);
	for (unsigned i = 0; i < v->buffered; i++) {
		const struct buffered *b = &v->buffer[i];
		struct location *l = location_of(b->address);

		if (options.print)
			report_access("  reaches memory", b->address, b->value, b->site, NULL,
				      visible(l));
		put(b->address, b->size, b->value);
		l->clock = b->clock;
		l->stored = mix(b->hash, mix(l->stored, l->loaded));
		l->loaded = 0;
		v->history = mix(v->history, l->stored);
	}
	v->buffered = 0;
}

void memory_before_plain_read(const volatile void *p, unsigned size)
{
	if (vcpus[self].buffered && find(p, size))
		memory_drain(self);
}

/* Is this store held back, by necessity or by choice? */
static bool held_back(const struct location *l, const volatile void *p, unsigned size,
		      enum explore_order order)
{
	static const unsigned no_yes[] = { 0, 1 };
	const struct vcpu *me = &vcpus[self];

	if (options.memory == EXPLORE_CONSISTENT || me->buffered == BUFFER_MAX)
		return false;
	if (me->buffered &&
	    (options.memory == EXPLORE_TSO || order == EXPLORE_RELEASE || find(p, size)))
		return true;
	if (!(l->shared || memory_all_shared) || run_delays() >= options.delays ||
	    search_choose(CHOICE_DELAY, no_yes, 2) == 0)
		return false;
	run_delayed();
	return true;
}

static void hold_back(struct location *l, volatile void *p, unsigned size, uint64_t value,
		      const struct clock *clock, const struct explore_site *site)
{
	struct vcpu *me = &vcpus[self];

	if (l->shared)
		me->history = mix(me->history, (uintptr_t)p + 2);
	me->buffer[me->buffered++] = (struct buffered){ p, size, value, me->history, *clock, site };
}

/* --- the operations --- */

uint64_t memory_load(const volatile void *p, unsigned size, enum explore_order order,
		     const struct explore_site *site, const void *pc)
{
	struct vcpu *me = &vcpus[self];
	const struct buffered *own;
	struct location *l;
	uint64_t value;

	if (phase != PHASE_RUN) {
		watch_observe(p, size, EXPLORE_READ);
		return get(p, size);
	}
	l = begin(p, size, false, pc);
	own = find(p, size);
	if (own && (own->address != p || own->size != size)) {
		memory_drain(self);
		own = NULL;
	}
	value = own ? own->value : get(p, size);
	if (!own) {
		note_load(l);
		join(order == EXPLORE_RELAXED ? &me->pending : &me->clock, &l->clock);
	}
	watch_mixed(p, pc);
	if (options.print)
		report_access(order == EXPLORE_RELAXED ? "load" : "load acquire", p, value, site,
			      pc, visible(l));
	return value;
}

uint64_t explore_load(const volatile void *p, unsigned size, enum explore_order order,
		      const struct explore_site *site)
{
	return memory_load(p, size, order, site, __builtin_return_address(0));
}

void memory_store(volatile void *p, unsigned size, uint64_t value, enum explore_order order,
		  const struct explore_site *site, const void *pc)
{
	struct vcpu *me = &vcpus[self];
	struct clock clock;
	struct location *l;
	bool held;

	if (phase != PHASE_RUN) {
		watch_observe(p, size, EXPLORE_WRITE);
		put(p, size, value);
		return;
	}
	l = begin(p, size, true, pc);
	clock = order == EXPLORE_RELAXED ? me->fenced : me->clock;
	if (order != EXPLORE_RELAXED)
		me->clock.at[self]++;
	held = held_back(l, p, size, order);
	if (options.print)
		report_access(held			 ? "store, held back"
			      : order == EXPLORE_RELAXED ? "store"
							 : "store release",
			      p, value, site, pc, visible(l));
	if (held) {
		hold_back(l, p, size, value, &clock, site);
		return;
	}
	put(p, size, value);
	note_store(l);
	l->clock = clock;
}

void explore_store(volatile void *p, unsigned size, uint64_t value, enum explore_order order,
		   const struct explore_site *site)
{
	memory_store(p, size, value, order, site, __builtin_return_address(0));
}

static void end_rmw(struct location *l, volatile void *p, unsigned size, uint64_t value,
		    const void *pc)
{
	struct vcpu *me = &vcpus[self];

	join(&me->clock, &l->clock);
	watch_mixed(p, pc);
	put(p, size, value);
	note_store(l);
	l->clock = me->clock;
	me->clock.at[self]++;
}

/* The old value becomes (old & keep) + operand. */
static uint64_t rmw(const char *operation, volatile void *p, unsigned size, uint64_t keep,
		    uint64_t operand, const struct explore_site *site, const void *pc)
{
	struct location *l;
	uint64_t old;

	if (phase != PHASE_RUN) {
		watch_observe(p, size, EXPLORE_RMW);
		old = get(p, size);
		put(p, size, (old & keep) + operand);
		return old;
	}
	l = begin(p, size, true, pc);
	memory_drain(self);
	old = get(p, size);
	end_rmw(l, p, size, (old & keep) + operand, pc);
	if (options.print)
		report_access(operation, p, (old & keep) + operand, site, pc, visible(l));
	return old;
}

uint64_t explore_xchg(volatile void *p, unsigned size, uint64_t value,
		      const struct explore_site *site)
{
	return rmw("exchange", p, size, 0, value, site, __builtin_return_address(0));
}

uint64_t explore_add(volatile void *p, unsigned size, uint64_t value,
		     const struct explore_site *site)
{
	return rmw("add", p, size, UINT64_MAX, value, site, __builtin_return_address(0));
}

bool explore_cas(volatile void *p, unsigned size, void *expected, uint64_t desired,
		 const struct explore_site *site)
{
	const void *pc = __builtin_return_address(0);
	uint64_t wanted = get(expected, size), old;
	struct location *l;
	bool same;

	if (phase != PHASE_RUN) {
		watch_observe(p, size, EXPLORE_RMW);
		old = get(p, size);
		if (old == wanted)
			put(p, size, desired);
		else
			memcpy(expected, &old, size);
		return old == wanted;
	}
	/* One that fails is no barrier, but for TSO's. */
	l = begin(p, size, true, pc);
	if (options.memory == EXPLORE_TSO || find(p, size) || get(p, size) == wanted)
		memory_drain(self);
	old = get(p, size);
	same = old == wanted;
	if (same) {
		end_rmw(l, p, size, desired, pc);
	} else {
		note_load(l);
		join(&vcpus[self].clock, &l->clock);
		memcpy(expected, &old, size);
	}
	if (options.print)
		report_access(same ? "compare and swap" : "compare and swap, fails", p,
			      same ? desired : old, site, pc, visible(l));
	return same;
}

void explore_fence(const struct explore_site *site)
{
	struct vcpu *me = &vcpus[self];

	if (phase != PHASE_RUN)
		return;
	if (me->buffered && options.print)
		report_access("fence", NULL, 0, site, __builtin_return_address(0), true);
	memory_drain(self);
	join(&me->clock, &me->pending);
	me->fenced = me->clock;
	me->clock.at[self]++;
}

void memory_freed(const void *p, size_t size)
{
	for (uintptr_t at = (uintptr_t)p; at < (uintptr_t)p + size; at += 4) {
		struct location *l = &locations[slot_of((const void *)at)];

		if (l->address != NULL && l->run == run)
			use(l, true);
	}
}

void memory_touch(const volatile void *p)
{
	const volatile char *pseudo = (const volatile char *)p + 1;
	struct location *l = location_of(pseudo);

	use(l, true);
	run_step(l->shared || memory_all_shared);
	note_store(l);
}
