/* SPDX-License-Identifier: MIT */
/* From paths to inodes: path_resolution(7). */
#ifndef KERNEL_PATH_H
#define KERNEL_PATH_H

#include "fs/tree.h"

#define LINKS_MOST 40

enum path_flags {
	PATH_FOLLOW = 1,   /* a symbolic link at the end, too */
	PATH_EXISTING = 2, /* -ENOENT if the last name is not there */
	PATH_EMPTY = 4,	   /* "" is the base itself, of any type */
	PATH_NAME = 8,	   /* the last name itself is meant, even if a slash is behind it */
};

enum path_end { END_NAME, END_DOT, END_DOTDOT, END_ROOT };

/* Where a path leads. */
struct path {
	struct inode *parent; /* where the last name is looked up; END_NAME only */
	struct entry *entry;  /* its entry; NULL: none, or a dynamic name */
	struct inode *inode;  /* NULL: there is none of this name */
	enum path_end end;    /* what the last component is */
	bool slash;	      /* it ends with one: must be a directory */
	size_t length;
	char name[NAME_LONGEST + 1];
};

/*
 * => fs_lock is held, on return and for as long as `entry` is used
 * 0, and path_done is owed; else ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EBADF, ENOMEM. A last name
 * that is missing is no error without PATH_EXISTING. After a slash one that is there and no
 * directory is an error, and a link is followed, without PATH_NAME.
 */
int path_find(int descriptor, const char *text, unsigned flags, struct path *path);
void path_done(struct path *path);

/*
 * A path of the program, in a buffer of PATH_ROOM bytes from the heap that the caller frees. 0,
 * EFAULT, ENAMETOOLONG, ENOMEM.
 */
int path_from_user(uint64_t address, char **text);
/* The inode at a program's path, with a reference. => fs_lock is not held */
int inode_from_user(int descriptor, uint64_t address, unsigned flags, struct inode **inode);
/* The same with AT_* flags, of which AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH count. */
int inode_at(int descriptor, uint64_t address, unsigned flags, struct inode **inode);
/* The inode of a descriptor, with a reference. EBADF, also if it is O_PATH unless `o_path`. */
int inode_of(int descriptor, bool o_path, struct inode **inode);

/* --- context.c: of the current process; a kernel thread is in the root --- */
struct inode *context_directory(void);	      /* with a reference; => fs_lock */
void context_change(struct inode *directory); /* => fs_lock */
uint32_t context_umask(void);
uint32_t context_set_umask(uint32_t mask);
/* With a reference. => fs_lock */
struct inode *context_directory_of(struct fs_context *context);

#endif
