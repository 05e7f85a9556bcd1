/* SPDX-License-Identifier: MIT */
/* The kinds of objects that come with Quire: what they share. */
#ifndef QUIRE_OBJECT_KINDS_H
#define QUIRE_OBJECT_KINDS_H

#include "object/object.h"

/* Whatever the contents are kept in, faults may do all that they can do speculatively. */
#define KIND_CAPS (QUIRE_CAN_FAULT | QUIRE_CAN_MAP_AROUND | QUIRE_CAN_MKWRITE)

/* The object's private data, if it is a file. Constant. */
struct file {
	const struct quire_store_ops *ops;
	void *store;
	struct quire_buffer memory; /* a memory store's; `store` points here */
};

extern struct slab file_slab; /* slab_init'ed by who starts Quire */
uint32_t file_size(void);     /* of one in file_slab */

/* NULL: no memory. => the caller fills in what is missing, and then begins it */
struct file *file_new(const struct quire_store_ops *ops, void *store);
/*
 * Make an object of it, which then owns it. Errors as quire_file_create; then it is freed.
 * => may sleep
 */
int file_begin(struct file *file, const struct quire_object_config *names,
	       struct quire_object **out);

/* A config that takes name and numbers from `names`, if there is one, and nothing else. */
static inline struct quire_object_config kind_config(const struct quire_object_config *names)
{
	struct quire_object_config config = { .caps = KIND_CAPS };

	if (names) {
		config.name = names->name;
		config.device_major = names->device_major;
		config.device_minor = names->device_minor;
		config.inode = names->inode;
	}
	return config;
}

#endif
