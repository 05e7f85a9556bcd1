/* SPDX-License-Identifier: MIT */
/*
 * A VMA: immutable once it is in the tree, but for its sequence count. An edit publishes new VMAs
 * and retires the old ones.
 */
#ifndef QUIRE_SPACE_VMA_H
#define QUIRE_SPACE_VMA_H

#include "object/mapping.h"
#include "sync/grace.h"

/* vma->flags. The first three are the protection, with the values of QUIRE_PROT_*. */
#define VMA_READ 0x1u
#define VMA_WRITE 0x2u
#define VMA_EXEC 0x4u
#define VMA_PROT 0x7u
#define VMA_SHARED 0x8u
#define VMA_GROWSDOWN 0x10u
#define VMA_LOCKED 0x20u
#define VMA_ONFAULT 0x40u /* with VMA_LOCKED: lock what is touched */
#define VMA_NORESERVE 0x80u
#define VMA_DONTFORK 0x100u
#define VMA_WIPEONFORK 0x200u
#define VMA_RANDOM 0x400u /* advice that is only remembered */
#define VMA_SEQUENTIAL 0x800u
#define VMA_DONTDUMP 0x1000u
#define VMA_HUGEPAGE 0x2000u
#define VMA_NOHUGEPAGE 0x4000u
#define VMA_MERGEABLE 0x8000u
#define VMA_NOWRITE 0x10000u /* may never be writable: not opened for it, or a private device */
#define VMA_NOEXEC 0x20000u  /* of what may not be executed */

struct vma {
	_Atomic uint64_t seq; /* VMA_PENDING, VMA_LIVE, VMA_RETIRED and more: only ever rises */
	uint64_t start, end;
	uint32_t flags;
	uint32_t key;
	struct mapping *mapping; /* of an object, lives as long as the VMA; NULL: anonymous */
	struct deferred deferred;
	/* The vma-lock baseline: faults inside; VMA_WRITER for ever once it is being replaced. */
	_Atomic uint32_t readers;
};

_Static_assert(sizeof(struct vma) == CACHE_LINE, "a VMA is one cache line");

/*
 * The sequence count. Odd: not to be relied upon. A VMA is born pending if entries must be swept
 * away or moved before faults may use it (its range is locked exclusively as long), else live; once
 * retired it stays so.
 */
#define VMA_PENDING 1u
#define VMA_LIVE 2u
#define VMA_RETIRED 3u

#define VMA_WRITER 0x80000000u

extern HIDDEN struct slab vma_slab;

static inline uint64_t vma_pages(const struct vma *vma)
{
	return (vma->end - vma->start) >> PAGE_SHIFT;
}

/* The rights that a protection grants, as on x86-64: what is accessible at all can be read. */
static inline unsigned vma_flags_rights(uint32_t flags)
{
	return (flags & VMA_PROT ? RIGHT_READ : 0) | (flags & VMA_WRITE ? RIGHT_WRITE : 0) |
	       (flags & VMA_EXEC ? RIGHT_EXEC : 0);
}

/*
 * The lock of the vma-lock baseline: one atomic read-modify-write to take, one to give back. Only
 * ever write-locked on the way to being retired, so never write-unlocked.
 * => in a section
 */
static inline bool vma_try_read(struct vma *vma)
{
	if (likely(!(at_add(&vma->readers, 1u) & VMA_WRITER)))
		return true;
	at_sub(&vma->readers, 1u);
	return false;
}

static inline void vma_read_done(struct vma *vma)
{
	at_sub(&vma->readers, 1u);
}

#endif
