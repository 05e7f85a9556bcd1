/* SPDX-License-Identifier: MIT */
/*
 * What a look-up, an edit and a search for a gap cost in trees of 10, 1,000 and 50,000 VMAs, grown
 * in random order:
 *
 *     bench_tree                      nanoseconds of each
 *     bench_tree find 1000            of one
 *
 * Instructions of one operation (the total divided by the number that is printed with it):
 *
 *     valgrind --tool=callgrind --toggle-collect=tree_find bench_tree find 1000
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space/tree.h"
#include "trace/trace.h"

#define ARENA (128ull << 20)
#define LOW (1ull << 20)
#define MOST 50000
#define STRIDE (8 * PAGE_SIZE) /* one VMA in each */
#define BUDGET 200000000ull    /* ns for each figure */
#define BATCH 1024

static struct tree tree;
static struct vma vmas[MOST];	  /* by address */
static struct vma parts[MOST][3]; /* of each, to split it into */
static size_t count;

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

static void check(bool good)
{
	if (good)
		return;
	fputs("bench_tree: no memory, or a wrong answer\n", stderr);
	exit(1);
}

static void start(void)
{
	struct quire_memory range = { LOW, ARENA - LOW, 0 };
	size_t trace = trace_memory(1), grace = grace_memory(1);
	void *reserved = NULL;

	soft_memory = aligned_alloc(PAGE_SIZE, ARENA);
	check(soft_memory != NULL);
	check(frame_init(&range, 1, 1, 1, trace + grace + slab_memory(1), &reserved) == 0);
	trace_init(reserved, 1);
	grace_init((char *)reserved + trace, 1, 0);
	slab_init(&tree_slab, "tree", tree_node_size(), (char *)reserved + trace + grace, 1);
	grace_online();
}

/* Whatever is where the first of the VMAs begins makes way for them. */
static void replace(struct vma *const *added, unsigned n)
{
	struct tree_edit edit;
	uint64_t low = added[0]->start;

	check(tree_prepare(&tree, &edit, low, low + STRIDE - 2 * PAGE_SIZE, added, n));
	tree_commit(&tree, &edit);
}

static void grow(size_t to)
{
	static size_t order[MOST];

	count = to;
	tree_init(&tree);
	for (size_t i = 0; i < to; i++) {
		size_t other = random_below(i + 1);

		order[i] = order[other];
		order[other] = i;
		vmas[i].start = (i + 1) * STRIDE + random_below(2) * PAGE_SIZE;
		vmas[i].end = vmas[i].start + 3 * PAGE_SIZE;
		for (unsigned k = 0; k < 3; k++) {
			parts[i][k].start = vmas[i].start + k * PAGE_SIZE;
			parts[i][k].end = parts[i][k].start + PAGE_SIZE;
		}
	}
	for (size_t i = 0; i < to; i++) {
		struct vma *vma = &vmas[order[i]];

		replace(&vma, 1);
		if (i % 64 == 0)
			grace_poll();
	}
}

static void find(void)
{
	check(tree_find(&tree, vmas[random_below(count)].start + PAGE_SIZE) != NULL);
}

/* A VMA becomes three, and they one again: two edits. */
static void edit(void)
{
	size_t i = random_below(count);
	struct vma *whole = &vmas[i], *pieces[] = { &parts[i][0], &parts[i][1], &parts[i][2] };

	replace(pieces, 3);
	replace(&whole, 1);
	grace_poll();
}

/* The largest hole there is between VMAs, from anywhere on, up or down. */
static void gap(void)
{
	uint64_t at = random_below(count) * STRIDE;
	bool down = random_below(2);

	tree_gap(&tree, down ? 0 : at, down ? at : UINT64_MAX, 6 * PAGE_SIZE, down, 0);
}

static void measure(const char *name, void (*operation)(void), unsigned each)
{
	uint64_t turns = 0, began = port_clock(), now;

	do {
		for (unsigned i = 0; i < BATCH; i++)
			operation();
		turns += BATCH;
		now = port_clock();
	} while (now - began < BUDGET);
	printf("%-5s %6zu VMAs %8.1f ns  (%llu done)\n", name, count,
	       (double)(now - began) / (double)(turns * each), (unsigned long long)(turns * each));
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 10, 1000, MOST };

	start();
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		const char *only = argc > 1 ? argv[1] : NULL;

		if (argc > 2 && strtoul(argv[2], NULL, 10) != sizes[s])
			continue;
		grow(sizes[s]);
		if (!only || strcmp(only, "find") == 0)
			measure("find", find, 1);
		if (!only || strcmp(only, "edit") == 0)
			measure("edit", edit, 2);
		if (!only || strcmp(only, "gap") == 0)
			measure("gap", gap, 1);
		grace_barrier(0);
		tree_free(&tree);
	}
	grace_offline();
	free(soft_memory);
	return 0;
}
