/* SPDX-License-Identifier: MIT */
/*
 * What the files of the scheduler share: sched.c (switching), balance.c (which CPU), wait.c
 * (sleeping). For the rest of the kernel: task/task.h.
 */
#ifndef KERNEL_RUN_QUEUE_H
#define KERNEL_RUN_QUEUE_H

#include "task/task.h"

#define SLICE_TICKS (TICK_HZ / 20)

struct run_queue {
	struct lock lock;	/* irq */
	struct list tasks;	/* runnable, the running one not among them */
	_Atomic uint32_t count; /* of tasks; written under the lock */
	_Atomic uint32_t busy;	/* the CPU runs a task, not its idle loop; written under the lock */
	_Atomic uint32_t parked; /* the CPU has stopped for good */
	struct task *left; /* the one before: dead, or to be placed elsewhere. This CPU's own */
	/* Barriers that other CPUs have asked for and that this one has done: membarrier.c. */
	_Atomic uint64_t barriers_asked, barriers_done;
} __attribute__((aligned(64)));

extern struct run_queue run_queues[MAX_CPUS];

static inline uint32_t queue_load(const struct run_queue *queue)
{
	return atomic_load_explicit(&queue->count, memory_order_relaxed) +
	       atomic_load_explicit(&queue->busy, memory_order_relaxed);
}

static inline bool task_may_run(struct task *task, unsigned cpu)
{
	return atomic_load(&task->affinity) >> cpu & 1;
}

/* => interrupts disabled. The queue that the task belongs to, locked. */
struct run_queue *queue_of(struct task *task);
/* At the end, or first if it was woken and has some of its slice left. => locked */
void queue_add(struct run_queue *queue, struct task *task);
void queue_remove(struct run_queue *queue, struct task *task);
/* Into the queue of a CPU where it may run. => interrupts disabled; runnable, on no queue */
void sched_place(struct task *task);
/*
 * Take a task from the longest queue into this CPU's, if that leaves neither the longer one.
 * Returns whether it did. => interrupts enabled
 */
bool sched_steal(void);
/* Have an idle CPU look for work elsewhere, if there is one. => interrupts disabled */
void sched_call_idle(void);

/*
 * The current task has said sleep_begin: others run until it is woken.
 * => interrupts enabled, the CPU offline with Quire: before and after
 */
void sched_sleep(void);
/*
 * The first thing after a switch: the lock that came with it, and what the task before left to do.
 * => interrupts disabled, and enabled afterwards; offline
 */
void sched_arrive(void);
/* The timer's tick, while a task runs. => interrupts disabled */
void sched_tick(void);
/*
 * The machine ends: when it returns the other CPUs have finished what was left of the tasks before,
 * and do nothing any more. => no other task is there
 */
void sched_settle(void);
/*
 * The current task, a kernel thread so far, goes on in user mode with its task_registers.
 * => interrupts enabled, online; it has a space
 */
_Noreturn void sched_enter_user(void);

void wait_init(void); /* once */

/* A stack of STACK_SIZE with its canary. NULL: no memory. */
uint8_t *stack_alloc(void);
void stack_free(uint8_t *stack);
bool stack_is_whole(const uint8_t *stack);

#endif
