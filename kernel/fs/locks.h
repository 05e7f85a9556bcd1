/* SPDX-License-Identifier: MIT */
/* Record locks: fcntl(2) and flock(2). */
#ifndef KERNEL_LOCKS_H
#define KERNEL_LOCKS_H

#include "fs/fs.h"

enum { F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7 };
enum lock_owner { LOCK_OF_PROCESS, LOCK_OF_FILE };

/* F_GETLK, F_SETLK, F_SETLKW, with a program's struct flock. May sleep. */
int64_t lock_control(struct file *file, int command, enum lock_owner whose, uint64_t address);
int64_t lock_flock(struct file *file, int operation);
/* What an owner (a struct files, or a struct file) has locked of this inode. */
void locks_release(struct inode *inode, const void *owner);

#endif
