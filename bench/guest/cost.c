/* SPDX-License-Identifier: MIT */
/*
 * cost [PAGES [ROUNDS [ROW]]]: what each operation on memory costs, in ticks of the time stamp
 * counter, which are instructions under `quire boot --icount`. A line for each: name, median,
 * minimum and maximum of the rounds (a first one is not counted); only that ROW if one is named.
 * The names are those of bench/guest/linux-cost.txt, which holds what Linux needs.
 */
#include "bare.h"

enum { MAX_ROUNDS = 32, REPEAT = 500 };

static size_t pages = 2048;
static long file = -1;
static uint64_t *result; /* of a child, in memory that it shares */

/* Not inlined, so that its few instructions are the same everywhere. */
static __attribute__((noinline)) void write_each(unsigned char *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		*(volatile unsigned char *)(p + i * PAGE) = 1;
}

static __attribute__((noinline)) void read_each(unsigned char *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)*(volatile unsigned char *)(p + i * PAGE);
}

/* Each function returns ticks an operation. */
static uint64_t null_call(void)
{
	uint64_t start = timed_begin();

	for (int i = 0; i < REPEAT; i++)
		call0(__NR_getppid);
	return (timed_end() - start) / REPEAT;
}

static uint64_t anonymous_write(void)
{
	unsigned char *p = anonymous(pages);
	uint64_t start = timed_begin();

	write_each(p, pages);
	start = timed_end() - start;
	unmap(p, pages);
	return start / pages;
}

static uint64_t anonymous_read(void)
{
	unsigned char *p = anonymous(pages);
	uint64_t start = timed_begin();

	read_each(p, pages);
	start = timed_end() - start;
	unmap(p, pages);
	return start / pages;
}

static uint64_t write_over_zero_page(void)
{
	unsigned char *p = anonymous(pages);

	read_each(p, pages);
	uint64_t start = timed_begin();
	write_each(p, pages);
	start = timed_end() - start;
	unmap(p, pages);
	return start / pages;
}

static uint64_t begin_if(bool timed)
{
	return timed ? timed_begin() : 0;
}

static uint64_t end_if(bool timed, uint64_t start)
{
	return timed ? timed_end() - start : 0;
}

/* fork with all pages populated; the child writes them or not. Then the parent does. One of it is
 * timed. */
static uint64_t with_fork(bool fork, bool copy, bool reuse)
{
	unsigned char *p = anonymous(pages);
	uint64_t start;

	write_each(p, pages);
	*result = 0;
	start = begin_if(fork);
	long child = call0(__NR_fork);
	if (child == 0) {
		start = begin_if(copy);
		if (copy)
			write_each(p, pages);
		*result = end_if(copy, start);
		leave(0);
	}
	uint64_t took = end_if(fork, start);
	must(child > 0 && call(__NR_wait4, child, 0, 0, 0, 0, 0) == child, "fork");
	start = begin_if(reuse);
	write_each(p, pages);
	took += end_if(reuse, start);
	unmap(p, pages);
	return (took + *result) / pages;
}

static uint64_t copy_after_fork(void)
{
	return with_fork(false, true, false);
}

static uint64_t reuse_after_fork(void)
{
	return with_fork(false, false, true);
}

static uint64_t fork_a_page(void)
{
	return with_fork(true, false, false);
}

static uint64_t fork_small(void)
{
	uint64_t start = timed_begin();

	for (int i = 0; i < 20; i++) {
		long child = call0(__NR_fork);

		if (child == 0)
			leave(0);
		must(call(__NR_wait4, child, 0, 0, 0, 0, 0) == child, "wait4");
	}
	return (timed_end() - start) / 20;
}

static uint64_t file_fault(int flags, void (*touch)(unsigned char *, size_t))
{
	unsigned char *p = map(NULL, pages * PAGE, RW, flags, file);
	uint64_t start = timed_begin();

	touch(p, pages);
	start = timed_end() - start;
	unmap(p, pages);
	return start / pages;
}

static uint64_t private_file_write(void)
{
	return file_fault(MAP_PRIVATE, write_each);
}

static uint64_t shared_file_write(void)
{
	return file_fault(MAP_SHARED, write_each);
}

static uint64_t shared_file_read(void)
{
	return file_fault(MAP_SHARED, read_each);
}

static uint64_t unmap_after(void (*touch)(unsigned char *, size_t))
{
	unsigned char *p = anonymous(pages);

	touch(p, pages);
	uint64_t start = timed_begin();
	unmap(p, pages);
	return (timed_end() - start) / pages;
}

static uint64_t unmap_written(void)
{
	return unmap_after(write_each);
}

static uint64_t unmap_zero_page(void)
{
	return unmap_after(read_each);
}

static uint64_t map_and_unmap(size_t count, size_t touched)
{
	uint64_t start = timed_begin();

	for (int i = 0; i < REPEAT; i++) {
		unsigned char *p = map(NULL, count * PAGE, RW, PRIVATE, -1);

		write_each(p, touched);
		unmap(p, count);
	}
	return (timed_end() - start) / REPEAT;
}

static uint64_t map_one(void)
{
	return map_and_unmap(1, 0);
}

static uint64_t map_large(void)
{
	return map_and_unmap((128ul << 20) / PAGE, 0);
}

static uint64_t map_touch(void)
{
	return map_and_unmap(1, 1);
}

/* One page of `count`, read-only and back: of one, the whole mapping. */
static uint64_t protect(size_t count)
{
	unsigned char *p = anonymous(count);

	write_each(p, count);
	uint64_t start = timed_begin();
	for (int i = 0; i < REPEAT; i++) {
		call3(__NR_mprotect, p + count / 2 * PAGE, PAGE, PROT_READ);
		call3(__NR_mprotect, p + count / 2 * PAGE, PAGE, RW);
	}
	start = timed_end() - start;
	unmap(p, count);
	return start / (2 * REPEAT);
}

static uint64_t protect_split(void)
{
	return protect(16);
}

static uint64_t protect_whole(void)
{
	/* Where nothing is beside it to merge with. */
	unsigned char *p = map((void *)0x100000000000, PAGE, RW, PRIVATE | MAP_FIXED, -1);

	write_each(p, 1);
	uint64_t start = timed_begin();
	for (int i = 0; i < REPEAT; i++) {
		call3(__NR_mprotect, p, PAGE, PROT_READ);
		call3(__NR_mprotect, p, PAGE, RW);
	}
	start = timed_end() - start;
	unmap(p, 1);
	return start / (2 * REPEAT);
}

static uint64_t protect_large(void)
{
	unsigned char *p = anonymous(pages);

	write_each(p, pages);
	uint64_t start = timed_begin();
	call3(__NR_mprotect, p, pages * PAGE, PROT_READ);
	start = timed_end() - start;
	unmap(p, pages);
	return start / pages;
}

static uint64_t give_back(void)
{
	unsigned char *p = anonymous(REPEAT);

	write_each(p, REPEAT);
	uint64_t start = timed_begin();
	for (uint64_t i = 0; i < REPEAT; i++)
		call3(__NR_madvise, p + i * PAGE, PAGE, MADV_DONTNEED);
	start = timed_end() - start;
	unmap(p, REPEAT);
	return start / REPEAT;
}

static uint64_t populate(void)
{
	uint64_t start = timed_begin();
	unsigned char *p = map(NULL, pages * PAGE, RW, PRIVATE | MAP_POPULATE, -1);

	start = timed_end() - start;
	unmap(p, pages);
	return start / pages;
}

static uint64_t heap(void)
{
	unsigned char *end = (unsigned char *)call1(__NR_brk, 0);
	uint64_t start = timed_begin();

	for (int i = 0; i < REPEAT; i++) {
		call1(__NR_brk, end + PAGE);
		*(volatile unsigned char *)end = 1;
		call1(__NR_brk, end);
	}
	return (timed_end() - start) / REPEAT;
}

static const struct {
	const char *name;
	uint64_t (*run)(void);
} rows[] = {
	{ "null system call", null_call },
	{ "anonymous write fault", anonymous_write },
	{ "anonymous read fault (zero page)", anonymous_read },
	{ "write over the zero page", write_over_zero_page },
	{ "copy-on-write after fork, copy", copy_after_fork },
	{ "copy-on-write after fork, reuse", reuse_after_fork },
	{ "private file write fault", private_file_write },
	{ "shared file write fault", shared_file_write },
	{ "shared file read, a page", shared_file_read },
	{ "fork, a populated page", fork_a_page },
	{ "fork + exit + wait, small process", fork_small },
	{ "munmap after write, a page", unmap_written },
	{ "munmap of zero-page mappings, a page", unmap_zero_page },
	{ "mmap + munmap, 1 page, untouched", map_one },
	{ "mmap + munmap, 128 MiB, untouched", map_large },
	{ "mmap + touch + munmap, 1 page", map_touch },
	{ "mprotect 1 page, splits and merges", protect_split },
	{ "mprotect 1 page, whole VMA", protect_whole },
	{ "mprotect of a large range, a page", protect_large },
	{ "madvise DONTNEED of 1 page", give_back },
	{ "populate, a page", populate },
	{ "brk up, touch, brk down", heap },
};

static void sort(uint64_t *values, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j && values[j - 1] > values[j]; j--) {
			uint64_t value = values[j];

			values[j] = values[j - 1];
			values[j - 1] = value;
		}
}

static void measure(size_t row, size_t rounds)
{
	uint64_t values[MAX_ROUNDS];

	rows[row].run();
	for (size_t i = 0; i < rounds; i++)
		values[i] = rows[row].run();
	sort(values, rounds);
	print(rows[row].name);
	print("\t");
	print_number(values[rounds / 2]);
	print("\t");
	print_number(values[0]);
	print("\t");
	print_number(values[rounds - 1]);
	print("\n");
}

int bare_main(int argc, char **argv)
{
	size_t rounds = 5;

	if (argc > 1)
		pages = number_of(argv[1]);
	if (argc > 2)
		rounds = number_of(argv[2]);
	must(pages > 0 && rounds > 0 && rounds <= MAX_ROUNDS, "PAGES and ROUNDS, of 1 to 32");
	pin(0);
	result = (uint64_t *)(void *)map(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
					 -1);
	file = call2(__NR_memfd_create, "cost", 0);
	must(file >= 0 && call2(__NR_ftruncate, file, pages * PAGE) == 0, "memfd_create");
	unsigned char *p = map(NULL, pages * PAGE, RW, MAP_SHARED, file);
	write_each(p, pages);
	unmap(p, pages);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (argc <= 3 || same(argv[3], rows[i].name))
			measure(i, rounds);
	return 0;
}
