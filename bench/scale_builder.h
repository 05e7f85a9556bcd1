/* SPDX-License-Identifier: MIT */
/* From footprints to systems: scale_footprint.c makes tasks, scale_loops.c puts them together. */
#ifndef SCALE_BUILDER_H
#define SCALE_BUILDER_H

#include "scale.h"

struct builder {
	struct system *system;
	const struct json *lines;
	const struct operation_cost *cost;
	unsigned workers;
	double rate; /* nanoseconds of an access */
	bool of_other;
	/* Of the recorded lines, and of the locks. */
	int places[PLACES];
	struct {
		char field[64];
		int line, place;
	} locks[64];
	unsigned lock_count;
	/* The sequence at hand. */
	struct sequence *sequence;
	double work;
	unsigned polls;
	bool with_bulk;
	int vma_lock; /* held exclusively: its place; -1: not */
	bool forking;
	struct step vma_step;
};

/* NULL: there is none. actor: "workers" or "other". */
const struct json *loop_of(const struct json *footprints, const char *loop, unsigned mode);
const struct json *operation_of(const struct json *loop, const char *actor, const char *operation);
/* In all, whoever's the lines are. */
double accesses_of(const struct json *recorded);

/* A place for each line that is simulated. False: too many. */
bool make_places(struct builder *);
/* An operation of so many nanoseconds in peace; false, having said why: it was not recorded. */
bool make_task(struct builder *, struct task *, const struct json *loop, const char *operation,
	       double nanoseconds);
/* What the task does for each batch of further pages. */
bool make_bulk(struct builder *, struct task *, const struct json *loop, double nanoseconds);

#endif
