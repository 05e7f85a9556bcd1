/* SPDX-License-Identifier: MIT */
/*
 * Page faults and marks, taken from the kernel's rings by a thread of its own. An error code that
 * the kernel didn't tell stays marked unknown rather than guessed. What the kernel couldn't put
 * into a ring it counts, and that count is part of the recording.
 */
#define _GNU_SOURCE
#include "record.h"
#include "record_rings.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECORD_SIZE_MAX = 1 << 16,
	POLL_MS = 50,
};

struct faults {
	struct recording *recording;
	struct rings rings;
	pthread_t reader;
	atomic_bool stop;
	_Alignas(8) unsigned char record[RECORD_SIZE_MAX]; /* the one at hand, in one piece */
};

/* What perf puts after the header; the sample types below choose exactly these. */
struct sample_of_tracepoint {
	uint32_t pid, tid;
	uint64_t time;
	uint32_t cpu, reserved;
	uint32_t raw_size;
	unsigned char raw[];
};

struct sample_of_software {
	uint32_t pid, tid;
	uint64_t time;
	uint64_t address;
	uint32_t cpu, reserved;
};

struct task_record { /* FORK and EXIT */
	uint32_t pid, ppid, tid, ptid;
	uint64_t time;
};

struct trailer { /* of COMM and its like */
	uint32_t pid, tid;
	uint64_t time;
	uint32_t cpu, reserved;
};

void *record_grow(void *array, size_t count, size_t *size, size_t element, bool *failed)
{
	size_t grown = *size ? *size * 2 : 4096;
	void *bigger;

	if (count < *size)
		return array;
	bigger = realloc(array, grown * element);
	if (bigger)
		*size = grown;
	else
		*failed = true;
	return bigger;
}

static void keep_fault(struct recording *recording, const struct fault *fault)
{
	struct fault *faults = record_grow(recording->faults, recording->fault_count,
					   &recording->fault_size, sizeof(*faults),
					   &recording->faults_failed);

	if (!faults)
		return;
	recording->faults = faults;
	faults[recording->fault_count++] = *fault;
}

static void keep_mark(struct recording *recording, const struct mark *mark)
{
	struct mark *marks = record_grow(recording->marks, recording->mark_count,
					 &recording->mark_size, sizeof(*marks),
					 &recording->faults_failed);

	if (!marks)
		return;
	recording->marks = marks;
	marks[recording->mark_count++] = *mark;
}

static struct mark mark_of(enum mark_kind kind, uint32_t tid, uint64_t time, uint32_t cpu)
{
	return (struct mark){
		.time = time,
		.tid = (int32_t)tid,
		.cpu = (uint16_t)cpu,
		.kind = (uint8_t)kind,
	};
}

static void tracepoint_sample(struct faults *faults, const struct sample_of_tracepoint *sample)
{
	uint64_t words[4] = { 0 }; /* of the raw data: the type is in the first, then the fields */
	struct fault fault = {
		.time = sample->time,
		.pid = (int32_t)sample->pid,
		.tid = (int32_t)sample->tid,
		.cpu = (uint16_t)sample->cpu,
		.known = true,
	};
	struct mark mark;
	uint16_t type;

	memcpy(words, sample->raw,
	       sample->raw_size < sizeof(words) ? sample->raw_size : sizeof(words));
	type = (uint16_t)words[0];
	if (type == faults->rings.sys_enter || type == faults->rings.sys_exit) {
		mark = mark_of(type == faults->rings.sys_enter ? MARK_ENTER : MARK_LEAVE,
			       sample->tid, sample->time, sample->cpu);
		mark.result = (int64_t)words[2];
		keep_mark(faults->recording, &mark);
	} else {
		fault.kernel = type == faults->rings.fault_kernel;
		fault.address = words[1];
		fault.error = (uint32_t)words[3];
		if (!fault.kernel || fault.address <= INT64_MAX)
			keep_fault(faults->recording, &fault);
	}
}

static void software_sample(struct faults *faults, const struct sample_of_software *sample,
			    bool kernel)
{
	struct fault fault = {
		.time = sample->time,
		.address = sample->address,
		.pid = (int32_t)sample->pid,
		.tid = (int32_t)sample->tid,
		.cpu = (uint16_t)sample->cpu,
		.kernel = kernel,
	};

	if (!kernel || fault.address <= INT64_MAX)
		keep_fault(faults->recording, &fault);
}

static void take_record(struct faults *faults, const struct perf_event_header *header)
{
	struct recording *recording = faults->recording;
	const unsigned char *body = (const unsigned char *)(header + 1);
	const unsigned char *end = (const unsigned char *)header + header->size;
	struct task_record task;
	struct trailer trailer;
	struct mark mark;
	uint64_t lost;

	memcpy(&trailer, end - sizeof(trailer), sizeof(trailer));
	memcpy(&task, body, sizeof(task));
	switch (header->type) {
	case PERF_RECORD_SAMPLE:
		if (faults->rings.tracepoints)
			tracepoint_sample(faults, (const void *)body);
		else
			software_sample(faults, (const void *)body,
					(header->misc & PERF_RECORD_MISC_CPUMODE_MASK) ==
						PERF_RECORD_MISC_KERNEL);
		break;
	case PERF_RECORD_FORK:
		mark = mark_of(MARK_FORK, task.tid, task.time, trailer.cpu);
		mark.parent = (int32_t)task.ptid;
		mark.parent_pid = (int32_t)task.ppid;
		keep_mark(recording, &mark);
		break;
	case PERF_RECORD_EXIT:
		mark = mark_of(MARK_EXIT, task.tid, task.time, trailer.cpu);
		keep_mark(recording, &mark);
		break;
	case PERF_RECORD_COMM:
		mark = mark_of(MARK_EXEC, trailer.tid, trailer.time, trailer.cpu);
		if (header->misc & PERF_RECORD_MISC_COMM_EXEC)
			keep_mark(recording, &mark);
		break;
	case PERF_RECORD_LOST:
		memcpy(&lost, body + sizeof(uint64_t), sizeof(lost));
		recording->lost += lost;
		break;
	default:
		break;
	}
}

/* Take all that is in a ring. A record may wrap around its end, hence the copy. */
static void drain(struct faults *faults, struct ring *ring)
{
	size_t mask = faults->rings.size - 1;
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->page->data_tail;
	struct perf_event_header header;

	while (tail < head) {
		size_t at = tail & mask, first;

		memcpy(&header, ring->data + at, sizeof(header)); /* 8-aligned: never wraps */
		first = faults->rings.size - at;
		if (first > header.size)
			first = header.size;
		memcpy(faults->record, ring->data + at, first);
		memcpy(faults->record + first, ring->data, header.size - first);
		take_record(faults, (const void *)faults->record);
		tail += header.size;
	}
	__atomic_store_n(&ring->page->data_tail, tail, __ATOMIC_RELEASE);
}

static void *read_rings(void *argument)
{
	struct faults *faults = argument;
	struct pollfd *fds = calloc(faults->rings.count, sizeof(*fds));
	bool last = false;

	for (unsigned i = 0; fds && i < faults->rings.count; i++)
		fds[i] = (struct pollfd){ .fd = faults->rings.all[i].fd, .events = POLLIN };
	while (!last) {
		last = atomic_load(&faults->stop);
		for (unsigned i = 0; i < faults->rings.count; i++)
			drain(faults, &faults->rings.all[i]);
		if (!last)
			poll(fds, fds ? faults->rings.count : 0, POLL_MS);
	}
	free(fds);
	return NULL;
}

static bool start_reader(struct faults *faults)
{
	sigset_t all, before;
	bool started;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(&faults->reader, NULL, read_rings, faults) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

struct faults *faults_start(struct recording *recording, pid_t pid, const int *calls,
			    size_t call_count, char *message, size_t size)
{
	struct faults *faults = calloc(1, sizeof(*faults));

	if (!faults) {
		snprintf(message, size, "out of memory");
		return NULL;
	}
	faults->recording = recording;
	if (rings_open(&faults->rings, pid, calls, call_count) && start_reader(faults)) {
		recording->fault_source = faults->rings.source;
		recording->has_calls = faults->rings.tracepoints;
		return faults;
	}
	snprintf(message, size,
		 "perf_event_open: %s (root may, others where "
		 "/proc/sys/kernel/perf_event_paranoid is at most 2)",
		 strerror(errno));
	rings_close(&faults->rings);
	free(faults);
	return NULL;
}

void faults_stop(struct faults *faults)
{
	atomic_store(&faults->stop, true);
	pthread_join(faults->reader, NULL);
	rings_close(&faults->rings);
	free(faults);
}
