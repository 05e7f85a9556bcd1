/* SPDX-License-Identifier: MIT */
/* Waiting for children: wait4(2), waitid(2). */
#include "task/process.h"

#include "calls/calls.h"
#include "memory/user.h"
#include "task/limits.h"

enum {
	WNOHANG = 1,
	WUNTRACED = 2,
	WSTOPPED = 2,
	WEXITED = 4,
	WCONTINUED = 8,
	WNOWAIT = 0x1000000,
	W_NOTHREAD = 0x20000000,
	W_ALL = 0x40000000,
};
#define W_CLONE 0x80000000u
#define W_KINDS (W_NOTHREAD | W_ALL | W_CLONE)
enum { P_ALL = 0, P_PID = 1, P_PGID = 2 };

struct request {
	int type, id;
	uint32_t options;
	/* The answer: */
	int pid, status;
	uint64_t time, faults;
};

void process_reap(struct process *process)
{
	struct process *parent = process->parent;

	parent->children_time += process->run_time + process->children_time;
	list_remove(&process->sibling);
	pid_unlink(process);
}

static bool is_asked_for(const struct request *request, const struct process *child)
{
	if (request->type == P_PID && child->pid != request->id)
		return false;
	if (request->type == P_PGID && child->group != request->id)
		return false;
	/* Children that don't tell by SIGCHLD are "clones". */
	return request->options & W_ALL ||
	       (child->exit_signal != SIGCHLD) == !!(request->options & W_CLONE);
}

/* A stop, or its end, that nobody has asked for yet: 0 if there is none that counts. */
static int take_stop_event(const struct request *request, struct process *child)
{
	uint64_t flags = lock_take_irq(&child->signal_lock);
	int event = child->stop_event;
	uint32_t wanted = event == STATUS_CONTINUED ? WCONTINUED : WSTOPPED;

	if (!(request->options & wanted))
		event = 0;
	if (event && !(request->options & WNOWAIT))
		child->stop_event = 0;
	lock_drop_irq(&child->signal_lock, flags);
	return event;
}

/* Has the child something to tell? => process_lock held */
static bool ask(struct request *request, struct process *child)
{
	if (child->zombie) {
		if (!(request->options & WEXITED))
			return false;
		request->status = child->exit_status;
	} else {
		request->status = take_stop_event(request, child);
		if (!request->status)
			return false;
	}
	request->pid = child->pid;
	request->time = child->run_time;
	request->faults = child->faults;
	return true;
}

/* 1: the answer is there. 0: not yet. -ECHILD: there is no such child. */
static int look(struct request *request)
{
	struct process *gone = NULL;
	int result = -ECHILD;

	lock_take(&process_lock);
	list_for_each(child, &current_process()->children, struct process, sibling) {
		if (!is_asked_for(request, child))
			continue;
		result = 0;
		if (!ask(request, child))
			continue;
		result = 1;
		if (child->zombie && !(request->options & WNOWAIT)) {
			process_reap(child);
			gone = child;
		}
		break;
	}
	lock_drop(&process_lock);
	if (gone)
		process_put(gone);
	return result;
}

/* As look(), but waits if it may. */
static int wait_for_child(struct request *request)
{
	int result = 0;

	if (request->options & WNOHANG)
		return look(request);
	if (wait_until(&current_process()->child_wait, SLEEP_INTERRUPTIBLY, NEVER,
		       (result = look(request)) != 0))
		return -ERESTART;
	return result;
}

static int write_usage(uint64_t to, const struct request *request)
{
	return to ? usage_write(to, request->time, request->faults) : 0;
}

int64_t call_wait4(struct registers *regs)
{
	int pid = (int)ARG(regs, 0);
	struct request request = { .options = (uint32_t)ARG(regs, 2) };
	int result;

	if (request.options & ~(WNOHANG | WUNTRACED | WCONTINUED | W_KINDS))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	request.options |= WEXITED;
	request.type = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
	request.id = pid > 0 ? pid : pid == 0 ? current_process()->group : -pid;
	result = wait_for_child(&request);
	if (result != 1)
		return result;
	if (ARG(regs, 1) && user_write(ARG(regs, 1), &request.status, sizeof(request.status)))
		return -EFAULT;
	if (write_usage(ARG(regs, 3), &request))
		return -EFAULT;
	return request.pid;
}

/* siginfo_t as for SIGCHLD, or with zeroes if no child had something to tell. */
static int write_info(uint64_t to, const struct request *request, bool answered)
{
	int status = request->status;
	int32_t info[7] = { 0 };

	if (!to)
		return 0;
	if (answered) {
		info[0] = SIGCHLD;
		info[4] = request->pid;
		if (status == STATUS_CONTINUED) {
			info[2] = CLD_CONTINUED;
			info[6] = SIGCONT;
		} else if ((status & 0xff) == 0x7f) {
			info[2] = CLD_STOPPED;
			info[6] = status >> 8;
		} else if (status & 0x7f) {
			info[2] = CLD_KILLED;
			info[6] = status & 0x7f;
		} else {
			info[2] = CLD_EXITED;
			info[6] = status >> 8 & 0xff;
		}
	}
	return user_write(to, info, sizeof(info));
}

int64_t call_waitid(struct registers *regs)
{
	struct request request = {
		.type = (int)ARG(regs, 0),
		.id = (int)ARG(regs, 1),
		.options = (uint32_t)ARG(regs, 3),
	};
	int result;

	if (request.options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | W_KINDS))
		return -EINVAL;
	if (!(request.options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	if (request.type < P_ALL || request.type > P_PGID ||
	    (request.type == P_PID && request.id <= 0) ||
	    (request.type == P_PGID && request.id < 0))
		return -EINVAL;
	if (request.type == P_PGID && request.id == 0)
		request.id = current_process()->group;
	result = wait_for_child(&request);
	if (result < 0)
		return result;
	if (result == 1 && write_usage(ARG(regs, 4), &request))
		return -EFAULT;
	return write_info(ARG(regs, 2), &request, result == 1);
}
