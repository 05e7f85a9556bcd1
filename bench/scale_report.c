/* SPDX-License-Identifier: MIT */
/* What comes out: parameters with their origin, the table, validation; the same as JSON. */
#include "scale_report.h"

#include <stddef.h>
#include <string.h>

#include "conditions.h"

#define COST(field, what)                                                                          \
	{                                                                                          \
#field, what, offsetof(struct operation_cost, field)                               \
	}

const struct cost_field cost_fields[] = {
	COST(write, "a first write, over a region"),
	COST(write_again, "a first write, over 8 MiB"),
	COST(remap, "munmap and mmap of a region with one page"),
	COST(unmap_page, "munmap, each further page"),
	COST(dontneed, "madvise of a region with one page"),
	COST(drop_page, "madvise, each further page"),
	COST(local, "mmap, write, munmap of a page"),
	COST(protect, "write, mprotect of a page, and back"),
	COST(fork, "fork with one page"),
	COST(fork_page, "fork, each further page"),
	COST(destroy, "end of that child"),
	COST(destroy_page, "end of a child, each further page"),
};
const unsigned cost_field_count = sizeof(cost_fields) / sizeof(cost_fields[0]);

double *cost_of(struct operation_cost *cost, const struct cost_field *field)
{
	return (double *)((char *)cost + field->offset);
}

static double cost_at(const struct parameters *p, unsigned mode, const struct cost_field *field)
{
	struct operation_cost cost = p->costs[mode];

	return *cost_of(&cost, field);
}

/* --- for people --- */

static void print_parameters(const struct scale_report *r)
{
	const struct parameters *p = r->parameters;
	const char *origin = r->taken_from ? r->taken_from : "measured";

	printf("parameters, nanoseconds\n");
	printf("  %-44s %10.1f  %s\n", "atomic, nobody else there", p->atomic, origin);
	printf("  %-44s %10.1f  %s (not used: a check of the next)\n", "atomic, two cores at once",
	       p->contended, origin);
	printf("  %-44s %10.1f  %s, at times from %.1f to %.1f%s\n", "a line from core to core",
	       p->transfer, origin, p->transfer_low, p->transfer_high,
	       p->siblings ? "; BETWEEN THREADS OF ONE CORE" : "");
	printf("  %-44s %10.1f  assumed (low %.1f, high %.1f)\n",
	       "from socket to socket: so many times that", p->remote, p->remote_low,
	       p->remote_high);
	printf("  %-44s %10u  assumed\n", "CPUs of a socket", p->socket);
	printf("  %-44s %10s  %s\n", "what operations do, line by line", "", r->footprints);
	for (unsigned i = 0; i < cost_field_count; i++) {
		printf("  %-44s", cost_fields[i].what);
		for (unsigned mode = 0; mode < SCALE_MODES; mode++)
			printf(" %10.1f", cost_at(p, mode, &cost_fields[i]));
		printf("  %s\n", origin);
	}
}

static const struct scale_result *find(const struct scale_report *r, const char *loop,
				       unsigned mode, unsigned cpus)
{
	for (unsigned i = 0; i < r->count; i++)
		if (strcmp(r->results[i].loop, loop) == 0 && r->results[i].mode == mode &&
		    r->results[i].cpus == cpus)
			return &r->results[i];
	return NULL;
}

static void print_loop(const struct scale_report *r, const char *loop)
{
	bool any = false;

	for (unsigned i = 0; i < r->count; i++) {
		const struct scale_result *first = &r->results[i];

		if (strcmp(first->loop, loop) != 0 ||
		    find(r, loop, first->mode, first->cpus) != first)
			continue;
		if (!any)
			printf("\n%s\n  %6s %-12s %12s %12s %12s %12s\n", loop, "CPUs", "mode",
			       "k/s", "far", "near", "other's /s");
		any = true;
		printf("  %6u %-12s %12.1f %12.1f %12.1f %12.0f\n", first->cpus,
		       scale_modes[first->mode], first->middle.rate / 1e3, first->far.rate / 1e3,
		       first->near.rate / 1e3, first->middle.other_rate);
	}
}

/* Of the model to what was measured: to the median, or to the run that was disturbed least. */
static double ratio(const struct scale_result *v, double measured)
{
	return v->middle.rate / measured;
}

void report_table(const struct scale_report *r)
{
	print_parameters(r);
	if (r->validation_count)
		printf("\nbeside what was measured\n  %-26s %6s %-12s %12s %12s %8s %12s %8s\n",
		       "loop", "CPUs", "mode", "model, k/s", "median", "ratio", "greatest",
		       "ratio");
	for (unsigned i = 0; i < r->validation_count; i++) {
		const struct scale_result *v = &r->validation[i];

		printf("  %-26s %6u %-12s %12.1f %12.1f %8.2f %12.1f %8.2f\n", v->loop, v->cpus,
		       scale_modes[v->mode], v->middle.rate / 1e3, v->measured / 1e3,
		       ratio(v, v->measured), v->greatest / 1e3, ratio(v, v->greatest));
	}
	for (unsigned l = 0; l < scale_loop_count; l++)
		print_loop(r, scale_loops[l]);
}

/* --- JSON --- */

static void print_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text >= ' ')
			putchar(*text);
	}
	putchar('"');
}

static void print_member(const char *key, const char *value)
{
	printf("    \"%s\": ", key);
	print_text(value);
	puts(",");
}

static void print_conditions(const struct scale_report *r)
{
	char command[1024] = "scale_model";

	for (int i = 1; i < r->argc; i++)
		snprintf(command + strlen(command), sizeof(command) - strlen(command), " %s",
			 r->argv[i]);
	printf("  \"conditions\": {\n");
	conditions_json(command);
	printf("\n  },\n");
}

static void print_json_parameters(const struct scale_report *r)
{
	const struct parameters *p = r->parameters;

	printf("  \"parameters\": {\n");
	print_member("measured", r->taken_from ? r->taken_from : "in this run");
	print_member("footprints", r->footprints);
	print_member("assumed", "remote_low, remote, remote_high, socket");
	printf("    \"atomic\": %.2f,\n    \"contended\": %.2f,\n    \"transfer_low\": %.2f,\n"
	       "    \"transfer\": %.2f,\n    \"transfer_high\": %.2f,\n",
	       p->atomic, p->contended, p->transfer_low, p->transfer, p->transfer_high);
	printf("    \"one_core\": %s,\n", p->siblings ? "true" : "false");
	printf("    \"remote_low\": %g,\n    \"remote\": %g,\n    \"remote_high\": %g,\n",
	       p->remote_low, p->remote, p->remote_high);
	printf("    \"socket\": %u,\n    \"region_pages\": %u,\n    \"section_pages\": %u,\n",
	       p->socket, p->region_pages, p->section_pages);
	printf("    \"fork_pages\": %u,\n    \"costs\": [", p->fork_pages);
	for (unsigned mode = 0; mode < SCALE_MODES; mode++) {
		printf("%s\n      {\"mode\": \"%s\"", mode ? "," : "", scale_modes[mode]);
		for (unsigned i = 0; i < cost_field_count; i++)
			printf(", \"%s\": %.2f", cost_fields[i].name,
			       cost_at(p, mode, &cost_fields[i]));
		printf("}");
	}
	printf("\n    ]\n  },\n");
}

static void print_key(const struct scale_result *x, const char *separator)
{
	printf("%s\n    {\"loop\": \"%s\", \"mode\": \"%s\", \"cpus\": %u, ", separator, x->loop,
	       scale_modes[x->mode], x->cpus);
}

void report_json(const struct scale_report *r)
{
	printf("{\n  \"schema\": \"quire-scale/1\",\n");
	print_conditions(r);
	print_json_parameters(r);
	printf("  \"validation\": [");
	for (unsigned i = 0; i < r->validation_count; i++) {
		const struct scale_result *v = &r->validation[i];

		print_key(v, i ? "," : "");
		printf("\"operations_per_second\": %.1f, \"near\": %.1f, \"far\": %.1f,\n     "
		       "\"measured\": %.1f, \"ratio\": %.4f, \"greatest\": %.1f, "
		       "\"ratio_to_greatest\": %.4f}",
		       v->middle.rate, v->near.rate, v->far.rate, v->measured,
		       ratio(v, v->measured), v->greatest, ratio(v, v->greatest));
	}
	printf("\n  ],\n  \"results\": [");
	for (unsigned i = 0; i < r->count; i++) {
		const struct scale_result *x = &r->results[i];

		print_key(x, i ? "," : "");
		printf("\"operations_per_second\": %.1f,\n     \"near\": %.1f, "
		       "\"far\": %.1f, \"others_per_second\": %.1f}",
		       x->middle.rate, x->near.rate, x->far.rate, x->middle.other_rate);
	}
	printf("\n  ]\n}\n");
}
