/* SPDX-License-Identifier: MIT */
/*
 * Evicting: pages leave the cache of an object that keeps its size, because somebody wants clean
 * ones read anew (invalidate), wants a hole (remove), or because memory is short (reclaim).
 *
 *     claim      READY ──► READING and LEAVING, by one exchange (published): it stays in its slot,
 *                so that no other page can be there, and nobody enters it; who wants it waits
 *     sweep      its entries, in all mappings; it flushes
 *     let go     out of the slot, GONE, wake; the reference of the cache; tell `invalidate`
 *
 * Weighed and left: out of the slot first, then sweep. Before the sweep another page could be
 * fetched to that slot and be written to, while an old entry still shows the old bytes.
 *
 * Clean is READY, or READY and USED, and nothing else: a page that is made dirty, written or used
 * at that moment has another state, and stays. For a hole everything goes, when no write is under
 * way; who is about to read is waited for. Pages of objects that don't learn of writes are never
 * clean.
 *
 * Reclaim goes round all objects and their pages like the hand of a clock. A page that was used
 * since the hand came by stays, and loses the mark: USED, which look-ups set, and `accessed` of the
 * entries that map it, by a sweep of its own. If a round has not freed enough, what is dirty is
 * written, and the hand goes round once more.
 *
 *     A reclaim may come from code of the embedder's that an object has called: a store that runs
 *     out of memory while it writes. Waiting for the `io` of such an object would be for ever. So
 *     reclaim writes only what nobody is writing. (A thread that holds the `io` of one object and
 *     waits here for that of another has found it free: then that other's holder came later, looks
 *     later, and finds the first one held. So there is no cycle.)
 */
#include "object/mapping.h"
#include "sync/sleep.h"

#define ROUNDS 2
#define AT_ONCE 64 /* pages that are claimed, then swept */

/* The first page of [*index, end), pinned; *index is set to its index. NULL: there is none. */
static struct frame *next_page(struct quire_object *object, uint64_t *index, uint64_t end)
{
	struct cache_slot slot;
	struct frame *frame;

	section_enter();
	do
		frame = cache_next(&object->cache, index, end, false, &slot);
	while (frame && !page_pin(frame, &slot));
	section_leave();
	return frame;
}

/* The page is LEAVING: the caller's. */
static void chain(struct frame **pages, struct frame *frame)
{
	frame->u.object.next = *pages;
	*pages = frame;
}

/* cache_remove's: this page. */
static bool take_it(struct frame *frame, uint64_t index, void *context)
{
	(void)index;
	return frame == context;
}

/* Pages that are LEAVING and no longer mapped go. Returns how many. => chained, last page first */
static uint64_t let_go(struct quire_object *object, struct frame *pages)
{
	for (struct frame *frame = pages; frame; frame = frame->u.object.next) {
		uint64_t index = frame->u.object.index;

		section_enter();
		cache_remove(&object->cache, index, index + 1, 1, take_it, frame);
		/* Release: pairs with page_wait. */
		at_xchg(&frame->u.object.state, PAGE_GONE);
		section_leave();
		page_wake(frame);
	}
	return object_give_up(object, pages);
}

/* --- clean pages --- */

/*
 * Claim a page if it is clean and not USED, or (used) may be. Otherwise it loses that mark (not
 * used), and *stayed counts it if it is not clean.
 */
static bool claim_clean(struct frame *frame, bool used, uint64_t *stayed)
{
	uint32_t state = at_load(&frame->u.object.state), next;
	bool clean, claims;

	do {
		clean = (state & ~PAGE_USED) == PAGE_READY;
		claims = clean && (used || !(state & PAGE_USED));
		next = used ? state : state & ~PAGE_USED;
		if (claims)
			next = PAGE_READING | PAGE_LEAVING;
		/* Pairs with the looks at the state under a leaf lock. */
	} while (next != state && !at_cas(&frame->u.object.state, &state, next));
	/* Cut off meanwhile: it does not stay. */
	*stayed += !clean && !(state & PAGE_GONE);
	return claims;
}

/* Has a mapping accessed the page since it was last asked? Then it is USED. => pinned */
static void ask_mappings(struct quire_object *object, struct frame *frame)
{
	uint64_t index = frame->u.object.index;

	/* More references than the cache's and ours: it is mapped. */
	if (at_load(&frame->refs) > 2 && mapping_sweep_all(object, index, index + 1, SWEEP_AGE) > 0)
		page_use(frame);
}

/* Sweep what was claimed, and nothing in between: that may be in use. */
static void sweep_runs(struct quire_object *object, const struct frame *pages)
{
	while (pages) {
		uint64_t end = pages->u.object.index + 1, index = end;

		do {
			index--;
			pages = pages->u.object.next;
		} while (pages && pages->u.object.index + 1 == index);
		mapping_sweep_all(object, index, end, SWEEP_PAGES);
	}
}

/*
 * As object_drop_clean, and until `most` have gone. *index is where it begins, and then where to go
 * on; *stayed is added to.
 */
static uint64_t drop(struct quire_object *object, uint64_t *index, uint64_t end, bool used,
		     uint64_t most, uint64_t *stayed)
{
	uint64_t gone = 0, claimed;

	do {
		struct frame *pages = NULL, *frame;

		claimed = 0;
		while (claimed < AT_ONCE && gone + claimed < most &&
		       (frame = next_page(object, index, end)) != NULL) {
			if (!used)
				ask_mappings(object, frame);
			if (claim_clean(frame, used, stayed)) {
				chain(&pages, frame);
				claimed++;
			}
			page_unpin(frame);
			++*index;
		}
		sweep_runs(object, pages);
		gone += let_go(object, pages);
	} while (claimed > 0);
	at_add(&object->reclaimed, gone);
	return gone;
}

/* Of an object that does not learn of writes every page stays. */
static uint64_t count_pages(struct quire_object *object, uint64_t index, uint64_t end)
{
	struct frame *frame;
	uint64_t pages = 0;

	for (; (frame = next_page(object, &index, end)) != NULL; index++) {
		page_unpin(frame);
		pages++;
	}
	return pages;
}

uint64_t object_drop_clean(struct quire_object *object, uint64_t index, uint64_t end, bool used,
			   uint64_t *stayed)
{
	uint64_t busy = 0, gone = 0;

	if (object->tracks)
		gone = drop(object, &index, end, used, UINT64_MAX, &busy);
	else
		busy = count_pages(object, index, end);
	if (stayed)
		*stayed = busy;
	return gone;
}

int quire_object_invalidate(struct quire_object *object, uint64_t offset, uint64_t length)
{
	uint64_t stayed;

	object_drop_clean(object, offset >> PAGE_SHIFT, object_range_end(offset, length), true,
			  &stayed);
	return stayed ? -QUIRE_EBUSY : 0;
}

/* --- reclaim --- */

/* From the hand to the end, and from the start to the hand. */
static uint64_t reclaim_object(struct quire_object *object, uint64_t pages, bool write)
{
	uint64_t start = at_load(&object->hand), index = start, stayed = 0, gone;

	if (write && at_load(&object->io.state) == 0) {
		/* Not waiting for who copies to a page: it may be who has no memory, here. */
		object_write_back(object, 0, CACHE_NONE, false);
		object_await_writes(object);
	}
	gone = drop(object, &index, CACHE_NONE, false, pages, &stayed);
	if (gone < pages) {
		index = 0;
		gone += drop(object, &index, start, false, pages - gone, &stayed);
	}
	at_store(&object->hand, index);
	return gone;
}

uint64_t object_reclaim(uint64_t pages)
{
	uint64_t gone = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint64_t turns = object_count(); turns > 0 && gone < pages; turns--) {
			struct quire_object *object = object_turn();

			if (!object)
				break;
			if (object->tracks)
				gone += reclaim_object(object, pages - gone, round > 0);
			quire_object_put(object);
		}
	}
	return gone;
}

uint64_t quire_reclaim(uint64_t pages)
{
	return object_reclaim(pages);
}

/* --- holes --- */

/* Claim a page whatever is in it. False: it is being read, or leaves. */
static bool claim_any(struct frame *frame)
{
	uint32_t state = at_load(&frame->u.object.state), next;

	do {
		if (!(state & PAGE_READY))
			return false;
		next = (state & PAGE_WRITING) | PAGE_READING | PAGE_LEAVING;
		/* Pairs with the looks at the state under a leaf lock. */
	} while (!at_cas(&frame->u.object.state, &state, next));
	return true;
}

/* => `io` held, nothing is written or read there; may sleep */
static void drop_any(struct quire_object *object, uint64_t first, uint64_t end)
{
	struct frame *pages = NULL, *frame;
	uint64_t index = first;

	for (; (frame = next_page(object, &index, end)) != NULL; index++) {
		/* Else it leaves already, or is being written as a whole, which comes after us. */
		if (claim_any(frame))
			chain(&pages, frame);
		page_unpin(frame);
	}
	mapping_sweep_all(object, first, end, SWEEP_PAGES);
	let_go(object, pages);
}

/* => `io` held, the hole is published; may sleep */
static void await_reads(struct quire_object *object, uint64_t index, uint64_t end)
{
	struct frame *frame;

	for (; (frame = next_page(object, &index, end)) != NULL; index++) {
		page_wait(frame, PAGE_READING);
		page_unpin(frame);
	}
}

/*
 * From then on nothing is read in the range, and nothing is being read: so nobody sees the hole in
 * what keeps the object, and stores there, before its pages have gone from the cache.
 */
static void publish_hole(struct quire_object *object, uint64_t first, uint64_t end)
{
	at_store(&object->hole_first, first);
	at_store(&object->hole_end, end);
	/* Pairs with the insertion of pages that are to be read: see fetch.c. */
	at_fence();
	await_reads(object, first, end);
}

static int ask_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	const struct quire_object_ops *ops = object->ops;
	struct away away;
	int error;

	if (!ops->remove)
		return ops->fault || ops->writepages ? -QUIRE_EOPNOTSUPP : 0;
	away = away_begin();
	error = object_error(ops->remove(object, offset, length));
	away_end(away);
	return error;
}

int quire_object_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	uint64_t first = offset >> PAGE_SHIFT, end = object_range_end(offset, length);
	int error = 0;

	if ((offset | length) & PAGE_MASK)
		return -QUIRE_EINVAL;
	rwsem_write(&object->io);
	/* There is nothing to remove beyond the end. */
	if (end > object_pages(object))
		end = object_pages(object);
	if (first < end) {
		object_await_writes(object);
		publish_hole(object, first, end);
		error = ask_remove(object, offset, (end - first) << PAGE_SHIFT);
		if (!error)
			drop_any(object, first, end);
		at_store(&object->hole_end, 0ull);
		at_store(&object->hole_first, 0ull);
	}
	rwsem_write_done(&object->io);
	return error;
}
