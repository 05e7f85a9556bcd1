/* SPDX-License-Identifier: MIT */
/*
 * Fifos, and pipe(2), which is a fifo without a name: the pipe belongs to the inode and comes with
 * its first opening.
 */
#include "fs/pipe.h"
#include "fs/special.h"
#include "fs/tree.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"

#define FIONREAD 0x541bu
#define PIPE_SIZE_MOST (1u << 20)

struct fifo {
	struct pipe pipe;
	struct wait_queue queue;
};

static struct mutex making = MUTEX_INIT(making);

static struct pipe *pipe_of(struct file *file)
{
	return &((struct fifo *)file->inode->private_data)->pipe;
}

static void fifo_free(struct inode *inode)
{
	struct fifo *fifo = inode->private_data;

	pipe_exit(&fifo->pipe);
	heap_free(fifo);
}

static int fifo_make(struct inode *inode)
{
	struct fifo *fifo = heap_zero(sizeof(*fifo));

	if (!fifo || pipe_init(&fifo->pipe, &fifo->queue)) {
		heap_free(fifo);
		return -ENOMEM;
	}
	wait_queue_init(&fifo->queue);
	inode->private_data = fifo;
	inode->free = fifo_free;
	return 0;
}

/* As `opened` may have come and gone, openings are counted. */
static bool has_opened(struct pipe *pipe, const unsigned *opens, const unsigned *open_now,
		       unsigned seen)
{
	bool opened;

	lock_take(&pipe->lock);
	opened = *open_now || *opens != seen;
	lock_drop(&pipe->lock);
	return opened;
}

/* Waits for the other end, which was opened `seen` times before. => the file counts as open */
static int wait_for_peer(struct file *file, struct pipe *pipe, bool writes, unsigned seen)
{
	const unsigned *opens = writes ? &pipe->reads : &pipe->writes;
	const unsigned *now = writes ? &pipe->readers : &pipe->writers;

	if (has_opened(pipe, opens, now, seen))
		return 0;
	if (file->flags & O_NONBLOCK)
		return writes ? -ENXIO : 0;
	if (wait_until(pipe->queue, SLEEP_INTERRUPTIBLY, NEVER, has_opened(pipe, opens, now, seen)))
		return -ERESTART;
	return 0;
}

static int fifo_open(struct file *file)
{
	int reads = file_can_read(file), writes = file_can_write(file), error = 0;
	unsigned seen;

	mutex_take(&making);
	if (!file->inode->private_data)
		error = fifo_make(file->inode);
	mutex_drop(&making);
	if (error)
		return error;
	/* Before anybody sees this end: who sees it may come and go at once. */
	seen = writes ? pipe_of(file)->reads : pipe_of(file)->writes;
	pipe_open_ends(pipe_of(file), reads, writes);
	if (reads != writes)
		error = wait_for_peer(file, pipe_of(file), writes, seen);
	if (error)
		pipe_open_ends(pipe_of(file), -reads, -writes);
	return error;
}

static void fifo_release(struct file *file)
{
	pipe_open_ends(pipe_of(file), -(int)file_can_read(file), -(int)file_can_write(file));
}

static int64_t fifo_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	(void)position;
	return pipe_read(pipe_of(file), buffer, size, !(file->flags & O_NONBLOCK));
}

static int64_t fifo_write(struct file *file, const void *buffer, size_t size, uint64_t *position)
{
	(void)position;
	return pipe_broken(pipe_write(pipe_of(file), buffer, size, !(file->flags & O_NONBLOCK)));
}

static unsigned fifo_poll(struct file *file)
{
	unsigned events = 0;

	if (file_can_read(file))
		events |= pipe_poll_read(pipe_of(file));
	if (file_can_write(file))
		events |= pipe_poll_write(pipe_of(file));
	return events;
}

static struct wait_queue *fifo_queue(struct file *file)
{
	return pipe_of(file)->queue;
}

static int64_t fifo_ioctl(struct file *file, unsigned command, uint64_t argument)
{
	uint32_t count = pipe_of(file)->count;

	if (command != FIONREAD)
		return -ENOTTY;
	return user_write(argument, &count, sizeof(count));
}

const struct file_ops fifo_file_ops = {
	.open = fifo_open,
	.read = fifo_read,
	.write = fifo_write,
	.poll = fifo_poll,
	.queue = fifo_queue,
	.ioctl = fifo_ioctl,
	.release = fifo_release,
};

int64_t pipe_size(struct file *file)
{
	return file->ops == &fifo_file_ops ? (int64_t)pipe_of(file)->room : -EBADF;
}

int64_t pipe_set_size(struct file *file, uint64_t size)
{
	if (file->ops != &fifo_file_ops)
		return -EBADF;
	return size > PIPE_SIZE_MOST ? -EPERM : pipe_resize(pipe_of(file), (uint32_t)size);
}

static int create_ends(uint32_t flags, struct file **ends)
{
	struct inode *inode = inode_create_node(S_IFIFO | 0600, 0);
	char name[32];
	int error;

	if (!inode)
		return -ENOMEM;
	inode->links = 1;
	/* The first would wait for the second. */
	error = file_create_on(inode, O_RDONLY | O_NONBLOCK, NULL, &ends[0]);
	if (!error) {
		error = file_create_on(inode, O_WRONLY | flags, NULL, &ends[1]);
		if (error)
			file_put(ends[0]);
	}
	if (!error) {
		int length = format(name, sizeof(name), "pipe:[%lu]", inode->number);

		ends[0]->flags = O_RDONLY | flags;
		for (int i = 0; i < 2; i++)
			ends[i]->path = heap_copy(name, (size_t)length + 1);
	}
	inode_put(inode);
	return error;
}

static int64_t make_pipe(uint64_t address, uint32_t flags)
{
	struct file *ends[2];
	int error;

	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	error = create_ends(flags & O_NONBLOCK, ends);
	return error ? error : files_install_pair(ends, flags, address);
}

int64_t call_pipe(struct registers *regs)
{
	return make_pipe(ARG(regs, 0), 0);
}

int64_t call_pipe2(struct registers *regs)
{
	return make_pipe(ARG(regs, 0), (uint32_t)ARG(regs, 1));
}
