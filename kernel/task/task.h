/* SPDX-License-Identifier: MIT */
/*
 * Tasks (threads) and processes.
 *
 *     process ──► threads (tasks)     process ──► space, files, actions    (counted: clone shares)
 *        │ children                   task ──► kernel stack, registers, signals
 *        ▼
 *     process ...
 *
 * Scheduler: a queue for each CPU, round robin with slices of SLICE_TICKS; an idle CPU takes from
 * the longest queue. A task's state belongs to the lock of the CPU it is on. Kernel code is never
 * preempted: a task gives its CPU away in task_sleep, in task_yield, and on the way to user mode.
 *
 * Quire: kernel code of a task runs online, nested once. A switch is made offline, and the next
 * task comes back online by itself, so a task that sleeps inside Quire (which is offline then) and
 * one that sleeps in the kernel can follow each other. Idle is offline.
 *
 * Process tree, tids, groups: one lock, `process_lock` (plain). Order: process_lock,
 * process.signal_lock (irq), actions.lock (irq), and inside all of them timers and run queues
 * (irq).
 */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

#include "arch/cpu.h"
#include "arch/registers.h"
#include "memory/space.h"
#include "task/signal.h"
#include "task/timer.h"
#include "task/wait.h"

#define STACK_ORDER 2
#define STACK_SIZE (QUIRE_PAGE_SIZE << STACK_ORDER)
#define STATUS_CONTINUED 0xffff /* as wait4(2) gives it */

enum task_state { TASK_RUNNABLE, TASK_SLEEPING, TASK_DEAD };
enum task_work {
	WORK_SIGNAL = 1,  /* a signal may be pending */
	WORK_EXIT = 2,	  /* the process ends, or another thread execs: this thread must go */
	WORK_RSEQ = 4,	  /* it was switched or moved: rseq must be looked at */
	WORK_RESTORE = 8, /* after ERESTART, or a mask is to be put back: for signal_deliver */
};

struct task {
	/* --- entry.S and the scheduler --- */
	uint64_t stack_pointer; /* where entry_switch left off */
	uint8_t *stack;		/* STACK_SIZE; a canary at the bottom */
	_Atomic uint32_t work;	/* enum task_work, looked at on the way to user mode */
	_Atomic uint32_t state; /* under the run queue's lock of `cpu` */
	enum sleep_how how;
	bool on_queue, running; /* running: it is the current one of its CPU */
	bool woken;		/* it slept before it came into the queue: it goes first */
	_Atomic uint32_t cpu;	/* whose queue it is on, or was on last */
	unsigned slice;		/* ticks left */
	struct list run;
	_Atomic uint64_t affinity; /* bits of CPUs */
	struct timer timer;	   /* of task_sleep's deadline */
	uint64_t fs_base, gs_base;
	void *extended;	     /* XSAVE area, 64-aligned; NULL for kernel threads */
	struct quire_mm *mm; /* what runs with it; NULL for kernel threads and after exit */
	uint64_t run_time, run_since, switches;

	/* --- the thread --- */
	struct process *process;
	struct list sibling; /* in process->threads */
	struct list all;     /* of the tid table's chain */
	int tid;
	_Atomic uint32_t references;
	char name[16];
	int nice;	    /* kept for who asks; the scheduler knows no priorities */
	uint64_t set_tid;   /* CLONE_CHILD_SETTID: stored by the new task itself */
	uint64_t clear_tid; /* CLONE_CHILD_CLEARTID */
	uint64_t robust_list;
	struct {
		uint64_t address;
		uint32_t length, signature;
	} rseq;
	struct process *_Atomic vfork; /* the parent that waits until this one execs or ends */

	/* --- signals: under process->signal_lock; `blocked` is changed by the task alone --- */
	sigset blocked, saved_blocked;
	bool restore_blocked;	   /* sigsuspend, ppoll: put saved_blocked back after delivery */
	sigset awaited;		   /* sigtimedwait: taken although blocked */
	bool stop_taken;	   /* a stop signal was taken, and no SIGCONT sent since */
	struct signal_info forced; /* signal_force; signo 0: none */
	struct pending_signals pending;
	struct {
		uint64_t address, size;
		uint32_t flags;
	} altstack;
	uint64_t faults; /* taken, user copies included: for getrusage */
};

struct process {
	int pid, group, session;
	_Atomic uint32_t references;
	struct process *parent;	       /* process_lock */
	struct list children, sibling; /* process_lock */
	struct list all;	       /* in all_processes; process_lock */
	struct list chain;	       /* of the pid table */
	struct list threads; /* changed under process_lock and signal_lock, read under either */
	unsigned thread_count;
	struct space *space;
	struct files *files;   /* fs/fs.h */
	struct fs_context *fs; /* working directory, umask */
	struct actions *actions;
	struct lock signal_lock; /* irq */
	struct pending_signals pending;
	bool stopped;	/* by SIGSTOP and its like: threads sleep in signal_deliver; signal_lock */
	int stop_event; /* for wait4: a status that nobody has asked for yet; 0: none */
	struct timer alarm; /* ITIMER_REAL: itimer.c; the process's end cancels it */
	uint64_t alarm_interval;
	bool ending;	     /* exit_group or a fatal signal: signal_lock */
	struct task *single; /* who makes all other threads end, to exec: signal_lock */
	bool membarrier;     /* it has registered for expedited barriers */
	bool zombie;	     /* all threads are gone; waits for wait4 */
	bool has_execed;
	int exit_status;	      /* as wait4 gives it */
	int exit_signal;	      /* to the parent; 0: none */
	struct wait_queue child_wait; /* a child has changed */
	struct wait_queue vfork_wait;
	struct wait_queue thread_wait; /* a thread has ended: execve waits here */
	char name[16], path[256];      /* of the program */
	char *arguments;	       /* heap: argv, NUL-separated, for /proc */
	size_t arguments_length;
	uint64_t limits[16][2]; /* by RLIMIT_* of task/limits.h: current, maximum */
	uint64_t run_time, children_time, faults;
	uint64_t start_time;
};

extern struct lock process_lock;
extern struct list all_processes; /* by `all`, zombies too; process_lock */
extern struct process *init_process;

static inline struct registers *task_registers(struct task *task)
{
	return (struct registers *)(void *)(task->stack + STACK_SIZE) - 1;
}

static inline struct process *current_process(void)
{
	return current_task()->process;
}

/* --- sched.c --- */
void sched_init(void);		  /* boot CPU, before any task */
_Noreturn void sched_start(void); /* each CPU becomes its idle task */
/* A kernel thread, runnable (begin.c). NULL: no memory. */
struct task *task_create_kernel(const char *name, void (*run)(void *), void *argument);
void task_begin(void);	    /* begin.c: what entry_new_task calls, on the new task's stack */
void sched_interrupt(void); /* membarrier.c: VECTOR_SWITCH came */
/* Set bits of `work`; end a sleep that they end, interrupt the CPU where it runs. From anywhere. */
void task_notify(struct task *task, uint32_t work);
/* Nanoseconds that it ran, up to now. */
uint64_t task_time(struct task *task);
/* Give the CPU to another runnable task, if there is one. */
void task_yield(void);
/* Make a new task runnable, on the least busy CPU it may run on. */
void task_start(struct task *task);
/* From task_end: the current task is dead; its stack is freed by whoever runs next. */
_Noreturn void sched_exit(void);
/* Move to a CPU of task->affinity; the caller has set it. */
void task_affinity_changed(struct task *task);
unsigned sched_runnable(void); /* over all CPUs, for sysinfo and /proc/loadavg */

/* --- task.c: making and ending --- */
/* A task of `process` (NULL: a kernel thread), in no table, without a tid. NULL: no memory. */
struct task *task_create(struct process *process);
void task_get(struct task *task);
void task_put(struct task *task);      /* not from interrupts */
struct task *task_find(int tid);       /* with a reference; NULL */
struct process *process_find(int pid); /* with a reference; NULL */
/* Threads that there are, and the tid that was given last: for sysinfo and /proc. */
unsigned task_count(int *last);
void process_get(struct process *process);
void process_put(struct process *process);
uint64_t process_time(struct process *process); /* all its threads. => process_lock not held */
/* The current task execs or ends: its parent waits no longer for the space that they share. */
void task_vfork_done(void);
/* The current thread ends; with its last thread the process does. */
_Noreturn void task_exit(int status);
/* The whole process ends with this wait status: exit code << 8, or the signal. */
_Noreturn void process_exit(int status);
/* The same asked for by somebody else; takes effect when its threads leave the kernel. */
void process_kill(struct process *process, int status);
/* All other threads of this process end, and the current one becomes its leader (for execve). */
int process_become_single(void);

/* clone3's arguments. */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};
int64_t task_clone(const struct clone_arguments *arguments);

/* --- exec.c --- */
/*
 * Replaces the current process's program. Arguments and environment are kernel strings (vectors
 * that end with NULL). 0, and *regs is filled for the first instruction; or a negative error, and
 * nothing has changed: past the point of no return nothing can fail.
 */
int exec_program(const char *path, char *const *arguments, char *const *environment,
		 struct registers *regs);

/* --- futex.c --- */
int64_t futex_wake(uint64_t address, unsigned count, bool private);
/* --- robust.c --- */
void futex_exit(struct task *task); /* robust list, clear_tid */

/* --- rseq.c --- */
/* On the way to user mode: the CPU's number, and a critical section that was left begins again. */
void rseq_update(struct registers *regs);

/* --- fpu.c --- */
void *extended_create(void); /* initial state; NULL: no memory */
void extended_free(void *area);
void extended_reset(void *area); /* to the initial state */
/* The current CPU's state into the area, and back. */
void extended_save(void *area);
void extended_load(const void *area);

#endif
