/* SPDX-License-Identifier: MIT */
/*
 * Layouts: lines in the manner of /proc/PID/maps, and the comparison at the end of a process.
 *
 * Both sides are turned into runs of pages with the same attributes (r, w, x, and s or p),
 * neighbours joined: Linux keeps neighbours apart for reasons that the replay doesn't have (files,
 * names, anon_vma), and those are no difference. The replay maps everything private; which mapping
 * was shared is taken from its shadow.
 */
#include "replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOWEST 0x10000ull	  /* of a Quire space, and of Linux by default */
#define HIGHEST 0x7ffffffff000ull /* of an x86-64 program; above: [vsyscall] */
#define RUN_SHARED 8u

struct run {
	uint64_t start, end;
	unsigned attributes;
};

struct runs {
	struct run *runs;
	size_t count, room;
	bool failed;
};

bool layout_range(const struct trace_event *e, uint64_t *start, uint64_t *end)
{
	*start = e->address < LOWEST ? LOWEST : e->address;
	*end = e->length > HIGHEST - e->address || e->address > HIGHEST ? HIGHEST
									: e->address + e->length;
	return *start < *end;
}

bool layout_is_heap(const struct trace_event *e)
{
	return strcmp(e->name, "[heap]") == 0;
}

unsigned layout_flags(const struct trace_event *e)
{
	if (strcmp(e->name, "[stack]") == 0)
		return SHADOW_GROWSDOWN;
	if (e->inode == 0 && (!*e->name || layout_is_heap(e) || strncmp(e->name, "[anon", 5) == 0))
		return 0;
	return SHADOW_FILE;
}

static void add(struct runs *r, uint64_t start, uint64_t end, unsigned attributes)
{
	struct run *last = r->count ? &r->runs[r->count - 1] : NULL;

	if (last && last->end == start && last->attributes == attributes) {
		last->end = end;
		return;
	}
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 64;
		struct run *bigger = realloc(r->runs, room * sizeof(*bigger));

		if (!bigger) {
			r->failed = true;
			return;
		}
		r->runs = bigger;
		r->room = room;
	}
	r->runs[r->count++] = (struct run){ start, end, attributes };
}

static void recorded_runs(struct runs *r, const struct plan *plan, const struct space *space)
{
	for (uint32_t i = space->final; i != REPLAY_END; i = plan->events[i].next) {
		const struct trace_event *e = &plan->trace->events[plan->events[i].event];
		uint64_t start, end;

		if (layout_range(e, &start, &end))
			add(r, start, end,
			    (unsigned)(e->prot & 7) |
				    (e->flags & TRACE_MAP_SHARED ? RUN_SHARED : 0));
	}
}

static void replayed_runs(struct runs *r, const struct space *space)
{
	const struct shadow *shadow = &space->shadow;
	struct quire_vma_info vma = { 0 };

	while (quire_vma_find(space->mm, vma.end, &vma) == 0) {
		uint64_t at = vma.start;

		for (uint32_t i = shadow_find(shadow, at); at < vma.end; i++) {
			const struct segment *s = &shadow->segments[i];
			uint64_t end = s->end < vma.end ? s->end : vma.end;
			bool shared = s->state == SHADOW_MAPPED && (s->flags & SHADOW_SHARED);

			add(r, at, end, (unsigned)(vma.prot & 7) | (shared ? RUN_SHARED : 0));
			at = end;
		}
	}
}

static const char *attributes_text(char text[9], const struct run *run, uint64_t at)
{
	if (!run || run->start > at)
		return "nothing";
	text[0] = run->attributes & QUIRE_PROT_READ ? 'r' : '-';
	text[1] = run->attributes & QUIRE_PROT_WRITE ? 'w' : '-';
	text[2] = run->attributes & QUIRE_PROT_EXEC ? 'x' : '-';
	text[3] = run->attributes & RUN_SHARED ? 's' : 'p';
	text[4] = 0;
	return text;
}

/* Some of the range is memory of which the recording doesn't say what became of it. */
static bool unknown(const struct shadow *shadow, uint64_t start, uint64_t end)
{
	for (uint32_t i = shadow_find(shadow, start);
	     i < shadow->count && shadow->segments[i].start < end; i++)
		if (shadow->segments[i].state == SHADOW_UNKNOWN)
			return true;
	return false;
}

static void compare(const struct space *space, const struct runs *linux_runs,
		    const struct runs *quire_runs, uint32_t line, struct results *results)
{
	const struct run *a = linux_runs->runs, *a_end = a + linux_runs->count;
	const struct run *b = quire_runs->runs, *b_end = b + quire_runs->count;
	uint64_t at = 0;

	while (a != a_end || b != b_end) {
		const struct run *x = a != a_end ? a : NULL, *y = b != b_end ? b : NULL;
		bool in_x, in_y;
		uint64_t end = UINT64_MAX;
		char x_text[9], y_text[9];

		if (at < (x ? x->start : UINT64_MAX) && at < (y ? y->start : UINT64_MAX))
			at = x && (!y || x->start < y->start) ? x->start : y->start;
		in_x = x && x->start <= at;
		in_y = y && y->start <= at;
		if (x)
			end = in_x ? x->end : x->start;
		if (y && (in_y ? y->end : y->start) < end)
			end = in_y ? y->end : y->start;
		if (in_x && in_y && x->attributes == y->attributes)
			;
		else if (unknown(&space->shadow, at, end))
			results->unexplained++;
		else
			replay_disagree(results, line,
					"final layout of %d: %" PRIx64 "-%" PRIx64
					" is %s, on Linux %s",
					space->pid, at, end, attributes_text(y_text, y, at),
					attributes_text(x_text, x, at));
		at = end;
		if (a != a_end && a->end <= at)
			a++;
		if (b != b_end && b->end <= at)
			b++;
	}
}

void replay_layout(const struct plan *plan, const struct space *space, struct results *results)
{
	struct runs linux_runs = { 0 }, quire_runs = { 0 };

	recorded_runs(&linux_runs, plan, space);
	replayed_runs(&quire_runs, space);
	if (linux_runs.failed || quire_runs.failed)
		replay_disagree(results, 0, "no memory to compare the layout of %d", space->pid);
	else
		compare(space, &linux_runs, &quire_runs,
			plan->trace->events[plan->events[space->final].event].line, results);
	results->layouts++;
	free(linux_runs.runs);
	free(quire_runs.runs);
}
