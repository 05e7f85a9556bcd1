/* SPDX-License-Identifier: MIT */
/* System calls about a process's numbers, its end, and the bases of a thread's segments. */
#include "calls/calls.h"
#include "memory/user.h"
#include "task/process.h"

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };

int64_t call_exit(struct registers *regs)
{
	task_exit((int)(ARG(regs, 0) & 0xff) << 8);
}

int64_t call_exit_group(struct registers *regs)
{
	process_exit((int)(ARG(regs, 0) & 0xff) << 8);
}

int64_t call_getpid(struct registers *regs)
{
	(void)regs;
	return current_process()->pid;
}

int64_t call_gettid(struct registers *regs)
{
	(void)regs;
	return current_task()->tid;
}

int64_t call_getppid(struct registers *regs)
{
	struct process *parent;
	int pid;

	(void)regs;
	lock_take(&process_lock);
	parent = current_process()->parent;
	pid = parent ? parent->pid : 0;
	lock_drop(&process_lock);
	return pid;
}

/* A process's number, by `which`; of the current one if pid is 0. */
static int64_t ask(uint64_t pid, int (*which)(const struct process *))
{
	struct process *process;
	int id = -ESRCH;

	lock_take(&process_lock);
	process = (int)pid ? process_lookup((int)pid) : current_process();
	if (process)
		id = which(process);
	lock_drop(&process_lock);
	return id;
}

static int group_of(const struct process *process)
{
	return process->group;
}

static int session_of(const struct process *process)
{
	return process->session;
}

int64_t call_getpgid(struct registers *regs)
{
	return ask(ARG(regs, 0), group_of);
}

int64_t call_getpgrp(struct registers *regs)
{
	(void)regs;
	return ask(0, group_of);
}

int64_t call_getsid(struct registers *regs)
{
	return ask(ARG(regs, 0), session_of);
}

/* => process_lock held */
static bool group_exists(int group, int session)
{
	list_for_each(process, &all_processes, struct process, all)
		if (process->group == group && (!session || process->session == session))
			return true;
	return false;
}

/* => process_lock held */
static int set_group(struct process *process, int group)
{
	struct process *self = current_process();

	if (!process || (process != self && process->parent != self))
		return -ESRCH;
	if (process->session != self->session)
		return -EPERM;
	if (process != self && process->has_execed)
		return -EACCES;
	if (process->session == process->pid)
		return -EPERM;
	if (group != process->pid && !group_exists(group, process->session))
		return -EPERM;
	process->group = group;
	return 0;
}

int64_t call_setpgid(struct registers *regs)
{
	int pid = (int)ARG(regs, 0), group = (int)ARG(regs, 1), result;

	if (group < 0)
		return -EINVAL;
	if (!pid)
		pid = current_process()->pid;
	lock_take(&process_lock);
	result = set_group(process_lookup(pid), group ? group : pid);
	lock_drop(&process_lock);
	return result;
}

int64_t call_setsid(struct registers *regs)
{
	struct process *process = current_process();
	int64_t result = -EPERM;

	(void)regs;
	lock_take(&process_lock);
	if (!group_exists(process->pid, 0)) {
		process->group = process->session = process->pid;
		result = process->session;
	}
	lock_drop(&process_lock);
	return result;
}

int64_t call_arch_prctl(struct registers *regs)
{
	uint64_t at = ARG(regs, 1), base;

	switch ((int)ARG(regs, 0)) {
	case ARCH_SET_FS:
		if (at >= USER_END)
			return -EPERM;
		cpu_set_fs(at);
		return 0;
	case ARCH_SET_GS:
		if (at >= USER_END)
			return -EPERM;
		cpu_set_user_gs(at);
		return 0;
	case ARCH_GET_FS:
		base = cpu_get_fs();
		return user_write(at, &base, sizeof(base));
	case ARCH_GET_GS:
		base = cpu_get_user_gs();
		return user_write(at, &base, sizeof(base));
	default:
		return -EINVAL;
	}
}
