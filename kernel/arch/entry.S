/* SPDX-License-Identifier: MIT */
/*
 * The ways into the kernel and out of it.
 *
 *     syscall ───────► entry_system_call ─► system_call ──────────────┐
 *     #PF ───────────► entry_page_fault ──► page_fault ─┐ from user   │
 *     exceptions ────► entry_exception ───► exception ──┤             ▼
 *     new tasks ─────► entry_new_task ────► task_begin ─┼─► work or need_switch? ─► return_to_user
 *     interrupts ────► entry_interrupt ───► interrupt ──┘ always          │
 *     NMI, #DF, #MC ─► entry_paranoid ────► exception: a panic            ▼
 *                                                                  sysretq or iretq
 *
 * Every way lays struct registers on the stack. GS base is the CPU's block in the kernel and the
 * program's outside. A way in swaps the two if it comes from user mode, which the saved CS tells. It
 * does not tell on the three that may come at any instruction, between an entry and its swapgs
 * too: these have stacks of their own, with the CPU's block above the frame, and set GS base to
 * it. None of them goes back.
 *
 * A program's page fault is the most frequent way. Nearly always nobody asks what was in the
 * registers that C keeps: they are put into the frame only when there is work to do.
 *
 * An interrupt from user mode always goes through return_to_user, which reports to Quire that this
 * CPU holds nothing: so every tick does, if not one of the frequent ways. (A fault is
 * quiescent by itself when it ends.)
 *
 * What is returned to is always a canonical address with the user's selectors: those who change
 * the saved registers (signals, execve) see to it. So iretq never faults.
 */
#include "arch/assembler.inc"

#define FLAG_INTERRUPT 0x200
#define FLAGS_NO_SYSRET 0x10100		/* trap, resume: sysret would not keep them right */
#define USER_BITS 47
#define MSR_GS_BASE 0xc0000101
#define FRAME 168			/* sizeof(struct registers) */
#define KEPT 48				/* of it, the registers that C keeps: the first */

	/* All but what the CPU pushes and the error code: what C may change but rdi, what it keeps. */
	.macro save
	pushq	%rdi
	save_rest
	.endm

	.macro save_rest
	save_scratch
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	.endm

	.macro save_scratch
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	.endm

	/* And back, with the error code. */
	.macro restore
	restore_kept
	restore_scratch
	.endm

	.macro restore_kept
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	.endm

	.macro restore_scratch
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	addq	$8, %rsp
	.endm

	/* The frame is 8 bytes off the alignment that C expects at a call. */
	.macro call_c function
	subq	$8, %rsp
	call	\function
	addq	$8, %rsp
	.endm

	/* Something to do before the program goes on? => interrupts disabled; changes rax */
	.macro branch_if_work to
	movq	%gs:CPU_CURRENT, %rax
	cmpl	$0, TASK_WORK(%rax)
	jne	\to
	cmpl	$0, %gs:CPU_NEED_SWITCH
	jne	\to
	.endm

	.text
FUNCTION(entry_system_call)
	swapgs
	movq	%rsp, %gs:CPU_USER_STACK
	movq	%gs:CPU_KERNEL_STACK, %rsp
	pushq	$SELECTOR_USER_DATA
	pushq	%gs:CPU_USER_STACK
	pushq	%r11
	pushq	$SELECTOR_USER_CODE
	pushq	%rcx
	movl	%eax, %eax		/* a number has 32 bits */
	pushq	%rax
	save
	movq	%rsp, %rdi
	sti
	call_c	system_call
	cli
	branch_if_work work
leave_by_sysret:
	/* sysret takes rip from rcx and the flags from r11: only if that is what is there. */
	movq	REGS_RCX(%rsp), %rcx
	movq	REGS_R11(%rsp), %r11
	cmpq	REGS_RIP(%rsp), %rcx
	jne	leave_by_iret
	cmpq	REGS_RFLAGS(%rsp), %r11
	jne	leave_by_iret
	testl	$FLAGS_NO_SYSRET, %r11d
	jnz	leave_by_iret
	movq	%rcx, %rax
	shrq	$USER_BITS, %rax
	jnz	leave_by_iret
	restore_kept
	addq	$8, %rsp
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	addq	$8, %rsp
	popq	%rdx
	popq	%rsi
	popq	%rdi
	movq	32(%rsp), %rsp		/* above error, rip, cs, flags */
	swapgs
	sysretq
END(entry_system_call)

FUNCTION(entry_new_task)
	movq	%rsp, %rdi
	call_c	task_begin
	cli
work:
	movq	%rsp, %rdi
	call_c	return_to_user
	jmp	leave_by_sysret
END(entry_new_task)

FUNCTION(entry_page_fault)
	testb	$3, 16(%rsp)
	jz	1f
	swapgs
	pushq	%rdi
	save_scratch
	subq	$KEPT + 8, %rsp		/* and the alignment that C expects */
	cld
	user_close
	leaq	8(%rsp), %rdi
	movq	%cr2, %rsi
	sti
	call	page_fault
	cli
	branch_if_work 3f
	addq	$KEPT + 8, %rsp
	restore_scratch
	swapgs
	iretq
3:	addq	$8, %rsp
	movq	%r15, (%rsp)
	movq	%r14, 8(%rsp)
	movq	%r13, 16(%rsp)
	movq	%r12, 24(%rsp)
	movq	%rbp, 32(%rsp)
	movq	%rbx, 40(%rsp)
	jmp	work

	/* From a copy in the kernel: in its state of interrupts. */
1:	save
	cld
	user_close
	movq	%rsp, %rdi
	movq	%cr2, %rsi
	testl	$FLAG_INTERRUPT, REGS_RFLAGS(%rsp)
	jz	2f
	sti
2:	call_c	page_fault
leave_to_kernel:
	cli
	restore
	iretq
END(entry_page_fault)

	/* Stack: the vector, the error code, what the CPU pushed. */
FUNCTION(entry_exception)
	testb	$3, 24(%rsp)
	jz	1f
	swapgs
1:	xchgq	%rdi, (%rsp)
	save_rest
	cld
	user_close
	movl	%edi, %esi
	movq	%rsp, %rdi
	testl	$FLAG_INTERRUPT, REGS_RFLAGS(%rsp)
	jz	2f
	sti
2:	call_c	exception
	testb	$3, REGS_CS(%rsp)
	jz	leave_to_kernel
	cli
	branch_if_work work
leave_by_iret:
	restore
	swapgs
	iretq
END(entry_exception)

FUNCTION(entry_interrupt)
	testb	$3, 24(%rsp)
	jz	1f
	swapgs
1:	xchgq	%rdi, (%rsp)
	save_rest
	cld
	user_close
	movl	%edi, %esi
	movq	%rsp, %rdi
	call_c	interrupt
	testb	$3, REGS_CS(%rsp)
	jz	leave_to_kernel
	jmp	work
END(entry_interrupt)

FUNCTION(entry_paranoid)
	xchgq	%rdi, (%rsp)
	save_rest
	cld
	user_close
	movl	%edi, %esi
	movl	$MSR_GS_BASE, %ecx
	movl	FRAME(%rsp), %eax
	movl	FRAME + 4(%rsp), %edx
	wrmsr
	movq	%rsp, %rdi
	call_c	exception
END(entry_paranoid)

	/* entry_switch(from, to): what a function must keep, on this stack; then the other's. */
FUNCTION(entry_switch)
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
END(entry_switch)

	/* A stub of 16 bytes for each vector: arch/cpu.c counts on the size. */
	.balign	16
	.globl	entry_vectors
entry_vectors:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	vector == 14
	jmp	entry_page_fault
	.elseif	vector >= 32
	pushq	$-1
	pushq	$vector
	jmp	entry_interrupt
	.else
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	pushq	$0
	.endif
	pushq	$vector
	.if	vector == 2 || vector == 8 || vector == 18
	jmp	entry_paranoid
	.else
	jmp	entry_exception
	.endif
	.endif
	.set	vector, vector + 1
	.endr

	.section .note.GNU-stack, "", @progbits
