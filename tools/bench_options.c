/* SPDX-License-Identifier: MIT */
/* The command line of quire bench. */
#define _GNU_SOURCE
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

static const char usage[] =
	"usage: quire bench [OPTION...] [LOOP...]\n"
	"\n"
	"Runs the LOOPs (or groups of them; none: all) in all modes: operations a second.\n"
	"\n"
	"  --list                 the loops, and the operations of --instructions\n"
	"  --modes M[,M...]       speculative, vma-lock, classic (default: all)\n"
	"  --cpus N[,N...]        virtual CPUs, each a pinned thread (default: 1, 2, 4 ... all)\n"
	"  --seconds S            of each run (default 1)\n"
	"  --repeat R             runs of which the median is taken (default 5)\n"
	"  --levels 4|5           of page tables (default 4)\n"
	"  --antagonist-size MIB  what antagonists populate (default 1024)\n"
	"  --host                 beside them, the same on the kernel of this machine\n"
	"  --quick                two short runs with little memory: a smoke test\n"
	"  --instructions         instead: instructions an operation (needs valgrind)\n"
	"  --json                 machine-readable, one object on standard output\n"
	"  --plot DIRECTORY       draws each group there, too (SVG; needs gnuplot)\n"
	"  --progress             a progress bar though standard error is no terminal\n"
	"  --help\n";

enum {
	LIST = 256,
	MODES,
	CPUS,
	SECONDS,
	REPEAT,
	LEVELS,
	SIZE,
	HOST,
	QUICK,
	INSTRUCTIONS,
	COUNT_OPERATION,
	JSON,
	PLOT,
	PROGRESS,
	HELP
};

static const struct option long_options[] = {
	{ "list", no_argument, NULL, LIST },
	{ "modes", required_argument, NULL, MODES },
	{ "cpus", required_argument, NULL, CPUS },
	{ "seconds", required_argument, NULL, SECONDS },
	{ "repeat", required_argument, NULL, REPEAT },
	{ "levels", required_argument, NULL, LEVELS },
	{ "antagonist-size", required_argument, NULL, SIZE },
	{ "host", no_argument, NULL, HOST },
	{ "quick", no_argument, NULL, QUICK },
	{ "instructions", no_argument, NULL, INSTRUCTIONS },
	{ "count-operation", required_argument, NULL, COUNT_OPERATION }, /* by bench_instructions.c
									  */
	{ "json", no_argument, NULL, JSON },
	{ "plot", required_argument, NULL, PLOT },
	{ "progress", no_argument, NULL, PROGRESS },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*value = strtoull(text, &end, 10);
	return *end == 0 && *value >= low && *value <= high;
}

static bool parse_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	return end != text && *end == 0 && *seconds >= 0.001 && *seconds <= 3600;
}

/*
 * The parts of a comma-separated list, one after the other. Returns false when there is no further
 * one; an empty part and one that is longer than any that makes sense come out as such.
 */
static bool next_part(const char **list, char part[32])
{
	size_t length;

	if (!*list)
		return false;
	length = strcspn(*list, ",");
	snprintf(part, 32, "%.*s", (int)length, *list);
	*list = (*list)[length] ? *list + length + 1 : NULL;
	return true;
}

static bool parse_modes(const char *list, struct bench_options *options)
{
	char name[32];

	options->mode_count = 0;
	while (next_part(&list, name)) {
		unsigned mode = 0;

		while (mode < BENCH_QUIRE_MODES && strcmp(name, bench_mode_name(mode)) != 0)
			mode++;
		if (mode == BENCH_QUIRE_MODES || options->mode_count == BENCH_QUIRE_MODES)
			return false;
		options->modes[options->mode_count++] = mode;
	}
	return true;
}

static bool parse_cpus(const char *list, struct bench_options *options)
{
	uint64_t cpus;
	char part[32];

	options->cpus_count = 0;
	while (next_part(&list, part)) {
		if (!parse_number(part, 1, BENCH_MAX_CPUS, &cpus) ||
		    options->cpus_count == BENCH_MAX_CPUS)
			return false;
		options->cpus[options->cpus_count++] = (unsigned)cpus;
	}
	return true;
}

static void default_options(struct bench_options *options)
{
	unsigned host = bench_host_cpus();

	*options = (struct bench_options){
		.modes = { QUIRE_SPECULATIVE, QUIRE_VMA_LOCK, QUIRE_CLASSIC },
		.mode_count = BENCH_QUIRE_MODES,
		.levels = 4,
		.repeat = 5,
		.seconds = 1,
		.area_bytes = 4 * LEAF_BYTES,
		.region_bytes = 128 * MIB,
		.section_bytes = 64 * MIB,
		.antagonist_bytes = GIB,
	};
	if (host > BENCH_MAX_CPUS)
		host = BENCH_MAX_CPUS;
	for (unsigned cpus = 1; cpus < host; cpus *= 2)
		options->cpus[options->cpus_count++] = cpus;
	options->cpus[options->cpus_count++] = host;
}

/* Other defaults: what else was said on the command line, wherever, still counts. */
static void quick_options(struct bench_options *options)
{
	options->quick = true;
	options->repeat = 2;
	options->seconds = 0.05;
	options->area_bytes = LEAF_BYTES;
	options->region_bytes = 16 * MIB;
	options->section_bytes = 8 * MIB;
	options->antagonist_bytes = 64 * MIB;
}

static bool set_number(const char *text, uint64_t low, uint64_t high, unsigned *value)
{
	uint64_t number;

	if (!parse_number(text, low, high, &number))
		return false;
	*value = (unsigned)number;
	return true;
}

/* An option without an argument. */
static void set_flag(struct bench_options *options, int option)
{
	switch (option) {
	case LIST:
		options->action = BENCH_LIST;
		break;
	case HELP:
		options->action = BENCH_HELP;
		break;
	case INSTRUCTIONS:
		options->action = BENCH_INSTRUCTIONS;
		break;
	case HOST:
		options->host = true;
		break;
	case JSON:
		options->json = true;
		break;
	case PROGRESS:
		progress_force();
		break;
	}
}

/* Returns false if the option's argument won't do. */
static bool set_option(struct bench_options *options, int option, const char *argument)
{
	uint64_t number;

	switch (option) {
	case MODES:
		return parse_modes(argument, options);
	case CPUS:
		return parse_cpus(argument, options);
	case SECONDS:
		return parse_seconds(argument, &options->seconds);
	case REPEAT:
		return set_number(argument, 1, BENCH_MAX_REPEAT, &options->repeat);
	case LEVELS:
		return set_number(argument, 4, 5, &options->levels);
	case SIZE:
		if (!parse_number(argument, 1, MIB, &number))
			return false;
		options->antagonist_bytes = number * MIB;
		return true;
	case PLOT:
		options->plots = argument;
		return true;
	case COUNT_OPERATION:
		options->action = BENCH_COUNT;
		options->operation = argument;
		return true;
	default:
		set_flag(options, option);
		return true;
	}
}

void bench_options_help(void)
{
	fputs(usage, stdout);
}

static void note_command(struct bench_options *options, int argc, char **argv)
{
	size_t end = (size_t)snprintf(options->command, sizeof options->command, "quire bench");

	for (int i = 1; i < argc && end < sizeof options->command; i++)
		end += (size_t)snprintf(options->command + end, sizeof options->command - end,
					" %s", argv[i]);
}

/* What no single option can say. Returns false, having said it. */
static bool check_options(struct bench_options *options)
{
	if (options->action != BENCH_INSTRUCTIONS || (!options->host && !options->plots)) {
		if (options->host)
			options->modes[options->mode_count++] = BENCH_HOST;
		return true;
	}
	fprintf(stderr, "quire bench: --instructions goes with neither --host nor --plot\n");
	return false;
}

bool bench_options_parse(struct bench_options *options, int argc, char **argv)
{
	int option, index = 0;

	default_options(options);
	note_command(options, argc, argv);
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--quick") == 0)
			quick_options(options);
	optind = 1;
	while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (option == '?') {
			fputs("Try `quire bench --help`.\n", stderr);
			return false;
		}
		if (!set_option(options, option, optarg)) {
			fprintf(stderr, "quire bench: --%s: '%s' won't do\n",
				long_options[index].name, optarg);
			return false;
		}
	}
	options->first = optind;
	return check_options(options);
}
