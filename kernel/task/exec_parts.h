/* SPDX-License-Identifier: MIT */
/* What the files of execve(2) share: exec.c, exec_script.c, exec_stack.c, exec_calls.c. */
#ifndef KERNEL_EXEC_PARTS_H
#define KERNEL_EXEC_PARTS_H

#include "task/elf.h"
#include "task/task.h"

/* The lines of #! that led to the program, the last one first. */
struct exec_script;

/* The state of one execve: what it holds is released by exec_release. */
struct exec {
	const char *name; /* what was asked for: AT_EXECFN and the thread's name */
	char *const *arguments, *const *environment;
	struct exec_script *scripts;
	struct elf_image program, interpreter;
	uint64_t bias, interpreter_bias; /* 0 for those that say where they want to be */
	struct space *space;
	uint64_t stack_low; /* of what is mapped of the stack at first */
	uint64_t sp;
	char *image;   /* heap: what goes to [sp, USER_END) */
	char *command; /* heap: the arguments as /proc shows them */
	size_t command_length;
	/* The process's own, instead of what it shares with others; NULL: it shares nothing. */
	struct actions *actions;
	struct files *files;
};

/* --- exec_script.c --- */
/*
 * Opens the program: exec->name, or the interpreter that it names, and so on. The arguments become
 * those of the interpreter. 0, -EACCES, -ENOEXEC, -ELOOP, -ENOMEM, or what opening says.
 */
int exec_find(struct exec *exec);
void exec_drop_scripts(struct exec *exec);

/* --- exec_stack.c --- */
/* Makes exec->image, and sp and the places in exec->space. -E2BIG, -ENOMEM. */
int exec_make_stack(struct exec *exec);
/* Bytes that arguments and environment may take, their pointers included. */
uint64_t exec_room(const struct process *process);

#endif
