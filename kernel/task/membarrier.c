/* SPDX-License-Identifier: MIT */
/*
 * membarrier(2): a full barrier on each CPU that runs a thread of the program, by interrupt. CPUs
 * that idle are left out: between its `busy` and its program a CPU says quire_cpu_online, a full
 * fence, which pairs with the caller's fence before its look at `busy`.
 */
#include "task/run_queue.h"

#include "calls/calls.h"

enum {
	QUERY = 0,
	GLOBAL = 1,
	PRIVATE_EXPEDITED = 8,
	REGISTER_PRIVATE_EXPEDITED = 16,
};

/* An interrupt and the return from it are barriers; the counts tell that they took place. */
void sched_interrupt(void)
{
	struct run_queue *queue = &run_queues[this_cpu()->index];

	atomic_store(&queue->barriers_done, atomic_load(&queue->barriers_asked));
}

static void barrier_everywhere(void)
{
	uint64_t tickets[MAX_CPUS];

	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < cpu_count; i++) {
		tickets[i] = 0;
		if (i == this_cpu()->index || !atomic_load(&run_queues[i].busy))
			continue;
		tickets[i] = atomic_fetch_add(&run_queues[i].barriers_asked, 1) + 1;
		cpu_send(i, VECTOR_SWITCH);
	}
	for (unsigned i = 0; i < cpu_count; i++)
		while (atomic_load(&run_queues[i].barriers_done) < tickets[i])
			__builtin_ia32_pause();
	atomic_thread_fence(memory_order_seq_cst);
}

int64_t call_membarrier(struct registers *regs)
{
	struct process *process = current_process();

	if (ARG(regs, 1))
		return -EINVAL;
	switch ((int)ARG(regs, 0)) {
	case QUERY:
		return GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED;
	case REGISTER_PRIVATE_EXPEDITED:
		process->membarrier = true;
		return 0;
	case PRIVATE_EXPEDITED:
		if (!process->membarrier)
			return -EPERM;
		break;
	case GLOBAL:
		break;
	default:
		return -EINVAL;
	}
	barrier_everywhere();
	return 0;
}
