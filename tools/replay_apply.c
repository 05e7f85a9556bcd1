/* SPDX-License-Identifier: MIT */
/* How calls and faults change what the recording says about memory. */
#include "replay.h"

#include <errno.h>

#define PAGE_MASK (QUIRE_PAGE_SIZE - 1)

static const struct segment free_memory = { .state = SHADOW_FREE, .file = REPLAY_NONE };

/* Set what a range is: state, rights, flags, file and where that begins. */
static bool set(struct space *space, uint64_t start, uint64_t end, const struct segment *what)
{
	uint32_t first, behind;

	if (start >= end)
		return true;
	if (!shadow_cut(&space->shadow, start, end, &first, &behind))
		return false;
	for (uint32_t i = first; i < behind; i++) {
		struct segment *s = &space->shadow.segments[i];

		s->state = what->state;
		s->prot = what->prot;
		s->flags = what->flags;
		s->file = what->file;
		s->origin = what->origin;
	}
	return true;
}

static bool apply_map(const struct plan *plan, struct space *space, const struct trace_event *e,
		      struct range range)
{
	uint32_t file = plan->file_of[e - plan->trace->events];
	struct segment mapped = {
		.state = SHADOW_MAPPED,
		.prot = e->prot & 7,
		.file = file,
		.origin = e->op == TRACE_MMAP ? range.start : e->address,
	};
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
	mapped.flags = (uint8_t)flags;
	if (file != REPLAY_NONE && !plan->files[file].memory)
		mapped.origin -= e->offset;
	return set(space, range.start, range.end, &mapped);
}

/* Rights: up to the first hole, as the call itself. Where something is unknown it stopped nobody
 * knows where. */
static bool apply_protect(struct plan *plan, struct space *space, const struct trace_event *e,
			  struct range range, bool unknown)
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
		if (s->file != REPLAY_NONE && (s->flags & SHADOW_SHARED) &&
		    (e->prot & QUIRE_PROT_WRITE))
			plan->files[s->file].written = true;
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
	static const struct segment heap = { .state = SHADOW_MAPPED,
					     .prot = QUIRE_PROT_READ | QUIRE_PROT_WRITE,
					     .file = REPLAY_NONE };
	uint64_t old = space->brk;

	space->brk = (uint64_t)e->result;
	if (space->brk == old)
		return true;
	if (space->brk < old)
		return set(space, range.start, range.end, &free_memory);
	return set(space, range.start, range.end, &heap);
}

static bool apply_mremap(struct space *space, const struct trace_event *e, enum expect expect)
{
	uint64_t at = (uint64_t)e->result, start, end, to_start, to_end;
	struct segment from;

	if (!whole_pages(e->address, e->length ? e->length : 1, &start, &end) ||
	    !whole_pages(at, e->new_length, &to_start, &to_end))
		return true;
	from = space->shadow.segments[shadow_find(&space->shadow, start)];
	if (expect != EXPECT_RESULT)
		from.state = SHADOW_UNKNOWN;
	if (e->length && !(e->flags & QUIRE_MREMAP_DONTUNMAP) &&
	    !set(space, start, end, &free_memory))
		return false;
	from.origin += to_start - start;
	return set(space, to_start, to_end, &from);
}

static bool apply(struct plan *plan, struct space *space, const struct trace_event *e,
		  enum expect expect, struct range range)
{
	bool failed = e->op != TRACE_BRK && e->result < 0;

	switch (e->op) {
	case TRACE_MMAP:
	case TRACE_LAYOUT:
		return failed || apply_map(plan, space, e, range);
	case TRACE_MUNMAP:
		return failed || set(space, range.start, range.end, &free_memory);
	case TRACE_MPROTECT:
		return (failed && e->result != -ENOMEM) ||
		       apply_protect(plan, space, e, range, expect == EXPECT_UNKNOWN);
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

bool call_apply(struct plan *plan, struct space *space, const struct trace_event *e,
		enum expect expect, uint32_t position, uint32_t task)
{
	struct range ranges[2];
	unsigned count = call_ranges(space, e, ranges);

	if (e->op == TRACE_BRK && space->brk_start == 0)
		space->brk_start = space->brk = (uint64_t)e->result;
	if (count && !apply(plan, space, e, expect, ranges[0]))
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
