/* SPDX-License-Identifier: MIT */
/*
 * The other CPUs: one after the other, so that what they start with can be in variables.
 *
 *     boot CPU                                   other CPU
 *     secondary_cpu, secondary_stack = its own
 *     apic_start_cpu: INIT, START, START   ──►   trampoline (real mode) ──► secondary_entry
 *     waits for `online`, at most 1 s      ◄──   secondary_start: set up, online = 1 ──► scheduler
 */
#include "arch/panic.h"
#include "arch/setup.h"
#include "lib/string.h"
#include "main.h"
#include "task/task.h"

/* Nanoseconds. A virtual CPU may wait long for one of the host. */
#define START_TIMEOUT (10 * SECOND)
#define ONE_MIB 0x100000ull

extern const uint8_t trampoline[], trampoline_end[], trampoline_far[];
extern const uint8_t trampoline_cr3[], trampoline_cr4[];
extern const uint64_t boot_cr3, boot_cr4;

/* For trampoline.S. */
uint64_t secondary_stack;
struct cpu *secondary_cpu;
_Noreturn void secondary_start(struct cpu *cpu);

static uint32_t others[MAX_CPUS];
static unsigned others_count;
static uint64_t page; /* of the trampoline */

static void patch(const uint8_t *at, uint32_t value)
{
	memcpy((uint8_t *)physical(page) + (at - trampoline), &value, sizeof(value));
}

void smp_init(const struct acpi_machine *machine)
{
	uint32_t far;

	cpus[0].apic_id = apic_id();
	cpu_count = 1;
	atomic_store_explicit(&cpus[0].online, 1, memory_order_relaxed);
	for (unsigned i = 0; i < machine->cpus; i++)
		if (machine->apic_ids[i] != cpus[0].apic_id && others_count < MAX_CPUS - 1)
			others[others_count++] = machine->apic_ids[i];
	page = memory_map_take(4096, ONE_MIB);
	if (page == 0) {
		others_count = 0;
		return;
	}
	memcpy(physical(page), trampoline, (size_t)(trampoline_end - trampoline));
	memcpy(&far, trampoline_far, sizeof(far));
	patch(trampoline_far, far + (uint32_t)page);
	patch(trampoline_cr3, (uint32_t)boot_cr3);
	patch(trampoline_cr4, (uint32_t)boot_cr4);
}

static bool start(struct cpu *cpu)
{
	uint8_t *stack = quire_pages_alloc(STACK_ORDER, true);
	uint8_t *stacks = quire_pages_alloc(STACK_ORDER, true);
	uint64_t deadline;

	_Static_assert(CPU_STACKS == STACK_SIZE, "one order for both");
	if (stack == NULL || stacks == NULL)
		panic("no memory for the stacks of CPU %u", cpu_count);
	cpu_set_stacks(cpu, stacks);
	secondary_stack = (uint64_t)stack + STACK_SIZE;
	secondary_cpu = cpu;
	atomic_thread_fence(memory_order_seq_cst);
	apic_start_cpu(cpu->apic_id, page);
	deadline = time_now() + START_TIMEOUT;
	/* Pairs with the store in secondary_start. */
	while (!atomic_load_explicit(&cpu->online, memory_order_acquire)) {
		if (time_now() > deadline)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

void smp_start(void)
{
	for (unsigned i = 0; i < others_count; i++) {
		struct cpu *cpu = &cpus[cpu_count];

		cpu->apic_id = others[i];
		/* A CPU that is late may use its stacks yet: they and its block are given up. */
		if (!start(cpu)) {
			print("quire: the CPU with APIC %u does not start\n", others[i]);
			return;
		}
		cpu_count++;
	}
}

_Noreturn void secondary_start(struct cpu *cpu)
{
	cpu_setup(cpu, (unsigned)(cpu - cpus));
	apic_setup();
	/* Pairs with the load in start. */
	atomic_store_explicit(&cpu->online, 1, memory_order_release);
	kernel_secondary();
}
