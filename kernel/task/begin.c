/* SPDX-License-Identifier: MIT */
/*
 * How a task begins: on a stack that looks as if it had been switched away from.
 *
 *     top   struct registers        of the program; a kernel thread's function and argument
 *           entry_new_task          where entry_switch returns to, and from there task_begin
 *           PUSHED zeroes           ◄── stack_pointer
 *
 * A kernel thread's first frame lies KERNEL_ROOM further down, so that it may become a program's
 * thread: then a frame as above is laid over what it will not return to.
 */
#include "task/run_queue.h"

#include "arch/entry.h"
#include "lib/string.h"
#include "memory/user.h"

#define PUSHED 6 /* registers that entry_switch saves */
#define KERNEL_ROOM 512

/* A stack on which entry_switch goes on at entry_new_task, with the stack pointer at `top`. */
static uint64_t first_frame(uint64_t top)
{
	uint64_t *frame = (uint64_t *)top - PUSHED - 1;

	memset(frame, 0, PUSHED * sizeof(*frame));
	frame[PUSHED] = (uint64_t)entry_new_task;
	return (uint64_t)frame;
}

/* => the caller has filled task_registers if it goes to user mode */
void task_start(struct task *task)
{
	uint64_t flags;

	if (task->extended)
		task->stack_pointer = first_frame((uint64_t)task_registers(task));
	task->slice = SLICE_TICKS;
	flags = irq_save();
	sched_place(task);
	irq_restore(flags);
}

/* A kernel thread's function and argument lie where others have user registers. */
struct task *task_create_kernel(const char *name, void (*run)(void *), void *argument)
{
	struct task *task = task_create(NULL);

	if (!task)
		return NULL;
	strlcpy(task->name, name, sizeof(task->name));
	task_registers(task)->rdi = (uint64_t)run;
	task_registers(task)->rsi = (uint64_t)argument;
	task->stack_pointer = first_frame((uint64_t)task->stack + STACK_SIZE - KERNEL_ROOM);
	task_start(task);
	return task;
}

/* The new task's first steps; it came here out of schedule(). */
void task_begin(void)
{
	struct task *task = current_task();
	struct registers *regs = task_registers(task);

	sched_arrive();
	quire_cpu_online();
	if (!task->extended) {
		((void (*)(void *))regs->rdi)((void *)regs->rsi);
		sched_exit();
	}
	if (task->set_tid)
		user_store32(task->set_tid, (uint32_t)task->tid);
}

void sched_enter_user(void)
{
	struct task *task = current_task();
	uint64_t nowhere;

	quire_cpu_offline();
	irq_disable();
	lock_take(&run_queues[this_cpu()->index].lock);
	entry_switch(&nowhere, first_frame((uint64_t)task_registers(task)));
	__builtin_unreachable();
}
