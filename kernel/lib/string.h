/* SPDX-License-Identifier: MIT */
/* As in C. memcpy and memset use rep movsq and stosq: see docs/benchmarks.md. */
#ifndef KERNEL_STRING_H
#define KERNEL_STRING_H

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *at, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *at, int byte, size_t size);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
/* Always ends with NUL if size > 0; returns strlen(from). */
size_t strlcpy(char *to, const char *from, size_t size);
/* What a hexadecimal digit stands for; 16: it is none. */
unsigned digit_value(char c);
/* Digits of `base` (10 or 16, a prefix 0x is skipped) from *s on, which is advanced. */
uint64_t parse_number(const char **s, unsigned base);

#endif
