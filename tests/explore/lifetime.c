/* SPDX-License-Identifier: MIT */
/*
 * How long VMAs and the nodes of their tree live, and what look-ups see of edits (H1 to H5, H10,
 * H11). F is the CPU that faults, W the one that writes.
 *
 *     F   section ─ look up: VMA ─ ... ─ leaf locked: still live? ─ ... ─ section ends
 *     W                          publish ─ retire ─ sweep           │
 *     W   ............................................ barrier ─────┴──► freed
 *
 * Nothing is freed in a short run unless somebody asks: hence the calls of quire_barrier.
 */
#include "explore.h"

#define ANONYMOUS (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)

static bool done_or(uint64_t result, uint64_t refused)
{
	return result == DONE || result == refused;
}

/* Both CPUs know A's VMA, each from a fault of its own, elsewhere in it. */
static void known(void)
{
	map(A, 3, READ_WRITE);
	load(B);
	as_cpu(1);
	load(C);
}

/* Nobody has looked anything up. */
static void unknown(void)
{
	map(A, 2, READ_WRITE);
}

/* --- H1: a VMA is freed while a fault reads it --- */

static void unmap_and_wait(void)
{
	unmap(A, 1);
	expect(quire_barrier(0) == 0);
}

static void write_or_unmapped(void)
{
	expect(done_or(store(A, 1), MAPERR));
}

SCENARIO(H1_found_in_the_tree, "a VMA is replaced and freed beside a fault that has just found it",
	 .setup = unknown, .run = { unmap_and_wait, write_or_unmapped });

SCENARIO(H1_known_to_the_cpu, "the same, and the fault's CPU knows the VMA from an earlier fault",
	 .setup = known, .run = { unmap_and_wait, write_or_unmapped });

static void split_merge_and_wait(void)
{
	protect(B, 1, QUIRE_PROT_READ);
	protect(B, 1, READ_WRITE);
	expect(quire_barrier(0) == 0);
}

static void write_a(void)
{
	expect_equal(store(A, 1), DONE);
}

SCENARIO(H1_followed, "the VMA that the CPU knows is replaced twice, which the fault may follow",
	 .setup = known, .run = { split_merge_and_wait, write_a });

/*
 *     W                                  a period begins: F is away, the VMA is freed
 *     F   away ─ back: reads its number                                              faults
 *
 * F was not waited for, and what it has seen of the periods is the same as when it found the VMA.
 */
static void away_and_back(void)
{
	struct quire_soft_cpu *me = quire_soft_self();
	enum quire_verdict verdict;

	quire_soft_leave(me);
	quire_soft_enter(me);
	verdict = quire_fault(mm, A, QUIRE_WRITE);
	expect(verdict == QUIRE_FAULT_DONE || verdict == QUIRE_FAULT_MAPERR);
}

/* The period begins before anybody waits for it: who waits lets the others go on. */
static void unmap_begin_and_wait(void)
{
	unmap(A, 1);
	expect(quire_barrier(1) == -QUIRE_EAGAIN);
	expect(quire_barrier(0) == 0);
}

SCENARIO(H1_known_before_a_rest, "the CPU was offline while the VMA that it knows was freed",
	 .setup = known, .run = { unmap_begin_and_wait, away_and_back });

/* The VMA is merged with a new one beside it. */
static void extend(void)
{
	expect(quire_mmap(mm, C + PAGE, PAGE, READ_WRITE, ANONYMOUS) == (int64_t)(C + PAGE));
}

static void read_zero(void)
{
	expect_equal(load(A), 0);
}

static void wait_only(void)
{
	expect(quire_barrier(0) == 0);
}

/*
 *     W   retires ............................. publishes
 *     3             a period begins
 *     F                              passes it; looks up: the old VMA ......... uses it
 *     3                                                             frees it
 *
 * That is why the root comes first, then what was retired is given to the grace periods.
 */
SCENARIO(H1_period_begins_in_an_edit, "a grace period begins in the middle of an edit",
	 .setup = known, .run = { extend, read_zero, wait_only });

static void narrow_all(void)
{
	protect(A, 3, QUIRE_PROT_READ);
}

SCENARIO(H1_period_begins_in_a_swap, "the same, where the new VMA has the old one's bounds",
	 .setup = known, .run = { narrow_all, read_zero, wait_only });

/* --- H2, H10, H11: the tree changes shape beside look-ups --- */

#define AT(i) (A + 2 * (i)*PAGE)
#define FULL 15u /* VMAs in one node */

static void map_many(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		map(AT(i), 1, READ_WRITE);
	as_cpu(1);
	load(AT(FULL - 1)); /* so that a table is there */
}

static void one_full_node(void)
{
	map_many(FULL);
}

static void two_nodes(void)
{
	map_many(FULL + 1);
}

static void split_and_wait(void)
{
	map(AT(FULL), 1, READ_WRITE);
	expect(quire_barrier(0) == 0);
}

static void join_and_wait(void)
{
	unmap(AT(1), 1);
	unmap(AT(2), 1);
	expect(quire_barrier(0) == 0);
}

static void write_first_and_last(void)
{
	expect_equal(store(AT(0), 1), DONE);
	expect_equal(store(AT(FULL - 1), 1), DONE);
}

SCENARIO(H2_node_splits, "look-ups beside a mapping that splits a node of the tree",
	 .setup = one_full_node, .run = { split_and_wait, write_first_and_last });

SCENARIO(H2_nodes_join, "look-ups beside unmappings that join two nodes of the tree",
	 .setup = two_nodes, .run = { join_and_wait, write_first_and_last });

static struct quire_mm *child;

static void fork_it(void)
{
	expect(quire_fork(mm, &child) == 0);
}

static void map_elsewhere_and_wait(void)
{
	expect(quire_mmap(mm, 0, PAGE, READ_WRITE, ANONYMOUS) > 0);
	expect(quire_barrier(0) == 0);
}

static void check_child_of_many(void)
{
	for (unsigned i = 0; i < FULL; i++)
		expect_equal(peek(child, AT(i)), 0);
}

SCENARIO(H10_old_version_is_walked, "fork walks one version of the tree, others make new ones",
	 .setup = one_full_node, .run = { fork_it, map_elsewhere_and_wait },
	 .check = check_child_of_many);

/* --- H3: gone --- */

static void unmap_and_look(void)
{
	unmap(A, 1);
	expect_equal(load(A), MAPERR);
}

SCENARIO(H3_unmapped, "a removed VMA does not look usable again, not to a CPU that knows it",
	 .setup = known, .run = { unmap_and_look, write_or_unmapped });

/* --- H5: memory of a space that is gone --- */

static struct quire_mm *other;

/* CPU 1 knows a VMA of another space at A. */
static void came_from_another_space(void)
{
	expect(quire_mm_create(NULL, &other) == 0);
	as_cpu(1);
	run_space(other);
	map(A, 2, READ_WRITE);
	load(B);
	run_space(mm);
}

static void destroy_other(void)
{
	quire_mm_destroy(other);
}

static void write_to_nothing(void)
{
	expect_equal(store(A, 1), MAPERR);
}

SCENARIO(H5_space_gone, "a CPU knows a VMA of a space that is destroyed, and faults in another",
	 .setup = came_from_another_space, .run = { destroy_other, write_to_nothing });
