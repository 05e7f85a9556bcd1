/* SPDX-License-Identifier: MIT */
/*
 * Edits of the VMA tree, by path copying.
 *
 *                 left                right
 *     level 2   [ · · · ▼ · · · · · · · · · ]
 *                     │
 *     level 1   [ · · ▼ x x ▼ · · · · ]
 *                     │     │
 *     level 0   [ · · ▼ x x]   [x x ▼ · · ]
 *                kept   ▲          kept
 *                       added
 *
 * The window [low, high) is the space between two cursors, each a path from the root to a position
 * in a leaf. An edit is the same step on each level, from the leaves up: what the left cursor's
 * node has before the cursor, the fresh items, and what the right cursor's node has after it are
 * dealt out to new nodes. These are the fresh items of the next level, where they take the place of
 * all that the cursors enclose.
 *
 * When fewer than NODE_MIN items remain, the node beside (of the same parent or not) is drawn in:
 * the cursor moves over it, and the next level then replaces it too. Two nodes that are not both
 * more than half full become one. The edit ends on the level on which no node is left but the new
 * ones: if it is one, it is the root.
 *
 * Most edits are small: the window lies in one leaf, which is neither full nor too empty
 * afterwards. Then that leaf is copied with the change, and above it each node with one child in
 * place of another.
 *
 * At most 15 + 4 + 14 items remain on a level, so a level yields three new nodes at most. An edit
 * that adds or removes a few VMAs copies one or two nodes a level; one that removes many visits
 * what it removes, to free it.
 *
 * Weighed and left: editing in place under a lock with a sequence count (look-ups would retry, and
 * could miss a VMA while it moves); insertion and removal of single VMAs (a split or a merge is one
 * step here, and no reader sees the middle of it).
 */
#include "space/tree_node.h"

/* A path: on each level the node and the index of the next in it; in the leaf, 0 to count. */
struct cursor {
	unsigned levels;
	struct tree_node *node[TREE_LEVELS];
	unsigned index[TREE_LEVELS];
};

#define REMAIN_MAX (2 * NODE_MAX + TREE_EDIT_MAX)

struct rewrite {
	struct tree_edit *edit;
	struct cursor left, right;
	struct tree_item fresh[TREE_EDIT_MAX]; /* to go between the cursors */
	unsigned fresh_count;
	struct tree_item remain[REMAIN_MAX]; /* of this level, in order */
	unsigned remain_count;
};

/* Before the first VMA that starts at or above the address, in the leaf of the one before it. */
static void locate(struct cursor *cursor, struct tree_node *root, uint64_t address)
{
	cursor->levels = root ? root->level + 1 : 0;
	require(cursor->levels < TREE_LEVELS);
	for (unsigned level = cursor->levels; level-- > 0;) {
		unsigned below = address > 0 ? (unsigned)node_upto(root, address - 1) : 0;

		cursor->node[level] = root;
		cursor->index[level] = level > 0 && below > 0 ? below - 1 : below;
		if (level > 0)
			root = root->child[cursor->index[level]].to.node;
	}
}

/* The lowest level above `level` on which the cursor can move; cursor->levels: none. */
static unsigned turning(const struct cursor *cursor, unsigned level, bool forward)
{
	while (++level < cursor->levels)
		if (cursor->index[level] != (forward ? cursor->node[level]->count - 1 : 0))
			return level;
	return cursor->levels;
}

/* Move the cursor to the node beside its own on a level. False: there is none. */
static bool step(struct cursor *cursor, unsigned level, bool forward)
{
	unsigned up = turning(cursor, level, forward);

	if (up >= cursor->levels)
		return false;
	cursor->index[up] = forward ? cursor->index[up] + 1 : cursor->index[up] - 1;
	for (; up > level; up--) {
		struct tree_node *child = cursor->node[up]->child[cursor->index[up]].to.node;

		cursor->node[up - 1] = child;
		cursor->index[up - 1] = forward ? 0 : child->count - 1;
	}
	return true;
}

static void keep(struct rewrite *rw, struct tree_node *node, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		rw->remain[rw->remain_count++] = node_item(node, i);
}

/* What remains on a level: in rw->remain. Draws in a neighbour if that is too little for a node. */
static void gather(struct rewrite *rw, unsigned level)
{
	struct tree_node *first = NULL, *last = NULL, *before = NULL, *after = NULL;
	unsigned upto = 0, from = 0, count = 0, total;

	if (level < rw->left.levels) {
		first = rw->left.node[level];
		last = rw->right.node[level];
		upto = rw->left.index[level];
		from = rw->right.index[level] + (level > 0);
		count = last->count;
	}
	total = upto + rw->fresh_count + count - from;
	if (total > 0 && total < NODE_MIN) {
		if (step(&rw->left, level, false))
			before = rw->left.node[level];
		else if (step(&rw->right, level, true))
			after = rw->right.node[level];
	}
	rw->remain_count = 0;
	if (before)
		keep(rw, before, 0, before->count);
	keep(rw, first, 0, upto);
	for (unsigned i = 0; i < rw->fresh_count; i++)
		rw->remain[rw->remain_count++] = rw->fresh[i];
	keep(rw, last, from, count);
	if (after)
		keep(rw, after, 0, after->count);
}

/* Chain the nodes from the left to the right cursor, which the new version doesn't have. */
static void replace(struct rewrite *rw, unsigned level)
{
	struct cursor at = rw->left;

	if (level >= at.levels)
		return;
	do {
		at.node[level]->next_replaced = rw->edit->replaced;
		rw->edit->replaced = at.node[level];
	} while (at.node[level] != rw->right.node[level] && step(&at, level, true));
}

/*
 * Deal out what remains to as few nodes as hold it; they are the fresh items of the next level.
 * False: no memory.
 */
static bool deal(struct rewrite *rw, unsigned level)
{
	unsigned nodes = (rw->remain_count + NODE_MAX - 1) / NODE_MAX;
	const struct tree_item *item = rw->remain;

	rw->fresh_count = 0;
	for (unsigned left = rw->remain_count; nodes > 0; nodes--) {
		struct tree_node *node = node_new(&rw->edit->added, level);
		unsigned share = (left + nodes - 1) / nodes;

		if (!node)
			return false;
		for (unsigned i = 0; i < share; i++)
			node_add(node, item++);
		left -= share;
		rw->fresh[rw->fresh_count++] = node_summary(node);
	}
	return true;
}

/* Can the edit be made in one leaf, with no node merged or split? */
static bool in_leaf(const struct rewrite *rw)
{
	const struct cursor *left = &rw->left, *right = &rw->right;
	unsigned total;

	if (left->levels == 0 || left->node[0] != right->node[0])
		return false;
	total = left->index[0] + rw->fresh_count + left->node[0]->count - right->index[0];
	return total <= NODE_MAX && total >= (left->levels == 1 ? 1 : NODE_MIN);
}

/* A copy that takes the place of the node; NULL: no memory. */
static struct tree_node *copy(struct rewrite *rw, struct tree_node *old)
{
	struct tree_node *node = slab_alloc(&tree_slab);

	if (!node)
		return NULL;
	*node = *old;
	node_chain(&rw->edit->added, node);
	old->next_replaced = rw->edit->replaced;
	rw->edit->replaced = old;
	return node;
}

/* In a copy of a leaf: what is fresh in place of what the cursors enclose. */
static void splice(const struct rewrite *rw, struct tree_node *node)
{
	struct tree_node *old = rw->left.node[0];
	unsigned at = rw->left.index[0];

	node->count = at;
	for (unsigned i = 0; i < rw->fresh_count; i++)
		node_add(node, &rw->fresh[i]);
	at = rw->right.index[0];
	if (node->count == at) {
		node->count = old->count;
		return;
	}
	for (; at < old->count; at++) {
		struct tree_item item = node_item(old, at);

		node_add(node, &item);
	}
	for (at = node->count; at < old->count; at++)
		node_clear(node, at);
}

/* The leaf is copied with what is fresh in it, and the nodes above it as they are. */
static bool prepare_leaf(struct rewrite *rw)
{
	struct tree_node *node = copy(rw, rw->left.node[0]);

	if (!node)
		return false;
	splice(rw, node);
	for (unsigned level = 1; level < rw->left.levels; level++) {
		struct tree_item item = node_summary(node);

		node = copy(rw, rw->left.node[level]);
		if (!node)
			return false;
		node_set(node, rw->left.index[level], &item);
	}
	rw->edit->root = node;
	return true;
}

bool tree_prepare(const struct tree *tree, struct tree_edit *edit, uint64_t low, uint64_t high,
		  struct vma *const *added, unsigned count)
{
	struct tree_node *root = at_load(&tree->root); /* the editor's own: no order needed */
	struct rewrite rw;
	bool whole;

	require(low <= high && count <= TREE_EDIT_MAX);
	*edit = (struct tree_edit){ NULL, NULL, NULL };
	rw.edit = edit;
	locate(&rw.left, root, low);
	locate(&rw.right, root, high);
	rw.fresh_count = count;
	for (unsigned i = 0; i < count; i++)
		rw.fresh[i] = vma_item(added[i]);

	if (likely(in_leaf(&rw))) {
		if (likely(prepare_leaf(&rw)))
			return true;
		tree_drop(edit);
		return false;
	}
	for (unsigned level = 0;; level++) {
		gather(&rw, level);
		replace(&rw, level);
		whole = turning(&rw.left, level, false) >= rw.left.levels &&
			turning(&rw.right, level, true) >= rw.right.levels;
		if (whole && level > 0 && rw.remain_count == 1) {
			edit->root = rw.remain[0].to.node;
		} else if (!deal(&rw, level)) {
			tree_drop(edit);
			return false;
		} else if (whole && rw.fresh_count <= 1) {
			edit->root = rw.fresh_count ? rw.fresh[0].to.node : NULL;
		} else {
			continue;
		}
		while (++level < rw.left.levels)
			replace(&rw, level);
		return true;
	}
}

static void free_node(struct deferred *deferred)
{
	slab_free(&tree_slab, container_of(deferred, struct tree_node, deferred));
}

void tree_commit(struct tree *tree, struct tree_edit *edit)
{
	struct tree_node *node, *next;

	/* Release: pairs with the acquire load of the root in every look-up. */
	at_store_release(&tree->root, edit->root);
	for (node = edit->replaced; node; node = next) {
		next = node->next_replaced;
		grace_defer(&node->deferred, free_node);
	}
	edit->added = edit->replaced = NULL;
}

void tree_swap(struct tree *tree, struct vma *vma)
{
	struct tree_node *node = at_load(&tree->root);

	while (node->level > 0)
		node = node->child[node_upto(node, vma->start) - 1].to.node;
	/* Release: pairs with node_vma. Who finds the VMA sees what it says. */
	at_store_release(&node->child[node_upto(node, vma->start) - 1].to.vma, vma);
}

void tree_drop(struct tree_edit *edit)
{
	struct tree_node *node;

	while ((node = node_unchain(&edit->added)) != NULL)
		slab_free(&tree_slab, node);
	edit->replaced = NULL;
}
