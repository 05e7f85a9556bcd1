/* SPDX-License-Identifier: MIT */
/*
 * Linearizability by search (Wing and Gong), each state once.
 *
 *     not begun ── begin ──► begun ── a page ... a page ──► end
 *         │                    the result is decided at the beginning
 *         └── an access: one step
 *
 * A writer begins while no other that overlaps is between its beginning and its end: that is what
 * the range locks promise. All steps of an operation come after all operations that had returned
 * before it was called have ended.
 *
 * Steps that change nothing (a load that fits, a page of fork's child that fits, the end of a call)
 * are taken as soon as they can be: taking them can only let others go on. The others are tried in
 * every order.
 */
#include "linear_model.h"
#include <quire/types.h>
#include <string.h>

static const struct linear_history *history;

/* --- states that were met in this check --- */

#define KNOWN 8192
static struct {
	uint64_t state;
	uint32_t check;
} known[KNOWN];
static uint32_t check_number;
static unsigned known_count;

static uint64_t hash(const struct state *s)
{
	const unsigned char *byte = (const unsigned char *)s;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < sizeof(*s); i++)
		h = (h ^ byte[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

/* Returns whether it was there already. A full table only costs time. */
static bool met_before(const struct state *s)
{
	uint64_t state = hash(s);
	unsigned i = (unsigned)(state % KNOWN);

	while (known[i].check == check_number && known[i].state != state)
		i = (i + 1) % KNOWN;
	if (known[i].check == check_number)
		return true;
	if (known_count < KNOWN / 2) {
		known_count++;
		known[i].state = state;
		known[i].check = check_number;
	}
	return false;
}

static bool is_access(const struct linear_operation *o)
{
	return o->kind == LINEAR_LOAD || o->kind == LINEAR_STORE;
}

/* --- the search --- */

static bool search(struct state s);

/* Everything that it must come after has ended, and it has not. */
static bool ready(const struct state *s, unsigned i)
{
	uint32_t before = history->operations[i].before;

	for (unsigned k = 0; k < history->count; k++)
		if (before & 1u << k && !s->ended[k])
			return false;
	return !s->ended[i];
}

static void end(struct state *s, unsigned i)
{
	s->ended[i] = 1;
	model_end(s, &history->operations[i]);
}

/* The view that is longest gone: to use it changes nothing but content. */
static struct found first_view(struct state *s, const struct linear_operation *o)
{
	struct found found = { NULL, NULL };

	for (unsigned view = 0; !found.page; view++)
		found = model_look(s, o, (enum view)view);
	return found;
}

/* Takes a step of this operation that changes no page, if there is one. */
static bool easy_step(struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];
	uint8_t left = s->todo[i];

	if (is_access(o)) {
		struct found found = first_view(s, o);

		if (model_changes(o) || !model_fits(&found, o))
			return false;
		s->ended[i] = 1;
		return true;
	}
	if (!s->begun[i])
		return false;
	for (unsigned p = 0; o->kind == LINEAR_FORK && p < LINEAR_PAGES; p++)
		if (model_same_page(&o->child[p], &s->now[p]))
			s->todo[i] &= (uint8_t) ~(1u << p);
	if (s->todo[i])
		return s->todo[i] != left;
	if (model_lags(o) || model_takes(o))
		return false; /* its end changes what lagging CPUs see */
	end(s, i);
	return true;
}

static void easy_steps(struct state *s)
{
	bool any = true;

	while (any) {
		any = false;
		for (unsigned i = 0; i < history->count; i++)
			any = (ready(s, i) && easy_step(s, i)) || any;
	}
}

static bool try_view(struct state s, unsigned i, enum view view)
{
	const struct linear_operation *o = &history->operations[i];
	struct found found = model_look(&s, o, view);

	if (!found.page || !model_fits(&found, o))
		return false;
	/* Who has seen what is there now does not go back. */
	if (view == NOW || view == OLD_CONTENT)
		s.lagging[o->page] &= (uint8_t) ~(1u << o->cpu);
	if (view == NOW || view == OLD_PAGE)
		s.stale[o->page] &= (uint8_t) ~(1u << o->cpu);
	if (model_changes(o))
		*found.content = o->value;
	s.ended[i] = 1;
	return search(s);
}

static bool try_access(const struct state *s, unsigned i)
{
	bool found = false;

	for (unsigned view = 0; !found && view < VIEWS; view++)
		found = try_view(*s, i, (enum view)view);
	return found;
}

static bool may_begin(const struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];

	for (unsigned k = 0; k < history->count; k++) {
		const struct linear_operation *other = &history->operations[k];

		if (!s->begun[k] || s->ended[k])
			continue;
		if (model_takes(o) && model_takes(other))
			return false;
		if (model_range(o) & model_range(other) &&
		    !(o->kind == LINEAR_FORK && other->kind == LINEAR_FORK))
			return false;
	}
	return true;
}

static bool try_begin(struct state s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];
	unsigned todo;

	if (!may_begin(&s, i))
		return false;
	s.begun[i] = 1;
	if (o->result == model_decide(&s, o, &todo)) {
		s.todo[i] = (uint8_t)todo;
		if (search(s))
			return true;
	}
	if (!history->memory_fails || o->result != -QUIRE_ENOMEM)
		return false;
	for (unsigned done = 0; done < (o->kind == LINEAR_MPROTECT ? o->pages : 1); done++) {
		s.todo[i] = (uint8_t)(((1u << done) - 1) << o->page);
		if (search(s))
			return true;
	}
	return false;
}

static bool try_clear(struct state s, unsigned i, unsigned p)
{
	if (!history->kept_elsewhere || !model_takes(&history->operations[i]) ||
	    !s.object[p].there || s.object[p].cleared)
		return false;
	model_clear(&s, p);
	return search(s);
}

static bool try_page(struct state s, unsigned i, unsigned p)
{
	s.todo[i] &= (uint8_t) ~(1u << p);
	model_do_page(&s, &history->operations[i], p);
	return search(s);
}

static bool try_end(struct state s, unsigned i)
{
	end(&s, i);
	return search(s);
}

static bool try_pages(const struct state *s, unsigned i)
{
	if (history->operations[i].kind == LINEAR_FORK)
		return false;
	if (!s->todo[i])
		return try_end(*s, i);
	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (s->todo[i] & 1u << p && (try_page(*s, i, p) || try_clear(*s, i, p)))
			return true;
	return false;
}

static bool all_ended(const struct state *s)
{
	for (unsigned i = 0; i < history->count; i++)
		if (!s->ended[i])
			return false;
	return true;
}

static bool is_last(const struct state *s)
{
	const struct linear_object *last = &history->object_last;

	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (!model_same_page(&s->now[p], &history->last[p]))
			return false;
	for (unsigned i = 0; i < LINEAR_OBJECT; i++)
		if (s->object[i].there != (i < last->pages) || s->object[i].value != last->value[i])
			return false;
	return true;
}

static bool search(struct state s)
{
	easy_steps(&s);
	if (all_ended(&s))
		return is_last(&s);
	if (met_before(&s))
		return false;
	for (unsigned i = 0; i < history->count; i++) {
		if (!ready(&s, i))
			continue;
		if (is_access(&history->operations[i]) ? try_access(&s, i)
		    : s.begun[i]		       ? try_pages(&s, i)
						       : try_begin(s, i))
			return true;
	}
	return false;
}

bool linear_check(const struct linear_history *h)
{
	struct state s;

	history = h;
	check_number++;
	known_count = 0;
	memset(&s, 0, sizeof(s));
	memcpy(s.now, h->first, sizeof(s.now));
	for (unsigned i = 0; i < LINEAR_OBJECT; i++) {
		s.object[i].there = i < h->object_first.pages;
		s.object[i].value = h->object_first.value[i];
	}
	return search(s);
}
