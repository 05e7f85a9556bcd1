/* SPDX-License-Identifier: MIT */
/* Page tables: walks, tables that come and go, and what a sweep gathers. */
#include "table/gather.h"
#include <quire/soft.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define VA 0x7f1234567000ull
#define FRAMES 2048
#define LEAF_SPAN table_span(0)

static struct quire_soft_cpu *cpu;
static struct tables tables;
static struct frame *blocks;
static uint64_t free_before;

static uint64_t free_frames(void)
{
	struct frame_stats stats;

	assert_int_equal(quire_barrier(0), 0);
	frame_stats(&stats);
	return stats.free + stats.stocked;
}

static int setup(void **state)
{
	const unsigned *levels = *state;
	const struct quire_soft_config config = { .cpus = 4,
						  .memory = FRAMES * PAGE_SIZE,
						  .levels = *levels };

	assert_int_equal(quire_soft_init(&config), 0);
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	free_before = free_frames();
	blocks = frame_alloc(3);
	memset(frame_bytes(blocks), 0, 8 * PAGE_SIZE);
	return tables_init(&tables, *levels, frame_bytes(blocks));
}

static int teardown(void **state)
{
	(void)state;
	inject_set(0);
	tables_exit(&tables);
	frame_put(blocks);
	assert_int_equal(free_frames(), free_before);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit();
}

static int64_t tables_counted(void)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < 4; i++)
		sum += at_load(&tables.trace[i].tables);
	return sum;
}

static enum walk_status walk(uint64_t address, struct walk *w)
{
	enum walk_status status;

	section_enter();
	status = table_walk(&tables, address, w);
	section_leave();
	return status;
}

static struct frame *make(uint64_t address)
{
	struct frame *leaf;

	section_enter();
	leaf = table_make_leaf(&tables, address);
	section_leave();
	return leaf;
}

static enum hook_status hook(struct frame *parent, uint64_t address, struct frame *child)
{
	enum hook_status status;

	section_enter();
	table_lock(parent);
	status = table_hook(&tables, parent, address, child);
	table_unlock(parent);
	section_leave();
	return status;
}

static void set_used(struct frame *leaf, uint16_t used)
{
	section_enter();
	table_lock(leaf);
	leaf->u.table.used = used;
	table_unlock(leaf);
	section_leave();
}

/* Unhook what is empty from this leaf upwards, and free it. */
static void unhook(struct frame *leaf, uint64_t floor, uint64_t ceiling)
{
	struct gather gather;

	gather_init(&gather, &tables);
	section_enter();
	table_unhook_empty(&tables, leaf, floor, ceiling, &gather.unhooked);
	section_leave();
	gather_finish(&gather);
}

/* --- walks */

/* Each form of an entry at the level above which everything is there. */
static void check_level(struct frame *table)
{
	slot *at = table_slot(table, VA);
	struct walk w;

	assert_int_equal(walk(VA, &w), WALK_MISSING);
	assert_ptr_equal(w.table, table);
	assert_ptr_equal(w.slot, at);
	assert_int_equal(at_load(w.slot), PTE_NONE);
	at_store(at, pte_busy(5));
	assert_int_equal(walk(VA, &w), WALK_BUSY);
	assert_ptr_equal(w.slot, at);
	assert_int_equal(at_load(w.slot), pte_busy(5));
	at_store(at, pte_make(512, RIGHT_READ, 0) | SOFT_HUGE);
	assert_int_equal(walk(VA, &w), WALK_HUGE);
	assert_ptr_equal(w.table, table);
	assert_true(pte_is_huge(at_load(w.slot)));
	/* The neighbour is not concerned. */
	assert_int_equal(walk(VA ^ table_entry_span(table->u.table.level), &w), WALK_MISSING);
	at_store(at, PTE_NONE);
}

static void walking(void **state)
{
	struct frame *table = tables.root, *child;
	struct walk w;

	(void)state;
	for (unsigned level = tables.levels - 1; level > 0; level--) {
		assert_int_equal(table->u.table.level, level);
		check_level(table);
		child = table_alloc();
		assert_int_equal(hook(table, VA, child), HOOK_DONE);
		assert_int_equal(child->u.table.level, level - 1);
		assert_ptr_equal(child->u.table.parent, table);
		assert_int_equal(child->u.table.base, VA & ~(table_span(level - 1) - 1));
		assert_int_equal(table->u.table.used, 1);
		table = child;
	}
	/* At the leaf nothing is told apart: that is for who looks at the entry. */
	for (unsigned i = 0; i < 3; i++) {
		const pte forms[] = { PTE_NONE, pte_busy(1), pte_make(3, RIGHT_READ, 0) };

		at_store(table_slot(table, VA), forms[i]);
		assert_int_equal(walk(VA, &w), WALK_LEAF);
		assert_ptr_equal(w.table, table);
		assert_ptr_equal(w.slot, table_slot(table, VA));
	}
	at_store(table_slot(table, VA), PTE_NONE);
	assert_int_equal(tables_counted(), tables.levels - 1);
}

static void make_leaf(void **state)
{
	struct frame *leaf = make(VA), *second;
	struct walk w;

	(void)state;
	assert_non_null(leaf);
	assert_int_equal(walk(VA, &w), WALK_LEAF);
	assert_ptr_equal(w.table, leaf);
	assert_int_equal(tables_counted(), tables.levels - 1);
	/* It is there: nothing is made. */
	assert_ptr_equal(make(VA ^ PAGE_SIZE), leaf);
	assert_int_equal(tables_counted(), tables.levels - 1);
	second = make(VA ^ LEAF_SPAN);
	assert_ptr_not_equal(second, leaf);
	assert_ptr_equal(second->u.table.parent, leaf->u.table.parent);
	assert_int_equal(tables_counted(), tables.levels);
	assert_int_equal(leaf->u.table.parent->u.table.used, 2);
}

/* Each table fails to come once: what was hooked stays and is used by the next attempt. */
static void make_leaf_without_memory(void **state)
{
	(void)state;
#ifdef QUIRE_DEBUG
	for (unsigned n = 1; n < tables.levels; n++) {
		inject_set(n > 1 ? 2 : 1);
		assert_null(make(VA));
		inject_set(0);
		assert_int_equal(tables_counted(), n - 1);
	}
#endif
	assert_non_null(make(VA));
	assert_int_equal(tables_counted(), tables.levels - 1);
}

static struct frame *next(uint64_t *address, uint64_t end)
{
	struct frame *leaf;

	section_enter();
	leaf = table_next_leaf(&tables, address, end);
	section_leave();
	return leaf;
}

static void next_leaf(void **state)
{
	const uint64_t places[] = { 0x200000,	0x600000,     0x40000000,
				    0x40200000, 0x8000000000, 0x7f8000000000 };
	struct frame *leaves[6];
	uint64_t at = 0;

	(void)state;
	assert_null(next(&at, 1ull << 47));
	for (unsigned i = 0; i < 6; i++)
		leaves[i] = make(places[i]);
	at = 0x1000;
	for (unsigned i = 0; i < 6; i++) {
		assert_ptr_equal(next(&at, 1ull << 47), leaves[i]);
		assert_int_equal(at, places[i]);
		at += LEAF_SPAN;
	}
	assert_null(next(&at, 1ull << 47));
	/* From inside a leaf the address stays; the end is not reached. */
	at = places[1] + 5 * PAGE_SIZE;
	assert_ptr_equal(next(&at, at + 1), leaves[1]);
	assert_int_equal(at, places[1] + 5 * PAGE_SIZE);
	at = places[1] + LEAF_SPAN;
	assert_null(next(&at, places[2]));
	at = places[1] + LEAF_SPAN;
	assert_ptr_equal(next(&at, places[2] + PAGE_SIZE), leaves[2]);
	assert_null(next(&at, at));
}

static unsigned visits[5];

static void count_visit(struct frame *table, void *context)
{
	assert_ptr_equal(context, &tables);
	visits[table->u.table.level]++;
}

static void visiting(void **state)
{
	(void)state;
	make(VA);
	make(VA ^ LEAF_SPAN);
	make(VA ^ 1ull << 30);
	memset(visits, 0, sizeof(visits));
	table_visit(&tables, count_visit, &tables);
	assert_int_equal(visits[0], 3);
	assert_int_equal(visits[1], 2);
	assert_int_equal(visits[2], 1);
	assert_int_equal(visits[tables.levels - 1], 1);
}

/* --- coming and going */

static void hooking(void **state)
{
	struct frame *leaf = make(VA), *parent = leaf->u.table.parent, *spare = table_alloc();

	(void)state;
	assert_int_equal(hook(parent, VA, spare), HOOK_TAKEN);
	at_store(table_slot(parent, VA ^ LEAF_SPAN), pte_busy(1));
	assert_int_equal(hook(parent, VA ^ LEAF_SPAN, spare), HOOK_TAKEN);
	at_store(table_slot(parent, VA ^ LEAF_SPAN), PTE_NONE);
	unhook(leaf, 0, UINT64_MAX);
	table_free_unused(spare);
	assert_int_equal(tables_counted(), 0);
}

/* A dead table is met by who has walked to it before. */
static void dead(void **state)
{
	struct frame *leaf = make(VA), *other = make(VA ^ 1ull << 38),
		     *parent = leaf->u.table.parent;
	struct frame *spare = table_alloc(), *unhooked = NULL;

	(void)state;
	section_enter();
	table_unhook_empty(&tables, leaf, 0, UINT64_MAX, &unhooked);
	assert_true(at_load(&leaf->u.table.dead) && at_load(&parent->u.table.dead));
	assert_false(at_load(&other->u.table.dead));
	assert_int_equal(hook(parent, VA, spare), HOOK_DEAD);
	assert_false(table_lock_pair(leaf, other));
	assert_int_equal(at_load(&leaf->u.table.lock.word), 0);
	assert_int_equal(at_load(&other->u.table.lock.word), 0);
	assert_false(table_lock_pair(other, leaf));
	/* Once more does nothing. */
	table_unhook_empty(&tables, leaf, 0, UINT64_MAX, &unhooked);
	section_leave();
	table_defer(unhooked);
	table_free_unused(spare);
	assert_true(table_lock_pair(other, other));
	table_unlock_pair(other, other);
}

static void unhooking(void **state)
{
	struct frame *leaf = make(VA), *beside = make(VA ^ LEAF_SPAN);
	uint64_t low = leaf->u.table.base, high = low + LEAF_SPAN;
	struct walk w;

	(void)state;
	/* Not empty; not free as a whole. */
	set_used(leaf, 1);
	unhook(leaf, 0, UINT64_MAX);
	assert_int_equal(walk(VA, &w), WALK_LEAF);
	set_used(leaf, 0);
	unhook(leaf, low + PAGE_SIZE, UINT64_MAX);
	unhook(leaf, 0, high - PAGE_SIZE);
	assert_int_equal(walk(VA, &w), WALK_LEAF);
	/* The leaf alone: the parent has another. */
	unhook(leaf, 0, UINT64_MAX);
	assert_int_equal(walk(VA, &w), WALK_MISSING);
	assert_int_equal(w.table->u.table.level, 1);
	assert_int_equal(tables_counted(), tables.levels - 1);
	/* All but the root: whose span is free is asked of a leaf alone. */
	low = beside->u.table.base;
	unhook(beside, low, low + table_span(0));
	assert_int_equal(tables_counted(), 0);
	assert_int_equal(tables.root->u.table.used, 0);
	assert_int_equal(walk(VA, &w), WALK_MISSING);
	assert_ptr_equal(w.table, tables.root);
}

/* --- gather */

static uint64_t flushes(void)
{
	return at_load(&tables.trace[0].counters[QUIRE_FLUSHES]);
}

static void gathering(void **state)
{
	struct gather gather;
	struct frame *frames[200];
	uint64_t begin = flushes(), before = free_frames();

	(void)state;
	gather_init(&gather, &tables);
	gather_finish(&gather);
	assert_int_equal(flushes(), begin);
	for (unsigned i = 0; i < 200; i++) {
		frames[i] = frame_alloc(0);
		frame_get(frames[i]);
		assert_true(gather_room(&gather) > 0);
		gather_frame(&gather, frames[i]);
		gather_flush(&gather, (500 - i) * PAGE_SIZE, PAGE_SIZE);
	}
	assert_int_equal(gather.start, 301 * PAGE_SIZE);
	assert_int_equal(gather.end, 501 * PAGE_SIZE);
	/* Nothing is put before the flush. */
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(at_load(&frames[i]->refs), 2);
	gather_finish(&gather);
	assert_int_equal(flushes(), begin + 1);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(at_load(&frames[i]->refs), 1);
		frame_put(frames[i]);
	}
	assert_int_equal(free_frames(), before);
	/* It is empty and may be used again. */
	assert_true(gather.start >= gather.end);
	assert_int_equal(gather_room(&gather), GATHER_SMALL);
}

/* Without a batch frame it flushes early. */
static void gathering_without_memory(void **state)
{
	static struct frame *taken[FRAMES];
	struct gather gather;
	uint64_t begin;
	unsigned count = 0;

	(void)state;
	while ((taken[count] = frame_alloc(0)) != NULL)
		count++;
	assert_true(count > 3 * GATHER_SMALL);
	begin = flushes();
	gather_init(&gather, &tables);
	for (unsigned i = 0; i < GATHER_SMALL; i++) {
		frame_get(taken[i]);
		assert_int_equal(gather_room(&gather), GATHER_SMALL - i);
		gather_frame(&gather, taken[i]);
		gather_flush(&gather, i * PAGE_SIZE, PAGE_SIZE);
	}
	assert_int_equal(at_load(&taken[0]->refs), 2);
	assert_int_equal(gather_room(&gather), GATHER_SMALL);
	assert_int_equal(flushes(), begin + 1);
	for (unsigned i = 0; i < GATHER_SMALL; i++)
		assert_int_equal(at_load(&taken[i]->refs), 1);
	gather_finish(&gather);
	assert_int_equal(flushes(), begin + 1);
	while (count)
		frame_put(taken[--count]);
}

/* --- threads */

#define ROUNDS 20000

static _Atomic uint32_t installed, refused;

/* Make a leaf, use it for a moment, take it away; as a fault and a sweep do. */
static void come_and_go(unsigned index, unsigned round)
{
	uint64_t address = VA + (round % 3 == 0 ? index * LEAF_SPAN : 0) + index * PAGE_SIZE;
	struct gather gather;
	struct frame *leaf;

	gather_init(&gather, &tables);
	section_enter();
	while ((leaf = table_make_leaf(&tables, address)) == NULL) {
		/* All that is free waits for a grace period. */
		section_leave();
		quire_barrier(0);
		section_enter();
	}
	table_lock(leaf);
	if (at_load(&leaf->u.table.dead)) {
		at_add(&refused, 1u);
	} else {
		require(at_load(table_slot(leaf, address)) == PTE_NONE);
		at_store(table_slot(leaf, address), pte_busy(index));
		leaf->u.table.used++;
		at_add(&installed, 1u);
		table_unlock(leaf);
		/* It holds an entry: it can't go. */
		table_lock(leaf);
		require(!at_load(&leaf->u.table.dead));
		require(at_load(table_slot(leaf, address)) == pte_busy(index));
		at_store(table_slot(leaf, address), PTE_NONE);
		leaf->u.table.used--;
	}
	table_unlock(leaf);
	table_unhook_empty(&tables, leaf, 0, UINT64_MAX, &gather.unhooked);
	section_leave();
	gather_finish(&gather);
	quire_quiescent();
}

static void *come_and_go_often(void *argument)
{
	unsigned index = *(unsigned *)argument;
	struct quire_soft_cpu *mine = quire_soft_attach(index);

	quire_soft_enter(mine);
	for (unsigned round = 0; round < ROUNDS; round++)
		come_and_go(index, round);
	quire_soft_leave(mine);
	quire_soft_detach(mine);
	return NULL;
}

static void threads(void **state)
{
	static unsigned indices[] = { 1, 2, 3 };
	pthread_t ids[3];

	(void)state;
	at_store(&installed, 0u);
	at_store(&refused, 0u);
	/* Outside: nobody waits for this CPU while it waits for the others. */
	quire_soft_leave(cpu);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, come_and_go_often, &indices[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	quire_soft_enter(cpu);
	assert_int_equal(at_load(&installed) + at_load(&refused), 3 * ROUNDS);
	assert_true(at_load(&installed) > 0);
	/* Whoever was last in a table has taken it away. */
	assert_int_equal(tables_counted(), 0);
	assert_int_equal(tables.root->u.table.used, 0);
}

int main(void)
{
	static unsigned four = 4, five = 5;
#define BOTH(f)                                                                                    \
	{ #f, f, setup, teardown, &four },                                                         \
	{                                                                                          \
#f ", five levels", f, setup, teardown, &five                                      \
	}
	const struct CMUnitTest tests[] = {
		BOTH(walking),
		BOTH(make_leaf),
		BOTH(make_leaf_without_memory),
		BOTH(next_leaf),
		BOTH(visiting),
		BOTH(hooking),
		BOTH(dead),
		BOTH(unhooking),
		BOTH(gathering),
		BOTH(gathering_without_memory),
		BOTH(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
