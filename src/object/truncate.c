/* SPDX-License-Identifier: MIT */
/*
 * Truncating: pages leave an object, whatever their state.
 *
 *     smaller   operation `truncate` ──► size, limit ──► full barrier (published)
 *               take out: every page beyond the end: GONE, no longer READY nor DIRTY
 *               zero what the page that is now the last has beyond the end
 *               sweep everything beyond the end, private copies too; it flushes
 *               give the frames up, tell `invalidate`
 *     larger    operation `truncate` ──► zero the rest of the last page ──► size ──► limit
 *
 * All under `io`, when no write is under way. Faults go on meanwhile. One that was earlier has its
 * entry swept; a later one finds the page gone from the cache, asks for it, and learns that it is
 * beyond the limit. The limit does not rise again before all is swept, so there is never another
 * page at the index of one that some mapping still shows.
 *
 * A page that is being read is taken out like any other; it is its reader who finds it GONE. Who
 * sleeps for it looks again. One that is LEAVING is left to who makes it leave (evict.c).
 *
 * The rest of the last page. Programs may have stored there, by mappings: it is zeroed whenever the
 * size changes. Whoever fills that page, or copies to it, at that moment is waited for: it has the
 * page READING or WRITING, and looks at the size after that (fetch.c before it is READY, io.c
 * before it copies). Either it sees the new size, or it is seen here.
 */
#include "object/bytes.h"
#include "object/mapping.h"
#include "sync/sleep.h"

/* Pages that leave the cache in one section, and frames that are given up while pinned. */
#define AT_ONCE 64

/* cache_remove's: any page. */
static bool take(struct frame *frame, uint64_t index, void *context)
{
	const uint32_t lost = PAGE_READY | PAGE_DIRTY | PAGE_USED;
	struct frame **chain = context;
	uint32_t state = at_load(&frame->u.object.state);

	(void)index;
	do {
		if (state & PAGE_LEAVING)
			return false;
		/* Pairs with the look at the state under a leaf lock, and with page_wait. */
	} while (!at_cas(&frame->u.object.state, &state, (state & ~lost) | PAGE_GONE));
	frame->u.object.next = *chain;
	*chain = frame;
	return true;
}

/* Take all pages of [index, end) out of the cache. Returns their chain, last page first. */
static struct frame *take_out(struct quire_object *object, uint64_t index, uint64_t end)
{
	struct frame *chain = NULL;

	while (index != CACHE_NONE) {
		section_enter();
		index = cache_remove(&object->cache, index, end, AT_ONCE, take, &chain);
		section_leave();
	}
	for (struct frame *frame = chain; frame; frame = frame->u.object.next)
		page_wake(frame);
	return chain;
}

static void tell_invalidate(struct quire_object *object, uint64_t index, uint64_t count)
{
	struct away away;

	if (!object->ops->invalidate)
		return;
	away = away_begin();
	object->ops->invalidate(object, index, count);
	away_end(away);
}

uint64_t object_give_up(struct quire_object *object, struct frame *chain)
{
	uint64_t given = 0;

	while (chain) {
		uint64_t end = chain->u.object.index + 1, index = end;

		port_pin();
		do {
			struct frame *next = chain->u.object.next;

			index--;
			frame_put(chain);
			chain = next;
		} while (chain && chain->u.object.index + 1 == index && end - index < AT_ONCE);
		port_unpin();
		tell_invalidate(object, index, end - index);
		given += end - index;
	}
	return given;
}

void object_drop_all(struct quire_object *object)
{
	object_give_up(object, take_out(object, 0, CACHE_NONE));
}

/* Zero what the last page of an object of this size has beyond its end. => `io` held; may sleep */
static void clear_rest(struct quire_object *object, uint64_t size)
{
	uint64_t kept = size & PAGE_MASK;
	struct frame *frame;

	if (kept == 0)
		return;
	section_enter();
	frame = page_get(object, size >> PAGE_SHIFT);
	section_leave();
	if (!frame)
		return;
	page_wait(frame, PAGE_READING | PAGE_WRITING);
	bytes_clear((unsigned char *)frame_bytes(frame) + kept, PAGE_SIZE - kept);
	page_unpin(frame);
}

static void shrink(struct quire_object *object, uint64_t size)
{
	uint64_t end = object_pages(object), first;
	struct frame *chain;

	at_store(&object->size, size);
	first = object_pages(object);
	at_store(&object->cache.limit, first);
	/*
	 * cache_remove begins with a full barrier: it pairs with that of insertions before they
	 * look at the limit, and with the looks at the size of who has the last page READING or
	 * WRITING.
	 */
	chain = take_out(object, first, CACHE_NONE);
	clear_rest(object, size);
	if (first < end)
		mapping_sweep_all(object, first, CACHE_NONE, SWEEP_ALL);
	object_give_up(object, chain);
}

static void extend(struct quire_object *object, uint64_t size)
{
	clear_rest(object, at_load(&object->size));
	at_store(&object->size, size);
	/* Release: who inserts a page by this limit knows the size, and so how much to read. */
	at_store_release(&object->cache.limit, object_pages(object));
}

/* => `io` held; may sleep */
static int resize(struct quire_object *object, uint64_t size)
{
	uint64_t old = at_load(&object->size);
	int error = 0;

	object_await_writes(object);
	if (object->ops->truncate) {
		struct away away = away_begin();

		error = object_error(object->ops->truncate(object, size));
		away_end(away);
	}
	if (!error && size < old)
		shrink(object, size);
	if (!error && size > old)
		extend(object, size);
	return error;
}

int quire_object_truncate(struct quire_object *object, uint64_t size)
{
	int error;

	if (size > QUIRE_OBJECT_MAX)
		return -QUIRE_EINVAL;
	rwsem_write(&object->io);
	error = resize(object, size);
	rwsem_write_done(&object->io);
	return error;
}

int object_grow(struct quire_object *object, uint64_t size)
{
	int error = 0;

	rwsem_write(&object->io);
	if (at_load(&object->size) < size)
		error = resize(object, size);
	rwsem_write_done(&object->io);
	return error;
}
