/* SPDX-License-Identifier: MIT */
/* The devices: /dev/null, zero, full, random, urandom; the console's are in console.c. */
#include "fs/special.h"
#include "fs/tree.h"

#include "lib/string.h"
#include "task/random.h"

static int64_t null_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	(void)file, (void)buffer, (void)size, (void)position;
	return 0;
}

static int64_t null_write(struct file *file, const void *buffer, size_t size, uint64_t *position)
{
	(void)file, (void)buffer, (void)position;
	return (int64_t)size;
}

static int64_t null_seek(struct file *file, int64_t offset, int whence)
{
	(void)file, (void)offset, (void)whence;
	return 0;
}

static int64_t zero_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	(void)file, (void)position;
	memset(buffer, 0, size);
	return (int64_t)size;
}

/* A mapping of /dev/zero is memory of its own. */
static int zero_object(struct file *file, struct quire_object **object)
{
	struct quire_object_config config = { .name = "/dev/zero" };

	(void)file;
	return quire_shared_create(QUIRE_OBJECT_MAX, &config, object);
}

static int64_t full_write(struct file *file, const void *buffer, size_t size, uint64_t *position)
{
	(void)file, (void)buffer, (void)size, (void)position;
	return -ENOSPC;
}

static int64_t random_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	(void)file, (void)position;
	random_bytes(buffer, size);
	return (int64_t)size;
}

static int absent_open(struct file *file)
{
	(void)file;
	return -ENXIO;
}

static const struct file_ops null_ops = { .read = null_read,
					  .write = null_write,
					  .seek = null_seek };
static const struct file_ops zero_ops = {
	.read = zero_read, .write = null_write, .seek = null_seek, .object = zero_object
};
static const struct file_ops full_ops = { .read = zero_read,
					  .write = full_write,
					  .seek = null_seek };
static const struct file_ops random_ops = { .read = random_read,
					    .write = null_write,
					    .seek = null_seek };
static const struct file_ops absent_ops = { .open = absent_open };

static const struct {
	const char *path;
	uint64_t device;
	const struct file_ops *ops;
} devices[] = {
	{ "/dev/null", DEVICE(1, 3), &null_ops },
	{ "/dev/zero", DEVICE(1, 5), &zero_ops },
	{ "/dev/full", DEVICE(1, 7), &full_ops },
	{ "/dev/random", DEVICE(1, 8), &random_ops },
	{ "/dev/urandom", DEVICE(1, 9), &random_ops },
	{ "/dev/tty", DEVICE(5, 0), &console_file_ops },
	{ "/dev/console", DEVICE(5, 1), &console_file_ops },
	{ "/dev/ttyS0", DEVICE(4, 64), &console_file_ops },
};

static const char *const links[][2] = {
	{ "/dev/fd", "/proc/self/fd" },
	{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" },
};

const struct file_ops *device_ops(uint32_t mode, uint64_t device)
{
	if ((mode & S_IFMT) == S_IFCHR)
		for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
			if (devices[i].device == device)
				return devices[i].ops;
	return &absent_ops;
}

void device_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		(void)fs_place(devices[i].path,
			       inode_create_node(S_IFCHR | 0666, devices[i].device));
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		(void)fs_place(links[i][0], inode_create_link(links[i][1]));
	(void)fs_place("/dev/shm", inode_create(S_IFDIR | 01777));
}
