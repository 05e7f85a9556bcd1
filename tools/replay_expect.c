/* SPDX-License-Identifier: MIT */
/*
 * What an event should find, after the recording.
 *
 * The rule: a call must end on Quire as it ended on Linux, unless the reason lies outside of what
 * is replayed. Outside are descriptors, rights to files and devices (EBADF, EACCES, ...:
 * "unreplayable"), limits of the host (ENOMEM without a reason in the layout: "unreplayable"), and
 * memory that no line of the recording accounts for ("unexplained"; version 1 lacks what the kernel
 * mapped at exec). A file ends where the recording last said; write(2) may have moved that since,
 * so calls that reach beyond are not compared.
 */
#include "replay.h"

#include <errno.h>

#define PAGE_MASK (QUIRE_PAGE_SIZE - 1)

#define LINUX_MAP_FLAGS                                                                            \
	(0xfull | QUIRE_MAP_FIXED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_GROWSDOWN | QUIRE_MAP_LOCKED | \
	 QUIRE_MAP_NORESERVE | QUIRE_MAP_POPULATE | QUIRE_MAP_NONBLOCK | QUIRE_MAP_STACK |         \
	 QUIRE_MAP_FIXED_NOREPLACE | 0x1800 /* ignored: MAP_DENYWRITE, MAP_EXECUTABLE */)

static enum expect expect_mmap(const struct trace_event *e, const struct look *l,
			       const struct file *file)
{
	if (e->result >= 0)
		return e->length && (uint64_t)e->result < REPLAY_ADDRESSES &&
				       e->length <= REPLAY_ADDRESSES - (uint64_t)e->result
			       ? EXPECT_RESULT
			       : SKIP_UNREPLAYABLE;
	if ((!(e->flags & QUIRE_MAP_ANONYMOUS) && !file) || (e->flags & ~LINUX_MAP_FLAGS))
		return SKIP_UNREPLAYABLE;
	switch (e->result) {
	case -EINVAL:
	case -EOVERFLOW:
		return EXPECT_RESULT;
	case -EEXIST:
		return l->mapped ? EXPECT_RESULT : SKIP_UNEXPLAINED;
	case -ENOMEM:
		return e->length > REPLAY_ADDRESSES ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	default:
		return SKIP_UNREPLAYABLE;
	}
}

/* Calls on memory that must be there: mprotect, mlock, munlock, msync, and what of madvise is left.
 */
static enum expect expect_mapped(const struct trace_event *e, const struct look *l)
{
	if (e->result == -EINVAL && (e->op != TRACE_MADVISE || (e->address & PAGE_MASK)))
		return EXPECT_RESULT;
	if (e->result != 0 && e->result != -ENOMEM)
		return SKIP_UNREPLAYABLE;
	if (l->beyond && (e->op == TRACE_MLOCK || e->op == TRACE_MADVISE))
		return SKIP_UNREPLAYABLE;
	if (l->unknown)
		return l->mapped ? EXPECT_UNKNOWN : SKIP_UNEXPLAINED;
	return e->result == 0 || l->hole ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
}

static enum expect expect_madvise(const struct trace_event *e, const struct look *l)
{
	bool known = e->flags <= QUIRE_MADV_DONTNEED ||
		     (e->flags >= QUIRE_MADV_FREE && e->flags <= QUIRE_MADV_DONTNEED_LOCKED);

	if (!known)
		return SKIP_UNREPLAYABLE;
	if (e->flags == QUIRE_MADV_REMOVE && (l->file || l->special))
		return SKIP_UNREPLAYABLE;
	if (l->special &&
	    (e->flags == QUIRE_MADV_POPULATE_READ || e->flags == QUIRE_MADV_POPULATE_WRITE))
		return SKIP_UNREPLAYABLE;
	return expect_mapped(e, l);
}

static enum expect expect_brk(const struct space *space, const struct trace_event *e,
			      const struct look *l)
{
	if (space->brk_start == 0) /* nothing but a query says where the heap begins */
		return (uint64_t)e->result > e->address ? EXPECT_RESULT : SKIP_UNEXPLAINED;
	if ((uint64_t)e->result != space->brk || e->address <= space->brk || l->mapped)
		return EXPECT_RESULT;
	return l->unknown ? SKIP_UNEXPLAINED : SKIP_UNREPLAYABLE;
}

static enum expect expect_mremap(const struct plan *plan, const struct space *space,
				 const struct trace_event *e)
{
	struct look from = { 0 }, behind = { 0 };
	uint64_t start, end;

	if (!whole_pages(e->address, e->length ? e->length : 1, &start, &end))
		return e->result == -EINVAL ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	from = look(plan, space, start, end);
	if (from.unknown)
		return SKIP_UNEXPLAINED;
	if (from.special && (e->length == 0 || e->result < 0))
		return SKIP_UNREPLAYABLE;
	if (e->result >= 0)
		return (uint64_t)e->result < REPLAY_ADDRESSES ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	if (e->new_length > e->length && whole_pages(e->address, e->new_length, &start, &end))
		behind = look(plan, space, end - ((e->new_length - e->length) & ~PAGE_MASK), end);
	switch (e->result) {
	case -EINVAL:
		return EXPECT_RESULT;
	case -EFAULT:
		return from.hole || from.mixed ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	case -ENOMEM:
		return !(e->flags & QUIRE_MREMAP_MAYMOVE) && behind.mapped ? EXPECT_RESULT
									   : SKIP_UNREPLAYABLE;
	default:
		return SKIP_UNREPLAYABLE;
	}
}

enum expect call_expect(const struct plan *plan, const struct space *space,
			const struct trace_event *e)
{
	struct range ranges[2];
	struct look l = { 0 };

	if (call_ranges(space, e, ranges))
		l = look(plan, space, ranges[0].start, ranges[0].end);
	switch (e->op) {
	case TRACE_MMAP:
		return expect_mmap(e, &l, file_of(plan, e));
	case TRACE_MUNMAP:
		return e->result == 0 || e->result == -EINVAL ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	case TRACE_MPROTECT:
	case TRACE_MLOCK:
	case TRACE_MUNLOCK:
	case TRACE_MSYNC:
		return expect_mapped(e, &l);
	case TRACE_MADVISE:
		return expect_madvise(e, &l);
	case TRACE_BRK:
		return expect_brk(space, e, &l);
	case TRACE_MREMAP:
		return expect_mremap(plan, space, e);
	default: /* TRACE_LAYOUT */
		return l.mapped || l.unknown || l.hole ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	}
}

enum quire_access fault_access(const struct trace_event *e, unsigned prot)
{
	if (!e->known) /* the likeliest */
		return prot & QUIRE_PROT_WRITE	 ? QUIRE_WRITE
		       : prot == QUIRE_PROT_EXEC ? QUIRE_EXEC
						 : QUIRE_READ;
	return e->error & 2 ? QUIRE_WRITE : e->error & 0x10 ? QUIRE_EXEC : QUIRE_READ;
}

/* Whatever is accessible at all can be read, as on x86-64. */
static bool allowed(enum quire_access access, unsigned prot)
{
	return access == QUIRE_WRITE  ? (prot & QUIRE_PROT_WRITE) != 0
	       : access == QUIRE_EXEC ? (prot & QUIRE_PROT_EXEC) != 0
				      : prot != 0;
}

/* On memory that allows it. */
static enum expect expect_page(const struct plan *plan, const struct segment *s,
			       const struct trace_event *e)
{
	const struct file *file;
	uint64_t page = segment_page(s, e->address);

	if (s->file == REPLAY_NONE)
		return EXPECT_DONE;
	file = &plan->files[s->file];
	/* Only what this process itself does to the size is in order with its faults. */
	if (file->pid != e->pid && page >= file_pages(file->least) && page < file_pages(file->most))
		return EXPECT_RACE;
	return page < file_pages(file->size) ? EXPECT_DONE : EXPECT_BUS;
}

enum expect fault_expect(const struct plan *plan, const struct space *space,
			 const struct trace_event *e)
{
	uint32_t i = shadow_find(&space->shadow, e->address);
	const struct segment *s = &space->shadow.segments[i];

	if (s->state == SHADOW_UNKNOWN)
		return SKIP_UNEXPLAINED;
	if (s->open)
		return EXPECT_RACE;
	if (s->state == SHADOW_MAPPED)
		return allowed(fault_access(e, s->prot), s->prot) ? expect_page(plan, s, e)
								  : EXPECT_ACCERR;
	if (i + 1 < space->shadow.count && s[1].state == SHADOW_MAPPED &&
	    (s[1].flags & SHADOW_GROWSDOWN)) {
		if (s[1].end - e->address > REPLAY_STACK_LIMIT || s[1].open)
			return EXPECT_RACE;
		return allowed(fault_access(e, s[1].prot), s[1].prot) ? EXPECT_DONE : EXPECT_ACCERR;
	}
	return EXPECT_MAPERR;
}
