/* SPDX-License-Identifier: MIT */
/* getrlimit(2), setrlimit, prlimit64, getrusage, times. */
#include "task/limits.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "fs/fs.h"
#include "memory/user.h"
#include "task/clock.h"

#define MIB (1ull << 20)

enum { RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1 };

struct rlimit {
	uint64_t current, maximum;
};

_Static_assert(ARRAY_SIZE(((struct process *)0)->limits) == RLIMITS, "task.h");

void limits_init(struct process *process)
{
	for (unsigned i = 0; i < RLIMITS; i++)
		process->limits[i][0] = process->limits[i][1] = RLIM_INFINITY;
	process->limits[RLIMIT_STACK][0] = 8 * MIB;
	process->limits[RLIMIT_CORE][0] = 0;
	process->limits[RLIMIT_NOFILE][0] = 1024;
	process->limits[RLIMIT_NOFILE][1] = OPEN_MAX;
	process->limits[RLIMIT_MEMLOCK][0] = process->limits[RLIMIT_MEMLOCK][1] = 8 * MIB;
	process->limits[RLIMIT_SIGPENDING][0] = process->limits[RLIMIT_SIGPENDING][1] = 4096;
	process->limits[RLIMIT_MSGQUEUE][0] = process->limits[RLIMIT_MSGQUEUE][1] = 819200;
	process->limits[RLIMIT_NICE][0] = process->limits[RLIMIT_NICE][1] = 0;
	process->limits[RLIMIT_RTPRIO][0] = process->limits[RLIMIT_RTPRIO][1] = 0;
}

/* Quire takes 0 for no limit; one byte allows no page either. */
void limits_apply(const struct process *process, struct quire_mm *mm)
{
	struct quire_limits limits;

	quire_mm_get_limits(mm, &limits);
	limits.address_space = MAX(process->limits[RLIMIT_AS][0], 1ull);
	limits.data = MAX(process->limits[RLIMIT_DATA][0], 1ull);
	limits.stack = MAX(process->limits[RLIMIT_STACK][0], 1ull);
	limits.locked = MAX(process->limits[RLIMIT_MEMLOCK][0], 1ull);
	quire_mm_set_limits(mm, &limits);
}

static int limit_check(unsigned which, const struct rlimit *limit)
{
	if (limit->current > limit->maximum)
		return -EINVAL;
	return which == RLIMIT_NOFILE && limit->maximum > OPEN_MAX ? -EPERM : 0;
}

/* => the process is counted by the caller; it may be ending */
static void limit_change(struct process *process, unsigned which, const struct rlimit *limit)
{
	process->limits[which][0] = limit->current;
	process->limits[which][1] = limit->maximum;
	if (process == current_process())
		limits_apply(process, process->space->mm);
}

static int limit_user(struct process *process, unsigned which, uint64_t from, uint64_t to)
{
	struct rlimit limit, old;
	int error;

	if (which >= RLIMITS)
		return -EINVAL;
	if (from) {
		if (user_read(&limit, from, sizeof(limit)))
			return -EFAULT;
		error = limit_check(which, &limit);
		if (error)
			return error;
	}
	old = (struct rlimit){ process->limits[which][0], process->limits[which][1] };
	if (from)
		limit_change(process, which, &limit);
	return to ? user_write(to, &old, sizeof(old)) : 0;
}

int64_t call_getrlimit(struct registers *regs)
{
	struct process *process = current_process();

	return ARG(regs, 1) ? limit_user(process, (unsigned)ARG(regs, 0), 0, ARG(regs, 1))
			    : -EFAULT;
}

int64_t call_setrlimit(struct registers *regs)
{
	struct process *process = current_process();

	return ARG(regs, 1) ? limit_user(process, (unsigned)ARG(regs, 0), ARG(regs, 1), 0)
			    : -EFAULT;
}

/* Limits of another process are kept; of those of memory it is told when it execs. */
int64_t call_prlimit64(struct registers *regs)
{
	int pid = (int)ARG(regs, 0), error;
	struct process *process;

	if (pid == 0)
		return limit_user(current_process(), (unsigned)ARG(regs, 1), ARG(regs, 2),
				  ARG(regs, 3));
	process = process_find(pid);
	if (!process)
		return -ESRCH;
	error = limit_user(process, (unsigned)ARG(regs, 1), ARG(regs, 2), ARG(regs, 3));
	process_put(process);
	return error;
}

/* --- what was used: all time counts as the program's own --- */

static uint64_t faults_of(struct process *process)
{
	uint64_t faults;

	lock_take(&process_lock);
	faults = process->faults;
	list_for_each(task, &process->threads, struct task, sibling)
		faults += task->faults;
	lock_drop(&process_lock);
	return faults;
}

int usage_write(uint64_t to, uint64_t time, uint64_t faults)
{
	uint64_t usage[18] = { time / SECOND, time % SECOND / 1000 };

	usage[8] = faults; /* ru_minflt */
	return user_write(to, usage, sizeof(usage));
}

int64_t call_getrusage(struct registers *regs)
{
	struct process *process = current_process();
	uint64_t time, faults = 0;

	switch ((int)ARG(regs, 0)) {
	case RUSAGE_SELF:
		time = process_time(process);
		faults = faults_of(process);
		break;
	case RUSAGE_CHILDREN:
		time = process->children_time;
		break;
	case RUSAGE_THREAD:
		time = task_time(current_task());
		faults = current_task()->faults;
		break;
	default:
		return -EINVAL;
	}
	return usage_write(ARG(regs, 1), time, faults);
}

int64_t call_times(struct registers *regs)
{
	struct process *process = current_process();
	uint64_t tick = SECOND / USER_HZ;
	uint64_t times[4] = { process_time(process) / tick, 0, process->children_time / tick, 0 };

	if (ARG(regs, 0) && user_write(ARG(regs, 0), times, sizeof(times)))
		return -EFAULT;
	return (int64_t)(time_now() / tick);
}
