/* SPDX-License-Identifier: MIT */
/*
 * latency MILLISECONDS [ANTAGONIST...]: one thread writes the pages of a mapping of 64 MiB, unmaps
 * it, and again, while another one does something else to the same space without pause. A line for
 * each antagonist: its name, faults a second, and of their latency in nanoseconds p50, p99, p99.9,
 * p99.99 and the maximum; then how often the antagonist did what it does.
 *
 * The mapping is a little larger than what is written: the page that is protected is in the same
 * VMA, in another table.
 */
#include "bare.h"

#include <linux/sched.h>

enum { STEPS = 32, BUCKETS = 64 * STEPS, STACK = 65536 };
#define VICTIM ((64ul << 20) / PAGE)
#define BESIDE ((4ul << 20) / PAGE)

static struct {
	_Atomic bool stop, ready, over;
	void (*antagonist)(void);
	unsigned char *beside; /* the end of the victim's mapping */
	_Atomic uint64_t done;
} shared;
static uint32_t histogram[BUCKETS];
static uint64_t faults, worst, ticks_a_second;

static void pause_cpu(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static void write_pages(unsigned char *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		*(volatile unsigned char *)(p + i * PAGE) = 1;
}

/* --- what the other thread does, once --- */
static void spins(void)
{
	for (int i = 0; i < 1000; i++)
		pause_cpu();
}

static void maps_1(void)
{
	unmap(map(NULL, PAGE, RW, PRIVATE, -1), 1);
}

static void maps_128m(void)
{
	unmap(map(NULL, 128ul << 20, RW, PRIVATE, -1), (128ul << 20) / PAGE);
}

/* The victim's mapping comes and goes: for a moment there may be nothing to protect. */
static void protects(void)
{
	unsigned char *p = *(unsigned char *volatile *)&shared.beside;

	if (p && call3(__NR_mprotect, p, PAGE, PROT_READ) == 0)
		call3(__NR_mprotect, p, PAGE, RW);
}

static void gives_back(void)
{
	static unsigned char *p;

	if (!p)
		p = anonymous(64);
	write_pages(p, 64);
	call3(__NR_madvise, p, 64 * PAGE, MADV_DONTNEED);
}

static void unmaps_populated(void)
{
	size_t size = (128ul << 20) / PAGE;
	unsigned char *p = anonymous(size);

	write_pages(p, size);
	unmap(p, size);
}

static void forks(void)
{
	static unsigned char *p;

	if (!p)
		write_pages(p = anonymous((128ul << 20) / PAGE), (128ul << 20) / PAGE);
	long child = call0(__NR_fork);
	if (child == 0)
		leave(0);
	must(child > 0 && call(__NR_wait4, child, 0, 0, 0, 0, 0) == child, "fork");
}

static const struct {
	const char *name;
	void (*run)(void);
} antagonists[] = {
	{ "spins", spins },
	{ "maps and unmaps 1 page elsewhere", maps_1 },
	{ "maps and unmaps 128 MiB elsewhere", maps_128m },
	{ "mprotects one page in the same VMA", protects },
	{ "MADV_DONTNEED elsewhere", gives_back },
	{ "unmaps a populated 128 MiB", unmaps_populated },
	{ "forks with 128 MiB populated", forks },
};

static void other_thread(void)
{
	pin(1);
	/* Once beforehand: what it needs is populated. */
	shared.antagonist();
	shared.ready = true;
	while (!shared.stop) {
		shared.antagonist();
		shared.done++;
	}
	shared.over = true;
	call1(__NR_exit, 0);
}

/* A new thread on its own stack begins at `begin` and must not return. */
static void start_thread(void (*begin)(void))
{
	static unsigned char *stack;
	long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		     CLONE_SYSVSEM;
	long result;

	if (!stack)
		stack = map(NULL, STACK, RW, PRIVATE | MAP_POPULATE, -1);
	void **top = (void **)(void *)(stack + STACK - 64);
	*top = (void *)(uintptr_t)begin;
	register long zero10 __asm__("r10") = 0, zero8 __asm__("r8") = 0;
	__asm__ volatile("syscall\n\t"
			 "test %%eax, %%eax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "call *%%rax\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(flags), "S"(top), "d"(0), "r"(zero10), "r"(zero8)
			 : "rcx", "r11", "memory");
	must(result > 0, "clone");
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

static void victim(uint64_t end)
{
	while (nanoseconds() < end) {
		unsigned char *p = anonymous(VICTIM + BESIDE);

		write_pages(p + (VICTIM + BESIDE - 1) * PAGE, 1);
		*(unsigned char *volatile *)&shared.beside = p + (VICTIM + BESIDE - 1) * PAGE;
		for (size_t i = 0; i < VICTIM; i++) {
			uint64_t start = ticks();

			*(volatile unsigned char *)(p + i * PAGE) = 1;
			uint64_t took = ticks() - start;
			histogram[bucket_of(took)]++;
			worst = took > worst ? took : worst;
			faults++;
			if (i % 256 == 0 && nanoseconds() > end)
				break;
		}
		*(unsigned char *volatile *)&shared.beside = NULL;
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
	shared.stop = shared.ready = shared.over = false;
	shared.done = 0;
	shared.antagonist = antagonists[which].run;
	start_thread(other_thread);
	while (!shared.ready)
		call0(__NR_sched_yield);
	uint64_t start = nanoseconds();
	victim(start + milliseconds * 1000000);
	uint64_t took = nanoseconds() - start, done = shared.done;
	shared.stop = true;
	while (!shared.over)
		call0(__NR_sched_yield);
	print(antagonists[which].name);
	print_column(faults * 1000000 / (took / 1000));
	print_percentiles();
	print_column(done);
	print("\n");
}

int bare_main(int argc, char **argv)
{
	uint64_t milliseconds = argc > 1 ? number_of(argv[1]) : 0, start = nanoseconds(),
		 first = ticks();

	must(milliseconds > 0, "latency MILLISECONDS [ANTAGONIST...]");
	pin(0);
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
