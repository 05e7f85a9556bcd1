/* SPDX-License-Identifier: MIT */
/* quire replay: plays a recorded trace on Quire, and compares. See replay.h. */
#include "replay.h"

#include "commands.h"
#include "progress.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
	"usage: quire replay [options] FILE\n"
	"  --mode MODE       speculative (default), vma-lock or classic\n"
	"  --cpus N          virtual CPUs, 1 to 255; default: the recorded tasks, at most twice\n"
	"                    the host's CPUs\n"
	"  --levels 4|5      of page tables; default 4\n"
	"  --memory MIB      of guest memory; default: what the recording needs\n"
	"  --speed as-fast-as-possible\n"
	"                    the only one: recorded times order the events, they don't delay them\n"
	"  --no-check        play only, compare nothing\n"
	"  --strict          fail if a file that was mapped is not there any more as it was\n"
	"  --json            the report as one JSON object\n"
	"  --progress        show progress even if stderr is no terminal\n"
	"exit status: 0 no disagreement with the recording; 1 disagreements; 2 bad file or usage\n";

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "quire replay: %s%s%s\n%s", what, value ? ": " : "", value ? value : "",
		usage_text);
	return 2;
}

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *value >= least && *value <= most;
}

static bool mode_of(const char *name, enum quire_mode *mode)
{
	static const struct {
		const char *name;
		enum quire_mode mode;
	} modes[] = {
		{ "speculative", QUIRE_SPECULATIVE },
		{ "vma-lock", QUIRE_VMA_LOCK },
		{ "classic", QUIRE_CLASSIC },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(name, modes[i].name)) {
			*mode = modes[i].mode;
			return true;
		}
	return false;
}

/* Returns -1: go on; else an exit status. */
static int option(int c, struct replay_options *options)
{
	uint64_t value;

	switch (c) {
	case 'm':
		return mode_of(optarg, &options->mode) ? -1 : usage_error("no such mode", optarg);
	case 'c':
		if (!number(optarg, 1, 255, &value))
			return usage_error("--cpus takes 1 to 255, not", optarg);
		options->cpus = (unsigned)value;
		return -1;
	case 'l':
		if (!number(optarg, 4, 5, &value))
			return usage_error("--levels takes 4 or 5, not", optarg);
		options->levels = (unsigned)value;
		return -1;
	case 'M':
		if (!number(optarg, 16, 1u << 20, &value))
			return usage_error("--memory takes 16 to 1048576, not", optarg);
		options->memory = value << 20;
		return -1;
	case 's':
		if (strcmp(optarg, "as-fast-as-possible") != 0)
			return usage_error("no such speed", optarg);
		return -1;
	case 'n':
		options->check = false;
		return -1;
	case 'S':
		options->strict = true;
		return -1;
	case 'j':
		options->json = true;
		return -1;
	case 'p':
		progress_force();
		return -1;
	case 'h':
		fputs(usage_text, stdout);
		return 0;
	default: /* getopt has said what is wrong */
		fputs(usage_text, stderr);
		return 2;
	}
}

static int parse(int argc, char **argv, struct replay_options *options)
{
	static const struct option known[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "levels", required_argument, NULL, 'l' },
		{ "memory", required_argument, NULL, 'M' },
		{ "speed", required_argument, NULL, 's' },
		{ "no-check", no_argument, NULL, 'n' },
		{ "strict", no_argument, NULL, 'S' },
		{ "json", no_argument, NULL, 'j' },
		{ "progress", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		int status = option(c, options);

		if (status >= 0)
			return status;
	}
	if (optind + 1 != argc)
		return usage_error(optind == argc ? "which file?" : "one file only", NULL);
	options->file = argv[optind];
	return -1;
}

static int replay(const struct trace *trace, const struct replay_options *options)
{
	struct results results = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct plan plan;
	char message[REPLAY_TEXT];
	bool well;

	if (!plan_make(&plan, trace, message, sizeof(message))) {
		fprintf(stderr, "quire replay: %s: %s\n", options->file, message);
		return 2;
	}
	if (!replay_run(&plan, options, &results, message, sizeof(message))) {
		fprintf(stderr, "quire replay: %s\n", message);
		plan_free(&plan);
		return 2;
	}
	replay_report(&plan, options, &results);
	well = results.disagreements == 0 && !results.validator[0] && !results.leaked &&
	       !(options->strict && results.stand_ins);
	plan_free(&plan);
	return well ? 0 : 1;
}

int replay_main(int argc, char **argv)
{
	struct replay_options options = { .mode = QUIRE_SPECULATIVE, .levels = 4, .check = true };
	struct trace_error error;
	struct trace *trace;
	int status = parse(argc, argv, &options);

	if (status >= 0)
		return status;
	trace = trace_load(options.file, NULL, &error);
	if (!trace) {
		fprintf(stderr, "quire replay: %s\n", error.text);
		return 2;
	}
	status = replay(trace, &options);
	trace_free(trace);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "quire replay: can't write the report: %s\n", strerror(errno));
		return 2;
	}
	return status;
}
