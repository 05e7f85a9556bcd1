/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: who runs on this CPU.
 *
 *     running ──sleep_begin, sched_sleep──► sleeping ──task_wake──► in a queue (sched_place)
 *        ▲  └───────slice over, task_yield──────────────────────────►  │
 *        └──────────────────────────schedule()─────────────────────────┘
 *
 * schedule() is entered with the CPU's queue locked and interrupts disabled, and the lock is handed
 * over: the next task drops it. So nobody who needs the queue's lock (a waker, a thief) sees a task
 * between two CPUs.
 *
 * Order of tasks: round robin with a slice of SLICE_TICKS. A task that slept goes before those that
 * wait for their turn as long as it has not used up its slice, and takes the CPU at the next tick,
 * or at once from one that has had it for GRANULARITY (balance.c).
 *
 * The tick comes while a task runs. It makes the task go through return_to_user, where a quiescent
 * state is reported: a program that only computes would hold up what waits for its CPU.
 */
#include "task/run_queue.h"

#include "arch/entry.h"
#include "arch/panic.h"
#include "lib/string.h"
#include "memory/user.h"
#include "task/futex.h"

#define IDLE_PAGES 16 /* that an idle CPU zeroes between two looks at its queue */

struct run_queue run_queues[MAX_CPUS];
static struct task idle_tasks[MAX_CPUS];
static _Atomic bool settling; /* the machine ends */

void sched_init(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++) {
		list_init(&run_queues[i].tasks);
		idle_tasks[i].cpu = i;
		idle_tasks[i].running = true;
		idle_tasks[i].affinity = 1ull << i;
		list_init(&idle_tasks[i].sibling);
		strlcpy(idle_tasks[i].name, "idle", sizeof(idle_tasks[i].name));
		cpus[i].idle = &idle_tasks[i];
	}
	this_cpu()->current = this_cpu()->idle;
	wait_init();
	futex_init();
}

static struct run_queue *this_queue(void)
{
	return &run_queues[this_cpu()->index];
}

struct run_queue *queue_of(struct task *task)
{
	for (;;) {
		uint32_t cpu = atomic_load(&task->cpu);

		lock_take(&run_queues[cpu].lock);
		if (atomic_load(&task->cpu) == cpu)
			return &run_queues[cpu];
		lock_drop(&run_queues[cpu].lock);
	}
}

void queue_add(struct run_queue *queue, struct task *task)
{
	struct list *before = &queue->tasks;

	if (task->slice == 0) {
		task->slice = SLICE_TICKS;
		task->woken = false;
	}
	if (task->woken) {
		before = queue->tasks.next;
		while (before != &queue->tasks && list_entry(before, struct task, run)->woken)
			before = before->next;
	}
	list_add(before, &task->run);
	task->on_queue = true;
	atomic_fetch_add_explicit(&queue->count, 1, memory_order_relaxed);
}

void queue_remove(struct run_queue *queue, struct task *task)
{
	list_remove(&task->run);
	task->on_queue = false;
	atomic_fetch_sub_explicit(&queue->count, 1, memory_order_relaxed);
}

/* User registers that belong to the task; the rest is on its stack. */
static void save_user(struct task *task)
{
	if (!task->extended || task->state == TASK_DEAD)
		return;
	extended_save(task->extended);
	task->fs_base = cpu_get_fs();
	task->gs_base = cpu_get_user_gs();
}

static void load_user(struct task *task)
{
	if (!task->extended)
		return;
	extended_load(task->extended);
	cpu_set_fs(task->fs_base);
	cpu_set_user_gs(task->gs_base);
	if (task->rseq.address)
		atomic_fetch_or_explicit(&task->work, WORK_RSEQ, memory_order_relaxed);
}

static void become_current(struct cpu *cpu, struct task *prev, struct task *next)
{
	uint64_t now = time_now();

	prev->run_time += now - prev->run_since;
	prev->running = false;
	next->run_since = now;
	next->running = true;
	next->switches++;
	cpu->current = next;
	if (next->stack) {
		cpu->kernel_stack = (uint64_t)next->stack + STACK_SIZE;
		cpu->tss.rsp[0] = cpu->kernel_stack;
	}
	timer_tick(next != cpu->idle);
	atomic_store_explicit(&run_queues[cpu->index].busy, next != cpu->idle,
			      memory_order_relaxed);
}

void sched_arrive(void)
{
	struct run_queue *queue = this_queue();
	struct task *left = queue->left;

	queue->left = NULL;
	lock_drop(&queue->lock);
	if (left && left->state != TASK_DEAD) {
		sched_place(left);
		left = NULL;
	}
	irq_enable();
	if (left) {
		quire_cpu_online();
		task_put(left);
		quire_cpu_offline();
	}
}

/*
 * Run the first of the queue, or idle. The caller has put the current task where it belongs.
 * => this CPU's queue locked, interrupts disabled, offline. Returns when the task's turn comes
 * again,
 *    as sched_arrive does.
 */
static void schedule(void)
{
	struct cpu *cpu = this_cpu();
	struct run_queue *queue = &run_queues[cpu->index];
	struct task *prev = cpu->current, *next = cpu->idle;

	atomic_store_explicit(&cpu->need_switch, 0, memory_order_relaxed);
	if (!list_empty(&queue->tasks)) {
		next = list_first(&queue->tasks, struct task, run);
		queue_remove(queue, next);
	}
	if (next != prev) {
		require(!prev->stack || stack_is_whole(prev->stack));
		save_user(prev);
		if (next->mm != prev->mm)
			quire_x86_switch(next->mm);
		become_current(cpu, prev, next);
		load_user(next);
		entry_switch(&prev->stack_pointer, next->stack_pointer);
	}
	/* Perhaps on another CPU. */
	sched_arrive();
}

void sched_sleep(void)
{
	struct run_queue *queue;

	irq_disable();
	queue = this_queue();
	lock_take(&queue->lock);
	if (current_task()->state == TASK_SLEEPING) {
		schedule();
	} else {
		lock_drop(&queue->lock);
		irq_enable();
	}
}

/* => interrupts enabled, online */
static void give_way(void)
{
	struct task *task = current_task();
	struct run_queue *queue;

	quire_cpu_offline();
	irq_disable();
	queue = this_queue();
	lock_take(&queue->lock);
	task->woken = false;
	if (task_may_run(task, this_cpu()->index))
		queue_add(queue, task);
	else
		queue->left = task;
	schedule();
	quire_cpu_online();
}

void sched_exit(void)
{
	struct run_queue *queue;

	quire_cpu_offline();
	irq_disable();
	queue = this_queue();
	lock_take(&queue->lock);
	current_task()->state = TASK_DEAD;
	queue->left = current_task();
	schedule();
	__builtin_unreachable();
}

void task_yield(void)
{
	quire_quiescent();
	if (atomic_load_explicit(&this_queue()->count, memory_order_relaxed))
		give_way();
}

/* Is it another task's turn? => interrupts enabled */
static bool turn_is_over(struct task *task)
{
	struct run_queue *queue = this_queue();
	uint64_t flags;
	bool over;

	if (!task_may_run(task, this_cpu()->index))
		return true;
	if (task->slice == 0) {
		sched_steal();
		if (!atomic_load_explicit(&queue->count, memory_order_relaxed))
			task->slice = SLICE_TICKS;
	}
	flags = lock_take_irq(&queue->lock);
	over = !list_empty(&queue->tasks) &&
	       (task->slice == 0 || list_first(&queue->tasks, struct task, run)->woken);
	lock_drop_irq(&queue->lock, flags);
	return over;
}

void return_to_user(struct registers *regs)
{
	struct task *task = current_task();

	for (;;) {
		uint32_t work = atomic_load_explicit(&task->work, memory_order_relaxed);
		struct cpu *cpu = this_cpu();

		if (!work && !atomic_load_explicit(&cpu->need_switch, memory_order_relaxed))
			return;
		atomic_store_explicit(&cpu->need_switch, 0, memory_order_relaxed);
		irq_enable();
		quire_quiescent();
		if (work & WORK_EXIT)
			task_exit(0);
		if (turn_is_over(task))
			give_way();
		/* A handler's frame must not keep a critical section that has to begin again. */
		if (work)
			rseq_update(regs);
		if (work & (WORK_SIGNAL | WORK_RESTORE))
			signal_deliver(regs);
		irq_disable();
	}
}

void sched_tick(void)
{
	struct cpu *cpu = this_cpu();
	struct task *task = cpu->current;

	if (task->slice > 0)
		task->slice--;
	atomic_store_explicit(&cpu->need_switch, 1, memory_order_relaxed);
	if (atomic_load_explicit(&run_queues[cpu->index].count, memory_order_relaxed))
		sched_call_idle();
}

uint64_t task_time(struct task *task)
{
	uint64_t flags = irq_save();
	struct run_queue *queue = queue_of(task);
	uint64_t time = task->run_time + (task->running ? time_now() - task->run_since : 0);

	lock_drop_irq(&queue->lock, flags);
	return time;
}

/* Nothing of Quire's any more: see sched_settle. => the queue is empty */
static _Noreturn void park(struct run_queue *queue)
{
	/* Release: pairs with sched_settle's look. */
	atomic_store_explicit(&queue->parked, 1, memory_order_release);
	for (;;)
		cpu_halt_until_interrupt();
}

void sched_settle(void)
{
	unsigned self = this_cpu()->index;

	/* Release: pairs with the acquire in idle. */
	atomic_store_explicit(&settling, true, memory_order_release);
	for (unsigned i = 0; i < cpu_count; i++) {
		if (i == self)
			continue;
		cpu_send(i, VECTOR_SWITCH);
		/* Acquire: pairs with the release in park. */
		while (!atomic_load_explicit(&run_queues[i].parked, memory_order_acquire))
			__builtin_ia32_pause();
	}
}

/* One look: a task of the queue, of another's, or sleep until an interrupt. => offline */
static void idle(void)
{
	struct run_queue *queue = this_queue();
	unsigned prepared;

	if (queue_load(queue) == 0 && !sched_steal()) {
		quire_cpu_online();
		quire_quiescent();
		prepared = quire_idle(IDLE_PAGES);
		quire_cpu_offline();
		if (prepared)
			return;
	}
	irq_disable();
	if (queue_load(queue) == 0) {
		/* Acquire: pairs with the release in sched_settle. */
		if (atomic_load_explicit(&settling, memory_order_acquire))
			park(queue);
		cpu_halt_until_interrupt();
		return;
	}
	lock_take(&queue->lock);
	schedule();
}

void sched_start(void)
{
	this_cpu()->current = this_cpu()->idle;
	irq_enable();
	for (;;)
		idle();
}
