/* SPDX-License-Identifier: MIT */
/*
 * What the objects of generated scenarios are kept on: the first word of each page. Atomic, for a
 * page may be read while it is cut off or removed; what is read then is not kept.
 */
#include "generate_plan.h"
#include "sync/atomic.h"
#include <quire/object.h>

_Atomic uint64_t generated_disk[LINEAR_OBJECT];

static int disk_read(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	for (unsigned i = 0; i < pages->count; i++)
		*(uint64_t *)pages->bytes[i] = at_load(&generated_disk[pages->index + i]);
	return 0;
}

static int disk_write(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	for (unsigned i = 0; i < pages->count; i++) {
		/* Guests may write to it meanwhile. */
		uint64_t word = at_load((const _Atomic uint64_t *)pages->bytes[i]);

		at_store(&generated_disk[pages->index + i], word);
	}
	return 0;
}

static int disk_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	(void)object;
	for (uint64_t page = offset / PAGE; page < (offset + length) / PAGE; page++)
		at_store(&generated_disk[page], 0ull);
	return 0;
}

static int disk_truncate(struct quire_object *object, uint64_t size)
{
	return disk_remove(object, size, LINEAR_OBJECT * PAGE - size);
}

static const struct quire_object_ops ops = {
	.fault = disk_read,
	.writepages = disk_write,
	.truncate = disk_truncate,
	.remove = disk_remove,
};

struct quire_object *generated_object(enum object_kind kind, const struct linear_object *first)
{
	struct quire_object *object = NULL;

	if (kind == ON_DISK)
		object = make_object(&ops, ALL_CAPS, first->pages);
	else if (kind == IN_MEMORY)
		expect(quire_shared_create(first->pages * PAGE, NULL, &object) == 0);
	for (unsigned i = 0; i < LINEAR_OBJECT; i++) {
		uint64_t word = first->value[i];

		/* Of a disk no page is in the cache. */
		at_store(&generated_disk[i], word);
		if (kind == IN_MEMORY && i < first->pages)
			expect(quire_object_write(object, i * PAGE, &word, sizeof(word)) == 8);
	}
	return object;
}
