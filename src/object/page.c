/* SPDX-License-Identifier: MIT */
/*
 * Pages: how they are found, waited for, and made dirty. The states are drawn in object.h.
 *
 * Dirty. A page is DIRTY by its state, and marked in the node of the cache, by which write-back
 * finds it:
 *
 *     who makes an entry writable              who writes the page back (write.c)
 *     lock the leaf                            mark off, by exchange
 *     DIRTY on, by exchange                    DIRTY off, by exchange
 *     mark on, also if DIRTY was on already    sweep: lock the leaf, write-protect
 *     store, unlock
 *
 *   If the sweep comes later it finds the entry. If it was earlier, DIRTY was off: then it is on
 *   again by us, or by another whom we have seen, and after it the mark is off or set anew. So the
 *   page of a writable entry is marked, whoever made it dirty, and the next write-back finds it.
 */
#include "object/object.h"
#include "sync/sleep.h"

/* Who sleeps for a page, any page. Wakers look here first: mostly nobody does. */
static _Atomic uint32_t sleepers;

void page_init(struct frame *frame, struct quire_object *object, uint64_t index, uint32_t state)
{
	frame->kind = FRAME_OBJECT;
	frame->u.object.object = object;
	frame->u.object.index = index;
	frame->u.object.next = NULL;
	at_store(&frame->u.object.state, state);
}

struct frame *page_get(struct quire_object *object, uint64_t index)
{
	struct cache_slot slot;
	struct frame *frame;

	do {
		slot = cache_find(&object->cache, index);
		frame = cache_load(&slot);
	} while (frame && !page_pin(frame, &slot));
	return frame;
}

void page_wait(struct frame *frame, uint32_t bits)
{
	_Atomic uint32_t *word = &frame->u.object.state;
	/* Acquire, both: pair with the exchange that takes the bits off. */
	uint32_t state = at_load_acquire(word);

	if (!(state & bits) || state & PAGE_GONE)
		return;
	/* A full barrier, before the look at the state: pairs with that exchange, in page_wake. */
	at_add(&sleepers, 1u);
	while ((state = at_load_acquire(word)) & bits && !(state & PAGE_GONE))
		sleep_on(word, state);
	at_sub(&sleepers, 1u);
}

void page_wake(struct frame *frame)
{
	/* The exchange of the state was a full barrier: we see the sleeper, or it the new state. */
	if (at_load(&sleepers) != 0)
		port_wake(&frame->u.object.state);
}

enum cache_insert page_insert_zero(struct quire_object *object, uint64_t index, struct frame *frame)
{
	page_init(frame, object, index, PAGE_READY | PAGE_DIRTY);
	return cache_insert(&object->cache, index, frame);
}

enum cache_insert page_insert_reading(struct quire_object *object, uint64_t index,
				      struct frame *frame)
{
	enum cache_insert result;

	page_init(frame, object, index, PAGE_READING);
	/* The pin comes first: the page may be taken out at once. */
	frame_get(frame);
	result = cache_insert(&object->cache, index, frame);
	if (result != CACHE_INSERTED) {
		frame_put(frame);
		frame_put(frame);
	}
	return result;
}

bool page_make_dirty(struct frame *frame, const struct cache_slot *slot, bool asked)
{
	const struct quire_object *object = frame->u.object.object;
	uint32_t stable = object->caps & QUIRE_STABLE_WRITES ? PAGE_WRITING : 0;
	bool allowed = asked || !object->ops->page_mkwrite;
	/* Acquire: pairs with the exchange that takes DIRTY off, after the mark. */
	uint32_t state = at_load_acquire(&frame->u.object.state);

	do {
		if (!(state & PAGE_READY) || state & stable)
			return false;
		/* It was dirty when it was looked at, and is being written back by now. */
		if (!(state & PAGE_DIRTY) && !allowed)
			return false;
	} while (!(state & PAGE_DIRTY) &&
		 !at_cas(&frame->u.object.state, &state, state | PAGE_DIRTY));
	cache_mark(slot);
	return true;
}

/* Ask until there is an answer. => as page_mkwrite */
static int ask_mkwrite(struct quire_object *object, uint64_t index)
{
	int answer;

	if (!object->ops->page_mkwrite)
		return 0;
	for (unsigned turn = 0;; turn++) {
		struct away away = away_begin();

		answer = object->ops->page_mkwrite(object, index);
		away_end(away);
		if (answer != QUIRE_WAIT)
			return object_error(answer);
		port_pause(turn);
	}
}

int page_mkwrite(struct quire_object *object, uint64_t index)
{
	struct cache_slot slot;
	struct frame *frame;
	bool asked = false;
	int error = 0;

	section_enter();
	frame = page_get(object, index);
	section_leave();
	if (!frame)
		return 0;
	if (object->caps & QUIRE_STABLE_WRITES)
		page_wait(frame, PAGE_WRITING);
	if ((at_load(&frame->u.object.state) & (PAGE_READY | PAGE_DIRTY)) == PAGE_READY) {
		error = ask_mkwrite(object, index);
		asked = !error;
	}
	section_enter();
	slot = cache_find(&object->cache, index);
	if (!error && cache_load(&slot) == frame)
		page_make_dirty(frame, &slot, asked);
	frame_put(frame);
	section_leave();
	return error;
}
