/* SPDX-License-Identifier: MIT */
/* What the tests of object/ share: memory and CPUs without spaces, and a look that all is back. */
#ifndef TESTS_OBJECTS_H
#define TESTS_OBJECTS_H

#include "threads.h"
#include "object/mapping.h"
#include <string.h>

#define OBJECT_CPUS 6

#ifdef QUIRE_DEBUG
#define DEBUG_CHECKS true
#else
#define DEBUG_CHECKS false
#endif

static struct {
	struct slab *slab;
	const char *name;
} object_slabs[] = {
	{ &object_slab, "object" },
	{ &pages_slab, "request" },
	{ &mapping_slab, "mapping" },
	{ &cache_slab, "cache" },
};

#define OBJECT_SLABS (sizeof(object_slabs) / sizeof(object_slabs[0]))

/* So many bytes of memory; the calling thread is CPU 0, online. */
__attribute__((unused)) static void objects_start(uint64_t bytes)
{
	const uint32_t sizes[OBJECT_SLABS] = { sizeof(struct quire_object), pages_size(),
					       sizeof(struct mapping), cache_node_size() };
	struct quire_memory range = { 0, bytes, 0 };
	char *magazines;
	void *reserved;

	cpus_start(OBJECT_CPUS, 0);
	soft_memory = aligned_alloc(PAGE_SIZE, bytes);
	assert_non_null(soft_memory);
	inject_set(0);
	assert_int_equal(frame_init(&range, 1, 1, OBJECT_CPUS,
				    OBJECT_SLABS * slab_memory(OBJECT_CPUS), &reserved),
			 0);
	magazines = reserved;
	for (size_t i = 0; i < OBJECT_SLABS; i++)
		slab_init(object_slabs[i].slab, object_slabs[i].name, sizes[i],
			  magazines + i * slab_memory(OBJECT_CPUS), OBJECT_CPUS);
	object_reset();
	grace_online();
}

/* No object is left, nothing of it, and all frames are back. */
__attribute__((unused)) static void objects_stop(void)
{
	struct frame_stats stats;

	inject_set(0);
	assert_null(object_first());
	assert_true(grace_barrier(0));
	for (size_t i = 0; i < OBJECT_SLABS; i++) {
		assert_null(slab_validate(object_slabs[i].slab));
		assert_int_equal(slab_drain(object_slabs[i].slab), 0);
	}
	frame_drain_all();
	assert_null(frame_validate());
	frame_stats(&stats);
	assert_int_equal(stats.free, stats.total);
	grace_offline();
	free(soft_memory);
	cpus_stop();
}

/* The state of the page at index; 0: there is none. */
__attribute__((unused)) static uint32_t page_state(struct quire_object *object, uint64_t index)
{
	struct frame *frame;
	uint32_t state;

	section_enter();
	frame = page_get(object, index);
	state = frame ? at_load(&frame->u.object.state) : 0;
	if (frame)
		frame_put(frame);
	section_leave();
	return state;
}

/* Its dirty bit in the cache. */
__attribute__((unused)) static bool page_marked(struct quire_object *object, uint64_t index)
{
	struct cache_slot slot;
	bool marked;

	section_enter();
	slot = cache_find(&object->cache, index);
	marked = slot.at && at_load(slot.dirty) & slot.bit;
	section_leave();
	return marked;
}

#endif
