/* SPDX-License-Identifier: MIT */
/*
 * The interrupt controllers: the local APIC of each CPU, by its registers in memory or, where the
 * CPU has it, by MSRs (x2APIC: the register at offset N is MSR 0x800 + N / 16); one I/O APIC, for
 * the serial line; the two old ones, which are silenced.
 */
#include "arch/setup.h"

#define APIC_BASE 0x1b
#define APIC_ENABLE 0x800ull
#define APIC_X2 0x400ull
#define X2_REGISTERS 0x800

#define ID 0x20
#define TASK_PRIORITY 0x80
#define END_OF_INTERRUPT 0xb0
#define SPURIOUS 0xf0
#define ERROR_STATUS 0x280
#define COMMAND 0x300
#define COMMAND_HIGH 0x310
#define TIMER 0x320
#define LINT0 0x350
#define LINT1 0x360
#define ERROR 0x370
#define TIMER_INITIAL 0x380
#define TIMER_CURRENT 0x390
#define TIMER_DIVIDE 0x3e0

#define MASKED 0x10000
#define DELIVER_NMI 0x400
#define DELIVER_INIT 0x500
#define DELIVER_START 0x600
#define PENDING 0x1000
#define ASSERT 0x4000
#define ALL_BUT_SELF 0xc0000
#define DIVIDE_BY_16 0x3

#define IO_REDIRECTION 0x10 /* registers: two for each pin */

static volatile uint32_t *registers, *io;
static bool x2;

static void apic_write(unsigned at, uint32_t value)
{
	if (x2)
		msr_write(X2_REGISTERS + at / 16, value);
	else
		registers[at / 4] = value;
}

static uint32_t apic_read(unsigned at)
{
	return x2 ? (uint32_t)msr_read(X2_REGISTERS + at / 16) : registers[at / 4];
}

/* The two halves of a command are one step, whoever interrupts. */
static void command(uint32_t id, uint32_t what)
{
	uint64_t flags;

	if (x2) {
		/* What was stored before is seen by whoever gets the interrupt: a wrmsr does not
		 * say so. */
		__asm__ volatile("mfence; lfence" ::: "memory");
		msr_write(X2_REGISTERS + COMMAND / 16, (uint64_t)id << 32 | what);
		return;
	}
	flags = irq_save();
	while (registers[COMMAND / 4] & PENDING)
		__builtin_ia32_pause();
	registers[COMMAND_HIGH / 4] = id << 24;
	registers[COMMAND / 4] = what;
	irq_restore(flags);
}

static void io_write(uint32_t at, uint32_t value)
{
	io[0] = at;
	io[4] = value;
}

/* All lines masked; vectors out of the way of the CPU's exceptions. */
static void silence_old_ones(void)
{
	static const uint8_t start[2][4] = { { 0x11, 0x20, 4, 1 }, { 0x11, 0x28, 2, 1 } };

	for (unsigned i = 0; i < 2; i++) {
		uint16_t at = i == 0 ? 0x20 : 0xa0;

		port_out8(at, start[i][0]);
		for (unsigned n = 1; n < 4; n++)
			port_out8(at + 1, start[i][n]);
		port_out8(at + 1, 0xff);
	}
}

void apic_init(const struct acpi_machine *machine)
{
	uint32_t pin = machine->serial_line - machine->io_apic_base;
	uint32_t features;

	__asm__("cpuid" : "=c"(features) : "a"(1) : "ebx", "edx");
	x2 = features >> 21 & 1;
	if (!x2)
		registers = tables_map_device(machine->local_apic);
	silence_old_ones();
	apic_setup();
	io = tables_map_device(machine->io_apic);
	io_write(IO_REDIRECTION + 2 * pin + 1, apic_id() << 24);
	io_write(IO_REDIRECTION + 2 * pin, VECTOR_SERIAL);
}

void apic_setup(void)
{
	msr_write(APIC_BASE, msr_read(APIC_BASE) | APIC_ENABLE | (x2 ? APIC_X2 : 0));
	apic_write(TASK_PRIORITY, 0);
	apic_write(SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	apic_write(LINT0, MASKED);
	apic_write(LINT1, DELIVER_NMI);
	apic_write(ERROR, MASKED);
	apic_write(TIMER_DIVIDE, DIVIDE_BY_16);
	apic_write(TIMER, VECTOR_TIMER); /* once */
}

uint32_t apic_id(void)
{
	return x2 ? apic_read(ID) : apic_read(ID) >> 24;
}

void apic_end_of_interrupt(void)
{
	apic_write(END_OF_INTERRUPT, 0);
}

void cpu_send(unsigned cpu, unsigned vector)
{
	command(cpus[cpu].apic_id, vector);
}

void quire_x86_send(unsigned cpu)
{
	cpu_send(cpu, VECTOR_FLUSH);
}

/* INIT, then START twice, as the manual has it: the second one is ignored if the first was heard.
 */
void apic_start_cpu(uint32_t id, uint64_t trampoline)
{
	uint32_t start = DELIVER_START | ASSERT | (uint32_t)(trampoline >> 12);

	apic_write(ERROR_STATUS, 0);
	command(id, DELIVER_INIT | ASSERT);
	time_delay(10000000);
	for (int i = 0; i < 2; i++) {
		command(id, start);
		time_delay(200000);
	}
}

void apic_stop_others(void)
{
	if (x2 || registers != NULL)
		command(0, DELIVER_NMI | ASSERT | ALL_BUT_SELF);
}

void apic_timer_set(uint32_t ticks)
{
	apic_write(TIMER_INITIAL, ticks);
}

uint32_t apic_timer_left(void)
{
	return apic_read(TIMER_CURRENT);
}
