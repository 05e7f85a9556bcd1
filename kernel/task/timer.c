/* SPDX-License-Identifier: MIT */
/*
 * Timers: a list for each CPU, the next one first, and the tick beside them. The hardware is asked
 * for one interrupt, at the earlier of the two. A timer belongs to the CPU that set it; any CPU may
 * cancel it, and waits if it runs right now: then nobody touches the timer any more.
 *
 * When the CPU goes idle its tick stays asked for; it comes once more and is not set again.
 */
#include "task/run_queue.h"

#include "lib/string.h"

#define TICK (SECOND / TICK_HZ)

struct timers {
	struct lock lock; /* irq */
	bool ready;	  /* `list` is one */
	struct list list; /* of struct timer, by `at` */
	/* The CPU's own, interrupts disabled: */
	bool busy;
	uint64_t tick;	     /* when the next is due; NEVER: not asked for */
	uint64_t programmed; /* when the hardware interrupts; NEVER: not at all */
} __attribute__((aligned(64)));

static struct timers all_timers[MAX_CPUS];

/* This CPU's. => interrupts disabled */
static struct timers *this_timers(void)
{
	struct timers *timers = &all_timers[this_cpu()->index];

	if (unlikely(!timers->ready)) {
		list_init(&timers->list);
		timers->tick = timers->programmed = NEVER;
		timers->ready = true;
	}
	return timers;
}

/* => this CPU's, locked */
static void program(struct timers *timers)
{
	uint64_t at = timers->tick;

	if (!list_empty(&timers->list))
		at = MIN(at, list_first(&timers->list, struct timer, node)->at);
	/* Too early an interrupt does no harm, and programming costs. */
	if (at >= timers->programmed)
		return;
	timers->programmed = at;
	time_program(at);
}

void timer_init(struct timer *timer, void (*run)(struct timer *))
{
	memset(timer, 0, sizeof(*timer));
	timer->run = run;
}

void timer_set(struct timer *timer, uint64_t at)
{
	uint64_t flags = irq_save();
	struct timers *timers = this_timers();
	struct list *before;

	lock_take(&timers->lock);
	before = timers->list.next;
	while (before != &timers->list && list_entry(before, struct timer, node)->at <= at)
		before = before->next;
	timer->at = at;
	timer->cpu = this_cpu()->index;
	timer->set = true;
	list_add(before, &timer->node);
	program(timers);
	lock_drop_irq(&timers->lock, flags);
}

bool timer_cancel(struct timer *timer)
{
	struct timers *timers = &all_timers[timer->cpu];
	uint64_t flags = lock_take_irq(&timers->lock);
	bool was = timer->set;

	if (was) {
		list_remove(&timer->node);
		timer->set = false;
	}
	lock_drop_irq(&timers->lock, flags);
	/* Acquire: pairs with the release in run_due. */
	while (atomic_load_explicit(&timer->running, memory_order_acquire))
		__builtin_ia32_pause();
	return was;
}

/* => locked, and again when it returns */
static void run_due(struct timers *timers)
{
	while (!list_empty(&timers->list)) {
		struct timer *timer = list_first(&timers->list, struct timer, node);

		if (timer->at > time_now())
			break;
		list_remove(&timer->node);
		timer->set = false;
		atomic_fetch_add_explicit(&timer->running, 1, memory_order_relaxed);
		lock_drop(&timers->lock);
		timer->run(timer);
		/* Release: pairs with the acquire in timer_cancel. */
		atomic_fetch_sub_explicit(&timer->running, 1, memory_order_release);
		lock_take(&timers->lock);
	}
}

void timer_interrupt(void)
{
	struct timers *timers = this_timers();

	lock_take(&timers->lock);
	timers->programmed = NEVER;
	run_due(timers);
	lock_drop(&timers->lock);
	if (timers->tick <= time_now()) {
		timers->tick = timers->busy ? time_now() + TICK : NEVER;
		if (timers->busy) {
			this_cpu()->ticks++;
			sched_tick();
		}
	}
	lock_take(&timers->lock);
	program(timers);
	lock_drop(&timers->lock);
}

/* => interrupts disabled */
void timer_tick(bool busy)
{
	struct timers *timers = this_timers();

	timers->busy = busy;
	if (!busy || timers->tick != NEVER)
		return;
	timers->tick = time_now() + TICK;
	lock_take(&timers->lock);
	program(timers);
	lock_drop(&timers->lock);
}
