/* SPDX-License-Identifier: MIT */
/* execve(2) and execveat(2): what the program says, copied before it is looked at. */
#include "calls/calls.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/exec_parts.h"

#define FIRST_ROOM 4096

/* Strings of a program side by side, and then pointers to them. */
struct strings {
	char *bytes; /* heap */
	size_t used, room;
	unsigned count;
	char **vector; /* heap; ends with NULL */
};

static void strings_free(struct strings *strings)
{
	heap_free(strings->bytes);
	heap_free(strings->vector);
}

static int grow(struct strings *strings, size_t limit)
{
	size_t room = MIN(MAX(strings->room * 2, (size_t)FIRST_ROOM), limit);
	char *bytes;

	if (strings->room >= limit)
		return -E2BIG;
	bytes = heap_alloc(room);
	if (!bytes)
		return -ENOMEM;
	if (strings->used)
		memcpy(bytes, strings->bytes, strings->used);
	heap_free(strings->bytes);
	strings->bytes = bytes;
	strings->room = room;
	return 0;
}

static int add_string(struct strings *strings, uint64_t from, size_t limit)
{
	for (;;) {
		int64_t length = -ENAMETOOLONG;
		int error;

		if (strings->room > strings->used)
			length = user_string(strings->bytes + strings->used, from,
					     strings->room - strings->used);
		if (length >= 0) {
			strings->used += (size_t)length + 1;
			strings->count++;
			return 0;
		}
		if (length != -ENAMETOOLONG)
			return (int)length;
		error = grow(strings, limit);
		if (error)
			return error;
	}
}

static int make_vector(struct strings *strings)
{
	char *at = strings->bytes;

	strings->vector = heap_zero((strings->count + 1) * sizeof(char *));
	if (!strings->vector)
		return -ENOMEM;
	for (unsigned i = 0; i < strings->count; i++) {
		strings->vector[i] = at;
		at += strlen(at) + 1;
	}
	return 0;
}

/* `from`: a vector of pointers that ends with NULL, or NULL itself, which stands for an empty one.
 */
static int read_strings(struct strings *strings, uint64_t from)
{
	size_t limit = exec_room(current_process());

	memset(strings, 0, sizeof(*strings));
	for (; from; from += sizeof(uint64_t)) {
		uint64_t string;
		int error;

		if (user_read(&string, from, sizeof(string)))
			return -EFAULT;
		if (!string)
			break;
		if (strings->count >= limit / sizeof(uint64_t))
			return -E2BIG;
		error = add_string(strings, string, limit);
		if (error)
			return error;
	}
	return 0;
}

/* A program has at least a name: argv[0] is empty if nothing was given. */
static int read_arguments(struct strings *strings, uint64_t from)
{
	int error = read_strings(strings, from);

	if (error || strings->count > 0)
		return error;
	strings->bytes = heap_zero(1);
	if (!strings->bytes)
		return -ENOMEM;
	strings->count = 1;
	return 0;
}

static int64_t execute(const char *path, uint64_t arguments_at, uint64_t environment_at,
		       struct registers *regs)
{
	struct strings arguments = { 0 }, environment = { 0 };
	int error = read_arguments(&arguments, arguments_at);

	if (error == 0)
		error = read_strings(&environment, environment_at);
	if (error == 0)
		error = make_vector(&arguments);
	if (error == 0)
		error = make_vector(&environment);
	if (error == 0)
		error = exec_program(path, arguments.vector, environment.vector, regs);
	strings_free(&arguments);
	strings_free(&environment);
	return error;
}

int64_t call_execve(struct registers *regs)
{
	char *path = heap_alloc(PATH_ROOM);
	int64_t result;

	if (!path)
		return -ENOMEM;
	result = user_string(path, ARG(regs, 0), PATH_ROOM);
	if (result >= 0)
		result = execute(path, ARG(regs, 1), ARG(regs, 2), regs);
	heap_free(path);
	return result;
}

/* A path below a descriptor goes through /proc, which has a link for each. */
static int path_at(int descriptor, uint64_t from, unsigned flags, char path[PATH_ROOM])
{
	int prefix = 0;
	int64_t length = user_string(path, from, PATH_ROOM);

	if (length < 0)
		return (int)length;
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	if (length == 0 && !(flags & AT_EMPTY_PATH))
		return -ENOENT;
	if (path[0] == '/' || descriptor == AT_FDCWD)
		return 0;
	prefix = format(path, PATH_ROOM, "/proc/self/fd/%d%s", descriptor, length ? "/" : "");
	length = length ? user_string(path + prefix, from, (size_t)(PATH_ROOM - prefix)) : 0;
	return length < 0 ? (int)length : 0;
}

int64_t call_execveat(struct registers *regs)
{
	char *path = heap_alloc(PATH_ROOM);
	struct file *file = NULL;
	unsigned flags = (unsigned)ARG(regs, 4);
	int error;

	if (!path)
		return -ENOMEM;
	error = path_at((int)ARG(regs, 0), ARG(regs, 1), flags, path);
	if (error == 0 && flags & AT_SYMLINK_NOFOLLOW) {
		error = fs_open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, &file);
		if (error == 0)
			file_put(file);
	}
	if (error == 0)
		error = (int)execute(path, ARG(regs, 2), ARG(regs, 3), regs);
	heap_free(path);
	return error;
}
