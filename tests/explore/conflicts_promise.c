/* SPDX-License-Identifier: MIT */
/*
 * What a pair may share in `speculative`: nothing (rows 29 to 31 of docs/lineage.md), unless an
 * entry of `allowed` says so. An entry holds for the pairs that have its flag, at these moments,
 * for conflicts of these kinds. Each has its argument in docs/scaling.md under the heading that it
 * names. An entry that nothing needs is an error.
 */
#include "conflicts.h"
#include <string.h>

#define AT(moment) (1u << (moment))
#define ANY (AT(BEFORE) | AT(FIRST))
#define ALWAYS (ANY | AT(LATER))

static struct allowed {
	unsigned flags, moments; /* one of the flags is enough */
	const char *kinds;	 /* of struct conflict */
	const char *name;	 /* of the field, or of its object */
	const char *argument;
	unsigned used;
} allowed[] = {
	{ FLUSHES, ALWAYS, "w/r r/w w/w", "mailbox", "The shootdown", 0 },
	{ FLUSHES, ANY, "r/w", "answers", "The shootdown", 0 },
	{ OWN_VMA, ANY, "r/w", "retired vma.seq", "The look-up after an edit", 0 },
	{ OWN_VMA, AT(FIRST), "r/w", "vma.seq", "The look-up after an edit", 0 },
	{ OWN_VMA, AT(FIRST), "r/w", "mm.tree", "The look-up after an edit", 0 },
	{ OWN_VMA, AT(FIRST), "r/w", "tree node", "The look-up after an edit", 0 },
	{ LOOKS_UP, ANY, "r/w", "mm.tree", "A VMA that the CPU does not know", 0 },
	{ LOOKS_UP, AT(FIRST), "r/w", "tree node", "A VMA that the CPU does not know", 0 },
	{ HOOKS | UNHOOKS, ALWAYS, "w/r r/w w/w", "level-1 table", "A table comes or goes", 0 },
	{ REFILLS, ALWAYS, "w/w", "pools", "A stock is refilled", 0 },
	{ REFILLS, ALWAYS, "w/w", "frame", "A stock is refilled", 0 },
	{ PERIOD, ANY, "r/w", "grace_gp", "A grace period begins", 0 },
	{ PERIOD, AT(FIRST), "w/r", "grace_cpu.seen", "A grace period begins", 0 },
	{ PERIOD, ANY, "r/w", "mm.tree", "A grace period begins", 0 },
	{ PERIOD, AT(FIRST), "r/w", "tree node", "A grace period begins", 0 },
	{ NODES, ALWAYS, "w/w w/r r/w", "cache node", "A node of a cache comes or goes", 0 },
	{ NODES, ALWAYS, "w/w", "object.shape", "A node of a cache comes or goes", 0 },
	{ SAME_NODE, ALWAYS, "w/w w/r r/w", "cache node", "Two leaves, one node of a cache", 0 },
	{ SAME_PAGE, ALWAYS, "w/w", "object page", "One page in two spaces", 0 },
	{ OWN_SIZE, ANY, "r/w", "object.size", "The object's size", 0 },
	{ OWN_SIZE, ANY, "r/w", "object.limit", "The object's size", 0 },
	{ WRITERS, ANY, "w/w", "mm.tree", "Two writers", 0 },
	{ WRITERS, ANY, "w/w", "mm.tree_lock", "Two writers", 0 },
	{ WRITERS, ANY, "w/w", "mm.ranges", "Two writers", 0 },
	{ WRITERS, ANY, "w/w", "mm.gone", "Two writers", 0 },
	{ WRITERS, ANY, "w/r r/w w/w", "tree node", "Two writers", 0 },
	{ WRITERS, ANY, "r/w", "vma", "Two writers", 0 },
	{ WRITERS, ANY, "r/w w/w", "retired vma", "Two writers", 0 },
};
#define ALLOWED_COUNT (sizeof(allowed) / sizeof(allowed[0]))

/* Is this the field, or one of the object? */
static bool names(const char *entry, const char *name)
{
	size_t length = strlen(entry);

	return strncmp(name, entry, length) == 0 && (!name[length] || strchr(". ", name[length]));
}

bool is_allowed(const struct pair *p, unsigned moment, const struct conflict *c)
{
	bool found = false;

	for (unsigned i = 0; i < ALLOWED_COUNT; i++) {
		struct allowed *a = &allowed[i];

		if (!(p->flags & a->flags) || !(a->moments & AT(moment)) ||
		    !strstr(a->kinds, c->kind) || !names(a->name, c->name))
			continue;
		a->used++;
		found = true;
	}
	return found;
}

bool is_promised(const struct pair *p)
{
	return !(p->flags & (SAME_LEAF | FORKS));
}

bool keeps_promise(const struct pair *p, const struct result *r)
{
	static const char *const moments[MOMENTS] = { "before", "first", "later" };
	bool kept = true;

	for (unsigned moment = 0; is_promised(p) && moment < MOMENTS; moment++) {
		for (unsigned i = 0; i < r->at[moment].count; i++) {
			const struct conflict *c = &r->at[moment].list[i];

			if (is_allowed(p, moment, c))
				continue;
			printf("# not allowed, %s: %s %s\n", moments[moment], c->kind, c->name);
			kept = false;
		}
	}
	return kept;
}

bool baselines_share(const struct pair *p, const struct result *results)
{
	const struct conflict space = { "w/w", "mm.lock" }, vma = { "w/w", "vma.readers" };
	bool same_space = !(p->flags & FOREIGN);

	if (same_space && !has_conflict(&results[QUIRE_CLASSIC].all, &space))
		return false;
	return !same_space || p->flags & WRITES || !(p->flags & SAME_VMA) ||
	       has_conflict(&results[QUIRE_VMA_LOCK].all, &vma);
}

void check_allowed(const char *document)
{
	char heading[96];

	for (unsigned i = 0; i < ALLOWED_COUNT; i++) {
		const struct allowed *a = &allowed[i];

		test_case(a->used > 0, "needed: %s of %s", a->name, a->argument);
		if (!document)
			continue;
		snprintf(heading, sizeof(heading), "\n### %s\n", a->argument);
		test_case(strstr(document, heading) != NULL, "argued for: %s", a->argument);
	}
}
