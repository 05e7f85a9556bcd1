/* SPDX-License-Identifier: MIT */
/*
 * Cache lines, locks and flushes of the simulation.
 *
 * A line is one CPU's, to be written, or that of any number of readers. Transfers of a line come
 * one after the other; only readers of a line that is shared already do not wait for each other.
 *
 * Reader-writer locks as in sync/rwsem.c: a waiting writer turns new readers away; a writer's end
 * lets all readers in that wait, and the next writer waits for these.
 *
 * A flush posts in each other CPU's mailbox and waits for the answers. A CPU at work answers when
 * it next looks, half an interval later in the mean; one that waits answers at once.
 */
#include "scale_world.h"

#include <string.h>

/* --- who is next --- */

static bool earlier(const struct world *w, unsigned a, unsigned b)
{
	double x = w->cpus[a].time, y = w->cpus[b].time;

	return x < y || (!(y < x) && a < b);
}

void heap_push(struct world *w, unsigned cpu)
{
	unsigned at = w->heap_size++;

	for (; at > 0 && earlier(w, cpu, w->heap[(at - 1) / 2]); at = (at - 1) / 2)
		w->heap[at] = w->heap[(at - 1) / 2];
	w->heap[at] = cpu;
}

unsigned heap_pop(struct world *w)
{
	unsigned first = w->heap[0], cpu = w->heap[--w->heap_size], at = 0;

	for (;;) {
		unsigned child = 2 * at + 1;

		if (child + 1 < w->heap_size && earlier(w, w->heap[child + 1], w->heap[child]))
			child++;
		if (child >= w->heap_size || earlier(w, cpu, w->heap[child]))
			break;
		w->heap[at] = w->heap[child];
		at = child;
	}
	w->heap[at] = cpu;
	return first;
}

/* --- lines --- */

static unsigned socket_of(const struct world *w, unsigned cpu)
{
	return cpu / w->machine->socket;
}

static double distance(const struct world *w, unsigned a, unsigned b)
{
	return socket_of(w, a) == socket_of(w, b) ? w->machine->transfer : w->machine->remote;
}

static bool holds(const struct line *line, unsigned cpu)
{
	return line->holders[cpu / 64] >> cpu % 64 & 1;
}

static void hold(const struct world *w, struct line *line, unsigned cpu)
{
	line->holders[cpu / 64] |= 1ull << cpu % 64;
	line->sockets |= 1ull << socket_of(w, cpu) % 64;
}

double read_line(const struct world *w, struct line *line, unsigned cpu, double time)
{
	double start = time > line->free_at ? time : line->free_at, end;

	if (holds(line, cpu))
		return time;
	end = start + (line->owner == NOBODY ? 0 : distance(w, cpu, (unsigned)line->owner));
	if (!line->shared)
		line->free_at = end;
	line->shared = true;
	hold(w, line, cpu);
	return end;
}

double write_line(const struct world *w, struct line *line, unsigned cpu, double time)
{
	uint64_t own = 1ull << socket_of(w, cpu) % 64;
	double start = time > line->free_at ? time : line->free_at, end;

	if (line->owner == (int)cpu && !line->shared)
		return time;
	if (line->owner == NOBODY)
		end = start;
	else if (line->sockets & ~own)
		end = start + w->machine->remote;
	else
		end = start + w->machine->transfer;
	line->free_at = end;
	line->owner = (int)cpu;
	line->shared = false;
	line->sockets = 0;
	memset(line->holders, 0, sizeof(line->holders));
	hold(w, line, cpu);
	return end;
}

unsigned instance(const struct world *w, unsigned place, int worker, unsigned cpu)
{
	unsigned at = w->line_at[place];

	switch (w->system->places[place]) {
	case PLACE_ONE:
		return at;
	case PLACE_SOCKET:
		return at + socket_of(w, cpu);
	case PLACE_WORKER:
		break;
	}
	if (worker == STEP_NEIGHBOUR)
		return at + (cpu + 1) % w->workers;
	return at + (worker == STEP_MINE ? cpu % w->workers : (unsigned)worker);
}

/* --- locks --- */

static void enqueue(struct world *w, struct lock *lock, unsigned cpu, bool exclusive)
{
	struct cpu *c = &w->cpus[cpu];

	c->waits = true;
	c->exclusive = exclusive;
	c->next = NOBODY;
	if (lock->first == NOBODY)
		lock->first = (int)cpu;
	else
		w->cpus[lock->last].next = (int)cpu;
	lock->last = (int)cpu;
	lock->writers_waiting += exclusive;
}

/* Take the first that wants it so out of the queue. */
static int dequeue(struct world *w, struct lock *lock, bool exclusive)
{
	int before = NOBODY, cpu = lock->first;

	while (cpu != NOBODY && w->cpus[cpu].exclusive != exclusive) {
		before = cpu;
		cpu = w->cpus[cpu].next;
	}
	if (cpu == NOBODY)
		return NOBODY;
	if (before == NOBODY)
		lock->first = w->cpus[cpu].next;
	else
		w->cpus[before].next = w->cpus[cpu].next;
	if (lock->last == cpu)
		lock->last = before;
	lock->writers_waiting -= exclusive;
	return cpu;
}

static void grant(struct world *w, struct lock *lock, struct line *line, int cpu, double time)
{
	struct cpu *c = &w->cpus[cpu];

	c->waits = false;
	if (c->exclusive)
		lock->holder = cpu;
	else
		lock->readers++;
	time = write_line(w, line, (unsigned)cpu, time);
	finish_step(w, (unsigned)cpu, time);
	heap_push(w, (unsigned)cpu);
}

static void grant_next(struct world *w, struct lock *lock, struct line *line, double time,
		       bool readers)
{
	int cpu;

	while (readers && (cpu = dequeue(w, lock, false)) != NOBODY)
		grant(w, lock, line, cpu, time);
	if (lock->holder == NOBODY && lock->readers == 0 &&
	    (cpu = dequeue(w, lock, true)) != NOBODY)
		grant(w, lock, line, cpu, time);
}

/* False: it waits. */
bool acquire(struct world *w, unsigned at, struct line *line, unsigned cpu, bool exclusive,
	     double *time)
{
	struct lock *lock = &w->locks[at];
	bool busy = lock->holder != NOBODY ||
		    (exclusive ? lock->readers != 0 : lock->writers_waiting != 0);

	if (busy) {
		read_line(w, line, cpu, *time);
		enqueue(w, lock, cpu, exclusive);
		return false;
	}
	if (exclusive)
		lock->holder = (int)cpu;
	else
		lock->readers++;
	*time = write_line(w, line, cpu, *time);
	return true;
}

double release(struct world *w, unsigned at, struct line *line, unsigned cpu, double time)
{
	struct lock *lock = &w->locks[at];
	bool exclusive = lock->holder == (int)cpu;

	time = write_line(w, line, cpu, time);
	if (exclusive)
		lock->holder = NOBODY;
	else
		lock->readers--;
	grant_next(w, lock, line, time, exclusive);
	return time;
}

double downgrade(struct world *w, unsigned at, struct line *line, unsigned cpu, double time)
{
	struct lock *lock = &w->locks[at];

	time = write_line(w, line, cpu, time);
	lock->holder = NOBODY;
	lock->readers++;
	grant_next(w, lock, line, time, true);
	return time;
}

/* --- flushes --- */

double flush(struct world *w, unsigned cpu, double time)
{
	for (unsigned i = 0; i < w->machine->cpus; i++) {
		if (i == cpu)
			continue;
		if (time < w->mailboxes[i])
			time = w->mailboxes[i];
		time += distance(w, cpu, i);
		w->mailboxes[i] = w->posted[i] = time;
	}
	for (unsigned i = 0; i < w->machine->cpus; i++) {
		struct cpu *target = &w->cpus[i];
		double way = distance(w, cpu, i), answer = w->posted[i] + way;

		if (i == cpu)
			continue;
		if (!target->waits && target->sequence) {
			answer += target->sequence->poll / 2;
			target->debt += 2 * way;
		}
		time = (answer > time ? answer : time) + way;
	}
	return time;
}
