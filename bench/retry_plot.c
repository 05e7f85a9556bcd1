/* SPDX-License-Identifier: MIT */
/*
 * The plots of bench/retry: of each operation the first reason, and what attempts that fail again
 * and again cost.
 */
#include "retry.h"

#include "plot.h"

#define WIDTH 860
#define HEIGHT 380

static const char layout[] =
	"set yrange [0:*]\n"
	"set key at screen 0.5,0.1 center center maxrows 2 Left reverse samplen 2\n"
	"set multiplot layout 1,2 margins 0.07,0.98,0.32,0.88 spacing 0.09,0\n";

static const char *const colours[POLICIES] = { "#e69f00", "#0072b2", "#009e73", "#a4243b" };
static const char *const labels[POLICIES] = {
	"begin anew, prepare anew",
	"begin anew, keep what is prepared (Quire)",
	"classic path, keep what is prepared",
	"classic path, prepare anew",
};

static void write_data(FILE *script, const struct point *first)
{
	fprintf(script, "$data << END\n");
	for (size_t i = 0; i < POLICIES * retry_line(first); i++) {
		const struct point *p = &first[i];

		fprintf(script, "%g %.1f %.1f\n", p->rate * 100, retry_nanoseconds(p),
			p->instructions);
		if ((i + 1) % retry_line(first) == 0)
			fprintf(script, "\n\n");
	}
	fprintf(script, "END\n");
}

static void write_panel(FILE *script, const struct point *first, int column, const char *unit)
{
	fprintf(script, "set title '%s, %s: %s a fault'\n", first->operation->name,
		quire_counter_name(first->reason), unit);
	fprintf(script, "set xlabel '%% of %s that find a change'\n",
		first->attempts ? "the attempts" : "the faults");
	for (unsigned p = 0; p < POLICIES; p++)
		fprintf(script,
			"%s $data index %u using 1:%d with linespoints pt 7 ps 0.4 lw 2 "
			"lc rgb '%s' title '%s'",
			p ? "," : "plot", p, column, colours[p], labels[p]);
	fprintf(script, "\n");
}

static void write_script(FILE *script, const struct point *first)
{
	fputs(layout, script);
	write_data(script, first);
	write_panel(script, first, 2, "nanoseconds");
	fprintf(script, "unset key\n");
	if (first->instructions >= 0)
		write_panel(script, first, 3, "instructions");
	fprintf(script, "unset multiplot\n");
}

static bool draw(const struct point *first, const char *directory)
{
	struct plot plot;
	char name[64];

	snprintf(name, sizeof name, "retry-%s%s", first->operation->name,
		 first->attempts ? "-again" : "");
	if (!plot_open(&plot, directory, name, WIDTH, HEIGHT))
		return false;
	write_script(plot.script, first);
	return plot_close(&plot);
}

bool retry_plot(const struct points *points, const char *directory)
{
	for (size_t i = 0; i < points->count; i += POLICIES * retry_line(&points->at[i])) {
		const struct point *first = &points->at[i];

		if (first->reason == first->operation->reasons[0] && !draw(first, directory))
			return false;
	}
	return true;
}
