/* SPDX-License-Identifier: MIT */
/*
 * Serial console (COM1, 115200 8N1; input by IRQ 4), and the report channel (the debug console port
 * 0xe9, where whoever started the machine finds lines such as "ready", "exit 3", and statistics).
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

void console_init(void); /* before anything prints */
/* Whole messages don't interleave. A line feed goes out as CR LF. From anywhere. */
void console_write(const char *bytes, size_t count);
void report_write(const char *bytes, size_t count);
/* What was typed, at most `count`; 0: nothing. console_input (fs/console.c) is called, with
 * interrupts disabled, when there is something new. */
size_t console_read(char *bytes, size_t count);
void console_input(void);
bool console_can_read(void);

/*
 * Ends the machine: `status` goes to the report channel ("exit N") and to isa-debug-exit (port
 * 0xf4).
 */
_Noreturn void machine_exit(int status);

#endif
