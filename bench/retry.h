/* SPDX-License-Identifier: MIT */
/*
 * What a retry costs. Faults are made to find that something has changed (src/fault/force.h), at a
 * set rate, for each reason, under four policies:
 *
 *                                     begins anew, speculatively      goes to the classic path
 *   keeps what it has prepared        hand-over (what Quire does)     classic
 *   gives it back, prepares anew      retry                           classic-anew
 *
 *   retry.c          the command line; what is measured, in which order
 *   retry_run.c      a window: a space, a mapping, a pass of faults over it
 *   retry_force.c    inside the core: what is found, and what the fault does then
 *   retry_count.c    instructions, counted by callgrind
 *   retry_report.c   table, JSON
 *   retry_plot.c     SVG, by gnuplot
 *
 * A rate is a share of the faults, each of which fails once; or a share of the attempts, so that a
 * fault may fail again and again: then it matters when it goes to the classic path.
 */
#ifndef BENCH_RETRY_H
#define BENCH_RETRY_H

#include <quire/soft.h>
#include <stdio.h>

#define MOST_REPEAT 99u
#define MOST_OPERATIONS 16
#define MOST_FAULTS 4000u
#define QUICK_FAULTS 500u
#define COUNTED_FAULTS 1000u
#define TRIES                                                                                      \
	8u /* of a fault, before it goes to the classic path: SPECULATIVE_TRIES of the core        \
	    */

enum policy { RETRY, HAND_OVER, CLASSIC, CLASSIC_ANEW, POLICIES };

struct window;

/* A kind of fault. */
struct operation {
	const char *name;
	enum quire_access access;
	uint64_t stride;		   /* from one fault's address to the next */
	bool (*prepare)(struct window *w); /* map what is faulted in */
	enum quire_counter reasons[5];	   /* which make sense; the last: QUIRE_COUNTER_COUNT */
	bool again;			   /* also by attempts, for the first reason */
};
extern const struct operation operations[]; /* the last has no name */

/* One figure. */
struct point {
	const struct operation *operation;
	enum quire_counter reason;
	bool attempts; /* the rate is a share of attempts, not of faults */
	enum policy policy;
	double rate;
	/* Measured: */
	double samples[MOST_REPEAT]; /* nanoseconds a fault */
	unsigned count;
	double retries, classic; /* a fault */
	double instructions;	 /* a fault; < 0: not counted */
};

struct retry_options {
	unsigned repeat, faults;
	bool json, instructions, counting;
	const char *plot;   /* a directory; NULL: no plots */
	char command[1024]; /* as it was given */
	char **names;	    /* of operations; the last is NULL; none: all */
};

struct points {
	struct point *at;
	size_t count;
};

/* Points of one operation, reason, scheme and policy follow each other: this many, by rate. */
size_t retry_line(const struct point *point);

/* retry_run.c */
bool retry_start(void);
void retry_stop(void);
/* One window: adds a sample. Returns false and says why on stderr. */
bool retry_window(struct point *point, unsigned faults);
/* The pass of faults that is timed and counted. Returns false if one was refused. */
bool retry_pass(struct quire_soft_cpu *cpu, const struct operation *operation, const uint8_t *times,
		unsigned faults);

/* retry_count.c. Fills in the instructions. Returns false and says why on stderr. */
bool retry_count(struct points *points, const struct retry_options *options);

/* retry_report.c */
const char *retry_policy_name(enum policy policy);
double retry_nanoseconds(const struct point *point);
void retry_table(const struct points *points, const struct retry_options *options);
void retry_json(const struct points *points, const struct retry_options *options);

/* retry_plot.c. Returns false and says why on stderr. */
bool retry_plot(const struct points *points, const char *directory);

#endif
