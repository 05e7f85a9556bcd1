/* SPDX-License-Identifier: MIT */
/*
 * System calls with random arguments, half of them nearly right, by four threads of each of two
 * processes, which are replaced when they die or have lived their time. It passes if the machine
 * still stands and memory is as it should be: whatever a call answers is right.
 *
 *     main ──► child: a group of its own, four threads, each: any call, any arguments, for a while
 *          └─► checks its own memory, which no child may reach, and starts the next
 *
 * Not on a system that is needed: it kills, removes and changes what it may. Alone on its machine
 * it is the first process.
 */
#include "tap.h"

#include "options.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { THREADS = 4, CHILDREN = 2, LIFE = 400, CALLS = 335, ARENA_PAGES = 64, GUARDED = 256 };
#define ARENA 0x10000000ul
#define RW (PROT_READ | PROT_WRITE)

static unsigned long seconds = 10, seed = 1;
static _Atomic unsigned long *made;
static unsigned char *guarded;
static uint64_t life_ends;
static int null; /* opened first: a child may remove its name */

static const char *const paths[] = {
	"/tmp/fuzz/a",
	"/tmp/fuzz/b",
	"/tmp/fuzz/d",
	"/tmp/fuzz/d/e",
	"/tmp/fuzz",
	".",
	"..",
	"",
	"/",
	"/proc/self/maps",
	"/proc/self/fd/5",
	"/proc/meminfo",
	"/proc/self/exe",
	"/dev/zero",
	"/dev/null",
	"a/../b",
};

/* Calls that would end the machine or reach other processes; these have their place in other tests.
 */
static bool excluded(long number)
{
	switch (number) {
	case SYS_reboot:
	case SYS_kexec_load:
	case SYS_kexec_file_load:
	case SYS_init_module:
	case SYS_finit_module:
	case SYS_delete_module:
	case SYS_swapon:
	case SYS_swapoff:
	case SYS_mount:
	case SYS_umount2:
	case SYS_pivot_root:
	case SYS_sethostname:
	case SYS_setdomainname:
	case SYS_settimeofday:
	case SYS_clock_settime:
	case SYS_adjtimex:
	case SYS_clock_adjtime:
	case SYS_ptrace:
	case SYS_process_vm_writev:
	case SYS_syslog:
	case SYS_vhangup:
	case SYS_ioperm:
	case SYS_iopl:
		return true;
	default:
		return false;
	}
}

/* Calls whose arguments at these places are processes: only its own group is named. */
static unsigned process_arguments(long number)
{
	switch (number) {
	case SYS_kill:
	case SYS_tkill:
	case SYS_rt_sigqueueinfo:
	case SYS_prlimit64:
	case SYS_sched_setaffinity:
	case SYS_setpgid:
	case SYS_sched_setparam:
	case SYS_sched_setscheduler:
	case SYS_sched_setattr:
		return 1;
	case SYS_tgkill:
	case SYS_rt_tgsigqueueinfo:
	case SYS_setpriority:
	case SYS_ioprio_set:
		return 3;
	case SYS_migrate_pages:
	case SYS_move_pages:
		return 1;
	default:
		return 0;
	}
}

/* Often used ones, and those that this is about. */
static const short favourites[] = {
	SYS_mmap,	 SYS_munmap,   SYS_mprotect,	 SYS_mremap,	    SYS_madvise,
	SYS_brk,	 SYS_mincore,  SYS_msync,	 SYS_mlock,	    SYS_munlock,
	SYS_read,	 SYS_write,    SYS_pread64,	 SYS_pwrite64,	    SYS_readv,
	SYS_writev,	 SYS_open,     SYS_close,	 SYS_ftruncate,	    SYS_futex,
	SYS_fork,	 SYS_clone,    SYS_memfd_create, SYS_pipe2,	    SYS_dup2,
	SYS_lseek,	 SYS_fstat,    SYS_getdents64,	 SYS_rt_sigaction,  SYS_rt_sigprocmask,
	SYS_sched_yield, SYS_openat,   SYS_fallocate,	 SYS_pkey_mprotect, SYS_fcntl,
	SYS_poll,	 SYS_sendfile, SYS_rename,	 SYS_unlink,	    SYS_copy_file_range,
	SYS_vfork,
};

static unsigned long size_argument(uint64_t *random)
{
	unsigned long size = 1ul << random_below(random, random_below(random, 8) ? 20 : 64);

	return size + random_below(random, 3) - 1;
}

static unsigned long pointer_argument(uint64_t *random)
{
	static const unsigned long odd[] = {
		0,
		1,
		4095,
		0x7ffffffff000,
		0x7fffffffe000,
		1ul << 63,
		0xffffffff80000000,
		0xffff800000000000,
		-1ul,
		-4096ul,
	};
	unsigned long page = ARENA + random_below(random, ARENA_PAGES + 8) * PAGE;

	switch (random_below(random, 8)) {
	case 0:
		return odd[random_below(random, sizeof(odd) / sizeof(*odd))];
	case 1:
		return (unsigned long)paths[random_below(random, sizeof(paths) / sizeof(*paths))];
	case 2:
		return page + random_below(random, PAGE);
	case 3:
		return page + PAGE - random_below(random, 64);
	default:
		return page;
	}
}

static unsigned long any_argument(uint64_t *random)
{
	switch (random_below(random, 10)) {
	case 0:
	case 1:
	case 2:
		return pointer_argument(random);
	case 3:
	case 4:
		return random_below(random, 16);
	case 5:
		return size_argument(random);
	case 6:
		return 1ul << random_below(random, 32) | 1ul << random_below(random, 32);
	case 7:
		return -random_below(random, 200);
	case 8:
		return random_below(random, ARENA_PAGES) * PAGE;
	default:
		return random_next(random);
	}
}

/* A range of the arena, and what follows it. */
static void shape_range(uint64_t *random, long number, unsigned long *a)
{
	a[0] = ARENA + random_below(random, ARENA_PAGES) * PAGE;
	a[1] = random_below(random, ARENA_PAGES) * PAGE;
	a[2] = random_below(random, 26);
	if (number == SYS_mremap) {
		a[2] *= PAGE;
		a[3] = random_below(random, 8);
		a[4] = ARENA + random_below(random, ARENA_PAGES) * PAGE;
	}
}

/* Arguments of the shape that the call wants, mostly. */
static void shape(uint64_t *random, long number, unsigned long *a)
{
	for (int i = 0; i < 6; i++)
		a[i] = any_argument(random);
	if (random_below(random, 4) == 0)
		return;
	switch (number) {
	case SYS_mmap:
		a[0] = pointer_argument(random) & -PAGE;
		a[1] = size_argument(random);
		a[2] = random_below(random, 8);
		a[3] = 1 + random_below(random, 2) + (random_below(random, 2) << 4) +
		       (random_below(random, 2) << 5) +
		       (random_below(random, 16) ? 0 : 1ul << random_below(random, 24));
		a[4] = 3 + random_below(random, 8);
		a[5] = random_below(random, 32) * PAGE;
		break;
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_madvise:
	case SYS_mremap:
	case SYS_msync:
	case SYS_mincore:
	case SYS_mlock:
	case SYS_pkey_mprotect:
		shape_range(random, number, a);
		break;
	case SYS_read:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_readv:
	case SYS_writev:
	case SYS_ftruncate:
	case SYS_getdents64:
		a[0] = 3 + random_below(random, 8);
		a[2] = random_below(random, 20) * 1000;
		if (number == SYS_ftruncate)
			a[1] = random_below(random, 100000);
	}
}

/* The processes that a call may name: itself, its group, and nobody. */
static unsigned long process_argument(uint64_t *random)
{
	const unsigned long some[] = { (unsigned long)getpid(), 0, 0x3fffffff };

	return some[random_below(random, 3)];
}

static void one_call(uint64_t *random)
{
	long number = favourites[random_below(random, sizeof(favourites) / sizeof(*favourites))];
	unsigned long a[6];

	if (random_below(random, 2))
		number = (long)random_below(random, CALLS);
	/* Ends, seldom: they end much. */
	if ((number == SYS_exit || number == SYS_exit_group || number == SYS_execve ||
	     number == SYS_rt_sigreturn) &&
	    random_below(random, 50))
		return;
	if (excluded(number))
		return;
	shape(random, number, a);
	for (int i = 0; i < 2; i++)
		if (process_arguments(number) & 1u << i)
			a[i] = process_argument(random);
	long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (result == 0 && (number == SYS_fork || number == SYS_vfork || number == SYS_clone ||
			    number == SYS_clone3))
		syscall(SYS_exit, 0);
	(*made)++;
}

static void *calls(void *first)
{
	uint64_t random = (uint64_t)first;

	while (milliseconds() < life_ends)
		for (int i = 0; i < 20; i++)
			one_call(&random);
	syscall(SYS_exit_group, 0);
	return NULL;
}

static void nothing(int signal)
{
	(void)signal;
}

/* Things for the calls to find: descriptors from 3 on, the arena. */
static void furnish(void)
{
	int ends[2], file;
	struct itimerval often = { { 0, 10000 }, { 0, 10000 } };
	struct sigaction action = { .sa_handler = nothing };

	dup2(null, 0), dup2(null, 1), dup2(null, 2), close(null);
	file = memfd_create("fuzz", 0);
	(void)!ftruncate(file, 16 * (off_t)PAGE);
	(void)!pipe2(ends, O_NONBLOCK);
	open("/tmp/fuzz/a", O_RDWR | O_CREAT, 0600);
	open("/tmp/fuzz", O_RDONLY | O_DIRECTORY);
	open("/dev/zero", O_RDWR);
	(void)!chdir("/tmp/fuzz");
	mmap((void *)ARENA, ARENA_PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap((void *)(ARENA + 16 * PAGE), 16 * PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0);
	for (size_t i = 0; i < 16; i++)
		strcpy((char *)ARENA + i * PAGE, paths[i]);
	/* A call that waits is ended. */
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static _Noreturn void child(uint64_t random)
{
	pthread_t thread;

	/* Of a session of its own it can't join the group of the first process, and then signal it.
	 */
	setsid();
	life_ends = milliseconds() + LIFE;
	furnish();
	for (int i = 1; i < THREADS; i++)
		pthread_create(&thread, NULL, calls, (void *)random_next(&random));
	calls((void *)random);
	_exit(0);
}

/* The children can't reach this. */
static void intact(void)
{
	for (size_t i = 0; i < GUARDED * PAGE; i += 64)
		need(guarded[i] == (unsigned char)(i / 64 * 7 + i / PAGE));
}

/* What their calls made in the file system would stay in memory. */
static void clean(void)
{
	unlink("/tmp/fuzz/a"), unlink("/tmp/fuzz/b"), unlink("/tmp/fuzz/d/e");
	rmdir("/tmp/fuzz/a"), rmdir("/tmp/fuzz/b"), rmdir("/tmp/fuzz/d/e"), rmdir("/tmp/fuzz/d");
	unlink("/tmp/fuzz/d");
	mkdir("/tmp/fuzz", 0700), mkdir("/tmp/fuzz/d", 0700);
}

static struct {
	pid_t pid;
	uint64_t until;
} groups[CHILDREN];

/* Starts one in place of another; false if there was no memory for it. */
static bool replace(int i, uint64_t first)
{
	groups[i].until = milliseconds() + LIFE + 50;
	groups[i].pid = fork();
	if (groups[i].pid == 0)
		child(first);
	return groups[i].pid > 0;
}

/* Is it gone? If its time is over, it is made to go. */
static bool gone(int i, bool now)
{
	if (groups[i].pid <= 0)
		return true;
	if (now || milliseconds() >= groups[i].until) {
		kill(groups[i].pid, SIGKILL);
		ended(groups[i].pid);
		return true;
	}
	return waitpid(groups[i].pid, NULL, WNOHANG) == groups[i].pid;
}

/* Those that children have left behind, and that hold on to memory. */
static void sweep(void)
{
	for (int i = 0; i < CHILDREN; i++)
		groups[i].pid = gone(i, true) ? 0 : groups[i].pid;
	if (getpid() == 1)
		kill(-1, SIGKILL);
	while (waitpid(-1, NULL, getpid() == 1 ? 0 : WNOHANG) > 0)
		;
	clean();
	intact();
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "--seconds", &seconds }, { "--seed", &seed } };
	unsigned long children = 0, failures = 0;
	uint64_t random, end;

	setvbuf(stdout, NULL, _IONBF, 0);
	options_read(argc, argv, options, sizeof(options) / sizeof(*options));
	random = seed;
	end = milliseconds() + seconds * 1000;
	printf("1..1\n# fuzz: %lu s, seed %lu\n", seconds, seed);
	need((null = open("/dev/null", O_RDWR)) >= 0);
	need((made = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	guarded = memory(GUARDED, RW);
	for (size_t i = 0; i < GUARDED * PAGE; i += 64)
		guarded[i] = (unsigned char)(i / 64 * 7 + i / PAGE);
	for (uint64_t swept = 0; milliseconds() < end; usleep(5000)) {
		if (milliseconds() - swept > 3 * LIFE) {
			sweep();
			swept = milliseconds();
		}
		for (int i = 0; i < CHILDREN; i++) {
			if (!gone(i, false))
				continue;
			failures += !replace(i, random_next(&random));
			children++;
		}
	}
	sweep();
	/* For a moment memory may be short. */
	printf("%s 1 fuzz: %lu calls by %lu processes, %lu forks failed\n",
	       failures > children / 2 ? "not ok" : "ok", *made, children, failures);
	return failures > children / 2;
}
