/* SPDX-License-Identifier: MIT */
/*
 * Walks: from the root to a leaf without a lock, in a section.
 *
 *     root ──► [ ] ──► [ ] ──► [leaf]
 *
 * Each arrow is an acquire load of an entry, which pairs with the release store of table_hook, so
 * that the child's entries and descriptor are seen.
 *
 * Each entry is looked at once, and every form that it can have is told apart at every level:
 * empty, a table, a huge page, in transition.
 */
#include "table/table.h"

enum walk_status table_walk(const struct tables *tables, uint64_t address, struct walk *walk)
{
	unsigned shift = PAGE_SHIFT + TABLE_BITS * tables->levels;
	slot *slots = port_frame(tables->root_pfn);
	pte entry = PTE_NONE, link = PTE_NONE; /* link: what has led to the table */
	slot *at;

	for (;;) {
		shift -= TABLE_BITS;
		at = slots + (address >> shift & (TABLE_ENTRIES - 1));
		if (shift == PAGE_SHIFT)
			break;
		entry = at_load_acquire(at);
		if (unlikely(!pte_is_table(entry)))
			break;
		link = entry;
		slots = port_frame(pte_pfn(entry));
	}
	walk->table = likely(link != PTE_NONE) ? frame_of(pte_pfn(link)) : tables->root;
	walk->slot = at;
	walk->value = entry;
	if (likely(shift == PAGE_SHIFT))
		return WALK_LEAF;
	if (entry == PTE_NONE)
		return WALK_MISSING;
	return pte_is_busy(entry) ? WALK_BUSY : WALK_HUGE;
}

uint64_t table_skip_empty(const struct frame *table, uint64_t address, uint64_t end)
{
	unsigned level = table->u.table.level, index = table_index(address, level);
	uint64_t base = address & ~(table_span(level) - 1);
	unsigned limit = end - base < table_span(level) ? table_index(end - 1, level) + 1
							: TABLE_ENTRIES;
	slot *slots = frame_bytes(table);

	while (index + 4 <= limit && !(at_load(&slots[index]) | at_load(&slots[index + 1]) |
				       at_load(&slots[index + 2]) | at_load(&slots[index + 3])))
		index += 4;
	while (index < limit && at_load(&slots[index]) == PTE_NONE)
		index++;
	base += index * table_entry_span(level);
	return base > address ? base : address;
}

struct frame *table_next_leaf(const struct tables *tables, uint64_t *address, uint64_t end)
{
	struct walk walk;

	while (*address < end) {
		enum walk_status status = table_walk(tables, *address, &walk);

		if (status == WALK_LEAF)
			return walk.table;
		/* Nothing makes other entries above the leaves yet, and to skip one is wrong. */
		require(status == WALK_MISSING);
		*address = table_skip_empty(walk.table, *address, end);
	}
	return NULL;
}

static void visit(struct frame *table, void (*visitor)(struct frame *, void *), void *context)
{
	slot *slots = frame_bytes(table);

	visitor(table, context);
	if (table->u.table.level == 0)
		return;
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		pte entry = at_load_acquire(&slots[i]);

		if (pte_is_table(entry))
			visit(frame_of(pte_pfn(entry)), visitor, context);
	}
}

void table_visit(const struct tables *tables, void (*visitor)(struct frame *table, void *context),
		 void *context)
{
	visit(tables->root, visitor, context);
}
