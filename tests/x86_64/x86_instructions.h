/* SPDX-License-Identifier: MIT */
/*
 * The instructions of the x86_64 port, played by a thread: in place of the port's file of the same
 * name. An interrupt is taken where the thread looks for one (test_x86_64.c).
 */
#ifndef QUIRE_X86_INSTRUCTIONS_H
#define QUIRE_X86_INSTRUCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

unsigned x86_cpu_index(void);
uint64_t x86_root(void);
void x86_load_root(uint64_t root);
void x86_drop_page(uint64_t address);
uint64_t x86_cr4(void);
uint64_t x86_efer(void);
uint32_t x86_key_register(void);
bool x86_interrupts_enabled(void);
void x86_pause(void);

static inline void x86_clear(void *at, size_t words)
{
	memset(at, 0, words * 8);
}

static inline void x86_copy(void *to, const void *from, size_t words)
{
	memcpy(to, from, words * 8);
}

#endif
