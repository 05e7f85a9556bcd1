/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry (32 bits, no paging, ebx: the start info) to kernel_start.
 *
 *     boot_level5[0, 511] ─┐
 *     boot_level4[0, 256]  ├──► boot_low    ──► 4 × boot_directory: physical 0 .. 4 GiB, 2 MiB pages
 *     boot_level4[511]     ┘    boot_high[510, 511] ──► the first two of them: the kernel's image
 *
 * so these tables show the first 4 GiB at 0, at DIRECT_MAP, and 2 GiB at KERNEL_BASE, with 4 levels
 * and 5. The other CPUs start with them, too. Five levels must be chosen before paging is on: that
 * is why the command line is first read here.
 */
#include "arch/assembler.inc"

#define PHYSICAL(symbol) (symbol - KERNEL_BASE)

#define CR4_PAE 0x20
#define CR4_LA57 0x1000
#define EFER 0xc0000080
#define EFER_LME 0x100
#define CR0_PE_PG 0x80000001

#define START_INFO_MAGIC 0x336ec578
#define START_INFO_COMMAND_LINE 24

	/* Xen's PHYS32_ENTRY note: where a PVH loader enters. */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 8, 18
	.asciz	"Xen"
	.quad	PHYSICAL(boot_entry)

	.section .text.boot, "ax"
	.code32
	.globl	boot_entry
boot_entry:
	cld
	cli
	movl	%ebx, %ebp
	movl	$PHYSICAL(image_bss), %edi
	movl	$PHYSICAL(image_end), %ecx
	subl	%edi, %ecx
	shrl	$2, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$PHYSICAL(boot_stack_top), %esp
	cmpl	$START_INFO_MAGIC, (%ebp)
	jne	refuse
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	refuse
	movl	$0x80000001, %eax
	cpuid
	btl	$29, %edx		/* long mode */
	jnc	refuse

	/* 2048 pages of 2 MiB: present, writable, large. */
	movl	$PHYSICAL(boot_directory), %edi
	movl	$0x83, %eax
	xorl	%edx, %edx
1:	movl	%eax, (%edi)
	movl	%edx, 4(%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	jnc	1b

	movl	$PHYSICAL(boot_directory) + 3, %eax
	movl	$PHYSICAL(boot_low), %edi
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x1000, %eax
	loop	1b
	movl	$PHYSICAL(boot_directory) + 3, PHYSICAL(boot_high) + 510 * 8
	movl	$PHYSICAL(boot_directory) + 0x1003, PHYSICAL(boot_high) + 511 * 8
	movl	$PHYSICAL(boot_low) + 3, PHYSICAL(boot_level4)
	movl	$PHYSICAL(boot_low) + 3, PHYSICAL(boot_level4) + 256 * 8
	movl	$PHYSICAL(boot_high) + 3, PHYSICAL(boot_level4) + 511 * 8
	movl	$PHYSICAL(boot_level4) + 3, PHYSICAL(boot_level5)
	movl	$PHYSICAL(boot_level4) + 3, PHYSICAL(boot_level5) + 511 * 8

	movl	$CR4_PAE, %edx
	movl	$PHYSICAL(boot_level4), %edi
	call	wants_five_levels
	testl	%eax, %eax
	jz	1f
	orl	$CR4_LA57, %edx
	movl	$PHYSICAL(boot_level5), %edi
1:	movl	%edx, PHYSICAL(boot_cr4)
	movl	%edi, PHYSICAL(boot_cr3)
	movl	%edx, %cr4
	movl	%edi, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PE_PG, %eax
	movl	%eax, %cr0
	lgdt	PHYSICAL(boot_gdt_pointer)
	ljmp	$SELECTOR_KERNEL_CODE, $PHYSICAL(boot_long)

	/* eax: the option levels=5 is there and the CPU can. Changes eax, ecx, esi; keeps edx, edi. */
wants_five_levels:
	movl	START_INFO_COMMAND_LINE(%ebp), %esi
	testl	%esi, %esi
	jz	2f
1:	cmpb	$0, (%esi)
	je	2f
	cmpl	$0x6576656c, (%esi)	/* "leve" */
	jne	3f
	cmpl	$0x353d736c, 4(%esi)	/* "ls=5" */
	je	4f
3:	incl	%esi
	jmp	1b
2:	xorl	%eax, %eax
	ret
4:	pushl	%edx
	xorl	%eax, %eax
	cpuid
	cmpl	$7, %eax
	movl	$0, %eax
	jb	5f
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	movl	%ecx, %eax
	shrl	$16, %eax
	andl	$1, %eax
5:	popl	%edx
	ret

	/* Not a PVH loader, or not a 64-bit CPU: say so where it may be read, and end. */
refuse:
	movl	$PHYSICAL(refusal), %esi
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, $0xe9
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	1b
2:	movl	$127, %eax
	outl	%eax, $0xf4
3:	hlt
	jmp	3b

	.code64
boot_long:
	movabsq	$1f, %rax
	jmp	*%rax
1:	movl	$SELECTOR_KERNEL_DATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	leaq	boot_stack_top(%rip), %rsp
	movl	%ebp, %edi
	xorl	%ebp, %ebp
	call	kernel_start

	.section .rodata.boot, "a"
refusal:
	.asciz	"quire: needs a PVH loader and a 64-bit CPU\n"
	.balign	8
	.globl	boot_gdt
boot_gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 64-bit code */
	.quad	0x00cf93000000ffff	/* data */
boot_gdt_pointer:
	.word	. - boot_gdt - 1
	.long	PHYSICAL(boot_gdt)

	.section .bss.boot, "aw", @nobits
	.balign	16384
	.globl	boot_stack, boot_stack_top, boot_cr3, boot_cr4
boot_stack:
	.skip	16384
boot_stack_top:
boot_level5:
	.skip	4096
boot_level4:
	.skip	4096
boot_low:
	.skip	4096
boot_high:
	.skip	4096
boot_directory:
	.skip	4 * 4096
boot_cr3:
	.skip	8
boot_cr4:
	.skip	8
	.section .note.GNU-stack, "", @progbits
