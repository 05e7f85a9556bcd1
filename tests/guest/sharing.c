/* SPDX-License-Identifier: MIT */
/* What processes see of each other's memory: copies after fork, shared mappings, files; and what
 * /proc says. */
#include "tap.h"

#include "touch.h"

#include <fcntl.h>

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static unsigned char *shared(size_t pages)
{
	void *p = mmap(NULL, pages * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

static bool all(const unsigned char *p, size_t pages, unsigned char byte)
{
	for (size_t i = 0; i < pages * PAGE; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static void copies_after_fork(void)
{
	unsigned char *p = memory(64, RW);
	pid_t child;

	memset(p, 1, 32 * PAGE);
	need((child = fork()) >= 0);
	if (child == 0) {
		bool right = all(p, 32, 1) && all(p + 32 * PAGE, 32, 0);

		memset(p, 2, 64 * PAGE);
		_exit(right && all(p, 64, 2) ? 0 : 1);
	}
	memset(p + 16 * PAGE, 3, 32 * PAGE);
	check(exited(child, 0));
	check(all(p, 16, 1) && all(p + 16 * PAGE, 32, 3) && all(p + 48 * PAGE, 16, 0));
}

static void generations(void)
{
	unsigned char *p = memory(8, RW);
	int depth = 0;
	pid_t child;

	memset(p, 0, 8 * PAGE);
	while (depth < 8 && (child = fork()) == 0) {
		/* Each writes a page of its own and sees those of its elders. */
		p[depth * (long)PAGE] = (unsigned char)(depth + 1);
		depth++;
	}
	for (int i = 0; i < 8; i++)
		check(p[i * (long)PAGE] == (i < depth ? i + 1 : 0));
	if (depth < 8)
		check(exited(child, 0));
	if (depth > 0)
		_exit(tap_failures != 0);
}

static void many_children(void)
{
	unsigned char *p = memory(32, RW);
	pid_t children[12];

	for (size_t i = 0; i < 12; i++) {
		memset(p, (int)i, 32 * PAGE);
		need((children[i] = fork()) >= 0);
		if (children[i] == 0) {
			bool right = all(p, 32, (unsigned char)i);

			memset(p, 200, 16 * PAGE);
			_exit(right && all(p + 16 * PAGE, 16, (unsigned char)i) ? 0 : 1);
		}
	}
	for (size_t i = 0; i < 12; i++)
		check(exited(children[i], 0));
	check(all(p, 32, 11));
}

static void shared_after_fork(void)
{
	unsigned char *p = shared(16);
	pid_t child;

	p[0] = 1;
	need((child = fork()) >= 0);
	if (child == 0) {
		bool right = p[0] == 1;

		p[PAGE] = 2;
		p[15 * PAGE] = 3;
		_exit(right ? 0 : 1);
	}
	check(exited(child, 0) && p[PAGE] == 2 && p[15 * PAGE] == 3 && p[2 * PAGE] == 0);
	/* What is given back stays in the object. */
	check(madvise(p, 16 * PAGE, MADV_DONTNEED) == 0 && p[PAGE] == 2);
}

static void shared_counters(void)
{
	_Atomic unsigned *counter = (_Atomic unsigned *)(void *)shared(1);
	pid_t children[4];

	for (int i = 0; i < 4; i++) {
		need((children[i] = fork()) >= 0);
		if (children[i] == 0) {
			for (int n = 0; n < 20000; n++)
				(*counter)++;
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		check(exited(children[i], 0));
	check(*counter == 80000);
}

static void file_mappings(void)
{
	int file = file_of(4);
	unsigned char *a = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
	unsigned char *b = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, (off_t)PAGE);
	unsigned char *c = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0), byte = 9;

	need(a != MAP_FAILED && b != MAP_FAILED && c != MAP_FAILED);
	check(a[0] == 1 && b[0] == 2 && c[3 * PAGE] == 4);
	a[PAGE] = 50;
	check(b[0] == 50 && c[PAGE] == 50);
	check(pread(file, &byte, 1, (off_t)PAGE) == 1 && byte == 50);
	byte = 60;
	check(pwrite(file, &byte, 1, (off_t)(2 * PAGE)) == 1 && a[2 * PAGE] == 60 && b[PAGE] == 60);
	c[PAGE] = 70;
	a[PAGE] = 51;
	check(b[0] == 51 && c[PAGE] == 70);
	/* The file lives as long as a mapping of it. */
	check(close(file) == 0 && munmap(a, 4 * PAGE) == 0 && b[0] == 51);
}

static void advice_for_children(void)
{
	unsigned char *p = memory(4, RW);
	pid_t child;

	memset(p, 5, 4 * PAGE);
	need(madvise(p, PAGE, MADV_DONTFORK) == 0 && madvise(p + PAGE, PAGE, MADV_WIPEONFORK) == 0);
	need((child = fork()) >= 0);
	if (child == 0)
		_exit(touch_read(p) == SIGSEGV && p[PAGE] == 0 && p[2 * PAGE] == 5 ? 0 : 1);
	check(exited(child, 0) && p[0] == 5 && p[PAGE] == 5);
}

static void moved_and_shared(void)
{
	unsigned char *p = memory(8, RW), *q;
	pid_t child;

	memset(p, 4, 8 * PAGE);
	need((child = fork()) >= 0);
	if (child == 0) {
		q = mremap(p, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
		if (q == MAP_FAILED || !all(q, 8, 4) || !all(q + 8 * PAGE, 24, 0))
			_exit(1);
		memset(q, 6, 32 * PAGE);
		_exit(0);
	}
	check(exited(child, 0) && all(p, 8, 4));
}

/* The line of /proc/self/maps that holds an address: its protection, ends and offset; false if none
 * does. */
static bool line_of(const void *at, char *rights, uint64_t *start, uint64_t *end, uint64_t *offset)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	need(maps);
	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx %4s %lx", start, end, rights, offset) == 4 &&
			(uint64_t)at >= *start && (uint64_t)at < *end;
	fclose(maps);
	return found;
}

static bool mapped(const void *at, const char *rights, size_t pages)
{
	uint64_t start, end, offset;
	char found[8];

	return line_of(at, found, &start, &end, &offset) && strcmp(found, rights) == 0 &&
	       (uint64_t)at >= start && (uint64_t)at / PAGE * PAGE + pages * PAGE <= end;
}

static void maps_agree(void)
{
	unsigned char *p = memory(16, PROT_NONE), *s = shared(2);
	uint64_t start, end, offset;
	char rights[8];
	int file = file_of(8), local;

	check(mapped(p, "---p", 16) && mapped(s, "rw-s", 2) && mapped(&local, "rw-p", 1));
	need(mprotect(p + 4 * PAGE, 4 * PAGE, RW) == 0 && munmap(p + 12 * PAGE, PAGE) == 0);
	check(line_of(p + 5 * PAGE, rights, &start, &end, &offset));
	check(start == (uint64_t)p + 4 * PAGE && end == (uint64_t)p + 8 * PAGE &&
	      !strcmp(rights, "rw-p"));
	check(!line_of(p + 12 * PAGE, rights, &start, &end, &offset) &&
	      mapped(p + 8 * PAGE, "---p", 4));
	unsigned char *f = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, file, (off_t)(2 * PAGE));
	need(f != MAP_FAILED);
	check(line_of(f, rights, &start, &end, &offset) && offset == 2 * PAGE &&
	      !strcmp(rights, "r--p"));
	check(mapped((void *)(uintptr_t)maps_agree, "r-xp", 1));
}

static void sizes_agree(void)
{
	unsigned long before[2], after[2], total = 0, available = 0;
	unsigned char *p = NULL;
	char line[256];

	for (int i = 0; i < 2; i++) {
		FILE *statm = fopen("/proc/self/statm", "r");

		need(statm && fscanf(statm, "%lu %lu", i ? &after[0] : &before[0],
				     i ? &after[1] : &before[1]) == 2);
		fclose(statm);
		if (i == 0) {
			p = memory(1000, RW);
			memset(p, 1, 500 * PAGE);
		}
	}
	check(after[0] >= before[0] + 1000 && after[0] < before[0] + 1100);
	check(after[1] >= before[1] + 400);
	FILE *meminfo = fopen("/proc/meminfo", "r");
	need(meminfo);
	while (fgets(line, sizeof(line), meminfo)) {
		sscanf(line, "MemTotal: %lu kB", &total);
		sscanf(line, "MemAvailable: %lu kB", &available);
	}
	fclose(meminfo);
	check(total > 0 && available > 0 && available <= total);
}

TAP_MAIN(CASE(copies_after_fork), CASE(generations), CASE(many_children), CASE(shared_after_fork),
	 CASE(shared_counters), CASE(file_mappings), CASE(advice_for_children),
	 CASE(moved_and_shared), CASE(maps_agree), CASE(sizes_agree))
