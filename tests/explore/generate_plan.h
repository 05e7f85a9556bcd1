/* SPDX-License-Identifier: MIT */
/* What generate.c and generate_run.c share: what a generated scenario is, and what it did. */
#ifndef GENERATE_PLAN_H
#define GENERATE_PLAN_H

#include "generate.h"
#include "linear.h"

#define GENERATED_CPUS 3
#define PER_CPU 3

enum touched { UNTOUCHED, READ, WRITTEN };
enum object_kind { NO_OBJECT, ON_DISK, IN_MEMORY };

struct plan {
	bool fences;	  /* at the end of each operation */
	uint64_t base;	  /* of the pages */
	unsigned failing; /* the allocation that fails; 0: none */
	unsigned cpus, count[GENERATED_CPUS];
	/* With their results, in a run. */
	struct linear_operation operations[GENERATED_CPUS][PER_CPU];
	/* The setup, in this order. */
	enum object_kind kind;
	struct linear_object object;
	struct linear_page pages[LINEAR_PAGES];
	enum touched touched[LINEAR_PAGES];
	bool forks;
	enum touched warm[GENERATED_CPUS][LINEAR_PAGES];
};
extern struct plan plan;

/* What an operation did in this run. */
struct record {
	bool called, returned;
	uint64_t call, end;	       /* explore_time, for readers */
	unsigned seen[GENERATED_CPUS]; /* operations of each CPU that had returned at the call */
	struct quire_mm *child;	       /* of a fork */
};
extern struct record records[GENERATED_CPUS][PER_CPU];

/* generate_disk.c: what an object ON_DISK is kept on, and in setup, one that contains this. */
extern _Atomic uint64_t generated_disk[LINEAR_OBJECT];
struct quire_object *generated_object(enum object_kind, const struct linear_object *);

void generated_setup(void);
extern void (*const generated_programs[GENERATED_CPUS])(void);
void generated_check(void);

#endif
