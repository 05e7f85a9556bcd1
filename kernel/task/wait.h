/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking.
 *
 *     sleeper                              waker
 *     waiter_add(queue, &waiter)           make the condition true
 *     loop:                                wait_wake(queue)  ── for each waiter: task_wake(task)
 *       sleep_begin(how)
 *       condition? sleep_cancel, break
 *       task_sleep(deadline)
 *     waiter_remove
 *
 * sleep_begin marks the task as sleeping, a full barrier; a waker that comes after makes it
 * runnable again, so task_sleep returns at once. That is why the condition is looked at in between.
 *
 * A task may wait in several queues at once (poll). Wakers may be interrupt handlers: queues have
 * irq locks. A waker removes nobody from a queue.
 *
 * => sleepers: no lock held, interrupts enabled, the CPU online with Quire (nested once, as all
 *    kernel code of tasks is), in no call of Quire
 */
#ifndef KERNEL_WAIT_H
#define KERNEL_WAIT_H

#include "lib/errno.h"
#include "lib/lock.h"

#define NEVER UINT64_MAX /* as a deadline, in nanoseconds of time_now() */

struct task;

struct wait_queue {
	struct lock lock; /* irq */
	struct list waiters;
};

struct waiter {
	struct list node;
	struct task *task;
	struct wait_queue *queue;
	/*
	 * Not NULL: called instead of waking a task, with the queue's lock held: may take irq
	 * locks and wake other queues (epoll).
	 */
	void (*wake)(struct waiter *waiter);
};

#define WAIT_QUEUE_INIT(name)                                                                      \
	{                                                                                          \
		LOCK_INIT, LIST_INIT((name).waiters)                                               \
	}

void wait_queue_init(struct wait_queue *queue);
/* For the current task, at the end. */
void waiter_add(struct wait_queue *queue, struct waiter *waiter);
/* For nobody: `wake` is called. */
void waiter_watch(struct wait_queue *queue, struct waiter *waiter, void (*wake)(struct waiter *));
/* When it returns `wake` does not run, nor will it. */
void waiter_remove(struct waiter *waiter);
/* Wake all who wait in it. From anywhere, irq locks held too. */
void wait_wake(struct wait_queue *queue);

enum sleep_how {
	SLEEP_DEEPLY,	     /* only task_wake and the deadline end it */
	SLEEP_INTERRUPTIBLY, /* so does a signal that is to be delivered */
	SLEEP_KILLABLY,	     /* so does the end of the process */
};

void sleep_begin(enum sleep_how how);
void sleep_cancel(void);
/*
 * 0: woken (or nothing to wait for). -ETIMEDOUT: time_now() >= deadline. -EINTR: as `how` allows.
 * Callers look at their condition again first: it counts more than these.
 */
int task_sleep(uint64_t deadline);
/* A task that sleeps, or is about to, becomes runnable; else nothing happens. From anywhere. */
void task_wake(struct task *task);

/*
 * Waits in `queue` (a struct wait_queue *) until the condition, an expression, is true. Returns 0,
 * or what task_sleep said while it was still false.
 */
#define wait_until(queue, how, deadline, condition)                                                \
	({                                                                                         \
		struct waiter waiter_;                                                             \
		int result_ = 0;                                                                   \
		waiter_add(queue, &waiter_);                                                       \
		for (;;) {                                                                         \
			sleep_begin(how);                                                          \
			if (condition) {                                                           \
				sleep_cancel();                                                    \
				result_ = 0;                                                       \
				break;                                                             \
			}                                                                          \
			if (result_ != 0) {                                                        \
				sleep_cancel();                                                    \
				break;                                                             \
			}                                                                          \
			result_ = task_sleep(deadline);                                            \
		}                                                                                  \
		waiter_remove(&waiter_);                                                           \
		result_;                                                                           \
	})

/* A lock for long: its holder may sleep, copy, and call Quire. Not recursive. */
struct mutex {
	_Atomic uint32_t held;
	struct wait_queue queue;
};

#define MUTEX_INIT(name)                                                                           \
	{                                                                                          \
		0, WAIT_QUEUE_INIT((name).queue)                                                   \
	}
void mutex_init(struct mutex *mutex);
void mutex_take(struct mutex *mutex); /* sleeps deeply */
void mutex_drop(struct mutex *mutex);

#endif
