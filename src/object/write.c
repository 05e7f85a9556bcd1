/* SPDX-License-Identifier: MIT */
/*
 * Writing back: dirty pages become clean, and what they hold is saved.
 *
 *     pick     page by page, up to a batch of neighbours: the mark off; DIRTY off and WRITING on
 *     sweep    of all mappings: no entry of the batch allows writing any more
 *     save     writepages: 0, an error, or QUIRE_WAIT and quire_pages_done
 *     done     WRITING off, wake; after an error DIRTY on again, and the mark
 *
 * A page that is written to from then on is made DIRTY anew, while it is being saved perhaps: the
 * next write-back saves it again. So nothing is lost whichever of the two was saved.
 *
 * WRITING is a lock of the page, too: quire_object_write holds it while it copies (io.c). A dirty
 * page that has it is waited for, or left for the next time.
 *
 * Who writes back has `io`, so that no page it picked is cut off, and no other write of the same
 * page is under way that could end after it and leave older bytes. What QUIRE_WAIT was said for
 * goes on without the lock: its pages have WRITING, and `writes` counts it for those who need the
 * object at rest.
 *
 *     mark late     who makes a page dirty sets DIRTY, then the mark (page.c). Here: mark off, then
 *                   a look at DIRTY. So a page that is found clean has no mark, or it is set again
 *                   by the one who is between the two.
 *     slot reused   a clean page may be dropped and another be in its slot by now: whose mark has
 *                   been taken off is then not known, and it is set again. A mark too many is
 *                   taken off by the next write-back.
 */
#include "object/mapping.h"
#include "sync/sleep.h"

enum pick { PICKED, CLEAN, BUSY };

/* => in a section, frame pinned, `io` held */
static enum pick pick(struct frame *frame, const struct cache_slot *slot)
{
	uint32_t state;

	/* A full barrier, as the exchange of who makes it dirty: one sees the other, see above. */
	cache_unmark(slot);
	state = at_load(&frame->u.object.state);
	while ((state & (PAGE_DIRTY | PAGE_WRITING | PAGE_GONE)) == PAGE_DIRTY)
		/* Pairs with page_make_dirty, under the leaf lock: published, before the sweep. */
		if (at_cas(&frame->u.object.state, &state, (state ^ PAGE_DIRTY) | PAGE_WRITING))
			return PICKED;
	/* Acquire: pairs with the insertion of another page, which is marked after it. */
	if (state & PAGE_DIRTY || cache_load(slot) != frame)
		cache_mark(slot);
	return state & PAGE_DIRTY ? BUSY : CLEAN;
}

/*
 * Pick the first page of [*index, end) that is dirty; *index is set to its index. Waits for a busy
 * one, or leaves it. Returns the page, pinned; NULL: there is none.
 */
static struct frame *pick_next(struct quire_object *object, uint64_t *index, uint64_t end,
			       bool wait)
{
	for (;;) {
		enum pick result = CLEAN;
		struct cache_slot slot;
		struct frame *frame;
		bool pinned;

		section_enter();
		frame = cache_next(&object->cache, index, end, true, &slot);
		pinned = frame && page_pin(frame, &slot);
		if (pinned)
			result = pick(frame, &slot);
		section_leave();
		if (!frame || result == PICKED)
			return frame;
		if (result == BUSY && wait)
			page_wait(frame, PAGE_WRITING);
		else
			++*index;
		if (pinned)
			page_unpin(frame);
	}
}

/* A write of the page is over: well, or it must be repeated. Gives up the pin. => in a section */
static void end_writing(struct quire_object *object, struct frame *frame, bool failed)
{
	uint32_t state = at_load(&frame->u.object.state), next;

	do {
		assert_debug(state & PAGE_WRITING);
		next = (state & ~PAGE_WRITING) | (failed ? PAGE_DIRTY : 0);
		/* Release: pairs with page_wait. Full barrier: DIRTY, then the mark. */
	} while (!at_cas(&frame->u.object.state, &state, next));
	if (failed) {
		/* A page that is being written does not leave its slot. */
		struct cache_slot slot = cache_find(&object->cache, frame->u.object.index);

		if (slot.at)
			cache_mark(&slot);
	}
	page_wake(frame);
	frame_put(frame);
}

static void note_error(struct quire_object *object, int error)
{
	at_store(&object->error, (uint32_t)-error);
	at_add(&object->errors, 1ull);
}

void page_write_done(struct page_request *request, int error)
{
	struct quire_object *object = request->pages.object;

	if (error)
		note_error(object, error);
	else
		at_add(&object->written, (uint64_t)request->pages.count);
	for (unsigned i = 0; i < request->pages.count; i++)
		end_writing(object, request->frames[i], error != 0);
	/* Release: pairs with object_await_writes. Until the section ends the object is there. */
	if (at_sub(&object->writes, 1u) == 1)
		port_wake(&object->writes);
}

void object_await_writes(struct quire_object *object)
{
	uint32_t writes;

	/* Acquire: pairs with the subtraction of page_write_done. */
	while ((writes = at_load_acquire(&object->writes)) != 0)
		sleep_on(&object->writes, writes);
}

/*
 * A request for what was picked. Without memory for one those that are under way are waited for: of
 * this object only, for somebody may write this one from inside a write of another. NULL: there are
 * none, and the page stays dirty.
 * => `io` held; may sleep
 */
static struct page_request *begin(struct quire_object *object, uint64_t index, struct frame *first)
{
	struct page_request *request;
	uint32_t writes;

	do {
		writes = at_load(&object->writes);
		section_enter();
		request = page_request_new(object, index, true);
		section_leave();
		if (!request)
			object_await_writes(object);
	} while (!request && writes > 0);
	if (!request) {
		section_enter();
		end_writing(object, first, true);
		section_leave();
	}
	return request;
}

/*
 * Write the first batch of [index, end). Returns where to go on: the end, too, where there is no
 * memory for a request (*failed).
 * => `io` held; may sleep
 */
static uint64_t write_batch(struct quire_object *object, uint64_t index, uint64_t end, bool wait,
			    bool *failed)
{
	struct frame *frame = pick_next(object, &index, end, wait);
	struct page_request *request = frame ? begin(object, index, frame) : NULL;
	uint64_t next = index, start = index << PAGE_SHIFT, size = at_load(&object->size);

	*failed = frame && !request;
	if (!request)
		return end;
	while (frame) {
		uint64_t neighbour = ++next;

		page_request_add(request, frame);
		frame = NULL;
		if (next < end && request->pages.count < QUIRE_BATCH)
			frame = pick_next(object, &neighbour, next + 1, false);
	}
	assert_debug(size > start);
	request->pages.length = (next - index) << PAGE_SHIFT;
	if (request->pages.length > size - start)
		request->pages.length = size - start;
	at_add(&object->writes, 1u);
	mapping_sweep_all(object, index, next, SWEEP_PROTECT);
	page_request_run(request);
	return next;
}

/* Returns 0, or -QUIRE_ENOMEM: not all was written. => `io` held; may sleep */
static int write_all(struct quire_object *object, uint64_t index, uint64_t end, bool wait)
{
	bool failed = false;

	while (index < end)
		index = write_batch(object, index, end, wait, &failed);
	if (wait)
		object_await_writes(object);
	return failed ? -QUIRE_ENOMEM : 0;
}

void object_write_back(struct quire_object *object, uint64_t index, uint64_t end, bool wait)
{
	if (!object->tracks)
		return;
	rwsem_write(&object->io);
	write_all(object, index, end, wait);
	rwsem_write_done(&object->io);
}

int quire_object_sync(struct quire_object *object, uint64_t offset, uint64_t length)
{
	int error, wrote = 0, synced = 0;

	rwsem_write(&object->io);
	if (object->tracks)
		wrote = write_all(object, offset >> PAGE_SHIFT, object_range_end(offset, length),
				  true);
	/* Here, so that nobody else is told of what has failed for us. */
	error = -(int)at_xchg(&object->error, 0u);
	rwsem_write_done(&object->io);
	if (object->ops->sync) {
		struct away away = away_begin();

		synced = object_error(object->ops->sync(object));
		away_end(away);
	}
	if (!error)
		error = wrote;
	return error ? error : synced;
}
