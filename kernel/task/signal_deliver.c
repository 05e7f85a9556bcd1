/* SPDX-License-Identifier: MIT */
/*
 * What a signal does to the thread that took it.
 *
 *     signal_deliver
 *       forced (the thread's own fault) ──► handler, else the end
 *       pending, lowest number first ──► ignored: the next
 *                                    ──► default: nothing, stop, or the end of the process
 *                                    ──► handler: one frame (signal_frame.c), back to user mode
 *       none left ──► an interrupted call starts again
 *
 * A core dump is not made: the signals that Linux dumps for end the process like the others.
 */
#include "task/signal_parts.h"

#include "lib/string.h"

/* The action as it is now; SA_RESETHAND makes the next one the default. */
static struct action action_take(struct actions *actions, int signal)
{
	uint64_t flags = lock_take_irq(&actions->lock);
	struct action *slot = &actions->action[signal - 1], action = *slot;

	if (action.handler > SIG_IGN && action.flags & SA_RESETHAND)
		slot->handler = SIG_DFL;
	lock_drop_irq(&actions->lock, flags);
	return action;
}

static uint64_t action_flags(struct actions *actions, int signal, uint64_t *handler)
{
	uint64_t flags = lock_take_irq(&actions->lock);
	const struct action *action = &actions->action[signal - 1];
	uint64_t result = action->flags;

	*handler = action->handler;
	lock_drop_irq(&actions->lock, flags);
	return result;
}

bool signal_reaps_children(struct process *process)
{
	uint64_t handler, flags = action_flags(process->actions, SIGCHLD, &handler);

	return handler == SIG_IGN || flags & SA_NOCLDWAIT;
}

void signal_tell_parent(struct process *process, int code, int status)
{
	struct signal_info info = { .signo = SIGCHLD, .code = code, .status = status };
	struct process *parent;
	uint64_t handler;

	lock_take(&process_lock);
	parent = process->parent;
	if (parent && !parent->zombie &&
	    !(action_flags(parent->actions, SIGCHLD, &handler) & SA_NOCLDSTOP)) {
		info.pid = process->pid;
		signal_send(parent, &info);
	}
	if (parent)
		wait_wake(&parent->child_wait);
	lock_drop(&process_lock);
}

static void stop(struct process *process, int signal)
{
	uint64_t flags = lock_take_irq(&process->signal_lock);

	/* SIGCONT may have come since the signal was taken. */
	if (!current_task()->stop_taken) {
		lock_drop_irq(&process->signal_lock, flags);
		return;
	}
	process->stopped = true;
	process->stop_event = signal << 8 | 0x7f;
	list_for_each(task, &process->threads, struct task, sibling)
		task_notify(task, WORK_SIGNAL);
	lock_drop_irq(&process->signal_lock, flags);
	signal_tell_parent(process, CLD_STOPPED, signal);
}

/* Until SIGCONT, or the end of the process. */
static void stay_stopped(struct process *process)
{
	int result = 0;

	while (result == 0) {
		sleep_begin(SLEEP_KILLABLY);
		if (!process->stopped) {
			sleep_cancel();
			break;
		}
		result = task_sleep(NEVER);
	}
}

/* A call that a signal ended: `action` is of the handler that runs next, NULL if none does. */
static void restart(struct registers *regs, const struct action *action)
{
	int64_t result = (int64_t)regs->rax;

	if ((int64_t)regs->error < 0 || (result != -ERESTART && result != -ERESTART_NOHAND))
		return;
	if (action && (result == -ERESTART_NOHAND || !(action->flags & SA_RESTART))) {
		regs->rax = (uint64_t)-EINTR;
	} else {
		regs->rax = regs->error;
		regs->rip -= 2; /* the instruction `syscall` */
	}
	regs->error = UINT64_MAX;
}

/* The handler's frame, and the mask while it runs. */
static void enter_handler(struct registers *regs, const struct signal_info *info,
			  const struct action *action)
{
	struct task *task = current_task();
	struct signal_info bad = { .signo = SIGSEGV, .code = SI_KERNEL };
	sigset mask = action->mask;

	if (signal_frame(regs, info, action)) {
		if (info->signo == SIGSEGV)
			process_exit(SIGSEGV);
		signal_force(&bad);
		return;
	}
	if (!(action->flags & SA_NODEFER))
		mask |= SIGBIT(info->signo);
	task->restore_blocked = false;
	signal_block(task->blocked | mask);
}

/* Returns whether a handler runs next. */
static bool act(struct registers *regs, const struct signal_info *info, bool restartable)
{
	struct process *process = current_process();
	struct action action = action_take(process->actions, info->signo);

	if (action.handler > SIG_IGN) {
		if (restartable)
			restart(regs, &action);
		enter_handler(regs, info, &action);
		return true;
	}
	if (action_ignores(&action, info->signo))
		return false;
	if (SIGBIT(info->signo) & SIGNALS_STOP) {
		stop(process, info->signo);
		return false;
	}
	process_exit(info->signo);
}

/* The thread's own fault: a handler that is blocked or ignored means the end. */
static void act_forced(struct registers *regs, bool restartable)
{
	struct task *task = current_task();
	struct signal_info info = task->forced;
	uint64_t handler;

	task->forced.signo = 0;
	action_flags(task->process->actions, info.signo, &handler);
	if (handler <= SIG_IGN || task->blocked & SIGBIT(info.signo))
		process_exit(info.signo);
	act(regs, &info, restartable);
}

/* The mask of a call that has ended by itself doesn't hold for the signals that come now. */
static void unblock_early(struct task *task, const struct registers *regs)
{
	int64_t result = (int64_t)regs->rax;

	if (!task->restore_blocked || result == -EINTR || result == -ERESTART ||
	    result == -ERESTART_NOHAND)
		return;
	task->restore_blocked = false;
	signal_block(task->saved_blocked);
}

void signal_deliver(struct registers *regs)
{
	struct task *task = current_task();
	bool restartable = atomic_fetch_and(&task->work, ~(uint32_t)WORK_RESTORE) & WORK_RESTORE;
	struct signal_info info;

	unblock_early(task, regs);
	for (;;) {
		if (task->forced.signo) {
			act_forced(regs, restartable);
			return;
		}
		if (task->process->stopped)
			stay_stopped(task->process);
		if (atomic_load_explicit(&task->work, memory_order_relaxed) & WORK_EXIT)
			return;
		if (!signal_take(~task->blocked, &info))
			break;
		if (act(regs, &info, restartable))
			return;
	}
	if (restartable)
		restart(regs, NULL);
	if (task->restore_blocked) {
		task->restore_blocked = false;
		signal_block(task->saved_blocked);
	}
}
