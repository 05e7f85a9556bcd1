/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include <stddef.h>

/* Bytes that nobody guesses who does not know the seed: see random.c. Never fails or sleeps. */
void random_bytes(void *to, size_t size);

#endif
