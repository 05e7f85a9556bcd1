/* SPDX-License-Identifier: MIT */
/*
 * The test programs of the guest. They ask only for what Linux promises, so they pass on Linux as
 * well: run them there first.
 *
 *     main ──► for each case: fork ──► the case ──► exit status: 0, FAILED, SKIPPED
 *                               └── "ok" or "not ok" (TAP); if it dies: "not ok"
 *
 * With the names of cases as arguments these run alone, in the first process: under a debugger, or
 * while fork is broken.
 */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

enum { FAILED = 1, SKIPPED = 77, CASE_SECONDS = 60 };

struct tap_case {
	const char *name;
	void (*run)(void);
};

static int tap_failures;

/* The case goes on after a failure. Evaluates to whether it held. */
#define check(condition) tap_check((condition), #condition, __FILE__, __LINE__)
/* The call returns -1 and sets errno so. */
#define fails(call, error)                                                                         \
	({                                                                                         \
		errno = 0;                                                                         \
		tap_fails((long)(call), (error), #call, __FILE__, __LINE__);                       \
	})
/* What nothing that follows could do without. */
#define need(condition)                                                                            \
	do {                                                                                       \
		if (!check(condition))                                                             \
			exit(FAILED);                                                              \
	} while (0)

static inline bool tap_check(bool held, const char *text, const char *file, int line)
{
	if (!held) {
		printf("# %s:%d: %s: failed (errno %d)\n", file, line, text, errno);
		tap_failures++;
	}
	return held;
}

static inline bool tap_fails(long result, int error, const char *text, const char *file, int line)
{
	bool held = result == -1 && errno == error;

	if (!held) {
		printf("# %s:%d: %s: %ld, errno %d (%s), not %d (%s)\n", file, line, text, result,
		       errno, strerror(errno), error, strerror(error));
		tap_failures++;
	}
	return held;
}

static inline void skip(const char *reason)
{
	printf("# skipped: %s\n", reason);
	exit(SKIPPED);
}

/* Waits for a child and returns how it ended, as waitpid says. */
static inline int ended(pid_t child)
{
	int status = -1;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static inline bool exited(pid_t child, int code)
{
	int status = ended(child);

	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static inline bool killed(pid_t child, int by)
{
	int status = ended(child);

	return WIFSIGNALED(status) && WTERMSIG(status) == by;
}

static inline int tap_run(const struct tap_case *one, int number)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		alarm(CASE_SECONDS);
		one->run();
		exit(tap_failures ? FAILED : EXIT_SUCCESS);
	}
	status = child < 0 ? -1 : ended(child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		printf("ok %d # SKIP %s\n", number, one->name);
		return 0;
	}
	if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == FAILED))
		printf("# %s: wait status 0x%x\n", one->name, (unsigned)status);
	printf("%s %d %s\n", status == 0 ? "ok" : "not ok", number, one->name);
	return status != 0;
}

static inline int tap_main(int argc, char **argv, const struct tap_case *cases, size_t count)
{
	int failed = 0;

	/* Nothing is left in a buffer that fork would double. */
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 1; i < argc; i++)
		for (size_t j = 0; j < count; j++)
			if (strcmp(argv[i], cases[j].name) == 0)
				cases[j].run();
	if (argc > 1)
		return tap_failures ? FAILED : EXIT_SUCCESS;
	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++)
		failed += tap_run(&cases[i], (int)i + 1);
	return failed ? FAILED : EXIT_SUCCESS;
}

#define TAP_MAIN(...)                                                                              \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct tap_case cases[] = { __VA_ARGS__ };                            \
                                                                                                   \
		return tap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));                \
	}

/* Private anonymous memory; the test can't go on without it. */
static inline unsigned char *memory(size_t pages, int protection)
{
	void *p = mmap(NULL, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

/* A file without a name, of so many pages; the first byte of each is its number + 1. */
static inline int file_of(size_t pages)
{
	int file = memfd_create("test", 0);

	need(file >= 0 && ftruncate(file, (off_t)(pages * PAGE)) == 0);
	for (size_t i = 0; i < pages; i++) {
		unsigned char byte = (unsigned char)(i + 1);

		need(pwrite(file, &byte, 1, (off_t)(i * PAGE)) == 1);
	}
	return file;
}

#endif
