/* SPDX-License-Identifier: MIT */
/*
 * Faults on pages of objects: what resolve.c does where a mapping shows an object.
 *
 *   the entry holds      read, execute            shared write              private write
 *   ----------------     ---------------------    ----------------------    ----------------------
 *   nothing              1  the page, and         2  the page, writable     3  a copy
 *                           resident neighbours
 *   the page             rights (resolve.c)       4  rights                 replaced by a copy
 *                                                                           (resolve.c)
 *   nothing, of a device 5  the frame: a special entry, without descriptor or reference (H57)
 *
 *      find the page in the cache ── not there ──► leave with a reference to the object: FAULT_WAIT
 *      pin it
 *      (2, 4: a clean page: ask the object; where it may not be asked, or says no ──► FAULT_WAIT)
 *      (3: copy)
 *      lock the leaf; check: mapping, entry; the page is still the cache's; (2, 4: make it dirty)
 *      store; the pin becomes the entry's reference
 *
 * The truths that are checked last: the page is in the cache at its index (whoever takes it out
 * does that first and sweeps then: Q10, Q11), and it is dirty (whoever cleans it takes that away
 * first and sweeps then). So an entry that allows writing never outlives the page's being dirty,
 * and no entry outlives its page.
 *
 * Nothing waits here (H54), and what waits gets no table pointers (H32): FAULT_WAIT means that
 * quire_fault leaves the section and every lock, with a reference to the object and an index (H55),
 * waits, and begins anew. Weighed against: keeping the prepared entry and looking whether it still
 * fits. A second look-up costs less than that is worth.
 */
#include "fault/resolve.h"

#define AROUND 16 /* pages, a power of two that divides a leaf */

/* The page that a fault is about, as it was found. */
struct found {
	struct quire_object *object;
	uint64_t index;
	struct cache_slot slot;
	struct frame *frame;
};

/* The object's word is needed: leave with a reference to it. */
static enum outcome leave(struct fault *f, const struct found *page, bool mkwrite)
{
	/* No reference is to be had: its last mapping has gone, this one included. */
	if (!object_try_get(page->object))
		return fault_retry(f, QUIRE_RETRY_VMA);
	f->object = page->object;
	f->index = page->index;
	f->mkwrite = mkwrite;
	return FAULT_WAIT;
}

/* What waiting for this very page has come to, if it was in vain. */
static enum outcome refuse(struct fault *f)
{
	f->reason = QUIRE_CLASSIC_BUS;
	return FAULT_CLASSIC;
}

static bool has_failed(const struct fault *f, const struct found *page)
{
	return f->error && f->failed == page->object && f->index == page->index;
}

/* Pages that begin as zero are made here, without leaving. FAULT_OK: look again. */
static enum outcome fill(struct fault *f, const struct found *page)
{
	if (!fault_prepare_page(f, true))
		return FAULT_MEMORY;
	switch (page_insert_zero(page->object, page->index, f->page)) {
	case CACHE_INSERTED:
		f->page = NULL;
		return FAULT_OK;
	case CACHE_TAKEN:
		return FAULT_OK;
	case CACHE_BEYOND:
		return refuse(f);
	default:
		return FAULT_MEMORY;
	}
}

/*
 * What is not there is fetched, or made here. there: it is, but being read or about to leave; that
 * is waited for outside, too.
 */
static enum outcome missing(struct fault *f, const struct found *page, bool there)
{
	if (page->index >= object_pages(page->object) || has_failed(f, page))
		return refuse(f);
	if (there || page->object->ops->fault)
		return leave(f, page, false);
	return fill(f, page);
}

/* Still the cache's, and readable. => pinned */
static bool holds(const struct found *page)
{
	/* Acquire, both: pair with the insertion and with who made it ready. */
	return cache_load(&page->slot) == page->frame &&
	       at_load_acquire(&page->frame->u.object.state) & PAGE_READY;
}

static void unpin(struct found *page)
{
	frame_put(page->frame);
	page->frame = NULL;
}

/*
 * Find the page, and pin it.
 * => on FAULT_OK page->frame is pinned, on anything else it is not
 */
static enum outcome find(struct fault *f, struct found *page)
{
	enum outcome outcome = FAULT_OK;

	while (outcome == FAULT_OK) {
		page->slot = cache_find(&page->object->cache, page->index);
		page->frame = cache_load(&page->slot);
		if (unlikely(!page->frame)) {
			outcome = missing(f, page, false);
			continue;
		}
		if (unlikely(!frame_try_get(page->frame)))
			return fault_retry(f, QUIRE_RETRY_PAGE);
		if (likely(holds(page) && !forced(f, QUIRE_RETRY_WAIT))) {
			page_use(page->frame);
			return FAULT_OK;
		}
		unpin(page);
		outcome = missing(f, page, true);
	}
	return outcome;
}

/*
 * May the page, shared and of an object that learns of writes, become dirty? *asked: the object has
 * said so here.
 * => pinned, or mapped by the entry that was read
 */
static enum outcome ask(struct fault *f, const struct found *page, bool *asked)
{
	const struct quire_object *object = page->object;
	uint32_t state = at_load(&page->frame->u.object.state);
	int answer;

	*asked = false;
	if (has_failed(f, page))
		return refuse(f);
	if (unlikely(state & PAGE_WRITING && object->caps & QUIRE_STABLE_WRITES))
		return leave(f, page, true);
	if (state & PAGE_DIRTY || !object->ops->page_mkwrite)
		return FAULT_OK;
	if (!(object->caps & QUIRE_CAN_MKWRITE))
		return leave(f, page, true);
	answer = object->ops->page_mkwrite(page->object, page->index);
	/* An error, too, is found out again where it may be told. */
	if (answer)
		return leave(f, page, true);
	*asked = true;
	return FAULT_OK;
}

/* One of the neighbours, if it is there. The entry is empty. => leaf locked. How many: 0 or 1 */
static unsigned enter_neighbour(struct fault *f, slot *at, struct found *page, unsigned rights)
{
	if (!page->frame || !frame_try_get(page->frame))
		return 0;
	if (!holds(page)) {
		unpin(page);
		return 0;
	}
	/* Release: as in enter. */
	at_store_release(at, pte_make(frame_pfn(page->frame), rights, f->vma->key));
	return 1;
}

/*
 * Enter what is resident around the page, in the same leaf, for it is likely to be wanted next.
 * The VMA's bounds, as this CPU knows them, are true in the leaf under its lock (H50).
 * => leaf locked. Returns how many
 */
static unsigned map_around(struct fault *f, struct walk w, const struct found *page,
			   unsigned rights)
{
	struct cache_slot slots[AROUND];
	uint64_t start = f->address & ~(AROUND * PAGE_SIZE - 1), end = start + AROUND * PAGE_SIZE;
	unsigned count, entered = 0;
	slot *at;

	if (start < f->vma->start)
		start = f->vma->start;
	if (end > f->vma->end)
		end = f->vma->end;
	count = (unsigned)((end - start) >> PAGE_SHIFT);
	at = table_slot(w.table, start);
	cache_find_run(&page->object->cache, mapping_index(f->vma->mapping, start), count, slots);
	for (unsigned i = 0; i < count; i++) {
		struct found neighbour = { .slot = slots[i], .frame = cache_load(&slots[i]) };

		if (at_load(&at[i]) == PTE_NONE)
			entered += enter_neighbour(f, &at[i], &neighbour, rights);
	}
	w.table->u.table.used = (uint16_t)(w.table->u.table.used + entered);
	return entered;
}

static void count_entered(struct fault *f, unsigned around)
{
	struct trace_block *trace = f->trace;

	trace_add(&trace->objects, 1 + (int64_t)around);
	if (around)
		at_store(&trace->counters[QUIRE_AROUND],
			 at_load(&trace->counters[QUIRE_AROUND]) + around);
}

/* Cases 1 and 2. => pinned; the pin is given up or becomes the entry's */
static enum outcome enter(struct fault *f, struct walk w, struct found *page)
{
	bool write = f->access == QUIRE_WRITE, tracks = page->object->tracks, asked = false;
	bool shared = f->vma->flags & VMA_SHARED;
	/* Of what is not written back nobody needs to know who writes. */
	bool writable = shared && (write || !tracks);
	unsigned rights = fault_rights(f) & (writable ? ~0u : ~RIGHT_WRITE);
	enum outcome outcome = write && tracks ? ask(f, page, &asked) : FAULT_OK;
	unsigned around = 0;
	pte entry;

	if (outcome == FAULT_OK)
		outcome = fault_lock_leaf(f, w, PTE_NONE);
	if (unlikely(outcome != FAULT_OK)) {
		unpin(page);
		return outcome;
	}
	if (unlikely(!holds(page) || forced(f, QUIRE_RETRY_PAGE) ||
		     (write && tracks && !page_make_dirty(page->frame, &page->slot, asked)))) {
		table_unlock(w.table);
		unpin(page);
		return fault_retry(f, QUIRE_RETRY_PAGE);
	}
	entry = pte_accessed(pte_make(frame_pfn(page->frame), rights, f->vma->key));
	w.table->u.table.used++;
	/* Release: pairs with walkers' acquire loads. */
	at_store_release(w.slot, write ? pte_dirty(entry) : entry);
	if (!write && page->object->caps & QUIRE_CAN_MAP_AROUND)
		around = map_around(f, w, page, rights);
	count_entered(f, around);
	table_unlock(w.table);
	return fault_done(f,
			  rights & RIGHT_WRITE ? QUIRE_KIND_OBJECT_WRITE : QUIRE_KIND_OBJECT_READ);
}

/* Case 3. => pinned; the pin is given up */
static enum outcome copy(struct fault *f, struct walk w, struct found *page)
{
	enum outcome outcome = FAULT_MEMORY;

	if (fault_prepare_page(f, false)) {
		port_copy_page(frame_bytes(f->page), frame_bytes(page->frame));
		f->page_zeroed = false;
		outcome = fault_lock_leaf(f, w, PTE_NONE);
	}
	if (outcome == FAULT_OK && unlikely(!holds(page) || forced(f, QUIRE_RETRY_PAGE))) {
		table_unlock(w.table);
		outcome = fault_retry(f, QUIRE_RETRY_PAGE);
	} else if (outcome == FAULT_OK) {
		w.table->u.table.used++;
		trace_add(&f->trace->anonymous, 1);
		at_store_release(w.slot, fault_map_page(f)); /* as in enter */
		table_unlock(w.table);
		outcome = fault_done(f, QUIRE_KIND_OBJECT_COPY);
	}
	unpin(page);
	return outcome;
}

/* Case 5. */
static enum outcome device(struct fault *f, struct walk w, const struct found *page)
{
	enum outcome outcome;
	pte entry;

	if (page->index >= object_pages(page->object))
		return refuse(f);
	outcome = fault_lock_leaf(f, w, PTE_NONE);
	if (outcome != FAULT_OK)
		return outcome;
	entry = pte_make(page->object->physical + page->index, fault_rights(f), f->vma->key);
	entry = pte_special(pte_accessed(entry));
	w.table->u.table.used++;
	/* Release: as in enter. */
	at_store_release(w.slot, f->access == QUIRE_WRITE ? pte_dirty(entry) : entry);
	table_unlock(w.table);
	return fault_done(f, QUIRE_KIND_DEVICE);
}

static struct found shown(const struct fault *f)
{
	return (struct found){
		.object = f->vma->mapping->object,
		.index = mapping_index(f->vma->mapping, f->address),
	};
}

enum outcome fault_object(struct fault *f, struct walk w)
{
	struct found page = shown(f);
	enum outcome outcome;

	if (unlikely(page.object->device))
		return device(f, w, &page);
	outcome = find(f, &page);
	if (unlikely(outcome != FAULT_OK))
		return outcome;
	if (f->access == QUIRE_WRITE && !(f->vma->flags & VMA_SHARED))
		return copy(f, w, &page);
	return enter(f, w, &page);
}

/* As ask, of a page that is entered. It may go at any time: pinned meanwhile. */
static enum outcome ask_entered(struct fault *f, const struct found *page, bool *asked)
{
	enum outcome outcome = fault_retry(f, QUIRE_RETRY_PAGE);

	if (!page->object->ops->page_mkwrite && !(page->object->caps & QUIRE_STABLE_WRITES))
		return FAULT_OK;
	if (!frame_try_get(page->frame))
		return outcome;
	if (holds(page))
		outcome = ask(f, page, asked);
	frame_put(page->frame);
	return outcome;
}

enum outcome fault_object_write(struct fault *f, struct walk w, pte entry)
{
	struct found page = shown(f);
	bool tracks = page.object->tracks, asked = false;
	enum outcome outcome = FAULT_OK;

	if (tracks) {
		page.slot = cache_find(&page.object->cache, page.index);
		page.frame = frame_of(pte_pfn(entry));
		outcome = ask_entered(f, &page, &asked);
	}
	if (outcome == FAULT_OK)
		outcome = fault_lock_leaf(f, w, entry);
	if (outcome != FAULT_OK)
		return outcome;
	/* The slot may have been looked up in an earlier life of the frame. */
	if (tracks && unlikely(!holds(&page) || !page_make_dirty(page.frame, &page.slot, asked))) {
		table_unlock(w.table);
		return fault_retry(f, QUIRE_RETRY_PAGE);
	}
	return fault_widen(f, w, fault_rights(f), QUIRE_KIND_OBJECT_WRITE);
}
