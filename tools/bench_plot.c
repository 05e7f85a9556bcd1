/* SPDX-License-Identifier: MIT */
/*
 * The plots of a group:
 *
 *     GROUP.svg                  a panel for each loop: operations a second by mode and number of
 *                                CPUs; bars, or lines where there are three numbers or more
 *     antagonists-kept-N.svg     on N CPUs, what each antagonist leaves of the throughput: bars,
 *                                and across them what its twin in a space of its own leaves
 *     antagonists-latency-N.svg  a panel for each antagonist: the share of faults that take longer
 *
 * A mark on each median shows the least and the greatest run.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "plot.h"

#define COLUMNS 4u
#define PANEL_WIDTH 215u
#define PANEL_HEIGHT 195u
#define LEAST_WIDTH 480u
#define MARGIN 75u /* above all panels */
#define BARS_WIDTH 860u
#define BARS_HEIGHT 360u
#define MAX_LOOPS 64u
#define BAR_SHARE 0.8 /* of the place of a group of bars; the rest is a gap */
#define LINES_FROM 3  /* numbers of CPUs: with fewer there is no line to draw */

static const char *const colours[BENCH_MODES] = { "#0072b2", "#e69f00", "#a4243b", "#8a8f98" };
#define MARK "$m%u using 1:3:(0):($4-$3) with vectors nohead lw 1.2 lc rgb '#24292f' notitle"

/* What a plot shows: series of one group. */
struct view {
	const struct bench_options *options;
	const struct series *series;
	size_t count;
	const struct loop *loops[MAX_LOOPS]; /* that are there, in order, without twins */
	size_t loop_count;
	unsigned cpus[BENCH_MAX_CPUS]; /* and the numbers of CPUs */
	unsigned cpus_count;
	unsigned at; /* of a plot for one number of CPUs: that */
	bool twins;  /* there are some */
};

static void learn(struct view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		const struct series *s = &view->series[i];
		size_t j = 0;
		unsigned c = 0;

		view->twins |= s->loop->apart;
		while (j < view->loop_count && view->loops[j] != s->loop)
			j++;
		if (j == view->loop_count && j < MAX_LOOPS && !s->loop->apart)
			view->loops[view->loop_count++] = s->loop;
		while (c < view->cpus_count && view->cpus[c] != s->cpus)
			c++;
		if (c == view->cpus_count)
			view->cpus[view->cpus_count++] = s->cpus;
	}
}

static const char *short_name(const struct loop *loop)
{
	return loop->name + (bench_is_antagonist(loop) ? strlen("antagonist-") : 0);
}

/* Where the bar of the m-th mode stands in the group of bars at `place`. */
static double bar_place(const struct view *view, size_t place, unsigned m)
{
	unsigned modes = view->options->mode_count;

	return (double)place + (m - (modes - 1) / 2.0) * BAR_SHARE / modes;
}

/* A line of data: x, median, least, greatest, the width of a bar. */
static void print_rate(const struct view *view, FILE *script, double x, const struct series *s,
		       double unit)
{
	struct spread rate = bench_spread(s->rates, s->count);

	fprintf(script, "%.4f %.6g %.6g %.6g %.4f\n", x, rate.median / unit, rate.min / unit,
		rate.max / unit, 0.92 * BAR_SHARE / view->options->mode_count);
}

/* Panels: one for each loop, COLUMNS side by side, under one title and one key. */

struct panels {
	const char *what, *title, *x, *y; /* the file's name, the titles */
	const char *setup;		  /* gnuplot's, for all panels */
	const char *style;		  /* of a mode's data */
	bool bars;			  /* with a mark on each */
	void (*data)(const struct view *view, FILE *script, const struct loop *loop, unsigned m);
};

/* GROUP[WHAT][-N].svg */
static bool open_plot(const struct view *view, struct plot *plot, const char *what, unsigned width,
		      unsigned height)
{
	char name[64], at[16] = "";

	if (view->at)
		snprintf(at, sizeof at, "-%u", view->at);
	snprintf(name, sizeof name, "%s%s%s", view->loops[0]->group, what, at);
	return plot_open(plot, view->options->plots, name, width, height);
}

/* The modes in their colours, once for all panels. */
static void print_key(const struct view *view, FILE *script, double width, double height)
{
	const struct bench_options *o = view->options;

	for (unsigned m = 0; m < o->mode_count; m++)
		fprintf(script, "set label %u '%s' at screen %.4f,%.4f center textcolor rgb '%s'\n",
			m + 1, bench_mode_name(o->modes[m]),
			0.5 + 105 * (m - (o->mode_count - 1) / 2.0) / width, 1 - 36 / height,
			colours[o->modes[m]]);
}

static bool open_panels(const struct view *view, struct plot *plot, const struct panels *panels)
{
	unsigned columns = view->loop_count < COLUMNS ? (unsigned)view->loop_count : COLUMNS;
	unsigned rows = (unsigned)(view->loop_count + COLUMNS - 1) / COLUMNS;
	double height = MARGIN + rows * PANEL_HEIGHT;
	double width = columns * PANEL_WIDTH < LEAST_WIDTH ? LEAST_WIDTH : columns * PANEL_WIDTH;
	char at[32] = "";

	if (view->at)
		snprintf(at, sizeof at, ", %u CPUs", view->at);
	if (!open_plot(view, plot, panels->what, (unsigned)width, (unsigned)height))
		return false;
	fprintf(plot->script,
		"set multiplot layout %u,%u title '%s%s: %s' font ',14' "
		"margins %.4f,%.4f,%.4f,%.4f spacing %.4f,%.4f\nset tics font ',10'\n%s\n",
		rows, columns, view->loops[0]->group, at, panels->title, 80 / width, 1 - 14 / width,
		52 / height, 1 - MARGIN / height, 58 / width, 58 / height, panels->setup);
	print_key(view, plot->script, width, height);
	return true;
}

static void draw_panel(const struct view *view, FILE *script, size_t i, const struct panels *panels)
{
	const struct bench_options *o = view->options;
	const char *separator = "plot";

	for (unsigned m = 0; m < o->mode_count; m++) {
		fprintf(script, "$m%u << EOD\n", m);
		panels->data(view, script, view->loops[i], m);
		fprintf(script, "EOD\n");
	}
	fprintf(script,
		"set title '%s' font ',12' offset 0,-0.6\n"
		"set xlabel '%s' offset 0,0.5\nset ylabel '%s'\n",
		short_name(view->loops[i]), i + COLUMNS < view->loop_count ? "" : panels->x,
		i % COLUMNS ? "" : panels->y);
	for (unsigned m = 0; m < o->mode_count; m++, separator = ",") {
		fprintf(script, "%s $m%u using %s lc rgb '%s' notitle", separator, m, panels->style,
			colours[o->modes[m]]);
		if (panels->bars)
			fprintf(script, ", " MARK, m);
	}
	fprintf(script, "\nunset label\n");
}

static bool draw_panels(const struct view *view, const struct panels *panels)
{
	struct plot plot;

	if (!open_panels(view, &plot, panels))
		return false;
	if (panels->bars) {
		fprintf(plot.script, "set xrange [-0.6:%g]\nset xtics scale 0 (",
			view->cpus_count - 0.4);
		for (unsigned c = 0; c < view->cpus_count; c++)
			fprintf(plot.script, "%s'%u' %u", c ? ", " : "", view->cpus[c], c);
		fprintf(plot.script, ")\n");
	}
	for (size_t i = 0; i < view->loop_count; i++)
		draw_panel(view, plot.script, i, panels);
	return plot_close(&plot);
}

/* Throughput */

static void bar_data(const struct view *view, FILE *script, const struct loop *loop, unsigned m)
{
	for (unsigned c = 0; c < view->cpus_count; c++) {
		const struct series *s = bench_find(view->series, view->count, loop,
						    view->options->modes[m], view->cpus[c]);

		if (s)
			print_rate(view, script, bar_place(view, c, m), s, 1e6);
	}
}

static void line_data(const struct view *view, FILE *script, const struct loop *loop, unsigned m)
{
	for (unsigned c = 0; c < view->cpus_count; c++) {
		const struct series *s = bench_find(view->series, view->count, loop,
						    view->options->modes[m], view->cpus[c]);

		if (s)
			print_rate(view, script, view->cpus[c], s, 1e6);
	}
}

static const struct panels bars = {
	.what = "",
	.title = "throughput",
	.x = "CPUs",
	.y = "millions a second",
	.setup = "set yrange [0:*]\nset style fill solid noborder",
	.style = "1:2:5 with boxes",
	.bars = true,
	.data = bar_data,
};

static const struct panels lines = {
	.what = "",
	.title = "throughput",
	.x = "CPUs",
	.y = "millions a second",
	.setup = "set logscale x 2\nset yrange [0:*]\nset bars 0\nset grid xtics ls 100",
	.style = "1:2:3:4 with yerrorlines pt 7 ps 0.4 lw 1.4",
	.data = line_data,
};

/* Latency: for each bucket that is not empty, microseconds and the share of faults above it. */

static void latency_data(const struct view *view, FILE *script, const struct loop *loop, unsigned m)
{
	const struct series *s = bench_find(view->series, view->count, loop,
					    view->options->modes[m], view->at);
	uint64_t left = s ? s->latency.count : 0;

	for (size_t i = 0; left > 0 && i < HISTOGRAM_BUCKETS; i++) {
		uint64_t end = histogram_bucket_end(i);

		if (s->latency.buckets[i] == 0)
			continue;
		left -= s->latency.buckets[i];
		fprintf(script, "%.4f %.4g\n",
			(double)(end < s->latency.max ? end : s->latency.max) / 1e3,
			(double)left / (double)s->latency.count);
	}
}

static const struct panels latency = {
	.what = "-latency",
	.title = "how many faults take longer",
	.x = "microseconds",
	.y = "quantile",
	.setup = "set logscale xy\nset xrange [0.02:5e4]\nset yrange [5e-7:1]\n"
		 "set grid xtics ls 100\nunset mxtics\nunset mytics\n"
		 "set xtics ('0.1' 0.1, '' 1, '10' 10, '' 100, '1,000' 1e3, '' 1e4)\n"
		 "set ytics ('p50' 0.5, 'p90' 0.1, 'p99' 0.01, 'p99.9' 1e-3, 'p99.99' 1e-4, "
		 "'p99.999' 1e-5, '' 1e-6)",
	.style = "1:2 with lines lw 1.6",
	.data = latency_data,
};

/* What antagonists leave */

/* The bars of a mode, and across each of them what the twin leaves: left end, height, width. */
static void print_kept(const struct view *view, FILE *script, unsigned m)
{
	unsigned mode = view->options->modes[m];
	const struct series *all = view->series;
	const struct series *control = bench_find(all, view->count, &bench_antagonists[0], mode,
						  view->at);
	double whole = control ? bench_spread(control->rates, control->count).median : 0;
	double unit = whole > 0 ? whole / 100 : HUGE_VAL;
	double width = BAR_SHARE / view->options->mode_count;

	fprintf(script, "$m%u << EOD\n", m);
	for (size_t i = 0; i < view->loop_count; i++) {
		const struct series *s = bench_find(all, view->count, view->loops[i], mode,
						    view->at);

		if (s)
			print_rate(view, script, bar_place(view, i, m), s, unit);
	}
	fprintf(script, "EOD\n$t%u << EOD\n", m);
	for (size_t i = 0; i < view->loop_count; i++) {
		const struct series *s = bench_find(all, view->count, view->loops[i], mode,
						    view->at);
		const struct series *twin = s ? bench_twin(all, view->count, s) : NULL;

		if (twin)
			fprintf(script, "%.4f %.6g %.4f\n", bar_place(view, i, m) - width / 2,
				bench_spread(twin->rates, twin->count).median / unit, width);
	}
	fprintf(script, "EOD\n");
}

static void set_up_kept(const struct view *view, FILE *script)
{
	fprintf(script, "set title 'Faults kept beside a thread that ..., %u CPUs' font ',14'\n",
		view->at);
	fprintf(script, "set ylabel '%% of those beside a thread that spins'\nset yrange [0:*]\n");
	fprintf(script, "set xrange [-0.6:%g]\nset xtics scale 0 rotate by -20 (",
		(double)view->loop_count - 0.4);
	for (size_t i = 0; i < view->loop_count; i++)
		fprintf(script, "%s'%s' %zu", i ? ", " : "", short_name(view->loops[i]), i);
	fprintf(script, ")\nset key outside top right horizontal\nset style fill solid noborder\n");
}

static bool draw_kept(const struct view *view)
{
	const struct bench_options *o = view->options;
	struct plot plot;
	FILE *script;

	if (!open_plot(view, &plot, "-kept", BARS_WIDTH, BARS_HEIGHT))
		return false;
	script = plot.script;
	set_up_kept(view, script);
	for (unsigned m = 0; m < o->mode_count; m++)
		print_kept(view, script, m);
	for (unsigned m = 0; m < o->mode_count; m++)
		fprintf(script, "%s $m%u using 1:2:5 with boxes lc rgb '%s' title '%s', " MARK,
			m ? "," : "plot", m, colours[o->modes[m]], bench_mode_name(o->modes[m]), m);
	for (unsigned m = 0; view->twins && m < o->mode_count; m++)
		fprintf(script,
			", $t%u using 1:2:3:(0) with vectors nohead lw 2 lc rgb '#24292f' %s", m,
			m ? "notitle" : "title 'apart'");
	fprintf(script, "\n");
	return plot_close(&plot);
}

bool bench_plot_start(const struct bench_options *options)
{
	return plot_prepare(options->plots);
}

bool bench_plot(const struct bench_options *options, const struct series *series, size_t count)
{
	struct view view = { .options = options, .series = series, .count = count };
	bool good;

	learn(&view);
	/* Nothing but twins: what they belong to has failed, which was said. */
	if (view.loop_count == 0)
		return false;
	good = draw_panels(&view, view.cpus_count < LINES_FROM ? &bars : &lines);
	if (!bench_is_antagonist(view.loops[0]))
		return good;
	for (unsigned c = 0; c < view.cpus_count; c++) {
		view.at = view.cpus[c];
		good = draw_kept(&view) && draw_panels(&view, &latency) && good;
	}
	return good;
}
