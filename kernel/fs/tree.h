/* SPDX-License-Identifier: MIT */
/*
 * The tree: inodes, and the entries that name them.
 *
 *     directory inode ──entries──► entry (name, cookie) ──► inode
 *            ▲                       └─ chain of the hash of (directory, name)
 *            └──────parent──────────────────── a directory's inode
 *
 * A directory holds its parent, an entry holds its inode; a removed directory keeps its parent
 * until it is freed, so ".." of a process that sits in it still leads somewhere.
 *
 * => functions without another word: fs_lock is held
 */
#ifndef KERNEL_TREE_H
#define KERNEL_TREE_H

#include "fs/fs.h"

#define NAME_LONGEST 255

struct entry {
	struct list node;  /* in directory->entries */
	struct list chain; /* in the hash */
	struct inode *directory, *inode;
	uint64_t cookie; /* grows along the list: where getdents goes on */
	uint16_t length;
	char name[]; /* with NUL */
};

/* What getdents is told of a name. */
struct dirent_info {
	char name[NAME_LONGEST + 1];
	uint64_t number, cookie;
	uint32_t mode;
};

/* Names that are made up when somebody looks. */
struct dynamic_ops {
	/* 0 with a reference; -ENOENT, -ENOMEM. */
	int (*lookup)(struct inode *directory, const char *name, size_t length,
		      struct inode **found);
	/* The first name at or behind *info's cookie, which is set to that of the next; false:
	 * none. */
	bool (*next)(struct inode *directory, struct dirent_info *info);
};

#define COOKIE_FIRST 2		   /* 0 is ".", 1 is ".." */
#define COOKIE_DYNAMIC (1ul << 48) /* from here on dynamic_ops->next is asked */

extern struct mutex fs_lock;
extern struct inode *fs_root;

/* Nanoseconds since 1970. No lock. */
uint64_t fs_now(void);

/* --- inode.c: no lock needed --- */
/* One reference, no links, owner root, times now. NULL: no memory. */
struct inode *inode_create(uint32_t mode);
/* A regular file of this name (for /proc/self/maps alone), empty. */
struct inode *inode_create_regular(uint32_t mode, const char *name);
struct inode *inode_create_link(const char *target);
/* A device, fifo or socket node: ops as the mode and the device say. */
struct inode *inode_create_node(uint32_t mode, uint64_t device);
void inode_hold(struct inode *inode);
/* The last one frees; may sleep. NULL: nothing. */
void inode_put(struct inode *inode);

/* A change of contents (modified too), or of what is known about it. */
void inode_touch(struct inode *inode, bool modified);

static inline bool is_directory(const struct inode *inode)
{
	return (inode->mode & S_IFMT) == S_IFDIR;
}

static inline bool is_link(const struct inode *inode)
{
	return (inode->mode & S_IFMT) == S_IFLNK;
}

static inline bool is_regular(const struct inode *inode)
{
	return (inode->mode & S_IFMT) == S_IFREG;
}

/* --- tree.c --- */
void tree_init(void); /* no lock: at boot */
struct entry *tree_find(struct inode *directory, const char *name, size_t length);
/*
 * Gives `inode` a name (which is free) in `directory`: holds it, counts its links, makes a
 * directory its child. 0, or -ENOMEM.
 */
int tree_add(struct inode *directory, const char *name, size_t length, struct inode *inode);
/*
 * The entry is no more. => a directory is empty, or has just got another name: for the time between
 * it has two
 */
void tree_remove(struct entry *entry);
bool tree_is_empty(const struct inode *directory);
/* The entry names this inode from now on (the old one loses a link), or the two change places. */
void tree_replace(struct entry *entry, struct inode *inode);
void tree_exchange(struct entry *a, struct entry *b);
/* Is `inode` this directory or one above it? */
bool tree_is_above(const struct inode *inode, const struct inode *directory);
/*
 * The path of a directory, and of `name` in it unless NULL, from the root, into `text`. Returns its
 * length without NUL, -ENAMETOOLONG, or -ENOENT: the directory was removed.
 */
int tree_path(const struct inode *directory, const char *name, char *text, size_t size);

#endif
