/* SPDX-License-Identifier: MIT */
/* scale.svg: a panel for each loop, operations a second by number of CPUs, both logarithmic. */
#include "scale_report.h"

#include "plot.h"

#include <string.h>

#define COLUMNS 3
#define PANEL_WIDTH 290
#define PANEL_HEIGHT 235
#define MARGIN 75 /* above all panels */

static const char *const colours[SCALE_MODES] = { "#0072b2", "#e69f00", "#a4243b" };

/* CPUs, operations a second, and with CPUs far from each other and near. */
static unsigned print_data(const struct scale_report *r, FILE *script, const char *loop,
			   unsigned mode)
{
	unsigned count = 0;

	fprintf(script, "$m%u << EOD\n", mode);
	for (unsigned i = 0; i < r->count; i++) {
		const struct scale_result *x = &r->results[i];

		if (strcmp(x->loop, loop) != 0 || x->mode != mode || x->middle.rate <= 0)
			continue;
		fprintf(script, "%u %.6g %.6g %.6g\n", x->cpus, x->middle.rate, x->far.rate,
			x->near.rate);
		count++;
	}
	fputs("EOD\n", script);
	return count;
}

/* What the share of one CPU of the first figure of `speculative` would be, times the CPUs. */
static double ideal(const struct scale_report *r, const char *loop)
{
	unsigned idle = loop_min_cpus(loop) - 1;

	for (unsigned i = 0; i < r->count; i++)
		if (strcmp(r->results[i].loop, loop) == 0 && r->results[i].mode == 0)
			return r->results[i].middle.rate / (r->results[i].cpus - idle);
	return 0;
}

static void print_panel(const struct scale_report *r, FILE *script, const char *loop)
{
	bool any = false;

	for (unsigned mode = 0; mode < SCALE_MODES; mode++)
		any = print_data(r, script, loop, mode) > 0 || any;
	fprintf(script, "set title '%s'\n", loop);
	if (!any)
		return;
	fprintf(script, "plot %.6g*(x-%u) with lines lw 1 dt 2 lc rgb '#8a8f98' notitle",
		ideal(r, loop), loop_min_cpus(loop) - 1);
	for (unsigned mode = 0; mode < SCALE_MODES; mode++)
		fprintf(script,
			", $m%u using 1:3:4 with filledcurves lc rgb '%s' fs transparent solid 0.2 "
			"noborder notitle, $m%u using 1:2 with linespoints lw 1.8 pt 7 ps 0.35 lc "
			"rgb '%s' notitle",
			mode, colours[mode], mode, colours[mode]);
	fputs("\n", script);
}

static void print_key(FILE *script, double width, double height)
{
	fprintf(script,
		"set label 9 'model: operations a second by CPUs; the band: how far the "
		"sockets are apart' at screen 0.5,%.4f center font ',13' textcolor rgb "
		"'#24292f'\n",
		1 - 18 / height);
	for (unsigned mode = 0; mode <= SCALE_MODES; mode++)
		fprintf(script, "set label %u '%s' at screen %.4f,%.4f center textcolor rgb '%s'\n",
			mode + 1, mode < SCALE_MODES ? scale_modes[mode] : "linear",
			0.5 + 115 * (mode - SCALE_MODES / 2.0) / width, 1 - 42 / height,
			mode < SCALE_MODES ? colours[mode] : "#8a8f98");
}

bool report_plot(const struct scale_report *r, const char *directory)
{
	const unsigned rows = (scale_loop_count + COLUMNS - 1) / COLUMNS;
	const unsigned width = COLUMNS * PANEL_WIDTH, height = rows * PANEL_HEIGHT + MARGIN;
	struct plot plot;

	if (!plot_open(&plot, directory, "scale", width, height))
		return false;
	fprintf(plot.script,
		"set multiplot layout %u,%d margins %.4f,0.985,%.4f,%.4f spacing 0.06,%.4f\n", rows,
		COLUMNS, 60.0 / width, 35.0 / height, 1 - (MARGIN + 20.0) / height, 60.0 / height);
	fprintf(plot.script, "set logscale xy\nset format y '%%.0s %%c'\nset xrange [%u:%u]\n",
		r->results[0].cpus, r->results[r->count - 1].cpus);
	fputs("set xtics (1,2,4,8,16,32,64,128,256,512,1024)\nset mytics 1\nset samples 300\n",
	      plot.script);
	print_key(plot.script, width, height);
	for (unsigned i = 0; i < scale_loop_count; i++) {
		print_panel(r, plot.script, scale_loops[i]);
		fprintf(plot.script, "do for [i=1:9] { unset label i }\n");
	}
	fputs("unset multiplot\n", plot.script);
	return plot_close(&plot);
}
