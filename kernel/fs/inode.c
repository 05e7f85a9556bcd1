/* SPDX-License-Identifier: MIT */
/* Inodes: how they come and go. What they hold is freed with the last reference. */
#include "fs/special.h"
#include "fs/tree.h"

#include "arch/cpu.h"
#include "lib/string.h"
#include "memory/heap.h"

static _Atomic uint64_t last_number;

uint64_t fs_now(void)
{
	return time_at_boot + time_now();
}

void inode_touch(struct inode *inode, bool modified)
{
	uint64_t now = fs_now();

	atomic_store_explicit(&inode->changed, now, memory_order_relaxed);
	if (modified)
		atomic_store_explicit(&inode->modified, now, memory_order_relaxed);
}

struct inode *inode_create(uint32_t mode)
{
	struct inode *inode = heap_zero(sizeof(*inode));

	if (!inode)
		return NULL;
	inode->mode = mode;
	inode->number = 1 + atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed);
	inode->next_cookie = COOKIE_FIRST;
	atomic_init(&inode->references, 1);
	mutex_init(&inode->write_mutex);
	list_init(&inode->entries);
	list_init(&inode->locks);
	inode_touch(inode, true);
	atomic_store_explicit(&inode->accessed, inode->modified, memory_order_relaxed);
	if (is_directory(inode))
		inode->ops = &directory_file_ops;
	return inode;
}

struct inode *inode_create_regular(uint32_t mode, const char *name)
{
	struct inode *inode = inode_create(S_IFREG | mode);
	struct quire_object_config config = { .name = name, .device_minor = FS_DEVICE };

	if (!inode)
		return NULL;
	inode->ops = &regular_file_ops;
	inode->seals = F_SEAL_SEAL;
	config.inode = inode->number;
	if (quire_shared_create(0, &config, &inode->object) != 0) {
		inode_put(inode);
		return NULL;
	}
	return inode;
}

struct inode *inode_create_link(const char *target)
{
	struct inode *inode = inode_create(S_IFLNK | 0777);

	if (!inode)
		return NULL;
	inode->link = heap_copy(target, strlen(target) + 1);
	if (!inode->link) {
		inode_put(inode);
		return NULL;
	}
	return inode;
}

struct inode *inode_create_node(uint32_t mode, uint64_t device)
{
	struct inode *inode = inode_create(mode);

	if (!inode)
		return NULL;
	inode->device = device;
	if ((mode & S_IFMT) == S_IFIFO)
		inode->ops = &fifo_file_ops;
	else
		inode->ops = device_ops(mode, device);
	return inode;
}

void inode_hold(struct inode *inode)
{
	atomic_fetch_add_explicit(&inode->references, 1, memory_order_relaxed);
}

/* Release: what others did with the inode is before its end; acquire: of all of them. */
static bool inode_is_last(struct inode *inode)
{
	return atomic_fetch_sub_explicit(&inode->references, 1, memory_order_acq_rel) == 1;
}

/* A loop, since a directory may be the last to hold its parent, and so on up. */
void inode_put(struct inode *inode)
{
	while (inode && inode_is_last(inode)) {
		struct inode *parent = inode->parent;

		if (inode->free)
			inode->free(inode);
		if (inode->object)
			quire_object_put(inode->object);
		inode_put(inode->target); /* which is no link: no deeper */
		heap_free(inode->link);
		heap_free(inode);
		inode = parent;
	}
}
