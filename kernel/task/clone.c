/* SPDX-License-Identifier: MIT */
/*
 * clone(2) and its kin: a thread, or a process that shares or copies what the flags say. All that
 * can fail comes before the new task is linked; from then on it can be found, killed and waited
 * for, and is started in any case.
 */
#include "task/process.h"

#include "calls/calls.h"
#include "fs/fs.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"

#define CSIGNAL 0xffull
#define CLONE_VM 0x100ull
#define CLONE_FS 0x200ull
#define CLONE_FILES 0x400ull
#define CLONE_SIGHAND 0x800ull
#define CLONE_PIDFD 0x1000ull
#define CLONE_VFORK 0x4000ull
#define CLONE_PARENT 0x8000ull
#define CLONE_THREAD 0x10000ull
#define CLONE_NEWNS 0x20000ull
#define CLONE_SETTLS 0x80000ull
#define CLONE_PARENT_SETTID 0x100000ull
#define CLONE_CHILD_CLEARTID 0x200000ull
#define CLONE_DETACHED 0x400000ull
#define CLONE_CHILD_SETTID 0x1000000ull
#define CLONE_NEWCGROUP 0x2000000ull
#define CLONE_NEWUTS 0x4000000ull
#define CLONE_NEWIPC 0x8000000ull
#define CLONE_NEWUSER 0x10000000ull
#define CLONE_NEWPID 0x20000000ull
#define CLONE_NEWNET 0x40000000ull
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#define CLONE_KNOWN 0x1ffffff00ull /* to clone3; CLONE_INTO_CGROUP and what came later are not */
/* There is one namespace of each kind. File descriptors of processes are not there either. */
#define CLONE_REFUSED                                                                              \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD)

static int check(const struct clone_arguments *arguments)
{
	uint64_t flags = arguments->flags;

	if (flags & CLONE_REFUSED)
		return -EINVAL;
	if (flags & CLONE_THREAD && !(flags & CLONE_SIGHAND))
		return -EINVAL;
	if (flags & CLONE_SIGHAND && !(flags & CLONE_VM))
		return -EINVAL;
	if (flags & CLONE_SIGHAND && flags & CLONE_CLEAR_SIGHAND)
		return -EINVAL;
	/* A sibling of process 1 would have no parent. */
	if (flags & CLONE_PARENT && current_process() == init_process)
		return -EINVAL;
	if (flags & CLONE_SETTLS && arguments->tls >= USER_END)
		return -EPERM;
	return 0;
}

/* Its resources, as far as it has them. => no task of it was ever started */
static void discard(struct process *process)
{
	if (process->space)
		space_put(process->space);
	if (process->files)
		files_put(process->files);
	if (process->fs)
		fs_context_put(process->fs);
	process_put(process);
}

static void share(struct process *process, struct process *from, uint64_t flags)
{
	if (flags & CLONE_SIGHAND) {
		atomic_fetch_add_explicit(&from->actions->references, 1, memory_order_relaxed);
		process->actions = from->actions;
	} else {
		process->actions = actions_copy(from->actions);
		if (process->actions && flags & CLONE_CLEAR_SIGHAND)
			actions_exec(process->actions);
	}
	if (flags & CLONE_FILES) {
		files_get(from->files);
		process->files = from->files;
	} else {
		process->files = files_copy(from->files);
	}
	if (flags & CLONE_FS) {
		fs_context_get(from->fs);
		process->fs = from->fs;
	} else {
		process->fs = fs_context_copy(from->fs);
	}
	if (!process->actions || !process->files || !process->fs)
		return;
	if (flags & CLONE_VM) {
		space_get(from->space);
		process->space = from->space;
	} else {
		process->space = space_fork(from->space);
	}
}

/* A process like the current one, in no table. NULL: no memory. */
static struct process *copy_process(const struct clone_arguments *arguments)
{
	struct process *from = current_process(), *process = process_create();

	if (!process)
		return NULL;
	memcpy(process->name, from->name, sizeof(process->name));
	strlcpy(process->path, from->path, sizeof(process->path));
	memcpy(process->limits, from->limits, sizeof(process->limits));
	process->membarrier = from->membarrier;
	process->exit_signal = arguments->exit_signal <= SIGNALS ? (int)arguments->exit_signal : 0;
	if (from->arguments) {
		process->arguments = heap_copy(from->arguments, from->arguments_length);
		process->arguments_length = from->arguments_length;
	}
	if (!from->arguments || process->arguments)
		share(process, from, arguments->flags);
	if (!process->space) {
		discard(process);
		return NULL;
	}
	return process;
}

/* What the new task has from the current one. */
static void copy_task(struct task *task, const struct clone_arguments *arguments)
{
	uint64_t flags = arguments->flags;
	struct task *from = current_task();
	struct registers *regs = task_registers(task);

	*regs = *task_registers(from);
	regs->rax = 0;
	if (arguments->stack)
		regs->rsp = arguments->stack + arguments->stack_size;
	extended_save(task->extended);
	task->fs_base = flags & CLONE_SETTLS ? arguments->tls : cpu_get_fs();
	task->gs_base = cpu_get_user_gs();
	task->mm = task->process->space->mm;
	task->affinity = from->affinity;
	task->nice = from->nice;
	task->blocked = from->blocked;
	memcpy(task->name, from->name, sizeof(task->name));
	if (!(flags & CLONE_VM) || flags & CLONE_VFORK)
		task->altstack = from->altstack;
	if (!(flags & CLONE_VM))
		task->rseq = from->rseq;
	if (flags & CLONE_CHILD_SETTID)
		task->set_tid = arguments->child_tid;
	if (flags & CLONE_CHILD_CLEARTID)
		task->clear_tid = arguments->child_tid;
}

/* => process_lock held */
static int link_process(struct task *task, uint64_t flags)
{
	struct process *process = task->process, *from = current_process();
	uint64_t irq = lock_take_irq(&from->signal_lock);
	bool ending = from->ending || from->single;

	lock_drop_irq(&from->signal_lock, irq);
	if (ending)
		return -EINTR;
	process->pid = task->tid;
	process->group = from->group;
	process->session = from->session;
	process->parent = flags & CLONE_PARENT ? from->parent : from;
	if (flags & CLONE_PARENT)
		process->exit_signal = from->exit_signal;
	list_add(&process->parent->children, &process->sibling);
	pid_link(process);
	return thread_link(task);
}

static int link_task(struct task *task, uint64_t flags)
{
	int error;

	lock_take(&process_lock);
	task->tid = tid_allocate();
	error = flags & CLONE_THREAD ? thread_link(task) : link_process(task, flags);
	lock_drop(&process_lock);
	return error;
}

/* Nothing of the new task's is used any more: it may be gone when this returns. */
static int64_t start(struct task *task, uint64_t flags)
{
	int tid = task->tid;

	if (!(flags & CLONE_VFORK)) {
		task_start(task);
		return tid;
	}
	process_get(current_process());
	atomic_store(&task->vfork, current_process());
	task_get(task);
	task_start(task);
	wait_until(&current_process()->vfork_wait, SLEEP_KILLABLY, NEVER,
		   atomic_load(&task->vfork) == NULL);
	task_put(task);
	return tid;
}

int64_t task_clone(const struct clone_arguments *arguments)
{
	uint64_t flags = arguments->flags;
	struct process *process = NULL;
	struct task *task;
	int error = check(arguments);

	if (error)
		return error;
	if (!(flags & CLONE_THREAD)) {
		process = copy_process(arguments);
		if (!process)
			return -ENOMEM;
	}
	task = task_create(process ? process : current_process());
	if (!task) {
		if (process)
			discard(process);
		return -ENOMEM;
	}
	copy_task(task, arguments);
	error = link_task(task, flags);
	if (error) {
		task_put(task);
		if (process)
			discard(process);
		return error == -EINTR ? -ERESTART : error;
	}
	if (flags & CLONE_PARENT_SETTID)
		user_store32(arguments->parent_tid, (uint32_t)task->tid);
	return start(task, flags);
}

int64_t call_clone(struct registers *regs)
{
	struct clone_arguments arguments = {
		.flags = (uint32_t)ARG(regs, 0) & ~CSIGNAL,
		.exit_signal = ARG(regs, 0) & CSIGNAL,
		.stack = ARG(regs, 1),
		.parent_tid = ARG(regs, 2),
		.child_tid = ARG(regs, 3),
		.tls = ARG(regs, 4),
	};

	return task_clone(&arguments);
}

int64_t call_fork(struct registers *regs)
{
	struct clone_arguments arguments = { .exit_signal = SIGCHLD };

	(void)regs;
	return task_clone(&arguments);
}

int64_t call_vfork(struct registers *regs)
{
	struct clone_arguments arguments = {
		.flags = CLONE_VFORK | CLONE_VM,
		.exit_signal = SIGCHLD,
	};

	(void)regs;
	return task_clone(&arguments);
}

/* As the program gives them: those of the first version, then what came with later ones. */
struct user_clone_arguments {
	struct clone_arguments first;
	uint64_t set_tid, set_tid_size, cgroup;
};
#define SIZE_FIRST sizeof(struct clone_arguments)

/* What is beyond the part that we know must be zero. */
static int read_arguments(struct user_clone_arguments *arguments, uint64_t from, uint64_t size)
{
	uint8_t byte;

	if (size > QUIRE_PAGE_SIZE)
		return -E2BIG;
	if (size < SIZE_FIRST)
		return -EINVAL;
	memset(arguments, 0, sizeof(*arguments));
	if (user_read(arguments, from, MIN(size, sizeof(*arguments))))
		return -EFAULT;
	for (uint64_t i = sizeof(*arguments); i < size; i++) {
		if (user_read(&byte, from + i, 1))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	return 0;
}

int64_t call_clone3(struct registers *regs)
{
	struct user_clone_arguments user;
	const struct clone_arguments *arguments = &user.first;
	int error = read_arguments(&user, ARG(regs, 0), ARG(regs, 1));

	if (error)
		return error;
	if (user.set_tid || user.set_tid_size || user.cgroup)
		return -EINVAL;
	if (arguments->flags & (~CLONE_KNOWN | CLONE_DETACHED))
		return -EINVAL;
	if (arguments->exit_signal > SIGNALS ||
	    (arguments->exit_signal && arguments->flags & (CLONE_THREAD | CLONE_PARENT)))
		return -EINVAL;
	if (!arguments->stack != !arguments->stack_size)
		return -EINVAL;
	if (arguments->stack >= USER_END || arguments->stack_size > USER_END - arguments->stack)
		return -EINVAL;
	return task_clone(arguments);
}
