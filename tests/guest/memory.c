/* SPDX-License-Identifier: MIT */
/* The memory calls: results, errors, and what they leave behind. */
#include "tap.h"

#include "touch.h"

#include <fcntl.h>
#include <sys/syscall.h>

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

/* Through the call itself: the C library refuses some arguments on its own. */
static long map_raw(uint64_t at, uint64_t size, int protection, int flags, int file,
		    uint64_t offset)
{
	return syscall(SYS_mmap, at, size, protection, flags, file, offset);
}

static void mmap_errors(void)
{
	int file = file_of(2), directory = open("/", O_RDONLY | O_DIRECTORY), ends[2];

	need(file >= 0 && directory >= 0 && pipe(ends) == 0);
	fails(map_raw(0, 0, RW, PRIVATE, -1, 0), EINVAL);
	fails(map_raw(0, UINT64_MAX, RW, PRIVATE, -1, 0), ENOMEM);
	fails(map_raw(0, 1ul << 47, RW, PRIVATE, -1, 0), ENOMEM);
	fails(map_raw(0, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
	fails(map_raw(0, PAGE, RW, PRIVATE, -1, 1), EINVAL);
	fails(map_raw(0, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF);
	fails(map_raw(0, PAGE, RW, MAP_PRIVATE, 12345, 0), EBADF);
	fails(map_raw(0, PAGE, RW, MAP_PRIVATE, file, 1), EINVAL);
	fails(map_raw(0, 2 * PAGE, RW, MAP_PRIVATE, file, -PAGE), EOVERFLOW);
	fails(map_raw(0, PAGE, PROT_READ, MAP_PRIVATE, directory, 0), ENODEV);
	fails(map_raw(0, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0), ENODEV);
	fails(map_raw(PAGE + 1, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0), EINVAL);
	fails(map_raw(0x7ffffffff000, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0), ENOMEM);
	fails(map_raw(0x7fffffffe000, 2 * PAGE, RW, PRIVATE | MAP_FIXED, -1, 0), ENOMEM);
}

static void mmap_rights_of_files(void)
{
	int reading, writing;

	need((writing = open("/tmp/rights", O_WRONLY | O_CREAT | O_TRUNC, 0600)) >= 0);
	need(write(writing, "abc", 3) == 3 && (reading = open("/tmp/rights", O_RDONLY)) >= 0);
	fails(map_raw(0, PAGE, PROT_READ, MAP_PRIVATE, writing, 0), EACCES);
	fails(map_raw(0, PAGE, RW, MAP_SHARED, reading, 0), EACCES);
	long p = map_raw(0, PAGE, PROT_READ, MAP_SHARED, reading, 0);
	need(p != -1);
	fails(mprotect((void *)p, PAGE, RW), EACCES);
	p = map_raw(0, PAGE, RW, MAP_PRIVATE, reading, 0);
	need(p != -1);
	((char *)p)[0] = 'x';
	char byte;
	check(pread(reading, &byte, 1, 0) == 1 && byte == 'a');
	check(unlink("/tmp/rights") == 0);
}

static void mmap_places(void)
{
	unsigned char *p = memory(8, RW);

	memset(p, 1, 8 * PAGE);
	fails(map_raw((uint64_t)p + PAGE, PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	check(mmap(p + 2 * PAGE, 2 * PAGE, RW, PRIVATE | MAP_FIXED, -1, 0) == p + 2 * PAGE);
	check(p[2 * PAGE] == 0 && p[3 * PAGE] == 0 && p[PAGE] == 1 && p[4 * PAGE] == 1);
	check(munmap(p + PAGE, PAGE) == 0);
	/* A hint that is free is taken, one that is not is only a hint. */
	check(mmap(p + PAGE, PAGE, RW, PRIVATE, -1, 0) == p + PAGE);
	check(mmap(p + PAGE, PAGE, RW, PRIVATE, -1, 0) != p + PAGE);
	check(p[PAGE] == 0);
	check(mmap(NULL, 1, PROT_READ, PRIVATE | MAP_NORESERVE | MAP_STACK, -1, 0) != MAP_FAILED);
	unsigned char *ready = mmap(NULL, 4 * PAGE, RW, PRIVATE | MAP_POPULATE, -1, 0);
	unsigned char resident[4];
	need(ready != MAP_FAILED && mincore(ready, 4 * PAGE, resident) == 0);
	check((resident[0] & resident[1] & resident[2] & resident[3] & 1) == 1);
}

static void munmap_results(void)
{
	unsigned char *p = memory(8, RW);

	memset(p, 7, 8 * PAGE);
	fails(munmap(p + 1, PAGE), EINVAL);
	fails(munmap(p, 0), EINVAL);
	fails(munmap(p, SIZE_MAX - 10 * PAGE), EINVAL);
	check(munmap(p + 2 * PAGE, 2 * PAGE) == 0);
	check(munmap(p + 2 * PAGE, 2 * PAGE) == 0);
	check(touch_read(p + 2 * PAGE) == SIGSEGV && touched.code == SEGV_MAPERR);
	check(touched.address == p + 2 * PAGE);
	check(p[PAGE] == 7 && p[4 * PAGE] == 7);
	/* Over the hole, and only in part at the end. */
	check(munmap(p + PAGE, 6 * PAGE + 1) == 0);
	check(touch_read(p + 6 * PAGE) == SIGSEGV && touch_read(p + 7 * PAGE) == SIGSEGV);
	check(p[0] == 7);
}

static void mprotect_results(void)
{
	unsigned char *p = memory(8, RW);

	memset(p, 7, 8 * PAGE);
	fails(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
	fails(mprotect(p, PAGE, 0x100), EINVAL);
	check(mprotect(p, 0, PROT_NONE) == 0);
	check(mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
	check(touch_read(p + PAGE) == SIGSEGV && touched.code == SEGV_ACCERR);
	check(mprotect(p + PAGE, PAGE, PROT_READ) == 0 && p[PAGE] == 7);
	check(touch_write(p + PAGE + 9) == SIGSEGV && touched.address == p + PAGE + 9);
	check(mprotect(p + PAGE, PAGE, RW) == 0 && touch_write(p + PAGE) == 0);
	/* What is before a hole is changed, then it is an error. */
	check(munmap(p + 4 * PAGE, PAGE) == 0);
	fails(mprotect(p + 2 * PAGE, 6 * PAGE, PROT_READ), ENOMEM);
	check(touch_write(p + 3 * PAGE) == SIGSEGV && touch_write(p + 5 * PAGE) == 0);
	fails(mprotect(p + 4 * PAGE, PAGE, PROT_READ), ENOMEM);
}

static void execution(void)
{
	static const unsigned char ret = 0xc3;
	unsigned char *p = memory(1, RW);

	p[0] = ret;
	check(touch_run(p) == SIGSEGV && touched.code == SEGV_ACCERR && touched.address == p);
	check(mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0 && touch_run(p) == 0);
	check(touch_write(p) == SIGSEGV && touched.code == SEGV_ACCERR);
}

static void mremap_sizes(void)
{
	unsigned char *p = memory(16, RW), *q;

	for (int i = 0; i < 16; i++)
		p[i * (long)PAGE] = (unsigned char)(i + 1);
	check(mremap(p, 16 * PAGE, 8 * PAGE, 0) == p);
	check(touch_read(p + 8 * PAGE) == SIGSEGV && p[7 * PAGE] == 8);
	check(mremap(p, 8 * PAGE, 12 * PAGE, 0) == p && p[8 * PAGE] == 0);
	need(mmap(p + 12 * PAGE, PAGE, PROT_NONE, PRIVATE | MAP_FIXED, -1, 0) == p + 12 * PAGE);
	fails(mremap(p, 12 * PAGE, 13 * PAGE, 0), ENOMEM);
	q = mremap(p, 12 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	need(q != MAP_FAILED && q != p);
	check(q[0] == 1 && q[7 * PAGE] == 8 && q[63 * PAGE] == 0 && touch_read(p) == SIGSEGV);
}

static void mremap_places(void)
{
	unsigned char *p = memory(4, RW), *to = memory(16, RW), *q;

	memset(p, 3, 4 * PAGE);
	memset(to, 9, 16 * PAGE);
	q = mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + 4 * PAGE);
	check(q == to + 4 * PAGE && q[0] == 3 && q[4 * PAGE] == 0 && to[3 * PAGE] == 9);
	check(to[10 * PAGE] == 9 && touch_read(p) == SIGSEGV);
	fails((long)mremap(to, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + 2 * PAGE),
	      EINVAL);
	fails((long)mremap(to, PAGE, PAGE, MREMAP_FIXED, to + 4 * PAGE), EINVAL);
	fails((long)mremap(to, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE + 1), EINVAL);
	fails((long)mremap(to + 1, PAGE, PAGE, 0), EINVAL);
	fails((long)mremap(to, PAGE, 0, 0), EINVAL);
	fails((long)mremap(to, PAGE, PAGE, 64), EINVAL);
	need(munmap(to + 12 * PAGE, PAGE) == 0);
	fails((long)mremap(to + 12 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	q = mremap(to, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	need(q != MAP_FAILED);
	check(q[0] == 9 && to[0] == 0 && q != to);
}

static void madvise_contents(void)
{
	int file = file_of(4);
	unsigned char *p = memory(8, RW), *q;

	memset(p, 7, 8 * PAGE);
	check(madvise(p + 2 * PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
	check(p[PAGE] == 7 && p[2 * PAGE] == 0 && p[3 * PAGE] == 0 && p[4 * PAGE] == 7);
	need((q = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0)) != MAP_FAILED);
	q[PAGE] = 99;
	check(madvise(q, 4 * PAGE, MADV_DONTNEED) == 0 && q[PAGE] == 2);
	check(madvise(p, PAGE, MADV_WILLNEED) == 0 && madvise(p, PAGE, MADV_RANDOM) == 0);
	check(madvise(p, PAGE, MADV_FREE) == 0 && (p[0] == 7 || p[0] == 0));
	p[0] = 8;
	check(p[0] == 8);
	fails(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
	fails(madvise(p, PAGE, 12345), EINVAL);
	check(madvise(p, 0, MADV_DONTNEED) == 0);
	/* A hole: an error, after all that is mapped has been done. */
	need(munmap(p + 5 * PAGE, PAGE) == 0);
	fails(madvise(p + 4 * PAGE, 4 * PAGE, MADV_DONTNEED), ENOMEM);
	check(p[4 * PAGE] == 0 && p[6 * PAGE] == 0);
}

static void madvise_populates(void)
{
	unsigned char *p = memory(8, RW), resident[8];

	check(madvise(p, 4 * PAGE, MADV_POPULATE_WRITE) == 0);
	check(madvise(p + 4 * PAGE, 2 * PAGE, MADV_POPULATE_READ) == 0);
	need(mincore(p, 8 * PAGE, resident) == 0);
	check((resident[0] & resident[3] & resident[4] & resident[5] & 1) == 1);
	check((resident[6] & 1) == 0 && (resident[7] & 1) == 0);
	need(mprotect(p, 8 * PAGE, PROT_READ) == 0);
	fails(madvise(p, 8 * PAGE, MADV_POPULATE_WRITE), EINVAL);
	need(munmap(p, PAGE) == 0);
	fails(madvise(p, 8 * PAGE, MADV_POPULATE_READ), ENOMEM);
}

static void heap(void)
{
	unsigned char *end = sbrk(0), *aligned = end + (-(uintptr_t)end & (PAGE - 1));

	check((long)syscall(SYS_brk, 0) == (long)end);
	need(brk(aligned + 4 * PAGE) == 0 && sbrk(0) == aligned + 4 * PAGE);
	memset(aligned, 5, 4 * PAGE);
	need(brk(aligned + PAGE + 7) == 0);
	check(touch_read(aligned + 2 * PAGE) == SIGSEGV && aligned[PAGE] == 5);
	need(brk(aligned + 4 * PAGE) == 0);
	check(aligned[2 * PAGE] == 0 && aligned[3 * PAGE] == 0);
	/* It never fails loudly: the call returns where the heap ends. */
	check((unsigned char *)syscall(SYS_brk, 1) == aligned + 4 * PAGE);
	check((unsigned char *)syscall(SYS_brk, 0x7fffffff0000) == aligned + 4 * PAGE);
}

static void mincore_results(void)
{
	unsigned char *p = memory(4, RW), resident[4];

	p[PAGE] = 1;
	need(mincore(p, 4 * PAGE, resident) == 0);
	check(!(resident[0] & 1) && (resident[1] & 1) && !(resident[2] & 1));
	fails(mincore(p + 1, PAGE, resident), EINVAL);
	fails(mincore(p, PAGE, (unsigned char *)8), EFAULT);
	need(munmap(p + 2 * PAGE, PAGE) == 0);
	fails(mincore(p, 4 * PAGE, resident), ENOMEM);
}

static void msync_results(void)
{
	int file = file_of(4);
	unsigned char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0), byte;

	need(p != MAP_FAILED);
	p[PAGE + 1] = 77;
	check(msync(p, 4 * PAGE, MS_SYNC) == 0 && msync(p, PAGE, MS_ASYNC | MS_INVALIDATE) == 0);
	check(pread(file, &byte, 1, (off_t)PAGE + 1) == 1 && byte == 77);
	fails(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	fails(msync(p, PAGE, 64), EINVAL);
	fails(msync(p + 1, PAGE, MS_SYNC), EINVAL);
	need(munmap(p + PAGE, PAGE) == 0);
	fails(msync(p, 4 * PAGE, MS_SYNC), ENOMEM);
}

static void locked(void)
{
	unsigned char *p = memory(2, RW), resident[2];

	check(mlock(p, 2 * PAGE) == 0 && mincore(p, 2 * PAGE, resident) == 0);
	check((resident[0] & resident[1] & 1) == 1);
	check(munlock(p, 2 * PAGE) == 0);
	need(munmap(p + PAGE, PAGE) == 0);
	fails(mlock(p, 2 * PAGE), ENOMEM);
}

TAP_MAIN(CASE(mmap_errors), CASE(mmap_rights_of_files), CASE(mmap_places), CASE(munmap_results),
	 CASE(mprotect_results), CASE(execution), CASE(mremap_sizes), CASE(mremap_places),
	 CASE(madvise_contents), CASE(madvise_populates), CASE(heap), CASE(mincore_results),
	 CASE(msync_results), CASE(locked))
