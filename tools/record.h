/* SPDX-License-Identifier: MIT */
/*
 * `quire record`: what its parts share.
 *
 *   record.c           the command: options, starting the program, exit status
 *   record_filter.c    the calls that stop a program
 *   record_calls.c     the tracer: ptrace stops -> log (calls, layouts, lives of tasks)
 *   record_describe.c  what the tracer asks about a stopped thread
 *   record_rings.c     the kernel's events, opened
 *   record_faults.c    and read: rings -> faults, and marks (exact times of what the tracer saw)
 *   record_merge.c     log + marks + faults -> file
 *
 * Both sides read CLOCK_MONOTONIC. The tracer sees a call from outside: it stamps the entry before
 * it lets the thread go on and the return after the thread has stopped, so its interval encloses
 * the call. Where the kernel's own marks of entry and return lie inside, they replace the stamps.
 */
#ifndef QUIRE_TOOLS_RECORD_H
#define QUIRE_TOOLS_RECORD_H

#include "trace_file.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	RECORD_CPU_UNKNOWN = UINT16_MAX,
	RECORD_OP_NONE = TRACE_OP_COUNT, /* an event that was taken back */
};

/* For a call, trace_event.known says that the tracer saw its return. */

struct fault {
	uint64_t time;
	uint64_t address;
	int32_t pid;
	int32_t tid;
	uint32_t error;
	uint16_t cpu;
	bool kernel;
	bool known; /* the error code */
};

enum mark_kind { MARK_ENTER, MARK_LEAVE, MARK_FORK, MARK_EXEC, MARK_EXIT };

struct mark {
	uint64_t time;
	union {
		struct { /* FORK */
			int32_t parent;
			int32_t parent_pid;
		};
		int64_t result; /* LEAVE */
	};
	int32_t tid; /* FORK: the child */
	uint16_t cpu;
	uint8_t kind; /* enum mark_kind */
	bool told;    /* FORK: the tracer saw it too */
};

/* Calls that change the address space and have no op in the format: counted by name. */
struct unrecorded {
	const char *name;
	uint64_t count;
};

struct recording {
	/* written by the tracer; names belong to the recording */
	struct trace_event *log;
	size_t log_count;
	size_t log_size;
	struct unrecorded *unrecorded; /* ends with a NULL name */

	/* written by the reader of the rings, until faults_stop() */
	struct fault *faults;
	size_t fault_count;
	size_t fault_size;
	struct mark *marks;
	size_t mark_count;
	size_t mark_size;
	uint64_t lost;
	const char *fault_source; /* what the faults come from, for people */
	bool has_calls;		  /* there are marks of the entry and return of each call */

	bool log_failed; /* no memory: what is recorded isn't all */
	bool faults_failed;
};

/* Make room for one more element. => the array, or NULL with *failed set */
void *record_grow(void *array, size_t count, size_t *size, size_t element, bool *failed);

/* CLOCK_MONOTONIC, in ns */
uint64_t record_now(void);

/* Start recording the faults of a process and its offspring, from its next execve on.
 * => false: message says why */
struct faults;
struct faults *faults_start(struct recording *recording, pid_t pid, const int *calls,
			    size_t call_count, char *message, size_t size);
void faults_stop(struct faults *faults); /* all that was recorded is in the recording */

/* The system calls of the log, for the filter and the marks. */
extern const int record_calls[];
extern const size_t record_call_count;

/* Have the kernel stop this process for its tracer, at those calls, at those that may give a file
 * another size, and at those that can't be recorded. => false with errno */
bool calls_filter(void);
/* Whether it is a call that may give the file of its first argument another size. */
bool calls_resize(int nr);
/* Calls that can't be recorded are counted here. */
extern struct unrecorded calls_unrecorded[];
void calls_count(int nr);

/*
 * Trace a process that was seized with calls_options, and its offspring, until the last has ended.
 * => the wait status of pid
 */
extern const int calls_options;
int calls_trace(struct recording *recording, pid_t pid);

/* Add an event to the log, which takes over its name. */
void record_event(struct recording *recording, const struct trace_event *event);

/*
 * What can be told of a thread that is stopped. Names are malloc'd, and NULL if there is no memory.
 */
int32_t process_of(int32_t tid);
char *program_of(int32_t tid);
uint64_t clone_flags(int32_t tid); /* of the clone that it is stopped in */

/* Which op a call is, with its arguments. => false: not one of the log's */
bool describe_call(int nr, const uint64_t *args, struct trace_event *event);

/* What is behind a descriptor of the event's thread. => event->name stays NULL if nothing is */
void describe_file(int fd, struct trace_event *event);

/* Log an event like this one for each mapping of its thread's address space. */
void record_layout(struct recording *recording, const struct trace_event *like);

/* Join and write all. => false with error */
bool record_merge(struct recording *recording, struct trace_writer *writer, const char *program,
		  struct trace_error *error);
void record_free(struct recording *recording);

#endif
