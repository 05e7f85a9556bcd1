/* SPDX-License-Identifier: MIT */
/*
 * Quire around a scenario: started before, inspected and emptied after each run, and the few calls
 * that scenarios make.
 */
#include "inside.h"
#include "frame/rmap.h"
#include "frame/slab.h"
#include "object/kinds.h"
#include "object/mapping.h"
#include "space/machine.h"
#include "space/mm.h"
#include <quire/quire.h>
#include <string.h>

#define WARM_UP 0x10000000ull /* no scenario's addresses */

struct quire_mm *mm;

/*
 * Failing allocations, in place of the core's own (frame/inject.c): its count, which all CPUs
 * change, would be a scheduling point and a fence in each allocation.
 */
static uint64_t inject_calls, inject_at, inject_prepared; /* prepared: by the setup */

void inject_set(uint64_t n)
{
	inject_calls = 0;
	inject_at = n;
	if (phase == PHASE_SETUP)
		inject_prepared = n;
}

uint64_t inject_count(void)
{
	return inject_calls;
}

bool inject_fails(void)
{
	/* Who asks first decides who fails. */
	if (inject_at != 0 && phase == PHASE_RUN)
		memory_touch(&inject_calls);
	return ++inject_calls == inject_at;
}

void world_begin_run(void)
{
	inject_calls = 0;
	inject_at = inject_prepared;
}

static uint64_t memory_free; /* before there was any space */

/* The thread's idea of which CPU it is: what soft_adopt sets, without its effects. */
void world_become(unsigned cpu)
{
	struct soft_cpu *c = &soft_cpus[cpu];

	self = cpu;
	soft_self = c;
	soft_cpu_index = cpu;
	soft_request = &c->public.request;
	soft_key_register = c->public.key_register;
}

static void become_nobody(void)
{
	static _Atomic uint32_t none;

	soft_self = NULL;
	soft_cpu_index = 0;
	soft_request = &none;
	soft_key_register = 0;
}

static struct quire_soft_cpu *me(void)
{
	return &soft_cpus[self].public;
}

void world_let_others_answer(void)
{
	unsigned before = self;

	for (unsigned i = 0; i < vcpu_count; i++) {
		if (i == before)
			continue;
		world_become(i);
		if (me()->mm != NULL)
			quire_soft_safepoint(me());
	}
	world_become(before);
}

static uint64_t count_free(void)
{
	struct quire_memory_stats stats;

	quire_memory_stats(&stats);
	return stats.free;
}

/* A program begins inside, online, its space running, as an emulator's thread at work. */
void world_end_program(void)
{
	quire_soft_leave(me());
}

/* So that frames and small objects come from the CPU's own stock. */
static void warm_up(uint64_t address)
{
	static unsigned char bytes[PAGE];
	struct quire_object *object;

	quire_idle(4);
	expect(quire_memory_file_create(bytes, PAGE, true, NULL, &object) == 0);
	map(address, 1, READ_WRITE);
	store(address, 1);
	map_object(address + PAGE, 1, QUIRE_MAP_SHARED, object, 0);
	load(address + PAGE);
	unmap(address, 2);
	quire_object_put(object);
}

void world_start(const struct scenario *scenario, enum quire_mode mode)
{
	struct quire_soft_config config = {
		.memory = MEMORY,
		.device_memory = DEVICE_PAGES * PAGE,
		.levels = scenario->levels,
	};
	struct quire_mm_config space = { .mode = mode };

	inject_set(0);
	vcpu_count = 0;
	for (unsigned i = 0; i < CPUS; i++)
		if (scenario->run[i])
			vcpu_count = i + 1;
	for (unsigned i = 0; i < CPUS; i++)
		if ((scenario->run[i] != NULL) != (i < vcpu_count) || vcpu_count == 0)
			explore_fail("CPU %u has no program", i);
	config.cpus = vcpu_count;
	expect(quire_soft_init(&config) == 0);
	for (unsigned i = 0; i < vcpu_count; i++) {
		become_nobody();
		expect(quire_soft_attach(i) != NULL);
		world_become(i);
		quire_soft_enter(me());
	}
	world_become(0);
	memory_free = count_free();
	expect(quire_mm_create(&space, &mm) == 0);
	for (unsigned i = 0; i < vcpu_count; i++) {
		world_become(i);
		quire_soft_switch(me(), mm);
		warm_up(WARM_UP + i * LEAF);
	}
	world_become(0);
	inject_set(0);
	if (scenario->setup)
		scenario->setup();
	for (unsigned i = 0; i < vcpu_count; i++) {
		world_become(i);
		quire_soft_safepoint(me());
	}
	world_become(0);
}

/* Nothing of Quire's is used any more. => every CPU is inside */
static void empty(void)
{
	struct quire_object *object;
	struct quire_mm *space;

	for (unsigned i = 0; i < vcpu_count; i++) {
		world_become(i);
		quire_soft_switch(me(), NULL);
		if (i > 0)
			quire_soft_leave(me());
	}
	world_become(0);
	while ((space = space_first()) != NULL)
		quire_mm_destroy(space);
	/* The scenario's reference, and no other. */
	while ((object = object_first()) != NULL) {
		expect_equal(at_load(&object->refs), 1);
		quire_object_put(object);
	}
	expect(quire_barrier(0) == 0);
}

static void check_leaks(void)
{
	expect_equal(slab_drain(&vma_slab), 0);
	expect_equal(slab_drain(&tree_slab), 0);
	expect_equal(slab_drain(&rmap_slab), 0);
	expect_equal(slab_drain(&mm_slab), 0);
	expect_equal(slab_drain(&object_slab), 0);
	expect_equal(slab_drain(&mapping_slab), 0);
	expect_equal(slab_drain(&cache_slab), 0);
	expect_equal(slab_drain(&pages_slab), 0);
	expect_equal(slab_drain(&file_slab), 0);
	expect_equal(count_free(), memory_free);
}

void world_check(const struct scenario *scenario)
{
	const char *wrong;

	for (unsigned i = 0; i < vcpu_count; i++) {
		world_become(i);
		quire_soft_enter(me());
	}
	world_become(0);
	watch_release_freed();
	if (scenario->check)
		scenario->check();
	world_become(0);
	wrong = quire_validate(NULL);
	if (wrong != NULL)
		explore_fail("the validator: %s", wrong);
	empty();
	check_leaks();
}

void world_stop(void)
{
	phase = PHASE_SETUP;
	empty();
	for (unsigned i = 0; i < vcpu_count; i++) {
		world_become(i);
		if (i == 0)
			quire_soft_leave(me());
		quire_soft_detach(me());
	}
	expect(quire_soft_exit() == 0);
}

/* --- what scenarios call --- */

void as_cpu(unsigned cpu)
{
	expect(cpu < vcpu_count);
	world_become(cpu);
}

void run_space(struct quire_mm *space)
{
	quire_soft_switch(me(), space);
}

void map(uint64_t address, uint64_t pages, int prot)
{
	expect(quire_mmap(me()->mm, address, pages * PAGE, prot,
			  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED) ==
	       (int64_t)address);
}

void unmap(uint64_t address, uint64_t pages)
{
	expect(quire_munmap(me()->mm, address, pages * PAGE) == 0);
}

void protect(uint64_t address, uint64_t pages, int prot)
{
	expect(quire_mprotect(me()->mm, address, pages * PAGE, prot) == 0);
}

struct quire_object *make_object(const struct quire_object_ops *ops, unsigned caps, uint64_t pages)
{
	const struct quire_object_config config = {
		.ops = ops,
		.caps = caps,
		.size = pages * PAGE,
	};
	struct quire_object *object;

	expect(quire_object_create(&config, &object) == 0);
	return object;
}

void map_object(uint64_t address, uint64_t pages, int type, struct quire_object *object,
		uint64_t first)
{
	expect(quire_mmap_object(me()->mm, address, pages * PAGE, READ_WRITE,
				 type | QUIRE_MAP_FIXED, object, first * PAGE,
				 READ_WRITE) == (int64_t)address);
}

uint64_t load(uint64_t address)
{
	uint64_t value;

	if (quire_soft_load(me(), address, 8, &value))
		return value;
	return REFUSED(me()->verdict);
}

uint64_t store(uint64_t address, uint64_t value)
{
	return quire_soft_store(me(), address, 8, value) ? DONE : REFUSED(me()->verdict);
}

uint64_t peek(struct quire_mm *space, uint64_t address)
{
	struct quire_mm *before = me()->mm;
	uint64_t value;

	run_space(space);
	value = load(address);
	run_space(before);
	return value;
}
