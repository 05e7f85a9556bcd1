/* SPDX-License-Identifier: MIT */
/* Shared memory: an object without operations. Its contents, zero at first, live in its cache. */
#include "object/kinds.h"

int quire_shared_create(uint64_t size, const struct quire_object_config *names,
			struct quire_object **out)
{
	struct quire_object_config config = kind_config(names);

	config.size = size;
	return quire_object_create(&config, out);
}
