/* SPDX-License-Identifier: MIT */
/*
 * Devices: ranges of physical memory that have no descriptors. There is no cache and nothing to
 * fetch: the frame of a page is its index away from the first, and no entry holds a reference.
 *
 * Operations refuse what would need the cache, or another size. (With a `fault` and no `remove`
 * there are no holes either.)
 */
#include "object/kinds.h"

#define PHYSICAL_MAX (1ull << 52)

static int refuse_pages(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	(void)pages;
	return -QUIRE_ENODEV;
}

static int refuse_mkwrite(struct quire_object *object, uint64_t index)
{
	(void)object;
	(void)index;
	return -QUIRE_ENODEV;
}

static int refuse_truncate(struct quire_object *object, uint64_t size)
{
	(void)object;
	(void)size;
	return -QUIRE_EINVAL;
}

static const struct quire_object_ops device_ops = {
	.fault = refuse_pages,
	.page_mkwrite = refuse_mkwrite,
	.truncate = refuse_truncate,
};

int quire_device_create(uint64_t physical, uint64_t size, const struct quire_object_config *names,
			struct quire_object **out)
{
	struct quire_object_config config = kind_config(names);
	int error;

	if ((physical | size) & PAGE_MASK || physical > PHYSICAL_MAX ||
	    size > PHYSICAL_MAX - physical ||
	    frame_is_ours(physical >> PAGE_SHIFT, (physical + size) >> PAGE_SHIFT))
		return -QUIRE_EINVAL;
	config.ops = &device_ops;
	config.size = size;
	error = quire_object_create(&config, out);
	if (error)
		return error;
	(*out)->device = true;
	(*out)->physical = physical >> PAGE_SHIFT;
	return 0;
}
