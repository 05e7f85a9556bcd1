/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out, with all there is in the machine: give it little (--mem 96). A child takes
 * memory until there is no more; it may be told so or be ended, and everybody else lives on. On
 * Linux a limit of the address space takes the machine's place.
 */
#include "tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

enum { LITTLE = 256, TOLD = 7 }; /* MiB; the exit status of a child that got an error */
#define RW (PROT_READ | PROT_WRITE)

static uint64_t machine;

/* Starts a child that may not take the whole of a large machine. */
static pid_t begin(void)
{
	pid_t child = fork();

	if (child == 0 && machine > (uint64_t)LITTLE << 20) {
		struct rlimit limit = { (uint64_t)LITTLE << 20, (uint64_t)LITTLE << 20 };

		setrlimit(RLIMIT_AS, &limit);
	}
	return child;
}

/* It was told, or ended by SIGKILL or SIGBUS; nothing else. */
static void over(pid_t child)
{
	int status = ended(child);

	check((WIFEXITED(status) && WEXITSTATUS(status) == TOLD) ||
	      (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGBUS)));
}

static void still_alive(void)
{
	unsigned char *p = memory(1000, RW);
	pid_t child;

	memset(p, 1, 1000 * PAGE);
	need((child = fork()) >= 0);
	if (child == 0) {
		memset(p, 2, 500 * PAGE);
		_exit(p[0] + p[999 * PAGE]);
	}
	check(exited(child, 3) && p[0] == 1);
	munmap(p, 1000 * PAGE);
}

static void anonymous(void)
{
	pid_t child = begin();

	if (child == 0) {
		for (;;) {
			unsigned char *p = mmap(NULL, 256 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS,
						-1, 0);

			if (p == MAP_FAILED)
				_exit(errno == ENOMEM ? TOLD : 1);
			memset(p, 1, 256 * PAGE);
		}
	}
	over(child);
	still_alive();
}

static void mappings(void)
{
	pid_t child = begin();

	if (child == 0) {
		/* No page at all is touched: what runs out is memory for tables of mappings, or a
		 * limit. */
		for (int i = 0; i < 300000; i++) {
			int protection = i % 2 ? PROT_READ : RW;

			if (mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			    MAP_FAILED)
				_exit(errno == ENOMEM ? TOLD : 1);
		}
		_exit(TOLD);
	}
	over(child);
	still_alive();
}

static void files(void)
{
	pid_t child = begin();

	if (child == 0) {
		static char block[65536];
		int file = memfd_create("large", 0);

		for (uint64_t size = 0; size < (uint64_t)LITTLE << 20;) {
			ssize_t written = write(file, block, sizeof(block));

			if (written <= 0)
				_exit(errno == ENOMEM || errno == ENOSPC ? TOLD : 1);
			size += (uint64_t)written;
		}
		_exit(TOLD);
	}
	over(child);
	still_alive();
}

static void processes(void)
{
	pid_t child = begin();

	if (child == 0) {
		unsigned char *p = memory(2000, RW);

		memset(p, 1, 2000 * PAGE);
		setpgid(0, 0);
		for (int i = 0; i < 40; i++) {
			pid_t next = fork();

			if (next < 0)
				break;
			if (next > 0)
				continue;
			memset(p, i, 2000 * PAGE);
			pause();
		}
		usleep(300000);
		kill(0, SIGKILL);
	}
	over(child);
	still_alive();
}

static void *waits(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

static void threads(void)
{
	pid_t child = begin();

	if (child == 0) {
		pthread_attr_t small;
		pthread_t thread;

		pthread_attr_init(&small);
		pthread_attr_setstacksize(&small, 32768);
		for (int i = 0; i < 5000; i++)
			if (pthread_create(&thread, &small, waits, NULL) != 0)
				_exit(TOLD);
		_exit(TOLD);
	}
	over(child);
	still_alive();
}

static void pipes(void)
{
	pid_t child = begin();

	if (child == 0) {
		static char block[65536];
		int ends[2];

		while (pipe2(ends, O_NONBLOCK) == 0 && write(ends[1], block, sizeof(block)) > 0)
			;
		_exit(errno == EMFILE || errno == ENFILE || errno == ENOMEM ? TOLD : 1);
	}
	over(child);
	still_alive();
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		CASE(anonymous), CASE(mappings), CASE(files),
		CASE(processes), CASE(threads),	 CASE(pipes),
	};
	struct sysinfo info;

	if (sysinfo(&info) != 0)
		return FAILED;
	machine = info.totalram * info.mem_unit;
	return tap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
