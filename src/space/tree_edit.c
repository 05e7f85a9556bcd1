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

/*
 * The commonest edit by far: a VMA takes the place of one with the same bounds (mprotect, mlock,
 * advice). Nothing else that a node says changes.
 */
static bool is_swap(const struct cursor *at, uint64_t low, uint64_t high, const struct vma *vma)
{
	const struct tree_node *leaf = at->levels ? at->node[0] : NULL;
	unsigned i = leaf ? at->index[0] : 0;

	return i > 0 && vma->start == low && vma->end == high && leaf->start[i - 1] == low &&
	       leaf->child[i - 1].end == high;
}

/* The nodes of the path are copied, but for a link each. False: no memory. */
static bool swap(struct tree_edit *edit, const struct cursor *at, struct vma *vma)
{
	union tree_link link = { .vma = vma };

	for (unsigned level = 0; level < at->levels; level++) {
		struct tree_node *node = at->node[level], *copy = slab_alloc(&tree_slab);

		if (!copy) {
			tree_drop(edit);
			return false;
		}
		*copy = *node;
		copy->child[level ? at->index[level] : at->index[0] - 1].to = link;
		link.node = copy;
		node_chain(&edit->added, copy);
		node->next_replaced = edit->replaced;
		edit->replaced = node;
	}
	edit->root = link.node;
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
	if (count == 1) {
		locate(&rw.left, root, low + 1);
		if (is_swap(&rw.left, low, high, added[0]))
			return swap(edit, &rw.left, added[0]);
	}
	locate(&rw.left, root, low);
	locate(&rw.right, root, high);
	rw.fresh_count = count;
	for (unsigned i = 0; i < count; i++)
		rw.fresh[i] = vma_item(added[i]);

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

void tree_drop(struct tree_edit *edit)
{
	struct tree_node *node;

	while ((node = node_unchain(&edit->added)) != NULL)
		slab_free(&tree_slab, node);
	edit->replaced = NULL;
}
