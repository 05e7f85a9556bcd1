/* SPDX-License-Identifier: MIT */
/*
 * The VMA tree: look-ups, and what needs the whole tree (build, free, validate). tree_edit.c has
 * the edits, gap.c the search for gaps, tree_node.h the node.
 *
 *     root   [ 0x1000 .. 0x9000 │ 0xa000 .. 0xf000 ]     each child: the start of its first VMA,
 *                 │                  │                   the end of its last, the largest hole
 *     leaf   [1..3│4..8│8..9]   [a..b│c..f]              a leaf has the bounds of its VMAs: a
 *              │    │    │        │    │                 look-up touches the VMA that it returns,
 *             vma  vma  vma      vma  vma                and no other
 *
 * A look-up descends by starts alone: child i is right if it is the last that starts at or below
 * the address. Only the leaf decides whether anything contains it.
 */
#include "space/tree_node.h"

struct slab tree_slab;

uint32_t tree_node_size(void)
{
	return sizeof(struct tree_node);
}

void tree_init(struct tree *tree)
{
	at_store(&tree->root, (struct tree_node *)NULL);
}

/* Acquire: pairs with the release store of tree_commit, before which all below was written. */
static const struct tree_node *tree_root(const struct tree *tree)
{
	return at_load_acquire(&tree->root);
}

struct vma *tree_find(const struct tree *tree, uint64_t address)
{
	const struct tree_node *node = tree_root(tree);
	size_t i;

	/* No VMA contains the last address, which is also what keys that are not in use say. */
	if (!node || address < node->start[0] || address == UINT64_MAX)
		return NULL;
	for (unsigned level = node->level; level > 0; level--)
		node = node->child[node_upto(node, address) - 1].to.node;
	i = node_upto(node, address) - 1;
	return address < node->child[i].end ? node_vma(node, i) : NULL;
}

struct vma *tree_next(const struct tree *tree, uint64_t address)
{
	const struct tree_node *node = tree_root(tree);

	if (!node || address >= node->child[node->count - 1].end)
		return NULL;
	for (;;) {
		/* The last child that starts at or below the address, or the one after it. */
		size_t i = node_upto(node, address);

		if (i > 0 && address < node->child[i - 1].end)
			i--;
		if (node->level == 0)
			return node_vma(node, i);
		node = node->child[i].to.node;
	}
}

struct vma *tree_prev(const struct tree *tree, uint64_t address)
{
	const struct tree_node *node = tree_root(tree);

	if (!node || address <= node->start[0])
		return NULL;
	while (node->level > 0)
		node = node->child[node_upto(node, address - 1) - 1].to.node;
	return node_vma(node, node_upto(node, address - 1) - 1);
}

struct tree_node *node_new(struct tree_node **made, unsigned level)
{
	struct tree_node *node = slab_alloc(&tree_slab);

	if (!node)
		return NULL;
	node->count = 0;
	node->level = level;
	for (unsigned i = 0; i < NODE_MAX; i++)
		node_clear(node, i);
	node_chain(made, node);
	return node;
}

struct tree_item node_summary(struct tree_node *node)
{
	uint64_t gap = node->gap[0];

	for (unsigned i = 1; i < node->count; i++) {
		if (node->gap[i] > gap)
			gap = node->gap[i];
		if (node_hole(node, i - 1) > gap)
			gap = node_hole(node, i - 1);
	}
	return (struct tree_item){
		node->start[0], node->child[node->count - 1].end, gap, { .node = node }
	};
}

/* The right edge of a tree that is being built: one unfinished node on each level. */
struct build {
	struct tree_node *made;
	struct tree_node *open[TREE_LEVELS];
	size_t nodes[TREE_LEVELS]; /* still to be begun */
	size_t items[TREE_LEVELS]; /* still to be added, all of the level */
	size_t room[TREE_LEVELS];  /* items that the open node still waits for */
};

/* As few nodes as hold the items, all of about the same size. Returns the level of the root. */
static unsigned plan(struct build *build, size_t count)
{
	for (unsigned level = 0;; level++) {
		build->open[level] = NULL;
		build->items[level] = count;
		build->nodes[level] = count = (count + NODE_MAX - 1) / NODE_MAX;
		if (count <= 1)
			return level;
	}
}

/* Add the next item, and each node that is complete with it to its parent. False: no memory. */
static bool put(struct build *build, struct tree_item item, unsigned top)
{
	for (unsigned level = 0;; level++) {
		struct tree_node **node = &build->open[level];

		if (!*node) {
			*node = node_new(&build->made, level);
			if (!*node)
				return false;
			build->room[level] = build->items[level] / build->nodes[level]--;
			build->items[level] -= build->room[level];
		}
		node_add(*node, &item);
		if (--build->room[level] > 0 || level == top)
			return true;
		item = node_summary(*node);
		*node = NULL;
	}
}

bool tree_build(struct tree *tree, size_t count, struct vma *(*next)(void *context), void *context)
{
	struct build build = { .made = NULL };
	unsigned top = plan(&build, count);

	for (size_t i = 0; i < count; i++) {
		if (!put(&build, vma_item(next(context)), top)) {
			struct tree_node *node;

			while ((node = node_unchain(&build.made)) != NULL)
				slab_free(&tree_slab, node);
			return false;
		}
	}
	/* Release: pairs with the acquire load in tree_root; the space may be known already. */
	at_store_release(&tree->root, build.open[top]);
	return true;
}

static void free_below(struct tree_node *node)
{
	if (node->level > 0)
		for (unsigned i = 0; i < node->count; i++)
			free_below(node->child[i].to.node);
	slab_free(&tree_slab, node);
}

void tree_free(struct tree *tree)
{
	struct tree_node *root = at_load(&tree->root);

	if (root)
		free_below(root);
	tree_init(tree);
}

struct check {
	uint64_t end; /* of the VMA before */
	size_t count;
};

static const char *check_leaf(struct check *check, const struct tree_node *node)
{
	for (unsigned i = 0; i < node->count; i++) {
		const struct vma *vma = node_vma(node, i);

		if (vma->start != node->start[i] || vma->end != node->child[i].end)
			return "tree: a leaf and its VMA disagree";
		if (vma->start >= vma->end)
			return "tree: an empty VMA";
		if (vma->start < check->end)
			return "tree: VMAs overlap or are out of order";
		check->end = vma->end;
	}
	check->count += node->count;
	return NULL;
}

static const char *check_node(struct check *check, struct tree_node *node, unsigned level,
			      unsigned least)
{
	const char *wrong = NULL;

	if (node->level != level)
		return "tree: leaves at different depths";
	if (node->count < least || node->count > NODE_MAX)
		return "tree: a node that is too empty or too full";
	for (unsigned i = node->count; i < NODE_MAX; i++)
		if (node->start[i] != UINT64_MAX || node->child[i].end != 0)
			return "tree: a key that is not in use is not the last";
	if (level == 0)
		return check_leaf(check, node);
	for (unsigned i = 0; i < node->count && !wrong; i++) {
		struct tree_item item = node_item(node, i);

		wrong = check_node(check, item.to.node, level - 1, NODE_MIN);
		if (!wrong) {
			struct tree_item below = node_summary(item.to.node);

			if (item.start != below.start || item.end != below.end)
				wrong = "tree: the bounds kept of a node are not its own";
			else if (item.gap != below.gap)
				wrong = "tree: the gap kept of a node is not its own";
		}
	}
	return wrong;
}

const char *tree_validate(const struct tree *tree, size_t *count)
{
	struct check check = { 0, 0 };
	struct tree_node *root = at_load_acquire(&tree->root); /* as tree_root */
	const char *wrong = NULL;

	if (root)
		wrong = check_node(&check, root, root->level, root->level > 0 ? 2 : 1);
	*count = check.count;
	return wrong;
}
