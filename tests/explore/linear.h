/* SPDX-License-Identifier: MIT */
/*
 * Is a history of operations on a few pages linearizable? That is: can each operation be given a
 * moment between its call and its return so that, done one after the other at these moments by
 * somebody who does one thing at a time, they return what they did return and leave what they did
 * leave?
 *
 * The sequential model of an address space is an array of pages: mapped or not, with which rights,
 * containing what. What Quire promises is weaker than "each call has one moment" in these ways, and
 * in no other:
 *
 *   - a call on several pages has a moment for each page; a call whose range overlaps comes wholly
 *     before or after it
 *   - fork: each page of the child is the parent's page of some moment of the call
 *   - madvise(DONTNEED) and mremap: until the call returns, a CPU that has a translation of a
 *     page may still use it at its old address, while others use what is there now; in case of
 *     mremap that is the same page at both its addresses
 *   - where memory may fail, a call may return ENOMEM and have changed nothing (mprotect: the pages
 *     up to some point)
 */
#ifndef LINEAR_H
#define LINEAR_H

#include <stdbool.h>
#include <stdint.h>

#define LINEAR_PAGES 4
#define LINEAR_OPERATIONS 12

/* All zero if it is not mapped. */
struct linear_page {
	uint8_t mapped, prot, value; /* prot: QUIRE_PROT_*; value: 0 is what a fresh page contains
				      */
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
	LINEAR_KINDS,
};

/* Results of accesses that are refused; of others: a loaded value, 0 or a negative error. */
#define LINEAR_MAPERR (-1001)
#define LINEAR_ACCERR (-1002)

struct linear_operation {
	enum linear_kind kind;
	unsigned cpu, page, pages, target;
	uint8_t prot, value; /* value: that is stored */
	int result;
	uint32_t before; /* a bit for each operation that had returned before this one was called */
	struct linear_page child[LINEAR_PAGES]; /* of a fork that returned 0 */
};

struct linear_history {
	struct linear_page first[LINEAR_PAGES], last[LINEAR_PAGES]; /* before and after all */
	struct linear_operation operations[LINEAR_OPERATIONS];
	unsigned count;
	bool memory_fails; /* calls may return ENOMEM for it */
};

bool linear_check(const struct linear_history *);

/* Checks the checker on histories written by hand, prints TAP; returns how many it got wrong. */
unsigned linear_self_test(void);

#endif
