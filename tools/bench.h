/* SPDX-License-Identifier: MIT */
/*
 * quire bench, inside: what its files share.
 *
 *   bench.c               what is run, in which order
 *   bench_options.c       the command line
 *   bench_run.c           one run: a space, pinned threads, a warm-up, a measured window
 *   bench_quire.c         what a run works in: a space of Quire's, on the soft port
 *   bench_host.c          what a run works in: a process of the machine's own kernel
 *   bench_loops.c         RadixVM's loops, will-it-scale's, the low and high contention pairs
 *   bench_files.c         files and shared memory
 *   bench_ebizzy.c        chunks of random size
 *   bench_antagonists.c   threads that fault beside one that does something else
 *   bench_instructions.c  instructions an operation, counted by callgrind
 *   bench_operations.c    those operations
 *   bench_report.c        tables and JSON
 *   bench_plot.c          plots; plot.c runs gnuplot for it
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

/* Modes: Quire's three (enum quire_mode), and the machine's own kernel. */
#define BENCH_QUIRE_MODES 3u
#define BENCH_HOST BENCH_QUIRE_MODES
#define BENCH_MODES (BENCH_QUIRE_MODES + 1)
#define BENCH_MAX_CPUS 255 /* one virtual CPU is the main thread's */
#define BENCH_MAX_REPEAT 100

#define MIB UINT64_C(1048576)
#define GIB (1024 * MIB)
#define LEAF_BYTES (512 * QUIRE_PAGE_SIZE)

/* Where things lie in a bench's space: where a process of the host has nothing of its own. */
#define HEAP_BASE (2 * GIB)
#define ARENA_BASE (32 * 1024 * GIB) /* the loops' own mappings */
#define SLOT GIB		     /* of it, each worker's own */
#define FAR_BASE (33 * 1024 * GIB)   /* "far away", "elsewhere" */
#define FAR_END (34 * 1024 * GIB)

#define FILE_BYTE 'q' /* what files are full of */

enum bench_action { BENCH_RUN, BENCH_LIST, BENCH_HELP, BENCH_INSTRUCTIONS, BENCH_COUNT };

struct bench_options {
	enum bench_action action;
	const char *operation; /* for BENCH_COUNT: what bench_instructions_child takes */
	int first;	       /* of the arguments that are no options */
	unsigned modes[BENCH_MODES];
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
	const char *plots;	   /* the directory for them; NULL: none */
	char command[1024];	   /* as it was given, for the conditions */
	bool quick, json, host;
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
	bool apart;				/* the antagonist has a space of its own */
	bool (*setup)(struct run *run);		/* the main thread's; NULL: nothing to do */
	bool (*prepare)(struct worker *worker); /* each worker's, before the warm-up; NULL: nothing
						   to do */
	void (*work)(struct worker *worker);
};

struct barrier {
	_Atomic uint32_t turn, arrived;
};

/*
 * What the loops of a run work in. Begun and ended by the main thread, entered and left by each
 * worker. Flags, numbers of advice and errors are Quire's, which are Linux's.
 * => calls return 0 or an address; or a negative error, which is for the caller to report
 */
struct bench_space {
	bool (*begin)(struct run *run); /* and set the loop up. False: bench_fail was called */
	void (*end)(struct run *run);	/* also if it did not begin well */
	void (*stats)(struct run *run, struct quire_stats *stats);
	bool (*enter)(struct worker *worker);
	void (*leave)(struct worker *worker);
	void (*yield)(struct worker *worker); /* let others have this thread's CPU */
	/* Make file `index`, of so many FILE_BYTEs, all of them in the cache. */
	int64_t (*open_file)(struct run *run, unsigned index, uint64_t bytes);
	/* file: its index; anonymous memory: BENCH_ANONYMOUS */
	int64_t (*map)(struct run *run, uint64_t address, uint64_t bytes, int prot, int flags,
		       unsigned file);
	int64_t (*unmap)(struct run *run, uint64_t address, uint64_t bytes);
	int64_t (*protect)(struct run *run, uint64_t address, uint64_t bytes, int prot);
	int64_t (*advise)(struct run *run, uint64_t address, uint64_t bytes, int advice);
	int64_t (*brk)(struct run *run, uint64_t end);
	int64_t (*fork)(struct run *run); /* and end the child at once */
};
extern const struct bench_space bench_quire, bench_host;
#define BENCH_ANONYMOUS (~0u)

struct run {
	const struct bench_options *options;
	const struct loop *loop;
	unsigned mode;
	const struct bench_space *space;
	struct quire_mm *mm; /* Quire's; of the host: NULL */
	unsigned cpus;
	struct worker *workers;
	_Atomic uint32_t phase;
	_Atomic uint32_t ready;	      /* workers that are prepared */
	_Atomic(const char *) failed; /* the call that failed first; NULL: none */
	_Atomic int64_t error;
	uint64_t *places; /* of the contention loops: freed by the runner */
	struct quire_object *files[BENCH_MAX_CPUS]; /* Quire's */
	struct barrier barrier;
	/* Quire's, of an antagonist with a space of its own: that, and its failures. */
	struct run *apart;
};

struct worker {
	struct run *run;
	struct quire_soft_cpu *cpu; /* NULL: it runs on the host's own memory */
	unsigned index;
	uint32_t random;
	_Atomic uint64_t mailbox;    /* pipeline: a page handed over by the neighbour; 0: none */
	_Atomic uint64_t position;   /* antagonists: the leaf in which this worker faults */
	_Atomic uint64_t done, busy; /* operations; nanoseconds in them, 0: all the time */
	_Atomic uint64_t answers, answer_ns; /* antagonists: flushes that this worker answered */
	struct histogram latency;
} __attribute__((aligned(128)));

/* What one run measured. */
struct sample {
	double rate;		  /* operations a second */
	double antagonist_rate;	  /* what the antagonist did a second */
	double answers;		  /* flushes answered a second by those that fault */
	double answer_share;	  /* of their time */
	struct quire_stats stats; /* of the window; of the host: all 0 */
	struct histogram latency;
};

/* All runs of a loop in one mode on one number of CPUs. */
struct series {
	const struct loop *loop;
	unsigned mode, cpus;
	bool failed; /* a run of it did: there is nothing to report */
	unsigned count;
	double rates[BENCH_MAX_REPEAT];
	double antagonist_rates[BENCH_MAX_REPEAT];
	double answers[BENCH_MAX_REPEAT], answer_shares[BENCH_MAX_REPEAT];
	uint64_t paths[QUIRE_PATH_COUNT], kinds[QUIRE_KIND_COUNT];
	uint64_t counters[QUIRE_COUNTER_COUNT];
	struct histogram latency;
};

/* bench_options.c. Returns false, having said why on stderr: bad usage. */
bool bench_options_parse(struct bench_options *options, int argc, char **argv);
void bench_options_help(void);

/* Loops; the last has no name. */
extern const struct loop bench_loops[], bench_files[], bench_ebizzy[], bench_antagonists[];
/* Whether the last worker of the loop does something else. */
bool bench_is_antagonist(const struct loop *loop);

/* bench_run.c: for the main thread. */

/* Calibrate the clock, learn the host's CPUs. Before any run. */
void bench_run_start(void);
unsigned bench_host_cpus(void);
/* One run, in this process. Returns false and says why on stderr. */
bool bench_run(const struct bench_options *options, const struct loop *loop, unsigned mode,
	       unsigned cpus, struct sample *sample);

/* bench_quire.c: for the main thread. Start Quire. Returns false and says why on stderr. */
bool bench_machine_start(const struct bench_options *options, uint64_t memory, unsigned cpus);
void bench_machine_stop(void);
/* Touch nearly all of the machine's memory once. */
bool bench_warm_memory(void);

/*
 * bench_host.c: for the main thread. A server runs the loops on the host's own kernel, each run in
 * a new process. => started before Quire, so that those processes have nothing of its memory
 */
bool bench_host_start(const struct bench_options *options);
void bench_host_stop(void);
/* Have so many bytes of the host's memory touched once. */
bool bench_host_warm(uint64_t bytes);
/* As bench_run, with mode BENCH_HOST. */
bool bench_host_run(const struct loop *loop, unsigned cpus, struct sample *sample);

/* bench_instructions.c. Count `operation` (NULL: all) in each mode; returns an exit status. */
int bench_instructions(const struct bench_options *options, char **names, int name_count);
/* The same program under callgrind: NAME:MODE:COUNT:LEVELS. Returns an exit status. */
int bench_instructions_child(const char *what);
void bench_instructions_list(void);

/* bench_report.c */
const char *bench_mode_name(unsigned mode);
/* A group's table: series[0..count) have the same group and number of CPUs. */
void bench_table(const struct bench_options *options, const struct series *series, size_t count);
/* The line of conditions above all tables. */
void bench_table_start(const struct bench_options *options);
/* JSON, in this order; bench_json_series as often as there are groups. */
void bench_json_start(const struct bench_options *options);
void bench_json_series(const struct series *series, size_t count);
void bench_json_end_series(void);
void bench_json_end(void);
/* The median as a share of the other series' median. 0: there is no other. */
double bench_relative(const struct series *s, const struct series *other);
struct spread bench_spread(const double *samples, unsigned count);
/* The series of the loop in this mode on so many CPUs. NULL: there is none. */
const struct series *bench_find(const struct series *series, size_t count, const struct loop *loop,
				unsigned mode, unsigned cpus);
/* The same antagonist in a space of its own. NULL: it has not run. */
const struct series *bench_twin(const struct series *series, size_t count, const struct series *s);

/* bench_plot.c */

/* Make options->plots, look for gnuplot. Returns false and says why on stderr. */
bool bench_plot_start(const struct bench_options *options);
/* Draw a group: series[0..count), of all numbers of CPUs. Returns false and says why on stderr. */
bool bench_plot(const struct bench_options *options, const struct series *series, size_t count);

#endif
