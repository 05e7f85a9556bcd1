/* SPDX-License-Identifier: MIT */
/*
 * What operations cost: on one virtual CPU of the soft port, in a space of each mode. Medians of
 * several rounds; the modes take turns, so that what slowly changes on the host touches all alike.
 */
#include "scale_measure.h"

#include <quire/soft.h>

#include "bench_histogram.h"

#define PAGE QUIRE_PAGE_SIZE
#define BASE (UINT64_C(64) << 30)
#define ASIDE (UINT64_C(96) << 30)
#define FEW_PAGES 2048 /* as many as each thread of low-fault has */
#define PASSES 8
#define BATCHES 20 /* of calls; of each, so many: what is freed later must be part of it */
#define CALLS 256
#define SAMPLES 512
#define READ_WRITE (QUIRE_PROT_READ | QUIRE_PROT_WRITE)

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;
static bool failed;

static void check(bool done)
{
	failed = failed || !done;
}

static void map(uint64_t address, uint64_t pages)
{
	check(quire_mmap(mm, address, pages * PAGE, READ_WRITE,
			 QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED) ==
	      (int64_t)address);
}

static void unmap(uint64_t address, uint64_t pages)
{
	check(quire_munmap(mm, address, pages * PAGE) == 0);
}

static void protect(uint64_t address, int prot)
{
	check(quire_mprotect(mm, address, PAGE, prot) == 0);
}

static void drop(uint64_t address, uint64_t pages)
{
	check(quire_madvise(mm, address, pages * PAGE, QUIRE_MADV_DONTNEED) == 0);
}

static void write_pages(uint64_t address, uint64_t pages)
{
	for (uint64_t i = 0; i < pages && !failed; i++) {
		char *byte = quire_soft_translate(cpu, address + i * PAGE, QUIRE_WRITE);

		quire_soft_safepoint(cpu);
		check(byte != NULL);
		if (byte)
			__atomic_store_n(byte, 1, __ATOMIC_RELAXED);
	}
}

/*
 * A host with other work takes the CPU away for milliseconds. So what is short is measured in
 * batches, of which most are not disturbed: the median counts.
 */
static struct {
	double list[SAMPLES];
	unsigned count;
} samples;

static void add_sample(uint64_t since, unsigned units)
{
	if (samples.count < SAMPLES)
		samples.list[samples.count++] = measure_nanoseconds(since) / units;
}

static double take_median(void)
{
	double median = samples.count ? spread_of(samples.list, samples.count).median : 0;

	samples.count = 0;
	return median;
}

/* Leaf by leaf. */
static void write_measured(uint64_t pages)
{
	for (uint64_t leaf = 0; leaf < pages; leaf += LEAF_PAGES) {
		uint64_t start = measure_ticks();

		write_pages(BASE + leaf * PAGE, LEAF_PAGES);
		add_sample(start, LEAF_PAGES);
	}
}

/* Many pages at once; *first: nanoseconds of writing one, *last: of taking one away. */
static void measure_pages(uint64_t pages, void (*take_away)(uint64_t, uint64_t), double *first,
			  double *last)
{
	uint64_t start;

	map(BASE, pages);
	write_measured(pages);
	*first = take_median();
	start = measure_ticks();
	take_away(BASE, pages);
	*last = measure_nanoseconds(start) / (double)pages;
	if (take_away == drop)
		unmap(BASE, pages);
}

/* Again and again, so that the pages stay in the cache. */
static double measure_few_pages(void)
{
	map(BASE, FEW_PAGES);
	for (unsigned pass = 0; pass < PASSES; pass++) {
		/* The first only warms them. */
		if (pass == 1)
			samples.count = 0;
		write_measured(FEW_PAGES);
		drop(BASE, FEW_PAGES);
	}
	unmap(BASE, FEW_PAGES);
	return take_median();
}

/* Calls about one page of a leaf. */

static void remap_once(void)
{
	write_pages(BASE, 1);
	unmap(BASE, LEAF_PAGES);
	map(BASE, LEAF_PAGES);
}

static void drop_once(void)
{
	write_pages(BASE, 1);
	drop(BASE, LEAF_PAGES);
}

static void drop_two(void)
{
	write_pages(BASE, 2);
	drop(BASE, LEAF_PAGES);
}

static void local_once(void)
{
	map(ASIDE, 1);
	write_pages(ASIDE, 1);
	unmap(ASIDE, 1);
}

static void protect_once(void)
{
	write_pages(BASE + PAGE, 1);
	protect(BASE + PAGE, QUIRE_PROT_READ);
	protect(BASE + PAGE, READ_WRITE);
}

static double measure_call(void (*call)(void))
{
	for (unsigned batch = 0; batch < BATCHES; batch++) {
		uint64_t start = measure_ticks();

		for (unsigned i = 0; i < CALLS; i++)
			call();
		add_sample(start, CALLS);
	}
	return take_median();
}

static void measure_calls(struct operation_cost *c)
{
	double one, write;

	map(BASE, LEAF_PAGES);
	one = measure_call(drop_once);
	write = measure_call(drop_two) - one - c->drop_page;
	c->dontneed = one - write;
	c->remap = measure_call(remap_once) - write;
	c->local = measure_call(local_once);
	c->protect = measure_call(protect_once);
	unmap(BASE, LEAF_PAGES);
}

/* Of a space with so many pages written: nanoseconds. */
static void measure_fork(uint64_t pages, double *fork, double *destroy)
{
	struct quire_mm *child = NULL;
	uint64_t start;

	map(BASE, pages);
	write_pages(BASE, pages);
	start = measure_ticks();
	check(quire_fork(mm, &child) == 0);
	*fork = measure_nanoseconds(start);
	start = measure_ticks();
	if (child)
		quire_mm_destroy(child);
	*destroy = measure_nanoseconds(start);
	unmap(BASE, pages);
}

static void measure_mode(const struct parameters *p, struct operation_cost *c)
{
	double ignored, fork, destroy;

	measure_pages(p->region_pages, unmap, &c->write, &c->unmap_page);
	measure_pages(p->section_pages, drop, &ignored, &c->drop_page);
	c->write_again = measure_few_pages();
	measure_calls(c);
	measure_fork(1, &c->fork, &c->destroy);
	measure_fork(p->fork_pages, &fork, &destroy);
	c->fork_page = (fork - c->fork) / p->fork_pages;
	c->destroy_page = (destroy - c->destroy) / p->fork_pages;
}

static void measure_round(const struct parameters *p, unsigned mode, struct operation_cost *c)
{
	const struct quire_mm_config config = { .mode = (enum quire_mode)mode };

	check(quire_mm_create(&config, &mm) == 0);
	if (failed)
		return;
	quire_soft_switch(cpu, mm);
	measure_mode(p, c);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_barrier(0);
}

/* The structures are nothing but doubles: of each, the median of the rounds. */
static void take_medians(struct operation_cost *rounds, struct operation_cost *result)
{
	const unsigned fields = sizeof(*result) / sizeof(double);
	double values[ROUNDS];

	for (unsigned f = 0; f < fields; f++) {
		for (unsigned r = 0; r < ROUNDS; r++)
			values[r] = ((const double *)&rounds[r])[f];
		((double *)result)[f] = spread_of(values, ROUNDS).median;
	}
}

bool measure_operations(struct parameters *p)
{
	static struct operation_cost rounds[SCALE_MODES][ROUNDS];
	const struct quire_soft_config config = {
		.cpus = 1,
		/* Little more than is used at once: all modes are to have the same pages. */
		.memory = (uint64_t)p->region_pages * PAGE / 4 * 5,
	};

	check(quire_soft_init(&config) == 0);
	if (!failed)
		cpu = quire_soft_attach(0);
	check(cpu != NULL);
	if (!failed) {
		quire_soft_enter(cpu);
		/* The first round also touches the memory for the first time. */
		measure_round(p, 0, &rounds[0][0]);
		for (unsigned r = 0; r < ROUNDS; r++) {
			measure_lines(r);
			for (unsigned mode = 0; mode < SCALE_MODES; mode++)
				measure_round(p, (mode + r) % SCALE_MODES,
					      &rounds[(mode + r) % SCALE_MODES][r]);
		}
		quire_soft_leave(cpu);
		quire_soft_detach(cpu);
		quire_soft_exit();
	}
	for (unsigned mode = 0; mode < SCALE_MODES; mode++)
		take_medians(rounds[mode], &p->costs[mode]);
	if (failed)
		fprintf(stderr, "scale_model: an operation failed that was to be measured\n");
	return !failed;
}
