/* SPDX-License-Identifier: MIT */
/*
 * Entries to the kernel and ways out of it (entry.S), and what they call in C.
 *
 *     syscall ──► system_call(regs)  ─┐
 *     #PF ──► page_fault(regs, cr2)  ─┼─► return_to_user(regs) if from_user ──► sysret or iret
 *     others ──► exception(regs, vector), interrupt(regs, vector)
 *
 * Interrupts: disabled at the entry. entry.S reads CR2 and enables them before page_fault and
 * system_call; exceptions from user mode likewise; interrupt handlers run disabled.
 */
#ifndef KERNEL_ENTRY_H
#define KERNEL_ENTRY_H

#include "arch/registers.h"

/* Exceptions, as the CPU numbers them. */
enum {
	EXCEPTION_DIVIDE = 0,
	EXCEPTION_DEBUG = 1,
	EXCEPTION_NMI = 2,
	EXCEPTION_BREAKPOINT = 3,
	EXCEPTION_OVERFLOW = 4,
	EXCEPTION_INVALID_OPCODE = 6,
	EXCEPTION_DOUBLE_FAULT = 8,
	EXCEPTION_NOT_PRESENT = 11,
	EXCEPTION_STACK_FAULT = 12,
	EXCEPTION_PAGE_FAULT = 14,
	EXCEPTION_X87 = 16,
	EXCEPTION_ALIGNMENT = 17,
	EXCEPTION_MACHINE_CHECK = 18,
	EXCEPTION_SIMD = 19,
};

/* calls/calls.c. The result goes to regs->rax. */
void system_call(struct registers *regs);
/*
 * memory/fault.c. From the kernel's user copies, too. => of a program's fault, rbx, rbp and r12 to
 * r15 are not in *regs yet
 */
void page_fault(struct registers *regs, uint64_t address);
/* trap.c: divide, invalid opcode, general protection, ...: signals, or the end. */
void exception(struct registers *regs, unsigned vector);
void interrupt(struct registers *regs, unsigned vector);
/*
 * task/sched.c: signals, need_switch, quire_quiescent. On each way back to user mode if the fast
 * check of entry.S (need_switch, task->work) finds something, and after each interrupt.
 * => interrupts disabled; returns with interrupts disabled and nothing left to do
 */
void return_to_user(struct registers *regs);

/* Where a new task begins: entry.S; task_begin in task/begin.c, then out through return_to_user. */
void entry_new_task(void);
/* Save the callee-saved registers on this stack, *from = rsp; go on with the stack `to`. */
void entry_switch(uint64_t *from, uint64_t to);

/*
 * If `regs` is at an instruction of the kernel that may fault on user memory (arch/usercopy.S),
 * goes on at its fix-up and returns 1.
 */
int fixup_fault(struct registers *regs);

#endif
