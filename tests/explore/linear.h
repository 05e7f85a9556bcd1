/* SPDX-License-Identifier: MIT */
/*
 * Is a history of operations on a few pages, and on an object that some of them show, linearizable?
 * That is: can each operation be given a moment between its call and its return so that, done one
 * after the other at these moments by somebody who does one thing at a time, they return what they
 * did return and leave what they did leave?
 *
 * The sequential model of an address space is an array of pages: mapped or not, with which rights,
 * containing what of its own, or showing which page of the object; and of the object, an array of
 * contents up to its size. What Quire promises is weaker than "each call has one moment" in these
 * ways, and in no other:
 *
 *   - a call on several pages has a moment for each page; a call whose range overlaps comes wholly
 *     before or after it
 *   - fork: each page of the child is the parent's page of some moment of the call
 *   - madvise(DONTNEED) and mremap: until the call returns, a CPU that has a translation of a
 *     page may still use it at its old address, while others use what is there now; in case of
 *     mremap that is the same page at both its addresses
 *   - truncation and holes: each page of the object goes at some moment of the call; until the call
 *     returns, a CPU that has a translation of it may still use it, as it was. If the object is
 *     kept elsewhere, the page may read as zero before it goes; what is then stored goes with it
 *   - where memory may fail, a call may return ENOMEM and have changed nothing (mprotect: the pages
 *     up to some point)
 */
#ifndef LINEAR_H
#define LINEAR_H

#include <stdbool.h>
#include <stdint.h>

#define LINEAR_PAGES 4
#define LINEAR_OPERATIONS 12
#define LINEAR_OBJECT 3 /* pages */

/* All zero if it is not mapped. */
struct linear_page {
	uint8_t mapped, prot; /* prot: QUIRE_PROT_* */
	uint8_t value;	      /* of its own; 0 is what a fresh page contains */
	uint8_t shows;	      /* 1 + the page of the object, mapped shared; then value is 0 */
};

struct linear_object {
	uint8_t pages, value[LINEAR_OBJECT]; /* 0 beyond the last page */
};

enum linear_kind {
	LINEAR_LOAD,
	LINEAR_STORE,
	LINEAR_MUNMAP,
	LINEAR_MMAP,
	LINEAR_MPROTECT,
	LINEAR_DONTNEED,
	LINEAR_MREMAP, /* to `target`, which does not overlap */
	LINEAR_FORK,   /* of all pages */
	/* Of the object. */
	LINEAR_TRUNCATE, /* to `pages` */
	LINEAR_HOLE,
	LINEAR_SYNC,
	LINEAR_DROP, /* invalidation */
	LINEAR_KINDS,
};

/* Results of accesses that are refused; of others: a loaded value, 0 or a negative error. */
#define LINEAR_MAPERR (-1001)
#define LINEAR_ACCERR (-1002)
#define LINEAR_BUS (-1003)

struct linear_operation {
	enum linear_kind kind;
	unsigned cpu, page, pages, target;
	uint8_t prot, value; /* value: that is stored */
	uint8_t shows;	     /* of the first page of an mmap */
	int result;
	uint32_t before; /* a bit for each operation that had returned before this one was called */
	struct linear_page child[LINEAR_PAGES]; /* of a fork that returned 0 */
};

struct linear_history {
	struct linear_page first[LINEAR_PAGES], last[LINEAR_PAGES]; /* before and after all */
	struct linear_object object_first, object_last;
	struct linear_operation operations[LINEAR_OPERATIONS];
	unsigned count;
	bool memory_fails;   /* calls may return ENOMEM for it */
	bool kept_elsewhere; /* the object */
};

bool linear_check(const struct linear_history *);

/* Checks the checker on histories written by hand, prints TAP; returns how many it got wrong. */
unsigned linear_self_test(void);

#endif
