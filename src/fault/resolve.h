/* SPDX-License-Identifier: MIT */
/* What resolve.c and object.c share: the steps of resolving a fault. */
#ifndef QUIRE_FAULT_RESOLVE_H
#define QUIRE_FAULT_RESOLVE_H

#include "fault/fault.h"

static inline void fault_count(struct fault *f, enum quire_counter counter)
{
	trace_count(&mm_trace(f->mm)->counters[counter]);
}

static inline enum outcome fault_retry(struct fault *f, enum quire_counter reason)
{
	f->reason = reason;
	return FAULT_RETRY;
}

static inline enum outcome fault_done(struct fault *f, enum quire_kind kind)
{
	f->kind = kind;
	return FAULT_OK;
}

static inline unsigned fault_rights(const struct fault *f)
{
	return vma_flags_rights(f->vma->flags);
}

/*
 * Lock the leaf and check the mapping and the entry.
 * => on FAULT_OK the leaf is locked, on anything else it is not
 */
enum outcome fault_lock_leaf(struct fault *f, struct walk *w, pte expected);
/* Have a page ready in f->page. Zeroed if it must be; else its contents don't matter. */
bool fault_prepare_page(struct fault *f, bool zeroed);
/* The entry for the prepared page, which becomes the mapping's. => leaf lock held */
pte fault_map_page(struct fault *f);
/* The same frame with more rights. => leaf locked by fault_lock_leaf; unlocks it */
enum outcome fault_widen(struct fault *f, struct walk *w, unsigned rights, enum quire_kind kind);

/* object.c. Nothing is entered there, and the mapping shows an object. */
enum outcome fault_object(struct fault *f, struct walk *w);
/* object.c. A shared mapping's entry does not allow writing. */
enum outcome fault_object_write(struct fault *f, struct walk *w, pte entry);

#endif
