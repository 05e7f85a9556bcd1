/* SPDX-License-Identifier: MIT */
/*
 * The sweep of one mapping of an object: what object/mapping.h asks of a space.
 *
 *     range of the mapping locked, as by any sweep
 *     leaf by leaf, each locked:
 *         entry of a page of the object, at its index ─► taken away, or narrowed
 *         private copy, of a VMA that shows the object here ─► taken away (SWEEP_ALL)
 *         in transition ─► unlock, pause, come again: its fault may be copying such a page
 *     flush, then free
 *
 * The frame of an entry says what it shows, so the VMAs don't matter: an entry that a munmap is
 * about to sweep, or that a mremap is about to move (it has both ranges locked, so it is through)
 * is as good as any. Only private copies need them. The range is locked because sweeps of the space
 * count on being alone in theirs (move.c holds tables between two passes).
 */
#include "space/sweep.h"

struct reverse {
	struct sweep sweep;
	const struct mapping *mapping;
	enum mapping_sweep kind;
	uint64_t changed;
};

/* The part of [first, last) that the bounds can show; empty: start >= end. */
static struct span bounds(const struct mapping *mapping, uint64_t first, uint64_t last)
{
	/* Indices of the bounds: they don't wrap, though origin may be "negative". */
	uint64_t low = mapping_index(mapping, mapping->start);
	uint64_t high = low + ((mapping->end - mapping->start) >> PAGE_SHIFT);

	if (first < low)
		first = low;
	if (last > high)
		last = high;
	if (first >= last)
		return (struct span){ 0, 0 };
	return (struct span){
		.start = mapping->origin + (first << PAGE_SHIFT),
		.end = mapping->origin + (last << PAGE_SHIFT),
	};
}

/* Is it an entry of the object's page that belongs here? => leaf locked */
static bool shows_page(const struct reverse *r, pte entry)
{
	const struct frame *frame = frame_of(pte_pfn(entry));

	return frame->kind == FRAME_OBJECT && frame->u.object.object == r->mapping->object &&
	       frame->u.object.index == mapping_index(r->mapping, r->sweep.address);
}

/* Is it a private copy of it? => leaf locked */
static bool shows_copy(const struct reverse *r, pte entry)
{
	const struct vma *vma;

	if (frame_of(pte_pfn(entry))->kind != FRAME_ANON)
		return false;
	vma = tree_find(&r->sweep.mm->tree, r->sweep.address);
	return vma && mapping_same(vma->mapping, r->mapping);
}

/* Locked pages are in use as long as they are locked. => leaf locked */
static bool is_locked(const struct reverse *r)
{
	const struct vma *vma = tree_find(&r->sweep.mm->tree, r->sweep.address);

	return vma && vma->flags & VMA_LOCKED;
}

/* Without the mark `accessed`: the CPU's walker sets it again. */
static pte aged(pte entry)
{
	pte old = pte_make(pte_pfn(entry), pte_rights(entry), pte_key(entry));

	return pte_is_dirty(entry) ? pte_dirty(old) : old;
}

/* => leaf locked, room */
static void change(struct reverse *r, slot *at, pte entry)
{
	bool age = r->kind == SWEEP_AGE;
	pte new;

	if (age ? !pte_is_accessed(entry) : !(pte_rights(entry) & RIGHT_WRITE))
		return;
	/* By exchange: the CPU's walker may set a mark in between (Q13). */
	do {
		new = age ? aged(entry)
			  : pte_change(entry, pte_rights(entry) & ~RIGHT_WRITE, pte_key(entry));
	} while (!at_cas(at, &entry, new));
	gather_flush(&r->sweep.gather, r->sweep.address, PAGE_SIZE);
	r->changed++;
}

static void sweep_entry(struct reverse *r, slot *at, pte entry)
{
	bool takes = r->kind == SWEEP_PAGES || r->kind == SWEEP_ALL;

	if (!pte_is_mapped(entry) || pte_is_special(entry))
		return;
	if (shows_page(r, entry)) {
		if (r->kind == SWEEP_AGE && is_locked(r))
			r->changed++;
		else if (!takes)
			change(r, at, entry);
		if (!takes)
			return;
	} else if (r->kind != SWEEP_ALL || !shows_copy(r, entry)) {
		return;
	}
	sweep_zap(&r->sweep, r->sweep.address, at, entry);
	r->changed++;
}

static void sweep_leaf(struct reverse *r)
{
	struct sweep *s = &r->sweep;
	uint64_t end = sweep_leaf_end(s);
	slot *at = table_slot(s->leaf, s->address);

	if (s->leaf->u.table.used == 0)
		s->address = end;
	for (; s->address < end && gather_left(&s->gather); s->address += PAGE_SIZE, at++) {
		pte entry = at_load(at);

		s->busy = pte_is_busy(entry);
		if (unlikely(s->busy))
			return;
		sweep_entry(r, at, entry);
	}
}

uint64_t space_sweep_mapping(struct mapping *mapping, uint64_t first, uint64_t last,
			     enum mapping_sweep kind)
{
	struct reverse r = { .mapping = mapping, .kind = kind };
	struct quire_mm *mm = mapping->mm;
	struct space_lock lock;
	struct span span;

	section_enter();
	spin_lock(&mapping->object->lock, RANK_OBJECT);
	span = bounds(mapping, first, last);
	spin_unlock(&mapping->object->lock);
	section_leave();
	if (span.start >= span.end)
		return 0;
	space_lock(&lock, mm, span.start, span.end, SPACE_ZAP);
	sweep_begin(&r.sweep, mm, span.start, span.end);
	while (sweep_next_leaf(&r.sweep)) {
		sweep_leaf(&r);
		sweep_end_leaf(&r.sweep);
	}
	sweep_finish(&r.sweep, span.start, span.end);
	space_unlock(&lock);
	return r.changed;
}
