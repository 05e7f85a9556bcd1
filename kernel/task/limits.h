/* SPDX-License-Identifier: MIT */
/*
 * Resource limits. Those of memory are enforced by Quire, RLIMIT_FSIZE and RLIMIT_NOFILE by fs/,
 * RLIMIT_STACK bounds the arguments of execve, too; the others are kept and have no effect.
 */
#ifndef KERNEL_LIMITS_H
#define KERNEL_LIMITS_H

#include "task/task.h"

enum {
	RLIMIT_CPU,
	RLIMIT_FSIZE,
	RLIMIT_DATA,
	RLIMIT_STACK,
	RLIMIT_CORE,
	RLIMIT_RSS,
	RLIMIT_NPROC,
	RLIMIT_NOFILE,
	RLIMIT_MEMLOCK,
	RLIMIT_AS,
	RLIMIT_LOCKS,
	RLIMIT_SIGPENDING,
	RLIMIT_MSGQUEUE,
	RLIMIT_NICE,
	RLIMIT_RTPRIO,
	RLIMIT_RTTIME,
	RLIMITS,
};
#define RLIM_INFINITY UINT64_MAX

/* Those of the first process. */
void limits_init(struct process *process);
/* What the process's limits mean for a space. */
void limits_apply(const struct process *process, struct quire_mm *mm);
/* A struct rusage: the times, and the faults; what else it has is not counted. 0, or -EFAULT. */
int usage_write(uint64_t to, uint64_t time, uint64_t faults);

#endif
