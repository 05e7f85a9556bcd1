/* SPDX-License-Identifier: MIT */
/*
 * Every call that takes a pointer, with pointers that are no good: an error each time, in nearly
 * all cases EFAULT. A table says which argument is the pointer; the others are such that the call
 * would do something.
 */
#include "tap.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

/* Stands for the bad pointer in a row; and for a descriptor of an open file. */
#define BAD 0x4241440000000000ul
#define FILE_ 0x46494c4500000000ul

/* The call does not look at it when it is NULL. */
enum { MAY_BE_NULL = 1 };

static const struct row {
	const char *name;
	long number;
	unsigned flags;
	unsigned long arguments[6];
} rows[] = {
#define CALL(name, flags, ...)                                                                     \
	{                                                                                          \
#name, SYS_##name, flags,                                                          \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
	CALL(read, 0, FILE_, BAD, 10),
	CALL(write, 0, FILE_, BAD, 10),
	CALL(pread64, 0, FILE_, BAD, 10, 0),
	CALL(pwrite64, 0, FILE_, BAD, 10, 0),
	CALL(readv, 0, FILE_, BAD, 2),
	CALL(writev, 0, FILE_, BAD, 2),
	CALL(open, 0, BAD, O_RDONLY),
	CALL(openat, 0, (unsigned long)AT_FDCWD, BAD, O_RDONLY),
	CALL(stat, 0, BAD, 0),
	CALL(fstat, 0, FILE_, BAD),
	CALL(newfstatat, 0, (unsigned long)AT_FDCWD, BAD, BAD, 0),
	CALL(statx, 0, (unsigned long)AT_FDCWD, BAD, 0, STATX_ALL, BAD),
	CALL(access, 0, BAD, 0),
	CALL(faccessat, 0, (unsigned long)AT_FDCWD, BAD, 0),
	CALL(getcwd, 0, BAD, 100),
	CALL(chdir, 0, BAD),
	CALL(mkdir, 0, BAD, 0755),
	CALL(rmdir, 0, BAD),
	CALL(unlink, 0, BAD),
	CALL(rename, 0, BAD, BAD),
	CALL(link, 0, BAD, BAD),
	CALL(symlink, 0, BAD, BAD),
	CALL(readlink, 0, BAD, BAD, 10),
	CALL(chmod, 0, BAD, 0644),
	CALL(truncate, 0, BAD, 0),
	CALL(pipe, 0, BAD),
	CALL(pipe2, 0, BAD, O_CLOEXEC),
	CALL(poll, 0, BAD, 2, 0),
	CALL(ppoll, MAY_BE_NULL, 0, 0, BAD, 0, 8),
	CALL(select, MAY_BE_NULL, 64, BAD, 0, 0, 0),
	CALL(execve, 0, BAD, BAD, BAD),
	CALL(wait4, MAY_BE_NULL, (unsigned long)-1, BAD, 0, 0),
	CALL(nanosleep, 0, BAD, 0),
	CALL(clock_nanosleep, 0, CLOCK_MONOTONIC, 0, BAD, 0),
	CALL(clock_gettime, 0, CLOCK_MONOTONIC, BAD),
	CALL(clock_getres, MAY_BE_NULL, CLOCK_MONOTONIC, BAD),
	CALL(gettimeofday, MAY_BE_NULL, BAD, 0),
	CALL(time, MAY_BE_NULL, BAD),
	CALL(times, MAY_BE_NULL, BAD),
	CALL(getitimer, 0, ITIMER_REAL, BAD),
	CALL(setitimer, MAY_BE_NULL, ITIMER_REAL, BAD, 0),
	CALL(rt_sigaction, MAY_BE_NULL, SIGUSR1, BAD, 0, 8),
	CALL(rt_sigaction, MAY_BE_NULL, SIGUSR1, 0, BAD, 8),
	CALL(rt_sigprocmask, MAY_BE_NULL, SIG_BLOCK, BAD, 0, 8),
	CALL(rt_sigprocmask, MAY_BE_NULL, SIG_BLOCK, 0, BAD, 8),
	CALL(rt_sigpending, 0, BAD, 8),
	CALL(rt_sigsuspend, 0, BAD, 8),
	CALL(rt_sigtimedwait, 0, BAD, 0, 0, 8),
	CALL(rt_sigqueueinfo, 0, 1, SIGUSR1, BAD),
	CALL(sigaltstack, MAY_BE_NULL, BAD, 0),
	CALL(futex, 0, BAD, 0, 0, 0, 0, 0),
	CALL(futex, 0, BAD, 128, 0, 0, 0, 0),
	CALL(uname, 0, BAD),
	CALL(sysinfo, 0, BAD),
	CALL(getrlimit, 0, RLIMIT_STACK, BAD),
	CALL(setrlimit, 0, RLIMIT_CORE, BAD),
	CALL(prlimit64, MAY_BE_NULL, 0, RLIMIT_STACK, 0, BAD),
	CALL(getrusage, 0, RUSAGE_SELF, BAD),
	CALL(sched_getaffinity, 0, 0, 128, BAD),
	CALL(sched_setaffinity, 0, 0, 128, BAD),
	CALL(getrandom, 0, BAD, 100, 0),
	CALL(getdents64, 0, FILE_, BAD, 1000),
	CALL(mincore, 0, BAD, 4096, BAD),
	CALL(memfd_create, 0, BAD, 0),
	CALL(clone3, 0, BAD, 64),
	CALL(prctl, 0, 15, BAD),
	CALL(arch_prctl, 0, 0x1003, BAD),
#undef CALL
};

static unsigned char *unmapped, *read_only;

static unsigned long bad_pointers[] = {
	1,
	4095,
	0,
	0,
	0x7ffffffff000,
	0x8000000000000000,
	0xffff800000000000,
	0xffffffff81000000,
	0xffffffffffffffff,
};

/* Errors that may come first: what else is wrong with the call. */
static bool as_expected(const struct row *row, int error)
{
	switch (row->number) {
	case SYS_mincore:
		return error == EINVAL || error == ENOMEM || error == EFAULT;
	case SYS_wait4:
		return error == ECHILD || error == EFAULT;
	case SYS_futex:
	case SYS_clone3:
	case SYS_rt_sigqueueinfo:
		return error == EFAULT || error == EINVAL || error == EPERM;
	case SYS_getdents64:
		return error == ENOTDIR || error == EFAULT;
	case SYS_arch_prctl:
		return error == EFAULT || error == EPERM;
	default:
		return error == EFAULT;
	}
}

static void try(const struct row *row, unsigned long bad, unsigned long file)
{
	unsigned long a[6];

	for (int i = 0; i < 6; i++)
		a[i] = row->arguments[i] == BAD	    ? bad
		       : row->arguments[i] == FILE_ ? file
						    : row->arguments[i];
	errno = 0;
	lseek((int)file, 0, SEEK_SET);
	long result = syscall(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (result != -1 || !as_expected(row, errno)) {
		printf("# %s(%lx, %lx, %lx, %lx), bad %lx: %ld, errno %d\n", row->name, a[0], a[1],
		       a[2], a[3], bad, result, errno);
		tap_failures++;
	}
}

static void every_call(void)
{
	int file = file_of(1);

	unmapped = memory(2, PROT_READ | PROT_WRITE);
	need(munmap(unmapped, PAGE) == 0);
	bad_pointers[2] = (unsigned long)unmapped;
	bad_pointers[3] = (unsigned long)unmapped + PAGE - 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (size_t j = 0; j < sizeof(bad_pointers) / sizeof(*bad_pointers); j++)
			try(&rows[i], bad_pointers[j], (unsigned long)file);
}

/* Results into memory that can't be written: also refused, and nothing else happens. */
static void read_only_results(void)
{
	int file = file_of(1), ends[2];

	read_only = memory(1, PROT_READ);
	fails(syscall(SYS_fstat, file, read_only), EFAULT);
	fails(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, read_only), EFAULT);
	fails(syscall(SYS_uname, read_only), EFAULT);
	fails(syscall(SYS_getcwd, read_only, PAGE), EFAULT);
	fails(syscall(SYS_pipe2, read_only, 0), EFAULT);
	fails(syscall(SYS_sched_getaffinity, 0, 128, read_only), EFAULT);
	/* The descriptors of the pipe that was not made are free. */
	need(pipe(ends) == 0);
	check(ends[0] == file + 1 && ends[1] == file + 2);
}

/* A path and a structure at the very end of what is mapped. */
static void at_the_edge(void)
{
	char *p = (char *)memory(2, PROT_READ | PROT_WRITE);
	struct stat *about = (struct stat *)(void *)(p + PAGE) - 1;

	need(munmap(p + PAGE, PAGE) == 0);
	memcpy(p + PAGE - 5, "/tmp", 5);
	check(access(p + PAGE - 5, F_OK) == 0);
	p[PAGE - 1] = '/';
	fails(access(p + PAGE - 5, F_OK), EFAULT);
	check(syscall(SYS_stat, "/tmp", about) == 0 && S_ISDIR(about->st_mode));
	fails(syscall(SYS_stat, "/tmp", (char *)about + 8), EFAULT);
}

TAP_MAIN(CASE(every_call), CASE(read_only_results), CASE(at_the_edge))
