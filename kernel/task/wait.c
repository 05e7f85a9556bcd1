/* SPDX-License-Identifier: MIT */
/*
 * Sleeping (the picture is in task/wait.h), mutexes, and the waits of Quire.
 *
 * Quire waits on words: a hash of queues by the word's address. A wait is entered offline and
 * returns offline, so it sleeps by sched_sleep; all other sleeps are online and go through
 * task_sleep.
 *
 * Mutex: 0 free, 1 held, 2 held and somebody may wait. Whoever comes out of the queue takes it as
 * 2, so the next one is woken, too.
 */
#include "task/run_queue.h"

#include <quire/x86_64.h>

void wait_queue_init(struct wait_queue *queue)
{
	atomic_init(&queue->lock.held, 0);
	list_init(&queue->waiters);
}

static void add(struct wait_queue *queue, struct waiter *waiter)
{
	uint64_t flags;

	waiter->queue = queue;
	flags = lock_take_irq(&queue->lock);
	list_add(&queue->waiters, &waiter->node);
	lock_drop_irq(&queue->lock, flags);
}

void waiter_add(struct wait_queue *queue, struct waiter *waiter)
{
	waiter->task = current_task();
	waiter->wake = NULL;
	add(queue, waiter);
}

void waiter_watch(struct wait_queue *queue, struct waiter *waiter, void (*wake)(struct waiter *))
{
	waiter->task = NULL;
	waiter->wake = wake;
	add(queue, waiter);
}

void waiter_remove(struct waiter *waiter)
{
	uint64_t flags = lock_take_irq(&waiter->queue->lock);

	list_remove(&waiter->node);
	lock_drop_irq(&waiter->queue->lock, flags);
}

static void wake(struct waiter *waiter)
{
	if (waiter->wake)
		waiter->wake(waiter);
	else
		task_wake(waiter->task);
}

void wait_wake(struct wait_queue *queue)
{
	uint64_t flags = lock_take_irq(&queue->lock);

	list_for_each(waiter, &queue->waiters, struct waiter, node)
		wake(waiter);
	lock_drop_irq(&queue->lock, flags);
}

void sleep_begin(enum sleep_how how)
{
	struct task *task = current_task();

	task->how = how;
	/* Full barrier, before the caller's look at its condition: pairs with the lock in
	 * task_wake. */
	atomic_store(&task->state, TASK_SLEEPING);
}

void sleep_cancel(void)
{
	atomic_store_explicit(&current_task()->state, TASK_RUNNABLE, memory_order_relaxed);
}

static int sleep_is_over(struct task *task, uint64_t deadline)
{
	uint32_t work = atomic_load(&task->work);

	if (task->how != SLEEP_DEEPLY && work & WORK_EXIT)
		return -EINTR;
	if (task->how == SLEEP_INTERRUPTIBLY && signal_pending(task))
		return -EINTR;
	return deadline != NEVER && time_now() >= deadline ? -ETIMEDOUT : 0;
}

int task_sleep(uint64_t deadline)
{
	struct task *task = current_task();
	int over = sleep_is_over(task, deadline);

	if (over) {
		sleep_cancel();
		return over;
	}
	if (deadline != NEVER)
		timer_set(&task->timer, deadline);
	quire_cpu_offline();
	sched_sleep();
	quire_cpu_online();
	if (deadline != NEVER)
		timer_cancel(&task->timer);
	return sleep_is_over(task, deadline);
}

/* Returns whether it is to be placed. => its queue locked */
static bool wake_locked(struct task *task)
{
	if (task->state != TASK_SLEEPING)
		return false;
	atomic_store(&task->state, TASK_RUNNABLE);
	task->woken = true;
	return !task->running;
}

void task_wake(struct task *task)
{
	uint64_t flags = irq_save();
	struct run_queue *queue = queue_of(task);
	bool place = wake_locked(task);

	lock_drop(&queue->lock);
	if (place)
		sched_place(task);
	irq_restore(flags);
}

void task_notify(struct task *task, uint32_t work)
{
	uint64_t flags = irq_save();
	struct run_queue *queue;
	bool place = false;

	/* Before the look at its state: the task says that it sleeps, then looks at `work`. */
	atomic_fetch_or(&task->work, work);
	queue = queue_of(task);
	if (task->how == SLEEP_INTERRUPTIBLY || (task->how == SLEEP_KILLABLY && work & WORK_EXIT))
		place = wake_locked(task);
	if (task->running && task->cpu != this_cpu()->index)
		cpu_send(task->cpu, VECTOR_SWITCH);
	lock_drop(&queue->lock);
	if (place)
		sched_place(task);
	irq_restore(flags);
}

void mutex_init(struct mutex *mutex)
{
	atomic_init(&mutex->held, 0);
	wait_queue_init(&mutex->queue);
}

void mutex_take(struct mutex *mutex)
{
	uint32_t free = 0;

	/* Acquire: pairs with mutex_drop. */
	if (atomic_compare_exchange_strong(&mutex->held, &free, 1))
		return;
	wait_until(&mutex->queue, SLEEP_DEEPLY, NEVER, atomic_exchange(&mutex->held, 2) == 0);
}

void mutex_drop(struct mutex *mutex)
{
	struct list *waiters = &mutex->queue.waiters;
	uint64_t flags;

	/* Release: pairs with mutex_take. */
	if (atomic_exchange(&mutex->held, 0) != 2)
		return;
	flags = lock_take_irq(&mutex->queue.lock);
	if (!list_empty(waiters))
		wake(list_first(waiters, struct waiter, node));
	lock_drop_irq(&mutex->queue.lock, flags);
}

/* --- Quire's --- */

#define WORD_QUEUES 256

struct word_waiter {
	struct waiter waiter;
	const uint32_t *word;
};

static struct wait_queue word_queues[WORD_QUEUES];

void wait_init(void)
{
	for (unsigned i = 0; i < WORD_QUEUES; i++)
		wait_queue_init(&word_queues[i]);
}

static struct wait_queue *word_queue(const uint32_t *word)
{
	return &word_queues[((uint64_t)word >> 2) * 0x9e3779b97f4a7c15ull >> 56];
}

void quire_x86_wait(uint32_t *word, uint32_t seen)
{
	struct word_waiter own = { .word = word };

	waiter_add(word_queue(word), &own.waiter);
	sleep_begin(SLEEP_DEEPLY);
	if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen)
		sched_sleep();
	else
		sleep_cancel();
	waiter_remove(&own.waiter);
}

/* The word may be gone: its address alone counts. */
void quire_x86_wake(uint32_t *word)
{
	struct wait_queue *queue = word_queue(word);
	uint64_t flags = lock_take_irq(&queue->lock);

	list_for_each(waiter, &queue->waiters, struct waiter, node)
		if (container_of(waiter, struct word_waiter, waiter)->word == word)
			task_wake(waiter->task);
	lock_drop_irq(&queue->lock, flags);
}
