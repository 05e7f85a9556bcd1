/* SPDX-License-Identifier: MIT */
/* What the files of signals share among themselves: task/signal.h is for the rest of the kernel. */
#ifndef KERNEL_SIGNAL_PARTS_H
#define KERNEL_SIGNAL_PARTS_H

#include "task/task.h"

enum { SIG_DFL = 0, SIG_IGN = 1 };
enum {
	SA_NOCLDSTOP = 1,
	SA_NOCLDWAIT = 2,
	SA_SIGINFO = 4,
	SA_EXPOSE_TAGBITS = 0x800,
	SA_RESTORER = 0x04000000,
	SA_ONSTACK = 0x08000000,
	SA_RESTART = 0x10000000,
	SA_NODEFER = 0x40000000,
};
#define SA_RESETHAND 0x80000000u
enum { SS_ONSTACK = 1, SS_DISABLE = 2, MINSIGSTKSZ = 2048 };
#define SS_AUTODISARM 0x80000000u

#define SIGNALS_UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))
#define SIGNALS_STOP (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
/* Whose default action is to do nothing. SIGCONT does its work when it is sent. */
#define SIGNALS_IDLE (SIGBIT(SIGCHLD) | SIGBIT(SIGCONT) | SIGBIT(SIGURG) | SIGBIT(SIGWINCH))

#define SIGINFO_SIZE 128

/* --- signal.c --- */
static inline bool action_ignores(const struct action *action, int signal)
{
	return action->handler == SIG_IGN ||
	       (action->handler == SIG_DFL && SIGBIT(signal) & SIGNALS_IDLE);
}
/*
 * Takes the first pending signal out of `wanted`, the thread's own before the process's. Returns
 * whether there was one.
 */
bool signal_take(sigset wanted, struct signal_info *info);
/* Forget these signals, in the process and in all its threads. */
void signals_discard(struct process *process, sigset signals);
/* WORK_SIGNAL of the task, set or cleared as it must be. => signal_lock held */
void signal_refresh(struct task *task);
/* Of the process: this thread takes them no longer, perhaps another does. => signal_lock held */
void signals_pass_on(struct process *process, sigset signals);
/* SIGCHLD for a stop or its end. => no lock held */
void signal_tell_parent(struct process *process, int code, int status);

/* --- signal_frame.c --- */
/* As siginfo_t has it. */
void signal_encode(const struct signal_info *info, uint8_t bytes[SIGINFO_SIZE]);
/* Bytes that a frame takes of a stack at most: AT_MINSIGSTKSZ. */
uint64_t signal_frame_room(void);
/* The handler runs next. 0, or -EFAULT: the stack can't take the frame; nothing has changed. */
int signal_frame(struct registers *regs, const struct signal_info *info,
		 const struct action *action);

/* --- signal_calls.c --- */
struct user_stack { /* stack_t */
	uint64_t address;
	uint32_t flags, pad;
	uint64_t size;
};
bool on_altstack(const struct task *task, uint64_t sp);
void altstack_get(const struct task *task, uint64_t sp, struct user_stack *stack);
int altstack_set(struct task *task, uint64_t sp, const struct user_stack *stack);

/* --- itimer.c --- */
/* SIGALRM has been taken: begin the next period. => signal_lock held */
void itimer_rearm(struct process *process);

#endif
