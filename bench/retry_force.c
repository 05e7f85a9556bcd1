/* SPDX-License-Identifier: MIT */
/*
 * Retries by force: the other side of src/fault/force.h, linked with a core that asks for it.
 *
 *   what is found            what makes the next attempt do what it would do after a real change
 *   ---------------------    ------------------------------------------------------------------
 *   vma_changed              the VMA that the CPU knows is a retired copy: it is searched anew
 *   table_changed            nothing more: every retry walks the tables anew; the leaf is there, as
 *                            if another fault had hooked it meanwhile
 *   entry_changed            nothing more; the entry is as before, so all the work is still to do
 *   entry_busy               nothing more; the owner of the entry is done at once
 *   page_changed             nothing more; the page is looked up anew, and is there
 *   page_waits               nothing more; it is there when it is waited for
 *
 * One CPU runs: all of it is plain data.
 */
#define QUIRE_FORCE
#include "fault/resolve.h"

struct force force;

bool force_change(struct fault *f)
{
	static struct vma stale;

	force.times--;
	if (force.reason == QUIRE_RETRY_VMA) {
		stale = *f->vma;
		at_store(&stale.seq, (uint64_t)VMA_RETIRED);
		stale.flags ^= VMA_EXEC; /* so that the one in the tree does not say the same */
		f->vma = f->known->vma = &stale;
	}
	return true;
}

bool force_classic(struct fault *f)
{
	if (force.gives_back && (f->page || f->table))
		fault_discard(f);
	if (force.classic)
		force.times = 0;
	return force.classic;
}
