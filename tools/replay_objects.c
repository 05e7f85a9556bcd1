/* SPDX-License-Identifier: MIT */
/*
 * The recording's files as objects of Quire.
 *
 *   only mapped private, or shared without the right to write     quire_posix_file, read-only
 *   with a writable shared mapping; of a size that changes;       a file over the store below
 *   a stand-in of zeros
 *
 * The store reads the file, or zeros, and never writes. It needn't: a replay stores nothing into
 * memory, so the pages of a file hold the file's bytes for ever. What Quire writes back is compared
 * with them, and dropped. In the same way each page that a fault gave is compared: a private copy
 * and a page of shared memory, too.
 */
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <quire/posix.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The bytes of a stand-in are zero, and so are those behind the end. Returns 0 or an error. */
static int file_bytes(const struct file *file, uint64_t offset, void *bytes, uint64_t length)
{
	uint64_t done = 0;

	memset(bytes, 0, length);
	while (file->fd >= 0 && done < length) {
		ssize_t n = pread(file->fd, (char *)bytes + done, length - done,
				  (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		done += n > 0 ? (uint64_t)n : 0;
	}
	return 0;
}

bool file_page(const struct file *file, uint64_t page, unsigned char bytes[QUIRE_PAGE_SIZE])
{
	uint64_t offset = page * QUIRE_PAGE_SIZE;

	/* What was cut off once is zero when it comes back: the file can't show that. */
	if (file->fd >= 0 && file->least != file->most)
		return false;
	return file_bytes(file, offset, bytes, QUIRE_PAGE_SIZE) == 0;
}

bool file_changed(struct file *file)
{
	struct stat st;

	if (file->fd >= 0 && (fstat(file->fd, &st) != 0 || st.st_ctim.tv_sec != file->time.tv_sec ||
			      st.st_ctim.tv_nsec != file->time.tv_nsec))
		file->changed = true;
	return file->changed;
}

/* ---- The store ---- */

static int store_read(void *store, uint64_t offset, const struct quire_buffer *buffers,
		      unsigned count)
{
	const struct file *file = store;
	uint64_t size = file->stored;

	for (unsigned i = 0; i < count; offset += buffers[i].length, i++) {
		uint64_t length = buffers[i].length;
		int error;

		if (offset >= size)
			break;
		if (length > size - offset)
			length = size - offset;
		error = file_bytes(file, offset, buffers[i].bytes, length);
		if (error)
			return error;
	}
	return 0;
}

static int store_write(void *store, uint64_t offset, const struct quire_buffer *buffers,
		       unsigned count)
{
	struct file *file = store;
	unsigned char bytes[QUIRE_PAGE_SIZE];

	for (unsigned i = 0; i < count; i++) {
		const unsigned char *ours = buffers[i].bytes;
		uint64_t left = buffers[i].length;

		while (left) {
			uint64_t n = QUIRE_PAGE_SIZE - offset % QUIRE_PAGE_SIZE;

			if (n > left)
				n = left;
			if (file_page(file, offset / QUIRE_PAGE_SIZE, bytes) &&
			    memcmp(ours, bytes + offset % QUIRE_PAGE_SIZE, n) != 0 &&
			    !file_changed(file))
				file->wrong++;
			ours += n;
			offset += n;
			left -= n;
		}
	}
	return 0;
}

static int store_size(void *store, uint64_t *size)
{
	*size = ((struct file *)store)->stored;
	return 0;
}

static int store_resize(void *store, uint64_t size)
{
	((struct file *)store)->stored = size;
	return 0;
}

static const struct quire_store_ops store_ops = {
	.read = store_read,
	.write = store_write,
	.size = store_size,
	.resize = store_resize,
};

/* ---- Objects ---- */

static bool is_read_only(const struct file *file)
{
	return file->fd >= 0 && !file->written && file->least == file->most;
}

int file_rights(const struct file *file)
{
	return QUIRE_PROT_READ | QUIRE_PROT_EXEC | (is_read_only(file) ? 0 : QUIRE_PROT_WRITE);
}

int files_begin(struct plan *plan)
{
	for (uint32_t f = 0; f < plan->file_count; f++) {
		struct file *file = &plan->files[f];
		struct quire_object_config config = {
			.name = file->name,
			.device_major = major(file->device),
			.device_minor = minor(file->device),
			.inode = file->inode,
		};
		int error;

		if (!file->mapped)
			continue;
		file->stored = file->begin;
		error = is_read_only(file)
				? quire_posix_file(file->fd, &file->object)
				: quire_file_create(&store_ops, file, &config, &file->object);
		if (error)
			return error;
	}
	return 0;
}

void files_end(struct plan *plan, struct results *results)
{
	for (uint32_t f = 0; f < plan->file_count; f++) {
		struct file *file = &plan->files[f];

		results->mapped_files += file->mapped;
		results->stand_ins += file->why != NULL;
		if (file->object)
			quire_object_put(file->object);
		file->object = NULL;
		if (file->wrong)
			replay_disagree(results, 0,
					"%.100s: %" PRIu64 " pages were to be written back changed",
					file->name, file->wrong);
	}
}
