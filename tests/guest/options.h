/* SPDX-License-Identifier: MIT */
/* Options of the long-running programs, "--name N", and random numbers that a seed repeats. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct option {
	const char *name;
	unsigned long *value;
};

/* Ends the program if there is anything else than options. */
static inline void options_read(int argc, char **argv, const struct option *options, size_t count)
{
	for (int i = 1; i < argc; i += 2) {
		size_t o = 0;
		char *end = NULL;

		while (o < count && strcmp(argv[i], options[o].name) != 0)
			o++;
		if (o < count && i + 1 < argc)
			*options[o].value = strtoul(argv[i + 1], &end, 10);
		if (!end || *end || end == argv[i + 1]) {
			fprintf(stderr, "%s: what is '%s'?\n", argv[0], argv[i]);
			exit(2);
		}
	}
}

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return random_next(state) % bound;
}

static inline uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
