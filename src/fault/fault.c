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
#include "fault/dispatch.h"
#include "fault/force.h"
#include "fault/look_up.h"

#include "space/space.h"

#define SPECULATIVE_TRIES 8
#define RECLAIM 64 /* frames, where memory is short */
#define MEMORY_TRIES 3
#define MEMORY_WAIT_NS 100000000ull

/* => in the section of the attempt, or one of its own */
static COLD void failed(struct fault *f)
{
	trace_count(&mm_trace(f->mm)->counters[f->reason]);
	trace_event(f->mm, f->address, f->reason);
}

/* What an attempt counts, it counts here. => pinned */
static ALWAYS_INLINE void count_in(struct fault *f, enum quire_path path)
{
	f->trace = mm_trace(f->mm);
	f->kinds = f->trace->faults[path];
}

static ALWAYS_INLINE enum outcome attempt(struct fault *f, enum quire_path path)
{
	struct grace_cpu *cpu = section_enter();
	enum outcome outcome;

	count_in(f, path);
	if (path == QUIRE_PATH_SPECULATIVE && likely(knows(f))) {
		outcome = permitted(f, path);
	} else {
		outcome = look_up(f, path);
		if (likely(outcome == FAULT_OK))
			outcome = reach_leaf(f);
	}
	if (likely(outcome == FAULT_OK))
		outcome = dispatch(f);
	if (unlikely(outcome == FAULT_RETRY)) {
		f->known->leaf_at = KNOWN_NO_LEAF;
		failed(f);
	}
	section_leave_as(cpu);
	return outcome;
}

/*
 * The first try has found that something changed. (Not cold: code for size clears a page slowly.)
 */
static __attribute__((noinline)) enum outcome speculate_again(struct fault *f)
{
	for (unsigned turn = 1; turn < SPECULATIVE_TRIES; turn++) {
		enum outcome outcome;

		if (force_classic(f))
			return classic(f, QUIRE_CLASSIC_RETRIES);
		port_pause(turn - 1);
		outcome = attempt(f, QUIRE_PATH_SPECULATIVE);
		if (outcome != FAULT_RETRY)
			return outcome;
	}
	port_pause(SPECULATIVE_TRIES - 1);
	return classic(f, QUIRE_CLASSIC_RETRIES);
}

/* => in a section, this CPU's known VMA locked */
static ALWAYS_INLINE enum outcome with_vma_locked(struct fault *f)
{
	enum outcome outcome;

	/* Acquire: pairs with fork's end. The count came first: full barrier. */
	if (at_load_acquire(&f->mm->forking))
		return classic(f, QUIRE_CLASSIC_CONTENDED);
	outcome = reach_leaf(f);
	return likely(outcome == FAULT_OK) ? dispatch(f) : outcome;
}

/*
 * The vma-lock baseline: the same with the VMA's reader count held, which can't be had of a VMA
 * that is being replaced.
 */
static ALWAYS_INLINE enum outcome vma_locked(struct fault *f)
{
	struct grace_cpu *cpu = section_enter();
	enum outcome outcome;

	count_in(f, QUIRE_PATH_VMA_LOCK);
	outcome = look_up(f, QUIRE_PATH_VMA_LOCK);
	if (likely(outcome == FAULT_OK)) {
		struct vma *vma = f->known->vma;

		if (likely(vma_try_read(vma))) {
			outcome = with_vma_locked(f);
			vma_read_done(vma);
		} else {
			outcome = classic(f, QUIRE_CLASSIC_CONTENDED);
		}
	}
	section_leave_as(cpu);
	return unlikely(outcome == FAULT_RETRY) ? classic(f, QUIRE_CLASSIC_RETRIES) : outcome;
}

/* => in a section */
static void count_verdict(struct quire_mm *mm)
{
	trace_count(&mm_trace(mm)->faults[QUIRE_PATH_CLASSIC][QUIRE_KIND_VERDICT]);
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
	count_verdict(f->mm);
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
	count_verdict(f->mm);
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

/* A fault that came to nothing leaves no tables behind: no sweep may ever come for them. */
static void unhook_unused(struct fault *f)
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

static ALWAYS_INLINE enum outcome first_attempt(struct fault *f)
{
	if (likely(at_load(&f->mm->speculation)))
		return attempt(f, QUIRE_PATH_SPECULATIVE);
	return f->mm->mode == QUIRE_VMA_LOCK ? vma_locked(f) : classic(f, QUIRE_CLASSIC_OFF);
}

/*
 * The rest of the first path. FAULT_RETRY: an object was waited for, begin with the first attempt.
 * (Neither this nor `finish` is cold: each fault of the `classic` baseline comes by here.)
 */
static __attribute__((noinline)) enum outcome later_attempts(struct fault *f, enum outcome outcome,
							     unsigned flags)
{
	if (outcome == FAULT_RETRY)
		outcome = speculate_again(f);
	if (outcome == FAULT_WAIT && !flags) {
		/* An attempt that knows the leaf finds no use for it, and none that it must go. */
		if (unlikely(f->table))
			fault_discard(f);
		outcome = wait_for_object(f);
		if (outcome == FAULT_OK)
			outcome = force_classic(f) ? classic(f, QUIRE_CLASSIC_RETRIES)
						   : FAULT_RETRY;
	}
	return outcome;
}

/* What remains when the first path has not resolved the fault. */
static enum quire_verdict go_on(struct fault *f, enum outcome outcome, unsigned flags)
{
	if (outcome == FAULT_WAIT)
		return give_up_waiting(f);
	if (flags & QUIRE_FAULT_SPECULATIVE)
		return QUIRE_FAULT_RETRY;
	return resolve_classic(f, outcome == FAULT_MEMORY ? QUIRE_CLASSIC_MEMORY : f->reason,
			       flags);
}

/* All that the first path has left to do. */
static __attribute__((noinline)) enum quire_verdict finish(struct fault *f, enum outcome outcome,
							   unsigned flags)
{
	enum quire_verdict result = QUIRE_FAULT_DONE;

	if (outcome != FAULT_OK)
		result = go_on(f, outcome, flags);
	if (f->page || f->table)
		fault_discard(f);
	if (result != QUIRE_FAULT_DONE && f->hooked)
		unhook_unused(f);
	return result;
}

static enum quire_verdict resolve(struct quire_mm *mm, uint64_t address, enum quire_access access,
				  unsigned flags)
{
	enum outcome outcome;
	struct fault f;

	assert_debug(access <= QUIRE_EXEC);
	fault_init(&f, mm, address, access);
	do {
		outcome = first_attempt(&f);
		if (likely(outcome == FAULT_OK && !f.page))
			return QUIRE_FAULT_DONE;
		outcome = later_attempts(&f, outcome, flags);
	} while (outcome == FAULT_RETRY);
	return finish(&f, outcome, flags);
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
