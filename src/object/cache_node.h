/* SPDX-License-Identifier: MIT */
/* A node of a cache's tree, for those who know its shape: cache.c and validate.c. */
#ifndef QUIRE_OBJECT_CACHE_NODE_H
#define QUIRE_OBJECT_CACHE_NODE_H

#include "object/cache.h"

struct cache_node {
	/* Constant while hooked, but for `parent`, which is the cache's lock's. */
	uint8_t shift;		   /* a slot covers 2^shift pages; 0: a leaf */
	uint8_t offset;		   /* of its slot in the parent */
	bool dead;		   /* leaf: set once, under the lock */
	uint32_t count;		   /* of slots in use: under the lock (leaf), the cache's lock */
	struct spinlock lock;	   /* RANK_CACHE_NODE, of leaves only */
	_Atomic uint64_t dirty;	   /* leaf: a bit for each slot; says nothing of an empty one */
	struct cache_node *parent; /* NULL: the root */
	struct deferred deferred;
	union {
		struct frame *_Atomic frames[CACHE_SLOTS];
		struct cache_node *_Atomic children[CACHE_SLOTS];
	} at __attribute__((aligned(CACHE_LINE)));
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(sizeof(struct cache_node) == 9 * CACHE_LINE, "a line, and the slots");

#endif
