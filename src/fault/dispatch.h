/* SPDX-License-Identifier: MIT */
/*
 * The second step of a fault, of fault.c alone: which entry, and so which case? The cases are in
 * resolve.c, which has the picture; but the shortest and most frequent of them, a fresh page where
 * there is nothing, is here, so that it takes no call.
 */
#ifndef QUIRE_FAULT_DISPATCH_H
#define QUIRE_FAULT_DISPATCH_H

#include "fault/resolve.h"

/* Case 2. */
static ALWAYS_INLINE enum outcome first_write(struct fault *f, struct walk w)
{
	enum outcome outcome;

	if (!fault_prepare_page(f, true))
		return FAULT_MEMORY;
	outcome = fault_lock_leaf(f, w, PTE_NONE);
	if (unlikely(outcome != FAULT_OK))
		return outcome;
	trace_add(&f->trace->anonymous, 1);
	w.table->u.table.used++;
	/* Release: pairs with walkers' acquire loads. Who sees the entry sees the page's bytes. */
	at_store_release(w.slot, fault_map_page(f));
	table_unlock(w.table);
	return fault_done(f, QUIRE_KIND_FIRST_WRITE);
}

/*
 * Resolve the fault by f->vma, which was the truth when it was found, allows the access, and may be
 * replaced at any time; in known->leaf.
 * => in a section; holds nothing else; returns holding nothing but what is prepared
 */
static ALWAYS_INLINE enum outcome dispatch(struct fault *f)
{
	struct walk w;
	pte entry;

	w.table = f->known->leaf;
	w.slot = f->known->slots + table_index(f->address, 0);
	entry = forced(f, QUIRE_RETRY_BUSY) ? pte_busy(0) : at_load_acquire(w.slot);
	if (entry == PTE_NONE)
		return f->vma->mapping		  ? fault_object(f, w)
		       : f->access == QUIRE_WRITE ? first_write(f, w)
						  : fault_zero_read(f, w);
	if (unlikely(pte_is_busy(entry)))
		return fault_retry(f, QUIRE_RETRY_BUSY);
	return fault_present(f, w, entry);
}

#endif
