/* SPDX-License-Identifier: MIT */
/*
 * Address spaces. Each call means what the Linux call of the same name means (man section 2), takes
 * the same flags, checks in the same order and returns the same errors, negative; a call that fails
 * on its arguments has changed nothing. Files and other objects: quire/object.h.
 *
 * Calls may be made by any number of CPUs at once. In a speculative space those on disjoint ranges
 * run side by side, and a call sleeps only while another one holds an overlapping range; or, to
 * find a place, while the only gaps left are still being swept. Calls that edit may also fail with
 * -QUIRE_ENOMEM because there is no memory to record the change: munmap, too.
 *
 * => every call: the CPU is online (quire/machine.h), no lock that a fault could need is held.
 */
#ifndef QUIRE_MM_H
#define QUIRE_MM_H

#include <quire/types.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

#define QUIRE_UNLIMITED UINT64_MAX

struct quire_limits {
	/* Bytes mapped (RLIMIT_AS): mmap, mremap and brk fail with ENOMEM, stacks don't grow. */
	uint64_t address_space;
	uint64_t data;	 /* bytes of private writable mappings and heap (RLIMIT_DATA) */
	uint64_t stack;	 /* bytes of a stack that grows (RLIMIT_STACK) */
	uint64_t locked; /* bytes locked (RLIMIT_MEMLOCK) */
	uint64_t vmas;	 /* number of VMAs (vm.max_map_count) */
};

struct quire_mm_config {
	enum quire_mode mode;
	/*
	 * The range of addresses, page-aligned; 0, 0: from 64 KiB to the end of the lower half that
	 * the tables translate, less a page.
	 */
	uint64_t start, end;
	/* mmap without an address takes the highest gap below, else the lowest above; 0: end. */
	uint64_t mmap_top;
	uint64_t brk_start;	    /* where the heap begins; 0: brk always fails */
	uint64_t stack_gap;	    /* bytes kept free below a growing stack; 0: 1 MiB */
	struct quire_limits limits; /* each 0: unlimited, but vmas 0: 65,530 */
	bool no_speculation;	    /* begin with the run-time switch off */
};

/*
 * config may be NULL: all zero. Does not block.
 * Returns 0, -QUIRE_EINVAL (range, alignment, mode), or -QUIRE_ENOMEM.
 */
int quire_mm_create(const struct quire_mm_config *config, struct quire_mm **out);
/* => no CPU runs the space, no call is in progress in it. Unmaps everything and frees it. */
void quire_mm_destroy(struct quire_mm *mm);
/*
 * fork(2)'s part: *child is a copy of the space, pages shared copy-on-write; its layout is that of
 * one moment between call and return. The parent's other threads may fault and write meanwhile: a
 * page that was there before the call began is in the child, with contents of some moment during
 * it, not the same moment for all; a page that is first touched during the call may or may not be.
 * Memory locks are not inherited. Of objects only private copies are copied. Returns 0,
 * -QUIRE_ENOMEM, or what an object's `open` says; then nothing has changed.
 */
int quire_fork(struct quire_mm *parent, struct quire_mm **child);

/*
 * Return an address, or a negative error. Memory is anonymous: MAP_SHARED makes an object for it
 * (quire_shared_create), which lives as long as it is mapped; without MAP_ANONYMOUS: EBADF.
 */
int64_t quire_mmap(struct quire_mm *, uint64_t address, uint64_t length, int prot, int flags);
int64_t quire_mremap(struct quire_mm *, uint64_t old, uint64_t old_length, uint64_t new_length,
		     int flags, uint64_t new_address);
/* Returns the new end of the heap; the old one if it can't be: the system call, not the libc's. */
uint64_t quire_brk(struct quire_mm *, uint64_t address);

/* Return 0 or a negative error. After munmap returns no CPU can touch the pages. */
int quire_munmap(struct quire_mm *, uint64_t address, uint64_t length);
int quire_mprotect(struct quire_mm *, uint64_t address, uint64_t length, int prot);
/*
 * DONTNEED and FREE: until the call returns, a CPU may still use a page that others have already
 * had replaced by a fresh one, and what it stores there is lost (as in Linux).
 */
int quire_madvise(struct quire_mm *, uint64_t address, uint64_t length, int advice);
int quire_mlock(struct quire_mm *, uint64_t address, uint64_t length);
int quire_mlock2(struct quire_mm *, uint64_t address, uint64_t length, int flags);
int quire_munlock(struct quire_mm *, uint64_t address, uint64_t length);
int quire_mlockall(struct quire_mm *, int flags);
int quire_munlockall(struct quire_mm *);
/* One byte a page in `vector`, bit 0: resident. */
int quire_mincore(struct quire_mm *, uint64_t address, uint64_t length, unsigned char *vector);

/* Protection keys (pkeys(7)); -QUIRE_EINVAL where the port has none. key -1 is quire_mprotect. */
int quire_pkey_mprotect(struct quire_mm *, uint64_t address, uint64_t length, int prot, int key);
int quire_pkey_alloc(struct quire_mm *);
int quire_pkey_free(struct quire_mm *, int key);

/*
 * A page fault, or a touch in advance. In a speculative space it never waits for a call elsewhere
 * in the space. It waits for a call that is changing this very address; below a stack that must
 * grow, the addresses up to it; and where memory is short, for what is about to be freed. May
 * sleep.
 */
enum quire_verdict quire_fault(struct quire_mm *, uint64_t address, enum quire_access access);

/*
 * With flags (enum quire_fault_flags), for callers that must not sleep: SPECULATIVE takes the
 * speculative path alone and holds nothing up; NOWAIT only does not wait for pages of objects to be
 * fetched. A speculative fault never waits, so both together is a mistake of the caller: the first
 * such call is reported (QUIRE_NOWAIT_SPECULATIVE), and all are treated as SPECULATIVE.
 */
enum quire_verdict quire_fault_with(struct quire_mm *, uint64_t address, enum quire_access access,
				    unsigned flags);

/* The run-time switch: off, each fault that begins from then on takes the classic path. */
void quire_mm_set_speculation(struct quire_mm *, bool on);
void quire_mm_set_limits(struct quire_mm *, const struct quire_limits *limits);
void quire_mm_get_limits(struct quire_mm *, struct quire_limits *limits);

struct quire_vma_info {
	uint64_t start, end;
	int prot, key;
	bool shared, locked, growsdown, dontfork, wipeonfork, heap, noreserve;
	const struct quire_object *object; /* for comparison only; NULL: anonymous */
	uint64_t offset;		   /* of the start in the object */
};
/* The first VMA that ends above the address. Returns 0, or -QUIRE_ENOMEM: none. Does not block. */
int quire_vma_find(struct quire_mm *, uint64_t address, struct quire_vma_info *info);

/*
 * The layout in the format of /proc/PID/maps, as text of one moment. Writes at most `size` bytes
 * and a NUL (if size > 0) and returns the length of the whole text without NUL, as snprintf(3)
 * does.
 */
size_t quire_mm_maps(struct quire_mm *, char *text, size_t size);

/*
 * Check everything: tree, tables, reverse maps, counters; mm NULL: of every space, and the pool.
 * Returns NULL, or what is wrong first, a constant string.
 * => nothing runs in any space, no request of an object is under way (readahead included); the CPU
 *    is online
 */
const char *quire_validate(struct quire_mm *mm);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
