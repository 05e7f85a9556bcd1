/* SPDX-License-Identifier: MIT */
/* What is simulated, beside what was measured, for tables, JSON and plots. */
#ifndef SCALE_REPORT_H
#define SCALE_REPORT_H

#include "scale.h"

#include <stddef.h>

struct scale_result {
	const char *loop;
	unsigned mode, cpus;
	struct outcome near, middle, far; /* with transfers and the remote factor so */
	double measured, greatest;	  /* operations a second, median and greatest run; only in a
					     validation */
};

struct scale_report {
	const struct parameters *parameters;
	const char *taken_from; /* the file that they are of; NULL: measured in this run */
	const char *footprints; /* the file */
	const struct scale_result *results, *validation;
	unsigned count, validation_count;
	int argc; /* the command line */
	char **argv;
};

void report_table(const struct scale_report *);
void report_json(const struct scale_report *);
/* scale_plot.c: scale.svg in the directory. False, having said why on stderr. */
bool report_plot(const struct scale_report *, const char *directory);

/* The fields of struct operation_cost. */
struct cost_field {
	const char *name, *what;
	size_t offset;
};

extern const struct cost_field cost_fields[];
extern const unsigned cost_field_count;
double *cost_of(struct operation_cost *, const struct cost_field *);

#endif
