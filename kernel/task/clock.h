/* SPDX-License-Identifier: MIT */
/* Times that programs give: struct timespec to nanoseconds of time_now(). */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define USER_HZ 100 /* ticks in times(2), /proc and AT_CLKTCK, whatever the timer does */

struct timespec {
	int64_t seconds, nanoseconds;
};

/* A time, or how long: 0, -EFAULT, or -EINVAL. Times beyond 292 years are as good as never. */
int clock_read(uint64_t from, uint64_t *nanoseconds);
int clock_write(uint64_t to, uint64_t nanoseconds);
/* From now on; or until this time of the day (or, not `realtime`, since boot). As clock_read. */
int clock_read_timeout(uint64_t from, uint64_t *deadline);
int clock_read_deadline(uint64_t from, bool realtime, uint64_t *deadline);

#endif
