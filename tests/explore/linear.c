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
#include "linear.h"
#include <quire/types.h>
#include <string.h>

/* Bytes throughout, so that equal states are equal as memory. */
struct state {
	struct linear_page now[LINEAR_PAGES];
	/*
	 * CPUs that may still use at this address what was there before a call that is under way:
	 * a page that DONTNEED took away, or one that mremap moved to page `moved` - 1.
	 */
	uint8_t lagging[LINEAR_PAGES], moved[LINEAR_PAGES];
	struct linear_page old[LINEAR_PAGES];
	uint8_t todo[LINEAR_OPERATIONS]; /* pages still to be done by a writer that has begun */
	uint8_t begun[LINEAR_OPERATIONS], ended[LINEAR_OPERATIONS];
};

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

/* --- the model --- */

static bool is_access(const struct linear_operation *o)
{
	return o->kind == LINEAR_LOAD || o->kind == LINEAR_STORE;
}

/* The pages that a writer has locked, as bits. */
static unsigned range_of(const struct linear_operation *o)
{
	unsigned range = ((1u << o->pages) - 1) << o->page;

	if (o->kind == LINEAR_FORK)
		return (1u << LINEAR_PAGES) - 1;
	return o->kind == LINEAR_MREMAP ? range | ((1u << o->pages) - 1) << o->target : range;
}

static unsigned mapped_in(const struct state *s, unsigned range)
{
	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (!s->now[p].mapped)
			range &= ~(1u << p);
	return range;
}

static bool same_page(const struct linear_page *a, const struct linear_page *b)
{
	return a->mapped == b->mapped && a->prot == b->prot && a->value == b->value;
}

/* The source lies in one VMA: what is adjacent and equal is one. */
static bool movable(const struct state *s, const struct linear_operation *o)
{
	for (unsigned p = o->page; p < o->page + o->pages; p++)
		if (!s->now[p].mapped || s->now[p].prot != s->now[o->page].prot)
			return false;
	return true;
}

/* What the call returns, and as bits the pages that it changes. */
static int decide(const struct state *s, const struct linear_operation *o, unsigned *todo)
{
	unsigned range = range_of(o), mapped = mapped_in(s, range), holes = range & ~mapped;

	*todo = range;
	switch (o->kind) {
	case LINEAR_MPROTECT:
		/* What lies before the first hole. */
		*todo &= holes ? (holes & -holes) - 1 : range;
		return holes ? -QUIRE_ENOMEM : 0;
	case LINEAR_DONTNEED:
		*todo = mapped;
		return holes ? -QUIRE_ENOMEM : 0;
	case LINEAR_MREMAP:
		*todo = ((1u << o->pages) - 1) << o->page;
		if (movable(s, o))
			return 0;
		*todo = 0;
		return -QUIRE_EFAULT;
	default:
		return 0;
	}
}

static int refusal(const struct linear_page *page, uint8_t needed)
{
	if (!page->mapped)
		return LINEAR_MAPERR;
	return page->prot & needed ? 0 : LINEAR_ACCERR;
}

/* Is this what the access returns that finds this page? */
static bool fits(const struct linear_page *page, const struct linear_operation *o)
{
	bool store = o->kind == LINEAR_STORE;
	int refused = refusal(page, store ? QUIRE_PROT_WRITE : QUIRE_PROT_READ);

	return o->result == (refused || store ? refused : page->value);
}

/* A store that is not refused. */
static bool changes(const struct linear_operation *o)
{
	return o->kind == LINEAR_STORE && o->result == 0;
}

/* The page that the CPU of this access may still use; NULL: only the one that is there now. */
static struct linear_page *old_page(struct state *s, const struct linear_operation *o)
{
	unsigned moved = s->moved[o->page];

	/* Who is refused has looked the address up: it sees what is there now. */
	if (!(s->lagging[o->page] & 1u << o->cpu) || o->result < 0)
		return NULL;
	return moved ? &s->now[moved - 1] : &s->old[o->page];
}

static void do_page(struct state *s, const struct linear_operation *o, unsigned p)
{
	struct linear_page *now = &s->now[p];

	switch (o->kind) {
	case LINEAR_MUNMAP:
		memset(now, 0, sizeof(*now));
		break;
	case LINEAR_MMAP:
		*now = (struct linear_page){ 1, o->prot, 0 };
		break;
	case LINEAR_MPROTECT:
		now->prot = o->prot;
		break;
	case LINEAR_DONTNEED:
		s->old[p] = *now;
		s->lagging[p] = 0xff;
		now->value = 0;
		break;
	case LINEAR_MREMAP:
		s->moved[p] = (uint8_t)(p - o->page + o->target + 1);
		s->lagging[p] = 0xff;
		s->now[s->moved[p] - 1] = *now;
		memset(now, 0, sizeof(*now));
		break;
	default:
		break;
	}
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

static bool leaves_old_pages(const struct linear_operation *o)
{
	return o->kind == LINEAR_DONTNEED || o->kind == LINEAR_MREMAP;
}

static void end(struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];

	s->ended[i] = 1;
	for (unsigned p = o->page; leaves_old_pages(o) && p < o->page + o->pages; p++) {
		s->lagging[p] = s->moved[p] = 0;
		memset(&s->old[p], 0, sizeof(s->old[p]));
	}
}

/* Takes a step of this operation that changes no page, if there is one. */
static bool easy_step(struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];
	uint8_t left = s->todo[i];

	if (is_access(o)) {
		const struct linear_page *old = old_page(s, o);

		if (changes(o) || !fits(old ? old : &s->now[o->page], o))
			return false;
		s->ended[i] = 1;
		return true;
	}
	if (!s->begun[i])
		return false;
	for (unsigned p = 0; o->kind == LINEAR_FORK && p < LINEAR_PAGES; p++)
		if (same_page(&o->child[p], &s->now[p]))
			s->todo[i] &= (uint8_t) ~(1u << p);
	if (s->todo[i])
		return s->todo[i] != left;
	if (leaves_old_pages(o))
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

static bool try_access(struct state s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];
	struct linear_page *now = &s.now[o->page];
	struct state lagging = s;
	struct linear_page *old = old_page(&lagging, o);

	if (old && changes(o) && fits(old, o)) {
		old->value = o->value;
		lagging.ended[i] = 1;
		if (search(lagging))
			return true;
	}
	if (!fits(now, o))
		return false;
	s.lagging[o->page] &= (uint8_t) ~(1u << o->cpu);
	if (changes(o))
		now->value = o->value;
	s.ended[i] = 1;
	return search(s);
}

static bool may_begin(const struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];

	for (unsigned k = 0; k < history->count; k++) {
		const struct linear_operation *other = &history->operations[k];

		if (s->begun[k] && !s->ended[k] && range_of(o) & range_of(other) &&
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
	if (o->result == decide(&s, o, &todo)) {
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

static bool try_pages(const struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];
	struct state next = *s;

	if (o->kind == LINEAR_FORK)
		return false;
	if (!s->todo[i]) {
		end(&next, i);
		return search(next);
	}
	for (unsigned p = 0; p < LINEAR_PAGES; p++) {
		if (!(s->todo[i] & 1u << p))
			continue;
		next = *s;
		next.todo[i] &= (uint8_t) ~(1u << p);
		do_page(&next, o, p);
		if (search(next))
			return true;
	}
	return false;
}

static bool all_ended(const struct state *s)
{
	for (unsigned i = 0; i < history->count; i++)
		if (!s->ended[i])
			return false;
	return true;
}

static bool search(struct state s)
{
	easy_steps(&s);
	if (all_ended(&s)) {
		for (unsigned p = 0; p < LINEAR_PAGES; p++)
			if (!same_page(&s.now[p], &history->last[p]))
				return false;
		return true;
	}
	if (met_before(&s))
		return false;
	for (unsigned i = 0; i < history->count; i++) {
		if (!ready(&s, i))
			continue;
		if (is_access(&history->operations[i]) ? try_access(s, i)
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
	return search(s);
}
