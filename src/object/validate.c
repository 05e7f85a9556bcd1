/* SPDX-License-Identifier: MIT */
/* The validator of one cache: its tree and what is in it must agree. Nothing may be running. */
#include "object/cache_node.h"

static const char *check_leaf(const struct cache *cache, const struct cache_node *leaf,
			      uint64_t first, uint64_t *pages, uint64_t *dirty)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CACHE_SLOTS; i++) {
		const struct frame *frame = at_load(&leaf->at.frames[i]);

		if (!frame)
			continue;
		if (frame->kind != FRAME_OBJECT || !at_load(&frame->refs))
			return "a page is not a frame of an object";
		if (frame->u.object.index != first + i)
			return "a page is not at its index";
		if (first + i >= at_load(&cache->limit))
			return "a page is beyond the limit";
		count++;
		*dirty += at_load(&leaf->dirty) >> i & 1;
	}
	*pages += count;
	return count == leaf->count ? NULL : "a leaf miscounts its pages";
}

/* Of a node and all below it, which cover the indices from `first` on. */
static const char *check_node(const struct cache *cache, const struct cache_node *node,
			      uint64_t first, uint64_t *pages, uint64_t *dirty)
{
	const char *wrong = NULL;
	unsigned count = 0;

	if (node->dead || !node->count)
		return "a node is dead or empty";
	if (at_load(&node->lock.word))
		return "a node is locked";
	if (!node->shift)
		return check_leaf(cache, node, first, pages, dirty);
	for (unsigned i = 0; !wrong && i < CACHE_SLOTS; i++) {
		const struct cache_node *child = at_load(&node->at.children[i]);

		if (!child)
			continue;
		if (child->parent != node || child->offset != i ||
		    child->shift + CACHE_BITS != node->shift)
			return "a node is not where it says";
		count++;
		wrong = check_node(cache, child, first + ((uint64_t)i << node->shift), pages,
				   dirty);
	}
	return wrong || count == node->count ? wrong : "a node miscounts its children";
}

const char *cache_validate(const struct cache *cache, uint64_t *pages, uint64_t *dirty)
{
	const struct cache_node *root = at_load(&cache->root);

	*pages = *dirty = 0;
	if (at_load(&cache->lock.word))
		return "the cache is locked";
	if (!root)
		return NULL;
	if (root->parent || root->offset)
		return "the root has a parent";
	if (root->shift && root->count == 1 && at_load(&root->at.children[0]))
		return "the root has no child but the first";
	return check_node(cache, root, 0, pages, dirty);
}
