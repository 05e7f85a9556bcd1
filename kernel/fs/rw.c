/* SPDX-License-Identifier: MIT */
/*
 * read(2), write(2) and their relatives: between the program's buffers, of which there may be many,
 * and the file by way of a buffer of the kernel's:
 *
 *     program's vector ──cursor──► chunk (up to 64 KiB) ──ops->write──► file
 *                      ◄─cursor──                       ◄──ops->read───
 *
 * So a file never touches user memory, and no fault happens inside it. The count is that of the
 * bytes which made the whole way; an error shows only if there are none. Files that wait (pipes,
 * the console) give what they have: one chunk. Before what is read from them is gone from there,
 * the first page of the buffer is looked at: a bad buffer costs no data.
 */
#include "fs/special.h"
#include "fs/transfer.h"
#include "fs/tree.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/task.h"

int cursor_begin(struct cursor *cursor, uint64_t address, uint64_t count)
{
	uint64_t total = 0;

	*cursor = (struct cursor){ .count = (unsigned)count };
	if (count > VECTOR_MOST)
		return -EINVAL;
	cursor->vector = &cursor->one;
	if (count > 1)
		cursor->vector = heap_alloc(count * sizeof(*cursor->vector));
	if (!cursor->vector)
		return -ENOMEM;
	if (user_read(cursor->vector, address, count * sizeof(*cursor->vector))) {
		cursor_end(cursor);
		return -EFAULT;
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t *size = &cursor->vector[i].size;

		if (*size > INT64_MAX) {
			cursor_end(cursor);
			return -EINVAL;
		}
		*size = MIN(*size, TRANSFER_MOST - total);
		total += *size;
	}
	cursor->left = total;
	return 0;
}

void cursor_one(struct cursor *cursor, uint64_t address, uint64_t size)
{
	size = MIN(size, TRANSFER_MOST);
	*cursor = (struct cursor){ .one = { address, size }, .count = 1, .left = size };
	cursor->vector = &cursor->one;
}

void cursor_end(struct cursor *cursor)
{
	if (cursor->vector != &cursor->one)
		heap_free(cursor->vector);
}

/* Up to `size` bytes go into or out of the program's memory: how many did. */
static size_t cursor_copy(struct cursor *cursor, char *buffer, size_t size, bool to_user)
{
	size_t done = 0;

	while (done < size && cursor->index < cursor->count) {
		struct user_range *range = &cursor->vector[cursor->index];
		size_t part = MIN(size - done, range->size), failed;

		failed = part == 0 ? 0
			 : to_user ? user_write_some(range->address, buffer + done, part)
				   : user_read_some(buffer + done, range->address, part);
		part -= failed;
		range->address += part;
		range->size -= part;
		done += part;
		cursor->left -= part;
		if (failed)
			break;
		if (range->size == 0)
			cursor->index++;
	}
	return done;
}

static bool cursor_is_writable(const struct cursor *cursor)
{
	uint32_t value, seen;
	uint64_t at;
	unsigned i = cursor->index;

	while (i < cursor->count && cursor->vector[i].size == 0)
		i++;
	if (i == cursor->count)
		return true;
	at = cursor->vector[i].address & ~3ull;
	return user_load32(at, &value) == 0 && user_cas32(at, value, value, &seen) == 0;
}

static void *chunk_get(struct cursor *cursor, char *small, size_t small_size, size_t *size)
{
	*size = MIN(cursor->left, CHUNK);
	if (*size <= small_size)
		return small;
	return heap_alloc(*size);
}

bool transfer_goes_on(void)
{
	task_yield();
	return !(atomic_load_explicit(&current_task()->work, memory_order_relaxed) & WORK_EXIT);
}

static int64_t read_chunks(struct file *file, struct cursor *cursor, uint64_t *position,
			   char *chunk, size_t size)
{
	int64_t done = 0;

	do {
		size_t part = MIN(size, cursor->left), copied;
		uint64_t start = *position;
		int64_t count = file->ops->read(file, chunk, part, position);

		if (count <= 0)
			return done ? done : count;
		copied = cursor_copy(cursor, chunk, (size_t)count, true);
		done += (int64_t)copied;
		if (copied < (size_t)count) {
			*position = start + copied;
			return done ? done : -EFAULT;
		}
		if ((size_t)count < part)
			break;
	} while (cursor->left && !file->ops->poll && transfer_goes_on());
	return done;
}

static int64_t write_chunks(struct file *file, struct cursor *cursor, uint64_t *position,
			    char *chunk, size_t size)
{
	int64_t done = 0;

	do {
		size_t part = MIN(size, cursor->left);
		size_t copied = cursor_copy(cursor, chunk, part, false);
		int64_t count = -EFAULT;

		if (copied || !part)
			count = file->ops->write(file, chunk, copied, position);
		if (count < 0)
			return done ? done : count;
		done += count;
		if ((size_t)count < part)
			break;
	} while (cursor->left && transfer_goes_on());
	return done;
}

int64_t transfer_read(struct file *file, struct cursor *cursor, uint64_t *position)
{
	char small[256], *chunk;
	size_t size;
	int64_t result;

	if (!file_can_read(file))
		return -EBADF;
	if (!file->ops->read)
		return is_directory(file->inode) ? -EISDIR : -EINVAL;
	if (file->ops->poll && !cursor_is_writable(cursor))
		return -EFAULT;
	chunk = chunk_get(cursor, small, sizeof(small), &size);
	if (!chunk)
		return -ENOMEM;
	result = read_chunks(file, cursor, position, chunk, size);
	if (chunk != small)
		heap_free(chunk);
	return result;
}

int64_t transfer_write(struct file *file, struct cursor *cursor, uint64_t *position)
{
	bool ordered = is_regular(file->inode) && file->inode->object;
	char small[256], *chunk;
	size_t size;
	int64_t result;

	if (!file_can_write(file))
		return -EBADF;
	if (!file->ops->write)
		return -EINVAL;
	chunk = chunk_get(cursor, small, sizeof(small), &size);
	if (!chunk)
		return -ENOMEM;
	if (ordered)
		mutex_take(&file->inode->write_mutex);
	result = write_chunks(file, cursor, position, chunk, size);
	if (ordered)
		mutex_drop(&file->inode->write_mutex);
	if (chunk != small)
		heap_free(chunk);
	return result;
}

/* `positioned`: at `offset`; else at the file's own position, if it has one. */
static int64_t transfer(int descriptor, struct cursor *cursor, int64_t offset, bool positioned,
			bool write)
{
	struct file *file = file_get(descriptor);
	uint64_t position = (uint64_t)offset;
	int64_t result;
	bool own = !positioned;

	if (!file)
		return -EBADF;
	if (file->flags & O_PATH || (positioned && !file->ops->seek)) {
		result = file->flags & O_PATH ? -EBADF : -ESPIPE;
		file_put(file);
		return result;
	}
	if (own && file->ops->seek)
		mutex_take(&file->position_mutex);
	else
		own = false;
	if (!positioned)
		position = file->position;
	result = write ? transfer_write(file, cursor, &position)
		       : transfer_read(file, cursor, &position);
	if (own) {
		file->position = position;
		mutex_drop(&file->position_mutex);
	}
	file_put(file);
	return result;
}

static int64_t transfer_one(struct registers *regs, bool positioned, bool write)
{
	struct cursor cursor;

	if (ARG(regs, 2) > INT64_MAX || (positioned && (int64_t)ARG(regs, 3) < 0))
		return -EINVAL;
	cursor_one(&cursor, ARG(regs, 1), ARG(regs, 2));
	return transfer((int)ARG(regs, 0), &cursor, (int64_t)ARG(regs, 3), positioned, write);
}

int64_t call_read(struct registers *regs)
{
	return transfer_one(regs, false, false);
}

int64_t call_write(struct registers *regs)
{
	return transfer_one(regs, false, true);
}

int64_t call_pread64(struct registers *regs)
{
	return transfer_one(regs, true, false);
}

int64_t call_pwrite64(struct registers *regs)
{
	return transfer_one(regs, true, true);
}

static int64_t transfer_vector(struct registers *regs, bool positioned, bool write)
{
	struct cursor cursor;
	int64_t result;

	if (positioned && (int64_t)ARG(regs, 3) < 0)
		return -EINVAL;
	result = cursor_begin(&cursor, ARG(regs, 1), ARG(regs, 2));
	if (result)
		return result;
	result = transfer((int)ARG(regs, 0), &cursor, (int64_t)ARG(regs, 3), positioned, write);
	cursor_end(&cursor);
	return result;
}

int64_t call_readv(struct registers *regs)
{
	return transfer_vector(regs, false, false);
}

int64_t call_writev(struct registers *regs)
{
	return transfer_vector(regs, false, true);
}

int64_t call_preadv(struct registers *regs)
{
	return transfer_vector(regs, true, false);
}

int64_t call_pwritev(struct registers *regs)
{
	return transfer_vector(regs, true, true);
}

/* Flags: RWF_HIPRI, DSYNC, SYNC ask for nothing here; others are not supported. */
static int64_t transfer_vector2(struct registers *regs, bool write)
{
	if (ARG(regs, 5) & ~7ull)
		return -EOPNOTSUPP;
	return transfer_vector(regs, (int64_t)ARG(regs, 3) != -1, write);
}

int64_t call_preadv2(struct registers *regs)
{
	return transfer_vector2(regs, false);
}

int64_t call_pwritev2(struct registers *regs)
{
	return transfer_vector2(regs, true);
}
