/* SPDX-License-Identifier: MIT */
/* Names come, go and move: mkdir(2), mknod(2), link(2), symlink(2), unlink(2), rmdir(2), rename(2).
 */
#include "fs/path.h"
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"

#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u

/* Can a new name be made where the path leads? => fs_lock */
static int check_new(const struct path *path, bool directory)
{
	if (path->end != END_NAME || path->inode)
		return -EEXIST;
	if (path->slash && !directory)
		return -ENOENT;
	if (path->parent->links == 0)
		return -ENOENT;
	return path->parent->dynamic ? -EACCES : 0;
}

/* Can this name go? => fs_lock */
static int check_old(const struct path *path)
{
	if (!path->inode)
		return -ENOENT;
	if (!path->entry)
		return -EPERM;
	return 0;
}

/* A new inode (whose reference is taken over; NULL: no memory) gets the name. */
static int64_t add_name(int descriptor, uint64_t address, struct inode *inode)
{
	struct path path;
	char *text;
	int error = inode ? path_from_user(address, &text) : -ENOMEM;

	if (error) {
		inode_put(inode);
		return error;
	}
	mutex_take(&fs_lock);
	error = path_find(descriptor, text, PATH_NAME, &path);
	if (!error) {
		bool second = inode->links != 0;

		error = check_new(&path, is_directory(inode) && !second);
		if (!error && is_directory(inode) && second)
			error = -EPERM;
		if (!error && inode->print)
			error = -EXDEV;
		if (!error)
			error = tree_add(path.parent, path.name, path.length, inode);
		path_done(&path);
	}
	mutex_drop(&fs_lock);
	heap_free(text);
	inode_put(inode);
	return error;
}

static int64_t make_directory(int descriptor, uint64_t address, uint64_t mode)
{
	uint32_t bits = (uint32_t)mode & 01777 & ~context_umask();

	return add_name(descriptor, address, inode_create(S_IFDIR | bits));
}

int64_t call_mkdir(struct registers *regs)
{
	return make_directory(AT_FDCWD, ARG(regs, 0), ARG(regs, 1));
}

int64_t call_mkdirat(struct registers *regs)
{
	return make_directory((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2));
}

static int64_t make_node(int descriptor, uint64_t address, uint64_t mode, uint64_t device)
{
	uint32_t bits = (uint32_t)mode & 07777 & ~context_umask();
	uint32_t type = (uint32_t)mode & S_IFMT;

	switch (type) {
	case 0:
	case S_IFREG:
		return add_name(descriptor, address, inode_create_regular(bits, NULL));
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return add_name(descriptor, address, inode_create_node(type | bits, device));
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

int64_t call_mknod(struct registers *regs)
{
	return make_node(AT_FDCWD, ARG(regs, 0), ARG(regs, 1), ARG(regs, 2));
}

int64_t call_mknodat(struct registers *regs)
{
	return make_node((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), ARG(regs, 3));
}

static int64_t make_link(uint64_t target, int descriptor, uint64_t address)
{
	struct inode *inode;
	char *text;
	int error = path_from_user(target, &text);

	if (error)
		return error;
	if (!*text) {
		heap_free(text);
		return -ENOENT;
	}
	inode = inode_create_link(text);
	heap_free(text);
	return add_name(descriptor, address, inode);
}

int64_t call_symlink(struct registers *regs)
{
	return make_link(ARG(regs, 0), AT_FDCWD, ARG(regs, 1));
}

int64_t call_symlinkat(struct registers *regs)
{
	return make_link(ARG(regs, 0), (int)ARG(regs, 1), ARG(regs, 2));
}

static int64_t hard_link(int from, uint64_t old, int to, uint64_t new, uint64_t flags)
{
	unsigned how = flags & AT_SYMLINK_FOLLOW ? PATH_FOLLOW : 0;
	struct inode *inode;
	int error;

	if (flags & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (flags & AT_EMPTY_PATH)
		how |= PATH_EMPTY;
	error = inode_from_user(from, old, how, &inode);
	if (error)
		return error;
	return add_name(to, new, inode);
}

int64_t call_link(struct registers *regs)
{
	return hard_link(AT_FDCWD, ARG(regs, 0), AT_FDCWD, ARG(regs, 1), 0);
}

int64_t call_linkat(struct registers *regs)
{
	return hard_link((int)ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2), ARG(regs, 3),
			 ARG(regs, 4));
}

/* => fs_lock */
static int remove_found(struct path *path, bool directory)
{
	int error;

	if (directory && path->end == END_DOT)
		return -EINVAL;
	if (directory && path->end == END_DOTDOT)
		return -ENOTEMPTY;
	if (path->end != END_NAME)
		return directory ? -EBUSY : -EISDIR;
	error = check_old(path);
	if (error)
		return error;
	if (!directory && is_directory(path->inode))
		return -EISDIR;
	if (!is_directory(path->inode) && (directory || path->slash))
		return -ENOTDIR;
	if (directory && !tree_is_empty(path->inode))
		return -ENOTEMPTY;
	if (directory && path->inode->dynamic)
		return -EBUSY;
	tree_remove(path->entry);
	return 0;
}

static int64_t remove_name(int descriptor, uint64_t address, bool directory)
{
	struct path path;
	char *text;
	int error = path_from_user(address, &text);

	if (error)
		return error;
	mutex_take(&fs_lock);
	error = path_find(descriptor, text, PATH_NAME, &path);
	if (!error) {
		error = remove_found(&path, directory);
		path_done(&path);
	}
	mutex_drop(&fs_lock);
	heap_free(text);
	return error;
}

int64_t call_unlink(struct registers *regs)
{
	return remove_name(AT_FDCWD, ARG(regs, 0), false);
}

int64_t call_rmdir(struct registers *regs)
{
	return remove_name(AT_FDCWD, ARG(regs, 0), true);
}

int64_t call_unlinkat(struct registers *regs)
{
	if (ARG(regs, 2) & ~(uint64_t)AT_REMOVEDIR)
		return -EINVAL;
	return remove_name((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2) & AT_REMOVEDIR);
}

/* May what `old` names take the place of what `new` names, which is there? */
static int check_replace(const struct path *old, const struct path *new)
{
	if (!new->entry)
		return -EPERM;
	if (is_directory(old->inode) && !is_directory(new->inode))
		return -ENOTDIR;
	if (!is_directory(old->inode) && is_directory(new->inode))
		return -EISDIR;
	if (is_directory(new->inode) && !tree_is_empty(new->inode))
		return -ENOTEMPTY;
	return 0;
}

/* A directory can't go below itself; by an exchange neither can. */
static int check_loops(const struct path *old, const struct path *new, bool exchange)
{
	if (is_directory(old->inode) && tree_is_above(old->inode, new->parent))
		return -EINVAL;
	if (new->inode && is_directory(new->inode) && tree_is_above(new->inode, old->parent))
		return exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

/* Everything that can be wrong. => fs_lock */
static int check_rename(const struct path *old, const struct path *new, bool exchange, bool keep)
{
	int error;

	if (old->end != END_NAME)
		return -EBUSY;
	if (new->end != END_NAME)
		return keep ? -EEXIST : -EBUSY;
	error = check_old(old);
	if (error)
		return error;
	if (!new->inode && exchange)
		return -ENOENT;
	if (new->inode && keep)
		return -EEXIST;
	if ((old->slash || (new->slash && !exchange)) && !is_directory(old->inode))
		return -ENOTDIR;
	if (exchange && new->slash && !is_directory(new->inode))
		return -ENOTDIR;
	error = check_loops(old, new, exchange);
	if (error || new->inode == old->inode)
		return error;
	if (!new->inode)
		return check_new(new, is_directory(old->inode));
	if (exchange)
		return new->entry ? 0 : -EPERM;
	return check_replace(old, new);
}

/* => fs_lock. What is replaced loses its name only when nothing can fail any more. */
static int rename_found(struct path *old, struct path *new, unsigned flags)
{
	bool exchange = flags & RENAME_EXCHANGE, keep = flags & RENAME_NOREPLACE;
	int error = check_rename(old, new, exchange, keep);

	if (error || new->inode == old->inode)
		return error;
	if (exchange) {
		tree_exchange(old->entry, new->entry);
		return 0;
	}
	if (new->inode)
		tree_replace(new->entry, old->inode);
	else
		error = tree_add(new->parent, new->name, new->length, old->inode);
	if (!error)
		tree_remove(old->entry);
	return error;
}

static int64_t rename_at(int from, uint64_t old, int to, uint64_t new, uint64_t flags)
{
	struct path old_path, new_path;
	char *old_text, *new_text;
	int error;

	if (flags & ~(uint64_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	error = path_from_user(old, &old_text);
	if (error)
		return error;
	error = path_from_user(new, &new_text);
	if (error) {
		heap_free(old_text);
		return error;
	}
	mutex_take(&fs_lock);
	error = path_find(from, old_text, PATH_NAME, &old_path);
	if (!error) {
		error = path_find(to, new_text, PATH_NAME, &new_path);
		if (!error) {
			error = rename_found(&old_path, &new_path, (unsigned)flags);
			path_done(&new_path);
		}
		path_done(&old_path);
	}
	mutex_drop(&fs_lock);
	heap_free(new_text);
	heap_free(old_text);
	return error;
}

int64_t call_rename(struct registers *regs)
{
	return rename_at(AT_FDCWD, ARG(regs, 0), AT_FDCWD, ARG(regs, 1), 0);
}

int64_t call_renameat(struct registers *regs)
{
	return rename_at((int)ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2), ARG(regs, 3), 0);
}

int64_t call_renameat2(struct registers *regs)
{
	return rename_at((int)ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2), ARG(regs, 3),
			 ARG(regs, 4));
}
