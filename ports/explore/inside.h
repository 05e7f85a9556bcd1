/* SPDX-License-Identifier: MIT */
/* What the explorer's files share. */
#ifndef EXPLORE_INSIDE_H
#define EXPLORE_INSIDE_H

#include "explore.h"
#include "soft.h"

#define CPUS EXPLORE_CPUS
#define STACK_SIZE (128u << 10)
#define STEPS_MAX 100000
#define STUCK_MAX 500 /* turns of spinning in which nobody stored anything */
#define BUFFER_MAX 32

/* --- run.c: one run --- */

enum phase {
	PHASE_SETUP, /* one CPU, nothing is recorded */
	PHASE_RUN,   /* scheduled */
	PHASE_CHECK, /* one CPU; what it changes is undone */
};
extern enum phase phase;

/* A vector clock: what each CPU had done that is ordered before. */
struct clock {
	uint32_t at[CPUS];
};

enum state { READY, PAUSED, BLOCKED, ENDED };

struct buffered {
	volatile void *address;
	unsigned size;
	uint64_t value, hash;
	struct clock clock;
	const struct explore_site *site;
};

struct vcpu {
	enum state state;
	const volatile void *sleeps_on;
	uint64_t mark;	  /* PAUSED: `writes` when it paused */
	uint32_t spins;	  /* pauses since a CPU that does not spin went on */
	uint32_t step;	  /* accesses so far */
	uint64_t history; /* hash of what it did to shared memory, and of what that depended on */
	uint64_t now;	  /* of port_clock */
	struct clock clock, fenced, pending;
	struct buffered buffer[BUFFER_MAX]; /* stores held back, oldest first */
	unsigned buffered;
	const char *stack_top, *stack_low; /* low: of what is in use, while it does not run */
};

extern struct vcpu vcpus[CPUS];
extern unsigned vcpu_count, self; /* self: the CPU that runs */
extern uint64_t writes;		  /* stores to shared memory so far in this run */

/* Before an access: a step; a scheduling point if the location is shared. */
void run_step(bool shared);
/* This CPU spins or sleeps: others run. */
void run_pause(void);
void run_sleep(const volatile void *address);
void run_wake(const volatile void *address);

enum ending { RUN_ENDED, RUN_FAILED, RUN_CUT };
/* One run of the scenario from the state after setup, then its check; all undone afterwards. */
enum ending run_once(const struct scenario *);
/* Once, before anything else: signals become failures. */
void run_catch_crashes(void);
extern const char *scenario_name; /* for messages from its setup */
/* Gives up the run: its states are known. Does not return. */
_Noreturn void run_cut(void);
extern char run_message[512];
unsigned run_preemptions(void);
unsigned run_delays(void);
void run_delayed(void);

/* --- world.c: Quire around a scenario --- */

void world_start(const struct scenario *, enum quire_mode);
void world_check(const struct scenario *);
void world_stop(void);
void world_begin_run(void);
void world_become(unsigned cpu);
void world_end_program(void);
/* Outside a run: what the other CPUs would do if they ran. */
void world_let_others_answer(void);

/* --- search.c: choosing --- */

enum choice { CHOICE_PREEMPT, CHOICE_NEXT, CHOICE_DELAY };
extern struct explore_options options;
/* One of `count` CPUs (CHOICE_DELAY: of no and yes); the first is what happens by default. */
unsigned search_choose(enum choice, const unsigned *cpus, unsigned count);

/* --- memory.c: locations, clocks, store buffers --- */

void memory_reset(void);     /* for another scenario */
void memory_begin_run(void); /* clocks */
bool memory_freeze(void);    /* what was found shared counts from now on; was anything new? */
unsigned memory_shared(void);
/* explore_load and explore_store, for the sake of who called. */
uint64_t memory_load(const volatile void *p, unsigned size, enum explore_order,
		     const struct explore_site *, const void *pc);
void memory_store(volatile void *p, unsigned size, uint64_t value, enum explore_order,
		  const struct explore_site *, const void *pc);
void memory_drain(unsigned cpu); /* its store buffer */
void memory_before_plain_read(const volatile void *p, unsigned size);
/* An access of another kind to a pseudo-location: sleeping, waking. */
void memory_touch(const volatile void *p);
/* Freeing conflicts with every access to what is freed. */
void memory_freed(const void *p, size_t size);
extern bool memory_all_shared; /* in replays: every step is a scheduling point */

/* Two equal numbers must not cancel: a CPU's history and the last store may be one and the same. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	a = (a ^ a >> 31) * 0xd6e8feb86659fd93ull + b;
	a = (a ^ a >> 30) * 0x9e3779b97f4a7c15ull;
	a ^= a >> 29;
	a *= 0xbf58476d1ce4e5b9ull;
	return a ^ a >> 32;
}

/* --- watch.c: plain accesses, undoing, freed memory --- */

void watch_begin_run(void);
/* Clocks begin at 0 again. => between runs */
void watch_forget_clocks(void);
void watch_undo(void);				/* everything since watch_begin_run */
void watch_save(volatile void *p, size_t size); /* before it is changed */
void watch_plain(const volatile void *p, size_t size, bool write, const void *pc);
/* An atomic access: it must not be to freed memory. */
void watch_atomic(const volatile void *p, size_t size, const void *pc);
/* Nor may it see a plain write that is not ordered before it. */
void watch_mixed(const volatile void *p, const void *pc);
/* A hash of the memory that this run has changed. */
uint64_t watch_memory(void);
/* Tell explore_observer, if there is one. */
void watch_observe(const volatile void *p, size_t size, enum explore_access);
void watch_release_freed(void); /* really free what was freed in the run */

/* --- report.c --- */

/* What an access of the guest is called; it is printed whether others touch the place or not. */
#define GUEST_ACCESS "memory of the guest"

/* One line of a schedule, when options.print is set. */
void report_access(const char *operation, const volatile void *p, uint64_t value,
		   const struct explore_site *, const void *pc, bool shared);
void report_switch(const char *why, unsigned to);
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "function (file:line)" of a code address, if it can be found out. */
const char *report_place(const void *pc, char *buffer, size_t size);

#endif
