/* SPDX-License-Identifier: MIT */
/* What bench_instructions.c counts; the operations themselves are in bench_operations.c. */
#ifndef BENCH_OPERATIONS_H
#define BENCH_OPERATIONS_H

#include "bench_loop.h"

#define OPERATION_PAGES 4096u /* populated by those that prepare */

struct operation {
	const char *name;
	bool (*prepare)(struct worker *w);
	bool (*work)(struct worker *w, uint64_t count);
	uint32_t low, high;
	uint32_t units;		 /* that one count of `work` stands for */
	uint32_t clears, copies; /* pages, for each unit */
	uint32_t misses;	 /* of the TLB, for each unit */
};

/* The last has no name. */
extern const struct operation operations[];
/* As the port clears and copies a page. */
extern const struct operation clear_operation, copy_operation;

/* Also finds the two above. NULL: there is none of that name. */
const struct operation *operation_find(const char *name);

#endif
