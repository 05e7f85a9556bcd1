/* SPDX-License-Identifier: MIT */
/*
 * Edits: the one way in which the layout changes.
 *
 *     before      [   a   ][  b  ]      [    c    ]
 *                       |<-- start, end -->|
 *     pieces      [ a' ]                    [ c'  ]     what is cut off at the edges stays
 *     after       [ a' ][      made      ][   c'  ]     or one VMA, where neighbours are equal
 *
 * All that is needed is had first; then one store publishes the new root, and then the sequence
 * counts of the replaced VMAs turn odd. Who sees a count odd (acquire) sees the new root. The sweep
 * comes after, by the caller.
 *
 * The window of an edit: the VMAs that overlap [start, end), and a neighbour on either side if it
 * is merged with.
 */
#include "space/space.h"

void space_edit_begin(struct quire_mm *mm)
{
	section_enter();
	spin_lock(&mm->tree_lock, RANK_TREE);
}

/* => pinned; at most RANK_TREE held */
static void drop_gone(struct deferred *gone)
{
	while (gone) {
		struct mapping *mapping = container_of(gone, struct mapping, deferred);

		gone = gone->next;
		mapping_drop(mapping);
	}
}

struct deferred *space_take_gone(struct quire_mm *mm)
{
	struct deferred *gone = mm->gone;

	mm->gone = NULL;
	return gone;
}

void space_forget(struct deferred *gone)
{
	section_enter();
	drop_gone(gone);
	section_leave();
}

void space_edit_end(struct quire_mm *mm)
{
	drop_gone(space_take_gone(mm));
	spin_unlock(&mm->tree_lock);
	section_leave();
}

struct vma *vma_new(uint64_t start, uint64_t end, uint32_t flags, uint32_t key,
		    struct mapping *mapping)
{
	struct vma *vma = slab_alloc(&vma_slab);

	if (!vma)
		return NULL;
	at_store(&vma->seq, VMA_LIVE);
	at_store(&vma->readers, 0u);
	vma->start = start;
	vma->end = end;
	vma->flags = flags;
	vma->key = key;
	vma->mapping = mapping;
	return vma;
}

void vma_free(struct vma *vma)
{
	if (vma)
		slab_free(&vma_slab, vma);
}

static void free_retired(struct deferred *deferred)
{
	vma_free(container_of(deferred, struct vma, deferred));
}

/*
 * The vma-lock baseline: no fault is under way in this VMA any more, and none will be.
 * => the space is locked exclusively; a reader neither sleeps nor needs the tree lock
 */
static void write_lock(struct vma *vma)
{
	unsigned turn = 0;

	at_add(&vma->readers, VMA_WRITER);
	while (at_load_acquire(&vma->readers) != VMA_WRITER) /* pairs with vma_read_done */
		port_pause(turn++);
}

static void retire(struct vma *vma)
{
	/*
	 * Release: pairs with the acquire loads of fault_learn and look_up. The tree
	 * without the VMA is published already.
	 */
	at_store_release(&vma->seq, VMA_RETIRED);
	/* Its lock is a full barrier, after which the caller's sweep looks for tables (Q3). */
	grace_defer(&vma->deferred, free_retired);
}

/* One edit: the window [low, high) of old VMAs and what comes in their place. */
struct edit {
	uint64_t low, high;
	struct vma *added[TREE_EDIT_MAX];
	unsigned count;
	int error;
	struct vma *first; /* in the window, or above it; NULL: none */
	uint64_t replaced; /* VMAs in the window */
	struct tree_edit tree;
};

static void add(struct edit *edit, uint64_t start, uint64_t end, const struct vma_attributes *as)
{
	struct vma *vma = edit->error ? NULL : vma_new(start, end, as->flags, as->key, as->mapping);

	if (!vma) {
		if (!edit->error)
			edit->error = -QUIRE_ENOMEM;
		return;
	}
	if (as->pending)
		at_store(&vma->seq, VMA_PENDING);
	/* Nobody else changes the bounds: they are this space's, whose tree lock is held. */
	if (as->mapping && (start < as->mapping->start || end > as->mapping->end))
		mapping_extend(as->mapping, start, end);
	edit->added[edit->count++] = vma;
}

/*
 * May they have one record? Not while a fork copies entries: the merged one would be later than the
 * child's, and a sweep of the object meet the child first (object/mapping.h).
 */
static bool one_mapping(const struct mapping *a, const struct mapping *b)
{
	return a == b || (mapping_same(a, b) && at_load(&a->mm->forking) == 0);
}

static bool same_attributes(const struct vma *vma, const struct vma_attributes *as)
{
	return at_load(&vma->seq) != VMA_PENDING && !as->pending && vma->flags == as->flags &&
	       vma->key == as->key && one_mapping(vma->mapping, as->mapping);
}

/* Is the VMA cut in two at this address, and does its object not want that? */
static void check_cut(struct edit *edit, const struct vma *vma, uint64_t address)
{
	const struct mapping *mapping = vma->mapping;
	const struct quire_object *object = mapping ? mapping->object : NULL;

	if (object && object->ops->may_split &&
	    !object->ops->may_split(mapping->object, mapping_index(mapping, address) << PAGE_SHIFT))
		edit->error = -QUIRE_EINVAL;
}

/* What comes in place of the window: the pieces at the edges and the new mapping, merged. */
static void plan(const struct tree *tree, struct edit *edit, uint64_t start, uint64_t end,
		 const struct vma_attributes *as)
{
	const struct vma *left = tree_prev(tree, start); /* starts below: cut off, or a neighbour */
	const struct vma *right = tree_find(tree, end);	 /* contains end, which may be its start */
	bool merge_left = as && left && left->end >= start && same_attributes(left, as);
	bool merge_right = as && right && same_attributes(right, as);
	bool cut_left = left && left->end > start;
	bool cut_right = right && right->start < end;
	struct vma_attributes kept;

	edit->low = cut_left || merge_left ? left->start : start;
	edit->high = cut_right || merge_right ? right->end : end;
	if (cut_left && !merge_left) {
		kept = vma_attributes(left);
		check_cut(edit, left, start);
		add(edit, left->start, start, &kept);
	}
	if (as) {
		/* Of mappings that are merged the last stays (object/mapping.h). */
		kept = *as;
		if (merge_left)
			kept.mapping = mapping_later(kept.mapping, left->mapping);
		if (merge_right)
			kept.mapping = mapping_later(kept.mapping, right->mapping);
		add(edit, merge_left ? left->start : start, merge_right ? right->end : end, &kept);
	}
	if (cut_right && !merge_right) {
		kept = vma_attributes(right);
		check_cut(edit, right, end);
		add(edit, end, right->end, &kept);
	}
}

static void look_at_window(const struct tree *tree, struct edit *edit)
{
	edit->first = tree_next(tree, edit->low);
	edit->replaced = 0;
	for_each_vma_from(vma, edit->first, tree, edit->high)
		edit->replaced++;
}

static void drop(struct edit *edit)
{
	tree_drop(&edit->tree);
	while (edit->count)
		vma_free(edit->added[--edit->count]);
}

/* Have the VMAs for an edit of the version `tree`. An error: nothing is left over. */
static int prepare_vmas(const struct tree *tree, struct edit *edit, uint64_t start, uint64_t end,
			const struct vma_attributes *as)
{
	edit->count = 0;
	edit->error = 0;
	edit->tree = (struct tree_edit){ NULL, NULL, NULL };
	plan(tree, edit, start, end, as);
	look_at_window(tree, edit);
	if (unlikely(edit->error))
		drop(edit);
	return edit->error;
}

/* And the nodes, as well. */
static int prepare_tree(const struct tree *tree, struct edit *edit)
{
	if (likely(tree_prepare(tree, &edit->tree, edit->low, edit->high, edit->added,
				edit->count)))
		return 0;
	drop(edit);
	return -QUIRE_ENOMEM;
}

static int prepare(const struct tree *tree, struct edit *edit, uint64_t start, uint64_t end,
		   const struct vma_attributes *as)
{
	int error = prepare_vmas(tree, edit, start, end, as);

	return error ? error : prepare_tree(tree, edit);
}

/* Is it one VMA in place of another with the same bounds? */
static bool is_swap(const struct edit *edit)
{
	return edit->count == 1 && edit->replaced == 1 &&
	       edit->first->start == edit->added[0]->start &&
	       edit->first->end == edit->added[0]->end;
}

static void come(struct quire_mm *mm, const struct vma *vma)
{
	space_account(mm, vma, 1);
	space_account_mapping(mm, vma, 1);
}

/* => the tree without it is published */
static void go(struct quire_mm *mm, struct vma *vma)
{
	space_account(mm, vma, -1);
	space_account_mapping(mm, vma, -1);
	retire(vma);
}

static void swap(struct quire_mm *mm, const struct edit *edit)
{
	struct vma *old = edit->first, *vma = edit->added[0];

	if (mm->mode == QUIRE_VMA_LOCK)
		write_lock(old);
	tree_swap(&mm->tree, vma);
	come(mm, vma);
	go(mm, old);
}

static void commit(struct quire_mm *mm, struct edit *edit)
{
	struct tree old = mm->tree;

	if (mm->mode == QUIRE_VMA_LOCK)
		for_each_vma(vma, &old, edit->low, edit->high)
			write_lock(vma);
	tree_commit(&mm->tree, &edit->tree);
	for (unsigned i = 0; i < edit->count; i++)
		come(mm, edit->added[i]);
	for_each_vma_from(vma, edit->first, &old, edit->high)
		go(mm, vma);
}

/* The limit on the number of VMAs: it may be exceeded, but not by an edit that adds some. */
static bool too_many(const struct quire_mm *mm, uint64_t added, uint64_t replaced)
{
	return added > replaced && mm->vmas + added - replaced > mm->limits.vmas;
}

int space_replace(struct quire_mm *mm, uint64_t start, uint64_t end,
		  const struct vma_attributes *as)
{
	struct edit edit;
	int error;

	assert_held(&mm->tree_lock);
	error = prepare_vmas(&mm->tree, &edit, start, end, as);
	if (error)
		return error;
	if (is_swap(&edit)) {
		swap(mm, &edit);
		return 0;
	}
	error = prepare_tree(&mm->tree, &edit);
	if (error)
		return error;
	if (too_many(mm, edit.count, edit.replaced)) {
		drop(&edit);
		return -QUIRE_ENOMEM;
	}
	commit(mm, &edit);
	return 0;
}

int space_exchange(struct quire_mm *mm, uint64_t from, uint64_t from_end,
		   const struct vma_attributes *left, uint64_t to, uint64_t to_end,
		   const struct vma_attributes *as)
{
	struct edit away, there;
	struct tree between;
	int error;

	assert_held(&mm->tree_lock);
	error = prepare(&mm->tree, &away, from, from_end, left);
	if (error)
		return error;
	between = (struct tree){ away.tree.root };
	error = prepare(&between, &there, to, to_end, as);
	if (error) {
		drop(&away);
		return error;
	}
	if (too_many(mm, away.count + there.count, away.replaced + there.replaced)) {
		drop(&there);
		drop(&away);
		return -QUIRE_ENOMEM;
	}
	commit(mm, &away);
	commit(mm, &there);
	return 0;
}

int space_change(struct quire_mm *mm, const struct vma *vma, uint64_t start, uint64_t end,
		 uint32_t flags, uint32_t key)
{
	struct vma_attributes as = { .flags = flags, .key = key, .mapping = vma->mapping };

	if (vma->flags == flags && vma->key == key)
		return 0;
	return space_replace(mm, start, end, &as);
}

void space_set_live(struct quire_mm *mm, uint64_t start)
{
	struct vma *vma, *left, *right;
	struct vma_attributes as;

	space_edit_begin(mm);
	vma = tree_find(&mm->tree, start);
	assert_debug(vma && at_load(&vma->seq) == VMA_PENDING);
	/* Release: pairs with look_up's acquire. Who may use the VMA sees what was moved there. */
	at_store_release(&vma->seq, VMA_LIVE);
	as = vma_attributes(vma);
	left = tree_prev(&mm->tree, vma->start);
	right = tree_find(&mm->tree, vma->end);
	if ((left && left->end == vma->start && same_attributes(left, &as)) ||
	    (right && same_attributes(right, &as)))
		space_replace(mm, vma->start, vma->end, &as); /* without memory it stays as it is */
	space_edit_end(mm);
}
