/* SPDX-License-Identifier: MIT */
/* chmod(2), chown(2), utimensat(2) and their relatives, umask(2). */
#include "fs/path.h"
#include "fs/special.h"

#include "calls/calls.h"
#include "memory/user.h"

#define UTIME_NOW 0x3fffffffull
#define UTIME_OMIT 0x3ffffffeull
#define MODE_SETID 06000u

static int inode_to_change(int descriptor, uint64_t address, unsigned flags, struct inode **inode)
{
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return inode_at(descriptor, address, flags, inode);
}

static int64_t change_mode(int error, struct inode *inode, uint64_t mode)
{
	if (error)
		return error;
	mutex_take(&fs_lock);
	if (is_link(inode)) {
		error = -EOPNOTSUPP;
	} else {
		inode->mode = (inode->mode & S_IFMT) | (mode & 07777);
		inode_touch(inode, false);
	}
	mutex_drop(&fs_lock);
	inode_put(inode);
	return error;
}

int64_t call_chmod(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_to_change(AT_FDCWD, ARG(regs, 0), 0, &inode);

	return change_mode(error, inode, ARG(regs, 1));
}

int64_t call_fchmod(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_of((int)ARG(regs, 0), false, &inode);

	return change_mode(error, inode, ARG(regs, 1));
}

int64_t call_fchmodat(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_to_change((int)ARG(regs, 0), ARG(regs, 1), 0, &inode);

	return change_mode(error, inode, ARG(regs, 2));
}

int64_t call_fchmodat2(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_to_change((int)ARG(regs, 0), ARG(regs, 1), (unsigned)ARG(regs, 3),
				    &inode);

	return change_mode(error, inode, ARG(regs, 2));
}

/* -1: stays as it is. */
static int64_t change_owner(int error, struct inode *inode, uint64_t owner, uint64_t group)
{
	if (error)
		return error;
	mutex_take(&fs_lock);
	if ((uint32_t)owner != UINT32_MAX)
		inode->owner = (uint32_t)owner;
	if ((uint32_t)group != UINT32_MAX)
		inode->group = (uint32_t)group;
	if (!is_directory(inode))
		inode->mode &= ~MODE_SETID;
	inode_touch(inode, false);
	mutex_drop(&fs_lock);
	inode_put(inode);
	return 0;
}

int64_t call_chown(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_to_change(AT_FDCWD, ARG(regs, 0), 0, &inode);

	return change_owner(error, inode, ARG(regs, 1), ARG(regs, 2));
}

int64_t call_lchown(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_to_change(AT_FDCWD, ARG(regs, 0), AT_SYMLINK_NOFOLLOW, &inode);

	return change_owner(error, inode, ARG(regs, 1), ARG(regs, 2));
}

int64_t call_fchown(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_of((int)ARG(regs, 0), false, &inode);

	return change_owner(error, inode, ARG(regs, 1), ARG(regs, 2));
}

int64_t call_fchownat(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_to_change((int)ARG(regs, 0), ARG(regs, 1), (unsigned)ARG(regs, 4),
				    &inode);

	return change_owner(error, inode, ARG(regs, 2), ARG(regs, 3));
}

/* accessed and modified, as utimensat takes them */
struct times {
	struct {
		int64_t sec;
		uint64_t nsec;
	} at[2];
};

static const struct times times_now = { { { 0, UTIME_NOW }, { 0, UTIME_NOW } } };

/* timeval or timespec, `unit` nanoseconds in the second number; NULL: now. */
static int read_times(uint64_t address, uint64_t unit, struct times *times)
{
	*times = times_now;
	if (!address)
		return 0;
	if (user_read(times, address, sizeof(*times)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		uint64_t *nsec = &times->at[i].nsec;

		if (unit == 1 && (*nsec == UTIME_NOW || *nsec == UTIME_OMIT))
			continue;
		if (*nsec >= SECOND / unit)
			return -EINVAL;
		*nsec *= unit;
	}
	return 0;
}

static void set_time(_Atomic uint64_t *time, int64_t sec, uint64_t nsec, uint64_t now)
{
	if (nsec == UTIME_NOW)
		atomic_store_explicit(time, now, memory_order_relaxed);
	else if (nsec != UTIME_OMIT)
		atomic_store_explicit(time, sec < 0 ? 0 : (uint64_t)sec * SECOND + nsec,
				      memory_order_relaxed);
}

static int64_t change_times(int error, struct inode *inode, const struct times *times)
{
	uint64_t now = fs_now();

	if (error)
		return error;
	set_time(&inode->accessed, times->at[0].sec, times->at[0].nsec, now);
	set_time(&inode->modified, times->at[1].sec, times->at[1].nsec, now);
	inode_touch(inode, false);
	inode_put(inode);
	return 0;
}

/* Without a path the descriptor's own file. */
static int inode_for_times(int descriptor, uint64_t address, unsigned flags, struct inode **inode)
{
	if (!address && descriptor != AT_FDCWD)
		return flags ? -EINVAL : inode_of(descriptor, false, inode);
	return inode_to_change(descriptor, address, flags, inode);
}

static int64_t set_times(int descriptor, uint64_t path, uint64_t address, uint64_t unit,
			 unsigned flags)
{
	struct times times;
	struct inode *inode = NULL;
	int error = read_times(address, unit, &times);

	if (!error)
		error = inode_for_times(descriptor, path, flags, &inode);
	return change_times(error, inode, &times);
}

int64_t call_utimensat(struct registers *regs)
{
	return set_times((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), 1, (unsigned)ARG(regs, 3));
}

int64_t call_futimesat(struct registers *regs)
{
	return set_times((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), 1000, 0);
}

int64_t call_utimes(struct registers *regs)
{
	return set_times(AT_FDCWD, ARG(regs, 0), ARG(regs, 1), 1000, 0);
}

int64_t call_utime(struct registers *regs)
{
	struct times times = times_now;
	int64_t seconds[2];
	struct inode *inode = NULL;
	int error = 0;

	if (ARG(regs, 1)) {
		error = user_read(seconds, ARG(regs, 1), sizeof(seconds));
		for (int i = 0; i < 2 && !error; i++)
			times.at[i].sec = seconds[i], times.at[i].nsec = 0;
	}
	if (!error)
		error = inode_to_change(AT_FDCWD, ARG(regs, 0), 0, &inode);
	return change_times(error, inode, &times);
}

int64_t call_umask(struct registers *regs)
{
	return context_set_umask((uint32_t)ARG(regs, 0));
}
