/* SPDX-License-Identifier: MIT */
/* What /proc says about memory: proc(5), and Quire's own counters. */
#include "lib/errno.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/space.h"

#include <quire/machine.h>
#include <quire/stats.h>

#define PAGE ((uint64_t)QUIRE_PAGE_SIZE)
#define PAGE_KIB (PAGE / 1024)

/* The layout may grow between asking for its length and having it. */
void space_print_maps(struct space *space, struct text *out)
{
	size_t room = PAGE, length;
	char *maps;

	for (;; room = length + length / 4) {
		maps = heap_alloc(room);
		if (maps == NULL) {
			out->error = -ENOMEM;
			return;
		}
		length = quire_mm_maps(space->mm, maps, room);
		if (length < room)
			break;
		heap_free(maps);
	}
	text_add(out, "%s", maps);
	heap_free(maps);
}

/* Pages: size, resident, shared, text, 0, data, 0. */
void space_print_statm(struct space *space, struct text *out)
{
	struct quire_stats stats;

	quire_stats(space->mm, &stats);
	text_add(out, "%lu %lu %lu %lu 0 %lu 0\n", stats.mapped / PAGE,
		 stats.anonymous + stats.object_pages, stats.object_pages,
		 (space->code_end - space->code_start + PAGE - 1) / PAGE, stats.data / PAGE);
}

static void kib(struct text *out, const char *name, uint64_t pages)
{
	/* The number ends in column 24, as in Linux. */
	text_add(out, "%s:%*lu kB\n", name, (int)(23 - strlen(name)), pages * PAGE_KIB);
}

void memory_print_meminfo(struct text *out)
{
	struct quire_memory_stats memory;
	struct quire_stats stats;
	uint64_t heap = heap_used() / PAGE, known, cached;

	quire_memory_stats(&memory);
	quire_stats(NULL, &stats);
	/* What nobody else has are the pages of files, but for small records of Quire's own. */
	known = memory.free + stats.anonymous + stats.tables + heap;
	cached = memory.total > known ? memory.total - known : 0;
	kib(out, "MemTotal", memory.total);
	kib(out, "MemFree", memory.free);
	kib(out, "MemAvailable", memory.free);
	kib(out, "Buffers", 0);
	kib(out, "Cached", cached);
	kib(out, "SwapCached", 0);
	kib(out, "Active", stats.anonymous + cached);
	kib(out, "Inactive", 0);
	kib(out, "Mlocked", stats.locked / PAGE);
	kib(out, "SwapTotal", 0);
	kib(out, "SwapFree", 0);
	kib(out, "Dirty", 0);
	kib(out, "Writeback", 0);
	kib(out, "AnonPages", stats.anonymous);
	kib(out, "Mapped", stats.object_pages);
	kib(out, "Shmem", cached);
	kib(out, "Slab", heap);
	kib(out, "SReclaimable", 0);
	kib(out, "SUnreclaim", heap);
	kib(out, "PageTables", stats.tables);
	kib(out, "CommitLimit", memory.total);
	kib(out, "Committed_AS", stats.data / PAGE);
}

/* The counters of all CPUs: `cpu_count` of struct quire_stats. NULL: no memory. */
static struct quire_stats *all_cpus(void)
{
	struct quire_stats *each = heap_alloc(cpu_count * sizeof(*each));

	for (unsigned cpu = 0; each != NULL && cpu < cpu_count; cpu++)
		quire_stats_cpu(cpu, &each[cpu]);
	return each;
}

/* "what name total cpu0 cpu1 ...", if it ever happened. `first`: the counter, in each[0]. */
static void line(struct text *out, const char *what, const char *name,
		 const struct quire_stats *each, const uint64_t *first)
{
	size_t at = (size_t)(first - (const uint64_t *)(const void *)each);
	uint64_t total = 0;

	for (unsigned cpu = 0; cpu < cpu_count; cpu++)
		total += ((const uint64_t *)(const void *)&each[cpu])[at];
	if (total == 0)
		return;
	text_add(out, "%s %s %lu", what, name, total);
	for (unsigned cpu = 0; cpu < cpu_count; cpu++)
		text_add(out, " %lu", ((const uint64_t *)(const void *)&each[cpu])[at]);
	text_add(out, "\n");
}

/*
 * faults TOTAL speculative TOTAL
 * PATH KIND TOTAL CPU0 CPU1 ...         faults that are over
 * counter NAME TOTAL CPU0 CPU1 ...      why some began again or went the classic way, and others
 */
void memory_print_faults(struct text *out)
{
	struct quire_stats *each = all_cpus();
	uint64_t totals[QUIRE_PATH_COUNT] = { 0 }, total = 0;

	if (each == NULL) {
		out->error = -ENOMEM;
		return;
	}
	for (unsigned cpu = 0; cpu < cpu_count; cpu++)
		for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
			for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
				totals[path] += each[cpu].faults[path][kind];
	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		total += totals[path];
	text_add(out, "faults %lu speculative %lu\n", total, totals[QUIRE_PATH_SPECULATIVE]);
	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
			line(out, quire_path_name(path), quire_kind_name(kind), each,
			     &each[0].faults[path][kind]);
	for (unsigned counter = 0; counter < QUIRE_COUNTER_COUNT; counter++)
		line(out, "counter", quire_counter_name(counter), each, &each[0].counters[counter]);
	heap_free(each);
}

#define EVENTS 256

static void print_event(struct text *out, const struct quire_event *event)
{
	const char *name = quire_counter_name(event->counter);

	text_add(out, "%lu.%09lu cpu %u #%u %s address 0x%lx space %p\n", event->time / SECOND,
		 event->time % SECOND, event->cpu, event->sequence,
		 name != NULL ? name : "grace_period_stalls", event->address, (void *)event->mm);
}

void memory_print_events(struct text *out)
{
	struct quire_event *events = heap_alloc(EVENTS * sizeof(*events));

	if (events == NULL) {
		out->error = -ENOMEM;
		return;
	}
	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		size_t count = quire_events(cpu, events, EVENTS);

		for (size_t i = 0; i < count; i++)
			print_event(out, &events[i]);
	}
	heap_free(events);
}
