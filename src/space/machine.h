/* SPDX-License-Identifier: MIT */
/* What quire_init was told. */
#ifndef QUIRE_SPACE_MACHINE_H
#define QUIRE_SPACE_MACHINE_H

#include "frame/slab.h"

extern struct slab mm_slab;

unsigned machine_cpus(void);
unsigned machine_levels(void);

struct quire_mm;
/* The list of all spaces. */
struct quire_mm *space_first(void);
/* Bytes that space_init needs, zeroed, aligned to 128; and the start: no spaces. */
size_t space_memory(unsigned cpus);
void space_init(void *memory);

#endif
