/* SPDX-License-Identifier: MIT */
/* What linear.c searches: pages and an object in one state, and how operations change it. */
#ifndef LINEAR_MODEL_H
#define LINEAR_MODEL_H

#include "linear.h"

/* Each page of the object goes and comes at a moment of its own. */
struct content {
	uint8_t there, value;
	/* By the call under way: it was `old`, or is about to be and reads as zero. */
	uint8_t taken, old, cleared;
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

/* Does the call take pages of the object? Does it leave translations of old ones until its end? */
bool model_takes(const struct linear_operation *);
bool model_lags(const struct linear_operation *);
/* The pages that a writer has locked, as bits. */
unsigned model_range(const struct linear_operation *);
bool model_same_page(const struct linear_page *, const struct linear_page *);
/* What the call returns, and as bits the pages that it changes, one at a time. */
int model_decide(const struct state *, const struct linear_operation *, unsigned *todo);
void model_do_page(struct state *, const struct linear_operation *, unsigned page);
/* A page that it takes from an object is zero before that. */
void model_clear(struct state *, unsigned page);
/* The call returns: nobody uses what it has taken. */
void model_end(struct state *, const struct linear_operation *);

/*
 * What an access may find, from what is longest gone to what is there now: the page at its address,
 * and if that shows one of the object, the content.
 */
enum view { OLD_PAGE_OLD_CONTENT, OLD_PAGE, OLD_CONTENT, NOW, VIEWS };

struct found {
	const struct linear_page *page; /* NULL: there is no such view */
	uint8_t *content;		/* NULL: beyond the end of the object */
};

struct found model_look(struct state *, const struct linear_operation *, enum view);
/* Is this what the access returns that finds this? */
bool model_fits(const struct found *, const struct linear_operation *);
/* A store that is not refused. */
bool model_changes(const struct linear_operation *);

#endif
