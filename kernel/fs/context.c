/* SPDX-License-Identifier: MIT */
/* Where a process is in the tree, and its umask: shared by clone(2) with CLONE_FS. */
#include "fs/path.h"

#include "memory/heap.h"
#include "task/task.h"

/* `directory` belongs to fs_lock. */
struct fs_context {
	_Atomic uint32_t references;
	_Atomic uint32_t mask; /* relaxed: a number of its own */
	struct inode *directory;
};

static struct fs_context *create(struct inode *directory, uint32_t mask)
{
	struct fs_context *context = heap_zero(sizeof(*context));

	if (!context)
		return NULL;
	atomic_init(&context->references, 1);
	atomic_init(&context->mask, mask);
	context->directory = directory;
	inode_hold(directory);
	return context;
}

struct fs_context *fs_context_create(void)
{
	return create(fs_root, 022);
}

struct fs_context *fs_context_copy(struct fs_context *from)
{
	struct fs_context *context;

	mutex_take(&fs_lock);
	context = create(from->directory, atomic_load_explicit(&from->mask, memory_order_relaxed));
	mutex_drop(&fs_lock);
	return context;
}

void fs_context_get(struct fs_context *context)
{
	atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
}

void fs_context_put(struct fs_context *context)
{
	/* Acquire and release: each other's uses are before the end. */
	if (atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1)
		return;
	inode_put(context->directory);
	heap_free(context);
}

static struct fs_context *current_context(void)
{
	struct process *process = current_process();

	return process ? process->fs : NULL;
}

struct inode *context_directory_of(struct fs_context *context)
{
	struct inode *directory = context ? context->directory : fs_root;

	inode_hold(directory);
	return directory;
}

struct inode *context_directory(void)
{
	return context_directory_of(current_context());
}

void context_change(struct inode *directory)
{
	struct fs_context *context = current_context();

	inode_hold(directory);
	inode_put(context->directory);
	context->directory = directory;
}

uint32_t context_umask(void)
{
	struct fs_context *context = current_context();

	return context ? atomic_load_explicit(&context->mask, memory_order_relaxed) : 0;
}

uint32_t context_set_umask(uint32_t mask)
{
	return atomic_exchange_explicit(&current_context()->mask, mask & 0777,
					memory_order_relaxed);
}
