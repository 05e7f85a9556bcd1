/* SPDX-License-Identifier: MIT */
/* Faults: which signal, code and address; the stack that grows; ends of files; faults inside system
 * calls. */
#include "tap.h"

#include "touch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static void wild_accesses(void)
{
	check(touch_read((void *)8) == SIGSEGV && touched.code == SEGV_MAPERR &&
	      touched.address == (void *)8);
	check(touch_write((void *)8) == SIGSEGV && touched.code == SEGV_MAPERR);
	check(touch_run((void *)64) == SIGSEGV && touched.code == SEGV_MAPERR);
	check(touch_read((void *)0x7ffffffff000) == SIGSEGV);
	/* Of the kernel's half the processor says little, beyond it nothing. */
	check(touch_read((void *)0xffffffff80000000) == SIGSEGV);
	check(touch_write((void *)0xffff800000000000) == SIGSEGV);
	check(touch_read((void *)0x8000000000000000) == SIGSEGV && touched.code == SI_KERNEL);
	check(touch_read(touched.address) == SIGSEGV);
}

static void protections(void)
{
	unsigned char *p = memory(4, PROT_READ);

	check(touch_read(p) == 0 && p[0] == 0);
	check(touch_write(p) == SIGSEGV && touched.code == SEGV_ACCERR && touched.address == p);
	check(touch_write(p + PAGE + 5) == SIGSEGV && touched.address == p + PAGE + 5);
	need(mprotect(p, 4 * PAGE, PROT_NONE) == 0);
	check(touch_read(p) == SIGSEGV && touched.code == SEGV_ACCERR);
	need(mprotect(p, 4 * PAGE, RW) == 0);
	check(touch_write(p) == 0 && touch_write(p + 3 * PAGE) == 0);
	/* PROT_WRITE alone reads, too, on this machine. */
	need(mprotect(p, PAGE, PROT_WRITE) == 0);
	check(touch_read(p) == 0 && p[0] == 0x5a);
}

static void wild_write(void)
{
	volatile uintptr_t at = 8;

	*(volatile char *)at = 1;
}

static void ends_without_a_handler(void)
{
	pid_t child = fork();

	if (child == 0)
		wild_write();
	check(killed(child, SIGSEGV));
	child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_IGN);
		wild_write();
	}
	check(killed(child, SIGSEGV));
	child = fork();
	if (child == 0) {
		sigset_t set;

		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		wild_write();
	}
	check(killed(child, SIGSEGV));
}

static void ends_of_files(void)
{
	int file = file_of(3);
	unsigned char *shared, *private;

	need(ftruncate(file, (off_t)(2 * PAGE) + 100) == 0);
	need((shared = mmap(NULL, 5 * PAGE, RW, MAP_SHARED, file, 0)) != MAP_FAILED);
	need((private = mmap(NULL, 5 * PAGE, RW, MAP_PRIVATE, file, 0)) != MAP_FAILED);
	check(shared[PAGE] == 2 && private[2 * PAGE] == 3);
	check(touch_read(shared + 3 * PAGE + 7) == SIGBUS && touched.code == BUS_ADRERR);
	check(touched.address == shared + 3 * PAGE + 7);
	check(touch_write(private + 4 * PAGE) == SIGBUS && touched.address == private + 4 * PAGE);
	/* The rest of the last page is there, and zero. */
	check(touch_write(shared + 2 * PAGE + 200) == 0 && private[2 * PAGE + 300] == 0);
	/* It grows: the same mapping reaches further. It shrinks: pages go, private copies as well.
	 */
	need(ftruncate(file, (off_t)(5 * PAGE)) == 0);
	check(touch_read(shared + 4 * PAGE) == 0 && shared[4 * PAGE] == 0);
	private[PAGE] = 42;
	need(ftruncate(file, (off_t)PAGE) == 0);
	check(touch_read(shared + PAGE) == SIGBUS && touch_read(private + PAGE) == SIGBUS);
	check(shared[0] == 1 && private[0] == 1);
	need(ftruncate(file, (off_t)(2 * PAGE)) == 0);
	check(touch_read(shared + PAGE) == 0 && shared[PAGE] == 0 && private[PAGE] == 0);
}

static int deep(int left)
{
	volatile char room[2000];

	room[0] = (char)left;
	return left ? deep(left - 1) + room[0] : 0;
}

static void stack_grows(void)
{
	struct rlimit limit;

	check(deep(1500) != 1);
	/* Far below the stack pointer, at once, is as good. */
	need(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 4ul << 20);
	volatile char *far = (volatile char *)__builtin_frame_address(0) - (3ul << 20);
	check(touch_read(far) == 0 && *far == 0);
}

static void stack_overflows(void)
{
	static char other[65536];
	pid_t child = fork();

	if (child == 0) {
		_exit(deep(100000000) & 1);
	}
	check(killed(child, SIGSEGV));
	/* On another stack a handler may see it. */
	stack_t stack = { .ss_sp = other, .ss_size = sizeof(other) };
	need(sigaltstack(&stack, NULL) == 0);
	touch_listen();
	if (sigsetjmp(touch_back, 1) == 0)
		deep(100000000);
	check(touched.signal == SIGSEGV && touched.code == SEGV_MAPERR);
}

static void grows_down(void)
{
	unsigned char *area = memory(512, PROT_NONE), *p = area + 400 * PAGE;

	need(munmap(area, 512 * PAGE) == 0);
	need(mmap(p, PAGE, RW, PRIVATE | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == p);
	check(touch_write(p) == 0 && touch_write(p - 8) == 0 && touch_write(p - 4 * PAGE) == 0);
	check(p[-8] == 0x5a && p[-(long)(4 * PAGE)] == 0x5a && p[-(long)(2 * PAGE)] == 0);
	/* It keeps a distance from what is below, if that can be accessed. */
	need(mmap(p - 50 * PAGE, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0) == p - 50 * PAGE);
	check(touch_write(p - 49 * PAGE) == SIGSEGV);
}

static void guard_page(void)
{
	pthread_attr_t attributes;
	size_t guard;

	check(pthread_attr_init(&attributes) == 0);
	check(pthread_attr_getguardsize(&attributes, &guard) == 0 && guard >= PAGE);
	unsigned char *p = memory(3, RW);
	need(mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
	memset(p, 1, PAGE);
	memset(p + 2 * PAGE, 1, PAGE);
	check(touch_write(p + PAGE) == SIGSEGV && touched.code == SEGV_ACCERR);
	check(touch_write(p + 2 * PAGE - 1) == SIGSEGV);
}

static void calls_into_fresh_memory(void)
{
	unsigned char *p = memory(64, RW);
	int ends[2], zero = open("/dev/zero", O_RDONLY);

	need(pipe(ends) == 0 && zero >= 0);
	memset(p, 7, 16 * PAGE);
	check(write(ends[1], p, 8 * PAGE) == 8 * PAGE);
	check(read(ends[0], p + 32 * PAGE - 100, 8 * PAGE) == 8 * PAGE);
	check(p[32 * PAGE - 101] == 0 && p[32 * PAGE - 100] == 7 && p[40 * PAGE - 101] == 7);
	check(read(zero, p, 16 * PAGE) == 16 * PAGE && p[0] == 0 && p[16 * PAGE - 1] == 0);
	/* From memory that nobody has touched: zeros. */
	int file = memfd_create("fresh", 0);
	check(file >= 0 && write(file, p + 48 * PAGE, 4 * PAGE) == 4 * PAGE);
	check(pread(file, p, 1, (off_t)PAGE) == 1 && p[0] == 0);
	/* Into a page shared with a child: the call copies it. */
	pid_t child;
	p[0] = 1;
	need((child = fork()) >= 0);
	if (child == 0) {
		pause();
		_exit(p[0]);
	}
	struct sigaction action = { .sa_handler = SIG_DFL };
	check(sigaction(SIGUSR1, &action, NULL) == 0 && pread(file, p, PAGE, 0) == PAGE &&
	      p[0] == 0);
	check(kill(child, SIGUSR1) == 0 && killed(child, SIGUSR1));
}

static void calls_with_bad_memory(void)
{
	unsigned char *p = memory(4, RW);
	int file = file_of(2), ends[2];

	need(pipe(ends) == 0 && mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	need(munmap(p + 2 * PAGE, PAGE) == 0);
	fails(pread(file, p + PAGE, 10, 0), EFAULT);
	fails(pread(file, p + 2 * PAGE, 10, 0), EFAULT);
	fails(pread(file, (void *)0xffffffff80000000, 10, 0), EFAULT);
	fails(pread(file, (void *)0x800000000000, 10, 0), EFAULT);
	fails(pwrite(file, p + 2 * PAGE, 10, 0), EFAULT);
	fails(write(ends[1], p + 2 * PAGE, 10), EFAULT);
	/* What fits is done. */
	memset(p, 9, PAGE);
	check(pread(file, p + PAGE - 10, 100, 0) == 10);
	check(pwrite(file, p + 2 * PAGE - 30, 100, 0) == 30);
	struct iovec parts[2] = { { p, 10 }, { p + 2 * PAGE, 10 } };
	check(pwritev(file, parts, 2, 0) == 10);
	/* Beyond the end of a file that is mapped, a call gets EFAULT and no signal. */
	int small = file_of(1);
	unsigned char *q = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, small, 0);
	need(q != MAP_FAILED);
	fails(pread(file, q + PAGE, 10, 0), EFAULT);
}

static void protection_keys(void)
{
	int key = pkey_alloc(0, 0);
	unsigned char *p = memory(2, RW);

	if (key < 0) {
		fails(pkey_mprotect(p, PAGE, RW, 5), EINVAL);
		skip("no protection keys here");
	}
	p[0] = 3;
	check(pkey_mprotect(p, PAGE, RW, key) == 0 && touch_write(p) == 0);
	check(pkey_set(key, PKEY_DISABLE_WRITE) == 0);
	check(touch_read(p) == 0 && touch_write(p) == SIGSEGV && touched.code == SEGV_PKUERR);
	check(pkey_set(key, PKEY_DISABLE_ACCESS) == 0);
	check(touch_read(p) == SIGSEGV && touched.code == SEGV_PKUERR && touched.address == p);
	check(touch_write(p + PAGE) == 0);
	check(pkey_set(key, 0) == 0 && touch_write(p) == 0);
	fails(pkey_mprotect(p, PAGE, RW, 15), EINVAL);
	check(pkey_free(key) == 0);
	fails(pkey_free(key), EINVAL);
}

TAP_MAIN(CASE(wild_accesses), CASE(protections), CASE(ends_without_a_handler), CASE(ends_of_files),
	 CASE(stack_grows), CASE(stack_overflows), CASE(grows_down), CASE(guard_page),
	 CASE(calls_into_fresh_memory), CASE(calls_with_bad_memory), CASE(protection_keys))
