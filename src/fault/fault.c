/* SPDX-License-Identifier: MIT */
/*
 * The page fault.
 *
 *     speculative:  section { look up the VMA ─► allowed? ─► resolve } ──ok──► done
 *                      ▲                            │no         │something changed
 *                      └──── pause ◄── a few times ─┼───────────┤
 *                                                   ▼           ▼
 *     classic:      range of the page locked, shared { the same, until it is certain }
 *                                                                      └──► done, or a verdict
 *
 * Only the classic path gives a verdict against the access: with the range locked no writer is at
 * work on this address, so "nothing is mapped" and "not allowed" are the truth (H58). It waits for
 * a writer whose range covers the page, and for nothing else in the space.
 *
 * Holding nothing across a wait: for memory, the section and the range are left, deferred frees are
 * waited for, and the fault begins anew; what was prepared travels along in struct fault.
 *
 * For a page of an object the fault leaves everything in the same way, but for a reference to the
 * object, has the page fetched, and begins anew: speculatively, where it was so.
 *
 * The baselines share all of this but for how they make sure of the VMA: `classic` holds the
 * space's lock shared; `vma-lock` holds the VMA's lock shared, and the space's if it can't have
 * that.
 */
#include "fault/fault.h"

#include "space/space.h"

#define SPECULATIVE_TRIES 8
#define RECLAIM 64 /* frames, where memory is short */
#define MEMORY_TRIES 3
#define MEMORY_WAIT_NS 100000000ull

static void succeeded(struct fault *f, enum quire_path path)
{
	trace_count(&mm_trace(f->mm)->faults[path][f->kind]);
}

static void failed(struct fault *f)
{
	trace_count(&mm_trace(f->mm)->counters[f->reason]);
	trace_event(f->mm, f->address, f->reason);
}

static enum outcome classic(struct fault *f, enum quire_counter reason)
{
	f->reason = reason;
	return FAULT_CLASSIC;
}

/*
 * The VMA that each CPU's last look-up found. A fault that finds its own there does not read the
 * tree, whose root and nodes every edit of the space writes. The VMA is still allocated if the CPU
 * is in the same era (sync/grace.h); its sequence count says whether it is still live.
 */
static struct vma_cache {
	uint64_t space; /* quire_mm.id; 0: none */
	uint64_t era;
	struct vma *vma;
} __attribute__((aligned(64))) caches[MAX_CPUS];

/* => in a section */
static bool cached(struct fault *f)
{
	const struct vma_cache *cache = &caches[port_cpu()];

	if (cache->space != f->mm->id || cache->era != grace_era() ||
	    f->address < cache->vma->start || f->address >= cache->vma->end)
		return false;
	f->vma = cache->vma;
	/* Acquire: as in look_up. */
	return likely(at_load_acquire(&f->vma->seq) == VMA_LIVE);
}

/* => in the section in which f->vma was found, and was live after that */
static void remember(const struct fault *f)
{
	caches[port_cpu()] = (struct vma_cache){ f->mm->id, grace_era(), f->vma };
}

/* Find the VMA in the tree and see whether it is usable. => in a section */
static __attribute__((noinline)) enum outcome search(struct fault *f)
{
	struct tree tree = tree_snapshot(&f->mm->tree);
	uint64_t seq;

	f->vma = tree_find(&tree, f->address);
	if (unlikely(!f->vma)) {
		struct vma *above = tree_next(&tree, f->address);

		return classic(f, above && above->flags & VMA_GROWSDOWN ? QUIRE_CLASSIC_GROWTH
									: QUIRE_CLASSIC_NO_VMA);
	}
	/* Acquire: pairs with the stores of space_set_live and retire. */
	seq = at_load_acquire(&f->vma->seq);
	if (unlikely(seq != VMA_LIVE)) {
		if (seq == VMA_PENDING)
			return classic(f, QUIRE_CLASSIC_PENDING);
		f->reason = QUIRE_RETRY_VMA;
		return FAULT_RETRY;
	}
	remember(f);
	return FAULT_OK;
}

/* Does what is mapped allow this path? (An object has to say so: H53, lineage 13.) */
static bool opted_in(const struct vma *vma, enum quire_path path)
{
	return path == QUIRE_PATH_CLASSIC || !vma->mapping ||
	       vma->mapping->object->caps & QUIRE_CAN_FAULT;
}

/* => in a section */
static enum outcome look_up(struct fault *f, enum quire_path path)
{
	enum outcome outcome = cached(f) ? FAULT_OK : search(f);

	if (outcome == FAULT_OK && unlikely(!fault_allowed(f->vma, f->access)))
		return classic(f, QUIRE_CLASSIC_ACCESS);
	if (outcome == FAULT_OK && unlikely(!opted_in(f->vma, path)))
		return classic(f, QUIRE_CLASSIC_OBJECT);
	return outcome;
}

static enum outcome attempt(struct fault *f, enum quire_path path)
{
	enum outcome outcome;

	section_enter();
	outcome = look_up(f, path);
	if (likely(outcome == FAULT_OK))
		outcome = fault_resolve(f);
	if (likely(outcome == FAULT_OK))
		succeeded(f, path);
	else if (outcome == FAULT_RETRY)
		failed(f);
	section_leave();
	return outcome;
}

static enum outcome speculate(struct fault *f)
{
	enum outcome outcome;

	for (unsigned turn = 0; turn < SPECULATIVE_TRIES; turn++) {
		outcome = attempt(f, QUIRE_PATH_SPECULATIVE);
		if (likely(outcome != FAULT_RETRY))
			return outcome;
		port_pause(turn);
	}
	return classic(f, QUIRE_CLASSIC_RETRIES);
}

/*
 * The vma-lock baseline: the same with the VMA's reader count held, which can't be had of a VMA
 * that is being replaced.
 */
static enum outcome vma_locked(struct fault *f)
{
	enum outcome outcome;

	section_enter();
	outcome = look_up(f, QUIRE_PATH_VMA_LOCK);
	if (outcome == FAULT_OK) {
		if (vma_try_read(f->vma)) {
			/* Acquire: pairs with fork's end. The count came first: full barrier. */
			if (at_load_acquire(&f->mm->forking))
				outcome = classic(f, QUIRE_CLASSIC_CONTENDED);
			else
				outcome = fault_resolve(f);
			vma_read_done(f->vma);
		} else {
			outcome = classic(f, QUIRE_CLASSIC_CONTENDED);
		}
	}
	if (outcome == FAULT_OK)
		succeeded(f, QUIRE_PATH_VMA_LOCK);
	section_leave();
	return outcome == FAULT_RETRY ? classic(f, QUIRE_CLASSIC_RETRIES) : outcome;
}

static enum quire_verdict verdict(struct fault *f)
{
	enum quire_verdict verdict = QUIRE_FAULT_MAPERR;

	section_enter();
	if (f->reason == QUIRE_CLASSIC_BUS) {
		verdict = QUIRE_FAULT_BUS;
	} else if (f->reason == QUIRE_CLASSIC_ACCESS) {
		struct vma *vma = tree_find(&f->mm->tree, f->address);
		bool by_key = vma && (f->access == QUIRE_WRITE
					      ? (vma->flags & VMA_WRITE) != 0
					      : f->access == QUIRE_READ && (vma->flags & VMA_PROT));

		verdict = by_key ? QUIRE_FAULT_PKUERR : QUIRE_FAULT_ACCERR;
	}
	f->kind = QUIRE_KIND_VERDICT;
	succeeded(f, QUIRE_PATH_CLASSIC);
	section_leave();
	return verdict;
}

/*
 * One round with the range (or the space) locked: nothing about the mapping of this address
 * changes, so each retry is somebody else's progress. But who has taken a page out of its object
 * waits for this very range, to sweep: it must have its turn.
 */
static enum outcome classic_round(struct fault *f, enum quire_verdict *result)
{
	struct space_lock lock;
	enum outcome outcome;
	unsigned turn = 0;

	space_lock(&lock, f->mm, f->address, f->address + PAGE_SIZE, SPACE_FAULT);
	while ((outcome = attempt(f, QUIRE_PATH_CLASSIC)) == FAULT_RETRY &&
	       f->reason != QUIRE_RETRY_PAGE)
		port_pause(turn++);
	if (outcome == FAULT_OK)
		*result = QUIRE_FAULT_DONE;
	else if (outcome == FAULT_CLASSIC && f->reason != QUIRE_CLASSIC_GROWTH)
		*result = verdict(f);
	space_unlock(&lock);
	return outcome;
}

static enum quire_verdict out_of_memory(struct fault *f)
{
	section_enter();
	trace_count(&mm_trace(f->mm)->counters[QUIRE_OOMS]);
	f->kind = QUIRE_KIND_VERDICT;
	succeeded(f, QUIRE_PATH_CLASSIC);
	section_leave();
	return QUIRE_FAULT_OOM;
}

/*
 * Have what the fault needs of an object.
 * => holding nothing but the reference, which is given back. FAULT_OK: begin anew; FAULT_MEMORY
 */
static enum outcome wait_for_object(struct fault *f)
{
	struct quire_object *object = f->object;

	f->object = NULL;
	f->failed = object;
	f->error = f->mkwrite ? page_mkwrite(object, f->index) : page_fetch(object, f->index);
	quire_object_put(object);
	section_enter();
	f->reason = QUIRE_RETRY_WAIT;
	failed(f);
	section_leave();
	if (f->error != -QUIRE_ENOMEM)
		return FAULT_OK;
	f->error = 0;
	return FAULT_MEMORY;
}

/* The fault is not to sleep for the object: it gives its ticket back, not even releasing it. */
static enum quire_verdict give_up_waiting(struct fault *f)
{
	section_enter();
	object_put_later(f->object);
	section_leave();
	f->object = NULL;
	return QUIRE_FAULT_WAIT;
}

/* Wait for memory, holding nothing. Returns whether it is worth another try. */
static bool wait_for_memory(void)
{
	bool reclaimed = object_reclaim(RECLAIM) > 0;

	return grace_barrier(MEMORY_WAIT_NS) || reclaimed;
}

static enum quire_verdict resolve_classic(struct fault *f, enum quire_counter reason,
					  unsigned flags)
{
	enum quire_verdict result = QUIRE_FAULT_DONE;
	unsigned waits = 0, turn = 0;

	section_enter();
	f->reason = reason;
	trace_count(&mm_trace(f->mm)->counters[reason]);
	if (f->mm->mode == QUIRE_SPECULATIVE)
		trace_event(f->mm, f->address, reason);
	section_leave();
	for (;;) {
		enum outcome outcome = classic_round(f, &result);
		int error = 0;

		if (outcome == FAULT_WAIT) {
			if (flags & QUIRE_FAULT_NOWAIT)
				return give_up_waiting(f);
			outcome = wait_for_object(f);
		} else if (outcome == FAULT_CLASSIC && f->reason == QUIRE_CLASSIC_GROWTH) {
			error = space_grow_stack(f->mm, f->address);
			if (error == -QUIRE_EFAULT) {
				f->reason = QUIRE_CLASSIC_NO_VMA;
				return verdict(f);
			}
		} else if (outcome == FAULT_RETRY) {
			port_pause(turn++);
		} else if (outcome != FAULT_MEMORY) {
			return result;
		}
		/* Holding nothing: wait for what is deferred to be freed, then from the top. */
		if (outcome == FAULT_MEMORY || error == -QUIRE_ENOMEM) {
			if (waits++ == MEMORY_TRIES || !wait_for_memory())
				return out_of_memory(f);
		}
	}
}

/* Give back what was prepared for nothing. */
static __attribute__((noinline)) void discard(struct fault *f)
{
	section_enter();
	if (f->page) {
		trace_count(&mm_trace(f->mm)->counters[QUIRE_UNUSED_FRAME]);
		frame_put(f->page);
	}
	if (f->table) {
		trace_count(&mm_trace(f->mm)->counters[QUIRE_UNUSED_TABLE]);
		table_free_unused(f->table);
	}
	section_leave();
}

/* A fault that came to nothing leaves no tables behind: no sweep may ever come for them. */
static __attribute__((noinline)) void unhook_unused(struct fault *f)
{
	struct gather gather;
	struct walk walk;

	gather_init(&gather, &f->mm->tables);
	section_enter();
	table_walk(&f->mm->tables, f->address, &walk);
	table_unhook_empty(&f->mm->tables, walk.table, 0, UINT64_MAX, &gather.unhooked);
	section_leave();
	gather_finish(&gather);
}

static enum outcome first_path(struct fault *f)
{
	if (likely(f->mm->mode == QUIRE_SPECULATIVE)) {
		if (likely(PORT_SPECULATION && at_load(&f->mm->speculation)))
			return speculate(f);
	} else if (f->mm->mode == QUIRE_VMA_LOCK) {
		return vma_locked(f);
	}
	return classic(f, QUIRE_CLASSIC_OFF);
}

/* The first path, as often as it waits for an object in between. */
static enum outcome begin(struct fault *f, unsigned flags)
{
	enum outcome outcome;

	do {
		outcome = first_path(f);
		if (likely(outcome != FAULT_WAIT) || flags)
			return outcome;
		outcome = wait_for_object(f);
	} while (outcome == FAULT_OK);
	return outcome;
}

/* What remains when the first path has not resolved the fault. */
static __attribute__((noinline)) enum quire_verdict go_on(struct fault *f, enum outcome outcome,
							  unsigned flags)
{
	if (outcome == FAULT_WAIT)
		return give_up_waiting(f);
	if (flags & QUIRE_FAULT_SPECULATIVE)
		return QUIRE_FAULT_RETRY;
	return resolve_classic(f, outcome == FAULT_MEMORY ? QUIRE_CLASSIC_MEMORY : f->reason,
			       flags);
}

static inline enum quire_verdict resolve(struct quire_mm *mm, uint64_t address,
					 enum quire_access access, unsigned flags)
{
	enum quire_verdict result = QUIRE_FAULT_DONE;
	enum outcome outcome;
	struct fault f;

	assert_debug(access <= QUIRE_EXEC);
	fault_init(&f, mm, address, access);
	outcome = begin(&f, flags);
	if (unlikely(outcome != FAULT_OK))
		result = go_on(&f, outcome, flags);
	if (unlikely(f.page || f.table))
		discard(&f);
	if (unlikely(result != QUIRE_FAULT_DONE && f.hooked))
		unhook_unused(&f);
	return result;
}

enum quire_verdict quire_fault(struct quire_mm *mm, uint64_t address, enum quire_access access)
{
	return resolve(mm, address, access, 0);
}

/* Counted each time, reported once for all spaces: who does this does it all the time. */
static void warn_contradiction(struct quire_mm *mm, uint64_t address)
{
	static _Atomic bool warned;

	section_enter();
	trace_count(&mm_trace(mm)->counters[QUIRE_NOWAIT_SPECULATIVE]);
	if (!at_load(&warned) && !at_xchg(&warned, true))
		trace_event(mm, address, QUIRE_NOWAIT_SPECULATIVE);
	section_leave();
}

enum quire_verdict quire_fault_with(struct quire_mm *mm, uint64_t address, enum quire_access access,
				    unsigned flags)
{
	const unsigned both = QUIRE_FAULT_NOWAIT | QUIRE_FAULT_SPECULATIVE;

	if ((flags & both) == both)
		warn_contradiction(mm, address);
	/* Where there is nothing speculative, only the classic path can say. */
	if (flags & QUIRE_FAULT_SPECULATIVE && mm->mode != QUIRE_SPECULATIVE)
		return QUIRE_FAULT_RETRY;
	return resolve(mm, address, access, flags & both);
}
