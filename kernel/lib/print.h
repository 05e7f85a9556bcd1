/* SPDX-License-Identifier: MIT */
/*
 * Text: %d %i %u %x %X %c %s %p %% with flags - and 0, width, precision (of %s), .* and *, and the
 * lengths l, ll, z, h, hh.
 */
#ifndef KERNEL_PRINT_H
#define KERNEL_PRINT_H

#include <stdarg.h>
#include <stddef.h>

#define FORMAT(string, first) __attribute__((format(printf, string, first)))

/* As snprintf(3). */
int format(char *text, size_t size, const char *string, ...) FORMAT(3, 4);
int vformat(char *text, size_t size, const char *string, va_list arguments) FORMAT(3, 0);
/* To the console, a whole message at a time, at most 1 KiB. From anywhere, handlers included. */
void print(const char *string, ...) FORMAT(1, 2);
/* To the report channel, which whoever started the machine reads (kernel/arch/console.h). */
void report(const char *string, ...) FORMAT(1, 2);

/* Text that grows: what files in /proc are made of. */
struct text {
	char *bytes; /* heap; NULL if empty */
	size_t length, room;
	int error; /* -ENOMEM once it could not grow; then nothing is added */
};
void text_add(struct text *text, const char *string, ...) FORMAT(2, 3);
void text_free(struct text *text);

#endif
