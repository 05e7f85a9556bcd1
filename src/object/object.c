/* SPDX-License-Identifier: MIT */
/*
 * Objects: their making, their references, their end.
 *
 *     references: the embedder's, one of each record of a mapping, one of each fault that waits
 *        │ the last one goes
 *        ├── quire_object_put ───────────────────────────► release
 *        └── where nothing may sleep ──► list of the dead ──► object_reap ──► release
 *
 *     release    write what is dirty, wait for the requests that run, close the cache (limit 0),
 *                empty it, ops->release, leave the list of all, defer the freeing
 *
 * Faults don't count references: they find the object by a VMA, in a section, and a VMA's mapping
 * has one. A section that began before the mapping went may still find it, put a page of zeroes
 * into its cache, or call quire_pages_done: hence the limit, and the grace period.
 */
#include "object/object.h"
#include "sync/sleep.h"

struct slab object_slab;

static struct {
	struct spinlock lock;		   /* RANK_OBJECTS */
	struct quire_object *first, *last; /* under lock, as are next and prev of each */
	uint64_t count;			   /* of them; under lock */
	struct quire_object *_Atomic dead; /* without references, by dead_next */
} objects;

void object_reset(void)
{
	spin_init(&objects.lock);
	objects.first = objects.last = NULL;
	objects.count = 0;
	at_store(&objects.dead, NULL);
}

struct quire_object *object_first(void)
{
	return objects.first;
}

/* --- the list of all: oldest turn first --- */

/* => list locked, as the next one */
static void append(struct quire_object *object)
{
	object->next = NULL;
	object->prev = objects.last;
	if (object->prev)
		object->prev->next = object;
	else
		objects.first = object;
	objects.last = object;
	objects.count++;
}

static void unlink_object(struct quire_object *object)
{
	if (object->prev)
		object->prev->next = object->next;
	else
		objects.first = object->next;
	if (object->next)
		object->next->prev = object->prev;
	else
		objects.last = object->prev;
	objects.count--;
}

struct quire_object *object_turn(void)
{
	struct quire_object *object;

	section_enter();
	spin_lock(&objects.lock, RANK_OBJECTS);
	object = objects.first;
	while (object && !object_try_get(object))
		object = object->next;
	if (object) {
		unlink_object(object);
		append(object);
	}
	spin_unlock(&objects.lock);
	section_leave();
	return object;
}

uint64_t object_count(void)
{
	uint64_t count;

	section_enter();
	spin_lock(&objects.lock, RANK_OBJECTS);
	count = objects.count;
	spin_unlock(&objects.lock);
	section_leave();
	return count;
}

/* --- making --- */

static void copy_name(char *to, const char *from)
{
	unsigned i = 0;

	for (; from && from[i] && i < QUIRE_NAME_MAX - 1; i++)
		to[i] = from[i];
	to[i] = '\0';
}

static void initialise(struct quire_object *object, const struct quire_object_config *config)
{
	static const struct quire_object_ops none;

	memset(object, 0, sizeof(*object));
	object->ops = config->ops ? config->ops : &none;
	object->caps = config->caps;
	object->tracks = object->ops->writepages != NULL;
	object->private_data = config->private_data;
	at_store(&object->size, config->size);
	cache_init(&object->cache, object_pages(object));
	at_store(&object->refs, 1u);
	rwsem_init(&object->io);
	spin_init(&object->lock);
	object->inode = config->inode;
	object->device_major = config->device_major;
	object->device_minor = config->device_minor;
	copy_name(object->name, config->name);
}

int quire_object_create(const struct quire_object_config *config, struct quire_object **out)
{
	const unsigned caps = QUIRE_CAN_FAULT | QUIRE_CAN_MAP_AROUND | QUIRE_CAN_MKWRITE |
			      QUIRE_STABLE_WRITES;
	struct quire_object *object;

	if (config->size > QUIRE_OBJECT_MAX || config->caps & ~caps)
		return -QUIRE_EINVAL;
	/* What is saved and then reclaimed has to come back. */
	if (config->ops && config->ops->writepages && !config->ops->fault)
		return -QUIRE_EINVAL;
	section_enter();
	object = slab_alloc(&object_slab);
	if (object) {
		initialise(object, config);
		spin_lock(&objects.lock, RANK_OBJECTS);
		append(object);
		spin_unlock(&objects.lock);
		*out = object;
	}
	section_leave();
	return object ? 0 : -QUIRE_ENOMEM;
}

/* --- the end --- */

static void free_object(struct deferred *deferred)
{
	struct quire_object *object = container_of(deferred, struct quire_object, deferred);

	/* An insertion in vain may have had a node there, in a section that began before. */
	cache_exit(&object->cache);
	slab_free(&object_slab, object);
}

/* Reads that were begun ahead may outlast the last reference, and a call of page_request_run. */
static void wait_for_requests(struct quire_object *object)
{
	uint32_t requests;

	/* Acquire: pairs with the subtraction of page_request_free. */
	while ((requests = at_load_acquire(&object->requests)) != 0)
		sleep_on(&object->requests, requests);
}

/* => refs is 0, outside a section, no lock held; may sleep */
static void release(struct quire_object *object)
{
	/* Each mapping has a reference: somebody has put one that was not theirs. */
	require(object->mappings == 0);
	object_write_back(object, 0, CACHE_NONE, true);
	wait_for_requests(object);
	at_store(&object->cache.limit, 0ull);
	/* Either an insertion sees the limit, or what follows sees its page: see cache.h. */
	object_drop_all(object);
	if (object->ops->release) {
		struct away away = away_begin();

		object->ops->release(object);
		away_end(away);
	}
	section_enter();
	spin_lock(&objects.lock, RANK_OBJECTS);
	unlink_object(object);
	spin_unlock(&objects.lock);
	grace_defer(&object->deferred, free_object);
	section_leave();
}

bool object_try_get(struct quire_object *object)
{
	uint32_t refs = at_load(&object->refs);

	while (refs != 0)
		/* Nothing to pair with: the section keeps the object, and it is never revived. */
		if (at_cas(&object->refs, &refs, refs + 1))
			return true;
	return false;
}

void quire_object_get(struct quire_object *object)
{
	at_add(&object->refs, 1u);
}

/* Returns whether it was the last. */
static bool put(struct quire_object *object)
{
	/* Release and acquire: what was done with other references is done. */
	uint32_t refs = at_sub(&object->refs, 1u);

	require(refs != 0);
	return refs == 1;
}

void quire_object_put(struct quire_object *object)
{
	if (put(object))
		release(object);
}

void object_put_later(struct quire_object *object)
{
	if (!put(object))
		return;
	object->dead_next = at_load(&objects.dead);
	/* Release: pairs with the exchange of object_reap. */
	while (!at_cas(&objects.dead, &object->dead_next, object))
		;
}

void object_reap(void)
{
	struct quire_object *object, *next;

	if (likely(!at_load(&objects.dead)))
		return;
	/* Acquire: pairs with object_put_later, for dead_next. */
	for (object = at_xchg(&objects.dead, NULL); object; object = next) {
		next = object->dead_next;
		release(object);
	}
}

/* --- looking --- */

void *quire_object_private(const struct quire_object *object)
{
	return object->private_data;
}

uint64_t quire_object_size(const struct quire_object *object)
{
	return at_load(&object->size);
}

/* Pages that a section looks at: sections are short. */
#define COUNT_AT_ONCE 64

/* Count so many pages from *index on. False: these were the last. */
static bool count_some(struct quire_object *object, uint64_t *index,
		       struct quire_object_stats *stats)
{
	struct cache_slot slot;
	struct frame *frame;
	unsigned left = COUNT_AT_ONCE;

	section_enter();
	for (; left > 0; left--, ++*index) {
		frame = cache_next(&object->cache, index, CACHE_NONE, false, &slot);
		if (!frame)
			break;
		stats->cached++;
		stats->dirty += (at_load(&frame->u.object.state) & PAGE_DIRTY) != 0;
	}
	section_leave();
	return left == 0;
}

void quire_object_stats(struct quire_object *object, struct quire_object_stats *stats)
{
	uint64_t index = 0;

	*stats = (struct quire_object_stats){
		.read = at_load(&object->read),
		.written = at_load(&object->written),
		.reclaimed = at_load(&object->reclaimed),
		.errors = at_load(&object->errors),
	};
	section_enter();
	spin_lock(&object->lock, RANK_OBJECT);
	stats->mappings = object->mappings;
	spin_unlock(&object->lock);
	section_leave();
	while (count_some(object, &index, stats))
		;
}
