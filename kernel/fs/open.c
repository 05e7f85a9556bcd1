/* SPDX-License-Identifier: MIT */
/* open(2) and its relatives, by programs and by the kernel. */
#include "fs/path.h"
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"

#define FLAGS_KNOWN                                                                                \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |      \
	 O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |       \
	 O_CLOEXEC | O_PATH | O_TMPFILE)
#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)

/* The path of what was found, in the heap. NULL: no memory, or nothing that could be named. */
static char *path_of(const struct path *path)
{
	const struct inode *inode = path->inode;
	char *text = heap_alloc(PATH_ROOM), *copy = NULL;
	int length;

	if (!text)
		return NULL;
	if (path->end == END_NAME)
		length = tree_path(path->parent, path->name, text, PATH_ROOM);
	else if (is_directory(inode))
		length = tree_path(inode, NULL, text, PATH_ROOM);
	else
		length = -ENOENT;
	if (length > 0)
		copy = heap_copy(text, (size_t)length + 1);
	heap_free(text);
	return copy;
}

/* A new regular file where nothing is. */
static int create_file(struct path *path, uint32_t mode)
{
	char *name;
	int error;

	if (path->parent->dynamic || path->parent->links == 0)
		return path->parent->links == 0 ? -ENOENT : -EACCES;
	name = path_of(path);
	path->inode = inode_create_regular(mode & 07777 & ~context_umask(), name);
	heap_free(name);
	if (!path->inode)
		return -ENOMEM;
	error = tree_add(path->parent, path->name, path->length, path->inode);
	if (error) {
		inode_put(path->inode);
		path->inode = NULL;
	}
	return error;
}

/* An unnamed file in the directory that was found. */
static int create_unnamed(struct path *path, uint32_t mode)
{
	struct inode *inode;

	if (!is_directory(path->inode))
		return -ENOTDIR;
	inode = inode_create_regular(mode & 07777 & ~context_umask(), "/tmp/#unnamed (deleted)");
	if (!inode)
		return -ENOMEM;
	inode_put(path->inode);
	path->inode = inode;
	path->end = END_ROOT;
	return 0;
}

/* May this inode be opened like that? */
static int check(const struct inode *inode, uint32_t flags)
{
	if (flags & O_DIRECTORY && !is_directory(inode))
		return -ENOTDIR;
	if (is_link(inode) && !(flags & O_PATH))
		return -ELOOP;
	if (flags & O_PATH)
		return 0;
	if (is_directory(inode) && flags & (O_ACCMODE | O_CREAT | O_TRUNC))
		return -EISDIR;
	/* Sockets, and what /proc/self/fd leads to that never had a name: eventfd, epoll. */
	if ((inode->mode & S_IFMT) == S_IFSOCK || !inode->ops)
		return -ENXIO;
	if (inode->print && flags & O_ACCMODE)
		return -EACCES;
	return 0;
}

/* => fs_lock. The inode is in *path, made if it has to be. */
static int find_or_create(int descriptor, const char *text, uint32_t flags, uint32_t mode,
			  struct path *path)
{
	unsigned how = flags & O_NOFOLLOW || (flags & O_CREAT && flags & O_EXCL) ? 0 : PATH_FOLLOW;
	bool unnamed = flags & TMPFILE_BIT, create = flags & O_CREAT && !unnamed;
	size_t length = strlen(text);
	int error;

	if (create && length && text[length - 1] == '/')
		how = PATH_NAME;
	error = path_find(descriptor, text, how, path);
	if (error)
		return error;
	if (create && path->slash && path->end == END_NAME)
		error = -EISDIR;
	else if (create && !path->inode)
		error = create_file(path, mode);
	else if (!path->inode)
		error = -ENOENT;
	else if (unnamed)
		error = create_unnamed(path, mode);
	else if (create && flags & O_EXCL)
		error = -EEXIST;
	else
		error = check(path->inode, flags);
	if (error)
		path_done(path);
	return error;
}

/* Takes `name` over if it succeeds. A program that runs is not opened to be changed. */
static int open_inode(struct inode *inode, uint32_t flags, char *name, struct file **file)
{
	bool plain = is_regular(inode) && inode->object && !(flags & O_PATH);
	bool writes = plain && flags & (O_ACCMODE | O_TRUNC);
	int error = writes ? inode_write_begin(inode) : 0;

	if (error)
		return error;
	if (plain && flags & O_TRUNC)
		error = regular_truncate(inode, 0);
	if (!error)
		error = file_create_on(inode, flags & FLAGS_KNOWN, name, file);
	if (!error)
		(*file)->writing = writes;
	else if (writes)
		inode_write_end(inode);
	return error;
}

/* *file has a reference for the caller. */
static int open_at(int descriptor, const char *text, uint32_t flags, uint32_t mode,
		   struct file **file)
{
	struct path path;
	char *name;
	int error;

	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
		return -EINVAL;
	if (flags & TMPFILE_BIT && (!(flags & O_DIRECTORY) || !(flags & O_ACCMODE)))
		return -EINVAL;
	mutex_take(&fs_lock);
	error = find_or_create(descriptor, text, flags, mode, &path);
	if (error) {
		mutex_drop(&fs_lock);
		return error;
	}
	name = path_of(&path);
	mutex_drop(&fs_lock);
	error = open_inode(path.inode, flags, name, file);
	if (error)
		heap_free(name);
	path_done(&path);
	return error;
}

int fs_open(const char *path, uint32_t flags, uint32_t mode, struct file **file)
{
	return open_at(AT_FDCWD, path, flags, mode, file);
}

static int64_t open_descriptor(int descriptor, uint64_t address, uint32_t flags, uint32_t mode)
{
	struct file *file;
	char *text;
	int result = path_from_user(address, &text);

	if (result)
		return result;
	result = open_at(descriptor, text, flags, mode, &file);
	heap_free(text);
	if (result)
		return result;
	result = file_install(file, 0, flags & O_CLOEXEC);
	if (result < 0)
		file_put(file);
	return result;
}

int64_t call_open(struct registers *regs)
{
	return open_descriptor(AT_FDCWD, ARG(regs, 0), (uint32_t)ARG(regs, 1),
			       (uint32_t)ARG(regs, 2));
}

int64_t call_openat(struct registers *regs)
{
	return open_descriptor((int)ARG(regs, 0), ARG(regs, 1), (uint32_t)ARG(regs, 2),
			       (uint32_t)ARG(regs, 3));
}

int64_t call_creat(struct registers *regs)
{
	return open_descriptor(AT_FDCWD, ARG(regs, 0), O_CREAT | O_WRONLY | O_TRUNC,
			       (uint32_t)ARG(regs, 1));
}
