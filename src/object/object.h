/* SPDX-License-Identifier: MIT */
/*
 * Objects, inside.
 *
 * A page of an object is a frame of kind FRAME_OBJECT in the object's cache. Its descriptor:
 *
 *     state    PAGE_* bits, below; who waits for the page sleeps on this word
 *     object, index     whose it is; constant from insertion until the frame is freed. After the
 *                       page has left the cache `object` is for comparison only.
 *     next              for chains of whoever has taken it out of the cache, or is about to
 *
 *                   READING ──────────► READY ◄──────────► READY + DIRTY
 *     (inserted, zero)  │   contents       │    mkwrite       │  ▲ mkwrite, failed write
 *                       │ error            │                  ▼  │
 *                       ▼                  ▼               READY + WRITING (+ DIRTY again)
 *                     GONE ◄─── READING + LEAVING             │
 *                       ▲         (evicted, removed)          │
 *                       └─────────────────────────────────────┘ any: cut off by truncation
 *
 *     READING   only who reads it uses its contents
 *     READY     contents are the object's
 *     DIRTY     differ, or are allowed to differ, from what is stored. Entries that allow writing
 *               exist only of DIRTY pages (of objects that learn of writes)
 *     WRITING   being saved, or being copied to by quire_object_write: one at a time
 *     USED      found by somebody since reclaim last looked
 *     LEAVING   claimed by who makes it leave. In the cache, so that no other page can take its
 *               place before its entries are swept; READING, so that nobody uses it
 *     GONE      has left the cache; never again used but by who mapped or pinned it before. If its
 *               read has failed, the error is above PAGE_ERROR_SHIFT: for who asked for the read
 *
 * The end. What the last page has beyond the end of the object is zero: who has read it zeroes that
 * before the page is READY. Who makes the object smaller stores the size, has a full barrier, looks
 * at the page that is then the last, waits until it is not READING, and zeroes the rest. Either the
 * reader has seen the new size or its page is seen.
 *
 * References: one of the cache, one of each entry that maps it, one of each pin. There is no
 * reverse map of the frame: the object knows where it is mapped (object/mapping.h), and an entry
 * tells by its frame what it shows.
 *
 * The one rule, here. Truths: the page is in the cache at its index, and READY (taken back by who
 * makes it leave); it is DIRTY (taken back by who writes it). Who installs an entry pins the frame
 * (frame_try_get), and under the leaf lock looks whether the slot still holds it, whether it is
 * READY, and, for an entry that allows writing, whether it is still DIRTY. Who takes one of these
 * away then sweeps the mappings, flushes, and only then frees, saves, or lets another page in.
 *
 *     lock order: range, tree, OBJECT (where it is mapped), CACHE, CACHE_NODE, tables, ...
 *     `io`, a sleeping lock, before all of them: writing, truncating and removing exclude each
 *     other
 */
#ifndef QUIRE_OBJECT_OBJECT_H
#define QUIRE_OBJECT_OBJECT_H

#include "object/cache.h"
#include "sync/rwsem.h"
#include <quire/object.h>

#define PAGE_READING 1u
#define PAGE_READY 2u
#define PAGE_DIRTY 4u
#define PAGE_WRITING 8u
#define PAGE_USED 16u
#define PAGE_GONE 32u
#define PAGE_LEAVING 64u
#define PAGE_ERROR_SHIFT 8

struct mapping;

struct quire_object {
	/* Read by faults; the cache's root is written when that changes. */
	const struct quire_object_ops *ops; /* constant, never NULL */
	uint32_t caps;			    /* constant */
	bool tracks;			    /* constant: it learns of writes, has a writepages */
	bool device;	    /* constant: frames are physical + index, there is no cache */
	uint64_t physical;  /* constant: number of the first frame of a device */
	void *private_data; /* constant */
	struct cache cache; /* limit: pages of size */

	/* Apart from what faults read that find their page: it is written by each growth. */
	_Atomic uint64_t size __attribute__((aligned(64))); /* bytes; changed under `io` */

	/* Written by references, which faults take only when they leave to wait. */
	_Atomic uint32_t refs __attribute__((aligned(64)));
	struct rwsem io;	/* written by who writes, truncates, removes */
	_Atomic uint32_t error; /* of a failed write, not yet reported; positive */
	_Atomic uint64_t ahead; /* where the next sequential miss is expected; 0: nowhere */
	_Atomic uint64_t read, written, reclaimed, errors;
	_Atomic uint64_t hand; /* where reclaim goes on */
	/* Where a hole is being made: nothing is read there. Under `io`; 0, 0: nowhere. */
	_Atomic uint64_t hole_first, hole_end;
	_Atomic uint32_t writes;   /* of the requests: those that write. Begun under `io` */
	_Atomic uint32_t requests; /* struct page_request that are not done; release sleeps on it */

	/* Where it is mapped. Written by mmap, mremap, fork, munmap of it. */
	struct spinlock lock __attribute__((aligned(64))); /* RANK_OBJECT */
	struct mapping *first, *last; /* in the order in which they were made */
	uint64_t mappings;	      /* in the list */
	uint64_t order;		      /* of the last record that was made */

	struct quire_object *next, *prev; /* all objects: RANK_OBJECTS */
	struct quire_object *dead_next;	  /* of those that wait to be released */
	struct deferred deferred;
	uint64_t inode;
	unsigned device_major, device_minor;
	char name[QUIRE_NAME_MAX];
};

extern struct slab object_slab, pages_slab; /* slab_init'ed by who starts Quire */
uint32_t pages_size(void);		    /* of one in pages_slab */

/* --- object.c --- */

/* At start: no object. */
void object_reset(void);
/* All objects, for the validator and quire_exit. => nothing else runs */
struct quire_object *object_first(void);

/*
 * For reclaim: the object whose turn it is (it goes to the end of the line), with a reference for
 * the caller; NULL: there is none. object_count() turns are a round.
 */
struct quire_object *object_turn(void);
uint64_t object_count(void);

/* One more reference unless the last is gone already. => in a section */
bool object_try_get(struct quire_object *);
/*
 * Give back a reference where nothing may sleep: an object without references waits in a list until
 * object_reap.
 * => anywhere; takes no lock
 */
void object_put_later(struct quire_object *);
/*
 * Release the objects in that list: the end of each call that unmaps. One load if there are none.
 * => no lock held, outside a section; may sleep
 */
void object_reap(void);

/* The pages of a range of bytes end here; what no object has is left out. */
static inline uint64_t object_range_end(uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;

	if (end < offset || end > QUIRE_OBJECT_MAX)
		end = QUIRE_OBJECT_MAX;
	return (end + PAGE_MASK) >> PAGE_SHIFT;
}

static inline uint64_t object_pages(const struct quire_object *object)
{
	return (at_load(&object->size) + PAGE_MASK) >> PAGE_SHIFT;
}

/* --- page.c: finding a page, waiting for it, making it dirty --- */

/* A fresh frame becomes a page of the object, about to be inserted. => refs 1, nobody knows it */
void page_init(struct frame *, struct quire_object *, uint64_t index, uint32_t state);

/* Somebody has found the page: for reclaim. Written once in a while. => pinned */
static inline void page_use(struct frame *frame)
{
	uint32_t state = at_load(&frame->u.object.state);

	while (unlikely(!(state & (PAGE_USED | PAGE_GONE))) &&
	       !at_cas(&frame->u.object.state, &state, state | PAGE_USED))
		;
}

/* The page at index, pinned. NULL: there is none. => in a section */
struct frame *page_get(struct quire_object *, uint64_t index);

/* Pin what was read from the slot. False: it has left it. => in the section of the look-up */
static inline bool page_pin(struct frame *frame, const struct cache_slot *slot)
{
	if (!frame_try_get(frame))
		return false;
	if (cache_load(slot) == frame)
		return true;
	frame_put(frame);
	return false;
}

/* frame_put, from where nothing is pinned to the CPU. */
static inline void page_unpin(struct frame *frame)
{
	port_pin();
	frame_put(frame);
	port_unpin();
}

/*
 * For objects whose pages begin as zero (no operation `fault`): put the zeroed frame in, READY
 * (and DIRTY: it is kept nowhere else). As cache_insert.
 * => in a section
 */
enum cache_insert page_insert_zero(struct quire_object *, uint64_t index, struct frame *);
/*
 * Put a frame in whose contents are to come, READING: the caller fills it, and has a pin. Unless it
 * is inserted the frame is freed. As cache_insert.
 * => in a section
 */
enum cache_insert page_insert_reading(struct quire_object *, uint64_t index, struct frame *);

/*
 * Sleep until state & bits is 0 or the page is GONE.
 * => holding nothing but a reference to the frame; may sleep
 */
void page_wait(struct frame *, uint32_t bits);
/* After a read-modify-write of the state for which somebody may wait. Uses the address only. */
void page_wake(struct frame *);

/*
 * Let a clean page be DIRTY, for who makes an entry writable (under its leaf lock): the state and
 * the mark in the cache's node. asked: the object has just said that it may be. False: it is GONE
 * or not READY, or WRITING if it must not change then, or clean and the object was not asked.
 * => in the section of the look-up, frame pinned
 */
bool page_make_dirty(struct frame *, const struct cache_slot *, bool asked);
/*
 * READY, DIRTY and marked: an entry may allow writing until somebody takes DIRTY off, and sweeps.
 * (Without the mark, which one who has just set DIRTY may owe, a sync could miss what is written.)
 * These are two looks: in between it may be written back and be made DIRTY once more.
 * => the entry's leaf lock held, for which that sweep waits; or nothing else runs
 */
static inline bool page_is_dirty(const struct frame *frame, const struct cache_slot *slot)
{
	/* Acquire: pairs with write.c, which takes the mark before DIRTY. */
	uint32_t state = at_load_acquire(&frame->u.object.state);

	return (state & (PAGE_READY | PAGE_DIRTY | PAGE_GONE)) == (PAGE_READY | PAGE_DIRTY) &&
	       at_load(slot->dirty) & slot->bit;
}

/*
 * Ask the object whether the page may be written (page_mkwrite, QUIRE_STABLE_WRITES) and make it
 * dirty, where it may sleep. 0: look again; or an error.
 * => holding nothing but a reference to the object; may sleep
 */
int page_mkwrite(struct quire_object *, uint64_t index);

/* --- request.c: pages on their way between the cache and what keeps them --- */

/*
 * What an operation has answered, as an error: 0, or -4095 to -1. -QUIRE_EFAULT is Quire's own, for
 * what is beyond the end.
 */
static inline int object_error(int answer)
{
	if (answer > 0 || answer < -4095 || answer == -QUIRE_EFAULT)
		return -QUIRE_EIO;
	return answer;
}

/*
 * The ticket of one call of fault or writepages. It has a pin of each page, and the object is not
 * released before it is done.
 */
struct page_request {
	struct quire_pages pages; /* as the operation sees it */
	struct frame *frames[QUIRE_BATCH];
	bool writing;
};

/* Without pages yet, pages.length 0. NULL: no memory. => in a section, a reference to the object */
struct page_request *page_request_new(struct quire_object *, uint64_t index, bool writing);
/* One more page, the next one. The caller's pin of it becomes the request's. */
void page_request_add(struct page_request *, struct frame *);
/* => without pages, or when they have been given up; in a section */
void page_request_free(struct page_request *);
/*
 * Call the operation. When it is done, here or by quire_pages_done, the request is finished.
 * => holding nothing but a reference to the object; may sleep. The request is no longer the
 *    caller's.
 */
void page_request_run(struct page_request *);
/*
 * The request is over (error: 0 or negative): errors are counted, who waits is woken, the pins are
 * given up, the request is freed.
 * => in a section
 */
void page_request_finish(struct page_request *, int error);
/* Its halves, by direction: fetch.c and write.c. They don't free the request. => in a section */
void page_read_done(struct page_request *, int error);
void page_write_done(struct page_request *, int error);

/* --- fetch.c --- */

/*
 * Have the page at index in the cache, READY, or find out why not; with absent pages beside it, as
 * fetch.c sees fit. Returns 0 (it was, a moment ago: look again), -QUIRE_EFAULT: beyond the end,
 * -QUIRE_ENOMEM, or an error of the operation.
 * => holding nothing but a reference to the object; may sleep
 */
int page_fetch(struct quire_object *, uint64_t index);

/* --- write.c --- */

/*
 * Write the dirty pages of [index, end). wait: also wait for those that are being written. Errors
 * are remembered in object->error.
 * => holding nothing but a reference to the object; may sleep
 */
void object_write_back(struct quire_object *, uint64_t index, uint64_t end, bool wait);

/* Until no write is under way. => may sleep; `io` held if none is to begin then */
void object_await_writes(struct quire_object *);

/* --- truncate.c --- */

/* As quire_object_truncate, unless it is that large already. */
int object_grow(struct quire_object *, uint64_t size);
/* Every page leaves; nobody maps the object. For object.c. => may sleep */
void object_drop_all(struct quire_object *);
/*
 * Pages that were taken out of the cache and swept: their references are given back, `invalidate`
 * is told. Returns how many they were.
 * => chained by `next`, last page first; may sleep
 */
uint64_t object_give_up(struct quire_object *, struct frame *chain);

/* --- evict.c: invalidate, reclaim, remove --- */

/* As quire_reclaim. => nothing held; may sleep */
uint64_t object_reclaim(uint64_t pages);
/*
 * Clean pages of [index, end) leave the cache: all (used: true), or those not USED since the last
 * look, which is what this look then takes from the others. Returns how many went. *stayed (may be
 * NULL): pages that are dirty, being read or being written.
 * => holding nothing but a reference to the object; may sleep
 */
uint64_t object_drop_clean(struct quire_object *, uint64_t index, uint64_t end, bool used,
			   uint64_t *stayed);

#endif
