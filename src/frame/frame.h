/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: 64-byte descriptors, a buddy allocator for each NUMA node, per-CPU stocks in
 * front of it.
 *
 *     frame_alloc ──► this CPU's stock (64 frames, no lock)
 *                         └─► the node's buddy lists (RANK_POOL), then other nodes'
 *     frame_alloc_zeroed ──► this CPU's stock of zeroed frames, which frame_idle refills
 *                         └─► frame_alloc, and clear
 *
 * Descriptors are type-stable: `refs` of a frame can be looked at, and raised from a value that is
 * not 0, by whoever read a frame number in an entry, however stale. 0 means free (or the tail of a
 * larger block).
 */
#ifndef QUIRE_FRAME_FRAME_H
#define QUIRE_FRAME_FRAME_H

#include "port.h"
#include "sync/grace.h"
#include "sync/spin.h"

#include <quire/machine.h>

#define FRAME_MAX_ORDER 18 /* 1 GiB */

enum frame_kind {
	FRAME_HOLE,   /* not memory, or memory that Quire keeps for itself (descriptors) */
	FRAME_FREE,   /* head of a block in a buddy list */
	FRAME_TAIL,   /* inside a larger block, free or not */
	FRAME_STOCK,  /* in a per-CPU stock */
	FRAME_USED,   /* allocated, no kind given yet */
	FRAME_TABLE,  /* a page table: u.table */
	FRAME_ANON,   /* an anonymous page: u.page */
	FRAME_OBJECT, /* a page of an object: u.object */
	FRAME_SLAB,   /* small objects: u.slab */
	FRAME_ZERO,   /* the zero page: mapped without references */
};

struct quire_object;
struct tables;

/* One entry that maps an anonymous frame: frame/rmap.h. */
struct rmap {
	struct rmap *next;
	struct tables *tables;
	uint64_t address;
};

struct frame {
	_Atomic uint32_t refs;
	uint8_t kind;
	uint8_t order; /* of the block that this frame heads */
	uint8_t node;
	bool pooled; /* heads a block in a buddy list; RANK_POOL of the node */
	union {
		/* FRAME_FREE; RANK_POOL of the node */
		struct {
			struct frame *next, *prev;
		} free;
		/* FRAME_TABLE: table/table.h */
		struct {
			struct spinlock lock; /* guards the table's entries and all of this */
			uint8_t level;	      /* 0: a leaf */
			_Atomic uint8_t dead; /* unhooked; set once, under this lock and parent's */
			uint16_t used;	      /* entries that are not PTE_NONE; under lock */
			struct frame *parent; /* NULL: a root. Constant while hooked */
			struct tables *tables; /* whose; constant */
			uint64_t base;	       /* the first address it translates; constant */
			struct deferred deferred;
			/* Of a leaf: what is mapped there has changed so often; under lock */
			_Atomic uint64_t version;
		} table;
		/* FRAME_ANON: frame/rmap.h */
		struct {
			struct spinlock lock;  /* RANK_RMAP */
			uint32_t mapcount;     /* entries that map it */
			struct tables *tables; /* the one mapping, or one of them */
			uint64_t address;
			struct rmap *more;  /* the others */
			struct rmap second; /* room for one of these, in the list or not */
		} page;
		/* FRAME_OBJECT: object/object.h */
		struct {
			_Atomic uint32_t state;
			struct quire_object *object;
			uint64_t index;
			struct frame *next;
		} object;
		/* FRAME_SLAB: frame/slab.c */
		struct {
			struct frame *next, *prev;
			void *free; /* list of free objects */
			uint32_t used;
			uint32_t pad;
			struct slab *slab;
			_Atomic uint64_t taken[2]; /* debug builds: a bit for each used object */
		} slab;
		uint64_t pad[7];
	} u;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct frame) == 64, "a descriptor is one cache line");
_Static_assert(sizeof(((struct frame *)NULL)->u) == 56, "what a kind has to itself");

extern HIDDEN struct frame *frame_table; /* indexed by pfn - frame_first */
extern HIDDEN uint64_t frame_first, frame_count;
extern HIDDEN struct frame *frame_zero; /* the zero page: FRAME_ZERO, refs 1; set by frame_init */

/*
 * Take over the ranges: their whole pages. Ranges of one node that touch count as one: blocks may
 * cross from one to the other, and nothing else is ever crossed. The descriptors, the stocks, the
 * zero page and `reserve` bytes for the caller (zeroed, aligned to 128, *reserved) are carved from
 * the top of the largest range. Returns 0; -QUIRE_EINVAL: no whole page in any range, ranges that
 * overlap or reach beyond 2^52 bytes, 2^32 frames or more from the first to the last, cpus or nodes
 * out of bounds, a range or a CPU of a node that is not below `nodes`; -QUIRE_ENOMEM: the largest
 * range can't hold what must be carved.
 * => nothing else runs. May be called anew, which forgets all frames.
 */
int frame_init(const struct quire_memory *ranges, size_t count, unsigned nodes, unsigned cpus,
	       size_t reserve, void **reserved);

/* Is any of the frames [first, end) memory that frame_init was given? */
bool frame_is_ours(uint64_t first, uint64_t end);

static inline struct frame *frame_of(uint64_t pfn)
{
	return frame_table + (pfn - frame_first);
}

static inline uint64_t frame_pfn(const struct frame *frame)
{
	return (uint64_t)(frame - frame_table) + frame_first;
}

static inline void *frame_bytes(const struct frame *frame)
{
	return port_frame(frame_pfn(frame));
}

/* The descriptor of the frame that holds the byte at `p`, an address that port_frame gave. */
struct frame *frame_of_bytes(const void *p);

/*
 * A block of 2^order frames, aligned to its size, refs 1, kind FRAME_USED, order recorded; contents
 * undefined. NULL if no node has one (what other CPUs hold in their stocks does not count, see
 * frame_drain). Prefers the calling CPU's node.
 * => pinned; takes at most RANK_POOL; never sleeps.
 */
struct frame *frame_alloc(unsigned order);
/*
 * One frame, all zero. *was_ready (may be NULL) says whether it came from the stock of zeroed
 * frames.
 * => as frame_alloc
 */
struct frame *frame_alloc_zeroed(bool *was_ready);

/*
 * Raise refs unless it is 0. Returns whether it did. Acquire. The frame may have been reused since
 * its number was read: who got it looks again whether the entry is still there, and otherwise puts
 * it and touches nothing.
 */
bool frame_try_get(struct frame *);
/* Raise refs. => the caller holds a reference. */
static inline void frame_get(struct frame *frame)
{
	at_add(&frame->refs, 1u);
}

/*
 * Give back one reference; the last frees the block. The frame is in no entry and no list by then
 * (Q7). Always one atomic read-modify-write, even by a sole owner: a reader with an old frame
 * number may be in frame_try_get at this moment.
 * => pinned; takes at most RANK_POOL
 */
void frame_put(struct frame *);

/* The same for each of `count` frames, given as indices into frame_table. */
void frame_put_all(const uint32_t *frames, size_t count);

/* Of a frame that is all zero, as it was had: it becomes a zeroed one of the stock, if it may. */
void frame_put_zeroed(struct frame *);

/* Zero up to `count` frames into this CPU's stock. Returns how many. => pinned. */
unsigned frame_idle(unsigned count);

/* Return this CPU's stocks to the pools. => pinned; takes at most RANK_POOL */
void frame_drain(void);
/* Return all CPUs' stocks: for shutdown and for tests. => nothing else runs */
void frame_drain_all(void);

/* In frames of 4 KiB. What can be allocated is free + stocked; zeroed is a part of stocked. */
struct frame_stats {
	uint64_t total;	  /* all that frame_init did not keep */
	uint64_t free;	  /* in the pools of the nodes */
	uint64_t stocked; /* in the CPUs' stocks, of both kinds */
	uint64_t zeroed;  /* of these, in the stocks of zeroed frames */
};
/* A snapshot, cheap; exact if nothing else runs. */
void frame_stats(struct frame_stats *);
/*
 * The number of descriptors of each kind; a block is one of its head's kind, the rest FRAME_TAIL.
 * => nothing else runs
 */
void frame_count_kinds(uint64_t kinds[FRAME_ZERO + 1]);

/*
 * Checks the lists, the buddies, the stocks and every descriptor. Returns NULL, or what is wrong.
 * => nothing else runs
 */
const char *frame_validate(void);

/*
 * Failure injection, in debug builds (no effect elsewhere): the n-th call from now of frame_alloc,
 * frame_alloc_zeroed or slab_alloc (and so of rmap_add, for a third mapping) by any CPU fails, once
 * (n = 1: the next); 0: none. inject_count is how many such calls there were since inject_set.
 */
#ifdef QUIRE_DEBUG
void inject_set(uint64_t n);
uint64_t inject_count(void);
bool inject_fails(void); /* counts one call; for stock.c and slab.c alone */
#else
static inline void inject_set(uint64_t n)
{
	(void)n;
}

static inline uint64_t inject_count(void)
{
	return 0;
}

static inline bool inject_fails(void)
{
	return false;
}
#endif

#endif
