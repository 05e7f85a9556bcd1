/* SPDX-License-Identifier: MIT */
/*
 * Evicting: clean pages leave the cache, because somebody wants them read anew (invalidate) or
 * because memory is short (reclaim).
 *
 *     take out     READY, or READY and USED, by one exchange to GONE: nothing else goes. A page that
 *                  is made dirty, written or used at that moment has another state, and stays.
 *     sweep        its entries, in all mappings; it flushes
 *     give up      the frames; tell `invalidate`
 *
 * Reclaim goes round all objects and their pages like the hand of a clock. A page that was used
 * since the hand came by stays, and loses the mark: USED, which look-ups set, and `accessed` of the
 * entries that map it, by a sweep of its own. If a round has not freed enough, what is dirty is
 * written, and the hand goes round once more.
 *
 * Pages of objects that don't learn of writes are never clean.
 *
 *     A reclaim may come from code of the embedder's that an object has called: a store that runs
 *     out of memory while it writes. Waiting for the `io` of such an object would be for ever. So
 *     reclaim writes only what nobody is writing. (A thread that holds the `io` of one object and
 *     waits here for that of another has found it free: then that other's holder came later, looks
 *     later, and finds the first one held. So there is no cycle.)
 */
#include "object/mapping.h"

#define ROUNDS 2

/* What cache_remove is to take, and what it took. */
struct look {
	bool tracks;
	bool used; /* pages that were used, too */
	uint64_t stayed;
	uint64_t first, end; /* of what was taken */
	struct frame *chain; /* last page first */
};

/* cache_remove's. */
static bool take_clean(struct frame *frame, uint64_t index, void *context)
{
	struct look *look = context;
	uint32_t state = at_load(&frame->u.object.state), next;
	bool clean;

	do {
		clean = look->tracks && (state & ~PAGE_USED) == PAGE_READY;
		next = look->used ? state : state & ~PAGE_USED;
		if (clean && (look->used || !(state & PAGE_USED)))
			next = PAGE_GONE;
		/* Pairs with the looks at the state under a leaf lock. */
	} while (next != state && !at_cas(&frame->u.object.state, &state, next));
	if (!clean)
		look->stayed++;
	if (next != PAGE_GONE)
		return false;
	if (!look->chain)
		look->first = index;
	look->end = index + 1;
	frame->u.object.next = look->chain;
	look->chain = frame;
	return true;
}

/* Pages of [index, end) that a mapping has accessed since it was last asked are USED. */
static void ask_mappings(struct quire_object *object, uint64_t index, uint64_t end)
{
	for (; index < end; index++) {
		struct frame *frame;

		section_enter();
		frame = page_get(object, index);
		section_leave();
		if (!frame)
			continue;
		/* More references than the cache's and ours: it is mapped. */
		if (at_load(&frame->refs) > 2 &&
		    mapping_sweep_all(object, index, index + 1, SWEEP_AGE) > 0)
			page_use(frame);
		page_unpin(frame);
	}
}

/*
 * The next pages of [*index, end), those of one node of the cache; *index is their first one.
 * Returns their end, or *index: there are none.
 */
static uint64_t next_node(struct quire_object *object, uint64_t *index, uint64_t end)
{
	struct cache_slot slot;
	uint64_t last;
	bool some;

	section_enter();
	some = cache_next(&object->cache, index, end, false, &slot) != NULL;
	section_leave();
	if (!some)
		return *index;
	last = *index | (CACHE_SLOTS - 1);
	return last < end ? last + 1 : end;
}

/*
 * As object_drop_clean, and until `most` have gone. *index is where it begins, and then where to go
 * on; *stayed is added to.
 */
static uint64_t drop(struct quire_object *object, uint64_t *index, uint64_t end, bool used,
		     uint64_t most, uint64_t *stayed)
{
	uint64_t gone = 0, last;

	while (gone < most && (last = next_node(object, index, end)) > *index) {
		struct look look = { .tracks = object->tracks, .used = used };
		uint64_t left = most - gone;

		if (!used)
			ask_mappings(object, *index, last);
		section_enter();
		*index = cache_remove(&object->cache, *index, last,
				      left < CACHE_SLOTS ? (unsigned)left : CACHE_SLOTS, take_clean,
				      &look);
		section_leave();
		if (*index == CACHE_NONE)
			*index = last;
		*stayed += look.stayed;
		if (look.chain)
			mapping_sweep_all(object, look.first, look.end, SWEEP_PAGES);
		gone += object_give_up(object, look.chain);
	}
	at_add(&object->reclaimed, gone);
	return gone;
}

uint64_t object_drop_clean(struct quire_object *object, uint64_t index, uint64_t end, bool used,
			   uint64_t *stayed)
{
	uint64_t busy = 0, gone = drop(object, &index, end, used, UINT64_MAX, &busy);

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

/* From the hand to the end, and from the start to the hand. */
static uint64_t reclaim_object(struct quire_object *object, uint64_t pages, bool write)
{
	uint64_t start = at_load(&object->hand), index = start, stayed = 0, gone;

	if (write && at_load(&object->io.state) == 0)
		object_write_back(object, 0, CACHE_NONE, true);
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
