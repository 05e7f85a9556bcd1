/* SPDX-License-Identifier: MIT */
/*
 * execve(2): another program in the same process.
 *
 *     find      #! lines, ELF file and its interpreter, all checked     exec_script.c, elf.c
 *     build     a new space: stack, program, interpreter                exec_stack.c
 *     fill      the new space is this thread's for a moment: stack contents, tails of .data
 *     ── a failure up to here leaves everything as it was ──
 *     single    the other threads end. From here on there is no way back, and nothing can fail.
 *     commit    space, descriptors, signals, registers; a parent in vfork goes on
 *
 *     0x10000      0x555555554000                                  USER_END
 *        │ fixed program │ movable program, heap ►   ◄ mappings │ gap │ ◄ stack │
 *
 * Addresses are the same in each run: there is no randomisation.
 */
#include "task/exec_parts.h"

#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/limits.h"
#include "task/signal_parts.h"

#define PROGRAM_BASE 0x555555554000ull /* as in Linux: two thirds of the way up */
#define STACK_EXTRA (128ull << 10)     /* mapped below sp from the beginning */

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* What it still holds: all of it, or after commit what the process had before. */
static void exec_release(struct exec *exec)
{
	exec_drop_scripts(exec);
	elf_close(&exec->program);
	elf_close(&exec->interpreter);
	if (exec->space)
		space_put(exec->space);
	if (exec->actions)
		actions_put(exec->actions);
	if (exec->files)
		files_put(exec->files);
	heap_free(exec->image);
	heap_free(exec->command);
}

static int map_stack(struct exec *exec)
{
	int prot = QUIRE_PROT_READ | QUIRE_PROT_WRITE;
	int64_t at;

	if (exec->program.exec_stack)
		prot |= QUIRE_PROT_EXEC;
	exec->stack_low = (exec->sp - STACK_EXTRA) & ~(QUIRE_PAGE_SIZE - 1);
	at = quire_mmap(exec->space->mm, exec->stack_low, USER_END - exec->stack_low, prot,
			QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_GROWSDOWN |
				QUIRE_MAP_FIXED);
	return at < 0 ? (int)at : 0;
}

/* Where the program goes: its lowest page at PROGRAM_BASE, or where it says. */
static int place_program(struct exec *exec)
{
	const struct elf_image *program = &exec->program;
	uint64_t align = MAX(program->align, QUIRE_PAGE_SIZE), end;

	if (elf_movable(program))
		exec->bias = round_up(PROGRAM_BASE, align) - (program->low & ~(align - 1));
	end = program->high + exec->bias;
	return end > SPACE_MMAP_TOP || end < program->high - program->low ? -ENOEXEC : 0;
}

/*
 * The interpreter goes where mmap finds a gap that is large enough. Nothing else maps in this space
 * yet, so the gap is still there when it is given back.
 */
static int place_interpreter(struct exec *exec)
{
	const struct elf_image *image = &exec->interpreter;
	uint64_t align = MAX(image->align, QUIRE_PAGE_SIZE);
	uint64_t size = image->high - image->low + align;
	int64_t at;

	if (!elf_movable(image)) {
		bool apart = image->low >= exec->program.high + exec->bias ||
			     image->high <= exec->program.low + exec->bias;

		return apart && image->high <= SPACE_MMAP_TOP ? 0 : -ENOEXEC;
	}
	at = quire_mmap(exec->space->mm, 0, size, QUIRE_PROT_NONE,
			QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_NORESERVE);
	if (at < 0)
		return (int)at;
	exec->interpreter_bias = round_up((uint64_t)at, align) - (image->low & ~(align - 1));
	return quire_munmap(exec->space->mm, (uint64_t)at, size);
}

static int map_images(struct exec *exec)
{
	struct quire_mm *mm = exec->space->mm;
	int error = elf_map(&exec->program, mm, exec->bias);

	if (error || !exec->interpreter.file)
		return error;
	error = place_interpreter(exec);
	return error ? error : elf_map(&exec->interpreter, mm, exec->interpreter_bias);
}

/* A space in which the program could begin but for what is to be written to it. */
static int build(struct exec *exec)
{
	const struct elf_image *program = &exec->program;
	int error = place_program(exec);

	if (error)
		return error;
	exec->space = space_create(program->high + exec->bias);
	if (!exec->space)
		return -ENOMEM;
	error = file_deny_write(program->file);
	if (error)
		return error;
	exec->space->program = program->file;
	exec->space->code_start = program->code_start + exec->bias;
	exec->space->code_end = program->code_end + exec->bias;
	/* The interpreter's place is in the auxiliary vector, so it is found first. */
	error = map_images(exec);
	if (error == 0)
		error = exec_make_stack(exec);
	if (error == 0)
		error = map_stack(exec);
	return error;
}

static void run_space(struct quire_mm *mm)
{
	current_task()->mm = mm;
	quire_x86_switch(mm);
}

/* => the other threads may run in the old space meanwhile; this one goes back to it */
static int fill(struct exec *exec)
{
	struct quire_mm *old = current_task()->mm;
	int error;

	run_space(exec->space->mm);
	error = elf_clear(&exec->program, exec->bias);
	if (error == 0 && exec->interpreter.file)
		error = elf_clear(&exec->interpreter, exec->interpreter_bias);
	if (error == 0)
		error = user_write(exec->sp, exec->image, USER_END - exec->sp);
	run_space(old);
	return error ? -ENOMEM : 0;
}

/* What is shared with other processes is to become this one's own: made here, used in commit. */
static int unshare(struct exec *exec)
{
	struct process *process = current_process();

	if (atomic_load(&process->actions->references) > 1) {
		exec->actions = actions_create();
		if (!exec->actions)
			return -ENOMEM;
	}
	if (files_shared(process->files)) {
		exec->files = files_copy(process->files);
		if (!exec->files)
			return -ENOMEM;
	}
	return 0;
}

/* Exchanges what the process had; that goes back to *exec, to be released. => the only thread */
static void replace(struct process *process, struct exec *exec)
{
	struct actions *actions = process->actions;
	struct space *space = process->space;
	struct files *files = process->files;
	char *command = process->arguments;
	uint64_t flags;

	if (exec->actions)
		actions_assign(exec->actions, actions);
	lock_take(&process_lock);
	flags = lock_take_irq(&process->signal_lock);
	process->actions = exec->actions ? exec->actions : actions;
	lock_drop_irq(&process->signal_lock, flags);
	process->files = exec->files ? exec->files : files;
	process->space = exec->space;
	process->arguments = exec->command;
	process->arguments_length = exec->command_length;
	lock_drop(&process_lock);
	exec->actions = exec->actions ? actions : NULL;
	exec->files = exec->files ? files : NULL;
	exec->space = space;
	exec->command = command;
}

static void name_process(struct process *process, const struct exec *exec)
{
	const char *slash = strrchr(exec->name, '/');
	struct task *task = current_task();

	lock_take(&process_lock);
	strlcpy(process->name, slash ? slash + 1 : exec->name, sizeof(process->name));
	strlcpy(process->path, exec->program.file->path ? exec->program.file->path : exec->name,
		sizeof(process->path));
	process->has_execed = true;
	process->membarrier = false;
	lock_drop(&process_lock);
	memset(task->name, 0, sizeof(task->name));
	strlcpy(task->name, process->name, sizeof(task->name));
}

/* => the only thread */
static void commit_task(struct task *task)
{
	task->clear_tid = 0;
	task->robust_list = 0;
	memset(&task->rseq, 0, sizeof(task->rseq));
	memset(&task->altstack, 0, sizeof(task->altstack));
	task->fs_base = task->gs_base = 0;
	cpu_set_fs(0);
	cpu_set_user_gs(0);
	extended_reset(task->extended);
	extended_load(task->extended);
}

static void commit(struct exec *exec)
{
	struct task *task = current_task();
	struct process *process = task->process;

	if (process->space)
		futex_exit(task);
	replace(process, exec);
	run_space(process->space->mm);
	limits_apply(process, process->space->mm);
	name_process(process, exec);
	task_vfork_done();
	files_exec(process->files);
	actions_exec(process->actions);
	commit_task(task);
}

static void first_registers(const struct exec *exec, struct registers *regs)
{
	const struct elf_image *first = exec->interpreter.file ? &exec->interpreter
							       : &exec->program;

	memset(regs, 0, sizeof(*regs));
	regs->rip = first->header.entry +
		    (exec->interpreter.file ? exec->interpreter_bias : exec->bias);
	regs->rsp = exec->sp;
	regs->rflags = FLAG_INTERRUPT | FLAG_FIXED;
	regs->cs = USER_CS;
	regs->ss = USER_SS;
	regs->error = UINT64_MAX;
}

/* What /proc shows as the command line. */
static int copy_command(struct exec *exec)
{
	const struct space *space = exec->space;

	exec->command_length = space->environment - space->arguments;
	exec->command = heap_copy(exec->image + (space->arguments - exec->sp),
				  exec->command_length);
	return exec->command ? 0 : -ENOMEM;
}

static int prepare(struct exec *exec)
{
	int error = exec_find(exec);

	if (error == 0)
		error = build(exec);
	if (error == 0)
		error = fill(exec);
	if (error == 0)
		error = copy_command(exec);
	if (error == 0)
		error = unshare(exec);
	return error ? error : process_become_single();
}

int exec_program(const char *path, char *const *arguments, char *const *environment,
		 struct registers *regs)
{
	struct exec exec = { .name = path, .arguments = arguments, .environment = environment };
	int error = prepare(&exec);

	if (error == 0) {
		commit(&exec);
		first_registers(&exec, regs);
	}
	exec_release(&exec);
	return error;
}
