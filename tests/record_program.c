/* SPDX-License-Identifier: MIT */
/*
 * A program to be recorded: record_program WHAT.
 *
 *   calls    makes every call, well and badly, faults in every way, and prints what the trace must
 *            hold: the op and its arguments, without times
 *   files    maps the file that the second argument names, in every way
 *   others   are about the lives of threads and processes; test_record.sh says what must be seen
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS = 4, STATUS = 5 };

extern char **environ;

/* Report a call: what it is expected to look like, and its result. */
static long told(const char *what, long result)
{
	long value = result == -1 ? -errno : result;

	printf("%s = %s%lx\n", what, value < 0 ? "-" : "",
	       value < 0 ? 0 - (unsigned long)value : (unsigned long)value);
	return result;
}

static char text[256];

__attribute__((format(printf, 1, 2))) static const char *line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

static char *map(size_t length, int prot, int flags)
{
	void *p = mmap(NULL, length, prot, flags | MAP_ANONYMOUS, -1, 0);

	told(line("M 0 %zx %x %x ffffffff 0", length, (unsigned)prot,
		  (unsigned)(flags | MAP_ANONYMOUS)),
	     (long)p);
	return p;
}

static unsigned long at(const void *p)
{
	return (unsigned long)(uintptr_t)p;
}

static void write_to(char *p, unsigned error)
{
	*(volatile char *)p = 1;
	printf("F %lx %x\n", at(p), error);
}

static void read_from(const char *p)
{
	(void)*(const volatile char *)p;
	printf("F %lx 4\n", at(p));
}

static void ordinary_calls(void)
{
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *q;
	int prot = PROT_READ, none = PROT_NONE;

	told(line("A %lx 10000 f", at(p)), madvise(p, 16 * PAGE, MADV_NOHUGEPAGE));
	read_from(p);
	write_to(p, 7);
	write_to(p + 2 * PAGE, 6);
	told(line("P %lx 1000 1", at(p + PAGE)), mprotect(p + PAGE, PAGE, prot));
	told(line("P %lx 1000 0", at(p + 3 * PAGE)),
	     syscall(SYS_pkey_mprotect, p + 3 * PAGE, PAGE, none, -1));
	told(line("A %lx 1000 4", at(p + 2 * PAGE)), madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED));
	write_to(p + 2 * PAGE, 6);
	told(line("L %lx 1000", at(p + 4 * PAGE)), mlock(p + 4 * PAGE, PAGE));
	told(line("L %lx 1000 1", at(p + 5 * PAGE)), mlock2(p + 5 * PAGE, PAGE, MLOCK_ONFAULT));
	told(line("l %lx 2000", at(p + 4 * PAGE)), munlock(p + 4 * PAGE, 2 * PAGE));
	told(line("S %lx 1000 4", at(p)), msync(p, PAGE, MS_SYNC));
	told(line("U %lx 1000", at(p + 6 * PAGE)), munmap(p + 6 * PAGE, PAGE));

	q = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	told(line("R %lx 2000 40000 1 0", at(q)),
	     (long)mremap(q, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE));
}

static void failing_calls(void)
{
	told("M 0 0 0 22 ffffffff 0", (long)mmap(NULL, 0, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	told("M 0 1000 1 2 3e7 0", (long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0));
	told("U 1 1", munmap((void *)1, 1));
	told("P 1000 1000 1", mprotect((void *)PAGE, PAGE, PROT_READ));
	told("A 1000 1000 4d2", madvise((void *)PAGE, PAGE, 1234));
	told("R 1000 1000 1000 0 0", (long)syscall(SYS_mremap, PAGE, PAGE, PAGE, 0, 0));
	told("S 1000 1000 4", msync((void *)PAGE, PAGE, MS_SYNC));
}

static void file_calls(const char *self)
{
	int fd = open(self, O_RDONLY);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);

	printf("O %x %s\n", (unsigned)fd, self);
	told(line("M 0 1000 1 2 %x 0", (unsigned)fd), (long)p);
	close(fd);
}

static void expect(bool condition)
{
	if (!condition)
		exit(1);
}

static sigjmp_buf beyond;

static void jump_back(int signal)
{
	siglongjmp(beyond, signal);
}

/* Whether reading the byte is SIGBUS. */
static bool is_beyond(const char *p)
{
	signal(SIGBUS, jump_back);
	if (sigsetjmp(beyond, 1))
		return true;
	(void)*(const volatile char *)p;
	return false;
}

/* Ten pages and a half, shared, private and both in a child; the size changes meanwhile. */
static void files(const char *name)
{
	int fd = open(name, O_RDWR);
	char *shared = mmap(NULL, 12 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *own = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 2 * PAGE);
	char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			    0);
	pid_t child;

	expect(fd >= 0 && shared != MAP_FAILED && own != MAP_FAILED && memory != MAP_FAILED);
	expect(shared[2 * PAGE] == own[0] && is_beyond(shared + 11 * PAGE));
	shared[3 * PAGE] = 1;
	own[PAGE + 1] = 2;
	own[2 * PAGE] = 3;
	expect(own[PAGE] == 1);
	child = fork();
	if (child == 0) {
		memory[PAGE] = 4;
		own[2 * PAGE] = 5;
		shared[5 * PAGE] = 6;
		_exit(0);
	}
	waitpid(child, NULL, 0);
	expect(memory[PAGE] == 4 && own[2 * PAGE] == 3 && own[3 * PAGE] == 6);
	expect(msync(shared, 12 * PAGE, MS_SYNC) == 0);
	shared = mremap(shared, 12 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
	expect(ftruncate(fd, 4 * PAGE) == 0 && is_beyond(shared + 4 * PAGE) &&
	       is_beyond(own + 3 * PAGE));
	expect(ftruncate(fd, 15 * PAGE) == 0 && shared[14 * PAGE] == 0 && own[3 * PAGE] == 0);
	expect(shared[3 * PAGE] == 1 && own[PAGE + 1] == 2);
	expect(madvise(own, 8 * PAGE, MADV_DONTNEED) == 0 && own[PAGE + 1] == shared[3 * PAGE + 1]);
	expect(mprotect(own, PAGE, PROT_READ) == 0 && munmap(memory, PAGE) == 0);
}

static void kernel_faults(void)
{
	char *p = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	int fd = open("/dev/zero", O_RDONLY);

	if (read(fd, p + PAGE, 1) != 1)
		exit(1);
	printf("K %lx 2\n", at(p + PAGE));
	close(fd);
}

static void heap(void)
{
	char *end = (char *)syscall(SYS_brk, 0);
	long grown;

	told("B 0", (long)end);
	grown = syscall(SYS_brk, end + 4 * PAGE);
	told(line("B %lx", at(end + 4 * PAGE)), grown);
}

/* A child that writes to a page which it shares with its parent. */
static void copy_on_write(void)
{
	static volatile char page[2 * PAGE] __attribute__((aligned(4096)));
	pid_t child;

	page[PAGE] = 1;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		page[PAGE] = 2;
		_exit(0);
	}
	waitpid(child, NULL, 0);
	printf("C %d\nF %lx 7\n", (int)child, at((const char *)page + PAGE));
}

static void calls(const char *self)
{
	static char buffer[1 << 16];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	memset(buffer, 0, sizeof(buffer));
	ordinary_calls();
	failing_calls();
	file_calls(self);
	kernel_faults();
	heap();
	copy_on_write();
	fflush(stdout);
}

static void *churn(void *unused)
{
	for (int i = 0; i < 100; i++) {
		char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		memset(p, 1, 16 * PAGE);
		mprotect(p, PAGE, PROT_READ);
		munmap(p, 16 * PAGE);
	}
	return unused;
}

static void start_threads(pthread_t *threads, void *(*run)(void *))
{
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, run, NULL) != 0)
			exit(1);
}

static void join_threads(pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *execute_true(void *unused)
{
	usleep(2000);
	execl("/bin/true", "true", (char *)NULL);
	return unused;
}

static void *late(void *unused)
{
	usleep(20000);
	churn(NULL);
	return unused;
}

/* Processes with threads, killed at some moment. */
static void killed(void)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			start_threads(threads, churn);
			for (;;)
				churn(NULL);
		}
		usleep(i * 150);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}

static void spawned(void)
{
	char name[] = "true";
	char *arguments[] = { name, NULL };
	pid_t child;

	for (int i = 0; i < 5; i++) {
		if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) != 0)
			exit(1);
		waitpid(child, NULL, 0);
	}
	child = vfork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
}

static void stopped(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	usleep(5000);
	kill(child, SIGSTOP);
	if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
		exit(1);
	kill(child, SIGCONT);
	usleep(5000);
	kill(child, SIGTERM);
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGTERM)
		exit(1);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	pthread_t threads[THREADS];

	if (strcmp(what, "calls") == 0) {
		calls(argv[0]);
	} else if (strcmp(what, "files") == 0 && argc > 2) {
		files(argv[2]);
	} else if (strcmp(what, "threads") == 0) {
		start_threads(threads, churn);
		join_threads(threads);
	} else if (strcmp(what, "exec-in-thread") == 0) {
		start_threads(threads, churn);
		start_threads(threads, execute_true);
		join_threads(threads);
	} else if (strcmp(what, "leader-first") == 0) {
		start_threads(threads, late);
		pthread_exit(NULL);
	} else if (strcmp(what, "exit-among-threads") == 0) {
		start_threads(threads, churn);
		usleep(1000);
	} else if (strcmp(what, "killed") == 0) {
		killed();
	} else if (strcmp(what, "spawned") == 0) {
		spawned();
	} else if (strcmp(what, "stopped") == 0) {
		stopped();
	} else if (strcmp(what, "crash") == 0) {
		char *volatile nowhere = (char *)8;

		*nowhere = 1;
	} else {
		return 2;
	}
	return STATUS;
}
