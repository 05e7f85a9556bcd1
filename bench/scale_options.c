/* SPDX-License-Identifier: MIT */
/* The command line of scale_model, and the files that it names. */
#include "scale_options.h"
#include "scale_report.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: scale_model [OPTION]... [LOOP]...\n"
	"What the modes do on more CPUs than are at hand, by a simulation: docs/scaling.md.\n"
	"  --measure          only measure this machine, and print the parameters\n"
	"  --parameters FILE  take those of an earlier --json instead of measuring\n"
	"  --footprints FILE  the loops' steps, of scripts/conflicts --json\n"
	"                     (docs/figures/footprints.json)\n"
	"  --cpus N,...       (1,2,4,8,16,32,64,128,384)\n"
	"  --socket N         CPUs of a socket (64); assumed\n"
	"  --remote L,M,H     how many times as long a line takes between sockets: low, middle,\n"
	"                     high (1.5,3,5); assumed\n"
	"  --validate FILE    show the model beside what `quire bench --json` has measured; again\n"
	"                     for more files\n"
	"  --quick            does it run at all? Few CPUs\n"
	"  --json             for programs\n"
	"  --plot DIR         also draw scale.svg there\n";

static const unsigned all_cpus[] = { 1, 2, 4, 8, 16, 32, 64, 128, 384 };
static const unsigned few_cpus[] = { 1, 2, 8, 128 };

enum { MEASURE = 256, PARAMETERS, FOOTPRINTS, CPUS, SOCKET, REMOTE, VALIDATE, QUICK, JSON, PLOT };

static const struct option long_options[] = {
	{ "measure", no_argument, NULL, MEASURE },
	{ "parameters", required_argument, NULL, PARAMETERS },
	{ "footprints", required_argument, NULL, FOOTPRINTS },
	{ "cpus", required_argument, NULL, CPUS },
	{ "socket", required_argument, NULL, SOCKET },
	{ "remote", required_argument, NULL, REMOTE },
	{ "validate", required_argument, NULL, VALIDATE },
	{ "quick", no_argument, NULL, QUICK },
	{ "json", no_argument, NULL, JSON },
	{ "plot", required_argument, NULL, PLOT },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static bool refuse(const char *what, const char *text)
{
	fprintf(stderr, "scale_model: %s: %s\n", text, what);
	return false;
}

/* Numbers with commas between; how many, 0 if they are not that. */
static unsigned numbers(const char *text, double *list, unsigned most)
{
	unsigned count = 0;
	char *end;

	do {
		if (count == most || *text < '0' || *text > '9')
			return 0;
		list[count++] = strtod(text, &end);
		text = end + 1;
	} while (*end == ',');
	return *end ? 0 : count;
}

static bool parse_cpus(struct options *o, const char *text)
{
	double list[COUNTS];

	o->cpus_count = numbers(text, list, COUNTS);
	for (unsigned i = 0; i < o->cpus_count; i++) {
		if (list[i] < 1 || list[i] > SCALE_MAX_CPUS || list[i] != (unsigned)list[i] ||
		    (i && list[i] <= list[i - 1]))
			return refuse("rising whole numbers from 1 to 1024 are wanted", text);
		o->cpus[i] = (unsigned)list[i];
	}
	return o->cpus_count || refuse("whole numbers with commas between are wanted", text);
}

static bool parse_remote(struct parameters *p, const char *text)
{
	double list[3];

	if (numbers(text, list, 3) != 3 || list[0] < 1 || list[1] < list[0] || list[2] < list[1])
		return refuse("three rising factors are wanted, from 1 on", text);
	p->remote_low = list[0];
	p->remote = list[1];
	p->remote_high = list[2];
	return true;
}

static bool parse_socket(struct parameters *p, const char *text)
{
	double size;

	if (numbers(text, &size, 1) != 1 || size < 1 || size > SCALE_MAX_CPUS ||
	    size != (unsigned)size)
		return refuse("a whole number from 1 to 1024 is wanted", text);
	p->socket = (unsigned)size;
	return true;
}

static bool has_schema(const struct json *file, const char *path, const char *schema)
{
	return strcmp(json_string(file, "schema"), schema) == 0 ||
	       refuse("not of the schema", path);
}

static struct json *read_file(const char *path, const char *schema)
{
	struct json *file = json_read(path);

	if (!file || has_schema(file, path, schema))
		return file;
	json_free(file);
	return NULL;
}

static bool add_measured(struct options *o, const char *path)
{
	struct json *file;

	if (o->measured_count == MEASURED)
		return refuse("too many files", path);
	file = read_file(path, "quire-bench/1");
	if (!file)
		return false;
	o->measured[o->measured_count++] = file;
	return true;
}

static bool take_costs(struct parameters *p, const struct json *costs)
{
	unsigned mode = 0;

	for (const struct json *j = costs ? costs->first : NULL; j && mode < SCALE_MODES;
	     j = j->next, mode++) {
		if (strcmp(json_string(j, "mode"), scale_modes[mode]) != 0)
			return false;
		for (unsigned i = 0; i < cost_field_count; i++) {
			double cost = json_number(j, cost_fields[i].name);

			if (cost < 0)
				return false;
			*cost_of(&p->costs[mode], &cost_fields[i]) = cost;
		}
		if (p->costs[mode].remap <= 0 || p->costs[mode].write <= 0)
			return false;
	}
	return mode == SCALE_MODES;
}

/* What was measured, and how much of it was mapped then; what is assumed may be another now. */
static bool take_parameters(struct options *o, const char *path)
{
	struct json *file = read_file(path, "quire-scale/1");
	const struct json *from = json_get(file, "parameters");
	struct parameters *p = &o->parameters;
	bool good;

	if (!file)
		return false;
	p->atomic = json_number(from, "atomic");
	p->contended = json_number(from, "contended");
	p->transfer_low = json_number(from, "transfer_low");
	p->transfer = json_number(from, "transfer");
	p->transfer_high = json_number(from, "transfer_high");
	p->siblings = json_get(from, "one_core") && json_get(from, "one_core")->number > 0;
	good = p->transfer_low > 0 && p->transfer >= p->transfer_low &&
	       p->transfer_high >= p->transfer && take_costs(p, json_get(from, "costs"));
	json_free(file);
	o->taken_from = path;
	return good || refuse("its parameters are not whole", path);
}

static bool take_option(struct options *o, int option)
{
	switch (option) {
	case MEASURE:
		o->measure_only = true;
		return true;
	case PARAMETERS:
		return take_parameters(o, optarg);
	case FOOTPRINTS:
		o->footprints_path = optarg;
		return true;
	case CPUS:
		return parse_cpus(o, optarg);
	case SOCKET:
		return parse_socket(&o->parameters, optarg);
	case REMOTE:
		return parse_remote(&o->parameters, optarg);
	case VALIDATE:
		return add_measured(o, optarg);
	case QUICK:
		o->cpus_count = sizeof(few_cpus) / sizeof(few_cpus[0]);
		memcpy(o->cpus, few_cpus, sizeof(few_cpus));
		return true;
	case JSON:
		o->json = true;
		return true;
	case PLOT:
		o->plots = optarg;
		return true;
	default:
		fputs(usage, stderr);
		return false;
	}
}

static bool take_loops(struct options *o, char **names, int count)
{
	for (unsigned l = 0; l < scale_loop_count; l++)
		o->loops[l] = count == 0;
	for (int i = 0; i < count; i++) {
		unsigned l = 0;

		while (l < scale_loop_count && strcmp(scale_loops[l], names[i]) != 0)
			l++;
		if (l == scale_loop_count)
			return refuse("no such loop in the model", names[i]);
		o->loops[l] = true;
	}
	return true;
}

static void set_defaults(struct options *o)
{
	*o = (struct options){
		.footprints_path = "docs/figures/footprints.json",
		.cpus_count = sizeof(all_cpus) / sizeof(all_cpus[0]),
		.parameters = {
			.remote_low = 1.5,
			.remote = 3,
			.remote_high = 5,
			.socket = 64,
			.region_pages = 32768, /* as quire bench: 128 MiB */
			.section_pages = 16384,
			.fork_pages = 16384,
		},
	};
	memcpy(o->cpus, all_cpus, sizeof(all_cpus));
}

int options_parse(struct options *o, int argc, char **argv)
{
	int option;

	set_defaults(o);
	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			options_free(o);
			return 0;
		}
		if (!take_option(o, option)) {
			options_free(o);
			return 2;
		}
	}
	if (!take_loops(o, argv + optind, argc - optind)) {
		options_free(o);
		return 2;
	}
	if (!o->measure_only)
		o->footprints = read_file(o->footprints_path, "quire-footprints/1");
	if (o->measure_only || o->footprints)
		return -1;
	options_free(o);
	return 2;
}

void options_free(struct options *o)
{
	json_free(o->footprints);
	for (unsigned i = 0; i < o->measured_count; i++)
		json_free(o->measured[i]);
}
