/* SPDX-License-Identifier: MIT */
/*
 * Files of a POSIX system. A store is nothing but a descriptor, so that there is nothing to
 * allocate: its number, in a pointer. All transfers are made at an offset; a file that was opened
 * to append would not heed it, and one that bypasses the system's cache has wishes as to alignment,
 * so both are refused.
 */
#include <quire/posix.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* The result of a system call that may be interrupted: 0 or a negative error. */
#define repeat(call)                                                                               \
	({                                                                                         \
		int result_;                                                                       \
		do                                                                                 \
			result_ = (call);                                                          \
		while (result_ < 0 && errno == EINTR);                                             \
		result_ < 0 ? -errno : result_;                                                    \
	})

static int fd_of(void *store)
{
	return (int)(intptr_t)store;
}

/* preadv or pwritev, until all is done, or (at the end of a file) nothing more can be. */
static int transfer(ssize_t (*some)(int, const struct iovec *, int, off_t), void *store,
		    uint64_t offset, const struct quire_buffer *buffers, unsigned count)
{
	struct iovec v[QUIRE_BATCH];
	unsigned at = 0;

	for (unsigned i = 0; i < count; i++)
		v[i] = (struct iovec){ buffers[i].bytes, buffers[i].length };
	while (at < count) {
		ssize_t n = some(fd_of(store), v + at, (int)(count - at), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : some == pwritev ? -EIO : 0;
		offset += (uint64_t)n;
		for (; at < count && (size_t)n >= v[at].iov_len; at++)
			n -= (ssize_t)v[at].iov_len;
		if (n > 0) {
			v[at].iov_base = (char *)v[at].iov_base + n;
			v[at].iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int posix_read(void *store, uint64_t offset, const struct quire_buffer *buffers,
		      unsigned count)
{
	return transfer(preadv, store, offset, buffers, count);
}

static int posix_write(void *store, uint64_t offset, const struct quire_buffer *buffers,
		       unsigned count)
{
	return transfer(pwritev, store, offset, buffers, count);
}

static int posix_size(void *store, uint64_t *size)
{
	struct stat stat;
	int error = repeat(fstat(fd_of(store), &stat));

	if (!error)
		*size = (uint64_t)stat.st_size;
	return error;
}

static int posix_resize(void *store, uint64_t size)
{
	return repeat(ftruncate(fd_of(store), (off_t)size));
}

static int posix_remove(void *store, uint64_t offset, uint64_t length)
{
	return repeat(fallocate(fd_of(store), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)offset, (off_t)length));
}

static int posix_flush(void *store)
{
	return repeat(fdatasync(fd_of(store)));
}

static void posix_close(void *store)
{
	close(fd_of(store));
}

static const struct quire_store_ops writable_ops = {
	.read = posix_read,
	.write = posix_write,
	.size = posix_size,
	.resize = posix_resize,
	.remove = posix_remove,
	.flush = posix_flush,
	.close = posix_close,
};

static const struct quire_store_ops read_only_ops = {
	.read = posix_read,
	.size = posix_size,
	.close = posix_close,
};

/* The name by which the system knows it now; `path` where it does not say. */
static void name_of(int fd, const char *path, char *name)
{
	char link[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, name, QUIRE_NAME_MAX - 1);
	if (length < 0)
		snprintf(name, QUIRE_NAME_MAX, "%s", path);
	else
		name[length] = '\0';
}

static int create(int fd, const char *path, bool writable, struct quire_object **out)
{
	struct quire_object_config config = { 0 };
	char name[QUIRE_NAME_MAX];
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -QUIRE_ENODEV;
	name_of(fd, path, name);
	config.name = name;
	config.device_major = major(stat.st_dev);
	config.device_minor = minor(stat.st_dev);
	config.inode = stat.st_ino;
	return quire_file_create(writable ? &writable_ops : &read_only_ops, (void *)(intptr_t)fd,
				 &config, out);
}

int quire_posix_file(int fd, struct quire_object **out)
{
	int flags = fcntl(fd, F_GETFL), own, error;

	if (flags < 0 || flags & O_PATH)
		return -QUIRE_EBADF;
	if ((flags & O_ACCMODE) == O_WRONLY)
		return -QUIRE_EACCES;
	if (flags & (O_APPEND | O_DIRECT))
		return -QUIRE_EINVAL;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	error = create(own, "", (flags & O_ACCMODE) == O_RDWR, out);
	if (error)
		close(own);
	return error;
}

int quire_posix_open(const char *path, bool writable, struct quire_object **out)
{
	/* Not to wait for the other end of what turns out not to be a regular file. */
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (writable ? O_RDWR : O_RDONLY);
	int fd = repeat(open(path, flags)), error;

	if (fd < 0)
		return fd;
	error = create(fd, path, writable, out);
	if (error)
		close(fd);
	return error;
}
