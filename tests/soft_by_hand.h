/* SPDX-License-Identifier: MIT */
/* For tests of the soft port by itself: an arena, tables built by hand, a space around them. */
#ifndef SOFT_BY_HAND_H
#define SOFT_BY_HAND_H

#define _GNU_SOURCE
#include "soft.h"
#include "space/mm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define FRAMES 2048
#define CPUS 4
#define VA 0x7fff12345000ull
#define LEAF 4 /* the frame of the leaf table; 0 is the root */

static struct quire_mm *mm;
static struct port_space *space;

/* An arena, and one chain of tables down to the leaf of VA in frames 0 to 4. */
static int setup(void **state)
{
	(void)state;
	soft_memory = aligned_alloc(2u << 20, FRAMES * PAGE_SIZE);
	memset(soft_memory, 0, FRAMES * PAGE_SIZE);
	for (unsigned i = 0; i < CPUS; i++)
		soft_cpus[i].public.index = i;
	grace_init(aligned_alloc(128, (grace_memory(CPUS) + 127) & ~127ull), CPUS, 0);
	mm = aligned_alloc(64, (sizeof(*mm) + 63) & ~63ull);
	memset(mm, 0, sizeof(*mm));
	space = &mm->tables.port;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(mm);
	free(grace_cpus);
	free(soft_memory);
	return 0;
}

static slot *slot_at(uint64_t pfn, uint64_t address, unsigned level)
{
	return (slot *)port_frame(pfn) + table_index(address, level);
}

static void build(unsigned levels)
{
	assert_int_equal(port_space_init(space, 0, levels), 0);
	memset(port_frame(0), 0, 5 * PAGE_SIZE);
	for (unsigned l = levels - 1; l > 0; l--)
		at_store(slot_at(l == levels - 1 ? 0 : LEAF - l, VA, l), pte_table(LEAF - l + 1));
}

/* The entry for VA + n pages. */
static slot *leaf(unsigned n)
{
	return slot_at(LEAF, VA + n * PAGE_SIZE, 0);
}

static struct quire_soft_cpu *begin(unsigned index)
{
	struct soft_cpu *cpu = &soft_cpus[index];

	cpu->public.key_register = 0;
	soft_adopt(cpu);
	soft_come_in(cpu);
	grace_online();
	soft_run(cpu, space);
	cpu->public.mm = mm;
	return &cpu->public;
}

static void finish(void)
{
	struct soft_cpu *cpu = soft_self;

	soft_run(cpu, NULL);
	cpu->public.mm = NULL;
	grace_offline();
	soft_go_out(cpu);
	soft_abandon();
}

#endif
