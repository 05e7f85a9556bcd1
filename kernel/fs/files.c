/* SPDX-License-Identifier: MIT */
/*
 * Tables of descriptors. A slot holds a reference to its file. files->lock guards slots and room; a
 * larger table is allocated without it and put in place under it.
 */
#include "fs/locks.h"
#include "fs/path.h"
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/limits.h"

#define ROOM_FIRST 16u /* each fork copies it */
#define CLOSE_RANGE_CLOEXEC 4u

struct slot {
	struct file *file;
	bool close_on_exec;
};

struct files {
	_Atomic uint32_t references;
	struct lock lock; /* plain */
	struct slot *slots;
	unsigned room;
	unsigned lowest; /* none below is free */
};

static struct files *create(unsigned room)
{
	struct files *files = heap_zero(sizeof(*files));

	if (!files)
		return NULL;
	files->slots = heap_zero(room * sizeof(*files->slots));
	if (!files->slots) {
		heap_free(files);
		return NULL;
	}
	files->room = room;
	atomic_init(&files->references, 1);
	return files;
}

struct files *files_create(void)
{
	return create(ROOM_FIRST);
}

struct files *files_copy(struct files *from)
{
	for (;;) {
		unsigned room = from->room;
		struct files *files = create(room);

		if (!files)
			return NULL;
		lock_take(&from->lock);
		if (from->room <= room) {
			memcpy(files->slots, from->slots, from->room * sizeof(*from->slots));
			files->lowest = from->lowest;
			for (unsigned i = 0; i < from->room; i++)
				if (files->slots[i].file)
					file_hold(files->slots[i].file);
			lock_drop(&from->lock);
			return files;
		}
		lock_drop(&from->lock); /* it has grown */
		files_put(files);
	}
}

void files_get(struct files *files)
{
	atomic_fetch_add_explicit(&files->references, 1, memory_order_relaxed);
}

/* An owner of record locks loses them with the first descriptor of the inode that it closes. */
static void close_file(struct files *files, struct file *file)
{
	locks_release(file->inode, files);
	file_put(file);
}

void files_put(struct files *files)
{
	/* Acquire and release: each other's uses are before the end. */
	if (atomic_fetch_sub_explicit(&files->references, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < files->room; i++)
		if (files->slots[i].file)
			close_file(files, files->slots[i].file);
	heap_free(files->slots);
	heap_free(files);
}

/* Out of the table; the reference is the caller's. NULL: there is none. */
static struct file *take_out(struct files *files, unsigned descriptor)
{
	struct file *file = NULL;

	lock_take(&files->lock);
	if (descriptor < files->room) {
		file = files->slots[descriptor].file;
		files->slots[descriptor] = (struct slot){ 0 };
		if (file && descriptor < files->lowest)
			files->lowest = descriptor;
	}
	lock_drop(&files->lock);
	return file;
}

bool files_shared(struct files *files)
{
	return atomic_load_explicit(&files->references, memory_order_relaxed) > 1;
}

void files_exec(struct files *files)
{
	for (unsigned i = 0; i < files->room; i++) {
		struct file *file;

		if (!files->slots[i].close_on_exec)
			continue;
		file = take_out(files, i);
		if (file)
			close_file(files, file);
	}
}

struct file *files_get_file(struct files *files, int descriptor)
{
	struct file *file = NULL;

	lock_take(&files->lock);
	if ((unsigned)descriptor < files->room)
		file = files->slots[descriptor].file;
	if (file)
		file_hold(file);
	lock_drop(&files->lock);
	return file;
}

struct file *file_get(int descriptor)
{
	return files_get_file(current_process()->files, descriptor);
}

int files_next(struct files *files, int from)
{
	int found = -1;

	lock_take(&files->lock);
	for (unsigned i = (unsigned)from; i < files->room && found < 0; i++)
		if (files->slots[i].file)
			found = (int)i;
	lock_drop(&files->lock);
	return found;
}

static unsigned limit_of_files(void)
{
	uint64_t limit = current_process()->limits[RLIMIT_NOFILE][0];

	return (unsigned)MIN(limit, (uint64_t)OPEN_MAX);
}

/* Room for this descriptor at least. 0, or -ENOMEM. */
static int grow(struct files *files, unsigned descriptor)
{
	struct slot *slots, *old;
	unsigned room = ROOM_FIRST;

	while (room <= descriptor)
		room *= 2;
	slots = heap_zero(room * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	lock_take(&files->lock);
	old = slots;
	if (files->room < room) {
		old = files->slots;
		memcpy(slots, old, files->room * sizeof(*slots));
		files->slots = slots;
		files->room = room;
	}
	lock_drop(&files->lock);
	heap_free(old);
	return 0;
}

int file_install(struct file *file, int from, bool close_on_exec)
{
	struct files *files = current_process()->files;
	unsigned limit = limit_of_files(), i;

	for (;;) {
		lock_take(&files->lock);
		i = MAX((unsigned)from, files->lowest);
		while (i < files->room && files->slots[i].file)
			i++;
		if ((unsigned)from <= files->lowest)
			files->lowest = i;
		if (i >= limit || i < files->room)
			break;
		lock_drop(&files->lock);
		if (grow(files, i))
			return -ENOMEM;
	}
	if (i < limit)
		files->slots[i] = (struct slot){ file, close_on_exec };
	lock_drop(&files->lock);
	return i < limit ? (int)i : -EMFILE;
}

int64_t files_install_pair(struct file *const *pair, uint32_t flags, uint64_t address)
{
	struct files *files = current_process()->files;
	int descriptors[2], error;

	for (int i = 0; i < 2; i++) {
		descriptors[i] = file_install(pair[i], 0, flags & O_CLOEXEC);
		if (descriptors[i] < 0) {
			if (i == 1)
				file_put(take_out(files, (unsigned)descriptors[0]));
			else
				file_put(pair[0]);
			file_put(pair[1]);
			return descriptors[i];
		}
	}
	error = user_write(address, descriptors, sizeof(descriptors));
	for (int i = 0; i < 2 && error; i++)
		file_put(take_out(files, (unsigned)descriptors[i]));
	return error;
}

int files_open_console(struct files *files)
{
	struct file *file;
	int error = fs_open("/dev/console", O_RDWR, 0, &file);

	if (error)
		return error;
	for (unsigned i = 0; i < 3; i++) {
		file_hold(file);
		files->slots[i].file = file;
	}
	file_put(file);
	return 0;
}

int64_t call_close(struct registers *regs)
{
	struct files *files = current_process()->files;
	struct file *file = take_out(files, (unsigned)ARG(regs, 0));

	if (!file)
		return -EBADF;
	close_file(files, file);
	return 0;
}

int64_t call_dup(struct registers *regs)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int result;

	if (!file)
		return -EBADF;
	result = file_install(file, 0, false);
	if (result < 0)
		file_put(file);
	return result;
}

/* At this very descriptor; what was there is closed. */
static int64_t duplicate_to(int from, unsigned to, bool close_on_exec)
{
	struct files *files = current_process()->files;
	struct file *file = file_get(from), *old;

	if (!file)
		return -EBADF;
	if (to >= limit_of_files() || (to >= files->room && grow(files, to))) {
		int error = to >= limit_of_files() ? -EBADF : -ENOMEM;

		file_put(file);
		return error;
	}
	lock_take(&files->lock);
	old = files->slots[to].file;
	files->slots[to] = (struct slot){ file, close_on_exec };
	lock_drop(&files->lock);
	if (old)
		close_file(files, old);
	return (int64_t)to;
}

int64_t call_dup2(struct registers *regs)
{
	struct file *file;

	if (ARG(regs, 0) != ARG(regs, 1))
		return duplicate_to((int)ARG(regs, 0), (unsigned)ARG(regs, 1), false);
	file = file_get((int)ARG(regs, 0));
	if (!file)
		return -EBADF;
	file_put(file);
	return (int64_t)ARG(regs, 0);
}

int64_t call_dup3(struct registers *regs)
{
	if (ARG(regs, 2) & ~(uint64_t)O_CLOEXEC || (int)ARG(regs, 0) == (int)ARG(regs, 1))
		return -EINVAL;
	return duplicate_to((int)ARG(regs, 0), (unsigned)ARG(regs, 1), ARG(regs, 2));
}

/* The one attribute of a descriptor itself. set < 0: only ask. */
int64_t files_close_on_exec(int descriptor, int set)
{
	struct files *files = current_process()->files;
	int64_t result = -EBADF;

	lock_take(&files->lock);
	if ((unsigned)descriptor < files->room && files->slots[descriptor].file) {
		result = files->slots[descriptor].close_on_exec;
		if (set >= 0) {
			files->slots[descriptor].close_on_exec = set;
			result = 0;
		}
	}
	lock_drop(&files->lock);
	return result;
}

int64_t call_close_range(struct registers *regs)
{
	struct files *files = current_process()->files;
	uint64_t first = (uint32_t)ARG(regs, 0), last = (uint32_t)ARG(regs, 1);
	unsigned flags = (unsigned)ARG(regs, 2);

	/* CLOSE_RANGE_UNSHARE is not there. */
	if (first > last || flags & ~CLOSE_RANGE_CLOEXEC)
		return -EINVAL;
	for (uint64_t i = first; i <= last && i < files->room; i++) {
		struct file *file;

		if (flags & CLOSE_RANGE_CLOEXEC) {
			(void)files_close_on_exec((int)i, 1);
			continue;
		}
		file = take_out(files, (unsigned)i);
		if (file)
			close_file(files, file);
	}
	return 0;
}
