/* SPDX-License-Identifier: MIT */
/*
 * What the objects of scenarios are kept on: two words of each page, at 0 and at HALF. Operations
 * are made of these parts; the words are plain memory, so two transfers that meet are a data race.
 */
#ifndef DISK_H
#define DISK_H

#include "explore.h"

#define DISK_PAGES 4

extern uint64_t disk[DISK_PAGES][2];

/* Fill the pages, save them. Operations, and parts of others. */
int disk_read(struct quire_object *, struct quire_pages *);
int disk_write(struct quire_object *, struct quire_pages *);
int disk_remove(struct quire_object *, uint64_t offset, uint64_t length);

/* Those, and nothing else. */
extern const struct quire_object_ops disk_ops;

/* Every word of page i is so. */
static inline uint64_t disk_value(uint64_t page)
{
	return 100 + page;
}

/* In setup: an object of that many pages on a disk that is full of disk_value. */
struct quire_object *make_file(const struct quire_object_ops *, unsigned caps, uint64_t pages);
/* The same, with its pages in the cache. */
struct quire_object *make_cached(const struct quire_object_ops *, unsigned caps, uint64_t pages);
/* So that the leaf is there: an anonymous page at the address. */
void make_leaf(uint64_t address);

#endif
