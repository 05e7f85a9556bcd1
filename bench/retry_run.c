/* SPDX-License-Identifier: MIT */
/*
 * A window of bench/retry:
 *
 *     new space ─► map, prepare ─► the pass, timed ─► what was counted is what was forced? ─► away
 *
 * Every window begins with the same memory in the same state, whatever came before it.
 */
#define QUIRE_FORCE
#include "retry.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "fault/force.h"

#define MEMORY (UINT64_C(128) << 20)
#define BASE (UINT64_C(64) << 30)
#define LEAF (512 * QUIRE_PAGE_SIZE)
#define FILE_BYTES (MOST_FAULTS * QUIRE_PAGE_SIZE)

struct window {
	const struct operation *operation;
	struct quire_mm *mm, *child;
	unsigned faults;
};

static struct quire_soft_cpu *cpu;
static struct quire_object *file; /* all its pages are in the cache, and dirty */

static bool map(struct window *w)
{
	const uint64_t bytes = w->faults * w->operation->stride;

	return quire_mmap(w->mm, BASE, bytes, QUIRE_PROT_READ | QUIRE_PROT_WRITE,
			  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED) ==
	       (int64_t)BASE;
}

static bool map_shared_with_child(struct window *w)
{
	return map(w) &&
	       quire_madvise(w->mm, BASE, w->faults * QUIRE_PAGE_SIZE, QUIRE_MADV_POPULATE_WRITE) ==
		       0 &&
	       quire_fork(w->mm, &w->child) == 0;
}

static bool map_file(struct window *w, int kind)
{
	const int prot = QUIRE_PROT_READ | QUIRE_PROT_WRITE;

	return quire_mmap_object(w->mm, BASE, w->faults * QUIRE_PAGE_SIZE, prot,
				 kind | QUIRE_MAP_FIXED, file, 0, prot) == (int64_t)BASE;
}

static bool map_file_private(struct window *w)
{
	return map_file(w, QUIRE_MAP_PRIVATE);
}

static bool map_file_shared(struct window *w)
{
	return map_file(w, QUIRE_MAP_SHARED);
}

/* What can't happen to it, or happens after nothing but a look, is no reason of an operation. */
#define ANONYMOUS                                                                                  \
	{                                                                                          \
		QUIRE_RETRY_VMA, QUIRE_RETRY_TABLE, QUIRE_RETRY_ENTRY, QUIRE_RETRY_BUSY,           \
			QUIRE_COUNTER_COUNT                                                        \
	}
#define OF_FILE                                                                                    \
	{                                                                                          \
		QUIRE_RETRY_PAGE, QUIRE_RETRY_WAIT, QUIRE_RETRY_VMA, QUIRE_COUNTER_COUNT           \
	}

const struct operation operations[] = {
	{ "first-write", QUIRE_WRITE, QUIRE_PAGE_SIZE, map, ANONYMOUS, true },
	{ "zero-read", QUIRE_READ, QUIRE_PAGE_SIZE, map, ANONYMOUS, true },
	{ "cow-copy", QUIRE_WRITE, QUIRE_PAGE_SIZE, map_shared_with_child, ANONYMOUS, true },
	{ "leaf-write", QUIRE_WRITE, LEAF, map, { QUIRE_RETRY_TABLE, QUIRE_COUNTER_COUNT }, false },
	{ "file-private-write", QUIRE_WRITE, QUIRE_PAGE_SIZE, map_file_private, OF_FILE, false },
	{ "file-shared-write", QUIRE_WRITE, QUIRE_PAGE_SIZE, map_file_shared, OF_FILE, false },
	{ .name = NULL },
};

__attribute__((noinline)) bool retry_pass(struct quire_soft_cpu *on,
					  const struct operation *operation, const uint8_t *times,
					  unsigned faults)
{
	const uint64_t stride = operation->stride;
	const enum quire_access access = operation->access;

	for (unsigned i = 0; i < faults; i++) {
		force.times = times[i];
		if (!quire_soft_translate(on, BASE + i * stride, access))
			return false;
	}
	return true;
}

/* Of the CPU: what the host takes for others meanwhile is not counted. Nothing here waits. */
static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static double random_share(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (double)(*state >> 11) / (double)(UINT64_C(1) << 53);
}

/*
 * How often each fault is to fail: the same for all policies. Of faults: exactly the share, spread
 * at random, so that no branch predictor learns it.
 */
static void draw(const struct point *point, uint8_t *times, unsigned faults)
{
	uint64_t state = UINT64_C(88172645463325252);
	double left = point->rate * faults;

	for (unsigned i = 0; i < faults; i++) {
		times[i] = 0;
		if (!point->attempts) {
			times[i] = random_share(&state) * (faults - i) < left;
			left -= times[i];
		}
		while (point->attempts && times[i] < TRIES && random_share(&state) < point->rate)
			times[i]++;
	}
}

static uint64_t of_path(const struct quire_stats *stats, enum quire_path path)
{
	uint64_t sum = 0;

	for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
		sum += stats->faults[path][kind];
	return sum;
}

/* What must have been counted. Who goes to the classic path at once begins again once. */
static void expect(const struct point *point, const uint8_t *times, unsigned faults,
		   uint64_t *retries, uint64_t *classic)
{
	bool at_once = point->policy == CLASSIC || point->policy == CLASSIC_ANEW;

	*retries = *classic = 0;
	for (unsigned i = 0; i < faults; i++) {
		*retries += at_once ? times[i] > 0 : times[i];
		*classic += times[i] >= (at_once ? 1 : TRIES);
	}
}

static bool complain(const struct point *point, const char *what)
{
	fprintf(stderr, "retry: %s, %s, %s, rate %g: %s\n", point->operation->name,
		quire_counter_name(point->reason), retry_policy_name(point->policy), point->rate,
		what);
	return false;
}

/* What was forced is what was counted, and nothing besides. */
static bool check(struct point *point, const uint8_t *times, unsigned faults,
		  const struct quire_stats *before, const struct quire_stats *after)
{
	uint64_t classic = of_path(after, QUIRE_PATH_CLASSIC) - of_path(before, QUIRE_PATH_CLASSIC);
	uint64_t speculative = of_path(after, QUIRE_PATH_SPECULATIVE) -
			       of_path(before, QUIRE_PATH_SPECULATIVE);
	uint64_t retries = 0, retries_due, classic_due;

	expect(point, times, faults, &retries_due, &classic_due);
	for (unsigned c = QUIRE_RETRY_VMA; c <= QUIRE_RETRY_WAIT; c++)
		retries += after->counters[c] - before->counters[c];
	if (after->counters[point->reason] - before->counters[point->reason] != retries ||
	    retries != retries_due)
		return complain(point, "not as many retries as were forced");
	if (classic != classic_due || classic + speculative != faults)
		return complain(point, "not as many faults on each path as there must be");
	point->retries = (double)retries / faults;
	point->classic = (double)classic / faults;
	return true;
}

static bool pass(struct point *point, struct window *w)
{
	static uint8_t times[MOST_FAULTS];
	static struct quire_stats before, after;
	const char *wrong;
	uint64_t begun, ended;
	bool done;

	draw(point, times, w->faults);
	force = (struct force){
		.reason = point->reason,
		.gives_back = point->policy == RETRY || point->policy == CLASSIC_ANEW,
		.classic = point->policy == CLASSIC || point->policy == CLASSIC_ANEW,
	};
	quire_stats(w->mm, &before);
	begun = clock_now();
	done = retry_pass(cpu, w->operation, times, w->faults);
	ended = clock_now();
	force.times = 0;
	quire_stats(w->mm, &after);
	if (!done)
		return complain(point, "an access was refused");
	point->samples[point->count++] = (double)(ended - begun) / w->faults;
	wrong = quire_validate(w->mm);
	return wrong ? complain(point, wrong) : check(point, times, w->faults, &before, &after);
}

bool retry_window(struct point *point, unsigned faults)
{
	struct quire_mm_config config = { .mode = QUIRE_SPECULATIVE };
	struct window w = { .operation = point->operation, .faults = faults };
	bool good;

	if (quire_mm_create(&config, &w.mm) != 0)
		return complain(point, "no memory for a space");
	good = w.operation->prepare(&w) || complain(point, "can't be prepared");
	quire_soft_switch(cpu, w.mm);
	good = good && pass(point, &w);
	quire_soft_switch(cpu, NULL);
	if (w.child)
		quire_mm_destroy(w.child);
	quire_mm_destroy(w.mm);
	quire_barrier(0); /* what was deferred must not be the next window's work */
	return good;
}

/* The first touch of a page costs several times a later one: that is the host's. */
static bool touch_memory(void)
{
	struct quire_memory_stats memory;
	struct quire_mm *mm;
	bool done;

	quire_memory_stats(&memory);
	if (quire_mm_create(NULL, &mm) != 0)
		return false;
	done = quire_mmap(mm, BASE, memory.free / 16 * 15 * QUIRE_PAGE_SIZE, QUIRE_PROT_WRITE,
			  QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_POPULATE) > 0;
	quire_mm_destroy(mm);
	return done && quire_barrier(0) == 0;
}

bool retry_start(void)
{
	static char bytes[FILE_BYTES];
	const struct quire_soft_config machine = { .cpus = 1, .memory = MEMORY };

	if (quire_soft_init(&machine) != 0 || !(cpu = quire_soft_attach(0))) {
		fprintf(stderr, "retry: can't start a machine\n");
		return false;
	}
	quire_soft_enter(cpu);
	if (quire_memory_file_create(bytes, sizeof bytes, true, NULL, &file) != 0 ||
	    quire_object_write(file, 0, bytes, sizeof bytes) != (int64_t)sizeof bytes ||
	    !touch_memory()) {
		fprintf(stderr, "retry: too little memory\n");
		return false;
	}
	return true;
}

void retry_stop(void)
{
	quire_object_put(file);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	quire_soft_exit();
}
