/* SPDX-License-Identifier: MIT */
/*
 * The cache lines that an operation touches, and those that two share.
 *
 *     explore_observer ──► footprint: line ─► bytes read, bytes written
 *     two footprints   ──► the lines that one wrote and the other touched ──► names
 *
 * A line has the name of the first byte of it that was written by one and touched by the other. If
 * there is no such byte, two things lie on one line that should not: "a beside b".
 *
 * Not recorded: stacks, and each CPU's own TLB, which stands for hardware.
 */
#include "conflicts.h"
#include "soft.h"
#include <string.h>

/* --- footprints --- */

static struct footprint *recorded;
static unsigned recorded_cpu;

static void observe(const volatile void *p, size_t size, enum explore_access access);

static struct line *line_of(struct footprint *f, uintptr_t address)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->lines[i].address == address)
			return &f->lines[i];
	if (f->count == LINES)
		explore_fail("an operation touches too many lines");
	f->lines[f->count] = (struct line){ .address = address };
	return &f->lines[f->count++];
}

static void count_rmw(struct footprint *f, uintptr_t address)
{
	char name[64];

	if (address - (uintptr_t)soft_cpus < sizeof(soft_cpus)) {
		f->port_rmws++;
		return;
	}
	/* To find the name touches memory, too. */
	explore_observer = NULL;
	name_of(name, address);
	explore_observer = observe;
	if (f->rmws < RMWS)
		snprintf(f->rmw_names[f->rmws], sizeof(f->rmw_names[0]), "%.31s", name);
	f->rmws++;
}

bool is_watched(uintptr_t address, unsigned cpu)
{
	const size_t tlb = sizeof(soft_cpus[0].public.tlb);

	/* Others answer a flush meanwhile. */
	return port_cpu() == cpu && address - (uintptr_t)&soft_cpus[cpu] >= tlb;
}

static void observe(const volatile void *p, size_t size, enum explore_access access)
{
	uintptr_t at = (uintptr_t)p, end = at + size;

	if (!is_watched(at, recorded_cpu))
		return;
	if (access == EXPLORE_RMW)
		count_rmw(recorded, at);
	while (at < end) {
		struct line *line = line_of(recorded, at & ~(uintptr_t)(CACHE_LINE - 1));
		uintptr_t stop = line->address + CACHE_LINE < end ? line->address + CACHE_LINE
								  : end;
		uint64_t bytes = stop - at == 64 ? ~0ull : (1ull << (stop - at)) - 1;

		bytes <<= at % CACHE_LINE;
		if (access != EXPLORE_WRITE)
			line->read |= bytes;
		if (access != EXPLORE_READ)
			line->written |= bytes;
		line->reads += access == EXPLORE_READ;
		line->writes += access == EXPLORE_WRITE;
		line->rmws += access == EXPLORE_RMW;
		at = stop;
	}
}

void record_begin(struct footprint *footprint, unsigned cpu)
{
	footprint->count = footprint->rmws = footprint->port_rmws = 0;
	recorded = footprint;
	recorded_cpu = cpu;
	explore_observer = observe;
}

void record_end(void)
{
	explore_observer = NULL;
}

/* --- conflicts --- */

bool has_conflict(const struct conflicts *conflicts, const struct conflict *conflict)
{
	for (unsigned i = 0; i < conflicts->count; i++)
		if (strcmp(conflicts->list[i].kind, conflict->kind) == 0 &&
		    strcmp(conflicts->list[i].name, conflict->name) == 0)
			return true;
	return false;
}

/* Kept sorted, by kind and then by name. */
void add_conflict(struct conflicts *conflicts, const struct conflict *conflict)
{
	unsigned i = conflicts->count;

	if (has_conflict(conflicts, conflict))
		return;
	if (i == CONFLICTS)
		explore_fail("too many conflicts");
	for (; i > 0 && memcmp(&conflicts->list[i - 1], conflict, sizeof(*conflict)) > 0; i--)
		conflicts->list[i] = conflicts->list[i - 1];
	conflicts->list[i] = *conflict;
	conflicts->count++;
}

static void add_line(const struct line *x, const struct line *y, struct conflicts *conflicts)
{
	uint64_t both = (x->written & (y->read | y->written)) | (x->read & y->written);
	struct conflict c = { .kind = "" };
	char a[64], b[64];

	strcpy(c.kind, !x->written ? "r/w" : y->written ? "w/w" : "w/r");
	if (both) {
		name_of(c.name, x->address + (unsigned)__builtin_ctzll(both));
	} else {
		uint64_t of_x = x->written ? x->written : x->read;
		uint64_t of_y = y->written ? y->written : y->read;

		name_of(a, x->address + (unsigned)__builtin_ctzll(of_x));
		name_of(b, x->address + (unsigned)__builtin_ctzll(of_y));
		snprintf(c.name, sizeof(c.name), "%.28s beside %.27s", a, b);
	}
	/* What follows the text takes part in the order. */
	memset(c.name + strlen(c.name), 0, sizeof(c.name) - strlen(c.name));
	add_conflict(conflicts, &c);
}

void find_conflicts(const struct footprint *x, const struct footprint *y,
		    const struct footprint *paid, struct conflicts *conflicts)
{
	for (unsigned i = 0; i < x->count; i++) {
		const struct line *a = &x->lines[i];
		bool known = false;

		for (unsigned j = 0; paid && !a->written && j < paid->count; j++)
			known = known || paid->lines[j].address == a->address;
		for (unsigned j = 0; !known && j < y->count; j++) {
			const struct line *b = &y->lines[j];

			if (b->address == a->address && (a->written || b->written))
				add_line(a, b, conflicts);
		}
	}
}

void print_conflicts(FILE *to, const struct conflicts *conflicts)
{
	const char *kind = "";

	for (unsigned i = 0; i < conflicts->count; i++) {
		const struct conflict *c = &conflicts->list[i];

		if (strcmp(c->kind, kind) != 0)
			fprintf(to, "%s%s ", i ? "; " : "", c->kind);
		else
			fputs(", ", to);
		kind = c->kind;
		fputs(c->name, to);
	}
	if (conflicts->count == 0)
		fputs("–", to);
}

void print_rmws(FILE *to, const struct footprint *footprint)
{
	unsigned count = footprint->rmws < RMWS ? footprint->rmws : RMWS;

	for (unsigned i = 0, next = 0; i < count; i = next) {
		const char *name = footprint->rmw_names[i];

		while (next < count && strcmp(footprint->rmw_names[next], name) == 0)
			next++;
		fputs(i ? ", " : "", to);
		if (next - i > 1)
			fprintf(to, "%u × ", next - i);
		fputs(name, to);
	}
}

void print_written(FILE *to, const struct footprint *footprint)
{
	struct conflicts written = { .count = 0 };
	const char *comma = "";

	for (unsigned i = 0; i < footprint->count; i++)
		if (footprint->lines[i].written)
			add_line(&footprint->lines[i], &footprint->lines[i], &written);
	for (unsigned i = 0; i < written.count; i++) {
		/* What debug builds know of the locks that a CPU holds. */
		if (strcmp(written.list[i].name, "held") == 0)
			continue;
		fprintf(to, "%s%s", comma, written.list[i].name);
		comma = ", ";
	}
}

/* By what was written there first, if anything was. */
static void name_line(char *name, const struct line *line)
{
	uint64_t bytes = line->written ? line->written : line->read;

	name_of(name, line->address + (unsigned)__builtin_ctzll(bytes));
}

void print_lines(FILE *to, const struct footprint *footprint)
{
	static bool printed[LINES];
	const char *comma = "";
	char name[64], other[64];

	memset(printed, 0, sizeof(printed));
	for (unsigned i = 0; i < footprint->count; i++) {
		unsigned lines = 0, reads = 0, writes = 0, rmws = 0;

		name_line(name, &footprint->lines[i]);
		/* What debug builds know of the locks that a CPU holds. */
		if (printed[i] || strcmp(name, "held") == 0)
			continue;
		for (unsigned j = i; j < footprint->count; j++) {
			const struct line *line = &footprint->lines[j];

			name_line(other, line);
			if (strcmp(other, name) != 0)
				continue;
			printed[j] = true;
			lines++;
			reads += line->reads;
			writes += line->writes;
			rmws += line->rmws;
		}
		fprintf(to,
			"%s\n    {\"what\": \"%s\", \"lines\": %u, \"reads\": %u, "
			"\"writes\": %u, \"atomics\": %u}",
			comma, name, lines, reads, writes, rmws);
		comma = ",";
	}
}
