/* SPDX-License-Identifier: MIT */
/*
 * The explorer: runs a small concurrent scenario under every schedule up to a bound, on the very
 * core that ships.
 *
 *     setup ─► snapshot ─► [ run: virtual CPUs 0..3, one at a time ─► check ─► undo ] ... again
 *                              │ before each shared access:
 *                              └─ go on, or preempt (while the bound allows)
 *
 * A virtual CPU is a fiber. Every atomic access of the core and of the port, and every access of
 * the guest, is a *step*; where the location is shared, the step is a scheduling point. What fails
 * a schedule:
 *
 *   - expect() of the scenario's check, quire_validate, something not freed at the end
 *   - a panic or a debug assertion of the core: lock ranks, sleeping under a lock, ...
 *   - an access to freed memory: what is freed stays so until the end of the run
 *   - a data race: two plain accesses, one of them a write, not ordered by release and acquire
 *   - deadlock: everyone sleeps; livelock: everyone spins, or STEPS_MAX steps; a grace period that
 *     never ends is one or the other; a loop without steps
 *   - a signal: a wild access, a division by zero
 *
 * What is explored. All choices at which CPU goes on when one ends, sleeps or spins, and at each
 * shared access up to a number of preemptions. Schedules that differ only in the order of
 * independent accesses lead to the same state, which is explored once (search.c). In the weak
 * modes a store may also be held back: it stays in its CPU's store buffer, unseen by others, until
 * the CPU's next fence, read-modify-write, pause, sleep or end (memory.c).
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <quire/soft.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPLORE_CPUS 4

enum explore_memory {
	EXPLORE_CONSISTENT,   /* stores take effect at once */
	EXPLORE_TSO,	      /* store buffers that drain in order */
	EXPLORE_OUT_OF_ORDER, /* that drain in any order but for release stores */
};

struct scenario {
	const char *name, *file;	 /* a C identifier, H40_fork_cow; where it stands */
	const char *about;		 /* one line */
	void (*setup)(void);		 /* as CPU 0; may become others (as_cpu) */
	void (*run[EXPLORE_CPUS])(void); /* the program of each CPU; NULL: there is none */
	void (*check)(void);		 /* as CPU 0, after all have ended; may be NULL */
	unsigned levels;		 /* of page tables; 0: 4 */
	/*
	 * The explorer's own tests: the scenario must fail so, part of the message, in this memory
	 * and weaker ones, and in stronger ones must hold.
	 */
	const char *fails;
	enum explore_memory fails_in;
	bool speculative_only; /* what it says does not hold for the baselines */
};

/* Defines a scenario and adds it to the list of all: SCENARIO(name, "about", .setup = ...) */
#define SCENARIO(identifier, text, ...)                                                            \
	static const struct scenario identifier = {                                                \
		.name = #identifier, .file = __FILE__, .about = (text), __VA_ARGS__                \
	};                                                                                         \
	static const struct scenario *const identifier##_entry                                     \
		__attribute__((section("scenarios"), used)) = &identifier

/* --- what scenarios call --- */

/* The space that all CPUs run: made before setup, in the mode that is explored. */
extern struct quire_mm *mm;

/* Two pages in one leaf, and one in another leaf of the same table; more follow each. */
#define PAGE QUIRE_PAGE_SIZE
#define HALF (PAGE / 2) /* pages are cleared and copied in two steps: watch a word in each */
#define A 0x40000000ull
#define B (A + PAGE)
#define C (A + 2 * PAGE)
#define LEAF (512 * PAGE)
#define D (A + LEAF)
#define READ_WRITE (QUIRE_PROT_READ | QUIRE_PROT_WRITE)

/* mmap at a fixed address, anonymous and private; fails the scenario if it fails. */
void map(uint64_t address, uint64_t pages, int prot);
void unmap(uint64_t address, uint64_t pages);
void protect(uint64_t address, uint64_t pages, int prot);

/*
 * An object with these operations (NULL: none), enum quire_object_caps, and so many pages. The
 * scenario's reference is given back after the check; the calls of quire/object.h do the rest.
 */
struct quire_object *make_object(const struct quire_object_ops *, unsigned caps, uint64_t pages);
#define ALL_CAPS (QUIRE_CAN_FAULT | QUIRE_CAN_MAP_AROUND | QUIRE_CAN_MKWRITE)
/* mmap of it for reading and writing at a fixed address; type: QUIRE_MAP_SHARED or _PRIVATE. */
void map_object(uint64_t address, uint64_t pages, int type, struct quire_object *, uint64_t first);
/* The machine's memory, and behind it that of devices, for quire_device_create. */
#define MEMORY (4ull << 20)
#define DEVICE MEMORY
#define DEVICE_PAGES 2

/*
 * The guest's accesses: 8 bytes, by translations that may be stale, as the guest of an emulator
 * makes them. A value or, if the access is refused, REFUSED(verdict).
 */
#define REFUSED(verdict) (~0ull - (uint64_t)(verdict))
#define MAPERR REFUSED(QUIRE_FAULT_MAPERR)
#define ACCERR REFUSED(QUIRE_FAULT_ACCERR)
#define BUS REFUSED(QUIRE_FAULT_BUS)
#define DONE 0ull
uint64_t load(uint64_t address);
uint64_t store(uint64_t address, uint64_t value); /* DONE or REFUSED() */

/* In setup: go on as another CPU (to give it translations), until the next as_cpu. */
void as_cpu(unsigned cpu);
/* In setup and check: have this CPU run another space; a value in any space without its CPUs. */
void run_space(struct quire_mm *space);
uint64_t peek(struct quire_mm *space, uint64_t address);

/* Fails the schedule. */
_Noreturn void explore_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define expect(condition)                                                                          \
	((condition) ? (void)0 : explore_fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition))
#define expect_equal(a, b) explore_equal((uint64_t)(a), (uint64_t)(b), #a, __FILE__, __LINE__)
void explore_equal(uint64_t a, uint64_t b, const char *what, const char *file, int line);
/* A number of this run, from 1, that rises at each call: for histories. A step. */
uint64_t explore_time(void);

/* --- what a driver calls --- */

struct explore_options {
	enum quire_mode mode;
	enum explore_memory memory;
	unsigned preemptions, delays; /* at most, in one schedule; delays: stores held back */
	uint64_t schedules;	      /* at most; 0: all */
	double seconds;		      /* at most; 0: no bound */
	/* Random priority schedules instead (PCT): that many, from this seed. */
	uint64_t random, seed;
	const char *replay; /* one schedule, by its id, instead */
	/* Tests of the explorer: follow known states too; compare memory where one is met again. */
	bool no_cuts, compare;
	bool print; /* each access to shared memory */
};

struct explore_result {
	bool failed;
	bool complete;	    /* all schedules within the bounds; not so if cut off, or random */
	uint64_t schedules; /* run; of the last pass */
	uint64_t total;	    /* with earlier passes, which found out what is shared */
	uint64_t pruned;    /* cut short, since they came to a known state */
	uint64_t ends;	    /* different ways in which runs ended */
	unsigned shared;    /* locations */
	double seconds;
	char message[512];
	char id[8192]; /* of the failing schedule; "-": the one without choices */
};

void explore(const struct scenario *, const struct explore_options *, struct explore_result *);

/* --- watching operations without schedules (tests/explore/conflicts.c) --- */

enum explore_access { EXPLORE_READ, EXPLORE_WRITE, EXPLORE_RMW };
/*
 * Called for each access of the core and the port outside a run, atomic or plain; not for stacks.
 * NULL: nobody looks. Between explore_open and explore_close there is a world as in a scenario's
 * setup, with its CPUs.
 */
extern void (*explore_observer)(const volatile void *p, size_t size, enum explore_access);
void explore_open(const struct scenario *, enum quire_mode);
void explore_close(void);

#endif
