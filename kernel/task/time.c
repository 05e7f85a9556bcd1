/* SPDX-License-Identifier: MIT */
/*
 * Clocks: all are the time since boot (time_now), but those of the day, which begin with what the
 * machine's clock said at boot and can't be set, and those of CPU time.
 */
#include "task/clock.h"

#include "calls/calls.h"
#include "memory/user.h"
#include "task/task.h"

#define MAX_SECONDS (INT64_MAX / (int64_t)SECOND - 1)
#define TIMER_ABSTIME 1
#define COARSE (SECOND / TICK_HZ)

enum {
	CLOCK_REALTIME = 0,
	CLOCK_MONOTONIC = 1,
	CLOCK_PROCESS_CPUTIME = 2,
	CLOCK_THREAD_CPUTIME = 3,
	CLOCK_MONOTONIC_RAW = 4,
	CLOCK_REALTIME_COARSE = 5,
	CLOCK_MONOTONIC_COARSE = 6,
	CLOCK_BOOTTIME = 7,
	CLOCK_REALTIME_ALARM = 8,
	CLOCK_BOOTTIME_ALARM = 9,
	CLOCK_TAI = 11,
};

int clock_read(uint64_t from, uint64_t *nanoseconds)
{
	struct timespec time;

	if (user_read(&time, from, sizeof(time)))
		return -EFAULT;
	if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= (int64_t)SECOND)
		return -EINVAL;
	*nanoseconds = (uint64_t)MIN(time.seconds, MAX_SECONDS) * SECOND +
		       (uint64_t)time.nanoseconds;
	return 0;
}

int clock_write(uint64_t to, uint64_t nanoseconds)
{
	struct timespec time = { (int64_t)(nanoseconds / SECOND), (int64_t)(nanoseconds % SECOND) };

	return user_write(to, &time, sizeof(time));
}

int clock_read_timeout(uint64_t from, uint64_t *deadline)
{
	uint64_t time;
	int error = clock_read(from, &time);

	if (!error)
		*deadline = time_now() + time;
	return error;
}

int clock_read_deadline(uint64_t from, bool realtime, uint64_t *deadline)
{
	uint64_t time;
	int error = clock_read(from, &time);

	if (!error)
		*deadline = !realtime ? time : time > time_at_boot ? time - time_at_boot : 0;
	return error;
}

/*
 * CPU clocks of others: what clock_getcpuclockid(3) and pthread_getcpuclockid(3) make of a pid or
 * tid, which is kept inverted above three bits; 4 says thread, the lowest two which time (3: none).
 */
static int read_cpu_clock(int clock, uint64_t *time)
{
	int id = ~(clock >> 3);
	struct process *process;
	struct task *task;

	if ((clock & 3) == 3)
		return -EINVAL;
	if (clock & 4) {
		task = id ? task_find(id) : current_task();
		if (!task)
			return -EINVAL;
		*time = task_time(task);
		if (id)
			task_put(task);
		return 0;
	}
	process = id ? process_find(id) : current_process();
	if (!process)
		return -EINVAL;
	*time = process_time(process);
	if (id)
		process_put(process);
	return 0;
}

static int read_clock(int clock, uint64_t *time)
{
	if (clock < 0)
		return read_cpu_clock(clock, time);
	*time = time_now();
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
	case CLOCK_REALTIME_COARSE:
		*time += time_at_boot;
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		break;
	case CLOCK_PROCESS_CPUTIME:
		*time = process_time(current_process());
		break;
	case CLOCK_THREAD_CPUTIME:
		*time = task_time(current_task());
		break;
	default:
		return -EINVAL;
	}
	if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
		*time -= *time % COARSE;
	return 0;
}

int64_t call_clock_gettime(struct registers *regs)
{
	uint64_t time;
	int error = read_clock((int)ARG(regs, 0), &time);

	return error ? error : clock_write(ARG(regs, 1), time);
}

int64_t call_clock_getres(struct registers *regs)
{
	int clock = (int)ARG(regs, 0);
	bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
	uint64_t time;
	int error = read_clock(clock, &time);

	if (error || !ARG(regs, 1))
		return error;
	return clock_write(ARG(regs, 1), coarse ? COARSE : 1);
}

int64_t call_clock_settime(struct registers *regs)
{
	int clock = (int)ARG(regs, 0);
	uint64_t time;
	int error = clock_read(ARG(regs, 1), &time);

	if (clock != CLOCK_REALTIME)
		return -EINVAL;
	return error ? error : -EPERM;
}

/* Until the deadline. What is left goes to `remaining` if a signal ends it, unless that is 0. */
static int64_t sleep_until(uint64_t deadline, uint64_t remaining)
{
	uint64_t now;
	int result = 0;

	while (!result) {
		sleep_begin(SLEEP_INTERRUPTIBLY);
		result = task_sleep(deadline);
	}
	now = time_now();
	if (result == -ETIMEDOUT || now >= deadline)
		return 0;
	if (remaining && clock_write(remaining, deadline - now))
		return -EFAULT;
	return -ERESTART_NOHAND;
}

int64_t call_nanosleep(struct registers *regs)
{
	uint64_t deadline;
	int error = clock_read_timeout(ARG(regs, 0), &deadline);

	return error ? error : sleep_until(deadline, ARG(regs, 1));
}

int64_t call_clock_nanosleep(struct registers *regs)
{
	int clock = (int)ARG(regs, 0), error;
	bool absolute = ARG(regs, 1) & TIMER_ABSTIME;
	bool realtime = clock == CLOCK_REALTIME || clock == CLOCK_TAI ||
			clock == CLOCK_REALTIME_ALARM;
	uint64_t deadline, time;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
	case CLOCK_TAI:
		break;
	default:
		return read_clock(clock, &time) || clock == CLOCK_THREAD_CPUTIME ? -EINVAL
										 : -EOPNOTSUPP;
	}
	error = absolute ? clock_read_deadline(ARG(regs, 2), realtime, &deadline)
			 : clock_read_timeout(ARG(regs, 2), &deadline);
	return error ? error : sleep_until(deadline, absolute ? 0 : ARG(regs, 3));
}

int64_t call_gettimeofday(struct registers *regs)
{
	uint64_t time = time_now() + time_at_boot;
	int64_t now[2] = { (int64_t)(time / SECOND), (int64_t)(time % SECOND / 1000) };
	int32_t zone[2] = { 0, 0 };

	if (ARG(regs, 0) && user_write(ARG(regs, 0), now, sizeof(now)))
		return -EFAULT;
	return ARG(regs, 1) ? user_write(ARG(regs, 1), zone, sizeof(zone)) : 0;
}

int64_t call_settimeofday(struct registers *regs)
{
	(void)regs;
	return -EPERM;
}

int64_t call_time(struct registers *regs)
{
	int64_t now = (int64_t)((time_now() + time_at_boot) / SECOND);

	if (ARG(regs, 0) && user_write(ARG(regs, 0), &now, sizeof(now)))
		return -EFAULT;
	return now;
}
