/* SPDX-License-Identifier: MIT */
/*
 * Programs without a C library, so that the very same few pages run on Linux and on the reference
 * kernel: system calls, a line of output, numbers. A program defines bare_main.
 */
#ifndef BARE_H
#define BARE_H

#include <asm/unistd.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

int bare_main(int argc, char **argv);

static inline long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#define call0(number) call(number, 0, 0, 0, 0, 0, 0)
#define call1(number, a) call(number, (long)(a), 0, 0, 0, 0, 0)
#define call2(number, a, b) call(number, (long)(a), (long)(b), 0, 0, 0, 0)
#define call3(number, a, b, c) call(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

/* Also what the compiler may call for. Weak, as the entry is: a program may be of several files. */
void *memset(void *to, int byte, size_t size);

__attribute__((weak)) void *memset(void *to, int byte, size_t size)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
	return to;
}

static inline void print(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	call3(__NR_write, 1, text, length);
}

static inline char *number_at(char *end, uint64_t value)
{
	*--end = 0;
	do
		*--end = (char)('0' + value % 10);
	while (value /= 10);
	return end;
}

static inline void print_number(uint64_t value)
{
	char text[24];

	print(number_at(text + sizeof(text), value));
}

static inline _Noreturn void leave(int status)
{
	for (;;)
		call1(__NR_exit_group, status);
}

static inline void must(bool held, const char *what)
{
	if (held)
		return;
	print("failed: ");
	print(what);
	print("\n");
	leave(1);
}

static inline bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static inline uint64_t number_of(const char *text)
{
	uint64_t value = 0;

	while (*text >= '0' && *text <= '9')
		value = value * 10 + (uint64_t)(*text++ - '0');
	return value;
}

static inline unsigned char *map(void *at, size_t size, int protection, int flags, long file)
{
	long p = call(__NR_mmap, (long)at, (long)size, protection, flags, file, 0);

	must(p >= 0 || p < -4095, "mmap");
	return (unsigned char *)p;
}

/* Small pages, whatever the system's default is. */
static inline unsigned char *anonymous(size_t pages)
{
	unsigned char *p = map(NULL, pages * PAGE, RW, PRIVATE, -1);

	call3(__NR_madvise, p, pages * PAGE, MADV_NOHUGEPAGE);
	return p;
}

static inline void unmap(void *p, size_t pages)
{
	must(call2(__NR_munmap, p, pages * PAGE) == 0, "munmap");
}

static inline uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

/* What is timed is between two marks, which `quire boot --profile-marked` knows. */
static inline uint64_t timed_begin(void)
{
	__asm__ volatile("nopl 0x56420001(%%rax,%%rax)" ::: "memory");
	return ticks();
}

static inline uint64_t timed_end(void)
{
	uint64_t now = ticks();

	__asm__ volatile("nopl 0x56420002(%%rax,%%rax)" ::: "memory");
	return now;
}

static inline uint64_t nanoseconds(void)
{
	int64_t now[2];

	call2(__NR_clock_gettime, 1, now);
	return (uint64_t)now[0] * 1000000000 + (uint64_t)now[1];
}

static inline void pin(unsigned cpu)
{
	uint64_t mask = 1ul << cpu;

	call3(__NR_sched_setaffinity, 0, sizeof(mask), &mask);
}

__attribute__((used)) _Noreturn static void bare_start(long *stack)
{
	leave(bare_main((int)stack[0], (char **)(stack + 1)));
}

__asm__(".weak _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call bare_start\n");

#endif
