/* SPDX-License-Identifier: MIT */
/*
 * The end: stops all CPUs, prints the message, registers, the back-trace with names and the
 * counters of Quire, and ends the machine with status 255.
 */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include "arch/registers.h"
#include "lib/print.h"

_Noreturn void panic(const char *string, ...) FORMAT(1, 2);
_Noreturn void panic_at(const struct registers *regs, const char *string, ...) FORMAT(2, 3);

/* What must hold in every build. */
#define require(x)                                                                                 \
	do {                                                                                       \
		if (__builtin_expect(!(x), 0))                                                     \
			panic("%s:%d: %s", __FILE__, __LINE__, #x);                                \
	} while (0)

/* The function that holds an address of the image, and how far in; "?" if none. */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif
