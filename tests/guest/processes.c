/* SPDX-License-Identifier: MIT */
/*
 * Processes: fork, vfork, posix_spawn, exec, wait, pipes, descriptors across them. The program
 * starts itself again: a first argument "-..." says what the new one is to do.
 */
#include "tap.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static char self[PATH_MAX];

static pid_t start(const char *what, const char *argument)
{
	pid_t child = fork();

	if (child == 0) {
		execl(self, self, what, argument, NULL);
		_exit(126);
	}
	return child;
}

static void forks(void)
{
	pid_t parent = getpid(), child = fork();

	if (child == 0)
		_exit(getppid() == parent && getpid() != parent ? 21 : 1);
	check(exited(child, 21));
	fails(waitpid(child, NULL, 0), ECHILD);
	fails(waitpid(-1, NULL, 0), ECHILD);
	need((child = fork()) >= 0);
	if (child == 0) {
		usleep(50000);
		_exit(0);
	}
	check(waitpid(child, NULL, WNOHANG) == 0);
	fails(waitpid(child, NULL, 12345678), EINVAL);
	check(exited(child, 0));
}

static void waits(void)
{
	siginfo_t info;
	pid_t child = fork();

	if (child == 0)
		_exit(9);
	check(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
	check(info.si_pid == child && info.si_status == 9 && info.si_code == CLD_EXITED);
	struct rusage usage;
	int status;
	check(wait4(child, &status, 0, &usage) == child && WEXITSTATUS(status) == 9);
	need((child = fork()) >= 0);
	if (child == 0)
		raise(SIGKILL);
	check(waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_code == CLD_KILLED &&
	      info.si_status == SIGKILL);
}

static void vforks(void)
{
	volatile int shared = 1;
	pid_t child = vfork();

	if (child == 0) {
		shared = 2;
		execl(self, self, "-exit", "17", NULL);
		_exit(1);
	}
	/* The memory is the parent's, which waited. */
	check(shared == 2 && exited(child, 17));
	child = vfork();
	if (child == 0) {
		execl("/nowhere", "nowhere", NULL);
		shared = errno;
		_exit(3);
	}
	check(shared == ENOENT && exited(child, 3));
}

static void spawns(void)
{
	char *words[] = { self, (char *)"-exit", (char *)"12", NULL }, *none[] = { NULL };
	pid_t child;

	need(posix_spawn(&child, self, NULL, NULL, words, none) == 0);
	check(exited(child, 12));
	check(posix_spawn(&child, "/nowhere", NULL, NULL, words, none) == ENOENT);
}

static void execs(void)
{
	int kept = open("/dev/null", O_RDONLY), closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char text[32];

	need(kept >= 0 && closed >= 0);
	check(exited(start("-exit", "200"), 200));
	snprintf(text, sizeof(text), "%d", kept);
	check(exited(start("-open", text), 0));
	snprintf(text, sizeof(text), "%d", closed);
	check(exited(start("-open", text), 1));
	check(setenv("QUIRE_TEST", "value", 1) == 0 && exited(start("-environment", "value"), 0));
	/* Handlers go, what is ignored and what is blocked stays. */
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	sigprocmask(SIG_BLOCK, &one, NULL);
	signal(SIGUSR1, SIG_IGN);
	check(exited(start("-signals", ""), 0));
}

static void exec_errors(void)
{
	char *words[] = { self, NULL };
	int file = open("/tmp/script", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	need(file >= 0 && write(file, "#!", 2) == 2 && close(file) == 0);
	fails(execv("/nowhere", words), ENOENT);
	fails(execv("/tmp/script", words), EACCES);
	fails(execv("/tmp", words), EACCES);
	fails(syscall(SYS_execve, 8ul, words, NULL), EFAULT);
	fails(syscall(SYS_execve, self, 8ul, NULL), EFAULT);
	char *bad[] = { self, (char *)8, NULL };
	fails(execv(self, bad), EFAULT);
	char **many = calloc(40000, sizeof(*many)), *long_word = malloc(140000);
	need(many && long_word);
	memset(long_word, 'x', 139999);
	long_word[139999] = 0;
	many[0] = long_word;
	fails(execv(self, many), E2BIG);
	check(unlink("/tmp/script") == 0);
}

static void long_arguments(void)
{
	enum { COUNT = 500, LENGTH = 1000 };
	char *words[COUNT + 4] = { self, (char *)"-count", (char *)"500" };
	pid_t child;

	for (int i = 0; i < COUNT; i++) {
		need((words[3 + i] = malloc(LENGTH + 1)) != NULL);
		memset(words[3 + i], 'a' + i % 26, LENGTH);
		words[3 + i][LENGTH] = 0;
	}
	need((child = fork()) >= 0);
	if (child == 0) {
		execv(self, words);
		_exit(126);
	}
	check(exited(child, 0));
}

static void *execs_from_here(void *unused)
{
	(void)unused;
	execl(self, self, "-leader", "", NULL);
	_exit(126);
}

static void *never_ends(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static void exec_from_a_thread(void)
{
	pid_t child = fork();
	pthread_t thread;

	if (child == 0) {
		for (int i = 0; i < 4; i++)
			pthread_create(&thread, NULL, never_ends, NULL);
		pthread_create(&thread, NULL, execs_from_here, NULL);
		never_ends(NULL);
	}
	check(exited(child, 0));
}

static void pipes(void)
{
	static char block[200000];
	int ends[2];
	size_t total = 0;
	pid_t child;

	need(pipe(ends) == 0 && (child = fork()) >= 0);
	if (child == 0) {
		close(ends[0]);
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)(i * 7);
		_exit(write(ends[1], block, sizeof(block)) == sizeof(block) ? 0 : 1);
	}
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], block + total, 7777)) > 0;)
		total += (size_t)n;
	check(total == sizeof(block) && exited(child, 0));
	for (size_t i = 0; i < total; i++)
		if (block[i] != (char)(i * 7))
			need(false);
	/* Nobody reads: a signal, or an error. */
	need(pipe(ends) == 0 && close(ends[0]) == 0 && (child = fork()) >= 0);
	if (child == 0)
		_exit(write(ends[1], "x", 1) == 1);
	check(killed(child, SIGPIPE));
	signal(SIGPIPE, SIG_IGN);
	fails(write(ends[1], "x", 1), EPIPE);
	need(pipe2(ends, O_NONBLOCK) == 0);
	fails(read(ends[0], block, 1), EAGAIN);
	while (write(ends[1], block, 4096) == 4096)
		;
	check(errno == EAGAIN);
	struct pollfd both[2] = { { ends[0], POLLIN, 0 }, { ends[1], POLLOUT, 0 } };
	check(poll(both, 2, 0) == 1 && both[0].revents == POLLIN && both[1].revents == 0);
}

static void descriptors(void)
{
	int ends[2], other;
	char byte;

	need(pipe(ends) == 0 && (other = dup(ends[1])) > ends[1]);
	check(dup2(other, 100) == 100 && write(100, "z", 1) == 1 && read(ends[0], &byte, 1) == 1);
	check(dup2(100, 100) == 100 && fcntl(100, F_GETFD) == 0);
	check(dup3(100, 101, O_CLOEXEC) == 101 && fcntl(101, F_GETFD) == FD_CLOEXEC);
	fails(dup3(100, 100, 0), EINVAL);
	fails(dup2(55, 56), EBADF);
	fails(dup2(100, 1 << 20), EBADF);
	check(fcntl(100, F_DUPFD, 100) == 102);
	fails(close(55), EBADF);
	/* The pipe ends when its last writer has gone. */
	close(ends[1]), close(other), close(100), close(101);
	check(write(102, "y", 1) == 1 && close(102) == 0);
	check(read(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 0);
}

static void orphans(void)
{
	int ends[2];
	pid_t child, found = -1;

	need(pipe(ends) == 0 && (child = fork()) >= 0);
	if (child == 0) {
		if (fork() == 0) {
			pid_t parent;

			for (int i = 0; i < 1000 && (parent = getppid()) != 1; i++)
				usleep(1000);
			_exit(write(ends[1], &parent, sizeof(parent)) != sizeof(parent));
		}
		_exit(0);
	}
	check(exited(child, 0) && read(ends[0], &found, sizeof(found)) == sizeof(found));
	/* Whoever gathers them is the first process, or one that was appointed. */
	check(found > 0 && found != getpid());
}

static void groups(void)
{
	pid_t child = fork();

	if (child == 0) {
		if (setpgid(0, 0) != 0 || getpgid(0) != getpid())
			_exit(1);
		if (fork() == 0)
			for (;;)
				pause();
		kill(0, SIGTERM);
		pause();
	}
	check(killed(child, SIGTERM));
	if ((child = fork()) == 0)
		_exit(setsid() == getpid() && getsid(0) == getpid() && getpgid(0) == getpid() ? 0
											      : 1);
	check(exited(child, 0));
	fails(setpgid(getpid(), 0x3fffffff), EPERM);
}

static void many(void)
{
	pid_t children[60];
	int sum = 0, status;

	for (int i = 0; i < 60; i++) {
		need((children[i] = fork()) >= 0);
		if (children[i] == 0)
			_exit(i);
	}
	for (int i = 0; i < 60; i++)
		if (waitpid(-1, &status, 0) > 0 && WIFEXITED(status))
			sum += WEXITSTATUS(status);
	check(sum == 59 * 60 / 2);
	for (int i = 0; i < 20; i++)
		check(exited(start("-exit", "1"), 1));
}

/* What the new program does; its exit status. */
static int started(char **argv)
{
	sigset_t blocked;

	if (strcmp(argv[1], "-exit") == 0)
		return atoi(argv[2]);
	if (strcmp(argv[1], "-open") == 0)
		return fcntl(atoi(argv[2]), F_GETFD) < 0;
	if (strcmp(argv[1], "-environment") == 0)
		return !getenv("QUIRE_TEST") || strcmp(getenv("QUIRE_TEST"), argv[2]) != 0;
	if (strcmp(argv[1], "-leader") == 0)
		return syscall(SYS_gettid) != getpid();
	if (strcmp(argv[1], "-count") == 0) {
		int i = 0;

		while (i < 500 && argv[3 + i] && strlen(argv[3 + i]) == 1000 &&
		       argv[3 + i][999] == 'a' + i % 26)
			i++;
		return i != 500 || argv[503];
	}
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	return !sigismember(&blocked, SIGUSR2) || signal(SIGUSR1, SIG_DFL) != SIG_IGN;
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		CASE(forks),	   CASE(waits),
		CASE(vforks),	   CASE(spawns),
		CASE(execs),	   CASE(exec_errors),
		CASE(pipes),	   CASE(long_arguments),
		CASE(descriptors), CASE(exec_from_a_thread),
		CASE(orphans),	   CASE(groups),
		CASE(many),
	};

	if (argc > 1 && argv[1][0] == '-')
		return started(argv);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		snprintf(self, sizeof(self), "%s", argv[0]);
	return tap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
