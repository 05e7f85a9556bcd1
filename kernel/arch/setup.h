/* SPDX-License-Identifier: MIT */
/* What the files of arch/ and main.c owe each other while the machine is set up. */
#ifndef KERNEL_SETUP_H
#define KERNEL_SETUP_H

#include "arch/cpu.h"

#include <quire/machine.h>

/* --- memory_map.c: the PVH start info --- */
/* A piece of memory that something is in: the archive. */
struct piece {
	uint64_t base, size;
};
/* => before anything below; the boot tables map the first 4 GiB */
void memory_map_init(uint64_t start_info);
const char *memory_map_options(void);  /* the command line */
struct piece memory_map_archive(void); /* size 0: none */
uint64_t memory_map_acpi(void);	       /* of the RSDP; 0: none */
/* Takes usable memory below `limit`, aligned to its own size (a power of two), zeroed; 0: none. */
uint64_t memory_map_take(uint64_t size, uint64_t limit);
/* All that the direct map must show. Calls `map` for each range; base and end in bytes. */
void memory_map_each(void (*map)(uint64_t base, uint64_t end));
/* What is left of the usable memory, at most `room` ranges: for quire_init. */
size_t memory_map_rest(struct quire_memory *ranges, size_t room);

/* --- tables.c --- */
/* The kernel's tables: image, direct map. Returns the root's physical address. */
uint64_t tables_build(void);
/* Registers of a device, not cached. => before any other address space exists */
volatile void *tables_map_device(uint64_t base);
extern uint64_t kernel_root;

/* --- cpu.c --- */
/* Which features there are. => the boot CPU */
void cpu_detect(void);
/* This CPU as all are: control registers, descriptor tables, system calls. */
void cpu_setup(struct cpu *cpu, unsigned index);
/* Stacks of interrupts that may come at any time; `memory` is CPU_STACKS bytes, aligned to 16. */
#define CPU_STACKS 16384
void cpu_set_stacks(struct cpu *cpu, uint8_t *memory);

/* --- acpi.c --- */
struct acpi_machine {
	unsigned cpus;
	uint32_t apic_ids[MAX_CPUS];
	uint64_t local_apic, io_apic;
	uint32_t io_apic_base, serial_line; /* global interrupts: the first pin's, COM1's */
};
/* Without tables: one CPU, and everything where a PC has it. */
void acpi_read(uint64_t rsdp, struct acpi_machine *machine);

/* --- apic.c --- */
void apic_init(const struct acpi_machine *machine); /* once */
void apic_setup(void);				    /* on each CPU */
uint32_t apic_id(void);
void apic_end_of_interrupt(void);
void apic_start_cpu(uint32_t id, uint64_t trampoline);
void apic_stop_others(void); /* by NMI */
/* One interrupt after so many ticks of the timer (0: none), and the ticks that are left. */
void apic_timer_set(uint32_t ticks);
uint32_t apic_timer_left(void);

/* --- time.c --- */
void time_init(void); /* => the local APIC of this CPU is set up */
void time_delay(uint64_t nanoseconds);

/* --- trap.c --- */
void trap_stop(void); /* in a panic: other CPUs stop at their next NMI */
/* --- console.c --- */
void console_listen(void); /* input by interrupts from now on */
void console_interrupt(void);
void console_last_words(void);

/* --- main.c --- */
extern bool quire_runs; /* there are counters to look at */

/* --- smp.c --- */
void smp_init(const struct acpi_machine *machine);

#endif
