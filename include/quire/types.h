/* SPDX-License-Identifier: MIT */
/*
 * Quire: constants and small types. Values that Linux has too are those of its x86-64 ABI (man
 * pages mmap(2), mprotect(2), mremap(2), madvise(2), mlock(2), errno(3)), so that a kernel can pass
 * a program's arguments through.
 */
#ifndef QUIRE_TYPES_H
#define QUIRE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUIRE_PAGE_SIZE 4096ull

/* Errors: calls return their negative. */
enum {
	QUIRE_EPERM = 1,
	QUIRE_EIO = 5,
	QUIRE_EBADF = 9,
	QUIRE_EAGAIN = 11,
	QUIRE_ENOMEM = 12,
	QUIRE_EACCES = 13,
	QUIRE_EFAULT = 14,
	QUIRE_EBUSY = 16,
	QUIRE_EEXIST = 17,
	QUIRE_ENODEV = 19,
	QUIRE_EINVAL = 22,
	QUIRE_ENOSPC = 28,
	QUIRE_EOVERFLOW = 75,
	QUIRE_EOPNOTSUPP = 95,
};

enum {
	QUIRE_PROT_NONE = 0,
	QUIRE_PROT_READ = 1,
	QUIRE_PROT_WRITE = 2,
	QUIRE_PROT_EXEC = 4,
	QUIRE_PROT_GROWSDOWN = 0x01000000,
	QUIRE_PROT_GROWSUP = 0x02000000,
};

enum {
	QUIRE_MAP_SHARED = 0x01,
	QUIRE_MAP_PRIVATE = 0x02,
	QUIRE_MAP_SHARED_VALIDATE = 0x03,
	QUIRE_MAP_FIXED = 0x10,
	QUIRE_MAP_ANONYMOUS = 0x20,
	QUIRE_MAP_GROWSDOWN = 0x0100,
	QUIRE_MAP_LOCKED = 0x2000,
	QUIRE_MAP_NORESERVE = 0x4000,
	QUIRE_MAP_POPULATE = 0x8000,
	QUIRE_MAP_NONBLOCK = 0x10000,
	QUIRE_MAP_STACK = 0x20000,
	QUIRE_MAP_FIXED_NOREPLACE = 0x100000,
};

enum {
	QUIRE_MREMAP_MAYMOVE = 1,
	QUIRE_MREMAP_FIXED = 2,
	QUIRE_MREMAP_DONTUNMAP = 4,
};

enum {
	QUIRE_MADV_NORMAL = 0,
	QUIRE_MADV_RANDOM = 1,
	QUIRE_MADV_SEQUENTIAL = 2,
	QUIRE_MADV_WILLNEED = 3,
	QUIRE_MADV_DONTNEED = 4,
	QUIRE_MADV_FREE = 8,
	QUIRE_MADV_REMOVE = 9,
	QUIRE_MADV_DONTFORK = 10,
	QUIRE_MADV_DOFORK = 11,
	QUIRE_MADV_MERGEABLE = 12,
	QUIRE_MADV_UNMERGEABLE = 13,
	QUIRE_MADV_HUGEPAGE = 14,
	QUIRE_MADV_NOHUGEPAGE = 15,
	QUIRE_MADV_DONTDUMP = 16,
	QUIRE_MADV_DODUMP = 17,
	QUIRE_MADV_WIPEONFORK = 18,
	QUIRE_MADV_KEEPONFORK = 19,
	QUIRE_MADV_COLD = 20,
	QUIRE_MADV_PAGEOUT = 21,
	QUIRE_MADV_POPULATE_READ = 22,
	QUIRE_MADV_POPULATE_WRITE = 23,
	QUIRE_MADV_DONTNEED_LOCKED = 24,
};

enum {
	QUIRE_MLOCK_ONFAULT = 1, /* mlock2 */
	QUIRE_MCL_CURRENT = 1,	 /* mlockall */
	QUIRE_MCL_FUTURE = 2,
	QUIRE_MCL_ONFAULT = 4,
};

enum {
	QUIRE_MS_ASYNC = 1,
	QUIRE_MS_INVALIDATE = 2,
	QUIRE_MS_SYNC = 4,
};

/* What a fault wants to do. */
enum quire_access {
	QUIRE_READ,
	QUIRE_WRITE,
	QUIRE_EXEC,
};

/*
 * The outcome of a fault. A verdict against the access was decided by the classic path, with the
 * range of the page locked.
 */
enum quire_verdict {
	QUIRE_FAULT_DONE = 0, /* resolved: repeat the access */
	QUIRE_FAULT_MAPERR,   /* nothing is mapped there (SIGSEGV, SEGV_MAPERR) */
	QUIRE_FAULT_ACCERR,   /* what is mapped does not allow it (SIGSEGV, SEGV_ACCERR) */
	QUIRE_FAULT_PKUERR,   /* the protection key does not allow it (SIGSEGV, SEGV_PKUERR) */
	QUIRE_FAULT_BUS,      /* beyond the end of the object, or it can't be read (SIGBUS) */
	QUIRE_FAULT_OOM,      /* no memory; nothing has changed, repeating is right */
	/* Of quire_fault_with alone: */
	QUIRE_FAULT_WAIT,  /* the page is not there; nothing has changed */
	QUIRE_FAULT_RETRY, /* only the classic path can say */
};

/* How quire_fault_with may go about it. */
enum quire_fault_flags {
	QUIRE_FAULT_NOWAIT = 1, /* don't sleep for a page of an object: QUIRE_FAULT_WAIT */
	/* Never sleep for anything: QUIRE_FAULT_RETRY; QUIRE_FAULT_WAIT for a page that is missing.
	 */
	QUIRE_FAULT_SPECULATIVE = 2,
};

/* How the faults of a space make sure of their VMA (docs/design.md). */
enum quire_mode {
	QUIRE_SPECULATIVE, /* no lock; check under the leaf lock. What Quire is for */
	QUIRE_VMA_LOCK,	   /* baseline: a reader-writer lock for each VMA, then the space's */
	QUIRE_CLASSIC,	   /* baseline: one reader-writer lock for the space */
};

struct quire_mm;

#endif
