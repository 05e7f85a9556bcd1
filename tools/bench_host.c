/* SPDX-License-Identifier: MIT */
/*
 * The loops on the kernel of this very machine, run for run beside Quire's. A run is a process,
 * because the space of a process is what is measured: it must be new, and hold neither Quire's
 * memory, which a fork would copy, nor what the run before left.
 *
 *     quire bench ──fork──► server ──fork──► run: threads, the loop, the sample
 *          │                  │                │
 *          │  order: loop, CPUs                │
 *          ├────── a byte ───►│                │
 *          │                  ├───── exit ─────┘
 *          │◄───── a byte ────┤
 *          └ reads the sample in the memory that all three share
 *
 * Pages are small (no transparent huge pages), as Quire's are. Files are in memory.
 */
#define _GNU_SOURCE
#include "bench_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert((int)QUIRE_PROT_READ == PROT_READ && (int)QUIRE_PROT_WRITE == PROT_WRITE, "");
_Static_assert((int)QUIRE_MAP_SHARED == MAP_SHARED && (int)QUIRE_MAP_PRIVATE == MAP_PRIVATE, "");
_Static_assert((int)QUIRE_MAP_FIXED == MAP_FIXED && (int)QUIRE_MAP_ANONYMOUS == MAP_ANONYMOUS, "");
_Static_assert((int)QUIRE_MADV_DONTNEED == MADV_DONTNEED, "");

/* What is asked of the server, and what came of it. No loop: touch `bytes` of memory. */
struct order {
	const struct bench_options *options;
	const struct loop *loop;
	unsigned cpus;
	uint64_t bytes;
	bool good;
	struct sample sample;
};

static struct order *order;
static pid_t server;
static int line = -1; /* this side's end of it */

/* The process of a run: its own files and heap. */

static int files[BENCH_MAX_CPUS];
static uint64_t heap; /* where HEAP_BASE is in this process */

static int64_t of_errno(int64_t result)
{
	return result < 0 ? -errno : result;
}

/* Where the loops map, there is nothing. */
static bool is_free(uint64_t start, uint64_t bytes)
{
	void *at = (void *)(uintptr_t)start;

	return mmap(at, bytes, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		    0) == at &&
	       munmap(at, bytes) == 0;
}

static bool begin(struct run *run)
{
	uint64_t now = (uint64_t)syscall(SYS_brk, 0);

	heap = (now + QUIRE_PAGE_SIZE - 1) & ~(QUIRE_PAGE_SIZE - 1);
	if (!is_free(ARENA_BASE, FAR_END - ARENA_BASE))
		return bench_fail(run, "finding room", -errno);
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
		return bench_fail(run, "going without huge pages", -errno);
	return !run->loop->setup || run->loop->setup(run);
}

/* The process ends, and all with it. */
static void end(struct run *run)
{
	(void)run;
}

static void stats(struct run *run, struct quire_stats *stats)
{
	(void)run;
	memset(stats, 0, sizeof *stats);
}

/*
 * An antagonist that is apart goes on as another process, with a copy of the space as the loop has
 * laid it out; the thread waits for it.
 */
static bool enter(struct worker *w)
{
	int status;
	pid_t child;

	if (!bench_is_apart(w))
		return true;
	child = _Fork();
	if (child == 0) {
		/* Not to go on alone, should this process be killed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return true;
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return bench_fail(w->run, "forking an antagonist", -errno);
	return status == 0 ? false : bench_fail(w->run, "an antagonist's process", status);
}

static void leave(struct worker *w)
{
	if (bench_is_apart(w))
		_exit(0);
}

static void yield(struct worker *w)
{
	(void)w;
	sched_yield();
}

static int64_t open_file(struct run *run, unsigned index, uint64_t bytes)
{
	int64_t r = memfd_create("quire-bench", MFD_CLOEXEC);
	void *all;

	(void)run;
	if (r < 0)
		return -errno;
	files[index] = (int)r;
	if (ftruncate(files[index], (off_t)bytes) != 0)
		return -errno;
	all = mmap(NULL, bytes, PROT_WRITE, MAP_SHARED, files[index], 0);
	if (all == MAP_FAILED)
		return -errno;
	memset(all, FILE_BYTE, bytes);
	return of_errno(munmap(all, bytes));
}

static int64_t map(struct run *run, uint64_t address, uint64_t bytes, int prot, int flags,
		   unsigned file)
{
	void *at = (void *)(uintptr_t)address;

	(void)run;
	return of_errno((int64_t)(intptr_t)mmap(at, bytes, prot, flags,
						file == BENCH_ANONYMOUS ? -1 : files[file], 0));
}

static int64_t unmap(struct run *run, uint64_t address, uint64_t bytes)
{
	(void)run;
	return of_errno(munmap((void *)(uintptr_t)address, bytes));
}

static int64_t protect(struct run *run, uint64_t address, uint64_t bytes, int prot)
{
	(void)run;
	return of_errno(mprotect((void *)(uintptr_t)address, bytes, prot));
}

static int64_t advise(struct run *run, uint64_t address, uint64_t bytes, int advice)
{
	(void)run;
	return of_errno(madvise((void *)(uintptr_t)address, bytes, advice));
}

/* The C library's brk keeps a note for malloc, which does not move it while a loop runs. */
static int64_t move_brk(struct run *run, uint64_t to)
{
	uint64_t real = heap + (to - HEAP_BASE);

	(void)run;
	return (uint64_t)syscall(SYS_brk, real) == real ? (int64_t)to : -ENOMEM;
}

/* The child inherits this thread's CPU, so it does not run beside the others. */
static int64_t fork_once(struct run *run)
{
	pid_t child = _Fork();

	(void)run;
	if (child == 0)
		_exit(0);
	return child < 0 || waitpid(child, NULL, 0) < 0 ? -errno : 0;
}

const struct bench_space bench_host = {
	.begin = begin,
	.end = end,
	.stats = stats,
	.enter = enter,
	.leave = leave,
	.yield = yield,
	.open_file = open_file,
	.map = map,
	.unmap = unmap,
	.protect = protect,
	.advise = advise,
	.brk = move_brk,
	.fork = fork_once,
};

/* The server */

static bool touch(uint64_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0) != MAP_FAILED;
}

static bool carry_out(void)
{
	if (!order->loop)
		return touch(order->bytes);
	return bench_run(order->options, order->loop, BENCH_HOST, order->cpus, &order->sample);
}

/* Have a process of its own carry the order out. */
static bool serve(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(!carry_out());
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("quire bench: host");
		return false;
	}
	if (WIFSIGNALED(status))
		fprintf(stderr, "quire bench: %s on the host: ended by signal %d (%s)\n",
			order->loop ? order->loop->name : "touching memory", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Until the other end is closed. */
static void server_main(void)
{
	char byte;

	while (read(line, &byte, 1) == 1) {
		order->good = serve();
		if (write(line, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static bool give_order(const struct loop *loop, unsigned cpus, uint64_t bytes)
{
	char byte = 0;

	order->loop = loop;
	order->cpus = cpus;
	order->bytes = bytes;
	/* The server may have been killed: that is an error, not this process's end. */
	if (send(line, &byte, 1, MSG_NOSIGNAL) == 1 && read(line, &byte, 1) == 1)
		return order->good;
	fprintf(stderr, "quire bench: the process that runs loops on the host is gone\n");
	return false;
}

bool bench_host_start(const struct bench_options *options)
{
	int ends[2];

	order = mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (order == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
		perror("quire bench: host");
		return false;
	}
	order->options = options;
	fflush(NULL); /* or the processes would write it, too */
	server = fork();
	line = ends[server == 0];
	close(ends[server != 0]);
	if (server == 0)
		server_main();
	if (server < 0)
		perror("quire bench: host");
	return server > 0;
}

void bench_host_stop(void)
{
	close(line);
	waitpid(server, NULL, 0);
	munmap(order, sizeof *order);
}

bool bench_host_warm(uint64_t bytes)
{
	if (give_order(NULL, 0, bytes))
		return true;
	fprintf(stderr, "quire bench: can't touch the host's memory\n");
	return false;
}

bool bench_host_run(const struct loop *loop, unsigned cpus, struct sample *sample)
{
	if (!give_order(loop, cpus, 0))
		return false;
	*sample = order->sample;
	return true;
}
