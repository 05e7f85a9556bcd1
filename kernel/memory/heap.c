/* SPDX-License-Identifier: MIT */
/*
 * The kernel's heap.
 *
 *     a page of small objects     [ header | object | object | ... ]     one size, one free list
 *     a block for a large one     [ header | object ...            ]     2^order pages
 *
 * Either way the header is at the beginning of the page in which the object begins, so heap_free
 * finds it by the address alone. A page with free objects is in its class's list; one that is all
 * free goes back to Quire, but for the last of its class.
 */
#include "memory/heap.h"

#include "arch/panic.h"
#include "lib/lock.h"
#include "lib/string.h"

#include <quire/machine.h>

#define PAGE QUIRE_PAGE_SIZE
#define MAGIC 0x68656170u
#define LARGE 0xffu

struct header {
	uint32_t magic;
	uint8_t class; /* LARGE: the whole block is one object */
	uint8_t order;
	uint16_t used;	  /* objects */
	void *free;	  /* each begins with a pointer to the next */
	struct list node; /* in class.partial, while free != NULL */
} __attribute__((aligned(64)));

/* As many as fit behind the header; multiples of 64 from 64 on. */
static const uint16_t sizes[] = { 16,  32,  48,	 64,  128, 192,	 256, 320,
				  448, 576, 640, 768, 960, 1344, 1984 };
#define CLASSES ARRAY_SIZE(sizes)
_Static_assert((CLASSES & (CLASSES + 1)) == 0, "class_of halves them");

static struct class
{
	struct lock lock;
	bool ready;
	struct list partial;
	size_t used; /* objects */
} __attribute__((aligned(64))) classes[CLASSES];
static _Atomic size_t large_used; /* bytes */

static struct header *header_of(void *p)
{
	struct header *header = (struct header *)((uint64_t)p & ~(PAGE - 1));

	require(header->magic == MAGIC && p != header);
	return header;
}

/* By halves. CLASSES: it is large. */
static unsigned class_of(size_t size)
{
	unsigned class = 0;

	for (unsigned step = (CLASSES + 1) / 2; step > 0; step /= 2)
		if (sizes[class + step - 1] < size)
			class += step;
	return class;
}

/* --- large objects --- */

static void *large_alloc(size_t size)
{
	struct header *header;
	unsigned order = 0;

	while (order < QUIRE_PAGES_ORDER && (PAGE << order) - sizeof(*header) < size)
		order++;
	if ((PAGE << order) - sizeof(*header) < size)
		return NULL;
	header = quire_pages_alloc(order, false);
	if (header == NULL)
		return NULL;
	*header = (struct header){ .magic = MAGIC, .class = LARGE, .order = (uint8_t)order };
	atomic_fetch_add_explicit(&large_used, PAGE << order, memory_order_relaxed);
	return header + 1;
}

static void large_free(struct header *header)
{
	unsigned order = header->order;

	header->magic = 0;
	atomic_fetch_sub_explicit(&large_used, PAGE << order, memory_order_relaxed);
	quire_pages_free(header, order);
}

/* --- small ones --- */

static struct header *page_make(unsigned class)
{
	struct header *header = quire_pages_alloc(0, false);
	size_t count = (PAGE - sizeof(*header)) / sizes[class];

	if (header == NULL)
		return NULL;
	*header = (struct header){ .magic = MAGIC, .class = (uint8_t) class };
	while (count-- > 0) {
		void **object = (void **)(void *)((char *)(header + 1) + count * sizes[class]);

		*object = header->free;
		header->free = object;
	}
	return header;
}

/* => class locked */
static void *take(struct class *class)
{
	struct header *header = list_first(&class->partial, struct header, node);
	void **object = header->free;

	header->free = *object;
	header->used++;
	if (header->free == NULL)
		list_remove(&header->node);
	class->used++;
	return object;
}

static void *small_alloc(unsigned index)
{
	struct class *class = &classes[index];
	struct header *fresh = NULL;
	void *object = NULL;

	lock_take(&class->lock);
	if (unlikely(!class->ready)) {
		list_init(&class->partial);
		class->ready = true;
	}
	if (unlikely(list_empty(&class->partial))) {
		lock_drop(&class->lock);
		fresh = page_make(index);
		lock_take(&class->lock);
		if (fresh != NULL)
			list_add_first(&class->partial, &fresh->node);
	}
	if (!list_empty(&class->partial))
		object = take(class);
	lock_drop(&class->lock);
	return object;
}

static void small_free(struct header *header, void *p)
{
	struct class *class = &classes[header->class];
	bool whole;

	lock_take(&class->lock);
	require(header->used != 0);
	if (header->free == NULL)
		list_add_first(&class->partial, &header->node);
	*(void **)p = header->free;
	header->free = p;
	class->used--;
	whole = --header->used == 0 && class->partial.next != class->partial.prev;
	if (whole)
		list_remove(&header->node);
	lock_drop(&class->lock);
	if (whole) {
		header->magic = 0;
		quire_pages_free(header, 0);
	}
}

/* --- both --- */

void *heap_alloc(size_t size)
{
	unsigned class = class_of(size);

	return class < CLASSES ? small_alloc(class) : large_alloc(size);
}

void *heap_zero(size_t size)
{
	void *p = heap_alloc(size);

	return p != NULL ? memset(p, 0, size) : NULL;
}

void *heap_copy(const void *bytes, size_t size)
{
	void *p = heap_alloc(size);

	return p != NULL ? memcpy(p, bytes, size) : NULL;
}

void heap_free(void *p)
{
	struct header *header;

	if (p == NULL)
		return;
	header = header_of(p);
	if (header->class == LARGE)
		large_free(header);
	else
		small_free(header, p);
}

size_t heap_used(void)
{
	size_t used = atomic_load_explicit(&large_used, memory_order_relaxed);

	for (unsigned i = 0; i < CLASSES; i++) {
		lock_take(&classes[i].lock);
		used += classes[i].used * sizes[i];
		lock_drop(&classes[i].lock);
	}
	return used;
}
