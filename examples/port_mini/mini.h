/* SPDX-License-Identifier: MIT */
/* The port's own side: what its users call besides <quire/quire.h>. */
#ifndef MINI_H
#define MINI_H

#include <quire/quire.h>

/* Quire with this much memory, a multiple of 4,096 bytes, on the one CPU that there is. */
int mini_start(size_t memory);
int mini_stop(void);
/* The host address of a byte of the space, until the next call; NULL: the access is not allowed. */
void *mini_access(struct quire_mm *mm, uint64_t address, enum quire_access access);

#endif
