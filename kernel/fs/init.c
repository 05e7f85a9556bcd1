/* SPDX-License-Identifier: MIT */
/* The tree at boot: the root, and what is put into it by the kernel and from the archive. */
#include "fs/path.h"
#include "fs/special.h"
#include "fs/terminal.h"

#include "arch/panic.h"
#include "lib/string.h"
#include "memory/heap.h"

/* The directory at a path, made if it is not there. => fs_lock */
static int find_directory(const char *path)
{
	struct path found;
	struct inode *inode;
	int error = path_find(AT_FDCWD, path, PATH_FOLLOW, &found);

	if (error)
		return error;
	if (!found.inode) {
		inode = inode_create(S_IFDIR | 0755);
		error = inode ? tree_add(found.parent, found.name, found.length, inode) : -ENOMEM;
		inode_put(inode);
	} else if (!is_directory(found.inode)) {
		error = -ENOTDIR;
	}
	path_done(&found);
	return error;
}

/* What is in the place goes, but for a directory, which takes what the new one has to say. */
static int place(const char *path, struct inode *inode)
{
	struct path found;
	int error = path_find(AT_FDCWD, path, is_directory(inode) ? PATH_FOLLOW : 0, &found);

	if (error)
		return error;
	if (!found.inode) {
		error = tree_add(found.parent, found.name, found.length, inode);
	} else if (is_directory(found.inode)) {
		error = is_directory(inode) ? 0 : -EISDIR;
		found.inode->mode = inode->mode;
		found.inode->owner = inode->owner;
		found.inode->group = inode->group;
	} else if (is_directory(inode) || !found.entry) {
		error = -EEXIST;
	} else {
		tree_replace(found.entry, inode);
	}
	path_done(&found);
	return error;
}

int fs_place(const char *path, struct inode *inode)
{
	size_t size = strlen(path) + 1;
	char *part = heap_alloc(size);
	int error = inode && part ? 0 : -ENOMEM;

	mutex_take(&fs_lock);
	for (size_t i = 1; i < size && !error; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		error = find_directory(part);
	}
	if (!error)
		error = place(path, inode);
	mutex_drop(&fs_lock);
	heap_free(part);
	inode_put(inode);
	return error;
}

void fs_init(void)
{
	tree_init();
	inode_init();
	fs_root = inode_create(S_IFDIR | 0755);
	if (!fs_root)
		panic("no memory for the root directory");
	fs_root->links = 2;
	(void)fs_place("/tmp", inode_create(S_IFDIR | 01777));
	device_init();
	terminal_init();
	proc_init();
	sys_init();
}
