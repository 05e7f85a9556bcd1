/* SPDX-License-Identifier: MIT */
/* Entries: a list for each directory, in order, and one hash over all of them. */
#include "fs/tree.h"

#include "lib/string.h"
#include "memory/heap.h"

#define CHAINS 4096

struct mutex fs_lock = MUTEX_INIT(fs_lock);
struct inode *fs_root;

static struct list chains[CHAINS];

void tree_init(void)
{
	for (unsigned i = 0; i < CHAINS; i++)
		list_init(&chains[i]);
}

/* FNV-1a, begun with the directory's number. */
static struct list *chain_of(const struct inode *directory, const char *name, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325ull ^ directory->number;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3ull;
	return &chains[(hash ^ hash >> 32) % CHAINS];
}

struct entry *tree_find(struct inode *directory, const char *name, size_t length)
{
	list_for_each(entry, chain_of(directory, name, length), struct entry, chain)
		if (entry->directory == directory && entry->length == length &&
		    memcmp(entry->name, name, length) == 0)
			return entry;
	return NULL;
}

/* A name of the inode has come: of a directory the only one, whatever it had before. */
static void attach(struct entry *entry, struct inode *inode)
{
	inode_hold(inode);
	entry->inode = inode;
	if (!is_directory(inode)) {
		inode->links++;
		return;
	}
	inode->links = MAX(inode->links, 2u); /* its own "." */
	inode->entry = entry;
	entry->directory->links++;
	inode_hold(entry->directory);
	inode_put(inode->parent);
	inode->parent = entry->directory;
}

/* And gone; the reference is the caller's now. */
static struct inode *detach(struct entry *entry)
{
	struct inode *inode = entry->inode;

	entry->inode = NULL;
	if (is_directory(inode)) {
		entry->directory->links--;
		if (inode->entry == entry)
			inode->entry = NULL;
	} else {
		inode->links--;
	}
	return inode;
}

int tree_add(struct inode *directory, const char *name, size_t length, struct inode *inode)
{
	struct entry *entry = heap_alloc(sizeof(*entry) + length + 1);

	if (!entry)
		return -ENOMEM;
	memcpy(entry->name, name, length);
	entry->name[length] = 0;
	entry->length = (uint16_t)length;
	entry->directory = directory;
	entry->cookie = directory->next_cookie++;
	list_add(&directory->entries, &entry->node);
	list_add_first(chain_of(directory, name, length), &entry->chain);
	attach(entry, inode);
	inode_touch(directory, true);
	inode_touch(inode, false);
	return 0;
}

/* A directory that has no name any more takes no new ones. */
static void lose(struct inode *inode)
{
	if (is_directory(inode) && !inode->entry)
		inode->links = 0;
	inode_touch(inode, false);
	inode_put(inode);
}

void tree_remove(struct entry *entry)
{
	inode_touch(entry->directory, true);
	lose(detach(entry));
	list_remove(&entry->node);
	list_remove(&entry->chain);
	heap_free(entry);
}

bool tree_is_empty(const struct inode *directory)
{
	return list_empty(&directory->entries);
}

void tree_replace(struct entry *entry, struct inode *inode)
{
	struct inode *old = detach(entry);

	attach(entry, inode);
	inode_touch(entry->directory, true);
	lose(old);
}

void tree_exchange(struct entry *a, struct entry *b)
{
	struct inode *from_a = detach(a), *from_b = detach(b);

	attach(a, from_b);
	attach(b, from_a);
	inode_touch(a->directory, true);
	inode_touch(b->directory, true);
	inode_put(from_a);
	inode_put(from_b);
}

bool tree_is_above(const struct inode *inode, const struct inode *directory)
{
	for (;; directory = directory->parent) {
		if (directory == inode)
			return true;
		if (!directory->parent)
			return false;
	}
}

/* Written from the end of the text backwards, then moved to its front. */
int tree_path(const struct inode *directory, const char *name, char *text, size_t size)
{
	size_t at = size - 1;

	text[at] = 0;
	for (;;) {
		size_t length;

		if (!name) {
			if (directory == fs_root)
				break;
			if (!directory->entry)
				return -ENOENT;
			name = directory->entry->name;
			directory = directory->parent;
		}
		length = strlen(name);
		if (at < length + 1)
			return -ENAMETOOLONG;
		at -= length;
		memcpy(text + at, name, length);
		text[--at] = '/';
		name = NULL;
	}
	if (at == size - 1)
		text[--at] = '/';
	memmove(text, text + at, size - at);
	return (int)(size - 1 - at);
}
