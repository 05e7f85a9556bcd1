/* SPDX-License-Identifier: MIT */
/* See conditions.h. */
#define _GNU_SOURCE
#include "conditions.h"

#include <quire/quire.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

struct conditions {
	char kernel[200], cpu[200], date[32];
	double load;
	int cores; /* that the process may use */
};

static void learn_cpu(char *model, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256], *value;

	snprintf(model, size, "unknown");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "model name", 10) != 0 || !(value = strchr(line, ':')))
			continue;
		value[strcspn(value, "\n")] = 0;
		snprintf(model, size, "%s", value + 2);
		break;
	}
	if (file)
		fclose(file);
}

static struct conditions learn(void)
{
	struct conditions c = { .load = -1, .cores = 1 };
	time_t now = time(NULL);
	struct utsname names;
	struct tm utc;
	cpu_set_t set;

	uname(&names);
	snprintf(c.kernel, sizeof c.kernel, "%s %s %s", names.sysname, names.release,
		 names.machine);
	learn_cpu(c.cpu, sizeof c.cpu);
	strftime(c.date, sizeof c.date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	getloadavg(&c.load, 1);
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		c.cores = CPU_COUNT(&set);
	return c;
}

static void print_member(const char *key, const char *value)
{
	printf("    \"%s\": \"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		if ((unsigned char)*value >= ' ')
			putchar(*value);
	}
	printf("\",\n");
}

void conditions_line(const char *what)
{
	struct conditions c = learn();

	printf("quire %s, soft port%s; %s; %s, %d cores, load %.2f; %s; %s\n", quire_version(),
	       what, COMPILER, c.cpu, c.cores, c.load, c.kernel, c.date);
}

void conditions_json(const char *command)
{
	struct conditions c = learn();

	print_member("version", quire_version());
	print_member("port", "soft");
	print_member("command", command);
	print_member("kernel", c.kernel);
	print_member("cpu", c.cpu);
	print_member("compiler", COMPILER);
	print_member("date", c.date);
	printf("    \"cores\": %d,\n    \"load\": %.2f", c.cores, c.load);
}
