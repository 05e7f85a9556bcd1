/* SPDX-License-Identifier: MIT */
/*
 * From a recording to a file: the log gets the kernel's exact times where there are any, is sorted,
 * and is merged with the faults. Time 0 is the first execve; what is older belongs to the recorder.
 */
#include "record.h"
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int by_kind_task_time(const void *left, const void *right)
{
	const struct mark *a = left, *b = right;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->tid != b->tid)
		return a->tid < b->tid ? -1 : 1;
	return compare(a->time, b->time);
}

static int by_time(const void *left, const void *right)
{
	const struct fault *a = left, *b = right;

	return compare(a->time, b->time);
}

/* The log's order decides among equal times; `line` holds it. */
static int by_time_and_line(const void *left, const void *right)
{
	const struct trace_event *a = left, *b = right;

	return a->time != b->time ? compare(a->time, b->time) : compare(a->line, b->line);
}

/* The first mark of this kind and task at or after a time; NULL if there is none. */
static struct mark *mark_from(const struct recording *recording, enum mark_kind kind, int32_t tid,
			      uint64_t time)
{
	const struct mark key = { .kind = (uint8_t)kind, .tid = tid, .time = time };
	size_t low = 0, high = recording->mark_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_kind_task_time(&recording->marks[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == recording->mark_count || recording->marks[low].kind != kind ||
	    recording->marks[low].tid != tid)
		return NULL;
	return &recording->marks[low];
}

/* The last mark of this kind and task at or before a time; NULL if there is none. */
static struct mark *mark_until(const struct recording *recording, enum mark_kind kind, int32_t tid,
			       uint64_t time)
{
	struct mark *found = NULL;
	const struct mark *end = recording->marks + recording->mark_count;

	for (struct mark *m = mark_from(recording, kind, tid, 0);
	     m && m < end && m->kind == kind && m->tid == tid && m->time <= time; m++)
		found = m;
	return found;
}

/*
 * Nobody knows whether a call of this process took effect, because its thread was killed: so its
 * last layout can't be compared with anything.
 */
static void take_back_final(struct recording *recording, int32_t pid)
{
	for (size_t i = 0; i < recording->log_count; i++)
		if (recording->log[i].op == TRACE_FINAL && recording->log[i].pid == pid)
			recording->log[i].op = RECORD_OP_NONE;
}

static void refine_call(struct recording *recording, struct trace_event *event)
{
	uint64_t end = event->time + event->duration;
	const struct mark *enter = mark_from(recording, MARK_ENTER, event->tid, event->time);
	const struct mark *leave = NULL;

	if (enter && enter->time <= end)
		leave = mark_from(recording, MARK_LEAVE, event->tid, enter->time);
	if (leave && leave->time <= end) {
		event->time = enter->time;
		event->duration = leave->time - enter->time;
		event->cpu = enter->cpu;
		event->result = leave->result;
	} else if (!event->known) {
		event->op = RECORD_OP_NONE;
		if (!recording->has_calls || recording->lost)
			take_back_final(recording, event->pid);
	}
	event->known = false;
}

static void refine_to(struct trace_event *event, struct mark *mark)
{
	if (!mark)
		return;
	event->time = mark->time;
	event->cpu = mark->cpu;
	mark->told = true;
}

/* A parent that is killed in the midst of a clone can't tell its tracer, but the kernel told us. */
static void add_forks(struct recording *recording)
{
	for (size_t i = 0; i < recording->mark_count; i++) {
		const struct mark *mark = &recording->marks[i];
		const struct trace_event event = {
			.op = TRACE_CLONE,
			.time = mark->time,
			.pid = mark->parent_pid,
			.tid = mark->parent,
			.cpu = mark->cpu,
			.child = mark->tid,
			.line = (uint32_t)recording->log_count,
		};

		if (mark->kind == MARK_FORK && !mark->told)
			record_event(recording, &event);
	}
}

/*
 * Give every event of the log its exact time: to a layout that of its execve, to a file that of the
 * mmap or the layout's line after it.
 */
static void refine(struct recording *recording)
{
	struct trace_event *log = recording->log;
	const struct trace_event *next = NULL; /* the event after this one */
	const struct trace_event *exec = NULL; /* the last one before this */

	for (size_t i = 0; i < recording->log_count; i++) {
		log[i].line = (uint32_t)i;
		if (log[i].op == TRACE_EXEC)
			refine_to(&log[i],
				  mark_until(recording, MARK_EXEC, log[i].tid, log[i].time));
		else if (log[i].op == TRACE_CLONE)
			refine_to(&log[i],
				  mark_until(recording, MARK_FORK, log[i].child, log[i].time));
		else if (log[i].op == TRACE_EXIT && !log[i].flags)
			refine_to(&log[i],
				  mark_from(recording, MARK_EXIT, log[i].tid, log[i].time));
		else if (log[i].op >= TRACE_MMAP && log[i].op <= TRACE_MSYNC)
			refine_call(recording, &log[i]);
		else if (log[i].op == TRACE_LAYOUT)
			log[i].time = exec->time;
		if (log[i].op == TRACE_EXEC)
			exec = &log[i];
	}
	for (size_t i = recording->log_count; i-- > 0; next = &log[i]) {
		if (!next)
			continue;
		if (log[i].op == TRACE_FILE && log[i].known)
			continue;
		if (log[i].op == TRACE_FILE || (log[i].op == TRACE_EXIT && log[i].flags))
			log[i].time = next->time;
		if (log[i].op == TRACE_FILE && next->op == RECORD_OP_NONE)
			log[i].op = RECORD_OP_NONE;
	}
}

/* The CPU that a task was last seen on: what is told of events whose CPU nobody reported. */
static uint16_t last_cpu[TRACE_TID_MAX];

static void place(struct trace_event *event)
{
	if (event->cpu == RECORD_CPU_UNKNOWN)
		event->cpu = last_cpu[event->tid];
	else
		last_cpu[event->tid] = event->cpu;
}

static struct trace_event event_of_fault(const struct fault *fault)
{
	return (struct trace_event){
		.op = fault->kernel ? TRACE_KERNEL_FAULT : TRACE_FAULT,
		.time = fault->time,
		.pid = fault->pid,
		.tid = fault->tid,
		.cpu = fault->cpu,
		.address = fault->address,
		.error = fault->error,
		.known = fault->known,
	};
}

static bool is_task(int32_t tid)
{
	return tid > 0 && tid < TRACE_TID_MAX;
}

static bool write_head(const struct recording *recording, struct trace_writer *writer,
		       const char *program, struct trace_error *error)
{
	char text[256];
	struct utsname system;

	if (!trace_begin(writer, program, error))
		return false;
	uname(&system);
	snprintf(text, sizeof(text), "%s %s %s, %ld CPUs; %s", system.sysname, system.release,
		 system.machine, sysconf(_SC_NPROCESSORS_ONLN), recording->fault_source);
	if (!trace_comment(writer, text, error))
		return false;
	for (const struct unrecorded *call = recording->unrecorded; call && call->name; call++) {
		snprintf(text, sizeof(text), "not recorded: %s, %" PRIu64 " calls", call->name,
			 call->count);
		if (call->count && !trace_comment(writer, text, error))
			return false;
	}
	snprintf(text, sizeof(text), "lost: %" PRIu64 " records", recording->lost);
	return !recording->lost || trace_comment(writer, text, error);
}

bool record_merge(struct recording *recording, struct trace_writer *writer, const char *program,
		  struct trace_error *error)
{
	const struct trace_event *log;
	const struct fault *faults = recording->faults;
	uint64_t start = UINT64_MAX;
	size_t l = 0, f = 0;
	bool written = true;

	qsort(recording->marks, recording->mark_count, sizeof(struct mark), by_kind_task_time);
	qsort(recording->faults, recording->fault_count, sizeof(struct fault), by_time);
	refine(recording);
	add_forks(recording);
	qsort(recording->log, recording->log_count, sizeof(*log), by_time_and_line);
	log = recording->log;
	for (size_t i = 0; i < recording->log_count && start == UINT64_MAX; i++)
		if (log[i].op == TRACE_EXEC)
			start = log[i].time;

	if (!write_head(recording, writer, program, error))
		return false;
	progress_start("writing", recording->log_count + recording->fault_count);
	while (written && (l < recording->log_count || f < recording->fault_count)) {
		bool take_log = f == recording->fault_count ||
				(l < recording->log_count && log[l].time <= faults[f].time);
		struct trace_event event = take_log ? log[l++] : event_of_fault(&faults[f++]);

		if (event.op == RECORD_OP_NONE || event.time < start || !is_task(event.pid) ||
		    !is_task(event.tid))
			continue;
		event.time -= start;
		if (event.op == TRACE_EXIT)
			event.flags = 0;
		place(&event);
		written = trace_write(writer, &event, error);
		progress_update(l + f);
	}
	progress_end();
	return written;
}

void record_free(struct recording *recording)
{
	for (size_t i = 0; i < recording->log_count; i++)
		free((void *)(uintptr_t)recording->log[i].name);
	free(recording->log);
	free(recording->faults);
	free(recording->marks);
}
