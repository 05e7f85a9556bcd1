/* SPDX-License-Identifier: MIT */
/* fcntl(2), flock(2), ioctl(2): what is asked of a descriptor beside reading and writing. */
#include "fs/locks.h"
#include "fs/special.h"
#include "fs/tree.h"

#include "calls/calls.h"
#include "memory/user.h"
#include "task/task.h"

enum {
	F_DUPFD = 0,
	F_GETFD = 1,
	F_SETFD = 2,
	F_GETFL = 3,
	F_SETFL = 4,
	F_GETOWN = 9,
	F_OFD_GETLK = 36,
	F_OFD_SETLK = 37,
	F_OFD_SETLKW = 38,
	F_DUPFD_CLOEXEC = 1030,
	F_SETPIPE_SZ = 1031,
	F_GETPIPE_SZ = 1032,
	F_ADD_SEALS = 1033,
	F_GET_SEALS = 1034,
};

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#define FLAGS_CHANGEABLE ((uint32_t)(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME))

#define FIONCLEX 0x5450u
#define FIOCLEX 0x5451u
#define FIONBIO 0x5421u
#define FIOASYNC 0x5452u

static int64_t duplicate(struct file *file, uint64_t from, bool close_on_exec)
{
	int result;

	if (from >= OPEN_MAX)
		return -EINVAL;
	file_hold(file);
	result = file_install(file, (int)from, close_on_exec);
	if (result < 0)
		file_put(file);
	return result;
}

static void set_flags(struct file *file, uint32_t mask, uint32_t flags)
{
	mutex_take(&file->position_mutex);
	file->flags = (file->flags & ~mask) | (flags & mask);
	mutex_drop(&file->position_mutex);
}

/* Seals hold for writes and sizes from now on, and for mappings that are made from now on. */
static int64_t add_seals(struct file *file, uint64_t seals)
{
	struct inode *inode = file->inode;
	int64_t result = 0;

	if (!inode->object || seals & ~(uint64_t)SEALS)
		return -EINVAL;
	if (!file_can_write(file))
		return -EPERM;
	mutex_take(&inode->write_mutex);
	if (inode->seals & F_SEAL_SEAL)
		result = -EPERM;
	else
		inode->seals |= (uint32_t)seals;
	mutex_drop(&inode->write_mutex);
	return result;
}

/* A lock that came too late, beside a close of the descriptor, would stay for ever. */
static int64_t lock_for_process(struct file *file, int descriptor, int command, uint64_t argument)
{
	int64_t result = lock_control(file, command, LOCK_OF_PROCESS, argument);
	struct file *now = file_get(descriptor);

	if (now != file)
		locks_release(file->inode, current_process()->files);
	file_put(now);
	return result;
}

static int64_t control(struct file *file, int descriptor, int command, uint64_t argument)
{
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return duplicate(file, argument, command == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return files_close_on_exec(descriptor, -1);
	case F_SETFD:
		return files_close_on_exec(descriptor, argument & 1);
	case F_GETFL:
		return file->flags;
	case F_SETFL:
		set_flags(file, FLAGS_CHANGEABLE, (uint32_t)argument);
		return 0;
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
		return lock_for_process(file, descriptor, command, argument);
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return lock_control(file, command - (F_OFD_GETLK - F_GETLK), LOCK_OF_FILE,
				    argument);
	case F_GETOWN:
		return 0; /* nobody: there is no SIGIO */
	case F_SETPIPE_SZ:
		return pipe_set_size(file, argument);
	case F_GETPIPE_SZ:
		return pipe_size(file);
	case F_ADD_SEALS:
		return add_seals(file, argument);
	case F_GET_SEALS:
		return file->inode->object ? (int64_t)file->inode->seals : -EINVAL;
	default:
		return -EINVAL;
	}
}

/* A file opened with O_PATH is no more than a place in the tree. */
static bool allowed_by_path(int command)
{
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD ||
	       command == F_SETFD || command == F_GETFL;
}

int64_t call_fcntl(struct registers *regs)
{
	int descriptor = (int)ARG(regs, 0), command = (int)ARG(regs, 1);
	struct file *file = file_get(descriptor);
	int64_t result = -EBADF;

	if (!file)
		return -EBADF;
	if (!(file->flags & O_PATH) || allowed_by_path(command))
		result = control(file, descriptor, command, ARG(regs, 2));
	file_put(file);
	return result;
}

int64_t call_flock(struct registers *regs)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int64_t result;

	if (!file)
		return -EBADF;
	result = file->flags & O_PATH ? -EBADF : lock_flock(file, (int)ARG(regs, 1));
	file_put(file);
	return result;
}

static int64_t control_device(struct file *file, int descriptor, unsigned command,
			      uint64_t argument)
{
	uint32_t value;

	switch (command) {
	case FIOCLEX:
	case FIONCLEX:
		return files_close_on_exec(descriptor, command == FIOCLEX);
	case FIONBIO:
		if (user_read(&value, argument, sizeof(value)))
			return -EFAULT;
		set_flags(file, O_NONBLOCK, value ? O_NONBLOCK : 0);
		return 0;
	case FIOASYNC:
		if (user_read(&value, argument, sizeof(value)))
			return -EFAULT;
		return value ? -ENOTTY : 0;
	default:
		return file->ops->ioctl ? file->ops->ioctl(file, command, argument) : -ENOTTY;
	}
}

int64_t call_ioctl(struct registers *regs)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int64_t result = -EBADF;

	if (!file)
		return -EBADF;
	if (!(file->flags & O_PATH))
		result = control_device(file, (int)ARG(regs, 0), (unsigned)ARG(regs, 1),
					ARG(regs, 2));
	file_put(file);
	return result;
}
