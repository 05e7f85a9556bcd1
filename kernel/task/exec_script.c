/* SPDX-License-Identifier: MIT */
/*
 * Finding the program. A file that begins with
 *
 *     #! interpreter [one argument]
 *
 * is run as: interpreter [one argument] file arguments... The interpreter may be such a file
 * itself, to a depth of five.
 */
#include "task/exec_parts.h"

#include "lib/string.h"
#include "memory/heap.h"

#define LINE_SIZE 256 /* of the file's beginning that is looked at */
#define DEPTH_MAX 5

struct exec_script {
	struct exec_script *outer;
	char line[LINE_SIZE + 1];
	const char *interpreter;
	char *vector[];
};

void exec_drop_scripts(struct exec *exec)
{
	while (exec->scripts) {
		struct exec_script *script = exec->scripts;

		exec->scripts = script->outer;
		heap_free(script);
	}
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Splits the line in place. *argument: NULL if there is none. The interpreter's name must end
 * inside the line; an argument may be cut off at its end, as in Linux.
 */
static int split(char *line, const char **interpreter, char **argument)
{
	char *at = line + 2, *end = strchr(at, '\n');
	bool whole = end != NULL;

	if (!whole)
		end = at + strlen(at);
	while (end > at && blank(end[-1]))
		end--;
	*end = 0;
	while (blank(*at))
		at++;
	*interpreter = at;
	while (*at && !blank(*at))
		at++;
	if (*interpreter == at || (!*at && !whole && strlen(line) >= LINE_SIZE))
		return -ENOEXEC;
	*argument = NULL;
	if (*at) {
		*at++ = 0;
		while (blank(*at))
			at++;
		*argument = at;
	}
	return 0;
}

/* => `line` is the beginning of the file `path`, with a NUL */
static int add_script(struct exec *exec, const char *line, const char *path)
{
	struct exec_script *script;
	unsigned count = 0, used = 0;
	char *argument;

	while (exec->arguments[count])
		count++;
	script = heap_zero(sizeof(*script) + (count + 4) * sizeof(char *));
	if (!script)
		return -ENOMEM;
	script->outer = exec->scripts;
	exec->scripts = script;
	strlcpy(script->line, line, sizeof(script->line));
	if (split(script->line, &script->interpreter, &argument))
		return -ENOEXEC;
	script->vector[used++] = (char *)(uintptr_t)script->interpreter;
	if (argument)
		script->vector[used++] = argument;
	script->vector[used++] = (char *)(uintptr_t)path;
	for (unsigned i = 1; i < count; i++)
		script->vector[used++] = exec->arguments[i];
	exec->arguments = script->vector;
	return 0;
}

/* One that is not a plain file with an x bit is EACCES; a fifo is not waited for. */
static int open_executable(const char *path, struct file **file)
{
	int error = fs_open(path, O_RDONLY | O_NONBLOCK, 0, file);

	if (error)
		return error;
	error = file_executable(*file);
	if (error)
		file_put(*file);
	return error;
}

/* 0: it is a script, and *path is its interpreter now. 1: it is none. */
static int look(struct exec *exec, struct file *file, const char **path)
{
	char line[LINE_SIZE + 1];
	int64_t size = file_read_at(file, line, LINE_SIZE, 0);
	int error;

	if (size < 0)
		return (int)size;
	line[size] = 0;
	if (size < 2 || line[0] != '#' || line[1] != '!')
		return 1;
	error = add_script(exec, line, *path);
	if (error == 0)
		*path = exec->scripts->interpreter;
	return error;
}

static int open_interpreter(struct exec *exec)
{
	struct file *file;
	int error = open_executable(exec->program.interpreter, &file);

	if (error)
		return error;
	error = elf_open(file, &exec->interpreter);
	if (error)
		file_put(file);
	return error;
}

int exec_find(struct exec *exec)
{
	const char *path = exec->name;

	for (unsigned depth = 0; depth <= DEPTH_MAX; depth++) {
		struct file *file;
		int error = open_executable(path, &file);

		if (error)
			return error;
		error = look(exec, file, &path);
		if (error == 1) {
			error = elf_open(file, &exec->program);
			if (error == 0)
				return exec->program.interpreter ? open_interpreter(exec) : 0;
		}
		file_put(file);
		if (error)
			return error;
	}
	return -ELOOP;
}
