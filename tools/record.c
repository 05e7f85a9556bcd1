/* SPDX-License-Identifier: MIT */
/*
 * quire record: run a program and write down what it does with its memory.
 *
 * The program's process is made, seized and watched before it executes anything of the program:
 *
 *   recorder                           child
 *   fork          ────────────────►   waits
 *   PTRACE_SEIZE, perf events
 *   go            ────────────────►   seccomp filter, execvp  ──► the program
 *                 ◄── errno, if it fails
 *   trace until all its offspring have ended, then merge and write
 */
#define _GNU_SOURCE
#include "commands.h"
#include "progress.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	EXIT_TROUBLE = 2,
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
};

struct options {
	const char *file;
	char **command;
	bool allow_lost;
	bool quiet;
};

/* The child tells in this form why there is no program. */
struct start_failure {
	int error;
	bool in_exec;
};

struct program {
	pid_t pid;
	int go;	    /* a byte written here starts it */
	int failed; /* a struct start_failure comes from here, or the end of the file */
};

static const char usage[] =
	"usage: quire record [-q] [--allow-lost] [--progress] -o FILE [--] COMMAND [ARGUMENT...]\n";

static const char help[] =
	"Run a program and record every memory system call and page fault of it and of all its\n"
	"offspring into FILE, gzip text.\n"
	"\n"
	"  -o, --output FILE  where the trace goes; it appears when it is complete\n"
	"      --allow-lost   succeed even if the kernel had to drop records; the trace tells it\n"
	"      --progress     show a progress bar even if stderr is not a terminal\n"
	"  -q, --quiet        no summary\n"
	"  -h, --help         this text\n"
	"\n"
	"The exit status is the program's, 128 plus the signal that killed it, 127 if there is no\n"
	"such program, 126 if it can't be executed, 2 if it can't be recorded.\n";

static int trouble(const char *what)
{
	fprintf(stderr, "quire record: %s\n", what);
	return EXIT_TROUBLE;
}

/* => -1 go on, else exit with that */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum { ALLOW_LOST = 256, PROGRESS };
	static const struct option longs[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "allow-lost", no_argument, NULL, ALLOW_LOST },
		{ "progress", no_argument, NULL, PROGRESS },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+o:qh", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			options->file = optarg;
			break;
		case 'q':
			options->quiet = true;
			break;
		case ALLOW_LOST:
			options->allow_lost = true;
			break;
		case PROGRESS:
			progress_force();
			break;
		case 'h':
			fputs(usage, stdout);
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_TROUBLE;
		}
	}
	if (!options->file || optind == argc) {
		fputs(usage, stderr);
		return EXIT_TROUBLE;
	}
	options->command = argv + optind;
	return -1;
}

/* The child's side. */
static _Noreturn void run_program(char **command, int go, int failed)
{
	struct start_failure failure = { 0 };
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(EXIT_TROUBLE);
	if (calls_filter()) {
		failure.in_exec = true;
		execvp(command[0], command);
	}
	failure.error = errno;
	if (write(failed, &failure, sizeof(failure)) != sizeof(failure))
		_exit(EXIT_TROUBLE);
	_exit(EXIT_NOT_FOUND);
}

/* => false with errno */
static bool make_program(struct program *program, char **command)
{
	int go[2], failed[2];

	if (pipe2(go, O_CLOEXEC) != 0)
		return false;
	if (pipe2(failed, O_CLOEXEC) == 0) {
		program->pid = fork();
		if (program->pid == 0) {
			close(go[1]); /* so that the recorder's death is seen */
			run_program(command, go[0], failed[1]);
		}
		close(failed[1]);
		if (program->pid > 0) {
			close(go[0]);
			program->go = go[1];
			program->failed = failed[0];
			return true;
		}
		close(failed[0]);
	}
	close(go[0]);
	close(go[1]);
	return false;
}

static void give_up(struct program *program)
{
	kill(program->pid, SIGKILL);
	waitpid(program->pid, NULL, 0);
	close(program->go);
	close(program->failed);
}

static volatile sig_atomic_t program_pid;

static void pass_on(int signal)
{
	kill((pid_t)program_pid, signal);
}

/* The terminal's signals reach the program too: let it decide. Those sent to us are passed on. */
static void set_signals(pid_t pid)
{
	static const int passed[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	struct sigaction action = { .sa_handler = SIG_IGN, .sa_flags = SA_RESTART };

	program_pid = pid;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGQUIT, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	action.sa_handler = pass_on;
	for (size_t i = 0; i < sizeof(passed) / sizeof(*passed); i++)
		sigaction(passed[i], &action, NULL);
}

/* What the exit status of the recorder should be for that of the program. */
static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Trace the program to its end. => its exit status; *started: there was a program to run */
static int watch(struct recording *recording, struct program *program, const char *name,
		 bool *started)
{
	struct start_failure failure;
	int status;

	set_signals(program->pid);
	*started = false;
	if (write(program->go, "", 1) != 1)
		return trouble("the process ended before it began");
	close(program->go);
	status = calls_trace(recording, program->pid);
	*started = read(program->failed, &failure, sizeof(failure)) != sizeof(failure);
	close(program->failed);
	if (*started)
		return exit_status(status);
	if (!failure.in_exec) {
		fprintf(stderr, "quire record: seccomp: %s\n", strerror(failure.error));
		return EXIT_TROUBLE;
	}
	fprintf(stderr, "quire record: %s: %s\n", name, strerror(failure.error));
	return failure.error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* Run and record. => the exit status; *started as in watch() */
static int record(struct recording *recording, const struct options *options, bool *started)
{
	char message[256];
	struct program program;
	struct faults *faults;
	int status;

	*started = false;
	if (!make_program(&program, options->command))
		return trouble(strerror(errno));
	if (ptrace(PTRACE_SEIZE, program.pid, NULL, (void *)(intptr_t)calls_options) != 0) {
		snprintf(message, sizeof(message),
			 "ptrace: %s (not allowed here, or already traced)", strerror(errno));
		give_up(&program);
		return trouble(message);
	}
	faults = faults_start(recording, program.pid, record_calls, record_call_count, message,
			      sizeof(message));
	if (!faults) {
		give_up(&program);
		return trouble(message);
	}
	status = watch(recording, &program, options->command[0], started);
	faults_stop(faults);
	return status;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Write the file. => the exit status, which is `status` if all is well; the writer is gone */
static int finish(struct recording *recording, const struct options *options,
		  struct trace_writer *writer, int status)
{
	struct trace_error error;

	if (recording->log_failed || recording->faults_failed) {
		trace_abort(writer);
		return trouble("out of memory: the recording is not complete");
	}
	if (!record_merge(recording, writer, base_name(options->command[0]), &error) ||
	    !trace_commit(writer, &error)) {
		trace_abort(writer);
		return trouble(error.text);
	}
	if (!options->quiet)
		fprintf(stderr, "quire record: %s: %zu faults, %zu other events\n", options->file,
			recording->fault_count, recording->log_count);
	if (recording->lost == 0)
		return status;
	fprintf(stderr, "quire record: %s: the kernel dropped %" PRIu64 " records\n", options->file,
		recording->lost);
	return options->allow_lost ? status : EXIT_TROUBLE;
}

int record_main(int argc, char **argv)
{
	struct options options = { 0 };
	struct recording recording = { 0 };
	struct trace_error error;
	struct trace_writer *writer;
	bool started;
	int status = parse_options(argc, argv, &options);

	if (status >= 0)
		return status;
	writer = trace_create(options.file, &error);
	if (!writer)
		return trouble(error.text);
	status = record(&recording, &options, &started);
	if (started)
		status = finish(&recording, &options, writer, status);
	else
		trace_abort(writer);
	record_free(&recording);
	return status;
}
