/* SPDX-License-Identifier: MIT */
/*
 * The VMA tree: a B+-tree over [start, end) ranges that don't overlap, edited by path copying.
 *
 *     version n:    root ──► inner ──► leaf ──► vma
 *                     ╲
 *     version n+1:  root' ─► inner' ─► leaf' ─► vma'
 *
 * A reader loads the root once (acquire) and sees one whole version of the address space: the
 * bounds in a node never change after it is published. An edit copies the nodes on its path and
 * shares all others. (One VMA in place of another with the same bounds is put into the node that
 * is there: tree_swap.) It is prepared (all memory is had, nothing is changed), then committed by
 * one release store of the root; or dropped. The nodes that it replaced are freed after a grace
 * period. Look-ups are wait-free. There is one editor at a time (the space's tree lock).
 */
#ifndef QUIRE_SPACE_TREE_H
#define QUIRE_SPACE_TREE_H

#include "space/vma.h"

struct tree_node;

struct tree {
	struct tree_node *_Atomic root; /* NULL: empty */
};

extern HIDDEN struct slab tree_slab;
/* sizeof(struct tree_node), for slab_init. */
uint32_t tree_node_size(void);

void tree_init(struct tree *);

/* The VMA that contains the address, or NULL. => in a section (or tree lock held); wait-free. */
struct vma *tree_find(const struct tree *, uint64_t address);
/* The first VMA that ends above the address, or NULL: what Linux calls find_vma. => the same */
struct vma *tree_next(const struct tree *, uint64_t address);
/* The last VMA that starts below the address, or NULL. => the same */
struct vma *tree_prev(const struct tree *, uint64_t address);

/*
 * The VMAs that overlap [low, high), in order, and those from `first` on that do. => as tree_next,
 * from one to the next
 */
#define for_each_vma(vma, tree, low, high) for_each_vma_from(vma, tree_next(tree, low), tree, high)
#define for_each_vma_from(vma, first, tree, high)                                                  \
	for (struct vma *vma = (first); vma && vma->start < (high);                                \
	     vma = vma->end < (high) ? tree_next(tree, vma->end) : NULL)

/* All of these of one version: a snapshot of the root for several look-ups. */
static inline struct tree tree_snapshot(const struct tree *tree)
{
	return (struct tree){ at_load_acquire(&tree->root) };
}

/*
 * The gap of `length` bytes (a multiple of the page) in [low, high) that lies highest (down = true)
 * or lowest. Each VMA with VMA_GROWSDOWN keeps `stack_gap` bytes below it that are no gap. Returns
 * its address or TREE_NO_GAP. The search takes O(log n) nodes: each child carries the size of the
 * largest gap inside it.
 * => in a section or tree lock held
 */
#define TREE_NO_GAP UINT64_MAX
uint64_t tree_gap(const struct tree *, uint64_t low, uint64_t high, uint64_t length, bool down,
		  uint64_t stack_gap);

struct tree_edit {
	struct tree_node *root;		    /* of the new version */
	struct tree_node *added, *replaced; /* chains */
};

/*
 * Prepare the version in which the VMAs whose start lies in [low, high) are gone and
 * added[0..count) (sorted, disjoint, within [low, high) or in the space that becomes free) are
 * there. Nothing visible changes. Returns false: no memory, and nothing is left over. An edit may
 * be prepared on top of one that is prepared but not committed (`tree` is then a tree with that
 * one's root): they are committed in this order, or dropped in the reverse.
 * => tree lock held, pinned; count <= TREE_EDIT_MAX
 */
#define TREE_EDIT_MAX 4
bool tree_prepare(const struct tree *, struct tree_edit *, uint64_t low, uint64_t high,
		  struct vma *const *added, unsigned count);
/*
 * Publish (release store of the root) and defer the freeing of the replaced nodes. The removed VMAs
 * are the caller's to retire.
 */
void tree_commit(struct tree *, struct tree_edit *);
void tree_drop(struct tree_edit *);
/*
 * Publish a VMA in place of the one that has the same bounds, which is the caller's to retire: in
 * the leaf that has it, since the tree's shape stays what it is.
 * => tree lock held, no edit prepared
 */
void tree_swap(struct tree *, struct vma *);

/*
 * Build a tree of `count` sorted VMAs that next(context) returns one after the other, for fork.
 * Returns false: no memory, nothing left over.
 * => the tree is not public
 */
bool tree_build(struct tree *, size_t count, struct vma *(*next)(void *context), void *context);
/* Free all nodes at once (not the VMAs). => no reader is left */
void tree_free(struct tree *);

/*
 * NULL, or what is wrong: order, overlap, fill, depth, bounds and gaps recorded in inner nodes.
 * *count is set to the number of VMAs.
 */
const char *tree_validate(const struct tree *, size_t *count);

#endif
