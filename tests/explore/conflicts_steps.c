/* SPDX-License-Identifier: MIT */
/*
 * The steps of recorded operations, for bench/scale_model.
 *
 *     accesses ──► whose is the line? ──► steps: those to lines that somebody else touches, with
 *                                                the work between them (accesses to the rest)
 *
 *     whose           touched by
 *     own             this CPU alone, or nobody writes it
 *     CPU's           it is this CPU's by its name: mailbox, answers; others may come to it
 *     other CPU's     the same of another CPU
 *     worker's        one worker, at its place, and the other
 *     neighbour's     a worker writes it, and the next one reads it
 *     workers'        all workers
 *     all             all workers and the other
 *
 * A spin lock is a word that an atomic access makes 1 and a plain one 0; a reader-writer lock is
 * known by its name, and how it is held by what is in it.
 */
#include "conflicts_loops.h"
#include "soft.h"
#include <stdlib.h>
#include <string.h>

#define SHARED 256 /* lines, of a loop */

/* --- lines --- */

struct shared_line {
	uintptr_t address;
	char name[64];
	const char *whose;
	unsigned ordinal; /* of those of this name that an operation touches */
};

static struct shared_line lines[SHARED];
static unsigned line_count;

static bool touches(const struct log *log, uintptr_t line, bool writing)
{
	for (unsigned i = 0; i < log->count; i++)
		if (log->list[i].address < line + CACHE_LINE &&
		    line < log->list[i].address + log->list[i].size &&
		    (!writing || log->list[i].kind != EXPLORE_READ))
			return true;
	return false;
}

static bool any_touches(const struct log *logs, const struct operation *const *operations,
			uintptr_t line)
{
	for (unsigned i = 0; i < OPERATIONS && operations[i]; i++)
		if (touches(&logs[i], line, false))
			return true;
	return false;
}

static bool is_written(uintptr_t line)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		if (touches(&logs.steady[i], line, true) || touches(&logs.second[i], line, true) ||
		    touches(&logs.others[i], line, true) || touches(&logs.changed[i], line, true))
			return true;
		for (unsigned j = 0; j < OPERATIONS; j++)
			if (touches(&logs.causes[i][j], line, true))
				return true;
	}
	return false;
}

/* "... of CPU 1": cut off; the CPU, or -1. */
static int cut_cpu(char *name)
{
	char *cpu = strstr(name, " of CPU ");

	if (!cpu)
		return -1;
	*cpu = 0;
	return cpu[strlen(" of CPU ")] - '0';
}

/* Does anybody but the log's CPU touch the line? */
static bool others_touch(const struct loop *l, const struct log *log, uintptr_t line)
{
	bool workers = log->cpu == 0 ? any_touches(logs.second, l->workers, line)
				     : any_touches(logs.steady, l->workers, line);

	return workers || (log->cpu != OTHER && any_touches(logs.others, l->other, line));
}

/*
 * Of a line that both workers touch in the same operation. Where one only reads what the other
 * writes, they are neighbours; but a version of a node of the tree is one that all will see.
 */
static const char *whose_of_two(const struct log *one, const struct log *two, uintptr_t line,
				const char *name)
{
	bool writes = touches(one, line, true), other_writes = touches(two, line, true);

	if (writes == other_writes || strcmp(name, "tree node") == 0)
		return "workers'";
	return writes ? "own" : "neighbour's";
}

/* Do both workers touch it, in the same operation? Once one frees what the other meets, no more. */
static bool workers_share(const struct loop *l, uintptr_t line)
{
	for (unsigned i = 0; i < OPERATIONS && l->workers[i]; i++)
		if (touches(&logs.steady[i], line, false) && touches(&logs.second[i], line, false))
			return true;
	return false;
}

static const char *whose_of_worker(const struct loop *l, unsigned operation, bool is_changed,
				   uintptr_t line, const char *name)
{
	const struct log *log = is_changed ? &logs.changed[operation] : &logs.steady[operation];
	const struct log *twin = &logs.second[operation];
	bool other = any_touches(logs.others, l->other, line);

	/* What is new since the other's last operation was not there for the second. */
	if (is_changed && any_touches(logs.causes[operation], l->other, line) &&
	    !any_touches(logs.steady, l->workers, line))
		return "all";
	if (touches(twin, line, false))
		return other ? "all" : whose_of_two(log, twin, line, name);
	return other ? "worker's" : "own";
}

/* Workers are in leaves of their own: what else meets there is the other. */
static const char *whose_leaf(const struct loop *l, uintptr_t line)
{
	if (!any_touches(logs.others, l->other, line))
		return "own";
	return any_touches(logs.steady, l->workers, line) ? "worker's" : "second worker's";
}

static const char *whose(const struct loop *l, const struct log *log, uintptr_t line, char *name)
{
	int cpu = cut_cpu(name);

	/* What debug builds know of the locks that a CPU holds; and what has no conflicts. */
	if (strcmp(name, "held") == 0 || !is_written(line))
		return "own";
	if (cpu >= 0 && (unsigned)cpu != log->cpu)
		return "other CPU's";
	if (cpu >= 0)
		return others_touch(l, log, line) ? "CPU's" : "own";
	if (strncmp(name, "leaf", 4) == 0)
		return whose_leaf(l, line);
	for (unsigned i = 0; i < OPERATIONS; i++)
		if (log == &logs.steady[i] || log == &logs.changed[i])
			return whose_of_worker(l, i, log == &logs.changed[i], line, name);
	if (workers_share(l, line))
		return "all";
	if (any_touches(logs.steady, l->workers, line))
		return "worker's";
	return any_touches(logs.second, l->workers, line) ? "second worker's" : "own";
}

/* What tells lines apart, but not versions of a VMA. */
static void plain_name(char *name, uintptr_t address)
{
	name_of(name, address);
	if (strncmp(name, "retired ", 8) == 0)
		memmove(name, name + 8, strlen(name + 8) + 1);
}

/* The line of an access; => `seen`: those that the operation has touched before */
static int line_of(const struct loop *l, const struct log *log, uintptr_t address, uintptr_t *seen)
{
	uintptr_t at = address & ~(uintptr_t)(CACHE_LINE - 1);
	struct shared_line line = { .address = at };

	for (unsigned i = 0; i < line_count; i++)
		if (seen[i] == at)
			return (int)i;
	plain_name(line.name, at);
	line.whose = whose(l, log, at, line.name);
	if (strcmp(line.whose, "own") == 0 || strcmp(line.whose, "second worker's") == 0)
		return -1;
	for (unsigned i = 0; i < line_count; i++) {
		if (strcmp(lines[i].whose, line.whose) != 0 ||
		    strcmp(lines[i].name, line.name) != 0 || lines[i].ordinal != line.ordinal)
			continue;
		if (!seen[i]) {
			seen[i] = at;
			return (int)i;
		}
		line.ordinal++;
	}
	if (line_count == SHARED)
		explore_fail("too many lines in a loop");
	seen[line_count] = at;
	lines[line_count] = line;
	return (int)line_count++;
}

/* --- steps --- */

static bool is_reader_writer(const char *field)
{
	return strcmp(field, "mm.lock") == 0 || strcmp(field, "vma.readers") == 0;
}

static bool is_word(const struct access *a)
{
	return a->size == sizeof(a->after) && a->kind != EXPLORE_READ;
}

/* The change of the same word before this one (step -1) or after it (1); NULL: there is none. */
static const struct access *other_change(const struct log *log, const struct access *a, int step)
{
	uintptr_t word = a->address;

	for (a += step; a >= log->list && a < log->list + log->count; a += step)
		if (a->address == word && is_word(a))
			return a;
	return NULL;
}

static const char *reader_writer_step(const struct log *log, const struct access *a)
{
	const struct access *before = other_change(log, a, -1);

	if (a->after == 0)
		return "unlock";
	if (a->after >> 31)
		return "lock";
	return before && before->after >> 31 ? "downgrade" : "lock-shared";
}

static const char *step_of(const struct log *log, const struct access *a, const char *field)
{
	const struct access *before, *after;

	if (is_word(a) && a->kind == EXPLORE_RMW && is_reader_writer(field))
		return reader_writer_step(log, a);
	if (is_word(a) && a->kind == EXPLORE_RMW && a->after == 1) {
		after = other_change(log, a, 1);
		if (after && after->kind == EXPLORE_WRITE && after->after == 0)
			return "lock";
	}
	if (is_word(a) && a->kind == EXPLORE_WRITE && a->after == 0) {
		before = other_change(log, a, -1);
		if (before && before->kind == EXPLORE_RMW && before->after == 1)
			return "unlock";
	}
	return a->kind == EXPLORE_READ ? "read" : a->kind == EXPLORE_WRITE ? "write" : "atomic";
}

/*
 * Had the operation the line already, to do this with it, since its last step on a lock? Then it
 * still has it, as far as one can tell.
 */
static bool has_line(unsigned char *had, int line, const char *step)
{
	unsigned char needs = strcmp(step, "read") == 0 ? 1 : 2;

	if (strcmp(step, "read") != 0 && strcmp(step, "write") != 0 && strcmp(step, "atomic") != 0)
		memset(had, 0, SHARED);
	else if (had[line] >= needs)
		return true;
	had[line] = needs;
	return false;
}

static void write_steps(FILE *to, const struct loop *l, const struct log *log)
{
	uintptr_t seen[SHARED] = { 0 };
	unsigned char had[SHARED] = { 0 };
	const char *separator = "";
	unsigned long work = 0;

	fputs("\"steps\": [", to);
	for (unsigned i = 0; i < log->count; i++) {
		const struct access *a = &log->list[i];
		int line = line_of(l, log, a->address, seen);
		const char *step;
		char field[64];

		work += (a->size + CACHE_LINE - 1) / CACHE_LINE;
		if (line < 0)
			continue;
		plain_name(field, a->address);
		cut_cpu(field);
		step = step_of(log, a, field);
		if (has_line(had, line, step))
			continue;
		fprintf(to,
			"%s\n        {\"work\": %lu, \"line\": %d, \"step\": \"%s\","
			" \"field\": \"%s\"}",
			separator, work, line, step, field);
		separator = ",";
		work = 0;
	}
	fprintf(to, "],\n       \"work\": %lu", work);
}

/* --- JSON --- */

static void write_actor(FILE *to, const struct loop *l, const struct operation *const *operations,
			const struct log *logs, const struct log *after)
{
	for (unsigned i = 0; i < OPERATIONS && operations[i]; i++) {
		fprintf(to, "%s\n      {\"operation\": \"%s\", ", i ? "," : "",
			operations[i]->name);
		write_steps(to, l, &logs[i]);
		if (after) {
			fputs(", \"changed\": {", to);
			write_steps(to, l, &after[i]);
			fputs("}", to);
		}
		fputs("}", to);
	}
}

void write_loop(FILE *out, const struct loop *l)
{
	char *text;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	line_count = 0;
	write_actor(to, l, l->workers, logs.steady, l->other[0] ? logs.changed : NULL);
	fputs("],\n     \"other\": [", to);
	write_actor(to, l, l->other, logs.others, NULL);
	fclose(to);
	fputs("     \"lines\": [", out);
	for (unsigned i = 0; i < line_count; i++)
		fprintf(out, "%s\n      {\"line\": \"%s\", \"ordinal\": %u, \"whose\": \"%s\"}",
			i ? "," : "", lines[i].name, lines[i].ordinal, lines[i].whose);
	fprintf(out, "],\n     \"workers\": [%s]", text);
	free(text);
}
