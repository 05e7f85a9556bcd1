/* SPDX-License-Identifier: MIT */
/* What conflicts_loops.c records and conflicts_steps.c writes. */
#ifndef CONFLICTS_LOOPS_H
#define CONFLICTS_LOOPS_H

#include "conflicts.h"

#define ACCESSES 16384
#define OPERATIONS 4 /* of a worker, or of the other */
#define OTHER 2	     /* its CPU */

struct access {
	uintptr_t address;
	size_t size;
	enum explore_access kind;
	uint32_t after; /* what a word held then */
};

struct log {
	struct access list[ACCESSES];
	unsigned count;
	unsigned cpu;
};

struct loop {
	const char *name;
	const struct operation *workers[OPERATIONS];
	const struct place *at[2];
	const struct operation *other[OPERATIONS];
	const struct place *beside;
};

/*
 * By CPU 0 in peace, by CPU 1, and by the other; then by CPU 0 after the other, with what that had
 * done just before.
 */
struct logs {
	struct log steady[OPERATIONS], second[OPERATIONS], others[OPERATIONS];
	struct log changed[OPERATIONS], causes[OPERATIONS][OPERATIONS];
};

extern struct logs logs;

/* conflicts_steps.c: a loop as JSON. => just recorded, its world still open */
void write_loop(FILE *, const struct loop *);

#endif
