/* SPDX-License-Identifier: MIT */
/*
 * The CPU: its block (at GS base while in the kernel), its instructions, the others.
 *
 * Address space of the kernel, the same with 4 and 5 levels:
 *
 *     0 .. 0x00007fffffffefff      user (with 5 levels too: what Linux gives without a hint)
 *     0xffff800000000000 ..        direct map of all physical memory, 2 MiB or 1 GiB pages, NX
 *     0xffffffff80000000 ..        the kernel's image (physical 1 MiB on)
 *
 * All CPUs share one set of kernel tables, which are complete before quire_x86_init and never
 * change, the image's text read-only, data NX, and global.
 */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include "lib/lock.h"

#include <quire/x86_64.h>

#define DIRECT_MAP 0xffff800000000000ull
#define KERNEL_BASE 0xffffffff80000000ull
#define USER_END 0x00007ffffffff000ull

#define MAX_CPUS 64
#define TICK_HZ 100

struct task;

struct tss {
	uint32_t reserved;
	uint64_t rsp[3]; /* rsp[0]: the kernel stack of the current task */
	uint64_t reserved2;
	uint64_t ist[7]; /* 1: double fault, 2: NMI, 3: machine check */
	uint64_t reserved3;
	uint16_t reserved4, io_map;
} __attribute__((packed));

/* entry.S knows the places of some: see `offsets` in cpu.c. */
struct cpu {
	struct quire_x86_cpu port; /* first */
	uint64_t kernel_stack;	   /* top: where a system call begins; also tss.rsp[0] */
	uint64_t user_stack;	   /* scratch of the system call entry */
	struct task *current;
	struct cpu *self;
	/* Set by interrupts and other CPUs: the current task should call task_yield on its way out.
	 */
	_Atomic uint32_t need_switch;
	uint32_t index, apic_id;
	struct task *idle;
	uint64_t ticks, interrupts; /* ticks: while it ran tasks; for /proc/stat */
	struct tss tss __attribute__((aligned(16)));
	uint64_t gdt[8];
	_Atomic uint32_t online;
};

extern struct cpu cpus[MAX_CPUS];
extern unsigned cpu_count; /* online ones: constant once smp_start has returned */

/* Constant only until the task sleeps. */
static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	__asm__ volatile("movq %%gs:%c1, %0" : "=r"(cpu) : "i"(offsetof(struct cpu, self)));
	return cpu;
}

/* As "pure": constant for the code of one task, whatever CPU it is on. */
static inline struct task *current_task(void)
{
	struct task *task;

	__asm__("movq %%gs:%c1, %0" : "=r"(task) : "i"(offsetof(struct cpu, current)));
	return task;
}

/* What this CPU can; all have the same (checked at start). Enabled where set. */
extern struct cpu_features {
	bool la57, nx, pku, pge, smep, smap, fsgsbase, xsave, gib_pages, umip;
	uint32_t xsave_size;	/* bytes of the state of all that is enabled in XCR0 */
	uint64_t xsave_mask;	/* XCR0 */
	uint32_t hwcap, hwcap2; /* AT_HWCAP (CPUID 1 edx), AT_HWCAP2 (bit 1: fsgsbase) */
	char vendor[13];
} cpu_features;

static inline uint8_t port_in8(uint16_t at)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(at));
	return v;
}

static inline void port_out8(uint16_t at, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(at));
}

static inline void port_out32(uint16_t at, uint32_t v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(at));
}

static inline uint64_t msr_read(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline uint64_t tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void *physical(uint64_t address)
{
	return (void *)(DIRECT_MAP + address);
}

/* User FS and GS base of the current task: `gs` is the one that swapgs has put aside. */
void cpu_set_fs(uint64_t base);
void cpu_set_user_gs(uint64_t base);
uint64_t cpu_get_fs(void);
uint64_t cpu_get_user_gs(void);

/* --- start (arch/smp.c) --- */
/* Bring up all other CPUs that ACPI names; each calls kernel_secondary() (main.c) when it is set.
 */
void smp_start(void);
/* Sleep until an interrupt; interrupts are disabled before and enabled after. */
static inline void cpu_halt_until_interrupt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}

#define MSR_GS_BASE 0xc0000101 /* to struct cpu, in the kernel */

/* --- interrupts (arch/interrupt.c, apic.c) --- */
#define VECTOR_SERIAL 0x30
#define VECTOR_FLUSH 0xf0
#define VECTOR_SWITCH 0xf1 /* look at need_switch */
#define VECTOR_TIMER 0xf8
#define VECTOR_SPURIOUS 0xff
void cpu_send(unsigned cpu, unsigned vector);

/* --- time (arch/time.c) --- */
/* Nanoseconds since boot, the same on all CPUs: the TSC, calibrated at start. */
uint64_t time_now(void);
/* Nanoseconds since 1970 at boot: from the RTC. */
extern uint64_t time_at_boot;
extern uint64_t tsc_hz;
/* One interrupt VECTOR_TIMER on this CPU at this time, instead of the one before. */
void time_program(uint64_t at);

#endif
