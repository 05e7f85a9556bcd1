/* SPDX-License-Identifier: MIT */
/* Starting the soft port, and the life of a virtual CPU. What "inside" is about: flush.c. */
#define _GNU_SOURCE
#include "soft.h"
#include "space/mm.h"
#include <sys/mman.h>

#define ARENA_ALIGN (2ull << 20) /* so that the host can back guest memory by huge pages */

static unsigned cpu_count; /* 0: not started */
static void *arena;
static size_t arena_size;

static int reserve(uint64_t size, uint64_t device_size)
{
	if (size > SIZE_MAX - ARENA_ALIGN || device_size > SIZE_MAX - ARENA_ALIGN - size)
		return -QUIRE_ENOMEM;
	arena_size = size + device_size + ARENA_ALIGN;
	arena = mmap(NULL, arena_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return -QUIRE_ENOMEM;
	uintptr_t aligned = ((uintptr_t)arena + ARENA_ALIGN - 1) & ~(uintptr_t)(ARENA_ALIGN - 1);

	soft_memory = (unsigned char *)aligned;
	soft_frames = (size + device_size) / PAGE_SIZE;
	return 0;
}

static void release(void)
{
	munmap(arena, arena_size);
	soft_memory = NULL;
	soft_frames = 0;
	cpu_count = 0;
}

int quire_soft_init(const struct quire_soft_config *config)
{
	struct quire_memory memory[MAX_NODES];
	unsigned nodes = config->nodes != 0 ? config->nodes : 1;
	uint64_t size = config->memory & ~PAGE_MASK;
	uint64_t share = size / PAGE_SIZE / nodes * PAGE_SIZE;

	if (cpu_count != 0)
		return -QUIRE_EBUSY;
	if (config->cpus == 0 || config->cpus > MAX_CPUS || nodes > MAX_NODES)
		return -QUIRE_EINVAL;
	if (share == 0)
		return -QUIRE_ENOMEM;
	int error = reserve(size, config->device_memory & ~PAGE_MASK);

	if (error != 0)
		return error;
	for (unsigned i = 0; i < nodes; i++) {
		memory[i].base = i * share;
		memory[i].size = i + 1 < nodes ? share : size - i * share;
		memory[i].node = i;
	}
	for (unsigned i = 0; i < config->cpus; i++) {
		soft_cpus[i].public.index = i;
		soft_cpu_nodes[i] = (unsigned char)(i * nodes / config->cpus);
	}
	struct quire_config machine = {
		.cpus = config->cpus,
		.nodes = nodes,
		.levels = config->levels != 0 ? config->levels : 4,
		.memory = memory,
		.memory_count = nodes,
		.stall_ns = config->stall_ns,
	};
	cpu_count = config->cpus;
	error = quire_init(&machine);
	if (error != 0)
		release();
	return error;
}

int quire_soft_exit(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		/* Pairs with quire_soft_detach. */
		if (at_load_acquire(&soft_cpus[i].taken) != 0)
			return -QUIRE_EBUSY;
	int error = quire_exit();

	if (error == 0)
		release();
	return error;
}

void *quire_soft_physical(uint64_t physical)
{
	return physical / PAGE_SIZE < soft_frames ? soft_memory + physical : NULL;
}

struct quire_soft_cpu *quire_soft_attach(unsigned index)
{
	uint32_t free = 0;

	if (index >= cpu_count || soft_self != NULL)
		return NULL;
	struct soft_cpu *cpu = &soft_cpus[index];

	/* Pairs with the release store of quire_soft_detach by the thread that had it before. */
	if (!at_cas(&cpu->taken, &free, 1u))
		return NULL;
	cpu->public.mm = NULL;
	cpu->public.key_register = 0;
	cpu->public.misses = cpu->public.faults = 0;
	cpu->public.flushes = cpu->public.flush_ns = 0;
	cpu->public.verdict = QUIRE_FAULT_DONE;
	cpu->public.fault_address = 0;
	soft_adopt(cpu);
	return &cpu->public;
}

static struct soft_cpu *cpu_of(struct quire_soft_cpu *public)
{
	struct soft_cpu *cpu = container_of(public, struct soft_cpu, public);

	/* Only its own thread may use a virtual CPU. */
	require(cpu == soft_self);
	return cpu;
}

void quire_soft_detach(struct quire_soft_cpu *public)
{
	struct soft_cpu *cpu = cpu_of(public);

	require(cpu->depth == 0);
	soft_run(cpu, NULL);
	public->mm = NULL;
	soft_abandon();
	/* Pairs with quire_soft_attach and quire_soft_exit. */
	at_store_release(&cpu->taken, 0u);
}

struct quire_soft_cpu *quire_soft_self(void)
{
	return soft_self != NULL ? &soft_self->public : NULL;
}

void quire_soft_enter(struct quire_soft_cpu *public)
{
	struct soft_cpu *cpu = cpu_of(public);

	if (cpu->depth++ == 0) {
		soft_come_in(cpu);
		quire_cpu_online();
	}
}

void quire_soft_leave(struct quire_soft_cpu *public)
{
	struct soft_cpu *cpu = cpu_of(public);

	require(cpu->depth > 0);
	if (--cpu->depth == 0) {
		quire_cpu_offline();
		soft_go_out(cpu);
	}
}

void quire_soft_switch(struct quire_soft_cpu *public, struct quire_mm *mm)
{
	struct soft_cpu *cpu = cpu_of(public);

	require(cpu->depth > 0);
	soft_run(cpu, mm != NULL ? &mm->tables.port : NULL);
	public->mm = mm;
}

void quire_soft_keys(struct quire_soft_cpu *public, uint32_t key_register)
{
	soft_drop_all(cpu_of(public));
	public->key_register = soft_key_register = key_register;
}
