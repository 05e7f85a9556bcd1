/* SPDX-License-Identifier: MIT */
/* eventfd(2): a counter to wait for; memfd_create(2): a file without a name. */
#include "fs/special.h"
#include "fs/tree.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"

#define EFD_SEMAPHORE 1u
#define MFD_CLOEXEC 1u
#define MFD_ALLOW_SEALING 2u
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#define MEMFD_NAME_LONGEST 249

struct event {
	struct lock lock; /* plain: count */
	uint64_t count;	  /* at most UINT64_MAX - 1 */
	bool semaphore;
	struct wait_queue queue;
};

/* Takes what a read gives; false: nothing. */
static bool event_take(struct event *event, uint64_t *value)
{
	lock_take(&event->lock);
	*value = event->semaphore ? event->count != 0 : event->count;
	event->count -= *value;
	lock_drop(&event->lock);
	return *value != 0;
}

static bool event_give(struct event *event, uint64_t value)
{
	bool fits;

	lock_take(&event->lock);
	fits = value < UINT64_MAX - event->count;
	if (fits)
		event->count += value;
	lock_drop(&event->lock);
	return fits;
}

static int64_t event_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	struct event *event = file->private_data;
	uint64_t value;

	(void)position;
	if (size < sizeof(value))
		return -EINVAL;
	if (!event_take(event, &value)) {
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_until(&event->queue, SLEEP_INTERRUPTIBLY, NEVER,
			       event_take(event, &value)))
			return -ERESTART;
	}
	memcpy(buffer, &value, sizeof(value));
	wait_wake(&event->queue);
	return sizeof(value);
}

static int64_t event_write(struct file *file, const void *buffer, size_t size, uint64_t *position)
{
	struct event *event = file->private_data;
	uint64_t value;

	(void)position;
	if (size < sizeof(value))
		return -EINVAL;
	memcpy(&value, buffer, sizeof(value));
	if (value == UINT64_MAX)
		return -EINVAL;
	if (!event_give(event, value)) {
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_until(&event->queue, SLEEP_INTERRUPTIBLY, NEVER, event_give(event, value)))
			return -ERESTART;
	}
	wait_wake(&event->queue);
	return sizeof(value);
}

static unsigned event_poll(struct file *file)
{
	struct event *event = file->private_data;
	unsigned events;

	lock_take(&event->lock);
	events = (event->count ? POLLIN : 0) | (event->count < UINT64_MAX - 1 ? POLLOUT : 0);
	lock_drop(&event->lock);
	return events;
}

static struct wait_queue *event_queue(struct file *file)
{
	return &((struct event *)file->private_data)->queue;
}

static void event_release(struct file *file)
{
	heap_free(file->private_data);
}

static const struct file_ops event_file_ops = {
	.read = event_read,
	.write = event_write,
	.poll = event_poll,
	.queue = event_queue,
	.release = event_release,
};

static int64_t create_event(uint64_t count, unsigned flags)
{
	struct event *event;
	struct file *file;
	int result;

	if (flags & ~(EFD_SEMAPHORE | (unsigned)O_CLOEXEC | (unsigned)O_NONBLOCK))
		return -EINVAL;
	event = heap_zero(sizeof(*event));
	if (!event)
		return -ENOMEM;
	event->count = count;
	event->semaphore = flags & EFD_SEMAPHORE;
	wait_queue_init(&event->queue);
	file = file_create(&event_file_ops, O_RDWR | (flags & O_NONBLOCK), event);
	if (!file) {
		heap_free(event);
		return -ENOMEM;
	}
	result = file_name(file, "eventfd");
	if (result == 0)
		result = file_install(file, 0, flags & O_CLOEXEC);
	if (result < 0)
		file_put(file);
	return result;
}

int64_t call_eventfd(struct registers *regs)
{
	return create_event((uint32_t)ARG(regs, 0), 0);
}

int64_t call_eventfd2(struct registers *regs)
{
	return create_event((uint32_t)ARG(regs, 0), (unsigned)ARG(regs, 1));
}

static int create_memory(const char *name, unsigned flags, struct file **file)
{
	uint32_t mode = flags & MFD_NOEXEC_SEAL ? 0666 : 0777;
	struct inode *inode = inode_create_regular(mode, name);
	char *path = heap_copy(name, strlen(name) + 1);
	int error = inode && path ? file_create_on(inode, O_RDWR, path, file) : -ENOMEM;

	if (inode && flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL))
		inode->seals = 0;
	if (error)
		heap_free(path);
	inode_put(inode);
	return error;
}

int64_t call_memfd_create(struct registers *regs)
{
	char name[MEMFD_NAME_LONGEST + 32];
	unsigned flags = (unsigned)ARG(regs, 1);
	struct file *file;
	int64_t result;

	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) ||
	    (flags & MFD_EXEC && flags & MFD_NOEXEC_SEAL))
		return -EINVAL;
	strlcpy(name, "/memfd:", sizeof(name));
	result = user_string(name + 7, ARG(regs, 0), MEMFD_NAME_LONGEST + 1);
	if (result < 0)
		return result == -ENAMETOOLONG ? -EINVAL : result;
	strlcpy(name + 7 + result, " (deleted)", sizeof(name) - 7 - (size_t)result);
	result = create_memory(name, flags, &file);
	if (result)
		return result;
	result = file_install(file, 0, flags & MFD_CLOEXEC);
	if (result < 0)
		file_put(file);
	return result;
}
