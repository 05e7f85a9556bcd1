/* SPDX-License-Identifier: MIT */
/* Where an object is mapped: the list of records, and the walk of a sweep through it. */
#include "object/mapping.h"

struct slab mapping_slab;

static void free_mapping(struct deferred *deferred)
{
	slab_free(&mapping_slab, container_of(deferred, struct mapping, deferred));
}

/* => object's lock held */
static void append(struct quire_object *object, struct mapping *mapping)
{
	mapping->order = ++object->order;
	mapping->next = NULL;
	mapping->prev = object->last;
	if (mapping->prev)
		mapping->prev->next = mapping;
	else
		object->first = mapping;
	object->last = mapping;
	object->mappings++;
}

/* Give up a reference; with the last one the record goes. => object's lock held */
static void put(struct quire_object *object, struct mapping *mapping)
{
	if (--mapping->refs > 0)
		return;
	if (mapping->prev)
		mapping->prev->next = mapping->next;
	else
		object->first = mapping->next;
	if (mapping->next)
		mapping->next->prev = mapping->prev;
	else
		object->last = mapping->prev;
	object->mappings--;
	grace_defer(&mapping->deferred, free_mapping);
}

static int tell_open(const struct mapping_place *place)
{
	const struct quire_mapping_info info = {
		.mm = place->mm,
		.start = place->start,
		.length = place->end - place->start,
		.offset = place->start - place->origin,
		.shared = place->shared,
		.prot = place->prot,
	};

	if (!place->object->ops->open)
		return 0;
	return object_error(place->object->ops->open(place->object, &info));
}

int mapping_make(const struct mapping_place *place, struct mapping **out)
{
	struct mapping *mapping = slab_alloc(&mapping_slab);
	int error;

	if (!mapping)
		return -QUIRE_ENOMEM;
	error = tell_open(place);
	if (error) {
		slab_free(&mapping_slab, mapping);
		return error;
	}
	*mapping = (struct mapping){
		.object = place->object,
		.origin = place->origin,
		.mm = place->mm,
		.sweep = place->sweep,
		.busy = place->busy,
		.start = place->start,
		.end = place->end,
		.refs = 1,
	};
	quire_object_get(place->object);
	spin_lock(&place->object->lock, RANK_OBJECT);
	append(place->object, mapping);
	spin_unlock(&place->object->lock);
	*out = mapping;
	return 0;
}

void mapping_drop(struct mapping *mapping)
{
	struct quire_object *object = mapping->object;
	struct quire_mm *mm = mapping->mm;

	assert_debug(mapping->vmas == 0);
	spin_lock(&object->lock, RANK_OBJECT);
	mapping->dropped = true;
	put(object, mapping);
	spin_unlock(&object->lock);
	if (object->ops->close)
		object->ops->close(object, mm);
	object_put_later(object);
}

void mapping_extend(struct mapping *mapping, uint64_t start, uint64_t end)
{
	spin_lock(&mapping->object->lock, RANK_OBJECT);
	if (start < mapping->start)
		mapping->start = start;
	if (end > mapping->end)
		mapping->end = end;
	spin_unlock(&mapping->object->lock);
}

/*
 * Does the record show any of the indices [first, last)? The origin may be "below 0", and the end
 * of the object's offsets may be the end of all numbers: so by the last byte, modulo 2^64.
 * => object's lock held
 */
static bool shows(const struct mapping *mapping, uint64_t first, uint64_t last)
{
	return mapping_index(mapping, mapping->start) < last &&
	       mapping_index(mapping, mapping->end - 1) >= first;
}

/*
 * From one record, which is given up (NULL: the start), to the next that the sweep concerns, which
 * is had, and its space with it. NULL: there is none.
 */
static struct mapping *step(struct quire_object *object, struct mapping *done, uint64_t first,
			    uint64_t last)
{
	struct mapping *mapping;

	port_pin();
	spin_lock(&object->lock, RANK_OBJECT);
	mapping = done ? done->next : object->first;
	while (mapping && (mapping->dropped || !shows(mapping, first, last)))
		mapping = mapping->next;
	if (mapping) {
		mapping->refs++;
		at_add(mapping->busy, 1u);
	}
	if (done)
		put(object, done);
	spin_unlock(&object->lock);
	port_unpin();
	return mapping;
}

uint64_t mapping_sweep_all(struct quire_object *object, uint64_t first, uint64_t last,
			   enum mapping_sweep what)
{
	struct mapping *mapping = NULL;
	uint64_t changed = 0;

	assert_none_held();
	assert_debug(!section_inside());
	while ((mapping = step(object, mapping, first, last)) != NULL) {
		_Atomic uint32_t *busy = mapping->busy;

		changed += mapping->sweep(mapping, first, last, what);
		/* Release: pairs with the end of the space, which may come at once. */
		if (at_sub(busy, 1u) == 1)
			port_wake(busy);
	}
	return changed;
}
