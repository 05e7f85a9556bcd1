/* SPDX-License-Identifier: MIT */
/*
 * Page faults.
 *
 *     user mode           ──► quire_fault ──done──► back to the instruction
 *     a user copy         ──►     │
 *       (arch/usercopy.S)         └─refused─► user mode: SIGSEGV, SIGBUS, or the process ends
 *                                             user copy: its fix-up, and the call says EFAULT
 *     anything else       ──► panic: the kernel's own memory is always mapped
 */
#include "arch/cpu.h"
#include "arch/entry.h"
#include "arch/panic.h"
#include "task/task.h"

#include <quire/mm.h>

#define ERROR_RESERVED 8

#define FAULT_VECTOR 14

/* The key of the mapping, for who asks after the fact. */
static int key_at(struct quire_mm *mm, uint64_t address)
{
	struct quire_vma_info info;

	return quire_vma_find(mm, address, &info) == 0 && info.start <= address ? info.key : 0;
}

static void refuse(struct task *task, const struct registers *regs, uint64_t address,
		   enum quire_verdict verdict)
{
	struct signal_info info = {
		.signo = verdict == QUIRE_FAULT_BUS ? SIGBUS : SIGSEGV,
		.address = address,
		.error = regs->error,
		.trap = FAULT_VECTOR,
	};

	switch (verdict) {
	case QUIRE_FAULT_BUS:
		info.code = BUS_ADRERR;
		break;
	case QUIRE_FAULT_ACCERR:
		info.code = SEGV_ACCERR;
		break;
	case QUIRE_FAULT_PKUERR:
		info.code = SEGV_PKUERR;
		info.key = key_at(task->mm, address);
		break;
	default:
		info.code = SEGV_MAPERR;
	}
	signal_force(&info);
}

/* Nothing is left to give, and what could be taken back has been. */
static void out_of_memory(struct process *process)
{
	if (process->ending)
		return;
	print("out of memory: %s (process %d) is ended\n", process->name, process->pid);
	process_kill(process, SIGKILL);
}

/* In the kernel only a user copy may fault, and only on user memory. */
static void check_kernel(const struct registers *regs, uint64_t address)
{
	if (current_task()->mm == NULL || address >= USER_END ||
	    (regs->rflags & FLAG_INTERRUPT) == 0 ||
	    (cpu_features.smap && (regs->rflags & FLAG_ALIGN) == 0))
		panic_at(regs, "page fault at 0x%lx, error 0x%lx", address, regs->error);
}

void page_fault(struct registers *regs, uint64_t address)
{
	struct task *task = current_task();
	enum quire_verdict verdict = QUIRE_FAULT_MAPERR;
	bool user = from_user(regs);

	if (unlikely(regs->error & ERROR_RESERVED))
		panic_at(regs, "reserved bits in the tables at 0x%lx", address);
	if (unlikely(!user))
		check_kernel(regs, address);
	task->faults++;
	if (likely(address < USER_END))
		verdict = quire_fault(task->mm, address, quire_x86_access(regs->error));
	if (likely(verdict == QUIRE_FAULT_DONE))
		return;
	if (verdict == QUIRE_FAULT_OOM)
		out_of_memory(task->process);
	else if (user)
		refuse(task, regs, address, verdict);
	if (!user && !fixup_fault(regs))
		panic_at(regs, "page fault at 0x%lx, error 0x%lx", address, regs->error);
}
