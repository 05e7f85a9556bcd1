/* SPDX-License-Identifier: MIT */
/*
 * Walks: from the root to a leaf without a lock, in a section.
 *
 *     root ──► [ ] ──► [ ] ──► [leaf]     each arrow: an acquire load of an entry, which pairs with the release
 *                                         store of table_hook, so that the child's entries and descriptor are seen
 *
 * Each entry is looked at once, and every form that it can have is told apart at every level:
 * empty, a table, a huge page, in transition.
 */
#include "table/table.h"

enum walk_status table_walk(const struct tables *tables, uint64_t address, struct walk *walk)
{
	struct frame *table = tables->root;
	unsigned level = tables->levels - 1;

	for (;;) {
		walk->table = table;
		walk->slot = (slot *)frame_bytes(table) + table_index(address, level);
		if (level == 0)
			return WALK_LEAF;
		walk->value = at_load_acquire(walk->slot);
		if (unlikely(!pte_is_table(walk->value)))
			break;
		table = frame_of(pte_pfn(walk->value));
		level--;
	}
	if (walk->value == PTE_NONE)
		return WALK_MISSING;
	return pte_is_busy(walk->value) ? WALK_BUSY : WALK_HUGE;
}

/* The first address above `address` whose entry in this table, from its slot on, is not empty; or
 * the table's end. */
static uint64_t skip_empty(const struct frame *table, uint64_t address)
{
	uint64_t span = table_entry_span(table->u.table.level);
	slot *slots = frame_bytes(table);
	unsigned index = table_index(address, table->u.table.level);

	do
		address = (address & ~(span - 1)) + span;
	while (++index < TABLE_ENTRIES && at_load(&slots[index]) == PTE_NONE);
	return address;
}

struct frame *table_next_leaf(const struct tables *tables, uint64_t *address, uint64_t end)
{
	struct walk walk;

	while (*address < end) {
		enum walk_status status = table_walk(tables, *address, &walk);

		if (status == WALK_LEAF)
			return walk.table;
		/* Nothing makes huge or busy entries above the leaves yet; skipping one would leave
		 * it mapped. */
		require(status == WALK_MISSING);
		*address = skip_empty(walk.table, *address);
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
