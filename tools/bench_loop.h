/* SPDX-License-Identifier: MIT */
/*
 * What loops are made of: guest accesses, calls, waits, counts. The same loop runs in a space of
 * Quire's and in a process of the host's (struct bench_space): an access finds its byte by the
 * software MMU in the one, and is the byte in the other.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include "bench.h"

/* bench_run.c */

/* Note that a call failed, and stop the run. Returns false. */
bool bench_fail(struct run *run, const char *what, int64_t error);
/* The same of a call in run->apart. => it has failed there */
bool bench_apart_failed(struct run *run);
/* All workers arrive before any goes on. Returns false if the run stops meanwhile. */
bool bench_barrier(struct worker *worker);
/* A turn of a wait of any length: a safepoint, and from time to time the host's CPU for others. */
void bench_wait(struct worker *worker, unsigned turn);
uint64_t bench_clock_slow(void);
extern uint64_t bench_tick_scale; /* nanoseconds in a tick, times 2^32 */

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

/*
 * The same, when all that came before is done. Else the processor reads the counter while it still
 * waits for the memory of a page that is being cleared: the fault seems to take half of its time.
 */
static inline uint64_t bench_ticks_after(void)
{
#ifdef __x86_64__
	__builtin_ia32_lfence();
#endif
	return bench_ticks();
}

static inline uint64_t bench_nanoseconds(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * bench_tick_scale) >> 32);
}

/* Whether to go on; a safepoint. */
static inline bool bench_running(struct worker *w)
{
	if (w->cpu)
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

/* Whether this is an antagonist with a space of its own. */
static inline bool bench_is_apart(const struct worker *w)
{
	return w->run->loop->apart && w->index == w->run->cpus - 1;
}

/* xorshift32: never 0. */
static inline uint32_t bench_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* The byte at `address` of the space, for this access. NULL: it is refused. Of the host: the byte
 * itself, whose kernel ends the run's process if it is refused. */
static inline void *bench_translate(struct worker *w, uint64_t address, enum quire_access access)
{
	return w->cpu ? quire_soft_translate(w->cpu, address, access) : (void *)(uintptr_t)address;
}

/* Guest code: write a byte. */
static inline bool bench_write(struct worker *w, uint64_t address)
{
	char *byte = bench_translate(w, address, QUIRE_WRITE);

	if (__builtin_expect(!byte, 0))
		return bench_fail(w->run, "a write", -(int64_t)w->cpu->verdict);
	__atomic_store_n(byte, 1, __ATOMIC_RELAXED);
	return true;
}

/* Guest code: read a byte into *value. */
static inline bool bench_read(struct worker *w, uint64_t address, char *value)
{
	const char *byte = bench_translate(w, address, QUIRE_READ);

	if (__builtin_expect(!byte, 0))
		return bench_fail(w->run, "a read", -(int64_t)w->cpu->verdict);
	*value = __atomic_load_n(byte, __ATOMIC_RELAXED);
	return true;
}

/* bench_write of a page that has none, as a rule: its duration is noted if it faulted while the run
 * measures. The host does not say whether it did. */
static inline bool bench_write_timed(struct worker *w, uint64_t address)
{
	uint64_t faults = w->cpu ? w->cpu->faults : 0, start = bench_ticks();

	if (!bench_write(w, address))
		return false;

	uint64_t end = bench_ticks_after();

	if ((!w->cpu || w->cpu->faults != faults) &&
	    atomic_load_explicit(&w->run->phase, memory_order_relaxed) == PHASE_MEASURE)
		histogram_add(&w->latency, bench_nanoseconds(end - start));
	return true;
}

#define BENCH_RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)

/* Memory at the address. file: as bench_space.map. */
static inline bool bench_map_at(struct run *run, uint64_t address, uint64_t bytes, int prot,
				int flags, unsigned file)
{
	int64_t r = run->space->map(run, address, bytes, prot, flags | QUIRE_MAP_FIXED, file);

	return r == (int64_t)address || bench_fail(run, "mmap", r);
}

/* Private anonymous memory, readable and writable, at the address. */
static inline bool bench_map(struct run *run, uint64_t address, uint64_t bytes)
{
	return bench_map_at(run, address, bytes, BENCH_RW, QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS,
			    BENCH_ANONYMOUS);
}

/* The same, where the space finds room. */
static inline bool bench_map_anywhere(struct run *run, uint64_t bytes, uint64_t *address)
{
	int64_t r = run->space->map(run, 0, bytes, BENCH_RW,
				    QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS, BENCH_ANONYMOUS);

	*address = (uint64_t)r;
	return r >= 0 || bench_fail(run, "mmap", r);
}

static inline bool bench_unmap(struct run *run, uint64_t address, uint64_t bytes)
{
	int64_t r = run->space->unmap(run, address, bytes);

	return r == 0 || bench_fail(run, "munmap", r);
}

static inline bool bench_advise(struct run *run, uint64_t address, uint64_t bytes, int advice)
{
	int64_t r = run->space->advise(run, address, bytes, advice);

	return r == 0 || bench_fail(run, "madvise", r);
}

static inline bool bench_protect(struct run *run, uint64_t address, uint64_t bytes, int prot)
{
	int64_t r = run->space->protect(run, address, bytes, prot);

	return r == 0 || bench_fail(run, "mprotect", r);
}

static inline bool bench_brk(struct run *run, uint64_t end)
{
	int64_t r = run->space->brk(run, end);

	return r == (int64_t)end || bench_fail(run, "brk", r);
}

/* Fork the space; the child ends at once. */
static inline bool bench_fork(struct run *run)
{
	int64_t r = run->space->fork(run);

	return r == 0 || bench_fail(run, "fork", r);
}

static inline bool bench_open_file(struct run *run, unsigned index, uint64_t bytes)
{
	int64_t r = run->space->open_file(run, index, bytes);

	return r == 0 || bench_fail(run, "a file", r);
}

#endif
