/* SPDX-License-Identifier: MIT */
/*
 * The loops, named after those of `quire bench`. What each CPU does, in turn:
 *
 *     low-fault     31 first writes from its stock of frames, one that refills it
 *     page_fault1   the same over a region of its own; munmap of it, mmap
 *     local         mmap, write, munmap of a page
 *     antagonist-*  the same over a section of one VMA; madvise. The last CPU does something else
 */
#include "scale_builder.h"

#include <stdlib.h>
#include <string.h>

const char *const scale_modes[SCALE_MODES] = { "speculative", "vma-lock", "classic" };
const char *const scale_loops[] = {
	"low-fault",	  "page_fault1", "local", "antagonist-spin", "antagonist-mprotect-vma",
	"antagonist-fork"
};
const unsigned scale_loop_count = sizeof(scale_loops) / sizeof(scale_loops[0]);

#define ANTAGONIST "antagonist-"

unsigned loop_min_cpus(const char *loop)
{
	return strncmp(loop, ANTAGONIST, strlen(ANTAGONIST)) == 0 ? 2 : 1;
}

/* Of each batch of pages, the last finds the stock empty. */
static bool add_writes(struct builder *b, const struct json *loop, double nanoseconds,
		       unsigned pages)
{
	struct actor *worker = &b->system->worker;
	struct phase *phase = &worker->phases[worker->count++];
	double refill = b->rate *
			(accesses_of(operation_of(loop, "workers", "first write (stock empty)")) -
			 accesses_of(operation_of(loop, "workers", "first write")));
	double write = nanoseconds - refill / PAGES_PER_BATCH;

	if (write < nanoseconds / 2)
		write = nanoseconds / 2;
	phase->count = 2;
	phase->times = pages / PAGES_PER_BATCH;
	phase->tasks[0].repeat = PAGES_PER_BATCH - 1;
	phase->tasks[1].repeat = 1;
	phase->tasks[0].units = phase->tasks[1].units = 1;
	return make_task(b, &phase->tasks[0], loop, "first write", write) &&
	       make_task(b, &phase->tasks[1], loop, "first write (stock empty)", write + refill);
}

/* An operation that becomes longer with its pages: by so much for each batch. */
static bool add_once(struct builder *b, const struct json *loop, const char *name,
		     double nanoseconds, double each_batch, unsigned batches)
{
	struct actor *actor = b->of_other ? &b->system->other : &b->system->worker;
	struct phase *phase = &actor->phases[actor->count++];
	struct task *task = &phase->tasks[0];

	phase->count = phase->times = 1;
	task->repeat = 1;
	task->bulks = batches;
	/* What the other does with further pages meets nobody. */
	task->bulk = (struct sequence){ .end = each_batch, .poll = each_batch };
	return make_task(b, task, loop, name, nanoseconds) &&
	       (batches == 0 || b->of_other || make_bulk(b, task, loop, each_batch));
}

static bool add_workers(struct builder *b, const struct json *loop, const struct parameters *p)
{
	const char *name = json_string(loop, "loop");
	const struct operation_cost *cost = b->cost;
	bool added;

	if (strcmp(name, "low-fault") == 0)
		return add_writes(b, loop, cost->write_again, PAGES_PER_BATCH);
	if (strcmp(name, "local") == 0) {
		added = add_once(b, loop, "mmap, write, munmap", cost->local, 0, 0);
		b->system->worker.phases[0].tasks[0].units = 1;
		return added;
	}
	if (strcmp(name, "page_fault1") == 0)
		return add_writes(b, loop, cost->write, p->region_pages) &&
		       add_once(b, loop, "munmap and mmap", cost->remap,
				cost->unmap_page * PAGES_PER_BATCH,
				p->region_pages / PAGES_PER_BATCH);
	return add_writes(b, loop, cost->write, p->section_pages) &&
	       add_once(b, loop, "madvise", cost->dontneed, cost->drop_page * PAGES_PER_BATCH,
			p->section_pages / PAGES_PER_BATCH);
}

static bool add_other(struct builder *b, const struct json *loop, const struct parameters *p)
{
	const char *name = json_string(loop, "loop");
	const struct operation_cost *cost = b->cost;
	struct actor *other = &b->system->other;
	bool added;

	b->of_other = true;
	if (strcmp(name, ANTAGONIST "fork") == 0)
		added = add_once(b, loop, "fork", cost->fork, LEAF_PAGES * cost->fork_page,
				 p->fork_pages / LEAF_PAGES) &&
			add_once(b, loop, "end of the child", cost->destroy,
				 LEAF_PAGES * cost->destroy_page, p->fork_pages / LEAF_PAGES);
	else
		added = add_once(b, loop, "mprotect and back", cost->protect, 0, 0);
	if (added)
		other->phases[other->count - 1].tasks[0].units = 1;
	return added;
}

bool system_build(struct system *system, const struct json *footprints, const char *name,
		  unsigned mode, const struct parameters *p, unsigned cpus)
{
	const struct json *loop = loop_of(footprints, name, mode);
	const struct json *known = operation_of(loop_of(footprints, "page_fault1", mode), "workers",
						"munmap and mmap");
	struct builder b = { .system = system, .cost = &p->costs[mode] };

	*system = (struct system){ .space_lock = -1 };
	b.lines = json_get(loop, "lines");
	if (!b.lines || accesses_of(known) <= 0) {
		fprintf(stderr, "scale_model: the footprints lack %s, %s\n", name,
			scale_modes[mode]);
		return false;
	}
	b.rate = b.cost->remap / accesses_of(known);
	system->has_other = loop_min_cpus(name) == 2;
	system->other_spins = strcmp(name, ANTAGONIST "spin") == 0;
	b.workers = cpus - system->has_other;
	if (make_places(&b) && add_workers(&b, loop, p) &&
	    (!system->has_other || system->other_spins || add_other(&b, loop, p)))
		return true;
	system_free(system);
	return false;
}

static void free_actor(struct actor *actor)
{
	for (unsigned i = 0; i < actor->count; i++) {
		for (unsigned t = 0; t < actor->phases[i].count; t++) {
			free(actor->phases[i].tasks[t].steady.steps);
			free(actor->phases[i].tasks[t].changed.steps);
			free(actor->phases[i].tasks[t].bulk.steps);
		}
	}
}

void system_free(struct system *system)
{
	free_actor(&system->worker);
	free_actor(&system->other);
}
