/* SPDX-License-Identifier: MIT */
/*
 * fork: a copy of the space, its pages shared copy-on-write. Pages of objects are not copied: the
 * child finds them in the objects' caches, by faults of its own. Only private copies are.
 *
 *     writers are locked out of the whole range; faults are not
 *     layout      the VMAs of one version of the tree
 *     leaf by leaf, parent's and child's locked:
 *         parent's entry ─► not writable           child's entry: the same frame, not writable
 *     one flush at the end, before the child can run
 *
 * A page that is copied is copied at one moment. A fault in the parent that comes before it is in
 * the child, one that comes after is not: so what was there before fork began is in the child, and
 * what is touched while it runs may be or not (Q14). Between two pages there is no order: the child
 * may see a later write and lack an earlier one to a page that was copied before. (To give an
 * order, faults would have to wait for the fork, as they do in the baselines.)
 *
 * Between the write-protection and the flush another CPU may still write through an old
 * translation. It writes to the page that both share: right as long as the child does not run, and
 * before it does, the flush is complete. A copy-on-write fault in the parent flushes the page
 * itself before it copies (fault/resolve.c), so it cannot lose such a write (H40). The flush is due
 * whenever a page was shared, even if it was not writable: another fork may have protected it a
 * moment ago and not have flushed yet.
 */
#include "space/sweep.h"

/* --- the layout --- */

static void free_copies(struct deferred *first)
{
	while (first) {
		struct vma *vma = container_of(first, struct vma, deferred);

		first = first->next;
		if (vma->mapping)
			mapping_drop(vma->mapping);
		vma_free(vma);
	}
}

/*
 * The record of the child's mapping, as the parent's: after it in the object's list, and before
 * anything is copied (object/mapping.h). 0, or an error.
 * => in a section
 */
static int copy_mapping(struct quire_mm *child, struct vma *copy)
{
	struct mapping *from = copy->mapping;

	copy->mapping = NULL;
	if (!from)
		return 0;
	return space_make_mapping(child, from->object, copy->start, copy->end - copy->start,
				  from->origin, copy->flags, &copy->mapping);
}

/*
 * Copies of the VMAs that a child inherits, in order, chained through `deferred`. An error: nothing
 * is left over.
 * => in a section
 */
static int copy_vmas(struct quire_mm *child, const struct tree *tree, struct deferred **first,
		     size_t *count)
{
	struct deferred **last = first;
	struct vma *copy;
	int error;

	*count = 0;
	for_each_vma(vma, tree, 0, UINT64_MAX) {
		if (vma->flags & VMA_DONTFORK)
			continue;
		copy = vma_new(vma->start, vma->end, vma->flags & ~(VMA_LOCKED | VMA_ONFAULT),
			       vma->key, vma->mapping);
		error = copy ? copy_mapping(child, copy) : -QUIRE_ENOMEM;
		if (copy) {
			*last = &copy->deferred;
			last = &copy->deferred.next;
		}
		*last = NULL;
		if (error) {
			free_copies(*first);
			return error;
		}
		++*count;
	}
	return 0;
}

static struct vma *next_copy(void *context)
{
	struct deferred **next = context;
	struct vma *vma = container_of(*next, struct vma, deferred);

	*next = (*next)->next;
	return vma;
}

/* => writers are locked out; nobody knows the child */
static int copy_layout(struct quire_mm *parent, struct quire_mm *child)
{
	struct deferred *first = NULL, *next;
	struct tree tree;
	size_t count;
	int error;

	section_enter();
	spin_lock(&parent->tree_lock, RANK_TREE);
	tree = tree_snapshot(&parent->tree);
	child->brk = parent->brk;
	at_store(&child->keys, at_load(&parent->keys));
	spin_unlock(&parent->tree_lock);
	error = copy_vmas(child, &tree, &first, &count);
	next = first;
	if (!error && !tree_build(&child->tree, count, next_copy, &next)) {
		free_copies(first);
		error = -QUIRE_ENOMEM;
	}
	/* The child is in the list of spaces already: somebody may be summing up. */
	spin_lock(&child->tree_lock, RANK_TREE);
	for_each_vma(vma, &child->tree, 0, UINT64_MAX) {
		space_account(child, vma, 1);
		space_account_mapping(child, vma, 1);
	}
	spin_unlock(&child->tree_lock);
	section_leave();
	return error;
}

/* --- the pages --- */

static ALWAYS_INLINE pte without_write(pte entry)
{
	/* The same for data that were written, by name: constants make few instructions of it. */
	if (likely(pte_rights(entry) == (RIGHT_READ | RIGHT_WRITE) && pte_is_accessed(entry) &&
		   pte_is_dirty(entry) && !pte_is_special(entry)))
		return pte_dirty(
			pte_accessed(pte_make(pte_pfn(entry), RIGHT_READ, pte_key(entry))));
	return pte_change(entry, pte_rights(entry) & ~RIGHT_WRITE, pte_key(entry));
}

/*
 * The parent's entry: not writable any more. Returns what it says now.
 * => its leaf locked
 */
static ALWAYS_INLINE pte protect(slot *at, pte entry)
{
	pte shared = without_write(entry);

	/* By exchange: the CPU's walker may set a mark in between (Q13). */
	while (pte_rights(entry) & RIGHT_WRITE && unlikely(!at_cas(at, &entry, shared)))
		shared = without_write(entry);
	return shared;
}

/* The anonymous page that an entry maps; NULL: there is none, or it is the zero page. */
static ALWAYS_INLINE struct frame *anonymous_page(pte entry)
{
	struct frame *frame;

	if (unlikely(!pte_is_mapped(entry) || pte_is_special(entry)))
		return NULL;
	frame = frame_of(pte_pfn(entry));
	return likely(frame->kind == FRAME_ANON) ? frame : NULL;
}

static bool is_zero_page(pte entry)
{
	return pte_is_mapped(entry) && !pte_is_special(entry) &&
	       frame_of(pte_pfn(entry)) == frame_zero;
}

/* => both leaves locked. False: no memory */
static bool copy_entries(struct sweep *s, struct quire_mm *child, struct frame *to)
{
	uint64_t address = s->address, end = sweep_leaf_end(s), first = address, last = address;
	slot *source = table_slot(s->leaf, address), *target = table_slot(to, address);
	uint16_t shared = 0, zero = 0;
	bool copied = true;

	for (; address < end; address += PAGE_SIZE, source++, target++) {
		pte entry = at_load(source);
		struct frame *frame = anonymous_page(entry);

		if (likely(frame != NULL)) {
			/* The same frame for both, writable for neither. */
			copied = rmap_add(frame, &child->tables, address);
			if (unlikely(!copied))
				break;
			entry = protect(source, entry);
			/* Release: pairs with walkers' acquire loads. */
			at_store_release(target, entry);
			last = address;
			shared++;
			continue;
		}
		s->busy = pte_is_busy(entry);
		if (s->busy)
			break;
		if (entry == PTE_NONE) {
			sweep_skip(s, end, &address, &source);
			target = table_slot(to, address);
		} else if (is_zero_page(entry)) {
			at_store_release(target, entry); /* as above */
			zero++;
		} /* else of an object: the child has faults of its own */
		if (shared == 0)
			first = address + PAGE_SIZE;
	}
	s->address = address;
	to->u.table.used += (uint16_t)(shared + zero);
	s->unmapped -= shared; /* so many more in the child */
	/* From the first that was shared to the last. */
	if (shared != 0)
		gather_flush(&s->gather, first, last - first + PAGE_SIZE);
	return copied;
}

/* => in a section; s->leaf is where the walk came to. False: no memory */
static bool copy_leaf(struct sweep *s, struct quire_mm *child)
{
	struct frame *to = table_make_leaf(&child->tables, s->address);
	bool copied = true;

	if (!to)
		return false;
	/*
	 * Parent before child: nobody who holds a leaf of a child that is not public waits for one
	 * of the parent's.
	 */
	table_lock(s->leaf);
	spin_lock(&to->u.table.lock, RANK_LEAF_2);
	if (!at_load(&s->leaf->u.table.dead))
		copied = copy_entries(s, child, to);
	spin_unlock(&to->u.table.lock);
	table_unlock(s->leaf);
	trace_add(&mm_trace(child)->anonymous, -s->unmapped);
	s->unmapped = 0;
	return copied;
}

/* All pages of one VMA. False: no memory */
static bool copy_pages(struct sweep *s, struct quire_mm *child, uint64_t start, uint64_t end)
{
	bool copied = true, more = true;

	s->address = start;
	s->end = end;
	while (more && copied) {
		if (s->busy)
			port_pause(s->turn++);
		s->busy = false;
		section_enter();
		s->leaf = table_next_leaf(&s->mm->tables, &s->address, s->end);
		more = s->leaf != NULL;
		if (more)
			copied = copy_leaf(s, child);
		section_leave();
	}
	return copied;
}

static int copy_all(struct quire_mm *parent, struct quire_mm *child)
{
	bool copied = true;
	struct sweep s;

	sweep_begin(&s, parent, 0, 0);
	/* The child's layout is a copy that nobody changes. */
	for_each_vma(vma, &child->tree, 0, UINT64_MAX)
		if (copied && !(vma->flags & (VMA_WIPEONFORK | VMA_SHARED)))
			copied = copy_pages(&s, child, vma->start, vma->end);
	gather_finish(&s.gather);
	return copied ? 0 : -QUIRE_ENOMEM;
}

/*
 * The vma-lock baseline: fork has every VMA to itself, as in Linux. Either a fault sees `forking`
 * after it has locked its VMA, and gives it back, or its count is seen here (both sides: full
 * barrier).
 */
static void exclude_faults(struct quire_mm *mm)
{
	unsigned turn = 0;

	/* Only this call edits the tree: the space is locked exclusively. */
	for_each_vma(vma, &mm->tree, 0, UINT64_MAX)
		while (at_load_acquire(&vma->readers) != 0) /* pairs with vma_read_done */
			port_pause(turn++);
}

static int copy(struct quire_mm *parent, struct quire_mm **out)
{
	struct space_lock lock;
	struct quire_mm *child;
	int error = space_create_like(parent, &child);

	if (error)
		return error;
	space_lock(&lock, parent, parent->start, parent->end, SPACE_FORK);
	/* Before the layout is copied, under the tree lock: later edits see it there. */
	at_add(&parent->forking, 1u);
	if (parent->mode == QUIRE_VMA_LOCK)
		exclude_faults(parent);
	error = copy_layout(parent, child);
	if (!error)
		error = copy_all(parent, child);
	at_sub(&parent->forking, 1u); /* release: pairs with vma_locked's load */
	space_unlock(&lock);
	if (error)
		quire_mm_destroy(child);
	else
		*out = child;
	return error;
}

int quire_fork(struct quire_mm *parent, struct quire_mm **out)
{
	bool waited = false;
	int error;

	do
		error = copy(parent, out);
	while (space_again(error, &waited));
	object_reap();
	return error;
}
