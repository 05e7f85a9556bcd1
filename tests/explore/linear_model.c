/* SPDX-License-Identifier: MIT */
/*
 * What operations do and return that are done one after the other; see linear.h. And what CPUs may
 * still use meanwhile: a page may have gone from its address (mremap, DONTNEED), and a content from
 * the object (truncation, holes).
 *
 *     address ──► page now, or old ──► its own content
 *                                  └─► of the object: content now, or old
 */
#include "linear_model.h"
#include <quire/types.h>
#include <string.h>

bool model_lags(const struct linear_operation *o)
{
	return o->kind == LINEAR_DONTNEED || o->kind == LINEAR_MREMAP;
}

bool model_takes(const struct linear_operation *o)
{
	return o->kind == LINEAR_TRUNCATE || o->kind == LINEAR_HOLE;
}

unsigned model_range(const struct linear_operation *o)
{
	unsigned range = ((1u << o->pages) - 1) << o->page;

	if (o->kind >= LINEAR_TRUNCATE)
		return 0;
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

bool model_same_page(const struct linear_page *a, const struct linear_page *b)
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

int model_decide(const struct state *s, const struct linear_operation *o, unsigned *todo)
{
	unsigned range = model_range(o), mapped = mapped_in(s, range), holes = range & ~mapped;

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

bool model_changes(const struct linear_operation *o)
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

struct found model_look(struct state *s, const struct linear_operation *o, enum view view)
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

bool model_fits(const struct found *found, const struct linear_operation *o)
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
	*content = (struct content){ there, 0, content->there, content->value, 0 };
}

void model_clear(struct state *s, unsigned page)
{
	s->object[page].value = 0;
	s->object[page].cleared = 1;
}

static void move_page(struct state *s, unsigned from, unsigned to)
{
	s->moved[from] = (uint8_t)(to + 1);
	s->lagging[from] = 0xff;
	s->stale[to] |= s->stale[from];
	s->now[to] = s->now[from];
	memset(&s->now[from], 0, sizeof(s->now[from]));
}

void model_do_page(struct state *s, const struct linear_operation *o, unsigned p)
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

void model_end(struct state *s, const struct linear_operation *o)
{
	for (unsigned p = o->page; model_lags(o) && p < o->page + o->pages; p++) {
		s->lagging[p] = s->moved[p] = 0;
		memset(&s->old[p], 0, sizeof(s->old[p]));
	}
	if (!model_takes(o))
		return;
	memset(s->stale, 0, sizeof(s->stale));
	for (unsigned p = 0; p < LINEAR_OBJECT; p++)
		s->object[p].taken = s->object[p].old = 0;
}
