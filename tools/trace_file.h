/* SPDX-License-Identifier: MIT */
/*
 * Trace files: the memory life of a program, one event a line, gzip or plain text, sorted by time.
 * docs/trace-format.md defines versions 1 and 2; the reader accepts both, the writer writes 2.
 *
 * The reader trusts nothing. Whatever the file holds, it ends in an event, in the end of the file,
 * or in one message that names the line and its byte; memory stays within struct trace_limits.
 */
#ifndef QUIRE_TOOLS_TRACE_FILE_H
#define QUIRE_TOOLS_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_op {
	TRACE_FAULT,	    /* F: address, error; `known` where the error code is */
	TRACE_KERNEL_FAULT, /* K: the same, from kernel mode on a user address */
	TRACE_MMAP,	    /* M: duration, address, length, prot, flags, fd, offset, result */
	TRACE_MUNMAP,	    /* U: duration, address, length, result */
	TRACE_MPROTECT,	    /* P: duration, address, length, prot, result */
	TRACE_MADVISE,	    /* A: duration, address, length, flags (the advice), result */
	TRACE_BRK,	    /* B: duration, address, result */
	TRACE_MREMAP,  /* R: duration, address, length, new_length, flags, new_address, result */
	TRACE_MLOCK,   /* L: duration, address, length, flags, result */
	TRACE_MUNLOCK, /* l: duration, address, length, result */
	TRACE_MSYNC,   /* S: duration, address, length, flags, result */
	TRACE_CLONE,   /* C: child; flags where `known` (version 2): CLONE_VM and its like */
	TRACE_EXEC,    /* E: name */
	TRACE_EXIT,    /* X */
	TRACE_LAYOUT,  /* V: address, length, prot, flags (MAP_SHARED, MAP_PRIVATE), offset, inode,
			  name */
	TRACE_FILE,    /* O: fd, device, inode, length, name */
	TRACE_FINAL,   /* Z: as V */
	TRACE_OP_COUNT
};

/* Values of prot and flags are Linux's on x86-64, whatever this host calls them. */
enum {
	TRACE_PROT_READ = 1,
	TRACE_PROT_WRITE = 2,
	TRACE_PROT_EXEC = 4,
	TRACE_MAP_SHARED = 1,
	TRACE_MAP_PRIVATE = 2,
	TRACE_CLONE_VM = 0x100,
	TRACE_CLONE_VFORK = 0x4000,
	TRACE_CLONE_THREAD = 0x10000,
};

enum {
	TRACE_TID_MAX = 1 << 22, /* Linux's own bound: every pid and tid is below it */
	TRACE_LINE_MAX = 20480,	 /* bytes of a line, newline included */
	TRACE_NAME_MAX = 16384,	 /* bytes of a name, as escaped */
};

struct trace_event {
	uint64_t time;	   /* ns from the start of the recording; never falls from line to line */
	uint64_t duration; /* ns, waiting included */
	uint64_t address;
	uint64_t length;
	union {
		uint64_t new_length;
		uint64_t inode;
	};
	union {
		uint64_t new_address;
		uint64_t device;
	};
	uint64_t offset;
	uint64_t prot;
	uint64_t flags;
	int64_t result;	  /* negative: -errno */
	const char *name; /* "" where an op has a name and this line has none; NULL for other ops */
	uint32_t line;	  /* in the file, from 1 */
	int32_t pid;
	int32_t tid;
	union {
		int32_t child;
		int32_t fd;
		uint32_t error; /* x86: 1 protection, 2 write, 4 user, 10 instruction fetch */
	};
	uint16_t cpu;
	uint8_t op; /* enum trace_op */
	bool known; /* F, K: the error code is known. C: the flags are. */
};

struct trace_limits {
	uint64_t memory; /* bytes that trace_load() may hold; 0: 2 GiB */
	uint32_t tasks;	 /* different tids in a file; 0: 65,536 */
};

struct trace_error {
	char text[512]; /* one line without its newline: "FILE: line N, byte B: what" */
};

struct trace_reader;

/*
 * Open a file and read its first line. limits may be NULL.
 * => NULL: error says why
 * => trace_open_fd() owns fd from the call on, and closes it even when it fails; name is for
 * messages
 */
struct trace_reader *trace_open(const char *path, const struct trace_limits *limits,
				struct trace_error *error);
struct trace_reader *trace_open_fd(int fd, const char *name, const struct trace_limits *limits,
				   struct trace_error *error);
void trace_close(struct trace_reader *reader);
unsigned trace_version(const struct trace_reader *reader);

/*
 * The next event. 1: there is one; 0: the file ended well; -1: error says what is wrong, and the
 * reader is good for nothing but trace_close().
 * => event->name belongs to the reader and lasts until its next call
 */
int trace_next(struct trace_reader *reader, struct trace_event *event, struct trace_error *error);

/* A whole file in memory. */
struct trace {
	unsigned version;
	uint32_t tasks; /* different tids seen, children of C lines included */
	size_t count;
	struct trace_event *events; /* in the order of the file; names belong to the trace */
	struct trace_text *names;
};

/* => NULL: error says why */
struct trace *trace_load(const char *path, const struct trace_limits *limits,
			 struct trace_error *error);
void trace_free(struct trace *trace); /* NULL is allowed */

/* The letter of an op in the file, and its plain name ("mmap", "fault"). */
char trace_letter(enum trace_op op);
const char *trace_op_name(enum trace_op op);

/* Write one event as a line with its newline. => the length, or 0 if it doesn't fit into size */
size_t trace_format(const struct trace_event *event, char *line, size_t size);

/*
 * The writer. A regular file appears under its name only when it is complete: until
 * trace_commit() it is a temporary file beside it, which trace_abort() removes.
 * Events must come sorted by time.
 * => false or NULL: error says why (no space, no permission); then call trace_abort()
 */
struct trace_writer;

struct trace_writer *trace_create(const char *path, struct trace_error *error);
bool trace_begin(struct trace_writer *writer, const char *program, struct trace_error *error);
bool trace_write(struct trace_writer *writer, const struct trace_event *event,
		 struct trace_error *error);
bool trace_comment(struct trace_writer *writer, const char *text, struct trace_error *error);
bool trace_commit(struct trace_writer *writer, struct trace_error *error); /* frees it if it
									      succeeds */
void trace_abort(struct trace_writer *writer); /* frees it; NULL is allowed */

#endif
