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

/* Each page of the object goes and comes at a moment of its own. */
struct content {
	uint8_t there, value;
	/* Taken away by the call under way, which was `old`. */
	uint8_t taken, old;
};

/* Bytes throughout, so that equal states are equal as memory. */
struct state {
	struct linear_page now[LINEAR_PAGES];
	/*
	 * CPUs that may still use at this address what was there before a call that is under way:
	 * a page that DONTNEED took away, or one that mremap moved to page `moved` - 1.
	 */
	uint8_t lagging[LINEAR_PAGES], moved[LINEAR_PAGES];
	struct linear_page old[LINEAR_PAGES];
	struct content object[LINEAR_OBJECT];
	/* CPUs that may still use, at this address, a page that was taken from the object. */
	uint8_t stale[LINEAR_PAGES];
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

static bool takes(const struct linear_operation *o)
{
	return o->kind == LINEAR_TRUNCATE || o->kind == LINEAR_HOLE;
}

/* The pages that a writer has locked, as bits. */
static unsigned range_of(const struct linear_operation *o)
{
	if (o->kind >= LINEAR_TRUNCATE)
		return 0;
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
	return a->mapped == b->mapped && a->prot == b->prot && a->value == b->value &&
	       a->shows == b->shows;
}

/* The source lies in one VMA: what is adjacent and equal is one. */
static bool movable(const struct state *s, const struct linear_operation *o)
{
	const struct linear_page *first = &s->now[o->page];

	for (unsigned i = 0; i < o->pages; i++)
		if (!first[i].mapped || first[i].prot != first->prot ||
		    first[i].shows != (first->shows ? first->shows + i : 0))
			return false;
	return true;
}

/* The pages of the object that come or go, as bits. */
static unsigned resized(const struct state *s, const struct linear_operation *o)
{
	unsigned changed = 0;

	for (unsigned i = 0; i < LINEAR_OBJECT; i++)
		if (s->object[i].there != (i < o->pages))
			changed |= 1u << i;
	return changed;
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
	case LINEAR_TRUNCATE:
		*todo = resized(s, o);
		return 0;
	case LINEAR_HOLE:
		*todo = 1u << o->page;
		return 0;
	case LINEAR_DROP:
		/* It may have met pages that are in use. */
		return o->result == -QUIRE_EBUSY ? o->result : 0;
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

/* A store that is not refused. */
static bool changes(const struct linear_operation *o)
{
	return o->kind == LINEAR_STORE && o->result == 0;
}

/* The page that the CPU of this access may still use; NULL: only the one that is there now. */
static struct linear_page *old_page(struct state *s, const struct linear_operation *o)
{
	unsigned moved = s->moved[o->page];

	if (!(s->lagging[o->page] & 1u << o->cpu))
		return NULL;
	return moved ? &s->now[moved - 1] : &s->old[o->page];
}

/*
 * What an access may find, from what is longest gone to what is there now: the page at its address,
 * and if that shows one of the object, the content.
 */
enum view { OLD_PAGE_OLD_CONTENT, OLD_PAGE, OLD_CONTENT, NOW, VIEWS };

struct found {
	const struct linear_page *page; /* NULL: there is no such view */
	uint8_t *content;		/* NULL: beyond the end of the object */
};

static struct found look(struct state *s, const struct linear_operation *o, enum view view)
{
	bool old = view == OLD_PAGE || view == OLD_PAGE_OLD_CONTENT;
	bool taken = view == OLD_CONTENT || view == OLD_PAGE_OLD_CONTENT;
	struct linear_page *page = old ? old_page(s, o) : &s->now[o->page];
	struct content *shown = page && page->shows ? &s->object[page->shows - 1] : NULL;

	/* Who is refused has looked the address up: it sees what is there now. */
	if (!page || (view != NOW && o->result < 0) ||
	    (taken && !(shown && shown->taken && s->stale[o->page] & 1u << o->cpu)))
		return (struct found){ NULL, NULL };
	if (taken)
		return (struct found){ page, &shown->old };
	if (shown)
		return (struct found){ page, shown->there ? &shown->value : NULL };
	return (struct found){ page, &page->value };
}

/* Is this what the access returns that finds this? */
static bool fits(const struct found *found, const struct linear_operation *o)
{
	bool store = o->kind == LINEAR_STORE;
	int refused = refusal(found->page, store ? QUIRE_PROT_WRITE : QUIRE_PROT_READ);

	if (!refused && !found->content)
		refused = LINEAR_BUS;
	return o->result == (refused || store ? refused : *found->content);
}

/* A page of the object goes: who may have a translation of it, by any address? */
static void take(struct state *s, unsigned i, bool there)
{
	struct content *content = &s->object[i];

	for (unsigned p = 0; content->there && p < LINEAR_PAGES; p++) {
		unsigned moved = s->moved[p];

		if (s->now[p].shows == i + 1)
			s->stale[p] = 0xff;
		if (moved ? s->now[moved - 1].shows == i + 1 : s->old[p].shows == i + 1)
			s->stale[p] |= s->lagging[p];
	}
	*content = (struct content){ there, 0, content->there, content->value };
}

static void move_page(struct state *s, unsigned from, unsigned to)
{
	s->moved[from] = (uint8_t)(to + 1);
	s->lagging[from] = 0xff;
	s->stale[to] |= s->stale[from];
	s->now[to] = s->now[from];
	memset(&s->now[from], 0, sizeof(s->now[from]));
}

static void do_page(struct state *s, const struct linear_operation *o, unsigned p)
{
	struct linear_page *now = &s->now[p];

	switch (o->kind) {
	case LINEAR_MUNMAP:
		memset(now, 0, sizeof(*now));
		break;
	case LINEAR_MMAP:
		*now = (struct linear_page){ .mapped = 1, .prot = o->prot };
		now->shows = o->shows ? (uint8_t)(o->shows + p - o->page) : 0;
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
		move_page(s, p, p - o->page + o->target);
		break;
	case LINEAR_TRUNCATE:
		take(s, p, p < o->pages);
		break;
	case LINEAR_HOLE:
		take(s, p, s->object[p].there);
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
	if (!takes(o))
		return;
	memset(s->stale, 0, sizeof(s->stale));
	for (unsigned p = 0; p < LINEAR_OBJECT; p++)
		s->object[p].taken = s->object[p].old = 0;
}

/* The view that is longest gone: to use it changes nothing but content. */
static struct found first_view(struct state *s, const struct linear_operation *o)
{
	struct found found = { NULL, NULL };

	for (unsigned view = 0; !found.page; view++)
		found = look(s, o, (enum view)view);
	return found;
}

/* Takes a step of this operation that changes no page, if there is one. */
static bool easy_step(struct state *s, unsigned i)
{
	const struct linear_operation *o = &history->operations[i];
	uint8_t left = s->todo[i];

	if (is_access(o)) {
		struct found found = first_view(s, o);

		if (changes(o) || !fits(&found, o))
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
	if (leaves_old_pages(o) || takes(o))
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
	struct found found = look(&s, o, view);

	if (!found.page || !fits(&found, o))
		return false;
	/* Who has seen what is there now does not go back. */
	if (view == NOW || view == OLD_CONTENT)
		s.lagging[o->page] &= (uint8_t) ~(1u << o->cpu);
	if (view == NOW || view == OLD_PAGE)
		s.stale[o->page] &= (uint8_t) ~(1u << o->cpu);
	if (changes(o))
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
		if (takes(o) && takes(other))
			return false;
		if (range_of(o) & range_of(other) &&
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

static bool is_last(const struct state *s)
{
	const struct linear_object *last = &history->object_last;

	for (unsigned p = 0; p < LINEAR_PAGES; p++)
		if (!same_page(&s->now[p], &history->last[p]))
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
