/* SPDX-License-Identifier: MIT */
/*
 * What the CPUs do, event by event.
 *
 *     CPU     work ──► step ──► work ──► step ...       the earliest step of all CPUs comes next
 *                       │
 *                       ├─ the line is here as needed ──► at once: that is in the measured work
 *                       ├─ it is elsewhere ──► one transfer, after those that asked before
 *                       └─ a lock is held ──► wait; the holder's release lets one or more go on
 *
 * Not here: the operating system. A CPU that waits spins, and goes on at once. What spinning costs
 * the others is the one transfer by which a waiter has seen that the lock is held.
 */
#include "scale_world.h"

#include <stdlib.h>
#include <string.h>

/* --- programs --- */

static const struct task *task_of(const struct cpu *c)
{
	return &c->actor->phases[c->phase].tasks[c->task];
}

static double first_work(const struct sequence *s)
{
	return s->count ? s->steps[0].work : s->end;
}

/* The next sequence of its program: when it does its first step. */
static void begin(struct world *w, struct cpu *c)
{
	const struct task *task = task_of(c);
	bool changed = task->changed.count && c->version != w->version;

	c->sequence = changed ? &task->changed : &task->steady;
	c->version = w->version;
	c->step = 0;
	c->outer = NULL;
	c->completed = 1;
	/* Repetitions that meet nobody are one piece of work. */
	if (c->sequence->count == 0) {
		c->completed = c->repeat;
		c->time += (c->repeat - 1) * c->sequence->end;
	}
	c->time += first_work(c->sequence) + c->debt;
	c->debt = 0;
}

static void next_in_program(struct cpu *c)
{
	const struct phase *phase = &c->actor->phases[c->phase];

	c->repeat -= c->completed;
	if (c->repeat > 0)
		return;
	if (++c->task == phase->count) {
		c->task = 0;
		if (--c->times == 0) {
			c->phase = (c->phase + 1) % c->actor->count;
			c->times = c->actor->phases[c->phase].times;
		}
	}
	c->repeat = task_of(c)->repeat;
}

static void end(struct world *w, unsigned cpu)
{
	struct cpu *c = &w->cpus[cpu];
	unsigned space = (unsigned)w->system->space_lock;

	if (c->extra) {
		c->extra = false;
		c->lacks = -1;
		c->time = release(w, w->line_at[space], &w->lines[w->line_at[space]], cpu, c->time);
	}
	if (c->time >= w->counted_from && c->time <= w->until)
		c->units += task_of(c)->units * c->completed;
	if (w->system->has_other && cpu == w->workers)
		w->version++;
	next_in_program(c);
	begin(w, c);
}

void finish_step(struct world *w, unsigned cpu, double time)
{
	struct cpu *c = &w->cpus[cpu];

	c->step++;
	c->time = time;
	if (c->step < c->sequence->count) {
		c->time += c->sequence->steps[c->step].work;
		return;
	}
	c->time += c->sequence->end;
	if (!c->outer) {
		end(w, cpu);
	} else if (--c->bulks > 0) {
		c->step = 0;
		c->time += first_work(c->sequence);
	} else {
		c->sequence = c->outer;
		c->step = c->outer_step;
		c->outer = NULL;
		finish_step(w, cpu, c->time);
	}
}

static void begin_bulk(struct world *w, unsigned cpu, double time)
{
	struct cpu *c = &w->cpus[cpu];
	const struct task *task = task_of(c);

	c->outer = c->sequence;
	c->outer_step = c->step;
	c->sequence = &task->bulk;
	c->bulks = task->bulks;
	c->step = 0;
	c->time = time + first_work(c->sequence);
	/* Bulk that meets nobody is one piece of work. */
	if (c->sequence->count == 0) {
		c->time += (c->bulks - 1) * c->sequence->end;
		c->bulks = 1;
	}
}

/* The space's lock instead of, or besides, the one at hand. False: it waits. */
static bool fall_back(struct world *w, unsigned cpu, double *time)
{
	unsigned at = w->line_at[w->system->space_lock];

	w->cpus[cpu].extra = true;
	return acquire(w, at, &w->lines[at], cpu, false, time);
}

/* False: the CPU waits. */
static bool do_step(struct world *w, unsigned cpu, const struct step *s, double *time)
{
	struct cpu *c = &w->cpus[cpu];
	unsigned at = instance(w, s->line, s->worker, cpu);
	unsigned lock_at = s->lock < 0 ? at : instance(w, (unsigned)s->lock, s->worker, cpu);
	struct line *line = &w->lines[at];

	switch (s->kind) {
	case STEP_READ:
		*time = read_line(w, line, cpu, *time);
		return true;
	case STEP_CHECK:
		*time = read_line(w, line, cpu, *time);
		return w->locks[lock_at].holder == NOBODY || c->extra || fall_back(w, cpu, time);
	case STEP_WRITE:
		*time = write_line(w, line, cpu, *time);
		return true;
	case STEP_LOCK:
	case STEP_LOCK_SHARED:
		return acquire(w, lock_at, line, cpu, s->kind == STEP_LOCK, time);
	case STEP_TRY_SHARED:
		if (w->locks[lock_at].holder == NOBODY && !w->locks[lock_at].writers_waiting)
			return acquire(w, lock_at, line, cpu, false, time);
		*time = write_line(w, line, cpu, *time);
		c->lacks = (int)lock_at;
		return fall_back(w, cpu, time);
	case STEP_DOWNGRADE:
		*time = downgrade(w, lock_at, line, cpu, *time);
		return true;
	case STEP_UNLOCK:
		if (c->lacks != (int)lock_at)
			*time = release(w, lock_at, line, cpu, *time);
		return true;
	case STEP_FLUSH:
		*time = flush(w, cpu, *time);
		return true;
	case STEP_BULK:
		break;
	}
	return true;
}

/* One step of the CPU, at its time. */
static void advance(struct world *w, unsigned cpu)
{
	struct cpu *c = &w->cpus[cpu];
	const struct sequence *sequence = c->sequence;
	const struct step *s = &sequence->steps[c->step];
	double time = c->time;

	if (sequence->count == 0) {
		/* Nothing but work. */
		if (c->outer)
			finish_step(w, cpu, time - sequence->end);
		else
			end(w, cpu);
	} else if (s->kind == STEP_BULK) {
		begin_bulk(w, cpu, time);
	} else if (do_step(w, cpu, s, &time)) {
		finish_step(w, cpu, time);
	} else {
		return;
	}
	heap_push(w, cpu);
}

/* --- the whole --- */

static double sequence_time(const struct sequence *s)
{
	double time = s->end;

	for (unsigned i = 0; i < s->count; i++)
		time += s->steps[i].work;
	return time;
}

static double task_time(const struct task *task)
{
	return sequence_time(&task->steady) + task->bulks * sequence_time(&task->bulk);
}

static double phase_time(const struct phase *phase)
{
	double time = 0;

	for (unsigned i = 0; i < phase->count; i++)
		time += phase->tasks[i].repeat * task_time(&phase->tasks[i]);
	return time;
}

double actor_longest(const struct actor *actor)
{
	double longest = 0;

	for (unsigned i = 0; i < actor->count; i++)
		for (unsigned t = 0; t < actor->phases[i].count; t++)
			if (task_time(&actor->phases[i].tasks[t]) > longest)
				longest = task_time(&actor->phases[i].tasks[t]);
	return longest;
}

double actor_cycle(const struct actor *actor)
{
	double time = 0;

	for (unsigned i = 0; i < actor->count; i++)
		time += actor->phases[i].times * phase_time(&actor->phases[i]);
	return time;
}

/* Workers begin at different places of their programs, spread evenly over the time of a turn. */
static void place_in_program(struct cpu *c, double share)
{
	double time = share * actor_cycle(c->actor), all;

	for (c->phase = 0; c->phase + 1 < c->actor->count; c->phase++) {
		all = c->actor->phases[c->phase].times * phase_time(&c->actor->phases[c->phase]);
		if (time < all)
			break;
		time -= all;
	}
	c->times = c->actor->phases[c->phase].times;
	all = phase_time(&c->actor->phases[c->phase]);
	if (all > 0 && time / all < c->times)
		c->times -= (unsigned)(time / all);
	c->repeat = task_of(c)->repeat;
}

static void start(struct world *w)
{
	const struct system *s = w->system;

	for (unsigned i = 0; i < w->machine->cpus; i++) {
		struct cpu *c = &w->cpus[i];

		c->lacks = -1;
		c->actor = i < w->workers ? &s->worker : &s->other;
		if (s->other_spins && i == w->workers) {
			c->waits = true;
			continue;
		}
		place_in_program(c, i < w->workers ? (double)i / w->workers : 0);
		c->time = (double)i;
		begin(w, c);
		heap_push(w, i);
	}
}

static unsigned lay_out(struct world *w)
{
	unsigned count = 0;

	for (unsigned i = 0; i < w->system->place_count; i++) {
		w->line_at[i] = count;
		count += w->system->places[i] == PLACE_ONE	? 1
			 : w->system->places[i] == PLACE_SOCKET ? w->sockets
								: w->workers;
	}
	return count;
}

static bool make_world(struct world *w)
{
	unsigned count, cpus = w->machine->cpus;

	w->line_at = calloc(PLACES, sizeof(*w->line_at));
	if (!w->line_at)
		return false;
	count = lay_out(w) + 1;
	w->lines = calloc(count, sizeof(*w->lines));
	w->locks = calloc(count, sizeof(*w->locks));
	w->cpus = calloc(cpus, sizeof(*w->cpus));
	w->mailboxes = calloc(cpus, sizeof(*w->mailboxes));
	w->posted = calloc(cpus, sizeof(*w->posted));
	if (!w->lines || !w->locks || !w->cpus || !w->mailboxes || !w->posted)
		return false;
	for (unsigned i = 0; i < count; i++) {
		w->lines[i].owner = NOBODY;
		w->locks[i] = (struct lock){ .holder = NOBODY, .first = NOBODY, .last = NOBODY };
	}
	return true;
}

static void free_world(struct world *w)
{
	free(w->line_at);
	free(w->lines);
	free(w->locks);
	free(w->cpus);
	free(w->mailboxes);
	free(w->posted);
}

static void count(const struct world *w, struct outcome *outcome)
{
	double seconds = (w->until - w->counted_from) / 1e9;

	*outcome = (struct outcome){ 0 };
	for (unsigned i = 0; i < w->machine->cpus; i++)
		*(i < w->workers ? &outcome->rate : &outcome->other_rate) += w->cpus[i].units /
									     seconds;
}

bool simulate(const struct system *system, const struct machine *machine, double window,
	      struct outcome *outcome)
{
	struct world w = {
		.system = system,
		.machine = machine,
		.workers = machine->cpus - system->has_other,
		.sockets = (machine->cpus + machine->socket - 1) / machine->socket,
		.counted_from = window / 4,
		.until = window,
	};
	bool made = make_world(&w);

	if (made) {
		start(&w);
		while (w.heap_size && w.cpus[w.heap[0]].time <= window)
			advance(&w, heap_pop(&w));
		count(&w, outcome);
	}
	free_world(&w);
	return made;
}
