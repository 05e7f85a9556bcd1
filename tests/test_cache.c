/* SPDX-License-Identifier: MIT */
/*
 * The page cache of an object against a model: an array for each of some regions, from index 0 to
 * the last that an object can have. Then failures of memory, two races made to happen, and threads.
 */
#include "frames.h"
#include "object/cache.h"

#define CPUS 6
#define MEMORY (32 * MIB)
#define LAST_INDEX ((1ull << 43) - 1)

static struct cache cache;
static struct slab_magazine magazines[CPUS];
static void *grace_block;

static void begin(uint64_t limit)
{
	frames_start(0, MEMORY, CPUS);
	slab_init(&cache_slab, "cache", cache_node_size(), magazines, CPUS);
	grace_block = aligned_alloc(128, grace_memory(CPUS));
	grace_init(grace_block, CPUS, 0);
	grace_online();
	cache_init(&cache, limit);
}

/* Nodes in use; runs what was deferred. */
static uint64_t nodes(void)
{
	assert_true(grace_barrier(0));
	assert_null(slab_validate(&cache_slab));
	return slab_drain(&cache_slab);
}

/* There is no page left: no node, and no frame. */
static void end(void)
{
	cache_exit(&cache);
	assert_int_equal(nodes(), 0);
	grace_offline();
	free(grace_block);
	frames_all_back();
}

static void valid(uint64_t pages, uint64_t dirty)
{
	uint64_t found, found_dirty;
	const char *wrong = cache_validate(&cache, &found, &found_dirty);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(found, pages);
	assert_int_equal(found_dirty, dirty);
}

static struct frame *make_page(uint64_t index)
{
	struct frame *page = frame_alloc(0);

	if (!page)
		return NULL;
	page->kind = FRAME_OBJECT;
	page->u.object.index = index;
	return page;
}

static enum cache_insert try_insert(uint64_t index)
{
	struct frame *page = make_page(index);
	enum cache_insert result;

	if (!page)
		return CACHE_NO_MEMORY;
	section_enter();
	result = cache_insert(&cache, index, page);
	section_leave();
	if (result != CACHE_INSERTED)
		frame_put(page);
	return result;
}

static void insert(uint64_t index)
{
	assert_int_equal(try_insert(index), CACHE_INSERTED);
}

static struct frame *look(uint64_t index)
{
	struct cache_slot slot;
	struct frame *page;

	section_enter();
	slot = cache_find(&cache, index);
	page = cache_load(&slot);
	section_leave();
	return page;
}

/* What was taken: freed only when it has left its slot, that is after cache_remove. */
struct taken {
	struct frame *first;
	uint64_t count;
};

static bool take_all(struct frame *page, uint64_t index, void *context)
{
	struct taken *taken = context;

	require(page->u.object.index == index);
	page->u.object.next = taken->first;
	taken->first = page;
	taken->count++;
	return true;
}

static void put_taken(struct taken *taken)
{
	while (taken->first) {
		struct frame *page = taken->first;

		taken->first = page->u.object.next;
		frame_put(page);
	}
}

/* How many there were in [index, end). */
static uint64_t remove_all(uint64_t index, uint64_t end)
{
	struct taken taken = { NULL, 0 };

	while (index != CACHE_NONE) {
		section_enter();
		index = cache_remove(&cache, index, end, 32, take_all, &taken);
		section_leave();
		put_taken(&taken);
		grace_poll();
	}
	return taken.count;
}

/* ---- one thing at a time ---- */

/* The tree is as high as it needs to be, whatever the order; one path for each page far off. */
static void heights(void **state)
{
	(void)state;
	begin(LAST_INDEX + 1);
	assert_null(look(0));
	assert_null(look(UINT64_MAX));
	for (unsigned high = 0; high <= 43; high++) {
		uint64_t index = (1ull << high) - 1, levels = high <= 6 ? 1 : (high + 5) / 6;

		insert(index);
		assert_int_equal(nodes(), levels);
		valid(1, 0);
		assert_non_null(look(index));
		for (unsigned bit = 0; bit < 64; bit++)
			assert_null(look(index ^ 1ull << bit));
		assert_int_equal(high == 0 ? CACHE_INSERTED : try_insert(0),
				 CACHE_INSERTED); /* the
						     root
						     grows
						     or
						     has
						     another
						     child
						   */
		assert_int_equal(nodes(), levels == 1 ? 1 : 2 * levels - 1);
		assert_int_equal(remove_all(1, UINT64_MAX), high > 0);
		assert_int_equal(nodes(), 1); /* it shrinks */
		valid(1, 0);
		insert(LAST_INDEX); /* it grows above what is there */
		assert_int_equal(nodes(), 15);
		valid(2, 0);
		assert_int_equal(remove_all(0, LAST_INDEX), 1);
		assert_int_equal(nodes(), 8); /* the last is far from the first: nothing shrinks */
		assert_int_equal(remove_all(LAST_INDEX, LAST_INDEX + 1), 1);
		assert_int_equal(nodes(), 0);
	}
	end();
}

static void answers(void **state)
{
	struct frame *page;

	(void)state;
	begin(100);
	assert_int_equal(try_insert(100), CACHE_BEYOND);
	inject_set(0);
	assert_int_equal(try_insert(UINT64_MAX), CACHE_BEYOND);
	assert_int_equal(inject_count(), DEBUG_CHECKS ? 1 : 0); /* the page: no node was made */
	assert_int_equal(nodes(), 0);
	insert(99);
	page = look(99);
	assert_int_equal(page->u.object.index, 99);
	assert_int_equal(page->refs, 1);
	assert_int_equal(try_insert(99), CACHE_TAKEN);
	assert_ptr_equal(look(99), page);
	assert_int_equal(remove_all(0, 99), 0);
	assert_int_equal(remove_all(100, UINT64_MAX), 0);
	assert_int_equal(remove_all(99, 99), 0);
	assert_int_equal(remove_all(99, 100), 1);
	assert_int_equal(remove_all(0, UINT64_MAX), 0);
	valid(0, 0);
	end();
}

static void dirty_bits(void **state)
{
	struct cache_slot slots[16], slot;
	uint64_t index = 0;

	(void)state;
	begin(1000);
	for (uint64_t i = 56; i < 72; i++)
		insert(i);
	section_enter();
	cache_find_run(&cache, 56, 16, slots); /* across two leaves */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(cache_load(&slots[i])->u.object.index, 56 + i);
	assert_null(cache_next(&cache, &index, UINT64_MAX, true, &slot));
	cache_mark(&slots[3]);
	cache_mark(&slots[3]);
	cache_mark(&slots[9]);
	valid(16, 2);
	assert_int_equal(cache_next(&cache, &index, UINT64_MAX, true, &slot)->u.object.index, 59);
	assert_int_equal(index, 59);
	assert_ptr_equal(slot.at, slots[3].at);
	cache_unmark(&slot);
	cache_unmark(&slots[4]);
	assert_int_equal(cache_next(&cache, &index, UINT64_MAX, true, &slot)->u.object.index, 65);
	assert_null(cache_next(&cache, &index, 65, true, &slot));
	assert_int_equal(index, 65);
	valid(16, 1);
	section_leave();

	/* Of a page that is gone, and marked late: the next one does not inherit it. */
	remove_all(65, 66);
	valid(15, 0);
	section_enter();
	slot = cache_find(&cache, 65);
	cache_mark(&slot);
	section_leave();
	insert(65);
	valid(16, 0);
	remove_all(0, UINT64_MAX);
	end();
}

static void exit_with_pages(void *unused)
{
	(void)unused;
	cache_exit(&cache);
}

#define EXPECT(broken, text)                                                                       \
	do {                                                                                       \
		uint64_t pages, dirty;                                                             \
                                                                                                   \
		broken;                                                                            \
		assert_non_null(cache_validate(&cache, &pages, &dirty));                           \
		assert_string_equal(cache_validate(&cache, &pages, &dirty), text);                 \
	} while (0)

static void validator(void **state)
{
	struct cache_slot slot;
	struct frame *page;

	(void)state;
	begin(10000);
	insert(5000);
	insert(70);
	assert_true(panics(exit_with_pages, NULL));
	section_enter();
	slot = cache_find(&cache, 5000);
	section_leave();
	page = at_load(slot.at);
	EXPECT(page->kind = FRAME_ANON, "a page is not a frame of an object");
	page->kind = FRAME_OBJECT;
	EXPECT(page->refs = 0, "a page is not a frame of an object");
	page->refs = 1;
	EXPECT(page->u.object.index++, "a page is not at its index");
	page->u.object.index--;
	EXPECT(at_store(&cache.limit, 5000ull), "a page is beyond the limit");
	at_store(&cache.limit, 5001ull);
	EXPECT(at_store(slot.at, NULL), "a leaf miscounts its pages");
	at_store(slot.at, page);
	EXPECT(spin_trylock(&cache.lock, RANK_CACHE), "the cache is locked");
	spin_unlock(&cache.lock);
	valid(2, 0);
	remove_all(0, UINT64_MAX);
	end();
}

/* ---- at random, against a model ---- */

#define REGIONS 8
#define SPAN 200
#define MODEL (REGIONS * SPAN)

static const uint64_t regions[REGIONS] = {
	0,
	4000,
	(1ull << 18) - 100,
	(1ull << 24) - 100,
	1ull << 30,
	(1ull << 36) - 100,
	(1ull << 42) - 100,
	LAST_INDEX + 1 - SPAN,
};
static struct {
	struct frame *page;
	bool dirty;
} model[MODEL];
static uint64_t model_pages, model_dirty, seed;

static uint64_t index_of(unsigned n)
{
	return regions[n / SPAN] + n % SPAN;
}

static unsigned any(void)
{
	/* Mostly few at once, so that nodes come and go. */
	return draw(&seed) % (draw(&seed) % 4 ? 40 : SPAN) + draw(&seed) % REGIONS * SPAN;
}

/* The first place of the model at or after an index. */
static unsigned model_from(uint64_t index)
{
	unsigned n = 0;

	while (n < MODEL && index_of(n) < index)
		n++;
	return n;
}

static struct frame *model_at(uint64_t index)
{
	unsigned n = model_from(index);

	return n < MODEL && index_of(n) == index ? model[n].page : NULL;
}

static void random_insert(void)
{
	unsigned n = any();
	uint64_t index = index_of(n);
	enum cache_insert expected = index >= at_load(&cache.limit) ? CACHE_BEYOND
				     : model[n].page		    ? CACHE_TAKEN
								    : CACHE_INSERTED;

	assert_int_equal(try_insert(index), expected);
	if (expected == CACHE_INSERTED) {
		model[n].page = look(index);
		model[n].dirty = false;
		model_pages++;
	}
}

struct removal {
	uint32_t salt; /* 0: all */
	uint64_t from, end;
	struct taken taken;
};

static bool chosen(const struct removal *removal, const struct frame *page)
{
	return !removal->salt || frame_pfn(page) * removal->salt >> 16 & 1;
}

static bool take_chosen(struct frame *page, uint64_t index, void *context)
{
	struct removal *removal = context;
	unsigned n = model_from(index);

	assert_true(index >= removal->from && index < removal->end);
	assert_ptr_equal(model[n].page, page);
	assert_ptr_equal(look(index), page); /* not yet emptied */
	removal->from = index + 1;
	if (!chosen(removal, page))
		return false;
	model_pages--;
	model_dirty -= model[n].dirty;
	model[n].page = NULL;
	return take_all(page, index, &removal->taken);
}

static void model_remove(struct removal removal)
{
	uint64_t index = removal.from, end = removal.end;

	while (index != CACHE_NONE) {
		unsigned most = 1 + draw(&seed) % 100;

		removal.taken.count = 0;
		section_enter();
		index = cache_remove(&cache, index, end, most, take_chosen, &removal);
		section_leave();
		put_taken(&removal.taken);
		assert_true(removal.taken.count <= most);
		if (index != CACHE_NONE) {
			assert_int_equal(removal.taken.count, most);
			assert_int_equal(index, removal.from);
		}
	}
}

static void random_remove(void)
{
	struct removal removal = { .salt = draw(&seed) | 1 };
	uint64_t from = removal.from = index_of(any());

	removal.end = draw(&seed) % 2 ? from + draw(&seed) % 100 : index_of(any());
	if (draw(&seed) % 8 == 0)
		removal.end = UINT64_MAX;
	if (draw(&seed) % 3 == 0)
		removal.salt = 0;
	model_remove(removal);
	for (unsigned n = model_from(from); n < MODEL && index_of(n) < removal.end; n++)
		assert_false(model[n].page && chosen(&removal, model[n].page));
}

static void random_next(void)
{
	bool dirty = draw(&seed) % 2;
	uint64_t from = index_of(any()) + draw(&seed) % 300, index = from;
	uint64_t end = draw(&seed) % 2 ? UINT64_MAX : from + draw(&seed) % 200;
	unsigned n = model_from(from);
	struct cache_slot slot;
	struct frame *page;

	while (n < MODEL && (!model[n].page || (dirty && !model[n].dirty)))
		n++;
	section_enter();
	page = cache_next(&cache, &index, end, dirty, &slot);
	if (n < MODEL && index_of(n) < end) {
		assert_ptr_equal(page, model[n].page);
		assert_int_equal(index, index_of(n));
		assert_ptr_equal(slot.at, cache_find(&cache, index).at);
	} else {
		assert_null(page);
		assert_int_equal(index, from);
	}
	section_leave();
}

static void random_run(void)
{
	uint64_t index = index_of(any()) + draw(&seed) % 30;
	unsigned count = 1 + draw(&seed) % 16;
	struct cache_slot slots[16];

	section_enter();
	cache_find_run(&cache, index, count, slots);
	for (unsigned i = 0; i < count; i++)
		assert_ptr_equal(cache_load(&slots[i]), model_at(index + i));
	section_leave();
}

static void random_mark(void)
{
	unsigned n = any();
	struct cache_slot slot;
	bool dirty = draw(&seed) % 3;

	if (!model[n].page)
		return;
	section_enter();
	slot = cache_find(&cache, index_of(n));
	(dirty ? cache_mark : cache_unmark)(&slot);
	section_leave();
	model_dirty += (uint64_t)dirty - model[n].dirty;
	model[n].dirty = dirty;
}

static void random_limit(void)
{
	uint64_t limit = draw(&seed) % 4 ? LAST_INDEX + 1 : index_of(any());

	at_store(&cache.limit, limit);
	model_remove((struct removal){ .from = limit, .end = UINT64_MAX });
	assert_int_equal(model_from(limit) < MODEL && model_at(limit), 0);
}

static void random_calls(void **state)
{
	static void (*const calls[])(void) = { random_insert, random_insert, random_insert,
					       random_insert, random_insert, random_mark,
					       random_mark,   random_next,   random_run };

	(void)state;
	begin(LAST_INDEX + 1);
	seed = 20;
	for (unsigned round = 0; round < 40000; round++) {
		if (draw(&seed) % 16 == 0)
			random_remove();
		else if (draw(&seed) % 256 == 0)
			random_limit();
		else
			calls[draw(&seed) % 9]();
		if (round % 16 == 0)
			valid(model_pages, model_dirty);
		grace_poll();
	}
	model_remove((struct removal){ .end = UINT64_MAX });
	assert_int_equal(model_pages, 0);
	end();
}

/* ---- no memory ---- */

/* Each node of the path fails in turn: nothing has changed, and nothing stays. */
static void no_memory(void **state)
{
	static const uint64_t cases[][2] = {
		{ LAST_INDEX, LAST_INDEX }, { 5, LAST_INDEX },	       { LAST_INDEX, 5 }, { 5, 64 },
		{ 4096, 1ull << 30 },	    { LAST_INDEX, 1ull << 42 }
	};

	(void)state;
	if (!DEBUG_CHECKS)
		skip();
	begin(LAST_INDEX + 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool alone = cases[i][0] == cases[i][1];
		uint64_t n = 0, before;
		enum cache_insert result;

		if (!alone)
			insert(cases[i][0]);
		before = nodes();
		do {
			inject_set(++n + 1); /* the first is the page */
			result = try_insert(cases[i][1]);
			inject_set(0);
			valid(!alone + (uint64_t)(result == CACHE_INSERTED), 0);
			if (result != CACHE_INSERTED) {
				assert_int_equal(result, CACHE_NO_MEMORY);
				assert_int_equal(nodes(), before);
			}
		} while (result != CACHE_INSERTED);
		assert_int_equal(nodes() - before, n - 1);
		assert_true(n > 1);
		remove_all(0, UINT64_MAX);
		assert_int_equal(nodes(), 0);
	}
	end();
}

/* ---- two races, made to happen ---- */

static _Atomic uint32_t step;

/* Holds the leaf's lock until step 2; takes the page if there is where to put it. */
static bool take_slowly(struct frame *page, uint64_t index, void *taken)
{
	at_store(&step, 1u);
	while (at_load(&step) != 2)
		sched_yield();
	return taken && take_all(page, index, taken);
}

static void *remove_slowly(void *taken)
{
	soft_cpu_index = 1;
	grace_online();
	section_enter();
	require(cache_remove(&cache, 0, 64, 2, take_slowly, taken) == CACHE_NONE);
	section_leave();
	grace_offline();
	return NULL;
}

static void *insert_beside(void *result)
{
	soft_cpu_index = 2;
	grace_online();
	*(enum cache_insert *)result = try_insert(9);
	grace_offline();
	return NULL;
}

/*
 * An insertion that has found the leaf waits for its lock. Meanwhile the limit is lowered, or the
 * leaf loses its last page.
 */
static void insertion_waits(bool take, uint64_t limit, enum cache_insert expected)
{
	struct taken taken = { NULL, 0 };
	enum cache_insert result;
	pthread_t threads[2];

	begin(100);
	insert(8);
	at_store(&step, 0u);
	assert_int_equal(pthread_create(&threads[0], NULL, remove_slowly, take ? &taken : NULL), 0);
	while (at_load(&step) != 1)
		sched_yield();
	assert_int_equal(pthread_create(&threads[1], NULL, insert_beside, &result), 0);
	usleep(3000);
	at_store(&cache.limit, limit);
	at_store(&step, 2u);
	assert_int_equal(pthread_join(threads[0], NULL), 0);
	assert_int_equal(pthread_join(threads[1], NULL), 0);
	put_taken(&taken);
	assert_int_equal(result, expected);
	assert_int_equal(look(9) != NULL, expected == CACHE_INSERTED);
	valid((uint64_t)!take + (expected == CACHE_INSERTED), 0);
	remove_all(0, UINT64_MAX);
	end();
}

static void limit_while_waiting(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		insertion_waits(false, 9, CACHE_BEYOND);
		insertion_waits(true, 9, CACHE_BEYOND);
	}
}

static void leaf_dies_while_waiting(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++)
		insertion_waits(true, 100, CACHE_INSERTED);
}

/* ---- the limit against a leaf that is not there yet ---- */

#define RACES 400000
#define RACES_NS 20000000000ull /* fewer where each waits long for the other to run */
#define OVER UINT32_MAX

static _Atomic uint32_t race, done;

/* Inserts once in each race, into an empty cache. */
static void *insert_races(void *count)
{
	soft_cpu_index = 1;
	grace_online();
	for (uint32_t n = 1;; n++) {
		for (unsigned turn = 0; at_load_acquire(&race) < n; turn++)
			port_pause(turn);
		if (at_load(&race) == OVER)
			break;
		*(uint64_t *)count += try_insert(9) == CACHE_INSERTED;
		at_store_release(&done, n);
		grace_poll();
	}
	grace_offline();
	return NULL;
}

static void limit_without_leaf(void **state)
{
	uint64_t count = 0, gone = 0, left = 0, since = port_clock();
	pthread_t thread;

	(void)state;
	begin(10);
	at_store(&race, 0u);
	at_store(&done, 0u);
	assert_int_equal(pthread_create(&thread, NULL, insert_races, &count), 0);
	for (uint32_t n = 1; n <= RACES && port_clock() - since < RACES_NS; n++) {
		at_store(&cache.limit, 10ull);
		at_store_release(&race, n);
		for (unsigned wait = n % 1024; wait; wait--)
			(void)at_load(&race);
		at_store(&cache.limit, 0ull);
		gone += remove_all(0, UINT64_MAX);
		for (unsigned turn = 0; at_load_acquire(&done) != n; turn++)
			port_pause(turn);
		left += at_load(&cache.root) != NULL; /* a page, or a node made for nothing */
		remove_all(0, UINT64_MAX);
	}
	at_store_release(&race, OVER);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(left, 0);
	assert_int_equal(gone, count);
	end();
}

/* ---- threads ---- */

#define THREADS 4
#define PLACES 96

static _Atomic bool stop;
static _Atomic uint64_t inserted, removed, seen, lowered;

static bool enough(void)
{
	return at_load(&seen) > 0 && at_load(&lowered) > 0 && at_load(&removed) > 0;
}

/* Few places, in leaves of their own and together, near and far: nodes come and go all the time. */
static uint64_t place_of(uint32_t n)
{
	static const uint64_t bases[] = { 0, 60, 4090, 5000, 1ull << 18, 1ull << 30 };

	return bases[n % 6] + n / 6 % (PLACES / 6);
}

/* The end of the lowest limit that holds: nobody may see a page from there on. */
static void lower_limit(uint64_t *random)
{
	uint64_t limit = place_of(draw(random)), index = limit;
	struct cache_slot slot;

	at_store(&cache.limit, limit);
	at_add(&removed, remove_all(limit, UINT64_MAX));
	for (unsigned look = 0; look < 20; look++) {
		section_enter();
		require(!cache_next(&cache, &index, UINT64_MAX, false, &slot));
		section_leave();
	}
	at_store(&cache.limit, LAST_INDEX + 1);
	at_add(&lowered, 1ull);
}

static bool take_some(struct frame *page, uint64_t index, void *context)
{
	return frame_pfn(page) % 8 && take_all(page, index, context);
}

static void remove_some(uint64_t index, uint64_t end)
{
	struct taken taken = { NULL, 0 };

	section_enter();
	cache_remove(&cache, index, end, 8, take_some, &taken);
	section_leave();
	put_taken(&taken);
	at_add(&removed, taken.count);
}

/* What a fault does: find, pin, find still there. Then it is the right page. */
static void read_one(uint64_t index)
{
	struct cache_slot slot = cache_find(&cache, index);
	struct frame *page = cache_load(&slot);

	if (!page || !frame_try_get(page))
		return;
	if (cache_load(&slot) == page) {
		require(page->kind == FRAME_OBJECT && page->u.object.index == index);
		at_add(&seen, 1ull);
		cache_mark(&slot);
	}
	frame_put(page);
}

static void work_once(unsigned cpu, uint64_t *random)
{
	uint64_t index = place_of(draw(random));
	uint32_t n = draw(random) % 64;

	if (cpu == 1 && n == 0) {
		lower_limit(random);
	} else if (n < 24) {
		enum cache_insert result = try_insert(index);

		/* Nodes pile up while a CPU that is in a section does not run. */
		if (result == CACHE_NO_MEMORY)
			sched_yield();
		at_add(&inserted, (uint64_t)(result == CACHE_INSERTED));
	} else if (n < 36) {
		remove_some(index, index + (n < 30 ? 2 : 5000));
	} else {
		section_enter();
		read_one(index);
		read_one(place_of(draw(random)));
		section_leave();
	}
	grace_poll();
}

static void *work(void *argument)
{
	uint64_t random = (uintptr_t)argument;

	soft_cpu_index = (unsigned)(uintptr_t)argument;
	grace_online();
	while (!at_load(&stop))
		work_once(soft_cpu_index, &random);
	grace_offline();
	return NULL;
}

static void threads_round(unsigned microseconds)
{
	uint64_t pages, dirty;
	pthread_t threads[THREADS];

	at_store(&stop, false);
	grace_offline();
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
	usleep(microseconds);
	at_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	grace_online();
	assert_null(cache_validate(&cache, &pages, &dirty));
	assert_int_equal(pages, at_load(&inserted) - at_load(&removed));
	for (uint32_t n = 0; n < PLACES; n++)
		pages -= look(place_of(n)) != NULL;
	assert_int_equal(pages, 0);
}

static void threads(void **state)
{
	(void)state;
	begin(LAST_INDEX + 1);
	/* More only on a machine so busy that not everybody had a turn. */
	for (unsigned round = 0; round < 15 || (!enough() && round < 600); round++)
		threads_round(100000);
	assert_true(enough());
	remove_all(0, UINT64_MAX);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heights),
		cmocka_unit_test(answers),
		cmocka_unit_test(dirty_bits),
		cmocka_unit_test(validator),
		cmocka_unit_test(random_calls),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(limit_while_waiting),
		cmocka_unit_test(leaf_dies_while_waiting),
		cmocka_unit_test(limit_without_leaf),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, frames_arena, NULL);
}
