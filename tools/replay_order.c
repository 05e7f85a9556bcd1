/* SPDX-License-Identifier: MIT */
/* What faults and calls wait for, by the rules at the top of replay_plan.c. */
#include "replay_plan.h"

#include <stdlib.h>

/* ---- Faults ---- */

static struct page *page_slot(struct page *pages, uint64_t room, uint32_t space, uint64_t number)
{
	uint64_t hash = (number ^ (uint64_t)space << 40) * 0x9e3779b97f4a7c15u;

	for (uint64_t i = hash >> 20;; i++) {
		struct page *slot = &pages[i & (room - 1)];

		if (slot->position == 0 || (slot->number == number && slot->space == space))
			return slot;
	}
}

static struct page *page_of(struct planner *p, uint32_t space, uint64_t number)
{
	if (p->page_count * 2 >= p->page_room) {
		uint64_t room = p->page_room ? p->page_room * 2 : 4096;
		struct page *bigger = calloc(room, sizeof(*bigger));

		if (!bigger) {
			plan_no_memory(p);
			return NULL;
		}
		for (uint64_t i = 0; i < p->page_room; i++) {
			const struct page *old = &p->pages[i];

			if (old->position)
				*page_slot(bigger, room, old->space, old->number) = *old;
		}
		free(p->pages);
		p->pages = bigger;
		p->page_room = room;
	}
	return page_slot(p->pages, p->page_room, space, number);
}

static uint64_t plan_time_of_next(const struct planner *p, uint32_t event)
{
	uint32_t next = p->next_own[event];

	return next == REPLAY_NONE ? UINT64_MAX : p->trace->events[next].time;
}

/*
 * What the error code says about the entry, where nothing else can have made it so.
 * => present, but no earlier fault on this page: a huge page filled it, if there is room for one
 * (the replay has none); or it is a
 *    stack's page that exec wrote the arguments to
 * => missing, though the kernel had faulted on it: it may do that where it must not sleep, give up,
 * and fault again
 */
static enum entry recorded_entry(const struct plan *plan, const struct trace_event *e,
				 const struct space *space, const struct page *before)
{
	bool first = before->position == 0;

	if (!e->known)
		return ENTRY_ANY;
	if (e->error & 1)
		return first && may_be_filled(plan, space, e->address) ? ENTRY_ANY : ENTRY_PRESENT;
	return !first && before->kernel ? ENTRY_ANY : ENTRY_MISSING;
}

/*
 * Whether the entry is compared, and with what. A fault on this page by another task that may not
 * have been over yet is a race: neither entry is compared, and the two stay unordered. Returns
 * false: no memory.
 */
static bool plan_entry(struct planner *p, uint32_t event, uint32_t position, struct wait *wait)
{
	const struct trace_event *e = &p->trace->events[event];
	struct planned *planned = &p->plan->events[position];
	struct page *page = page_of(p, planned->space, e->address / QUIRE_PAGE_SIZE);
	uint64_t until = plan_time_of_next(p, event);

	if (!page)
		return false;
	planned->entry = (uint8_t)recorded_entry(p->plan, e, &p->plan->spaces[planned->space],
						 page);
	if (page->position == 0) {
		p->page_count++;
	} else if (page->task != planned->task && e->time < page->until) {
		planned->entry = ENTRY_ANY;
		p->plan->events[page->position].entry = ENTRY_ANY;
		if (until < page->until)
			until = page->until;
	} else if (page->task != planned->task) {
		*wait = wait_both(*wait, (struct wait){ page->task, page->position });
	}
	*page = (struct page){ .number = e->address / QUIRE_PAGE_SIZE,
			       .until = until,
			       .space = planned->space,
			       .position = position,
			       .task = planned->task,
			       .kernel = e->op == TRACE_KERNEL_FAULT };
	return true;
}

bool plan_fault(struct planner *p, uint32_t event, uint32_t task)
{
	const struct trace_event *e = &p->trace->events[event];
	struct space *space = &p->plan->spaces[p->plan->tasks[task].space];
	const struct segment *s = &space->shadow.segments[shadow_find(&space->shadow, e->address)];
	bool early = p->early[event / 8] >> event % 8 & 1;
	enum expect expect = early ? SKIP_UNEXPLAINED : fault_expect(p->plan, space, e);
	bool compare = expect == EXPECT_DONE && s->state == SHADOW_MAPPED &&
		       !(s->flags & (SHADOW_FILE | SHADOW_UNSURE));
	struct wait wait = { 0 };
	uint32_t position;

	if (s->call && s->call_task != task)
		wait = (struct wait){ s->call_task, s->call };
	position = plan_place(p, event, task, expect, wait);
	if (position == 0)
		return false;

	struct planned *planned = &p->plan->events[position];

	/* Where a stack grows, what it grows from tells the rights. */
	planned->access = (uint8_t)fault_access(
		e, s->state == SHADOW_FREE && s->end != UINT64_MAX ? s[1].prot : s->prot);
	if (s->file != REPLAY_NONE && s->state == SHADOW_MAPPED) {
		planned->file = s->file;
		planned->page = segment_page(s, e->address);
		p->plan->files[s->file].faults++;
	}
	if (compare) {
		wait = (struct wait){ planned->wait_task, planned->wait_for };
		if (!plan_entry(p, event, position, &wait))
			return false;
		if (wait.position) {
			planned->wait_task = wait.task;
			planned->wait_for = wait.position;
		}
	}
	if (expect != SKIP_UNEXPLAINED && !fault_apply(space, e, expect, position, task))
		return plan_no_memory(p);
	p->plan->pages++;
	return true;
}

/* ---- Calls ---- */

static void heap_down(struct planner *p, uint32_t i)
{
	struct open_call moved = p->open[i];

	for (uint32_t child; (child = 2 * i + 1) < p->open_count; i = child) {
		if (child + 1 < p->open_count && p->open[child + 1].end < p->open[child].end)
			child++;
		if (p->open[child].end >= moved.end)
			break;
		p->open[i] = p->open[child];
	}
	p->open[i] = moved;
}

static void heap_up(struct planner *p, uint32_t i)
{
	struct open_call moved = p->open[i];

	for (; i && p->open[(i - 1) / 2].end > moved.end; i = (i - 1) / 2)
		p->open[i] = p->open[(i - 1) / 2];
	p->open[i] = moved;
}

static struct open_call heap_take(struct planner *p, uint32_t i)
{
	struct open_call taken = p->open[i];

	if (i != --p->open_count) {
		p->open[i] = p->open[p->open_count];
		heap_up(p, i);
		heap_down(p, i);
	}
	return taken;
}

/* Count a call in or out of the segments of its ranges. */
static bool mark_open(struct planner *p, struct open_call *call, bool begins)
{
	struct shadow *shadow = &p->plan->spaces[call->space].shadow;

	for (unsigned n = 0; n < call->count; n++) {
		uint32_t first, behind;

		if (!shadow_cut(shadow, call->ranges[n].start, call->ranges[n].end, &first,
				&behind))
			return plan_no_memory(p);
		for (uint32_t i = first; i < behind; i++) {
			struct segment *s = &shadow->segments[i];

			s->open += begins ? 1u : UINT32_MAX;
			if (begins && s->fault > call->fault)
				call->fault = s->fault;
		}
		shadow_join(shadow, first, behind);
	}
	return true;
}

/* The calls before this one, on the same addresses. */
static struct wait earlier_calls(const struct space *space, const struct open_call *call)
{
	struct wait wait = { 0 };

	for (unsigned n = 0; n < call->count; n++) {
		const struct shadow *shadow = &space->shadow;

		for (uint32_t i = shadow_find(shadow, call->ranges[n].start);
		     i < shadow->count && shadow->segments[i].start < call->ranges[n].end; i++) {
			const struct segment *s = &shadow->segments[i];

			if (s->call_task != call->task)
				wait = wait_both(wait, (struct wait){ s->call_task, s->call });
		}
	}
	return wait;
}

/* Pages that the kernel fills at once. */
static uint64_t filled_pages(const struct trace_event *e)
{
	bool fills = e->op == TRACE_MLOCK ||
		     (e->op == TRACE_MMAP &&
		      (e->flags & (QUIRE_MAP_POPULATE | QUIRE_MAP_LOCKED))) ||
		     (e->op == TRACE_MADVISE && (e->flags == QUIRE_MADV_POPULATE_READ ||
						 e->flags == QUIRE_MADV_POPULATE_WRITE));

	return fills && e->result >= 0 ? e->length / QUIRE_PAGE_SIZE + 1 : 0;
}

/* What a brk maps or unmaps depends on where the one before left the break. */
static struct wait earlier_brk(const struct space *space, const struct open_call *call)
{
	if (space->brk_task == call->task)
		return (struct wait){ 0 };
	return (struct wait){ space->brk_task, space->brk_call };
}

/* A call takes effect: it gets its position. */
static bool end_call(struct planner *p, struct open_call *call)
{
	const struct trace_event *e = &p->trace->events[call->event];
	struct space *space = &p->plan->spaces[call->space];
	struct wait wait = earlier_calls(space, call);
	enum expect expect = call_expect(p->plan, space, e);
	uint32_t position;

	wait = wait_both(wait, (struct wait){ REPLAY_ALL, call->fault });
	if (e->op == TRACE_BRK)
		wait = wait_both(wait, earlier_brk(space, call));
	position = plan_place(p, call->event, call->task, expect, wait);
	if (position == 0 || !mark_open(p, call, false))
		return false;
	if (e->op == TRACE_BRK) {
		space->brk_task = call->task;
		space->brk_call = position;
	}
	p->plan->pages += filled_pages(e);
	return call_apply(p->plan, space, e, expect, position, call->task) || plan_no_memory(p);
}

/* Calls in progress that take memory away where this one put something have taken effect before it.
 */
static bool end_removals(struct planner *p, uint32_t space, const struct trace_event *e)
{
	struct range target[2];
	unsigned count = call_ranges(&p->plan->spaces[space], e, target);
	struct range to = target[count ? count - 1 : 0];

	for (uint32_t i = 0; count && i < p->open_count;) {
		struct open_call *o = &p->open[i];
		uint8_t op = p->trace->events[o->event].op;

		if (o->space == space && o->count && o->ranges[0].start < to.end &&
		    o->ranges[0].end > to.start &&
		    (op == TRACE_MUNMAP || op == TRACE_MREMAP || op == TRACE_BRK)) {
			struct open_call taken = heap_take(p, i);

			if (!end_call(p, &taken))
				return false;
			i = 0;
		} else {
			i++;
		}
	}
	return true;
}

bool plan_end_calls(struct planner *p, uint64_t time)
{
	while (p->open_count && p->open[0].end <= time) {
		struct open_call call = heap_take(p, 0);
		const struct trace_event *e = &p->trace->events[call.event];

		if (call_collides(p->plan, &p->plan->spaces[call.space], e) &&
		    !end_removals(p, call.space, e))
			return false;
		if (!end_call(p, &call))
			return false;
	}
	return true;
}

bool plan_call(struct planner *p, uint32_t event, uint32_t task)
{
	const struct trace_event *e = &p->trace->events[event];
	uint32_t space = p->plan->tasks[task].space;
	uint64_t next = plan_time_of_next(p, event);
	struct open_call call = { .event = event, .task = task, .space = space };

	call.end = e->duration > UINT64_MAX - e->time ? UINT64_MAX : e->time + e->duration;
	if (call.end > next)
		call.end = next;
	call.count = call_ranges(&p->plan->spaces[space], e, call.ranges);
	if (!mark_open(p, &call, true))
		return false;
	if (p->open_count == p->open_room) {
		uint32_t room = p->open_room ? p->open_room * 2 : 64;
		struct open_call *bigger = realloc(p->open, room * sizeof(*bigger));

		if (!bigger)
			return plan_no_memory(p);
		p->open = bigger;
		p->open_room = room;
	}
	p->open[p->open_count] = call;
	heap_up(p, p->open_count++);
	return plan_end_calls(p, e->time);
}
