/* SPDX-License-Identifier: MIT */
/* The progress bar: see progress.h. */
#define _GNU_SOURCE
#include "progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	BAR_WIDTH = 32,
	INTERVAL_NS = 100000000,
};

static struct {
	const char *what;
	uint64_t total;
	uint64_t drawn_at;
	bool forced;
	bool active;
	bool on_screen;
} bar;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void progress_force(void)
{
	bar.forced = true;
}

void progress_start(const char *what, uint64_t total)
{
	bar.what = what;
	bar.total = total;
	bar.active = bar.forced || isatty(STDERR_FILENO);
	bar.on_screen = false;
	bar.drawn_at = bar.active ? now() : 0;
}

static void draw(uint64_t done)
{
	char line[BAR_WIDTH + 1];
	unsigned filled;

	bar.on_screen = true;
	if (bar.total == 0) {
		fprintf(stderr, "\r%s: %" PRIu64, bar.what, done);
		return;
	}
	if (done > bar.total)
		done = bar.total;
	filled = (unsigned)((double)done / (double)bar.total * BAR_WIDTH);
	memset(line, '.', BAR_WIDTH);
	memset(line, '#', filled);
	line[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %3u%%", bar.what, line,
		(unsigned)((double)done / (double)bar.total * 100));
}

void progress_update(uint64_t done)
{
	uint64_t t;

	if (!bar.active)
		return;
	t = now();
	if (t - bar.drawn_at < INTERVAL_NS)
		return;
	bar.drawn_at = t;
	draw(done);
}

void progress_end(void)
{
	if (bar.active && bar.on_screen)
		fputs("\r\033[K", stderr);
	bar.active = false;
}
