/* SPDX-License-Identifier: MIT */
/*
 * The errors of every call, by the man pages: each row is executed by Quire and by Linux at the
 * same addresses, over the same layout, in each mode. Both must give what the row says, the layouts
 * must stay equal, and a call that fails on its arguments must have changed nothing.
 *
 *     page   0      8      16     24     32     40     48     56     64
 *            │ rw   │ r    │ free │ none │ rw   │ rw   │ rw   │ free │
 *            │      │      │      │      │locked│stack │      │      │
 *
 * and, for files (first of a disk, then of memory), with offsets in pages, of a file of 12 and a
 * bit:
 *
 *            │ rw   │ r    │ rw   │ free │ rw   │ r    │ none │ free │
 *            │shared│shared│priv. │      │shared│shared│priv. │      │
 *            │RW 0  │RO 0  │RO 0  │      │anon. │RW 8  │RW 0  │      │
 *            │      │      │      │      │locked│      │      │      │
 */
#include "oracle_contents.h"
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

#define SHARED (QUIRE_MAP_SHARED | QUIRE_MAP_FIXED)
#define PRIVATE (QUIRE_MAP_PRIVATE | QUIRE_MAP_FIXED)
#define VALIDATE (QUIRE_MAP_SHARED_VALIDATE | QUIRE_MAP_FIXED)
#define SYNC QUIRE_MS_SYNC
#define ASYNC QUIRE_MS_ASYNC
#define INVALIDATE QUIRE_MS_INVALIDATE

/* The file, as it was opened: indices of oracle_files. */
#define READ_WRITE 1
#define READ_ONLY 2
#define WRITE_ONLY 3

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
	ROW(0, MMAP, AT(16), PAGE, RW, SHARED | QUIRE_MAP_ANONYMOUS),
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

static const struct row file_rows[] = {
	/* mmap(2): see also every_mmap */
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, R, SHARED, READ_WRITE, 1),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, R, SHARED, READ_WRITE, PAGE - 1),
	ROW(-QUIRE_EOVERFLOW, MMAP, AT(24), PAGE, R, SHARED, READ_WRITE, UINT64_MAX - PAGE + 1),
	ROW(-QUIRE_EOVERFLOW, MMAP, AT(24), PAGE, R, PRIVATE, READ_WRITE, 1ull << 63),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), 0, R, SHARED, READ_WRITE),
	ROW(-QUIRE_ENOMEM, MMAP, AT(24), TOO_LONG, R, SHARED, READ_WRITE),
	ROW(-QUIRE_ENOMEM, MMAP, LAST, PAGE, R, SHARED, READ_WRITE),
	ROW(-QUIRE_EINVAL, MMAP, AT(24) + 1, PAGE, R, SHARED, READ_WRITE),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, R, QUIRE_MAP_FIXED, READ_WRITE),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, R, QUIRE_MAP_FIXED | 4, READ_WRITE),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, R, SHARED | QUIRE_MAP_GROWSDOWN, READ_WRITE),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, R, PRIVATE | QUIRE_MAP_GROWSDOWN, READ_WRITE),
	ROW(-QUIRE_EEXIST, MMAP, AT(8), PAGE, RW, QUIRE_MAP_SHARED | QUIRE_MAP_FIXED_NOREPLACE,
	    READ_ONLY),
	ROW(-QUIRE_EACCES, MMAP, AT(24), PAGE, RW, SHARED, READ_ONLY),
	ROW(-QUIRE_EACCES, MMAP, AT(8), PAGE, RW, SHARED, READ_ONLY), /* what was there stays */
	ROW(-QUIRE_EACCES, MMAP, AT(24), PAGE, QUIRE_PROT_WRITE, VALIDATE, READ_ONLY),
	ROW(-QUIRE_EACCES, MMAP, AT(24), PAGE, QUIRE_PROT_WRITE, SHARED, WRITE_ONLY),
	ROW(-QUIRE_EACCES, MMAP, AT(24), PAGE, 0, PRIVATE, WRITE_ONLY),
	ROW(-QUIRE_EOPNOTSUPP, MMAP, AT(24), PAGE, R, VALIDATE | 0x80000 /* SYNC */, READ_WRITE),
	ROW(-QUIRE_EOPNOTSUPP, MMAP, AT(24), PAGE, RW, VALIDATE | 0x2000000, READ_ONLY),
	ROW(0, MMAP, AT(24), PAGE, RW, SHARED | 0x2000000, READ_WRITE),
	ROW(0, MMAP, AT(24), PAGE, RW, VALIDATE, READ_WRITE),
	ROW(0, MMAP, AT(24), PAGE, RW, PRIVATE, READ_ONLY),
	ROW(0, MMAP, AT(24), PAGE, RW, PRIVATE | QUIRE_MAP_ANONYMOUS, 0, PAGE),
	ROW(0, MMAP, AT(24), PAGES(8), RW, SHARED, READ_WRITE, PAGES(8)), /* they merge? */
	ROW(0, MMAP, AT(24), PAGES(8), RW, PRIVATE, READ_ONLY, PAGES(8)),
	ROW(0, MMAP, AT(24), PAGE, R, SHARED | QUIRE_MAP_POPULATE, READ_WRITE, PAGES(100)),
	ROW(0, MMAP, AT(24), PAGES(2), R, SHARED | QUIRE_MAP_LOCKED, READ_WRITE, PAGES(12)),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, RW, VALIDATE | QUIRE_MAP_ANONYMOUS),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, RW, SHARED | FIXED | QUIRE_MAP_GROWSDOWN),
	ROW(-QUIRE_EINVAL, MMAP, AT(24), PAGE, RW,
	    SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_GROWSDOWN),
	ROW(0, MMAP, AT(24), PAGES(3), RW, SHARED | QUIRE_MAP_ANONYMOUS | 0x2000000),

	/* mprotect(2), pkey_mprotect(2) */
	ROW(-QUIRE_EACCES, MPROTECT, AT(8), PAGE, RW),
	ROW(-QUIRE_EACCES, MPROTECT, AT(15), PAGES(2), QUIRE_PROT_WRITE),
	ROW(-QUIRE_EACCES, PKEY_MPROTECT, AT(8), PAGE, RW, UINT64_MAX),
	ROW_AS(PARTLY, -QUIRE_EACCES, MPROTECT, AT(4), PAGES(8), RW),
	ROW_AS(PARTLY, -QUIRE_EACCES, MPROTECT, AT(0), PAGES(16), QUIRE_PROT_WRITE),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MPROTECT, AT(20), PAGES(8), R),
	ROW(-QUIRE_EINVAL, MPROTECT, AT(4), PAGE, R | DOWN),
	ROW(0, MPROTECT, AT(8), PAGES(4), 0),
	ROW(0, MPROTECT, AT(8), PAGES(4), R | QUIRE_PROT_EXEC),
	ROW(0, MPROTECT, AT(16), PAGES(8), R),
	ROW(0, MPROTECT, AT(40), PAGES(8), RW),
	ROW(0, MPROTECT, AT(48), PAGES(8), RW),
	ROW(0, MPROTECT, AT(32), PAGES(4), R),

	/* msync(2) */
	ROW(-QUIRE_EINVAL, MSYNC, AT(0) + 1, PAGE, SYNC),
	ROW(-QUIRE_EINVAL, MSYNC, AT(24) + 1, 0, SYNC),
	ROW(-QUIRE_EINVAL, MSYNC, AT(24), PAGE, SYNC | ASYNC),
	ROW(-QUIRE_EINVAL, MSYNC, AT(24), 0, SYNC | ASYNC),
	ROW(-QUIRE_EINVAL, MSYNC, AT(24), PAGE, 8),
	ROW(-QUIRE_EINVAL, MSYNC, AT(24), PAGE, UINT32_MAX),
	ROW(0, MSYNC, AT(24), 0, SYNC),
	ROW(0, MSYNC, LAST + PAGE, 0, SYNC),
	ROW(0, MSYNC, AT(0), TOO_LONG, SYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(0), UINT64_MAX - PAGES(100), SYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, UINT64_MAX - PAGE + 1, PAGE, SYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, LAST, PAGE, SYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(24), PAGE, SYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(24), PAGE, ASYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(24), PAGE, INVALIDATE),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(24), PAGE, 0),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(20), PAGES(16), SYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(20), PAGES(16), ASYNC),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(20), PAGES(16), 0),
	ROW(-QUIRE_ENOMEM, MSYNC, AT(52), PAGES(8), SYNC | INVALIDATE),
	ROW(-QUIRE_EBUSY, MSYNC, AT(32), PAGE, INVALIDATE),
	ROW(-QUIRE_EBUSY, MSYNC, AT(32), PAGE, SYNC | INVALIDATE),
	ROW(-QUIRE_EBUSY, MSYNC, AT(24), PAGES(16), INVALIDATE),
	ROW(-QUIRE_EBUSY, MSYNC, AT(24), PAGES(16), ASYNC | INVALIDATE),
	ROW(-QUIRE_EBUSY, MSYNC, AT(32), PAGES(28), INVALIDATE),
	ROW(0, MSYNC, AT(32), PAGES(24), SYNC),
	ROW(0, MSYNC, AT(0), PAGES(24), SYNC | INVALIDATE),
	ROW(0, MSYNC, AT(0), PAGES(24), 0),
	ROW(0, MSYNC, AT(8), 1, ASYNC),
	ROW(0, MSYNC, AT(40), PAGES(16), SYNC), /* reaches beyond the end of the file */

	/* madvise(2) */
	ROW(-QUIRE_EACCES, MADVISE, AT(8), PAGE, QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EACCES, MADVISE, AT(16), PAGE, QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EACCES, MADVISE, AT(48), PAGE, QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_REMOVE),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(24), PAGE, QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EACCES, MADVISE, AT(0), PAGES(16), QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EACCES, MADVISE, AT(16), PAGES(24), QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(24), PAGES(16), QUIRE_MADV_REMOVE),
	ROW(0, MADVISE, AT(24), 0, QUIRE_MADV_REMOVE),
	ROW(0, MADVISE, AT(0), PAGES(8), QUIRE_MADV_REMOVE),
	ROW(0, MADVISE, AT(40), PAGES(8), QUIRE_MADV_REMOVE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), PAGE, QUIRE_MADV_FREE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(16), PAGE, QUIRE_MADV_FREE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_FREE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(0), PAGE, QUIRE_MADV_WIPEONFORK),
	ROW(-QUIRE_EINVAL, MADVISE, AT(16), PAGE, QUIRE_MADV_WIPEONFORK),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_WIPEONFORK),
	ROW(0, MADVISE, AT(0), PAGES(24), QUIRE_MADV_KEEPONFORK),
	ROW(0, MADVISE, AT(0), PAGES(24), QUIRE_MADV_DONTFORK),
	ROW(0, MADVISE, AT(2), PAGES(2), QUIRE_MADV_RANDOM),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_DONTNEED),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_COLD),
	ROW(-QUIRE_EINVAL, MADVISE, AT(32), PAGE, QUIRE_MADV_PAGEOUT),
	ROW(0, MADVISE, AT(32), PAGE, QUIRE_MADV_DONTNEED_LOCKED),
	ROW(0, MADVISE, AT(0), PAGES(24), QUIRE_MADV_DONTNEED),
	ROW(0, MADVISE, AT(0), PAGES(24), QUIRE_MADV_COLD),
	ROW(0, MADVISE, AT(0), PAGES(24), QUIRE_MADV_PAGEOUT),
	ROW(0, MADVISE, AT(32), PAGES(24), QUIRE_MADV_WILLNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(20), PAGES(8), QUIRE_MADV_DONTNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(20), PAGES(8), QUIRE_MADV_WILLNEED),
	ROW(-QUIRE_ENOMEM, MADVISE, AT(20), PAGES(8), QUIRE_MADV_PAGEOUT),
	ROW(0, MADVISE, AT(0), PAGES(24), QUIRE_MADV_POPULATE_READ),
	ROW(0, MADVISE, AT(0), PAGES(8), QUIRE_MADV_POPULATE_WRITE),
	ROW(0, MADVISE, AT(16), PAGES(8), QUIRE_MADV_POPULATE_WRITE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(8), PAGE, QUIRE_MADV_POPULATE_WRITE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(40), PAGE, QUIRE_MADV_POPULATE_WRITE),
	ROW(-QUIRE_EINVAL, MADVISE, AT(48), PAGE, QUIRE_MADV_POPULATE_READ),
	ROW(0, MADVISE, AT(40), PAGES(5), QUIRE_MADV_POPULATE_READ),
	ROW(-QUIRE_EFAULT, MADVISE, AT(45), PAGE, QUIRE_MADV_POPULATE_READ),
	ROW(-QUIRE_EFAULT, MADVISE, AT(40), PAGES(8), QUIRE_MADV_POPULATE_READ),

	/* mlock(2) */
	ROW(0, MLOCK, AT(0), PAGES(24)),
	ROW(0, MLOCK, AT(40), PAGES(5)),
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MLOCK, AT(45), PAGE), /* beyond the end */
	ROW_AS(PARTLY, -QUIRE_ENOMEM, MLOCK, AT(40), PAGES(8)),
	ROW(0, MLOCK2, AT(40), PAGES(8), QUIRE_MLOCK_ONFAULT),
	ROW(0, MUNLOCK, AT(32), PAGES(24)),

	/* mincore(2) */
	ROW(0, MINCORE, AT(0), PAGES(24)),
	ROW(0, MINCORE, AT(32), PAGES(24)), /* beyond the end, too */
	ROW(-QUIRE_ENOMEM, MINCORE, AT(20), PAGES(8)),

	/* mremap(2): an old length of 0 doubles what is shared */
	ROW_AS(SOMEWHERE, 0, MREMAP, AT(0), 0, PAGE, MAYMOVE),
	ROW_AS(SOMEWHERE, 0, MREMAP, AT(8), 0, PAGE, MAYMOVE),
	ROW_AS(SOMEWHERE, 0, MREMAP, AT(32), 0, PAGE, MAYMOVE),
	ROW_AS(MOVED, 0, MREMAP, AT(2), 0, PAGES(4), TO, AT(56)),
	ROW_AS(MOVED, 0, MREMAP, AT(32), 0, PAGES(4), TO, AT(56)),
	ROW_AS(MOVED, 0, MREMAP, AT(6), 0, PAGES(8), TO, AT(56)), /* beyond where it ends */
	ROW_AS(MOVED, 0, MREMAP, AT(4), 0, PAGES(4), TO, AT(8)),
	ROW(-QUIRE_ENOMEM, MREMAP, AT(0), 0, PAGE, 0),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, 0, MAYMOVE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(16), 0, PAGE, MAYMOVE),
	ROW(-QUIRE_EINVAL, MREMAP, AT(16), 0, PAGE, TO, AT(56)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, PAGE, KEEP, AT(56)),
	ROW(-QUIRE_EINVAL, MREMAP, AT(0), 0, PAGE, TO, AT(56) + 1),
	ROW(-QUIRE_EFAULT, MREMAP, AT(24), 0, PAGE, TO, AT(56)),
	ROW_AS(SOMEWHERE, 0, MREMAP, AT(0), PAGE, PAGE, KEEP, 0),
	ROW_AS(MOVED, 0, MREMAP, AT(8), PAGES(4), PAGES(6), TO, AT(56)),
	ROW_AS(MOVED, 0, MREMAP, AT(16), PAGES(4), PAGES(4), KEEP | TO, AT(56)),
	ROW(0, MREMAP, AT(16), PAGES(8), PAGES(16), 0),
	ROW(-QUIRE_ENOMEM, MREMAP, AT(40), PAGES(8), PAGES(9), 0),
	ROW(0, MREMAP, AT(40), PAGES(8), PAGE, 0),
};

static struct quire_soft_cpu *cpu;
static int maps;

#define MAX_CALLS 7

/* The layouts of the pictures. */
static const struct oracle_call layout[MAX_CALLS] = {
	{ CALL_MMAP, { AT(0), PAGES(8), RW, FIXED } },
	{ CALL_MMAP, { AT(8), PAGES(8), R, FIXED } },
	{ CALL_MMAP, { AT(24), PAGES(8), 0, FIXED } },
	{ CALL_MMAP, { AT(32), PAGES(8), RW, FIXED | QUIRE_MAP_LOCKED } },
	{ CALL_MMAP, { AT(40), PAGES(8), RW, FIXED | QUIRE_MAP_GROWSDOWN } },
	{ CALL_MMAP, { AT(48), PAGES(8), RW, FIXED } },
	{ CALL_MMAP, { AT(62), PAGES(2), RW, FIXED | QUIRE_MAP_GROWSDOWN } },
};

static const struct oracle_call file_layout[MAX_CALLS] = {
	{ CALL_MMAP, { AT(0), PAGES(8), RW, SHARED, READ_WRITE } },
	{ CALL_MMAP, { AT(8), PAGES(8), R, SHARED, READ_ONLY } },
	{ CALL_MMAP, { AT(16), PAGES(8), RW, PRIVATE, READ_ONLY } },
	{ CALL_MMAP, { AT(32), PAGES(8), RW, SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_LOCKED } },
	{ CALL_MMAP, { AT(40), PAGES(8), R, SHARED, READ_WRITE, PAGES(8) } },
	{ CALL_MMAP, { AT(48), PAGES(8), 0, PRIVATE, READ_WRITE } },
};

static void prepare(struct quire_mm *mm, const struct oracle_call *calls)
{
	oracle_clear(mm);
	for (size_t i = 0; i < MAX_CALLS && calls[i].a[1]; i++) {
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

static void execute(const struct row *row, const struct oracle_call *calls, struct quire_mm *mm)
{
	static struct layout before;
	struct oracle_call back = { CALL_MUNMAP, { 0, PAGE } };
	int64_t result;

	prepare(mm, calls);
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

/* The file exists as that of a disk and as shared memory. */
static void create_file(bool memory)
{
	static unsigned char bytes[PAGES(12) + 100];
	struct oracle_file write_only = { .max_prot = QUIRE_PROT_WRITE | QUIRE_PROT_EXEC };
	char name[64];

	memset(bytes, 'x', sizeof(bytes));
	assert_true(content_create(0, memory, bytes, sizeof(bytes)));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", contents[0].linux_file);
	write_only.linux_file = open(name, O_WRONLY | O_CLOEXEC);
	write_only.object = contents[0].object;
	assert_true(write_only.linux_file >= 0);
	oracle_files[WRITE_ONLY] = write_only;
}

static void close_file(void)
{
	close(oracle_files[WRITE_ONLY].linux_file);
	content_put(0);
	content_close(0);
}

static void every_row(enum quire_mode mode)
{
	struct quire_mm *mm = oracle_space(mode);

	quire_soft_switch(cpu, mm);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		execute(&rows[i], layout, mm);
	for (unsigned memory = contents_executable() ? 0 : 1; memory < 2; memory++) {
		create_file(memory);
		for (size_t i = 0; i < sizeof(file_rows) / sizeof(file_rows[0]); i++)
			execute(&file_rows[i], file_layout, mm);
		oracle_clear(mm);
		close_file();
	}
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

/* --- mmap, with everything combined --- */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void one_mmap(struct quire_mm *mm, const struct oracle_call *call)
{
	int64_t q = quire_call(mm, call), l = linux_call(call);
	struct oracle_call back = { CALL_MUNMAP, { 0, call->a[1] } };
	bool fixed = call->a[3] & (QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE);

	if (q != l && (fixed || q < 0 || l < 0))
		fail_msg("%s: Linux %lld, Quire %lld", oracle_text(call), (long long)l,
			 (long long)q);
	if (q < 0)
		return;
	back.a[0] = (uint64_t)q;
	assert_int_equal(quire_call(mm, &back), 0);
	back.a[0] = (uint64_t)l;
	assert_int_equal(linux_call(&back), 0);
}

/* Each way to open it, or anonymous, with each protection, offset, length and address. */
static void mmaps_with_flags(struct quire_mm *mm, uint64_t flags)
{
	static const uint64_t protections[] = { 0, 1, 2, 3, 5 };
	static const uint64_t offsets[] = { 0, 1, PAGES(12), PAGES(20), UINT64_MAX - PAGE + 1 };
	static const uint64_t lengths[] = { PAGE + 1, 0, TOO_LONG, LAST };
	static const uint64_t addresses[] = { AT(56), AT(4), AT(56) + 1 };
	const unsigned ways = 4 * COUNT(protections) * COUNT(offsets) * COUNT(lengths) *
			      COUNT(addresses);

	for (unsigned way = 0; way < ways; way++) {
		struct oracle_call call = { .number = CALL_MMAP };
		unsigned rest = way;

		call.a[4] = rest % 4;
		rest /= 4;
		call.a[0] = addresses[rest % COUNT(addresses)];
		rest /= COUNT(addresses);
		call.a[1] = lengths[rest % COUNT(lengths)];
		rest /= COUNT(lengths);
		call.a[2] = protections[rest % COUNT(protections)];
		call.a[5] = offsets[rest / COUNT(protections)];
		call.a[3] = flags | (call.a[4] ? 0 : QUIRE_MAP_ANONYMOUS);
		/* Quire is not told an offset without a file. */
		if (call.a[4] || call.a[5] == 0)
			one_mmap(mm, &call);
	}
}

/* At AT(4) there is something, until MAP_FIXED takes it away. */
static void every_mmap(void **state)
{
	static const uint64_t extras[] = {
		0,
		QUIRE_MAP_FIXED,
		QUIRE_MAP_FIXED_NOREPLACE,
		QUIRE_MAP_GROWSDOWN,
		QUIRE_MAP_LOCKED,
		QUIRE_MAP_NORESERVE,
		QUIRE_MAP_POPULATE,
		QUIRE_MAP_STACK,
		0x0800 /* DENYWRITE */,
		0x1000 /* EXECUTABLE */,
		0x80000 /* SYNC */,
		0x2000000,
		QUIRE_MAP_FIXED | QUIRE_MAP_GROWSDOWN | QUIRE_MAP_POPULATE,
	};
	struct quire_mm *mm = oracle_space(QUIRE_SPECULATIVE);

	(void)state;
	if (!oracle_speaks())
		skip();
	quire_soft_switch(cpu, mm);
	create_file(true);
	for (uint64_t type = 0; type < 16; type++) {
		if (type == 8) /* Linux's MAP_DROPPABLE, which Quire does not have */
			continue;
		for (size_t i = 0; i < COUNT(extras); i++) {
			prepare(mm, file_layout);
			mmaps_with_flags(mm, type | extras[i]);
		}
	}
	oracle_clear(mm);
	close_file();
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
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
	if (!contents_begin())
		return -1;
	if (quire_soft_init(&config))
		return -1;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	contents_end();
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speculative),	   cmocka_unit_test(vma_lock),
		cmocka_unit_test(classic),	   cmocka_unit_test(every_mmap),
		cmocka_unit_test(keys_and_spaces),
	};

	return cmocka_run_group_tests_name("errno", tests, setup, teardown);
}
