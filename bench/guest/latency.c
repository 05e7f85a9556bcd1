/* SPDX-License-Identifier: MIT */
/*
 * latency MILLISECONDS [ANTAGONIST...]: one thread writes the pages of a mapping of 128 MiB, unmaps
 * it, and again, while another one does something else to the same space without pause. A line for
 * each antagonist: its name, faults a second, and of their latency in nanoseconds p50, p99, p99.9,
 * p99.99 and the maximum; then how often a second the antagonist did what it does.
 *
 *     │ leaf ............m│ leaf ............m│ ...  │ 4 MiB that are not written    m│
 *
 * In each leaf the last page (m) is left out: it is protected where that is to be in the leaf that
 * is just written. The last page of all is in the same VMA, in another leaf. The mapping comes and
 * goes, so the antagonist may find nothing there, or a new one; hence pages that it protects are
 * populated by calls, which fail where a write would end the program.
 */
#include "thread.h"

enum { STEPS = 32, BUCKETS = 64 * STEPS, LEAF = 512, SOME = 64 };
#define VICTIM ((128ul << 20) / PAGE)
#define BESIDE ((4ul << 20) / PAGE)
#define UNMAPPED ((256ul << 20) / PAGE)
#define FORKED ((512ul << 20) / PAGE)

static struct {
	_Atomic bool stop, ready;
	bool (*antagonist)(void);
	unsigned char *_Atomic last;	 /* page of the victim's mapping */
	unsigned char *_Atomic left_out; /* in the leaf that it writes */
	_Atomic uint64_t done;
	struct thread victim, other;
} shared;
static uint32_t histogram[BUCKETS];
static uint64_t faults, worst, ticks_a_second;

static void write_pages(unsigned char *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		*(volatile unsigned char *)(p + i * PAGE) = 1;
}

/* --- what the other thread does, once. => whether there was something to do it to --- */
static bool spins(void)
{
	for (int i = 0; i < 1000; i++)
		pause_cpu();
	return true;
}

static bool maps_1(void)
{
	unmap(map(NULL, PAGE, RW, PRIVATE, -1), 1);
	return true;
}

static bool maps_128m(void)
{
	unmap(map(NULL, 128ul << 20, RW, PRIVATE, -1), (128ul << 20) / PAGE);
	return true;
}

static bool protect(unsigned char *p)
{
	return p && call3(__NR_mprotect, p, PAGE, PROT_READ) == 0 &&
	       call3(__NR_mprotect, p, PAGE, RW) == 0;
}

static bool protects_elsewhere(void)
{
	static unsigned char *p;

	if (!p)
		write_pages(p = map((void *)0x100000000000, PAGE, RW, PRIVATE | MAP_FIXED, -1), 1);
	return protect(p);
}

static bool protects_in_vma(void)
{
	return protect(shared.last);
}

static bool protects_in_leaf(void)
{
	return protect(shared.left_out);
}

static bool gives_back(void)
{
	static unsigned char *p;

	if (!p)
		p = anonymous(SOME);
	write_pages(p, SOME);
	return call3(__NR_madvise, p, SOME * PAGE, MADV_DONTNEED) == 0;
}

static bool gives_back_in_vma(void)
{
	unsigned char *last = shared.last, *p = last - (SOME - 1) * PAGE;

	return last && call3(__NR_madvise, p, SOME * PAGE, MADV_POPULATE_WRITE) == 0 &&
	       call3(__NR_madvise, p, SOME * PAGE, MADV_DONTNEED) == 0;
}

static bool unmaps_populated(void)
{
	unsigned char *p = anonymous(UNMAPPED);

	write_pages(p, UNMAPPED);
	unmap(p, UNMAPPED);
	return true;
}

static bool forks(void)
{
	static unsigned char *p;

	if (!p)
		write_pages(p = anonymous(FORKED), FORKED);
	long child = call0(__NR_fork);
	if (child == 0)
		leave(0);
	must(child > 0 && call(__NR_wait4, child, 0, 0, 0, 0, 0) == child, "fork");
	return true;
}

static const struct {
	const char *name;
	bool (*run)(void);
} antagonists[] = {
	{ "spins", spins },
	{ "maps and unmaps 1 page elsewhere", maps_1 },
	{ "maps and unmaps 128 MiB elsewhere", maps_128m },
	{ "mprotects one page elsewhere", protects_elsewhere },
	{ "mprotects one page in the same VMA", protects_in_vma },
	{ "mprotects one page in the same leaf", protects_in_leaf },
	{ "MADV_DONTNEED elsewhere", gives_back },
	{ "MADV_DONTNEED in the same VMA", gives_back_in_vma },
	{ "unmaps a populated 256 MiB", unmaps_populated },
	{ "forks with 512 MiB populated", forks },
};

static void other(void *unused)
{
	(void)unused;
	pin(1);
	/* Once beforehand: what it needs is populated. */
	shared.antagonist();
	shared.ready = true;
	while (!shared.stop) {
		shared.done += shared.antagonist();
	}
}

static unsigned bucket_of(uint64_t value)
{
	unsigned log = 63 - (unsigned)__builtin_clzl(value | STEPS);

	return (log - 5) * STEPS + (unsigned)(value >> (log - 5));
}

static uint64_t value_of(unsigned bucket)
{
	unsigned log = bucket / STEPS;

	return log < 1 ? bucket : (uint64_t)(bucket % STEPS + STEPS) << (log - 1);
}

static void timed_write(unsigned char *page)
{
	uint64_t start = ticks();

	*(volatile unsigned char *)page = 1;
	uint64_t took = ticks() - start;
	histogram[bucket_of(took)]++;
	worst = took > worst ? took : worst;
	faults++;
}

static bool is_left_out(const unsigned char *page)
{
	return (uintptr_t)page / PAGE % LEAF == LEAF - 1;
}

/* The page that is left out in the leaf which begins here, or where the mapping does. */
static void begin_leaf(unsigned char *page)
{
	unsigned char *left = page + (LEAF - 1 - (uintptr_t)page / PAGE % LEAF) * PAGE;

	call3(__NR_madvise, left, PAGE, MADV_POPULATE_WRITE);
	shared.left_out = left;
}

static void write_mapping(unsigned char *p)
{
	begin_leaf(p);
	for (size_t i = 0; i < VICTIM && !shared.stop; i++) {
		if (is_left_out(p + i * PAGE))
			begin_leaf(p + (i + 1) * PAGE);
		else
			timed_write(p + i * PAGE);
	}
}

static void victim(void *unused)
{
	(void)unused;
	pin(0);
	while (!shared.stop) {
		unsigned char *p = anonymous(VICTIM + BESIDE);
		unsigned char *last = p + (VICTIM + BESIDE - 1) * PAGE;

		call3(__NR_madvise, last, PAGE, MADV_POPULATE_WRITE);
		shared.last = last;
		write_mapping(p);
		shared.last = shared.left_out = NULL;
		unmap(p, VICTIM + BESIDE);
	}
}

static uint64_t in_nanoseconds(uint64_t count)
{
	return (uint64_t)((double)count * 1e9 / (double)ticks_a_second);
}

static void print_column(uint64_t value)
{
	print("\t");
	print_number(value);
}

static void print_percentiles(void)
{
	static const uint64_t shares[] = { 5000, 9900, 9990, 9999 };
	uint64_t sum = 0;
	unsigned bucket = 0;

	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		while (bucket < BUCKETS && sum + histogram[bucket] < faults * shares[i] / 10000)
			sum += histogram[bucket++];
		print_column(in_nanoseconds(value_of(bucket)));
	}
	print_column(in_nanoseconds(worst));
}

static void measure(size_t which, uint64_t milliseconds)
{
	memset(histogram, 0, sizeof(histogram));
	faults = worst = 0;
	shared.stop = shared.ready = false;
	shared.done = 0;
	shared.antagonist = antagonists[which].run;
	thread_start(&shared.other, other, NULL);
	while (!shared.ready)
		sleep_nanoseconds(1000000);
	uint64_t start = nanoseconds();
	thread_start(&shared.victim, victim, NULL);
	sleep_nanoseconds(milliseconds * 1000000);
	shared.stop = true;
	uint64_t took = (nanoseconds() - start) / 1000, done = shared.done;
	thread_join(&shared.victim);
	thread_join(&shared.other);
	print(antagonists[which].name);
	print_column(faults * 1000000 / took);
	print_percentiles();
	print_column(done * 1000000 / took);
	print("\n");
}

int bare_main(int argc, char **argv)
{
	uint64_t milliseconds = argc > 1 ? number_of(argv[1]) : 0, start = nanoseconds(),
		 first = ticks();

	must(milliseconds > 0, "latency MILLISECONDS [ANTAGONIST...]");
	while (nanoseconds() - start < 50000000)
		;
	ticks_a_second = (ticks() - first) * 20;
	for (size_t i = 0; i < sizeof(antagonists) / sizeof(*antagonists); i++) {
		bool wanted = argc == 2;

		for (int j = 2; j < argc; j++)
			wanted |= same(argv[j], antagonists[i].name);
		if (wanted)
			measure(i, milliseconds);
	}
	return 0;
}
