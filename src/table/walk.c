/* SPDX-License-Identifier: MIT */
/*
 * Walks: from the root to a leaf without a lock, in a section (table_walk, in table.h).
 *
 *     root ──► [ ] ──► [ ] ──► [leaf]
 *
 * Each arrow is an acquire load of an entry, which pairs with the release store of table_hook, so
 * that the child's entries and descriptor are seen.
 */
#include "table/table.h"

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
