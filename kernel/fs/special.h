/* SPDX-License-Identifier: MIT */
/* What files of each kind do, and what the parts of fs/ share beyond the tree. */
#ifndef KERNEL_SPECIAL_H
#define KERNEL_SPECIAL_H

#include "fs/fs.h"

#define FS_DEVICE 1 /* st_dev of all inodes: 0:1 */

extern const struct file_ops directory_file_ops, regular_file_ops, fifo_file_ops, path_file_ops,
	text_file_ops, console_file_ops;

#define DEVICE(major, minor) ((uint64_t)(major) << 8 | (minor))

/* Of a node in /dev; never NULL: unknown ones fail to open with ENXIO. */
const struct file_ops *device_ops(uint32_t mode, uint64_t device);

/* --- made at boot, in this order --- */
void inode_init(void);
void device_init(void);
void proc_init(void);
void sys_init(void);
/*
 * A new inode (whose reference is taken over; NULL: no memory) at a path from the root; directories
 * on the way are made. 0, or an error. => fs_lock is not held
 */
int fs_place(const char *path, struct inode *inode);

/* --- file.c --- */
/* A file of this inode, which it holds; ops->open has succeeded. `path`: heap, taken over if 0. */
int file_create_on(struct inode *inode, uint32_t flags, char *path, struct file **file);
/* Nobody runs it until the end; -ETXTBSY: somebody does. */
int inode_write_begin(struct inode *inode);
void inode_write_end(struct inode *inode);
/* Was it opened for that (and not with O_PATH)? */
bool file_can_read(const struct file *file);
bool file_can_write(const struct file *file);
/* `name` in brackets behind "anon_inode:": for /proc/self/fd. => file_create's, not yet installed
 */
int file_name(struct file *file, const char *name);
int64_t seek_sized(struct file *file, int64_t offset, int whence, uint64_t size);

/* --- regular.c: => write_mutex of the inode is not held --- */
int regular_truncate(struct inode *inode, uint64_t size);
bool regular_can_allocate(unsigned mode);
/* => regular_can_allocate */
int regular_allocate(struct inode *inode, unsigned mode, uint64_t offset, uint64_t length);

#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#define F_SEAL_FUTURE_WRITE 16

/* --- files.c --- */
/* Of any process's table. => `files` is held */
struct file *files_get_file(struct files *files, int descriptor);
/* The lowest descriptor in use >= from; -1: none. */
int files_next(struct files *files, int from);
/* Of the current process: set it (1, 0) or ask (-1: its value). -EBADF. */
int64_t files_close_on_exec(int descriptor, int set);
/* Two new files (taken over in any case) become descriptors, told at `address`. 0, or an error. */
int64_t files_install_pair(struct file *const *pair, uint32_t flags, uint64_t address);

/* --- pipe.c --- */
int64_t pipe_size(struct file *file);
int64_t pipe_set_size(struct file *file, uint64_t size);

/* --- epoll.c: its last reference is gone --- */
void epoll_forget(struct file *file);

/* --- poll.c --- */
/* What a file is ready for now, with POLLRDNORM and the like. */
unsigned file_ready(struct file *file);
/* The signal mask at `address` (0: none) for this call. EINVAL, EFAULT. */
int mask_for_call(uint64_t address, uint64_t size);
/* Where a struct timespec says (0: never), from now on. EINVAL, EFAULT. */
int deadline_from_user(uint64_t address, uint64_t *deadline);
uint64_t deadline_after(int64_t milliseconds); /* negative: never */

#endif
