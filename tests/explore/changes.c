/* SPDX-License-Identifier: MIT */
/*
 * What a fault may believe of a mapping that changes under it: mappings that are not ready yet,
 * stacks that grow, rights and keys (H9, H12, H16, H19, H24); and what the baselines promise
 * besides.
 *
 *     F   looks up ─ believes: there, allowed ─ ... ─ leaf locked: is it so still? ─ stores
 *     W                     publishes ─ sweeps, moves ─ sets live
 */
#include "explore.h"

#include "space/mm.h"

#define FIXED (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED)

static bool done_or(uint64_t result, uint64_t refused)
{
	return result == DONE || result == refused;
}

/* Both CPUs know A's VMA, each from a fault of its own, elsewhere in it. */
static void known_with(int prot)
{
	map(A, 3, prot);
	load(B);
	as_cpu(1);
	load(C);
}

static void untouched(void)
{
	map(A, 2, READ_WRITE);
}

/* CPU 1 has no translation of it. */
static void touched(void)
{
	untouched();
	store(A, 7);
}

/* --- H9, H16, H24: mappings that are not ready --- */

/* A was written, and can only be read now. */
static void read_only(void)
{
	touched();
	store(A + 8, 7);
	protect(A, 1, QUIRE_PROT_READ);
}

static void map_over(void)
{
	uint64_t value;

	map(A, 1, READ_WRITE);
	value = load(A);
	expect(value == 0 || value == 1);
}

/* What is written to the new mapping stays there, and what was in the old one is not. */
static void write_to_new(void)
{
	uint64_t done = store(A, 1);

	expect(done_or(done, ACCERR));
	load(B); /* walks, so that flushes are answered */
	if (done == DONE) {
		expect_equal(load(A), 1);
		expect_equal(load(A + 8), 0);
	}
}

SCENARIO(H9_mapped_over, "MAP_FIXED over a page beside a write that only the new mapping allows",
	 .setup = read_only, .run = { map_over, write_to_new });

/* The same, and both CPUs know the VMA, most of which is mapped over. */
static void known_read_only_page(void)
{
	map(A, 3, READ_WRITE);
	store(A, 7);
	store(A + 8, 7);
	protect(A, 3, QUIRE_PROT_READ);
	load(B);
	as_cpu(1);
	load(C);
}

static void map_over_most(void)
{
	map(A, 2, READ_WRITE);
}

SCENARIO(H9_followed, "the same, and a fault follows the VMA that it knows to the new one",
	 .setup = known_read_only_page, .run = { map_over_most, write_to_new });

static void move_over(void)
{
	expect(quire_mremap(mm, A, PAGE, PAGE, QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, D) ==
	       (int64_t)D);
}

/* Something is at D, too, which CPU 1 knows, but no page; its leaf is there. */
static void touched_and_target(void)
{
	touched();
	map(D, 2, READ_WRITE);
	as_cpu(1);
	load(D + PAGE);
}

static void write_target(void)
{
	expect_equal(store(D, 1), DONE);
}

static void check_target(void)
{
	uint64_t value = load(D);

	expect(value == 7 || value == 1);
}

/*
 *     F   checked: the old VMA of the target ........................ leaf locked: stores?
 *     W                       publishes the target, pending; sweeps                       moves
 *
 * What is mapped there now is like what F has found, but it is not ready.
 */
SCENARIO(H16_target_was_mapped, "mremap over a mapping in which a fault is under way",
	 .setup = touched_and_target, .run = { move_over, write_target }, .check = check_target);

static void read_either(void)
{
	uint64_t source = load(A), target = load(D);

	expect(source == 0 || source == MAPERR);
	expect(target == 0 || (target == MAPERR && source == 0));
}

/* Neither place is mapped in the tree for a moment: a verdict from a look-up would say so. */
SCENARIO(H16_at_neither_place, "mremap beside reads of its source and then its target",
	 .setup = untouched, .run = { move_over, read_either });

static void map_over_populated(void)
{
	expect(quire_mmap(mm, A, PAGE, READ_WRITE, FIXED | QUIRE_MAP_POPULATE) == (int64_t)A);
}

static void write_1(void)
{
	expect_equal(store(A, 1), DONE);
}

SCENARIO(H24_populated, "a call that faults its pages in does not wait for itself",
	 .setup = touched, .run = { map_over_populated, write_1 });

/* --- H12: stacks that grow --- */

#define STACK (A + 8 * PAGE)
#define BELOW (STACK - PAGE)
#define FAR_BELOW (STACK - 2 * PAGE)

static void map_stack(void)
{
	expect(quire_mmap(mm, STACK, 3 * PAGE, READ_WRITE, FIXED | QUIRE_MAP_GROWSDOWN) ==
	       (int64_t)STACK);
}

static void stack(void)
{
	map_stack();
	load(STACK + PAGE);
	as_cpu(1);
	load(STACK + 2 * PAGE);
}

static void write_below(void)
{
	expect_equal(store(BELOW, 1), DONE);
}

static void write_far_below(void)
{
	expect_equal(store(FAR_BELOW, 2), DONE);
}

static void write_in_stack(void)
{
	expect_equal(store(STACK, 3), DONE);
}

static void check_grown(void)
{
	struct quire_vma_info info;

	expect_equal(load(BELOW), 1);
	expect_equal(load(FAR_BELOW), 2);
	expect(quire_vma_find(mm, FAR_BELOW, &info) == 0);
	expect_equal(info.start, FAR_BELOW);
	expect_equal(info.end, STACK + 3 * PAGE);
}

SCENARIO(H12_two_growths, "two faults extend one stack", .setup = stack,
	 .run = { write_below, write_far_below }, .check = check_grown);

static void check_stack(void)
{
	expect_equal(load(BELOW), 1);
	expect_equal(load(STACK), 3);
}

SCENARIO(H12_growth_beside_fault, "a stack grows beside a fault in it", .setup = stack,
	 .run = { write_below, write_in_stack }, .check = check_stack);

static void read_below(void)
{
	expect_equal(load(BELOW), 0);
}

static void map_below(void)
{
	map(BELOW, 1, READ_WRITE);
}

SCENARIO(H12_growth_beside_mapping, "below a stack, a read beside a call that maps the page",
	 .setup = stack, .run = { map_below, read_below });

SCENARIO(H12_stack_replaced, "below a stack, a read beside a call that replaces the stack",
	 .setup = stack, .run = { map_stack, read_below });

static void unmap_stack_and_wait(void)
{
	unmap(STACK, 3);
	expect(quire_barrier(0) == 0);
}

static void write_below_or_nothing(void)
{
	expect(done_or(store(BELOW, 1), MAPERR));
}

SCENARIO(H12_stack_unmapped, "a stack is unmapped beside a fault that would extend it",
	 .setup = stack, .run = { unmap_stack_and_wait, write_below_or_nothing });

/* Another stack above, which differs. */
#define OTHER (STACK + 4 * PAGE)
#define OTHER_RIGHTS (READ_WRITE | QUIRE_PROT_EXEC)

static void two_stacks(void)
{
	expect(quire_mmap(mm, STACK, PAGE, READ_WRITE, FIXED | QUIRE_MAP_GROWSDOWN) ==
	       (int64_t)STACK);
	expect(quire_mmap(mm, OTHER, PAGE, OTHER_RIGHTS, FIXED | QUIRE_MAP_GROWSDOWN) ==
	       (int64_t)OTHER);
}

static void unmap_lower(void)
{
	unmap(STACK, 1);
}

/* Either what was above it then is the lower stack, or it is the other one. */
static void check_whose(void)
{
	struct quire_vma_info info;

	expect(quire_vma_find(mm, BELOW, &info) == 0);
	expect_equal(info.start, BELOW);
	if (info.end == STACK)
		expect_equal(info.prot, READ_WRITE);
	else
		expect(info.end == OTHER + PAGE && info.prot == OTHER_RIGHTS);
}

SCENARIO(H12_another_stack, "a stack goes that a fault was about to extend, and there is another",
	 .setup = two_stacks, .run = { unmap_lower, write_below }, .check = check_whose);

/* --- H19: rights and keys --- */

static void write_or_refused(void)
{
	expect(done_or(store(A, 1), ACCERR));
}

/* Both CPUs know the VMA as one that can only be read. */
static void known_read_only(void)
{
	known_with(QUIRE_PROT_READ);
}

static void widen_it(void)
{
	protect(A, 1, READ_WRITE);
	expect_equal(store(A, 2), DONE);
}

SCENARIO(H19_rights_given, "mprotect gives the right to write, which its CPU remembers otherwise",
	 .setup = known_read_only, .run = { widen_it, write_or_refused });

static int key;

/* The key that the page will get forbids CPU 1 to write, the one that it has forbids nothing. */
static void keys(void)
{
	known_with(READ_WRITE);
	key = quire_pkey_alloc(mm);
	quire_soft_keys(quire_soft_self(), 2u << 2 * key);
}

static void change_key(void)
{
	expect(quire_pkey_mprotect(mm, A, PAGE, READ_WRITE, key) == 0);
}

static void write_until_key(void)
{
	uint64_t first = store(A, 1), second = store(A, 2);

	expect(done_or(first, REFUSED(QUIRE_FAULT_PKUERR)));
	expect(second == first || first == DONE);
}

SCENARIO(H19_key_changed, "pkey_mprotect gives another key beside a first write", .setup = keys,
	 .run = { change_key, write_until_key });

/* --- what only the baselines promise --- */

static struct quire_mm *child;

static void fork_it(void)
{
	expect(quire_fork(mm, &child) == 0);
}

/* A is untouched; D can be written without a fault. */
static void two_places(void)
{
	map(A, 2, READ_WRITE);
	map(D, 1, READ_WRITE);
	as_cpu(1);
	store(D, 1);
	load(B);
}

static void write_in_order(void)
{
	expect_equal(store(A, 8), DONE);
	expect_equal(store(D, 9), DONE);
}

static void check_order(void)
{
	uint64_t first = peek(child, A), second = peek(child, D);

	expect(first == 8 || first == 0);
	expect(second == 9 || second == 1);
	if (mm->mode != QUIRE_SPECULATIVE)
		expect(first == 8 || second == 1);
}

SCENARIO(Q14_fork_of_one_moment, "fork beside two writes: the baselines keep their order",
	 .setup = two_places, .run = { fork_it, write_in_order }, .check = check_order);
