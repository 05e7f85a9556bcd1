/* SPDX-License-Identifier: MIT */
/*
 * What becomes of the pages of an object: written back, cut off, removed, forgotten, reclaimed,
 * read and written through the cache. The object's operations are a disk under the test's control;
 * its one mapping is a stand-in for a space, with entries that the test makes by the rules of a
 * fault.
 */
#include "objects.h"
#include "object/bytes.h"

#define PAGES 128u
#define BYTES (PAGES * PAGE_SIZE)
#define MEMORY (16ull << 20)
#define CALLS 64
#define ENTRIES PAGES

enum call { FAULT, WRITE, TRUNCATE, REMOVE, SYNC, CALL_KINDS };

/* What the object is kept on, and what was asked of it. */
static struct {
	unsigned char bytes[BYTES];
	uint64_t size;
	pthread_mutex_t lock;
	/* The n-th call from now of any operation fails, once; 0: none. */
	_Atomic uint32_t fail_at, calls;
	_Atomic uint32_t made[CALL_KINDS];
	struct {
		uint64_t index, length;
		unsigned count;
	} wrote[CALLS];
	struct {
		uint64_t index, count;
	} invalidated[CALLS];
	unsigned invalidations;
	bool wait;			       /* writes answer QUIRE_WAIT */
	struct quire_pages *_Atomic waiting;   /* these, the last first, by private_data */
	void (*inside)(struct quire_object *); /* called by writes */
	_Atomic uint32_t writing;	       /* calls of writepages that are not done */
	uint64_t sums[PAGES];		       /* of the pages that wait, when that began */
} disk;

static struct quire_object *object;

/* --- the mapping: entries hold references of frames, one lock is the leaf's --- */

static struct {
	struct mapping *mapping;
	pthread_mutex_t leaf;
	struct {
		struct frame *frame;
		bool writable, accessed;
	} entry[ENTRIES];
	_Atomic uint32_t busy;
	_Atomic uint32_t sweeps[SWEEP_AGE + 1];
	uint64_t first, last; /* of the last sweep */
	void (*inside)(void); /* called by each, once */
} map;

/* While an entry is there to be swept no other page is where its page was. */
static bool alone(const struct frame *frame, uint64_t i)
{
	struct cache_slot slot;
	struct frame *found;

	section_enter();
	slot = cache_find(&object->cache, i);
	found = cache_load(&slot);
	section_leave();
	return !found || found == frame;
}

static bool sweep_entry(uint64_t i, enum mapping_sweep kind)
{
	struct frame *frame = map.entry[i].frame;
	bool changed = frame != NULL;

	if (!frame)
		return false;
	thread_check(alone(frame, i));
	switch (kind) {
	case SWEEP_PROTECT:
		changed = map.entry[i].writable;
		map.entry[i].writable = false;
		break;
	case SWEEP_AGE:
		changed = map.entry[i].accessed;
		map.entry[i].accessed = false;
		break;
	default:
		map.entry[i].frame = NULL;
		page_unpin(frame);
	}
	return changed;
}

static uint64_t sweep(struct mapping *mapping, uint64_t first, uint64_t last,
		      enum mapping_sweep kind)
{
	uint64_t changed = 0;

	thread_check(mapping == map.mapping);
	thread_check(grace_is_online());
	at_add(&map.sweeps[kind], 1u);
	if (map.inside) {
		void (*call)(void) = map.inside;

		map.inside = NULL;
		call();
	}
	pthread_mutex_lock(&map.leaf);
	map.first = first;
	map.last = last;
	for (uint64_t i = first; i < last && i < ENTRIES; i++)
		changed += sweep_entry(i, kind);
	pthread_mutex_unlock(&map.leaf);
	return changed;
}

static void map_all(void)
{
	struct mapping_place place = { .object = object,
				       .origin = 0x10000000,
				       .start = 0x10000000,
				       .end = 0x10000000 + BYTES,
				       .sweep = sweep,
				       .busy = &map.busy };

	section_enter();
	assert_int_equal(mapping_make(&place, &map.mapping), 0);
	section_leave();
}

static void unmap_all(void)
{
	struct mapping *mapping = map.mapping;

	for (uint64_t i = 0; i < ENTRIES; i++)
		sweep_entry(i, SWEEP_ALL);
	section_enter();
	mapping_drop(mapping);
	section_leave();
	object_reap();
	map.mapping = NULL;
}

/* One attempt. => in a section, page pinned. False: look again */
static bool enter(struct frame *frame, const struct cache_slot *slot, uint64_t index, bool write)
{
	bool entered = false;

	pthread_mutex_lock(&map.leaf);
	if (cache_load(slot) == frame && at_load_acquire(&frame->u.object.state) & PAGE_READY &&
	    (!write || page_is_dirty(frame, slot))) {
		if (!map.entry[index].frame) {
			map.entry[index].frame = frame;
			map.entry[index].writable = false;
			frame_get(frame);
		}
		map.entry[index].writable |= write;
		map.entry[index].accessed = entered = true;
		thread_check(map.entry[index].frame == frame);
	}
	pthread_mutex_unlock(&map.leaf);
	return entered;
}

/* A fault. Returns an error: -QUIRE_EFAULT is SIGBUS. */
static int touch(uint64_t index, bool write)
{
	bool entered = false;
	int error = 0;

	while (!entered && !error) {
		struct cache_slot slot;
		struct frame *frame;

		section_enter();
		slot = cache_find(&object->cache, index);
		frame = cache_load(&slot);
		if (frame && !page_pin(frame, &slot))
			frame = NULL;
		if (frame) {
			entered = enter(frame, &slot, index, write);
			page_use(frame);
			frame_put(frame);
		}
		section_leave();
		if (!entered)
			error = page_fetch(object, index);
		if (!entered && !error && write)
			error = page_mkwrite(object, index);
	}
	return error;
}

/* An access by the mapping, faults included. */
static int poke(uint64_t offset, unsigned char value)
{
	uint64_t index = offset >> PAGE_SHIFT;
	int error;

	for (;;) {
		pthread_mutex_lock(&map.leaf);
		if (map.entry[index].frame && map.entry[index].writable) {
			unsigned char *page = frame_bytes(map.entry[index].frame);

			at_store((_Atomic unsigned char *)&page[offset & PAGE_MASK], value);
			pthread_mutex_unlock(&map.leaf);
			return 0;
		}
		pthread_mutex_unlock(&map.leaf);
		error = touch(index, true);
		if (error)
			return error;
	}
}

/* --- the operations --- */

static bool fails(enum call kind)
{
	thread_check(!grace_is_online());
	at_add(&disk.made[kind], 1u);
	return at_add(&disk.calls, 1u) + 1 == at_load(&disk.fail_at);
}

static void fail_at(uint32_t n)
{
	at_store(&disk.calls, 0u);
	at_store(&disk.fail_at, n);
}

static uint64_t length_at(const struct quire_pages *pages, unsigned i)
{
	uint64_t left = pages->length - i * PAGE_SIZE;

	return left < PAGE_SIZE ? left : PAGE_SIZE;
}

static int disk_fault(struct quire_object *asked, struct quire_pages *pages)
{
	thread_check(asked == object);
	if (fails(FAULT))
		return -QUIRE_EIO;
	pthread_mutex_lock(&disk.lock);
	for (unsigned i = 0; i < pages->count; i++)
		memcpy(pages->bytes[i], disk.bytes + ((pages->index + i) << PAGE_SHIFT),
		       length_at(pages, i));
	pthread_mutex_unlock(&disk.lock);
	return 0;
}

/* As a store: what lies beyond its end is lost. */
static void save(const struct quire_pages *pages)
{
	pthread_mutex_lock(&disk.lock);
	for (unsigned i = 0; i < pages->count; i++)
		bytes_out(disk.bytes + ((pages->index + i) << PAGE_SHIFT), pages->bytes[i],
			  length_at(pages, i));
	pthread_mutex_unlock(&disk.lock);
}

static uint64_t sum(const void *page)
{
	const _Atomic uint64_t *words = page;
	uint64_t sum = 0;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		sum = sum * 31 + at_load(&words[i]);
	return sum;
}

/* What holds of each page that is being written. */
static void check_writing(const struct quire_pages *pages)
{
	thread_check(pages->count >= 1 && pages->count <= QUIRE_BATCH);
	thread_check(pages->length <= pages->count * PAGE_SIZE);
	thread_check(pages->length > (pages->count - 1) * PAGE_SIZE);
	thread_check((pages->index << PAGE_SHIFT) + pages->length <= disk.size);
	for (unsigned i = 0; i < pages->count; i++) {
		struct frame *frame = frame_of_bytes(pages->bytes[i]);

		thread_check(frame->u.object.index == pages->index + i);
		thread_check(at_load(&frame->u.object.state) & PAGE_WRITING);
	}
}

static int disk_write(struct quire_object *asked, struct quire_pages *pages)
{
	unsigned call = at_load(&disk.made[WRITE]);

	thread_check(asked == object);
	check_writing(pages);
	if (call < CALLS) {
		disk.wrote[call].index = pages->index;
		disk.wrote[call].length = pages->length;
		disk.wrote[call].count = pages->count;
	}
	if (disk.inside)
		disk.inside(object);
	if (fails(WRITE))
		return -QUIRE_EIO;
	if (disk.wait) {
		at_add(&disk.writing, 1u);
		for (unsigned i = 0; i < pages->count; i++)
			disk.sums[pages->index + i] = sum(pages->bytes[i]);
		pages->private_data = at_load(&disk.waiting);
		while (!at_cas(&disk.waiting, (struct quire_pages **)&pages->private_data, pages))
			;
		return QUIRE_WAIT;
	}
	save(pages);
	return 0;
}

static int disk_truncate(struct quire_object *asked, uint64_t size)
{
	thread_check(asked == object && size <= BYTES);
	thread_check(at_load(&disk.writing) == 0);
	if (fails(TRUNCATE))
		return -QUIRE_ENOSPC;
	pthread_mutex_lock(&disk.lock);
	if (size < disk.size)
		memset(disk.bytes + size, 0, disk.size - size);
	disk.size = size;
	pthread_mutex_unlock(&disk.lock);
	return 0;
}

static int disk_remove(struct quire_object *asked, uint64_t offset, uint64_t length)
{
	thread_check(asked == object);
	thread_check(at_load(&disk.writing) == 0);
	if (fails(REMOVE))
		return -QUIRE_EIO;
	pthread_mutex_lock(&disk.lock);
	/* Not beyond the last page. */
	thread_check(offset < BYTES && length <= BYTES - offset);
	memset(disk.bytes + offset, 0, length);
	pthread_mutex_unlock(&disk.lock);
	return 0;
}

static int disk_sync(struct quire_object *asked)
{
	thread_check(asked == object);
	return fails(SYNC) ? -QUIRE_ENOSPC : 0;
}

static void disk_invalidate(struct quire_object *asked, uint64_t index, uint64_t count)
{
	thread_check(asked == object);
	thread_check(!grace_is_online());
	pthread_mutex_lock(&disk.lock);
	if (disk.invalidations < CALLS) {
		disk.invalidated[disk.invalidations].index = index;
		disk.invalidated[disk.invalidations].count = count;
	}
	disk.invalidations++;
	pthread_mutex_unlock(&disk.lock);
}

static const struct quire_object_ops disk_ops = {
	.fault = disk_fault,
	.writepages = disk_write,
	.truncate = disk_truncate,
	.remove = disk_remove,
	.sync = disk_sync,
	.invalidate = disk_invalidate,
};

/* --- beginning and end --- */

static void begin_with(const struct quire_object_ops *ops, unsigned caps, uint64_t size,
		       uint64_t memory)
{
	struct quire_object_config config = { .ops = ops, .caps = caps, .size = size };

	objects_start(memory);
	memset(&disk, 0, sizeof(disk));
	memset(&map, 0, sizeof(map));
	pthread_mutex_init(&disk.lock, NULL);
	pthread_mutex_init(&map.leaf, NULL);
	disk.size = size;
	assert_int_equal(quire_object_create(&config, &object), 0);
}

static void begin(uint64_t size)
{
	begin_with(&disk_ops, 0, size, MEMORY);
}

static void end(void)
{
	if (map.mapping)
		unmap_all();
	quire_object_put(object);
	objects_stop();
}

static struct quire_object_stats now(void)
{
	struct quire_object_stats stats;
	uint64_t pages, dirty;

	quire_object_stats(object, &stats);
	assert_null(cache_validate(&object->cache, &pages, &dirty));
	assert_int_equal(pages, stats.cached);
	assert_int_equal(dirty, object->tracks ? stats.dirty : dirty);
	return stats;
}

static unsigned char pattern(uint64_t offset, unsigned seed)
{
	return (unsigned char)(offset * 7 + (offset >> 8) + seed);
}

/* Write the pattern, through the cache. */
static void fill(uint64_t offset, uint64_t length, unsigned seed)
{
	unsigned char *bytes = malloc(length);

	for (uint64_t i = 0; i < length; i++)
		bytes[i] = pattern(offset + i, seed);
	assert_int_equal(quire_object_write(object, offset, bytes, length), length);
	free(bytes);
}

static bool reads(uint64_t offset, uint64_t length,
		  bool (*right)(uint64_t, unsigned char, unsigned), unsigned seed)
{
	unsigned char *bytes = malloc(length);
	bool all = quire_object_read(object, offset, bytes, length) == (int64_t)length;

	for (uint64_t i = 0; i < length; i++)
		all &= right(offset + i, bytes[i], seed);
	free(bytes);
	return all;
}

static bool is_pattern(uint64_t offset, unsigned char byte, unsigned seed)
{
	return byte == pattern(offset, seed);
}

static bool is_zero(uint64_t offset, unsigned char byte, unsigned seed)
{
	(void)offset;
	(void)seed;
	return byte == 0;
}

static bool on_disk(uint64_t offset, uint64_t length, unsigned seed)
{
	for (uint64_t i = offset; i < offset + length; i++)
		if (disk.bytes[i] != pattern(i, seed))
			return false;
	return true;
}

/* --- writing back --- */

static void what_is_written(void **state)
{
	(void)state;
	begin(BYTES);
	fill(3 * PAGE_SIZE, 3 * PAGE_SIZE, 1);
	fill(9 * PAGE_SIZE + 100, 10, 1);
	assert_int_equal(now().dirty, 4);
	assert_int_equal(at_load(&disk.made[WRITE]), 0);

	assert_int_equal(quire_object_sync(object, 4 * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(disk.wrote[0].index, 4);
	assert_int_equal(disk.wrote[0].count, 1);
	assert_int_equal(now().dirty, 3);
	assert_int_equal(quire_object_sync(object, 0, UINT64_MAX), 0);
	assert_int_equal(at_load(&disk.made[WRITE]), 4);
	assert_int_equal(disk.wrote[1].index, 3);
	assert_int_equal(disk.wrote[2].index, 5);
	assert_int_equal(disk.wrote[3].index, 9);
	assert_true(on_disk(3 * PAGE_SIZE, 3 * PAGE_SIZE, 1));
	assert_true(on_disk(9 * PAGE_SIZE + 100, 10, 1));
	assert_int_equal(disk.bytes[9 * PAGE_SIZE + 110], 0);
	for (unsigned i = 3; i < 6; i++) {
		assert_int_equal(page_state(object, i), PAGE_READY | PAGE_USED);
		assert_false(page_marked(object, i));
	}
	assert_int_equal(now().written, 4);
	assert_int_equal(now().dirty, 0);

	/* Clean pages are not written, and the store is asked to flush each time. */
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(at_load(&disk.made[WRITE]), 4);
	assert_int_equal(at_load(&disk.made[SYNC]), 3);

	/* Neighbours go together, up to a batch. */
	fill(10 * PAGE_SIZE, 70 * PAGE_SIZE, 2);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(at_load(&disk.made[WRITE]), 7);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(disk.wrote[4 + i].index, 10 + i * QUIRE_BATCH);
		assert_int_equal(disk.wrote[4 + i].count, i < 2 ? QUIRE_BATCH : 6);
	}
	assert_true(on_disk(10 * PAGE_SIZE, 70 * PAGE_SIZE, 2));

	/* The last reference writes. */
	fill(5, 1, 3);
	end();
	assert_true(on_disk(5, 1, 3));
}

static void not_beyond_the_end(void **state)
{
	(void)state;
	begin(2 * PAGE_SIZE + 100);
	map_all();
	memset(disk.bytes + 2 * PAGE_SIZE + 100, 0x77, 200);
	fill(PAGE_SIZE, PAGE_SIZE + 100, 1);
	/* A program may store there. */
	assert_int_equal(poke(2 * PAGE_SIZE + 150, 0x55), 0);
	assert_int_equal(poke(3 * PAGE_SIZE, 0x55), -QUIRE_EFAULT);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(disk.wrote[0].index, 1);
	assert_int_equal(disk.wrote[0].count, 2);
	assert_int_equal(disk.wrote[0].length, PAGE_SIZE + 100);
	assert_true(on_disk(PAGE_SIZE, PAGE_SIZE + 100, 1));
	for (unsigned i = 100; i < 300; i++)
		assert_int_equal(disk.bytes[2 * PAGE_SIZE + i], 0x77);
	end();
}

/* No entry allows writing while, and after, the page is written; and who writes then is asked. */
static void check_protected(struct quire_object *asked)
{
	(void)asked;
	for (unsigned i = 0; i < ENTRIES; i++)
		thread_check(!map.entry[i].writable);
}

static void protected_first(void **state)
{
	(void)state;
	begin(BYTES);
	map_all();
	disk.inside = check_protected;
	for (unsigned round = 1; round < 4; round++) {
		for (unsigned i = 8; i < 12; i++)
			assert_int_equal(poke(i * PAGE_SIZE + 5, (unsigned char)(round + i)), 0);
		assert_true(map.entry[9].writable);
		assert_int_equal(now().dirty, 4);
		assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
		assert_int_equal(map.sweeps[SWEEP_PROTECT], round);
		assert_int_equal(map.first, 8);
		assert_int_equal(map.last, 12);
		for (unsigned i = 8; i < 12; i++)
			assert_int_equal(disk.bytes[i * PAGE_SIZE + 5], round + i);
		assert_non_null(map.entry[9].frame);
	}
	end();
}

static void errors_once(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 3; n++) {
		begin(BYTES);
		fill(0, 80 * PAGE_SIZE, 1);
		fail_at(n);
		assert_int_equal(quire_object_sync(object, 0, BYTES), -QUIRE_EIO);
		/* The others were written, and the store flushed. */
		assert_int_equal(at_load(&disk.made[WRITE]), 3);
		assert_int_equal(at_load(&disk.made[SYNC]), 1);
		assert_int_equal(now().dirty, n < 3 ? QUIRE_BATCH : 16);
		assert_int_equal(now().errors, 1);
		assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
		assert_int_equal(now().dirty, 0);
		assert_true(on_disk(0, 80 * PAGE_SIZE, 1));
		end();
	}
	begin(BYTES);
	fill(0, PAGE_SIZE, 1);
	fail_at(2);
	assert_int_equal(quire_object_sync(object, 0, BYTES), -QUIRE_ENOSPC);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	/* An error of a write that nobody waited for is for the next sync; of two the last. */
	fill(0, PAGE_SIZE, 2);
	fail_at(1);
	object_write_back(object, 0, CACHE_NONE, false);
	assert_int_equal(now().dirty, 1);
	fail_at(1);
	object_write_back(object, 0, CACHE_NONE, true);
	assert_int_equal(quire_object_sync(object, 0, BYTES), -QUIRE_EIO);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_true(on_disk(0, PAGE_SIZE, 2));
	end();
}

/* --- writes that are answered later --- */

static _Atomic uint32_t stage, begun[OBJECT_CPUS];

/* The CPU's thread begins with what must wait. */
static void begin_waiting(unsigned cpu)
{
	at_store_release(&begun[cpu], 1u);
}

/* Until it sleeps, and a while longer: the caller looks whether it has gone on. */
static void await_asleep(unsigned cpu)
{
	await(&begun[cpu], 1);
	/* Asleep it is offline; so it is at its end. */
	while (at_load_acquire(&grace_cpus[cpu].seen) != 0)
		sched_yield();
	at_store(&begun[cpu], 0u);
	nap(5 * MILLISECOND);
}

static void answer_waiting(int error)
{
	struct quire_pages *pages = at_load_acquire(&disk.waiting);

	assert_non_null(pages);
	at_store(&disk.waiting, NULL);
	if (!error)
		save(pages);
	at_sub(&disk.writing, 1u);
	quire_pages_done(pages, error);
}

static void syncer(unsigned cpu)
{
	begin_waiting(cpu);
	thread_check(quire_object_sync(object, 0, BYTES) == 0);
	at_add(&stage, 1u);
}

static void truncater(unsigned cpu)
{
	begin_waiting(cpu);
	thread_check(quire_object_truncate(object, PAGE_SIZE) == 0);
	at_add(&stage, 1u);
}

static void remover(unsigned cpu)
{
	begin_waiting(cpu);
	thread_check(quire_object_remove(object, 0, BYTES) == 0);
	at_add(&stage, 1u);
}

/* Each waits for a write that is under way. */
static void asynchronous(void **state)
{
	static void (*const works[])(unsigned) = { syncer, truncater, remover };
	struct thread thread;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(BYTES);
		disk.wait = true;
		at_store(&stage, 0u);
		fill(0, 2 * PAGE_SIZE, 1);
		object_write_back(object, 0, CACHE_NONE, false);
		assert_int_equal(page_state(object, 1), PAGE_READY | PAGE_USED | PAGE_WRITING);
		assert_int_equal(now().dirty, 0);
		thread_start(&thread, 1, works[i]);
		await_asleep(1);
		assert_int_equal(at_load(&stage), 0);
		assert_int_equal(at_load(&disk.made[TRUNCATE]) + at_load(&disk.made[REMOVE]), 0);
		answer_waiting(0);
		thread_join(&thread);
		assert_int_equal(at_load(&stage), 1);
		disk.wait = false;
		end();
	}
}

/* Written to while it is being written: it is written again. And an error comes late. */
static void dirty_again(void **state)
{
	(void)state;
	begin(BYTES);
	map_all();
	disk.wait = true;
	assert_int_equal(poke(100, 1), 0);
	object_write_back(object, 0, CACHE_NONE, false);
	assert_int_equal(poke(100, 2), 0);
	assert_int_equal(page_state(object, 0), PAGE_READY | PAGE_USED | PAGE_WRITING | PAGE_DIRTY);
	/* Who does not wait leaves it. */
	object_write_back(object, 0, CACHE_NONE, false);
	assert_int_equal(at_load(&disk.made[WRITE]), 1);
	assert_true(page_marked(object, 0));
	answer_waiting(-QUIRE_EIO);
	assert_int_equal(now().dirty, 1);
	disk.wait = false;
	assert_int_equal(quire_object_sync(object, 0, BYTES), -QUIRE_EIO);
	assert_int_equal(disk.bytes[100], 2);
	assert_int_equal(now().dirty, 0);
	disk.wait = true;
	assert_int_equal(poke(100, 3), 0);
	object_write_back(object, 0, CACHE_NONE, false);
	answer_waiting(-QUIRE_EIO);
	assert_true(page_marked(object, 0));
	assert_int_equal(page_state(object, 0), PAGE_READY | PAGE_USED | PAGE_DIRTY);
	disk.wait = false;
	assert_int_equal(quire_object_sync(object, 0, BYTES), -QUIRE_EIO);
	assert_int_equal(disk.bytes[100], 3);
	end();
}

/* A sync saves what was written before it began, whatever is being saved then. */
static void dirty_and_synced(void **state)
{
	struct thread thread;

	(void)state;
	begin(BYTES);
	map_all();
	disk.wait = true;
	at_store(&stage, 0u);
	assert_int_equal(poke(100, 1), 0);
	object_write_back(object, 0, CACHE_NONE, false);
	assert_int_equal(poke(100, 2), 0);
	thread_start(&thread, 1, syncer);
	await_asleep(1);
	assert_int_equal(at_load(&stage), 0);
	disk.wait = false;
	disk.bytes[100] = 7;
	at_sub(&disk.writing, 1u);
	quire_pages_done(at_xchg(&disk.waiting, NULL), 0);
	thread_join(&thread);
	assert_int_equal(disk.bytes[100], 2);
	end();
}

static void late_writer(unsigned cpu)
{
	unsigned char byte = 9;

	begin_waiting(cpu);
	if (cpu == 1)
		thread_check(quire_object_write(object, 200, &byte, 1) == 1);
	else
		thread_check(poke(300, byte) == 0);
	at_add(&stage, 1u);
}

/* A page that must not change while it is written doesn't. */
static void stable(void **state)
{
	struct thread threads[2];
	uint64_t sum_before;

	(void)state;
	begin_with(&disk_ops, QUIRE_STABLE_WRITES, BYTES, MEMORY);
	map_all();
	disk.wait = true;
	at_store(&stage, 0u);
	assert_int_equal(poke(100, 1), 0);
	object_write_back(object, 0, CACHE_NONE, false);
	sum_before = disk.sums[0];
	thread_start(&threads[0], 1, late_writer);
	thread_start(&threads[1], 2, late_writer);
	for (unsigned cpu = 1; cpu <= 2; cpu++)
		await_asleep(cpu);
	assert_int_equal(at_load(&stage), 0);
	assert_int_equal(sum(at_load(&disk.waiting)->bytes[0]), sum_before);
	answer_waiting(0);
	for (unsigned i = 0; i < 2; i++)
		thread_join(&threads[i]);
	assert_int_equal(disk.bytes[200] + disk.bytes[300], 0);
	disk.wait = false;
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(disk.bytes[200], 9);
	assert_int_equal(disk.bytes[300], 9);
	end();
}

/* --- truncating and removing --- */

static void smaller(void **state)
{
	const uint64_t size = 20 * PAGE_SIZE + 1000;
	struct frame *pinned;

	(void)state;
	begin(BYTES);
	map_all();
	fill(0, BYTES, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	fill(30 * PAGE_SIZE, 2 * PAGE_SIZE, 2);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(touch(i, i % 2), 0);
	section_enter();
	pinned = page_get(object, 30);
	section_leave();
	disk.invalidations = 0;
	assert_int_equal(quire_object_truncate(object, size), 0);
	assert_int_equal(quire_object_size(object), size);
	assert_int_equal(disk.size, size);
	assert_int_equal(now().cached, 21);
	assert_int_equal(at_load(&pinned->u.object.state) & (PAGE_GONE | PAGE_READY | PAGE_DIRTY),
			 PAGE_GONE);
	assert_int_equal(at_load(&pinned->refs), 1);
	page_unpin(pinned);
	assert_int_equal(map.sweeps[SWEEP_ALL], 1);
	assert_int_equal(map.first, 21);
	assert_int_equal(at_load(&object->cache.limit), 21);
	for (unsigned i = 0; i < ENTRIES; i++)
		assert_int_equal(map.entry[i].frame != NULL, i < 21);
	/* All of them were told, none twice. */
	for (uint64_t next = PAGES, i = 0; i < disk.invalidations; i++) {
		next -= disk.invalidated[i].count;
		assert_int_equal(disk.invalidated[i].index, next);
		assert_true(i + 1 < disk.invalidations || next == 21);
	}
	assert_int_equal(disk.invalidations, 2);
	/* Nothing of the rest is left, in the cache or out of it. */
	assert_true(reads(0, size, is_pattern, 1));
	assert_int_equal(quire_object_truncate(object, BYTES), 0);
	assert_true(reads(0, size, is_pattern, 1));
	assert_true(reads(size, BYTES - size, is_zero, 0));
	/* Private copies are swept even where nothing is cached; a smaller last page is not. */
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(quire_object_invalidate(object, 0, BYTES), 0);
	assert_int_equal(quire_object_truncate(object, 5 * PAGE_SIZE), 0);
	assert_int_equal(map.sweeps[SWEEP_ALL], 2);
	assert_int_equal(quire_object_truncate(object, 5 * PAGE_SIZE - 1), 0);
	assert_int_equal(map.sweeps[SWEEP_ALL], 2);
	assert_int_equal(quire_object_truncate(object, QUIRE_OBJECT_MAX + 1), -QUIRE_EINVAL);
	end();
}

/* The rest of the last page is zero after each change of the size, whatever was stored there. */
static void tails(void **state)
{
	unsigned char byte = 1;

	(void)state;
	begin(1000);
	map_all();
	assert_int_equal(poke(999, 3), 0);
	assert_int_equal(poke(1500, 3), 0);
	assert_int_equal(poke(2500, 3), 0);
	assert_int_equal(quire_object_truncate(object, 2000), 0);
	assert_true(reads(1000, 1000, is_zero, 0));
	assert_int_equal(poke(1999, 4), 0);
	assert_int_equal(poke(3000, 3), 0);
	assert_int_equal(quire_object_truncate(object, 1999), 0);
	assert_int_equal(quire_object_truncate(object, 5000), 0);
	assert_true(reads(1000, 4000, is_zero, 0));
	/* A write beyond the end, too. */
	assert_int_equal(poke(6000, 3), 0);
	assert_int_equal(quire_object_write(object, 7000, &byte, 1), 1);
	assert_int_equal(quire_object_size(object), 7001);
	assert_true(reads(1000, 6000, is_zero, 0));
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(disk.bytes[999], 3);
	assert_int_equal(disk.bytes[7000], 1);
	/* What can't be made larger takes what fits. */
	fail_at(1);
	assert_int_equal(quire_object_write(object, 7000, "ab", 2), 1);
	assert_int_equal(quire_object_size(object), 7001);
	fail_at(1);
	assert_int_equal(quire_object_write(object, 7001, "ab", 2), -QUIRE_ENOSPC);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(disk.bytes[7000], 'a');
	for (unsigned i = 1000; i < 7000; i++)
		assert_int_equal(disk.bytes[i], 0);
	end();
}

/* While the page is being read: the truncation waits for the last one, and takes others at once. */
static struct quire_pages *_Atomic being_read;

static int fault_later(struct quire_object *asked, struct quire_pages *pages)
{
	(void)asked;
	at_store_release(&being_read, pages);
	return QUIRE_WAIT;
}

static void fetcher(unsigned cpu)
{
	thread_check(page_fetch(object, cpu == 1 ? 0 : 10) == 0);
}

static const struct quire_object_ops later_ops = { .fault = fault_later,
						   .writepages = disk_write,
						   .remove = disk_remove };

static struct quire_pages *begin_reading(struct thread *reader, unsigned cpu)
{
	struct quire_pages *pages;

	at_store(&stage, 0u);
	at_store(&being_read, NULL);
	thread_start(reader, cpu, fetcher);
	while (!(pages = at_load_acquire(&being_read)))
		nap(MILLISECOND);
	return pages;
}

static void cut_to_100(unsigned cpu)
{
	begin_waiting(cpu);
	thread_check(quire_object_truncate(object, 100) == 0);
	at_add(&stage, 1u);
}

static void cut_while_read(void **state)
{
	struct quire_pages *pages;
	struct thread reader, other;

	(void)state;
	begin_with(&later_ops, 0, PAGE_SIZE, MEMORY);
	pages = begin_reading(&reader, 1);
	memset(pages->bytes[0], 0x66, PAGE_SIZE);
	thread_start(&other, 2, cut_to_100);
	while (quire_object_size(object) != 100)
		nap(MILLISECOND);
	await_asleep(2);
	assert_int_equal(at_load(&stage), 0);
	quire_pages_done(pages, 0);
	thread_join(&reader);
	thread_join(&other);
	assert_int_equal(quire_object_truncate(object, PAGE_SIZE), 0);
	assert_true(reads(100, PAGE_SIZE - 100, is_zero, 0));

	/* A whole page: it is taken out at once, and who waits for it is to look again. */
	assert_int_equal(quire_object_truncate(object, 11 * PAGE_SIZE), 0);
	pages = begin_reading(&reader, 2);
	assert_int_equal(quire_object_truncate(object, PAGE_SIZE), 0);
	assert_int_equal(now().cached, 1);
	thread_join(&reader);
	assert_int_equal(page_fetch(object, 10), -QUIRE_EFAULT);
	quire_pages_done(pages, 0);
	assert_int_equal(now().cached, 1);
	end();
}

/* What was read before it was removed does not come back. */
static void removed_while_read(void **state)
{
	struct quire_pages *pages;
	struct thread reader, other;

	(void)state;
	begin_with(&later_ops, 0, PAGE_SIZE, MEMORY);
	pages = begin_reading(&reader, 1);
	memset(pages->bytes[0], 0x66, PAGE_SIZE);
	thread_start(&other, 2, remover);
	await_asleep(2);
	assert_int_equal(at_load(&stage), 0);
	quire_pages_done(pages, 0);
	thread_join(&reader);
	thread_join(&other);
	assert_int_equal(now().cached, 0);
	end();
}

/* While it is copied to, as by quire_object_write: the rest is zeroed after that. */
static void cut_while_copied(void **state)
{
	struct frame *frame;
	struct thread other;

	(void)state;
	begin(PAGE_SIZE);
	at_store(&stage, 0u);
	fill(0, PAGE_SIZE, 1);
	section_enter();
	frame = page_get(object, 0);
	section_leave();
	at_add(&frame->u.object.state, PAGE_WRITING);
	thread_start(&other, 1, cut_to_100);
	await_asleep(1);
	assert_int_equal(at_load(&stage), 0);
	memset(frame_bytes(frame), 0x66, PAGE_SIZE);
	at_sub(&frame->u.object.state, PAGE_WRITING);
	page_wake(frame);
	thread_join(&other);
	for (unsigned i = 100; i < PAGE_SIZE; i++)
		assert_int_equal(((unsigned char *)frame_bytes(frame))[i], 0);
	page_unpin(frame);
	end();
}

/* Who copies to a page may have no memory itself: reclaim passes it by. */
static void reclaimed_while_copied(void **state)
{
	struct frame *frame;

	(void)state;
	begin(2 * PAGE_SIZE);
	fill(0, 2 * PAGE_SIZE, 1);
	section_enter();
	frame = page_get(object, 0);
	section_leave();
	at_add(&frame->u.object.state, PAGE_WRITING);
	quire_reclaim(2);
	quire_reclaim(2);
	assert_int_equal(now().cached, 1);
	assert_int_equal(now().dirty, 1);
	at_sub(&frame->u.object.state, PAGE_WRITING);
	page_unpin(frame);
	end();
}

/* Pages that are being swept are in their places, and nobody's; a truncation leaves them alone. */
static void check_leaving(void)
{
	for (unsigned i = 10; i < 14; i++)
		thread_check((page_state(object, i) & (PAGE_READY | PAGE_LEAVING)) == PAGE_LEAVING);
}

static void cut_while_leaving(void)
{
	check_leaving();
	/* Somebody finds them, to wait; nobody else claims them for that. */
	for (unsigned i = 10; i < 14; i++) {
		struct frame *frame;

		section_enter();
		frame = page_get(object, i);
		page_use(frame);
		frame_put(frame);
		section_leave();
	}
	thread_check(object_drop_clean(object, 10, 14, false, NULL) == 0);
	check_leaving();
	thread_check(quire_object_truncate(object, 0) == 0);
	thread_check(quire_object_truncate(object, BYTES) == 0);
	check_leaving();
}

static void leaving(void **state)
{
	(void)state;
	begin(BYTES);
	map_all();
	fill(0, 20 * PAGE_SIZE, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	map.inside = check_leaving;
	assert_int_equal(quire_object_remove(object, 10 * PAGE_SIZE, 4 * PAGE_SIZE), 0);
	fill(0, 20 * PAGE_SIZE, 2);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	map.inside = cut_while_leaving;
	assert_int_equal(quire_object_invalidate(object, 10 * PAGE_SIZE, 4 * PAGE_SIZE), 0);
	assert_int_equal(now().cached, 0);
	assert_true(reads(0, BYTES, is_zero, 0));
	end();
}

static void holes(void **state)
{
	(void)state;
	begin(BYTES - 50);
	map_all();
	fill(0, BYTES - 50, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	fill(12 * PAGE_SIZE, 100, 2);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(touch(i, true), 0);
	assert_int_equal(quire_object_remove(object, 10 * PAGE_SIZE, 4 * PAGE_SIZE), 0);
	assert_int_equal(now().cached, PAGES - 4);
	assert_int_equal(map.sweeps[SWEEP_PAGES], 1);
	assert_int_equal(map.first, 10);
	assert_int_equal(map.last, 14);
	assert_null(map.entry[12].frame);
	assert_non_null(map.entry[14].frame);
	assert_true(reads(10 * PAGE_SIZE, 4 * PAGE_SIZE, is_zero, 0));
	assert_true(reads(0, 10 * PAGE_SIZE, is_pattern, 1));
	assert_true(reads(14 * PAGE_SIZE, 30 * PAGE_SIZE, is_pattern, 1));
	/* The last page, which is not whole. */
	assert_int_equal(quire_object_remove(object, (PAGES - 1) * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(quire_object_size(object), BYTES - 50);
	assert_true(reads((PAGES - 1) * PAGE_SIZE, PAGE_SIZE - 50, is_zero, 0));

	assert_int_equal(quire_object_remove(object, 0, 0), 0);
	assert_int_equal(quire_object_remove(object, 1, PAGE_SIZE), -QUIRE_EINVAL);
	assert_int_equal(quire_object_remove(object, 0, 1), -QUIRE_EINVAL);
	fail_at(1);
	/* Beyond the end nothing is asked. */
	assert_int_equal(quire_object_remove(object, PAGES * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(quire_object_remove(object, 0, PAGE_SIZE), -QUIRE_EIO);
	assert_true(reads(0, PAGE_SIZE, is_pattern, 1));
	fail_at(1);
	assert_int_equal(quire_object_truncate(object, 10), -QUIRE_ENOSPC);
	assert_int_equal(quire_object_size(object), BYTES - 50);
	assert_true(reads(0, PAGE_SIZE, is_pattern, 1));
	end();
}

/* What an object without operations can do: memory that lives in the cache. */
static void memory_only(void **state)
{
	static const struct quire_object_ops no_remove = { .fault = disk_fault };

	(void)state;
	begin_with(NULL, 0, BYTES, MEMORY);
	fill(0, 4 * PAGE_SIZE, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(quire_reclaim(100), 0);
	assert_int_equal(quire_object_invalidate(object, 0, BYTES), -QUIRE_EBUSY);
	assert_true(reads(0, 4 * PAGE_SIZE, is_pattern, 1));
	assert_int_equal(quire_object_remove(object, PAGE_SIZE, PAGE_SIZE), 0);
	assert_true(reads(PAGE_SIZE, PAGE_SIZE, is_zero, 0));
	assert_int_equal(quire_object_truncate(object, 2 * PAGE_SIZE), 0);
	assert_int_equal(quire_object_truncate(object, 4 * PAGE_SIZE), 0);
	assert_true(reads(2 * PAGE_SIZE, 2 * PAGE_SIZE, is_zero, 0));
	end();
	begin_with(&no_remove, 0, BYTES, MEMORY);
	fill(0, 4 * PAGE_SIZE, 1);
	assert_true(reads(0, 4 * PAGE_SIZE, is_pattern, 1));
	assert_true(reads(8 * PAGE_SIZE, PAGE_SIZE, is_zero, 0));
	assert_int_equal(quire_object_remove(object, 0, PAGE_SIZE), -QUIRE_EOPNOTSUPP);
	assert_int_equal(quire_object_invalidate(object, 8 * PAGE_SIZE, PAGE_SIZE), -QUIRE_EBUSY);
	assert_int_equal(quire_reclaim(100), 0);
	assert_true(reads(0, 4 * PAGE_SIZE, is_pattern, 1));
	end();
}

/* --- evicting --- */

static void forgetting(void **state)
{
	(void)state;
	begin(BYTES);
	map_all();
	fill(0, 8 * PAGE_SIZE, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	fill(2 * PAGE_SIZE, PAGE_SIZE, 2);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(touch(i, false), 0);
	/* Somebody else changes the store. */
	for (unsigned i = 0; i < 8 * PAGE_SIZE; i++)
		disk.bytes[i] = pattern(i, 3);
	assert_int_equal(quire_object_invalidate(object, PAGE_SIZE, 3 * PAGE_SIZE), -QUIRE_EBUSY);
	assert_int_equal(now().cached, 6);
	assert_null(map.entry[1].frame);
	assert_non_null(map.entry[2].frame);
	assert_null(map.entry[3].frame);
	assert_non_null(map.entry[4].frame);
	assert_int_equal(disk.invalidations, 2);
	assert_true(reads(PAGE_SIZE, PAGE_SIZE, is_pattern, 3));
	assert_true(reads(2 * PAGE_SIZE, PAGE_SIZE, is_pattern, 2));
	assert_true(reads(3 * PAGE_SIZE, PAGE_SIZE, is_pattern, 3));
	assert_true(reads(4 * PAGE_SIZE, PAGE_SIZE, is_pattern, 1));
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(quire_object_invalidate(object, 0, UINT64_MAX), 0);
	assert_int_equal(now().cached, 0);
	assert_true(now().reclaimed >= 9);
	/* While it is written it stays. */
	fill(0, 10, 4);
	disk.wait = true;
	object_write_back(object, 0, CACHE_NONE, false);
	assert_int_equal(quire_object_invalidate(object, 0, BYTES), -QUIRE_EBUSY);
	answer_waiting(0);
	disk.wait = false;
	assert_int_equal(quire_object_invalidate(object, 0, BYTES), 0);
	end();
}

static void clock_hand(void **state)
{
	uint64_t stayed;

	(void)state;
	begin(BYTES);
	map_all();
	fill(0, 8 * PAGE_SIZE, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(touch(0, false), 0);
	assert_int_equal(touch(1, false), 0);
	/* All were used; then only page 0, by its mapping, and page 5, by a read. */
	assert_int_equal(object_drop_clean(object, 0, CACHE_NONE, false, &stayed), 0);
	assert_int_equal(stayed, 0);
	map.entry[0].accessed = true;
	assert_true(reads(5 * PAGE_SIZE, 1, is_pattern, 1));
	assert_int_equal(object_drop_clean(object, 0, CACHE_NONE, false, &stayed), 6);
	assert_non_null(map.entry[0].frame);
	assert_null(map.entry[1].frame);
	assert_int_equal(object_drop_clean(object, 0, 1, false, &stayed), 1);
	assert_null(map.entry[0].frame);
	assert_int_equal(now().cached, 1);

	/* Dirty pages are written in the second round, and no more go than were asked for. */
	fill(0, 40 * PAGE_SIZE, 2);
	assert_int_equal(quire_reclaim(7), 7);
	assert_int_equal(now().cached, 33);
	assert_int_equal(now().dirty, 0);
	assert_int_equal(quire_reclaim(1000), 33);
	assert_int_equal(now().cached, 0);
	assert_true(reads(0, 40 * PAGE_SIZE, is_pattern, 2));
	/* What can't be written stays. */
	fill(0, PAGE_SIZE, 3);
	fail_at(1);
	quire_reclaim(1000);
	assert_int_equal(now().cached, 1);
	assert_int_equal(quire_object_sync(object, 0, BYTES), -QUIRE_EIO);
	assert_true(on_disk(0, PAGE_SIZE, 3));
	end();
}

/* A store that runs out of memory while it writes: it may reclaim, though not from this object. */
static void reclaim_inside(struct quire_object *asked)
{
	(void)asked;
	quire_cpu_online();
	quire_reclaim(10);
	quire_cpu_offline();
}

static void from_inside(void **state)
{
	(void)state;
	begin(BYTES);
	fill(0, 64 * PAGE_SIZE, 1);
	disk.inside = reclaim_inside;
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_true(on_disk(0, 64 * PAGE_SIZE, 1));
	assert_true(now().cached < 64);
	end();
}

/* A file larger than memory, written and read: the cache gives way, and dirty pages are saved. */
static void larger_than_memory(void **state)
{
	(void)state;
	begin_with(&disk_ops, 0, 0, 56 * PAGE_SIZE + (1 << 16));
	fill(0, BYTES, 5);
	assert_true(now().cached < PAGES);
	assert_true(reads(0, BYTES, is_pattern, 5));
	fill(0, BYTES, 6);
	assert_true(reads(0, BYTES, is_pattern, 6));
	end();
}

/* --- failures --- */

static unsigned char shadow[BYTES];
static uint64_t shadow_size;

static uint32_t draw_below(uint32_t *random, uint32_t n)
{
	return random_next(random) % n;
}

/* The bytes that a write said it has done are there. */
static void write_shadow(uint64_t offset, uint64_t length, unsigned char value)
{
	static unsigned char bytes[BYTES];
	int64_t done;

	memset(bytes, value, length);
	done = quire_object_write(object, offset, bytes, length);
	assert_true(done <= (int64_t)length);
	if (done > 0)
		memset(shadow + offset, value, (uint64_t)done);
	/* It may be larger and zero beyond what was done. */
	assert_true(quire_object_size(object) >= shadow_size);
	assert_true(done <= 0 || quire_object_size(object) >= offset + (uint64_t)done);
	shadow_size = quire_object_size(object);
}

static void cut_shadow(uint64_t size)
{
	if (quire_object_truncate(object, size) != 0)
		return;
	if (size < shadow_size)
		memset(shadow + size, 0, shadow_size - size);
	shadow_size = size;
}

static void read_shadow(uint64_t offset, uint64_t length)
{
	static unsigned char bytes[BYTES];
	uint64_t rest = offset < shadow_size ? shadow_size - offset : 0;
	int64_t done = quire_object_read(object, offset, bytes, length);

	assert_true(done <= (int64_t)(length < rest ? length : rest));
	for (int64_t i = 0; i < done; i++)
		assert_int_equal(bytes[i], shadow[offset + (uint64_t)i]);
}

static void random_step(uint32_t *random)
{
	uint64_t offset = draw_below(random, BYTES / 4), length = draw_below(random, 9000);

	switch (draw_below(random, 16)) {
	case 0:
		cut_shadow(offset);
		break;
	case 1:
		quire_object_sync(object, offset, length);
		break;
	case 2:
		quire_object_invalidate(object, offset, length);
		break;
	case 3:
		quire_reclaim(draw_below(random, 20));
		break;
	case 4:
		object_write_back(object, 0, CACHE_NONE, false);
		break;
	case 5:
		if (quire_object_remove(object, offset & ~PAGE_MASK, PAGE_SIZE) == 0)
			memset(shadow + (offset & ~PAGE_MASK), 0, PAGE_SIZE);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		read_shadow(offset, length);
		break;
	default:
		if (draw_below(random, 3) == 0)
			offset &= ~PAGE_MASK;
		write_shadow(offset, length, (unsigned char)random_next(random));
	}
}

/* All is as the shadow, in the cache and, after a sync, on the disk. */
static void same_as_shadow(void)
{
	static unsigned char bytes[BYTES];

	quire_object_sync(object, 0, BYTES); /* what was left of errors */
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(quire_object_size(object), shadow_size);
	assert_int_equal(quire_object_read(object, 0, bytes, BYTES), shadow_size);
	assert_memory_equal(bytes, shadow, shadow_size);
	assert_int_equal(disk.size, shadow_size);
	assert_memory_equal(disk.bytes, shadow, shadow_size);
}

static void random_calls(uint32_t seed, unsigned steps)
{
	uint32_t random = seed * 2654435761u + 1;

	memset(shadow, 0, sizeof(shadow));
	shadow_size = quire_object_size(object);
	for (unsigned i = 0; i < steps; i++)
		random_step(&random);
}

static void as_a_shadow(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		begin(seed * 777);
		random_calls(seed, 150);
		same_as_shadow();
		now();
		end();
	}
}

/* Each operation fails at each call: nothing is lost but what the caller was told. */
static void operation_failures(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 3; seed++) {
		for (uint32_t n = 1;; n++) {
			uint32_t calls;

			begin(10000);
			fail_at(n);
			random_calls(seed, 40);
			calls = at_load(&disk.calls);
			fail_at(0);
			same_as_shadow();
			end();
			if (calls < n)
				break;
		}
	}
}

static void allocation_failures(void **state)
{
	(void)state;
	for (uint64_t n = 1; DEBUG_CHECKS; n++) {
		uint64_t calls;

		begin(10000);
		inject_set(n);
		random_calls(1, 40);
		calls = inject_count();
		inject_set(0);
		same_as_shadow();
		end();
		if (calls < n)
			break;
	}
}

/* --- threads --- */

#define WRITERS 3u
#define STRIPE 512u
#define KEPT (40 * PAGE_SIZE + 700) /* no truncation goes below */

static _Atomic uint32_t writers_left, takers_left;

/* A stripe of the writer's own. */
static uint64_t own_stripe(uint32_t *random, unsigned cpu)
{
	uint64_t stripe = draw_below(random, BYTES / STRIPE / WRITERS);

	return (stripe * WRITERS + cpu - 1) * STRIPE;
}

static void check_stripe(uint64_t offset, const unsigned char *wrote)
{
	unsigned char bytes[STRIPE];
	int64_t done = quire_object_read(object, offset, bytes, STRIPE);

	thread_check(done == STRIPE || offset + STRIPE > KEPT);
	for (int64_t i = 0; i < done; i++) {
		uint64_t at = offset + (uint64_t)i;

		/* What was beyond the end at some time since is zero. */
		thread_check(bytes[i] == wrote[at] || (at >= KEPT && bytes[i] == 0));
	}
}

static unsigned char written[BYTES];

/* Writes its own stripes, by calls and by the mapping, and finds in them what it wrote. */
static void writer(unsigned cpu)
{
	uint32_t random = cpu * 2654435761u + 1;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t offset = own_stripe(&random, cpu);
		unsigned char value = (unsigned char)random_next(&random);

		if (draw_below(&random, 3) == 0) {
			if (poke(offset, value) == 0)
				written[offset] = value;
		} else if (offset < KEPT || draw_below(&random, 4) == 0) {
			memset(written + offset, value, STRIPE);
			thread_check(quire_object_write(object, offset, written + offset, STRIPE) ==
				     STRIPE);
		}
		check_stripe(offset, written);
	}
	at_sub(&writers_left, 1u);
}

static void answer_in_time(void)
{
	struct quire_pages *pages, *next;

	for (pages = at_xchg(&disk.waiting, NULL); pages; pages = next) {
		next = pages->private_data;
		if (object->caps & QUIRE_STABLE_WRITES)
			for (unsigned i = 0; i < pages->count; i++)
				thread_check(sum(pages->bytes[i]) == disk.sums[pages->index + i]);
		save(pages);
		at_sub(&disk.writing, 1u);
		quire_pages_done(pages, 0);
	}
}

static void answerer(unsigned cpu)
{
	(void)cpu;
	while (at_load(&takers_left) > 0 || at_load(&disk.writing) > 0) {
		answer_in_time();
		sched_yield();
	}
}

/* Everything that takes pages away. */
static void taker(unsigned cpu)
{
	uint32_t random = cpu * 2654435761u + 1;

	while (at_load(&writers_left) > 0) {
		uint64_t offset = draw_below(&random, BYTES);

		switch (draw_below(&random, 8)) {
		case 0:
		case 1:
			thread_check(quire_object_truncate(object, offset < KEPT ? KEPT : offset) ==
				     0);
			break;
		case 2:
			thread_check(quire_object_sync(object, offset, 9 * PAGE_SIZE) == 0);
			break;
		case 3:
		case 4:
			quire_object_invalidate(object, offset, 9 * PAGE_SIZE);
			break;
		case 5:
			quire_reclaim(draw_below(&random, 40));
			break;
		default:
			object_write_back(object, offset >> PAGE_SHIFT, CACHE_NONE, false);
		}
	}
	at_sub(&takers_left, 1u);
}

static void all_at_once(const struct quire_object_ops *ops, unsigned caps, bool wait)
{
	struct thread threads[5];

	begin_with(ops, caps, KEPT, MEMORY);
	map_all();
	memset(written, 0, sizeof(written));
	disk.wait = wait;
	at_store(&writers_left, WRITERS);
	at_store(&takers_left, 1u);
	for (unsigned i = 0; i < 5; i++)
		thread_start(&threads[i], i + 1,
			     i < WRITERS    ? writer
			     : i == WRITERS ? taker
					    : answerer);
	for (unsigned i = 0; i < 5; i++)
		thread_join(&threads[i]);
	disk.wait = false;
	/* Who came late may have left a mark too many: only a sync takes it off. */
	for (uint64_t i = 0; i < PAGES; i++)
		assert_true(!(page_state(object, i) & PAGE_DIRTY) || page_marked(object, i));
	for (unsigned cpu = 1; cpu <= WRITERS; cpu++)
		for (uint64_t at = (cpu - 1) * STRIPE; at + STRIPE <= BYTES; at += WRITERS * STRIPE)
			check_stripe(at, written);
	assert_int_equal(quire_object_sync(object, 0, BYTES), 0);
	assert_int_equal(now().dirty, 0);
	assert_memory_equal(disk.bytes, written, KEPT);
	end();
}

static void threads_at_once(void **state)
{
	(void)state;
	all_at_once(&disk_ops, 0, false);
}

static void threads_answered_later(void **state)
{
	(void)state;
	all_at_once(&disk_ops, 0, true);
}

static void threads_stable(void **state)
{
	(void)state;
	all_at_once(&disk_ops, QUIRE_STABLE_WRITES, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written),
		cmocka_unit_test(not_beyond_the_end),
		cmocka_unit_test(protected_first),
		cmocka_unit_test(errors_once),
		cmocka_unit_test(asynchronous),
		cmocka_unit_test(dirty_again),
		cmocka_unit_test(dirty_and_synced),
		cmocka_unit_test(stable),
		cmocka_unit_test(smaller),
		cmocka_unit_test(tails),
		cmocka_unit_test(cut_while_read),
		cmocka_unit_test(removed_while_read),
		cmocka_unit_test(cut_while_copied),
		cmocka_unit_test(reclaimed_while_copied),
		cmocka_unit_test(leaving),
		cmocka_unit_test(holes),
		cmocka_unit_test(memory_only),
		cmocka_unit_test(forgetting),
		cmocka_unit_test(clock_hand),
		cmocka_unit_test(from_inside),
		cmocka_unit_test(larger_than_memory),
		cmocka_unit_test(as_a_shadow),
		cmocka_unit_test(operation_failures),
		cmocka_unit_test(allocation_failures),
		cmocka_unit_test(threads_at_once),
		cmocka_unit_test(threads_answered_later),
		cmocka_unit_test(threads_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
