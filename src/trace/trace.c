/* SPDX-License-Identifier: MIT */
/*
 * Counters summed, their names, and the rings of events.
 *
 *     ring of a CPU    [ 256 | 257 | 258 | (empty) | 4 | 5 | ... | 255 ]      next = 259
 *                                         being written
 *
 * One writer, the CPU itself; any number of readers, which it never waits for. A slot has the
 * number of its event, counted from 1; the writer empties it (0), writes what the event says, and
 * stores the number. A reader reads the number, the rest, and the number again: if that was the
 * expected one both times, it has one whole event; if not, the event is being replaced by a later
 * one, and is lost to this reader.
 *
 * That the second reading can't be too old rests on the payload: each of its stores is a release
 * and each of its loads an acquire, so who has read a word of a later event also finds the slot
 * emptied, or numbered anew.
 */
#include "trace/trace.h"

#define RING 256 /* events for each CPU; a power of two */

struct entry {
	_Atomic uint64_t number; /* 0: none, or being written */
	_Atomic uint64_t time, address;
	struct quire_mm *_Atomic mm;
	_Atomic uint32_t counter;
};

struct ring {
	_Atomic uint64_t next; /* number of the next event, less 1: how many there were */
	struct entry entries[RING];
} __attribute__((aligned(128)));

static struct ring *rings;
static unsigned ring_count;

size_t trace_memory(unsigned cpus)
{
	return cpus * sizeof(struct ring);
}

void trace_init(void *memory, unsigned cpus)
{
	rings = memory;
	ring_count = cpus;
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		at_store(&rings[cpu].next, 0u);
		for (unsigned i = 0; i < RING; i++)
			at_store(&rings[cpu].entries[i].number, 0u);
	}
}

void trace_event(struct quire_mm *mm, uint64_t address, unsigned counter)
{
	struct ring *ring = &rings[port_cpu()];
	uint64_t number = at_load(&ring->next) + 1;
	struct entry *entry = &ring->entries[number % RING];

	at_store(&entry->number, 0u);
	/* Release: each pairs with its acquire load in copy, which then finds a new `number`. */
	at_store_release(&entry->time, port_clock());
	at_store_release(&entry->address, address);
	at_store_release(&entry->mm, mm);
	at_store_release(&entry->counter, (uint32_t)counter);
	/* Release: pairs with the first acquire load in copy, which then finds the payload. */
	at_store_release(&entry->number, number);
	/* Release: pairs with the acquire load in quire_events, which then finds the entry. */
	at_store_release(&ring->next, number);
}

/* False: the entry no longer has this event. */
static bool copy(struct entry *entry, uint64_t number, struct quire_event *event)
{
	/*
	 * Acquire: the first pairs with the last store to the entry in trace_event, the others with
	 * those before it.
	 */
	if (at_load_acquire(&entry->number) != number)
		return false;
	event->time = at_load_acquire(&entry->time);
	event->address = at_load_acquire(&entry->address);
	event->mm = at_load_acquire(&entry->mm);
	event->counter = (uint16_t)at_load_acquire(&entry->counter);
	event->sequence = (uint32_t)number;
	return at_load(&entry->number) == number;
}

size_t quire_events(unsigned cpu, struct quire_event *events, size_t count)
{
	uint64_t last, wanted = count < RING ? count : RING;
	size_t copied = 0;

	if (cpu >= ring_count)
		return 0;
	/* Acquire: pairs with the last store in trace_event. */
	last = at_load_acquire(&rings[cpu].next);
	if (wanted > last)
		wanted = last;
	for (uint64_t number = last - wanted + 1; number <= last; number++) {
		events[copied].cpu = (uint16_t)cpu;
		copied += copy(&rings[cpu].entries[number % RING], number, &events[copied]);
	}
	return copied;
}

void trace_sum(struct quire_stats *stats, const struct trace_block *block)
{
	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
			stats->faults[path][kind] += at_load(&block->faults[path][kind]);
	for (unsigned counter = 0; counter < QUIRE_COUNTER_COUNT; counter++)
		stats->counters[counter] += at_load(&block->counters[counter]);
	/* One CPU's share may be negative; the sum is right modulo 2^64. */
	stats->anonymous += (uint64_t)at_load(&block->anonymous);
	stats->object_pages += (uint64_t)at_load(&block->objects);
	stats->tables += (uint64_t)at_load(&block->tables);
}

void trace_keep(struct trace_block *kept, const struct trace_block *block)
{
	for (unsigned path = 0; path < QUIRE_PATH_COUNT; path++)
		for (unsigned kind = 0; kind < QUIRE_KIND_COUNT; kind++)
			at_store(&kept->faults[path][kind],
				 at_load(&kept->faults[path][kind]) +
					 at_load(&block->faults[path][kind]));
	for (unsigned counter = 0; counter < QUIRE_COUNTER_COUNT; counter++)
		at_store(&kept->counters[counter],
			 at_load(&kept->counters[counter]) + at_load(&block->counters[counter]));
}

const char *quire_path_name(enum quire_path path)
{
	static const char *const names[] = {
#define X(name, text) #text,
		QUIRE_PATHS(X)
#undef X
	};

	return (unsigned)path < QUIRE_PATH_COUNT ? names[path] : NULL;
}

const char *quire_kind_name(enum quire_kind kind)
{
	static const char *const names[] = {
#define X(name, text) #text,
		QUIRE_KINDS(X)
#undef X
	};

	return (unsigned)kind < QUIRE_KIND_COUNT ? names[kind] : NULL;
}

const char *quire_counter_name(enum quire_counter counter)
{
	static const char *const names[] = {
#define X(name, text) #text,
		QUIRE_RETRIES(X) QUIRE_CLASSICS(X) QUIRE_OTHERS(X)
#undef X
	};

	return (unsigned)counter < QUIRE_COUNTER_COUNT ? names[counter] : NULL;
}
