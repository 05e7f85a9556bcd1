/* SPDX-License-Identifier: MIT */
/* What the files of the conflict table share: see conflicts.c. */
#ifndef CONFLICTS_H
#define CONFLICTS_H

#include "explore.h"
#include <stdio.h>

#define MODES 3

/* --- conflicts_names.c --- */

/* What the byte at the address is; at most 63 characters. */
void name_of(char *name, uintptr_t address);

/* --- conflicts_lines.c: what an operation touches --- */

struct line {
	uintptr_t address;
	uint64_t read, written; /* a bit for each byte */
	unsigned reads, writes, rmws;
};

#define LINES 2048
#define RMWS 24

struct footprint {
	struct line lines[LINES];
	unsigned count;
	/* Atomic read-modify-writes: of the core, and in the port's shootdowns. */
	unsigned rmws, port_rmws;
	char rmw_names[RMWS][32];
};

/* Is an access by this CPU one that counts? Not to its own TLB, and not by others. */
bool is_watched(uintptr_t address, unsigned cpu);
/* From here to record_end, all that `cpu` touches goes into the footprint. */
void record_begin(struct footprint *footprint, unsigned cpu);
void record_end(void);

/* Lines that one wrote and the other touched: who did what, and the field. */
struct conflict {
	char kind[4]; /* "w/w", "w/r", "r/w": the first of the pair / the second */
	char name[64];
};

#define CONFLICTS 48

struct conflicts {
	struct conflict list[CONFLICTS];
	unsigned count;
};

/*
 * Add what `x` and `y` share, but for lines that x only read and `paid` had touched (NULL: none).
 * => in the world in which they were recorded
 */
void find_conflicts(const struct footprint *x, const struct footprint *y,
		    const struct footprint *paid, struct conflicts *conflicts);
bool has_conflict(const struct conflicts *, const struct conflict *);
void add_conflict(struct conflicts *, const struct conflict *);
void print_conflicts(FILE *, const struct conflicts *);
/* What the atomic read-modify-writes were on, and the names of the lines that were written. */
void print_rmws(FILE *, const struct footprint *);
void print_written(FILE *, const struct footprint *);
/* The lines by name, as JSON: how many, and how often they were read, written, or both at once. */
void print_lines(FILE *, const struct footprint *);

/* --- conflicts_operations.c: what is done --- */

/* What of an operation, a place or a pair there are arguments for: the allow-list goes by these. */
enum {
	FLUSHES = 1 << 0,    /* takes translations away from other CPUs */
	HOOKS = 1 << 1,	     /* hooks a table */
	UNHOOKS = 1 << 2,    /* empties and unhooks one */
	LOOKS_UP = 1 << 3,   /* a fault whose CPU does not know the VMA */
	REFILLS = 1 << 4,    /* its CPU's stock is empty */
	PERIOD = 1 << 5,     /* begins a grace period */
	WRITES = 1 << 6,     /* changes the layout, or what an object has, or takes pages away */
	EDITS = 1 << 7,	     /* replaces the VMA of its place */
	FORKS = 1 << 8,	     /* write-protects every page of the space */
	NODES = 1 << 9,	     /* adds nodes to the cache of the object */
	SIZES = 1 << 10,     /* needs the size of the object */
	RESIZES = 1 << 11,   /* changes it */
	FOREIGN = 1 << 12,   /* place: not in this space */
	SAME_VMA = 1 << 13,  /* place: in the VMA of the first */
	SAME_LEAF = 1 << 14, /* place: in one leaf with the first */
	SAME_NODE = 1 << 15, /* place: in one node of the cache with the first */
	SAME_PAGE = 1 << 16, /* place: the same pages of the object */
	OWN_VMA = 1 << 17,   /* pair: the second replaces the VMA that the first must look up */
	OWN_SIZE = 1 << 18,  /* pair: the second changes the size that the first needs */
	WRITERS = 1 << 19,   /* pair: both write */
	ITSELF = 1 << 20,    /* pair: the second is what the first is, whatever that is */
};

struct place {
	const char *name;
	uint64_t base;
	unsigned flags;
};

#define LEAVES 32 /* of the VMA that has HOME, and of the one ELSEWHERE */
#define TURNS 5	  /* times that an operation can be run in one world */

struct operation {
	const char *name;
	unsigned flags;
	/* As its CPU: once; before each run, unmeasured; the run. */
	void (*prepare)(const struct place *);
	void (*before)(const struct place *, unsigned turn);
	void (*run)(const struct place *, unsigned turn);
	/* Of a fault: what it must count as, and its atomic read-modify-writes. */
	enum quire_kind kind;
	unsigned rmws;
};

struct second {
	const struct operation *operation; /* NULL: what the first is */
	const struct place *place;
};

/* Each of the faults, at HOME, beside each of the seconds. */
struct group {
	const struct operation *faults;
	unsigned fault_count;
	const struct second *seconds;
	unsigned second_count;
};

/* And pairs of their own. */
struct couple {
	const struct operation *first;
	const struct place *at;
	const struct operation *second;
	const struct place *beside;
};

extern const struct place HOME, ELSEWHERE, ASIDE, far_in_home, next_leaf;
extern const struct operation faults[];
extern const struct operation mmap_over, munmap_one, munmap_page, mprotect_one, mprotect_page;
extern const struct operation mremap_one, mremap_page;
extern const struct group memory;
extern const struct couple writers[];
extern const unsigned writers_count;

/* What others do with pages; each run's is another. */
uint64_t page_of(const struct place *, unsigned turn);
void fault(uint64_t address, enum quire_access);
/* A second space, which this CPU then runs. */
void make_space(void);

/* conflicts_objects.c: what is done with objects. */
extern const struct group objects;
extern const struct couple couples[];
extern const unsigned couples_count;
void prepare_objects(void);

/* The layout that all operations begin with. => CPU 0 */
void prepare_world(void);
/* This CPU's stock and magazines are neither empty nor full. */
void warm_up(void);

/* --- conflicts_loops.c: loops, step by step, as JSON for bench/scale_model --- */

void print_loops(void);

/* --- conflicts_promise.c --- */

/* Of the first of a pair. LATER: only of a fault. */
enum { BEFORE, FIRST, LATER, MOMENTS };

struct pair {
	const struct operation *first, *second;
	const struct place *at, *beside;
	unsigned flags;
};

struct result {
	struct conflicts at[MOMENTS];
	struct conflicts all;
};

/* Not so: pairs that do not commute; shown all the same. */
bool is_promised(const struct pair *);
bool is_allowed(const struct pair *, unsigned moment, const struct conflict *);
bool keeps_promise(const struct pair *, const struct result *speculative);
/* The baselines share the space's lock, or the VMA's: if that is not seen, nothing is. */
bool baselines_share(const struct pair *, const struct result *results);
/* Is each entry needed and, if there is a document, argued for? */
void check_allowed(const char *document);

/* --- conflicts.c --- */

void test_case(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- conflicts_table.c: the tables of docs/scaling.md --- */

#define BLOCKS 64
#define ROWS 16

struct table {
	struct block *blocks[BLOCKS];
	unsigned count;
};

void table_add(struct table *, const char *fault, const char *beside, const char *cells);
void table_write(FILE *, struct table *);

#endif
