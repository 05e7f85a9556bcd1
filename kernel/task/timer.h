/* SPDX-License-Identifier: MIT */
/* Timers: a function that runs at a time, in the timer interrupt of the CPU that set it. */
#ifndef KERNEL_TIMER_H
#define KERNEL_TIMER_H

#include "lib/lock.h"

struct timer {
	struct list node;
	uint64_t at;
	void (*run)(struct timer *); /* interrupts disabled, no lock of the timers held */
	unsigned cpu;		     /* where it is set */
	bool set;
	_Atomic uint32_t running; /* how many CPUs run it: set again, it may be due on another */
};

void timer_init(struct timer *timer, void (*run)(struct timer *));
/* Once, at `at` (time_now()) or as soon after as can be. => not set. From anywhere. */
void timer_set(struct timer *timer, uint64_t at);
/* When it returns the timer is not set and its function does not run. => not from its function, nor
 * with a lock held that its function takes. Returns whether it was set. */
bool timer_cancel(struct timer *timer);
/* The interrupt: runs what is due and programs the next, or the tick if a task runs. */
void timer_interrupt(void);
/* After a switch: the tick is there while the CPU is busy and not while it idles. */
void timer_tick(bool busy);

#endif
