/* SPDX-License-Identifier: MIT */
/*
 * lseek(2), truncate(2), fallocate(2), sendfile(2), copy_file_range(2); and the calls that ask for
 * what needs nothing here: fsync(2) and its like, since memory is all there is, advice, and
 * extended attributes, which there are none of.
 */
#include "fs/path.h"
#include "fs/special.h"
#include "fs/transfer.h"

#include "calls/calls.h"
#include "memory/heap.h"
#include "memory/user.h"

int64_t call_lseek(struct registers *regs)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int64_t result = -ESPIPE;

	if (!file)
		return -EBADF;
	if (file->flags & O_PATH) {
		result = -EBADF;
	} else if ((unsigned)ARG(regs, 2) > SEEK_HOLE) {
		result = -EINVAL;
	} else if (file->ops->seek) {
		mutex_take(&file->position_mutex);
		result = file->ops->seek(file, (int64_t)ARG(regs, 1), (int)ARG(regs, 2));
		mutex_drop(&file->position_mutex);
	}
	file_put(file);
	return result;
}

int64_t call_truncate(struct registers *regs)
{
	int64_t size = (int64_t)ARG(regs, 1);
	struct inode *inode;
	int error;

	if (size < 0)
		return -EINVAL;
	error = inode_from_user(AT_FDCWD, ARG(regs, 0), PATH_FOLLOW, &inode);
	if (error)
		return error;
	if (is_directory(inode))
		error = -EISDIR;
	else if (!inode->object)
		error = -EINVAL;
	else
		error = inode_write_begin(inode);
	if (!error) {
		error = regular_truncate(inode, (uint64_t)size);
		inode_write_end(inode);
	}
	inode_put(inode);
	return error;
}

int64_t call_ftruncate(struct registers *regs)
{
	int64_t size = (int64_t)ARG(regs, 1), result = -EINVAL;
	struct file *file;

	if (size < 0)
		return -EINVAL;
	file = file_get((int)ARG(regs, 0));
	if (!file)
		return -EBADF;
	if (file->flags & O_PATH)
		result = -EBADF;
	else if (file->inode->object && file_can_write(file))
		result = regular_truncate(file->inode, (uint64_t)size);
	file_put(file);
	return result;
}

int64_t call_fallocate(struct registers *regs)
{
	int64_t offset = (int64_t)ARG(regs, 2), length = (int64_t)ARG(regs, 3), result;
	struct file *file = file_get((int)ARG(regs, 0));

	if (!file)
		return -EBADF;
	if (file->flags & O_PATH)
		result = -EBADF;
	else if (offset < 0 || length <= 0)
		result = -EINVAL;
	else if (!regular_can_allocate((unsigned)ARG(regs, 1)))
		result = -EOPNOTSUPP;
	else if (!file_can_write(file))
		result = -EBADF;
	else if (!file->inode->object)
		result = file->ops->poll ? -ESPIPE : -ENODEV;
	else
		result = regular_allocate(file->inode, (unsigned)ARG(regs, 1), (uint64_t)offset,
					  (uint64_t)length);
	file_put(file);
	return result;
}

/* One end of a copy between files: at its own position, or at one of the program's. */
struct side {
	struct file *file;
	uint64_t address; /* of an offset; 0: the file's own position */
	uint64_t position;
};

static int side_begin(struct side *side, int descriptor, uint64_t address)
{
	side->address = address;
	side->file = file_get(descriptor);
	if (!side->file)
		return -EBADF;
	if (!(side->file->flags & O_PATH))
		return 0;
	file_put(side->file);
	return -EBADF;
}

/* Where it begins. */
static int side_start(struct side *side)
{
	if (!side->address) {
		side->position = side->file->position;
		return 0;
	}
	if (!side->file->ops->seek)
		return -ESPIPE;
	if (user_read(&side->position, side->address, sizeof(side->position)))
		return -EFAULT;
	return (int64_t)side->position < 0 ? -EINVAL : 0;
}

/* And ends, if bytes went. */
static int side_finish(struct side *side)
{
	if (side->address)
		return user_write(side->address, &side->position, sizeof(side->position));
	side->file->position = side->position;
	return 0;
}

static int64_t write_all(struct side *to, const char *chunk, size_t size)
{
	struct inode *inode = to->file->inode;
	size_t done = 0;
	int64_t count = 0;

	if (inode->object)
		mutex_take(&inode->write_mutex);
	while (done < size) {
		count = to->file->ops->write(to->file, chunk + done, size - done, &to->position);
		if (count <= 0)
			break;
		done += (size_t)count;
	}
	if (inode->object)
		mutex_drop(&inode->write_mutex);
	return done ? (int64_t)done : count;
}

/* What was read and could not be written is not skipped, where one can go back. */
static int64_t copy_chunks(struct side *from, struct side *to, uint64_t size)
{
	char *chunk = heap_alloc(CHUNK);
	uint64_t done = 0;
	int64_t count = 0;

	if (!chunk)
		return -ENOMEM;
	while (done < size && transfer_goes_on()) {
		uint64_t start = from->position;
		int64_t written;

		count = from->file->ops->read(from->file, chunk, MIN(size - done, CHUNK),
					      &from->position);
		if (count <= 0)
			break;
		written = write_all(to, chunk, (size_t)count);
		if (written < count) {
			from->position = start + (uint64_t)MAX(written, 0);
			done += (uint64_t)MAX(written, 0);
			count = written;
			break;
		}
		done += (uint64_t)count;
	}
	heap_free(chunk);
	return done ? (int64_t)done : count;
}

static int64_t copy_sides(struct side *from, struct side *to, uint64_t size)
{
	int64_t result = side_start(from);

	if (!result)
		result = side_start(to);
	if (!result)
		result = copy_chunks(from, to, MIN(size, TRANSFER_MOST));
	if (result > 0 && (side_finish(from) || side_finish(to)))
		result = -EFAULT;
	return result;
}

static int check_source(struct side *from)
{
	if (!file_can_read(from->file))
		return -EBADF;
	return from->address && !from->file->ops->seek ? -ESPIPE : 0;
}

static int64_t check_send(struct side *from, struct side *to)
{
	if (!file_can_write(to->file))
		return -EBADF;
	/* What can't seek is no source: a caller falls back to read and write, and sees ends of
	 * file. */
	if (to->file->flags & O_APPEND || !from->file->ops->read || !from->file->ops->seek ||
	    !to->file->ops->write)
		return -EINVAL;
	return 0;
}

static int64_t check_copy(struct side *from, struct side *to)
{
	if (is_directory(from->file->inode) || is_directory(to->file->inode))
		return -EISDIR;
	if (!from->file->inode->object || !to->file->inode->object)
		return -EINVAL;
	if (!file_can_read(from->file) || !file_can_write(to->file) || to->file->flags & O_APPEND)
		return -EBADF;
	return 0;
}

static int64_t copy_between(struct side *from, struct side *to, uint64_t size,
			    int64_t (*check)(struct side *, struct side *))
{
	int64_t result = check(from, to);

	if (!result)
		result = copy_sides(from, to, size);
	file_put(to->file);
	file_put(from->file);
	return result;
}

int64_t call_sendfile(struct registers *regs)
{
	struct side from, to;
	int error = side_begin(&from, (int)ARG(regs, 1), ARG(regs, 2));

	if (error)
		return error;
	error = check_source(&from);
	if (!error)
		error = side_begin(&to, (int)ARG(regs, 0), 0);
	if (error) {
		file_put(from.file);
		return error;
	}
	return copy_between(&from, &to, ARG(regs, 3), check_send);
}

int64_t call_copy_file_range(struct registers *regs)
{
	struct side from, to;
	int error;

	if (ARG(regs, 5))
		return -EINVAL;
	error = side_begin(&from, (int)ARG(regs, 0), ARG(regs, 1));
	if (error)
		return error;
	error = side_begin(&to, (int)ARG(regs, 2), ARG(regs, 3));
	if (error) {
		file_put(from.file);
		return error;
	}
	return copy_between(&from, &to, ARG(regs, 4), check_copy);
}

/* 0 if the descriptor is there. */
static int64_t only_check(struct registers *regs)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int64_t result;

	if (!file)
		return -EBADF;
	result = file->flags & O_PATH ? -EBADF : 0;
	file_put(file);
	return result;
}

int64_t call_fsync(struct registers *regs)
{
	return only_check(regs);
}

int64_t call_fdatasync(struct registers *regs)
{
	return only_check(regs);
}

int64_t call_syncfs(struct registers *regs)
{
	return only_check(regs);
}

int64_t call_sync_file_range(struct registers *regs)
{
	return only_check(regs);
}

int64_t call_fadvise64(struct registers *regs)
{
	return ARG(regs, 3) > 5 ? -EINVAL : only_check(regs);
}

int64_t call_readahead(struct registers *regs)
{
	return only_check(regs);
}

int64_t call_sync(struct registers *regs)
{
	(void)regs;
	return 0;
}

int64_t call_xattr(struct registers *regs)
{
	(void)regs;
	return -EOPNOTSUPP;
}
