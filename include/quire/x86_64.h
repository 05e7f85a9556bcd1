/* SPDX-License-Identifier: MIT */
/*
 * The x86_64 port: Quire as the memory manager of a 64-bit kernel. The hardware walks the tables of
 * Quire; page faults are exceptions; shootdowns are interrupts.
 *
 *     kernel                                         Quire
 *     quire_x86_init, quire_init        at boot
 *     quire_x86_cpu_init                on each CPU
 *     quire_x86_switch(mm)              context switch, idle: tables, set of CPUs
 *     quire_x86_flush_interrupt()       <── quire_x86_send(cpu)         shootdown
 *     quire_fault(mm, cr2, access)      page fault   ──► quire_x86_wait / wake: the scheduler
 *
 * The kernel gives the functions of the last section of this file; it is linked with
 * libquire-x86_64.a and includes no other header of Quire's than these.
 *
 * What it must keep to:
 * - GS base points to the CPU's struct quire_x86_cpu whenever Quire's code runs.
 * - Quire's code is never preempted by other code that calls Quire on the same CPU, and a thread
 *   that is in it changes CPU only in quire_x86_wait. Interrupts may come, and must be enabled
 *   whenever Quire is called, or a CPU that flushes would wait for ever; their handlers call
 *   nothing of Quire but quire_x86_flush_interrupt.
 * - quire_cpu_online and offline, quire_quiescent as quire/machine.h says.
 * - The upper half of every root table is that of the kernel's own root, which never changes after
 *   quire_x86_init: the kernel has all its upper-half root entries in place by then, and leaves
 *   bits 9 to 11 and 52 to 58 of them 0.
 */
#ifndef QUIRE_X86_64_H
#define QUIRE_X86_64_H

#include <quire/quire.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

/* First in the kernel's per-CPU block, zeroed at first. Quire's own; the kernel reads only. */
struct quire_x86_cpu {
	uint32_t index;
	uint32_t pad;
	void *space;		      /* whose tables are loaded; NULL: the kernel's own */
	uint64_t flushes, interrupts; /* drops done for itself, and for others */
	/* What this CPU asks others to drop, and how many of them have not answered. */
	uint64_t start, end, waiting;
	/* The CPUs that ask this one, a bit each, on lines of their own. */
	uint64_t pending[4] __attribute__((aligned(64)));
} __attribute__((aligned(64)));

struct quire_x86_config {
	uint64_t direct_map;  /* virtual address at which physical 0 is mapped, for all memory */
	uint64_t kernel_root; /* physical address of the kernel's root table */
	unsigned cpus;
};

/*
 * Before quire_init, by the boot CPU. Goes by CR4 and EFER: 4 or 5 levels as they are in use,
 * protection keys if CR4.PKE is set. Returns the number of levels for quire_config, or a negative
 * error: -QUIRE_EINVAL (an address is not page-aligned, the direct map not in the upper half, or
 * `cpus` not 1 to 256), -QUIRE_ENODEV (EFER.NXE is not set).
 */
int quire_x86_init(const struct quire_x86_config *config);
/* On each CPU, before it calls anything else of Quire; GS base points to `cpu`. */
void quire_x86_cpu_init(struct quire_x86_cpu *cpu, unsigned index);

/*
 * Run a space on this CPU: its tables are loaded when this returns. NULL: none, the kernel's own
 * tables: for idle and for a space's end. A CPU is interrupted for flushes of the space that it
 * runs and of no other, and drops what it knew of a space when it leaves it.
 * => a space that is destroyed runs on no CPU; interrupts may be disabled; never blocks
 */
void quire_x86_switch(struct quire_mm *mm);

/* The interrupt that quire_x86_send sends. => interrupts disabled or enabled; the kernel says EOI
 */
void quire_x86_flush_interrupt(void);

/* What a page-fault error code asks for. */
static inline enum quire_access quire_x86_access(uint64_t error)
{
	return error & 2 ? QUIRE_WRITE : error & 16 ? QUIRE_EXEC : QUIRE_READ;
}

/* --- what the kernel provides --- */

/* Interrupt this other CPU, so that it calls quire_x86_flush_interrupt. */
void quire_x86_send(unsigned cpu);
/* As port_wait and port_wake in docs/porting.md: sleep while *word == seen. */
void quire_x86_wait(uint32_t *word, uint32_t seen);
void quire_x86_wake(uint32_t *word);
/* Nanoseconds, monotonic over all CPUs. */
uint64_t quire_x86_clock(void);
_Noreturn void quire_x86_panic(const char *file, int line, const char *what);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
