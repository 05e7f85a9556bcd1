/* SPDX-License-Identifier: MIT */
/*
 * How tables come and go.
 *
 *     hook      parent locked: not dead, entry empty ──► store the entry
 *     unhook    parent locked, table locked: empty ──► dead ──► parent's entry empty
 *               later: flush with page-walk caches ──► grace period ──► free: frame, descriptor
 *               and lock together (H31)
 *
 * A table may be hooked behind a sweep, for a mapping that is gone (Q3). Nothing is stored in it:
 * whoever locks its leaf checks the mapping there, and sees what the sweeper published if the
 * sweeper did not see the table. Both have a full barrier in between: here it is the
 * read-modify-write by which the leaf is locked; there the one by which what is retired is
 * deferred, between publishing and sweeping.
 */
#include "table/table.h"

#include <quire/types.h>

struct frame *table_alloc(void)
{
	struct frame *table = frame_alloc_zeroed(NULL);

	if (!table)
		return NULL;
	table->kind = FRAME_TABLE;
	spin_init(&table->u.table.lock);
	at_store(&table->u.table.dead, 0);
	at_store(&table->u.table.version, 0ull);
	table->u.table.used = 0;
	return table;
}

void table_free_unused(struct frame *table)
{
	frame_put_zeroed(table);
}

int tables_init(struct tables *tables, unsigned levels, struct trace_block *trace)
{
	int error;

	tables->levels = levels;
	tables->trace = trace;
	tables->root = table_alloc();
	if (!tables->root)
		return -QUIRE_ENOMEM;
	tables->top = pte_table(frame_pfn(tables->root));
	tables->root->u.table.level = (uint8_t)(levels - 1);
	tables->root->u.table.parent = NULL;
	tables->root->u.table.tables = tables;
	tables->root->u.table.base = 0;
	error = port_space_init(&tables->port, frame_pfn(tables->root), levels);
	if (error)
		frame_put(tables->root);
	return error;
}

static void free_tree(struct frame *table)
{
	unsigned level = table->u.table.level, left = level ? table->u.table.used : 0;
	uint64_t at = table->u.table.base, end = at + table_span(level);

	for (; left; left--, at += table_entry_span(level)) {
		at = table_skip_empty(table, at, end);
		free_tree(frame_of(pte_pfn(at_load(table_slot(table, at)))));
	}
	frame_put(table);
}

void tables_exit(struct tables *tables)
{
	port_space_exit(&tables->port);
	free_tree(tables->root);
}

enum hook_status table_hook(struct tables *tables, struct frame *parent, uint64_t address,
			    struct frame *child)
{
	slot *at = table_slot(parent, address);
	uint8_t level = (uint8_t)(parent->u.table.level - 1);

	assert_held(&parent->u.table.lock);
	if (at_load(&parent->u.table.dead))
		return HOOK_DEAD;
	if (at_load(at) != PTE_NONE)
		return HOOK_TAKEN;
	child->u.table.level = level;
	child->u.table.parent = parent;
	child->u.table.tables = tables;
	child->u.table.base = address & ~(table_span(level) - 1);
	parent->u.table.used++;
	/* Release: pairs with the acquire loads of table_walk. */
	at_store_release(at, pte_table(frame_pfn(child)));
	trace_add(&tables->trace[port_cpu()].tables, 1);
	return HOOK_DONE;
}

struct frame *table_make_leaf(struct tables *tables, uint64_t address)
{
	struct frame *spare = NULL;
	struct walk walk;
	enum walk_status status;

	while ((status = table_walk(tables, address, &walk)) != WALK_LEAF) {
		require(status == WALK_MISSING);
		if (!spare && !(spare = table_alloc()))
			return NULL;
		table_lock(walk.table);
		if (table_hook(tables, walk.table, address, spare) == HOOK_DONE)
			spare = NULL;
		table_unlock(walk.table);
	}
	if (spare)
		table_free_unused(spare);
	return walk.table;
}

bool table_lock_pair(struct frame *a, struct frame *b)
{
	struct frame *first = a->u.table.base <= b->u.table.base ? a : b;
	struct frame *second = first == a ? b : a;

	spin_lock(&first->u.table.lock, RANK_LEAF);
	if (second != first)
		spin_lock(&second->u.table.lock, RANK_LEAF_2);
	if (likely(!at_load(&a->u.table.dead) && !at_load(&b->u.table.dead)))
		return true;
	table_unlock_pair(a, b);
	return false;
}

void table_unlock_pair(struct frame *a, struct frame *b)
{
	spin_unlock(&a->u.table.lock);
	if (a != b)
		spin_unlock(&b->u.table.lock);
}

/*
 * Mark an empty table dead and take it out of its parent. Returns whether it did; *parent_empty
 * whether nothing is left there.
 */
static bool unhook(struct frame *table, struct frame *parent, bool *parent_empty)
{
	bool done = false;

	table_lock(parent);
	table_lock(table);
	if (table->u.table.used == 0 && !at_load(&table->u.table.dead)) {
		/*
		 * Who has walked to the table before, and locks it from now on, finds the mark; who
		 * knows it, and so doesn't look for that, the new version.
		 */
		at_store(&table->u.table.dead, 1);
		table_changed(table);
		at_store(table_slot(parent, table->u.table.base), PTE_NONE);
		parent->u.table.used--;
		done = true;
	}
	table_unlock(table);
	*parent_empty = parent->u.table.used == 0;
	table_unlock(parent);
	return done;
}

void table_unhook_empty(struct tables *tables, struct frame *table, uint64_t floor,
			uint64_t ceiling, struct frame **unhooked)
{
	struct trace_block *trace = &tables->trace[port_cpu()];
	bool empty = true;

	while (empty && table->u.table.parent) {
		struct frame *parent = table->u.table.parent;
		uint64_t base = table->u.table.base;

		if (table->u.table.level == 0 && (base < floor || base + table_span(0) > ceiling))
			return;
		if (!unhook(table, parent, &empty))
			return;
		table->u.table.deferred.next = *unhooked ? &(*unhooked)->u.table.deferred : NULL;
		*unhooked = table;
		trace_add(&trace->tables, -1);
		trace_count(&trace->counters[QUIRE_TABLES_FREED]);
		table = parent;
	}
}

static void free_deferred(struct deferred *deferred)
{
	/* It was unhooked because nothing was left in it. */
	frame_put_zeroed(container_of(deferred, struct frame, u.table.deferred));
}

void table_defer(struct frame *unhooked)
{
	struct deferred *next;

	for (struct deferred *d = &unhooked->u.table.deferred; d; d = next) {
		next = d->next;
		grace_defer(d, free_deferred);
	}
}
