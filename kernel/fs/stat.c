/* SPDX-License-Identifier: MIT */
/* stat(2), statx(2), access(2), statfs(2): what is known about an inode. */
#include "fs/path.h"
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/user.h"

#include <quire/machine.h>

#define AT_STATX_SYNC_TYPE 0x6000u
#define STATX_BASIC_STATS 0x7ffu
#define STATX_RESERVED 0x80000000u

#define BLOCK 512 /* of st_blocks */
#define TMPFS_MAGIC 0x01021994
#define PROC_MAGIC 0x9fa0

struct user_stat {
	uint64_t dev, ino, nlink;
	uint32_t mode, uid, gid, pad;
	uint64_t rdev;
	int64_t size, blksize, blocks;
	struct {
		uint64_t sec, nsec;
	} atime, mtime, ctime;
	int64_t unused[3];
};

struct user_statx_time {
	int64_t sec;
	uint32_t nsec, reserved;
};

struct user_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	struct user_statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mount;
	uint32_t dio_memory, dio_offset;
	uint64_t spare[12];
};

struct user_statfs {
	int64_t type, bsize;
	uint64_t blocks, bfree, bavail, files, ffree;
	int32_t fsid[2];
	int64_t namelen, frsize, flags, spare[4];
};

_Static_assert(sizeof(struct user_stat) == 144, "struct stat");
_Static_assert(sizeof(struct user_statx) == 256, "struct statx");
_Static_assert(sizeof(struct user_statfs) == 120, "struct statfs");

static uint64_t size_of(const struct inode *inode)
{
	if (inode->object)
		return quire_object_size(inode->object);
	if (inode->link)
		return strlen(inode->link);
	return is_directory(inode) ? QUIRE_PAGE_SIZE : 0;
}

static void fill_stat(const struct inode *inode, struct user_stat *to)
{
	uint64_t accessed = atomic_load_explicit(&inode->accessed, memory_order_relaxed);
	uint64_t modified = atomic_load_explicit(&inode->modified, memory_order_relaxed);
	uint64_t changed = atomic_load_explicit(&inode->changed, memory_order_relaxed);
	uint64_t size = size_of(inode);

	*to = (struct user_stat){
		.dev = FS_DEVICE,
		.ino = inode->number,
		.nlink = inode->links,
		.mode = inode->mode,
		.uid = inode->owner,
		.gid = inode->group,
		.rdev = inode->device,
		.size = (int64_t)size,
		.blksize = QUIRE_PAGE_SIZE,
		.blocks = (int64_t)((size + BLOCK - 1) / BLOCK),
		.atime = { accessed / SECOND, accessed % SECOND },
		.mtime = { modified / SECOND, modified % SECOND },
		.ctime = { changed / SECOND, changed % SECOND },
	};
}

static struct user_statx_time statx_time(uint64_t sec, uint64_t nsec)
{
	return (struct user_statx_time){ .sec = (int64_t)sec, .nsec = (uint32_t)nsec };
}

static void fill_statx(const struct user_stat *from, struct user_statx *to)
{
	*to = (struct user_statx){
		.mask = STATX_BASIC_STATS,
		.blksize = (uint32_t)from->blksize,
		.nlink = (uint32_t)from->nlink,
		.uid = from->uid,
		.gid = from->gid,
		.mode = (uint16_t)from->mode,
		.ino = from->ino,
		.size = (uint64_t)from->size,
		.blocks = (uint64_t)from->blocks,
		.atime = statx_time(from->atime.sec, from->atime.nsec),
		.ctime = statx_time(from->ctime.sec, from->ctime.nsec),
		.mtime = statx_time(from->mtime.sec, from->mtime.nsec),
		.rdev_major = (uint32_t)(from->rdev >> 8),
		.rdev_minor = from->rdev & 0xff,
		.dev_minor = FS_DEVICE,
	};
}

static int64_t write_stat(int error, struct inode *inode, uint64_t address)
{
	struct user_stat stat;

	if (error)
		return error;
	fill_stat(inode, &stat);
	inode_put(inode);
	return user_write(address, &stat, sizeof(stat));
}

int64_t call_stat(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_at(AT_FDCWD, ARG(regs, 0), 0, &inode);

	return write_stat(error, inode, ARG(regs, 1));
}

int64_t call_lstat(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_at(AT_FDCWD, ARG(regs, 0), AT_SYMLINK_NOFOLLOW, &inode);

	return write_stat(error, inode, ARG(regs, 1));
}

int64_t call_fstat(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_of((int)ARG(regs, 0), true, &inode);

	return write_stat(error, inode, ARG(regs, 1));
}

int64_t call_newfstatat(struct registers *regs)
{
	unsigned flags = (unsigned)ARG(regs, 3);
	struct inode *inode;
	int error;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	error = inode_at((int)ARG(regs, 0), ARG(regs, 1), flags, &inode);
	return write_stat(error, inode, ARG(regs, 2));
}

int64_t call_statx(struct registers *regs)
{
	unsigned flags = (unsigned)ARG(regs, 2);
	struct user_stat stat;
	struct user_statx statx;
	struct inode *inode;
	int error;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) ||
	    (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || ARG(regs, 3) & STATX_RESERVED)
		return -EINVAL;
	error = inode_at((int)ARG(regs, 0), ARG(regs, 1), flags, &inode);
	if (error)
		return error;
	fill_stat(inode, &stat);
	inode_put(inode);
	fill_statx(&stat, &statx);
	return user_write(ARG(regs, 4), &statx, sizeof(statx));
}

/* Everybody is root here: only what nobody may execute is refused. */
static int64_t check_access(int descriptor, uint64_t address, uint64_t mode, unsigned flags)
{
	struct inode *inode;
	int error;

	if (mode & ~7ull || flags & ~(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH))
		return -EINVAL;
	error = inode_at(descriptor, address, flags, &inode);
	if (error)
		return error;
	if (mode & 1 && !is_directory(inode) && !(inode->mode & 0111))
		error = -EACCES;
	inode_put(inode);
	return error;
}

int64_t call_access(struct registers *regs)
{
	return check_access(AT_FDCWD, ARG(regs, 0), ARG(regs, 1), 0);
}

int64_t call_faccessat(struct registers *regs)
{
	return check_access((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), 0);
}

int64_t call_faccessat2(struct registers *regs)
{
	return check_access((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), (unsigned)ARG(regs, 3));
}

static int64_t write_statfs(int error, struct inode *inode, uint64_t address)
{
	struct quire_memory_stats memory;
	struct user_statfs statfs = {
		.type = TMPFS_MAGIC,
		.bsize = QUIRE_PAGE_SIZE,
		.namelen = NAME_LONGEST,
		.frsize = QUIRE_PAGE_SIZE,
	};

	if (error)
		return error;
	if (inode->print || inode->dynamic)
		statfs.type = PROC_MAGIC;
	inode_put(inode);
	quire_memory_stats(&memory);
	statfs.blocks = memory.total;
	statfs.bfree = statfs.bavail = memory.free;
	statfs.files = memory.total;
	statfs.ffree = memory.free;
	return user_write(address, &statfs, sizeof(statfs));
}

int64_t call_statfs(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_at(AT_FDCWD, ARG(regs, 0), 0, &inode);

	return write_statfs(error, inode, ARG(regs, 1));
}

int64_t call_fstatfs(struct registers *regs)
{
	struct inode *inode = NULL;
	int error = inode_of((int)ARG(regs, 0), true, &inode);

	return write_statfs(error, inode, ARG(regs, 1));
}
