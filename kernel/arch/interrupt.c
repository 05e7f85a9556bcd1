/* SPDX-License-Identifier: MIT */
/* Interrupts: whose they are. */
#include "arch/entry.h"
#include "arch/setup.h"
#include "lib/print.h"
#include "task/task.h"

#define OLD_FIRST 0x20 /* the two old controllers, masked: only their spurious ones come */
#define OLD_LAST 0x2f

void interrupt(struct registers *regs, unsigned vector)
{
	struct cpu *cpu = this_cpu();

	(void)regs;
	cpu->interrupts++;
	switch (vector) {
	case VECTOR_FLUSH:
		quire_x86_flush_interrupt();
		break;
	case VECTOR_SWITCH:
		sched_interrupt();
		break;
	case VECTOR_TIMER:
		timer_interrupt();
		break;
	case VECTOR_SERIAL:
		console_interrupt();
		break;
	case VECTOR_SPURIOUS:
	case OLD_FIRST ... OLD_LAST:
		return;
	default:
		print("quire: interrupt %u on CPU %u is nobody's\n", vector, cpu->index);
	}
	apic_end_of_interrupt();
}
