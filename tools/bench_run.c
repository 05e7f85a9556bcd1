/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

#define WARM_SHARE 0.2	      /* of the measured time, before it */
#define WAIT_YIELD 4096	      /* turns of a wait before the host's CPU is offered to others */
#define CALIBRATION 20000000u /* nanoseconds */

uint64_t bench_tick_scale = 1ull << 32;

static cpu_set_t host_set;
static unsigned host_cpus;
static struct quire_soft_cpu *main_cpu;

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

bool bench_machine_start(const struct bench_options *options, uint64_t memory, unsigned cpus)
{
	struct quire_soft_config config = {
		.cpus = cpus + 1,
		.memory = memory,
		.levels = options->levels,
	};
	int r = quire_soft_init(&config);

	if (r != 0) {
		fprintf(stderr,
			"quire bench: can't start a machine of %u CPUs and %" PRIu64
			" MiB: error %d\n",
			config.cpus, memory / MIB, -r);
		return false;
	}
	main_cpu = quire_soft_attach(cpus);
	if (!main_cpu) {
		fprintf(stderr, "quire bench: can't attach the main thread\n");
		quire_soft_exit();
		return false;
	}
	learn_host();
	calibrate();
	return true;
}

void bench_machine_stop(void)
{
	quire_soft_detach(main_cpu);
	quire_soft_exit();
}

bool bench_warm_memory(void)
{
	struct quire_memory_stats memory;
	struct quire_mm *mm;
	bool done = false;

	quire_soft_enter(main_cpu);
	quire_memory_stats(&memory);

	uint64_t pages = memory.free - memory.free / 16;

	if (quire_mm_create(NULL, &mm) == 0) {
		int64_t base = quire_mmap(mm, 0, pages * QUIRE_PAGE_SIZE, QUIRE_PROT_WRITE,
					  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS);

		quire_soft_switch(main_cpu, mm);
		done = base > 0;
		for (uint64_t i = 0; done && i < pages; i++)
			done = quire_soft_store(main_cpu, (uint64_t)base + i * QUIRE_PAGE_SIZE, 1,
						1);
		quire_soft_switch(main_cpu, NULL);
		quire_mm_destroy(mm);
	}
	quire_soft_leave(main_cpu);
	if (!done)
		fprintf(stderr, "quire bench: can't touch %" PRIu64 " pages of memory\n", pages);
	return done;
}

bool bench_fail(struct run *run, const char *what, int64_t error)
{
	const char *none = NULL;

	if (atomic_compare_exchange_strong(&run->failed, &none, what))
		atomic_store(&run->error, error);
	atomic_store(&run->phase, PHASE_STOP);
	return false;
}

void bench_wait(struct worker *w, unsigned turn)
{
	if (turn % WAIT_YIELD == WAIT_YIELD - 1) {
		quire_soft_leave(w->cpu);
		sched_yield();
		quire_soft_enter(w->cpu);
		return;
	}
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
	w->cpu = quire_soft_attach(w->index);
	if (!w->cpu) {
		bench_fail(run, "attaching a virtual CPU", 0);
		return NULL;
	}
	quire_soft_enter(w->cpu);
	quire_soft_switch(w->cpu, run->mm);
	if (!run->loop->prepare || run->loop->prepare(w)) {
		/* Release: pairs with the main thread's look at ready. */
		atomic_fetch_add_explicit(&run->ready, 1, memory_order_release);
		for (unsigned i = 0;
		     atomic_load_explicit(&run->phase, memory_order_acquire) == PHASE_START; i++)
			bench_wait(w, i);
		if (bench_running(w))
			run->loop->work(w);
	}
	quire_soft_switch(w->cpu, NULL);
	quire_soft_leave(w->cpu);
	quire_soft_detach(w->cpu);
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
	struct quire_stats stats;
};

static void take_snapshot(struct run *run, struct snapshot *snapshot)
{
	quire_soft_enter(main_cpu);
	quire_stats(run->mm, &snapshot->stats);
	quire_soft_leave(main_cpu);
	snapshot->clock = bench_clock_slow();
	for (unsigned i = 0; i < run->cpus; i++) {
		snapshot->done[i] = atomic_load_explicit(&run->workers[i].done,
							 memory_order_relaxed);
		snapshot->busy[i] = atomic_load_explicit(&run->workers[i].busy,
							 memory_order_relaxed);
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

	while (started < run->cpus) {
		run->workers[started] = (struct worker){ .run = run,
							 .index = started,
							 .random = 2463534242u + started };
		if (pthread_create(&threads[started], NULL, worker_main, &run->workers[started])) {
			bench_fail(run, "starting a thread", -errno);
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

bool bench_run(const struct bench_options *options, const struct loop *loop, enum quire_mode mode,
	       unsigned cpus, struct sample *sample)
{
	struct run run = { .options = options, .loop = loop, .cpus = cpus };
	struct quire_mm_config config = {
		.mode = mode,
		.brk_start = HEAP_BASE,
		.limits.vmas = QUIRE_UNLIMITED,
	};
	int r;

	run.workers = aligned_alloc(_Alignof(struct worker), cpus * sizeof *run.workers);
	if (!run.workers) {
		fprintf(stderr, "quire bench: out of memory\n");
		return false;
	}
	quire_soft_enter(main_cpu);
	r = quire_mm_create(&config, &run.mm);
	if (r != 0)
		bench_fail(&run, "creating a space", r);
	else if (!loop->setup || loop->setup(&run)) {
		quire_soft_leave(main_cpu);
		measure(&run, sample);
		quire_soft_enter(main_cpu);
	}
	if (run.mm)
		quire_mm_destroy(run.mm);
	bench_files_close(&run);
	quire_barrier(0); /* what was deferred must not be the next run's work */
	quire_soft_leave(main_cpu);
	free(run.places);
	free(run.workers);

	const char *failed = atomic_load(&run.failed);

	if (failed)
		fprintf(stderr, "quire bench: %s, %s, %u CPUs: %s failed: %" PRId64 "\n",
			loop->name, bench_mode_name(mode), cpus, failed, atomic_load(&run.error));
	return !failed;
}
