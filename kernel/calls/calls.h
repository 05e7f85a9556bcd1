/* SPDX-License-Identifier: MIT */
/*
 * System calls. A call is `int64_t call_NAME(struct registers *regs)`: arguments by ARG(regs,
 * 0..5), of the Linux ABI for x86-64 (rdi, rsi, rdx, r10, r8, r9); a negative error is -1..-4095.
 * Runs with interrupts enabled, online, no lock held. What is not in one of the lists below is
 * ENOSYS and named once.
 */
#ifndef KERNEL_CALLS_H
#define KERNEL_CALLS_H

#include "arch/registers.h"
#include "lib/errno.h"

static inline uint64_t argument(const struct registers *regs, unsigned i)
{
	switch (i) {
	case 0:
		return regs->rdi;
	case 1:
		return regs->rsi;
	case 2:
		return regs->rdx;
	case 3:
		return regs->r10;
	case 4:
		return regs->r8;
	default:
		return regs->r9;
	}
}

#define ARG(regs, i) argument(regs, i)
#define CALL(number, name) int64_t call_##name(struct registers *regs);
#include "calls/fs_calls.h"
#include "calls/memory_calls.h"
#include "calls/signal_calls.h"
#include "calls/task_calls.h"
#undef CALL

#endif
