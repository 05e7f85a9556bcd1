/* SPDX-License-Identifier: MIT */
/*
 * The shadow of an address space: what the recording says about every address, as a sorted array of
 * segments.
 *
 *     0                                                             2^64 - 1
 *     │ unknown │ mapped rw- │ mapped r-x, file │ free │ ... │ unknown │
 *               ▲ call 17    ▲ call 12          ▲ call 40
 *
 * Real layouts have some hundred segments, so an array that is moved at every cut is as good as a
 * tree.
 */
#include "replay.h"

#include <stdlib.h>
#include <string.h>

/* More than any Linux process has by default (vm.max_map_count, twice with the gaps): a hostile
 * trace ends here. */
#define SEGMENTS_MAX (1u << 18)

bool shadow_init(struct shadow *shadow, enum shadow_state state)
{
	shadow->room = 16;
	shadow->segments = calloc(shadow->room, sizeof(*shadow->segments));
	if (!shadow->segments)
		return false;
	shadow->count = 1;
	shadow->segments[0] =
		(struct segment){ .end = UINT64_MAX, .state = (uint8_t)state, .file = REPLAY_NONE };
	return true;
}

bool shadow_copy(struct shadow *to, const struct shadow *from)
{
	to->room = from->count + 8;
	to->segments = calloc(to->room, sizeof(*to->segments));
	if (!to->segments)
		return false;
	to->count = from->count;
	memcpy(to->segments, from->segments, from->count * sizeof(*from->segments));
	return true;
}

void shadow_free(struct shadow *shadow)
{
	free(shadow->segments);
	*shadow = (struct shadow){ 0 };
}

uint32_t shadow_find(const struct shadow *shadow, uint64_t address)
{
	uint32_t low = 0, high = shadow->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (shadow->segments[middle].start <= address)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Make a segment begin at the address. */
static bool cut(struct shadow *shadow, uint64_t address, uint32_t *index)
{
	uint32_t i = shadow_find(shadow, address);

	*index = i;
	if (shadow->segments[i].start == address)
		return true;
	if (shadow->count == SEGMENTS_MAX)
		return false;
	if (shadow->count == shadow->room) {
		uint32_t room = shadow->room * 2;
		struct segment *bigger = realloc(shadow->segments, room * sizeof(*bigger));

		if (!bigger)
			return false;
		shadow->segments = bigger;
		shadow->room = room;
	}

	struct segment *s = &shadow->segments[i];

	memmove(s + 1, s, (shadow->count - i) * sizeof(*s));
	shadow->count++;
	s[0].end = address;
	s[1].start = address;
	*index = i + 1;
	return true;
}

bool shadow_cut(struct shadow *shadow, uint64_t start, uint64_t end, uint32_t *first,
		uint32_t *behind)
{
	return cut(shadow, start, first) && cut(shadow, end, behind);
}

static bool alike(const struct segment *a, const struct segment *b)
{
	return a->state == b->state && a->prot == b->prot && a->flags == b->flags &&
	       a->file == b->file && (a->file == REPLAY_NONE || a->origin == b->origin) &&
	       a->open == b->open && a->call == b->call && a->call_task == b->call_task;
}

void shadow_join(struct shadow *shadow, uint32_t first, uint32_t behind)
{
	struct segment *s = shadow->segments;
	uint32_t to = first ? first - 1 : 0;
	uint32_t from = to + 1;

	if (behind >= shadow->count)
		behind = shadow->count - 1;
	for (; from <= behind; from++) {
		if (!alike(&s[to], &s[from])) {
			s[++to] = s[from];
			continue;
		}
		s[to].end = s[from].end;
		if (s[to].fault < s[from].fault)
			s[to].fault = s[from].fault;
	}
	if (to + 1 != from) {
		memmove(&s[to + 1], &s[from], (shadow->count - from) * sizeof(*s));
		shadow->count -= from - to - 1;
	}
}
