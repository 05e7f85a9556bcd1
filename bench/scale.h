/* SPDX-License-Identifier: MIT */
/*
 * The model of scaling: what its files share.
 *
 *   scale_model.c       the command line, and what is simulated
 *   scale_json.c        reads JSON
 *   scale_footprint.c   steps (`conflicts --json`) ─► tasks
 *   scale_loops.c       tasks ─► the loops
 *   scale_measure.c     what lines and atomics cost on this machine
 *   scale_operations.c  what operations cost, on one CPU
 *   scale_simulate.c    what CPUs do, event by event
 *   scale_world.c       lines, locks and flushes
 *   scale_report.c      table, JSON, validation
 *   scale_plot.c        SVG, by gnuplot
 *
 *     footprints ─┐
 *                 ├─► system ─► simulate, for each number of CPUs ─► table, JSON, plots
 *     parameters ─┘                                             └──► beside what was measured
 */
#ifndef SCALE_H
#define SCALE_H

#include <stdbool.h>
#include <stdio.h>

#define SCALE_MAX_CPUS 1024
#define SCALE_MODES 3

/* --- scale_json.c --- */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	char *key; /* in an object */
	char *string;
	double number;
	struct json *first, *next;
};

/* NULL, having said why on stderr: the file can't be read, or is no JSON. */
struct json *json_read(const char *path);
void json_free(struct json *);
/* NULL where there is no such key. */
const struct json *json_get(const struct json *object, const char *key);
/* "" or 0 where there is none, or of another type. */
const char *json_string(const struct json *object, const char *key);
double json_number(const struct json *object, const char *key);

/* --- scale_simulate.c --- */

enum step_kind {
	STEP_READ,
	STEP_WRITE, /* atomics too */
	STEP_LOCK,
	STEP_LOCK_SHARED,
	STEP_TRY_SHARED, /* if a writer has it: the system's space lock instead */
	STEP_DOWNGRADE,
	STEP_UNLOCK,
	STEP_CHECK, /* read; if the lock is held: the system's space lock, too */
	STEP_FLUSH, /* all CPUs of the space */
	STEP_BULK,  /* the task's bulk, so often as it says */
};

enum place_kind { PLACE_ONE, PLACE_SOCKET, PLACE_WORKER };

#define STEP_MINE (-1)	    /* of PLACE_WORKER: the worker's own */
#define STEP_NEIGHBOUR (-2) /* the next worker's */

struct step {
	enum step_kind kind;
	double work;   /* nanoseconds of the CPU's own, before it */
	unsigned line; /* an index of system.places */
	int lock;      /* the same, for locks; -1: none */
	int worker;    /* or STEP_MINE, STEP_NEIGHBOUR */
};

struct sequence {
	struct step *steps;
	unsigned count;
	double end;  /* nanoseconds behind the last step */
	double poll; /* nanoseconds from one look at the mailbox to the next */
};

struct task {
	struct sequence steady;
	struct sequence changed; /* the first after an operation of the other; none: no steps, no
				    time */
	struct sequence bulk;
	unsigned repeat, bulks;
	double units; /* counted for each */
};

/* Tasks in turn, so many times. */
struct phase {
	struct task tasks[2];
	unsigned count, times;
};

struct actor {
	struct phase phases[3];
	unsigned count;
};

#define PLACES 512

struct system {
	enum place_kind places[PLACES];
	unsigned place_count;
	int space_lock; /* the lock that the baselines fall back to; -1: none */
	struct actor worker, other;
	bool has_other;	  /* the last CPU is the other one */
	bool other_spins; /* or does nothing that touches anything */
};

struct machine {
	unsigned cpus, socket;	 /* CPUs in all, and in a socket */
	double transfer, remote; /* nanoseconds for a line, in a socket and between two */
};

struct outcome {
	double rate, other_rate; /* units a second, of all workers and of the other */
};

/* Nanoseconds, of which the first quarter is not counted. False: no memory. */
bool simulate(const struct system *, const struct machine *, double window, struct outcome *);
/* Nanoseconds of one turn of the actor with nobody else there. */
double actor_cycle(const struct actor *);
/* And of the longest operation. */
double actor_longest(const struct actor *);

/* --- scale_measure.c --- */

#define PAGES_PER_BATCH 32 /* that a CPU's stock of frames takes or gives at a time */
#define LEAF_PAGES 512

struct operation_cost {
	double write;		      /* a first write, where many pages take turns */
	double write_again;	      /* the same where few do, so that they are in the cache */
	double remap, unmap_page;     /* munmap and mmap of one page; another page of munmap */
	double dontneed, drop_page;   /* the same for MADV_DONTNEED */
	double local;		      /* mmap, write, munmap of a page */
	double protect;		      /* write, mprotect, and back */
	double fork, fork_page;	      /* of a small space; another page */
	double destroy, destroy_page; /* of the child */
};

struct parameters {
	double atomic, contended; /* nanoseconds */
	double transfer_low, transfer, transfer_high;
	double remote_low, remote, remote_high; /* factors */
	unsigned socket;
	unsigned region_pages, section_pages, fork_pages;
	struct operation_cost costs[SCALE_MODES];
	bool siblings; /* the two CPUs are of one core */
};

/* False, having said why on stderr. */
bool measure(struct parameters *);

/* --- scale_loops.c --- */

extern const char *const scale_modes[SCALE_MODES];
extern const char *const scale_loops[];
extern const unsigned scale_loop_count;

/* False, having said why on stderr: the footprints lack it. => system_free */
bool system_build(struct system *, const struct json *footprints, const char *loop, unsigned mode,
		  const struct parameters *, unsigned cpus);
void system_free(struct system *);
unsigned loop_min_cpus(const char *loop);

#endif
