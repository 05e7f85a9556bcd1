/* SPDX-License-Identifier: MIT */
/* The system calls of memory: Quire's calls have their arguments, order of checks and errors. */
#include "calls/calls.h"

#include "arch/cpu.h"
#include "fs/fs.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/task.h"

#include <quire/object.h>

#define PAGE QUIRE_PAGE_SIZE
#define MAP_HUGETLB 0x40000

static struct quire_mm *mm(void)
{
	return current_task()->mm;
}

/* What a file gives to be mapped, with a reference. */
static int object_of(struct file *file, struct quire_object **object)
{
	return file->ops->object != NULL ? file->ops->object(file, object) : -ENODEV;
}

static int64_t map_file(const struct registers *regs, struct file *file)
{
	struct quire_object *object;
	int64_t result;
	int error;

	if (ARG(regs, 1) == 0 || ARG(regs, 3) & MAP_HUGETLB)
		return -EINVAL;
	error = object_of(file, &object);
	if (error != 0)
		return error;
	result = quire_mmap_object(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2),
				   (int)ARG(regs, 3), object, ARG(regs, 5), file_protection(file));
	quire_object_put(object);
	return result;
}

int64_t call_mmap(struct registers *regs)
{
	int flags = (int)ARG(regs, 3);
	struct file *file;
	int64_t result;

	if (ARG(regs, 5) % PAGE != 0)
		return -EINVAL;
	if (flags & QUIRE_MAP_ANONYMOUS) {
		if (flags & MAP_HUGETLB)
			return ARG(regs, 1) != 0 ? -ENOMEM : -EINVAL;
		return quire_mmap(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2), flags);
	}
	file = file_get((int)ARG(regs, 4));
	if (file == NULL)
		return -EBADF;
	result = map_file(regs, file);
	file_put(file);
	return result;
}

int64_t call_munmap(struct registers *regs)
{
	return quire_munmap(mm(), ARG(regs, 0), ARG(regs, 1));
}

int64_t call_mprotect(struct registers *regs)
{
	return quire_mprotect(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2));
}

int64_t call_brk(struct registers *regs)
{
	return (int64_t)quire_brk(mm(), ARG(regs, 0));
}

int64_t call_mremap(struct registers *regs)
{
	return quire_mremap(mm(), ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), (int)ARG(regs, 3),
			    ARG(regs, 4));
}

int64_t call_msync(struct registers *regs)
{
	return quire_msync(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2));
}

int64_t call_madvise(struct registers *regs)
{
	return quire_madvise(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2));
}

/* The answer goes out in pieces of this many bytes. */
#define VECTOR_ROOM 1024ull

int64_t call_mincore(struct registers *regs)
{
	uint64_t at = ARG(regs, 0), vector = ARG(regs, 2);
	uint64_t pages = ARG(regs, 1) / PAGE + (ARG(regs, 1) % PAGE != 0);
	unsigned char *bytes;
	int64_t error = 0;

	if (at % PAGE != 0)
		return -EINVAL;
	if (at > USER_END || pages > (USER_END - at) / PAGE)
		return -ENOMEM;
	if (vector > USER_END || pages > USER_END - vector)
		return -EFAULT;
	bytes = heap_alloc(VECTOR_ROOM);
	if (bytes == NULL)
		return -EAGAIN;
	while (pages != 0 && error == 0) {
		uint64_t count = MIN(pages, VECTOR_ROOM);

		error = quire_mincore(mm(), at, count * PAGE, bytes);
		if (error == 0)
			error = user_write(vector, bytes, count);
		at += count * PAGE;
		vector += count;
		pages -= count;
	}
	heap_free(bytes);
	return error;
}

int64_t call_mlock(struct registers *regs)
{
	return quire_mlock(mm(), ARG(regs, 0), ARG(regs, 1));
}

int64_t call_mlock2(struct registers *regs)
{
	return quire_mlock2(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2));
}

int64_t call_munlock(struct registers *regs)
{
	return quire_munlock(mm(), ARG(regs, 0), ARG(regs, 1));
}

int64_t call_mlockall(struct registers *regs)
{
	return quire_mlockall(mm(), (int)ARG(regs, 0));
}

int64_t call_munlockall(struct registers *regs)
{
	(void)regs;
	return quire_munlockall(mm());
}

/* --- protection keys: pkeys(7) --- */

int64_t call_pkey_mprotect(struct registers *regs)
{
	return quire_pkey_mprotect(mm(), ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2),
				   (int)ARG(regs, 3));
}

/* Two bits a key. While a task's kernel code runs the register is its program's. */
static void set_key_rights(unsigned key, uint32_t rights)
{
	uint32_t value, high;

	__asm__ volatile("rdpkru" : "=a"(value), "=d"(high) : "c"(0));
	value = (value & ~(3u << 2 * key)) | rights << 2 * key;
	__asm__ volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory");
}

int64_t call_pkey_alloc(struct registers *regs)
{
	uint64_t flags = ARG(regs, 0), rights = ARG(regs, 1);
	int key;

	if (flags != 0 || rights > 3)
		return -EINVAL;
	if (!cpu_features.pku)
		return -ENOSPC;
	key = quire_pkey_alloc(mm());
	if (key >= 0)
		set_key_rights((unsigned)key, (uint32_t)rights);
	return key;
}

int64_t call_pkey_free(struct registers *regs)
{
	return quire_pkey_free(mm(), (int)ARG(regs, 0));
}
