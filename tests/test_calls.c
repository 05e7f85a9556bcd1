/* SPDX-License-Identifier: MIT */
/*
 * What the calls do beyond single results: limits, stacks, the heap, placement, locks for all,
 * keys, what a child inherits, counters, the text of the layout; and that the validator finds what
 * is planted. What a random walk beside Linux finds is in test_oracle.c.
 */
#include "space/mm.h"
#include "frame/frame.h"
#include "table/table.h"
#include <quire/soft.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define PAGES(n) ((uint64_t)(n)*PAGE_SIZE)
#define BASE 0x100000000ull
#define TOP 0x7f0000000000ull
#define HEAP 0x10000000ull
#define AT(page) (BASE + PAGES(page))

#define R QUIRE_PROT_READ
#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define ANON (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)
#define FIXED (ANON | QUIRE_MAP_FIXED)
#define STACK (FIXED | QUIRE_MAP_GROWSDOWN)

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;

static int setup(void **state)
{
	const enum quire_mode *mode = *state;
	struct quire_soft_config config = { .cpus = 2, .memory = 32 << 20 };
	struct quire_mm_config space = { .mode = *mode, .mmap_top = TOP, .brk_start = HEAP };

	if (quire_soft_init(&config))
		return -1;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	if (quire_mm_create(&space, &mm))
		return -1;
	quire_soft_switch(cpu, mm);
	return 0;
}

static int teardown(void **state)
{
	const char *wrong = quire_validate(NULL);
	int left;

	(void)state;
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	left = quire_soft_exit();
	if (wrong)
		print_error("%s\n", wrong);
	return wrong || left;
}

static void map(uint64_t page, uint64_t pages, int prot, int flags)
{
	assert_int_equal(quire_mmap(mm, AT(page), PAGES(pages), prot, flags), AT(page));
}

static void store(uint64_t address, uint64_t value)
{
	assert_true(quire_soft_store(cpu, address, 8, value));
}

static uint64_t load(uint64_t address)
{
	uint64_t value = UINT64_MAX;

	assert_true(quire_soft_load(cpu, address, 8, &value));
	return value;
}

static void refused(uint64_t address, enum quire_access access, enum quire_verdict verdict)
{
	assert_null(quire_soft_translate(cpu, address, access));
	assert_int_equal(cpu->verdict, verdict);
	assert_int_equal(cpu->fault_address, address);
}

static unsigned resident(uint64_t page, uint64_t pages)
{
	unsigned char vector[64];
	unsigned count = 0;

	assert_int_equal(quire_mincore(mm, AT(page), PAGES(pages), vector), 0);
	for (unsigned i = 0; i < pages; i++)
		count += vector[i] & 1;
	return count;
}

static struct quire_vma_info vma_at(uint64_t address)
{
	struct quire_vma_info info = { 0 };

	assert_int_equal(quire_vma_find(mm, address, &info), 0);
	assert_true(info.start <= address);
	return info;
}

static struct quire_stats stats(void)
{
	struct quire_stats s;

	quire_stats(mm, &s);
	return s;
}

static void limit(struct quire_limits limits)
{
	quire_mm_set_limits(mm, &limits);
}

/* --- limits --- */

static void limit_of_address_space(void **state)
{
	struct quire_limits limits;

	(void)state;
	limit((struct quire_limits){ .address_space = PAGES(16) + 1 });
	quire_mm_get_limits(mm, &limits);
	assert_int_equal(limits.address_space, PAGES(16) + 1);
	assert_true(limits.data == QUIRE_UNLIMITED && limits.vmas == 65530);
	map(0, 16, RW, FIXED);
	assert_int_equal(quire_mmap(mm, 0, PAGE_SIZE, RW, ANON), -QUIRE_ENOMEM);
	assert_int_equal(quire_mmap(mm, AT(16), PAGE_SIZE, 0, FIXED), -QUIRE_ENOMEM);
	map(8, 8, R, FIXED); /* in place of as much */
	assert_int_equal(quire_mmap(mm, AT(8), PAGES(9), R, FIXED), -QUIRE_ENOMEM);
	assert_int_equal(quire_mremap(mm, AT(8), PAGES(8), PAGES(9), 0, 0), -QUIRE_ENOMEM);
	assert_int_equal(quire_mremap(mm, AT(8), PAGES(8), PAGES(9), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_ENOMEM);
	assert_int_equal(quire_brk(mm, HEAP + PAGE_SIZE), HEAP);
	assert_int_equal(quire_munmap(mm, AT(15), PAGE_SIZE), 0);
	assert_int_equal(quire_brk(mm, HEAP + PAGE_SIZE), HEAP + PAGE_SIZE);
	assert_int_equal(quire_brk(mm, HEAP + PAGE_SIZE + 1), HEAP + PAGE_SIZE);
}

static void limit_of_data(void **state)
{
	(void)state;
	limit((struct quire_limits){ .data = PAGES(8) });
	map(0, 8, RW, FIXED);
	assert_int_equal(stats().data, PAGES(8));
	assert_int_equal(quire_mmap(mm, 0, PAGE_SIZE, RW, ANON), -QUIRE_ENOMEM);
	map(8, 8, R, FIXED); /* what can't be written, and stacks, don't count */
	map(0x1000, 8, RW, STACK);
	assert_int_equal(quire_mprotect(mm, AT(8), PAGE_SIZE, RW), -QUIRE_ENOMEM);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(9), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_ENOMEM);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(4), R), 0);
	assert_int_equal(quire_mprotect(mm, AT(8), PAGES(5), RW), -QUIRE_ENOMEM);
	assert_int_equal(quire_mprotect(mm, AT(8), PAGES(4), RW), 0);
	assert_int_equal(quire_brk(mm, HEAP + 1), HEAP);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(16)), 0);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(8)), HEAP + PAGES(8));
	assert_int_equal(quire_brk(mm, HEAP + PAGES(8) + 1), HEAP + PAGES(8));
}

static void limit_of_locked(void **state)
{
	(void)state;
	map(0, 16, RW, FIXED);
	assert_int_equal(quire_mlock(mm, AT(0), UINT64_MAX - PAGES(9)), -QUIRE_EINVAL);
	limit((struct quire_limits){ .locked = PAGES(8) });
	assert_int_equal(quire_mlock(mm, AT(0), PAGES(9)), -QUIRE_ENOMEM);
	assert_int_equal(quire_mlock(mm, AT(0), UINT64_MAX - PAGES(9)), -QUIRE_ENOMEM);
	assert_int_equal(stats().locked, 0);
	assert_int_equal(quire_mlock(mm, AT(0), PAGES(8)), 0);
	assert_int_equal(stats().locked, PAGES(8));
	assert_int_equal(resident(0, 16), 8);
	assert_int_equal(quire_mlock(mm, AT(0), PAGES(8)), 0); /* counts once */
	assert_int_equal(quire_mlock(mm, AT(4), PAGES(5)), -QUIRE_ENOMEM);
	assert_int_equal(quire_mmap(mm, 0, PAGE_SIZE, RW, ANON | QUIRE_MAP_LOCKED), -QUIRE_EAGAIN);
	assert_int_equal(quire_mlockall(mm, QUIRE_MCL_CURRENT), -QUIRE_ENOMEM);
	assert_int_equal(quire_munlock(mm, AT(2), PAGES(6)), 0);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(2), PAGES(9), QUIRE_MREMAP_MAYMOVE, 0),
			 -QUIRE_EAGAIN);
	assert_int_equal(quire_mlockall(mm, QUIRE_MCL_FUTURE), 0);
	assert_int_equal(quire_mmap(mm, 0, PAGES(7), RW, ANON), -QUIRE_EAGAIN);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(7)), HEAP);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(6)), HEAP + PAGES(6));
	assert_int_equal(stats().locked, PAGES(8));
}

static void limit_of_vmas(void **state)
{
	(void)state;
	limit((struct quire_limits){ .vmas = 3 });
	map(0, 8, RW, FIXED);
	map(8, 8, R, FIXED);
	map(20, 8, RW, FIXED);
	assert_int_equal(quire_mmap(mm, AT(40), PAGE_SIZE, RW, FIXED), -QUIRE_ENOMEM);
	assert_int_equal(quire_munmap(mm, AT(2), PAGE_SIZE), -QUIRE_ENOMEM);
	assert_int_equal(quire_mprotect(mm, AT(2), PAGE_SIZE, R), -QUIRE_ENOMEM);
	assert_int_equal(quire_madvise(mm, AT(2), PAGE_SIZE, QUIRE_MADV_DONTFORK), -QUIRE_ENOMEM);
	assert_int_equal(quire_mlock(mm, AT(2), PAGE_SIZE), -QUIRE_ENOMEM);
	assert_int_equal(quire_mremap(mm, AT(2), PAGE_SIZE, PAGE_SIZE,
				      QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, AT(50)),
			 -QUIRE_ENOMEM);
	assert_int_equal(stats().vmas, 3);
	/* What does not add any is right. */
	map(28, 2, RW, FIXED);
	assert_int_equal(quire_mprotect(mm, AT(7), PAGE_SIZE, R), 0);
	assert_int_equal(quire_munmap(mm, AT(0), PAGE_SIZE), 0);
	assert_int_equal(quire_munmap(mm, AT(5), PAGES(20)), 0);
	assert_int_equal(stats().vmas, 2);
}

/* --- stacks --- */

static void stack_growth(void **state)
{
	struct quire_vma_info stack;

	(void)state;
	map(0x1000, 4, RW, STACK);
	store(AT(0xfff) + 8, 1);
	stack = vma_at(AT(0xfff));
	assert_true(stack.start == AT(0xfff) && stack.end == AT(0x1004) && stack.growsdown);
	assert_int_equal(load(AT(0xf00)), 0); /* any access, any distance */
	assert_int_equal(vma_at(AT(0xf00)).start, AT(0xf00));
	assert_int_equal(stats().counters[QUIRE_GROWTHS], 2);
	assert_int_equal(load(AT(0xfff) + 8), 1);
	assert_int_equal(quire_mprotect(mm, AT(0xf00), PAGE_SIZE, 0), 0);
	/* It grows with the rights of its lowest part. */
	refused(AT(0xe00), QUIRE_READ, QUIRE_FAULT_ACCERR);
	assert_int_equal(vma_at(AT(0xe00)).start, AT(0xe00));
}

static void stack_limits(void **state)
{
	(void)state;
	limit((struct quire_limits){ .stack = PAGES(16) });
	map(0x1000, 4, RW, STACK);
	refused(AT(0x1000 - 13), QUIRE_WRITE, QUIRE_FAULT_MAPERR);
	store(AT(0x1000 - 12), 1);
	refused(AT(0x1000 - 13), QUIRE_READ, QUIRE_FAULT_MAPERR);
	limit((struct quire_limits){ .address_space = PAGES(20) });
	refused(AT(0x1000 - 17), QUIRE_WRITE, QUIRE_FAULT_MAPERR);
	store(AT(0x1000 - 16), 1);
	assert_int_equal(stats().mapped, PAGES(20));
	limit((struct quire_limits){ .locked = PAGES(21) });
	assert_int_equal(quire_mlock(mm, AT(0x1000 - 16), PAGES(20)), 0);
	refused(AT(0x1000 - 18), QUIRE_WRITE, QUIRE_FAULT_MAPERR);
	store(AT(0x1000 - 17), 1);
	assert_int_equal(stats().locked, PAGES(21));
}

/* A mapping below keeps the stack a gap (1 MiB, 256 pages) away, unless it is a guard itself or a
 * stack. */
static void stack_gap(void **state)
{
	(void)state;
	map(0x1000, 4, RW, STACK);
	map(0x1000 - 300, 4, R, FIXED);
	store(AT(0x1000 - 296 + 256), 1);
	refused(AT(0x1000 - 296 + 255), QUIRE_WRITE, QUIRE_FAULT_MAPERR);
	assert_int_equal(quire_mprotect(mm, AT(0x1000 - 300), PAGES(4), 0), 0);
	store(AT(0x1000 - 296), 1);
	refused(AT(0x1000 - 297), QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(0x1000)), 0);
	map(0x1000 - 300, 4, RW, STACK);
	store(AT(0x1000 - 296), 1);
	refused(AT(0x1000 - 297), QUIRE_EXEC, QUIRE_FAULT_ACCERR);
}

/* --- the heap --- */

static void heap(void **state)
{
	(void)state;
	assert_int_equal(quire_brk(mm, 0), HEAP);
	assert_int_equal(quire_brk(mm, HEAP - 1), HEAP);
	assert_int_equal(quire_brk(mm, UINT64_MAX), HEAP);
	assert_int_equal(quire_brk(mm, HEAP + 10), HEAP + 10);
	store(HEAP + PAGE_SIZE - 8, 1); /* whole pages are there */
	refused(HEAP + PAGE_SIZE, QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(3)), HEAP + PAGES(3));
	assert_true(vma_at(HEAP).heap && vma_at(HEAP).end == HEAP + PAGES(3));
	assert_int_equal(stats().vmas, 1);
	assert_int_equal(load(HEAP + PAGE_SIZE - 8), 1);
	store(HEAP + PAGES(2), 2);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(1) + 1), HEAP + PAGES(1) + 1);
	refused(HEAP + PAGES(2), QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(3)), HEAP + PAGES(3));
	assert_int_equal(load(HEAP + PAGES(2)), 0);
	assert_int_equal(quire_brk(mm, HEAP), HEAP);
	assert_int_equal(stats().vmas, 0);
}

/* The page above the break stays free, or the heap does not grow. */
static void heap_in_the_way(void **state)
{
	(void)state;
	assert_int_equal(quire_mmap(mm, HEAP + PAGES(8), PAGE_SIZE, R, FIXED), HEAP + PAGES(8));
	assert_int_equal(quire_brk(mm, HEAP + PAGES(8)), HEAP);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(7) + 1), HEAP);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(7)), HEAP + PAGES(7));
	assert_int_equal(quire_brk(mm, HEAP + PAGES(20)), HEAP + PAGES(7));
	/* A program may have unmapped a part. */
	assert_int_equal(quire_munmap(mm, HEAP + PAGES(2), PAGES(2)), 0);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(1)), HEAP + PAGES(1));
	assert_int_equal(stats().mapped, PAGES(2));
}

static void no_heap(void **state)
{
	struct quire_mm_config config = { .mode = *(const enum quire_mode *)*state };
	struct quire_mm *bare;

	assert_int_equal(quire_mm_create(&config, &bare), 0);
	assert_int_equal(quire_brk(bare, 0), 0);
	assert_int_equal(quire_brk(bare, HEAP), 0);
	quire_mm_destroy(bare);
}

/* --- moving, locking --- */

static void move_and_keep(void **state)
{
	const int flags = QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_DONTUNMAP;
	int64_t to;

	(void)state;
	map(0, 8, RW, FIXED | QUIRE_MAP_LOCKED);
	for (unsigned i = 0; i < 8; i++)
		store(AT(i), i + 1);
	to = quire_mremap(mm, AT(0), PAGES(8), PAGES(8), flags, 0);
	assert_int_equal(to, TOP - PAGES(8));
	assert_int_equal(resident(0, 8), 0);
	assert_true(vma_at((uint64_t)to).locked && !vma_at(AT(0)).locked);
	assert_int_equal(stats().locked, PAGES(8));
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(load((uint64_t)to + PAGES(i)), i + 1);
		assert_int_equal(load(AT(i)), 0);
	}
	store(AT(3), 77);
	assert_int_equal(quire_mremap(mm, AT(0), PAGES(8), PAGES(8), flags, AT(20)), AT(20));
	assert_int_equal(load(AT(23)), 77);
	assert_int_equal(quire_mremap(mm, AT(20), PAGES(8), PAGES(8), flags | QUIRE_MREMAP_FIXED,
				      (uint64_t)to),
			 to);
	assert_int_equal(load((uint64_t)to + PAGES(3)), 77);
}

static void lock_everything(void **state)
{
	(void)state;
	map(0, 4, RW, FIXED);
	map(4, 4, 0, FIXED);
	map(8, 4, R, FIXED);
	assert_int_equal(quire_mlockall(mm, QUIRE_MCL_CURRENT), 0);
	assert_int_equal(resident(0, 12), 8); /* what can't be touched is no error */
	assert_int_equal(stats().locked, PAGES(12));
	assert_int_equal(quire_mmap(mm, AT(12), PAGES(4), RW, FIXED), AT(12));
	assert_false(vma_at(AT(12)).locked);
	assert_int_equal(quire_mlockall(mm, QUIRE_MCL_FUTURE), 0);
	map(16, 4, RW, FIXED);
	assert_true(vma_at(AT(16)).locked);
	assert_int_equal(resident(12, 8), 4);
	assert_int_equal(quire_brk(mm, HEAP + PAGES(2)), HEAP + PAGES(2));
	assert_true(vma_at(HEAP).locked);
	assert_int_equal(stats().anonymous, 4 + 4 + 2); /* 4 are the zero page */

	assert_int_equal(
		quire_mlockall(mm, QUIRE_MCL_CURRENT | QUIRE_MCL_FUTURE | QUIRE_MCL_ONFAULT), 0);
	map(24, 4, RW, FIXED);
	assert_int_equal(resident(24, 4), 0);
	assert_true(vma_at(AT(24)).locked && vma_at(AT(12)).locked);
	assert_int_equal(quire_munlockall(mm), 0);
	assert_int_equal(stats().locked, 0);
	map(32, 4, RW, FIXED);
	assert_false(vma_at(AT(32)).locked);
}

static void populating(void **state)
{
	(void)state;
	map(0, 8, RW, FIXED | QUIRE_MAP_POPULATE);
	assert_int_equal(stats().anonymous, 8);
	map(8, 8, R, FIXED | QUIRE_MAP_POPULATE);
	assert_int_equal(resident(8, 8), 8);
	assert_int_equal(stats().anonymous, 8); /* the zero page is nobody's */
	map(16, 8, 0, FIXED | QUIRE_MAP_POPULATE);
	assert_int_equal(resident(16, 8), 0);
	map(24, 8, RW, FIXED | QUIRE_MAP_POPULATE | QUIRE_MAP_NONBLOCK);
	assert_int_equal(resident(24, 8), 0);
	assert_int_equal(quire_madvise(mm, AT(24), PAGES(4), QUIRE_MADV_POPULATE_READ), 0);
	assert_int_equal(quire_madvise(mm, AT(27), PAGES(4), QUIRE_MADV_POPULATE_WRITE), 0);
	assert_int_equal(resident(24, 8), 7);
	assert_int_equal(stats().anonymous, 12);
	assert_int_equal(quire_madvise(mm, AT(0), PAGES(32), QUIRE_MADV_DONTNEED), 0);
	assert_int_equal(stats().anonymous, 0);
	assert_int_equal(resident(0, 32), 0);
}

/* Locked pages that become writable are copied at once. */
static void locked_and_writable(void **state)
{
	(void)state;
	map(0, 8, R, FIXED | QUIRE_MAP_LOCKED);
	map(8, 8, R, FIXED);
	assert_int_equal(stats().anonymous, 0);
	assert_int_equal(quire_mprotect(mm, AT(4), PAGES(8), RW), 0);
	assert_int_equal(stats().anonymous, 4);
	assert_int_equal(resident(0, 16), 8);
}

/* --- children --- */

static void what_a_child_inherits(void **state)
{
	struct quire_mm *child;
	struct quire_vma_info info;
	struct quire_stats s;

	(void)state;
	map(0, 4, RW, FIXED | QUIRE_MAP_LOCKED);
	map(4, 4, RW, FIXED);
	map(8, 4, RW, FIXED);
	for (unsigned i = 0; i < 12; i++)
		store(AT(i), i + 1);
	assert_int_equal(quire_madvise(mm, AT(4), PAGES(4), QUIRE_MADV_DONTFORK), 0);
	assert_int_equal(quire_madvise(mm, AT(8), PAGES(4), QUIRE_MADV_WIPEONFORK), 0);
	assert_true(vma_at(AT(4)).dontfork && vma_at(AT(8)).wipeonfork);
	assert_int_equal(quire_brk(mm, HEAP + 5), HEAP + 5);
	assert_int_equal(quire_mlockall(mm, QUIRE_MCL_FUTURE), 0);
	assert_int_equal(quire_pkey_alloc(mm), 1);
	assert_int_equal(quire_fork(mm, &child), 0);
	assert_null(quire_validate(NULL));
	quire_stats(child, &s);
	assert_int_equal(s.anonymous, 4);
	assert_int_equal(s.locked, 0);
	quire_soft_switch(cpu, child);
	assert_int_equal(load(AT(0)), 1);
	refused(AT(4), QUIRE_READ, QUIRE_FAULT_MAPERR);
	assert_int_equal(load(AT(8)), 0);
	assert_int_equal(quire_brk(child, 0), HEAP + 5);
	assert_int_equal(quire_pkey_alloc(child), 2);
	/* The lock for what comes is not inherited. */
	assert_int_equal(quire_mmap(child, AT(20), PAGE_SIZE, RW, FIXED), AT(20));
	assert_int_equal(quire_vma_find(child, AT(20), &info), 0);
	assert_false(info.locked);
	assert_int_equal(quire_vma_find(child, AT(8), &info), 0);
	assert_true(info.wipeonfork);
	quire_soft_switch(cpu, mm);
	quire_mm_destroy(child);
	assert_int_equal(load(AT(8)), 9);
	assert_int_equal(quire_madvise(mm, AT(4), PAGES(4), QUIRE_MADV_DOFORK), 0);
	assert_int_equal(quire_madvise(mm, AT(8), PAGES(4), QUIRE_MADV_KEEPONFORK), 0);
	assert_false(vma_at(AT(4)).dontfork || vma_at(AT(8)).wipeonfork);
}

/* --- where things go, and how they are shown --- */

static void placement(void **state)
{
	struct quire_mm_config config = { .mode = *(const enum quire_mode *)*state,
					  .start = PAGES(16),
					  .end = PAGES(64),
					  .mmap_top = PAGES(32) };
	struct quire_mm *small;
	int64_t place;

	assert_int_equal(quire_mmap(mm, 0, PAGES(4), RW, ANON), TOP - PAGES(4));
	assert_int_equal(quire_mmap(mm, 0, PAGES(2), RW, ANON), TOP - PAGES(6));
	assert_int_equal(stats().vmas, 1);
	/* The highest gap that is large enough. */
	assert_int_equal(quire_munmap(mm, TOP - PAGES(5), PAGES(2)), 0);
	assert_int_equal(quire_mmap(mm, 0, PAGES(3), R, ANON), TOP - PAGES(9));
	assert_int_equal(quire_mmap(mm, 0, PAGES(2), R, ANON), TOP - PAGES(5));
	/* A hint is rounded down; taken if free, else nothing. */
	assert_int_equal(quire_mmap(mm, AT(0) + 5, PAGES(4), RW, ANON), AT(0));
	assert_int_equal(quire_mmap(mm, AT(3), PAGES(4), RW, ANON), TOP - PAGES(13));
	assert_int_equal(quire_mmap(mm, TOP + PAGES(8), PAGES(4), RW, ANON), TOP + PAGES(8));
	/* A stack's gap is no place. */
	map(0x1000, 1, RW, STACK);
	place = quire_mmap(mm, AT(0xfff), PAGE_SIZE, RW, ANON);
	assert_int_equal(place, TOP - PAGES(14));
	assert_int_equal(quire_mmap(mm, AT(0x1000 - 257), PAGE_SIZE, RW, ANON), AT(0x1000 - 257));

	assert_int_equal(quire_mm_create(&config, &small), 0);
	assert_int_equal(quire_mmap(small, 0, PAGES(10), RW, ANON), PAGES(22));
	assert_int_equal(quire_mmap(small, 0, PAGES(10), RW, ANON), PAGES(32)); /* above the top */
	assert_int_equal(quire_mmap(small, 0, PAGES(6), RW, ANON), PAGES(16));
	assert_int_equal(quire_mmap(small, 0, PAGES(22), RW, ANON), PAGES(42));
	assert_int_equal(quire_mmap(small, 0, PAGE_SIZE, RW, ANON), -QUIRE_ENOMEM);
	assert_int_equal(quire_mmap(small, 0, PAGES(49), RW, ANON), -QUIRE_ENOMEM);
	quire_mm_destroy(small);
}

static void layout_as_text(void **state)
{
	static const char wanted[] =
		"10000000-10003000 rw-p 00000000 00:00 0                                  [heap]\n"
		"100000000-100001000 r--p 00000000 00:00 0 \n"
		"100001000-100002000 -wxp 00000000 00:00 0 \n"
		"100004000-100005000 ---p 00000000 00:00 0 \n";
	char text[sizeof(wanted)] = "?";

	(void)state;
	assert_int_equal(quire_mm_maps(mm, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	map(0, 1, R, FIXED);
	map(1, 1, QUIRE_PROT_WRITE | QUIRE_PROT_EXEC, FIXED);
	map(4, 1, 0, FIXED);
	quire_brk(mm, HEAP + PAGES(3));
	assert_int_equal(quire_mm_maps(mm, text, sizeof(text)), sizeof(wanted) - 1);
	assert_string_equal(text, wanted);
	assert_int_equal(quire_mm_maps(mm, NULL, 0), sizeof(wanted) - 1);
	text[10] = '!';
	assert_int_equal(quire_mm_maps(mm, text, 10), sizeof(wanted) - 1);
	assert_memory_equal(text, "10000000-\0!", 11);
}

/* --- keys --- */

static void protection_keys(void **state)
{
	int key = quire_pkey_alloc(mm);
	uint32_t no_access = 1u << 2 * key, no_write = 2u << 2 * key;

	(void)state;
	assert_int_equal(key, 1);
	map(0, 8, RW, FIXED);
	store(AT(2), 5);
	assert_int_equal(quire_pkey_mprotect(mm, AT(2), PAGES(2), RW, key), 0);
	assert_true(vma_at(AT(2)).key == key && vma_at(AT(4)).key == 0);
	assert_int_equal(stats().vmas, 3);
	quire_soft_keys(cpu, no_write);
	assert_int_equal(load(AT(2)), 5);
	refused(AT(2), QUIRE_WRITE, QUIRE_FAULT_PKUERR);
	refused(AT(3), QUIRE_WRITE, QUIRE_FAULT_PKUERR); /* no entry yet */
	store(AT(4), 1);
	quire_soft_keys(cpu, no_access);
	refused(AT(2), QUIRE_READ, QUIRE_FAULT_PKUERR);
	refused(AT(3), QUIRE_READ, QUIRE_FAULT_PKUERR);
	/* The protection comes first; keys don't concern execution. */
	assert_int_equal(quire_mprotect(mm, AT(3), PAGE_SIZE, QUIRE_PROT_EXEC), 0);
	refused(AT(3), QUIRE_WRITE, QUIRE_FAULT_ACCERR);
	assert_non_null(quire_soft_translate(cpu, AT(3), QUIRE_EXEC));
	assert_int_equal(vma_at(AT(3)).key, key); /* mprotect keeps the key */
	assert_int_equal(quire_pkey_mprotect(mm, AT(2), PAGES(2), RW, 0), 0);
	assert_int_equal(load(AT(2)), 5);
	assert_int_equal(stats().vmas, 1);
	quire_soft_keys(cpu, 0);
}

/* --- counters --- */

static enum quire_path own_path(const enum quire_mode *mode)
{
	return *mode == QUIRE_SPECULATIVE ? QUIRE_PATH_SPECULATIVE
	       : *mode == QUIRE_VMA_LOCK  ? QUIRE_PATH_VMA_LOCK
					  : QUIRE_PATH_CLASSIC;
}

/* One more fault since `before`, as (path, kind), and no other. */
static void counted(struct quire_stats *before, enum quire_path path, enum quire_kind kind)
{
	struct quire_stats now = stats();

	before->faults[path][kind]++;
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			if (now.faults[p][k] != before->faults[p][k])
				fail_msg("%s, %s: %llu, not %llu", quire_path_name(p),
					 quire_kind_name(k), (unsigned long long)now.faults[p][k],
					 (unsigned long long)before->faults[p][k]);
}

static void each_kind_once(void **state)
{
	enum quire_path path = own_path(*state);
	struct quire_stats before = stats();
	struct quire_mm *child;

	map(0, 8, RW, FIXED);
	assert_int_equal(load(AT(0)), 0);
	counted(&before, path, QUIRE_KIND_ZERO_READ);
	store(AT(0), 1);
	counted(&before, path, QUIRE_KIND_ZERO_WRITE);
	store(AT(1), 1);
	counted(&before, path, QUIRE_KIND_FIRST_WRITE);
	store(AT(1), 2);
	assert_int_equal(quire_fault(mm, AT(1), QUIRE_WRITE), QUIRE_FAULT_DONE);
	counted(&before, path, QUIRE_KIND_SPURIOUS);
	assert_int_equal(quire_fork(mm, &child), 0);
	assert_int_equal(load(AT(1)), 2);
	store(AT(1), 3);
	counted(&before, path, QUIRE_KIND_COW_COPY);
	quire_mm_destroy(child);
	store(AT(0), 3);
	counted(&before, path, QUIRE_KIND_COW_REUSE);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(2), 0), 0);
	refused(AT(0), QUIRE_READ, QUIRE_FAULT_ACCERR);
	counted(&before, QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	assert_int_equal(quire_mprotect(mm, AT(0), PAGES(2), R), 0);
	assert_int_equal(load(AT(0)), 3);
	counted(&before, path, QUIRE_KIND_RIGHTS);
	refused(AT(9), QUIRE_READ, QUIRE_FAULT_MAPERR);
	counted(&before, QUIRE_PATH_CLASSIC, QUIRE_KIND_VERDICT);
	assert_int_equal(stats().anonymous, 2);
	assert_int_equal(stats().vmas, 2);
	assert_int_equal(stats().mapped, PAGES(8));
	assert_int_equal(stats().tables, 4);
	assert_int_equal(quire_munmap(mm, AT(0), PAGES(8)), 0);
	assert_int_equal(stats().tables, 1); /* the root */
	assert_int_equal(stats().anonymous, 0);
}

/* What a space has counted stays in the totals when it is gone. */
static void totals(void **state)
{
	enum quire_path path = own_path(*state);
	struct quire_stats before, after;
	struct quire_mm *child;

	map(0, 8, RW, FIXED);
	assert_int_equal(quire_fork(mm, &child), 0);
	quire_stats(NULL, &before);
	quire_soft_switch(cpu, child);
	store(AT(0), 1);
	quire_soft_switch(cpu, mm);
	quire_stats(NULL, &after);
	assert_int_equal(after.faults[path][QUIRE_KIND_FIRST_WRITE],
			 before.faults[path][QUIRE_KIND_FIRST_WRITE] + 1);
	assert_int_equal(after.mapped, PAGES(16));
	assert_int_equal(after.anonymous, 1);
	quire_mm_destroy(child);
	quire_stats(NULL, &after);
	assert_int_equal(after.faults[path][QUIRE_KIND_FIRST_WRITE],
			 before.faults[path][QUIRE_KIND_FIRST_WRITE] + 1);
	assert_int_equal(after.mapped, PAGES(8));
	assert_int_equal(after.anonymous, 0);
}

/* The CPUs' own counts, living and dead spaces together, are what the totals are made of. */
static void cpus_totals(void **state)
{
	enum quire_path path = own_path(*state);
	struct quire_stats all, each;
	struct quire_mm *child;
	uint64_t sum = 0;

	map(0, 8, RW, FIXED);
	store(AT(0), 1);
	assert_int_equal(quire_fork(mm, &child), 0);
	quire_soft_switch(cpu, child);
	store(AT(0), 2);
	quire_soft_switch(cpu, mm);
	quire_mm_destroy(child);
	quire_stats(NULL, &all);
	for (unsigned i = 0; i < 4; i++) {
		quire_stats_cpu(i, &each);
		sum += each.faults[path][QUIRE_KIND_COW_COPY];
		assert_int_equal(each.anonymous + each.tables + each.mapped, 0);
	}
	assert_int_equal(sum, all.faults[path][QUIRE_KIND_COW_COPY]);
	quire_stats_cpu(quire_soft_self()->index, &each);
	assert_true(each.faults[path][QUIRE_KIND_FIRST_WRITE] > 0);
	quire_stats_cpu(256, &each);
	assert_int_equal(each.faults[path][QUIRE_KIND_FIRST_WRITE], 0);
}

/* Pages of the embedder's own. */
static void own_pages(void **state)
{
	struct quire_memory_stats before, after;
	unsigned char *pages[7];
	const char *wrong;

	(void)state;
	quire_memory_stats(&before);
	for (unsigned order = 0; order <= 6; order++) {
		pages[order] = quire_pages_alloc(order, order % 2 == 0);
		assert_non_null(pages[order]);
		for (uint64_t i = 0; order % 2 == 0 && i < PAGES(1ull << order); i++)
			assert_int_equal(pages[order][i], 0);
		memset(pages[order], 0x5a, PAGES(1ull << order));
	}
	quire_memory_stats(&after);
	assert_int_equal(before.free - after.free, (1 << 7) - 1);
	wrong = quire_validate(NULL);
	assert_null(wrong);
	for (unsigned order = 0; order <= 6; order++)
		quire_pages_free(pages[order], order);
	quire_memory_stats(&after);
	assert_int_equal(before.free, after.free);
	assert_null(quire_pages_alloc(QUIRE_PAGES_ORDER + 1, false));
	pages[0] = quire_pages_alloc(0, true);
	for (uint64_t i = 0; i < PAGES(1); i++)
		assert_int_equal(pages[0][i], 0);
	quire_pages_free(pages[0], 0);
}

static void speculation_switch(void **state)
{
	enum quire_path path = own_path(*state), off;
	struct quire_stats before = stats();

	off = path == QUIRE_PATH_SPECULATIVE ? QUIRE_PATH_CLASSIC : path;
	map(0, 8, RW, FIXED);
	quire_mm_set_speculation(mm, false);
	store(AT(0), 1);
	counted(&before, off, QUIRE_KIND_FIRST_WRITE);
	assert_int_equal(stats().counters[QUIRE_CLASSIC_OFF] - before.counters[QUIRE_CLASSIC_OFF],
			 off == QUIRE_PATH_CLASSIC);
	quire_mm_set_speculation(mm, true);
	store(AT(1), 1);
	counted(&before, path, QUIRE_KIND_FIRST_WRITE);
	assert_int_equal(stats().counters[QUIRE_CLASSIC_OFF] - before.counters[QUIRE_CLASSIC_OFF],
			 (off == QUIRE_PATH_CLASSIC) + (path == QUIRE_PATH_CLASSIC));
}

/* --- the validator --- */

static slot *slot_of(uint64_t address)
{
	struct walk walk;

	assert_int_equal(table_walk(&mm->tables, address, &walk), WALK_LEAF);
	return walk.slot;
}

static void found(const char *part)
{
	const char *wrong = quire_validate(NULL);

	assert_non_null(wrong);
	if (!strstr(wrong, part))
		fail_msg("\"%s\" is not about \"%s\"", wrong, part);
}

static void planted_entries(void **state)
{
	slot *own, *zero, *none;
	pte entry, zero_entry;

	(void)state;
	map(0, 4, RW, FIXED);
	map(4, 4, R, FIXED);
	store(AT(0), 1);
	load(AT(4));
	own = slot_of(AT(0));
	zero = slot_of(AT(4));
	none = slot_of(AT(9));
	entry = at_load(own);
	zero_entry = at_load(zero);
	assert_null(quire_validate(NULL));

	at_store(own, pte_make(pte_pfn(entry), pte_rights(entry), 3));
	found("protection key");
	at_store(own, pte_busy(1));
	found("in transition");
	at_store(own, PTE_NONE);
	found("count of entries");
	at_store(own, pte_make(0, RIGHT_READ, 0)); /* a frame that is the pool's */
	found("not an anonymous page");
	at_store(own, entry);
	at_store(zero, pte_make(pte_pfn(zero_entry), RIGHT_READ | RIGHT_WRITE, 0));
	found("zero page is mapped writable");
	at_store(zero, entry); /* the same page twice */
	found("reverse map");
	at_store(zero, zero_entry);
	at_store(none, zero_entry);
	found("nothing is mapped");
	at_store(none, PTE_NONE);
	assert_null(quire_validate(NULL));
}

static void planted_counts(void **state)
{
	struct walk walk;
	struct frame *frame;
	struct vma *vma;

	(void)state;
	map(0, 4, RW, FIXED);
	store(AT(0), 1);
	assert_int_equal(table_walk(&mm->tables, AT(0), &walk), WALK_LEAF);
	frame = frame_of(pte_pfn(at_load(walk.slot)));
	vma = tree_find(&mm->tree, AT(0));

	mm->mapped++;
	found("sums");
	mm->mapped--;
	walk.table->u.table.used++;
	found("count of entries");
	walk.table->u.table.used--;
	at_add(&mm->tables.trace[1].anonymous, 1);
	found("count of anonymous pages");
	at_sub(&mm->tables.trace[1].anonymous, 1);
	at_add(&mm->tables.trace[1].tables, 1);
	found("count of tables");
	at_sub(&mm->tables.trace[1].tables, 1);
	at_store(&vma->seq, VMA_RETIRED);
	found("not live");
	at_store(&vma->seq, VMA_LIVE);
	at_add(&vma->readers, 1u);
	found("locked");
	at_sub(&vma->readers, 1u);
	at_add(&frame->refs, 1u);
	found("references");
	at_sub(&frame->refs, 1u);
	at_store(&walk.table->u.table.dead, true);
	found("dead table");
	at_store(&walk.table->u.table.dead, false);
	assert_null(quire_validate(NULL));
}

#define MODES(test)                                                                                \
	{ #test ", speculative", test, setup, teardown, &modes[0] },                               \
		{ #test ", vma-lock", test, setup, teardown, &modes[1] },                          \
	{                                                                                          \
#test ", classic", test, setup, teardown, &modes[2]                                \
	}

int main(void)
{
	static enum quire_mode modes[] = { QUIRE_SPECULATIVE, QUIRE_VMA_LOCK, QUIRE_CLASSIC };
	const struct CMUnitTest tests[] = {
		MODES(limit_of_address_space),
		MODES(limit_of_data),
		MODES(limit_of_locked),
		MODES(limit_of_vmas),
		MODES(stack_growth),
		MODES(stack_limits),
		MODES(stack_gap),
		MODES(heap),
		MODES(heap_in_the_way),
		MODES(no_heap),
		MODES(move_and_keep),
		MODES(lock_everything),
		MODES(populating),
		MODES(locked_and_writable),
		MODES(what_a_child_inherits),
		MODES(placement),
		MODES(layout_as_text),
		MODES(protection_keys),
		MODES(each_kind_once),
		MODES(totals),
		MODES(cpus_totals),
		MODES(own_pages),
		MODES(speculation_switch),
		MODES(planted_entries),
		MODES(planted_counts),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
