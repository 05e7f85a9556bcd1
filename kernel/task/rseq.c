/* SPDX-License-Identifier: MIT */
/*
 * Restartable sequences: rseq(2), as <linux/rseq.h> lays it out. A thread keeps a structure in its
 * memory that the kernel tells the CPU's number; and a critical section that the thread has entered
 * there begins again (at its abort address) if the thread loses its CPU, or takes a signal, before
 * its end.
 */
#include "task/task.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/user.h"

#define RSEQ_SIZE 32
#define RSEQ_UNREGISTER 1
#define NO_CPU UINT32_MAX

/* Where the fields are: two numbers of the CPU, the section. */
enum { CPU_START_AT = 0, CPU_AT = 4, SECTION_AT = 8 };

struct section {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

static int write_cpu(uint64_t at, uint32_t start, uint32_t cpu)
{
	return user_store32(at + CPU_START_AT, start) || user_store32(at + CPU_AT, cpu) ? -EFAULT
											: 0;
}

/* Its abort address is announced by the signature in front of it: no other code can be jumped to.
 */
static int check_section(const struct task *task, const struct section *section)
{
	uint32_t signature;

	if (section->version || section->flags || section->start >= USER_END ||
	    section->length > USER_END - section->start || section->abort >= USER_END ||
	    section->abort - section->start < section->length)
		return -EINVAL;
	if (user_read(&signature, section->abort - sizeof(signature), sizeof(signature)))
		return -EFAULT;
	return signature == task->rseq.signature ? 0 : -EINVAL;
}

static int leave_section(const struct task *task, struct registers *regs)
{
	struct section section;
	uint64_t at;
	int error;

	if (user_load64(task->rseq.address + SECTION_AT, &at))
		return -EFAULT;
	if (!at)
		return 0;
	if (user_read(&section, at, sizeof(section)))
		return -EFAULT;
	error = check_section(task, &section);
	if (error)
		return error;
	/* It is left, or stale: either way it is over. */
	if (user_store64(task->rseq.address + SECTION_AT, 0))
		return -EFAULT;
	if (regs->rip - section.start < section.length)
		regs->rip = section.abort;
	return 0;
}

void rseq_update(struct registers *regs)
{
	struct signal_info bad = { .signo = SIGSEGV, .code = SI_KERNEL };
	struct task *task = current_task();
	uint32_t cpu;

	atomic_fetch_and(&task->work, ~(uint32_t)WORK_RSEQ);
	if (!task->rseq.address)
		return;
	cpu = this_cpu()->index;
	if (leave_section(task, regs) || write_cpu(task->rseq.address, cpu, cpu)) {
		task->rseq.address = 0;
		signal_force(&bad);
	}
}

static int64_t unregister(struct task *task, uint64_t address, uint32_t length, uint32_t signature)
{
	if (task->rseq.address != address || !address || task->rseq.length != length)
		return -EINVAL;
	if (task->rseq.signature != signature)
		return -EPERM;
	if (write_cpu(address, 0, NO_CPU))
		return -EFAULT;
	memset(&task->rseq, 0, sizeof(task->rseq));
	return 0;
}

int64_t call_rseq(struct registers *regs)
{
	struct task *task = current_task();
	uint64_t address = ARG(regs, 0);
	uint32_t length = (uint32_t)ARG(regs, 1), flags = (uint32_t)ARG(regs, 2);
	uint32_t signature = (uint32_t)ARG(regs, 3);

	if (flags == RSEQ_UNREGISTER)
		return unregister(task, address, length, signature);
	if (flags)
		return -EINVAL;
	if (task->rseq.address) {
		if (task->rseq.address != address || task->rseq.length != length)
			return -EINVAL;
		return task->rseq.signature == signature ? -EBUSY : -EPERM;
	}
	if (address % RSEQ_SIZE || length != RSEQ_SIZE)
		return -EINVAL;
	if (!address || address > USER_END - RSEQ_SIZE)
		return -EFAULT;
	task->rseq.address = address;
	task->rseq.length = length;
	task->rseq.signature = signature;
	/* The numbers are written on the way back. */
	atomic_fetch_or(&task->work, WORK_RSEQ);
	return 0;
}
