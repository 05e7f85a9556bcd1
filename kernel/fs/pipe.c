/* SPDX-License-Identifier: MIT */
/* The ring of a pipe. Fifos and pipe(2) are in fifo.c, pairs of sockets in socket.c. */
#include "fs/pipe.h"

#include "lib/string.h"
#include "memory/heap.h"
#include "task/task.h"

int pipe_init(struct pipe *pipe, struct wait_queue *queue)
{
	*pipe = (struct pipe){ .room = PIPE_SIZE, .queue = queue };
	pipe->ring = heap_alloc(PIPE_SIZE);
	return pipe->ring ? 0 : -ENOMEM;
}

void pipe_exit(struct pipe *pipe)
{
	heap_free(pipe->ring);
}

void pipe_open_ends(struct pipe *pipe, int readers, int writers)
{
	lock_take(&pipe->lock);
	pipe->readers += (unsigned)readers;
	pipe->writers += (unsigned)writers;
	pipe->reads += readers > 0;
	pipe->writes += writers > 0;
	if (!pipe->readers && !pipe->writers)
		pipe->count = 0; /* a fifo keeps nothing that nobody has open */
	lock_drop(&pipe->lock);
	wait_wake(pipe->queue);
}

void pipe_close(struct pipe *pipe)
{
	lock_take(&pipe->lock);
	pipe->readers = pipe->writers = 0;
	lock_drop(&pipe->lock);
	wait_wake(pipe->queue);
}

static void ring_out(struct pipe *pipe, char *to, uint32_t size)
{
	uint32_t first = MIN(size, pipe->room - pipe->head);

	memcpy(to, pipe->ring + pipe->head, first);
	memcpy(to + first, pipe->ring, size - first);
	pipe->head = (pipe->head + size) % pipe->room;
	pipe->count -= size;
}

static void ring_in(struct pipe *pipe, const char *from, uint32_t size)
{
	uint32_t tail = (pipe->head + pipe->count) % pipe->room;
	uint32_t first = MIN(size, pipe->room - tail);

	memcpy(pipe->ring + tail, from, first);
	memcpy(pipe->ring, from + first, size - first);
	pipe->count += size;
}

int64_t pipe_resize(struct pipe *pipe, uint32_t size)
{
	uint32_t room = PIPE_ATOMIC, count;
	char *ring, *old;

	while (room < size)
		room *= 2;
	ring = old = heap_alloc(room);
	if (!ring)
		return -ENOMEM;
	lock_take(&pipe->lock);
	count = pipe->count;
	if (count <= room) {
		ring_out(pipe, ring, count);
		old = pipe->ring;
		pipe->ring = ring;
		pipe->room = room;
		pipe->head = 0;
		pipe->count = count;
	}
	lock_drop(&pipe->lock);
	heap_free(old);
	wait_wake(pipe->queue);
	return count <= room ? (int64_t)room : -EBUSY;
}

static bool can_read(struct pipe *pipe)
{
	bool can;

	lock_take(&pipe->lock);
	can = pipe->count || !pipe->writers;
	lock_drop(&pipe->lock);
	return can;
}

static bool can_write(struct pipe *pipe, uint32_t size)
{
	bool can;

	lock_take(&pipe->lock);
	can = pipe->room - pipe->count >= size || !pipe->readers;
	lock_drop(&pipe->lock);
	return can;
}

int64_t pipe_read(struct pipe *pipe, void *buffer, size_t size, bool wait)
{
	while (size) {
		uint32_t part;
		bool ended;

		lock_take(&pipe->lock);
		part = (uint32_t)MIN(size, pipe->count);
		ended = !pipe->writers;
		ring_out(pipe, buffer, part);
		lock_drop(&pipe->lock);
		if (part) {
			wait_wake(pipe->queue);
			return part;
		}
		if (ended)
			return 0;
		if (!wait)
			return -EAGAIN;
		if (wait_until(pipe->queue, SLEEP_INTERRUPTIBLY, NEVER, can_read(pipe)))
			return -ERESTART;
	}
	return 0;
}

int64_t pipe_write(struct pipe *pipe, const void *buffer, size_t size, bool wait)
{
	uint32_t least = size <= PIPE_ATOMIC ? (uint32_t)size : 1;
	size_t done = 0;

	while (done < size) {
		uint32_t part = 0;
		bool broken;

		lock_take(&pipe->lock);
		broken = !pipe->readers;
		if (!broken && pipe->room - pipe->count >= least)
			part = (uint32_t)MIN(size - done, pipe->room - pipe->count);
		ring_in(pipe, (const char *)buffer + done, part);
		lock_drop(&pipe->lock);
		done += part;
		if (part)
			wait_wake(pipe->queue);
		else if (broken)
			return done ? (int64_t)done : -EPIPE;
		else if (!wait)
			return done ? (int64_t)done : -EAGAIN;
		else if (wait_until(pipe->queue, SLEEP_INTERRUPTIBLY, NEVER,
				    can_write(pipe, least)))
			return done ? (int64_t)done : -ERESTART;
	}
	return (int64_t)done;
}

unsigned pipe_poll_read(struct pipe *pipe)
{
	unsigned events;

	lock_take(&pipe->lock);
	events = pipe->count ? POLLIN_NORMAL : 0;
	if (!pipe->writers && pipe->writes)
		events |= POLLHUP;
	lock_drop(&pipe->lock);
	return events;
}

unsigned pipe_poll_write(struct pipe *pipe)
{
	unsigned events;

	lock_take(&pipe->lock);
	events = pipe->room - pipe->count >= PIPE_ATOMIC ? POLLOUT_NORMAL : 0;
	if (!pipe->readers)
		events |= POLLERR;
	lock_drop(&pipe->lock);
	return events;
}

int64_t pipe_broken(int64_t result)
{
	struct signal_info info = { .signo = SIGPIPE, .code = SI_USER };

	if (result == -EPIPE)
		(void)signal_send_task(current_task(), &info);
	return result;
}
