/* SPDX-License-Identifier: MIT */
/* Objects: making, references and release; the records of where they are mapped, and sweeps. */
#include "objects.h"
#include "sync/sleep.h"

#define MEMORY (16ull << 20)

/* ---- life ---- */

static unsigned releases;
static bool released_offline;

static void note_release(struct quire_object *object)
{
	releases++;
	released_offline = !grace_is_online();
	assert_ptr_equal(quire_object_private(object), &releases);
}

static const struct quire_object_ops release_ops = { .release = note_release };

static struct quire_object *make(const struct quire_object_ops *ops, uint64_t size)
{
	struct quire_object_config config = { .ops = ops, .size = size, .private_data = &releases };
	struct quire_object *object = NULL;

	assert_int_equal(quire_object_create(&config, &object), 0);
	return object;
}

static void create(void **state)
{
	char name[200];
	struct quire_object_config config = {
		.caps = QUIRE_CAN_FAULT | QUIRE_STABLE_WRITES,
		.size = QUIRE_OBJECT_MAX,
		.private_data = name,
		.name = name,
		.device_major = 8,
		.device_minor = 1,
		.inode = 77,
	};
	struct quire_object *object = NULL;
	struct quire_object_stats stats;

	(void)state;
	objects_start(MEMORY);
	memset(name, 'x', sizeof(name));
	name[199] = '\0';
	assert_int_equal(quire_object_create(&config, &object), 0);
	assert_int_equal(quire_object_size(object), QUIRE_OBJECT_MAX);
	assert_ptr_equal(quire_object_private(object), name);
	assert_int_equal(strlen(object->name), QUIRE_NAME_MAX - 1);
	assert_int_equal(object->device_major * 100 + object->device_minor, 801);
	assert_int_equal(object->inode, 77);
	assert_int_equal(object_pages(object), QUIRE_OBJECT_MAX >> PAGE_SHIFT);
	assert_non_null(object->ops);
	assert_false(object->tracks);
	quire_object_stats(object, &stats);
	assert_memory_equal(&stats, &(struct quire_object_stats){ 0 }, sizeof(stats));
	quire_object_put(object);

	config.size++;
	assert_int_equal(quire_object_create(&config, &object), -QUIRE_EINVAL);
	config.size = 5;
	config.caps = 16;
	assert_int_equal(quire_object_create(&config, &object), -QUIRE_EINVAL);
	config.caps = 15;
	config.name = NULL;
	if (DEBUG_CHECKS) {
		inject_set(1);
		assert_int_equal(quire_object_create(&config, &object), -QUIRE_ENOMEM);
	}
	assert_int_equal(quire_object_create(&config, &object), 0);
	assert_int_equal(object_pages(object), 1);
	assert_string_equal(object->name, "");
	quire_object_put(object);
	objects_stop();
}

static void references(void **state)
{
	struct quire_object *object, *other;

	(void)state;
	objects_start(MEMORY);
	releases = 0;
	object = make(&release_ops, 1);
	other = make(&release_ops, 1);
	quire_object_get(object);
	section_enter();
	assert_true(object_try_get(object));
	section_leave();
	quire_object_put(object);
	quire_object_put(object);
	assert_int_equal(releases, 0);

	/* Not here: later. */
	section_enter();
	object_put_later(object);
	object_put_later(other);
	assert_false(object_try_get(object));
	section_leave();
	assert_int_equal(releases, 0);
	assert_int_equal(object_count(), 2);
	assert_null(object_turn());
	object_reap();
	assert_int_equal(releases, 2);
	assert_true(released_offline);
	object_reap();
	assert_int_equal(releases, 2);
	objects_stop();
}

static void put_once_too_often(void)
{
	struct quire_object *object = object_first();

	grace_online();
	section_enter();
	object_put_later(object);
	object_put_later(object);
}

static void misuse(void **state)
{
	struct quire_object *object;

	(void)state;
	objects_start(MEMORY);
	object = make(NULL, 1);
	assert_true(panics(put_once_too_often));
	quire_object_put(object);
	objects_stop();
}

static void turns(void **state)
{
	struct quire_object *objects[3], *turn;

	(void)state;
	objects_start(MEMORY);
	assert_null(object_turn());
	for (unsigned i = 0; i < 3; i++)
		objects[i] = make(NULL, i);
	assert_int_equal(object_count(), 3);
	for (unsigned i = 0; i < 7; i++) {
		turn = object_turn();
		assert_ptr_equal(turn, objects[i % 3]);
		assert_int_equal(at_load(&turn->refs), 2);
		quire_object_put(turn);
	}
	quire_object_put(objects[1]); /* whose turn it would be */
	for (unsigned i = 0; i < 4; i++) {
		turn = object_turn();
		assert_ptr_equal(turn, objects[i % 2 ? 0 : 2]);
		quire_object_put(turn);
	}
	quire_object_put(objects[2]);
	quire_object_put(objects[0]);
	assert_null(object_turn());
	objects_stop();
}

/* ---- where it is mapped ---- */

#define SPACES 3

static _Atomic uint32_t busy[SPACES];
static struct {
	struct mapping *mapping;
	uint64_t first, last;
	enum mapping_sweep what;
} seen[32];
static unsigned swept;
static void (*during)(struct mapping *); /* once, inside the next sweep */

static uint64_t note_sweep(struct mapping *mapping, uint64_t first, uint64_t last,
			   enum mapping_sweep what)
{
	void (*call)(struct mapping *) = during;

	assert_true(grace_is_online() && !section_inside());
	assert_int_equal(at_load(mapping->busy), 1);
	seen[swept].mapping = mapping;
	seen[swept].first = first;
	seen[swept].last = last;
	seen[swept++].what = what;
	during = NULL;
	if (call)
		call(mapping);
	return 10;
}

static struct mapping_place place(struct quire_object *object, unsigned space, uint64_t start,
				  uint64_t pages, uint64_t index)
{
	return (struct mapping_place){
		.object = object,
		.mm = (struct quire_mm *)&busy[space],
		.origin = start - (index << PAGE_SHIFT),
		.start = start,
		.end = start + (pages << PAGE_SHIFT),
		.sweep = note_sweep,
		.busy = &busy[space],
		.shared = true,
		.prot = QUIRE_PROT_READ,
	};
}

static struct mapping *map(struct quire_object *object, unsigned space, uint64_t start,
			   uint64_t pages, uint64_t index)
{
	const struct mapping_place where = place(object, space, start, pages, index);
	struct mapping *mapping = NULL;

	section_enter();
	assert_int_equal(mapping_make(&where, &mapping), 0);
	section_leave();
	return mapping;
}

static void drop(struct mapping *mapping)
{
	section_enter();
	mapping_drop(mapping);
	section_leave();
}

/* Which of `mappings`, as bits, a sweep of [first, last) visits: in order, once each. */
static unsigned visits(struct quire_object *object, struct mapping **mappings, uint64_t first,
		       uint64_t last)
{
	unsigned mask = 0;
	uint64_t changed;

	swept = 0;
	changed = mapping_sweep_all(object, first, last, SWEEP_PROTECT);
	assert_int_equal(changed, 10 * swept);
	for (unsigned i = 0; i < swept; i++) {
		unsigned n = 0;

		while (mappings[n] != seen[i].mapping)
			n++;
		assert_true(mask < 1u << n);
		mask |= 1u << n;
		assert_int_equal(seen[i].first, first);
		assert_int_equal(seen[i].last, last);
		assert_int_equal(seen[i].what, SWEEP_PROTECT);
	}
	for (unsigned i = 0; i < SPACES; i++)
		assert_int_equal(at_load(&busy[i]), 0);
	return mask;
}

static void bounds(void **state)
{
	struct quire_object *object;
	struct mapping *m[5];
	struct quire_object_stats stats;

	(void)state;
	objects_start(MEMORY);
	object = make(NULL, 100 * PAGE_SIZE);
	m[0] = map(object, 0, 0x10000000, 10, 0);
	m[1] = map(object, 1, 0x20000, 10, 5);		    /* the origin is above 0 */
	m[2] = map(object, 1, 0x1000, 10, 50);		    /* ... and below */
	m[3] = map(object, 2, 0x5000, 1, (1ull << 52) - 1); /* its end is the last byte of all */
	m[4] = map(object, 0, 0x10000000, 1, 0);
	assert_int_equal(m[1]->origin, 0x1b000);
	assert_true(m[2]->origin > 1ull << 63);
	quire_object_stats(object, &stats);
	assert_int_equal(stats.mappings, 5);
	assert_int_equal(at_load(&object->refs), 6);

	assert_int_equal(visits(object, m, 0, CACHE_NONE), 0x1f);
	assert_int_equal(visits(object, m, 0, 1), 0x11);
	assert_int_equal(visits(object, m, 1, 5), 0x01);
	assert_int_equal(visits(object, m, 4, 6), 0x03);
	assert_int_equal(visits(object, m, 9, 10), 0x03);
	assert_int_equal(visits(object, m, 10, 15), 0x02);
	assert_int_equal(visits(object, m, 15, 50), 0);
	assert_int_equal(visits(object, m, 49, 51), 0x04);
	assert_int_equal(visits(object, m, 59, 60), 0x04);
	assert_int_equal(visits(object, m, 60, 1ull << 51), 0);
	assert_int_equal(visits(object, m, (1ull << 52) - 1, CACHE_NONE), 0x08);

	section_enter();
	mapping_extend(m[1], 0x1f000, 0x2b000); /* by one page at each end */
	mapping_extend(m[1], 0x21000, 0x22000); /* which is inside */
	section_leave();
	assert_int_equal(visits(object, m, 4, 5), 0x03);
	assert_int_equal(visits(object, m, 3, 4), 0x01);
	assert_int_equal(visits(object, m, 15, 16), 0x02);
	assert_int_equal(visits(object, m, 16, 17), 0);

	assert_true(mapping_same(m[0], m[4]) && !mapping_same(m[0], m[1]));
	assert_ptr_equal(mapping_later(m[0], m[4]), m[4]);
	assert_ptr_equal(mapping_later(m[4], m[0]), m[4]);
	assert_int_equal(mapping_index(m[2], 0x3000), 52);

	drop(m[2]); /* in the middle, at both ends, the last */
	assert_int_equal(visits(object, m, 0, CACHE_NONE), 0x1b);
	drop(m[0]);
	drop(m[4]);
	assert_int_equal(visits(object, m, 0, CACHE_NONE), 0x0a);
	drop(m[1]);
	quire_object_put(object);
	assert_ptr_equal(object_first(), object);
	drop(m[3]);
	object_reap();
	objects_stop();
}

static struct mapping *fresh, *doomed;

static void map_more(struct mapping *mapping)
{
	fresh = map(mapping->object, 2, 0x900000, 10, 0);
}

static void drop_doomed(struct mapping *mapping)
{
	uint64_t order = mapping->order;

	drop(doomed);
	assert_true(grace_barrier(0));
	assert_int_equal(mapping->order, order); /* the one that is being swept is still there */
}

/* Another sweep of all, from within this one, does not visit what has been dropped. */
static void drop_and_sweep_again(struct mapping *mapping)
{
	drop_doomed(mapping);
	assert_int_equal(mapping_sweep_all(mapping->object, 0, CACHE_NONE, SWEEP_PROTECT), 10);
}

/* What happens to the list while a sweep is in a mapping. */
static void list_changes(void **state)
{
	struct quire_object *object;
	struct mapping *m[4];

	(void)state;
	objects_start(MEMORY);
	object = make(NULL, 100 * PAGE_SIZE);
	for (unsigned i = 0; i < 3; i++)
		m[i] = map(object, i, 0x100000, 10, 0);

	during = map_more; /* is swept, last */
	swept = 0;
	assert_int_equal(mapping_sweep_all(object, 0, 1, SWEEP_ALL), 40);
	assert_ptr_equal(seen[3].mapping, fresh);
	m[3] = fresh;

	doomed = m[0]; /* the one that it is in: the way on is not lost */
	during = drop_doomed;
	assert_int_equal(visits(object, m, 0, 1), 0x0f);
	assert_int_equal(visits(object, m, 0, 1), 0x0e);

	doomed = m[2]; /* one that it has not come to */
	during = drop_doomed;
	assert_int_equal(visits(object, m, 0, 1), 0x0a);

	doomed = m[1]; /* two sweeps are in the list */
	during = drop_and_sweep_again;
	swept = 0;
	assert_int_equal(mapping_sweep_all(object, 0, 1, SWEEP_ALL), 20);
	assert_int_equal(swept, 3);
	assert_ptr_equal(seen[1].mapping, m[3]);
	assert_ptr_equal(seen[2].mapping, m[3]);
	drop(m[3]);
	quire_object_put(object);
	object_reap();
	objects_stop();
}

/* ---- open and close ---- */

static struct quire_mapping_info opened;
static struct quire_mm *closed;
static int open_answer;

static int note_open(struct quire_object *object, const struct quire_mapping_info *info)
{
	(void)object;
	opened = *info;
	return open_answer;
}

static void note_close(struct quire_object *object, struct quire_mm *mm)
{
	(void)object;
	closed = mm;
}

static const struct quire_object_ops open_ops = { .open = note_open, .close = note_close };

static void open_and_close(void **state)
{
	struct quire_object *object;
	struct mapping_place where;
	struct mapping *mapping;

	(void)state;
	objects_start(MEMORY);
	object = make(&open_ops, PAGE_SIZE);
	where = place(object, 1, 0x7000, 3, 9);
	open_answer = -QUIRE_EPERM;
	section_enter();
	assert_int_equal(mapping_make(&where, &mapping), -QUIRE_EPERM);
	section_leave();
	assert_null(object->first);
	assert_int_equal(at_load(&object->refs), 1);
	assert_true(opened.start == 0x7000 && opened.length == 0x3000 && opened.offset == 0x9000);
	assert_true(opened.shared && opened.prot == QUIRE_PROT_READ && opened.mm == where.mm);

	open_answer = 0;
	memset(&opened, 0, sizeof(opened));
	if (DEBUG_CHECKS) {
		inject_set(1);
		section_enter();
		assert_int_equal(mapping_make(&where, &mapping), -QUIRE_ENOMEM);
		section_leave();
		assert_null(opened.mm);
	}
	closed = NULL;
	mapping = map(object, 1, 0x7000, 3, 9);
	assert_null(closed);
	drop(mapping);
	assert_ptr_equal(closed, where.mm);
	quire_object_put(object);
	objects_stop();
}

/* ---- threads: records come and go, sweeps walk, spaces end ---- */

#define ROUNDS 400
#define SWEEPS 100
#define STANDSTILL_NS (60000 * MILLISECOND) /* by then there will never be so many */

static struct quire_object *shared;
static _Atomic uint32_t running, places[OBJECT_CPUS], sweeps;

static uint64_t quick_sweep(struct mapping *mapping, uint64_t first, uint64_t last,
			    enum mapping_sweep what)
{
	(void)first;
	(void)last;
	(void)what;
	/* The space is there as long as this goes on. */
	thread_check(at_load((_Atomic uint32_t *)mapping->mm) != 0);
	sched_yield();
	thread_check(at_load((_Atomic uint32_t *)mapping->mm) != 0);
	at_add(&sweeps, 1u);
	return 0;
}

/* On a busy machine those who sweep may come late. Whom they keep waiting then frees meanwhile. */
static bool enough(uint64_t since)
{
	if (at_load(&sweeps) > SWEEPS || port_clock() - since > STANDSTILL_NS)
		return true;
	thread_check(grace_barrier(0));
	return false;
}

/* A space: its word `places` is not 0 while it lives. It ends as spaces do. */
static void live(unsigned cpu)
{
	uint64_t since = port_clock();
	_Atomic uint32_t count = 0;

	for (unsigned round = 0; round < ROUNDS || !enough(since); round++) {
		struct mapping_place where = place(shared, 0, 0x100000, 4, 0);
		struct mapping *two[2];
		uint32_t now;

		where.sweep = quick_sweep;
		where.busy = &count;
		where.mm = (struct quire_mm *)&places[cpu];
		at_store(&places[cpu], 1u);
		for (unsigned i = 0; i < 2; i++) {
			section_enter();
			thread_check(mapping_make(&where, &two[i]) == 0);
			section_leave();
		}
		sched_yield();
		drop(two[round % 2]);
		drop(two[1 - round % 2]);
		while ((now = at_load_acquire(&count)) != 0)
			sleep_on(&count, now);
		at_store(&places[cpu], 0u);
		grace_poll();
	}
	at_sub(&running, 1u);
}

static void work(unsigned cpu)
{
	if (cpu < 3) {
		live(cpu);
		return;
	}
	while (at_load(&running) != 0) {
		mapping_sweep_all(shared, 0, CACHE_NONE, SWEEP_PAGES);
		grace_poll();
	}
}

static void stress(void **state)
{
	(void)state;
	objects_start(MEMORY);
	shared = make(NULL, PAGE_SIZE);
	at_store(&running, 3u);
	at_store(&sweeps, 0u);
	grace_offline();
	threads_run(5, work);
	grace_online();
	assert_true(at_load(&sweeps) > SWEEPS);
	assert_null(shared->first);
	quire_object_put(shared);
	objects_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create),	  cmocka_unit_test(references),
		cmocka_unit_test(misuse),	  cmocka_unit_test(turns),
		cmocka_unit_test(bounds),	  cmocka_unit_test(list_changes),
		cmocka_unit_test(open_and_close), cmocka_unit_test(stress),
	};

	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
