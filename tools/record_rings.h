/* SPDX-License-Identifier: MIT */
/*
 * The rings that the kernel fills. On each CPU one, which belongs to a dummy event that reports
 * forks, execs and exits; the other events write into it too. They follow the program's offspring,
 * and begin at its first execve.
 *
 *   tracepoints exceptions:page_fault_user, page_fault_kernel    address and error code
 *   tracepoints raw_syscalls:sys_enter, sys_exit                 when calls really ran, and where
 *
 * The tracepoints need root. Without it, the software event for page faults must do: it gives the
 * address but no error code, and perhaps nothing of faults from kernel mode.
 */
#ifndef QUIRE_TOOLS_RECORD_RINGS_H
#define QUIRE_TOOLS_RECORD_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RING_EVENTS_MAX = 4 };

struct ring {
	int fd; /* the dummy */
	int events[RING_EVENTS_MAX];
	unsigned count;
	struct perf_event_mmap_page *page;
	unsigned char *data;
};

struct rings {
	struct ring *all;
	unsigned count;
	size_t size;	    /* bytes of data in each, a power of two */
	bool tracepoints;   /* else the software event */
	bool user_only;	    /* no faults from kernel mode */
	const char *source; /* all that, for people */
	uint16_t fault_user, fault_kernel, sys_enter, sys_exit; /* tracepoint ids */
	char filter[512];					/* the calls, for the tracepoints */
};

/* Watch a process and these system calls of it. => false with errno; rings_close() in any case */
bool rings_open(struct rings *rings, pid_t pid, const int *calls, size_t count);
void rings_close(struct rings *rings);

#endif
