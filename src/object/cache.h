/* SPDX-License-Identifier: MIT */
/*
 * The page cache of an object: a radix tree from index to frame.
 *
 *     root ──► [64] ──► [64] ──► leaf node ──► frame            a node covers 64^(level + 1) pages
 *                                   ├── lock: its slots, count, dead
 *                                   └── dirty: a bit for each slot, set and cleared without lock
 *
 * Look-ups take no lock, in a section. A slot of a leaf node is changed under that node's lock, so
 * edits in two nodes (64 pages, 256 KiB) don't meet. The shape (which nodes there are, the root) is
 * changed under the cache's lock. A node that is taken out is empty and marked dead, both under its
 * lock, and is freed after a grace period: so who holds its lock and finds it not dead holds a node
 * of the tree.
 *
 * Limit. Nobody inserts at an index that is not below `limit`: read under the node's lock. Whoever
 * lowers the limit and then takes out all pages from there on (cache_remove, node by node, each
 * under its lock) so leaves none behind: either the insertion was first and its page is found, or
 * it sees the lower limit. (Of a node that is not there yet: lower, full barrier, look for nodes;
 * hook the node, lock it (full barrier), look at the limit.)
 *
 * Frames in the cache are FRAME_OBJECT. The cache has one reference of each.
 */
#ifndef QUIRE_OBJECT_CACHE_H
#define QUIRE_OBJECT_CACHE_H

#include "frame/slab.h"

#define CACHE_BITS 6
#define CACHE_SLOTS 64
#define CACHE_NONE UINT64_MAX

struct cache_node;

struct cache {
	struct cache_node *_Atomic root; /* NULL: empty */
	/* Apart from what look-ups read, as the lock: RANK_CACHE, the shape. */
	_Atomic uint64_t limit __attribute__((aligned(CACHE_LINE))); /* in pages */
	struct spinlock lock __attribute__((aligned(CACHE_LINE)));
};

extern struct slab cache_slab; /* of nodes; slab_init'ed by who starts Quire */
uint32_t cache_node_size(void);

/* The slot of an index: valid, though perhaps of a dead node, in the section of the look-up. */
struct cache_slot {
	struct frame *_Atomic *at; /* NULL: there is no node */
	_Atomic uint64_t *dirty;   /* the node's bits */
	uint64_t bit;		   /* of this slot */
};

void cache_init(struct cache *, uint64_t limit);

/* => in a section; wait-free. The frame that is read from the slot may leave it at any time. */
struct cache_slot cache_find(const struct cache *, uint64_t index);
/*
 * The slots of [index, index + count) at once, for who needs neighbours: fills slots[0..count).
 * => as cache_find; count <= 16
 */
void cache_find_run(const struct cache *, uint64_t index, unsigned count, struct cache_slot *slots);

/* What is in the slot. Acquire: who sees the frame sees its descriptor filled in. NULL: nothing. */
static inline struct frame *cache_load(const struct cache_slot *slot)
{
	return slot->at ? at_load_acquire(slot->at) : NULL;
}

enum cache_insert { CACHE_INSERTED, CACHE_TAKEN, CACHE_BEYOND, CACHE_NO_MEMORY };
/*
 * Put a frame in, whose one reference becomes the cache's. CACHE_TAKEN: something is there;
 * CACHE_BEYOND: index is not below the limit; CACHE_NO_MEMORY: no memory for a node; then it stays
 * the caller's. Nodes made for nothing don't stay. Clears the dirty bit, which may be left of an
 * earlier page: removal leaves it, and who marks may come late.
 * => in a section; at most RANK_CACHE_NODE is taken, then SLAB and POOL
 */
enum cache_insert cache_insert(struct cache *, uint64_t index, struct frame *);

/*
 * Take pages of [index, end) out: those for which take(frame, index, context) says true. `take` is
 * called under the node's lock, before the slot is emptied (by exchange: a full barrier), with the
 * frame's index. The cache's reference is then the caller's of cache_remove: not yet in `take`,
 * where the slot still shows the frame. Empty nodes go. Begins with a full barrier: the limit is
 * lowered by a plain at_store before.
 * Goes on for at most `most` frames taken; returns the index to go on from, or CACHE_NONE: done.
 * => in a section, no spin lock held
 */
uint64_t cache_remove(struct cache *, uint64_t index, uint64_t end, unsigned most,
		      bool (*take)(struct frame *, uint64_t index, void *context), void *context);

/*
 * The first page at or after *index, below end; *index is set to its index. NULL: none.
 * dirty: only slots with their dirty bit set.
 * => in a section, in which the slot stays valid
 */
struct frame *cache_next(const struct cache *, uint64_t *index, uint64_t end, bool dirty,
			 struct cache_slot *slot);

/* The dirty bit. Both by read-modify-write where it changes: a full barrier then. */
static inline void cache_mark(const struct cache_slot *slot)
{
	uint64_t old = at_load(slot->dirty);

	while (!(old & slot->bit) && !at_cas(slot->dirty, &old, old | slot->bit))
		;
}

static inline void cache_unmark(const struct cache_slot *slot)
{
	uint64_t old = at_load(slot->dirty);

	while (old & slot->bit && !at_cas(slot->dirty, &old, old & ~slot->bit))
		;
}

/* validate.c: NULL, or what is wrong; counts pages and dirty bits. => nothing else runs */
const char *cache_validate(const struct cache *, uint64_t *pages, uint64_t *dirty);

/* => empty of pages, and so of nodes; nobody looks at it any more. */
void cache_exit(struct cache *);

#endif
