/* SPDX-License-Identifier: MIT */
/*
 * The errors of every call, by the man pages: each row is executed by Quire and by Linux at the
 * same addresses, over the same layout, in each mode. Both must give what the row says, the layouts
 * must stay equal, and a call that fails on its arguments must have changed nothing.
 *
 *     page   0      8      16     24     32     40     48     56     64
 *            │ rw   │ r    │ free │ none │ rw   │ rw   │ rw   │ free │
 *            │      │      │      │      │locked│stack │      │      │
 */
#include "oracle_layout.h"

#define AT(page) (ARENA + (page)*PAGE)
#define PAGES(n) ((n)*PAGE)
#define TOO_LONG (UINT64_MAX - PAGE + 2) /* rounded up to pages it is 0 */
#define LAST 0x7ffffffff000ull		 /* where the address space ends */

#define R QUIRE_PROT_READ
#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define ANON (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)
#define FIXED (ANON | QUIRE_MAP_FIXED)
#define NOREPLACE (ANON | QUIRE_MAP_FIXED_NOREPLACE)
#define MAYMOVE QUIRE_MREMAP_MAYMOVE
#define TO (QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED)
#define KEEP (QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_DONTUNMAP)
#define DOWN QUIRE_PROT_GROWSDOWN
#define UP QUIRE_PROT_GROWSUP

#define PARTLY 1 /* fails after it has done a part */
#define BY_US 2	 /* Linux can't be asked: privileges, or it differs on purpose */
#define MOVED 3	 /* returns where it moved to */
#define SOMEWHERE                                                                                  \
	4 /* succeeds, at an address that is not compared; what is there goes away again */

struct row {
	unsigned line;
	int64_t result; /* 0 also stands for the first argument, of the calls that return a place */
	struct oracle_call call;
	int kind;
};

#define ROW(result, number, ...)                                                                   \
	{                                                                                          \
		__LINE__, result, { CALL_##number, { __VA_ARGS__ } }, 0                            \
	}
#define ROW_AS(kind, result, number, ...)                                                          \
	{                                                                                          \
		__LINE__, result, { CALL_##number, { __VA_ARGS__ } }, kind                         \
	}

static const struct row rows[] = {
	/* mmap(2) */
	ROW(-QUIRE_EBADF, MMAP, AT(16), PAGE, RW, QUIRE_MAP_PRIVATE),
	ROW(-QUIRE_EBADF, MMAP, AT(16), 0, RW, QUIRE_MAP_PRIVATE), /* first of all */
	ROW(-QUIRE_EINVAL, MMAP, AT(16), 0, RW, FIXED),
	ROW(-QUIRE_EINVAL, MMAP, AT(16) + 1, 0, RW, FIXED),
	ROW(-QUIRE_ENOMEM, MMAP, AT(16), TOO_LONG, RW, FIXED),
	ROW(-QUIRE_ENOMEM, MMAP, 0, TOO_LONG, RW, ANON),
	ROW(-QUIRE_ENOMEM, MMAP, 0, 1ull << 47, RW, ANON),
	ROW(-QUIRE_ENOMEM, MMAP, AT(16), LAST, RW, FIXED),
	ROW(-QUIRE_ENOMEM, MMAP, LAST, PAGE, RW, FIXED),
	ROW(-QUIRE_ENOMEM, MMAP, LAST + 1, PAGE, RW, FIXED), /* before alignment */
	ROW(-QUIRE_EINVAL, MMAP, AT(16) + 1, PAGE, RW, FIXED),
	ROW(-QUIRE_EINVAL, MMAP, AT(16) + 1, PAGE, RW, NOREPLACE),
	ROW(-QUIRE_EEXIST, MMAP, AT(0), PAGE, RW, NOREPLACE),
	ROW(-QUIRE_EEXIST, MMAP, AT(15), PAGES(2), RW, NOREPLACE),
	ROW(-QUIRE_EEXIST, MMAP, AT(0), PAGE, RW, NOREPLACE & ~QUIRE_MAP_PRIVATE),
	ROW(0, MMAP, AT(16), PAGES(8), RW, NOREPLACE),
	ROW(0, MMAP, AT(16), PAGES(8), RW, NOREPLACE | QUIRE_MAP_FIXED),
	ROW(-QUIRE_EINVAL, MMAP, AT(16), PAGE, RW, QUIRE_MAP_ANONYMOUS),
	ROW(-QUIRE_EINVAL, MMAP, AT(16), PAGE, RW, QUIRE_MAP_ANONYMOUS | 3),
	ROW(-QUIRE_EINVAL, MMAP, AT(16), PAGE, RW, ANON | 4),
	ROW_AS(BY_US, -QUIRE_ENODEV, MMAP, AT(16), PAGE, RW,
	       QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS),
	ROW_AS(BY_US, -QUIRE_EPERM, MMAP, 0, PAGE, RW, FIXED),
	ROW_AS(SOMEWHERE, 0, MMAP, AT(8), PAGE, RW, ANON),
	ROW_AS(SOMEWHERE, 0, MMAP, 1, PAGE, RW, ANON),
	ROW_AS(SOMEWHERE, 0, MMAP, LAST, PAGE, RW, ANON),
	ROW_AS(SOMEWHERE, 0, MMAP, UINT64_MAX, PAGE, RW, ANON),
	ROW(0, MMAP, AT(16), 1, RW | ~7u, FIXED), /* unknown protection is ignored here */
	ROW(0, MMAP, AT(16), PAGES(4), 0, ANON),
	ROW(0, MMAP, AT(12), PAGES(30), RW, FIXED | QUIRE_MAP_LOCKED | QUIRE_MAP_NONBLOCK),

	/* munmap(2) */
	ROW(-QUIRE_EINVAL, MUNMAP, AT(0), 0),
	ROW(-QUIRE_EINVAL, MUNMAP, AT(0) + 1, PAGE),
	ROW(-QUIRE_EINVAL, MUNMAP, AT(0), TOO_LONG),
	ROW(-QUIRE_EINVAL, MUNMAP, AT(0), LAST),
	ROW(-QUIRE_EINVAL, MUNMAP, LAST, PAGE),
	ROW(-QUIRE_EINVAL, MUNMAP, LAST + PAGE, PAGE),
	ROW(-QUIRE_EINVAL, MUNMAP, UINT64_MAX - PAGE + 1, PAGE),
	ROW(0, MUNMAP, AT(16), PAGE),
	ROW(0, MUNMAP, AT(7), 1),
	ROW(0, MUNMAP, AT(2), PAGES(60)),

	/* mprotect(2) */
	ROW(-QUIRE_EINVAL, MPROTECT, AT(0) + 1, PAGE, R),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(0), PAGE, R | DOWN | UP),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(0), 0, R | DOWN | UP),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(0) + 1, 0, R),
	ROW(0, MPROTECT, AT(0), 0, 0x100),
	ROW(0, MPROTECT, AT(16), 0, R),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(0), TOO_LONG, R),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(0), UINT64_MAX - PAGES(100), R),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(0), TOO_LONG, 0x100), /* before the protection */
	ROW(-QUIRE_EINVAL, MPROTECT, AT(0), PAGE, 0x100),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(16), PAGE, 0x10),
	ROW(0, MPROTECT, AT(0), PAGE, R | 8 /* PROT_SEM */),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(16), PAGE, R),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(16), PAGES(12), R),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MPROTECT, AT(4), PAGES(14), 0),
	ROW(-QUIRE_ENOMEM, MPROTECT, LAST, PAGE, R),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(1), PAGE, R | DOWN),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(1), PAGE, R | UP),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(16), PAGE, R | UP),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(16), PAGE, R | DOWN),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(20), PAGES(6), R | DOWN),
	ROW(0, MPROTECT, AT(42), PAGE, R | DOWN),
	ROW(-QUIRE_ENOMEM, MPROTECT, AT(60), PAGE, R | UP),

	/* pkey_mprotect(2) */
	ROW(-QUIRE_EINVAL, PKEY_MPROTECT, AT(0), PAGE, R, 16),
	ROW(-QUIRE_EINVAL, PKEY_MPROTECT, AT(0), PAGE, R, 15),
	ROW(-QUIRE_EINVAL, PKEY_MPROTECT, AT(0), PAGE, R, UINT64_MAX - 1),
	ROW(-QUIRE_EINVAL, PKEY_MPROTECT, AT(16), PAGE, R, 15), /* before the hole */
	ROW(0, PKEY_MPROTECT, AT(0), 0, R, 15),
	ROW(-QUIRE_ENOMEM, PKEY_MPROTECT, AT(16), PAGE, R, UINT64_MAX),
	ROW(0, PKEY_MPROTECT, AT(0), PAGE, R, UINT64_MAX),

	/* mremap(2) */
	ROW(-QUIRE_EINVAL, MREMAP, AT(0) + 1, PAGE, PAGE, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, PAGE, 8),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, 0, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, TOO_LONG, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, LAST + PAGE, MAYMOVE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, 0, MAYMOVE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(16), PAGE, 0, MAYMOVE), /* before the hole */
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, PAGE, 0), /* only shared mappings can be doubled */
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, PAGE, MAYMOVE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, PAGE, TO, AT(16)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, PAGE, TO, AT(0)),
	ROW(-QUIRE_EFAULT, MREMAP, AT(16), PAGE, PAGE, 0),
	ROW(-QUIRE_EFAULT, MREMAP, AT(16), 0, PAGE, 0),
	ROW(-QUIRE_EFAULT, MREMAP, AT(16), PAGE, PAGES(2), MAYMOVE),
	ROW(-QUIRE_EFAULT, MREMAP, AT(16), PAGE, PAGE, TO, AT(56)),
	ROW(-QUIRE_EFAULT, MREMAP, AT(6), PAGES(4), PAGES(5), MAYMOVE),
	ROW(-QUIRE_EFAULT, MREMAP, AT(6), PAGES(4), PAGES(5), TO, AT(56)),
	ROW_AS(BY_US, -QUIRE_EFAULT, MREMAP, AT(6), PAGES(4), PAGES(4), TO, AT(56)),
	ROW(-QUIRE_EFAULT, MREMAP, LAST, PAGE, PAGES(2), MAYMOVE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, PAGE, QUIRE_MREMAP_FIXED, AT(16)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, PAGE, QUIRE_MREMAP_DONTUNMAP, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, PAGE, TO, AT(16) + 1),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, PAGE, TO, LAST),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGE, PAGES(2), TO, LAST - PAGE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGES(4), PAGES(4), TO, AT(0)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), PAGES(4), PAGES(4), TO, AT(3)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(4), PAGES(4), PAGES(4), TO, AT(1)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(4), PAGES(4), PAGE, KEEP, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(4), PAGES(4), PAGES(5), KEEP, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(4), PAGES(4), PAGES(4), KEEP, AT(16) + 1),
	ROW(-QUIRE_EINVAL, MREMAP, AT(4), PAGES(4), PAGES(4), KEEP, AT(4)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(4), PAGES(4), PAGES(4), KEEP, LAST),
	ROW_AS(BY_US, -QUIRE_EPERM, MREMAP, AT(0), PAGE, PAGE, TO, 0),
	ROW(-QUIRE_ENOMEM, MREMAP, AT(0), PAGES(8), PAGES(9), 0),
	ROW(-QUIRE_ENOMEM, MREMAP, AT(0), PAGES(4), PAGES(5), 0),
	ROW(-QUIRE_ENOMEM, MREMAP, AT(8), PAGES(8), PAGES(9 + 8), 0),
	ROW(0, MREMAP, AT(8), PAGES(8), PAGES(8 + 8), 0),
	ROW(0, MREMAP, AT(8), PAGES(8), PAGES(8), 0),
	ROW(0, MREMAP, AT(8), PAGES(8), 1, 0),
	/* Where nothing is moved or grows, only the first page must be mapped. */
	ROW(0, MREMAP, AT(8), PAGES(9), PAGE, 0),
	ROW(0, MREMAP, AT(8), PAGES(9), PAGES(9), 0),
	ROW(0, MREMAP, AT(4), PAGES(30), PAGES(8), 0),
	ROW_AS(MOVED, 0, MREMAP, AT(4), PAGES(30), PAGES(2), TO, AT(50)),
	ROW(-QUIRE_EFAULT, MREMAP, AT(4), PAGES(30), PAGES(5), TO, AT(50)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), UINT64_MAX - PAGES(100), PAGE, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), LAST, PAGE, 0),
	ROW(-QUIRE_EFAULT, MREMAP, AT(16), LAST, PAGE, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(16), LAST, PAGE, TO, AT(56)), /* it overlaps */
	ROW(-QUIRE_EFAULT, MREMAP, AT(16), LAST, PAGE, TO, AT(4)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), LAST, PAGE, TO, AT(0) - PAGE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), UINT64_MAX - PAGES(100), PAGE, TO, AT(56)),
	ROW(-QUIRE_ENOMEM, MREMAP, AT(8), PAGES(4), LAST, MAYMOVE),

	/* madvise(2) */
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), PAGE, 5),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), PAGE, UINT32_MAX),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), 0, 7),
	ROW(-QUIRE_EINVAL, MADVISE, AT(16), PAGE, 7), /* before the hole */
	ROW(-QUIRE_EINVAL, MADVISE, AT(0) + 1, PAGE, QUIRE_MADV_NORMAL),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0) + 1, 0, QUIRE_MADV_NORMAL),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), TOO_LONG, QUIRE_MADV_NORMAL),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), UINT64_MAX - PAGES(100), QUIRE_MADV_NORMAL),
	ROW(0, MADVISE, AT(16), 0, QUIRE_MADV_DONTNEED),
	ROW(0, MADVISE, LAST + PAGE, 0, QUIRE_MADV_DONTNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(16), PAGE, QUIRE_MADV_NORMAL),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(14), PAGES(12), QUIRE_MADV_DONTNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(14), PAGES(12), QUIRE_MADV_WILLNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, LAST, PAGE, QUIRE_MADV_DONTNEED),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MADVISE, AT(14), PAGES(12), QUIRE_MADV_DONTFORK),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), PAGE, QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_DONTNEED),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_FREE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_COLD),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_PAGEOUT),
	ROW(0, MADVISE, AT(32), PAGE, QUIRE_MADV_DONTNEED_LOCKED),
	ROW(-QUIRE_EINVAL, MADVISE, AT(22), PAGES(12), QUIRE_MADV_DONTNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(16), PAGE, QUIRE_MADV_POPULATE_READ),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(14), PAGES(4), QUIRE_MADV_POPULATE_READ),
	ROW(-QUIRE_EINVAL, MADVISE, AT(8), PAGE, QUIRE_MADV_POPULATE_WRITE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(24), PAGE, QUIRE_MADV_POPULATE_READ),
	ROW(-QUIRE_EINVAL, MADVISE, AT(24), PAGE, QUIRE_MADV_POPULATE_WRITE),
	/* Below a stack: it does not grow for this. */
	ROW(-QUIRE_ENOMEM, MADVISE, AT(60), PAGE, QUIRE_MADV_POPULATE_WRITE),

	/* mlock(2), mlock2, munlock */
	ROW(-QUIRE_EINVAL, MLOCK2, AT(0), PAGE, 2),
	ROW(-QUIRE_EINVAL, MLOCK2, AT(16), PAGE, UINT32_MAX),
	ROW(-QUIRE_EINVAL, MUNLOCK, AT(0) + 5, UINT64_MAX - PAGES(100)),
	ROW(0, MLOCK, AT(16), 0),
	ROW(0, MUNLOCK, AT(16), 0),
	ROW(0, MLOCK, AT(0), TOO_LONG),
	ROW(-QUIRE_ENOMEM, MLOCK, AT(16), PAGE),
	ROW(-QUIRE_ENOMEM, MUNLOCK, AT(16), PAGE),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MLOCK, AT(15) + 1, PAGE), /* reaches into the next page */
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MLOCK, AT(14), PAGES(4)),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MUNLOCK, AT(52), PAGES(6)),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MLOCK, AT(24), PAGE), /* can't be faulted in */
	ROW(0, MLOCK2, AT(24), PAGE, QUIRE_MLOCK_ONFAULT),
	ROW(0, MLOCK, AT(0) + 1, PAGE),
	ROW(0, MUNLOCK, AT(33) + 1, 1),

	/* mlockall(2) */
	ROW(-QUIRE_EINVAL, MLOCKALL, 0),
	ROW(-QUIRE_EINVAL, MLOCKALL, 8),
	ROW(-QUIRE_EINVAL, MLOCKALL, QUIRE_MCL_ONFAULT),
	ROW(-QUIRE_EINVAL, MLOCKALL, QUIRE_MCL_CURRENT | 8),
	ROW(0, MUNLOCKALL, 0),

	/* mincore(2) */
	ROW(-QUIRE_EINVAL, MINCORE, AT(0) + 1, PAGE),
	ROW(-QUIRE_EINVAL, MINCORE, AT(0) + 1, 0),
	ROW(-QUIRE_ENOMEM, MINCORE, AT(16), PAGE),
	ROW(-QUIRE_ENOMEM, MINCORE, AT(14), PAGES(4)),
	ROW(-QUIRE_ENOMEM, MINCORE, AT(0), UINT64_MAX - PAGES(100)),
	ROW(-QUIRE_ENOMEM, MINCORE, AT(0), LAST),
	ROW(-QUIRE_ENOMEM, MINCORE, LAST, PAGE),
	ROW(0, MINCORE, AT(16), 0),
	ROW(0, MINCORE, AT(8), PAGES(8)),
	ROW(0, MINCORE, AT(24), PAGES(24)),
};

static struct quire_soft_cpu *cpu;
static int maps;

/* The layout of the picture. */
static void prepare(struct quire_mm *mm)
{
	static const struct oracle_call calls[] = {
		{ CALL_MMAP, { AT(0), PAGES(8), RW, FIXED } },
		{ CALL_MMAP, { AT(8), PAGES(8), R, FIXED } },
		{ CALL_MMAP, { AT(24), PAGES(8), 0, FIXED } },
		{ CALL_MMAP, { AT(32), PAGES(8), RW, FIXED | QUIRE_MAP_LOCKED } },
		{ CALL_MMAP, { AT(40), PAGES(8), RW, FIXED | QUIRE_MAP_GROWSDOWN } },
		{ CALL_MMAP, { AT(48), PAGES(8), RW, FIXED } },
		{ CALL_MMAP, { AT(62), PAGES(2), RW, FIXED | QUIRE_MAP_GROWSDOWN } },
	};

	oracle_clear(mm);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		assert_int_equal(quire_call(mm, &calls[i]), calls[i].a[0]);
		assert_int_equal(linux_call(&calls[i]), calls[i].a[0]);
	}
}

static bool returns_place(enum oracle_number number)
{
	return number == CALL_MMAP || number == CALL_MREMAP;
}

/* One side's result against the row's. */
static void check_result(const struct row *row, const char *who, int64_t result)
{
	int64_t wanted = row->result;

	if (row->kind == SOMEWHERE) {
		if (result > 0)
			return;
	} else if (wanted == 0 && returns_place(row->call.number)) {
		wanted = (int64_t)row->call.a[row->kind == MOVED ? 4 : 0];
	}
	if (result != wanted)
		fail_msg("line %u, %s: %s returned %lld, not %lld", row->line,
			 oracle_text(&row->call), who, (long long)result, (long long)wanted);
}

static void check_layouts(const struct row *row, const struct layout *before, struct quire_mm *mm)
{
	static struct layout quire, linux_;

	layout_quire(mm, &quire);
	layout_linux(maps, &linux_);
	if (row->result < 0 && row->kind != PARTLY && !layout_equal(&quire, before))
		fail_msg("line %u, %s: has changed something", row->line, oracle_text(&row->call));
	if (!layout_alike(&quire, &linux_)) {
		layout_print("Linux", &linux_);
		layout_print("Quire", &quire);
		fail_msg("line %u, %s: the layouts differ", row->line, oracle_text(&row->call));
	}
}

static void execute(const struct row *row, struct quire_mm *mm)
{
	static struct layout before;
	struct oracle_call back = { CALL_MUNMAP, { 0, PAGE } };
	int64_t result;

	prepare(mm);
	layout_quire(mm, &before);
	result = quire_call(mm, &row->call);
	check_result(row, "Quire", result);
	if (row->kind == SOMEWHERE) {
		back.a[0] = (uint64_t)result;
		assert_int_equal(quire_call(mm, &back), 0);
	}
	if (!oracle_speaks())
		return;
	if (row->kind != BY_US) {
		result = linux_call(&row->call);
		check_result(row, "Linux", result);
	}
	if (row->kind == SOMEWHERE) {
		back.a[0] = (uint64_t)result;
		assert_int_equal(linux_call(&back), 0);
	}
	check_layouts(row, &before, mm);
	assert_null(quire_validate(mm));
}

static void every_row(enum quire_mode mode)
{
	struct quire_mm *mm = oracle_space(mode);

	quire_soft_switch(cpu, mm);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		execute(&rows[i], mm);
	oracle_clear(mm);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
}

static void speculative(void **state)
{
	(void)state;
	every_row(QUIRE_SPECULATIVE);
}

static void vma_lock(void **state)
{
	(void)state;
	every_row(QUIRE_VMA_LOCK);
}

static void classic(void **state)
{
	(void)state;
	every_row(QUIRE_CLASSIC);
}

/* Calls that are not in the table, for they are about no range. */
static void keys_and_spaces(void **state)
{
	struct quire_mm_config config = { .mode = QUIRE_CLASSIC + 1 };
	struct quire_mm *mm = oracle_space(QUIRE_SPECULATIVE), *other;
	struct quire_vma_info info;
	int key;

	(void)state;
	assert_int_equal(quire_pkey_free(mm, 0), -QUIRE_EINVAL);
	assert_int_equal(quire_pkey_free(mm, 1), -QUIRE_EINVAL);
	assert_int_equal(quire_pkey_free(mm, -1), -QUIRE_EINVAL);
	assert_int_equal(quire_pkey_free(mm, 16), -QUIRE_EINVAL);
	for (key = 1; key < 16; key++)
		assert_int_equal(quire_pkey_alloc(mm), key);
	assert_int_equal(quire_pkey_alloc(mm), -QUIRE_ENOSPC);
	assert_int_equal(quire_pkey_free(mm, 7), 0);
	assert_int_equal(quire_pkey_free(mm, 7), -QUIRE_EINVAL);
	assert_int_equal(quire_pkey_alloc(mm), 7);
	assert_int_equal(quire_vma_find(mm, 0, &info), -QUIRE_ENOMEM);
	quire_mm_destroy(mm);

	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
	config = (struct quire_mm_config){ .start = PAGE + 1, .end = LAST };
	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
	config = (struct quire_mm_config){ .start = LAST, .end = PAGE };
	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
	config = (struct quire_mm_config){ .start = PAGE, .end = 1ull << 48 };
	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
	config = (struct quire_mm_config){ .mmap_top = PAGE };
	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
	config = (struct quire_mm_config){ .brk_start = PAGE };
	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
	config = (struct quire_mm_config){ .stack_gap = 1 };
	assert_int_equal(quire_mm_create(&config, &other), -QUIRE_EINVAL);
}

static int setup(void **state)
{
	struct quire_soft_config config = { .cpus = 1, .memory = 16 << 20 };

	(void)state;
	oracle_begin();
	maps = layout_open("/proc/self/maps");
	if (quire_soft_init(&config))
		return -1;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speculative),
		cmocka_unit_test(vma_lock),
		cmocka_unit_test(classic),
		cmocka_unit_test(keys_and_spaces),
	};

	return cmocka_run_group_tests_name("errno", tests, setup, teardown);
}
