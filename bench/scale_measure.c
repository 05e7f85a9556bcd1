/* SPDX-License-Identifier: MIT */
/*
 * What the model needs to know of this machine: medians of many short batches, by threads that are
 * pinned, in ticks of the time stamp counter (of the clock where there is none).
 *
 *     atomic      fetch-and-add of a word that nobody else touches
 *     contended   the same by two threads at once: the time of one, whoever does it
 *     transfer    half a round of ping-pong: a word written by one, awaited and answered by another
 *
 * What operations cost: scale_operations.c.
 */
#include "scale_measure.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "bench_histogram.h"

#define TURNS 2000 /* of a batch: short, so that few of them are disturbed */
#define BATCHES 400

/* --- time --- */

static double tick = 1; /* nanoseconds */

static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t measure_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return clock_now();
#endif
}

static void calibrate(void)
{
	uint64_t clock = clock_now(), start = measure_ticks(), nanoseconds;

	do
		nanoseconds = clock_now() - clock;
	while (nanoseconds < 20000000u);
	tick = (double)nanoseconds / (double)(measure_ticks() - start);
}

double measure_nanoseconds(uint64_t since)
{
	return (double)(measure_ticks() - since) * tick;
}

/* --- lines --- */

static struct {
	_Atomic uint32_t word;
	char rest[124];
} lines[2] __attribute__((aligned(128)));

static _Atomic unsigned ready;
static int host_cpus[2];

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)cpu, &one);
	pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

/* The first two CPUs that this process may use. */
static unsigned find_host_cpus(void)
{
	unsigned found = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET((unsigned)cpu, &set))
			host_cpus[found++] = cpu;
	return found;
}

static void add_often(_Atomic uint32_t *word)
{
	for (unsigned i = 0; i < TURNS; i++)
		atomic_fetch_add(word, 1);
}

/* A turn of a wait: without the pause, the processor guesses loads ahead, wrongly, and starts over.
 */
static void pause_briefly(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

static void play(unsigned self, uint32_t from)
{
	for (uint32_t i = from + self; i < from + 2 * TURNS; i += 2) {
		while (atomic_load_explicit(&lines[0].word, memory_order_acquire) != i)
			pause_briefly();
		atomic_store_explicit(&lines[0].word, i + 1, memory_order_release);
	}
}

static double batches[BATCHES];

struct player {
	bool ping_pong;
	unsigned self;
};

/* The first of the two takes the time. */
static void *run_player(void *p)
{
	const struct player *player = p;

	pin(host_cpus[player->self]);
	/* Not by sleeping: who wakes late would measure its own loneliness. */
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < 2)
		pause_briefly();
	for (uint32_t batch = 0; batch < BATCHES; batch++) {
		uint64_t start = measure_ticks();

		if (player->ping_pong)
			play(player->self, batch * 2 * TURNS);
		else
			add_often(&lines[0].word);
		if (player->self == 0)
			batches[batch] = measure_nanoseconds(start) / (2 * TURNS);
	}
	return NULL;
}

/* The median nanoseconds of one of the 2 * TURNS that both do in a batch. 0: no second thread. */
static double measure_two(bool ping_pong)
{
	struct player players[2] = { { ping_pong, 0 }, { ping_pong, 1 } };
	pthread_t second;

	atomic_store(&lines[0].word, 0);
	atomic_store(&ready, 0);
	if (pthread_create(&second, NULL, run_player, &players[1]) != 0)
		return 0;
	run_player(&players[0]);
	pthread_join(second, NULL);
	return spread_of(batches, BATCHES).median;
}

static double measure_alone(void)
{
	for (unsigned batch = 0; batch < BATCHES; batch++) {
		uint64_t start = measure_ticks();

		add_often(&lines[1].word);
		batches[batch] = measure_nanoseconds(start) / TURNS;
	}
	return spread_of(batches, BATCHES).median;
}

/* Is the CPU in the list, as in "0-3,8"? */
static bool is_listed(const char *list, unsigned cpu)
{
	unsigned first, last;

	while (sscanf(list, "%u", &first) == 1) {
		last = first;
		sscanf(list, "%*u-%u", &last);
		if (first <= cpu && cpu <= last)
			return true;
		list += strcspn(list, ",");
		list += *list == ',';
	}
	return false;
}

/* Are these two of one core? Then a line between them does not move. */
static bool are_siblings(void)
{
	char path[96], list[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 host_cpus[0]);
	file = fopen(path, "r");
	if (file) {
		if (!fgets(list, sizeof(list), file))
			list[0] = 0;
		fclose(file);
	}
	return is_listed(list, (unsigned)host_cpus[1]);
}

static double alone[ROUNDS], contended[ROUNDS], transfers[ROUNDS];

/* Spread over seconds: a virtual machine's CPUs are now nearer to each other, now farther. */
void measure_lines(unsigned round)
{
	alone[round] = measure_alone();
	contended[round] = measure_two(false);
	transfers[round] = measure_two(true);
	pin(host_cpus[0]);
}

bool measure(struct parameters *p)
{
	struct spread line;

	if (find_host_cpus() < 2) {
		fprintf(stderr, "scale_model: one CPU: what a line costs can't be measured here; "
				"give --parameters\n");
		return false;
	}
	p->siblings = are_siblings();
	if (p->siblings)
		fprintf(stderr,
			"scale_model: CPUs %d and %d are of one core: a line between them "
			"does not move, so its transfer is measured too cheap\n",
			host_cpus[0], host_cpus[1]);
	calibrate();
	pin(host_cpus[0]);
	if (!measure_operations(p))
		return false;
	p->atomic = spread_of(alone, ROUNDS).median;
	p->contended = spread_of(contended, ROUNDS).median;
	line = spread_of(transfers, ROUNDS);
	p->transfer = line.median;
	p->transfer_low = line.min;
	p->transfer_high = line.max;
	if (p->transfer_low > 0)
		return true;
	fprintf(stderr, "scale_model: a second thread can't be started\n");
	return false;
}
