/* SPDX-License-Identifier: MIT */
/* What the two files that measure share. */
#ifndef SCALE_MEASURE_H
#define SCALE_MEASURE_H

#include "scale.h"

#include <stdint.h>

#define ROUNDS 9

uint64_t measure_ticks(void);
double measure_nanoseconds(uint64_t since);

/* What lines cost, in this round. => pinned by measure() */
void measure_lines(unsigned round);

/* scale_operations.c: all p->costs. False, having said why on stderr. */
bool measure_operations(struct parameters *);

#endif
