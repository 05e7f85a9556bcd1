/* SPDX-License-Identifier: MIT */
/*
 * A node of the VMA tree: what tree.c, tree_edit.c and gap.c share. Nothing here changes after its
 * node is published, but for the chains, which no reader looks at, and the VMA of a child of a leaf
 * (tree_swap): load it by node_vma.
 *
 *     line 0, 1   count, level, start[15]        a search reads these,
 *     line 2..5   (end, child)[15], deferred     then one of these,
 *     line 6, 7   next_replaced, gap[15]         and only a search for a gap reads these
 *
 * Fifteen keys, because a binary search decides among sixteen answers in exactly four steps, with
 * no branch and no count: keys that are not in use are UINT64_MAX.
 */
#ifndef QUIRE_SPACE_TREE_NODE_H
#define QUIRE_SPACE_TREE_NODE_H

#include "space/tree.h"

#define NODE_MAX 15
#define NODE_MIN 7     /* of every node but the root; an inner root has two at least */
#define TREE_LEVELS 13 /* more VMAs than fit into 2^57 bytes */

union tree_link {
	struct tree_node *node;	 /* in a node of level > 0 */
	struct vma *_Atomic vma; /* in a leaf */
};

struct tree_child {
	uint64_t end; /* of the last VMA below; 0: not in use */
	union tree_link to;
};

struct tree_node {
	uint32_t count;
	uint32_t level;		  /* 0: a leaf */
	uint64_t start[NODE_MAX]; /* of the first VMA below each child */
	struct tree_child child[NODE_MAX];
	struct deferred deferred; /* the chain of what an edit made; then the grace period */
	/* The chain of what an edit replaces. Apart: one edit may be prepared on top of another. */
	struct tree_node *next_replaced;
	uint64_t gap[NODE_MAX]; /* largest hole between two VMAs below each child */
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(sizeof(struct tree_node) == 8 * CACHE_LINE, "a node is a whole number of lines");

/* How many children start at or below the address. */
static inline size_t node_upto(const struct tree_node *node, uint64_t address)
{
	size_t count = (size_t)(node->start[7] <= address) * 8;

	count += (size_t)(node->start[count + 3] <= address) * 4;
	count += (size_t)(node->start[count + 1] <= address) * 2;
	count += (size_t)(node->start[count] <= address);
	return count;
}

/* Of a leaf. Acquire: pairs with the release store of tree_swap. */
static inline struct vma *node_vma(const struct tree_node *node, size_t i)
{
	return at_load_acquire(&node->child[i].to.vma);
}

/* The hole between a child and the one after it. */
static inline uint64_t node_hole(const struct tree_node *node, unsigned i)
{
	return node->start[i + 1] - node->child[i].end;
}

/* A child with what its parent keeps of it; between nodes, while trees are made. */
struct tree_item {
	uint64_t start, end, gap;
	union tree_link to;
};

static inline void node_set(struct tree_node *node, unsigned i, const struct tree_item *item)
{
	node->start[i] = item->start;
	node->child[i] = (struct tree_child){ item->end, item->to };
	node->gap[i] = item->gap;
}

static inline void node_clear(struct tree_node *node, unsigned i)
{
	node->start[i] = UINT64_MAX;
	node->child[i] = (struct tree_child){ 0 };
	node->gap[i] = 0;
}

/* => not full, not published */
static inline void node_add(struct tree_node *node, const struct tree_item *item)
{
	assert_debug(node->count < NODE_MAX && item->start < item->end);
	assert_debug(node->count == 0 || node->child[node->count - 1].end <= item->start);
	node_set(node, node->count++, item);
}

static inline struct tree_item node_item(const struct tree_node *node, unsigned i)
{
	return (struct tree_item){ node->start[i], node->child[i].end, node->gap[i],
				   node->child[i].to };
}

static inline struct tree_item vma_item(struct vma *vma)
{
	return (struct tree_item){ vma->start, vma->end, 0, { .vma = vma } };
}

/* Of a tree in the making: an empty node, chained to *made by node_chain; NULL: no memory. */
struct tree_node *node_new(struct tree_node **made, unsigned level);
/* What the parent of `node` keeps of it. */
struct tree_item node_summary(struct tree_node *node);

static inline void node_chain(struct tree_node **chain, struct tree_node *node)
{
	node->deferred.next = *chain ? &(*chain)->deferred : NULL;
	*chain = node;
}

/* Take the first off a chain; NULL: it is empty. */
static inline struct tree_node *node_unchain(struct tree_node **chain)
{
	struct tree_node *node = *chain;
	struct deferred *next = node ? node->deferred.next : NULL;

	*chain = next ? container_of(next, struct tree_node, deferred) : NULL;
	return node;
}

#endif
