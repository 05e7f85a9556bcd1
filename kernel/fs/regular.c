/* SPDX-License-Identifier: MIT */
/* Regular files: objects of Quire, whose pages are the file. */
#include "fs/special.h"
#include "fs/tree.h"

#include "lib/string.h"
#include "task/limits.h"

#define FALLOCATE_KEEP_SIZE 1u
#define FALLOCATE_PUNCH_HOLE 2u
#define FALLOCATE_ZERO_RANGE 16u

static int64_t regular_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	int64_t count = quire_object_read(file->inode->object, *position, buffer, size);

	if (count > 0)
		*position += (uint64_t)count;
	return count;
}

/* How large the file may become by a write of the current process; more: SIGXFSZ. */
static uint64_t size_limit(void)
{
	struct process *process = current_process();
	uint64_t limit = process ? process->limits[RLIMIT_FSIZE][0] : RLIM_INFINITY;

	return MIN(limit, QUIRE_OBJECT_MAX);
}

static int refuse_growth(uint64_t limit)
{
	struct signal_info info = { .signo = SIGXFSZ };

	if (limit < QUIRE_OBJECT_MAX)
		(void)signal_send_task(current_task(), &info);
	return -EFBIG;
}

/* => write_mutex is held */
static int64_t regular_write(struct file *file, const void *buffer, size_t size, uint64_t *position)
{
	struct inode *inode = file->inode;
	uint64_t end = quire_object_size(inode->object), limit = size_limit();
	int64_t count;

	if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (file->flags & O_APPEND)
		*position = end;
	if (size == 0)
		return 0;
	if (*position >= limit)
		return refuse_growth(limit);
	size = MIN(size, limit - *position);
	if (inode->seals & F_SEAL_GROW && *position + size > end) {
		if (*position >= end)
			return -EPERM;
		size = end - *position;
	}
	count = quire_object_write(inode->object, *position, buffer, size);
	if (count == -ENOMEM)
		return -ENOSPC;
	if (count > 0) {
		*position += (uint64_t)count;
		inode_touch(inode, true);
	}
	return count;
}

static int64_t regular_seek(struct file *file, int64_t offset, int whence)
{
	return seek_sized(file, offset, whence, quire_object_size(file->inode->object));
}

static int regular_object(struct file *file, struct quire_object **object)
{
	*object = file->inode->object;
	quire_object_get(*object);
	return 0;
}

const struct file_ops regular_file_ops = {
	.read = regular_read,
	.write = regular_write,
	.seek = regular_seek,
	.object = regular_object,
};

int regular_truncate(struct inode *inode, uint64_t size)
{
	uint64_t old, limit = size_limit();
	int error = 0;

	mutex_take(&inode->write_mutex);
	old = quire_object_size(inode->object);
	if ((size < old && inode->seals & F_SEAL_SHRINK) ||
	    (size > old && inode->seals & F_SEAL_GROW))
		error = -EPERM;
	else if (size > old && size > limit)
		error = refuse_growth(limit);
	else if (size != old)
		error = quire_object_truncate(inode->object, size);
	if (!error)
		inode_touch(inode, true);
	mutex_drop(&inode->write_mutex);
	return error;
}

/* Zeroes from `offset` to `end`, both inside one page. */
static int clear_part(struct quire_object *object, uint64_t offset, uint64_t end)
{
	static const char zeroes[QUIRE_PAGE_SIZE];
	int64_t count;

	if (offset >= end)
		return 0;
	count = quire_object_write(object, offset, zeroes, end - offset);
	return count < 0 ? (int)count : 0;
}

/* The whole pages of the range become a hole; what is left at its ends is cleared. */
static int clear_range(struct quire_object *object, uint64_t offset, uint64_t end)
{
	uint64_t size = quire_object_size(object), mask = QUIRE_PAGE_SIZE - 1;
	uint64_t first, last;
	int error;

	end = MIN(end, (size + mask) & ~mask);
	if (offset >= end)
		return 0;
	first = MIN((offset + mask) & ~mask, end);
	last = MAX(end & ~mask, first);
	error = clear_part(object, offset, MIN(first, size));
	if (!error && last > first)
		error = quire_object_remove(object, first, last - first);
	if (!error)
		error = clear_part(object, last, MIN(end, size));
	return error;
}

bool regular_can_allocate(unsigned mode)
{
	return (mode & ~FALLOCATE_KEEP_SIZE) == 0 ||
	       (mode & ~FALLOCATE_KEEP_SIZE) == FALLOCATE_ZERO_RANGE ||
	       mode == (FALLOCATE_PUNCH_HOLE | FALLOCATE_KEEP_SIZE);
}

/* fallocate(2): memory is not set aside, so that of mode 0 only the size remains. */
int regular_allocate(struct inode *inode, unsigned mode, uint64_t offset, uint64_t length)
{
	unsigned kind = mode & ~FALLOCATE_KEEP_SIZE;
	uint64_t end, limit = size_limit();
	int error = 0;

	if (__builtin_add_overflow(offset, length, &end) || end > QUIRE_OBJECT_MAX)
		return -EFBIG;
	mutex_take(&inode->write_mutex);
	if (kind != 0 && inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		error = -EPERM;
	else if (kind != 0)
		error = clear_range(inode->object, offset, end);
	if (!error && !(mode & FALLOCATE_KEEP_SIZE) && end > quire_object_size(inode->object)) {
		if (inode->seals & F_SEAL_GROW)
			error = -EPERM;
		else if (end > limit)
			error = refuse_growth(limit);
		else
			error = quire_object_truncate(inode->object, end);
	}
	if (!error)
		inode_touch(inode, true);
	mutex_drop(&inode->write_mutex);
	return error == -ENOMEM ? -ENOSPC : error;
}
