/* SPDX-License-Identifier: MIT */
/*
 * What an event should find, after the recording; and how it changes what the recording says about
 * memory.
 *
 * The rule: a call must end on Quire as it ended on Linux, unless the reason lies outside of what
 * is replayed. Outside are files and devices (EBADF, EACCES, ...: "unreplayable"), limits of the
 * host (ENOMEM without a reason in the layout: "unreplayable"), and memory that no line of the
 * recording accounts for ("unexplained"; version 1 lacks what the kernel mapped at exec).
 */
#include "replay.h"

#include <errno.h>

#define PAGE_MASK (QUIRE_PAGE_SIZE - 1)
#define ADDRESSES (1ull << 56) /* the lower half that five levels translate */
#define HUGE_SIZE (2ull << 20)

#define LINUX_MAP_FLAGS                                                                            \
	(0xfull | QUIRE_MAP_FIXED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_GROWSDOWN | QUIRE_MAP_LOCKED | \
	 QUIRE_MAP_NORESERVE | QUIRE_MAP_POPULATE | QUIRE_MAP_NONBLOCK | QUIRE_MAP_STACK |         \
	 QUIRE_MAP_FIXED_NOREPLACE | 0x1800 /* ignored: MAP_DENYWRITE, MAP_EXECUTABLE */)
#define LINUX_MAP_HUGETLB 0x40000u

/* What lies in a range. */
struct look {
	bool unknown, hole, mapped; /* some of it is */
	bool file, growsdown;	    /* some of what is mapped is */
	bool mixed;		    /* what is mapped has different rights */
};

static struct look look(const struct space *space, uint64_t start, uint64_t end)
{
	struct look l = { 0 };
	uint8_t prot = 0;

	for (uint32_t i = shadow_find(&space->shadow, start);
	     i < space->shadow.count && space->shadow.segments[i].start < end; i++) {
		const struct segment *s = &space->shadow.segments[i];

		l.unknown |= s->state == SHADOW_UNKNOWN;
		l.hole |= s->state == SHADOW_FREE;
		if (s->state != SHADOW_MAPPED)
			continue;
		l.mixed |= l.mapped && s->prot != prot;
		l.mapped = true;
		l.file |= (s->flags & SHADOW_FILE) != 0;
		l.growsdown |= (s->flags & SHADOW_GROWSDOWN) != 0;
		prot = s->prot;
	}
	return l;
}

/* Whole pages around [address, address + length). Returns false: none, or beyond all addresses. */
static bool pages(uint64_t address, uint64_t length, uint64_t *start, uint64_t *end)
{
	if (length == 0 || address >= ADDRESSES || length > ADDRESSES - address)
		return false;
	*start = address & ~PAGE_MASK;
	*end = (address + length + PAGE_MASK) & ~PAGE_MASK;
	return true;
}

static bool heap_range(const struct space *space, uint64_t to, uint64_t *start, uint64_t *end)
{
	uint64_t low = space->brk < to ? space->brk : to, high = space->brk < to ? to : space->brk;

	if (space->brk_start == 0 || low < space->brk_start || high >= ADDRESSES)
		return false;
	*start = (low + PAGE_MASK) & ~PAGE_MASK;
	*end = (high + PAGE_MASK) & ~PAGE_MASK;
	return *start < *end;
}

unsigned call_ranges(const struct space *space, const struct trace_event *e, struct range ranges[2])
{
	uint64_t *start = &ranges[0].start, *end = &ranges[0].end;
	uint64_t at = (uint64_t)e->result;

	switch (e->op) {
	case TRACE_MMAP:
		if (e->result < 0)
			at = e->address;
		if (e->result < 0 && !(e->flags & (QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE)))
			return 0;
		return pages(at, e->length, start, end);
	case TRACE_LAYOUT:
		return layout_range(e, start, end);
	case TRACE_BRK:
		return heap_range(space, e->result == (int64_t)space->brk ? e->address : at, start,
				  end);
	case TRACE_MREMAP:
		if (e->result < 0 || at == e->address)
			return pages(e->address,
				     e->new_length > e->length ? e->new_length : e->length, start,
				     end);
		if (!pages(e->address, e->length ? e->length : 1, start, end) ||
		    !pages(at, e->new_length, &ranges[1].start, &ranges[1].end))
			return 0;
		return 2;
	default:
		return pages(e->address, e->length, start, end);
	}
}

static enum expect expect_mmap(const struct trace_event *e, const struct look *l)
{
	if (e->result >= 0)
		return e->length && (uint64_t)e->result < ADDRESSES &&
				       e->length <= ADDRESSES - (uint64_t)e->result
			       ? EXPECT_RESULT
			       : SKIP_UNREPLAYABLE;
	if (!(e->flags & QUIRE_MAP_ANONYMOUS) || (e->flags & ~LINUX_MAP_FLAGS))
		return SKIP_UNREPLAYABLE;
	switch (e->result) {
	case -EINVAL:
		return EXPECT_RESULT;
	case -EEXIST:
		return l->mapped ? EXPECT_RESULT : SKIP_UNEXPLAINED;
	case -ENOMEM:
		return e->length > ADDRESSES ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	default:
		return SKIP_UNREPLAYABLE;
	}
}

/* Calls on memory that must be there: mprotect, mlock, munlock, and what of madvise is left. */
static enum expect expect_mapped(const struct trace_event *e, const struct look *l)
{
	if (e->result == -EINVAL && (e->op != TRACE_MADVISE || (e->address & PAGE_MASK)))
		return EXPECT_RESULT;
	if (e->result != 0 && e->result != -ENOMEM)
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
	if (l->file && (e->flags == QUIRE_MADV_REMOVE || e->flags == QUIRE_MADV_POPULATE_READ ||
			e->flags == QUIRE_MADV_POPULATE_WRITE))
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

static enum expect expect_mremap(const struct space *space, const struct trace_event *e)
{
	struct look from = { 0 }, behind = { 0 };
	uint64_t start, end;

	if (!pages(e->address, e->length ? e->length : 1, &start, &end))
		return e->result == -EINVAL ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	from = look(space, start, end);
	if (from.unknown)
		return SKIP_UNEXPLAINED;
	if (from.file && (e->length == 0 || e->result < 0))
		return SKIP_UNREPLAYABLE;
	if (e->result >= 0)
		return (uint64_t)e->result < ADDRESSES ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	if (e->new_length > e->length && pages(e->address, e->new_length, &start, &end))
		behind = look(space, end - ((e->new_length - e->length) & ~PAGE_MASK), end);
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

enum expect call_expect(const struct space *space, const struct trace_event *e)
{
	struct range ranges[2];
	struct look l = { 0 };

	if (call_ranges(space, e, ranges))
		l = look(space, ranges[0].start, ranges[0].end);
	switch (e->op) {
	case TRACE_MMAP:
		return expect_mmap(e, &l);
	case TRACE_MUNMAP:
		return e->result == 0 || e->result == -EINVAL ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	case TRACE_MPROTECT:
	case TRACE_MLOCK:
	case TRACE_MUNLOCK:
		return expect_mapped(e, &l);
	case TRACE_MADVISE:
		return expect_madvise(e, &l);
	case TRACE_BRK:
		return expect_brk(space, e, &l);
	case TRACE_MREMAP:
		return expect_mremap(space, e);
	case TRACE_LAYOUT:
		return l.mapped || l.unknown || l.hole ? EXPECT_RESULT : SKIP_UNREPLAYABLE;
	default: /* msync: no files, so nothing to write back */
		return SKIP_UNREPLAYABLE;
	}
}

bool call_collides(const struct space *space, const struct trace_event *e)
{
	struct range ranges[2];
	unsigned count = call_ranges(space, e, ranges);

	if (e->result < 0 || (e->flags & QUIRE_MAP_FIXED && e->op == TRACE_MMAP))
		return false;
	if (e->op == TRACE_MMAP)
		return count == 1 && look(space, ranges[0].start, ranges[0].end).mapped;
	return e->op == TRACE_MREMAP && !(e->flags & QUIRE_MREMAP_FIXED) && count == 2 &&
	       look(space, ranges[1].start, ranges[1].end).mapped;
}

/* Set what a range is. */
static bool set(struct space *space, uint64_t start, uint64_t end, enum shadow_state state,
		unsigned prot, unsigned flags)
{
	uint32_t first, behind;

	if (start >= end)
		return true;
	if (!shadow_cut(&space->shadow, start, end, &first, &behind))
		return false;
	for (uint32_t i = first; i < behind; i++) {
		space->shadow.segments[i].state = (uint8_t)state;
		space->shadow.segments[i].prot = (uint8_t)prot;
		space->shadow.segments[i].flags = (uint8_t)flags;
	}
	return true;
}

static bool apply_map(struct space *space, const struct trace_event *e, struct range range)
{
	unsigned flags = 0;

	if (e->flags & TRACE_MAP_SHARED)
		flags |= SHADOW_SHARED | SHADOW_FILE;
	if (e->flags & QUIRE_MAP_GROWSDOWN)
		flags |= SHADOW_GROWSDOWN;
	if (e->op == TRACE_MMAP &&
	    (!(e->flags & QUIRE_MAP_ANONYMOUS) || (e->flags & LINUX_MAP_HUGETLB)))
		flags |= SHADOW_FILE;
	if (e->op == TRACE_LAYOUT)
		flags |= layout_flags(e);
	return set(space, range.start, range.end, SHADOW_MAPPED, e->prot & 7, flags);
}

/* Rights: up to the first hole, as the call itself. Where something is unknown it stopped nobody
 * knows where. */
static bool apply_protect(struct space *space, const struct trace_event *e, struct range range,
			  bool unknown)
{
	uint32_t first, behind;

	if (!shadow_cut(&space->shadow, range.start, range.end, &first, &behind))
		return false;
	for (uint32_t i = first; i < behind; i++) {
		struct segment *s = &space->shadow.segments[i];

		if (unknown)
			s->state = SHADOW_UNKNOWN;
		if (s->state != SHADOW_MAPPED && !unknown)
			break;
		s->prot = e->prot & 7;
	}
	return true;
}

static bool apply_advice(struct space *space, const struct trace_event *e, struct range range)
{
	uint32_t first, behind;
	unsigned add = 0, remove = 0;

	if (e->flags == QUIRE_MADV_DONTFORK)
		add = SHADOW_DONTFORK;
	else if (e->flags == QUIRE_MADV_DOFORK)
		remove = SHADOW_DONTFORK;
	else if (e->flags == QUIRE_MADV_FREE || e->flags == QUIRE_MADV_PAGEOUT ||
		 e->flags > QUIRE_MADV_DONTNEED_LOCKED)
		add = SHADOW_UNSURE;
	else
		return true;
	if (!shadow_cut(&space->shadow, range.start, range.end, &first, &behind))
		return false;
	for (uint32_t i = first; i < behind; i++) {
		struct segment *s = &space->shadow.segments[i];

		s->flags = (uint8_t)((s->flags & ~remove) | add);
	}
	return true;
}

static bool apply_brk(struct space *space, const struct trace_event *e, struct range range)
{
	uint64_t old = space->brk;

	space->brk = (uint64_t)e->result;
	if (space->brk == old)
		return true;
	if (space->brk < old)
		return set(space, range.start, range.end, SHADOW_FREE, 0, 0);
	return set(space, range.start, range.end, SHADOW_MAPPED, QUIRE_PROT_READ | QUIRE_PROT_WRITE,
		   0);
}

static bool apply_mremap(struct space *space, const struct trace_event *e, enum expect expect)
{
	uint64_t at = (uint64_t)e->result, start, end, to_start, to_end;
	struct segment from;

	if (!pages(e->address, e->length ? e->length : 1, &start, &end) ||
	    !pages(at, e->new_length, &to_start, &to_end))
		return true;
	from = space->shadow.segments[shadow_find(&space->shadow, start)];
	if (expect != EXPECT_RESULT)
		from.state = SHADOW_UNKNOWN;
	if (e->length && !(e->flags & QUIRE_MREMAP_DONTUNMAP) &&
	    !set(space, start, end, SHADOW_FREE, 0, 0))
		return false;
	return set(space, to_start, to_end, from.state, from.prot, from.flags);
}

static bool apply(struct space *space, const struct trace_event *e, enum expect expect,
		  struct range range)
{
	bool failed = e->op != TRACE_BRK && e->result < 0;

	switch (e->op) {
	case TRACE_MMAP:
	case TRACE_LAYOUT:
		return failed || apply_map(space, e, range);
	case TRACE_MUNMAP:
		return failed || set(space, range.start, range.end, SHADOW_FREE, 0, 0);
	case TRACE_MPROTECT:
		return (failed && e->result != -ENOMEM) ||
		       apply_protect(space, e, range, expect == EXPECT_UNKNOWN);
	case TRACE_MADVISE:
		return failed || apply_advice(space, e, range);
	case TRACE_BRK:
		return apply_brk(space, e, range);
	case TRACE_MREMAP:
		return failed || apply_mremap(space, e, expect);
	default:
		return true;
	}
}

bool call_apply(struct space *space, const struct trace_event *e, enum expect expect,
		uint32_t position, uint32_t task)
{
	struct range ranges[2];
	unsigned count = call_ranges(space, e, ranges);

	if (e->op == TRACE_BRK && space->brk_start == 0)
		space->brk_start = space->brk = (uint64_t)e->result;
	if (count && !apply(space, e, expect, ranges[0]))
		return false;
	for (unsigned n = 0; n < count; n++) {
		uint32_t first, behind;

		if (!shadow_cut(&space->shadow, ranges[n].start, ranges[n].end, &first, &behind))
			return false;
		for (uint32_t i = first; i < behind; i++) {
			space->shadow.segments[i].call = position;
			space->shadow.segments[i].call_task = task;
		}
		shadow_join(&space->shadow, first, behind);
	}
	return true;
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

bool may_be_filled(const struct space *space, uint64_t address)
{
	uint64_t start = address & ~(HUGE_SIZE - 1);
	struct look l = look(space, start, start + HUGE_SIZE);

	return (!l.unknown && !l.hole && !l.file) || look(space, address, address + 1).growsdown;
}

enum expect fault_expect(const struct space *space, const struct trace_event *e)
{
	uint32_t i = shadow_find(&space->shadow, e->address);
	const struct segment *s = &space->shadow.segments[i];

	if (s->state == SHADOW_UNKNOWN)
		return SKIP_UNEXPLAINED;
	if (s->open)
		return EXPECT_RACE;
	if (s->state == SHADOW_MAPPED)
		return allowed(fault_access(e, s->prot), s->prot) ? EXPECT_DONE : EXPECT_ACCERR;
	if (i + 1 < space->shadow.count && s[1].state == SHADOW_MAPPED &&
	    (s[1].flags & SHADOW_GROWSDOWN)) {
		if (s[1].end - e->address > REPLAY_STACK_LIMIT || s[1].open)
			return EXPECT_RACE;
		return allowed(fault_access(e, s[1].prot), s[1].prot) ? EXPECT_DONE : EXPECT_ACCERR;
	}
	return EXPECT_MAPERR;
}

bool fault_apply(struct space *space, const struct trace_event *e, enum expect expect,
		 uint32_t position, uint32_t task)
{
	uint32_t i = shadow_find(&space->shadow, e->address), behind;
	struct segment *s = &space->shadow.segments[i];

	if (expect == EXPECT_DONE && s->state == SHADOW_FREE) { /* the stack grows */
		uint64_t end = s->end;

		if (!shadow_cut(&space->shadow, e->address & ~PAGE_MASK, end, &i, &behind))
			return false;
		s = &space->shadow.segments[i];
		s->state = SHADOW_MAPPED;
		s->prot = s[1].prot;
		s->flags = s[1].flags;
		s->call = position;
		s->call_task = task;
	}
	s->fault = position;
	return true;
}
