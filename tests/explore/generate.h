/* SPDX-License-Identifier: MIT */
/* Scenarios made at random: short programs on four pages, whose histories must be linearizable. */
#ifndef GENERATE_H
#define GENERATE_H

#include "explore.h"

/* The scenario of this seed, for an exploration in this memory. Stands until the next call. */
const struct scenario *generate(uint64_t seed, enum explore_memory);
/* Its setup, its programs as C text, and what they did in the last run. */
void generate_print(void);

#endif
