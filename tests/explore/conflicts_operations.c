/* SPDX-License-Identifier: MIT */
/*
 * The operations of the conflict table, and where they are done:
 *
 *     HOME                 the fault, by CPU 0; one VMA of 32 leaves begins here
 *       + 1 .. 6 leaves    leaves that the fault that must hook one begins
 *       + 7 leaves         its entry lies on one line with those, in the table above
 *       + 16 leaves        far from them, in the same VMA
 *     ELSEWHERE            another VMA, of 32 leaves
 *     KNOWN                a page of another VMA, which CPU 0 has touched
 *
 * Each place has a gap and a target for mremap behind it. A run of an operation uses a page of its
 * own, from the higher addresses to the lower, so that each cuts a piece off the VMA that has HOME.
 */
#include "conflicts.h"
#include "frame/rmap.h"
#include "frame/slab.h"
#include "space/machine.h"
#include "space/mm.h"

#define LAST_PAGE 64 /* of the runs, in a place */
#define KNOWN (A + 100 * LEAF)
#define MANY (1u << 4)

const struct place HOME = { "", A, SAME_VMA | SAME_LEAF };
static const struct place same_leaf = { "in the same leaf", A + 256 * PAGE, SAME_VMA | SAME_LEAF };
const struct place next_leaf = { "in the next leaf", A + 7 * LEAF, SAME_VMA };
const struct place far_in_home = { "in the same VMA", A + 16 * LEAF, SAME_VMA };
const struct place ASIDE = { "(disjoint)", A + 16 * LEAF, 0 };
const struct place ELSEWHERE = { "elsewhere", A + 64 * LEAF, 0 };

static const struct place whole_space = { "of this space", A, 0 };
static const struct place other = { "in another space", A, FOREIGN };

static struct quire_mm *children[TURNS];

uint64_t page_of(const struct place *place, unsigned turn)
{
	return place->base + (LAST_PAGE - 2 * turn) * PAGE;
}

static uint64_t leaf(const struct place *place, unsigned turn)
{
	return place->base + (LEAVES / 4 - turn) * LEAF;
}

static uint64_t target(const struct place *place)
{
	return place->base + 256 * LEAF;
}

void fault(uint64_t address, enum quire_access access)
{
	expect_equal(quire_fault(quire_soft_self()->mm, address, access), QUIRE_FAULT_DONE);
}

/* The runs' pages are there already; the leaf is, and stays. */
static void touch(const struct place *place)
{
	fault(place->base, QUIRE_WRITE);
	for (unsigned turn = 0; turn < TURNS; turn++)
		fault(page_of(place, turn), QUIRE_WRITE);
}

static void touch_leaf(const struct place *place)
{
	fault(place->base, QUIRE_WRITE);
}

/* --- faults --- */

static void write_page(const struct place *place, unsigned turn)
{
	fault(page_of(place, turn), QUIRE_WRITE);
}

static void read_page(const struct place *place, unsigned turn)
{
	fault(page_of(place, turn), QUIRE_READ);
}

static void write_new_leaf(const struct place *place, unsigned turn)
{
	fault(place->base + (1 + turn) * LEAF, QUIRE_WRITE);
}

static void read_all(const struct place *place)
{
	for (unsigned turn = 0; turn < TURNS; turn++)
		fault(page_of(place, turn), QUIRE_READ);
}

static void share(const struct place *place)
{
	touch(place);
	expect_equal(quire_fork(mm, &children[0]), 0);
}

static void unshare(const struct place *place)
{
	share(place);
	quire_mm_destroy(children[0]);
}

static void narrow(const struct place *place)
{
	touch(place);
	protect(place->base, LEAVES * 512, 0);
	protect(place->base, LEAVES * 512, READ_WRITE);
}

/* A look-up of another VMA: the CPU knows only that one then. */
static void forget(const struct place *place, unsigned turn)
{
	(void)place, (void)turn;
	fault(KNOWN, QUIRE_WRITE);
}

static void empty_stock(const struct place *place, unsigned turn)
{
	(void)place, (void)turn;
	frame_drain();
}

const struct operation faults[] = {
	{ "first write", 0, touch_leaf, NULL, write_page, QUIRE_KIND_FIRST_WRITE, 1 },
	{ "first read", 0, touch_leaf, NULL, read_page, QUIRE_KIND_ZERO_READ, 1 },
	{ "reuse", 0, unshare, NULL, write_page, QUIRE_KIND_COW_REUSE, 2 },
	{ "wider rights", 0, narrow, NULL, read_page, QUIRE_KIND_RIGHTS, 2 },
	{ "write over the zero page", FLUSHES, read_all, NULL, write_page, QUIRE_KIND_ZERO_WRITE,
	  3 },
	{ "copy", FLUSHES, share, NULL, write_page, QUIRE_KIND_COW_COPY, 5 },
	{ "first write (new leaf)", HOOKS, touch_leaf, NULL, write_new_leaf, QUIRE_KIND_FIRST_WRITE,
	  2 },
	{ "first write (VMA not known)", LOOKS_UP, touch_leaf, forget, write_page,
	  QUIRE_KIND_FIRST_WRITE, 1 },
	{ "first write (stock empty)", REFILLS, touch_leaf, empty_stock, write_page,
	  QUIRE_KIND_FIRST_WRITE, 2 },
};

/* --- writers --- */

static void map_anywhere(const struct place *place, unsigned turn)
{
	(void)place, (void)turn;
	expect(quire_mmap(mm, 0, PAGE, READ_WRITE, QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS) > 0);
}

static void map_page(const struct place *place, unsigned turn)
{
	map(page_of(place, turn), 1, READ_WRITE);
}

static void unmap_page(const struct place *place, unsigned turn)
{
	unmap(page_of(place, turn), 1);
}

static void touch_leaves(const struct place *place)
{
	for (unsigned turn = 0; turn < TURNS; turn++)
		fault(leaf(place, turn), QUIRE_WRITE);
}

static void unmap_leaf(const struct place *place, unsigned turn)
{
	unmap(leaf(place, turn), 512);
}

static void protect_page(const struct place *place, unsigned turn)
{
	protect(page_of(place, turn), 1, QUIRE_PROT_READ);
}

static void discard_page(const struct place *place, unsigned turn)
{
	expect_equal(quire_madvise(mm, page_of(place, turn), PAGE, QUIRE_MADV_DONTNEED), 0);
}

/* The target's leaf is there. */
static void touch_target(const struct place *place)
{
	map(target(place), 1, READ_WRITE);
	fault(target(place), QUIRE_WRITE);
}

static void touch_both(const struct place *place)
{
	touch_target(place);
	touch(place);
}

static void move_page(const struct place *place, unsigned turn)
{
	uint64_t to = target(place) + (LAST_PAGE - 2 * turn) * PAGE;

	expect_equal(quire_mremap(mm, page_of(place, turn), PAGE, PAGE,
				  QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED, to),
		     to);
}

static void fork_space(const struct place *place, unsigned turn)
{
	(void)place;
	expect_equal(quire_fork(quire_soft_self()->mm, &children[turn]), 0);
}

void make_space(void)
{
	struct quire_mm_config config = { .mode = mm->mode };
	struct quire_mm *space;

	expect_equal(quire_mm_create(&config, &space), 0);
	run_space(space);
}

static void enter_other_space(const struct place *place)
{
	make_space();
	map(place->base, LEAVES * 512, READ_WRITE);
	touch_leaf(place);
}

static void nothing(struct deferred *item)
{
	(void)item;
}

/* All but one of a batch wait for a grace period: the next begins one. */
static void fill_batch(const struct place *place, unsigned turn)
{
	static struct deferred items[GRACE_BATCH];

	(void)place, (void)turn;
	expect_equal(quire_barrier(0), 0);
	for (unsigned i = 0; i < GRACE_BATCH - 1; i++)
		grace_defer(&items[i], nothing);
}

#define WRITER(id, text, more, prepare, before, run)                                               \
	const struct operation id = { text, WRITES | (more),  prepare, before,                     \
				      run,  QUIRE_KIND_COUNT, 0 }
WRITER(mmap_gap, "mmap", 0, NULL, NULL, map_anywhere);
WRITER(mmap_over, "mmap over a page", EDITS, NULL, NULL, map_page);
WRITER(munmap_one, "munmap", EDITS, NULL, NULL, unmap_page);
WRITER(munmap_page, "munmap of a page", EDITS | FLUSHES, touch, NULL, unmap_page);
WRITER(munmap_leaf, "munmap of a whole leaf", EDITS | FLUSHES | UNHOOKS, touch_leaves, NULL,
       unmap_leaf);
WRITER(munmap_period, "munmap (grace period begins)", EDITS | PERIOD, NULL, fill_batch, unmap_page);
WRITER(mprotect_one, "mprotect", EDITS, NULL, NULL, protect_page);
WRITER(mprotect_page, "mprotect of a page", EDITS | FLUSHES, touch, NULL, protect_page);
WRITER(madvise_one, "madvise", 0, touch_leaf, NULL, discard_page);
WRITER(madvise_page, "madvise of a page", FLUSHES, touch, NULL, discard_page);
WRITER(mremap_one, "mremap", EDITS, touch_target, NULL, move_page);
WRITER(mremap_page, "mremap of a page", EDITS | FLUSHES, touch_both, NULL, move_page);
WRITER(fork_this, "fork", FORKS | FLUSHES, NULL, NULL, fork_space);
WRITER(fork_other, "fork", 0, enter_other_space, NULL, fork_space);

static const struct operation fault_other = {
	"first write", 0, enter_other_space, NULL, write_page, QUIRE_KIND_FIRST_WRITE, 1
};

#define FIRST_WRITE (&faults[0])
#define NEW_LEAF (&faults[6])
#define STOCK_EMPTY (&faults[8])

static const struct second seconds[] = {
	{ FIRST_WRITE, &next_leaf },	  { FIRST_WRITE, &far_in_home },
	{ FIRST_WRITE, &ELSEWHERE },	  { &fault_other, &other },
	{ FIRST_WRITE, &same_leaf },	  { NEW_LEAF, &far_in_home },
	{ STOCK_EMPTY, &ELSEWHERE },	  { &mmap_gap, &ELSEWHERE },
	{ &mmap_over, &ELSEWHERE },	  { &munmap_one, &ELSEWHERE },
	{ &mprotect_one, &ELSEWHERE },	  { &madvise_one, &ELSEWHERE },
	{ &mremap_one, &ELSEWHERE },	  { &fork_other, &other },
	{ &munmap_page, &ELSEWHERE },	  { &mprotect_page, &ELSEWHERE },
	{ &madvise_page, &ELSEWHERE },	  { &mremap_page, &ELSEWHERE },
	{ &munmap_leaf, &ELSEWHERE },	  { &munmap_period, &ELSEWHERE },
	{ &madvise_one, &far_in_home },	  { &mmap_over, &far_in_home },
	{ &munmap_one, &far_in_home },	  { &mprotect_one, &far_in_home },
	{ &mremap_one, &far_in_home },	  { &munmap_page, &far_in_home },
	{ &mprotect_page, &far_in_home }, { &madvise_page, &far_in_home },
	{ &mremap_page, &far_in_home },	  { &munmap_leaf, &far_in_home },
	{ &fork_this, &whole_space },
};
const struct group memory = {
	faults,
	sizeof(faults) / sizeof(faults[0]),
	seconds,
	sizeof(seconds) / sizeof(seconds[0]),
};

/* ASIDE is in the VMA of HOME. */
#define APART(first, second)                                                                       \
	{                                                                                          \
		&(first), &ELSEWHERE, &(second), &ASIDE                                            \
	}
const struct couple writers[] = {
	APART(mmap_gap, munmap_one),	   APART(mmap_gap, mmap_gap),
	APART(mprotect_one, mprotect_one), APART(munmap_one, munmap_one),
	APART(munmap_page, munmap_page),   APART(mprotect_page, mprotect_page),
	APART(madvise_one, madvise_one),   APART(madvise_page, madvise_page),
	APART(mremap_one, munmap_one),
};
const unsigned writers_count = sizeof(writers) / sizeof(writers[0]);

/* --- around them --- */

void prepare_world(void)
{
	map(HOME.base, LEAVES * 512, READ_WRITE);
	map(ELSEWHERE.base, LEAVES * 512, READ_WRITE);
	map(KNOWN, 1, READ_WRITE);
	fault(KNOWN, QUIRE_WRITE);
	prepare_objects();
}

void warm_up(void)
{
	struct slab *const slabs[] = { &vma_slab,     &tree_slab,  &rmap_slab, &mm_slab,
				       &mapping_slab, &cache_slab, &pages_slab };
	struct frame *frames[MANY];
	void *objects[MANY];

	for (unsigned i = 0; i < MANY; i++)
		frames[i] = frame_alloc(0);
	for (unsigned i = 0; i < MANY; i++)
		frame_put(frames[i]);
	for (unsigned s = 0; s < sizeof(slabs) / sizeof(slabs[0]); s++) {
		for (unsigned i = 0; i < MANY; i++)
			objects[i] = slab_alloc(slabs[s]);
		for (unsigned i = 0; i < MANY; i++)
			slab_free(slabs[s], objects[i]);
	}
	quire_idle(4);
}
