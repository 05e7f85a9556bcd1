/* SPDX-License-Identifier: MIT */
/* Opening the perf events that faults and marks come from: see record_rings.h. */
#define _GNU_SOURCE
#include "record_rings.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	RING_MAX = 8 << 20,
	RING_MIN = 64 << 10,
};

/* The root of tracefs: where it is mounted, or a mount of our own that nobody else sees. */
static int open_tracefs(void)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	int context, root;

	for (unsigned i = 0; i < 2; i++) {
		root = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root >= 0 && faccessat(root, "events", R_OK | X_OK, 0) == 0)
			return root;
		if (root >= 0)
			close(root);
	}
	context = (int)syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);
	if (context < 0)
		return -1;
	root = -1;
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		root = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	close(context);
	return root;
}

/* Read a small file of a tracepoint. => false: it can't be read */
static bool read_text(int root, const char *event, const char *file, char *text, size_t size)
{
	char path[128];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "events/%s/%s", event, file);
	fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The id of a tracepoint whose fields lie where they are expected. => false: it can't be used */
static bool find_tracepoint(int root, const char *event, const char *const *expected, uint16_t *id)
{
	char text[4096];

	if (!read_text(root, event, "format", text, sizeof(text)))
		return false;
	for (; *expected; expected++)
		if (!strstr(text, *expected))
			return false;
	return read_text(root, event, "id", text, sizeof(text)) &&
	       sscanf(text, "%" SCNu16, id) == 1;
}

static bool find_tracepoints(struct rings *rings)
{
	static const char *const fault[] = { " address;\toffset:8;\tsize:8;",
					     " error_code;\toffset:24;\tsize:8;", NULL };
	static const char *const call[] = { " id;\toffset:8;\tsize:8;", NULL };
	static const char *const result[] = { " ret;\toffset:16;\tsize:8;", NULL };
	int root = open_tracefs();
	bool found;

	if (root < 0)
		return false;
	found = find_tracepoint(root, "exceptions/page_fault_user", fault, &rings->fault_user) &&
		find_tracepoint(root, "exceptions/page_fault_kernel", fault,
				&rings->fault_kernel) &&
		find_tracepoint(root, "raw_syscalls/sys_enter", call, &rings->sys_enter) &&
		find_tracepoint(root, "raw_syscalls/sys_exit", result, &rings->sys_exit);
	close(root);
	return found;
}

static void make_filter(struct rings *rings, const int *calls, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += (size_t)snprintf(rings->filter + n, sizeof(rings->filter) - n, "%sid == %d",
				      i ? " || " : "", calls[i]);
}

static int open_event(struct perf_event_attr *attr, const struct rings *rings, pid_t pid, int cpu)
{
	attr->size = sizeof(*attr);
	attr->sample_type |= PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU;
	attr->inherit = 1;
	attr->disabled = 1;
	attr->enable_on_exec = 1;
	attr->exclude_kernel = rings->user_only;
	attr->exclude_hv = rings->user_only;
	attr->use_clockid = 1;
	attr->clockid = CLOCK_MONOTONIC;
	return (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Add an event to a ring. */
static bool add_event(struct rings *rings, struct ring *ring, struct perf_event_attr *attr,
		      pid_t pid, int cpu)
{
	int fd = open_event(attr, rings, pid, cpu);

	if (fd < 0)
		return false;
	ring->events[ring->count++] = fd;
	return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring->fd) == 0;
}

static bool add_tracepoint(struct rings *rings, struct ring *ring, uint16_t id, bool filtered,
			   pid_t pid, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.config = id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW,
	};

	return add_event(rings, ring, &attr, pid, cpu) &&
	       (!filtered || ioctl(ring->events[ring->count - 1], PERF_EVENT_IOC_SET_FILTER,
				   rings->filter) == 0);
}

static bool add_software(struct rings *rings, struct ring *ring, pid_t pid, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_ADDR,
	};

	return add_event(rings, ring, &attr, pid, cpu);
}

static bool map_ring(const struct rings *rings, struct ring *ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, page + rings->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			    0);

	if (memory == MAP_FAILED)
		return false;
	ring->page = memory;
	ring->data = (unsigned char *)memory + page;
	return true;
}

static bool open_ring(struct rings *rings, struct ring *ring, pid_t pid, int cpu)
{
	struct perf_event_attr dummy = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.task = 1,
		.comm = 1,
		.comm_exec = 1,
		.sample_id_all = 1,
		.watermark = 1,
		.wakeup_watermark = RING_MIN / 2,
	};

	ring->fd = open_event(&dummy, rings, pid, cpu);
	if (ring->fd < 0 || !map_ring(rings, ring))
		return false;
	if (!rings->tracepoints)
		return add_software(rings, ring, pid, cpu);
	return add_tracepoint(rings, ring, rings->fault_user, false, pid, cpu) &&
	       add_tracepoint(rings, ring, rings->fault_kernel, false, pid, cpu) &&
	       add_tracepoint(rings, ring, rings->sys_enter, true, pid, cpu) &&
	       add_tracepoint(rings, ring, rings->sys_exit, true, pid, cpu);
}

static void close_all(struct rings *rings)
{
	for (unsigned i = 0; i < rings->count; i++) {
		struct ring *ring = &rings->all[i];

		for (unsigned e = 0; e < ring->count; e++)
			close(ring->events[e]);
		if (ring->page)
			munmap(ring->page,
			       (size_t)(ring->data - (unsigned char *)ring->page) + rings->size);
		if (ring->fd >= 0)
			close(ring->fd);
		*ring = (struct ring){ .fd = -1 };
	}
	rings->count = 0;
}

/* Open a ring on every CPU that is there. => false with errno; then none is open */
static bool open_rings_of_size(struct rings *rings, pid_t pid)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int error;

	for (int cpu = 0; cpu < cpus; cpu++) {
		struct ring *ring = &rings->all[rings->count++];

		if (open_ring(rings, ring, pid, cpu))
			continue;
		if (errno == ENODEV && ring->fd < 0) { /* this CPU is off line */
			rings->count--;
			continue;
		}
		error = errno;
		close_all(rings);
		errno = error;
		return false;
	}
	return rings->count > 0;
}

/* The rings are locked memory, and that may be short: then smaller ones must do. */
static bool open_rings(struct rings *rings, pid_t pid)
{
	for (rings->size = RING_MAX; rings->size >= RING_MIN; rings->size /= 2) {
		if (open_rings_of_size(rings, pid))
			return true;
		if (errno != EPERM && errno != ENOMEM)
			return false;
	}
	return false;
}

/* Open the best that the kernel allows. */
static bool open_best(struct rings *rings, pid_t pid)
{
	rings->tracepoints = find_tracepoints(rings);
	rings->source = "page faults: tracepoints, with error codes";
	if (rings->tracepoints && open_rings(rings, pid))
		return true;
	rings->tracepoints = false;
	rings->source = "page faults: software event, error codes unknown";
	if (open_rings(rings, pid))
		return true;
	rings->user_only = true;
	rings->source = "page faults: software event, error codes unknown, none from kernel mode";
	return open_rings(rings, pid);
}

bool rings_open(struct rings *rings, pid_t pid, const int *calls, size_t count)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	*rings = (struct rings){ 0 };
	if (cpus > 0)
		rings->all = calloc((size_t)cpus, sizeof(*rings->all));
	if (!rings->all)
		return false;
	for (long i = 0; i < cpus; i++)
		rings->all[i].fd = -1;
	make_filter(rings, calls, count);
	return open_best(rings, pid);
}

void rings_close(struct rings *rings)
{
	close_all(rings);
	free(rings->all);
	rings->all = NULL;
}
