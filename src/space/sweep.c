/* SPDX-License-Identifier: MIT */
/*
 * Sweeps: going through the leaves of a range, each under its lock, after the new truth was
 * published.
 *
 *     for each leaf: lock ─► dead? walk again ─► entries ─► unlock
 *                                                     at the end: flush, then free (gather)
 *
 * The lock of each leaf that exists is taken, even if nothing is in it: that is what orders the
 * sweep with a fault that checked before the publication. The sweep of an edit raises the leaf's
 * version there: who knew what is mapped in this leaf knows it no longer (docs/design.md, 4.11). An
 * entry in transition belongs to a fault: the sweep unlocks, pauses and comes back to it.
 *
 * Each leaf is a section of its own, so a sweep of any length delays no grace period.
 */
#include "space/sweep.h"

void sweep_begin(struct sweep *s, struct quire_mm *mm, uint64_t start, uint64_t end)
{
	gather_init(&s->gather, &mm->tables);
	s->mm = mm;
	s->address = start;
	s->end = end;
	s->turn = 0;
	s->busy = false;
	s->unmapped = s->objects = 0;
}

bool sweep_next_leaf(struct sweep *s)
{
	for (;;) {
		if (s->busy)
			port_pause(s->turn++);
		s->busy = false;
		gather_room(&s->gather);
		section_enter();
		s->leaf = table_next_leaf(&s->mm->tables, &s->address, s->end);
		if (!s->leaf)
			break;
		table_lock(s->leaf);
		if (likely(!at_load(&s->leaf->u.table.dead)))
			return true;
		table_unlock(s->leaf);
		section_leave();
	}
	section_leave();
	return false;
}

void sweep_end_leaf(struct sweep *s)
{
	table_unlock(s->leaf);
	if (s->unmapped)
		trace_add(&mm_trace(s->mm)->anonymous, -s->unmapped);
	if (s->objects)
		trace_add(&mm_trace(s->mm)->objects, -s->objects);
	s->unmapped = s->objects = 0;
	section_leave();
}

void sweep_finish(struct sweep *s, uint64_t start, uint64_t end)
{
	/* Whoever had the leaf before us is counted, or has flushed: the leaf lock. */
	if (s->mm->mode != QUIRE_SPECULATIVE && at_load(&s->mm->sweeps) > 1)
		gather_flush(&s->gather, start, end - start);
	gather_finish(&s->gather);
}

static void zap_leaf(struct sweep *s)
{
	uint64_t address = s->address, end = sweep_leaf_end(s);
	slot *at = table_slot(s->leaf, address);

	for (; address < end && gather_left(&s->gather); address += PAGE_SIZE, at++) {
		pte entry = at_load(at);

		if (entry == PTE_NONE) {
			sweep_skip(s, end, &address, &at);
			continue;
		}
		if (unlikely(pte_is_busy(entry))) {
			s->busy = true;
			break;
		}
		sweep_zap(s, address, at, entry);
	}
	s->address = address;
}

void sweep_free_span(struct quire_mm *mm, uint64_t start, uint64_t end, uint64_t *floor,
		     uint64_t *ceiling)
{
	struct tree tree = tree_snapshot(&mm->tree);
	const struct vma *below = tree_prev(&tree, end), *above = tree_next(&tree, start);

	*floor = below ? below->end : 0;
	*ceiling = above ? above->start : UINT64_MAX;
}

void space_zap(struct quire_mm *mm, uint64_t start, uint64_t end, enum space_zap what)
{
	bool alone = mm->mode == QUIRE_SPECULATIVE;
	uint64_t floor, ceiling;
	struct sweep s;
	bool empty;

	if (!alone)
		at_add(&mm->sweeps, 1u);
	sweep_begin(&s, mm, start, end);
	while (sweep_next_leaf(&s)) {
		struct frame *leaf = s.leaf;

		if (what != ZAP_PAGES)
			table_changed(leaf);
		zap_leaf(&s);
		empty = leaf->u.table.used == 0;
		if (what == ZAP_UNMAPPED && empty) {
			/* The section must go on: the leaf is looked at once more. */
			section_enter();
			sweep_end_leaf(&s);
			sweep_free_span(mm, start, end, &floor, &ceiling);
			table_unhook_empty(&mm->tables, leaf, floor, ceiling, &s.gather.unhooked);
			section_leave();
		} else {
			sweep_end_leaf(&s);
		}
	}
	sweep_finish(&s, start, end);
	/* Nobody sleeps on it: the space is not destroyed meanwhile. */
	if (!alone)
		at_sub(&mm->sweeps, 1u);
}

void space_zap_all(struct quire_mm *mm)
{
	struct sweep s;

	sweep_begin(&s, mm, 0, 0);
	for_each_vma(vma, &mm->tree, 0, UINT64_MAX) {
		s.address = vma->start;
		s.end = vma->end;
		while (sweep_next_leaf(&s)) {
			zap_leaf(&s);
			sweep_end_leaf(&s);
		}
	}
	gather_finish(&s.gather);
}

/* Fewer rights, or another key, for one entry; never more rights: those come with faults. */
static ALWAYS_INLINE void narrow(struct sweep *s, uint64_t address, slot *at, pte entry)
{
	unsigned rights = pte_rights(entry) & s->rights;
	pte new;

	if (rights == pte_rights(entry) && pte_key(entry) == s->key)
		return;
	/* By exchange: the CPU's walker may set a mark in between (Q13). */
	do {
		new = pte_change(entry, rights, s->key);
	} while (!at_cas(at, &entry, new));
	gather_flush(&s->gather, address, PAGE_SIZE);
}

static void narrow_leaf(struct sweep *s)
{
	uint64_t address = s->address, end = sweep_leaf_end(s);
	slot *at = table_slot(s->leaf, address);

	for (; address < end; address += PAGE_SIZE, at++) {
		pte entry = at_load(at);

		if (entry == PTE_NONE) {
			sweep_skip(s, end, &address, &at);
			continue;
		}
		if (unlikely(pte_is_busy(entry))) {
			s->busy = true;
			break;
		}
		narrow(s, address, at, entry);
	}
	s->address = address;
}

void space_narrow(struct quire_mm *mm, uint64_t start, uint64_t end, uint32_t flags, uint32_t key)
{
	struct sweep s;

	sweep_begin(&s, mm, start, end);
	s.rights = vma_flags_rights(flags);
	s.key = key;
	while (sweep_next_leaf(&s)) {
		table_changed(s.leaf);
		narrow_leaf(&s);
		sweep_end_leaf(&s);
	}
	gather_finish(&s.gather);
}
