/* SPDX-License-Identifier: MIT */
/*
 * Small objects of one size.
 *
 *     slab_alloc ◄── magazine of this CPU ◄──HALF── partial frames (under lock) ◄── pool
 *     slab_free  ──► magazine of this CPU ──HALF──► partial frames ──empty──► pool
 *
 * A frame is objects from its first byte on; what there is to know about it lies in its descriptor.
 * It is in the partial list as long as it has free objects of its own; those in magazines count as
 * used. A full frame is in no list: an object finds its frame by its address, and brings it back.
 *
 * The first word of a free object links it to the next of its frame. An object in a magazine is not
 * linked at all.
 *
 * Debug builds keep a bit for each object that is handed out (so a second slab_free is found
 * whoever does it), and fill free objects with SLAB_POISON, but for the first word (so a write to
 * one is found when it is handed out again).
 */
#include "frame/pool.h"
#include "frame/slab.h"

#define HALF (SLAB_MAGAZINE / 2)
#define MIN_SIZE 32 /* so that the bits of one frame's objects fit in its descriptor */
#define MAX_SIZE 2048

_Static_assert(PAGE_SIZE / MIN_SIZE <= 128, "u.slab.taken has a bit for each object");

size_t slab_memory(unsigned cpus)
{
	return cpus * sizeof(struct slab_magazine);
}

void slab_init(struct slab *slab, const char *name, uint32_t size, void *magazines, unsigned cpus)
{
	size = size < MIN_SIZE ? MIN_SIZE : (size + 15) & ~15u;
	require(size <= MAX_SIZE);
	slab->name = name;
	slab->size = size;
	slab->per_frame = (uint32_t)PAGE_SIZE / size;
	spin_init(&slab->lock);
	slab->partial = NULL;
	at_store(&slab->frames, 0ull);
	slab->magazines = magazines;
	slab->cpus = cpus;
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		slab->magazines[cpu].count = 0;
}

/* --- what debug builds know of an object --- */

static uint32_t object_index(const struct slab *slab, const void *object)
{
	return (uint32_t)((uintptr_t)object & PAGE_MASK) / slab->size;
}

#ifdef QUIRE_DEBUG

static bool is_taken(const struct slab *slab, const void *object)
{
	uint32_t i = object_index(slab, object);

	return (at_load(&frame_of_bytes(object)->u.slab.taken[i / 64]) >> i % 64 & 1) != 0;
}

static bool is_poisoned(const struct slab *slab, const void *object)
{
	const unsigned char *bytes = object;

	for (uint32_t i = sizeof(void *); i < slab->size; i++)
		if (bytes[i] != SLAB_POISON)
			return false;
	return true;
}

static void poison(const struct slab *slab, void *object)
{
	memset((char *)object + sizeof(void *), SLAB_POISON, slab->size - sizeof(void *));
}

static void note_taken(struct slab *slab, void *object)
{
	uint32_t i = object_index(slab, object);

	require(is_poisoned(slab, object));
	at_add(&frame_of_bytes(object)->u.slab.taken[i / 64], 1ull << i % 64);
}

static void note_freed(struct slab *slab, void *object)
{
	struct frame *frame = frame_of_bytes(object);
	uint32_t i = object_index(slab, object);

	require(frame->kind == FRAME_SLAB && frame->u.slab.slab == slab);
	require(((uintptr_t)object & PAGE_MASK) % slab->size == 0);
	require((at_sub(&frame->u.slab.taken[i / 64], 1ull << i % 64) >> i % 64 & 1) != 0);
	poison(slab, object);
}

#else
#define is_taken(slab, object) ((void)(slab), (void)(object), false)
#define is_poisoned(slab, object) ((void)(slab), (void)(object), true)
#define poison(slab, object) ((void)(slab), (void)(object))
#define note_taken(slab, object) ((void)(slab), (void)(object))
#define note_freed(slab, object) ((void)(slab), (void)(object))
#endif

/* --- partial frames: all under slab->lock --- */

static void partial_add(struct slab *slab, struct frame *frame)
{
	frame->u.slab.prev = NULL;
	frame->u.slab.next = slab->partial;
	if (slab->partial != NULL)
		slab->partial->u.slab.prev = frame;
	slab->partial = frame;
}

static void partial_remove(struct slab *slab, struct frame *frame)
{
	struct frame *next = frame->u.slab.next, *prev = frame->u.slab.prev;

	if (next != NULL)
		next->u.slab.prev = prev;
	if (prev != NULL)
		prev->u.slab.next = next;
	else
		slab->partial = next;
}

/* Move up to HALF objects from partial frames to the magazine, which is empty. */
static void load_partial(struct slab *slab, struct slab_magazine *magazine)
{
	uint32_t count = 0;

	while (count < HALF && slab->partial != NULL) {
		struct frame *frame = slab->partial;
		void *object = frame->u.slab.free;
		uint32_t before = count;

		for (; object != NULL && count < HALF; object = *(void **)object)
			magazine->objects[count++] = object;
		frame->u.slab.free = object;
		frame->u.slab.used += count - before;
		if (object == NULL)
			partial_remove(slab, frame);
	}
	magazine->count = count;
}

/* Put an object back into its frame, and the frame, if that was its last, into the pool. */
static void unload(struct slab *slab, void *object)
{
	struct frame *frame = frame_of_bytes(object);

	if (frame->u.slab.free == NULL)
		partial_add(slab, frame);
	*(void **)object = frame->u.slab.free;
	frame->u.slab.free = object;
	if (--frame->u.slab.used == 0) {
		partial_remove(slab, frame);
		at_store(&slab->frames, at_load(&slab->frames) - 1);
		frame_put(frame);
	}
}

/* Unload the `count` oldest objects of a magazine. */
static __attribute__((noinline)) void spill(struct slab *slab, struct slab_magazine *magazine,
					    uint32_t count)
{
	spin_lock(&slab->lock, RANK_SLAB);
	for (uint32_t i = 0; i < count; i++)
		unload(slab, magazine->objects[i]);
	spin_unlock(&slab->lock);
	magazine->count -= count;
	for (uint32_t i = 0; i < magazine->count; i++)
		magazine->objects[i] = magazine->objects[i + count];
}

/* --- objects --- */

/* A frame of free objects, lowest address first; NULL: no memory. */
static struct frame *make_frame(struct slab *slab)
{
	struct frame *frame = frame_take(0);
	char *bytes;
	void *next = NULL;

	if (frame == NULL)
		return NULL;
	bytes = frame_bytes(frame);
	frame->kind = FRAME_SLAB;
	frame->u.slab.slab = slab;
	frame->u.slab.used = 0;
	at_store(&frame->u.slab.taken[0], 0ull);
	at_store(&frame->u.slab.taken[1], 0ull);
	for (uint32_t i = slab->per_frame; i-- > 0;) {
		void *object = bytes + i * slab->size;

		poison(slab, object);
		*(void **)object = next;
		next = object;
	}
	frame->u.slab.free = next;
	return frame;
}

/* Fill an empty magazine. It stays empty if there is no memory. */
static __attribute__((noinline)) void refill(struct slab *slab, struct slab_magazine *magazine)
{
	struct frame *frame;

	spin_lock(&slab->lock, RANK_SLAB);
	load_partial(slab, magazine);
	spin_unlock(&slab->lock);
	if (magazine->count != 0)
		return;
	frame = make_frame(slab);
	if (frame == NULL)
		return;
	spin_lock(&slab->lock, RANK_SLAB);
	at_store(&slab->frames, at_load(&slab->frames) + 1);
	partial_add(slab, frame);
	load_partial(slab, magazine);
	spin_unlock(&slab->lock);
}

void *slab_alloc(struct slab *slab)
{
	struct slab_magazine *magazine = &slab->magazines[port_cpu()];
	void *object;

	if (inject_fails())
		return NULL;
	if (unlikely(magazine->count == 0)) {
		refill(slab, magazine);
		if (magazine->count == 0)
			return NULL;
	}
	object = magazine->objects[--magazine->count];
	note_taken(slab, object);
	return object;
}

void slab_free(struct slab *slab, void *object)
{
	struct slab_magazine *magazine = &slab->magazines[port_cpu()];

	note_freed(slab, object);
	if (unlikely(magazine->count == SLAB_MAGAZINE))
		spill(slab, magazine, HALF);
	magazine->objects[magazine->count++] = object;
}

uint64_t slab_drain(struct slab *slab)
{
	uint64_t objects;

	for (unsigned cpu = 0; cpu < slab->cpus; cpu++)
		spill(slab, &slab->magazines[cpu], slab->magazines[cpu].count);
	objects = at_load(&slab->frames) * slab->per_frame;
	for (const struct frame *f = slab->partial; f != NULL; f = f->u.slab.next)
		objects -= slab->per_frame - f->u.slab.used;
	return objects;
}

/* --- the validator --- */

static bool is_object(const struct slab *slab, const void *p)
{
	uint64_t pfn = port_frame_number(p);

	return pfn >= frame_first && pfn < frame_last() && frame_of(pfn)->kind == FRAME_SLAB &&
	       frame_of(pfn)->u.slab.slab == slab && ((uintptr_t)p & PAGE_MASK) % slab->size == 0 &&
	       object_index(slab, p) < slab->per_frame;
}

static const char *check_free_object(const struct slab *slab, const void *object)
{
	if (!is_object(slab, object))
		return "a free object is no object of this slab";
	if (is_taken(slab, object))
		return "a free object is handed out";
	if (!is_poisoned(slab, object))
		return "a free object has been written to";
	return NULL;
}

static const char *check_partial(const struct slab *slab, const struct frame *frame)
{
	uint32_t left = slab->per_frame;
	const char *wrong = NULL;

	if (frame->kind != FRAME_SLAB || frame->u.slab.slab != slab)
		return "a partial frame is not of this slab";
	if (frame->u.slab.used == 0 || frame->u.slab.used >= slab->per_frame)
		return "a partial frame is empty or full";
	for (void *o = frame->u.slab.free; o != NULL && wrong == NULL; o = *(void **)o) {
		if (left-- == frame->u.slab.used)
			return "a partial frame has more free objects than it counts";
		wrong = check_free_object(slab, o);
		if (wrong == NULL && frame_of_bytes(o) != frame)
			wrong = "a free object is in another frame's list";
	}
	if (wrong == NULL && left != frame->u.slab.used)
		wrong = "a partial frame has fewer free objects than it counts";
	return wrong;
}

static const char *check_magazine(const struct slab *slab, const struct slab_magazine *magazine)
{
	const char *wrong = NULL;

	if (magazine->count > SLAB_MAGAZINE)
		return "a magazine holds more than fits";
	for (uint32_t i = 0; i < magazine->count && wrong == NULL; i++) {
		wrong = check_free_object(slab, magazine->objects[i]);
		for (uint32_t j = 0; j < i && wrong == NULL; j++)
			if (magazine->objects[i] == magazine->objects[j])
				wrong = "an object is in a magazine twice";
	}
	return wrong;
}

const char *slab_validate(struct slab *slab)
{
	const struct frame *prev = NULL;
	const char *wrong = NULL;
	uint64_t partial = 0, open = 0, frames = 0;

	for (unsigned cpu = 0; cpu < slab->cpus && wrong == NULL; cpu++)
		wrong = check_magazine(slab, &slab->magazines[cpu]);
	for (const struct frame *f = slab->partial; f != NULL && wrong == NULL;
	     f = f->u.slab.next) {
		if (f->u.slab.prev != prev)
			return "the partial list's links disagree";
		wrong = check_partial(slab, f);
		partial++;
		prev = f;
	}
	for (uint64_t i = 0; i < frame_count && wrong == NULL; i++) {
		const struct frame *f = &frame_table[i];

		if (f->kind == FRAME_SLAB && f->u.slab.slab == slab) {
			frames++;
			open += f->u.slab.free != NULL;
		}
	}
	if (wrong != NULL)
		return wrong;
	if (frames != at_load(&slab->frames))
		return "the slab's frames are not those that it counts";
	return open == partial ? NULL : "a frame with free objects is not in the partial list";
}
