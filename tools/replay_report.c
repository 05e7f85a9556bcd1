/* SPDX-License-Identifier: MIT */
/* What a replay found, as text or as one JSON object. */
#include "replay.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const modes[] = {
	[QUIRE_SPECULATIVE] = "speculative",
	[QUIRE_VMA_LOCK] = "vma-lock",
	[QUIRE_CLASSIC] = "classic",
};

static uint64_t path_faults(const struct quire_stats *stats, unsigned path)
{
	uint64_t sum = 0;

	for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
		sum += stats->faults[path][kind];
	return sum;
}

static uint64_t all_faults(const struct quire_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		sum += path_faults(stats, path);
	return sum;
}

/* Faults that gave a page of an object, on a path. */
static uint64_t object_faults(const struct quire_stats *stats, enum quire_path path)
{
	return stats->faults[path][QUIRE_KIND_OBJECT_READ] +
	       stats->faults[path][QUIRE_KIND_OBJECT_WRITE] +
	       stats->faults[path][QUIRE_KIND_OBJECT_COPY];
}

static uint64_t all_object_faults(const struct quire_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		sum += object_faults(stats, (enum quire_path)path);
	return sum;
}

/* What is wrong with a file, or NULL. */
static const char *file_trouble(const struct file *file)
{
	return file->why ? file->why : file->changed ? "changed meanwhile" : NULL;
}

/* ---- JSON ---- */

static void json_string(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < 0x20 || *c >= 0x7f)
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

static void json_number(const char *key, uint64_t value)
{
	printf("  \"%s\": %" PRIu64 ",\n", key, value);
}

/* An object of counters: [first, behind) */
static void json_counters(const char *key, const struct quire_stats *stats, unsigned first,
			  unsigned behind)
{
	printf("  \"%s\": {", key);
	for (unsigned i = first; i < behind; i++)
		printf("%s\"%s\": %" PRIu64, i == first ? "" : ", ",
		       quire_counter_name((enum quire_counter)i), stats->counters[i]);
	printf("},\n");
}

static void json_paths(const struct quire_stats *stats)
{
	printf("  \"paths\": {");
	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++) {
		printf("%s\n    \"%s\": {", path ? "," : "",
		       quire_path_name((enum quire_path)path));
		for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
			printf("%s\"%s\": %" PRIu64, kind ? ", " : "",
			       quire_kind_name((enum quire_kind)kind), stats->faults[path][kind]);
		putchar('}');
	}
	printf("\n  },\n");
}

static void json_disagreements(const struct results *r)
{
	printf("  \"shown\": [");
	for (unsigned i = 0; i < r->shown_count; i++) {
		printf("%s\n    {\"line\": %" PRIu32 ", \"text\": ", i ? "," : "",
		       r->shown[i].line);
		json_string(r->shown[i].text);
		putchar('}');
	}
	printf("%s],\n", r->shown_count ? "\n  " : "");
}

static void json_files(const struct plan *plan)
{
	unsigned shown = 0;

	printf("  \"file_troubles\": [");
	for (uint32_t f = 0; f < plan->file_count && shown < REPLAY_SHOWN; f++) {
		const char *why = file_trouble(&plan->files[f]);

		if (!why)
			continue;
		printf("%s\n    {\"name\": ", shown++ ? "," : "");
		json_string(plan->files[f].name);
		printf(", \"why\": \"%s\"}", why);
	}
	printf("%s],\n", shown ? "\n  " : "");
}

static void report_json(const struct plan *plan, const struct replay_options *options,
			const struct results *r)
{
	printf("{\n  \"file\": ");
	json_string(options->file);
	printf(",\n  \"version\": %u,\n  \"mode\": \"%s\",\n  \"cpus\": %u,\n  \"levels\": %u,\n",
	       plan->trace->version, modes[options->mode], r->cpus, options->levels);
	json_number("events", plan->trace->count);
	json_number("tasks", plan->task_count);
	json_number("spaces", plan->space_count);
	json_number("calls", r->calls);
	json_number("faults", r->faults);
	json_number("speculative", path_faults(&r->stats, QUIRE_PATH_SPECULATIVE));
	json_number("vma_lock", path_faults(&r->stats, QUIRE_PATH_VMA_LOCK));
	json_number("classic_faults", path_faults(&r->stats, QUIRE_PATH_CLASSIC));
	json_paths(&r->stats);
	json_counters("retries", &r->stats, QUIRE_RETRY_VMA, QUIRE_CLASSIC_OFF);
	json_counters("classic", &r->stats, QUIRE_CLASSIC_OFF, QUIRE_LEAF_CONTENDED);
	json_counters("counters", &r->stats, QUIRE_LEAF_CONTENDED, QUIRE_COUNTER_COUNT);
	json_number("file_faults", all_object_faults(&r->stats));
	json_number("file_faults_speculative", object_faults(&r->stats, QUIRE_PATH_SPECULATIVE));
	json_number("files", r->mapped_files);
	json_number("stand_ins", r->stand_ins);
	json_files(plan);
	json_number("compared", r->compared);
	json_number("entries_compared", r->entries);
	json_number("layouts_compared", r->layouts);
	json_number("contents_compared", r->contents);
	json_number("races", r->races);
	json_number("unexplained", r->unexplained);
	json_number("unreplayable", r->unreplayable);
	json_number("lost", r->lost);
	json_number("leaked", r->leaked);
	printf("  \"validator\": ");
	if (r->validator[0])
		json_string(r->validator);
	else
		printf("null");
	printf(",\n");
	json_number("disagreements", r->disagreements);
	json_disagreements(r);
	printf("  \"seconds\": %.6f\n}\n", r->seconds);
}

/* ---- Text ---- */

/* Those of [first, behind) that are not zero, on a line. */
static void text_counters(const char *what, const struct quire_stats *stats, unsigned first,
			  unsigned behind)
{
	bool any = false;

	printf("%-14s", what);
	for (unsigned i = first; i < behind; i++) {
		if (!stats->counters[i])
			continue;
		printf("%s%s %" PRIu64, any ? ", " : "", quire_counter_name((enum quire_counter)i),
		       stats->counters[i]);
		any = true;
	}
	printf("%s\n", any ? "" : "none");
}

static void text_paths(const struct quire_stats *stats)
{
	uint64_t all = all_faults(stats);

	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++) {
		uint64_t faults = path_faults(stats, path);
		bool any = false;

		if (!faults)
			continue;
		printf("  %-12s%" PRIu64 " (%.2f %%):", quire_path_name((enum quire_path)path),
		       faults, 100.0 * (double)faults / (double)all);
		for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
			if (stats->faults[path][kind]) {
				printf("%s %s %" PRIu64, any ? "," : "",
				       quire_kind_name((enum quire_kind)kind),
				       stats->faults[path][kind]);
				any = true;
			}
		printf("\n");
	}
}

static void text_files(const struct plan *plan, const struct results *r)
{
	uint64_t faults = all_object_faults(&r->stats);
	unsigned shown = 0;

	printf("%-14s%" PRIu64, "file faults", faults);
	if (faults)
		printf(" (%.2f %% speculative)",
		       100.0 * (double)object_faults(&r->stats, QUIRE_PATH_SPECULATIVE) /
			       (double)faults);
	printf("\n%-14s%" PRIu32 ", %" PRIu32 " of them stand-ins of zeros\n", "files",
	       r->mapped_files, r->stand_ins);
	for (uint32_t f = 0; f < plan->file_count; f++) {
		const char *why = file_trouble(&plan->files[f]);

		if (why && shown++ < REPLAY_SHOWN)
			printf("  %.200s %s\n", plan->files[f].name, why);
	}
	if (shown > REPLAY_SHOWN)
		printf("  ... and %u more\n", shown - REPLAY_SHOWN);
}

static void text_disagreements(const struct results *r)
{
	printf("%-14s%" PRIu64 "\n", "disagreements", r->disagreements);
	for (unsigned i = 0; i < r->shown_count; i++)
		printf("  line %" PRIu32 ": %s\n", r->shown[i].line, r->shown[i].text);
	if (r->disagreements > r->shown_count)
		printf("  ... and %" PRIu64 " more\n", r->disagreements - r->shown_count);
	if (r->validator[0])
		printf("%-14s%s\n", "validator", r->validator);
	if (r->leaked)
		printf("%-14s%" PRIu64 "\n", "leaked", r->leaked);
}

static void report_text(const struct plan *plan, const struct replay_options *options,
			const struct results *r)
{
	printf("%s: version %u, %zu events, %" PRIu32 " tasks, %" PRIu32 " address spaces\n",
	       options->file, plan->trace->version, plan->trace->count, plan->task_count,
	       plan->space_count);
	printf("%-14s%s, %u virtual CPUs, %u levels, %.3f s\n", "mode", modes[options->mode],
	       r->cpus, options->levels, r->seconds);
	printf("%-14s%" PRIu64 "\n", "calls", r->calls);
	printf("%-14s%" PRIu64 "\n", "faults", r->faults);
	text_paths(&r->stats);
	text_counters("retries", &r->stats, QUIRE_RETRY_VMA, QUIRE_CLASSIC_OFF);
	text_counters("classic", &r->stats, QUIRE_CLASSIC_OFF, QUIRE_LEAF_CONTENDED);
	text_counters("waits", &r->stats, QUIRE_RANGE_WAIT_FAULT, QUIRE_RANGE_WAIT_WRITER + 1);
	text_files(plan, r);
	printf("%-14s%" PRIu64 " events, %" PRIu64 " entries, %" PRIu64 " pages of files, %" PRIu64
	       " final layouts\n",
	       "compared", r->compared, r->entries, r->contents, r->layouts);
	printf("%-14s%" PRIu64 " races, %" PRIu64 " unexplained, %" PRIu64 " unreplayable",
	       "not judged", r->races, r->unexplained, r->unreplayable);
	if (r->lost)
		printf(", %" PRIu64 " lost with their address space", r->lost);
	printf("\n");
	text_disagreements(r);
}

void replay_report(const struct plan *plan, const struct replay_options *options,
		   const struct results *results)
{
	if (options->json)
		report_json(plan, options, results);
	else
		report_text(plan, options, results);
}
