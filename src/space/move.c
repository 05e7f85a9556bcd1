/* SPDX-License-Identifier: MIT */
/*
 * Moving entries from one range to another, for mremap (H16, H36).
 *
 *     source leaves [ . . a b c . . | d e . . ]         a step: what lies in one source leaf and
 *                         ╲ ╲ ╲        ╲ ╲              in one target leaf
 *     target leaves [ . . . . . a b | c . . d | e ]     both locked, the lower address first
 *
 * Pass 1 makes the target's tables, and holds one for each step that has an entry to move (its
 * count of entries is one too high), so that nobody unhooks it for being empty. Pass 2 moves, and
 * lets go. The set of such steps is the same in both passes: the source is pending, and pass 1
 * takes from every CPU what it knew of its leaves, so no entry can appear; and its range is locked,
 * so none can go.
 */
#include "space/sweep.h"

enum pass { PASS_HOLD, PASS_MOVE, PASS_LET_GO };

/* How far both addresses stay in their leaves. */
static uint64_t step_length(uint64_t a, uint64_t b, uint64_t length)
{
	uint64_t span = table_span(0), in_a = span - (a & (span - 1)),
		 in_b = span - (b & (span - 1));
	uint64_t least = in_a < in_b ? in_a : in_b;

	return length < least ? length : least;
}

/* Up to the end of the step or a busy entry, where s->address is then. => both leaves locked */
static void move_entries(struct sweep *s, struct frame *to, uint64_t target, uint64_t end)
{
	slot *source = table_slot(s->leaf, s->address), *destination = table_slot(to, target);

	for (; s->address < end;
	     s->address += PAGE_SIZE, target += PAGE_SIZE, source++, destination++) {
		pte entry = at_load(source);

		if (entry == PTE_NONE)
			continue;
		s->busy = pte_is_busy(entry);
		if (unlikely(s->busy))
			return;
		entry = at_xchg(source, PTE_NONE);
		at_store_release(destination, entry); /* pairs with walkers' acquire loads */
		s->leaf->u.table.used--;
		to->u.table.used++;
		if (!pte_is_special(entry) && frame_of(pte_pfn(entry))->kind == FRAME_ANON)
			rmap_move(frame_of(pte_pfn(entry)), &s->mm->tables, s->address, target);
		gather_flush(&s->gather, s->address, PAGE_SIZE);
	}
}

/* => source leaf locked, or nothing in the range can change */
static bool any_entry(const struct sweep *s, uint64_t end)
{
	slot *at = table_slot(s->leaf, s->address);

	for (uint64_t a = s->address; a < end; a += PAGE_SIZE, at++)
		if (at_load(at) != PTE_NONE)
			return true;
	return false;
}

/* => both leaves locked */
static void do_step(struct sweep *s, enum pass pass, struct frame *to, uint64_t target,
		    uint64_t end)
{
	if (pass == PASS_HOLD) {
		to->u.table.used++;
	} else {
		if (pass == PASS_MOVE)
			move_entries(s, to, target, end);
		if (s->busy)
			return;
		to->u.table.used--;
	}
	s->address = end;
}

/* One step of a pass. => in a section. Returns false: no memory. */
static bool step(struct sweep *s, enum pass pass, uint64_t target)
{
	uint64_t end = s->address + step_length(s->address, target, s->end - s->address);
	struct frame *to;
	bool any;

	/*
	 * Orders this pass behind the faults that checked before the source was pending, or that
	 * knew this leaf and so did not look: from the first pass on nobody knows it.
	 */
	table_lock(s->leaf);
	if (pass == PASS_HOLD)
		table_changed(s->leaf);
	any = any_entry(s, end);
	table_unlock(s->leaf);
	if (!any) {
		s->address = end;
		return true;
	}
	to = table_make_leaf(&s->mm->tables, target);
	if (!to)
		return false;
	/*
	 * The source leaf is not empty, so it is not dead; the target may be as long as it is not
	 * held: then once more.
	 */
	if (table_lock_pair(s->leaf, to)) {
		do_step(s, pass, to, target, end);
		table_unlock_pair(s->leaf, to);
	}
	return true;
}

/* Returns how far it came: the end, or where memory ran out. */
static uint64_t run(struct sweep *s, enum pass pass, uint64_t from, uint64_t to)
{
	bool more = true;

	while (more) {
		if (s->busy)
			port_pause(s->turn++);
		s->busy = false;
		section_enter();
		s->leaf = table_next_leaf(&s->mm->tables, &s->address, s->end);
		more = s->leaf && step(s, pass, to + (s->address - from));
		section_leave();
	}
	return s->leaf ? s->address : s->end;
}

void space_move_cancel(struct quire_mm *mm, uint64_t from, uint64_t to, uint64_t length)
{
	struct frame *leaf;
	uint64_t address = to, floor, ceiling;
	struct walk walk;
	struct sweep s;

	sweep_begin(&s, mm, from, from + length);
	run(&s, PASS_LET_GO, from, to);
	/* The tables that were made for nothing. */
	section_enter();
	sweep_free_span(mm, to, to + length, &floor, &ceiling);
	while ((leaf = table_next_leaf(&mm->tables, &address, to + length))) {
		address = leaf->u.table.base + table_span(0);
		table_unhook_empty(&mm->tables, leaf, floor, ceiling, &s.gather.unhooked);
	}
	/* And where there was no memory for the next leaf: what is above it. */
	if (table_walk(&mm->tables, to + length, &walk) == WALK_MISSING)
		table_unhook_empty(&mm->tables, walk.table, floor, ceiling, &s.gather.unhooked);
	section_leave();
	gather_finish(&s.gather);
}

bool space_move_prepare(struct quire_mm *mm, uint64_t from, uint64_t to, uint64_t length)
{
	struct sweep s;
	uint64_t reached;

	sweep_begin(&s, mm, from, from + length);
	reached = run(&s, PASS_HOLD, from, to);
	if (reached == s.end)
		return true;
	space_move_cancel(mm, from, to, reached - from);
	return false;
}

void space_move(struct quire_mm *mm, uint64_t from, uint64_t to, uint64_t length)
{
	struct sweep s;
	uint64_t reached;

	sweep_begin(&s, mm, from, from + length);
	reached = run(&s, PASS_MOVE, from, to);
	require(reached == s.end); /* the first pass has made every table */
	gather_finish(&s.gather);
}
