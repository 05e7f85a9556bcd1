/* SPDX-License-Identifier: MIT */
/*
 * What each mode does on machines with more CPUs than are at hand: a simulation of what
 * docs/scaling.md counts, with costs that are measured here. See scale.h, and docs/scaling.md on
 * what is simulated and what is not.
 */
#include "scale_options.h"
#include "scale_report.h"

#include "plot.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_WINDOW 4e6 /* nanoseconds */
#define STEADY 0.1
#define DOUBLINGS 4

static struct scale_result *results, *validation;
static unsigned result_count, validation_count;

/* Most of a turn of the program; CPUs begin at different places of it. */
static double first_window(const struct system *system, unsigned cpus)
{
	double window = 0.75 * actor_cycle(&system->worker);
	double others = system->other_spins ? 0 : 0.75 * actor_cycle(&system->other);

	/* Where calls exclude each other, all queue up for one that is long. */
	if (system->space_lock >= 0)
		window += cpus * actor_longest(&system->worker);
	if (window < others)
		window = others;
	return window < LEAST_WINDOW ? LEAST_WINDOW : window;
}

static bool run(const struct system *system, const struct machine *machine, double window,
		struct outcome *outcome)
{
	if (simulate(system, machine, window, outcome))
		return true;
	fprintf(stderr, "scale_model: out of memory\n");
	return false;
}

static bool is_near(double a, double b)
{
	return a > b ? a - b <= STEADY * a : b - a <= STEADY * b;
}

/* Queues take their time to build up: longer and longer, until twice as long makes no difference.
 */
static bool run_until_steady(const struct system *system, const struct machine *machine,
			     double *window, struct outcome *outcome)
{
	struct outcome twice;

	*window = first_window(system, machine->cpus);
	if (!run(system, machine, *window, outcome))
		return false;
	for (unsigned i = 0; i < DOUBLINGS; i++) {
		if (!run(system, machine, 2 * *window, &twice))
			return false;
		if (is_near(twice.rate, outcome->rate) &&
		    is_near(twice.other_rate, outcome->other_rate))
			break;
		*window *= 2;
		*outcome = twice;
	}
	return true;
}

static bool run_all(const struct options *o, const struct json *footprints, struct scale_result *x)
{
	const struct parameters *p = &o->parameters;
	const struct machine middle = { x->cpus, p->socket, p->transfer, p->transfer * p->remote };
	const struct machine near = { x->cpus, p->socket, p->transfer_low,
				      p->transfer_low * p->remote_low };
	const struct machine far = { x->cpus, p->socket, p->transfer_high,
				     p->transfer_high * p->remote_high };
	struct system system;
	double window;
	bool done;

	if (!system_build(&system, footprints, x->loop, x->mode, p, x->cpus))
		return false;
	done = run_until_steady(&system, &middle, &window, &x->middle) &&
	       run(&system, &near, window, &x->near) && run(&system, &far, window, &x->far);
	system_free(&system);
	return done;
}

static struct scale_result *add(struct scale_result **list, unsigned *count)
{
	struct scale_result *longer = realloc(*list, (*count + 1) * sizeof(*longer));

	if (!longer)
		abort();
	*list = longer;
	longer[*count] = (struct scale_result){ 0 };
	return &longer[(*count)++];
}

static bool simulate_all(const struct options *o, const struct json *footprints)
{
	for (unsigned c = 0; c < o->cpus_count; c++) {
		for (unsigned l = 0; l < scale_loop_count; l++) {
			if (!o->loops[l] || o->cpus[c] < loop_min_cpus(scale_loops[l]))
				continue;
			for (unsigned mode = 0; mode < SCALE_MODES; mode++) {
				struct scale_result *x = add(&results, &result_count);

				x->loop = scale_loops[l];
				x->mode = mode;
				x->cpus = o->cpus[c];
				if (!run_all(o, footprints, x))
					return false;
			}
		}
	}
	return true;
}

static int index_of(const char *name, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

/* What `quire bench --json` has measured of these loops. */
static bool validate(const struct options *o, const struct json *footprints,
		     const struct json *measured)
{
	const struct json *list = json_get(measured, "results");

	for (const struct json *j = list ? list->first : NULL; j; j = j->next) {
		int loop = index_of(json_string(j, "loop"), scale_loops, scale_loop_count);
		int mode = index_of(json_string(j, "mode"), scale_modes, SCALE_MODES);
		double cpus = json_number(j, "cpus"), rate;
		struct scale_result *v;

		rate = json_number(json_get(j, "rate"), "median");
		if (loop < 0 || mode < 0 || rate <= 0 || cpus > SCALE_MAX_CPUS || !o->loops[loop] ||
		    cpus < loop_min_cpus(scale_loops[loop]))
			continue;
		v = add(&validation, &validation_count);
		v->loop = scale_loops[loop];
		v->mode = (unsigned)mode;
		v->cpus = (unsigned)cpus;
		v->measured = rate;
		v->greatest = json_number(json_get(j, "rate"), "max");
		if (!run_all(o, footprints, v))
			return false;
	}
	return true;
}

static int report(const struct options *o, int argc, char **argv)
{
	struct scale_report r = {
		.parameters = &o->parameters,
		.taken_from = o->taken_from,
		.footprints = o->footprints_path,
		.results = results,
		.count = result_count,
		.validation = validation,
		.validation_count = validation_count,
		.argc = argc,
		.argv = argv,
	};

	if (o->plots && result_count && !report_plot(&r, o->plots))
		return 1;
	if (o->json)
		report_json(&r);
	else
		report_table(&r);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o;
	int status = options_parse(&o, argc, argv);

	if (status >= 0)
		return status;
	status = 1;
	if (o.plots && !plot_prepare(o.plots))
		status = 2;
	else if (!o.taken_from && !measure(&o.parameters))
		status = 1;
	else if (o.measure_only || simulate_all(&o, o.footprints))
		status = 0;
	for (unsigned i = 0; i < o.measured_count && status == 0 && !o.measure_only; i++)
		status = validate(&o, o.footprints, o.measured[i]) ? 0 : 1;
	if (status == 0)
		status = report(&o, argc, argv);
	options_free(&o);
	free(results);
	free(validation);
	return status;
}
