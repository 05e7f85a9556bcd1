/* SPDX-License-Identifier: MIT */
/* Tables for people, JSON for programs: docs/benchmarks.md says what each column and key means. */
#define _GNU_SOURCE
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conditions.h"

/* Why faults began again or took the classic path: the first counters of the list. */
enum {
#define X(name, text) +1
	REASONS = 0 QUIRE_RETRIES(X) QUIRE_CLASSICS(X)
#undef X
};

static const double quantiles[] = { 0.5, 0.99, 0.999, 0.9999 };
static const char *const quantile_names[] = { "p50", "p99", "p99.9", "p99.99" };
#define QUANTILES (sizeof quantiles / sizeof quantiles[0])

static bool first_series;

const char *bench_mode_name(unsigned mode)
{
	static const char *const names[BENCH_MODES] = { "speculative", "vma-lock", "classic",
							"host" };

	return names[mode];
}

struct spread bench_spread(const double *samples, unsigned count)
{
	double sorted[BENCH_MAX_REPEAT];

	memcpy(sorted, samples, count * sizeof *samples);
	return spread_of(sorted, count);
}

static uint64_t all_faults(const struct series *s)
{
	uint64_t sum = 0;

	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		sum += s->paths[p];
	return sum;
}

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

const struct series *bench_find(const struct series *series, size_t count, const struct loop *loop,
				unsigned mode, unsigned cpus)
{
	for (size_t i = 0; i < count; i++)
		if (series[i].loop == loop && series[i].mode == mode && series[i].cpus == cpus)
			return &series[i];
	return NULL;
}

double bench_relative(const struct series *s, const struct series *other)
{
	return other ? ratio(bench_spread(s->rates, s->count).median,
			     bench_spread(other->rates, other->count).median)
		     : 0;
}

const struct series *bench_twin(const struct series *series, size_t count, const struct series *s)
{
	return (s->loop + 1)->apart ? bench_find(series, count, s->loop + 1, s->mode, s->cpus)
				    : NULL;
}

/* Tables */

static void print_ratio(double value, bool percent)
{
	if (value <= 0)
		printf(" %7s", "-");
	else if (percent)
		printf(" %6.0f%%", value * 100);
	else
		printf(" %7.2f", value);
}

static void print_reasons(const struct series *s)
{
	double faults = (double)all_faults(s);
	const char *separator = "    a million faults: ";

	for (unsigned c = 0; c < REASONS; c++) {
		if (s->counters[c] == 0 || c == QUIRE_CLASSIC_OFF)
			continue;
		printf("%s%s %.3g", separator, quire_counter_name((enum quire_counter)c),
		       ratio((double)s->counters[c] * 1e6, faults));
		separator = ", ";
	}
	if (*separator == ',')
		printf("\n");
}

static void print_row(const struct series *series, size_t count, const struct series *s)
{
	struct spread rate = bench_spread(s->rates, s->count);
	bool faulted = all_faults(s) > 0;

	printf("%-30s %-12s %10.1f %10.1f %10.1f", s->loop->name, bench_mode_name(s->mode),
	       rate.median / 1e3, rate.min / 1e3, rate.max / 1e3);
	print_ratio(s->mode == BENCH_HOST ? 0
					  : bench_relative(s, bench_find(series, count, s->loop,
									 QUIRE_CLASSIC, s->cpus)),
		    false);
	if (faulted)
		printf(" %6.2f%%", 100 * ratio((double)s->paths[QUIRE_PATH_SPECULATIVE],
					       (double)all_faults(s)));
	else
		printf(" %7s", "-");
	if (s->loop->latency) {
		print_ratio(bench_relative(s, bench_find(series, count, &bench_antagonists[0],
							 s->mode, s->cpus)),
			    true);
		print_ratio(bench_relative(s, bench_twin(series, count, s)), true);
		for (size_t q = 0; q < QUANTILES; q++)
			printf(" %8.2f",
			       (double)histogram_quantile(&s->latency, quantiles[q]) / 1e3);
		printf(" %9.2f %10.1f", (double)s->latency.max / 1e3,
		       bench_spread(s->antagonist_rates, s->count).median);
		if (s->mode != BENCH_HOST)
			printf(" %10.1f %6.2f%%", bench_spread(s->answers, s->count).median,
			       100 * bench_spread(s->answer_shares, s->count).median);
	}
	printf("\n");
	print_reasons(s);
}

void bench_table(const struct bench_options *options, const struct series *series, size_t count)
{
	const struct loop *loop = series[0].loop;

	printf("\n%s, %u CPU%s: thousands a second, %u runs of %g s\n", loop->group, series[0].cpus,
	       series[0].cpus == 1 ? "" : "s", options->repeat, options->seconds);
	printf("%-30s %-12s %10s %10s %10s %7s %7s", "loop", "mode", "median", "min", "max",
	       "/classic", "specul.");
	if (loop->latency) {
		printf(" %7s %7s", "kept", "/apart");
		for (size_t q = 0; q < QUANTILES; q++)
			printf(" %8s", quantile_names[q]);
		printf(" %9s %10s %10s %7s", "max (us)", "antag./s", "answers/s", "answers");
	}
	printf("\n");
	for (size_t i = 0; i < count; i++)
		print_row(series, count, &series[i]);
	fflush(stdout);
}

void bench_table_start(const struct bench_options *options)
{
	char levels[32];

	snprintf(levels, sizeof levels, ", %u levels", options->levels);
	conditions_line(levels);
}

/* JSON */

static void print_bytes(const char *key, uint64_t bytes, const char *separator)
{
	printf("    \"%s\": %" PRIu64 "%s\n", key, bytes, separator);
}

void bench_json_start(const struct bench_options *options)
{
	printf("{\n  \"schema\": \"quire-bench/1\",\n  \"conditions\": {\n");
	conditions_json(options->command);
	printf(",\n    \"levels\": %u,\n", options->levels);
	printf("    \"seconds\": %g,\n    \"repeat\": %u,\n    \"quick\": %s,\n", options->seconds,
	       options->repeat, options->quick ? "true" : "false");
	print_bytes("area_bytes", options->area_bytes, ",");
	print_bytes("region_bytes", options->region_bytes, ",");
	print_bytes("section_bytes", options->section_bytes, ",");
	print_bytes("antagonist_bytes", options->antagonist_bytes, "");
	printf("  },\n  \"results\": [");
	first_series = true;
}

static void print_counts(const char *key, const uint64_t *counts, unsigned from, unsigned to,
			 const char *(*name)(unsigned))
{
	const char *separator = "";

	printf(",\n     \"%s\": {", key);
	for (unsigned i = from; i < to; i++) {
		printf("%s\"%s\": %" PRIu64, separator, name(i), counts[i]);
		separator = ", ";
	}
	printf("}");
}

static const char *path_name(unsigned path)
{
	return quire_path_name((enum quire_path)path);
}

static const char *kind_name(unsigned kind)
{
	return quire_kind_name((enum quire_kind)kind);
}

static const char *counter_name(unsigned counter)
{
	return quire_counter_name((enum quire_counter)counter);
}

/* What Quire counted; the host's kernel tells nothing of the kind. */
static void print_how(const struct series *s)
{
	printf(",\n     \"speculative_share\": %.6f",
	       ratio((double)s->paths[QUIRE_PATH_SPECULATIVE], (double)all_faults(s)));
	print_counts("paths", s->paths, 0, QUIRE_PATH_COUNT, path_name);
	print_counts("kinds", s->kinds, 0, QUIRE_KIND_COUNT, kind_name);
	print_counts("reasons", s->counters, 0, REASONS, counter_name);
	print_counts("counters", s->counters, REASONS, QUIRE_COUNTER_COUNT, counter_name);
}

static void print_latency(const struct histogram *latency)
{
	const char *separator = "";

	printf(",\n     \"latency_ns\": {\"count\": %" PRIu64 ", \"mean\": %.1f", latency->count,
	       ratio((double)latency->sum, (double)latency->count));
	for (size_t q = 0; q < QUANTILES; q++)
		printf(", \"%s\": %" PRIu64, quantile_names[q],
		       histogram_quantile(latency, quantiles[q]));
	printf(", \"max\": %" PRIu64 ",\n      \"buckets\": [", latency->max);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (latency->buckets[i] == 0)
			continue;
		printf("%s[%" PRIu64 ", %" PRIu64 "]", separator, histogram_bucket_end(i),
		       latency->buckets[i]);
		separator = ", ";
	}
	printf("]}");
}

static void print_antagonist(const struct series *series, size_t count, const struct series *s)
{
	const struct series *control = bench_find(series, count, &bench_antagonists[0], s->mode,
						  s->cpus);
	const struct series *apart = bench_twin(series, count, s);

	print_latency(&s->latency);
	printf(",\n     \"antagonist_rate\": %.1f",
	       bench_spread(s->antagonist_rates, s->count).median);
	if (control)
		printf(", \"kept\": %.4f", bench_relative(s, control));
	if (apart)
		printf(", \"kept_apart\": %.4f", bench_relative(s, apart));
	if (s->mode != BENCH_HOST)
		printf(",\n     \"answers\": {\"rate\": %.1f, \"share\": %.6f}",
		       bench_spread(s->answers, s->count).median,
		       bench_spread(s->answer_shares, s->count).median);
}

static void print_series(const struct series *series, size_t count, const struct series *s)
{
	struct spread rate = bench_spread(s->rates, s->count);

	printf("%s\n    {\"loop\": \"%s\", \"group\": \"%s\", \"mode\": \"%s\",",
	       first_series ? "" : ",", s->loop->name, s->loop->group, bench_mode_name(s->mode));
	printf("\n     \"cpus\": %u, \"unit\": \"%s\"", s->cpus, s->loop->unit);
	first_series = false;
	printf(",\n     \"rate\": {\"median\": %.1f, \"min\": %.1f, \"max\": %.1f, \"runs\": [",
	       rate.median, rate.min, rate.max);
	for (unsigned i = 0; i < s->count; i++)
		printf("%s%.1f", i ? ", " : "", s->rates[i]);
	printf("]}");
	if (s->mode != BENCH_HOST)
		print_how(s);
	if (s->loop->latency)
		print_antagonist(series, count, s);
	printf("}");
}

void bench_json_series(const struct series *series, size_t count)
{
	for (size_t i = 0; i < count; i++)
		print_series(series, count, &series[i]);
}

void bench_json_end_series(void)
{
	printf("\n  ]");
}

void bench_json_end(void)
{
	printf("\n}\n");
}
