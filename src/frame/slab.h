/* SPDX-License-Identifier: MIT */
/*
 * Small objects of one size (VMAs, tree nodes, reverse-map entries), in frames of the pool: a
 * magazine for each CPU, then the cache's partly used frames under its lock (RANK_SLAB). Frames
 * that become empty go back to the pool.
 */
#ifndef QUIRE_FRAME_SLAB_H
#define QUIRE_FRAME_SLAB_H

#include "frame/frame.h"

#define SLAB_MAGAZINE 62 /* about a batch of what grace periods free */

struct slab_magazine {
	uint32_t count; /* only its CPU touches a magazine */
	void *objects[SLAB_MAGAZINE];
} __attribute__((aligned(128)));

struct slab {
	/* Constant after slab_init. */
	const char *name; /* for whoever looks with a debugger */
	uint32_t size;	  /* a multiple of 16, 32 to 2,048; one of 64 aligns the objects to 64 */
	uint32_t per_frame;
	struct slab_magazine *magazines; /* one for each CPU */
	uint32_t cpus;

	struct spinlock lock __attribute__((aligned(64))); /* RANK_SLAB */
	struct frame *partial;	 /* frames with free objects; under lock */
	_Atomic uint64_t frames; /* frames held; changed under lock */
};

/* Bytes of magazines that slab_init needs, aligned to 128. */
size_t slab_memory(unsigned cpus);
/* `size` is rounded up to a multiple of 16, and to 32. */
void slab_init(struct slab *, const char *name, uint32_t size, void *magazines, unsigned cpus);
/*
 * Uninitialised memory, or NULL. Debug builds fill what is freed with SLAB_POISON, and panic when
 * an object is freed twice or was written to after it was freed.
 * => pinned; takes at most RANK_POOL; never sleeps
 */
#define SLAB_POISON 0x5a
void *slab_alloc(struct slab *);
/* => pinned */
void slab_free(struct slab *, void *object);
/*
 * Empty every CPU's magazine and give empty frames back. Returns the number of objects still
 * allocated.
 * => nothing else runs
 */
uint64_t slab_drain(struct slab *);
/* => nothing else runs. NULL, or what is wrong. */
const char *slab_validate(struct slab *);

#endif
