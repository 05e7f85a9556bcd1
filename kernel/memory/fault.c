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

#define ERROR_PRESENT 1
#define ERROR_USER 4
#define ERROR_RESERVED 8 /* in the error code */

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
		.trap = EXCEPTION_PAGE_FAULT,
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
	print("quire: out of memory: %s (process %d) is ended\n", process->name, process->pid);
	process_kill(process, SIGKILL);
}

/*
 * In the kernel only a user copy may fault, and only on user memory. Returns whether it may be
 * resolved: what the CPU itself may not touch in a program's name (the address of a table of
 * segments, say; SMAP) no mapping would allow.
 */
static bool check_kernel(const struct registers *regs, uint64_t address)
{
	if (from_user(regs))
		return (regs->error & ERROR_PRESENT) == 0;
	if (current_task()->mm == NULL || address >= USER_END ||
	    (regs->rflags & FLAG_INTERRUPT) == 0 ||
	    (cpu_features.smap && (regs->rflags & FLAG_ALIGN) == 0))
		panic_at(regs, "page fault at 0x%lx, error 0x%lx", address, regs->error);
	return true;
}

static __attribute__((noinline)) void failed(struct registers *regs, uint64_t address,
					     enum quire_verdict verdict)
{
	struct task *task = current_task();
	bool user = from_user(regs);

	if (verdict == QUIRE_FAULT_OOM)
		out_of_memory(task->process);
	else if (user)
		refuse(task, regs, address, verdict);
	if (!user && !fixup_fault(regs))
		panic_at(regs, "page fault at 0x%lx, error 0x%lx", address, regs->error);
}

static inline void resolve(struct registers *regs, uint64_t address)
{
	struct task *task = current_task();
	enum quire_verdict verdict = QUIRE_FAULT_MAPERR;

	task->faults++;
	if (likely(address < USER_END))
		verdict = quire_fault(task->mm, address, quire_x86_access(regs->error));
	if (unlikely(verdict != QUIRE_FAULT_DONE))
		failed(regs, address, verdict);
}

static __attribute__((noinline)) void not_of_program(struct registers *regs, uint64_t address)
{
	if (regs->error & ERROR_RESERVED)
		panic_at(regs, "reserved bits in the tables at 0x%lx", address);
	if (check_kernel(regs, address))
		resolve(regs, address);
	else
		failed(regs, address, QUIRE_FAULT_MAPERR);
}

/* All that is rare is out of line: the frequent way keeps few registers. */
void page_fault(struct registers *regs, uint64_t address)
{
	if (likely((regs->error & (ERROR_RESERVED | ERROR_USER)) == ERROR_USER))
		resolve(regs, address);
	else
		not_of_program(regs, address);
}
