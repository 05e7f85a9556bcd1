/* SPDX-License-Identifier: MIT */
/*
 * quire bench, inside: what its files share.
 *
 *   bench.c               what is run, in which order
 *   bench_options.c       the command line
 *   bench_run.c           one run: a space, pinned virtual CPUs, a warm-up, a measured window
 *   bench_loops.c         RadixVM's loops, will-it-scale's, the low and high contention pairs
 *   bench_files.c         files and shared memory
 *   bench_antagonists.c   threads that fault beside one that does something else
 *   bench_instructions.c  instructions an operation, counted by callgrind
 *   bench_operations.c    those operations
 *   bench_report.c        tables and JSON
 *   bench_histogram.c     latencies, medians
 *
 *   START ──► WARM ──► MEASURE ──► STOP
 *     │         │         │         └ every wait gives up, workers end
 *     │         │         └ the workers' counts are read at both ends
 *     │         └ the loop runs, its counts are not used
 *     └ workers start and prepare
 *
 * The main thread moves a run from phase to phase; each worker counts all the time, in its own
 * line.
 */
#ifndef BENCH_H
#define BENCH_H

#include "bench_histogram.h"

#include <quire/soft.h>
#include <stdatomic.h>
#include <time.h>

#define BENCH_MODES 3
#define BENCH_MAX_CPUS 255 /* one virtual CPU is the main thread's */
#define BENCH_MAX_REPEAT 100

#define MIB UINT64_C(1048576)
#define GIB (1024 * MIB)
#define LEAF_BYTES (512 * QUIRE_PAGE_SIZE)

/* Where things lie in a bench's space. */
#define HEAP_BASE (2 * GIB)
#define ARENA_BASE (64 * GIB) /* the loops' own mappings */
#define SLOT GIB	      /* of it, each worker's own */
#define FAR_BASE (1024 * GIB) /* "far away", "elsewhere" */

enum bench_action { BENCH_RUN, BENCH_LIST, BENCH_HELP, BENCH_INSTRUCTIONS, BENCH_COUNT };

struct bench_options {
	enum bench_action action;
	const char *operation; /* for BENCH_COUNT: what bench_instructions_child takes */
	int first;	       /* of the arguments that are no options */
	enum quire_mode modes[BENCH_MODES];
	unsigned mode_count;
	unsigned cpus[BENCH_MAX_CPUS];
	unsigned cpus_count;
	unsigned levels;
	unsigned repeat;
	double seconds;
	uint64_t area_bytes;	/* of one thread, in the contention loops */
	uint64_t region_bytes;	/* of page_fault1, mmap1, malloc1, and of files: 128 MiB */
	uint64_t section_bytes; /* what one thread faults in beside an antagonist, before it starts
				   again */
	uint64_t antagonist_bytes; /* populated, and unmapped or forked, by an antagonist */
	bool quick, json;
};

enum bench_phase { PHASE_START, PHASE_WARM, PHASE_MEASURE, PHASE_STOP };

struct worker;
struct run;

struct loop {
	const char *name, *group;
	const char *unit; /* what is counted */
	const char *what; /* for --list */
	unsigned min_cpus;
	unsigned argument;			/* to tell apart the loops that share a function */
	bool latency;				/* its faults are timed one by one */
	bool (*setup)(struct run *run);		/* the main thread's; NULL: nothing to do */
	bool (*prepare)(struct worker *worker); /* each worker's, before the warm-up; NULL: nothing
						   to do */
	void (*work)(struct worker *worker);
};

struct barrier {
	_Atomic uint32_t turn, arrived;
};

struct run {
	const struct bench_options *options;
	const struct loop *loop;
	struct quire_mm *mm;
	unsigned cpus;
	struct worker *workers;
	_Atomic uint32_t phase;
	_Atomic uint32_t ready;	      /* workers that are prepared */
	_Atomic(const char *) failed; /* the call that failed first; NULL: none */
	_Atomic int64_t error;
	uint64_t *places; /* of the contention loops: freed by the runner */
	struct quire_object *files[BENCH_MAX_CPUS]; /* put by the runner */
	struct barrier barrier;
};

struct worker {
	struct run *run;
	struct quire_soft_cpu *cpu;
	unsigned index;
	uint32_t random;
	_Atomic uint64_t mailbox;    /* pipeline: a page handed over by the neighbour; 0: none */
	_Atomic uint64_t position;   /* antagonists: the leaf in which this worker faults */
	_Atomic uint64_t done, busy; /* operations; nanoseconds in them, 0: all the time */
	struct histogram latency;
} __attribute__((aligned(128)));

/* What one run measured. */
struct sample {
	double rate;		  /* operations a second */
	double antagonist_rate;	  /* what the antagonist did a second */
	struct quire_stats stats; /* of the window */
	struct histogram latency;
};

/* All runs of a loop in one mode on one number of CPUs. */
struct series {
	const struct loop *loop;
	enum quire_mode mode;
	unsigned cpus;
	bool failed; /* a run of it did: there is nothing to report */
	unsigned count;
	double rates[BENCH_MAX_REPEAT];
	double antagonist_rates[BENCH_MAX_REPEAT];
	uint64_t paths[QUIRE_PATH_COUNT], kinds[QUIRE_KIND_COUNT];
	uint64_t counters[QUIRE_COUNTER_COUNT];
	struct histogram latency;
};

/* bench_options.c. Returns false, having said why on stderr: bad usage. */
bool bench_options_parse(struct bench_options *options, int argc, char **argv);
void bench_options_help(void);

/* Loops; the last has no name. */
extern const struct loop bench_loops[], bench_files[], bench_antagonists[];
/* Whether the last worker of the loop does something else. */
bool bench_is_antagonist(const struct loop *loop);

/* bench_run.c: for the main thread. */

/* Calibrate the clock, learn the host's CPUs, start Quire. Returns false and says why on stderr. */
bool bench_machine_start(const struct bench_options *options, uint64_t memory, unsigned cpus);
void bench_machine_stop(void);
unsigned bench_host_cpus(void);
/* Touch nearly all of the machine's memory once. */
bool bench_warm_memory(void);
/* One run. Returns false and says why on stderr. */
bool bench_run(const struct bench_options *options, const struct loop *loop, enum quire_mode mode,
	       unsigned cpus, struct sample *sample);

/* bench_run.c: for workers. */

/* Note that a call failed, and stop the run. Returns false. */
bool bench_fail(struct run *run, const char *what, int64_t error);
/* All workers arrive before any goes on. Returns false if the run stops meanwhile. */
bool bench_barrier(struct worker *worker);
/* A turn of a wait of any length: a safepoint, and from time to time the host's CPU for others. */
void bench_wait(struct worker *worker, unsigned turn);
uint64_t bench_clock_slow(void);
extern uint64_t bench_tick_scale; /* nanoseconds in a tick, times 2^32 */

/* bench_files.c */

/* Make run->files[index], a file of so many bytes, all pages of which are in its cache. */
bool bench_file_open(struct run *run, unsigned index, uint64_t bytes);
/* => no space maps them */
void bench_files_close(struct run *run);
/* Map run->files[index] from its start on; kind: QUIRE_MAP_PRIVATE or QUIRE_MAP_SHARED. */
bool bench_map_file(struct run *run, unsigned index, uint64_t address, uint64_t bytes, int prot,
		    int kind);
/* New shared anonymous memory, readable and writable, at the address. */
bool bench_map_shared(struct run *run, uint64_t address, uint64_t bytes);

/* bench_instructions.c. Count `operation` (NULL: all) in each mode; returns an exit status. */
int bench_instructions(const struct bench_options *options, char **names, int name_count);
/* The same program under callgrind: NAME:MODE:COUNT:LEVELS. Returns an exit status. */
int bench_instructions_child(const char *what);
void bench_instructions_list(void);

/* bench_report.c */
const char *bench_mode_name(enum quire_mode mode);
/* A group's table: series[0..count) have the same group and number of CPUs. */
void bench_table(const struct bench_options *options, const struct series *series, size_t count);
/* The line of conditions above all tables. */
void bench_table_start(const struct bench_options *options);
/* JSON, in this order; bench_json_series as often as there are groups. */
void bench_json_start(const struct bench_options *options);
void bench_json_series(const struct series *series, size_t count);
void bench_json_end_series(void);
void bench_json_end(void);

/* Time stamps: the counter of the CPU where there is one that keeps its pace, which is several
 * times as cheap as the host's clock. */
static inline uint64_t bench_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return bench_clock_slow();
#endif
}

static inline uint64_t bench_nanoseconds(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * bench_tick_scale) >> 32);
}

/* Whether to go on; a safepoint. */
static inline bool bench_running(struct worker *w)
{
	quire_soft_safepoint(w->cpu);
	return atomic_load_explicit(&w->run->phase, memory_order_relaxed) != PHASE_STOP;
}

static inline void bench_count(struct worker *w, uint64_t operations)
{
	atomic_store_explicit(&w->done,
			      atomic_load_explicit(&w->done, memory_order_relaxed) + operations,
			      memory_order_relaxed);
}

/* Operations of a loop that also does what is not to be counted: they took this long. */
static inline void bench_count_timed(struct worker *w, uint64_t operations, uint64_t ticks)
{
	bench_count(w, operations);
	atomic_store_explicit(&w->busy,
			      atomic_load_explicit(&w->busy, memory_order_relaxed) +
				      bench_nanoseconds(ticks),
			      memory_order_relaxed);
}

/* The worker's own part of the arena. */
static inline uint64_t bench_slot(const struct worker *w)
{
	return ARENA_BASE + w->index * SLOT;
}

/* xorshift32: never 0. */
static inline uint32_t bench_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Guest code: write a byte. */
static inline bool bench_write(struct worker *w, uint64_t address)
{
	char *byte = quire_soft_translate(w->cpu, address, QUIRE_WRITE);

	if (__builtin_expect(!byte, 0))
		return bench_fail(w->run, "a write", -(int64_t)w->cpu->verdict);
	__atomic_store_n(byte, 1, __ATOMIC_RELAXED);
	return true;
}

/* Guest code: read a byte into *value. */
static inline bool bench_read(struct worker *w, uint64_t address, char *value)
{
	const char *byte = quire_soft_translate(w->cpu, address, QUIRE_READ);

	if (__builtin_expect(!byte, 0))
		return bench_fail(w->run, "a read", -(int64_t)w->cpu->verdict);
	*value = __atomic_load_n(byte, __ATOMIC_RELAXED);
	return true;
}

/* bench_write, whose duration is noted if it faulted while the run measures. */
static inline bool bench_write_timed(struct worker *w, uint64_t address)
{
	uint64_t faults = w->cpu->faults, start = bench_ticks();

	if (!bench_write(w, address))
		return false;

	uint64_t end = bench_ticks();

	if (w->cpu->faults != faults &&
	    atomic_load_explicit(&w->run->phase, memory_order_relaxed) == PHASE_MEASURE)
		histogram_add(&w->latency, bench_nanoseconds(end - start));
	return true;
}

/*
 * Is a call to be made again? On a busy host a thread may lose its core while it is inside, and
 * what the others unmap meanwhile waits for it: that is no want of memory. Wait.
 */
static inline bool bench_again(int64_t error)
{
	return error == -QUIRE_ENOMEM && quire_barrier(UINT64_C(10000000000)) == 0;
}

/* Private anonymous memory, readable and writable, at the address. */
static inline bool bench_map(struct run *run, uint64_t address, uint64_t bytes)
{
	const int prot = QUIRE_PROT_READ | QUIRE_PROT_WRITE;
	const int flags = QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED;
	int64_t r = quire_mmap(run->mm, address, bytes, prot, flags);

	if (bench_again(r))
		r = quire_mmap(run->mm, address, bytes, prot, flags);
	return r == (int64_t)address || bench_fail(run, "mmap", r);
}

static inline bool bench_unmap(struct run *run, uint64_t address, uint64_t bytes)
{
	int r = quire_munmap(run->mm, address, bytes);

	if (bench_again(r))
		r = quire_munmap(run->mm, address, bytes);
	return r == 0 || bench_fail(run, "munmap", r);
}

static inline bool bench_advise(struct run *run, uint64_t address, uint64_t bytes, int advice)
{
	int r = quire_madvise(run->mm, address, bytes, advice);

	return r == 0 || bench_fail(run, "madvise", r);
}

static inline bool bench_protect(struct run *run, uint64_t address, uint64_t bytes, int prot)
{
	int r = quire_mprotect(run->mm, address, bytes, prot);

	if (bench_again(r))
		r = quire_mprotect(run->mm, address, bytes, prot);
	return r == 0 || bench_fail(run, "mprotect", r);
}

#endif
