/* SPDX-License-Identifier: MIT */
/*
 * Files over stores, shared memory, devices: through the calls, without mappings. Each world ends
 * with everything given back.
 *
 * A scripted store keeps its bytes in memory, checks what it is asked for, and fails at the n-th
 * call. POSIX files are real ones in a temporary directory; the system calls under them can be made
 * to transfer little at a time, to be interrupted, and to fail.
 */
#include "object/kinds.h"
#include "object/mapping.h"
#include <quire/posix.h>
#include <quire/soft.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGES(n) ((n)*PAGE_SIZE)
#define ROOM PAGES(80) /* of a scripted store */
#define WHOLE UINT64_MAX

static struct quire_soft_cpu *cpu;
static uint64_t frames_at_first;

/* --- the world */

static uint64_t free_frames(void)
{
	static struct slab *const caches[] = { &object_slab, &pages_slab, &cache_slab,
					       &mapping_slab, &file_slab };
	struct quire_memory_stats stats;

	assert_int_equal(quire_barrier(0), 0);
	for (unsigned i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		assert_int_equal(slab_drain(caches[i]), 0);
		assert_null(slab_validate(caches[i]));
	}
	quire_memory_stats(&stats);
	assert_int_equal(stats.deferred, 0);
	assert_null(frame_validate());
	return stats.free;
}

static int setup(void **state)
{
	const struct quire_soft_config config = { .cpus = 2, .memory = 16 << 20 };

	(void)state;
	if (quire_soft_init(&config) != 0)
		return -1;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	inject_set(0);
	frames_at_first = free_frames();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_null(object_first());
	assert_int_equal(free_frames(), frames_at_first);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit();
}

static uint32_t draw(void)
{
	static uint64_t number = 1;

	number = number * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(number >> 33);
}

static void scribble(unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(draw() | 1);
}

static bool is_zero(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static struct quire_object_stats stats_of(struct quire_object *object)
{
	struct quire_object_stats stats;

	quire_object_stats(object, &stats);
	return stats;
}

/* What the object shows is what is expected, and nothing behind it. */
static void shows(struct quire_object *object, const unsigned char *expected, uint64_t size)
{
	static unsigned char bytes[ROOM + 1];

	assert_int_equal(quire_object_size(object), size);
	assert_int_equal(quire_object_read(object, 0, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, expected, size);
	assert_int_equal(quire_object_read(object, size, bytes, 1), 0);
}

/* --- a scripted store */

struct script {
	unsigned char bytes[ROOM];
	uint64_t size;
	uint64_t calls, fail_at; /* the call that fails, counted from 1; 0: none */
	unsigned failed;
	bool failed_read; /* it was a read */
	unsigned reads, writes, flushes, closes;
	uint64_t written; /* bytes */
	bool unflushed;
};

static struct script script;

static int scripted(void)
{
	if (++script.calls != script.fail_at)
		return 0;
	script.failed++;
	return -QUIRE_EIO;
}

static int script_read(void *store, uint64_t offset, const struct quire_buffer *buffers,
		       unsigned count)
{
	assert_ptr_equal(store, &script);
	assert_int_equal(offset % PAGE_SIZE, 0);
	assert_in_range(count, 1, QUIRE_BATCH);
	script.reads++;
	for (unsigned i = 0; i < count; offset += buffers[i++].length) {
		assert_in_range(buffers[i].length, 1, PAGE_SIZE);
		assert_true(is_zero(buffers[i].bytes, PAGE_SIZE));
		/* A failed read may have left half of it. */
		if (offset < script.size)
			memcpy(buffers[i].bytes, script.bytes + offset,
			       buffers[i].length < script.size - offset ? buffers[i].length
									: script.size - offset);
	}
	int error = scripted();

	script.failed_read |= error != 0;
	return error;
}

static int script_write(void *store, uint64_t offset, const struct quire_buffer *buffers,
			unsigned count)
{
	int error = scripted();

	assert_ptr_equal(store, &script);
	assert_int_equal(offset % PAGE_SIZE, 0);
	assert_in_range(count, 1, QUIRE_BATCH);
	script.writes++;
	for (unsigned i = 0; i < count && !error; offset += buffers[i++].length) {
		assert_in_range(buffers[i].length, 1, PAGE_SIZE);
		/* Nothing beyond the end, and nothing short of it. */
		assert_true(offset + buffers[i].length <= script.size);
		assert_true(buffers[i].length == PAGE_SIZE ||
			    offset + buffers[i].length == script.size);
		memcpy(script.bytes + offset, buffers[i].bytes, buffers[i].length);
		script.written += buffers[i].length;
		script.unflushed = true;
	}
	return error;
}

static int script_size(void *store, uint64_t *size)
{
	assert_ptr_equal(store, &script);
	*size = script.size;
	return scripted();
}

static int script_resize(void *store, uint64_t size)
{
	int error = scripted();

	assert_ptr_equal(store, &script);
	if (error)
		return error;
	assert_true(size <= ROOM);
	if (size > script.size)
		memset(script.bytes + script.size, 0, size - script.size);
	else /* what is cut off is no longer anybody's */
		memset(script.bytes + size, 0xee, script.size - size);
	script.size = size;
	return 0;
}

static int script_remove(void *store, uint64_t offset, uint64_t length)
{
	int error = scripted();

	assert_ptr_equal(store, &script);
	assert_int_equal((offset | length) % PAGE_SIZE, 0);
	if (error)
		return error;
	for (uint64_t i = offset; i < offset + length && i < script.size; i++)
		script.bytes[i] = 0;
	return 0;
}

static int script_flush(void *store)
{
	int error = scripted();

	assert_ptr_equal(store, &script);
	script.flushes++;
	if (!error)
		script.unflushed = false;
	return error;
}

static void script_close(void *store)
{
	assert_ptr_equal(store, &script);
	script.closes++;
}

static const struct quire_store_ops script_ops = {
	.read = script_read,
	.write = script_write,
	.size = script_size,
	.resize = script_resize,
	.remove = script_remove,
	.flush = script_flush,
	.close = script_close,
};

static const struct quire_store_ops script_read_only = {
	.read = script_read,
	.size = script_size,
	.close = script_close,
};

static unsigned char shadow[ROOM]; /* what the object should show */

/* A store of so many bytes, all odd, with something else behind its end. */
static void script_begin(uint64_t size)
{
	memset(&script, 0, sizeof(script));
	memset(script.bytes, 0xee, ROOM);
	scribble(script.bytes, size);
	script.size = size;
	memset(shadow, 0, ROOM);
	memcpy(shadow, script.bytes, size);
}

static struct quire_object *script_file(const struct quire_store_ops *ops, uint64_t size)
{
	struct quire_object *object;

	script_begin(size);
	assert_int_equal(quire_file_create(ops, &script, NULL, &object), 0);
	return object;
}

/* --- files */

static void creation(void **state)
{
	const struct quire_object_config config = { .name = "a file",
						    .device_major = 8,
						    .device_minor = 1,
						    .inode = 77,
						    .size = 5,
						    .caps = QUIRE_STABLE_WRITES,
						    .private_data = &script };
	struct quire_store_ops ops = script_ops;
	struct quire_object *object = NULL;

	(void)state;
	script_begin(1234);
	ops.read = NULL;
	assert_int_equal(quire_file_create(&ops, &script, NULL, &object), -QUIRE_EINVAL);
	ops = script_ops;
	ops.size = NULL;
	assert_int_equal(quire_file_create(&ops, &script, NULL, &object), -QUIRE_EINVAL);
	script.size = QUIRE_OBJECT_MAX + 1;
	assert_int_equal(quire_file_create(&script_ops, &script, NULL, &object), -QUIRE_EINVAL);
	script.size = 1234;
	script.fail_at = script.calls + 1;
	assert_int_equal(quire_file_create(&script_ops, &script, NULL, &object), -QUIRE_EIO);
	assert_null(object);
	assert_int_equal(script.closes, 0);

	assert_int_equal(quire_file_create(&script_ops, &script, &config, &object), 0);
	assert_int_equal(quire_object_size(object), 1234);
	assert_ptr_not_equal(quire_object_private(object), &script);
	assert_string_equal(object->name, "a file");
	assert_int_equal(object->device_major, 8);
	assert_int_equal(object->device_minor, 1);
	assert_int_equal(object->inode, 77);
	assert_int_equal(object->caps, QUIRE_CAN_FAULT | QUIRE_CAN_MAP_AROUND | QUIRE_CAN_MKWRITE);
	quire_object_get(object);
	quire_object_put(object);
	assert_int_equal(script.closes, 0);
	quire_object_put(object);
	assert_int_equal(script.closes, 1);
	assert_int_equal(script.reads + script.writes, 0);
}

/* Random reads and writes agree with an array; the store learns of them by a sync. */
static void reads_and_writes(void **state)
{
	const uint64_t size = PAGES(70) + 1000;
	struct quire_object *object = script_file(&script_ops, size);
	static unsigned char bytes[PAGES(3)], stored[ROOM];

	(void)state;
	memcpy(stored, script.bytes, ROOM);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t offset = draw() % size, length = draw() % PAGES(3);
		uint64_t done = length < size - offset ? length : size - offset;

		if (i % 2) {
			assert_int_equal(quire_object_read(object, offset, bytes, length), done);
			assert_memory_equal(bytes, shadow + offset, done);
			continue;
		}
		scribble(bytes, done);
		memcpy(shadow + offset, bytes, done);
		assert_int_equal(quire_object_write(object, offset, bytes, done), done);
	}
	assert_memory_equal(script.bytes, stored, ROOM);
	assert_int_equal(script.writes, 0);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_memory_equal(script.bytes, shadow, size);
	assert_int_equal(script.bytes[size], 0xee);
	assert_int_equal(script.flushes, 1);
	assert_int_equal(stats_of(object).dirty, 0);
	shows(object, shadow, size);

	/* Nothing is dirty: nothing is written. Dropped from the cache it is read anew. */
	unsigned writes = script.writes;

	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_int_equal(script.writes, writes);
	assert_int_equal(quire_object_invalidate(object, 0, WHOLE), 0);
	assert_int_equal(stats_of(object).cached, 0);
	shows(object, shadow, size);
	quire_object_put(object);
	assert_int_equal(script.closes, 1);
}

/* The last reference writes what is dirty; a sync of a range writes that range only. */
static void what_is_written(void **state)
{
	struct quire_object *object = script_file(&script_ops, PAGES(8));

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(quire_object_write(object, PAGES(i) + 7, "x", 1), 1);
	assert_int_equal(stats_of(object).dirty, 8);
	assert_int_equal(quire_object_sync(object, PAGES(2), PAGES(3)), 0);
	assert_int_equal(script.written, PAGES(3));
	assert_int_equal(stats_of(object).dirty, 5);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(script.bytes[PAGES(i) + 7] == 'x', i >= 2 && i < 5);
	quire_object_put(object);
	assert_int_equal(script.written, PAGES(8));
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(script.bytes[PAGES(i) + 7], 'x');
	assert_int_equal(script.closes, 1);
}

static void last_page(void **state)
{
	struct quire_object *object = script_file(&script_ops, 5000);

	(void)state;
	assert_int_equal(quire_object_write(object, 4990, "0123456789", 10), 10);
	memcpy(shadow + 4990, "0123456789", 10);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_int_equal(script.written, 5000 - PAGE_SIZE); /* of one page of two */
	assert_int_equal(script.bytes[5000], 0xee);

	/* What was behind the end when the page was read is not seen when the end moves. */
	assert_int_equal(quire_object_truncate(object, 6000), 0);
	shows(object, shadow, 6000);
	/* A write makes it larger, too, and what it leaves out is zero. */
	assert_int_equal(quire_object_write(object, PAGES(3) + 1, "end", 3), 3);
	memcpy(shadow + PAGES(3) + 1, "end", 3);
	shows(object, shadow, PAGES(3) + 4);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_int_equal(script.size, PAGES(3) + 4);
	assert_memory_equal(script.bytes, shadow, PAGES(3) + 4);
	quire_object_put(object);
}

static void resizing(void **state)
{
	struct quire_object *object = script_file(&script_ops, PAGES(20));

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		uint64_t before = script.size, size = draw() % (ROOM - 8);
		bool fails = i % 5 == 4;

		/* Some of it is in the cache, and dirty. */
		if (before > 0) {
			uint64_t at = draw() % before;

			assert_int_equal(quire_object_write(object, at, "!", 1), 1);
			shadow[at] = '!';
		}
		script.fail_at = fails ? script.calls + 1 : 0;
		int error = quire_object_truncate(object, size);

		/* Whatever may be called first, it may write what is dirty. */
		script.fail_at = 0;
		if (error) {
			assert_int_equal(error, -QUIRE_EIO);
			assert_true(fails);
			assert_int_equal(script.size, before);
			size = before;
		}
		assert_int_equal(script.size, size);
		if (size < before)
			memset(shadow + size, 0, before - size);
		if (i % 3 == 0)
			assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
		if (i % 7 == 0)
			shows(object, shadow, size);
	}
	assert_int_equal(quire_object_truncate(object, QUIRE_OBJECT_MAX + 1), -QUIRE_EINVAL);
	shows(object, shadow, script.size);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_memory_equal(script.bytes, shadow, script.size);
	quire_object_put(object);
}

static void holes(void **state)
{
	struct quire_store_ops ops = script_ops;
	struct quire_object *object = script_file(&script_ops, PAGES(10));

	(void)state;
	assert_int_equal(quire_object_write(object, PAGES(3), "dirty", 5), 5);
	assert_int_equal(quire_object_write(object, PAGES(6), "dirty", 5), 5);
	memcpy(shadow + PAGES(6), "dirty", 5);
	assert_int_equal(quire_object_remove(object, 1, PAGE_SIZE), -QUIRE_EINVAL);
	assert_int_equal(quire_object_remove(object, PAGE_SIZE, 1), -QUIRE_EINVAL);
	script.fail_at = script.calls + 1;
	assert_int_equal(quire_object_remove(object, PAGES(2), PAGES(3)), -QUIRE_EIO);
	memcpy(shadow + PAGES(3), "dirty", 5);
	shows(object, shadow, PAGES(10));

	assert_int_equal(quire_object_remove(object, PAGES(2), PAGES(3)), 0);
	memset(shadow + PAGES(2), 0, PAGES(3));
	shows(object, shadow, PAGES(10));
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_memory_equal(script.bytes, shadow, PAGES(10));
	quire_object_put(object);

	ops.remove = NULL;
	object = script_file(&ops, PAGES(2));
	assert_int_equal(quire_object_remove(object, 0, PAGE_SIZE), -QUIRE_EOPNOTSUPP);
	shows(object, shadow, PAGES(2));
	quire_object_put(object);
}

/* No page becomes dirty, and all can be reclaimed. */
static void read_only(void **state)
{
	struct quire_object *object = script_file(&script_read_only, 5000);
	static unsigned char page[PAGE_SIZE];

	(void)state;
	shows(object, shadow, 5000);
	assert_int_equal(quire_object_write(object, 10, "no", 2), -QUIRE_EACCES);
	assert_int_equal(quire_object_write(object, 0, page, PAGE_SIZE), -QUIRE_EACCES);
	assert_true(quire_object_write(object, 5000, "no", 2) < 0);
	assert_int_equal(quire_object_truncate(object, 100), -QUIRE_EINVAL);
	assert_int_equal(quire_object_truncate(object, 10000), -QUIRE_EINVAL);
	assert_int_equal(quire_object_remove(object, 0, PAGE_SIZE), -QUIRE_EOPNOTSUPP);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_int_equal(stats_of(object).dirty, 0);
	shows(object, shadow, 5000);
	assert_int_equal(quire_object_invalidate(object, 0, WHOLE), 0);
	assert_int_equal(stats_of(object).cached, 0);
	/* The same without anything in the cache. */
	assert_int_equal(quire_object_write(object, 0, page, PAGE_SIZE), -QUIRE_EACCES);
	shows(object, shadow, 5000);
	quire_object_put(object);
	assert_int_equal(script.closes, 1);
}

/* --- the n-th call of the store fails, for every n */

static unsigned reported; /* errors that the steps of the story have seen */

static void seen(int64_t error)
{
	assert_int_equal(error, -QUIRE_EIO);
	assert_int_equal(++reported, 1);
}

/* The bytes that a read or write has done. One that stops early has met the error, too. */
static uint64_t done_of(int64_t n, uint64_t length)
{
	if (n <= 0)
		seen(n);
	else if ((uint64_t)n < length)
		seen(-QUIRE_EIO);
	return n > 0 ? (uint64_t)n : 0;
}

static void tell_read(struct quire_object *object, uint64_t offset, uint64_t length)
{
	static unsigned char bytes[ROOM];

	for (uint64_t done = 0; done < length;)
		done += done_of(
			quire_object_read(object, offset + done, bytes + done, length - done),
			length - done);
	assert_memory_equal(bytes, shadow + offset, length);
}

static void tell_write(struct quire_object *object, uint64_t offset, uint64_t length)
{
	scribble(shadow + offset, length);
	for (uint64_t done = 0; done < length;)
		done += done_of(quire_object_write(object, offset + done, shadow + offset + done,
						   length - done),
				length - done);
}

/* An error is reported once, whatever it hit; the next attempt makes good for it. */
static void tell_sync(struct quire_object *object)
{
	int error = quire_object_sync(object, 0, WHOLE);

	if (error) {
		seen(error);
		assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	}
	assert_int_equal(stats_of(object).dirty, 0);
	assert_false(script.unflushed);
	assert_memory_equal(script.bytes, shadow, script.size);
}

static void tell_truncate(struct quire_object *object, uint64_t size)
{
	int error = quire_object_truncate(object, size);

	if (error) {
		seen(error);
		assert_int_equal(quire_object_truncate(object, size), 0);
	}
	assert_int_equal(script.size, size);
	memset(shadow + size, 0, ROOM - size);
}

static void tell_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	int error = quire_object_remove(object, offset, length);

	if (error) {
		seen(error);
		assert_int_equal(quire_object_remove(object, offset, length), 0);
	}
	memset(shadow + offset, 0, length);
}

static void tell(void)
{
	struct quire_object *object;
	int error = quire_file_create(&script_ops, &script, NULL, &object);

	if (error) {
		seen(error);
		assert_int_equal(quire_file_create(&script_ops, &script, NULL, &object), 0);
	}
	tell_read(object, 100, PAGES(40));
	tell_write(object, PAGES(50) + 5, PAGES(2));
	tell_write(object, PAGES(3), PAGES(1));
	tell_sync(object);
	tell_write(object, PAGES(60) - 10, 1000); /* beyond the end */
	tell_truncate(object, PAGES(59) + 17);
	tell_sync(object);
	tell_remove(object, PAGES(50), PAGES(4));
	tell_write(object, PAGES(51) + 1, 1);
	tell_truncate(object, PAGES(70) + 30);
	tell_sync(object);
	assert_int_equal(quire_object_invalidate(object, 0, WHOLE), 0);
	tell_read(object, 0, PAGES(70) + 30);
	quire_object_put(object);
	assert_int_equal(script.closes, 1);
	assert_memory_equal(script.bytes, shadow, script.size);
}

static void each_call_fails(void **state)
{
	uint64_t calls = 1;

	(void)state;
	for (uint64_t n = 0; n <= calls; n++) {
		script_begin(PAGES(60) + 3);
		script.fail_at = n;
		reported = 0;
		tell();
		assert_int_equal(script.failed, n != 0);
		/* A failed readahead is nobody's business; all else was told to somebody. */
		if (!script.failed_read)
			assert_int_equal(reported, script.failed);
		if (n == 0)
			calls = script.calls;
		assert_null(object_first());
		assert_int_equal(free_frames(), frames_at_first);
	}
	assert_true(calls > 15);
}

/* --- POSIX files */

/* What the system does to our calls. */
static struct {
	bool mean;	/* a few bytes at a time, interrupted now and then */
	int sync_error; /* errno of the next fdatasync */
	bool interrupt; /* the next call that can be */
	bool nothing;	/* is transferred by the next call */
} kernel;

static bool interrupted(void)
{
	if (kernel.interrupt || (kernel.mean && draw() % 4 == 0)) {
		kernel.interrupt = false;
		errno = EINTR;
		return true;
	}
	return false;
}

static ssize_t some_of(long number, int fd, const struct iovec *v, int count, off_t offset)
{
	struct iovec some = v[0];

	if (interrupted())
		return -1;
	if (kernel.nothing) {
		kernel.nothing = false;
		return 0;
	}
	if (!kernel.mean)
		return syscall(number, fd, v, count, offset, 0);
	/* As a signal may leave it: all of the first, and a part of the second. */
	if (count > 1 && draw() % 2) {
		ssize_t n = syscall(number, fd, v, 1, offset, 0), m;

		if (n != (ssize_t)v[0].iov_len)
			return n;
		some = v[1];
		some.iov_len = 1 + draw() % some.iov_len;
		m = syscall(number, fd, &some, 1, offset + n, 0);
		return m > 0 ? n + m : n;
	}
	some.iov_len = 1 + draw() % some.iov_len;
	return syscall(number, fd, &some, 1, offset, 0);
}

/* In place of the C library's. */
ssize_t preadv(int fd, const struct iovec *v, int count, off_t offset)
{
	return some_of(SYS_preadv, fd, v, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset)
{
	return some_of(SYS_pwritev, fd, v, count, offset);
}

int fdatasync(int fd)
{
	if (interrupted())
		return -1;
	if (kernel.sync_error == 0)
		return (int)syscall(SYS_fdatasync, fd);
	errno = kernel.sync_error;
	kernel.sync_error = 0;
	return -1;
}

int ftruncate(int fd, off_t size)
{
	return interrupted() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

static char folder[32], path[64];

static unsigned open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(directory);
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

/* A file of so many random bytes, which `shadow` has too. Returns it, open for both. */
static int posix_begin(uint64_t size)
{
	int fd;

	memset(&kernel, 0, sizeof(kernel));
	snprintf(folder, sizeof(folder), "/tmp/quire-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	memset(shadow, 0, ROOM);
	scribble(shadow, size);
	assert_int_equal(pwrite(fd, shadow, size, 0), size);
	return fd;
}

static void posix_end(void)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* The file has what `shadow` has, and ends there. */
static void on_disk(int fd, uint64_t size)
{
	static unsigned char bytes[ROOM];
	struct stat stat;

	assert_int_equal(fstat(fd, &stat), 0);
	assert_int_equal(stat.st_size, size);
	assert_int_equal(pread(fd, bytes, ROOM, 0), size);
	assert_memory_equal(bytes, shadow, size);
}

static void posix_errors(void **state)
{
	int fd = posix_begin(10), other, pipes[2];
	unsigned before = open_files();
	struct quire_object *object = NULL;

	(void)state;
	assert_int_equal(quire_posix_file(-1, &object), -QUIRE_EBADF);
	other = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(quire_posix_file(other, &object), -QUIRE_EACCES);
	close(other);
	other = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	assert_int_equal(quire_posix_file(other, &object), -QUIRE_EINVAL);
	close(other);
	other = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(quire_posix_file(other, &object), -QUIRE_EBADF);
	close(other);
	other = open(folder, O_RDONLY | O_CLOEXEC);
	assert_int_equal(quire_posix_file(other, &object), -QUIRE_ENODEV);
	close(other);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(quire_posix_file(pipes[0], &object), -QUIRE_ENODEV);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(quire_posix_open(folder, false, &object), -QUIRE_ENODEV);
	assert_int_equal(quire_posix_open(folder, true, &object), -EISDIR);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(quire_posix_open(path, false, &object), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(quire_posix_open(path, false, &object), -QUIRE_ENODEV);
	inject_set(1);
	if (quire_posix_file(fd, &object) == 0)
		quire_object_put(object); /* a build in which nothing is injected */
	inject_set(0);
	assert_int_equal(open_files(), before);
	close(fd);
	posix_end();
}

/* As reads_and_writes, on a file, with whole transfers and with mean ones. */
static void posix_contents(bool mean)
{
	const uint64_t size = PAGES(40) + 123;
	int fd = posix_begin(size);
	unsigned before = open_files();
	static unsigned char bytes[PAGES(3)];
	struct quire_object *object;

	kernel.mean = mean;
	assert_int_equal(quire_posix_file(fd, &object), 0);
	assert_int_equal(open_files(), before + 1);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t offset = draw() % size, length = draw() % PAGES(3);
		uint64_t done = length < size - offset ? length : size - offset;

		if (i % 2) {
			assert_int_equal(quire_object_read(object, offset, bytes, length), done);
			assert_memory_equal(bytes, shadow + offset, done);
			continue;
		}
		scribble(shadow + offset, done);
		assert_int_equal(quire_object_write(object, offset, shadow + offset, done), done);
	}
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	on_disk(fd, size);
	assert_int_equal(quire_object_invalidate(object, 0, WHOLE), 0);
	shows(object, shadow, size);
	/* What was not synced is there after the last reference. */
	scribble(shadow + 5, PAGES(2));
	assert_int_equal(quire_object_write(object, 5, shadow + 5, PAGES(2)), PAGES(2));
	quire_object_put(object);
	assert_int_equal(open_files(), before);
	on_disk(fd, size);
	close(fd);
	posix_end();
}

static void posix_whole(void **state)
{
	(void)state;
	posix_contents(false);
}

static void posix_little_by_little(void **state)
{
	(void)state;
	posix_contents(true);
}

static void posix_names(void **state)
{
	int fd = posix_begin(10);
	struct quire_object *object;
	char expected[128], *real = realpath(path, NULL);
	struct stat stat;

	(void)state;
	assert_int_equal(fstat(fd, &stat), 0);
	snprintf(expected, sizeof(expected), "%s", real);
	free(real);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(i == 0 ? quire_posix_file(fd, &object)
					: quire_posix_open(path, false, &object),
				 0);
		assert_string_equal(object->name, expected);
		assert_int_equal(object->inode, stat.st_ino);
		assert_int_equal(quire_object_size(object), 10);
		shows(object, shadow, 10);
		quire_object_put(object);
	}
	close(fd);
	posix_end();
}

static void posix_sizes_and_holes(void **state)
{
	int fd = posix_begin(PAGES(9));
	struct quire_object *object;

	(void)state;
	assert_int_equal(quire_posix_open(path, true, &object), 0);
	assert_int_equal(quire_object_write(object, PAGES(3), "x", 1), 1);
	kernel.interrupt = true;
	assert_int_equal(quire_object_truncate(object, PAGES(2) + 50), 0);
	memset(shadow + PAGES(2) + 50, 0, PAGES(7));
	on_disk(fd, PAGES(2) + 50);
	assert_int_equal(quire_object_truncate(object, PAGES(6) + 7), 0);
	shows(object, shadow, PAGES(6) + 7);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	on_disk(fd, PAGES(6) + 7);
	assert_int_equal(quire_object_write(object, PAGES(7), "end", 3), 3);
	memcpy(shadow + PAGES(7), "end", 3);
	int error = quire_object_remove(object, PAGE_SIZE, PAGES(1));

	/* Not every file system has holes. */
	if (error)
		assert_int_equal(error, -QUIRE_EOPNOTSUPP);
	else
		memset(shadow + PAGES(1), 0, PAGES(1));
	shows(object, shadow, PAGES(7) + 3);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	on_disk(fd, PAGES(7) + 3);
	/* The next error of the disk is told once. */
	kernel.interrupt = true;
	kernel.sync_error = EIO;
	assert_int_equal(quire_object_sync(object, 0, WHOLE), -QUIRE_EIO);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	/* And so is a write that gets nowhere. */
	shadow[0] ^= 1;
	assert_int_equal(quire_object_write(object, 0, shadow, 1), 1);
	kernel.nothing = true;
	assert_int_equal(quire_object_sync(object, 0, WHOLE), -QUIRE_EIO);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	on_disk(fd, PAGES(7) + 3);
	quire_object_put(object);
	close(fd);
	posix_end();
}

static void posix_read_only(void **state)
{
	int fd = posix_begin(PAGES(2));
	int reader = open(path, O_RDONLY | O_CLOEXEC);
	struct quire_object *object;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(i == 0 ? quire_posix_file(reader, &object)
					: quire_posix_open(path, false, &object),
				 0);
		assert_int_equal(quire_object_write(object, 0, "x", 1), -QUIRE_EACCES);
		assert_int_equal(quire_object_truncate(object, 1), -QUIRE_EINVAL);
		assert_int_equal(quire_object_remove(object, 0, PAGE_SIZE), -QUIRE_EOPNOTSUPP);
		assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
		shows(object, shadow, PAGES(2));
		quire_object_put(object);
	}
	on_disk(fd, PAGES(2));
	close(reader);
	close(fd);
	posix_end();
}

/* A file that somebody else has cut: the rest of what it was reads as zero, and writing works. */
static void posix_cut_by_others(void **state)
{
	int fd = posix_begin(PAGES(4));
	struct quire_object *object;

	(void)state;
	assert_int_equal(quire_posix_file(fd, &object), 0);
	assert_int_equal(ftruncate(fd, 5000), 0);
	memset(shadow + 5000, 0, PAGES(4) - 5000);
	shows(object, shadow, PAGES(4));
	quire_object_put(object);
	close(fd);
	posix_end();
}

/* --- memory stores, shared memory, devices */

static void memory_store(void **state)
{
	static unsigned char bytes[PAGES(3)];
	const uint64_t size = PAGES(2) + 99;
	struct quire_object *object;

	(void)state;
	scribble(bytes, sizeof(bytes));
	memcpy(shadow, bytes, sizeof(bytes));
	assert_int_equal(quire_memory_file_create(bytes, size, true, NULL, &object), 0);
	shows(object, shadow, size);
	assert_int_equal(quire_object_write(object, size - 3, "abc", 3), 3);
	assert_memory_equal(bytes, shadow, sizeof(bytes));
	memcpy(shadow + size - 3, "abc", 3);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_memory_equal(bytes, shadow, sizeof(bytes));
	assert_int_equal(quire_object_truncate(object, 1), -QUIRE_EINVAL);
	assert_true(quire_object_write(object, size, "x", 1) < 0);
	shows(object, shadow, size);
	assert_int_equal(quire_object_remove(object, PAGES(1), PAGES(1)), 0);
	memset(shadow + PAGES(1), 0, PAGES(1));
	shows(object, shadow, size);
	/* A hole over the last page ends where the bytes do. */
	assert_int_equal(quire_object_remove(object, PAGES(2), PAGES(1)), 0);
	memset(shadow + PAGES(2), 0, 99);
	shows(object, shadow, size);
	assert_int_equal(quire_object_write(object, 3, "last", 4), 4);
	memcpy(shadow + 3, "last", 4);
	quire_object_put(object);
	assert_memory_equal(bytes, shadow, sizeof(bytes));

	assert_int_equal(quire_memory_file_create(bytes, size, false, NULL, &object), 0);
	shows(object, shadow, size);
	assert_int_equal(quire_object_write(object, 3, "lost", 4), -QUIRE_EACCES);
	quire_object_put(object);
	assert_memory_equal(bytes, shadow, sizeof(bytes));

	assert_int_equal(quire_memory_file_create(NULL, 0, true, NULL, &object), 0);
	shows(object, shadow, 0);
	quire_object_put(object);
	assert_int_equal(quire_memory_file_create(bytes, QUIRE_OBJECT_MAX + 1, true, NULL, &object),
			 -QUIRE_EINVAL);
}

static void shared_memory(void **state)
{
	const struct quire_object_config config = { .name = "shared", .inode = 5 };
	struct quire_object *object;

	(void)state;
	memset(shadow, 0, ROOM);
	assert_int_equal(quire_shared_create(QUIRE_OBJECT_MAX + 1, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(quire_shared_create(PAGES(20) + 1, &config, &object), 0);
	assert_string_equal(object->name, "shared");
	assert_int_equal(object->inode, 5);
	assert_false(object->tracks);
	shows(object, shadow, PAGES(20) + 1);
	for (unsigned i = 0; i < 30; i++) {
		uint64_t offset = draw() % PAGES(17), length = draw() % PAGES(3);

		scribble(shadow + offset, length);
		assert_int_equal(quire_object_write(object, offset, shadow + offset, length),
				 length);
	}
	/* Its contents are kept nowhere else: neither sync nor reclaim takes any. */
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	quire_reclaim(1000);
	quire_reclaim(1000);
	shows(object, shadow, PAGES(20) + 1);
	assert_int_equal(quire_object_remove(object, PAGES(4), PAGES(4)), 0);
	memset(shadow + PAGES(4), 0, PAGES(4));
	shows(object, shadow, PAGES(20) + 1);
	assert_int_equal(quire_object_truncate(object, PAGES(10) + 5), 0);
	memset(shadow + PAGES(10) + 5, 0, ROOM - PAGES(10) - 5);
	assert_in_range(stats_of(object).cached, 0, 11);
	assert_int_equal(quire_object_truncate(object, PAGES(12)), 0);
	shows(object, shadow, PAGES(12));
	quire_object_put(object);
}

static void device(void **state)
{
	const uint64_t end = 1ull << 52;
	struct quire_object *object;
	char byte;

	(void)state;
	assert_int_equal(quire_device_create(1, PAGE_SIZE, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(0, 100, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(end, PAGE_SIZE, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(end - PAGE_SIZE, PAGES(2), NULL, &object),
			 -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(PAGE_SIZE, end, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(end + PAGE_SIZE, 0, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(end - PAGE_SIZE, -PAGE_SIZE, NULL, &object),
			 -QUIRE_EINVAL);
	assert_int_equal(quire_device_create(0, PAGE_SIZE, NULL, &object), -QUIRE_EINVAL);
	assert_int_equal(
		quire_device_create(frame_pfn(frame_zero) * PAGE_SIZE, PAGE_SIZE, NULL, &object),
		-QUIRE_EINVAL);
	assert_int_equal(quire_device_create(end - PAGES(2), PAGES(2), NULL, &object), 0);
	assert_true(object->device);
	assert_false(object->tracks);
	assert_int_equal(object->physical, (end >> PAGE_SHIFT) - 2);
	assert_int_equal(quire_object_size(object), PAGES(2));
	/* There are no pages to be had, and the hardware has the size that it has. */
	assert_int_equal(quire_object_read(object, 0, &byte, 1), -QUIRE_ENODEV);
	assert_int_equal(quire_object_write(object, 0, "x", 1), -QUIRE_ENODEV);
	assert_int_equal(quire_object_write(object, 0, shadow, PAGE_SIZE), -QUIRE_ENODEV);
	assert_int_equal(quire_object_write(object, PAGES(2), "x", 1), -QUIRE_EINVAL);
	quire_object_readahead(object, 0, PAGES(2));
	assert_int_equal(quire_object_truncate(object, PAGES(1)), -QUIRE_EINVAL);
	assert_int_equal(quire_object_remove(object, 0, PAGES(1)), -QUIRE_EOPNOTSUPP);
	assert_int_equal(quire_object_sync(object, 0, WHOLE), 0);
	assert_int_equal(stats_of(object).cached, 0);
	quire_object_put(object);
}

/* --- no memory to make one, at each point */

static int make_file(struct quire_object **out)
{
	return quire_file_create(&script_ops, &script, NULL, out);
}

static int make_memory_file(struct quire_object **out)
{
	return quire_memory_file_create(script.bytes, 100, true, NULL, out);
}

static int make_shared(struct quire_object **out)
{
	return quire_shared_create(100, NULL, out);
}

#define DEVICE (1ull << 40) /* far from the machine's memory */

static int make_device(struct quire_object **out)
{
	return quire_device_create(DEVICE, PAGE_SIZE, NULL, out);
}

/* An error, nothing is left, and the store is not closed. */
static void creation_without_memory(void **state)
{
	static int (*const make[])(struct quire_object **) = { make_file, make_memory_file,
							       make_shared, make_device };
	struct quire_object *object;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		int error = -QUIRE_ENOMEM;

		script_begin(100);
		for (uint64_t n = 1; error; n++) {
			inject_set(n);
			error = make[i](&object);
			inject_set(0);
			if (!error)
				break;
			assert_int_equal(error, -QUIRE_ENOMEM);
			assert_int_equal(script.closes, 0);
			assert_null(object_first());
			assert_int_equal(free_frames(), frames_at_first);
		}
		quire_object_put(object);
	}
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(creation),
		world_test(reads_and_writes),
		world_test(what_is_written),
		world_test(last_page),
		world_test(resizing),
		world_test(holes),
		world_test(read_only),
		world_test(each_call_fails),
		world_test(posix_errors),
		world_test(posix_whole),
		world_test(posix_little_by_little),
		world_test(posix_names),
		world_test(posix_sizes_and_holes),
		world_test(posix_read_only),
		world_test(posix_cut_by_others),
		world_test(memory_store),
		world_test(shared_memory),
		world_test(device),
		world_test(creation_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
