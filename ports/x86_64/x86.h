/* SPDX-License-Identifier: MIT */
/* What the files of the port share. */
#ifndef QUIRE_X86_H
#define QUIRE_X86_H

#include "port.h"
#include <quire/x86_64.h>

/* By index; set before the CPU runs a space. */
extern struct quire_x86_cpu *x86_cpus[MAX_CPUS];

/* A word of the per-CPU block that several CPUs change: the public header can't call it atomic. */
static inline _Atomic uint64_t *x86_shared(uint64_t *word)
{
	return (_Atomic uint64_t *)(void *)word;
}

#endif
