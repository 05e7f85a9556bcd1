/* SPDX-License-Identifier: MIT */
/*
 * What a user thread or interrupted kernel code had in its registers: laid out on the kernel stack
 * by arch/entry.S at every entry, system calls included.
 */
#ifndef KERNEL_REGISTERS_H
#define KERNEL_REGISTERS_H

#include <stdint.h>

struct registers {
	uint64_t r15, r14, r13, r12, rbp, rbx;
	uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	/*
	 * Of exceptions, the CPU's error code or 0. Of system calls the number, which is never
	 * negative: what rax was (orig_rax). -1: neither, or nothing is to be restarted any more.
	 */
	uint64_t error;
	uint64_t rip, cs, rflags, rsp, ss;
};

#define KERNEL_CS 0x08
#define KERNEL_SS 0x10
#define USER_SS 0x1b /* in this order for sysret */
#define USER_CS 0x23

#define FLAG_FIXED 0x2ull /* always 1 */
#define FLAG_TRAP 0x100ull
#define FLAG_INTERRUPT 0x200ull
#define FLAG_DIRECTION 0x400ull
#define FLAG_RESUME 0x10000ull
#define FLAG_ALIGN 0x40000ull
/* What a program may set in rflags by sigreturn. */
#define FLAGS_USER 0x50dd5ull

static inline int from_user(const struct registers *regs)
{
	return (regs->cs & 3) == 3;
}

#endif
