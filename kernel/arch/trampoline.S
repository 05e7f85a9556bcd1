/* SPDX-License-Identifier: MIT */
/*
 * Where the other CPUs start: a page below 1 MiB, in real mode, which smp.c has copied this to. From
 * there with the boot tables, where this page is at its own address, into the image, and on to the
 * kernel's tables.
 */
#include "arch/assembler.inc"

#define EFER 0xc0000080
#define EFER_LME_NX 0x900
#define CR0_PE_PG 0x80000001
#define HERE(symbol) (symbol - trampoline)

	.section .rodata
	.code16
	.globl	trampoline, trampoline_far, trampoline_cr3, trampoline_cr4, trampoline_end
	.balign	16
trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	movl	HERE(trampoline_cr4), %eax
	movl	%eax, %cr4
	movl	HERE(trampoline_cr3), %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_LME_NX, %eax
	wrmsr
	lgdtl	HERE(trampoline_gdt_pointer)
	movl	%cr0, %eax
	orl	$CR0_PE_PG, %eax
	movl	%eax, %cr0
	ljmpl	*HERE(trampoline_far)
	.code64
trampoline_long:
	movabsq	$secondary_entry, %rax
	jmp	*%rax
	.balign	8
trampoline_far:			/* smp.c adds where the copy is */
	.long	HERE(trampoline_long)
	.word	SELECTOR_KERNEL_CODE
	.balign	8
trampoline_gdt_pointer:
	.word	3 * 8 - 1
	.long	boot_gdt - KERNEL_BASE
	.balign	8
trampoline_cr3:
	.long	0
trampoline_cr4:
	.long	0
trampoline_end:

	.text
FUNCTION(secondary_entry)
	movl	$SELECTOR_KERNEL_DATA, %eax
	movl	%eax, %ss
	movq	kernel_root(%rip), %rax
	movq	%rax, %cr3
	movq	secondary_stack(%rip), %rsp
	movq	secondary_cpu(%rip), %rdi
	xorl	%ebp, %ebp
	call	secondary_start
END(secondary_entry)

	.section .note.GNU-stack, "", @progbits
