/* SPDX-License-Identifier: MIT */
/*
 * The page cache of an object.
 *
 *     find      root ──► child ──► ... ──► leaf: the slot's address. No lock, no count of nodes.
 *     insert    no leaf there: lock the cache, add what is missing from the top down
 *               lock the leaf ──► dead? start again ──► limit ──► slot empty? store
 *     remove    lock the leaf ──► take pages out, one by one ──► unlock
 *               was it the last: lock the cache, lock the leaf ──► still empty? dead, unhook
 *
 * A node is unhooked before the lock under which it died is given back: who locks it, sees that it
 * is dead, and starts again from the root, does not find it a second time.
 *
 * The tree is as high as its largest index needs. It grows by a root above the root, and shrinks
 * when the root has no other child than the first: the old root goes, its child stays. Who descends
 * from a root that was replaced, or through a node that was unhooked, finds what was there at a
 * moment of its own section: nodes stay as they were, and allocated, until it ends.
 *
 * No empty node stays: an insertion that makes nodes and then does not insert takes them out again,
 * and so does the removal of the last page. So a cache without pages has no root.
 */
#include "object/cache_node.h"

struct slab cache_slab;

uint32_t cache_node_size(void)
{
	return sizeof(struct cache_node);
}

void cache_init(struct cache *cache, uint64_t limit)
{
	at_store(&cache->root, NULL);
	at_store(&cache->limit, limit);
	spin_init(&cache->lock);
}

void cache_exit(struct cache *cache)
{
	require(!at_load(&cache->root));
}

/* --- looking --- */

static unsigned place(unsigned shift, uint64_t index)
{
	return index >> shift & (CACHE_SLOTS - 1);
}

static bool covers(unsigned shift, uint64_t index)
{
	return !(index >> shift >> CACHE_BITS);
}

/* The leaf that covers the index, or NULL. => in a section */
static struct cache_node *leaf_of(const struct cache *cache, uint64_t index)
{
	/* Acquire, here and below: pairs with the release stores of grow, shrink and hook. */
	struct cache_node *node = at_load_acquire(&cache->root);
	unsigned shift;

	if (unlikely(!node))
		return NULL;
	shift = node->shift;
	if (unlikely(!covers(shift, index)))
		return NULL;
	for (; shift && node; shift -= CACHE_BITS)
		node = at_load_acquire(&node->at.children[place(shift, index)]);
	return node;
}

static struct cache_slot slot_of(struct cache_node *leaf, uint64_t index)
{
	unsigned i = place(0, index);

	if (unlikely(!leaf))
		return (struct cache_slot){ NULL, NULL, 0 };
	return (struct cache_slot){ &leaf->at.frames[i], &leaf->dirty, 1ull << i };
}

struct cache_slot cache_find(const struct cache *cache, uint64_t index)
{
	assert_debug(section_inside());
	return slot_of(leaf_of(cache, index), index);
}

void cache_find_run(const struct cache *cache, uint64_t index, unsigned count,
		    struct cache_slot *slots)
{
	struct cache_node *leaf = leaf_of(cache, index);

	assert_debug(section_inside() && count <= 16);
	for (unsigned i = 0; i < count; i++) {
		if (i && !place(0, index + i))
			leaf = leaf_of(cache, index + i);
		slots[i] = slot_of(leaf, index + i);
	}
}

/*
 * The first child that covers indices from *index on, which rises to the first that it covers; or
 * NULL, and *index rises to the first index behind the node.
 */
static struct cache_node *next_child(const struct cache_node *node, uint64_t *index)
{
	for (unsigned i = place(node->shift, *index); i < CACHE_SLOTS; i++) {
		/* Acquire: as in leaf_of. */
		struct cache_node *child = at_load_acquire(&node->at.children[i]);

		if (child)
			return child;
		*index = ((*index >> node->shift) + 1) << node->shift;
	}
	return NULL;
}

/* The first leaf that covers indices of [*index, end); *index rises to the first. Or NULL. */
static struct cache_node *next_leaf(const struct cache *cache, uint64_t *index, uint64_t end)
{
	while (*index < end) {
		/* Acquire: as in leaf_of. */
		struct cache_node *node = at_load_acquire(&cache->root);

		if (!node || !covers(node->shift, *index))
			return NULL;
		while (node && node->shift)
			node = next_child(node, index);
		if (node)
			return *index < end ? node : NULL;
	}
	return NULL;
}

/* The end of what a leaf covers from the index on, or `end`. */
static uint64_t leaf_end(uint64_t index, uint64_t end)
{
	uint64_t last = index | (CACHE_SLOTS - 1);

	return last < end ? last + 1 : end;
}

struct frame *cache_next(const struct cache *cache, uint64_t *index, uint64_t end, bool dirty,
			 struct cache_slot *slot)
{
	struct cache_node *leaf;
	uint64_t at = *index;

	assert_debug(section_inside());
	while ((leaf = next_leaf(cache, &at, end))) {
		uint64_t bits = dirty ? at_load(&leaf->dirty) : UINT64_MAX;
		uint64_t last = leaf_end(at, end);

		if (!bits)
			at = last;
		for (; at < last; at++) {
			struct cache_slot here = slot_of(leaf, at);
			struct frame *frame = bits & here.bit ? cache_load(&here) : NULL;

			if (!frame)
				continue;
			*slot = here;
			*index = at;
			return frame;
		}
	}
	return NULL;
}

/* --- the shape: all under the cache's lock --- */

static struct cache_node *make_node(unsigned shift, struct cache_node *parent, unsigned offset)
{
	struct cache_node *node = slab_alloc(&cache_slab);

	if (!node)
		return NULL;
	memset(node, 0, sizeof(*node));
	node->shift = (uint8_t)shift;
	node->offset = (uint8_t)offset;
	node->parent = parent;
	spin_init(&node->lock);
	return node;
}

static void free_node(struct deferred *deferred)
{
	slab_free(&cache_slab, container_of(deferred, struct cache_node, deferred));
}

/* A root that covers the index. False: no memory. */
static bool grow(struct cache *cache, uint64_t index)
{
	struct cache_node *root = at_load(&cache->root), *above;
	unsigned shift = root ? (unsigned)root->shift + CACHE_BITS : 0;

	while (!root && !covers(shift, index))
		shift += CACHE_BITS;
	for (; !root || !covers(root->shift, index); shift += CACHE_BITS) {
		above = make_node(shift, NULL, 0);
		if (!above)
			return false;
		if (root) {
			at_store(&above->at.children[0], root);
			above->count = 1;
			root->parent = above;
		}
		/* Release: pairs with the acquire loads of who descends. */
		at_store_release(&cache->root, above);
		root = above;
	}
	return true;
}

/* Let a root go that has no child but the first: the tree is as high as it needs to be. */
static void shrink(struct cache *cache)
{
	struct cache_node *root, *child;

	while ((root = at_load(&cache->root)) && root->shift && root->count == 1 &&
	       (child = at_load(&root->at.children[0]))) {
		child->parent = NULL;
		/* Release: pairs with the acquire loads of who descends. */
		at_store_release(&cache->root, child);
		grace_defer(&root->deferred, free_node);
	}
}

/* A new child of an inner node. NULL: no memory. */
static struct cache_node *hook(struct cache_node *node, uint64_t index)
{
	unsigned i = place(node->shift, index);
	struct cache_node *child = make_node(node->shift - CACHE_BITS, node, i);

	if (!child)
		return NULL;
	node->count++;
	/* Release: pairs with the acquire loads of who descends. */
	at_store_release(&node->at.children[i], child);
	return child;
}

/* If the node is empty it goes, and its ancestors that are empty then. => a leaf: its lock, too */
static void unhook(struct cache *cache, struct cache_node *node)
{
	while (node && !node->count) {
		struct cache_node *parent = node->parent;

		if (parent) {
			at_store(&parent->at.children[node->offset], NULL);
			parent->count--;
		} else {
			at_store(&cache->root, NULL);
		}
		grace_defer(&node->deferred, free_node);
		node = parent;
	}
	shrink(cache);
}

/* The leaf of the index, made if need be. NULL: no memory. => in a section, no lock held */
static struct cache_node *make_leaf(struct cache *cache, uint64_t index)
{
	struct cache_node *node = NULL, *child = NULL;

	spin_lock(&cache->lock, RANK_CACHE);
	if (grow(cache, index))
		child = at_load(&cache->root);
	while (child && child->shift) {
		node = child;
		child = at_load(&node->at.children[place(node->shift, index)]);
		if (!child)
			child = hook(node, index);
	}
	if (!child)
		unhook(cache, node);
	spin_unlock(&cache->lock);
	return child;
}

/* Take out a leaf that was seen empty. => in a section, no lock held */
static void prune(struct cache *cache, struct cache_node *leaf)
{
	spin_lock(&cache->lock, RANK_CACHE);
	spin_lock(&leaf->lock, RANK_CACHE_NODE);
	if (!leaf->dead && !leaf->count) {
		leaf->dead = true;
		unhook(cache, leaf);
	}
	spin_unlock(&leaf->lock);
	spin_unlock(&cache->lock);
}

/* --- pages --- */

/* False: the leaf is dead. */
static bool insert_at(struct cache *cache, struct cache_node *leaf, uint64_t index,
		      struct frame *frame, enum cache_insert *result)
{
	struct cache_slot slot = slot_of(leaf, index);
	bool dead;

	/*
	 * A full barrier between hooking the leaf and reading the limit: pairs with the fence of
	 * cache_remove, between lowering the limit and looking for leaves.
	 */
	spin_lock(&leaf->lock, RANK_CACHE_NODE);
	dead = leaf->dead;
	/* Acquire: pairs with the end of a growth. Who reads the page knows what came before it. */
	if (index >= at_load_acquire(&cache->limit)) {
		*result = CACHE_BEYOND;
	} else if (at_load(slot.at)) {
		*result = CACHE_TAKEN;
	} else if (!dead) {
		*result = CACHE_INSERTED;
		leaf->count++;
		cache_unmark(&slot); /* of the page that was here before */
		/* Release: pairs with the acquire load of cache_load. */
		at_store_release(slot.at, frame);
	}
	spin_unlock(&leaf->lock);
	return !dead;
}

enum cache_insert cache_insert(struct cache *cache, uint64_t index, struct frame *frame)
{
	enum cache_insert result = CACHE_BEYOND;
	struct cache_node *leaf;

	assert_debug(section_inside());
	do {
		/* So that no node is made for an index that is nowhere near; insert_at decides. */
		if (index >= at_load(&cache->limit))
			return CACHE_BEYOND;
		leaf = leaf_of(cache, index);
		if (!leaf)
			leaf = make_leaf(cache, index);
		if (!leaf)
			return CACHE_NO_MEMORY;
	} while (!insert_at(cache, leaf, index, frame, &result));
	if (result == CACHE_BEYOND)
		prune(cache, leaf);
	return result;
}

uint64_t cache_remove(struct cache *cache, uint64_t index, uint64_t end, unsigned most,
		      bool (*take)(struct frame *, uint64_t index, void *context), void *context)
{
	struct cache_node *leaf;

	assert_debug(section_inside());
	/* Between lowering the limit and looking for leaves: pairs with the lock of insert_at. */
	at_fence();
	while (most && (leaf = next_leaf(cache, &index, end))) {
		unsigned before = most;
		bool empty;

		spin_lock(&leaf->lock, RANK_CACHE_NODE);
		/* A dead leaf is empty; pages that are where it was came after this began. */
		for (uint64_t last = leaf_end(index, end); most && index < last; index++) {
			struct frame *_Atomic *at = slot_of(leaf, index).at;
			struct frame *frame = at_load(at);

			if (!frame || !take(frame, index, context))
				continue;
			/* A full barrier: what the caller then sweeps has left the cache. */
			at_xchg(at, NULL);
			leaf->count--;
			most--;
		}
		empty = !leaf->count;
		spin_unlock(&leaf->lock);
		if (empty && most < before)
			prune(cache, leaf);
	}
	return most || index >= end ? CACHE_NONE : index;
}
