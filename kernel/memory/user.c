/* SPDX-License-Identifier: MIT */
/* Copies to and from a program's memory: ranges are checked here, faults are caught beneath. */
#include "memory/user.h"

#include "arch/cpu.h"
#include "arch/usercopy.h"
#include "lib/string.h"

static bool in_user(uint64_t at, size_t size)
{
	return at <= USER_END && size <= USER_END - at;
}

static inline void *pointer(uint64_t at)
{
	return (void *)at;
}

/* The part of [at, at + size) that lies below USER_END. */
static size_t below_end(uint64_t at, size_t size)
{
	if (at >= USER_END)
		return 0;
	return MIN(size, USER_END - at);
}

int user_read(void *to, uint64_t from, size_t size)
{
	if (!in_user(from, size) || arch_user_copy(to, pointer(from), size) != 0)
		return -EFAULT;
	return 0;
}

int user_write(uint64_t to, const void *from, size_t size)
{
	if (!in_user(to, size) || arch_user_copy(pointer(to), from, size) != 0)
		return -EFAULT;
	return 0;
}

int user_clear(uint64_t to, size_t size)
{
	if (!in_user(to, size) || arch_user_clear(pointer(to), size) != 0)
		return -EFAULT;
	return 0;
}

size_t user_read_some(void *to, uint64_t from, size_t size)
{
	size_t can = below_end(from, size);

	return size - can + arch_user_copy(to, pointer(from), can);
}

size_t user_write_some(uint64_t to, const void *from, size_t size)
{
	size_t can = below_end(to, size);

	return size - can + arch_user_copy(pointer(to), from, can);
}

/* A page at a time: what lies behind the string may be nothing. */
int64_t user_string(char *to, uint64_t from, size_t room)
{
	size_t length = 0;

	while (length < room) {
		size_t part = MIN(room - length,
				  QUIRE_PAGE_SIZE - (from + length) % QUIRE_PAGE_SIZE);
		size_t left = user_read_some(to + length, from + length, part);
		const char *end = memchr(to + length, 0, part - left);

		if (end != NULL)
			return end - to;
		if (left != 0)
			return -EFAULT;
		length += part;
	}
	return -ENAMETOOLONG;
}

static int word_error(uint64_t at, size_t size)
{
	if (at % size != 0)
		return -EINVAL;
	return in_user(at, size) ? 0 : -EFAULT;
}

int user_load32(uint64_t from, uint32_t *value)
{
	int error = word_error(from, sizeof(*value));

	if (error == 0 && arch_user_load32(pointer(from), value) != 0)
		error = -EFAULT;
	return error;
}

int user_store32(uint64_t to, uint32_t value)
{
	int error = word_error(to, sizeof(value));

	if (error == 0 && arch_user_store32(pointer(to), value) != 0)
		error = -EFAULT;
	return error;
}

int user_cas32(uint64_t at, uint32_t expected, uint32_t desired, uint32_t *seen)
{
	int error = word_error(at, sizeof(*seen));

	if (error == 0 && arch_user_cas32(pointer(at), expected, desired, seen) != 0)
		error = -EFAULT;
	return error;
}

int user_xchg32(uint64_t at, uint32_t *value)
{
	int error = word_error(at, sizeof(*value));

	if (error == 0 && arch_user_xchg32(pointer(at), value) != 0)
		error = -EFAULT;
	return error;
}

int user_load64(uint64_t from, uint64_t *value)
{
	int error = word_error(from, sizeof(*value));

	if (error == 0 && arch_user_load64(pointer(from), value) != 0)
		error = -EFAULT;
	return error;
}

int user_store64(uint64_t to, uint64_t value)
{
	int error = word_error(to, sizeof(value));

	if (error == 0 && arch_user_store64(pointer(to), value) != 0)
		error = -EFAULT;
	return error;
}
