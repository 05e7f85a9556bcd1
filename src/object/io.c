/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing through the cache, page by page.
 *
 *     read     pin the READY page (fetch it if need be) ──► copy
 *     write    lock the page: READY, DIRTY ──► WRITING on, by one exchange ──► mark on
 *              still inside the object? ──► copy ──► WRITING off, wake
 *              ... a whole page that is not there: insert an empty one, READING ──► copy ──► READY
 *                  and DIRTY: its old contents need not be read
 *
 * Why nothing that was written is lost. While WRITING is on the page is not picked to be saved, and
 * a dirty page is not evicted; afterwards it is still DIRTY and marked, so the next write-back
 * saves it with the new bytes. It can be cut off or removed at any time, but that is then later
 * than the write. Where the end lies is looked at with WRITING on: who moves it waits for WRITING,
 * and zeroes the rest, if it did not come first (truncate.c).
 *
 * A write beyond the end first makes the object larger, which reads as zero until the bytes are
 * there.
 *
 * Copies are made in no section and with no lock held but WRITING: the buffer may be memory that
 * faults.
 */
#include "object/bytes.h"
#include "object/object.h"

#define ATTEMPTS 8 /* to have memory for a page, by reclaim */

/* How much of [offset, offset + length) is in the page of its first byte. */
static uint64_t in_page(uint64_t offset, uint64_t length)
{
	uint64_t left = PAGE_SIZE - (offset & PAGE_MASK);

	return length < left ? length : left;
}

static unsigned char *bytes_at(const struct frame *frame, uint64_t offset)
{
	return (unsigned char *)frame_bytes(frame) + (offset & PAGE_MASK);
}

static int fetch(struct quire_object *object, uint64_t index)
{
	int error = page_fetch(object, index);

	for (unsigned attempt = 1; error == -QUIRE_ENOMEM && attempt < ATTEMPTS; attempt++) {
		if (object_reclaim(QUIRE_BATCH) == 0)
			break;
		error = page_fetch(object, index);
	}
	return error;
}

/* --- read --- */

/* The page, READY and pinned; or NULL, and *error. */
static struct frame *pin_ready(struct quire_object *object, uint64_t index, int *error)
{
	do {
		struct frame *frame;

		section_enter();
		frame = page_get(object, index);
		/* Acquire: pairs with who has filled the page. */
		if (frame && !(at_load_acquire(&frame->u.object.state) & PAGE_READY)) {
			frame_put(frame);
			frame = NULL;
		}
		if (frame)
			page_use(frame);
		section_leave();
		if (frame)
			return frame;
		*error = fetch(object, index);
	} while (!*error);
	return NULL;
}

int64_t quire_object_read(struct quire_object *object, uint64_t offset, void *buffer,
			  uint64_t length)
{
	unsigned char *to = buffer;
	uint64_t at = offset, size, part;
	int error = 0;

	while (length > 0 && at < (size = at_load(&object->size))) {
		struct frame *frame = pin_ready(object, at >> PAGE_SHIFT, &error);

		if (!frame && error == -QUIRE_EFAULT)
			continue; /* cut off meanwhile: look at the size again */
		if (!frame)
			return at > offset ? (int64_t)(at - offset) : error;
		part = in_page(at, length < size - at ? length : size - at);
		bytes_out(to, bytes_at(frame, at), part);
		page_unpin(frame);
		at += part;
		to += part;
		length -= part;
	}
	return (int64_t)(at - offset);
}

/* --- write --- */

/* Give up WRITING and the pin. */
static void unlock_page(struct frame *frame)
{
	uint32_t state = at_load(&frame->u.object.state);

	/* Release: pairs with page_wait, and with pick of write.c. */
	while (!at_cas(&frame->u.object.state, &state, state & ~PAGE_WRITING))
		;
	page_wake(frame);
	page_unpin(frame);
}

enum lock { LOCKED, NOT_READY, NOT_DIRTY, BUSY };

/* => in a section, frame pinned */
static enum lock try_lock(struct frame *frame, const struct cache_slot *slot)
{
	uint32_t state = at_load(&frame->u.object.state);

	if (!(state & PAGE_READY))
		return NOT_READY;
	if (state & PAGE_WRITING)
		return BUSY;
	if (!(state & PAGE_DIRTY))
		return NOT_DIRTY;
	/* Acquire: pairs with unlock_page. Full barrier, before the look at the size. */
	if (!at_cas(&frame->u.object.state, &state, state | PAGE_WRITING | PAGE_USED))
		return BUSY;
	/*
	 * Who has made it DIRTY may owe the mark, and the sync that follows us is not to miss it.
	 * Not before the exchange: until then it may be written back and be made DIRTY once more.
	 */
	cache_mark(slot);
	return LOCKED;
}

/* The page, pinned and locked; or NULL: look again if there is no *error. */
static struct frame *lock_page(struct quire_object *object, uint64_t index, int *error)
{
	enum lock result = NOT_READY;
	struct cache_slot slot;
	struct frame *frame;

	section_enter();
	slot = cache_find(&object->cache, index);
	frame = cache_load(&slot);
	if (frame && !page_pin(frame, &slot))
		frame = NULL;
	if (frame)
		result = try_lock(frame, &slot);
	section_leave();
	if (result == LOCKED)
		return frame;
	if (result == BUSY)
		page_wait(frame, PAGE_WRITING);
	if (frame)
		page_unpin(frame);
	if (result == NOT_READY)
		*error = fetch(object, index);
	if (result == NOT_DIRTY)
		*error = page_mkwrite(object, index);
	return NULL;
}

/* An empty page, READING, pinned. NULL: something is there, or it can't be had. */
static struct frame *insert_empty(struct quire_object *object, uint64_t index)
{
	struct frame *frame = NULL;
	struct cache_slot slot;

	section_enter();
	slot = cache_find(&object->cache, index);
	if (!cache_load(&slot))
		frame = frame_alloc(0);
	if (frame && page_insert_reading(object, index, frame) != CACHE_INSERTED)
		frame = NULL;
	section_leave();
	return frame;
}

/* The page has been filled and is given up. False: it was taken out meanwhile. */
static bool finish_page(struct quire_object *object, struct frame *frame)
{
	const uint32_t ready = PAGE_READY | PAGE_DIRTY | PAGE_USED;
	uint32_t state = at_load(&frame->u.object.state), next;
	bool gone;

	section_enter();
	do {
		gone = state & PAGE_GONE;
		next = (state & ~PAGE_READING) | (gone ? 0 : ready);
		/* Release: pairs with who finds the page READY, and with page_wait. */
	} while (!at_cas(&frame->u.object.state, &state, next));
	if (!gone) {
		struct cache_slot slot = cache_find(&object->cache, frame->u.object.index);

		if (slot.at)
			cache_mark(&slot);
	}
	page_wake(frame);
	frame_put(frame);
	section_leave();
	return !gone;
}

/* Write a whole page that is not in the cache. False: not this way, or not all of it. */
static bool write_whole(struct quire_object *object, uint64_t offset, const unsigned char *from)
{
	struct frame *frame;
	uint64_t size, kept;

	/* Without `fault` nothing is read anyway; page_mkwrite is about a page that is there. */
	if (!object->ops->fault || object->ops->page_mkwrite)
		return false;
	frame = insert_empty(object, offset >> PAGE_SHIFT);
	if (!frame)
		return false;
	bytes_in(frame_bytes(frame), from, PAGE_SIZE);
	/* It was inserted, then the size is read: pairs with truncation, as the end of a read. */
	at_fence();
	size = at_load(&object->size);
	kept = size > offset ? in_page(offset, size - offset) : 0;
	bytes_clear((unsigned char *)frame_bytes(frame) + kept, PAGE_SIZE - kept);
	return finish_page(object, frame) && kept == PAGE_SIZE;
}

/* Write to one page. False: look again if there is no *error. */
static bool write_part(struct quire_object *object, uint64_t offset, const unsigned char *from,
		       uint64_t length, int *error)
{
	struct frame *frame;
	bool inside;

	if (length == PAGE_SIZE && write_whole(object, offset, from))
		return true;
	frame = lock_page(object, offset >> PAGE_SHIFT, error);
	if (!frame)
		return false;
	/* Pairs with the size, and the barrier behind it, in truncate.c. */
	inside = offset + length <= at_load(&object->size);
	if (inside)
		bytes_in(bytes_at(frame, offset), from, length);
	unlock_page(frame);
	return inside;
}

int64_t quire_object_write(struct quire_object *object, uint64_t offset, const void *buffer,
			   uint64_t length)
{
	const unsigned char *from = buffer;
	uint64_t at = offset, end, size, part;
	int error = 0;

	if (offset > QUIRE_OBJECT_MAX || length > QUIRE_OBJECT_MAX - offset)
		return -QUIRE_EINVAL;
	for (end = offset + length; at < end;) {
		int failed = 0;

		size = at_load(&object->size);
		if (size < end && (error = object_grow(object, end)) != 0)
			end = size; /* what fits is written */
		if (at >= end)
			break;
		part = in_page(at, end - at);
		if (write_part(object, at, from + (at - offset), part, &failed))
			at += part;
		if (failed && failed != -QUIRE_EFAULT) { /* cut off meanwhile: from the top */
			error = failed;
			break;
		}
	}
	return at > offset ? (int64_t)(at - offset) : error;
}
