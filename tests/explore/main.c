/* SPDX-License-Identifier: MIT */
/* The explorer's command: runs scenarios, all or those named; prints TAP. */
#include "explore.h"
#include "generate.h"
#include "linear.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct scenario *const __start_scenarios[], *const __stop_scenarios[];

static const char usage[] =
	"usage: explore [OPTION]... [SCENARIO]...\n"
	"  --list              name the scenarios\n"
	"  --bound N           preemptions in a schedule (2)\n"
	"  --memory M          consistent, tso, out-of-order (consistent)\n"
	"  --delays N          stores held back in a schedule of a weak memory (1)\n"
	"  --mode M            speculative, vma-lock, classic (speculative)\n"
	"  --file NAME         the scenarios of one file only\n"
	"  --seconds S         for each scenario at most (120)\n"
	"  --schedules N       for each scenario at most (no bound)\n"
	"  --partial           a search that is cut off by these is no failure\n"
	"  --random N          N random priority schedules instead of all\n"
	"  --seed N            of these (1)\n"
	"  --generate N        N scenarios made at random (tests/explore/generate.c), instead of\n"
	"                      those of the files; the first from --seed, the next from one more\n"
	"  --self-test         of what judges these (tests/explore/linear.c)\n"
	"  --replay ID         one schedule of one scenario\n"
	"  --no-cuts           follow known states too (to test the explorer)\n"
	"  --compare           memory must be the same where a state is met again (the same)\n"
	"  --print             each access to shared memory (with --replay)\n";

static const char *program;

static const char *const memories[] = { "consistent", "tso", "out-of-order", NULL };
static const char *const modes[] = { "speculative", "vma-lock", "classic", NULL };

static _Noreturn void refuse(const char *what, const char *why)
{
	fprintf(stderr, "explore: %s: %s; see --help\n", what, why);
	exit(2);
}

static unsigned one_of(const char *const *names, const char *name)
{
	for (unsigned i = 0; names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	refuse(name, "unknown");
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != 0)
		refuse(text, "not a number");
	if (errno != 0 || value < least || value > most)
		refuse(text, "out of range");
	return value;
}

/* What the command line asks for. */
struct request {
	struct explore_options options;
	uint64_t generated;
	bool list, partial;
	const char *file, **names;
};

static bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool in_file(const struct scenario *scenario, const char *file)
{
	const char *name = strrchr(scenario->file, '/');

	name = name ? name + 1 : scenario->file;
	return begins(name, file) && strcmp(name + strlen(file), ".c") == 0;
}

static bool wanted(const struct scenario *scenario, const struct request *r)
{
	if ((r->file && !in_file(scenario, r->file)) ||
	    (r->options.mode != QUIRE_SPECULATIVE && scenario->speculative_only))
		return false;
	if (*r->names == NULL)
		return true;
	for (const char **name = r->names; *name; name++)
		if (begins(scenario->name, *name))
			return true;
	return false;
}

static const char *how(const struct explore_options *o)
{
	static char text[64];

	if (o->memory == EXPLORE_CONSISTENT)
		return "";
	snprintf(text, sizeof(text), " --memory %s --delays %u", memories[o->memory], o->delays);
	return text;
}

/* The explorer's own tests must fail, and as they say. */
static void judge(const struct scenario *scenario, const struct explore_options *o,
		  struct explore_result *r)
{
	if (scenario->fails == NULL || o->memory < scenario->fails_in)
		return;
	if (!r->failed && o->random)
		return; /* what is random need not find it */
	if (r->failed) {
		r->failed = strstr(r->message, scenario->fails) == NULL;
	} else {
		r->failed = true;
		snprintf(r->message, sizeof(r->message), "holds, but should fail: %s",
			 scenario->fails);
	}
}

/* What names the scenario in a command. */
static const char *selector(const struct scenario *scenario, const struct explore_options *o)
{
	static char text[64];

	if (scenario->file)
		return scenario->name;
	snprintf(text, sizeof(text), "--generate 1 --seed %llu", (unsigned long long)o->seed);
	return text;
}

static bool run(const struct scenario *scenario, const struct explore_options *o, bool partial,
		unsigned number_)
{
	struct explore_result r;

	explore(scenario, o, &r);
	judge(scenario, o, &r);
	if (!r.failed && !r.complete && !partial && !o->random && !o->replay && !scenario->fails) {
		r.failed = true;
		snprintf(r.message, sizeof(r.message), "cut off before its end");
	}
	printf("%s %u - %s: %s\n", r.failed ? "not ok" : "ok", number_, scenario->name,
	       scenario->about);
	printf("# %llu schedules (%llu cut, %llu with earlier passes), %llu different ends, "
	       "%u shared locations, %.2f s%s",
	       (unsigned long long)r.schedules, (unsigned long long)r.pruned,
	       (unsigned long long)r.total, (unsigned long long)r.ends, r.shared, r.seconds,
	       r.complete ? ", complete" : "");
	if (o->random)
		printf(", seed %llu", (unsigned long long)o->seed);
	putchar('\n');
	if (r.failed)
		printf("# %s\n", r.message);
	if (r.failed && r.id[0])
		printf("# replay: %s --mode %s%s --print --replay %s %s\n", program, modes[o->mode],
		       how(o), r.id, selector(scenario, o));
	fflush(stdout);
	return !r.failed;
}

static int run_generated(uint64_t count, struct explore_options *o, bool partial)
{
	unsigned bad = 0;

	if (o->mode != QUIRE_SPECULATIVE) {
		fprintf(stderr, "explore: generated scenarios are for speculative spaces\n");
		return 2;
	}
	for (unsigned i = 1; i <= count; i++, o->seed++) {
		if (run(generate(o->seed, o->memory), o, partial, i))
			continue;
		bad++;
		generate_print();
	}
	printf("1..%llu\n", (unsigned long long)count);
	return bad != 0;
}

static void read_options(int argc, char **argv, struct request *r)
{
	static const struct option long_options[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "bound", required_argument, NULL, 'b' },
		{ "memory", required_argument, NULL, 'm' },
		{ "delays", required_argument, NULL, 'd' },
		{ "mode", required_argument, NULL, 'M' },
		{ "seconds", required_argument, NULL, 's' },
		{ "schedules", required_argument, NULL, 'n' },
		{ "random", required_argument, NULL, 'r' },
		{ "seed", required_argument, NULL, 'S' },
		{ "replay", required_argument, NULL, 'R' },
		{ "file", required_argument, NULL, 'f' },
		{ "partial", no_argument, NULL, 'P' },
		{ "no-cuts", no_argument, NULL, 'c' },
		{ "compare", no_argument, NULL, 'C' },
		{ "generate", required_argument, NULL, 'g' },
		{ "self-test", no_argument, NULL, 't' },
		{ "print", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct explore_options *o = &r->options;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'l':
			r->list = true;
			break;
		case 'b':
			o->preemptions = (unsigned)number(optarg, 0, 1000);
			break;
		case 'm':
			o->memory = (enum explore_memory)one_of(memories, optarg);
			break;
		case 'd':
			o->delays = (unsigned)number(optarg, 0, 1000);
			break;
		case 'M':
			o->mode = (enum quire_mode)one_of(modes, optarg);
			break;
		case 's':
			o->seconds = (double)number(optarg, 1, 1000000000);
			break;
		case 'n':
			o->schedules = number(optarg, 1, UINT64_MAX);
			break;
		case 'r':
			o->random = number(optarg, 1, UINT64_MAX);
			break;
		case 'S':
			o->seed = number(optarg, 0, UINT64_MAX);
			break;
		case 'R':
			o->replay = optarg;
			break;
		case 'f':
			r->file = optarg;
			break;
		case 'g':
			r->generated = number(optarg, 1, UINT32_MAX);
			break;
		case 't':
			exit(linear_self_test() != 0);
		case 'P':
			r->partial = true;
			break;
		case 'c':
			o->no_cuts = true;
			break;
		case 'C':
			o->compare = true;
			break;
		case 'p':
			o->print = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs("explore: see --help\n", stderr);
			exit(2);
		}
	}
	r->names = (const char **)argv + optind;
}

/* Each name must mean something, and no option may be passed over in silence. */
static void check_request(const struct request *r)
{
	const struct explore_options *o = &r->options;

	if (r->generated && (*r->names || r->file))
		refuse("--generate", "makes its scenarios itself");
	if (o->replay && (o->random || r->generated > 1))
		refuse("--replay", "is of one schedule of one scenario");
	if (o->print && !o->replay)
		refuse("--print", "goes with --replay");
	for (const char **name = r->names; *name; name++) {
		bool known = false;

		for (const struct scenario *const *s = __start_scenarios; s < __stop_scenarios; s++)
			known |= **name && begins((*s)->name, *name);
		if (!known)
			refuse(*name, "no such scenario");
	}
}

static int run_all(const struct request *r)
{
	unsigned count = 0, bad = 0;

	for (const struct scenario *const *s = __start_scenarios; s < __stop_scenarios; s++) {
		if (!wanted(*s, r))
			continue;
		count++;
		if (r->list)
			printf("%-40s %s\n", (*s)->name, (*s)->about);
		else
			bad += !run(*s, &r->options, r->partial, count);
	}
	if (count == 0 && r->file && r->options.mode == QUIRE_SPECULATIVE)
		refuse(r->file, "no scenarios there");
	if (!r->list)
		printf("1..%u\n", count);
	return bad != 0;
}

int main(int argc, char **argv)
{
	struct request r = {
		.options = { .preemptions = 2, .delays = 1, .seconds = 120, .seed = 1 },
	};

	program = argv[0];
	read_options(argc, argv, &r);
	check_request(&r);
	return r.generated ? run_generated(r.generated, &r.options, r.partial) : run_all(&r);
}
