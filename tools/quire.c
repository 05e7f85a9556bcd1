/* SPDX-License-Identifier: MIT */
/* quire: the command. It finds the sub-command and calls it. */
#include "commands.h"

#include <quire/quire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static int version_main(int argc, char **argv);
static int help_main(int argc, char **argv);

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "record", record_main, "run a program and record what it does with its memory" },
	{ "replay", replay_main, "play a recording on Quire and compare" },
	{ "bench", bench_main, "measure Quire" },
	{ "boot", boot_main, "run a program on the reference kernel, in QEMU" },
	{ "version", version_main, "print the version" },
	{ "help", help_main, "print this text" },
};

static void print_usage(FILE *out)
{
	fputs("usage: quire COMMAND [ARGUMENT...]\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
	fputs("\n'quire COMMAND --help' says more.\n", out);
}

static int version_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("quire %s\n", quire_version());
	return EXIT_SUCCESS;
}

static int help_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print_usage(stdout);
	return EXIT_SUCCESS;
}

/* Is what was written to stdout really out? A full disk must not look like success. */
static int flushed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	perror("quire: stdout");
	return status ? status : EXIT_USAGE;
}

/* getopt's messages begin with argv[0]. */
static int run(size_t command, int argc, char **argv)
{
	char name[32];

	snprintf(name, sizeof(name), "quire %s", commands[command].name);
	argv[0] = name;
	return flushed(commands[command].main(argc, argv));
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (name && strcmp(name, "--version") == 0)
		name = "version";
	if (name && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0))
		name = "help";
	for (size_t i = 0; name && i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return run(i, argc - 1, argv + 1);
	if (name)
		fprintf(stderr, "quire: no such command: %s\n\n", name);
	print_usage(stderr);
	return EXIT_USAGE;
}
