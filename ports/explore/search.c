/* SPDX-License-Identifier: MIT */
/*
 * Which schedules are run.
 *
 * All of them, depth first: a run follows the decisions of the one before up to the last that has
 * an alternative left, takes that, and then the default. A run that comes to a state that was met
 * before, with the same CPU to go on and as many preemptions and delays used up, is cut: whatever
 * can follow has been or will be explored from there. (Iterative context bounding, with the
 * happens-before relation of a prefix for its state.)
 *
 * A pass takes for shared what earlier passes have found shared, and is made again when it has
 * found more. Passes with fewer preemptions come first: they are short and find most of it.
 *
 * Random: each CPU has a priority, the highest that can goes on; at `preemptions` random steps the
 * running one gets the lowest (probabilistic concurrency testing).
 *
 * The id of a schedule lists the decisions that were not the default: CPU, step, what (p: preempt
 * for, n: next is, d: hold the store back). It means the same whatever is known to be shared.
 */
#include "inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DECISIONS_MAX 20000

struct explore_options options;

static struct decision {
	enum choice kind;
	unsigned cpu, step, count, chosen;
	unsigned cpus[CPUS];
} decisions[DECISIONS_MAX];
static unsigned length, position; /* decisions of this run; the next to be made */
static unsigned given;		  /* of them, taken over from the run before, or replayed */

static enum { SEARCH_ALL, SEARCH_RANDOM, SEARCH_REPLAY } how;
static uint64_t random_state;
static unsigned priority[CPUS], lowest;
static unsigned change_at[16], changes, steps_seen, steps_before;
static uint64_t pruned;

/* --- states that were met --- */

static struct states {
	uint64_t *hashes; /* 0: a free place */
	uint64_t room, count;
} known, ends, met, memories;

static void states_clear(struct states *s)
{
	if (s->hashes == NULL) {
		s->room = 1u << 12;
		s->hashes = malloc(s->room * sizeof(*s->hashes));
	}
	memset(s->hashes, 0, s->room * sizeof(*s->hashes));
	s->count = 0;
}

/* Returns whether it was there already. */
static bool states_add(struct states *s, uint64_t state)
{
	uint64_t i = state % s->room;

	while (s->hashes[i] != 0 && s->hashes[i] != state)
		i = (i + 1) % s->room;
	if (s->hashes[i] == state)
		return true;
	s->hashes[i] = state;
	if (++s->count * 2 > s->room) {
		struct states larger = { calloc(2 * s->room, sizeof(uint64_t)), 2 * s->room, 0 };

		for (uint64_t k = 0; k < s->room; k++)
			if (s->hashes[k] != 0)
				states_add(&larger, s->hashes[k]);
		free(s->hashes);
		*s = larger;
	}
	return false;
}

/* How a run ended: what every CPU has done, and what that depended on. */
static uint64_t state_at_end(void)
{
	uint64_t state = 0;

	for (unsigned i = 0; i < vcpu_count; i++)
		state = mix(state, vcpus[i].history);
	return state | 1;
}

static uint64_t state_now(enum choice kind, const unsigned *cpus, unsigned count)
{
	uint64_t state = mix(kind, run_preemptions());
	bool waits;

	state = mix(mix(state, run_delays()), self);
	for (unsigned i = 0; i < vcpu_count; i++) {
		state = mix(state, vcpus[i].history);
		/* Who spins is the same only if it has the same to wait for. */
		waits = vcpus[i].state == PAUSED && vcpus[i].mark == writes;
		state = mix(state, (vcpus[i].state * 64 + vcpus[i].spins) * 64 + vcpus[i].buffered);
		state = mix(state, waits);
	}
	for (unsigned i = 0; i < count; i++)
		state = mix(state, cpus[i] + 1);
	return state | 1;
}

/*
 * A test of the explorer: wherever a state is met again, memory must be the same. (With the steps,
 * so that a CPU before its first access is not one that has not begun.)
 */
static void compare_memory(uint64_t state)
{
	for (unsigned i = 0; i < vcpu_count; i++)
		state = mix(state, vcpus[i].step) | 1;
	bool known_state = states_add(&met, state);

	if (!states_add(&memories, mix(state, watch_memory()) | 1) && known_state)
		explore_fail("one state, and two different memories");
}

/* --- choosing --- */

static uint64_t random_next(void)
{
	random_state = mix(random_state, 0x2545f4914f6cdd1dull);
	return random_state;
}

static unsigned choose_randomly(enum choice kind, const unsigned *cpus, unsigned count)
{
	unsigned best = 0;

	if (kind == CHOICE_DELAY)
		return random_next() % 8 == 0;
	if (kind == CHOICE_PREEMPT) {
		steps_seen++;
		for (unsigned i = 0; i < changes; i++)
			if (change_at[i] == steps_seen)
				priority[self] = lowest--;
	}
	for (unsigned i = 1; i < count; i++)
		if (priority[cpus[i]] > priority[cpus[best]])
			best = i;
	return best;
}

static unsigned choose_as_told(enum choice kind, const unsigned *cpus, unsigned count)
{
	for (unsigned i = 0; i < given; i++) {
		const struct decision *d = &decisions[i];

		if (d->kind != kind || d->cpu != self || d->step != vcpus[self].step)
			continue;
		decisions[i].count = 1; /* it was reached */
		for (unsigned k = 0; k < count; k++)
			if (cpus[k] == d->chosen)
				return k;
		explore_fail("the schedule does not fit: CPU %u can't go on at step %u", d->chosen,
			     d->step);
	}
	return 0;
}

static unsigned record(enum choice kind, const unsigned *cpus, unsigned count, unsigned chosen)
{
	struct decision *d = &decisions[length];

	if (length == DECISIONS_MAX)
		explore_fail("more than %u decisions", DECISIONS_MAX);
	*d = (struct decision){ kind, self, vcpus[self].step, count, chosen, { 0 } };
	memcpy(d->cpus, cpus, count * sizeof(cpus[0]));
	position = ++length;
	return chosen;
}

unsigned search_choose(enum choice kind, const unsigned *cpus, unsigned count)
{
	if (count == 1 && (how != SEARCH_ALL || kind != CHOICE_PREEMPT || position < given))
		return 0;
	if (how == SEARCH_REPLAY)
		return choose_as_told(kind, cpus, count);
	if (how == SEARCH_RANDOM)
		return record(kind, cpus, count, choose_randomly(kind, cpus, count));
	if (position < given) {
		const struct decision *d = &decisions[position++];

		if (d->kind != kind || d->cpu != self || d->step != vcpus[self].step ||
		    d->count != count)
			explore_fail("not deterministic at step %u of CPU %u", vcpus[self].step,
				     self);
		return d->chosen;
	}
	if (options.compare)
		compare_memory(state_now(kind, cpus, count));
	if (!options.no_cuts && states_add(&known, state_now(kind, cpus, count))) {
		pruned++;
		run_cut();
	}
	if (count == 1)
		return 0;
	return record(kind, cpus, count, 0);
}

/* The next run's decisions. False: there is none left. */
static bool advance(void)
{
	while (length > 0 && decisions[length - 1].chosen + 1 == decisions[length - 1].count)
		length--;
	if (length == 0)
		return false;
	decisions[length - 1].chosen++;
	given = length;
	return true;
}

/* --- ids --- */

static const char letters[] = "pnd";

static void write_id(char *id, size_t size)
{
	size_t at = 0;

	snprintf(id, size, "-");
	for (unsigned i = 0; i < length && at < size; i++) {
		const struct decision *d = &decisions[i];

		if (d->chosen != 0)
			at += (size_t)snprintf(id + at, size - at, "%s%u.%u%c%u", at ? "-" : "",
					       d->cpu, d->step, letters[d->kind],
					       d->cpus[d->chosen]);
	}
}

static void read_id(const char *id)
{
	length = 0;
	if (strcmp(id, "-") == 0)
		id++;
	while (*id) {
		struct decision *d = &decisions[length];
		char letter;
		int used = 0;

		if (length == DECISIONS_MAX ||
		    sscanf(id, "%9u.%9u%c%9u%n", &d->cpu, &d->step, &letter, &d->chosen, &used) !=
			    4 ||
		    strchr(letters, letter) == NULL)
			explore_fail("not the id of a schedule: %s", id);
		d->kind = (enum choice)(strchr(letters, letter) - letters);
		d->count = 0;
		length++;
		id += used;
		id += *id == '-';
	}
	given = length;
}

/* --- searches --- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void failed(struct explore_result *result)
{
	result->failed = true;
	memcpy(result->message, run_message, sizeof(result->message));
	write_id(result->id, sizeof(result->id));
}

static bool run_one(const struct scenario *scenario, struct explore_result *result)
{
	position = 0;
	result->schedules++;
	result->total++;
	enum ending ending = run_once(scenario);

	if (ending == RUN_FAILED)
		failed(result);
	if (ending == RUN_ENDED)
		states_add(&ends, state_at_end());
	result->ends = ends.count;
	return ending != RUN_FAILED;
}

static bool out_of_bounds(const struct explore_result *result, double deadline)
{
	return (options.schedules != 0 && result->total >= options.schedules) ||
	       (deadline != 0 && now() >= deadline);
}

/* Returns whether it came to the end. */
static bool pass(const struct scenario *scenario, struct explore_result *result, double deadline)
{
	states_clear(&known);
	states_clear(&ends);
	states_clear(&met);
	states_clear(&memories);
	length = given = 0;
	result->schedules = pruned = 0;
	do {
		length = given;
		if (out_of_bounds(result, deadline) || !run_one(scenario, result))
			return false;
	} while (advance());
	return true;
}

static void search_all(const struct scenario *scenario, struct explore_result *result,
		       double deadline)
{
	struct explore_options wanted = options;
	bool complete = true;

	how = SEARCH_ALL;
	for (unsigned bound = 0; complete && bound <= wanted.preemptions; bound++) {
		options.preemptions = bound;
		do
			complete = pass(scenario, result, deadline);
		while (complete && memory_freeze());
	}
	options = wanted;
	result->complete = complete;
	result->pruned = pruned;
}

static void search_randomly(const struct scenario *scenario, struct explore_result *result,
			    double deadline)
{
	struct explore_options wanted = options;

	how = SEARCH_RANDOM;
	states_clear(&ends);
	random_state = mix(wanted.seed, 1);
	/* A change of priority may come anywhere, and each is a switch or none. */
	options.preemptions = UINT32_MAX;
	for (uint64_t i = 0; i < wanted.random && !out_of_bounds(result, deadline); i++) {
		length = given = 0;
		steps_before = steps_seen > 16 ? steps_seen : 200;
		steps_seen = 0;
		lowest = 16;
		for (unsigned c = 0; c < CPUS; c++)
			priority[c] = 100 + (unsigned)(random_next() % 1000);
		changes = wanted.preemptions < 16 ? wanted.preemptions : 16;
		for (unsigned c = 0; c < changes; c++)
			change_at[c] = 1 + (unsigned)(random_next() % steps_before);
		if (!run_one(scenario, result))
			break;
		memory_freeze();
	}
	options = wanted;
}

static unsigned not_reached(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < given; i++)
		count += decisions[i].count == 0;
	return count;
}

/* Twice: the first run finds out what is shared, the second prints it. */
static void search_replay(const struct scenario *scenario, struct explore_result *result)
{
	bool print = options.print, held;

	how = SEARCH_REPLAY;
	memory_all_shared = true;
	options.preemptions = options.delays = UINT32_MAX;
	read_id(options.replay);
	options.print = false;
	held = run_once(scenario) != RUN_FAILED;
	memory_freeze();
	options.print = print;
	if (print)
		held = run_once(scenario) != RUN_FAILED;
	result->schedules = result->total = 1;
	result->failed = !held;
	memcpy(result->message, run_message, sizeof(result->message));
	if (held && not_reached()) {
		result->failed = true;
		snprintf(result->message, sizeof(result->message),
			 "%u of the schedule's %u decisions were not reached", not_reached(),
			 given);
	}
	memory_all_shared = false;
}

void explore(const struct scenario *scenario, const struct explore_options *wanted,
	     struct explore_result *result)
{
	double begun = now(), deadline = wanted->seconds > 0 ? begun + wanted->seconds : 0;

	options = *wanted;
	memset(result, 0, sizeof(*result));
	if (scenario_name == NULL)
		run_catch_crashes();
	scenario_name = scenario->name;
	memory_reset();
	world_start(scenario, options.mode);
	if (options.replay)
		search_replay(scenario, result);
	else if (options.random)
		search_randomly(scenario, result, deadline);
	else
		search_all(scenario, result, deadline);
	result->shared = memory_shared();
	result->seconds = now() - begun;
	world_stop();
}

void explore_open(const struct scenario *scenario, enum quire_mode mode)
{
	memset(&options, 0, sizeof(options));
	memory_reset();
	world_start(scenario, mode);
}

void explore_close(void)
{
	world_stop();
}
