/* SPDX-License-Identifier: MIT */
/*
 * Threads and processes come to an end.
 *
 *     a thread: futexes, the parent of vfork, the space left, out of the list  (task_exit)
 *          └─ the last one: files, space                                       (process_end)
 *                └─ children go to process 1; a zombie; the parent is told
 *                      └─ wait4, or nobody wants to know: out of the tree      (process_reap)
 *
 * A process is ended by `ending`: its threads find WORK_EXIT on their way to user mode, or in a
 * sleep that may be cut short. That takes signal_lock alone, so interrupt handlers can do it; and
 * who adds a thread or a child looks at it under the same lock.
 *
 * When process 1 ends, all others are killed and reaped; then the machine ends.
 */
#include "task/process.h"

#include "fs/fs.h"
#include "arch/console.h"
#include "lib/print.h"
#include "lib/string.h"
#include "main.h"
#include "task/limits.h"
#include "task/run_queue.h"

int thread_link(struct task *task)
{
	struct process *process = task->process;
	uint64_t flags = lock_take_irq(&process->signal_lock);
	bool open = !process->ending && !process->single;

	if (open) {
		list_add(&process->threads, &task->sibling);
		process->thread_count++;
	}
	lock_drop_irq(&process->signal_lock, flags);
	if (!open)
		return -EINTR;
	tid_link(task);
	return 0;
}

/* Returns whether it was the last one. */
static bool thread_unlink(struct task *task, int status)
{
	struct process *process = task->process;
	uint64_t time = task_time(task), flags;
	bool last;

	lock_take(&process_lock);
	tid_unlink(task);
	flags = lock_take_irq(&process->signal_lock);
	if (!process->ending && task->tid == process->pid)
		process->exit_status = status;
	list_remove(&task->sibling);
	process->run_time += time;
	process->faults += task->faults;
	last = --process->thread_count == 0;
	/* It may have been the one chosen to take a signal of the process. */
	if (process->pending.set)
		list_for_each(other, &process->threads, struct task, sibling)
			task_notify(other, WORK_SIGNAL);
	lock_drop_irq(&process->signal_lock, flags);
	lock_drop(&process_lock);
	return last;
}

void task_vfork_done(void)
{
	struct process *parent = atomic_exchange(&current_task()->vfork, NULL);

	if (!parent)
		return;
	wait_wake(&parent->vfork_wait);
	process_put(parent);
}

/* What the process had. => its last thread, which runs no space any more */
static void release(struct process *process)
{
	struct space *space = process->space;
	struct files *files = process->files;
	struct fs_context *fs = process->fs;

	timer_cancel(&process->alarm);
	lock_take(&process_lock);
	process->space = NULL;
	process->files = NULL;
	process->fs = NULL;
	lock_drop(&process_lock);
	files_put(files);
	fs_context_put(fs);
	if (space)
		space_put(space);
}

/* Nobody will wait for it. => process_lock held */
static bool is_unwanted(const struct process *process)
{
	struct process *parent = process->parent;

	return (parent == init_process && parent->ending) ||
	       (process->exit_signal == SIGCHLD && signal_reaps_children(parent));
}

/*
 * The children of a process that ends are process 1's from now on. Returns whether there are
 * zombies among them. => process_lock held; those to be put are moved to *gone
 */
static bool orphan_children(struct process *process, struct list *gone)
{
	bool zombies = false;

	list_for_each_safe(child, &process->children, struct process, sibling) {
		list_remove(&child->sibling);
		list_add(&init_process->children, &child->sibling);
		child->parent = init_process;
		child->exit_signal = SIGCHLD;
		if (!child->zombie)
			continue;
		zombies = true;
		if (is_unwanted(child)) {
			process_reap(child);
			list_add(gone, &child->sibling);
		}
	}
	return zombies;
}

static void tell(struct process *parent, struct process *child, int signal)
{
	int status = child->exit_status;
	struct signal_info info = {
		.signo = signal,
		.code = (status & 0x7f) ? CLD_KILLED : CLD_EXITED,
		.pid = child->pid,
		.status = (status & 0x7f) ? status & 0x7f : status >> 8 & 0xff,
	};

	if (signal)
		signal_send(parent, &info);
	wait_wake(&parent->child_wait);
}

static void become_zombie(struct process *process)
{
	struct process *parent;
	struct list gone = LIST_INIT(gone);
	bool orphans;
	int signal;

	lock_take(&process_lock);
	orphans = orphan_children(process, &gone);
	process->zombie = true;
	parent = process->parent;
	process_get(parent);
	signal = process->exit_signal;
	if (is_unwanted(process)) {
		process_reap(process);
		list_add(&gone, &process->sibling);
	}
	lock_drop(&process_lock);
	/* The current task has a reference of its own to its process. */
	list_for_each_safe(dead, &gone, struct process, sibling) {
		list_remove(&dead->sibling);
		process_put(dead);
	}
	tell(parent, process, signal);
	process_put(parent);
	if (orphans)
		wait_wake(&init_process->child_wait);
}

/* Reap what has ended; is process 1 alone? */
static bool all_have_ended(void)
{
	bool alone;

	for (;;) {
		struct process *zombie = NULL;

		lock_take(&process_lock);
		list_for_each(child, &init_process->children, struct process, sibling) {
			if (child->zombie) {
				zombie = child;
				break;
			}
		}
		if (zombie)
			process_reap(zombie);
		alone = all_processes.next == all_processes.prev;
		lock_drop(&process_lock);
		if (!zombie)
			return alone;
		process_put(zombie);
	}
}

static _Noreturn void end_machine(int status)
{
	lock_take(&process_lock);
	list_for_each(process, &all_processes, struct process, all)
		process_kill(process, SIGKILL);
	lock_drop(&process_lock);
	wait_until(&init_process->child_wait, SLEEP_DEEPLY, NEVER, all_have_ended());
	sched_settle();
	machine_finish((status & 0x7f) ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

void task_exit(int status)
{
	struct task *task = current_task();
	struct process *process = task->process;
	bool last;

	if (task->mm)
		futex_exit(task);
	/* First the space is left: whoever waits for that, in vfork or exec, may end it. */
	task->mm = NULL;
	quire_x86_switch(NULL);
	task_vfork_done();
	last = thread_unlink(task, status);
	wait_wake(&process->thread_wait);
	if (last) {
		release(process);
		if (process == init_process)
			end_machine(process->exit_status);
		become_zombie(process);
	}
	sched_exit();
}

void process_kill(struct process *process, int status)
{
	uint64_t flags = lock_take_irq(&process->signal_lock);

	if (!process->ending) {
		process->ending = true;
		if (process->thread_count > 0)
			process->exit_status = status;
		list_for_each(task, &process->threads, struct task, sibling)
			task_notify(task, WORK_EXIT);
	}
	lock_drop_irq(&process->signal_lock, flags);
}

void process_exit(int status)
{
	process_kill(current_process(), status);
	task_exit(status);
}

int process_become_single(void)
{
	struct task *task = current_task();
	struct process *process = task->process;
	uint64_t flags = lock_take_irq(&process->signal_lock);
	int error = process->ending || process->single ? -EINTR : 0;

	if (!error) {
		process->single = task;
		list_for_each(other, &process->threads, struct task, sibling)
			if (other != task)
				task_notify(other, WORK_EXIT);
	}
	lock_drop_irq(&process->signal_lock, flags);
	if (error)
		return error;
	error = wait_until(&process->thread_wait, SLEEP_KILLABLY, NEVER,
			   process->thread_count == 1);
	lock_take(&process_lock);
	if (!error && task->tid != process->pid) {
		tid_unlink(task);
		task->tid = process->pid;
		tid_link(task);
	}
	process->single = NULL;
	lock_drop(&process_lock);
	return error;
}

/* What process 1 begins with. Returns whether there was memory for it. */
static bool fill_first(struct process *process, struct task *task)
{
	process->files = files_create();
	process->fs = fs_context_create();
	process->actions = actions_create();
	task->extended = extended_create();
	return process->files && process->fs && process->actions && task->extended;
}

/* Why a program can't be run, in words, or NULL. */
static const char *exec_reason(int error)
{
	static const struct {
		int error;
		const char *words;
	} reasons[] = {
		{ ENOENT, "it or its interpreter is not there" },
		{ ENOEXEC, "not an executable format" },
		{ EACCES, "it or its interpreter may not be executed" },
		{ E2BIG, "its arguments are too long" },
		{ ENOMEM, "not enough memory" },
		{ ELOOP, "too many links or interpreters" },
		{ ENOTDIR, "a part of its path is not a directory" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].error == -error)
			return reasons[i].words;
	return NULL;
}

void process_start_first(char *const *arguments, char *const *environment)
{
	struct registers *regs = task_registers(current_task());
	struct process *process = process_create();
	struct task *task = current_task();
	int error;

	if (!process || !fill_first(process, task)) {
		print("quire: no memory for the first process\n");
		machine_exit(255);
	}
	extended_load(task->extended);
	memset(regs, 0, sizeof(*regs));
	regs->error = UINT64_MAX;
	process_get(process);
	task->process = process;
	init_process = process;
	limits_init(process);
	lock_take(&process_lock);
	process->pid = process->group = process->session = task->tid = tid_allocate();
	pid_link(process);
	thread_link(task);
	lock_drop(&process_lock);
	error = files_open_console(process->files);
	if (!error)
		error = exec_program(arguments[0], arguments, environment, regs);
	if (error) {
		const char *reason = exec_reason(error);

		if (reason)
			print("quire: %s can't be run: %s\n", arguments[0], reason);
		else
			print("quire: %s can't be run: error %d\n", arguments[0], -error);
		process_exit((error == -ENOENT ? 127 : 126) << 8);
	}
	sched_enter_user();
}
