/* SPDX-License-Identifier: MIT */
/*
 * The search for a free range.
 *
 *        low                                        high
 *         │   ┌──child 0──┐  hole   ┌──child 1──┐    │
 *         ▼   │ v  v    v │◄───────►│ v   v   v │    ▼
 *     outer   └───────────┘         └───────────┘   outer
 *             gap[0]: largest hole inside child 0
 *
 * A node is gone through in the order of addresses (or its reverse): inside child 0, the hole after
 * it, inside child 1, ... A child is entered only if it holds a hole that is large enough. Such a
 * hole may still be out of the window, in the two children at the window's edges alone, or too
 * small once the stack gap of the VMA above it is taken off: what nodes record doesn't know of
 * stack gaps, for there are few stacks, and the gap belongs to the space.
 *
 * A stack gap is taken off the hole directly below its VMA, and doesn't reach over another VMA
 * there.
 */
#include "space/tree_node.h"

struct search {
	uint64_t low, high, length, stack_gap;
	bool down;
};

static const struct vma *first_vma(const struct tree_node *node, unsigned i)
{
	while (node->level > 0) {
		node = node->child[i].to.node;
		i = 0;
	}
	return node_vma(node, i);
}

/* The address in the hole [from, to). On top of it lies child i of node, if any. */
static uint64_t place(const struct search *s, uint64_t from, uint64_t to,
		      const struct tree_node *node, unsigned i)
{
	uint64_t bottom = from > s->low ? from : s->low;
	uint64_t top = to < s->high ? to : s->high;

	if (top < bottom || top - bottom < s->length)
		return TREE_NO_GAP;
	if (node && first_vma(node, i)->flags & VMA_GROWSDOWN) {
		to = to > s->stack_gap ? to - s->stack_gap : 0;
		top = to < top ? to : top;
		if (top < bottom || top - bottom < s->length)
			return TREE_NO_GAP;
	}
	return s->down ? top - s->length : bottom;
}

/* => the depth of the recursion is that of the tree, below TREE_LEVELS */
static uint64_t inside(const struct search *s, const struct tree_node *node)
{
	unsigned last = 2 * (node->count - 1);

	for (unsigned turn = 0; turn <= last; turn++) {
		unsigned position = s->down ? last - turn : turn, i = position / 2;
		uint64_t found = TREE_NO_GAP;

		if (position % 2)
			found = place(s, node->child[i].end, node->start[i + 1], node, i + 1);
		else if (node->level > 0 && node->gap[i] >= s->length &&
			 node->child[i].end > s->low && node->start[i] < s->high)
			found = inside(s, node->child[i].to.node);
		if (found != TREE_NO_GAP)
			return found;
	}
	return TREE_NO_GAP;
}

uint64_t tree_gap(const struct tree *tree, uint64_t low, uint64_t high, uint64_t length, bool down,
		  uint64_t stack_gap)
{
	struct search s = { low, high, length, stack_gap, down };
	/* Acquire: pairs with the release store of the root in tree_commit. */
	const struct tree_node *root = at_load_acquire(&tree->root);
	uint64_t below, above, found;

	if (!root)
		return place(&s, 0, UINT64_MAX, NULL, 0);
	below = place(&s, 0, root->start[0], root, 0);
	if (!down && below != TREE_NO_GAP)
		return below;
	above = place(&s, root->child[root->count - 1].end, UINT64_MAX, NULL, 0);
	if (down && above != TREE_NO_GAP)
		return above;
	found = inside(&s, root);
	if (found != TREE_NO_GAP)
		return found;
	return down ? below : above;
}
