/* SPDX-License-Identifier: MIT */
/* Inside space/: how calls lock, edit and sweep an address space. Every writer uses these. */
#ifndef QUIRE_SPACE_SPACE_H
#define QUIRE_SPACE_SPACE_H

#include "space/mm.h"
#include "table/gather.h"

#define PAGE_ALIGN(x) (((x) + PAGE_MASK) & ~PAGE_MASK)

/* Addresses from start to below end. */
struct span {
	uint64_t start, end;
};

/* The part of [start, end) that lies in the VMA. => they overlap */
static inline struct span vma_part(const struct vma *vma, uint64_t start, uint64_t end)
{
	return (struct span){
		.start = vma->start > start ? vma->start : start,
		.end = vma->end < end ? vma->end : end,
	};
}

/* --- space_lock.c --- */

/*
 * Who excludes whom.
 *
 *                    speculative                      vma-lock, classic (one lock for the space)
 *   SPACE_EDIT       range, exclusively               exclusively
 *   SPACE_ZAP        range, exclusively               shared: the leaf locks suffice, as in Linux
 *   SPACE_FORK       everything, shared: excludes     exclusively
 *                    writers, but not faults
 *   SPACE_FAULT      range (a page), shared           shared
 *
 * An empty range (start == end) locks nothing in `speculative`: a call that only fills a gap is
 * ordered by the tree lock.
 */
enum space_lock_kind { SPACE_EDIT, SPACE_ZAP, SPACE_FORK, SPACE_FAULT };

struct space_lock {
	struct quire_mm *mm;
	struct range range;
	bool ranged; /* the range is held */
	bool shared; /* of the space's lock */
};

/* => outside a section, no spin lock held; sleeps while a conflicting holder is there */
void space_lock(struct space_lock *, struct quire_mm *, uint64_t start, uint64_t end,
		enum space_lock_kind);
void space_unlock(struct space_lock *);
/* Wait until whoever holds the span exclusively now is through. => holds no range */
void space_wait(struct quire_mm *, const struct span *);
/* The edit is published, what follows only sweeps: the baselines let faults in again. */
void space_downgrade(struct space_lock *);
/*
 * Lock [start, end) exclusively without waiting, for a caller that holds other ranges: queues
 * before those who only wait. Returns false if a holder is in the way, with its bounds. Only
 * `speculative` needs it, the baselines return true.
 * => may be called in an edit
 */
bool space_reserve(struct space_lock *, struct quire_mm *, uint64_t start, uint64_t end,
		   uint64_t *hit_start, uint64_t *hit_end);

/* --- edit.c: publishing --- */

/* The tree lock, in a section: what is found in the tree stays. Nothing in between sleeps. */
void space_edit_begin(struct quire_mm *);
void space_edit_end(struct quire_mm *);

/* A VMA that is not in the tree yet, live; NULL: no memory. */
struct vma *vma_new(uint64_t start, uint64_t end, uint32_t flags, uint32_t key,
		    struct mapping *mapping);
/* Free one that was never in the tree. NULL is fine. */
void vma_free(struct vma *);

/*
 * Count the VMA in (1) or out (-1) of the space's sums.
 * => in an edit, or the space is not public
 */
void space_account(struct quire_mm *, const struct vma *, int sign);

/*
 * A VMA in the tree keeps its mapping, if it has one: count it in (1) or out (-1); with the last
 * one the mapping goes, when the edit ends.
 * => as space_account
 */
void space_account_mapping(struct quire_mm *, const struct vma *, int sign);
/*
 * For an edit that unmaps: take the mappings that it has left without VMAs. As long as entries are
 * there, in the tables or in translations, who cleans a page or takes it away must find them: so
 * they go by space_forget, after the sweep.
 * => in the edit
 */
struct deferred *space_take_gone(struct quire_mm *);
/* => no lock held */
void space_forget(struct deferred *gone);

/* What a range is to become: attributes of a VMA. */
struct vma_attributes {
	uint32_t flags;
	uint32_t key;
	struct mapping *mapping;
	/* Not for faults until space_set_live: something must be swept first. Not merged. */
	bool pending;
};

/* Those of a VMA in the tree, as they are. */
static inline struct vma_attributes vma_attributes(const struct vma *vma)
{
	return (struct vma_attributes){
		.flags = vma->flags,
		.key = vma->key,
		.mapping = vma->mapping,
	};
}

/*
 * Replace whatever is mapped in [start, end), by nothing (attributes NULL) or by one mapping; split
 * and merge what is needed. All or nothing. Returns 0; -QUIRE_ENOMEM: no memory, or more VMAs than
 * the limit; -QUIRE_EINVAL: an object does not let its mapping be split there.
 * => between space_edit_begin and _end
 */
int space_replace(struct quire_mm *, uint64_t start, uint64_t end, const struct vma_attributes *);

/*
 * Map [to, to_end), in place of what may be there, and leave `left` at [from, from_end) (NULL:
 * nothing): both or neither. As space_replace.
 */
int space_exchange(struct quire_mm *, uint64_t from, uint64_t from_end,
		   const struct vma_attributes *left, uint64_t to, uint64_t to_end,
		   const struct vma_attributes *);

/*
 * Give the part [start, end) of a VMA in the tree other attributes, splitting and merging. As
 * space_replace, which it is for that part. Does nothing if they are what they were.
 */
int space_change(struct quire_mm *, const struct vma *vma, uint64_t start, uint64_t end,
		 uint32_t flags, uint32_t key);

/*
 * A pending VMA may be used by faults now, and is merged with its neighbours if there is memory for
 * that.
 * => its range is locked, not within an edit
 */
void space_set_live(struct quire_mm *, uint64_t start);

/* Does anything overlap [start, end)? => in an edit or a section */
static inline bool space_occupied(const struct quire_mm *mm, uint64_t start, uint64_t end)
{
	const struct vma *vma = tree_next(&mm->tree, start);

	return vma && vma->start < end;
}

/*
 * May `pages` more be mapped with these flags, in place of `less` that go away with them (limits)?
 * 0 or -QUIRE_ENOMEM. => tree lock
 */
int space_may_map(const struct quire_mm *, uint64_t pages, uint32_t flags, uint64_t less);
/* May `pages` that are mapped become private writable ones? 0 or -QUIRE_ENOMEM. => tree lock */
int space_may_write(const struct quire_mm *, uint64_t pages);
/* The pages of [start, end) that are mapped with all of these flags. => tree lock */
uint64_t space_mapped(const struct quire_mm *, uint64_t start, uint64_t end, uint32_t flags);
/* May `pages` more be locked? */
bool space_may_lock(const struct quire_mm *, uint64_t pages);

/* --- sweep.c: taking away, leaf by leaf --- */

enum space_zap {
	ZAP_PAGES,    /* the mapping stays: who knows it need not look anew */
	ZAP_REPLACED, /* something else is mapped there now, pending */
	ZAP_UNMAPPED, /* nothing is: tables that are empty, with nothing mapped in their span, go */
};

/* Take every entry out of [start, end). => the range is locked; outside a section */
void space_zap(struct quire_mm *, uint64_t start, uint64_t end, enum space_zap);
/* All that is mapped. => no CPU runs the space, nobody edits it */
void space_zap_all(struct quire_mm *);
/* Narrow every entry of [start, end) to these VMA flags and this key. => as above */
void space_narrow(struct quire_mm *, uint64_t start, uint64_t end, uint32_t flags, uint32_t key);
/*
 * move.c: moving every entry of [from, from + length) to `to`, in two passes, so that the second
 * can't fail: first make and hold the tables that the target needs (false: no memory, nothing is
 * held); then move, or let go of them again.
 * => both ranges locked, the source not usable by faults from before the first pass, the target
 * neither
 */
bool space_move_prepare(struct quire_mm *, uint64_t from, uint64_t to, uint64_t length);
void space_move_cancel(struct quire_mm *, uint64_t from, uint64_t to, uint64_t length);
void space_move(struct quire_mm *, uint64_t from, uint64_t to, uint64_t length);

/*
 * reverse.c: the sweep of one mapping, which mapping_sweep_all calls: see object/mapping.h.
 */
uint64_t space_sweep_mapping(struct mapping *, uint64_t first, uint64_t last, enum mapping_sweep);

/* --- others --- */

/*
 * map.c: what quire_mmap_object does, with the flags of a VMA instead of protections.
 * flags: of QUIRE_MAP_FIXED and QUIRE_MAP_FIXED_NOREPLACE alone.
 * => no lock held, a reference to the object
 */
int64_t space_map_object(struct quire_mm *, uint64_t address, uint64_t length, int flags,
			 uint32_t vma_flags, struct quire_object *, uint64_t offset);
/* map.c: a record of a mapping of the object; as mapping_make. */
int space_make_mapping(struct quire_mm *, struct quire_object *, uint64_t start, uint64_t length,
		       uint64_t origin, uint32_t vma_flags, struct mapping **out);
/* A part of a range that one VMA maps. */
struct space_part {
	uint64_t start, end;
	uint32_t flags;
	struct quire_object *object; /* NULL: none, or the mapping has just gone. A reference */
	uint64_t index;		     /* what is at start */
};

/*
 * find.c: the first part of [start, end) that is mapped, for calls that work on objects with
 * nothing locked. False: nothing is.
 * => no lock held, outside a section; the caller puts part->object
 */
bool space_next_part(struct quire_mm *, uint64_t start, uint64_t end, struct space_part *part);

/*
 * unmap.c: publish, then sweep, of [start, end) in a held SPACE_EDIT lock. 0 or -QUIRE_ENOMEM
 * (nothing has changed).
 */
int space_unmap(struct space_lock *, uint64_t start, uint64_t end);
/*
 * place.c: a place for `length` bytes: at the hint if it is free, else the highest gap below
 * mmap_top, else the lowest above. A gap that a writer is still sweeping is not one (Q2). Returns
 * -QUIRE_ENOMEM if there is none; *swept is then a range that is being swept and may hold one
 * afterwards, or empty.
 * => between space_edit_begin and _end
 */
int64_t space_find_gap(struct quire_mm *, uint64_t hint, uint64_t length, struct span *swept);
/* mm.c: an empty space with the parent's settings. */
int space_create_like(struct quire_mm *parent, struct quire_mm **out);
/*
 * grow.c: extend the stack above down to the page. 0; -QUIRE_EFAULT: it may not grow so far;
 * -QUIRE_ENOMEM.
 * => no lock held
 */
int space_grow_stack(struct quire_mm *, uint64_t address);
/*
 * populate.c: fault every page in. 0, or the first negative error: -QUIRE_ENOMEM (nothing mapped
 * there), -QUIRE_EACCES (not allowed), -QUIRE_EFAULT (beyond the end of the object, or not
 * readable), -QUIRE_EAGAIN (no memory).
 * => no lock held
 */
int space_populate(struct quire_mm *, uint64_t start, uint64_t end, enum quire_access access);
/*
 * populate.c: fault in what is mapped of it, for writing where that makes a private copy. Returns
 * the first error, as space_populate does; -QUIRE_EACCES also for a mapping without any right.
 */
int space_populate_mapped(struct quire_mm *, uint64_t start, uint64_t end);

/*
 * again.c: the end of each call that edits. Polls the grace periods; and if the call failed for
 * want of memory that only waits for one, waits for it and says that the call is to be made once
 * more (the second time it says no).
 * => no lock held, outside a section
 */
bool space_again(int64_t result, bool *waited);

#endif
