/* SPDX-License-Identifier: MIT */
/*
 * Requests: the calls of `fault` and `writepages`, and how they end.
 *
 *     new ──► add, page by page ──► run: the operation ──┬── 0, or an error ──► finish
 *                                                        └── QUIRE_WAIT
 *                                    quire_pages_done, by any thread ─────────► finish
 *
 *     finish     the pages are READY, clean, or as they were (fetch.c, write.c), who waits for them
 *                is woken, their pins are given up; then the request is freed
 *
 * What ends a request may do so before the operation has returned: after QUIRE_WAIT nobody here
 * looks at it again. The object is not released before its last request is freed.
 */
#include "object/object.h"
#include "sync/sleep.h"

struct slab pages_slab;

uint32_t pages_size(void)
{
	return sizeof(struct page_request);
}

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

void page_request_finish(struct page_request *request, int error)
{
	if (request->writing)
		page_write_done(request, error);
	else
		page_read_done(request, error);
	page_request_free(request);
}

void quire_pages_done(struct quire_pages *pages, int error)
{
	section_enter();
	page_request_finish(container_of(pages, struct page_request, pages), object_error(error));
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
	page_request_finish(request, object_error(answer));
	section_leave();
}
