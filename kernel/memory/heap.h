/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own memory, out of quire_pages_alloc. Never sleeps. Not from interrupt handlers.
 */
#ifndef KERNEL_HEAP_H
#define KERNEL_HEAP_H

#include <stddef.h>

/*
 * NULL: no memory. Aligned to 16 (to 64 from 64 bytes on); heap_zero's is zeroed. Up to 64 bytes
 * less than 4 MiB.
 */
void *heap_alloc(size_t size);
void *heap_zero(size_t size);
void *heap_copy(const void *bytes, size_t size);
void heap_free(void *p); /* NULL: nothing */
/* Bytes in use, for /proc/meminfo. */
size_t heap_used(void);

#endif
