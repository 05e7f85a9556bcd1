/* SPDX-License-Identifier: MIT */
/*
 * Tasks and processes as things: their memory, their references, the tables by number.
 *
 * A task has a reference from its existence, given back by whoever runs after its last switch
 * (sched.c); a process has one of each of its tasks, and one of the tree until it is reaped.
 * Everybody else who keeps a pointer beyond process_lock has another.
 */
#include "task/process.h"

#include "fs/fs.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "task/run_queue.h"

#include <quire/machine.h>

#define CHAINS 1024
#define CANARY 0x5ca1ab1e0ddba11dull

struct lock process_lock;
struct list all_processes = LIST_INIT(all_processes);
struct process *init_process;

/* An empty chain is NULLs until its first use. */
static struct list tasks[CHAINS], processes[CHAINS];
static int last_tid;

static struct list *chain(struct list *table, int id)
{
	struct list *head = &table[(unsigned)id % CHAINS];

	if (unlikely(!head->next))
		list_init(head);
	return head;
}

static struct task *task_lookup(int tid)
{
	list_for_each(task, chain(tasks, tid), struct task, all)
		if (task->tid == tid)
			return task;
	return NULL;
}

struct process *process_lookup(int pid)
{
	list_for_each(process, chain(processes, pid), struct process, chain)
		if (process->pid == pid)
			return process;
	return NULL;
}

/* A group and a session outlive the process whose number they have. */
static bool id_in_use(int id)
{
	if (task_lookup(id) || process_lookup(id))
		return true;
	list_for_each(process, &all_processes, struct process, all)
		if (process->group == id || process->session == id)
			return true;
	return false;
}

int tid_allocate(void)
{
	static bool wrapped;

	do {
		if (++last_tid >= TID_MAX) {
			last_tid = 2;
			wrapped = true;
		}
	} while (wrapped && id_in_use(last_tid));
	return last_tid;
}

unsigned task_count(int *last)
{
	unsigned count = 0;

	lock_take(&process_lock);
	list_for_each(process, &all_processes, struct process, all)
		count += process->thread_count;
	*last = last_tid;
	lock_drop(&process_lock);
	return count;
}

void tid_link(struct task *task)
{
	list_add(chain(tasks, task->tid), &task->all);
}

void tid_unlink(struct task *task)
{
	list_remove(&task->all);
}

void pid_link(struct process *process)
{
	list_add(chain(processes, process->pid), &process->chain);
	list_add(&all_processes, &process->all);
}

void pid_unlink(struct process *process)
{
	list_remove(&process->chain);
	list_remove(&process->all);
}

struct task *task_find(int tid)
{
	struct task *task;

	lock_take(&process_lock);
	task = task_lookup(tid);
	if (task)
		task_get(task);
	lock_drop(&process_lock);
	return task;
}

struct process *process_find(int pid)
{
	struct process *process;

	lock_take(&process_lock);
	process = process_lookup(pid);
	if (process)
		process_get(process);
	lock_drop(&process_lock);
	return process;
}

uint8_t *stack_alloc(void)
{
	uint8_t *stack = quire_pages_alloc(STACK_ORDER, false);

	if (stack)
		*(uint64_t *)(void *)stack = CANARY;
	return stack;
}

void stack_free(uint8_t *stack)
{
	quire_pages_free(stack, STACK_ORDER);
}

bool stack_is_whole(const uint8_t *stack)
{
	return *(const uint64_t *)(const void *)stack == CANARY;
}

static void sleep_timer(struct timer *timer)
{
	task_wake(container_of(timer, struct task, timer));
}

struct task *task_create(struct process *process)
{
	struct task *task = heap_zero(sizeof(*task));

	if (!task)
		return NULL;
	task->stack = stack_alloc();
	if (process)
		task->extended = extended_create();
	if (!task->stack || (process && !task->extended)) {
		if (task->stack)
			stack_free(task->stack);
		extended_free(task->extended);
		heap_free(task);
		return NULL;
	}
	task->references = 1;
	task->affinity = UINT64_MAX;
	task->cpu = this_cpu()->index;
	list_init(&task->run);
	list_init(&task->sibling);
	list_init(&task->all);
	timer_init(&task->timer, sleep_timer);
	signals_init(&task->pending);
	if (process)
		process_get(process);
	task->process = process;
	return task;
}

void task_get(struct task *task)
{
	atomic_fetch_add_explicit(&task->references, 1, memory_order_relaxed);
}

void task_put(struct task *task)
{
	/* Acquire and release: each other's uses are before the end. */
	if (atomic_fetch_sub_explicit(&task->references, 1, memory_order_acq_rel) != 1)
		return;
	signals_drop(&task->pending);
	stack_free(task->stack);
	extended_free(task->extended);
	if (task->process)
		process_put(task->process);
	heap_free(task);
}

struct process *process_create(void)
{
	struct process *process = heap_zero(sizeof(*process));

	if (!process)
		return NULL;
	process->references = 1;
	list_init(&process->children);
	list_init(&process->sibling);
	list_init(&process->all);
	list_init(&process->chain);
	list_init(&process->threads);
	signals_init(&process->pending);
	wait_queue_init(&process->child_wait);
	wait_queue_init(&process->vfork_wait);
	wait_queue_init(&process->thread_wait);
	process->start_time = time_now();
	return process;
}

void process_get(struct process *process)
{
	atomic_fetch_add_explicit(&process->references, 1, memory_order_relaxed);
}

void process_put(struct process *process)
{
	/* Acquire and release: as in task_put. */
	if (atomic_fetch_sub_explicit(&process->references, 1, memory_order_acq_rel) != 1)
		return;
	signals_drop(&process->pending);
	if (process->actions)
		actions_put(process->actions);
	heap_free(process->arguments);
	heap_free(process);
}

uint64_t process_time(struct process *process)
{
	uint64_t time;

	lock_take(&process_lock);
	time = process->run_time;
	list_for_each(task, &process->threads, struct task, sibling)
		time += task_time(task);
	lock_drop(&process_lock);
	return time;
}
