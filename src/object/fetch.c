/* SPDX-License-Identifier: MIT */
/*
 * Fetching: pages enter the cache empty, an operation fills them, they become READY.
 *
 *     page_fetch, or readahead               who completes (the same thread, or quire_pages_done)
 *     zeroed frames into the cache, READING
 *     operation `fault` ───────────────────► bytes beyond the end are zeroed
 *        │ returns, or answers QUIRE_WAIT    READING ──► READY, wake        (0)
 *        ▼                                   out of the cache, GONE, wake   (error)
 *     sleep while the wanted page is READING
 *     its error, if it is GONE by one
 *
 * Who finds a page READING sleeps for it, and then looks again; an error is only for who has asked
 * for the read, so that each access makes an attempt of its own. If a read of several pages fails,
 * the wanted one is asked for once more by itself: it need not suffer for its neighbours.
 *
 * A truncation may take a page out while it is READING: it is then GONE, the operation fills it for
 * nothing, and its request gives it up.
 *
 * What is read besides. Only the object and the index of the miss are known:
 *
 *     a miss where the last read was to end     QUIRE_BATCH pages from there on
 *     any other                                 the aligned AROUND pages that it is one of
 *
 *         before, downwards ◄── wanted ──► behind, upwards     each way until a page is there, or
 *                                                              memory is short
 *
 * The wanted page enters the cache first: it never fails for its neighbours' sake. Nobody waits
 * with a page of its own that is not being read yet, so the order of indices does not matter.
 */
#include "object/object.h"

#define AROUND 16 /* pages, a power of two; as many as a fault may enter at once */

/* Pages: [start, end), at most QUIRE_BATCH. */
struct span {
	uint64_t start, end;
};

/* What the page has behind its first `kept` bytes is beyond the end of the object: zero. */
static void make_ready(struct frame *frame, uint64_t kept)
{
	uint32_t state = at_load(&frame->u.object.state), next;

	if (kept < PAGE_SIZE)
		memset((char *)frame_bytes(frame) + kept, 0, PAGE_SIZE - kept);
	do {
		next = state & ~PAGE_READING;
		if (!(next & PAGE_GONE))
			next |= PAGE_READY;
		/* Release: pairs with whoever finds the page READY, and with page_wait. */
	} while (!at_cas(&frame->u.object.state, &state, next));
}

struct victim {
	struct frame *frame;
	bool taken;
};

static bool is_victim(struct frame *frame, uint64_t index, void *context)
{
	struct victim *victim = context;

	(void)index;
	victim->taken = frame == victim->frame;
	return victim->taken;
}

/* The page leaves the cache, if it has not yet, and then is GONE: who waits finds it empty. */
static void make_gone(struct frame *frame, int error)
{
	struct victim victim = { .frame = frame };
	uint64_t index = frame->u.object.index;

	cache_remove(&frame->u.object.object->cache, index, index + 1, 1, is_victim, &victim);
	/* Release: pairs with page_wait. */
	at_xchg(&frame->u.object.state, PAGE_GONE | (uint32_t)-error << PAGE_ERROR_SHIFT);
	if (victim.taken)
		frame_put(frame);
}

void page_read_done(struct page_request *request, int error)
{
	struct quire_object *object = request->pages.object;
	uint64_t size;

	/* EFAULT is our own: nothing was read. */
	if (error && error != -QUIRE_EFAULT)
		at_add(&object->errors, 1ull);
	else if (!error)
		at_add(&object->read, (uint64_t)request->pages.count);
	/*
	 * The pages were inserted, then the size is read: pairs with truncation, see object.h. The
	 * full barrier between the two is the count's.
	 */
	size = at_load(&object->size);
	for (unsigned i = 0; i < request->pages.count; i++) {
		struct frame *frame = request->frames[i];
		uint64_t start = frame->u.object.index << PAGE_SHIFT;

		/* Cut off meanwhile: nobody is to find it READY with zeroes. */
		if (error || start >= size)
			make_gone(frame, error);
		else
			make_ready(frame, size - start);
		page_wake(frame);
		frame_put(frame);
	}
}

/* An empty page into the cache; *out has a pin, the request's. => in a section */
static enum cache_insert put_empty(struct quire_object *object, uint64_t index, struct frame **out)
{
	struct cache_slot slot = cache_find(&object->cache, index);

	if (cache_load(&slot))
		return CACHE_TAKEN;
	*out = frame_alloc_zeroed(NULL);
	return *out ? page_insert_reading(object, index, *out) : CACHE_NO_MEMORY;
}

/*
 * Put the wanted page into the cache, and what is missing of the span on both sides of it. Returns
 * why there is not even the wanted one.
 * => in a section
 */
static enum cache_insert gather(struct page_request *request, uint64_t wanted,
				const struct span *span)
{
	struct quire_object *object = request->pages.object;
	struct frame *down[AROUND], *frame; /* from the wanted one */
	unsigned count = 1;
	enum cache_insert result = put_empty(object, wanted, &down[0]);

	if (result != CACHE_INSERTED)
		return result;
	while (wanted - span->start >= count &&
	       put_empty(object, wanted - count, &down[count]) == CACHE_INSERTED)
		count++;
	request->pages.index = wanted + 1 - count;
	while (count > 0)
		page_request_add(request, down[--count]);
	while (++wanted < span->end && put_empty(object, wanted, &frame) == CACHE_INSERTED)
		page_request_add(request, frame);
	return CACHE_INSERTED;
}

/*
 * A hole is being made in what is to be read. The pages are in the cache, which was a full barrier:
 * either we see the hole, or quire_object_remove sees them and waits.
 */
static bool in_hole(const struct quire_object *object, const struct span *span)
{
	return span->start < at_load(&object->hole_end) && span->end > at_load(&object->hole_first);
}

/* Give the pages up, and wait until the hole is made. => as fetch */
static void withdraw(struct page_request *request)
{
	struct quire_object *object = request->pages.object;

	section_enter();
	page_request_finish(request, -QUIRE_EFAULT);
	section_leave();
	rwsem_read(&object->io);
	rwsem_read_done(&object->io);
}

/* Have the pages of the request filled, as far as they are inside the object. */
static void read(struct page_request *request)
{
	struct quire_pages *pages = &request->pages;
	uint64_t start = pages->index << PAGE_SHIFT, size = at_load(&pages->object->size);
	uint64_t length = (uint64_t)pages->count << PAGE_SHIFT;

	if (size > start) {
		pages->length = length < size - start ? length : size - start;
		page_request_run(request);
		return;
	}
	/* A truncation has come in between. */
	section_enter();
	page_request_finish(request, -QUIRE_EFAULT);
	section_leave();
}

/*
 * Begin to read the page at index and what is missing of the span around it. *span becomes what is
 * read: nothing, unless the page is. *page (may be NULL) is then the page, pinned.
 * => holding nothing but a reference to the object; may sleep
 */
static enum cache_insert fetch(struct quire_object *object, uint64_t index, struct span *span,
			       struct frame **page)
{
	struct span asked = *span;
	uint64_t pages = object_pages(object);
	enum cache_insert result = CACHE_NO_MEMORY;
	struct page_request *request;

	*span = (struct span){ index, index };
	if (index >= pages)
		return CACHE_BEYOND;
	if (asked.end > pages)
		asked.end = pages;
	section_enter();
	request = page_request_new(object, index, false);
	if (request)
		result = gather(request, index, &asked);
	if (result == CACHE_INSERTED) {
		span->start = request->pages.index;
		span->end = span->start + request->pages.count;
		if (page)
			frame_get(*page = request->frames[index - span->start]);
	} else if (request) {
		page_request_free(request);
	}
	section_leave();
	if (result != CACHE_INSERTED)
		return result;
	if (likely(!in_hole(object, span))) {
		read(request);
		return result;
	}
	withdraw(request);
	if (page)
		page_unpin(*page);
	*span = (struct span){ index, index };
	return CACHE_TAKEN;
}

/* Wait for the page to be read and unpin it. Returns the error of a read that failed. */
static int await(struct frame *frame)
{
	uint32_t state;

	page_wait(frame, PAGE_READING);
	/* For who comes back for it: reclaim is not to be faster. */
	page_use(frame);
	state = at_load(&frame->u.object.state);
	page_unpin(frame);
	return -(int)(state >> PAGE_ERROR_SHIFT);
}

static int insert_error(enum cache_insert result)
{
	switch (result) {
	case CACHE_BEYOND:
		return -QUIRE_EFAULT;
	case CACHE_NO_MEMORY:
		return -QUIRE_ENOMEM;
	default:
		return 0;
	}
}

/* As fetch, and wait for the page. */
static int fetch_and_wait(struct quire_object *object, uint64_t index, struct span *span)
{
	struct frame *page;
	enum cache_insert result = fetch(object, index, span, &page);

	return result == CACHE_INSERTED ? await(page) : insert_error(result);
}

static int fetch_zero(struct quire_object *object, uint64_t index)
{
	enum cache_insert result = CACHE_NO_MEMORY;
	struct frame *frame;

	section_enter();
	frame = frame_alloc_zeroed(NULL);
	if (frame) {
		result = page_insert_zero(object, index, frame);
		if (result != CACHE_INSERTED)
			frame_put(frame);
	}
	section_leave();
	return insert_error(result);
}

/* What a miss at index is to read. */
static struct span span_of(struct quire_object *object, uint64_t index)
{
	bool sequential = index > 0 && index == at_load(&object->ahead);
	uint64_t start = index & ~(AROUND - 1ull);

	return (struct span){ start, start + (sequential ? QUIRE_BATCH : AROUND) };
}

int page_fetch(struct quire_object *object, uint64_t index)
{
	struct frame *frame;
	struct span span;
	int error;

	if (index >= object_pages(object))
		return -QUIRE_EFAULT;
	section_enter();
	frame = page_get(object, index);
	section_leave();
	if (frame) {
		await(frame);
		return 0;
	}
	if (!object->ops->fault)
		return fetch_zero(object, index);
	span = span_of(object, index);
	at_store(&object->ahead, span.end);
	error = fetch_and_wait(object, index, &span);
	if (error && span.end - span.start > 1) {
		span = (struct span){ index, index + 1 };
		error = fetch_and_wait(object, index, &span);
	}
	return error;
}

void quire_object_readahead(struct quire_object *object, uint64_t offset, uint64_t length)
{
	uint64_t size = quire_object_size(object), index = offset >> PAGE_SHIFT, end;

	if (!object->ops->fault || offset >= size)
		return;
	end = length < size - offset ? offset + length : size;
	for (end = (end + PAGE_MASK) >> PAGE_SHIFT; index < end;) {
		uint64_t most = index + QUIRE_BATCH;
		struct span span = { index, most < end ? most : end };
		enum cache_insert result = fetch(object, index, &span, NULL);

		if (result != CACHE_INSERTED && result != CACHE_TAKEN)
			return;
		index = result == CACHE_INSERTED ? span.end : index + 1;
	}
}
