/* SPDX-License-Identifier: MIT */
/*
 * Which CPU a task runs on: the least busy one when it is made runnable, its last one if that is no
 * busier than others; later a CPU that has nothing to do, or a tick with less to do, takes one from
 * the longest queue.
 *
 * A task that is runnable but on no queue belongs to whoever is placing it. A change of affinity
 * meanwhile: the changer stores the mask, then looks for the task's CPU; the placer stores the CPU,
 * then looks at the mask (full barriers). So one of them sees the other.
 */
#include "task/run_queue.h"

#include "arch/panic.h"

#define GRANULARITY                                                                                \
	1000000ull /* nanoseconds that a task has its CPU before one that woke takes it */

static unsigned choose(struct task *task)
{
	unsigned best = atomic_load(&task->cpu);
	bool found = task_may_run(task, best);

	for (unsigned i = 0; i < cpu_count; i++) {
		if (!task_may_run(task, i))
			continue;
		if (!found || queue_load(&run_queues[i]) < queue_load(&run_queues[best]))
			best = i;
		found = true;
	}
	require(found);
	return best;
}

/* The CPU gets to know of a task in its queue. => the queue locked */
static void call(unsigned index, const struct task *task)
{
	struct cpu *cpu = &cpus[index];
	struct task *current = cpu->current;

	if (current == cpu->idle) {
		if (cpu != this_cpu())
			cpu_send(index, VECTOR_SWITCH);
	} else if (task->woken && time_now() - current->run_since > GRANULARITY) {
		atomic_store(&cpu->need_switch, 1);
		if (cpu != this_cpu())
			cpu_send(index, VECTOR_SWITCH);
	}
}

void sched_place(struct task *task)
{
	for (;;) {
		unsigned to = choose(task);
		struct run_queue *queue = &run_queues[to];
		bool placed;

		lock_take(&queue->lock);
		atomic_store(&task->cpu, to);
		placed = task_may_run(task, to);
		if (placed) {
			queue_add(queue, task);
			call(to, task);
		}
		lock_drop(&queue->lock);
		if (placed)
			return;
	}
}

void task_affinity_changed(struct task *task)
{
	uint64_t flags = irq_save();
	struct run_queue *queue = queue_of(task);
	unsigned cpu = task->cpu;
	bool place = false;

	if (!task_may_run(task, cpu)) {
		if (task->running) {
			atomic_store(&cpus[cpu].need_switch, 1);
			if (cpu != this_cpu()->index)
				cpu_send(cpu, VECTOR_SWITCH);
		} else if (task->on_queue) {
			queue_remove(queue, task);
			place = true;
		}
	}
	lock_drop(&queue->lock);
	if (place)
		sched_place(task);
	irq_restore(flags);
}

static unsigned longest(void)
{
	unsigned best = 0;

	for (unsigned i = 1; i < cpu_count; i++)
		if (queue_load(&run_queues[i]) > queue_load(&run_queues[best]))
			best = i;
	return best;
}

/* The last of the queue that may run on this CPU. => locked */
static struct task *find_movable(struct run_queue *queue, unsigned cpu)
{
	for (struct list *at = queue->tasks.prev; at != &queue->tasks; at = at->prev) {
		struct task *task = list_entry(at, struct task, run);

		if (task_may_run(task, cpu))
			return task;
	}
	return NULL;
}

bool sched_steal(void)
{
	unsigned from = longest(), to = this_cpu()->index;
	struct run_queue *queue = &run_queues[from];
	struct task *task;
	uint64_t flags;

	if (queue_load(queue) < queue_load(&run_queues[to]) + 2)
		return false;
	flags = lock_take_irq(&queue->lock);
	task = find_movable(queue, to);
	if (task) {
		queue_remove(queue, task);
		/* From here on choose() prefers this CPU. */
		atomic_store(&task->cpu, to);
	}
	lock_drop(&queue->lock);
	if (task)
		sched_place(task);
	irq_restore(flags);
	return task != NULL;
}

void sched_call_idle(void)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		if (queue_load(&run_queues[i]) == 0) {
			cpu_send(i, VECTOR_SWITCH);
			return;
		}
	}
}

unsigned sched_runnable(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < cpu_count; i++)
		sum += queue_load(&run_queues[i]);
	return sum;
}
