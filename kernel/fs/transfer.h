/* SPDX-License-Identifier: MIT */
/* A program's buffers, and bytes between them and a file: see rw.c. */
#ifndef KERNEL_TRANSFER_H
#define KERNEL_TRANSFER_H

#include "fs/fs.h"

#define CHUNK 65536ull		    /* bytes that are under way at a time */
#define TRANSFER_MOST 0x7ffff000ull /* bytes a call, as in Linux */
#define VECTOR_MOST 1024

struct user_range {
	uint64_t address, size; /* struct iovec */
};

struct cursor {
	struct user_range one, *vector; /* heap, or `one` */
	unsigned count, index;
	uint64_t left; /* bytes */
};

/* The vector at `address`. 0, and cursor_end is owed; EINVAL, EFAULT, ENOMEM. */
int cursor_begin(struct cursor *cursor, uint64_t address, uint64_t count);
void cursor_one(struct cursor *cursor, uint64_t address, uint64_t size);
void cursor_end(struct cursor *cursor);

/*
 * Between two chunks of a call that may be long: other tasks have their turn. False: the process
 * ends, and nobody asks for the rest.
 */
bool transfer_goes_on(void);
/* Bytes done, or an error; *position moves on. => who else may move it is kept away by the caller
 */
int64_t transfer_read(struct file *file, struct cursor *cursor, uint64_t *position);
int64_t transfer_write(struct file *file, struct cursor *cursor, uint64_t *position);

#endif
