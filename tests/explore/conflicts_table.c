/* SPDX-License-Identifier: MIT */
/*
 * The tables of docs/scaling.md. What there is to say is grouped twice:
 *
 *     (fault, beside it) ─► cells       faults with the same cells: one row
 *     beside it          ─► its rows    those with the same rows: one block
 */
#include "conflicts.h"
#include <stdlib.h>
#include <string.h>

struct row {
	char *faults, *cells;
	unsigned count; /* of faults */
};

struct block {
	char *beside;
	struct row rows[ROWS];
	unsigned count; /* of rows */
	unsigned faults;
	bool merged; /* into an earlier one */
};

static void append(char **text, const char *separator, const char *more)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s", *text, separator, more) < 0)
		abort();
	free(*text);
	*text = longer;
}

static struct block *block_of(struct table *table, const char *beside)
{
	struct block *block;

	for (unsigned i = 0; i < table->count; i++)
		if (strcmp(table->blocks[i]->beside, beside) == 0)
			return table->blocks[i];
	if (table->count == BLOCKS)
		explore_fail("too many rows");
	block = calloc(1, sizeof(*block));
	block->beside = strdup(beside);
	table->blocks[table->count++] = block;
	return block;
}

void table_add(struct table *table, const char *fault, const char *beside, const char *cells)
{
	struct block *block = block_of(table, beside);
	unsigned i = 0;

	while (i < block->count && strcmp(block->rows[i].cells, cells) != 0)
		i++;
	if (i == ROWS)
		explore_fail("too many rows");
	if (i == block->count)
		block->rows[block->count++] = (struct row){ strdup(fault), strdup(cells), 0 };
	else
		append(&block->rows[i].faults, ", ", fault);
	block->rows[i].count++;
	block->faults++;
}

static bool same_rows(const struct block *a, const struct block *b)
{
	bool same = a->count == b->count;

	for (unsigned i = 0; same && i < a->count; i++)
		same = strcmp(a->rows[i].faults, b->rows[i].faults) == 0 &&
		       strcmp(a->rows[i].cells, b->rows[i].cells) == 0;
	return same;
}

static void merge(struct table *table)
{
	for (unsigned i = 0; i < table->count; i++) {
		for (unsigned j = i + 1; j < table->count; j++) {
			struct block *one = table->blocks[i], *other = table->blocks[j];

			if (one->merged || other->merged || !same_rows(one, other))
				continue;
			append(&one->beside, "; ", other->beside);
			other->merged = true;
		}
	}
}

void table_write(FILE *to, struct table *table)
{
	merge(table);
	for (unsigned i = 0; i < table->count; i++) {
		const struct block *b = table->blocks[i];

		for (unsigned r = 0; r < b->count && !b->merged; r++) {
			bool most = b->faults > 1 && 2 * b->rows[r].count > b->faults;

			fprintf(to, "| %s | %s | %s |\n", r ? "" : b->beside,
				!most		? b->rows[r].faults
				: b->count == 1 ? "any"
						: "all others",
				b->rows[r].cells);
		}
	}
}
