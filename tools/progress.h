/* SPDX-License-Identifier: MIT */
/*
 * A progress bar on stderr: one line, drawn at most ten times a second, wiped when the work ends.
 * It is silent where stderr is not a terminal, unless progress_force() was called (--progress).
 *
 * => for one thread at a time; progress_update() is cheap enough for an inner loop
 */
#ifndef QUIRE_TOOLS_PROGRESS_H
#define QUIRE_TOOLS_PROGRESS_H

#include <stdint.h>

void progress_force(void);

/* total 0: it isn't known how much there is; the line shows a count. */
void progress_start(const char *what, uint64_t total);
void progress_update(uint64_t done);
void progress_end(void);

#endif
