/* SPDX-License-Identifier: MIT */
/*
 * Signals: signal(7), the ABI of rt_sigaction(2) and rt_sigreturn(2) on x86-64.
 *
 * A signal is sent to a process (any of its threads that does not block it takes it) or to a
 * thread. It is delivered on the way back to user mode. Signals below 32 are pending at most once;
 * real-time ones queue up to a bound.
 *
 * Locks, both irq: process->signal_lock guards what is pending, who is stopped, and (with
 * process_lock: to change it, both) the list of threads; actions.lock, inside it, the actions.
 */
#ifndef KERNEL_SIGNAL_H
#define KERNEL_SIGNAL_H

#include "arch/registers.h"
#include "lib/lock.h"

enum {
	SIGHUP = 1,
	SIGINT,
	SIGQUIT,
	SIGILL,
	SIGTRAP,
	SIGABRT,
	SIGBUS,
	SIGFPE,
	SIGKILL,
	SIGUSR1,
	SIGSEGV,
	SIGUSR2,
	SIGPIPE,
	SIGALRM,
	SIGTERM,
	SIGSTKFLT,
	SIGCHLD,
	SIGCONT,
	SIGSTOP,
	SIGTSTP,
	SIGTTIN,
	SIGTTOU,
	SIGURG,
	SIGXCPU,
	SIGXFSZ,
	SIGVTALRM,
	SIGPROF,
	SIGWINCH,
	SIGIO,
	SIGPWR,
	SIGSYS,
	SIGRTMIN,
	SIGNALS = 64,
};

enum { SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_TKILL = -6 };
enum { SEGV_MAPERR = 1, SEGV_ACCERR = 2, SEGV_PKUERR = 4, BUS_ADRALN = 1, BUS_ADRERR = 2 };
enum { FPE_INTDIV = 1, FPE_FLTDIV = 3, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV };
enum { ILL_ILLOPN = 2, TRAP_BRKPT = 1, TRAP_TRACE = 2 };
enum { CLD_EXITED = 1, CLD_KILLED = 2, CLD_DUMPED = 3, CLD_STOPPED = 5, CLD_CONTINUED = 6 };

typedef uint64_t sigset; /* bit signal - 1 */
#define SIGBIT(signal) (1ull << ((signal)-1))

/* What a program sees in siginfo_t, the parts that are used. */
struct signal_info {
	int32_t signo, code;
	uint64_t address; /* SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP */
	int32_t key;	  /* SEGV_PKUERR */
	int32_t pid;	  /* SI_USER, SI_QUEUE, SI_TKILL, SIGCHLD */
	uint32_t uid;
	int32_t status;	      /* SIGCHLD */
	uint64_t value;	      /* sigqueue */
	uint64_t error, trap; /* of the exception: for the context */
};

struct pending_signals {
	sigset set;
	struct list queue; /* of struct queued_signal, oldest first */
	unsigned count;	   /* of the queue */
};

struct action {
	uint64_t handler, flags, restorer;
	sigset mask;
};

/* Shared by threads (CLONE_SIGHAND). */
struct actions {
	_Atomic uint32_t references;
	struct lock lock; /* irq */
	struct action action[SIGNALS];
};

struct task;
struct process;

/*
 * 0, or -EAGAIN: no room for a real-time signal's value. Wakes whom it must. From anywhere
 * (process_lock may be held unless the signal is SIGCONT); from interrupt handlers with
 * the code SI_KERNEL alone. A process or task that is gone: nothing happens.
 */
int signal_send(struct process *process, const struct signal_info *info);
int signal_send_task(struct task *task, const struct signal_info *info);
/* To all processes of a group. 0, or -ESRCH: there is none. => no lock held; may not be an
 * interrupt */
int signal_send_group(int group, const struct signal_info *info);
/*
 * A fault of the current task itself: if it is blocked or ignored, the process ends, as in Linux.
 */
void signal_force(const struct signal_info *info);
/* Is there anything that delivery would act on? Cheap. */
bool signal_pending(struct task *task);
/*
 * On the way to user mode: at most one handler's frame is built, or the process ends, or sleeps
 * while it is stopped. Restarts or fails an interrupted system call (ERESTART*). WORK_SIGNAL is
 * cleared if nothing is left, WORK_RESTORE always. => interrupts enabled
 */
void signal_deliver(struct registers *regs);
/* The mask of the current task. SIGKILL and SIGSTOP are left out. */
void signal_block(sigset blocked);
/*
 * The mask while a call lasts (sigsuspend, ppoll, ...). The way to user mode puts the old one back:
 * after a handler was called if the call's result is -EINTR or -ERESTART*, else before.
 */
void signal_block_during_call(sigset blocked);
/* Children of this process leave no zombies: SIGCHLD is ignored, or has SA_NOCLDWAIT. */
bool signal_reaps_children(struct process *process);
void signals_init(struct pending_signals *pending);
void signals_drop(struct pending_signals *pending); /* => nobody sends to it any more */

struct actions *actions_create(void); /* all default; NULL: no memory */
struct actions *actions_copy(struct actions *from);
/* What `from` says now. */
void actions_assign(struct actions *to, struct actions *from);
void actions_put(struct actions *actions);
void actions_exec(struct actions *actions); /* handlers become default, ignored stay */

#endif
