/* SPDX-License-Identifier: MIT */
/*
 * The tracer. A seccomp filter (record_filter.c) stops a thread at the calls that matter and at no
 * others; ptrace then stops it again when the call returns. Forks, execs and exits stop by ptrace's
 * own events.
 *
 *   thread      ──► seccomp stop ──► call ──► syscall-exit stop ──►
 *   tracer          arguments,               result,
 *                   file behind fd,          time of return
 *                   time of entry
 *
 * A thread may die at any point: each ptrace request may fail with ESRCH, and then there is nothing
 * to do but to wait for the notice of its end.
 *
 * When a thread that is not the leader calls execve, the others die, and the thread goes on under
 * the leader's id. The log then says: the thread ended, the leader executed.
 */
#define _GNU_SOURCE
#include "record.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const int calls_options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE |
			  PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
			  PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;

struct process {
	int live;     /* threads that have not begun to end */
	bool shares;  /* its parent's address space, after vfork and until execve */
	bool started; /* an execve was seen since it was made */
	int tasks;    /* structures that point here */
};

struct task {
	struct process *process;
	int32_t pid;
	bool ending;
	size_t end_in_log;
	bool in_call;
	bool resizes; /* the call at hand is one that changes the size of this descriptor's file: */
	int resized;
	struct trace_event call;
	struct trace_event file; /* name NULL: none */
};

static struct task *tasks[TRACE_TID_MAX];

uint64_t record_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void record_event(struct recording *recording, const struct trace_event *event)
{
	struct trace_event *log = record_grow(recording->log, recording->log_count,
					      &recording->log_size, sizeof(*log),
					      &recording->log_failed);

	if (!log)
		return;
	recording->log = log;
	log[recording->log_count++] = *event;
}

static struct trace_event event_of(enum trace_op op, int32_t tid, uint64_t time)
{
	return (struct trace_event){
		.op = (uint8_t)op,
		.time = time,
		.pid = tasks[tid] ? tasks[tid]->pid : tid,
		.tid = tid,
		.cpu = RECORD_CPU_UNKNOWN,
	};
}

static void show_layout(struct recording *recording, enum trace_op op, int32_t tid)
{
	const struct trace_event like = event_of(op, tid, record_now());

	record_layout(recording, &like);
}

/* The structure of a task, made when it is first seen. => NULL: no memory */
static struct task *task_of(struct recording *recording, int32_t tid)
{
	struct task *task, *leader;
	int32_t pid;

	if (tid <= 0 || tid >= TRACE_TID_MAX)
		return NULL;
	if (tasks[tid])
		return tasks[tid];
	pid = process_of(tid);
	if (pid <= 0 || pid >= TRACE_TID_MAX)
		pid = tid;
	leader = tasks[pid];
	task = calloc(1, sizeof(*task));
	if (task)
		task->process = leader ? leader->process : calloc(1, sizeof(*task->process));
	if (!task || !task->process) {
		recording->log_failed = true;
		free(task);
		return NULL;
	}
	task->pid = pid;
	task->process->live++;
	task->process->tasks++;
	tasks[tid] = task;
	return task;
}

static void drop_task(int32_t tid)
{
	struct task *task = tasks[tid];

	if (--task->process->tasks == 0)
		free(task->process);
	free((void *)(uintptr_t)task->file.name);
	free(task);
	tasks[tid] = NULL;
}

/* The call at hand is over, or its thread is: then perhaps the kernel's marks know its result. */
static void log_call(struct recording *recording, struct task *task, uint64_t now)
{
	task->in_call = false;
	task->call.duration = now - task->call.time;
	if (task->file.name) {
		task->file.time = task->call.time;
		record_event(recording, &task->file);
		task->file.name = NULL;
	}
	record_event(recording, &task->call);
}

/* A task has begun to end, or was found dead. The last of a process shows its layout. */
static void end_task(struct recording *recording, int32_t tid, bool has_memory)
{
	struct task *task = tasks[tid];
	struct trace_event event;

	if (task->ending)
		return;
	task->ending = true;
	if (task->in_call)
		log_call(recording, task, record_now());
	if (--task->process->live == 0 && has_memory && !task->process->shares)
		show_layout(recording, TRACE_FINAL, tid);
	task->end_in_log = recording->log_count;
	event = event_of(TRACE_EXIT, tid, record_now());
	record_event(recording, &event);
}

/*
 * A clone that asks for a child without a tracer. It would inherit the filter, and its calls would
 * fail for want of a tracer: so it isn't given that.
 */
static void keep_traced(int32_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) != 0)
		return;
	regs.rdi &= ~(unsigned long long)CLONE_UNTRACED;
	ptrace(PTRACE_SETREGS, tid, NULL, &regs);
}

/* A seccomp stop. => the request that resumes the thread */
static enum __ptrace_request enter_call(struct task *task, int32_t tid)
{
	struct __ptrace_syscall_info info = { 0 };
	int nr;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return PTRACE_CONT;
	nr = (int)info.seccomp.nr;
	if (nr == SYS_clone)
		keep_traced(tid);
	calls_count(nr);
	task->resizes = calls_resize(nr);
	if (task->resizes) {
		task->resized = (int)info.seccomp.args[0];
		return PTRACE_SYSCALL;
	}
	task->call = event_of(TRACE_MMAP, tid, 0);
	if (!describe_call(nr, (const uint64_t *)info.seccomp.args, &task->call))
		return PTRACE_CONT;
	if (task->call.op == TRACE_MMAP && !(task->call.flags & MAP_ANONYMOUS)) {
		task->file = event_of(TRACE_FILE, tid, 0);
		describe_file(task->call.fd, &task->file);
	}
	task->in_call = true;
	task->call.time = record_now();
	return PTRACE_SYSCALL;
}

/* A file may have another size now. `known`: it has the time of its own, no call follows it. */
static void log_size(struct recording *recording, struct task *task, int32_t tid, uint64_t now)
{
	struct trace_event event = event_of(TRACE_FILE, tid, now);

	task->resizes = false;
	describe_file(task->resized, &event);
	event.known = true;
	if (event.name)
		record_event(recording, &event);
}

static void leave_call(struct recording *recording, struct task *task, int32_t tid)
{
	struct __ptrace_syscall_info info = { 0 };
	uint64_t now = record_now();

	if ((!task->in_call && !task->resizes) ||
	    ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_EXIT)
		return;
	if (task->resizes) {
		log_size(recording, task, tid, now);
		return;
	}
	task->call.result = info.exit.rval;
	task->call.known = true;
	log_call(recording, task, now);
}

static void made_child(struct recording *recording, int32_t tid)
{
	struct trace_event event = event_of(TRACE_CLONE, tid, record_now());
	unsigned long message = 0;
	struct task *child;

	if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &message) != 0)
		return;
	child = task_of(recording, (int32_t)message);
	if (!child)
		return;
	event.child = (int32_t)message;
	event.flags = clone_flags(tid);
	event.known = true;
	record_event(recording, &event);
	if ((event.flags & TRACE_CLONE_VM) && !(event.flags & TRACE_CLONE_THREAD))
		child->process->shares = !child->process->started;
}

/* The thread `former` has become the leader `tid` by execve; its own end is not reported. */
static void take_leadership(struct recording *recording, int32_t tid, int32_t former)
{
	struct task *leader = tasks[tid];
	struct trace_event event = event_of(TRACE_EXIT, former, record_now());

	event.flags = 1; /* at the time of the execve */
	if (leader->ending)
		recording->log[leader->end_in_log].op = RECORD_OP_NONE;
	if (former > 0 && former < TRACE_TID_MAX && tasks[former]) {
		record_event(recording, &event);
		drop_task(former);
	}
}

static void executed(struct recording *recording, int32_t tid)
{
	struct task *task = tasks[tid];
	unsigned long former = (unsigned long)tid;
	struct trace_event event;

	ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former);
	if ((int32_t)former != tid)
		take_leadership(recording, tid, (int32_t)former);
	task->ending = false;
	task->in_call = task->resizes = false;
	task->process->live = 1;
	task->process->shares = false;
	task->process->started = true;

	event = event_of(TRACE_EXEC, tid, record_now());
	event.name = program_of(tid);
	record_event(recording, &event);
	show_layout(recording, TRACE_LAYOUT, tid);
}

/* Deal with a stop. *signal: what the thread is to get. => the request that resumes it */
static enum __ptrace_request stopped(struct recording *recording, struct task *task, int32_t tid,
				     int status, int *signal)
{
	int stop = WSTOPSIG(status);

	*signal = 0;
	switch (status >> 16) {
	case PTRACE_EVENT_SECCOMP:
		return enter_call(task, tid);
	case PTRACE_EVENT_CLONE:
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
		made_child(recording, tid);
		break;
	case PTRACE_EVENT_EXEC:
		executed(recording, tid);
		break;
	case PTRACE_EVENT_EXIT:
		end_task(recording, tid, true);
		break;
	case PTRACE_EVENT_STOP:
		if (stop == SIGSTOP || stop == SIGTSTP || stop == SIGTTIN || stop == SIGTTOU)
			return PTRACE_LISTEN;
		break;
	default:
		if (stop == (SIGTRAP | 0x80))
			leave_call(recording, task, tid);
		else
			*signal = stop;
	}
	return PTRACE_CONT;
}

int calls_trace(struct recording *recording, pid_t pid)
{
	int status, result = 0;
	int signal;
	enum __ptrace_request request;
	pid_t tid;

	recording->unrecorded = calls_unrecorded;
	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		struct task *task = tid > 0 ? task_of(recording, tid) : NULL;

		if (!task)
			continue;
		if (WIFSTOPPED(status)) {
			request = stopped(recording, task, tid, status, &signal);
			ptrace(request, tid, NULL, (void *)(intptr_t)signal);
			continue;
		}
		end_task(recording, tid, false);
		drop_task(tid);
		if (tid == pid)
			result = status;
	}
	return result;
}
