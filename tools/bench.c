/* SPDX-License-Identifier: MIT */
/*
 * quire bench: the loops of docs/benchmarks.md on the soft port, in all three modes, and on the
 * machine's own kernel; and instructions an operation.
 *
 * The runs of a group are interleaved: each repetition goes through all its loops, and each loop
 * through all modes, so that what slowly changes on the host (heat, other load, cold memory)
 * touches all alike.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "progress.h"

#define GROUP_LOOPS 64 /* more than there are */

static const struct loop *const tables[] = { bench_loops, bench_files, bench_ebizzy,
					     bench_antagonists };
#define TABLES (sizeof tables / sizeof tables[0])

/* A group to be run: its loops in order. */
struct group {
	const struct loop *loops[GROUP_LOOPS];
	size_t count;
};

static void list(void)
{
	for (size_t i = 0; i < TABLES; i++)
		for (const struct loop *loop = tables[i]; loop->name; loop++)
			printf("%-30s %-14s %s\n", loop->name, loop->group, loop->what);
	printf("\nOperations of --instructions:\n");
	bench_instructions_list();
}

static bool selected(const struct loop *loop, char **names, int count)
{
	bool all = count == 0;

	for (int i = 0; i < count; i++)
		all |= strcmp(names[i], loop->name) == 0 || strcmp(names[i], loop->group) == 0;
	return all;
}

static bool known(const char *name)
{
	char *names[] = { (char *)(uintptr_t)name };

	for (size_t i = 0; i < TABLES; i++)
		for (const struct loop *loop = tables[i]; loop->name; loop++)
			if (selected(loop, names, 1))
				return true;
	return false;
}

/*
 * The selected loops from *at on that are of one group. Antagonists never come without the first of
 * them, to which the others are compared.
 */
static bool next_group(const struct loop **at, char **names, int name_count, struct group *group)
{
	group->count = 0;
	for (; (*at)->name; ++*at) {
		if (!selected(*at, names, name_count))
			continue;
		if (group->count > 0 && strcmp((*at)->group, group->loops[0]->group) != 0)
			break;
		if (group->count == 0 && bench_is_antagonist(*at) && *at != &bench_antagonists[0])
			group->loops[group->count++] = &bench_antagonists[0];
		group->loops[group->count++] = *at;
	}
	return group->count > 0;
}

static void add_sample(struct series *s, const struct sample *sample)
{
	s->rates[s->count] = sample->rate;
	s->antagonist_rates[s->count] = sample->antagonist_rate;
	s->answers[s->count] = sample->answers;
	s->answer_shares[s->count] = sample->answer_share;
	s->count++;
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++) {
			s->paths[p] += sample->stats.faults[p][k];
			s->kinds[k] += sample->stats.faults[p][k];
		}
	for (unsigned c = 0; c < QUIRE_COUNTER_COUNT; c++)
		s->counters[c] += sample->stats.counters[c];
	histogram_merge(&s->latency, &sample->latency);
}

/* Move those that did not fail to the front. Returns how many. */
static size_t drop_failed(struct series *series, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!series[i].failed)
			series[kept++] = series[i];
	return kept;
}

static bool run_once(const struct bench_options *options, const struct series *s,
		     struct sample *sample)
{
	if (s->mode == BENCH_HOST)
		return bench_host_run(s->loop, s->cpus, sample);
	return bench_run(options, s->loop, s->mode, s->cpus, sample);
}

/* All runs of a group on so many CPUs into `series`, and their report. A loop that fails is not run
 * again. Returns how many of the series are good: these come first. */
static size_t run_group(const struct bench_options *options, const struct group *group,
			unsigned cpus, struct series *series)
{
	size_t count = group->count * options->mode_count, kept;
	static struct sample sample;
	uint64_t done = 0;
	char title[64];

	snprintf(title, sizeof title, "%s, %u CPUs", group->loops[0]->group, cpus);
	progress_start(title, count * options->repeat);
	for (size_t i = 0; i < count * options->repeat; i++) {
		struct series *s = &series[i % count];

		s->loop = group->loops[i % count / options->mode_count];
		s->mode = options->modes[i % options->mode_count];
		s->cpus = cpus;
		s->failed = s->failed || !run_once(options, s, &sample);
		if (!s->failed)
			add_sample(s, &sample);
		progress_update(++done);
	}
	progress_end();
	kept = drop_failed(series, count);
	if (options->json)
		bench_json_series(series, kept);
	else if (kept > 0)
		bench_table(options, series, kept);
	return kept;
}

/* A group on each number of CPUs, and its plots. */
static bool run_on_all(const struct bench_options *options, const struct group *group)
{
	size_t count = group->count * options->mode_count, wanted = 0, kept = 0;
	struct series *series = calloc(count * options->cpus_count, sizeof *series);
	bool good;

	if (!series) {
		fprintf(stderr, "quire bench: out of memory\n");
		return false;
	}
	for (unsigned i = 0; i < options->cpus_count; i++) {
		if (options->cpus[i] < group->loops[0]->min_cpus)
			continue;
		/* What failed before may have left its traces here. */
		memset(&series[kept], 0, count * sizeof *series);
		kept += run_group(options, group, options->cpus[i], &series[kept]);
		wanted += count;
	}
	good = kept == wanted;
	if (options->plots && kept > 0)
		good &= bench_plot(options, series, kept);
	free(series);
	return good;
}

static bool run_table(const struct bench_options *options, const struct loop *table, char **names,
		      int name_count)
{
	struct group group;
	bool good = true;

	while (next_group(&table, names, name_count, &group))
		good &= run_on_all(options, &group);
	return good;
}

static bool run_tables(const struct bench_options *options, char **names, int name_count)
{
	bool good = true;

	for (size_t i = 0; i < TABLES; i++)
		good &= run_table(options, tables[i], names, name_count);
	return good;
}

/*
 * What the hungriest loop needs (of regions that is page_fault2: files and their private copies),
 * with an eighth and a bit for tables, descriptors and stocks.
 */
static uint64_t memory_needed(const struct bench_options *options, unsigned cpus)
{
	uint64_t regions = 2 * cpus * options->region_bytes;
	uint64_t sections = options->antagonist_bytes + cpus * options->section_bytes;
	uint64_t bytes = regions > sections ? regions : sections;

	return bytes + bytes / 8 + (32 + 4ull * cpus) * MIB;
}

/* Is there enough of the host's memory for so much? */
static bool memory_there(uint64_t bytes)
{
	uint64_t host = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (bytes <= host)
		return true;
	fprintf(stderr,
		"quire bench: needs %" PRIu64 " MiB of memory, %" PRIu64
		" are free; try fewer --cpus or a smaller --antagonist-size\n",
		bytes / MIB, host / MIB);
	return false;
}

/* On machines that are started. */
static bool run_and_report(const struct bench_options *options, uint64_t memory, char **names,
			   int name_count)
{
	bool good;

	if (options->json)
		bench_json_start(options);
	else
		bench_table_start(options);
	/* While Quire has its memory: the host's is to be other. */
	good = bench_warm_memory() && (!options->host || bench_host_warm(memory)) &&
	       run_tables(options, names, name_count);
	if (options->json) {
		bench_json_end_series();
		bench_json_end();
	}
	return good;
}

static int run_all(const struct bench_options *options, char **names, int name_count)
{
	unsigned cpus = 1;
	uint64_t memory;
	bool good = false;

	for (unsigned i = 0; i < options->cpus_count; i++)
		if (options->cpus[i] > cpus)
			cpus = options->cpus[i];
	memory = memory_needed(options, cpus);
	if (!memory_there(options->host ? 2 * memory : memory) ||
	    (options->plots && !bench_plot_start(options)))
		return 2;
	if (cpus > bench_host_cpus())
		fprintf(stderr,
			"quire bench: %u virtual CPUs share %u cores: read the figures with care\n",
			cpus, bench_host_cpus());
	bench_run_start();
	if (options->host && !bench_host_start(options))
		return 1;
	if (bench_machine_start(options, memory, cpus)) {
		good = run_and_report(options, memory, names, name_count);
		bench_machine_stop();
	}
	if (options->host)
		bench_host_stop();
	return !good;
}

static int run_selected(const struct bench_options *options, char **names, int name_count)
{
	for (int i = 0; i < name_count; i++)
		if (!known(names[i])) {
			fprintf(stderr, "quire bench: no loop '%s'; --list names them\n", names[i]);
			return 2;
		}
	return run_all(options, names, name_count);
}

int bench_main(int argc, char **argv)
{
	struct bench_options options;

	if (!bench_options_parse(&options, argc, argv))
		return 2;
	argc -= options.first;
	argv += options.first;
	switch (options.action) {
	case BENCH_HELP:
		bench_options_help();
		return 0;
	case BENCH_LIST:
		list();
		return 0;
	case BENCH_COUNT:
		return bench_instructions_child(options.operation);
	case BENCH_INSTRUCTIONS:
		return bench_instructions(&options, argv, argc);
	case BENCH_RUN:
		break;
	}
	return run_selected(&options, argv, argc);
}
