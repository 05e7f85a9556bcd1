/* SPDX-License-Identifier: MIT */
/* Open files: what a descriptor leads to, shared by dup(2) and fork(2). */
#include "fs/locks.h"
#include "fs/path.h"
#include "fs/special.h"

#include "lib/string.h"
#include "memory/heap.h"

#define FLAGS_OF_OPEN (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

static struct inode *anonymous; /* of files that are in no tree */

void inode_init(void)
{
	anonymous = inode_create(0600);
	if (anonymous)
		anonymous->links = 1;
}

static struct file *create(struct inode *inode, const struct file_ops *ops, uint32_t flags)
{
	struct file *file = heap_zero(sizeof(*file));

	if (!file)
		return NULL;
	atomic_init(&file->references, 1);
	mutex_init(&file->position_mutex);
	list_init(&file->watches);
	file->flags = (flags & ~(uint32_t)FLAGS_OF_OPEN) | O_LARGEFILE;
	file->ops = ops;
	file->inode = inode;
	inode_hold(inode);
	return file;
}

struct file *file_create(const struct file_ops *ops, uint32_t flags, void *private_data)
{
	struct file *file = create(anonymous, ops, flags);

	if (file) {
		file->private_data = private_data;
		file->flags &= ~(uint32_t)O_LARGEFILE;
	}
	return file;
}

int file_name(struct file *file, const char *name)
{
	char text[48];
	int length = format(text, sizeof(text), "anon_inode:[%s]", name);

	file->path = heap_copy(text, (size_t)length + 1);
	return file->path ? 0 : -ENOMEM;
}

int file_create_on(struct inode *inode, uint32_t flags, char *path, struct file **out)
{
	const struct file_ops *ops = flags & O_PATH ? &path_file_ops : inode->ops;
	struct file *file = create(inode, ops, flags);
	int error;

	if (!file)
		return -ENOMEM;
	error = ops->open ? ops->open(file) : 0;
	if (error) {
		inode_put(inode);
		heap_free(file);
		return error;
	}
	file->path = path;
	*out = file;
	return 0;
}

int inode_write_begin(struct inode *inode)
{
	int32_t writing = atomic_load(&inode->writing);

	do {
		if (writing < 0)
			return -ETXTBSY;
	} while (!atomic_compare_exchange_weak(&inode->writing, &writing, writing + 1));
	return 0;
}

void inode_write_end(struct inode *inode)
{
	atomic_fetch_sub(&inode->writing, 1);
}

int file_deny_write(struct file *file)
{
	int32_t writing = atomic_load(&file->inode->writing);

	do {
		if (writing > 0)
			return -ETXTBSY;
	} while (!atomic_compare_exchange_weak(&file->inode->writing, &writing, writing - 1));
	file_hold(file);
	return 0;
}

void file_allow_write(struct file *file)
{
	atomic_fetch_add(&file->inode->writing, 1);
	file_put(file);
}

void file_hold(struct file *file)
{
	atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
}

void file_put(struct file *file)
{
	/* Acquire and release: each other's uses are before the end. */
	if (!file || atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1)
		return;
	epoll_forget(file);
	locks_release(file->inode, file);
	if (file->ops->release)
		file->ops->release(file);
	if (file->writing)
		inode_write_end(file->inode);
	inode_put(file->inode);
	heap_free(file->path);
	heap_free(file);
}

bool file_can_read(const struct file *file)
{
	uint32_t mode = file->flags & O_ACCMODE;

	return !(file->flags & O_PATH) && (mode == O_RDONLY || mode == O_RDWR);
}

bool file_can_write(const struct file *file)
{
	uint32_t mode = file->flags & O_ACCMODE;

	return !(file->flags & O_PATH) && (mode == O_WRONLY || mode == O_RDWR);
}

int file_protection(const struct file *file)
{
	int protection = QUIRE_PROT_EXEC;

	if (file_can_read(file))
		protection |= QUIRE_PROT_READ;
	if (file_can_write(file) && !(file->inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		protection |= QUIRE_PROT_WRITE;
	return protection;
}

int file_executable(const struct file *file)
{
	return is_regular(file->inode) && file->inode->mode & 0111 ? 0 : -EACCES;
}

int64_t file_read_at(struct file *file, void *buffer, size_t size, uint64_t offset)
{
	if (!file->inode->object)
		return -EINVAL;
	return quire_object_read(file->inode->object, offset, buffer, size);
}

/* lseek(2) in something of a known size. */
int64_t seek_sized(struct file *file, int64_t offset, int whence, uint64_t size)
{
	int64_t base;

	switch (whence) {
	case SEEK_SET:
		base = 0;
		break;
	case SEEK_CUR:
		base = (int64_t)file->position;
		break;
	case SEEK_END:
		base = (int64_t)size;
		break;
	case SEEK_DATA: /* all of it is */
	case SEEK_HOLE: /* the one at the end */
		if (offset < 0 || (uint64_t)offset >= size)
			return -ENXIO;
		base = whence == SEEK_DATA ? 0 : (int64_t)size - offset;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, offset, &base) || base < 0)
		return base < 0 && offset > 0 ? -EOVERFLOW : -EINVAL;
	file->position = (uint64_t)base;
	return base;
}
