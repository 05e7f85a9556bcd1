/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench_loop.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "progress.h"

#define WARM_SHARE 0.2	      /* of the measured time, before it */
#define WAIT_YIELD 4096	      /* turns of a wait before the host's CPU is offered to others */
#define CALIBRATION 20000000u /* nanoseconds */

uint64_t bench_tick_scale = 1ull << 32;

static cpu_set_t host_set;
static unsigned host_cpus;

uint64_t bench_clock_slow(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void calibrate(void)
{
	uint64_t clock = bench_clock_slow(), ticks = bench_ticks(), ns;

	do
		ns = bench_clock_slow() - clock;
	while (ns < CALIBRATION);
	bench_tick_scale = (uint64_t)(((unsigned __int128)ns << 32) / (bench_ticks() - ticks));
}

static void learn_host(void)
{
	if (host_cpus)
		return;
	if (sched_getaffinity(0, sizeof host_set, &host_set) == 0)
		host_cpus = (unsigned)CPU_COUNT(&host_set);
	if (host_cpus == 0)
		host_cpus = 1;
}

unsigned bench_host_cpus(void)
{
	learn_host();
	return host_cpus;
}

/* Worker i runs on the i-th host CPU that this process may use; where there are more workers, they
 * share. */
static void pin(unsigned index)
{
	unsigned left = index % host_cpus;
	cpu_set_t one;

	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &host_set) || left-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof one, &one);
		return;
	}
}

void bench_run_start(void)
{
	learn_host();
	calibrate();
}

bool bench_fail(struct run *run, const char *what, int64_t error)
{
	const char *none = NULL;

	if (atomic_compare_exchange_strong(&run->failed, &none, what))
		atomic_store(&run->error, error);
	atomic_store(&run->phase, PHASE_STOP);
	return false;
}

bool bench_apart_failed(struct run *run)
{
	return bench_fail(run, atomic_load(&run->apart->failed), atomic_load(&run->apart->error));
}

void bench_wait(struct worker *w, unsigned turn)
{
	if (turn % WAIT_YIELD == WAIT_YIELD - 1) {
		w->run->space->yield(w);
		return;
	}
	if (w->cpu)
		quire_soft_safepoint(w->cpu);
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

bool bench_barrier(struct worker *w)
{
	struct barrier *barrier = &w->run->barrier;
	/* Acquire and release: what each did before the barrier, each sees after it. */
	uint32_t turn = atomic_load_explicit(&barrier->turn, memory_order_acquire);

	if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 ==
	    w->run->cpus) {
		atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
		atomic_store_explicit(&barrier->turn, turn + 1, memory_order_release);
		return bench_running(w);
	}
	for (unsigned i = 0; atomic_load_explicit(&barrier->turn, memory_order_acquire) == turn;
	     i++) {
		if (!bench_running(w))
			return false;
		bench_wait(w, i);
	}
	return true;
}

static void *worker_main(void *context)
{
	struct worker *w = context;
	struct run *run = w->run;

	pin(w->index);
	if (!run->space->enter(w))
		return NULL;
	if (!run->loop->prepare || run->loop->prepare(w)) {
		/* Release: pairs with the main thread's look at ready. */
		atomic_fetch_add_explicit(&run->ready, 1, memory_order_release);
		for (unsigned i = 0;
		     atomic_load_explicit(&run->phase, memory_order_acquire) == PHASE_START; i++)
			bench_wait(w, i);
		if (bench_running(w))
			run->loop->work(w);
	}
	run->space->leave(w);
	return NULL;
}

static void sleep_for(double seconds)
{
	struct timespec left = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

/* The counts of all workers at one moment. */
struct snapshot {
	uint64_t clock;
	uint64_t done[BENCH_MAX_CPUS], busy[BENCH_MAX_CPUS];
	uint64_t answers[BENCH_MAX_CPUS], answer_ns[BENCH_MAX_CPUS];
	struct quire_stats stats;
};

static uint64_t look(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

static void take_snapshot(struct run *run, struct snapshot *snapshot)
{
	run->space->stats(run, &snapshot->stats);
	snapshot->clock = bench_clock_slow();
	for (unsigned i = 0; i < run->cpus; i++) {
		const struct worker *w = &run->workers[i];

		snapshot->done[i] = look(&w->done);
		snapshot->busy[i] = look(&w->busy);
		snapshot->answers[i] = look(&w->answers);
		snapshot->answer_ns[i] = look(&w->answer_ns);
	}
}

/* What those that fault spent in answers. */
static void evaluate_answers(const struct run *run, const struct snapshot *from,
			     const struct snapshot *to, struct sample *sample)
{
	double ns = (double)(to->clock - from->clock);
	unsigned faulting = run->cpus - 1;

	for (unsigned i = 0; i < faulting; i++) {
		sample->answers += (double)(to->answers[i] - from->answers[i]) / ns * 1e9;
		sample->answer_share += (double)(to->answer_ns[i] - from->answer_ns[i]) / ns /
					faulting;
	}
}

static void evaluate(struct run *run, const struct snapshot *from, const struct snapshot *to,
		     struct sample *sample)
{
	double window = (double)(to->clock - from->clock) / 1e9;

	memset(sample, 0, sizeof *sample);
	for (unsigned i = 0; i < run->cpus; i++) {
		double done = (double)(to->done[i] - from->done[i]);
		double busy = (double)(to->busy[i] - from->busy[i]) / 1e9;
		double rate = done / (busy > 0 ? busy : window);

		if (bench_is_antagonist(run->loop) && i == run->cpus - 1)
			sample->antagonist_rate = rate;
		else
			sample->rate += rate;
		histogram_merge(&sample->latency, &run->workers[i].latency);
	}
	if (bench_is_antagonist(run->loop))
		evaluate_answers(run, from, to, sample);
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			sample->stats.faults[p][k] = to->stats.faults[p][k] -
						     from->stats.faults[p][k];
	for (unsigned c = 0; c < QUIRE_COUNTER_COUNT; c++)
		sample->stats.counters[c] = to->stats.counters[c] - from->stats.counters[c];
}

/* Start the workers, take the run through its phases. */
static void measure(struct run *run, struct sample *sample)
{
	static struct snapshot from, to;
	pthread_t threads[BENCH_MAX_CPUS];
	unsigned started = 0;
	int error;

	while (started < run->cpus) {
		run->workers[started] = (struct worker){ .run = run,
							 .index = started,
							 .random = 2463534242u + started };
		error = pthread_create(&threads[started], NULL, worker_main,
				       &run->workers[started]);
		if (error != 0) {
			bench_fail(run, "starting a thread", -error);
			break;
		}
		started++;
	}
	/* Acquire: pairs with the workers' release. */
	while (atomic_load_explicit(&run->ready, memory_order_acquire) < run->cpus &&
	       atomic_load(&run->phase) == PHASE_START)
		sleep_for(0.001);

	uint32_t phase = PHASE_START;

	if (atomic_compare_exchange_strong(&run->phase, &phase, PHASE_WARM)) {
		sleep_for(run->options->seconds * WARM_SHARE);
		take_snapshot(run, &from);
		phase = PHASE_WARM;
		atomic_compare_exchange_strong(&run->phase, &phase, PHASE_MEASURE);
		sleep_for(run->options->seconds);
		take_snapshot(run, &to);
		atomic_store(&run->phase, PHASE_STOP);
	}
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (!atomic_load(&run->failed))
		evaluate(run, &from, &to, sample);
}

/* A run and its workers, in memory that all processes share: on the host an antagonist that is
 * apart is one, and no fork makes a count fault. */
struct shared {
	struct run run;
	struct worker workers[];
};

bool bench_run(const struct bench_options *options, const struct loop *loop, unsigned mode,
	       unsigned cpus, struct sample *sample)
{
	size_t size = sizeof(struct shared) + cpus * sizeof(struct worker);
	struct shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				     -1, 0);
	struct run *run = &shared->run;
	const char *failed;

	if (shared == MAP_FAILED) {
		perror("quire bench: memory for a run");
		return false;
	}
	*run = (struct run){
		.options = options,
		.loop = loop,
		.mode = mode,
		.space = mode == BENCH_HOST ? &bench_host : &bench_quire,
		.cpus = cpus,
		.workers = shared->workers,
	};
	if (run->space->begin(run))
		measure(run, sample);
	run->space->end(run);
	free(run->places);
	failed = atomic_load(&run->failed);
	if (failed)
		fprintf(stderr, "quire bench: %s, %s, %u CPUs: %s failed: %" PRId64 "\n",
			loop->name, bench_mode_name(mode), cpus, failed, atomic_load(&run->error));
	munmap(shared, size);
	return !failed;
}
