/* SPDX-License-Identifier: MIT */
/*
 * What a thread leaves behind in user memory when it ends: words of locks that it still holds (its
 * robust list: get_robust_list(2)), and the word that others join it by (set_tid_address(2)).
 *
 * The list is the program's: it may be anything, circular and endless too. So it is followed for a
 * bounded number of steps, and the first bad address ends it.
 */
#include "task/task.h"

#include "calls/calls.h"
#include "memory/user.h"

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID 0x3fffffffu
#define STEPS 2048
#define IS_PI 1ull /* the lowest bit of an entry's address */

struct robust_head {
	uint64_t list, offset, pending;
};

/* One lock. Returns 0, or -EFAULT. */
static int let_go(uint64_t entry, uint64_t offset, bool pending)
{
	uint64_t address = (entry & ~IS_PI) + offset;
	uint32_t word, seen;

	if (user_load32(address, &word))
		return -EFAULT;
	/* It ended between its unlock and its wake. */
	if (pending && !(entry & IS_PI) && !word) {
		futex_wake(address, 1, false);
		return 0;
	}
	for (;; word = seen) {
		if ((word & FUTEX_TID) != (uint32_t)current_task()->tid)
			return 0;
		if (user_cas32(address, word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen))
			return -EFAULT;
		if (seen == word)
			break;
	}
	if (!(entry & IS_PI) && word & FUTEX_WAITERS)
		futex_wake(address, 1, false);
	return 0;
}

static void let_all_go(uint64_t at)
{
	struct robust_head head;
	uint64_t entry;

	if (user_read(&head, at, sizeof(head)))
		return;
	entry = head.list;
	for (unsigned i = 0; i < STEPS && (entry & ~IS_PI) != at; i++) {
		uint64_t next;
		int error = user_load64(entry & ~IS_PI, &next);

		/* The one that is pending comes last. */
		if ((entry & ~IS_PI) != (head.pending & ~IS_PI) &&
		    let_go(entry, head.offset, false))
			return;
		if (error)
			return;
		entry = next;
	}
	if (head.pending & ~IS_PI)
		let_go(head.pending, head.offset, true);
}

void futex_exit(struct task *task)
{
	struct process *process = task->process;

	if (task->robust_list)
		let_all_go(task->robust_list);
	task->robust_list = 0;
	/* Nobody is left who could look at it? */
	if (task->clear_tid &&
	    (process->thread_count > 1 || atomic_load(&process->space->references) > 1)) {
		user_store32(task->clear_tid, 0);
		futex_wake(task->clear_tid, 1, false);
	}
	task->clear_tid = 0;
}

int64_t call_set_robust_list(struct registers *regs)
{
	if (ARG(regs, 1) != sizeof(struct robust_head))
		return -EINVAL;
	current_task()->robust_list = ARG(regs, 0);
	return 0;
}

int64_t call_get_robust_list(struct registers *regs)
{
	int tid = (int)ARG(regs, 0);
	struct task *task = tid ? task_find(tid) : current_task();
	uint64_t list;

	if (!task)
		return -ESRCH;
	list = task->robust_list;
	if (tid)
		task_put(task);
	if (user_store64(ARG(regs, 2), sizeof(struct robust_head)) ||
	    user_store64(ARG(regs, 1), list))
		return -EFAULT;
	return 0;
}

int64_t call_set_tid_address(struct registers *regs)
{
	struct task *task = current_task();

	task->clear_tid = ARG(regs, 0);
	return task->tid;
}
