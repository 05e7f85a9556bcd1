/* SPDX-License-Identifier: MIT */
/* Histories written by hand, for which it is plain whether they are linearizable. */
#include "linear.h"
#include <quire/types.h>
#include <stdio.h>

#define R QUIRE_PROT_READ
#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define PAGE_OF(rights, content)                                                                   \
	{                                                                                          \
		1, rights, content, 0                                                              \
	}
#define SHOWS(rights, page)                                                                        \
	{                                                                                          \
		1, rights, 0, 1 + (page)                                                           \
	}
#define NOTHING                                                                                    \
	{                                                                                          \
		0, 0, 0, 0                                                                         \
	}

/* Operations, each by its CPU; `earlier` are the operations that had returned, as bits. */
#define LOAD(cpu_, page_, result_, earlier)                                                        \
	{                                                                                          \
		.kind = LINEAR_LOAD, .cpu = cpu_, .page = page_, .pages = 1, .result = result_,    \
		.before = earlier                                                                  \
	}
#define STORE(cpu_, page_, value_, result_, earlier)                                               \
	{                                                                                          \
		.kind = LINEAR_STORE, .cpu = cpu_, .page = page_, .pages = 1, .value = value_,     \
		.result = result_, .before = earlier                                               \
	}
#define CALL(kind_, cpu_, page_, pages_, prot_, result_, earlier)                                  \
	{                                                                                          \
		.kind = LINEAR_##kind_, .cpu = cpu_, .page = page_, .pages = pages_,               \
		.prot = prot_, .result = result_, .before = earlier                                \
	}
#define MOVE(cpu_, page_, pages_, target_, result_, earlier)                                       \
	{                                                                                          \
		.kind = LINEAR_MREMAP, .cpu = cpu_, .page = page_, .pages = pages_,                \
		.target = target_, .result = result_, .before = earlier                            \
	}
#define OBJECT(kind_, cpu_, page_, pages_, result_, earlier)                                       \
	CALL(kind_, cpu_, page_, pages_, 0, result_, earlier)
#define FORK(cpu_, earlier, ...)                                                                   \
	{                                                                                          \
		.kind = LINEAR_FORK, .cpu = cpu_, .before = earlier, .child = { __VA_ARGS__ }      \
	}

static const struct test {
	const char *name;
	bool linearizable;
	struct linear_history history;
} tests[] = {
	{ "a load sees the store before it",
	  true,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 1) },
	    .operations = { STORE(0, 0, 1, 0, 0), LOAD(1, 0, 1, 1) },
	    .count = 2 } },
	{ "a load misses the store before it",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 1) },
	    .operations = { STORE(0, 0, 1, 0, 0), LOAD(1, 0, 7, 1) },
	    .count = 2 } },
	{ "a load beside a store sees either: new, then old is too much",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 1) },
	    .operations = { STORE(0, 0, 1, 0, 0), LOAD(1, 0, 1, 0), LOAD(1, 0, 7, 2) },
	    .count = 3 } },
	{ "two stores, the last content is neither's",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 7) },
	    .operations = { STORE(0, 0, 1, 0, 0), STORE(1, 0, 2, 0, 0) },
	    .count = 2 } },
	{ "munmap reaches one page after the other",
	  true,
	  { .first = { PAGE_OF(RW, 7), PAGE_OF(RW, 8) },
	    .operations = { CALL(MUNMAP, 0, 0, 2, 0, 0, 0), LOAD(1, 1, LINEAR_MAPERR, 0),
			    LOAD(1, 0, 7, 2) },
	    .count = 3 } },
	{ "a load after munmap has returned",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .operations = { CALL(MUNMAP, 0, 0, 1, 0, 0, 0), LOAD(1, 0, 7, 1) },
	    .count = 2 } },
	{ "a store between two mprotects",
	  true,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 1) },
	    .operations = { CALL(MPROTECT, 0, 0, 1, R, 0, 0), CALL(MPROTECT, 0, 0, 1, RW, 0, 1),
			    STORE(1, 0, 1, LINEAR_ACCERR, 0), STORE(1, 0, 1, 0, 4) },
	    .count = 4 } },
	{ "mprotect stops at a hole",
	  true,
	  { .first = { PAGE_OF(RW, 7), NOTHING, PAGE_OF(RW, 8) },
	    .last = { PAGE_OF(R, 7), NOTHING, PAGE_OF(RW, 8) },
	    .operations = { CALL(MPROTECT, 0, 0, 3, R, -QUIRE_ENOMEM, 0) },
	    .count = 1 } },
	{ "mprotect does not see the hole",
	  false,
	  { .first = { PAGE_OF(RW, 7), NOTHING },
	    .last = { PAGE_OF(R, 7), NOTHING },
	    .operations = { CALL(MPROTECT, 0, 0, 2, R, 0, 0) },
	    .count = 1 } },
	{ "two calls on two pages, each page by another last",
	  false,
	  { .first = { PAGE_OF(RW, 7), PAGE_OF(RW, 8) },
	    .last = { PAGE_OF(R, 0), NOTHING },
	    .operations = { CALL(MMAP, 0, 0, 2, R, 0, 0), CALL(MUNMAP, 1, 0, 2, 0, 0, 0) },
	    .count = 2 } },
	{ "mremap takes the content along",
	  true,
	  { .first = { PAGE_OF(RW, 7), NOTHING, PAGE_OF(R, 9) },
	    .last = { NOTHING, NOTHING, PAGE_OF(RW, 1) },
	    .operations = { MOVE(0, 0, 1, 2, 0, 0), STORE(1, 0, 1, 0, 0), LOAD(1, 2, 1, 2) },
	    .count = 3 } },
	{ "mremap: the page at both places while it lasts",
	  true,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { NOTHING, NOTHING, PAGE_OF(RW, 1) },
	    .operations = { MOVE(0, 0, 1, 2, 0, 0), LOAD(1, 2, 7, 0), STORE(1, 0, 1, 0, 2),
			    LOAD(1, 2, 1, 4) },
	    .count = 4 } },
	{ "mremap: the old place after its return",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { NOTHING, NOTHING, PAGE_OF(RW, 7) },
	    .operations = { MOVE(0, 0, 1, 2, 0, 0), LOAD(1, 0, 7, 1) },
	    .count = 2 } },
	{ "mremap: the page at neither place",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { NOTHING, NOTHING, PAGE_OF(RW, 7) },
	    .operations = { MOVE(0, 0, 1, 2, 0, 0), LOAD(1, 0, LINEAR_MAPERR, 0),
			    LOAD(1, 2, LINEAR_MAPERR, 2) },
	    .count = 3 } },
	{ "mremap of two mappings",
	  true,
	  { .first = { PAGE_OF(RW, 7), PAGE_OF(R, 8) },
	    .last = { PAGE_OF(RW, 7), PAGE_OF(R, 8) },
	    .operations = { MOVE(0, 0, 2, 2, -QUIRE_EFAULT, 0) },
	    .count = 1 } },
	{ "fork: each page of another moment",
	  true,
	  { .first = { PAGE_OF(RW, 7), PAGE_OF(RW, 8) },
	    .last = { PAGE_OF(RW, 1), PAGE_OF(RW, 2) },
	    .operations = { FORK(0, 0, PAGE_OF(RW, 7), PAGE_OF(RW, 2)), STORE(1, 0, 1, 0, 0),
			    STORE(1, 1, 2, 0, 2) },
	    .count = 3 } },
	{ "fork: the child has a write from after it",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 1) },
	    .operations = { FORK(0, 0, PAGE_OF(RW, 1)), STORE(1, 0, 1, 0, 1) },
	    .count = 2 } },
	{ "fork: the child lacks a write from before it",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 1) },
	    .operations = { STORE(1, 0, 1, 0, 0), FORK(0, 1, PAGE_OF(RW, 7)) },
	    .count = 2 } },
	{ "DONTNEED: another CPU still uses the old page",
	  true,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 0) },
	    .operations = { CALL(DONTNEED, 0, 0, 1, 0, 0, 0), LOAD(1, 0, 0, 0), LOAD(2, 0, 7, 2) },
	    .count = 3 } },
	{ "DONTNEED: the same CPU goes back to the old page",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 0) },
	    .operations = { CALL(DONTNEED, 0, 0, 1, 0, 0, 0), LOAD(1, 0, 0, 0), LOAD(1, 0, 7, 2) },
	    .count = 3 } },
	{ "DONTNEED: the old page after its return",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 0) },
	    .operations = { CALL(DONTNEED, 0, 0, 1, 0, 0, 0), LOAD(1, 0, 7, 1) },
	    .count = 2 } },
	{ "a store by one mapping, seen by another",
	  true,
	  { .first = { SHOWS(RW, 1), SHOWS(R, 1) },
	    .last = { SHOWS(RW, 1), SHOWS(R, 1) },
	    .object_first = { 2, { 7, 8 } },
	    .object_last = { 2, { 7, 1 } },
	    .operations = { STORE(0, 0, 1, 0, 0), LOAD(1, 1, 1, 1) },
	    .count = 2 } },
	{ "a store by one mapping, not seen by another",
	  false,
	  { .first = { SHOWS(RW, 1), SHOWS(R, 1) },
	    .last = { SHOWS(RW, 1), SHOWS(R, 1) },
	    .object_first = { 2, { 7, 8 } },
	    .object_last = { 2, { 7, 1 } },
	    .operations = { STORE(0, 0, 1, 0, 0), LOAD(1, 1, 8, 1) },
	    .count = 2 } },
	{ "a store that the object does not have in the end",
	  false,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 7 } },
	    .operations = { STORE(0, 0, 1, 0, 0), OBJECT(SYNC, 0, 0, 3, 0, 1) },
	    .count = 2 } },
	{ "truncation: gone for one CPU, there for another, which shares it with a third",
	  true,
	  { .first = { SHOWS(RW, 0), SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0), SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .operations = { OBJECT(TRUNCATE, 0, 0, 0, 0, 0), LOAD(1, 0, LINEAR_BUS, 0),
			    STORE(2, 0, 1, 0, 2), LOAD(3, 1, 1, 4) },
	    .count = 4 } },
	{ "a hole: the same CPU goes back to the old page",
	  false,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 0 } },
	    .operations = { OBJECT(HOLE, 0, 0, 1, 0, 0), LOAD(1, 0, 0, 0), LOAD(1, 0, 7, 2) },
	    .count = 3 } },
	{ "truncation: the old page after its return",
	  false,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .operations = { OBJECT(TRUNCATE, 0, 0, 0, 0, 0), LOAD(1, 0, 7, 1) },
	    .count = 2 } },
	{ "truncation, then growth: the old content is back",
	  false,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 7 } },
	    .operations = { OBJECT(TRUNCATE, 0, 0, 0, 0, 0), OBJECT(TRUNCATE, 0, 0, 1, 0, 1) },
	    .count = 2 } },
	{ "truncation beside mremap: the old page at its new address",
	  true,
	  { .first = { SHOWS(RW, 0) },
	    .last = { NOTHING, SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .operations = { OBJECT(TRUNCATE, 0, 0, 0, 0, 0), LOAD(2, 0, LINEAR_BUS, 0),
			    MOVE(1, 0, 1, 1, 0, 2), LOAD(1, 1, 7, 4) },
	    .count = 4 } },
	{ "a hole reads as zero, and a store after it stays",
	  true,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 1 } },
	    .operations = { OBJECT(HOLE, 0, 0, 1, 0, 0), LOAD(1, 0, 0, 0), STORE(1, 0, 1, 0, 2) },
	    .count = 3 } },
	{ "a hole in what is kept elsewhere: a store after its zero is lost",
	  true,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 0 } },
	    .operations = { OBJECT(HOLE, 0, 0, 1, 0, 0), LOAD(1, 0, 0, 0), STORE(1, 0, 1, 0, 2) },
	    .count = 3,
	    .kept_elsewhere = true } },
	{ "a hole in what is not: no store after its zero is lost",
	  false,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 0 } },
	    .operations = { OBJECT(HOLE, 0, 0, 1, 0, 0), LOAD(1, 0, 0, 0), STORE(1, 0, 1, 0, 2) },
	    .count = 3 } },
	{ "invalidation takes a store away",
	  false,
	  { .first = { SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 0) },
	    .object_first = { 1, { 7 } },
	    .object_last = { 1, { 1 } },
	    .operations = { OBJECT(DROP, 0, 0, 3, 0, 0), STORE(1, 0, 1, 0, 0), LOAD(1, 0, 7, 2) },
	    .count = 3 } },
	{ "mremap of a mapping that shows pages in another order",
	  true,
	  { .first = { SHOWS(RW, 1), SHOWS(RW, 0) },
	    .last = { SHOWS(RW, 1), SHOWS(RW, 0) },
	    .object_first = { 2, { 7, 8 } },
	    .object_last = { 2, { 7, 8 } },
	    .operations = { MOVE(0, 0, 2, 2, -QUIRE_EFAULT, 0) },
	    .count = 1 } },
	{ "ENOMEM where memory may fail",
	  true,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 7) },
	    .operations = { CALL(MUNMAP, 0, 0, 1, 0, -QUIRE_ENOMEM, 0) },
	    .count = 1,
	    .memory_fails = true } },
	{ "ENOMEM where it may not",
	  false,
	  { .first = { PAGE_OF(RW, 7) },
	    .last = { PAGE_OF(RW, 7) },
	    .operations = { CALL(MUNMAP, 0, 0, 1, 0, -QUIRE_ENOMEM, 0) },
	    .count = 1 } },
};

unsigned linear_self_test(void)
{
	unsigned count = sizeof(tests) / sizeof(tests[0]), wrong = 0;

	for (unsigned i = 0; i < count; i++) {
		bool right = linear_check(&tests[i].history) == tests[i].linearizable;

		wrong += !right;
		printf("%s %u - %s: %s\n", right ? "ok" : "not ok", i + 1, tests[i].name,
		       tests[i].linearizable ? "linearizable" : "not linearizable");
	}
	printf("1..%u\n", count);
	return wrong;
}
