/* SPDX-License-Identifier: MIT */
/*
 * The reverse map of anonymous frames (see rmap.h for its picture).
 *
 * Who may touch u.page of a frame:
 *
 *   refs 1       its only mapping's leaf lock is enough
 *   refs > 1     the frame's lock; to change a mapping, its leaf lock as well
 *
 * Why refs 1, read under the leaf lock of a mapping of the frame, stays true for the mappings until
 * that lock is released: each mapping holds a reference, and the one there is, is ours. A further
 * mapping is made by rmap_add only, by someone who holds the leaf lock of an existing mapping (fork
 * copies an entry, holding it): that lock is ours, and held. A mapping in another space would have
 * a reference of its own, from before its rmap_add ended until after its rmap_remove. A pin may
 * come at any moment (frame_try_get by a reader of this entry, or by a stale one), raising refs at
 * our back, but a pin never touches u.page.
 *
 * Acquire: whoever took other mappings away did so under the frame's lock and then put their
 * references (release); having seen refs 1, we see that the list is empty, and that nobody looks at
 * u.page.second, the entry in the descriptor, any more.
 */
#include "frame/rmap.h"

struct slab rmap_slab;

static bool is_first(const struct frame *frame, const struct tables *tables, uint64_t address)
{
	return frame->u.page.mapcount != 0 && frame->u.page.tables == tables &&
	       frame->u.page.address == address;
}

/* The link to the entry (tables, address) of the list; the link that is NULL if there is none. */
static struct rmap **find(struct frame *frame, const struct tables *tables, uint64_t address)
{
	struct rmap **link = &frame->u.page.more;

	while (*link != NULL && ((*link)->tables != tables || (*link)->address != address))
		link = &(*link)->next;
	return link;
}

/* By a small object: the entry in the descriptor may be in use, and it is not worth a look. */
bool rmap_add_shared(struct frame *frame, struct tables *tables, uint64_t address)
{
	struct rmap *entry = slab_alloc(&rmap_slab);

	if (unlikely(entry == NULL))
		return false;
	frame_get(frame);
	entry->tables = tables;
	entry->address = address;
	spin_lock(&frame->u.page.lock, RANK_RMAP);
	entry->next = frame->u.page.more;
	frame->u.page.more = entry;
	frame->u.page.mapcount++;
	spin_unlock(&frame->u.page.lock);
	return true;
}

/*
 * Take one mapping out of several, or the last one. Returns the entry that is no longer needed, if
 * any.
 * => frame's lock held
 */
static struct rmap *take_out(struct frame *frame, const struct tables *tables, uint64_t address)
{
	struct rmap **link, *entry;

	if (is_first(frame, tables, address)) {
		/* The next in the list, if there is one, moves into the descriptor. */
		link = &frame->u.page.more;
		if (*link != NULL) {
			frame->u.page.tables = (*link)->tables;
			frame->u.page.address = (*link)->address;
		}
	} else {
		link = find(frame, tables, address);
		require(*link != NULL);
	}
	entry = *link;
	if (entry != NULL)
		*link = entry->next;
	frame->u.page.mapcount--;
	return entry;
}

void rmap_remove_shared(struct frame *frame, const struct tables *tables, uint64_t address)
{
	struct rmap *entry;

	spin_lock(&frame->u.page.lock, RANK_RMAP);
	entry = take_out(frame, tables, address);
	spin_unlock(&frame->u.page.lock);
	if (entry != NULL && entry != &frame->u.page.second)
		slab_free(&rmap_slab, entry);
}

/* => the frame is exclusive, or its lock is held */
static void move(struct frame *frame, const struct tables *tables, uint64_t from, uint64_t to)
{
	if (is_first(frame, tables, from)) {
		frame->u.page.address = to;
	} else {
		struct rmap *entry = *find(frame, tables, from);

		require(entry != NULL);
		entry->address = to;
	}
}

void rmap_move(struct frame *frame, struct tables *tables, uint64_t from, uint64_t to)
{
	assert_debug(frame->kind == FRAME_ANON);
	if (rmap_is_exclusive(frame)) {
		move(frame, tables, from, to);
		return;
	}
	spin_lock(&frame->u.page.lock, RANK_RMAP);
	move(frame, tables, from, to);
	spin_unlock(&frame->u.page.lock);
}

bool rmap_has(struct frame *frame, const struct tables *tables, uint64_t address)
{
	return frame->kind == FRAME_ANON &&
	       (is_first(frame, tables, address) || *find(frame, tables, address) != NULL);
}
