/* SPDX-License-Identifier: MIT */
/* The command line of bench/retry; what is measured, in which order. */
#define _GNU_SOURCE
#include "retry.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plot.h"
#include "progress.h"

#define WARM_UPS 12

static const char usage[] =
	"usage: retry [OPTION...] [OPERATION...]\n"
	"\n"
	"What a retry costs: faults are made to fail at set rates, for each reason and policy.\n"
	"Without OPERATIONs: all.\n"
	"\n"
	"  --list             the operations\n"
	"  --repeat R         windows of which the median is taken (default 21)\n"
	"  --faults N         in each window, at most 4000 (default 4000)\n"
	"  --no-instructions  don't count them (counting needs valgrind)\n"
	"  --quick            2 short windows of each: a smoke test\n"
	"  --json             machine-readable, one object on standard output\n"
	"  --plot DIR         draw each operation as SVG into DIR (needs gnuplot)\n"
	"  --progress         a progress bar though standard error is no terminal\n"
	"  --help\n";

enum { REPEAT = 256, FAULTS, NO_INSTRUCTIONS, QUICK, JSON, PLOT, PROGRESS, COUNTING, LIST, HELP };

static const struct option long_options[] = {
	{ "repeat", required_argument, NULL, REPEAT },
	{ "faults", required_argument, NULL, FAULTS },
	{ "no-instructions", no_argument, NULL, NO_INSTRUCTIONS },
	{ "quick", no_argument, NULL, QUICK },
	{ "json", no_argument, NULL, JSON },
	{ "plot", required_argument, NULL, PLOT },
	{ "progress", no_argument, NULL, PROGRESS },
	{ "counting", no_argument, NULL, COUNTING }, /* by retry_count.c */
	{ "list", no_argument, NULL, LIST },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

/* Of faults; of attempts. */
static const double rates[2][11] = {
	{ 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1 },
	{ 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1 },
};
static const size_t rate_count[2] = { 8, 11 };

size_t retry_line(const struct point *point)
{
	return rate_count[point->attempts];
}

static void add_line(struct points *points, struct point like)
{
	for (size_t i = 0; i < rate_count[like.attempts]; i++) {
		like.rate = rates[like.attempts][i];
		points->at[points->count++] = like;
	}
}

static void add_reason(struct points *points, const struct operation *operation,
		       enum quire_counter reason, bool attempts)
{
	for (unsigned p = 0; p < POLICIES; p++)
		add_line(points, (struct point){ .operation = operation,
						 .reason = reason,
						 .attempts = attempts,
						 .policy = (enum policy)p,
						 .instructions = -1 });
}

static bool selected(const struct operation *operation, char **names)
{
	bool all = !*names;

	for (; *names; names++)
		all |= strcmp(*names, operation->name) == 0;
	return all;
}

static bool known(const char *name)
{
	for (const struct operation *o = operations; o->name; o++)
		if (strcmp(name, o->name) == 0)
			return true;
	fprintf(stderr, "retry: no operation '%s'; --list names them\n", name);
	return false;
}

/* Returns false: no memory. */
static bool plan(struct points *points, char **names)
{
	points->count = 0;
	points->at = malloc(1024 * sizeof *points->at); /* more than there are */
	for (const struct operation *o = operations; points->at && o->name; o++) {
		if (!selected(o, names))
			continue;
		for (const enum quire_counter *r = o->reasons; *r != QUIRE_COUNTER_COUNT; r++)
			add_reason(points, o, *r, false);
		if (o->again)
			add_reason(points, o, o->reasons[0], true);
	}
	return points->at != NULL;
}

static void list(void)
{
	for (const struct operation *o = operations; o->name; o++)
		printf("%s\n", o->name);
}

static bool number(const char *text, unsigned high, unsigned *value)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	*value = (unsigned)n;
	return *end == 0 && n >= 1 && n <= high;
}

/* Returns false if the option's argument won't do. */
static bool set_option(struct retry_options *options, int option, const char *argument)
{
	switch (option) {
	case REPEAT:
		return number(argument, MOST_REPEAT, &options->repeat);
	case FAULTS:
		return number(argument, MOST_FAULTS, &options->faults);
	case NO_INSTRUCTIONS:
		options->instructions = false;
		break;
	case QUICK:
		options->repeat = 2;
		options->faults = QUICK_FAULTS;
		break;
	case JSON:
		options->json = true;
		break;
	case PLOT:
		options->plot = argument;
		break;
	case PROGRESS:
		progress_force();
		break;
	case COUNTING:
		options->counting = true;
		break;
	case LIST:
		list();
		exit(0);
	case HELP:
		fputs(usage, stdout);
		exit(0);
	}
	return true;
}

static void note_command(struct retry_options *options, int argc, char **argv)
{
	char *command = options->command;
	size_t end = 0;

	for (int i = 0; i < argc && end < sizeof options->command; i++)
		end += (size_t)snprintf(command + end, sizeof options->command - end, "%s%s",
					i ? " " : "", argv[i]);
}

static bool parse(struct retry_options *options, int argc, char **argv)
{
	int option, index = 0;

	note_command(options, argc, argv);
	while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (option == '?') {
			fputs("Try `retry --help`.\n", stderr);
			return false;
		}
		if (!set_option(options, option, optarg)) {
			fprintf(stderr, "retry: --%s: '%s' won't do\n", long_options[index].name,
				optarg);
			return false;
		}
	}
	options->names = argv + optind;
	for (char **name = options->names; *name; name++)
		if (!known(*name))
			return false;
	return argc - optind <= MOST_OPERATIONS;
}

/* Windows of another operation leave other frames in the CPU's caches. */
static bool warm_up(struct point point, const struct retry_options *options)
{
	bool good = true;

	point.count = 0;
	for (unsigned i = 0; i < WARM_UPS && !options->counting && good; i++)
		good = retry_window(&point, options->faults);
	return good;
}

/* All points, then all again: what slowly changes on the host touches all alike. */
static bool measure(struct points *points, const struct retry_options *options)
{
	uint64_t done = 0;
	bool good = true;

	progress_start("retries", points->count * options->repeat);
	for (unsigned turn = 0; turn < options->repeat && good; turn++)
		for (size_t i = 0; i < points->count && good; i++) {
			if (i == 0 || points->at[i].operation != points->at[i - 1].operation)
				good = warm_up(points->at[i], options);
			good = good && retry_window(&points->at[i], options->faults);
			progress_update(++done);
		}
	progress_end();
	return good;
}

static int run(struct points *points, const struct retry_options *options)
{
	bool good;

	if (options->plot && !plot_prepare(options->plot))
		return 2;
	if (!retry_start())
		return 1;
	good = measure(points, options);
	retry_stop();
	if (options->counting)
		_exit(!good);
	if (!good || (options->instructions && !retry_count(points, options)))
		return 1;
	if (options->json)
		retry_json(points, options);
	else
		retry_table(points, options);
	return options->plot && !retry_plot(points, options->plot);
}

int main(int argc, char **argv)
{
	struct retry_options options = { .repeat = 21,
					 .faults = MOST_FAULTS,
					 .instructions = true };
	struct points points;
	int status;

	if (!parse(&options, argc, argv))
		return 2;
	if (options.counting) {
		options.repeat = 1;
		options.faults = COUNTED_FAULTS;
	}
	if (!plan(&points, options.names)) {
		fprintf(stderr, "retry: out of memory\n");
		return 1;
	}
	status = run(&points, &options);
	free(points.at);
	return status;
}
