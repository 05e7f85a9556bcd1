/* SPDX-License-Identifier: MIT */
/*
 * loops [OPTION VALUE]... [LOOP]...: the loops of docs/benchmarks.md, by default all of them. A
 * line for each: its name, its unit, then median, minimum and maximum of the repetitions, a first
 * one not among them; then each of them, in order.
 *
 *     --threads N          workers, on CPUs 0 to N - 1 (1)
 *     --milliseconds N     of each repetition (300): operations a second, of all workers
 *     --operations N       instead: ticks of the time stamp counter an operation, over at least so
 *                          many; these are instructions under `quire boot --icount`. One worker
 *     --repeat N           repetitions (5)
 *     --mib N              size of what is called large (128)
 */
#include "loops.h"

enum { MOST_REPEAT = 32 };

struct run run = { .workers = 1, .pages = (128ul << 20) / PAGE, .limit = UINT64_MAX };
static uint64_t milliseconds = 300, repeat = 5, ticks_a_second;

static void work(void *argument)
{
	struct worker *w = argument;

	pin(w->index);
	if (run.loop->timed) {
		run.loop->work(w);
		return;
	}
	uint64_t start = timed_begin();
	run.loop->work(w);
	add(&w->ticks, timed_end() - start);
}

static void start_workers(void)
{
	run.stop = false;
	run.arrived = 0;
	for (unsigned i = 0; i < run.workers; i++) {
		struct worker *w = &run.worker[i];

		w->count = w->ticks = 0;
		w->mailbox = NULL;
		w->index = i;
		w->random = 2463534242 + i;
	}
	for (unsigned i = 0; i < run.workers; i++)
		thread_start(&run.worker[i].thread, work, &run.worker[i]);
}

/* What stopped workers have left goes, too. */
static void end_workers(void)
{
	for (unsigned i = 0; i < run.workers; i++)
		thread_join(&run.worker[i].thread);
	unmap(ARENA, run.workers * SLOT / PAGE);
}

struct sample {
	uint64_t now, count[MOST_WORKERS], ticks[MOST_WORKERS];
};

static void take(struct sample *sample)
{
	for (unsigned i = 0; i < run.workers; i++) {
		sample->count[i] = run.worker[i].count;
		sample->ticks[i] = run.worker[i].ticks;
	}
	sample->now = nanoseconds();
}

/* Operations a second between the samples; of what a timed loop does only its operations count. */
static uint64_t rate_between(const struct sample *from, const struct sample *to)
{
	double sum = 0, seconds = (double)(to->now - from->now) / 1e9;

	for (unsigned i = 0; i < run.workers; i++) {
		if (run.loop->timed)
			seconds = (double)(to->ticks[i] - from->ticks[i]) / (double)ticks_a_second;
		if (seconds > 0)
			sum += (double)(to->count[i] - from->count[i]) / seconds;
	}
	return (uint64_t)sum;
}

static uint64_t rate(void)
{
	struct sample from, to;

	start_workers();
	sleep_nanoseconds(milliseconds * 200000);
	take(&from);
	sleep_nanoseconds(milliseconds * 1000000);
	take(&to);
	run.stop = true;
	end_workers();
	return rate_between(&from, &to);
}

static uint64_t cost(void)
{
	start_workers();
	end_workers();
	return run.worker[0].ticks / run.worker[0].count;
}

static void sort(uint64_t *values, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j && values[j - 1] > values[j]; j--) {
			uint64_t value = values[j];

			values[j] = values[j - 1];
			values[j - 1] = value;
		}
}

static void print_column(uint64_t value)
{
	print("\t");
	print_number(value);
}

static void measure(const struct loop *loop)
{
	uint64_t runs[MOST_REPEAT], sorted[MOST_REPEAT];

	run.loop = loop;
	if (loop->prepare)
		loop->prepare();
	if (run.limit != UINT64_MAX)
		cost(); /* what is the first time only */
	for (size_t i = 0; i < repeat; i++)
		sorted[i] = runs[i] = run.limit == UINT64_MAX ? rate() : cost();
	sort(sorted, repeat);
	print(loop->name);
	print("\t");
	print(loop->unit);
	print_column(sorted[repeat / 2]);
	print_column(sorted[0]);
	print_column(sorted[repeat - 1]);
	for (size_t i = 0; i < repeat; i++)
		print_column(runs[i]);
	print("\n");
}

static const struct loop *find(const char *name)
{
	for (const struct loop *loop = loops; loop->name; loop++)
		if (same(name, loop->name))
			return loop;
	print(name);
	print(": no such loop\n");
	leave(2);
}

static void set(const char *option, uint64_t value)
{
	bool right = value > 0;

	if (same(option, "--threads")) {
		run.workers = (unsigned)value;
		right = right && value <= MOST_WORKERS;
	} else if (same(option, "--milliseconds"))
		milliseconds = value;
	else if (same(option, "--operations"))
		run.limit = value;
	else if (same(option, "--repeat")) {
		repeat = value;
		right = right && value <= MOST_REPEAT;
	} else if (same(option, "--mib")) {
		run.pages = (value << 20) / PAGE;
		right = right && value <= SLOT >> 20;
	} else
		right = false;
	if (right)
		return;
	print(option);
	print(": no such option or value\n");
	leave(2);
}

static void calibrate(void)
{
	uint64_t start = nanoseconds(), first = ticks();

	while (nanoseconds() - start < 50000000)
		;
	ticks_a_second = (ticks() - first) * 20;
}

int bare_main(int argc, char **argv)
{
	int first = 1;

	for (; first < argc && argv[first][0] == '-'; first += 2)
		set(argv[first], first + 1 < argc ? number_of(argv[first + 1]) : 0);
	if (run.limit != UINT64_MAX && run.workers > 1) {
		print("--operations: of one worker\n");
		leave(2);
	}
	calibrate();
	for (int i = first; i < argc; i++)
		find(argv[i]);
	for (int i = first; i < argc; i++)
		measure(find(argv[i]));
	for (const struct loop *loop = loops; first >= argc && loop->name; loop++)
		measure(loop);
	return 0;
}
