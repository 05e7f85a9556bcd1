/* SPDX-License-Identifier: MIT */
/* Small objects: sizes, magazines, frames that come and go, what debug builds catch, the validator,
 * threads. */
#include "frames.h"
#include "frame/slab.h"

#define CPUS 4
#define OBJECTS 20000

static struct slab slab;
static struct slab_magazine magazines[CPUS];
static void *objects[OBJECTS];

static void begin(uint32_t size, uint64_t memory)
{
	frames_start(0, memory, CPUS);
	slab_init(&slab, "test", size, magazines, CPUS);
	assert_null(slab_validate(&slab));
}

/* No object is left, and all frames are back. */
static void end(void)
{
	assert_null(slab_validate(&slab));
	assert_int_equal(slab_drain(&slab), 0);
	assert_null(slab_validate(&slab));
	assert_int_equal(slab.frames, 0);
	frames_all_back();
}

static void init_size(void *size)
{
	slab_init(&slab, "test", (uint32_t)(uintptr_t)size, magazines, CPUS);
}

static void sizes(void **state)
{
	static const uint32_t cases[][2] = { { 1, 32 },	     { 24, 32 },    { 32, 32 },
					     { 33, 48 },     { 64, 64 },    { 192, 192 },
					     { 208, 208 },   { 640, 640 },  { 1000, 1008 },
					     { 2047, 2048 }, { 2048, 2048 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t size = cases[i][1];

		begin(cases[i][0], 4 * MIB);
		assert_int_equal(slab.size, size);
		assert_int_equal(slab.per_frame, PAGE_SIZE / size);
		for (unsigned n = 0; n < 300; n++) {
			objects[n] = slab_alloc(&slab);
			assert_non_null(objects[n]);
			assert_int_equal((uintptr_t)objects[n] % 16, 0);
			assert_true(size % 64 != 0 || (uintptr_t)objects[n] % 64 == 0);
			memset(objects[n], (int)n, size);
		}
		for (unsigned n = 0; n < 300; n++)
			for (uint32_t at = 0; at < size; at++)
				assert_int_equal(((unsigned char *)objects[n])[at], n & 0xff);
		assert_null(frame_validate());
		for (unsigned n = 0; n < 300; n++)
			slab_free(&slab, objects[n]);
		end();
	}
	assert_true(slab_memory(3) >= 3 * sizeof(struct slab_magazine));
	assert_true(panics(init_size, (void *)2049));
}

static void magazine(void **state)
{
	void *object;

	(void)state;
	begin(64, 4 * MIB);
	object = slab_alloc(&slab);
	slab_free(&slab, object);
	assert_ptr_equal(slab_alloc(&slab), object); /* the warmest */
	slab_free(&slab, object);
	assert_int_equal(slab.frames, 1);

	/* What another CPU frees goes into its magazine, and on to the frames when that is full. */
	for (unsigned n = 0; n < 3 * SLAB_MAGAZINE; n++)
		objects[n] = slab_alloc(&slab);
	soft_cpu_index = 3;
	for (unsigned n = 0; n < 3 * SLAB_MAGAZINE; n++) {
		slab_free(&slab, objects[n]);
		assert_true(magazines[3].count <= SLAB_MAGAZINE);
	}
	assert_int_equal(magazines[3].objects[magazines[3].count - 1] ==
				 objects[3 * SLAB_MAGAZINE - 1],
			 true);
	soft_cpu_index = 0;
	end();
}

/* Frames go back while other objects live on, and objects are counted. */
static void frames_come_and_go(void **state)
{
	uint64_t frames;

	(void)state;
	begin(128, 8 * MIB);
	for (unsigned n = 0; n < OBJECTS; n++)
		objects[n] = slab_alloc(&slab);
	frames = slab.frames;
	assert_true(frames >= OBJECTS / slab.per_frame);
	assert_true(frames <= OBJECTS / slab.per_frame + 2);
	assert_int_equal(slab_drain(&slab), OBJECTS);
	for (unsigned n = 0; n < OBJECTS; n += 2)
		slab_free(&slab, objects[n]);
	assert_null(slab_validate(&slab));
	assert_int_equal(slab.frames, frames); /* each has objects left */
	for (unsigned n = 1; n < OBJECTS; n += 2)
		if (n % 1024 != 1)
			slab_free(&slab, objects[n]);
	assert_null(slab_validate(&slab));
	assert_int_equal(slab_drain(&slab), (OBJECTS + 1022) / 1024);
	assert_int_equal(slab.frames, (OBJECTS + 1022) / 1024);
	for (unsigned n = 1; n < OBJECTS; n += 1024)
		slab_free(&slab, objects[n]);
	end();
}

static void no_memory(void **state)
{
	unsigned n = 0, again = 0;

	(void)state;
	begin(512, 64 * PAGE_SIZE);
	while ((objects[n] = slab_alloc(&slab)) != NULL)
		n++;
	assert_null(slab_alloc(&slab));
	assert_null(frame_alloc(0));
	assert_int_equal(n, slab.frames * 8);
	assert_null(slab_validate(&slab));
	for (unsigned i = 0; i < n; i++)
		slab_free(&slab, objects[i]);
	while ((objects[again] = slab_alloc(&slab)) != NULL)
		again++;
	assert_int_equal(again, n);
	for (unsigned i = 0; i < n; i++)
		slab_free(&slab, objects[i]);
	end();
}

static void injection(void **state)
{
	(void)state;
	begin(64, 4 * MIB);
	for (unsigned n = 1; n <= 3; n++) {
		inject_set(n);
		for (unsigned call = 1; call <= 40; call++) {
			objects[call] = slab_alloc(&slab);
			assert_int_equal(objects[call] == NULL, DEBUG_CHECKS && call == n);
		}
		/* The frames that the slab took were not calls of their own. */
		assert_int_equal(inject_count(), DEBUG_CHECKS ? 40 : 0);
		for (unsigned call = 1; call <= 40; call++)
			if (objects[call] != NULL)
				slab_free(&slab, objects[call]);
	}
	inject_set(0);
	end();
}

/* ---- what debug builds catch ---- */

static void free_one(void *object)
{
	slab_free(&slab, object);
}

static void free_elsewhere(void *object)
{
	soft_cpu_index = 1;
	slab_free(&slab, object);
}

static void alloc_many(void *unused)
{
	(void)unused;
	for (unsigned n = 0; n < 200; n++)
		slab_alloc(&slab);
}

static void misuse(void **state)
{
	static struct slab_magazine others[CPUS];
	static struct slab other;
	char *object;
	void *foreign;

	(void)state;
	if (!DEBUG_CHECKS)
		skip();
	begin(64, 4 * MIB);
	slab_init(&other, "other", 64, others, CPUS);
	object = slab_alloc(&slab);
	foreign = slab_alloc(&other);
	assert_true(panics(free_one, foreign));
	assert_true(panics(free_one, object + 16));
	assert_true(panics(free_one, soft_memory));
	assert_false(panics(free_one, object));

	slab_free(&slab, object);
	for (uint32_t at = sizeof(void *); at < slab.size; at++)
		assert_int_equal((unsigned char)object[at], SLAB_POISON);
	assert_true(panics(free_one, object)); /* twice, while it is in the magazine */
	assert_true(panics(free_elsewhere, object));
	assert_false(panics(alloc_many, NULL));
	object[63] = 0; /* after it was freed */
	assert_true(panics(alloc_many, NULL));
	object[63] = SLAB_POISON;

	/* Twice, once it is back in its frame. */
	for (unsigned n = 0; n < 70; n++)
		objects[n] = slab_alloc(&slab);
	for (unsigned n = 0; n < 60; n++)
		slab_free(&slab, objects[n]);
	assert_true(panics(free_one, objects[0]));
	for (unsigned n = 60; n < 70; n++)
		slab_free(&slab, objects[n]);
	slab_free(&other, foreign);
	assert_int_equal(slab_drain(&other), 0);
	end();
}

/* ---- the validator ---- */

#define EXPECT(broken, text)                                                                       \
	do {                                                                                       \
		broken;                                                                            \
		assert_non_null(slab_validate(&slab));                                             \
		assert_string_equal(slab_validate(&slab), text);                                   \
	} while (0)

static void validator_magazines(void **state)
{
	struct slab_magazine *m = &magazines[0];
	uint32_t count;
	void *object;

	(void)state;
	begin(192, 4 * MIB);
	object = slab_alloc(&slab);
	slab_free(&slab, slab_alloc(&slab));
	count = m->count;
	assert_true(count >= 2);
	EXPECT(m->count = SLAB_MAGAZINE + 1, "a magazine holds more than fits");
	m->count = count;
	objects[0] = m->objects[0];
	EXPECT(m->objects[0] = m->objects[1], "an object is in a magazine twice");
	EXPECT(m->objects[0] = (char *)objects[0] + 16, "a free object is no object of this slab");
	EXPECT(m->objects[0] = soft_memory + ARENA - 16, "a free object is no object of this slab");
	EXPECT(m->objects[0] = frame_bytes(frame_zero), "a free object is no object of this slab");
	/* The 64 bytes after the last object that fits. */
	EXPECT(m->objects[0] = (char *)frame_bytes(frame_of_bytes(object)) + 21 * 192,
	       "a free object is no object of this slab");
	m->objects[0] = objects[0];
	if (DEBUG_CHECKS) {
		EXPECT(m->objects[0] = object, "a free object is handed out");
		m->objects[0] = objects[0];
		EXPECT(((char *)objects[0])[100] = 0, "a free object has been written to");
		((char *)objects[0])[100] = SLAB_POISON;
	}
	slab_free(&slab, object);
	end();
}

static void validator_frames(void **state)
{
	struct frame *first, *second;
	void *free, *link;

	(void)state;
	begin(512, 4 * MIB);
	for (unsigned n = 0; n < 16; n++)
		objects[n] = slab_alloc(&slab);
	soft_cpu_index = 1; /* whose magazine takes 31: four frames, of which one is left partial */
	objects[16] = slab_alloc(&slab);
	soft_cpu_index = 0;
	for (unsigned n = 0; n < 16; n += 4) {
		slab_free(&slab, objects[n]);
		slab_free(&slab, objects[n + 1]);
	}
	slab_drain(&slab);
	assert_null(slab_validate(&slab));
	first = slab.partial;
	second = first->u.slab.next;
	assert_non_null(second);

	EXPECT(second->u.slab.prev = NULL, "the partial list's links disagree");
	second->u.slab.prev = first;
	EXPECT(second->kind = FRAME_USED, "a partial frame is not of this slab");
	second->kind = FRAME_SLAB;
	EXPECT(second->u.slab.slab = NULL, "a partial frame is not of this slab");
	second->u.slab.slab = &slab;
	free = second->u.slab.free;
	EXPECT(second->u.slab.used++, "a partial frame has more free objects than it counts");
	second->u.slab.used -= 2;
	EXPECT((void)0, "a partial frame has fewer free objects than it counts");
	second->u.slab.used++;
	link = *(void **)free;
	EXPECT(*(void **)free = free, "a partial frame has more free objects than it counts");
	*(void **)free = link;
	EXPECT(second->u.slab.free = first->u.slab.free,
	       "a free object is in another frame's list");
	EXPECT(second->u.slab.free = (char *)free + 8, "a free object is no object of this slab");
	second->u.slab.free = free;
	for (uint32_t used = second->u.slab.used, full = 0; full <= 8; full += 8) {
		EXPECT(second->u.slab.used = full, "a partial frame is empty or full");
		second->u.slab.used = used;
	}
	EXPECT(slab.frames++, "the slab's frames are not those that it counts");
	slab.frames--;
	EXPECT(first->u.slab.next = second->u.slab.next,
	       second->u.slab.next == NULL ? "a frame with free objects is not in the partial list"
					   : "the partial list's links disagree");
	first->u.slab.next = second;
	assert_null(slab_validate(&slab));
	for (unsigned n = 0; n < 17; n++)
		if (n == 16 || n % 4 > 1)
			slab_free(&slab, objects[n]);
	end();
}

/* ---- threads ---- */

#define SHARED 256
#define HELD 50

static _Atomic(void *) shared[SHARED];
static _Atomic bool stop;
static _Atomic uint64_t swaps;

/* Each thread fills its objects and finds them as it left them; some are passed on and freed by
 * another. */
static void *work(void *argument)
{
	uint64_t *held[HELD] = { NULL }, random = (uintptr_t)argument;

	soft_cpu_index = (unsigned)(uintptr_t)argument;
	while (!at_load(&stop)) {
		uint32_t n = draw(&random), i = n / 4 % HELD;
		uint64_t *object = held[i];

		held[i] = NULL;
		if (object != NULL)
			require(object[0] == (uintptr_t)object && object[11] == (uintptr_t)object);
		if (object == NULL) {
			held[i] = object = slab_alloc(&slab);
			if (object != NULL)
				object[0] = object[11] = (uintptr_t)object;
		} else if (n % 4 == 0) {
			object = at_xchg(&shared[n / 256 % SHARED], object);
			if (object != NULL) {
				require(object[0] == (uintptr_t)object);
				slab_free(&slab, object);
				at_add(&swaps, 1ull);
			}
		} else {
			slab_free(&slab, object);
		}
	}
	for (unsigned i = 0; i < HELD; i++)
		if (held[i] != NULL)
			slab_free(&slab, held[i]);
	return NULL;
}

static void stress(void **state)
{
	pthread_t threads[CPUS];
	uint64_t left = 0;

	(void)state;
	begin(96, 40 * PAGE_SIZE);
	at_store(&stop, false);
	for (uintptr_t i = 0; i < CPUS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	usleep(1000000);
	/* On a busy machine longer, but not for ever. */
	for (unsigned i = 0; i < 6000 && at_load(&swaps) == 0; i++)
		usleep(10000);
	at_store(&stop, true);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(at_load(&swaps) > 0);
	assert_null(slab_validate(&slab));
	for (unsigned i = 0; i < SHARED; i++)
		left += shared[i] != NULL;
	assert_int_equal(slab_drain(&slab), left);
	for (unsigned i = 0; i < SHARED; i++)
		if (shared[i] != NULL)
			slab_free(&slab, shared[i]);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(magazine),
		cmocka_unit_test(frames_come_and_go),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(injection),
		cmocka_unit_test(misuse),
		cmocka_unit_test(validator_magazines),
		cmocka_unit_test(validator_frames),
		cmocka_unit_test(stress),
	};

	return cmocka_run_group_tests(tests, frames_arena, NULL);
}
