/* SPDX-License-Identifier: MIT */
/* Inside the simulation: scale_world.c has lines and locks, scale_simulate.c what CPUs do. */
#ifndef SCALE_WORLD_H
#define SCALE_WORLD_H

#include "scale.h"

#include <stdint.h>

#define SET (SCALE_MAX_CPUS / 64)
#define NOBODY (-1)

struct line {
	double free_at; /* when the last transfer is over */
	int owner;	/* who wrote last */
	bool shared;
	uint64_t sockets; /* of the holders */
	uint64_t holders[SET];
};

struct lock {
	int holder; /* exclusively */
	unsigned readers, writers_waiting;
	int first, last; /* of those that wait, in order */
};

struct cpu {
	double time; /* of its next step */
	bool waits, exclusive;
	int next; /* in the queue of a lock */
	const struct actor *actor;
	unsigned phase, times, task, repeat, step, bulks;
	const struct sequence *sequence;
	const struct sequence *outer; /* in its bulk: what that is part of, and the step */
	unsigned outer_step;
	int lacks;	  /* the lock that it tried for and has not; -1: none */
	bool extra;	  /* has the space's lock for want of another */
	double debt;	  /* of answers to flushes */
	unsigned version; /* operations of the other that it knows of */
	double units;
	unsigned completed;
};

struct world {
	const struct system *system;
	const struct machine *machine;
	unsigned workers, sockets;
	unsigned *line_at; /* of each place: its first instance */
	struct line *lines;
	struct lock *locks;
	struct cpu *cpus;
	double *mailboxes; /* when each can be posted to */
	double *posted;
	unsigned heap[SCALE_MAX_CPUS], heap_size;
	unsigned version;
	double counted_from, until;
};

/* The CPU whose step is the earliest leaves the heap. */
unsigned heap_pop(struct world *);
void heap_push(struct world *, unsigned cpu);

/* The instance of a place, or of the lock there, that a step of this CPU is about. */
unsigned instance(const struct world *, unsigned place, int worker, unsigned cpu);

/* Return when the CPU has the line, which it asks for at `time`. */
double read_line(const struct world *, struct line *, unsigned cpu, double time);
double write_line(const struct world *, struct line *, unsigned cpu, double time);

/* False: it waits, and is granted the lock by somebody's release. */
bool acquire(struct world *, unsigned lock, struct line *, unsigned cpu, bool exclusive,
	     double *time);
double release(struct world *, unsigned lock, struct line *, unsigned cpu, double time);
double downgrade(struct world *, unsigned lock, struct line *, unsigned cpu, double time);

/* Returns when all have answered. */
double flush(struct world *, unsigned cpu, double time);

/* scale_simulate.c: the CPU's step is done at `time`; see to its next. => not in the heap */
void finish_step(struct world *, unsigned cpu, double time);

#endif
