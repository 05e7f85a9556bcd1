/* SPDX-License-Identifier: MIT */
/* What dispatch.h, resolve.c and object.c share: the steps of resolving a fault. */
#ifndef QUIRE_FAULT_RESOLVE_H
#define QUIRE_FAULT_RESOLVE_H

#include "fault/force.h"
#include "frame/rmap.h"
#include "frame/stock.h"

static inline void fault_count(struct fault *f, enum quire_counter counter)
{
	trace_count(&f->trace->counters[counter]);
}

static inline enum outcome fault_retry(struct fault *f, enum quire_counter reason)
{
	f->reason = reason;
	return FAULT_RETRY;
}

static inline enum outcome fault_done(struct fault *f, enum quire_kind kind)
{
	trace_count(&f->kinds[kind]);
	return FAULT_OK;
}

static inline unsigned fault_rights(const struct fault *f)
{
	return vma_flags_rights(f->vma->flags);
}

/* resolve.c. The VMA is live no longer: does another say the same of the address? */
COLD bool fault_mapping_same(struct fault *f);

/*
 * The leaf is not as this CPU knows it. Is it hooked, and is what is mapped at the address what the
 * fault relies on: its VMA, or another that says the same? Then this CPU knows the leaf now. (Not
 * in the baselines: the next fault looks for itself.)
 * => leaf lock held
 */
static ALWAYS_INLINE enum outcome fault_learn(struct fault *f, struct frame *leaf)
{
	struct known *known = f->known;

	if (unlikely(at_load(&leaf->u.table.dead)))
		return fault_retry(f, QUIRE_RETRY_TABLE);
	/* Acquire: pairs with retire's store. Who sees a VMA retired sees the tree without it. */
	if (unlikely(at_load_acquire(&known->vma->seq) != VMA_LIVE || forced(f, QUIRE_RETRY_VMA)) &&
	    !fault_mapping_same(f))
		return fault_retry(f, QUIRE_RETRY_VMA);
	if (f->mm->mode == QUIRE_SPECULATIVE) {
		known->seen.start = known->vma->start;
		known->seen.end = known->vma->end;
		known->seen.flags = known->vma->flags;
		known->seen.key = known->vma->key;
		known->seen.mapping = known->vma->mapping;
		known->version = at_load(&leaf->u.table.version);
	}
	return FAULT_OK;
}

/*
 * Lock the leaf and check the mapping and the entry.
 * => on FAULT_OK the leaf is locked, on anything else it is not
 */
static ALWAYS_INLINE enum outcome fault_lock_leaf(struct fault *f, struct walk w, pte expected)
{
	enum outcome outcome;
	pte now;

	if (unlikely(!table_lock(w.table)))
		fault_count(f, QUIRE_LEAF_CONTENDED);
	now = at_load(w.slot);
	/* Accessed and dirty are not compared: the CPU's walker sets them at any time (Q13). */
	if (unlikely(now != expected &&
		     (!pte_is_mapped(now) || !pte_is_mapped(expected) ||
		      pte_dirty(pte_accessed(now)) != pte_dirty(pte_accessed(expected)))) ||
	    forced(f, QUIRE_RETRY_ENTRY))
		outcome = fault_retry(f, QUIRE_RETRY_ENTRY);
	else if (forced(f, QUIRE_RETRY_TABLE))
		outcome = fault_retry(f, QUIRE_RETRY_TABLE);
	else if (likely(at_load(&w.table->u.table.version) == f->known->version &&
			!forced(f, QUIRE_RETRY_VMA)))
		return FAULT_OK;
	else if (likely((outcome = fault_learn(f, w.table)) == FAULT_OK))
		return FAULT_OK;
	table_unlock(w.table);
	return outcome;
}

/* resolve.c. The page that is prepared must be zeroed, and is not. Returns true. */
COLD bool fault_clear_page(struct fault *f);

/*
 * Have a page ready in f->page. Zeroed if it must be; else its contents don't matter. False: no
 * memory.
 */
static ALWAYS_INLINE bool fault_prepare_page(struct fault *f, bool zeroed)
{
	bool ready = false;

	if (unlikely(f->page))
		return !zeroed || f->page_zeroed || fault_clear_page(f);
	f->page = zeroed ? stock_alloc_zeroed(&ready) : frame_alloc(0);
	f->page_zeroed = zeroed;
	if (ready)
		fault_count(f, QUIRE_READY_FRAME);
	return likely(f->page != NULL);
}

/* The entry for the prepared page, which becomes the mapping's. => leaf lock held */
static ALWAYS_INLINE pte fault_map_page(struct fault *f)
{
	struct frame *page = f->page;
	pte entry = pte_make(frame_pfn(page), fault_rights(f), f->vma->key);

	rmap_first(page, &f->mm->tables, f->address);
	f->page = NULL;
	return pte_dirty(pte_accessed(entry));
}

/* resolve.c. Give back what was prepared for nothing. => outside any section of the fault */
void fault_discard(struct fault *f);

/* resolve.c. Walk to the leaf, which this CPU then knows. => in a section */
enum outcome fault_walk(struct fault *f);
/* resolve.c. Nothing is entered, and is read: case 1. */
enum outcome fault_zero_read(struct fault *f, struct walk w);
/* resolve.c. Something is entered: cases 3 to 6. */
enum outcome fault_present(struct fault *f, struct walk w, pte entry);

/* The same frame with more rights. => leaf locked by fault_lock_leaf; unlocks it */
enum outcome fault_widen(struct fault *f, struct walk w, unsigned rights, enum quire_kind kind);

/* object.c. Nothing is entered there, and the mapping shows an object. */
enum outcome fault_object(struct fault *f, struct walk w);
/* object.c. A shared mapping's entry does not allow writing. */
enum outcome fault_object_write(struct fault *f, struct walk w, pte entry);

#endif
