/* SPDX-License-Identifier: MIT */
/*
 * Fetching: pages enter the cache empty, an operation fills them, they become READY.
 *
 *     page_fetch, or readahead               who completes (the same thread, or quire_pages_done)
 *     zeroed frames into the cache, READING
 *     operation `fault` ───────────────────► bytes beyond the end are zeroed
 *        │ returns, or answers QUIRE_WAIT    READING ──► READY, wake        (0)
 *        ▼                                   out of the cache, GONE, wake   (error)
 *     sleep while the first is READING
 *     its error, if it is GONE by one
 *
 * Who finds a page READING sleeps for it, and then looks again; an error is only for who has asked
 * for the read, so that each access makes an attempt of its own. If a read of several pages fails,
 * the first is asked for once more by itself: it need not suffer for its neighbours.
 *
 * A truncation may take a page out while it is READING: it is then GONE, the operation fills it for
 * nothing, and its request gives it up.
 *
 * Readahead knows the object and the index of the miss. A miss where the last read ended is
 * sequential, and doubles the number of pages that are read.
 */
#include "object/object.h"
#include "sync/sleep.h"

#define FIRST_WINDOW 4 /* pages that a miss reads which continues nothing */

struct slab pages_slab;

uint32_t pages_size(void)
{
	return sizeof(struct page_request);
}

/* --- requests, of both directions --- */

/* For a write when there is no memory: pages that are written are how there will be some. */
static struct {
	struct page_request request;
	_Atomic uint32_t taken;
} reserve;

struct page_request *page_request_new(struct quire_object *object, uint64_t index, bool writing)
{
	struct page_request *request = slab_alloc(&pages_slab);

	/* Acquire: pairs with page_request_free. */
	if (!request && writing && !at_xchg(&reserve.taken, 1u))
		request = &reserve.request;
	if (!request)
		return NULL;
	request->pages.object = object;
	request->pages.index = index;
	request->pages.count = 0;
	request->pages.length = 0;
	request->pages.private_data = NULL;
	request->writing = writing;
	at_add(&object->requests, 1u);
	return request;
}

void page_request_add(struct page_request *request, struct frame *frame)
{
	unsigned at = request->pages.count++;

	assert_debug(at < QUIRE_BATCH);
	request->pages.bytes[at] = frame_bytes(frame);
	request->frames[at] = frame;
}

void page_request_free(struct page_request *request)
{
	struct quire_object *object = request->pages.object;

	if (request == &reserve.request)
		/* Release: pairs with page_request_new. */
		at_store_release(&reserve.taken, 0u);
	else
		slab_free(&pages_slab, request);
	/*
	 * Release: pairs with wait_for_requests, which is called only when refs is 0. A full
	 * barrier: we see that it is, or it sees that there is nothing to wait for. Until the
	 * section ends the object is there.
	 */
	if (at_sub(&object->requests, 1u) == 1 && at_load(&object->refs) == 0)
		port_wake(&object->requests);
}

/* What the page has beyond the end of the object reads as zero. */
static void clear_end(struct frame *frame)
{
	uint64_t start = frame->u.object.index << PAGE_SHIFT;
	uint64_t size = at_load(&frame->u.object.object->size);
	uint64_t kept = size > start ? size - start : 0;

	if (kept < PAGE_SIZE)
		memset((char *)frame_bytes(frame) + kept, 0, PAGE_SIZE - kept);
}

static void make_ready(struct frame *frame)
{
	uint32_t state = at_load(&frame->u.object.state), next;

	clear_end(frame);
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

/* The end of a read: as page_write_done. => in a section */
static void read_done(struct page_request *request, int error)
{
	struct quire_object *object = request->pages.object;

	if (error)
		at_add(&object->errors, 1ull);
	else
		at_add(&object->read, (uint64_t)request->pages.count);
	/* The pages were inserted, then the size is read: pairs with truncation, see object.h. */
	at_fence();
	for (unsigned i = 0; i < request->pages.count; i++) {
		struct frame *frame = request->frames[i];

		if (error)
			make_gone(frame, error);
		else
			make_ready(frame);
		page_wake(frame);
		frame_put(frame);
	}
}

/* The request is over. => in a section */
static void finish(struct page_request *request, int error)
{
	if (request->writing)
		page_write_done(request, error);
	else
		read_done(request, error);
	page_request_free(request);
}

void quire_pages_done(struct quire_pages *pages, int error)
{
	section_enter();
	finish(container_of(pages, struct page_request, pages), object_error(error));
	section_leave();
}

void page_request_run(struct page_request *request)
{
	struct quire_object *object = request->pages.object;
	struct away away = away_begin();
	int answer = request->writing ? object->ops->writepages(object, &request->pages)
				      : object->ops->fault(object, &request->pages);

	away_end(away);
	if (answer == QUIRE_WAIT)
		return; /* it may be over already, and freed */
	section_enter();
	finish(request, object_error(answer));
	section_leave();
}

/* --- reading --- */

/* Put up to `count` empty pages into the cache. Returns why there are no more. => in a section */
static enum cache_insert gather(struct page_request *request, uint64_t count)
{
	struct quire_object *object = request->pages.object;

	while (request->pages.count < count) {
		uint64_t index = request->pages.index + request->pages.count;
		struct cache_slot slot = cache_find(&object->cache, index);
		enum cache_insert result;
		struct frame *frame;

		if (cache_load(&slot))
			return CACHE_TAKEN;
		frame = frame_alloc_zeroed(NULL);
		if (!frame)
			return CACHE_NO_MEMORY;
		page_init(frame, object, index, PAGE_READING);
		/* The request's pin comes first: the page may be taken out at once. */
		frame_get(frame);
		result = cache_insert(&object->cache, index, frame);
		if (result != CACHE_INSERTED) {
			frame_put(frame);
			frame_put(frame);
			return result;
		}
		page_request_add(request, frame);
	}
	return CACHE_INSERTED;
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
	finish(request, -QUIRE_EFAULT);
	section_leave();
}

/*
 * Begin to read up to *count pages from index on; *count is how many it were. *first (may be NULL)
 * is the first one, pinned, if there is one.
 * => holding nothing but a reference to the object; may sleep
 */
static enum cache_insert fetch(struct quire_object *object, uint64_t index, unsigned *count,
			       struct frame **first)
{
	enum cache_insert result = CACHE_NO_MEMORY;
	uint64_t pages = object_pages(object), wanted = *count;
	struct page_request *request;

	*count = 0;
	if (index >= pages)
		return CACHE_BEYOND;
	section_enter();
	request = page_request_new(object, index, false);
	if (request) {
		result = gather(request, wanted < pages - index ? wanted : pages - index);
		*count = request->pages.count;
		if (*count == 0)
			page_request_free(request);
		else if (first)
			frame_get(*first = request->frames[0]);
	}
	section_leave();
	if (*count == 0)
		return result;
	read(request);
	return CACHE_INSERTED;
}

/* Wait for the page to be read and unpin it. Returns the error of a read that failed. */
static int await(struct frame *frame)
{
	uint32_t state;

	page_wait(frame, PAGE_READING);
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

/* As fetch, and wait for the first page. */
static int fetch_and_wait(struct quire_object *object, uint64_t index, unsigned *count)
{
	struct frame *first;
	enum cache_insert result = fetch(object, index, count, &first);

	return result == CACHE_INSERTED ? await(first) : insert_error(result);
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

/* How many pages a miss at index is to read. */
static unsigned window(struct quire_object *object, uint64_t index)
{
	unsigned last = at_load(&object->window);

	if (index != at_load(&object->ahead) || last == 0)
		return FIRST_WINDOW;
	return last < QUIRE_BATCH / 2 ? 2 * last : QUIRE_BATCH;
}

int page_fetch(struct quire_object *object, uint64_t index)
{
	struct frame *frame;
	unsigned count;
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
	count = window(object, index);
	at_store(&object->window, count);
	at_store(&object->ahead, index + count);
	error = fetch_and_wait(object, index, &count);
	if (error && count > 1) {
		count = 1;
		error = fetch_and_wait(object, index, &count);
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
		uint64_t left = end - index;
		unsigned count = left < QUIRE_BATCH ? (unsigned)left : QUIRE_BATCH;
		enum cache_insert result = fetch(object, index, &count, NULL);

		if (result != CACHE_INSERTED && result != CACHE_TAKEN)
			return;
		index += count ? count : 1;
	}
}
