/* SPDX-License-Identifier: MIT */
/*
 * socketpair(2) of AF_UNIX, SOCK_STREAM: two pipes, each end reads one and writes the other, in one
 * inode. There are no other sockets: there is no network.
 */
#include "fs/pipe.h"
#include "fs/special.h"
#include "fs/transfer.h"
#include "fs/tree.h"

#include "calls/calls.h"
#include "memory/heap.h"
#include "memory/user.h"

#define AF_UNIX 1
#define SOCK_STREAM 1
#define SOCK_FLAGS ((uint32_t)(O_CLOEXEC | O_NONBLOCK))
#define POLLRDHUP 0x2000u
#define SOL_SOCKET 1
#define SO_TYPE 3
#define SO_ERROR 4
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_PROTOCOL 38
#define SO_DOMAIN 39
#define MSG_DONTWAIT 0x40u
#define MSG_NOSIGNAL 0x4000u

struct pair {
	struct wait_queue queue;
	struct end {
		struct pair *pair;
		struct pipe in;
	} ends[2];
};

static struct end *end_of(struct file *file)
{
	return file->private_data;
}

static struct end *peer_of(struct end *end)
{
	return &end->pair->ends[end == &end->pair->ends[0]];
}

static int64_t socket_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	(void)position;
	return pipe_read(&end_of(file)->in, buffer, size, !(file->flags & O_NONBLOCK));
}

static int64_t socket_write(struct file *file, const void *buffer, size_t size, uint64_t *position)
{
	struct pipe *out = &peer_of(end_of(file))->in;

	(void)position;
	return pipe_broken(pipe_write(out, buffer, size, !(file->flags & O_NONBLOCK)));
}

static unsigned socket_poll(struct file *file)
{
	unsigned events = pipe_poll_read(&end_of(file)->in);
	unsigned out = pipe_poll_write(&peer_of(end_of(file))->in);

	/* The other end does not write any more: the end of file can be read. */
	if (events & POLLHUP)
		events |= POLLIN_NORMAL | POLLRDHUP;
	if (!(out & POLLERR))
		events &= ~(unsigned)POLLHUP;
	return events | (out & POLLERR ? POLLOUT_NORMAL : out);
}

static struct wait_queue *socket_queue(struct file *file)
{
	return &end_of(file)->pair->queue;
}

/* For both ends: a way that nobody reads is not written any more, nor the other way round. */
static void close_ways(struct end *end, bool reading, bool writing)
{
	if (reading)
		pipe_close(&end->in);
	if (writing)
		pipe_close(&peer_of(end)->in);
}

static void socket_release(struct file *file)
{
	close_ways(end_of(file), true, true);
}

static const struct file_ops socket_file_ops = {
	.read = socket_read,
	.write = socket_write,
	.poll = socket_poll,
	.queue = socket_queue,
	.release = socket_release,
};

static void pair_free(struct inode *inode)
{
	struct pair *pair = inode->private_data;

	for (int i = 0; i < 2; i++)
		pipe_exit(&pair->ends[i].in);
	heap_free(pair);
}

static struct inode *pair_create(void)
{
	struct inode *inode = inode_create(S_IFSOCK | 0777);
	struct pair *pair = heap_zero(sizeof(*pair));
	bool failed = !inode || !pair;

	for (int i = 0; i < 2 && !failed; i++) {
		pair->ends[i].pair = pair;
		failed = pipe_init(&pair->ends[i].in, &pair->queue) != 0;
		pair->ends[i].in.readers = pair->ends[i].in.writers = 1;
		pair->ends[i].in.reads = pair->ends[i].in.writes = 1;
	}
	if (failed) {
		if (pair)
			pipe_exit(&pair->ends[0].in);
		heap_free(pair);
		inode_put(inode);
		return NULL;
	}
	wait_queue_init(&pair->queue);
	inode->links = 1;
	inode->private_data = pair;
	inode->free = pair_free;
	inode->ops = &socket_file_ops;
	return inode;
}

/* files[0] and files[1], or none of them. */
static int create_ends(struct inode *inode, uint32_t flags, struct file **files)
{
	struct pair *pair = inode->private_data;

	for (int i = 0; i < 2; i++) {
		char name[32];
		int length = format(name, sizeof(name), "socket:[%lu]", inode->number);
		int error = file_create_on(inode, O_RDWR | flags, NULL, &files[i]);

		if (error) {
			if (i == 1)
				file_put(files[0]);
			return error;
		}
		files[i]->private_data = &pair->ends[i];
		files[i]->path = heap_copy(name, (size_t)length + 1);
	}
	return 0;
}

int64_t call_socketpair(struct registers *regs)
{
	uint32_t type = (uint32_t)ARG(regs, 1), flags = type & SOCK_FLAGS;
	struct file *files[2];
	struct inode *inode;
	int error;

	if ((int)ARG(regs, 0) != AF_UNIX)
		return -EAFNOSUPPORT;
	if ((type & ~SOCK_FLAGS) != SOCK_STREAM || (int)ARG(regs, 2) & ~1)
		return -EOPNOTSUPP;
	inode = pair_create();
	if (!inode)
		return -ENOMEM;
	error = create_ends(inode, flags & O_NONBLOCK, files);
	inode_put(inode);
	return error ? error : files_install_pair(files, flags, ARG(regs, 3));
}

int64_t call_socket(struct registers *regs)
{
	(void)regs;
	return -EAFNOSUPPORT;
}

/* Its end, with a reference to the file. */
static int64_t socket_get(uint64_t descriptor, struct file **file)
{
	*file = file_get((int)descriptor);
	if (!*file)
		return -EBADF;
	if ((*file)->ops == &socket_file_ops)
		return 0;
	file_put(*file);
	return -ENOTSOCK;
}

/* Nobody has an address: a family, and that is all. */
static int64_t get_name(struct registers *regs)
{
	uint16_t family = AF_UNIX;
	uint32_t room, length = sizeof(family);
	struct file *file;
	int64_t result = socket_get(ARG(regs, 0), &file);

	if (result)
		return result;
	file_put(file);
	if (user_read(&room, ARG(regs, 2), sizeof(room)))
		return -EFAULT;
	if (room > INT32_MAX)
		return -EINVAL;
	if (user_write(ARG(regs, 1), &family, MIN(room, length)))
		return -EFAULT;
	return user_write(ARG(regs, 2), &length, sizeof(length));
}

int64_t call_getsockname(struct registers *regs)
{
	return get_name(regs);
}

int64_t call_getpeername(struct registers *regs)
{
	return get_name(regs);
}

static int64_t option_value(uint64_t level, uint64_t option, uint32_t *value)
{
	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	switch (option) {
	case SO_TYPE:
		*value = SOCK_STREAM;
		return 0;
	case SO_DOMAIN:
		*value = AF_UNIX;
		return 0;
	case SO_ERROR:
	case SO_PROTOCOL:
		*value = 0;
		return 0;
	case SO_SNDBUF:
	case SO_RCVBUF:
		*value = PIPE_SIZE;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int64_t call_getsockopt(struct registers *regs)
{
	uint32_t value, room;
	struct file *file;
	int64_t result = socket_get(ARG(regs, 0), &file);

	if (result)
		return result;
	file_put(file);
	result = option_value(ARG(regs, 1), ARG(regs, 2), &value);
	if (result)
		return result;
	if (user_read(&room, ARG(regs, 4), sizeof(room)))
		return -EFAULT;
	if (room > INT32_MAX)
		return -EINVAL;
	room = MIN(room, (uint32_t)sizeof(value));
	if (user_write(ARG(regs, 3), &value, room))
		return -EFAULT;
	return user_write(ARG(regs, 4), &room, sizeof(room));
}

static int64_t send(struct file *file, uint64_t address, char *buffer, size_t size, unsigned flags)
{
	bool wait = !(flags & MSG_DONTWAIT || file->flags & O_NONBLOCK);
	size_t copied = size - user_read_some(buffer, address, size);
	int64_t result;

	if (size && !copied)
		return -EFAULT;
	result = pipe_write(&peer_of(end_of(file))->in, buffer, copied, wait);
	return flags & MSG_NOSIGNAL ? result : pipe_broken(result);
}

static int64_t receive(struct file *file, uint64_t address, char *buffer, size_t size,
		       unsigned flags)
{
	bool wait = !(flags & MSG_DONTWAIT || file->flags & O_NONBLOCK);
	int64_t count = pipe_read(&end_of(file)->in, buffer, size, wait);

	if (count > 0 && user_write(address, buffer, (size_t)count))
		return -EFAULT;
	return count;
}

/* sendto and recvfrom, at most a chunk at a time; nobody has an address. */
static int64_t transfer(struct registers *regs, bool sends)
{
	size_t size = MIN(ARG(regs, 2), CHUNK);
	unsigned flags = (unsigned)ARG(regs, 3);
	struct file *file;
	char *buffer;
	int64_t result = socket_get(ARG(regs, 0), &file);

	if (result)
		return result;
	buffer = heap_alloc(MAX(size, 1u));
	if (!buffer)
		result = -ENOMEM;
	else if (flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL))
		result = -EOPNOTSUPP;
	else
		result = sends ? send(file, ARG(regs, 1), buffer, size, flags)
			       : receive(file, ARG(regs, 1), buffer, size, flags);
	heap_free(buffer);
	file_put(file);
	return result;
}

int64_t call_sendto(struct registers *regs)
{
	return transfer(regs, true);
}

int64_t call_recvfrom(struct registers *regs)
{
	return transfer(regs, false);
}

int64_t call_shutdown(struct registers *regs)
{
	unsigned how = (unsigned)ARG(regs, 1);
	struct file *file;
	int64_t result = socket_get(ARG(regs, 0), &file);

	if (result)
		return result;
	if (how <= 2)
		close_ways(end_of(file), how != 1, how != 0);
	else
		result = -EINVAL;
	file_put(file);
	return result;
}
