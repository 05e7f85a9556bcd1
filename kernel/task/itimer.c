/* SPDX-License-Identifier: MIT */
/*
 * The interval timer of a process (ITIMER_REAL). The next period begins when SIGALRM is taken, so a
 * tiny interval costs a program its own time and nobody else's.
 *
 * Who sets the timer holds signal_lock, and it is not set then; whoever replaces it cancels it
 * first, without the lock that its function takes, and looks again under it.
 *
 * ITIMER_VIRTUAL and ITIMER_PROF are not there: EINVAL.
 */
#include "calls/calls.h"
#include "memory/user.h"
#include "task/signal_parts.h"

enum { ITIMER_REAL = 0 };

struct user_itimer {
	struct {
		int64_t seconds, microseconds;
	} interval, value;
};

static void expire(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, alarm);
	struct signal_info info = { .signo = SIGALRM, .code = SI_KERNEL };

	signal_send(process, &info);
}

void itimer_rearm(struct process *process)
{
	uint64_t now = time_now(), at = process->alarm.at;

	if (!process->alarm_interval || process->alarm.set)
		return;
	at += process->alarm_interval;
	if (at <= now)
		at += ((now - at) / process->alarm_interval + 1) * process->alarm_interval;
	timer_set(&process->alarm, at);
}

/* Nanoseconds that are left, at least one if it is set; 0: it isn't. => signal_lock held */
static uint64_t left(const struct process *process)
{
	uint64_t now = time_now();

	if (!process->alarm.set)
		return 0;
	return process->alarm.at > now ? process->alarm.at - now : 1;
}

/* value 0: none. Gives what was left, and the interval. */
static void set(uint64_t value, uint64_t interval, uint64_t *old_value, uint64_t *old_interval)
{
	struct process *process = current_process();
	uint64_t flags = lock_take_irq(&process->signal_lock);

	*old_value = left(process);
	*old_interval = process->alarm_interval;
	if (!process->alarm.run)
		timer_init(&process->alarm, expire);
	process->alarm_interval = 0;
	/* Without an interval nobody rearms it; but another thread may set it. */
	while (process->alarm.set || atomic_load(&process->alarm.running)) {
		lock_drop_irq(&process->signal_lock, flags);
		timer_cancel(&process->alarm);
		flags = lock_take_irq(&process->signal_lock);
	}
	process->alarm_interval = interval;
	if (value)
		timer_set(&process->alarm, time_now() + value);
	lock_drop_irq(&process->signal_lock, flags);
}

int64_t call_alarm(struct registers *regs)
{
	uint64_t value, interval;

	set((uint32_t)ARG(regs, 0) * SECOND, 0, &value, &interval);
	return value && value < SECOND ? 1 : (int64_t)((value + SECOND / 2) / SECOND);
}

static void encode(struct user_itimer *to, uint64_t value, uint64_t interval)
{
	to->value.seconds = (int64_t)(value / SECOND);
	to->value.microseconds = (int64_t)(value % SECOND / 1000);
	to->interval.seconds = (int64_t)(interval / SECOND);
	to->interval.microseconds = (int64_t)(interval % SECOND / 1000);
	if (value && value < 1000)
		to->value.microseconds = 1;
}

static int decode(int64_t seconds, int64_t microseconds, uint64_t *ns)
{
	if (seconds < 0 || microseconds < 0 || microseconds >= 1000000)
		return -EINVAL;
	*ns = (uint64_t)MIN(seconds, 1ll << 32) * SECOND + (uint64_t)microseconds * 1000;
	return 0;
}

int64_t call_getitimer(struct registers *regs)
{
	struct process *process = current_process();
	struct user_itimer timer;
	uint64_t flags;

	if (ARG(regs, 0) != ITIMER_REAL)
		return -EINVAL;
	flags = lock_take_irq(&process->signal_lock);
	encode(&timer, left(process), process->alarm_interval);
	lock_drop_irq(&process->signal_lock, flags);
	return user_write(ARG(regs, 1), &timer, sizeof(timer));
}

int64_t call_setitimer(struct registers *regs)
{
	struct user_itimer timer = { 0 }, old;
	uint64_t value, interval, old_value, old_interval;

	if (ARG(regs, 1) && user_read(&timer, ARG(regs, 1), sizeof(timer)))
		return -EFAULT;
	if (ARG(regs, 0) != ITIMER_REAL ||
	    decode(timer.value.seconds, timer.value.microseconds, &value) ||
	    decode(timer.interval.seconds, timer.interval.microseconds, &interval))
		return -EINVAL;
	set(value, interval, &old_value, &old_interval);
	encode(&old, old_value, old_interval);
	return ARG(regs, 2) ? user_write(ARG(regs, 2), &old, sizeof(old)) : 0;
}
