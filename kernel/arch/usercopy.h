/* SPDX-License-Identifier: MIT */
/*
 * The only instructions of the kernel that touch user memory (usercopy.S). A fault there that is
 * refused goes on at a fix-up: see fixup_fault.
 *
 * => the caller has checked that the range ends at or below USER_END; no spin lock is held and
 *    interrupts are enabled: the fault may sleep
 */
#ifndef KERNEL_USERCOPY_H
#define KERNEL_USERCOPY_H

#include <stddef.h>
#include <stdint.h>

/* Either way. Returns how many bytes were not copied: exact to the byte. */
size_t arch_user_copy(void *to, const void *from, size_t size);
size_t arch_user_clear(void *to, size_t size);

/* 0, or 1 if the fault was refused. The words are aligned. */
int arch_user_load32(const uint32_t *from, uint32_t *value);
int arch_user_load64(const uint64_t *from, uint64_t *value);
int arch_user_store32(uint32_t *to, uint32_t value);
int arch_user_store64(uint64_t *to, uint64_t value);
/* Sequentially consistent, as every locked instruction. *value: in what to store, out what was. */
int arch_user_xchg32(uint32_t *at, uint32_t *value);
int arch_user_cas32(uint32_t *at, uint32_t expected, uint32_t desired, uint32_t *seen);

#endif
