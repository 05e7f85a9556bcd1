/* SPDX-License-Identifier: MIT */
/*
 * The first process of the guest's tests: runs one program after the other, "run
 * PROGRAM[,ARGUMENT]...", says how each ended, and gathers whatever is left behind. One that is not
 * ready in time is ended. Exit status: 1 if one failed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 16, PATIENCE = 120 };

static volatile sig_atomic_t late;

static void out_of_time(int signal)
{
	(void)signal;
	late = 1;
}

static pid_t start(char *text)
{
	char *words[WORDS + 1];
	size_t count = 0;
	pid_t child;

	for (char *word = strtok(text, ","); word && count < WORDS; word = strtok(NULL, ","))
		words[count++] = word;
	words[count] = NULL;
	child = fork();
	if (child == 0) {
		setpgid(0, 0);
		execv(words[0], words);
		printf("not ok 1 %s: %s\n", words[0], strerror(errno));
		_exit(126);
	}
	return child;
}

static int wait_for(pid_t child)
{
	int status;
	pid_t who;

	late = 0;
	alarm(PATIENCE);
	while ((who = waitpid(-1, &status, 0)) != child)
		if (who < 0 && (errno != EINTR || late)) {
			kill(-child, SIGKILL);
			late = 0;
		}
	alarm(0);
	return status;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = out_of_time };
	int failed = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	sigaction(SIGALRM, &action, NULL);
	for (int i = 1; i < argc; i++) {
		printf("# %s\n", argv[i]);
		int status = wait_for(start(argv[i]));

		if (WIFSIGNALED(status))
			printf("not ok 99 %s: signal %d\n", argv[i], WTERMSIG(status));
		failed |= status != 0;
	}
	return failed;
}
