/* SPDX-License-Identifier: MIT */
/*
 * The user memory of the current task's space. An access that faults goes through quire_fault as
 * the program's own would, and may sleep; one that is refused ends in a fix-up: the call fails with
 * -EFAULT. Addresses beyond USER_END are refused without a look.
 *
 * => no spin lock is held
 *
 * All return 0 or -EFAULT unless they say otherwise; part of the bytes may have been copied then.
 */
#ifndef KERNEL_USER_H
#define KERNEL_USER_H

#include "lib/errno.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int user_read(void *to, uint64_t from, size_t size);
int user_write(uint64_t to, const void *from, size_t size);
int user_clear(uint64_t to, size_t size);
/* How many bytes were not copied: 0 is success. For read(2) and write(2), which return short. */
size_t user_read_some(void *to, uint64_t from, size_t size);
size_t user_write_some(uint64_t to, const void *from, size_t size);
/* A string with its NUL into `room` bytes: its length, -EFAULT, or -ENAMETOOLONG (no NUL). */
int64_t user_string(char *to, uint64_t from, size_t room);

/* One aligned word, atomically: what another CPU sees is the whole. Misaligned: -EINVAL. */
int user_load32(uint64_t from, uint32_t *value);
int user_store32(uint64_t to, uint32_t value);
/* *seen: what was there; stored if it was `expected`. */
int user_cas32(uint64_t at, uint32_t expected, uint32_t desired, uint32_t *seen);
int user_xchg32(uint64_t at, uint32_t *value);
int user_load64(uint64_t from, uint64_t *value);
int user_store64(uint64_t to, uint64_t value);

#endif
