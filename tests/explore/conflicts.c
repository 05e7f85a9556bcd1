/* SPDX-License-Identifier: MIT */
/*
 * Conflict-freedom: which cache lines do two operations share that one of them writes?
 *
 *     CPU 0   fault ──► lines read, lines written ─┐
 *                                                  ├─► written by one, touched by the other
 *     CPU 1   fault or writer elsewhere ──► lines ─┘
 *
 * One after the other, in all three modes, warmed up. For a fault beside something else three
 * moments are told apart, since an edit of the fault's own VMA must somehow be noticed:
 *
 *     before   the fault comes first; its CPU knows the VMA
 *     first    it comes second: the first fault after the other operation
 *     later    the one after that: what the first did not pay for already
 *
 * In `speculative` a pair shares nothing, but for what is argued for (conflicts_promise.c). That
 * the other modes do share what they must is tested, too: so that would be seen.
 */
#include "conflicts.h"
#include "space/mm.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: conflicts [--markdown | --json | --check FILE | --lines | --self-test]\n"
	"  --markdown    also print the tables of docs/scaling.md\n"
	"  --json        print only the steps of some loops, for bench/scale_model\n"
	"  --check FILE  FILE has these tables, and an argument for all that is allowed\n"
	"  --lines       only the lines of a speculative first write, as JSON\n"
	"  --self-test   a counter that all operations raise must be found\n";

static unsigned tests, bad, nothing_shared;

/* --- measuring --- */

static void idle(void)
{
}

static const struct scenario world = { .name = "conflicts", .run = { idle, idle } };

static uint64_t count_kind(const struct operation *o)
{
	static const enum quire_path paths[MODES] = {
		[QUIRE_SPECULATIVE] = QUIRE_PATH_SPECULATIVE,
		[QUIRE_VMA_LOCK] = QUIRE_PATH_VMA_LOCK,
		[QUIRE_CLASSIC] = QUIRE_PATH_CLASSIC,
	};

	return at_load(&mm->tables.trace[0].faults[paths[mm->mode]][o->kind]);
}

/* The self-test: what would be seen if every operation raised one counter. */
static bool with_shared_counter;
static _Atomic uint64_t shared_counter;

/* One run, as this CPU; recorded if there is a footprint for it. */
static void perform(unsigned cpu, const struct operation *o, const struct place *place,
		    unsigned turn, struct footprint *footprint)
{
	bool counts = cpu == 0 && o->kind != QUIRE_KIND_COUNT;
	uint64_t before = 0;

	as_cpu(cpu);
	warm_up();
	if (o->before)
		o->before(place, turn);
	if (counts)
		before = count_kind(o);
	if (footprint)
		record_begin(footprint, cpu);
	o->run(place, turn);
	if (with_shared_counter)
		at_add(&shared_counter, 1ull);
	record_end();
	if (counts && count_kind(o) != before + 1)
		explore_fail("%s: not that kind of fault", o->name);
}

/* A world in which both have been done twice. */
static void open_pair(const struct pair *p, enum quire_mode mode)
{
	explore_open(&world, mode);
	as_cpu(0);
	prepare_world();
	if (p->first->prepare)
		p->first->prepare(p->at);
	as_cpu(1);
	if (p->second->prepare)
		p->second->prepare(p->beside);
	for (unsigned turn = 0; turn < 2; turn++) {
		perform(0, p->first, p->at, turn, NULL);
		perform(1, p->second, p->beside, turn, NULL);
	}
}

static struct footprint first, later, second;

static void measure(const struct pair *p, enum quire_mode mode, struct result *r)
{
	memset(r, 0, sizeof(*r));
	open_pair(p, mode);
	perform(0, p->first, p->at, 2, NULL);
	perform(0, p->first, p->at, 3, &first);
	perform(1, p->second, p->beside, 2, &second);
	find_conflicts(&first, &second, NULL, &r->at[BEFORE]);
	explore_close();

	open_pair(p, mode);
	perform(0, p->first, p->at, 2, NULL);
	perform(1, p->second, p->beside, 2, &second);
	perform(0, p->first, p->at, 3, &first);
	perform(0, p->first, p->at, 4, &later);
	find_conflicts(&first, &second, NULL, &r->at[FIRST]);
	if (!(p->flags & WRITERS))
		find_conflicts(&later, &second, &first, &r->at[LATER]);
	explore_close();
	for (unsigned moment = 0; moment < MOMENTS; moment++)
		for (unsigned i = 0; i < r->at[moment].count; i++)
			add_conflict(&r->all, &r->at[moment].list[i]);
}

void test_case(bool passed, const char *format, ...)
{
	va_list arguments;

	bad += !passed;
	printf("%s %u - ", passed ? "ok" : "not ok", ++tests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

/* What the speculative mode shares, and what the baselines do besides. */
static struct table speculative_table, baseline_table;

static void print_besides(FILE *to, const struct result *baseline, const struct result *speculative)
{
	struct conflicts left = { .count = 0 };

	for (unsigned i = 0; i < baseline->all.count; i++)
		if (!has_conflict(&speculative->all, &baseline->all.list[i]))
			add_conflict(&left, &baseline->all.list[i]);
	print_conflicts(to, &left);
}

/* The cells of a row: of either table. */
static char *cells(const struct result *results, bool baselines)
{
	const struct result *speculative = &results[QUIRE_SPECULATIVE];
	char *text;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (baselines) {
		print_besides(to, &results[QUIRE_VMA_LOCK], speculative);
		fputs(" | ", to);
		print_besides(to, &results[QUIRE_CLASSIC], speculative);
	} else {
		for (unsigned moment = 0; moment < MOMENTS; moment++) {
			fputs(moment ? " | " : "", to);
			print_conflicts(to, &speculative->at[moment]);
		}
	}
	fclose(to);
	return text;
}

static void report(const struct pair *p, const struct result *results)
{
	bool kept = keeps_promise(p, &results[QUIRE_SPECULATIVE]) && baselines_share(p, results);
	char *shared = cells(results, false), *besides = cells(results, true), beside[96];

	snprintf(beside, sizeof(beside), "%s %s", p->flags & ITSELF ? "the same" : p->second->name,
		 p->beside->name);
	test_case(kept, "%s beside %s", p->first->name, beside);
	printf("# before, first, later: %s\n# vma-lock and classic also: %s\n", shared, besides);
	table_add(&speculative_table, p->first->name, beside, shared);
	table_add(&baseline_table, p->first->name, beside, besides);
	nothing_shared += kept && results[QUIRE_SPECULATIVE].all.count == 0;
	free(shared);
	free(besides);
}

static void check_pair(const struct pair *p)
{
	static struct result results[MODES];

	for (unsigned mode = 0; mode < MODES; mode++)
		measure(p, (enum quire_mode)mode, &results[mode]);
	report(p, results);
}

/* If there were a shared counter, faults would break their promise. */
static void check_counter(const struct pair *p)
{
	const struct conflict counter = { "w/w", "shared_counter" };
	static struct result result;
	bool seen = true;

	/* Two kinds of faults are enough. */
	if (p->first->flags ||
	    (p->first->kind != QUIRE_KIND_FIRST_WRITE && p->first->kind != QUIRE_KIND_OBJECT_READ))
		return;
	measure(p, QUIRE_SPECULATIVE, &result);
	for (unsigned moment = 0; moment < LATER; moment++)
		seen = seen && has_conflict(&result.at[moment], &counter) &&
		       !is_allowed(p, moment, &counter);
	test_case(seen, "a shared counter is found: %s beside %s %s", p->first->name,
		  p->second->name, p->beside->name);
}

static unsigned pair_flags(const struct pair *p)
{
	unsigned a = p->first->flags, b = p->second->flags, flags = a | b | p->beside->flags;

	if (a & b & WRITES)
		return flags | WRITERS;
	if (b & EDITS && p->beside->flags & SAME_VMA && a & (HOOKS | LOOKS_UP))
		flags |= OWN_VMA;
	if (a & SIZES && b & RESIZES)
		flags |= OWN_SIZE;
	return flags;
}

static void visit_couple(const struct couple *c, void (*check)(const struct pair *))
{
	struct pair p = { c->first, c->second, c->at, c->beside, 0 };

	p.flags = pair_flags(&p);
	check(&p);
}

static void visit_group(const struct group *g, void (*check)(const struct pair *))
{
	for (unsigned s = 0; s < g->second_count; s++) {
		for (unsigned f = 0; f < g->fault_count; f++) {
			const struct operation *second = g->seconds[s].operation;
			struct pair p = { &g->faults[f], second ? second : &g->faults[f], &HOME,
					  g->seconds[s].place, 0 };

			p.flags = pair_flags(&p) | (second ? 0 : ITSELF);
			/* What is only shown, is shown once. */
			if (is_promised(&p) || f == 0)
				check(&p);
		}
	}
}

static void all_pairs(void (*check)(const struct pair *))
{
	visit_group(&memory, check);
	visit_group(&objects, check);
	for (unsigned i = 0; i < couples_count; i++)
		visit_couple(&couples[i], check);
	for (unsigned i = 0; i < writers_count; i++)
		visit_couple(&writers[i], check);
}

/* --- read-modify-writes --- */

static void check_rmws_of(const struct operation *fault, FILE *table)
{
	struct pair p = { fault, &faults[0], &HOME, &ELSEWHERE, 0 };
	unsigned counts[MODES];

	for (unsigned mode = MODES; mode-- > 0;) {
		open_pair(&p, (enum quire_mode)mode);
		perform(0, p.first, p.at, 2, NULL);
		perform(0, p.first, p.at, 3, &first);
		counts[mode] = first.rmws;
		if (mode > 0)
			explore_close();
	}
	fprintf(table, "| %s | %u | ", fault->name, counts[QUIRE_SPECULATIVE]);
	print_rmws(table, &first);
	fprintf(table, " | %u | %u | %u | ", counts[QUIRE_VMA_LOCK], counts[QUIRE_CLASSIC],
		first.port_rmws);
	print_written(table, &first);
	fputs(" |\n", table);
	explore_close();
	test_case(counts[QUIRE_SPECULATIVE] == fault->rmws, "%s: %u atomic read-modify-writes",
		  fault->name, fault->rmws);
}

static void check_rmws(FILE *table)
{
	fputs("| fault | `speculative` | on what | `vma-lock` | `classic` | port |"
	      " lines written |\n|---|---|---|---|---|---|---|\n",
	      table);
	for (unsigned f = 0; f < memory.fault_count; f++)
		check_rmws_of(&memory.faults[f], table);
	for (unsigned f = 0; f < objects.fault_count; f++)
		check_rmws_of(&objects.faults[f], table);
}

/* --- docs/scaling.md --- */

static char *read_all_of(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file || getdelim(&text, &size, 0, file) < 0) {
		fprintf(stderr, "conflicts: %s: can't be read\n", path);
		exit(2);
	}
	fclose(file);
	return text;
}

/* Are all lines of the tables in the document? What is written around them may change. */
static bool holds(const char *document, char *tables)
{
	bool all = true;

	for (char *line = strtok(tables, "\n"); line; line = strtok(NULL, "\n")) {
		if (strstr(document, line))
			continue;
		printf("# missing: %s\n", line);
		all = false;
	}
	return all;
}

static int print_profile(void)
{
	const struct pair p = { &faults[0], &faults[0], &HOME, &ELSEWHERE, 0 };

	open_pair(&p, QUIRE_SPECULATIVE);
	perform(0, p.first, p.at, 2, NULL);
	perform(0, p.first, p.at, 3, &first);
	putchar('[');
	print_lines(stdout, &first);
	puts("\n  ]");
	explore_close();
	return 0;
}

static int end(void)
{
	printf("1..%u\n", tests);
	return bad != 0;
}

int main(int argc, char **argv)
{
	bool markdown = argc == 2 && strcmp(argv[1], "--markdown") == 0;
	bool check = argc == 3 && strcmp(argv[1], "--check") == 0;
	char *tables, *document = check ? read_all_of(argv[2]) : NULL;
	size_t size;
	FILE *to;

	if (argc == 2 && strcmp(argv[1], "--lines") == 0)
		return print_profile();
	if (argc == 2 && strcmp(argv[1], "--self-test") == 0) {
		with_shared_counter = true;
		all_pairs(check_counter);
		return end();
	}
	if (argc == 2 && strcmp(argv[1], "--json") == 0) {
		print_loops();
		return 0;
	}
	if (argc > 1 && !markdown && !check) {
		fputs(usage, stderr);
		return 2;
	}
	all_pairs(check_pair);
	printf("# %u pairs, %u kept their promise, %u of them share nothing\n", tests, tests - bad,
	       nothing_shared);
	to = open_memstream(&tables, &size);
	check_rmws(to);
	fputs("\n| beside it | the fault | before | first | later |\n|---|---|---|---|---|\n", to);
	table_write(to, &speculative_table);
	fputs("\n| beside it | the fault | `vma-lock` | `classic` |\n|---|---|---|---|\n", to);
	table_write(to, &baseline_table);
	fclose(to);
	check_allowed(document);
	if (document)
		test_case(holds(document, tables), "%s has these tables", argv[2]);
	if (markdown)
		fputs(tables, stdout);
	return end();
}
