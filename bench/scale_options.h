/* SPDX-License-Identifier: MIT */
/* The command line of scale_model. */
#ifndef SCALE_OPTIONS_H
#define SCALE_OPTIONS_H

#include "scale.h"

#define COUNTS 32
#define MEASURED 8
#define LOOPS 8

struct options {
	struct parameters parameters; /* those of a file, or only the assumed ones */
	const char *taken_from;	      /* the file; NULL: they are to be measured */
	const char *footprints_path;
	struct json *footprints;	 /* NULL with measure_only */
	struct json *measured[MEASURED]; /* for validation */
	unsigned measured_count;
	unsigned cpus[COUNTS];
	unsigned cpus_count;
	bool loops[LOOPS]; /* by their place in scale_loops */
	const char *plots;
	bool json, measure_only;
};

/* -1: go on, => options_free. Else an exit status: help was given, or stderr says what is wrong. */
int options_parse(struct options *, int argc, char **argv);
void options_free(struct options *);

#endif
