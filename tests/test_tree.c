/* SPDX-License-Identifier: MIT */
/*
 * The VMA tree against a model: a sorted array, searched by brute force.
 *
 * Addresses are pages 1 to PAGES of a small space, so that holes of all sizes, and none, are
 * common.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "space/tree_node.h"
#include "trace/trace.h"

#define CPUS 4
#define ARENA (64ull << 20)
#define LOW (1ull << 20) /* the first frame's address */
#define PAGES 16384ull
#define SPACE_END ((PAGES + 1) * PAGE_SIZE)
#define MODEL_MAX 4096
#define STACK_GAP (16 * PAGE_SIZE)

static void *arena;

static int setup(void **state)
{
	struct quire_memory range = { LOW, ARENA - LOW, 0 };
	size_t trace = trace_memory(CPUS), grace = grace_memory(CPUS);
	void *reserved;

	(void)state;
	arena = aligned_alloc(PAGE_SIZE, ARENA);
	soft_memory = arena;
	if (!arena || frame_init(&range, 1, 1, CPUS, trace + grace + slab_memory(CPUS), &reserved))
		return -1;
	trace_init(reserved, CPUS);
	grace_init((char *)reserved + trace, CPUS, 0);
	slab_init(&tree_slab, "tree", tree_node_size(), (char *)reserved + trace + grace, CPUS);
	grace_online();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	grace_offline();
	free(arena);
	return 0;
}

/* Nodes in use; runs what was deferred. */
static uint64_t nodes(void)
{
	assert_true(grace_barrier(0));
	assert_null(slab_validate(&tree_slab));
	return slab_drain(&tree_slab);
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

static struct vma *make_vma(uint64_t start, uint64_t end, uint32_t flags)
{
	struct vma *vma = calloc(1, sizeof(*vma));

	assert_non_null(vma);
	vma->start = start;
	vma->end = end;
	vma->flags = flags;
	return vma;
}

static void free_vma(struct deferred *deferred)
{
	struct vma *vma = container_of(deferred, struct vma, deferred);

	vma->start = UINT64_MAX;
	vma->end = 0;
	free(vma);
}

/* The model. */
static struct vma *model[MODEL_MAX];
static size_t model_count;

static size_t model_upto(uint64_t address)
{
	size_t low = 0, high = model_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (model[middle]->start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void model_splice(size_t at, size_t removed, struct vma *const *added, size_t count)
{
	assert_true(model_count - removed + count <= MODEL_MAX);
	memmove(model + at + count, model + at + removed,
		(model_count - at - removed) * sizeof(*model));
	for (size_t i = 0; i < count; i++)
		model[at + i] = added[i];
	model_count += count - removed;
}

static uint64_t model_place(uint64_t from, uint64_t to, const struct vma *above, uint64_t low,
			    uint64_t high, uint64_t length, bool down)
{
	if (above && above->flags & VMA_GROWSDOWN)
		to = to > STACK_GAP ? to - STACK_GAP : 0;
	if (from < low)
		from = low;
	if (to > high)
		to = high;
	if (to < from || to - from < length)
		return TREE_NO_GAP;
	return down ? to - length : from;
}

static uint64_t model_gap(uint64_t low, uint64_t high, uint64_t length, bool down)
{
	for (size_t turn = 0; turn <= model_count; turn++) {
		size_t i = down ? model_count - turn : turn; /* the hole below VMA i */
		uint64_t found = model_place(i > 0 ? model[i - 1]->end : 0,
					     i < model_count ? model[i]->start : UINT64_MAX,
					     i < model_count ? model[i] : NULL, low, high, length,
					     down);

		if (found != TREE_NO_GAP)
			return found;
	}
	return TREE_NO_GAP;
}

/* The tree says what the model says, near this address. */
static void compare_at(const struct tree *tree, uint64_t address)
{
	size_t upto = model_upto(address);
	struct vma *last = upto > 0 ? model[upto - 1] : NULL;
	struct vma *after = upto < model_count ? model[upto] : NULL;
	struct vma *found = last && address < last->end ? last : NULL;
	size_t below = address > 0 ? model_upto(address - 1) : 0;

	assert_ptr_equal(tree_find(tree, address), found);
	assert_ptr_equal(tree_next(tree, address), found ? found : after);
	assert_ptr_equal(tree_prev(tree, address), below > 0 ? model[below - 1] : NULL);
}

static void compare_gap(const struct tree *tree)
{
	uint64_t low = random_below(PAGES) * PAGE_SIZE;
	uint64_t high = random_below(2) ? SPACE_END : low + random_below(PAGES) * PAGE_SIZE;
	uint64_t length = (1 + random_below(random_below(2) ? 4 : 40)) * PAGE_SIZE;

	if (random_below(2))
		low = 0;
	for (unsigned down = 0; down < 2; down++)
		assert_int_equal(tree_gap(tree, low, high, length, down, STACK_GAP),
				 model_gap(low, high, length, down));
}

static void compare_all(const struct tree *tree)
{
	size_t count;
	const char *wrong = tree_validate(tree, &count);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(count, model_count);
	for (size_t i = 0; i < model_count; i++)
		assert_ptr_equal(tree_find(tree, model[i]->start), model[i]);
}

/* A random edit: `removed` VMAs from `at` on go, and up to four come into the room that is there
 * then. */
struct change {
	size_t at, removed;
	uint64_t low, high;
	struct vma *added[TREE_EDIT_MAX];
	unsigned count;
};

static struct change random_change(size_t at, size_t removed, unsigned wanted)
{
	struct change c = { .at = at, .removed = removed };
	uint64_t floor = at > 0 ? model[at - 1]->end : PAGE_SIZE;
	uint64_t ceiling = at + removed < model_count ? model[at + removed]->start : SPACE_END;

	/* The window may be as narrow as the starts that go, or as wide as to those that stay. */
	c.low = removed && random_below(2) ? model[at]->start : floor;
	c.high = removed && random_below(2) ? model[at + removed - 1]->start + 1 : ceiling;
	for (unsigned left = wanted; left > 0 && floor < ceiling; left--) {
		uint64_t room = (ceiling - floor) / PAGE_SIZE;
		uint64_t skip = random_below(3) ? random_below(room / left + 1) : 0;
		uint64_t size = 1 + random_below(random_below(64) ? 2 : room / left + 1);

		if (skip >= room)
			break;
		if (size > room - skip)
			size = room - skip;
		c.added[c.count++] = make_vma(floor + skip * PAGE_SIZE,
					      floor + (skip + size) * PAGE_SIZE,
					      random_below(16) ? 0 : VMA_GROWSDOWN);
		floor += (skip + size) * PAGE_SIZE;
	}
	return c;
}

static void apply(struct tree *tree, struct change *c)
{
	struct tree_edit edit;

	assert_true(tree_prepare(tree, &edit, c->low, c->high, c->added, c->count));
	tree_commit(tree, &edit);
	for (size_t i = 0; i < c->removed; i++)
		free(model[c->at + i]);
	model_splice(c->at, c->removed, c->added, c->count);
}

static void clear(struct tree *tree)
{
	struct change all = { .at = 0, .removed = model_count, .low = 0, .high = UINT64_MAX };

	apply(tree, &all);
	assert_null(at_load(&tree->root));
	assert_int_equal(nodes(), 0);
}

static void grow(struct tree *tree, size_t count)
{
	while (model_count < count) {
		struct change c = random_change(random_below(model_count + 1), 0, 1);

		/* Small VMAs with holes between them: long ones would leave no room for so many. */
		for (unsigned i = 0; i < c.count; i++)
			c.added[i]->end = c.added[i]->start + PAGE_SIZE;
		apply(tree, &c);
	}
}

static void test_empty(void **state)
{
	struct tree tree;
	size_t count = 1;

	(void)state;
	tree_init(&tree);
	assert_null(tree_validate(&tree, &count));
	assert_int_equal(count, 0);
	compare_at(&tree, 0);
	compare_at(&tree, UINT64_MAX);
	assert_int_equal(tree_gap(&tree, 4096, 12288, 4096, true, 0), 8192);
	assert_int_equal(tree_gap(&tree, 4096, 12288, 4096, false, 0), 4096);
	assert_int_equal(tree_gap(&tree, 4096, 12288, 8192, true, 0), 4096);
	assert_int_equal(tree_gap(&tree, 4096, 12288, 12288, true, 0), TREE_NO_GAP);
	assert_int_equal(tree_gap(&tree, 12288, 4096, 4096, false, 0), TREE_NO_GAP);
	clear(&tree);
	tree_free(&tree);
}

/* Addresses at both ends of 64 bits, and a leaf that is full (no key is out of use in it). */
static void test_bounds(void **state)
{
	struct tree tree;

	(void)state;
	tree_init(&tree);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t start = i < 20 ? i * 8192ull : UINT64_MAX - 4095 - (40 - i) * 8192ull;
		struct change c = {
			model_count, 0, start, start, { make_vma(start, start + 4096, 0) }, 1
		};

		apply(&tree, &c);
		compare_all(&tree);
		for (size_t k = 0; k < model_count; k++) {
			compare_at(&tree, model[k]->start);
			compare_at(&tree, model[k]->end - 1);
			compare_at(&tree, model[k]->end);
		}
		compare_at(&tree, 0);
		compare_at(&tree, UINT64_MAX);
		compare_at(&tree, UINT64_MAX - 1);
	}
	clear(&tree);
}

/* Split, merge, extend: what the space does most. */
static void test_shapes(void **state)
{
	struct tree tree;
	struct tree_edit edit;
	struct vma *whole = make_vma(0x10000, 0x20000, 0), *taller;
	struct vma *parts[3] = { make_vma(0x10000, 0x14000, 0),
				 make_vma(0x14000, 0x18000, VMA_WRITE),
				 make_vma(0x18000, 0x20000, 0) };

	(void)state;
	tree_init(&tree);
	assert_true(tree_prepare(&tree, &edit, 0x10000, 0x20000, &whole, 1));
	assert_null(tree_find(&tree, 0x10000)); /* prepared is not published */
	tree_commit(&tree, &edit);
	assert_ptr_equal(tree_find(&tree, 0x1ffff), whole);

	assert_true(tree_prepare(&tree, &edit, 0x10000, 0x10001, parts, 3));
	tree_drop(&edit);
	assert_ptr_equal(tree_find(&tree, 0x15000), whole);

	assert_true(tree_prepare(&tree, &edit, 0x10000, 0x10001, parts, 3));
	tree_commit(&tree, &edit);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(tree_find(&tree, parts[i]->start), parts[i]);

	assert_true(tree_prepare(&tree, &edit, 0x10000, 0x18001, &whole, 1));
	tree_commit(&tree, &edit);
	assert_ptr_equal(tree_find(&tree, 0x15000), whole);

	/* A stack grows: the new VMA begins below the window of the starts that go. */
	taller = make_vma(0xf000, 0x20000, VMA_GROWSDOWN);
	assert_true(tree_prepare(&tree, &edit, 0x10000, 0x10001, &taller, 1));
	tree_commit(&tree, &edit);
	assert_ptr_equal(tree_find(&tree, 0xf000), taller);
	assert_ptr_equal(tree_find(&tree, 0x1f000), taller);

	/* A window that has nothing in it. */
	assert_true(tree_prepare(&tree, &edit, 0x30000, 0x40000, NULL, 0));
	tree_commit(&tree, &edit);
	assert_ptr_equal(tree_find(&tree, 0xf000), taller);

	tree_free(&tree);
	assert_int_equal(nodes(), 0);
	free(whole);
	free(taller);
	for (unsigned i = 0; i < 3; i++)
		free(parts[i]);
}

static void test_stack_gap(void **state)
{
	struct tree tree;
	struct tree_edit edit;
	struct vma *stack = make_vma(0x40000, 0x50000, VMA_GROWSDOWN);
	struct vma *below = make_vma(0x20000, 0x30000, 0);

	(void)state;
	tree_init(&tree);
	assert_true(tree_prepare(&tree, &edit, 0, UINT64_MAX, &stack, 1));
	tree_commit(&tree, &edit);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x50000, 0x1000, true, 0x8000), 0x37000);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x3c000, 0x1000, true, 0x8000), 0x37000);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x34000, 0x1000, true, 0x8000), 0x33000);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x50000, 0x29000, true, 0x8000), TREE_NO_GAP);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x60000, 0x29000, false, 0x8000), TREE_NO_GAP);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x79000, 0x29000, false, 0x8000), 0x50000);
	assert_int_equal(tree_gap(&tree, 0, UINT64_MAX, 0x1000, false, 0x100000), 0x50000);

	/* With a VMA between, the stack's gap is taken off the hole above it only. */
	assert_true(tree_prepare(&tree, &edit, 0x20000, 0x30000, &below, 1));
	tree_commit(&tree, &edit);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x50000, 0x8000, true, 0x8000), 0x30000);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x50000, 0x9000, true, 0x8000), 0x17000);
	assert_int_equal(tree_gap(&tree, 0x10000, 0x50000, 0x8000, true, 0x100000), 0x18000);
	tree_free(&tree);
	assert_int_equal(nodes(), 0);
	free(stack);
	free(below);
}

/* 100,000 random edits while the tree grows to thousands of VMAs, shrinks to a few, and grows
 * again. */
static void test_random_edits(void **state)
{
	struct tree tree;
	size_t aim = 3000, most = 0;

	(void)state;
	tree_init(&tree);
	for (unsigned turn = 0; turn < 100000; turn++) {
		bool growing = model_count < aim;
		size_t at = random_below(model_count + 1);
		size_t removed = random_below(random_below(500) ? (growing ? 2 : 6) : 200);
		struct change c;

		if (turn % 8000 == 0)
			aim = random_below(2) ? 3000 : random_below(100);
		if (removed > model_count - at)
			removed = model_count - at;
		c = random_change(at, removed, (unsigned)random_below(growing ? 5 : 2));
		apply(&tree, &c);
		if (model_count > most)
			most = model_count;
		if (turn % 16 == 0)
			compare_all(&tree);
		for (unsigned i = 0; i < 4; i++)
			compare_at(&tree, random_below(SPACE_END + PAGE_SIZE));
		if (model_count > 0) {
			const struct vma *vma = model[random_below(model_count)];

			compare_at(&tree, vma->start);
			compare_at(&tree, vma->start - 1);
			compare_at(&tree, vma->end);
		}
		if (turn % 4 == 0)
			compare_gap(&tree);
		if (turn % 64 == 0)
			grace_poll();
	}
	assert_true(most > 1500);
	clear(&tree);
}

static struct vma *next_of_model(void *context)
{
	return model[(*(size_t *)context)++];
}

static void test_build(void **state)
{
	struct tree tree, other;

	(void)state;
	tree_init(&tree);
	for (size_t count = 0; count <= 700; count += count < 300 ? 1 : 97) {
		size_t next = 0;

		grow(&tree, count);
		tree_init(&other);
		assert_true(tree_build(&other, count, next_of_model, &next));
		assert_int_equal(next, count);
		compare_all(&other);
		for (unsigned i = 0; i < 20; i++)
			compare_gap(&other);
		tree_free(&other);
		assert_null(at_load(&other.root));
	}
	clear(&tree);
}

/* Each window of trees of one to three levels, with nothing, one and four VMAs in its place. */
static void test_every_window(void **state)
{
	static const size_t sizes[] = { 1, 2, 15, 16, 31, 100, 226 };
	struct vma *added[TREE_EDIT_MAX];

	(void)state;
	for (unsigned k = 0; k < TREE_EDIT_MAX; k++)
		added[k] = make_vma(0, 1, 0);
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		size_t next = 0, count;
		struct tree tree, other;
		struct tree_edit edit;

		while (model_count < sizes[s]) {
			uint64_t start = (8 * model_count + 8) * PAGE_SIZE;

			model[model_count++] = make_vma(start, start + PAGE_SIZE, 0);
		}
		tree_init(&tree);
		assert_true(tree_build(&tree, model_count, next_of_model, &next));
		for (size_t i = 0; i < model_count * model_count * 3; i++) {
			size_t from = i / 3 / model_count, to = i / 3 % model_count + 1;
			unsigned more = i % 3 == 2 ? TREE_EDIT_MAX : (unsigned)(i % 3);

			if (to < from)
				continue;
			for (unsigned k = 0; k < more; k++) {
				added[k]->start = (8 * from + 1 + k) * PAGE_SIZE;
				added[k]->end = added[k]->start + PAGE_SIZE;
			}
			assert_true(tree_prepare(&tree, &edit, (8 * from + 1) * PAGE_SIZE,
						 (8 * to + 1) * PAGE_SIZE, added, more));
			tree_init(&other);
			at_store(&other.root, edit.root);
			if (tree_validate(&other, &count))
				fail_msg("%zu to %zu: %s", from, to, tree_validate(&other, &count));
			assert_int_equal(count, model_count - (to - from) + more);
			for (unsigned k = 0; k < more; k++)
				assert_ptr_equal(tree_find(&other, added[k]->start), added[k]);
			tree_drop(&edit);
		}
		compare_all(&tree);
		clear(&tree);
	}
	for (unsigned k = 0; k < TREE_EDIT_MAX; k++)
		free(added[k]);
}

static void expect_wrong(const struct tree *tree, const char *what)
{
	size_t count;
	const char *wrong = tree_validate(tree, &count);

	assert_non_null(wrong);
	if (!strstr(wrong, what))
		fail_msg("\"%s\" where \"%s\" was expected", wrong, what);
}

/* The validator sees each thing that can be wrong with a node. */
static void test_validator(void **state)
{
	struct tree tree;
	struct tree_node *root, *leaf;
	uint64_t kept;

	(void)state;
	tree_init(&tree);
	grow(&tree, 100);
	root = at_load(&tree.root);
	leaf = root->child[1].to.node;
	assert_int_equal(root->level, 1);

#define WITH(field, value, what)                                                                   \
	do {                                                                                       \
		kept = (field);                                                                    \
		(field) = (value);                                                                 \
		expect_wrong(&tree, what);                                                         \
		(field) = (__typeof__(field))kept;                                                 \
	} while (0)
	WITH(leaf->level, 1, "depths");
	WITH(leaf->count, NODE_MIN - 1, "too empty");
	WITH(leaf->count, NODE_MAX + 1, "too full");
	WITH(root->start[NODE_MAX - 1], UINT64_MAX - 1, "not in use");
	WITH(root->child[NODE_MAX - 1].end, 1, "not in use");
	WITH(leaf->start[2], leaf->start[2] + 1, "disagree");
	WITH(root->start[1], root->start[1] - 1, "bounds");
	WITH(root->child[1].end, root->child[1].end + 1, "bounds");
	WITH(root->gap[1], root->gap[1] + 1, "gap");
#undef WITH
	kept = leaf->start[2];
	leaf->start[2] = leaf->child[2].to.vma->start = leaf->child[1].end - 1;
	expect_wrong(&tree, "overlap");
	leaf->start[2] = leaf->child[2].to.vma->start = leaf->child[2].end;
	expect_wrong(&tree, "empty VMA");
	leaf->start[2] = leaf->child[2].to.vma->start = kept;
	clear(&tree);
}

/* A version that a section still holds stays whole while the tree is edited out of recognition. */
static void test_old_version(void **state)
{
	struct tree tree, old;
	size_t count;

	(void)state;
	tree_init(&tree);
	grow(&tree, 500);
	section_enter();
	old = tree_snapshot(&tree);
	while (model_count > 0) {
		size_t removed = 1 + random_below(3);
		struct change c;
		struct tree_edit edit;

		if (removed > model_count)
			removed = model_count;
		c = random_change(random_below(model_count - removed + 1), removed, 1);
		if (random_below(4) > 0 && c.count) {
			free(c.added[0]);
			c.count = 0;
		}
		assert_true(tree_prepare(&tree, &edit, c.low, c.high, c.added, c.count));
		tree_commit(&tree, &edit);
		for (size_t i = 0; i < removed; i++)
			grace_defer(&model[c.at + i]->deferred, free_vma);
		model_splice(c.at, removed, c.added, c.count);
	}
	assert_null(tree_validate(&old, &count));
	assert_int_equal(count, 500);
	section_leave();
	clear(&tree);
}

#ifdef QUIRE_DEBUG
/* Each allocation of an edit fails once: the old version stands, and nothing is left over. */
static void test_failures(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 60, 105, 226, 1000, 2500 };
	struct tree tree;

	(void)state;
	tree_init(&tree);
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		grow(&tree, sizes[s]);
		for (unsigned turn = 0; turn < 40; turn++) {
			size_t at = random_below(model_count + 1);
			size_t removed = random_below(turn % 4 ? 4 : 60);
			struct tree_node *root = at_load(&tree.root);
			struct tree_edit edit;
			struct change c;
			uint64_t n, before;
			bool done = false;

			if (removed > model_count - at)
				removed = model_count - at;
			c = random_change(at, removed, (unsigned)random_below(5));
			before = nodes();
			for (n = 1; !done; n++) {
				inject_set(n);
				done = tree_prepare(&tree, &edit, c.low, c.high, c.added, c.count);
				inject_set(0);
				if (done)
					break;
				assert_ptr_equal(at_load(&tree.root), root);
				assert_int_equal(nodes(), before);
				compare_all(&tree);
				compare_gap(&tree);
			}
			tree_drop(&edit);
			assert_int_equal(nodes(), before);
			apply(&tree, &c);
		}
	}
	clear(&tree);
}

static void test_build_failures(void **state)
{
	struct tree tree, other;

	(void)state;
	tree_init(&tree);
	grow(&tree, 400);
	tree_init(&other);
	for (uint64_t n = 1;; n++) {
		size_t next = 0;
		uint64_t before = nodes();
		bool done;

		inject_set(n);
		done = tree_build(&other, model_count, next_of_model, &next);
		inject_set(0);
		if (done) {
			assert_true(n > 27);
			break;
		}
		assert_null(at_load(&other.root));
		assert_int_equal(nodes(), before);
	}
	compare_all(&other);
	tree_free(&other);
	clear(&tree);
}
#endif

/* Readers while the tree is edited. VMAs are poisoned and freed after their grace period. */
static struct tree shared;
static struct vma *witness;
static _Atomic bool stop;
static _Atomic uint64_t lookups, hits;

/* In threads of their own, where cmocka's assertions can't be used. */
static void look(uint64_t address)
{
	struct vma *vma = tree_find(&shared, address);
	struct tree version;
	uint64_t gap;

	if (vma) {
		require(vma->start <= address && address < vma->end);
		at_store(&hits, at_load(&hits) + 1);
	}
	vma = tree_next(&shared, address);
	require(!vma || address < vma->end);
	vma = tree_prev(&shared, address);
	require(!vma || vma->start < address);
	require(tree_find(&shared, witness->start) == witness);
	require(tree_find(&shared, witness->end - 1) == witness);
	require(tree_next(&shared, witness->start) == witness);
	require(tree_prev(&shared, witness->end) == witness);

	version = tree_snapshot(&shared);
	gap = tree_gap(&version, 0, SPACE_END, 2 * PAGE_SIZE, address & PAGE_SIZE, STACK_GAP);
	if (gap != TREE_NO_GAP) {
		require(!tree_find(&version, gap));
		require(!tree_find(&version, gap + PAGE_SIZE));
	}
}

static void *reader(void *argument)
{
	uint64_t state = 0x9e3779b97f4a7c15ull * (uintptr_t)argument;

	soft_cpu_index = (unsigned)(uintptr_t)argument;
	grace_online();
	while (!at_load(&stop)) {
		section_enter();
		for (unsigned i = 0; i < 8; i++) {
			state = state * 6364136223846793005ull + 1442695040888963407ull;
			look((state >> 20) % SPACE_END);
		}
		section_leave();
		at_store(&lookups, at_load(&lookups) + 8);
	}
	grace_offline();
	return NULL;
}

#define EDITED_NS 1500000000ull
#define STANDSTILL_NS 60000000000ull /* by then it will never be enough */

static bool enough(uint64_t edits)
{
	return edits > 100 && at_load(&lookups) > 1000 && at_load(&hits) > 0;
}

/* The time is up, and each has done something: on a busy machine that may be later. */
static bool over(uint64_t since, uint64_t edits)
{
	uint64_t passed = port_clock() - since;

	return passed >= (enough(edits) ? EDITED_NS : STANDSTILL_NS);
}

static void test_readers(void **state)
{
	pthread_t threads[CPUS - 1];
	uint64_t since, edits = 0;

	(void)state;
	tree_init(&shared);
	grow(&shared, 800);
	witness = model[400];
	at_store(&stop, false);
	for (uintptr_t i = 0; i < CPUS - 1; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, (void *)(i + 1)), 0);
	for (since = port_clock(); !over(since, edits); edits++) {
		size_t mine = model_upto(witness->start) - 1, at = random_below(model_count + 1);
		size_t removed = random_below(random_below(50) ? 4 : 100);
		struct tree_edit edit;
		struct change c;

		if (removed > model_count - at)
			removed = model_count - at;
		if (at <= mine && mine < at + removed)
			continue;
		c = random_change(at, removed, (unsigned)random_below(model_count < 800 ? 5 : 3));
		assert_true(tree_prepare(&shared, &edit, c.low, c.high, c.added, c.count));
		tree_commit(&shared, &edit);
		for (size_t i = 0; i < removed; i++)
			grace_defer(&model[at + i]->deferred, free_vma);
		model_splice(at, removed, c.added, c.count);
		if (edits % 16 == 0)
			grace_poll();
		/* A reader that the host does not run may hold up everything for long. */
		if (grace_pending() > 4096)
			assert_true(grace_barrier(0));
	}
	at_store(&stop, true);
	for (unsigned i = 0; i < CPUS - 1; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(enough(edits));
	compare_all(&shared);
	clear(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	     cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_shapes),	     cmocka_unit_test(test_stack_gap),
		cmocka_unit_test(test_random_edits), cmocka_unit_test(test_build),
		cmocka_unit_test(test_every_window), cmocka_unit_test(test_validator),
		cmocka_unit_test(test_old_version),
#ifdef QUIRE_DEBUG
		cmocka_unit_test(test_failures),     cmocka_unit_test(test_build_failures),
#endif
		cmocka_unit_test(test_readers),
	};

	return cmocka_run_group_tests_name("tree", tests, setup, teardown);
}
