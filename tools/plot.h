/* SPDX-License-Identifier: MIT */
/*
 * Plots, drawn by gnuplot as SVG on a white ground, so that they can be read on a dark page, too.
 * The same data give the same bytes.
 *
 *     plot_open ──► fprintf(plot.script, ...) ──► plot_close ──► DIRECTORY/NAME.svg
 *
 * The file appears whole or not at all.
 */
#ifndef QUIRE_TOOLS_PLOT_H
#define QUIRE_TOOLS_PLOT_H

#include <stdbool.h>
#include <stdio.h>

#define PLOT_PATH 4096

struct plot {
	FILE *script; /* gnuplot's, of which the terminal and the style are there */
	char path[PLOT_PATH];
};

/* Make the directory if there is none, and look for gnuplot. Returns false and says why on stderr.
 */
bool plot_prepare(const char *directory);

/* Begin a plot of so many pixels. Returns false and says why on stderr. */
bool plot_open(struct plot *plot, const char *directory, const char *name, unsigned width,
	       unsigned height);
/* Draw it. => plot_open was good, whatever else failed. Returns false and says why on stderr. */
bool plot_close(struct plot *plot);

#endif
