/* SPDX-License-Identifier: MIT */
/*
 * Instructions: the program runs itself once more, under callgrind, which counts in retry_pass only
 * and writes one file each time it returns. So the n-th file is the n-th point's.
 */
#define _GNU_SOURCE
#include "retry.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH 4200
#define WORD(text) (char *)(uintptr_t)text /* exec takes them unconst, and leaves them be */

/* The line "totals: N" of one of callgrind's files, which is taken away. 0: there is none. */
static uint64_t read_total(const char *path)
{
	FILE *opened = fopen(path, "r");
	char line[512];
	uint64_t total = 0;

	if (!opened)
		return 0;
	while (fgets(line, sizeof line, opened))
		if (sscanf(line, "totals: %" SCNu64, &total) == 1)
			break;
	fclose(opened);
	unlink(path);
	return total;
}

static _Noreturn void become_callgrind(char *out, char **names)
{
	static char self[4096];
	char *arguments[8 + MOST_OPERATIONS + 1] = {
		WORD("valgrind"),
		WORD("--tool=callgrind"),
		WORD("--collect-atstart=no"),
		WORD("--toggle-collect=retry_pass"),
		WORD("--dump-after=retry_pass"),
		out,
		self,
		WORD("--counting"),
	};
	int null = open("/dev/null", O_WRONLY);

	if (null < 0 || readlink("/proc/self/exe", self, sizeof self - 1) < 0)
		_exit(1);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	for (size_t i = 0; names[i]; i++)
		arguments[8 + i] = names[i];
	execvp(arguments[0], arguments);
	_exit(1);
}

static bool run_child(const char *directory, char **names)
{
	char out[PATH];
	int status;
	pid_t child;

	snprintf(out, sizeof out, "--callgrind-out-file=%s/out", directory);
	child = fork();
	if (child == 0)
		become_callgrind(out, names);
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

bool retry_count(struct points *points, const struct retry_options *options)
{
	char directory[] = "/tmp/quire-retry-XXXXXX", path[PATH];
	bool good = mkdtemp(directory) && run_child(directory, options->names);

	for (size_t i = 0; i < points->count; i++) {
		uint64_t total;

		snprintf(path, sizeof path, "%s/out.%zu", directory, i + 1);
		total = read_total(path);
		points->at[i].instructions = (double)total / COUNTED_FAULTS;
		good &= total != 0;
	}
	snprintf(path, sizeof path, "%s/out", directory);
	unlink(path);
	rmdir(directory);
	if (!good)
		fprintf(stderr, "retry: can't count: `valgrind --tool=callgrind` does not run this "
				"program; --no-instructions leaves them out\n");
	return good;
}
