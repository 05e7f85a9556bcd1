/* SPDX-License-Identifier: MIT */
/*
 * User memory: arch/usercopy.h. Between stac and clac the kernel may touch it; each instruction
 * that does is in the table of fix-ups. A fault clears the flag for its handler and iretq brings it
 * back. CPUs without SMAP get no-operations in the place of both (arch/cpu.c).
 *
 * rep movsq: eight bytes a step, and a step is an instruction to whoever counts. A fault within the
 * last eight bytes before a bad page would hide up to seven good ones, so its fix-up goes on bytewise.
 */
#include "arch/assembler.inc"

	.macro fixup at, to
	.pushsection .fixups, "a"
	.long	\at - KERNEL_BASE, \to - KERNEL_BASE
	.popsection
	.endm

	.text
FUNCTION(arch_user_copy)
	user_open
	movq	%rdx, %rcx
	shrq	$3, %rcx
	andl	$7, %edx
1:	rep movsq
	movl	%edx, %ecx
2:	rep movsb
3:	user_close
	movq	%rcx, %rax
	ret
4:	leaq	(%rdx, %rcx, 8), %rcx
	jmp	2b
	fixup	1b, 4b
	fixup	2b, 3b
END(arch_user_copy)

FUNCTION(arch_user_clear)
	user_open
	xorl	%eax, %eax
	movq	%rsi, %rcx
	movl	%esi, %edx
	shrq	$3, %rcx
	andl	$7, %edx
1:	rep stosq
	movl	%edx, %ecx
2:	rep stosb
3:	user_close
	movq	%rcx, %rax
	ret
4:	leaq	(%rdx, %rcx, 8), %rcx
	jmp	2b
	fixup	1b, 4b
	fixup	2b, 3b
END(arch_user_clear)

FUNCTION(arch_user_load32)
	user_open
1:	movl	(%rdi), %eax
	user_close
	movl	%eax, (%rsi)
	xorl	%eax, %eax
	ret
	fixup	1b, refused
END(arch_user_load32)

FUNCTION(arch_user_load64)
	user_open
1:	movq	(%rdi), %rax
	user_close
	movq	%rax, (%rsi)
	xorl	%eax, %eax
	ret
	fixup	1b, refused
END(arch_user_load64)

FUNCTION(arch_user_store32)
	user_open
1:	movl	%esi, (%rdi)
	user_close
	xorl	%eax, %eax
	ret
	fixup	1b, refused
END(arch_user_store32)

FUNCTION(arch_user_store64)
	user_open
1:	movq	%rsi, (%rdi)
	user_close
	xorl	%eax, %eax
	ret
	fixup	1b, refused
END(arch_user_store64)

FUNCTION(arch_user_xchg32)
	movl	(%rsi), %eax
	user_open
1:	xchgl	%eax, (%rdi)
	user_close
	movl	%eax, (%rsi)
	xorl	%eax, %eax
	ret
	fixup	1b, refused
END(arch_user_xchg32)

FUNCTION(arch_user_cas32)
	movl	%esi, %eax
	user_open
1:	lock cmpxchgl %edx, (%rdi)
	user_close
	movl	%eax, (%rcx)
	xorl	%eax, %eax
	ret
	fixup	1b, refused
END(arch_user_cas32)

FUNCTION(refused)
	user_close
	movl	$1, %eax
	ret
END(refused)

	.section .note.GNU-stack, "", @progbits
