/* SPDX-License-Identifier: MIT */
/*
 * Instructions an operation: they repeat where time does not.
 *
 * This program runs itself twice under callgrind for each operation and mode. Both runs prepare the
 * same; one then does the operation `low` times, the other `high` times, and both end on the spot,
 * without taking anything down. So
 *
 *     (instructions of the second - instructions of the first) / (high - low)
 *
 * is the cost of the operation and of the loop around it, and nothing else. Clearing and copying a
 * page, and the miss of a translation that needs no fault, are measured in the same way: without
 * them, what is left is the software of a fault.
 */
#define _GNU_SOURCE
#include "bench_operations.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "progress.h"

#define MEMORY (256 * MIB)
#define MAX_ROWS 64 /* more than there are operations */

void bench_instructions_list(void)
{
	for (const struct operation *operation = operations; operation->name; operation++)
		printf("  %s\n", operation->name);
}

/* The child's side. Ends without a word or a clean-up: both would count. */
static int run_operation(const struct operation *operation, enum quire_mode mode, uint64_t count,
			 unsigned levels)
{
	struct quire_soft_config machine = { .cpus = 1, .memory = MEMORY, .levels = levels };
	struct quire_mm_config config = { .mode = mode, .brk_start = HEAP_BASE };
	struct run run = { .cpus = 1, .space = &bench_quire };
	struct worker w = { .run = &run };

	if (quire_soft_init(&machine) != 0 || !(w.cpu = quire_soft_attach(0)))
		return 1;
	quire_soft_enter(w.cpu);
	if (quire_mm_create(&config, &run.mm) != 0)
		return 1;
	quire_soft_switch(w.cpu, run.mm);
	if ((operation->prepare && !operation->prepare(&w)) || !operation->work(&w, count))
		return 1;
	_exit(0);
}

int bench_instructions_child(const char *what)
{
	char name[32];
	unsigned mode, count, levels;
	const struct operation *operation;

	if (sscanf(what, "%31[^:]:%u:%u:%u", name, &mode, &count, &levels) != 4 ||
	    !(operation = operation_find(name)) || mode >= BENCH_QUIRE_MODES)
		return 2;
	return run_operation(operation, (enum quire_mode)mode, count, levels);
}

/* The line "totals: N" of callgrind's file. 0: there is none. */
static uint64_t read_total(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[512];
	uint64_t total = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "totals: %" SCNu64, &total) == 1)
			break;
	fclose(file);
	return total;
}

/* Instructions of one child. 0: it failed. */
static uint64_t count_child(const struct operation *operation, unsigned mode, uint32_t count,
			    unsigned levels)
{
	char path[] = "/tmp/quire-bench-XXXXXX", output[64], what[80], self[4096];
	int file = mkstemp(path), status;
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

	if (file < 0 || length < 0)
		return 0;
	close(file);
	self[length] = 0;
	snprintf(output, sizeof output, "--callgrind-out-file=%s", path);
	snprintf(what, sizeof what, "--count-operation=%s:%u:%u:%u", operation->name, mode, count,
		 levels);

	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		execlp("valgrind", "valgrind", "--tool=callgrind", output, self, "bench", what,
		       (char *)NULL);
		_exit(127);
	}

	bool good = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
		    WEXITSTATUS(status) == 0;
	uint64_t total = good ? read_total(path) : 0;

	unlink(path);
	return total;
}

/* Instructions a unit of the operation. Negative: it failed. */
static double cost(const struct operation *operation, unsigned mode, unsigned levels)
{
	uint64_t low = count_child(operation, mode, operation->low, levels);
	uint64_t high = low ? count_child(operation, mode, operation->high, levels) : 0;

	if (high <= low)
		return -1;
	return (double)(high - low) / (operation->high - operation->low) / operation->units;
}

struct instructions {
	const struct operation *operation;
	double costs[BENCH_MODES]; /* as options->modes */
};

/* What is measured once, to be taken off. */
struct parts {
	double clear, copy, miss;
};

static double page_of(const struct operation *operation, const struct parts *parts)
{
	return operation->clears * parts->clear + operation->copies * parts->copy;
}

static void print_table(const struct bench_options *options, const struct instructions *rows,
			size_t count, const struct parts *parts)
{
	printf("Instructions an operation; without the page (clearing one takes %.0f, copying one "
	       "%.0f);\nand the software alone, without the translation miss (%.0f) either\n\n"
	       "%-20s",
	       parts->clear, parts->copy, parts->miss, "operation");
	for (unsigned m = 0; m < options->mode_count; m++)
		printf(" %12s  without software", bench_mode_name(options->modes[m]));
	printf("\n");
	for (size_t i = 0; i < count; i++) {
		double page = page_of(rows[i].operation, parts);
		double miss = rows[i].operation->misses * parts->miss;

		printf("%-20s", rows[i].operation->name);
		for (unsigned m = 0; m < options->mode_count; m++)
			if (rows[i].costs[m] < 0)
				printf(" %12s %17s", "failed", "");
			else
				printf(" %12.0f %8.0f %8.0f", rows[i].costs[m],
				       rows[i].costs[m] - page, rows[i].costs[m] - page - miss);
		printf("\n");
	}
}

static void print_json(const struct bench_options *options, const struct instructions *rows,
		       size_t count, const struct parts *parts)
{
	const char *separator = "";

	bench_json_start(options);
	bench_json_end_series();
	printf(",\n  \"clear_page\": %.1f,\n  \"copy_page\": %.1f,\n"
	       "  \"translation_miss\": %.1f,\n  \"instructions\": [",
	       parts->clear, parts->copy, parts->miss);
	for (size_t i = 0; i < count; i++)
		for (unsigned m = 0; m < options->mode_count; m++) {
			const struct operation *operation = rows[i].operation;
			double page = page_of(operation, parts);
			double miss = operation->misses * parts->miss;

			printf("%s\n    {\"operation\": \"%s\", \"mode\": \"%s\", ", separator,
			       operation->name, bench_mode_name(options->modes[m]));
			if (rows[i].costs[m] < 0)
				printf("\"instructions\": null, \"without_page\": null, "
				       "\"software\": null}");
			else
				printf("\"instructions\": %.1f, \"without_page\": %.1f, "
				       "\"software\": %.1f}",
				       rows[i].costs[m], rows[i].costs[m] - page,
				       rows[i].costs[m] - page - miss);
			separator = ",";
		}
	printf("\n  ]");
	bench_json_end();
}

/* The operations that were named, or all. Returns how many; 0: a name is wrong. */
static size_t select_rows(struct instructions *rows, char **names, int name_count)
{
	size_t count = 0;

	for (int i = 0; i < name_count; i++) {
		rows[count].operation = operation_find(names[i]);
		if (!rows[count].operation || count == MAX_ROWS - 1) {
			fprintf(stderr, "quire bench: no operation '%s'; --list names them\n",
				names[i]);
			return 0;
		}
		count++;
	}
	for (size_t i = 0; name_count == 0 && operations[i].name; i++)
		rows[count++].operation = &operations[i];
	return count;
}

int bench_instructions(const struct bench_options *options, char **names, int name_count)
{
	static struct instructions rows[MAX_ROWS];
	size_t count = select_rows(rows, names, name_count);
	struct parts parts;
	uint64_t done = 0;
	bool failed = false;

	if (count == 0)
		return 2;
	if (system("valgrind --version >/dev/null 2>&1") != 0) {
		fprintf(stderr,
			"quire bench: can't count: there is no valgrind (Debian: valgrind)\n");
		return 1;
	}
	parts.clear = cost(&clear_operation, QUIRE_CLASSIC, options->levels);
	parts.copy = cost(&copy_operation, QUIRE_CLASSIC, options->levels);
	parts.miss = cost(operation_find("translation-miss"), QUIRE_CLASSIC, options->levels);
	if (parts.clear < 0 || parts.copy < 0 || parts.miss < 0) {
		fprintf(stderr, "quire bench: can't count: `valgrind --tool=callgrind` does not "
				"run this program\n");
		return 1;
	}
	progress_start("instructions", count * options->mode_count);
	for (size_t i = 0; i < count; i++)
		for (unsigned m = 0; m < options->mode_count; m++) {
			rows[i].costs[m] = cost(rows[i].operation, options->modes[m],
						options->levels);
			failed |= rows[i].costs[m] < 0;
			progress_update(++done);
		}
	progress_end();
	(options->json ? print_json : print_table)(options, rows, count, &parts);
	return failed;
}
