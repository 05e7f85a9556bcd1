/* SPDX-License-Identifier: MIT */
/*
 * Page tables: 4 or 5 levels of 512 entries, level 0 the leaves, the descriptor of a table in its
 * frame's descriptor.
 *
 *     level  4     3     2     1     0
 *         [root]→[   ]→[   ]→[   ]→[leaf]→ page     walks: no lock, in a section
 *                                                   entries: changed under their table's lock
 *                                                   hook: under the parent's lock
 *                                                   unhook: under the parent's and the table's
 *
 * A table is freed (its frame, its descriptor and so its lock) after it was unhooked, after a flush
 * with page-walk caches, and after a grace period: so a walker may lock a dead table, and finds
 * `dead` set.
 *
 * A table that is not there yet (Q3): the sweeper publishes, full barrier, reads the parent's
 * entry; who hooks a table stores the entry, locks the leaf (full barrier), checks the mapping. One
 * of the two sees the other.
 */
#ifndef QUIRE_TABLE_TABLE_H
#define QUIRE_TABLE_TABLE_H

#include "frame/frame.h"
#include "trace/trace.h"

struct tables {
	struct frame *root;
	pte top; /* what leads to the root: an entry of no table */
	unsigned levels;
	struct trace_block *trace; /* the space's counters, one block for each CPU */
	struct port_space port;
};

typedef _Atomic pte slot;

/* The same page with other rights or another key: what the CPU has marked stays. */
static inline pte pte_change(pte entry, unsigned rights, unsigned key)
{
	pte changed = pte_make(pte_pfn(entry), rights, key);

	if (pte_is_special(entry))
		changed = pte_special(changed);
	if (pte_is_accessed(entry))
		changed = pte_accessed(changed);
	return pte_is_dirty(entry) ? pte_dirty(changed) : changed;
}

/* Bytes translated by one entry, and by one whole table, of a level. */
static inline uint64_t table_entry_span(unsigned level)
{
	return 1ull << (PAGE_SHIFT + TABLE_BITS * level);
}

static inline uint64_t table_span(unsigned level)
{
	return 1ull << (PAGE_SHIFT + TABLE_BITS * (level + 1));
}

static inline unsigned table_index(uint64_t address, unsigned level)
{
	return (unsigned)(address >> (PAGE_SHIFT + TABLE_BITS * level)) & (TABLE_ENTRIES - 1);
}

static inline slot *table_slot(const struct frame *table, uint64_t address)
{
	return (slot *)frame_bytes(table) + table_index(address, table->u.table.level);
}

/* The same, of the table that an entry of its parent leads to. */
static inline slot *table_entry(pte above, uint64_t address, unsigned level)
{
	return (slot *)port_frame(pte_pfn(above)) + table_index(address, level);
}

static inline enum lock_rank table_rank(unsigned level)
{
	return (enum lock_rank)(RANK_LEAF - (int)level);
}

/* => pinned. Returns false if it had to wait for the lock. */
static inline bool table_lock(struct frame *table)
{
	return spin_lock(&table->u.table.lock, table_rank(table->u.table.level));
}

static inline void table_unlock(struct frame *table)
{
	spin_unlock(&table->u.table.lock);
}

/*
 * What is mapped in the leaf's addresses is not what it was, or the leaf is unhooked: who knows it
 * by its version (fault/fault.h) looks anew. After the change has been published.
 * => locked
 */
static inline void table_changed(struct frame *leaf)
{
	assert_held(&leaf->u.table.lock);
	at_store(&leaf->u.table.version, at_load(&leaf->u.table.version) + 1);
}

/* 0, -QUIRE_ENOMEM, or what port_space_init says. => pinned */
int tables_init(struct tables *, unsigned levels, struct trace_block *trace);
/* Free every table. => no mapped entry is left, no CPU runs the space, no reader is left; pinned */
void tables_exit(struct tables *);

/* A cleared table page, hooked nowhere; NULL: no memory. => pinned */
struct frame *table_alloc(void);
/* Give back one that was never hooked. */
void table_free_unused(struct frame *);

enum walk_status {
	WALK_LEAF,    /* table is the leaf, at the address */
	WALK_MISSING, /* the entry in `table` (level > 0) is empty */
	WALK_HUGE,    /* the entry in `table` (level > 0) maps a huge page */
	WALK_BUSY,    /* the entry in `table` (level > 0) is in transition */
};

struct walk {
	struct frame *table;
	slot *slot; /* the entry for the address in table */
};

/*
 * One level down: what the entry for the address says in the table that *above leads to. If that is
 * a table, *above leads there. (Nothing but an entry is carried along: the fewest instructions.)
 */
static ALWAYS_INLINE bool walk_down(pte *above, pte *entry, uint64_t address, unsigned level)
{
	/* Acquire: pairs with the release store of table_hook. */
	*entry = at_load_acquire(table_entry(*above, address, level));
	if (unlikely(!pte_is_table(*entry)))
		return false;
	*above = *entry;
	return true;
}

/* Of an entry that is no table: each of the other forms that it can have. */
static inline enum walk_status walk_end(pte entry)
{
	if (entry == PTE_NONE)
		return WALK_MISSING;
	return pte_is_busy(entry) ? WALK_BUSY : WALK_HUGE;
}

/* => in a section, in which the result stays usable. */
static ALWAYS_INLINE enum walk_status table_walk(const struct tables *tables, uint64_t address,
						 struct walk *walk)
{
	pte above = tables->top, entry;
	unsigned level = 0;

	if (PORT_MAX_LEVELS == 5 && tables->levels == 5 && !walk_down(&above, &entry, address, 4))
		level = 4;
	else if (!walk_down(&above, &entry, address, 3))
		level = 3;
	else if (!walk_down(&above, &entry, address, 2))
		level = 2;
	else if (!walk_down(&above, &entry, address, 1))
		level = 1;
	walk->table = frame_of(pte_pfn(above));
	walk->slot = table_entry(above, address, level);
	return likely(level == 0) ? WALK_LEAF : walk_end(entry);
}

enum hook_status {
	HOOK_DONE,
	HOOK_DEAD,  /* the parent is dead: walk again */
	HOOK_TAKEN, /* the entry is no longer empty: walk again */
};
/*
 * Hook `child` (from table_alloc) into parent's entry for address.
 * => parent's lock held
 */
enum hook_status table_hook(struct tables *, struct frame *parent, uint64_t address,
			    struct frame *child);

/*
 * Walk to the leaf of the address, making tables on the way: for a writer that owns the address
 * (its range is locked or its space is not public), so no mapping needs to be checked. Returns the
 * leaf, NULL: no memory. It is not locked: until it is, and was found not to be dead, somebody may
 * unhook it for being empty.
 * => in a section, no table lock held
 */
struct frame *table_make_leaf(struct tables *, uint64_t address);

/*
 * Lock two leaves, the lower address first.
 * => in a section. Returns false, with neither locked, if one is dead.
 */
bool table_lock_pair(struct frame *a, struct frame *b);
void table_unlock_pair(struct frame *a, struct frame *b);

/*
 * The first address, from `address` on, whose entry in this table is not empty; the table's end, or
 * one not below `end`. Without a lock a glance, no more. => address < end
 */
uint64_t table_skip_empty(const struct frame *table, uint64_t address, uint64_t end);

/*
 * The first leaf that translates something in [*address, end); *address is moved up to the first
 * address of it in the range. NULL: none.
 * => in a section. Between publishing and a sweeper's first call comes a full barrier (Q3): every
 *    edit has one, after its publication.
 */
struct frame *table_next_leaf(const struct tables *, uint64_t *address, uint64_t end);

/*
 * Unhook `table` if it is empty, and then its ancestors while they are empty. A leaf only if its
 * whole span lies in [floor, ceiling), where nothing is mapped in the current layout: it would soon
 * be made again. Dead marks are set here.
 * The unhooked tables are chained to *unhooked (through deferred.next), to be given to table_defer
 * after the flush.
 * => pinned or in a section; no table lock held.
 */
void table_unhook_empty(struct tables *, struct frame *table, uint64_t floor, uint64_t ceiling,
			struct frame **unhooked);
/* Free them after a grace period. => after the flush with tables = true. */
void table_defer(struct frame *unhooked);

/* Calls visit for every hooked table, root first. => nothing else changes the tables. */
void table_visit(const struct tables *, void (*visit)(struct frame *table, void *context),
		 void *context);

#endif
