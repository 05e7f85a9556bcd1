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
	uint64_t table = frame_pfn(tables->root);
	unsigned shift = PAGE_SHIFT + TABLE_BITS * tables->levels;
	pte entry = PTE_NONE;
	slot *at;

	for (;;) {
		shift -= TABLE_BITS;
		at = (slot *)port_frame(table) + (address >> shift & (TABLE_ENTRIES - 1));
		if (shift == PAGE_SHIFT)
			break;
		entry = at_load_acquire(at);
		if (unlikely(!pte_is_table(entry)))
			break;
		table = pte_pfn(entry);
	}
	walk->table = frame_of(table);
	walk->slot = at;
	walk->value = entry;
	if (likely(shift == PAGE_SHIFT))
		return WALK_LEAF;
	if (entry == PTE_NONE)
		return WALK_MISSING;
	return pte_is_busy(entry) ? WALK_BUSY : WALK_HUGE;
}

/*
 * The first address above `address` whose entry in this table is not empty; the table's end, or one
 * not below `end`.
 */
static uint64_t skip_empty(const struct frame *table, uint64_t address, uint64_t end)
{
	uint64_t span = table_entry_span(table->u.table.level);
	slot *slots = frame_bytes(table);
	unsigned index = table_index(address, table->u.table.level);

	do
		address = (address & ~(span - 1)) + span;
	while (address < end && ++index < TABLE_ENTRIES && at_load(&slots[index]) == PTE_NONE);
	return address;
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
		*address = skip_empty(walk.table, *address, end);
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
