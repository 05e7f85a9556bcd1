/* SPDX-License-Identifier: MIT */
#include "disk.h"
#include "sync/atomic.h"

uint64_t disk[DISK_PAGES][2];

/* Pages that are being read are the reader's alone: plain writes, which others must be behind. */
int disk_read(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	for (unsigned i = 0; i < pages->count; i++) {
		*(uint64_t *)pages->bytes[i] = disk[pages->index + i][0];
		*(uint64_t *)((char *)pages->bytes[i] + HALF) = disk[pages->index + i][1];
	}
	return 0;
}

static uint64_t word_of(const struct quire_pages *pages, unsigned page, unsigned offset)
{
	return at_load((const _Atomic uint64_t *)((const char *)pages->bytes[page] + offset));
}

/* Guests may write to them meanwhile. What is beyond the end is not the disk's. */
int disk_write(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	for (unsigned i = 0; i < pages->count; i++) {
		uint64_t start = i * PAGE;

		if (start < pages->length)
			disk[pages->index + i][0] = word_of(pages, i, 0);
		if (start + HALF < pages->length)
			disk[pages->index + i][1] = word_of(pages, i, HALF);
	}
	return 0;
}

int disk_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	(void)object;
	for (uint64_t page = offset / PAGE; page < (offset + length) / PAGE; page++)
		disk[page][0] = disk[page][1] = 0;
	return 0;
}

const struct quire_object_ops disk_ops = {
	.fault = disk_read,
	.writepages = disk_write,
	.remove = disk_remove,
};

struct quire_object *make_file(const struct quire_object_ops *ops, unsigned caps, uint64_t pages)
{
	expect(pages <= DISK_PAGES);
	for (uint64_t page = 0; page < DISK_PAGES; page++)
		disk[page][0] = disk[page][1] = disk_value(page);
	return make_object(ops, caps, pages);
}

struct quire_object *make_cached(const struct quire_object_ops *ops, unsigned caps, uint64_t pages)
{
	struct quire_object *object = make_file(ops, caps, pages);
	uint64_t word;

	expect_equal(quire_object_read(object, 0, &word, 8), 8);
	return object;
}

void make_leaf(uint64_t address)
{
	map(address, 1, READ_WRITE);
	store(address, 7);
}
