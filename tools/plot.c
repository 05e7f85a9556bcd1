/* SPDX-License-Identifier: MIT */
/* Plots by gnuplot: see plot.h. */
#define _GNU_SOURCE
#include "plot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT "#24292f"
#define LINES "#d0d7de"

extern char **environ;

/* Run gnuplot on a script. Its output goes to a file, what it says on stderr nowhere if `quiet`. */
static bool run_gnuplot(int script, int output, bool quiet)
{
	char name[] = "gnuplot", *const arguments[] = { name, NULL };
	posix_spawn_file_actions_t actions;
	pid_t child;
	int status, r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (quiet)
		posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	r = posix_spawnp(&child, name, &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

bool plot_prepare(const char *directory)
{
	struct stat there;
	int null;
	bool runs;

	if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
		fprintf(stderr, "quire: %s: %s\n", directory, strerror(errno));
		return false;
	}
	if (stat(directory, &there) != 0 || !S_ISDIR(there.st_mode) ||
	    access(directory, W_OK | X_OK) != 0) {
		fprintf(stderr, "quire: %s: not a directory that can be written\n", directory);
		return false;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	runs = null >= 0 && run_gnuplot(null, null, true);
	close(null);
	if (!runs)
		fprintf(stderr, "quire: plots need gnuplot (Debian: gnuplot-nox), which does not "
				"run\n");
	return runs;
}

bool plot_open(struct plot *plot, const char *directory, const char *name, unsigned width,
	       unsigned height)
{
	snprintf(plot->path, sizeof plot->path, "%s/%s.svg", directory, name);
	plot->script = tmpfile();
	if (!plot->script) {
		perror("quire: plot");
		return false;
	}
	fprintf(plot->script,
		"set terminal svg size %u,%u noenhanced font 'sans-serif,12' background '#ffffff'\n"
		"set encoding utf8\n"
		"set border 3 lc rgb '" LINES "'\n"
		"set tics nomirror textcolor rgb '" TEXT "'\n"
		"set title textcolor rgb '" TEXT "'\n"
		"set xlabel textcolor rgb '" TEXT "'\n"
		"set ylabel textcolor rgb '" TEXT "'\n"
		"set key textcolor rgb '" TEXT "'\n"
		"set style line 100 lc rgb '" LINES "' lw 0.7\n"
		"set grid ytics ls 100\n",
		width, height);
	return true;
}

/* The script's output, to a file beside the one that is meant, which it then becomes. */
bool plot_close(struct plot *plot)
{
	char temporary[PLOT_PATH + 8];
	int output;
	bool good;

	snprintf(temporary, sizeof temporary, "%s.new", plot->path);
	output = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	good = output >= 0 && fflush(plot->script) == 0 &&
	       lseek(fileno(plot->script), 0, SEEK_SET) == 0 &&
	       run_gnuplot(fileno(plot->script), output, false);
	if (output >= 0)
		good &= close(output) == 0;
	fclose(plot->script);
	good = good && rename(temporary, plot->path) == 0;
	if (!good) {
		fprintf(stderr, "quire: %s can't be drawn\n", plot->path);
		unlink(temporary);
	}
	return good;
}
