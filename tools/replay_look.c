/* SPDX-License-Identifier: MIT */
/* What lies in a range of the shadow, and which ranges a call is about. */
#include "replay.h"

#define PAGE_MASK (QUIRE_PAGE_SIZE - 1)
#define HUGE_SIZE (2ull << 20)

/* The segment's last page that is in the range lies beyond the end. */
static bool is_beyond(const struct plan *plan, const struct segment *s, uint64_t end)
{
	uint64_t last = (s->end < end ? s->end : end) - 1;

	return segment_page(s, last) >= file_pages(plan->files[s->file].size);
}

struct look look(const struct plan *plan, const struct space *space, uint64_t start, uint64_t end)
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
		l.shared |= (s->flags & SHADOW_SHARED) != 0;
		l.special |= (s->flags & SHADOW_FILE) && s->file == REPLAY_NONE;
		if (s->file != REPLAY_NONE) {
			l.file |= !plan->files[s->file].memory;
			l.beyond |= is_beyond(plan, s, end);
		}
		l.growsdown |= (s->flags & SHADOW_GROWSDOWN) != 0;
		prot = s->prot;
	}
	return l;
}

bool whole_pages(uint64_t address, uint64_t length, uint64_t *start, uint64_t *end)
{
	if (length == 0 || address >= REPLAY_ADDRESSES || length > REPLAY_ADDRESSES - address)
		return false;
	*start = address & ~PAGE_MASK;
	*end = (address + length + PAGE_MASK) & ~PAGE_MASK;
	return true;
}

static bool heap_range(const struct space *space, uint64_t to, uint64_t *start, uint64_t *end)
{
	uint64_t low = space->brk < to ? space->brk : to, high = space->brk < to ? to : space->brk;

	if (space->brk_start == 0 || low < space->brk_start || high >= REPLAY_ADDRESSES)
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
		return whole_pages(at, e->length, start, end);
	case TRACE_LAYOUT:
		return layout_range(e, start, end);
	case TRACE_BRK:
		return heap_range(space, e->result == (int64_t)space->brk ? e->address : at, start,
				  end);
	case TRACE_MREMAP:
		if (e->result < 0 || at == e->address)
			return whole_pages(e->address,
					   e->new_length > e->length ? e->new_length : e->length,
					   start, end);
		if (!whole_pages(e->address, e->length ? e->length : 1, start, end) ||
		    !whole_pages(at, e->new_length, &ranges[1].start, &ranges[1].end))
			return 0;
		return 2;
	default:
		return whole_pages(e->address, e->length, start, end);
	}
}

bool call_collides(const struct plan *plan, const struct space *space, const struct trace_event *e)
{
	struct range ranges[2];
	unsigned count = call_ranges(space, e, ranges);

	if (e->result < 0 || (e->flags & QUIRE_MAP_FIXED && e->op == TRACE_MMAP))
		return false;
	if (e->op == TRACE_MMAP)
		return count == 1 && look(plan, space, ranges[0].start, ranges[0].end).mapped;
	return e->op == TRACE_MREMAP && !(e->flags & QUIRE_MREMAP_FIXED) && count == 2 &&
	       look(plan, space, ranges[1].start, ranges[1].end).mapped;
}

bool may_be_filled(const struct plan *plan, const struct space *space, uint64_t address)
{
	uint64_t start = address & ~(HUGE_SIZE - 1);
	struct look l = look(plan, space, start, start + HUGE_SIZE);

	return (!l.unknown && !l.hole && !l.file && !l.shared && !l.special) ||
	       look(plan, space, address, address + 1).growsdown;
}
