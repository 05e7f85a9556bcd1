/* SPDX-License-Identifier: MIT */
/*
 * System calls about the scheduler. There is one policy, SCHED_OTHER, and no priorities: nice
 * values are kept and given back.
 */
#include "calls/calls.h"
#include "memory/user.h"
#include "task/clock.h"
#include "task/run_queue.h"

enum { SCHED_OTHER = 0, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 5, SCHED_DEADLINE };
#define SCHED_RESET_ON_FORK 0x40000000
#define PRIORITY_MAX 99 /* of SCHED_FIFO and SCHED_RR */
enum { PRIO_PROCESS = 0, PRIO_PGRP, PRIO_USER };
#define NICE_MIN (-20)
#define NICE_MAX 19

/* By tid; 0 is the current one. With a reference; NULL: there is none. */
static struct task *find(uint64_t tid)
{
	if ((int)tid == 0) {
		task_get(current_task());
		return current_task();
	}
	return task_find((int)tid);
}

int64_t call_sched_yield(struct registers *regs)
{
	(void)regs;
	task_yield();
	return 0;
}

static uint64_t online_mask(void)
{
	return cpu_count == 64 ? UINT64_MAX : (1ull << cpu_count) - 1;
}

int64_t call_sched_setaffinity(struct registers *regs)
{
	uint64_t mask = 0, length = MIN((uint32_t)ARG(regs, 1), sizeof(mask));
	struct task *task;

	if (user_read(&mask, ARG(regs, 2), length))
		return -EFAULT;
	task = find(ARG(regs, 0));
	if (!task)
		return -ESRCH;
	mask &= online_mask();
	if (mask) {
		atomic_store(&task->affinity, mask);
		task_affinity_changed(task);
	}
	task_put(task);
	return mask ? 0 : -EINVAL;
}

/* Returns how many bytes it wrote. */
int64_t call_sched_getaffinity(struct registers *regs)
{
	uint32_t length = (uint32_t)ARG(regs, 1);
	struct task *task;
	uint64_t mask;

	if (length < sizeof(mask) || length % sizeof(mask))
		return -EINVAL;
	task = find(ARG(regs, 0));
	if (!task)
		return -ESRCH;
	mask = atomic_load(&task->affinity) & online_mask();
	task_put(task);
	return user_write(ARG(regs, 2), &mask, sizeof(mask)) ? -EFAULT : (int64_t)sizeof(mask);
}

/* Is there such a task? */
static int check_task(uint64_t tid)
{
	struct task *task;

	if ((int)tid < 0)
		return -EINVAL;
	task = find(tid);
	if (!task)
		return -ESRCH;
	task_put(task);
	return 0;
}

/* What it would take to give a task this policy and priority: 0 if that is what it has. */
static int check_policy(int policy, int priority)
{
	bool real_time;

	policy &= ~SCHED_RESET_ON_FORK;
	real_time = policy == SCHED_FIFO || policy == SCHED_RR;
	if (policy < SCHED_OTHER || policy > SCHED_DEADLINE || policy == SCHED_IDLE - 1)
		return -EINVAL;
	if (real_time ? priority < 1 || priority > PRIORITY_MAX : priority != 0)
		return -EINVAL;
	return policy == SCHED_OTHER ? 0 : -EPERM;
}

int64_t call_sched_setscheduler(struct registers *regs)
{
	int error = check_task(ARG(regs, 0));
	int32_t priority;

	if ((int)ARG(regs, 1) < 0 || !ARG(regs, 2))
		return -EINVAL;
	if (user_read(&priority, ARG(regs, 2), sizeof(priority)))
		return -EFAULT;
	return error ? error : check_policy((int)ARG(regs, 1), priority);
}

int64_t call_sched_setparam(struct registers *regs)
{
	int error = check_task(ARG(regs, 0));
	int32_t priority;

	if (!ARG(regs, 1))
		return -EINVAL;
	if (user_read(&priority, ARG(regs, 1), sizeof(priority)))
		return -EFAULT;
	return error ? error : check_policy(SCHED_OTHER, priority);
}

int64_t call_sched_getscheduler(struct registers *regs)
{
	int error = check_task(ARG(regs, 0));

	return error ? error : SCHED_OTHER;
}

int64_t call_sched_getparam(struct registers *regs)
{
	int error = check_task(ARG(regs, 0));
	int32_t priority = 0;

	if (!ARG(regs, 1))
		return -EINVAL;
	return error ? error : user_write(ARG(regs, 1), &priority, sizeof(priority));
}

/* The bound of a policy's priorities, which is `real_time` for those that have some. */
static int64_t priority_bound(uint64_t policy, int real_time)
{
	switch ((int)policy) {
	case SCHED_FIFO:
	case SCHED_RR:
		return real_time;
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
	case SCHED_DEADLINE:
		return 0;
	default:
		return -EINVAL;
	}
}

int64_t call_sched_get_priority_max(struct registers *regs)
{
	return priority_bound(ARG(regs, 0), PRIORITY_MAX);
}

int64_t call_sched_get_priority_min(struct registers *regs)
{
	return priority_bound(ARG(regs, 0), 1);
}

int64_t call_sched_rr_get_interval(struct registers *regs)
{
	int error = check_task(ARG(regs, 0));

	return error ? error : clock_write(ARG(regs, 1), SLICE_TICKS * SECOND / TICK_HZ);
}

/* Whom getpriority and setpriority mean. => process_lock held */
static bool is_meant(const struct task *task, int which, int who)
{
	if (which == PRIO_USER)
		return who == 0;
	if (which == PRIO_PGRP)
		return task->process->group == (who ? who : current_process()->group);
	return who ? task->tid == who : task == current_task();
}

/* Calls `visit` for each task that is meant. Returns 0, -EINVAL, or -ESRCH: there is none. */
static int for_each_meant(struct registers *regs, void (*visit)(struct task *task, int *value),
			  int *value)
{
	int which = (int)ARG(regs, 0), who = (int)ARG(regs, 1), error = -ESRCH;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	lock_take(&process_lock);
	list_for_each(process, &all_processes, struct process, all) {
		list_for_each(task, &process->threads, struct task, sibling) {
			if (!is_meant(task, which, who))
				continue;
			visit(task, value);
			error = 0;
		}
	}
	lock_drop(&process_lock);
	return error;
}

static void set_nice(struct task *task, int *value)
{
	task->nice = *value;
}

static void lowest_nice(struct task *task, int *value)
{
	*value = MIN(*value, task->nice);
}

int64_t call_setpriority(struct registers *regs)
{
	int nice = MAX(NICE_MIN, MIN((int)ARG(regs, 2), NICE_MAX));

	return for_each_meant(regs, set_nice, &nice);
}

/* The system call gives 20 - nice, so that it is never negative. */
int64_t call_getpriority(struct registers *regs)
{
	int nice = NICE_MAX, error = for_each_meant(regs, lowest_nice, &nice);

	return error ? error : 20 - nice;
}

int64_t call_getcpu(struct registers *regs)
{
	uint32_t numbers[2] = { this_cpu()->index, 0 }; /* CPU, node */

	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		if (ARG(regs, i) && user_write(ARG(regs, i), &numbers[i], sizeof(numbers[i])))
			return -EFAULT;
	return 0;
}
