/* SPDX-License-Identifier: MIT */
/* A pipe: bytes in a ring, with ends that are counted. */
#ifndef KERNEL_PIPE_H
#define KERNEL_PIPE_H

#include "fs/fs.h"

#define PIPE_SIZE 65536u
#define PIPE_ATOMIC 4096u /* PIPE_BUF: so much is written in one piece */

struct pipe {
	struct lock lock;	    /* plain: all but `queue` */
	char *ring;		    /* heap */
	uint32_t room, head, count; /* bytes */
	unsigned readers, writers;  /* ends that are open */
	unsigned reads, writes;	    /* opens so far of each kind */
	struct wait_queue *queue;   /* whatever changes */
};

/* No ends yet. 0, or -ENOMEM. */
int pipe_init(struct pipe *pipe, struct wait_queue *queue);
void pipe_exit(struct pipe *pipe);
/* One end more (by = 1), or less (-1). */
void pipe_open_ends(struct pipe *pipe, int readers, int writers);

/* Both ends of it are closed; what is in it can still be read. */
void pipe_close(struct pipe *pipe);
/* Another size, at least so much, a power of two: it, or -EBUSY (too much is in it), -ENOMEM. */
int64_t pipe_resize(struct pipe *pipe, uint32_t size);

/* As read(2) and write(2); -EPIPE without a signal. May sleep unless `wait` is false (-EAGAIN). */
int64_t pipe_read(struct pipe *pipe, void *buffer, size_t size, bool wait);
int64_t pipe_write(struct pipe *pipe, const void *buffer, size_t size, bool wait);
unsigned pipe_poll_read(struct pipe *pipe);
unsigned pipe_poll_write(struct pipe *pipe);
/* SIGPIPE for the current task; returns its argument. */
int64_t pipe_broken(int64_t result);

#endif
