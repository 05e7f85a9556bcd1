/* SPDX-License-Identifier: MIT */
/*
 * Playing the plan: host threads, each a virtual CPU, run the recorded tasks as a kernel's
 * scheduler would.
 *
 *     run queue ──pick──► on a virtual CPU ──must wait──► in the list of the task it waits for
 *         ▲                      │ no more events: done                          │
 *         └──────────────────────┴───────── that task passes the position ◄──────┘
 *
 * A task stays on its CPU until it must wait. The fast path is one store and one load an event:
 * `next` says how far a task is, `waited` whether somebody cares; each side stores its own and then
 * loads the other's, in one total order (seq_cst), so one of the two sees the other. The lists are
 * under one lock.
 *
 * A space ends when the last of its tasks has done its last event there: its layout is compared,
 * and it is destroyed; but the first ones to end are kept until all is over, for the validator.
 */
#include "progress.h"
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX 255u /* and one for the main thread */
#define KEPT_MAX 64u
#define STOCK_MAX 128u /* pages that one CPU's stocks of small objects may keep */
#define SPINS 500u
#define PROGRESS_NS 100000000

struct run {
	struct plan *plan;
	const struct replay_options *options;
	struct results *results;
	pthread_mutex_t lock; /* the fields below, and tasks' lists */
	pthread_cond_t runnable, over;
	uint32_t first, last;  /* the run queue; REPLAY_NONE: empty */
	uint32_t unfinished;   /* tasks */
	unsigned workers;      /* that have not returned */
	const char *failure;   /* a worker could not begin */
	_Atomic uint32_t kept; /* spaces that were not destroyed when they ended */
	_Atomic uint64_t done; /* events */
};

struct worker {
	struct run *run;
	unsigned index;
	pthread_t thread;
};

/* ---- Waiting ---- */

/* The task that this event still has to wait for, or REPLAY_NONE. */
static uint32_t blocker(const struct plan *plan, const struct planned *e)
{
	if (e->wait_task == REPLAY_NONE)
		return REPLAY_NONE;
	if (e->wait_task != REPLAY_ALL) /* acquire: pairs with the store in advance() */
		return atomic_load_explicit(&plan->tasks[e->wait_task].next,
					    memory_order_acquire) <= e->wait_for
			       ? e->wait_task
			       : REPLAY_NONE;
	for (uint32_t m = plan->spaces[e->space].members; m != REPLAY_NONE;
	     m = plan->members[m].next) {
		uint32_t task = plan->members[m].task;

		if (task != e->task && atomic_load_explicit(&plan->tasks[task].next,
							    memory_order_acquire) <= e->wait_for)
			return task;
	}
	return REPLAY_NONE;
}

/* => the lock is held */
static void enqueue(struct run *run, uint32_t task)
{
	run->plan->tasks[task].link = REPLAY_NONE;
	if (run->first == REPLAY_NONE)
		run->first = task;
	else
		run->plan->tasks[run->last].link = task;
	run->last = task;
	pthread_cond_signal(&run->runnable);
}

/* Put the task among those that wait for `other` to pass the position. Returns false: it has. */
static bool wait_for(struct run *run, uint32_t task, uint32_t other, uint32_t position)
{
	struct task *t = &run->plan->tasks[task], *o = &run->plan->tasks[other];
	bool waits;

	pthread_mutex_lock(&run->lock);
	if (position < o->waited)
		o->waited = position;
	waits = o->next <= position;
	if (waits) {
		t->awaits = position;
		t->link = o->waiters;
		o->waiters = task;
	}
	pthread_mutex_unlock(&run->lock);
	return waits;
}

/* The task's next event is the one at `next`. */
static void advance(struct run *run, struct task *task, uint32_t next)
{
	uint32_t waiter, lowest = REPLAY_END;

	task->next = next;
	if (task->waited >= next)
		return;
	pthread_mutex_lock(&run->lock);
	waiter = task->waiters;
	task->waiters = REPLAY_NONE;
	while (waiter != REPLAY_NONE) {
		struct task *w = &run->plan->tasks[waiter];
		uint32_t following = w->link;

		if (w->awaits < next) {
			enqueue(run, waiter);
		} else {
			w->link = task->waiters;
			task->waiters = waiter;
			if (w->awaits < lowest)
				lowest = w->awaits;
		}
		waiter = following;
	}
	task->waited = lowest;
	pthread_mutex_unlock(&run->lock);
}

/* ---- Spaces and tasks ---- */

static void leave_space(struct run *run, struct space *space)
{
	if (atomic_fetch_sub(&space->users, 1) != 1 || !space->mm)
		return;
	if (space->final != REPLAY_END && run->options->check)
		replay_layout(run->plan, space, run->results);
	if (atomic_fetch_add(&run->kept, 1) < KEPT_MAX)
		return;
	quire_mm_destroy(space->mm);
	space->mm = NULL;
}

/* Run a task until it has to wait, or ends. => the CPU is inside, and runs no space before and
 * after */
static void run_task(struct run *run, struct quire_soft_cpu *cpu, uint32_t index)
{
	struct plan *plan = run->plan;
	struct task *task = &plan->tasks[index];
	uint32_t position = task->next;
	uint64_t done = 0;

	while (position != REPLAY_END) {
		const struct planned *e = &plan->events[position];
		struct space *space = &plan->spaces[e->space];
		uint32_t other = blocker(plan, e), next = e->next;

		for (unsigned i = 0; other != REPLAY_NONE && i < SPINS; i++) {
			quire_soft_safepoint(cpu);
			other = blocker(plan, e);
		}
		if (other != REPLAY_NONE) {
			/* From the moment that it waits the task may run elsewhere, and end the
			 * space. */
			quire_soft_switch(cpu, NULL);
			if (wait_for(run, index, other, e->wait_for))
				break;
			continue;
		}
		if (cpu->mm != space->mm)
			quire_soft_switch(cpu, space->mm);
		replay_do(plan, position, run->options, cpu, run->results);
		if (next == REPLAY_END || plan->events[next].space != e->space) {
			quire_soft_switch(cpu, NULL);
			leave_space(run, space);
		}
		done++;
		if (next == REPLAY_END) {
			pthread_mutex_lock(&run->lock);
			if (--run->unfinished == 0)
				pthread_cond_broadcast(&run->runnable);
			pthread_mutex_unlock(&run->lock);
		}
		advance(run, task, next);
		position = next;
		quire_soft_safepoint(cpu);
		if (done % 64 == 0)
			run->done += 64;
	}
	run->done += done % 64;
}

/* The next task to run; REPLAY_NONE: all are done. => the CPU is inside */
static uint32_t pick(struct run *run, struct quire_soft_cpu *cpu)
{
	uint32_t task;

	quire_soft_leave(cpu);
	pthread_mutex_lock(&run->lock);
	while (run->first == REPLAY_NONE && run->unfinished)
		pthread_cond_wait(&run->runnable, &run->lock);
	task = run->first;
	if (task != REPLAY_NONE)
		run->first = run->plan->tasks[task].link;
	pthread_mutex_unlock(&run->lock);
	quire_soft_enter(cpu);
	return task;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct run *run = worker->run;
	struct quire_soft_cpu *cpu = quire_soft_attach(worker->index);

	if (cpu) {
		quire_soft_enter(cpu);
		for (uint32_t task; (task = pick(run, cpu)) != REPLAY_NONE;)
			run_task(run, cpu, task);
		quire_soft_leave(cpu);
		quire_soft_detach(cpu);
	}
	pthread_mutex_lock(&run->lock);
	if (!cpu)
		run->failure = "can't attach a virtual CPU";
	run->workers--;
	pthread_cond_signal(&run->over);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

/* ---- The whole ---- */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned choose_cpus(const struct plan *plan, const struct replay_options *options)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned most = online < 1 ? 2 : online > 127 ? CPUS_MAX : (unsigned)online * 2;

	if (options->cpus)
		return options->cpus;
	return plan->task_count < 1 ? 1 : plan->task_count < most ? plan->task_count : most;
}

/* Enough for every page that the recording touches, tables, and a share of each space; within
 * reason. */
static uint64_t choose_memory(const struct plan *plan, const struct replay_options *options)
{
	const uint64_t least = 256ull << 20, most = 16ull << 30;
	uint64_t pages = plan->pages + plan->pages / 4 + plan->space_count * 64ull + 16384;

	if (options->memory)
		return options->memory;
	if (pages > most / QUIRE_PAGE_SIZE)
		return most;
	return pages * QUIRE_PAGE_SIZE < least ? least : pages * QUIRE_PAGE_SIZE;
}

static void wait_for_workers(struct run *run)
{
	progress_start("replay", run->plan->count);
	pthread_mutex_lock(&run->lock);
	while (run->workers) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += PROGRESS_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&run->over, &run->lock, &until);
		progress_update(run->done);
	}
	pthread_mutex_unlock(&run->lock);
	progress_end();
}

/* Start the workers and wait for them. A worker that can't be started is done without, if there is
 * another. */
static bool run_workers(struct run *run, unsigned cpus)
{
	struct worker *workers = calloc(cpus, sizeof(*workers));
	unsigned started = 0;

	if (!workers)
		return false;
	run->workers = cpus;
	for (; started < cpus; started++) {
		workers[started] = (struct worker){ .run = run, .index = started };
		if (pthread_create(&workers[started].thread, NULL, work, &workers[started]))
			break;
	}
	pthread_mutex_lock(&run->lock);
	run->workers -= cpus - started;
	pthread_mutex_unlock(&run->lock);
	wait_for_workers(run);
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	run->results->cpus = started;
	return started > 0 && run->unfinished == 0;
}

static bool begin_spaces(struct plan *plan, const struct replay_options *options)
{
	for (uint32_t i = 0; i < plan->space_count; i++)
		if (plan->spaces[i].initial && plan->spaces[i].users &&
		    !replay_begin_space(&plan->spaces[i], options))
			return false;
	return true;
}

/* What is left when all spaces are gone. Small objects in CPUs' stocks keep some pages. */
static uint64_t leaked(const struct quire_memory_stats *before, unsigned cpus)
{
	struct quire_memory_stats after;
	struct quire_stats stats;
	uint64_t kept;

	quire_memory_stats(&after);
	quire_stats(NULL, &stats);
	kept = before->free > after.free ? before->free - after.free : 0;
	return stats.anonymous + stats.object_pages + stats.tables + stats.vmas + after.deferred +
	       (kept > (uint64_t)cpus * STOCK_MAX ? kept : 0);
}

/* When nothing runs any more: counters, the validator's word; then all spaces go. */
static void take_stock(struct plan *plan, struct results *results,
		       const struct quire_memory_stats *before, unsigned cpus)
{
	const char *finding;

	quire_stats(NULL, &results->stats);
	finding = quire_validate(NULL);
	if (finding)
		snprintf(results->validator, sizeof(results->validator), "%s", finding);
	for (uint32_t i = 0; i < plan->space_count; i++)
		if (plan->spaces[i].mm) {
			quire_mm_destroy(plan->spaces[i].mm);
			plan->spaces[i].mm = NULL;
		}
	files_end(plan, results);
	quire_barrier(0);
	finding = quire_validate(NULL);
	if (finding && !results->validator[0])
		snprintf(results->validator, sizeof(results->validator), "at the end: %s", finding);
	results->leaked = leaked(before, cpus);
}

static void ready_tasks(struct run *run)
{
	struct plan *plan = run->plan;

	run->first = REPLAY_NONE;
	for (uint32_t i = 0; i < plan->task_count; i++) {
		struct task *t = &plan->tasks[i];

		t->waiters = REPLAY_NONE;
		t->waited = REPLAY_END;
		t->next = t->first ? t->first : REPLAY_END;
		if (t->first) {
			run->unfinished++;
			enqueue(run, i);
		}
	}
}

static bool run_plan(struct run *run, unsigned cpus, char *message, size_t size)
{
	struct quire_soft_cpu *cpu = quire_soft_attach(cpus);
	struct quire_memory_stats before;
	uint64_t start;
	int error;
	bool ok;

	if (!cpu) {
		snprintf(message, size, "can't attach a virtual CPU");
		return false;
	}
	quire_soft_enter(cpu);
	quire_memory_stats(&before);
	ready_tasks(run);
	error = files_begin(run->plan);
	ok = !error && begin_spaces(run->plan, run->options);
	quire_soft_leave(cpu);
	if (error)
		snprintf(message, size, "can't make objects of the files: error %d", -error);
	else if (!ok)
		snprintf(message, size, "not enough guest memory for the first address space");
	start = now();
	if (ok && !run_workers(run, cpus)) {
		ok = false;
		snprintf(message, size, "%s", run->failure ? run->failure : "can't start threads");
	}
	run->results->seconds = (double)(now() - start) / 1e9;
	quire_soft_enter(cpu);
	take_stock(run->plan, run->results, &before, cpus + 1);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return ok;
}

bool replay_run(struct plan *plan, const struct replay_options *options, struct results *results,
		char *message, size_t size)
{
	unsigned cpus = choose_cpus(plan, options);
	struct quire_soft_config config = {
		.cpus = cpus + 1,
		.memory = choose_memory(plan, options),
		.levels = options->levels,
	};
	struct run run = { .plan = plan, .options = options, .results = results };
	int error = quire_soft_init(&config);
	bool ok;

	if (error) {
		snprintf(message, size, "can't start with %llu MiB of guest memory: error %d",
			 (unsigned long long)(config.memory >> 20), -error);
		return false;
	}
	pthread_mutex_init(&run.lock, NULL);
	pthread_cond_init(&run.runnable, NULL);
	pthread_cond_init(&run.over, NULL);
	ok = run_plan(&run, cpus, message, size);
	pthread_cond_destroy(&run.over);
	pthread_cond_destroy(&run.runnable);
	pthread_mutex_destroy(&run.lock);
	error = quire_soft_exit();
	if (error && !results->validator[0])
		snprintf(results->validator, sizeof(results->validator),
			 "address spaces are left at the end: error %d", -error);
	return ok;
}
