/* SPDX-License-Identifier: MIT */
/*
 * What the locks and grace periods cost: nanoseconds of one operation, on one CPU and on two that
 * do the same at the same time to the same lock (for a CPU: its own operations).
 *
 *     bench_sync                      each operation
 *     bench_sync section              of one
 *     bench_sync section 1000000      so often, on one CPU, with no clock in between
 *
 * Instructions of one operation (the total divided by the number):
 *
 *     valgrind --tool=callgrind --toggle-collect=loop_section bench_sync section 1000000
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/grace.h"
#include "sync/range.h"
#include "sync/rwsem.h"

#define CPUS 2
#define ROUND 1000
#define BUDGET 100000000ull /* ns for each figure */

static struct spinlock spin __attribute__((aligned(128)));
static struct range_lock ranges __attribute__((aligned(128)));
static struct rwsem sem __attribute__((aligned(128)));

/* Objects to be freed later, taken from a ring: longer than what can wait. */
#define RING 4096
static struct ring {
	struct deferred items[RING];
	_Atomic uint64_t freed;
	uint64_t used;
} rings[CPUS] __attribute__((aligned(128)));

static void back_to_ring(struct deferred *item)
{
	struct ring *ring = item >= rings[1].items ? &rings[1] : &rings[0];

	at_store(&ring->freed, at_load(&ring->freed) + 1);
}

static void defer_one(unsigned cpu)
{
	struct ring *ring = &rings[cpu];

	for (unsigned turn = 0; ring->used - at_load(&ring->freed) == RING; turn++) {
		port_pause(turn);
		grace_poll();
	}
	grace_defer(&ring->items[ring->used++ % RING], back_to_ring);
	grace_poll();
}

static void range_one(uint64_t start, bool exclusive)
{
	struct range range;

	range_acquire(&ranges, &range, start, start + PAGE_SIZE, exclusive);
	range_release(&ranges, &range);
}

/* Each loop is a function of its own, for callgrind to know it by. */
#define LOOP(name, ...)                                                                            \
	__attribute__((noinline)) static void loop_##name(unsigned cpu, uint64_t count)            \
	{                                                                                          \
		(void)cpu;                                                                         \
		for (uint64_t i = 0; i < count; i++) {                                             \
			__VA_ARGS__                                                                \
			__asm__ volatile("" ::: "memory");                                         \
		}                                                                                  \
	}

/* clang-format off */
LOOP(section, section_enter(); section_leave();)
LOOP(online, grace_offline(); grace_online();)
LOOP(poll, grace_poll();)
LOOP(defer, defer_one(cpu);)
LOOP(spin, spin_lock(&spin, RANK_LEAF); spin_unlock(&spin);)
LOOP(range_apart, range_one((uint64_t)cpu << 30, true);)
LOOP(range_shared, range_one(0, false);)
LOOP(range_same, range_one(0, true);)
LOOP(read, rwsem_read(&sem); rwsem_read_done(&sem);)
LOOP(write, rwsem_write(&sem); rwsem_write_done(&sem);)
/* clang-format on */

static const struct operation {
	const char *name, *what;
	void (*loop)(unsigned cpu, uint64_t count);
} operations[] = {
	{ "section", "enter and leave a section", loop_section },
	{ "online", "go offline and online", loop_online },
	{ "poll", "report a quiescent state", loop_poll },
	{ "defer", "defer, poll, and later free", loop_defer },
	{ "spin", "spin lock", loop_spin },
	{ "range_apart", "range lock, exclusive, one range each", loop_range_apart },
	{ "range_shared", "range lock, shared, the same range", loop_range_shared },
	{ "range_same", "range lock, exclusive, the same range", loop_range_same },
	{ "read", "rwsem, read", loop_read },
	{ "write", "rwsem, write", loop_write },
};

struct job {
	pthread_t thread;
	const struct operation *operation;
	unsigned cpu;
	double ns; /* of one operation */
};

static pthread_barrier_t gate;
static _Atomic uint32_t over;

/* Until the first CPU has used up its time, so that none measures its own loneliness. */
static void *work(void *p)
{
	struct job *job = p;
	uint64_t since, now, count = 0;

	soft_cpu_index = job->cpu;
	grace_online();
	job->operation->loop(job->cpu, ROUND);
	pthread_barrier_wait(&gate);
	since = now = port_clock();
	while (!at_load(&over)) {
		job->operation->loop(job->cpu, ROUND);
		count += ROUND;
		now = port_clock();
		if (now - since >= BUDGET)
			at_store(&over, 1u);
	}
	if (count > 0)
		job->ns = (double)(now - since) / (double)count;
	grace_offline();
	return NULL;
}

static double measure(const struct operation *operation, unsigned cpus)
{
	struct job jobs[CPUS] = { 0 };
	double sum = 0;

	pthread_barrier_init(&gate, NULL, cpus);
	at_store(&over, 0u);
	for (unsigned i = 0; i < cpus; i++) {
		jobs[i].operation = operation;
		jobs[i].cpu = i;
		if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]) != 0)
			exit(1);
	}
	for (unsigned i = 0; i < cpus; i++) {
		pthread_join(jobs[i].thread, NULL);
		sum += jobs[i].ns;
	}
	pthread_barrier_destroy(&gate);
	return sum / cpus;
}

int main(int argc, char **argv)
{
	void *memory = aligned_alloc(128, grace_memory(CPUS));
	bool found = false;

	if (!memory)
		return 1;
	grace_init(memory, CPUS, 0);
	spin_init(&spin);
	range_lock_init(&ranges);
	rwsem_init(&sem);
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		const struct operation *o = &operations[i];

		if (argc > 1 && strcmp(argv[1], o->name) != 0)
			continue;
		if (argc > 2) {
			grace_online();
			o->loop(0, strtoull(argv[2], NULL, 0));
			grace_offline();
		} else {
			if (!found)
				printf("%-14s %-38s %9s %9s\n", "", "ns", "1 CPU", "2 CPUs");
			printf("%-14s %-38s %9.1f ", o->name, o->what, measure(o, 1));
			fflush(stdout);
			printf("%9.1f\n", measure(o, 2));
		}
		found = true;
	}
	if (!found)
		fprintf(stderr, "bench_sync: no operation is called %s\n", argv[1]);
	free(memory);
	return !found;
}
