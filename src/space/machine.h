/* SPDX-License-Identifier: MIT */
/* What quire_init was told. */
#ifndef QUIRE_SPACE_MACHINE_H
#define QUIRE_SPACE_MACHINE_H

#include "frame/slab.h"

extern struct slab mm_slab;

unsigned machine_cpus(void);
unsigned machine_levels(void);

struct quire_mm;
/* The list of all spaces; empty it, at the start. */
struct quire_mm *space_first(void);
void space_reset(void);

#endif
