/* SPDX-License-Identifier: MIT */
/*
 * References of frames, the reverse map and the caches of small objects, by themselves.
 *
 * The explorer keeps what is freed until the end of a run, so as to see accesses to it. Where it is
 * the reuse that matters, what is freed is freed at once here: by the core's own frame_put.
 */
#include "explore.h"
#include "frame/rmap.h"
#include "frame/slab.h"
#include "space/mm.h"

void __real_frame_put(struct frame *);
void __real_slab_free(struct slab *, void *);

static struct frame *frame;

static uint64_t *words(struct frame *f)
{
	return frame_bytes(f);
}

/* --- references --- */

static void shared_by_two(void)
{
	frame = frame_alloc(0);
	frame_get(frame);
}

/* The last to put it gets it again from its stock, and what it clears nobody else touches. */
static void use_and_put(void)
{
	port_pin();
	words(frame)[port_cpu()] = 1;
	__real_frame_put(frame);

	struct frame *next = frame_alloc(0);

	port_clear_page(frame_bytes(next));
	__real_frame_put(next);
	port_unpin();
}

SCENARIO(frame_two_sharers, "two put a frame, and each takes another", .setup = shared_by_two,
	 .run = { use_and_put, use_and_put });

static _Atomic uint64_t entry; /* of a table, in short: the frame's number, or 0 */

static void mapped_by_one(void)
{
	frame = frame_alloc(0);
	words(frame)[0] = 1;
	at_store(&entry, frame_pfn(frame));
}

/*
 *     CPU 0   entry: none ── put ── the same frame again, for something else ── put
 *     CPU 1      reads its number ......... frame_try_get ── looks at the entry again
 */
static void unmap_and_reuse(void)
{
	at_store(&entry, 0ull);
	use_and_put();
}

static void pin_by_number(void)
{
	uint64_t pfn = at_load_acquire(&entry);

	if (pfn == 0 || !frame_try_get(frame_of(pfn)))
		return;
	if (at_load(&entry) == pfn)
		expect_equal(words(frame_of(pfn))[1], 0);
	__real_frame_put(frame_of(pfn));
}

SCENARIO(frame_stale_number, "a pin by a number read before the last reference was put",
	 .setup = mapped_by_one, .run = { unmap_and_reuse, pin_by_number });

/* --- the reverse map --- */

static struct tables other;

static void mapped_twice(void)
{
	frame = frame_alloc(0);
	rmap_first(frame, &mm->tables, A);
	expect(rmap_add(frame, &other, B));
}

static void remove_first(void)
{
	port_pin();
	rmap_remove(frame, &mm->tables, A);
	frame_put(frame);
	port_unpin();
}

static void remove_second(void)
{
	port_pin();
	rmap_remove(frame, &other, B);
	frame_put(frame);
	port_unpin();
}

SCENARIO(rmap_last_two, "the two mappings of a frame go: who is last takes no lock",
	 .setup = mapped_twice, .run = { remove_first, remove_second });

static void add_third(void)
{
	port_pin();
	expect(rmap_add(frame, &other, C));
	port_unpin();
}

static void check_first_and_third(void)
{
	expect(rmap_has(frame, &mm->tables, A) && rmap_has(frame, &other, C));
	expect(!rmap_has(frame, &other, B));
	rmap_remove(frame, &other, C);
	frame_put(frame);
	remove_first();
}

SCENARIO(rmap_fork_and_unmap, "a mapping is added, by who has the first, while another goes",
	 .setup = mapped_twice, .run = { add_third, remove_second },
	 .check = check_first_and_third);

static void move_second_away(void)
{
	port_pin();
	rmap_move(frame, &other, B, D);
	rmap_remove(frame, &other, D);
	frame_put(frame);
	port_unpin();
}

SCENARIO(rmap_fork_and_move, "a mapping is added while another moves, and then goes",
	 .setup = mapped_twice, .run = { add_third, move_second_away },
	 .check = check_first_and_third);

/* --- small objects --- */

#define LOAD (SLAB_MAGAZINE / 2) /* goes to or comes from the frames at a time */

static void *objects[3 * LOAD];

/* CPU 0 has an empty magazine, CPU 1 a full one and LOAD objects to free. */
static void empty_and_full(void)
{
	for (unsigned i = 0; i < 3 * LOAD; i++) {
		as_cpu(i >= 2 * LOAD);
		objects[i] = slab_alloc(&rmap_slab);
	}
	for (unsigned i = LOAD; i < 3 * LOAD; i++)
		slab_free(&rmap_slab, objects[i]);
	expect_equal(rmap_slab.magazines[0].count, 0);
	expect_equal(rmap_slab.magazines[1].count, SLAB_MAGAZINE);
}

static void free_half(void)
{
	port_pin();
	for (unsigned i = 0; i < LOAD; i++)
		__real_slab_free(&rmap_slab, objects[i]);
	port_unpin();
}

static void refill_and_free(void)
{
	port_pin();
	uint64_t *mine = slab_alloc(&rmap_slab);

	mine[0] = 1;
	__real_slab_free(&rmap_slab, mine);
	port_unpin();
}

SCENARIO(slab_spill_and_refill, "one CPU's magazine overflows while another's is empty",
	 .setup = empty_and_full, .run = { refill_and_free, free_half });
