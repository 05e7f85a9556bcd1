/* SPDX-License-Identifier: MIT */
/*
 * Resolving a fault in a VMA: one attempt, the same for the speculative path, the classic path and
 * the baselines.
 *
 *   the entry holds        read, execute              write
 *   ------------------     -----------------------    ---------------------------------------
 *   nothing                1  zero page               2  fresh zeroed frame
 *   nothing, of an object     see object.c
 *   the zero page          3  rights (if narrower)    4  replaced by a fresh zeroed frame
 *   a frame of its own     3  rights (if narrower)    5  rights: "reuse"
 *   a frame with others    3  rights (if narrower)    6  replaced by a copy
 *   a page of an object    3  rights (if narrower)    6, if private; else see object.c
 *   busy                   again: another fault is replacing it
 *   enough rights          nothing to do: another CPU was faster, or a translation was stale
 *
 * 1, 2, 3, 5: prepare; lock the leaf; check; store; unlock.
 *
 * 4, 6 replace an entry that other CPUs may have in their TLBs. Were the new entry simply stored, a
 * CPU with the new translation and a CPU with the old one would see two different pages at one
 * address until the flush; and the page to be copied could still be written to through a
 * translation from before it was write-protected (H40, H41, Q1, Q5). So they go in two steps:
 *
 *      lock; check; entry ──► busy; unlock          from here on nobody gets a translation of it
 *      flush the page on all CPUs of the space      from here on nobody has one
 *      copy                                         what is copied cannot change
 *      lock; busy ──► new; unlock                   a sweep that has come meanwhile goes on
 *
 * The busy entry belongs to this fault, and with it the old entry's reference: every other fault
 * and every sweep that meets it unlocks, pauses and comes again. It stands for a bounded time, in
 * which this CPU neither sleeps nor waits for a lock that its meeters hold. (Weighed against: a
 * `flush_pending` mark and a `generation` in the leaf, with a pinned source and a check of both at
 * the store. That makes the copy right, but not the moment after it; and it is two more
 * mechanisms.)
 *
 * The check (check, then store) is in fault_lock_leaf, under the leaf lock: the leaf's version is
 * the one that this CPU knows. If it is not, fault_learn looks whether the VMA is still live; or it
 * was replaced, and what is mapped at this address is the same as before.
 */
#include "fault/resolve.h"

bool fault_mapping_same(struct fault *f)
{
	struct vma *now = tree_find(&f->mm->tree, f->address);

	if (!now || at_load_acquire(&now->seq) != VMA_LIVE || now->key != f->vma->key ||
	    ((now->flags ^ f->vma->flags) & (VMA_PROT | VMA_SHARED)) ||
	    !mapping_same(now->mapping, f->vma->mapping))
		return false;
	f->vma = f->known->vma = now;
	fault_count(f, QUIRE_REVALIDATED);
	return true;
}

bool fault_clear_page(struct fault *f)
{
	port_clear_page(frame_bytes(f->page));
	f->page_zeroed = true;
	return true;
}

/* Case 1. */
enum outcome fault_zero_read(struct fault *f, struct walk w)
{
	enum outcome outcome = fault_lock_leaf(f, w, PTE_NONE);
	pte entry;

	if (unlikely(outcome != FAULT_OK))
		return outcome;
	entry = pte_make(frame_pfn(frame_zero), fault_rights(f) & ~RIGHT_WRITE, f->vma->key);
	w.table->u.table.used++;
	at_store_release(w.slot, pte_accessed(entry)); /* as in first_write, dispatch.h */
	table_unlock(w.table);
	return fault_done(f, QUIRE_KIND_ZERO_READ);
}

/* Cases 3 and 5. */
enum outcome fault_widen(struct fault *f, struct walk w, unsigned rights, enum quire_kind kind)
{
	pte old = at_load(w.slot), new;

	/* By exchange: the CPU's walker may set a mark in between (Q13). */
	do {
		new = pte_accessed(pte_change(old, rights, f->vma->key));
		if (rights & RIGHT_WRITE && f->access == QUIRE_WRITE)
			new = pte_dirty(new);
	} while (!at_cas(w.slot, &old, new));
	table_unlock(w.table);
	return fault_done(f, kind);
}

/* Cases 4 and 6. `source` is the frame to be copied; NULL: the zero page. */
static enum outcome replace(struct fault *f, struct walk w, pte expected, struct frame *source)
{
	enum outcome outcome;
	enum quire_kind kind;

	if (!fault_prepare_page(f, !source))
		return FAULT_MEMORY;
	outcome = fault_lock_leaf(f, w, expected);
	if (outcome != FAULT_OK)
		return outcome;
	at_xchg(w.slot, pte_busy(frame_pfn(f->page)));
	table_unlock(w.table);

	port_flush(&f->mm->tables.port, f->address, f->address + PAGE_SIZE, false);
	if (source) {
		port_copy_page(frame_bytes(f->page), frame_bytes(source));
		f->page_zeroed = false;
	}

	/*
	 * Nothing to be checked: the leaf holds our busy entry, so it can't have died; and whoever
	 * has published something since waits, in its sweep, to take away what is stored here.
	 */
	table_lock(w.table);
	fault_count(f, QUIRE_FLUSHES);
	if (source && source->kind == FRAME_ANON) {
		rmap_remove(source, &f->mm->tables, f->address);
	} else {
		trace_add(&f->trace->anonymous, 1);
		if (source)
			trace_add(&f->trace->objects, -1);
	}
	at_store_release(w.slot, fault_map_page(f)); /* as in first_write */
	table_unlock(w.table);
	if (!source)
		return fault_done(f, QUIRE_KIND_ZERO_WRITE);
	kind = source->kind == FRAME_ANON ? QUIRE_KIND_COW_COPY : QUIRE_KIND_OBJECT_COPY;
	frame_put(source); /* flushed before the copy: nobody has a translation (Q7) */
	return fault_done(f, kind);
}

/* A write to a frame that is mapped without the right to write. */
static enum outcome copy_on_write(struct fault *f, struct walk w, pte entry)
{
	struct frame *frame = frame_of(pte_pfn(entry));
	enum quire_counter reason = QUIRE_RETRY_ENTRY;
	enum outcome outcome;

	if (frame == frame_zero)
		return replace(f, w, entry, NULL);
	/* A glance without a lock, which decides only what is prepared. */
	if (at_load(&frame->refs) != 1)
		return replace(f, w, entry, frame);
	outcome = fault_lock_leaf(f, w, entry);
	if (outcome != FAULT_OK)
		return outcome;
	/*
	 * Under the lock of the only leaf that maps it nobody can add a mapping. Acquire: pairs
	 * with the release in frame_put by those who shared the page, whose last accesses came
	 * before. A page of an object with one reference has left its cache: a sweep is coming.
	 */
	if (likely(at_load_acquire(&frame->refs) == 1)) {
		if (likely(frame->kind == FRAME_ANON))
			return fault_widen(f, w, fault_rights(f), QUIRE_KIND_COW_REUSE);
		reason = QUIRE_RETRY_PAGE;
	}
	table_unlock(w.table);
	return fault_retry(f, reason);
}

enum outcome fault_present(struct fault *f, struct walk w, pte entry)
{
	static const unsigned needs[] = {
		[QUIRE_READ] = RIGHT_READ,
		[QUIRE_WRITE] = RIGHT_WRITE,
		[QUIRE_EXEC] = RIGHT_EXEC,
	};
	unsigned rights = pte_rights(entry);
	enum outcome outcome;

	if ((rights & needs[f->access]) && pte_key(entry) == f->vma->key)
		return fault_done(f, QUIRE_KIND_SPURIOUS);
	if (f->access == QUIRE_WRITE && !pte_is_special(entry))
		return f->vma->flags & VMA_SHARED ? fault_object_write(f, w, entry)
						  : copy_on_write(f, w, entry);
	outcome = fault_lock_leaf(f, w, entry);
	if (outcome != FAULT_OK)
		return outcome;
	/* Writing to a device: its entries are widened to whatever the VMA allows. */
	rights = fault_rights(f) & (pte_is_special(entry) ? ~0u : rights | ~RIGHT_WRITE);
	return fault_widen(f, w, rights, QUIRE_KIND_RIGHTS);
}

/*
 * Hook a table where the walk found none (docs/design.md, 4.4). The mapping is not looked at: it is
 * when the leaf is locked, and a table that nobody needs is taken out again. FAULT_OK: walk again.
 */
static enum outcome add_table(struct fault *f, struct walk w)
{
	enum hook_status status;

	if (!f->table) {
		f->table = table_alloc();
		if (!f->table)
			return FAULT_MEMORY;
	}
	if (unlikely(!table_lock(w.table)))
		fault_count(f, QUIRE_LEAF_CONTENDED);
	status = forced(f, QUIRE_RETRY_TABLE)
			 ? HOOK_DEAD
			 : table_hook(&f->mm->tables, w.table, f->address, f->table);
	table_unlock(w.table);
	if (status == HOOK_DEAD)
		return fault_retry(f, QUIRE_RETRY_TABLE);
	if (status == HOOK_DONE) {
		f->table = NULL;
		f->hooked = true;
	}
	return FAULT_OK;
}

/* => in a section */
static COLD void discard_table(struct fault *f)
{
	trace_count(&mm_trace(f->mm)->counters[QUIRE_UNUSED_TABLE]);
	table_free_unused(f->table);
	f->table = NULL;
}

void fault_discard(struct fault *f)
{
	section_enter();
	if (f->page) {
		trace_count(&mm_trace(f->mm)->counters[QUIRE_UNUSED_FRAME]);
		frame_put(f->page);
		f->page = NULL;
	}
	if (f->table)
		discard_table(f);
	section_leave();
}

enum outcome fault_walk(struct fault *f)
{
	enum walk_status status;
	enum outcome outcome;
	struct walk w;

	while ((status = table_walk(&f->mm->tables, f->address, &w)) == WALK_MISSING) {
		outcome = add_table(f, w);
		if (outcome != FAULT_OK)
			return outcome;
	}
	if (unlikely(status == WALK_BUSY))
		return fault_retry(f, QUIRE_RETRY_BUSY);
	require(status == WALK_LEAF); /* nothing makes huge entries yet */
	if (unlikely(f->table))
		discard_table(f); /* another CPU was faster */
	f->known->leaf_at = f->address;
	f->known->leaf = w.table;
	f->known->version = KNOWN_NO_VERSION;
	f->known->slots = w.slot - table_index(f->address, 0);
	return FAULT_OK;
}
