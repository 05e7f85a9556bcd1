/* SPDX-License-Identifier: MIT */
#include "lib/string.h"

/* memcpy, memmove, memset and memcmp are also what the compiler itself calls. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *at = to;
	size_t words = size / 8;

	__asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words)::"memory");
	size &= 7;
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size)::"memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *last = (uint8_t *)to + size - 1;
	const uint8_t *last_from = (const uint8_t *)from + size - 1;

	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(to, from, size);
	/* The end first: the last odd bytes, then words. */
	for (; size % 8 != 0; size--)
		*last-- = *last_from--;
	last -= 7;
	last_from -= 7;
	size /= 8;
	__asm__ volatile("std; rep movsq; cld" : "+D"(last), "+S"(last_from), "+c"(size)::"memory");
	return to;
}

void *memset(void *at, int byte, size_t size)
{
	void *to = at;
	uint64_t pattern = (uint8_t)byte * 0x0101010101010101ull;
	size_t words = size / 8;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	size &= 7;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(pattern) : "memory");
	return at;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

void *memchr(const void *at, int byte, size_t size)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < size; i++)
		if (p[i] == (uint8_t)byte)
			return (void *)(uintptr_t)(p + i);
	return NULL;
}

size_t strlen(const char *s)
{
	return strnlen(s, SIZE_MAX);
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n] != '\0')
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t max)
{
	for (size_t i = 0; i < max; i++)
		if (a[i] != b[i] || a[i] == '\0')
			return (uint8_t)a[i] - (uint8_t)b[i];
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (*s == '\0')
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	char *found = NULL;

	for (;; s++) {
		if (*s == (char)c)
			found = (char *)(uintptr_t)s;
		if (*s == '\0')
			return found;
	}
}

size_t strlcpy(char *to, const char *from, size_t size)
{
	size_t length = strlen(from);
	size_t n = length < size ? length : size - 1;

	if (size == 0)
		return length;
	memcpy(to, from, n);
	to[n] = '\0';
	return length;
}

unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

uint64_t parse_number(const char **s, unsigned base)
{
	uint64_t value = 0;

	if (base == 16 && (*s)[0] == '0' && ((*s)[1] | 0x20) == 'x')
		*s += 2;
	for (; digit_value(**s) < base; (*s)++)
		value = value * base + digit_value(**s);
	return value;
}
