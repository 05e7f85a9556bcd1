/* SPDX-License-Identifier: MIT */
/*
 * Pending signals: sending, choosing who takes one, taking.
 *
 *     signal_send ──► process->pending ──► a thread that does not block it: WORK_SIGNAL, wake
 *     signal_send_task ──► task->pending ──► that thread, unless it blocks it
 *                                                │ way to user mode
 *                          signal_deliver ◄──────┘ signal_take
 *
 * A bit of `set` says that a signal is pending; the queue has what is known of it. A signal without
 * an entry comes from the kernel (SI_KERNEL), or there was no memory. Signals below 32 have at most
 * one entry; one that a stop or SIGCONT took back (its bit is clear) stays until the next signal
 * of that number overwrites it, since an interrupt handler cannot free it.
 *
 * WORK_SIGNAL may be set for nothing: the signal was taken by another thread meanwhile. A call that
 * ends for it starts again, and nobody sees it.
 */
#include "task/signal_parts.h"

#include "lib/string.h"
#include "memory/heap.h"

#define QUEUE_MAX 4096 /* entries of one queue */

struct queued_signal {
	struct list node;
	struct signal_info info;
};

void signals_init(struct pending_signals *pending)
{
	pending->set = 0;
	pending->count = 0;
	list_init(&pending->queue);
}

void signals_drop(struct pending_signals *pending)
{
	list_for_each_safe(entry, &pending->queue, struct queued_signal, node)
		heap_free(entry);
	signals_init(pending);
}

static struct queued_signal *find_entry(struct pending_signals *pending, int signal)
{
	list_for_each(entry, &pending->queue, struct queued_signal, node)
		if (entry->info.signo == signal)
			return entry;
	return NULL;
}

/* => signal_lock held; *entry, which may be NULL, is cleared if it was used */
static int add(struct pending_signals *pending, const struct signal_info *info,
	       struct queued_signal **entry)
{
	bool again = pending->set & SIGBIT(info->signo);

	if (info->signo < SIGRTMIN) {
		struct queued_signal *old = find_entry(pending, info->signo);

		if (again)
			return 0;
		if (old) {
			old->info = *info;
			*entry = NULL;
		}
	} else if ((!*entry || pending->count >= QUEUE_MAX) && info->code == SI_QUEUE) {
		return -EAGAIN;
	}
	if (*entry && pending->count < QUEUE_MAX) {
		list_add(&pending->queue, &(*entry)->node);
		pending->count++;
		*entry = NULL;
	}
	pending->set |= SIGBIT(info->signo);
	return 0;
}

static bool wants(const struct task *task, int signal)
{
	return !(task->blocked & ~task->awaited & SIGBIT(signal));
}

void signal_refresh(struct task *task)
{
	sigset set = task->pending.set | task->process->pending.set;

	if (task->forced.signo || task->process->stopped || set & ~(task->blocked & ~task->awaited))
		atomic_fetch_or(&task->work, WORK_SIGNAL);
	else
		atomic_fetch_and(&task->work, ~(uint32_t)WORK_SIGNAL);
}

/* Some thread that takes the process's signal. NULL: all block it. => signal_lock held */
static struct task *choose(struct process *process, int signal)
{
	struct task *current = current_task();

	if (current && current->process == process && !list_empty(&current->sibling) &&
	    wants(current, signal))
		return current;
	list_for_each(task, &process->threads, struct task, sibling)
		if (wants(task, signal))
			return task;
	return NULL;
}

/* What is ignored and not blocked is not even pending. => signal_lock held */
static bool dropped(struct process *process, const struct task *task, int signal)
{
	struct actions *actions = process->actions;
	bool ignored;

	if (!task)
		task = list_first(&process->threads, struct task, sibling);
	if ((task->blocked | task->awaited) & SIGBIT(signal))
		return false;
	lock_take(&actions->lock);
	ignored = action_ignores(&actions->action[signal - 1], signal);
	lock_drop(&actions->lock);
	return ignored;
}

/*
 * Stop signals and SIGCONT take each other back; SIGCONT lets the process go on, be it blocked,
 * ignored or not. Returns whether the process was stopped. => signal_lock held
 */
static bool stop_or_continue(struct process *process, int signal)
{
	sigset undone = signal == SIGCONT		? SIGNALS_STOP
			: SIGBIT(signal) & SIGNALS_STOP ? SIGBIT(SIGCONT)
							: 0;
	bool continued = signal == SIGCONT && process->stopped;

	if (!undone)
		return false;
	process->pending.set &= ~undone;
	if (continued) {
		process->stopped = false;
		process->stop_event = STATUS_CONTINUED;
	}
	list_for_each(task, &process->threads, struct task, sibling) {
		task->pending.set &= ~undone;
		if (signal == SIGCONT)
			task->stop_taken = false;
		if (continued)
			task_wake(task);
	}
	return continued;
}

/* => signal_lock held; task may be NULL */
static int post(struct process *process, struct task *task, const struct signal_info *info,
		struct queued_signal **entry)
{
	int error;

	if (dropped(process, task, info->signo))
		return 0;
	error = add(task ? &task->pending : &process->pending, info, entry);
	if (error)
		return error;
	if (!task)
		task = choose(process, info->signo);
	if (task && wants(task, info->signo))
		task_notify(task, WORK_SIGNAL);
	return 0;
}

static int send(struct process *process, struct task *task, const struct signal_info *info)
{
	struct queued_signal *entry = NULL;
	bool continued = false;
	uint64_t flags;
	int error = 0;

	if (info->signo == SIGKILL) {
		process_kill(process, SIGKILL);
		return 0;
	}
	if (info->code != SI_KERNEL) {
		entry = heap_alloc(sizeof(*entry));
		if (entry)
			entry->info = *info;
	}
	flags = lock_take_irq(&process->signal_lock);
	if (!list_empty(&process->threads) && !(task && list_empty(&task->sibling))) {
		continued = stop_or_continue(process, info->signo);
		error = post(process, task, info, &entry);
	}
	lock_drop_irq(&process->signal_lock, flags);
	if (entry)
		heap_free(entry);
	if (continued)
		signal_tell_parent(process, CLD_CONTINUED, SIGCONT);
	return error;
}

int signal_send(struct process *process, const struct signal_info *info)
{
	return send(process, NULL, info);
}

int signal_send_task(struct task *task, const struct signal_info *info)
{
	return send(task->process, task, info);
}

/* Its own slot: it needs no memory and comes before all others. */
void signal_force(const struct signal_info *info)
{
	struct task *task = current_task();

	task->forced = *info;
	atomic_fetch_or(&task->work, WORK_SIGNAL);
}

bool signal_pending(struct task *task)
{
	return atomic_load_explicit(&task->work, memory_order_relaxed) & (WORK_SIGNAL | WORK_EXIT);
}

/* => signal_lock held. Returns the entry to be freed, if there is one. */
static struct queued_signal *take_from(struct pending_signals *pending, int signal,
				       struct signal_info *info)
{
	struct queued_signal *entry = find_entry(pending, signal);

	memset(info, 0, sizeof(*info));
	info->signo = signal;
	info->code = SI_KERNEL;
	if (entry) {
		*info = entry->info;
		list_remove(&entry->node);
		pending->count--;
	}
	if (signal < SIGRTMIN || !find_entry(pending, signal))
		pending->set &= ~SIGBIT(signal);
	return entry;
}

bool signal_take(sigset wanted, struct signal_info *info)
{
	struct task *task = current_task();
	struct process *process = task->process;
	struct queued_signal *entry = NULL;
	uint64_t flags = lock_take_irq(&process->signal_lock);
	struct pending_signals *pending = task->pending.set & wanted ? &task->pending
								     : &process->pending;
	bool found = pending->set & wanted;

	if (found) {
		int signal = __builtin_ctzll(pending->set & wanted) + 1;

		entry = take_from(pending, signal, info);
		task->stop_taken = SIGBIT(signal) & SIGNALS_STOP;
		if (signal == SIGALRM)
			itimer_rearm(process);
	}
	signal_refresh(task);
	lock_drop_irq(&process->signal_lock, flags);
	if (entry)
		heap_free(entry);
	return found;
}

static void discard(struct pending_signals *pending, sigset signals, struct list *garbage)
{
	pending->set &= ~signals;
	list_for_each_safe(entry, &pending->queue, struct queued_signal, node) {
		if (!(SIGBIT(entry->info.signo) & signals))
			continue;
		list_remove(&entry->node);
		pending->count--;
		list_add(garbage, &entry->node);
	}
}

void signals_discard(struct process *process, sigset signals)
{
	struct list garbage = LIST_INIT(garbage);
	uint64_t flags = lock_take_irq(&process->signal_lock);

	discard(&process->pending, signals, &garbage);
	list_for_each(task, &process->threads, struct task, sibling)
		discard(&task->pending, signals, &garbage);
	lock_drop_irq(&process->signal_lock, flags);
	list_for_each_safe(entry, &garbage, struct queued_signal, node)
		heap_free(entry);
}

void signals_pass_on(struct process *process, sigset signals)
{
	for (; signals; signals &= signals - 1) {
		struct task *task = choose(process, __builtin_ctzll(signals) + 1);

		if (task)
			task_notify(task, WORK_SIGNAL);
	}
}

void signal_block(sigset blocked)
{
	struct task *task = current_task();
	struct process *process = task->process;
	uint64_t flags = lock_take_irq(&process->signal_lock);
	sigset more;

	blocked &= ~SIGNALS_UNBLOCKABLE;
	more = blocked & ~task->blocked;
	task->blocked = blocked;
	signals_pass_on(process, process->pending.set & more);
	signal_refresh(task);
	lock_drop_irq(&process->signal_lock, flags);
}

void signal_block_during_call(sigset blocked)
{
	struct task *task = current_task();

	task->saved_blocked = task->blocked;
	task->restore_blocked = true;
	signal_block(blocked);
	atomic_fetch_or(&task->work, WORK_RESTORE);
}
