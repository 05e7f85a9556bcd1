/* SPDX-License-Identifier: MIT */
/* System calls of signals: actions, masks, the alternate stack, waiting. Sending is in kill.c. */
#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/clock.h"
#include "task/signal_parts.h"

#define SA_KNOWN                                                                                   \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_EXPOSE_TAGBITS | SA_RESTORER | SA_ONSTACK | \
	 SA_RESTART | SA_NODEFER | SA_RESETHAND)

enum { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 };

_Static_assert(sizeof(struct action) == 32, "as rt_sigaction(2) has it");

/* --- tables of actions --- */

struct actions *actions_create(void)
{
	struct actions *actions = heap_zero(sizeof(*actions));

	if (actions)
		actions->references = 1;
	return actions;
}

void actions_assign(struct actions *to, struct actions *from)
{
	uint64_t flags = lock_take_irq(&from->lock);

	memcpy(to->action, from->action, sizeof(to->action));
	lock_drop_irq(&from->lock, flags);
}

struct actions *actions_copy(struct actions *from)
{
	struct actions *actions = heap_alloc(sizeof(*actions));

	if (!actions)
		return NULL;
	actions->references = 1;
	actions->lock = (struct lock){ 0 };
	actions_assign(actions, from);
	return actions;
}

void actions_put(struct actions *actions)
{
	/* Acquire and release: each other's uses are before the end. */
	if (atomic_fetch_sub_explicit(&actions->references, 1, memory_order_acq_rel) == 1)
		heap_free(actions);
}

void actions_exec(struct actions *actions)
{
	uint64_t flags = lock_take_irq(&actions->lock);

	for (unsigned i = 0; i < SIGNALS; i++) {
		struct action *action = &actions->action[i];

		*action = (struct action){ .handler = action->handler == SIG_IGN };
	}
	lock_drop_irq(&actions->lock, flags);
}

static bool valid(int signal)
{
	return signal >= 1 && signal <= SIGNALS;
}

int64_t call_rt_sigaction(struct registers *regs)
{
	struct process *process = current_process();
	struct actions *actions = process->actions;
	int signal = (int)ARG(regs, 0);
	struct action action, old;
	uint64_t flags;

	if (ARG(regs, 3) != sizeof(sigset))
		return -EINVAL;
	if (ARG(regs, 1) && user_read(&action, ARG(regs, 1), sizeof(action)))
		return -EFAULT;
	if (!valid(signal) || (ARG(regs, 1) && SIGBIT(signal) & SIGNALS_UNBLOCKABLE))
		return -EINVAL;
	flags = lock_take_irq(&actions->lock);
	old = actions->action[signal - 1];
	if (ARG(regs, 1)) {
		action.flags &= SA_KNOWN;
		action.mask &= ~SIGNALS_UNBLOCKABLE;
		actions->action[signal - 1] = action;
	}
	lock_drop_irq(&actions->lock, flags);
	if (ARG(regs, 1) && action_ignores(&action, signal))
		signals_discard(process, SIGBIT(signal));
	return ARG(regs, 2) ? user_write(ARG(regs, 2), &old, sizeof(old)) : 0;
}

/* --- masks --- */

int64_t call_rt_sigprocmask(struct registers *regs)
{
	sigset old = current_task()->blocked, set;

	if (ARG(regs, 3) != sizeof(sigset))
		return -EINVAL;
	if (ARG(regs, 1)) {
		if (user_read(&set, ARG(regs, 1), sizeof(set)))
			return -EFAULT;
		switch ((int)ARG(regs, 0)) {
		case SIG_BLOCK:
			signal_block(old | set);
			break;
		case SIG_UNBLOCK:
			signal_block(old & ~set);
			break;
		case SIG_SETMASK:
			signal_block(set);
			break;
		default:
			return -EINVAL;
		}
	}
	return ARG(regs, 2) ? user_write(ARG(regs, 2), &old, sizeof(old)) : 0;
}

int64_t call_rt_sigpending(struct registers *regs)
{
	struct task *task = current_task();
	struct process *process = task->process;
	uint64_t flags;
	sigset set;

	if (ARG(regs, 1) > sizeof(set))
		return -EINVAL;
	flags = lock_take_irq(&process->signal_lock);
	set = (task->pending.set | process->pending.set) & task->blocked;
	lock_drop_irq(&process->signal_lock, flags);
	return user_write(ARG(regs, 0), &set, ARG(regs, 1));
}

/* --- waiting --- */

/* Until a signal is to be delivered (-EINTR), or the deadline. */
static int sleep_for_signal(uint64_t deadline)
{
	int result = 0;

	while (result == 0) {
		sleep_begin(SLEEP_INTERRUPTIBLY);
		if (signal_pending(current_task())) {
			sleep_cancel();
			return -EINTR;
		}
		result = task_sleep(deadline);
	}
	return result;
}

int64_t call_pause(struct registers *regs)
{
	(void)regs;
	sleep_for_signal(NEVER);
	return -ERESTART_NOHAND;
}

int64_t call_rt_sigsuspend(struct registers *regs)
{
	sigset set;

	if (ARG(regs, 1) != sizeof(set))
		return -EINVAL;
	if (user_read(&set, ARG(regs, 0), sizeof(set)))
		return -EFAULT;
	signal_block_during_call(set);
	sleep_for_signal(NEVER);
	return -ERESTART_NOHAND;
}

/* Which blocked signals wake this task all the same. */
static void await(sigset set)
{
	struct task *task = current_task();
	uint64_t flags = lock_take_irq(&task->process->signal_lock);
	sigset before = task->awaited;

	task->awaited = set;
	signals_pass_on(task->process, task->process->pending.set & before & ~set);
	signal_refresh(task);
	lock_drop_irq(&task->process->signal_lock, flags);
}

int64_t call_rt_sigtimedwait(struct registers *regs)
{
	uint8_t bytes[SIGINFO_SIZE];
	struct signal_info info;
	uint64_t deadline = NEVER;
	bool found;
	sigset set;
	int error = 0;

	if (ARG(regs, 3) != sizeof(set))
		return -EINVAL;
	if (user_read(&set, ARG(regs, 0), sizeof(set)))
		return -EFAULT;
	set &= ~SIGNALS_UNBLOCKABLE;
	if (ARG(regs, 2))
		error = clock_read_timeout(ARG(regs, 2), &deadline);
	if (error)
		return error;
	await(set);
	found = signal_take(set, &info);
	if (!found) {
		error = sleep_for_signal(deadline);
		found = signal_take(set, &info);
	}
	await(0);
	if (!found)
		return error == -ETIMEDOUT ? -EAGAIN : -EINTR;
	signal_encode(&info, bytes);
	if (ARG(regs, 1) && user_write(ARG(regs, 1), bytes, sizeof(bytes)))
		return -EFAULT;
	return info.signo;
}

/* --- the alternate stack --- */

bool on_altstack(const struct task *task, uint64_t sp)
{
	return !(task->altstack.flags & SS_AUTODISARM) && sp > task->altstack.address &&
	       sp - task->altstack.address <= task->altstack.size;
}

void altstack_get(const struct task *task, uint64_t sp, struct user_stack *stack)
{
	*stack = (struct user_stack){
		.address = task->altstack.address,
		.size = task->altstack.size,
		.flags = (task->altstack.flags & SS_AUTODISARM) |
			 (!task->altstack.size	  ? SS_DISABLE
			  : on_altstack(task, sp) ? SS_ONSTACK
						  : 0u),
	};
}

int altstack_set(struct task *task, uint64_t sp, const struct user_stack *stack)
{
	uint32_t mode = stack->flags & ~SS_AUTODISARM;
	uint64_t end;

	if (on_altstack(task, sp))
		return -EPERM;
	if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
		return -EINVAL;
	if (mode != SS_DISABLE && stack->size < MINSIGSTKSZ)
		return -ENOMEM;
	if (mode != SS_DISABLE && __builtin_add_overflow(stack->address, stack->size, &end))
		return -ENOMEM;
	task->altstack.address = mode == SS_DISABLE ? 0 : stack->address;
	task->altstack.size = mode == SS_DISABLE ? 0 : stack->size;
	task->altstack.flags = stack->flags & SS_AUTODISARM;
	return 0;
}

int64_t call_sigaltstack(struct registers *regs)
{
	struct task *task = current_task();
	struct user_stack stack, old;
	int error;

	altstack_get(task, regs->rsp, &old);
	if (ARG(regs, 0)) {
		if (user_read(&stack, ARG(regs, 0), sizeof(stack)))
			return -EFAULT;
		error = altstack_set(task, regs->rsp, &stack);
		if (error)
			return error;
	}
	return ARG(regs, 1) ? user_write(ARG(regs, 1), &old, sizeof(old)) : 0;
}
