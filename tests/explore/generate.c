/* SPDX-License-Identifier: MIT */
/*
 * Scenarios made at random.
 *
 *     seed ─► setup and programs ─► every schedule ─► each operation's call, return and result
 *             this file             the explorer      what must be true of them: generate_run.c
 *
 * The pages are the last two of one leaf and the first two of the next. In every third scenario
 * most of them show pages of one object, often the same one. What is likely to meet is chosen
 * often: most operations are about one page, which most setups have mapped and touched.
 */
#include "generate_plan.h"
#include "frame/frame.h"
#include <quire/mm.h>
#include <stdio.h>
#include <string.h>

struct plan plan;

/* --- at random --- */

static uint64_t random_state;

static unsigned below(unsigned n)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (unsigned)((x ^ x >> 31) >> 32) % n;
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

static uint8_t random_prot(unsigned writable)
{
	if (chance(writable))
		return READ_WRITE;
	return chance(60) ? QUIRE_PROT_READ : QUIRE_PROT_NONE;
}

static enum linear_kind random_kind(void)
{
	static const unsigned weights[LINEAR_KINDS] = {
		[LINEAR_LOAD] = 20,  [LINEAR_STORE] = 32,    [LINEAR_MUNMAP] = 9,
		[LINEAR_MMAP] = 8,   [LINEAR_MPROTECT] = 11, [LINEAR_DONTNEED] = 7,
		[LINEAR_MREMAP] = 7, [LINEAR_FORK] = 6,
	};
	static const unsigned with_object[LINEAR_KINDS] = {
		[LINEAR_LOAD] = 20,  [LINEAR_STORE] = 26,   [LINEAR_MUNMAP] = 5,
		[LINEAR_MMAP] = 6,   [LINEAR_MPROTECT] = 5, [LINEAR_DONTNEED] = 3,
		[LINEAR_MREMAP] = 7, [LINEAR_FORK] = 5,	    [LINEAR_TRUNCATE] = 11,
		[LINEAR_HOLE] = 4,   [LINEAR_SYNC] = 5,	    [LINEAR_DROP] = 3,
	};
	const unsigned *weight = plan.kind == NO_OBJECT ? weights : with_object;
	unsigned dice = below(100), kind = 0;

	while (dice >= weight[kind])
		dice -= weight[kind++];
	return (enum linear_kind)kind;
}

/* What a mapping shows: so much that the object has room for; or nothing, 0. */
static uint8_t random_shows(unsigned pages)
{
	if (plan.kind == NO_OBJECT || !chance(75))
		return 0;
	return (uint8_t)(1 + below(LINEAR_OBJECT - pages + 1));
}

static void random_object_operation(struct linear_operation *o)
{
	o->page = 0;
	o->pages = LINEAR_OBJECT;
	if (o->kind == LINEAR_TRUNCATE)
		o->pages = below(LINEAR_OBJECT + 1);
	else if (o->kind == LINEAR_HOLE)
		o->page = below(LINEAR_OBJECT - 1), o->pages = 1;
}

/* Most operations are about one page, the `hot` one; calls may take a neighbour as well. */
static void random_operation(struct linear_operation *o, unsigned hot)
{
	o->kind = random_kind();
	o->page = chance(65) ? hot : below(LINEAR_PAGES);
	o->pages = 1;
	if (o->kind == LINEAR_LOAD || o->kind == LINEAR_STORE)
		return;
	if (o->kind >= LINEAR_TRUNCATE) {
		random_object_operation(o);
		return;
	}
	if (chance(45)) {
		o->pages = 2;
		if (o->page == LINEAR_PAGES - 1 || (o->page > 0 && chance(50)))
			o->page--;
	}
	o->prot = random_prot(o->kind == LINEAR_MMAP ? 70 : 40);
	if (o->kind == LINEAR_MMAP)
		o->shows = random_shows(o->pages);
	if (o->kind == LINEAR_MREMAP && o->page == 1)
		o->pages = 1; /* there is no room for two beside these */
	do
		o->target = below(LINEAR_PAGES - o->pages + 1);
	while (o->kind == LINEAR_MREMAP && o->target < o->page + o->pages &&
	       o->page < o->target + o->pages);
}

/* What a CPU does to a page in the setup: not more than the rights allow. */
static enum touched random_touch(uint8_t prot)
{
	enum touched touched = chance(50) ? UNTOUCHED : chance(50) ? READ : WRITTEN;

	if (!(prot & QUIRE_PROT_READ))
		return UNTOUCHED;
	return touched == WRITTEN && !(prot & QUIRE_PROT_WRITE) ? READ : touched;
}

static bool is_beyond(const struct linear_page *page)
{
	return page->shows > plan.object.pages;
}

static void plan_object(void)
{
	if (plan.kind == NO_OBJECT)
		return;
	plan.object.pages = (uint8_t)(chance(60) ? LINEAR_OBJECT : 1 + below(LINEAR_OBJECT - 1));
	for (unsigned i = 0; i < plan.object.pages; i++)
		plan.object.value[i] = (uint8_t)(110 + i);
}

static void plan_setup(void)
{
	for (unsigned p = 0; p < LINEAR_PAGES; p++) {
		struct linear_page *page = &plan.pages[p];

		if (!chance(80))
			continue;
		page->mapped = 1;
		page->prot = random_prot(75);
		page->shows = random_shows(1);
		plan.touched[p] = (enum touched)(chance(50) ? WRITTEN : below(2));
		if (page->shows && (is_beyond(page) || chance(50)))
			plan.touched[p] = UNTOUCHED;
		if (plan.touched[p] == WRITTEN && !page->shows)
			page->value = (uint8_t)(100 + p);
	}
	plan.forks = chance(25);
	for (unsigned c = 0; c < plan.cpus; c++)
		for (unsigned p = 0; p < LINEAR_PAGES; p++)
			if (!is_beyond(&plan.pages[p]))
				plan.warm[c][p] = random_touch(plan.pages[p].prot);
}

static void plan_programs(void)
{
	unsigned hot = below(LINEAR_PAGES), forks = 0;
	uint8_t value = 1;

	/* The schedules of three CPUs are many. */
	for (unsigned c = 0; c < plan.cpus; c++)
		plan.count[c] = 1 + (plan.cpus == 2 ? below(3) : 0);
	if (plan.cpus > 2)
		plan.count[below(plan.cpus)] += below(2);
	for (unsigned c = 0; c < plan.cpus; c++) {
		for (unsigned i = 0; i < plan.count[c]; i++) {
			struct linear_operation *o = &plan.operations[c][i];

			do
				random_operation(o, hot);
			while (o->kind == LINEAR_FORK && forks == 2);
			forks += o->kind == LINEAR_FORK;
			o->cpu = c;
			o->value = o->kind == LINEAR_STORE ? value++ : 0;
		}
	}
}

/* --- generating --- */

static struct scenario scenario;
static char name[32], about[64];

const struct scenario *generate(uint64_t seed, enum explore_memory memory)
{
	memset(&plan, 0, sizeof(plan));
	memset(records, 0, sizeof(records));
	inject_set(0);
	random_state = seed;
	plan.fences = memory != EXPLORE_CONSISTENT;
	/* The boundary between two leaves, or between two tables above them. */
	plan.base = (chance(50) ? A + LEAF : A + 512 * LEAF) - LINEAR_PAGES / 2 * PAGE;
	plan.cpus = chance(75) ? 2 : 3;
	plan.failing = chance(20) ? 1 + below(8) : 0;
	if (seed % 3 == 0)
		plan.kind = chance(65) ? ON_DISK : IN_MEMORY;
	plan_object();
	plan_setup();
	plan_programs();

	snprintf(name, sizeof(name), "generated_%llu", (unsigned long long)seed);
	snprintf(about, sizeof(about), "%u, %u and %u operations", plan.count[0], plan.count[1],
		 plan.count[2]);
	scenario = (struct scenario){
		.name = name,
		.about = about,
		.setup = generated_setup,
		.check = generated_check,
		.speculative_only = true,
	};
	for (unsigned c = 0; c < plan.cpus; c++)
		scenario.run[c] = generated_programs[c];
	return &scenario;
}

/* --- printing --- */

static const char *prot_name(unsigned prot)
{
	static const char *const names[] = { "NONE", "R", "W", "RW" };

	return names[prot & READ_WRITE];
}

static void print_operation(const struct linear_operation *o)
{
	static const char *const names[LINEAR_KINDS] = {
		[LINEAR_LOAD] = "load",		[LINEAR_STORE] = "store",
		[LINEAR_MUNMAP] = "munmap",	[LINEAR_MMAP] = "mmap",
		[LINEAR_MPROTECT] = "mprotect", [LINEAR_DONTNEED] = "madvise_dontneed",
		[LINEAR_MREMAP] = "mremap",	[LINEAR_FORK] = "fork",
		[LINEAR_TRUNCATE] = "truncate", [LINEAR_HOLE] = "remove",
		[LINEAR_SYNC] = "sync",		[LINEAR_DROP] = "invalidate",
	};

	printf("%s(", names[o->kind]);
	if (o->kind >= LINEAR_TRUNCATE) {
		printf(o->kind == LINEAR_HOLE ? "page %u of the object)" : "object, %u)",
		       o->kind == LINEAR_HOLE ? o->page : o->pages);
		return;
	}
	if (o->kind != LINEAR_FORK)
		printf("page %u", o->page);
	if (o->kind == LINEAR_STORE)
		printf(", %u", o->value);
	else if (o->kind != LINEAR_LOAD && o->kind != LINEAR_FORK)
		printf(", %u", o->pages);
	if (o->kind == LINEAR_MMAP || o->kind == LINEAR_MPROTECT)
		printf(", %s", prot_name(o->prot));
	if (o->kind == LINEAR_MREMAP)
		printf(", page %u", o->target);
	if (o->shows)
		printf(", shows %u of the object", o->shows - 1);
	printf(")");
}

static void print_result(const struct linear_operation *o, const struct record *r)
{
	static const char *const verdicts[] = { "MAPERR", "ACCERR", "BUS" };

	if (!r->called)
		printf("; not reached\n");
	else if (!r->returned)
		printf("; called at %llu\n", (unsigned long long)r->call);
	else if (o->result <= LINEAR_MAPERR)
		printf(" == %s; %llu to %llu\n", verdicts[LINEAR_MAPERR - o->result],
		       (unsigned long long)r->call, (unsigned long long)r->end);
	else
		printf(" == %d; %llu to %llu\n", o->result, (unsigned long long)r->call,
		       (unsigned long long)r->end);
}

static void print_setup(void)
{
	static const char *const touched[] = { "never touched", "read", "written" };

	printf("# setup, page 0 at %#llx:\n", (unsigned long long)plan.base);
	if (plan.kind != NO_OBJECT)
		printf("#     an object %s, of %u pages, which contain 110 and so on\n",
		       plan.kind == ON_DISK ? "on a disk" : "in memory", plan.object.pages);
	for (unsigned p = 0; p < LINEAR_PAGES; p++) {
		if (!plan.pages[p].mapped)
			continue;
		printf("#     page %u: %s, %s, ", p, prot_name(plan.pages[p].prot),
		       touched[plan.touched[p]]);
		if (plan.pages[p].shows)
			printf("shows %u of the object;", plan.pages[p].shows - 1);
		else
			printf("contains %u;", plan.pages[p].value);
		for (unsigned c = 0; c < plan.cpus; c++)
			if (plan.warm[c][p] != UNTOUCHED)
				printf(" CPU %u %s it", c,
				       plan.warm[c][p] == READ ? "reads" : "writes");
		printf("\n");
	}
	if (plan.forks)
		printf("#     forked before the CPUs did so\n");
	if (plan.failing)
		printf("#     allocation %u fails\n", plan.failing);
}

void generate_print(void)
{
	print_setup();
	for (unsigned c = 0; c < plan.cpus; c++) {
		printf("# CPU %u:\n", c);
		for (unsigned i = 0; i < plan.count[c]; i++) {
			printf("#     ");
			print_operation(&plan.operations[c][i]);
			print_result(&plan.operations[c][i], &records[c][i]);
		}
	}
}
