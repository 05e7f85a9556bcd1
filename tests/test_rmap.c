/* SPDX-License-Identifier: MIT */
/* The reverse map: one mapping, many, in every order, moved, pinned; and under threads that fork
 * and unmap. */
#include "frames.h"
#include "frame/rmap.h"
#include "frame/slab.h"

#define CPUS 4
#define MAPPINGS 5

static struct slab_magazine magazines[CPUS];

/* The reverse map never looks inside. */
static struct tables *space(unsigned n)
{
	return (struct tables *)(uintptr_t)(0x1000 * (n + 1));
}

static void begin(void)
{
	frames_start(0, 4 * MIB, CPUS);
	slab_init(&rmap_slab, "rmap", sizeof(struct rmap), magazines, CPUS);
}

static void end(void)
{
	assert_null(slab_validate(&rmap_slab));
	assert_int_equal(slab_drain(&rmap_slab), 0);
	frames_all_back();
}

static struct frame *mapped_once(void)
{
	struct frame *frame = frame_alloc(0);

	rmap_first(frame, space(0), 0x7000);
	return frame;
}

static void add(struct frame *frame, unsigned n)
{
	assert_true(rmap_add(frame, space(n), 0x7000 + n * PAGE_SIZE));
}

static void drop(struct frame *frame, unsigned n)
{
	rmap_remove(frame, space(n), 0x7000 + n * PAGE_SIZE);
	frame_put(frame);
}

static bool has(struct frame *frame, unsigned n)
{
	return rmap_has(frame, space(n), 0x7000 + n * PAGE_SIZE);
}

static void exclusive(void **state)
{
	struct frame *frame;

	(void)state;
	begin();
	frame = mapped_once();
	assert_int_equal(frame->kind, FRAME_ANON);
	assert_int_equal(frame->refs, 1);
	assert_int_equal(frame->u.page.mapcount, 1);
	assert_true(rmap_has(frame, space(0), 0x7000));
	assert_false(rmap_has(frame, space(1), 0x7000));
	assert_false(rmap_has(frame, space(0), 0x8000));
	rmap_move(frame, space(0), 0x7000, 0x9000);
	assert_false(rmap_has(frame, space(0), 0x7000));
	assert_true(rmap_has(frame, space(0), 0x9000));

	/* No lock: it is held, and nobody waits for it. */
	spin_lock(&frame->u.page.lock, RANK_RMAP);
	rmap_move(frame, space(0), 0x9000, 0x7000);
	rmap_remove(frame, space(0), 0x7000);
	spin_unlock(&frame->u.page.lock);
	assert_int_equal(frame->u.page.mapcount, 0);
	assert_int_equal(frame->refs, 1); /* the caller's now */
	assert_false(rmap_has(frame, space(0), 0x7000));
	frame_put(frame);
	frame = frame_alloc(0);
	assert_false(rmap_has(frame, space(0), 0x7000));
	frame_put(frame);
	end();
}

/* A pin is a reference, and no mapping. */
static void pinned(void **state)
{
	struct frame *frame;

	(void)state;
	begin();
	frame = mapped_once();
	assert_true(frame_try_get(frame));
	rmap_move(frame, space(0), 0x7000, 0x8000);
	assert_true(rmap_has(frame, space(0), 0x8000));
	assert_int_equal(frame->u.page.mapcount, 1);
	rmap_remove(frame, space(0), 0x8000);
	assert_int_equal(frame->u.page.mapcount, 0);
	assert_false(rmap_has(frame, space(0), 0x8000));
	frame_put(frame);
	assert_int_equal(frame->kind, FRAME_ANON);
	frame_put(frame);
	assert_int_equal(frame->kind, FRAME_STOCK);
	end();
}

/* Every order of removing five mappings: 120. */
static void every_order(void **state)
{
	(void)state;
	begin();
	for (unsigned permutation = 0; permutation < 120; permutation++) {
		struct frame *frame = mapped_once();
		unsigned left[MAPPINGS] = { 0, 1, 2, 3, 4 }, code = permutation;

		for (unsigned n = 1; n < MAPPINGS; n++)
			add(frame, n);
		assert_int_equal(frame->refs, MAPPINGS);
		assert_int_equal(frame->u.page.mapcount, MAPPINGS);
		for (unsigned count = MAPPINGS; count > 0; count--) {
			unsigned pick = code % count, n = left[pick];

			code /= count;
			for (unsigned i = 0; i < count; i++)
				assert_true(has(frame, left[i]));
			left[pick] = left[count - 1];
			rmap_remove(frame, space(n), 0x7000 + n * PAGE_SIZE);
			assert_false(has(frame, n));
			assert_int_equal(frame->u.page.mapcount, count - 1);
			assert_int_equal(frame->refs, count);
			frame_put(frame);
		}
		assert_int_equal(frame->kind, FRAME_STOCK);
	}
	end();
}

static void moves_of_shared(void **state)
{
	struct frame *frame;

	(void)state;
	begin();
	frame = mapped_once();
	for (unsigned n = 1; n < MAPPINGS; n++)
		add(frame, n);
	/* The same space may map the frame twice; it is the address that tells which. */
	assert_true(rmap_add(frame, space(2), 0x100000));
	for (unsigned n = 0; n < MAPPINGS; n++) {
		rmap_move(frame, space(n), 0x7000 + n * PAGE_SIZE, 0x200000);
		assert_false(has(frame, n));
		assert_true(rmap_has(frame, space(n), 0x200000));
	}
	assert_true(rmap_has(frame, space(2), 0x100000));
	assert_int_equal(frame->u.page.mapcount, MAPPINGS + 1);
	rmap_remove(frame, space(2), 0x200000);
	frame_put(frame);
	assert_true(rmap_has(frame, space(2), 0x100000));
	rmap_remove(frame, space(2), 0x100000);
	frame_put(frame);
	for (unsigned n = 0; n < MAPPINGS; n++)
		if (n != 2) {
			rmap_remove(frame, space(n), 0x200000);
			frame_put(frame);
		}
	end();
}

static void remove_unknown(void *frame)
{
	rmap_remove(frame, space(9), 0x7000);
}

static void move_unknown(void *frame)
{
	rmap_move(frame, space(0), 0x1000, 0x2000);
}

static void unknown_mappings(void **state)
{
	struct frame *frame;

	(void)state;
	begin();
	frame = mapped_once();
	assert_true(panics(move_unknown, frame));
	assert_int_equal(panics(remove_unknown, frame), DEBUG_CHECKS);
	add(frame, 1);
	assert_true(panics(move_unknown, frame));
	assert_true(panics(remove_unknown, frame));
	drop(frame, 1);
	drop(frame, 0);
	end();
}

static unsigned entries(struct frame *frame)
{
	unsigned count = 0;

	for (struct rmap *entry = frame->u.page.more; entry != NULL; entry = entry->next)
		count += entry != &frame->u.page.second;
	return count;
}

/* The room in the descriptor: for who finds the frame exclusive, and for nobody else. */
static void room_for_one(void **state)
{
	struct frame *frame;

	(void)state;
	begin();
	frame = mapped_once();
	inject_set(1);
	add(frame, 1);
	assert_int_equal(inject_count(), 0);
	inject_set(0);
	assert_ptr_equal(frame->u.page.more, &frame->u.page.second);
	add(frame, 2);
	assert_int_equal(entries(frame), 1);
	/* It has left the list, but two mappings are left: it stays empty. */
	drop(frame, 1);
	add(frame, 3);
	assert_int_equal(entries(frame), 2);
	drop(frame, 0);
	drop(frame, 2);
	assert_int_equal(frame->u.page.mapcount, 1);
	assert_true(has(frame, 3));
	assert_null(frame->u.page.more);
	/* A pin looks like a mapping. */
	assert_true(frame_try_get(frame));
	add(frame, 1);
	assert_int_equal(entries(frame), 1);
	drop(frame, 1);
	frame_put(frame);
	add(frame, 1);
	assert_ptr_equal(frame->u.page.more, &frame->u.page.second);
	/* What it says moves up; others may be before it. */
	add(frame, 2);
	drop(frame, 3);
	assert_true(has(frame, 2) && has(frame, 1));
	drop(frame, 2);
	assert_true(has(frame, 1));
	assert_int_equal(entries(frame), 0);
	drop(frame, 1);
	end();
}

static void no_memory(void **state)
{
	struct frame *keep[1024], *frame;
	unsigned n = 0;

	(void)state;
	begin();
	frame = mapped_once();
	add(frame, 1);
	inject_set(1);
	assert_int_equal(rmap_add(frame, space(2), 0x9000), !DEBUG_CHECKS);
	inject_set(0);
	assert_int_equal(has(frame, 2), !DEBUG_CHECKS);
	if (has(frame, 2))
		drop(frame, 2);
	slab_drain(&rmap_slab);
	while ((keep[n] = frame_alloc(0)) != NULL)
		n++;
	assert_false(rmap_add(frame, space(2), 0x9000));
	assert_false(has(frame, 2));
	assert_int_equal(frame->refs, 2);
	assert_int_equal(frame->u.page.mapcount, 2);
	frame_put(keep[--n]);
	add(frame, 2);
	assert_true(has(frame, 2));
	for (unsigned i = 0; i < 3; i++)
		drop(frame, i);
	while (n > 0)
		frame_put(keep[--n]);
	end();
}

/* ---- threads ---- */

/*
 * Space 0 maps the frame all the time; its leaf lock guards that entry. The other CPUs fork it into
 * spaces of their own (under its leaf lock) and unmap it there (under their own). The owner moves
 * its mapping, and when it sees one reference, no other mapping may be in sight. Everyone pins.
 */
static struct spinlock leaf[CPUS];
static struct frame *forked;
static _Atomic bool stop;
static _Atomic uint64_t forks, alone;
static uint64_t place = 0x7000; /* under leaf[0] */

static void fork_and_unmap(unsigned self)
{
	spin_lock(&leaf[0], RANK_LEAF);
	spin_lock(&leaf[self], RANK_LEAF_2);
	require(rmap_add(forked, space(self), 0x7000));
	spin_unlock(&leaf[self]);
	spin_unlock(&leaf[0]);
	at_add(&forks, 1ull);
	spin_lock(&leaf[self], RANK_LEAF);
	rmap_remove(forked, space(self), 0x7000);
	spin_unlock(&leaf[self]);
	frame_put(forked);
}

static void own(void)
{
	uint64_t to = place == 0x7000 ? 0x9000 : 0x7000;

	spin_lock(&leaf[0], RANK_LEAF);
	rmap_move(forked, space(0), place, to);
	place = to;
	/* Pairs with frame_put in fork_and_unmap, as in rmap.c. */
	if (at_load_acquire(&forked->refs) == 1) {
		require(forked->u.page.mapcount == 1 && forked->u.page.more == NULL);
		require(forked->u.page.tables == space(0) && forked->u.page.address == place);
		at_add(&alone, 1ull);
	}
	spin_unlock(&leaf[0]);
}

static void *work(void *argument)
{
	unsigned self = (unsigned)(uintptr_t)argument;

	soft_cpu_index = self;
	while (!at_load(&stop)) {
		if (self == 0)
			own();
		else
			fork_and_unmap(self);
		require(frame_try_get(forked));
		frame_put(forked);
	}
	return NULL;
}

static void stress(void **state)
{
	pthread_t threads[CPUS];

	(void)state;
	begin();
	forked = mapped_once();
	at_store(&stop, false);
	for (uintptr_t i = 0; i < CPUS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	usleep(1000000);
	/* On a busy machine longer, but not for ever. */
	for (unsigned i = 0; i < 6000 && (at_load(&forks) == 0 || at_load(&alone) == 0); i++)
		usleep(10000);
	at_store(&stop, true);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(at_load(&forks) > 0);
	assert_true(at_load(&alone) > 0);
	assert_int_equal(forked->refs, 1);
	assert_int_equal(forked->u.page.mapcount, 1);
	assert_true(rmap_has(forked, space(0), place));
	rmap_remove(forked, space(0), place);
	frame_put(forked);
	end();
	print_message("# %llu forks, alone %llu times\n", (unsigned long long)forks,
		      (unsigned long long)alone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exclusive),	    cmocka_unit_test(pinned),
		cmocka_unit_test(every_order),	    cmocka_unit_test(moves_of_shared),
		cmocka_unit_test(unknown_mappings), cmocka_unit_test(room_for_one),
		cmocka_unit_test(no_memory),	    cmocka_unit_test(stress),
	};

	return cmocka_run_group_tests(tests, frames_arena, NULL);
}
