/* SPDX-License-Identifier: MIT */
/*
 * Layouts: lines in the manner of /proc/PID/maps, and the comparison at the end of a process.
 *
 * Both sides are turned into runs of pages with the same attributes (r, w, x, and s or p) that show
 * a file from some offset on, or no file; neighbours are joined: Linux keeps some apart for reasons
 * that the replay doesn't have (names, anon_vma), and those are no difference. A file is told by
 * its inode: what it is called may have changed since it was mapped.
 */
#include "replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWEST 0x10000ull	  /* of a Quire space, and of Linux by default */
#define HIGHEST 0x7ffffffff000ull /* of an x86-64 program; above: [vsyscall] */
#define RUN_SHARED 8u

struct run {
	uint64_t start, end;
	unsigned attributes;
	uint32_t file;	 /* as file_shown says */
	uint64_t offset; /* of the start in the file */
	uint64_t inode;	 /* and name: for people */
	const char *name;
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

/* Whether one run may go on as the other: at this address, which both hold or touch. */
static bool alike(const struct run *a, const struct run *b, uint64_t at)
{
	if (a->attributes != b->attributes)
		return false;
	if (a->file == FILE_ANY || b->file == FILE_ANY)
		return true;
	return a->file == b->file && (a->file == REPLAY_NONE ||
				      a->offset + (at - a->start) == b->offset + (at - b->start));
}

static void add(struct runs *r, const struct run *run)
{
	struct run *last = r->count ? &r->runs[r->count - 1] : NULL;

	if (last && last->end == run->start && last->file == run->file && last->file != FILE_ANY &&
	    alike(last, run, run->start)) {
		last->end = run->end;
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
	r->runs[r->count++] = *run;
}

static void recorded_runs(struct runs *r, const struct plan *plan, const struct space *space)
{
	for (uint32_t i = space->final; i != REPLAY_END; i = plan->events[i].next) {
		const struct trace_event *e = &plan->trace->events[plan->events[i].event];
		struct run run = {
			.attributes = (unsigned)(e->prot & 7) |
				      (e->flags & TRACE_MAP_SHARED ? RUN_SHARED : 0),
			.file = file_shown(plan, e),
			.inode = e->inode,
			.name = e->name,
		};

		if (!layout_range(e, &run.start, &run.end))
			continue;
		run.offset = e->offset + (run.start - e->address);
		add(r, &run);
	}
}

/* What a VMA shows, as file_shown. */
static uint32_t replayed_file(const struct plan *plan, const struct quire_vma_info *vma)
{
	if (!vma->object)
		return REPLAY_NONE;
	for (uint32_t f = 0; f < plan->file_count; f++)
		if (plan->files[f].object == vma->object)
			return f;
	return FILE_SHARED;
}

static void replayed_runs(struct runs *r, const struct plan *plan, const struct space *space)
{
	struct quire_vma_info vma = { 0 };

	while (quire_vma_find(space->mm, vma.end, &vma) == 0) {
		struct run run = {
			.start = vma.start,
			.end = vma.end,
			.attributes = (unsigned)(vma.prot & 7) | (vma.shared ? RUN_SHARED : 0),
			.file = replayed_file(plan, &vma),
			.offset = vma.offset,
			.name = "",
		};

		if (run.file < plan->file_count) {
			run.inode = plan->files[run.file].inode;
			run.name = plan->files[run.file].name;
		} else if (run.file == FILE_SHARED) {
			run.name = "[shared memory]";
		}
		add(r, &run);
	}
}

#define SHOWN 72

/* As /proc/PID/maps shows it. */
static const char *run_text(char text[SHOWN], const struct run *run, uint64_t at)
{
	if (!run || run->start > at)
		return "nothing";
	snprintf(text, SHOWN, "%c%c%c%c %" PRIx64 " %" PRIu64 "%s%.36s",
		 run->attributes & QUIRE_PROT_READ ? 'r' : '-',
		 run->attributes & QUIRE_PROT_WRITE ? 'w' : '-',
		 run->attributes & QUIRE_PROT_EXEC ? 'x' : '-',
		 run->attributes & RUN_SHARED ? 's' : 'p',
		 run->file == REPLAY_NONE ? 0 : run->offset + (at - run->start), run->inode,
		 *run->name ? " " : "", run->name);
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
		char x_text[SHOWN], y_text[SHOWN];

		if (at < (x ? x->start : UINT64_MAX) && at < (y ? y->start : UINT64_MAX))
			at = x && (!y || x->start < y->start) ? x->start : y->start;
		in_x = x && x->start <= at;
		in_y = y && y->start <= at;
		if (x)
			end = in_x ? x->end : x->start;
		if (y && (in_y ? y->end : y->start) < end)
			end = in_y ? y->end : y->start;
		if (in_x && in_y && alike(x, y, at))
			;
		else if (unknown(&space->shadow, at, end))
			results->unexplained++;
		else
			replay_disagree(results, line,
					"final layout of %d: %" PRIx64 "-%" PRIx64
					" is %s, on Linux %s",
					space->pid, at, end, run_text(y_text, y, at),
					run_text(x_text, x, at));
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
	replayed_runs(&quire_runs, plan, space);
	if (linux_runs.failed || quire_runs.failed)
		replay_disagree(results, 0, "no memory to compare the layout of %d", space->pid);
	else
		compare(space, &linux_runs, &quire_runs,
			plan->trace->events[plan->events[space->final].event].line, results);
	results->layouts++;
	free(linux_runs.runs);
	free(quire_runs.runs);
}
