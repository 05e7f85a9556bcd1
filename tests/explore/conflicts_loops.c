/* SPDX-License-Identifier: MIT */
/*
 * What bench/scale_model simulates, as it is: the loops of some benchmarks, step by step.
 *
 *     CPU 0, CPU 1    workers, which do the same, each at its own place
 *     CPU 2           the other, which does something else; not in every loop
 *
 * Each operation of a worker is also recorded as the first after the other's.
 */
#include "conflicts_loops.h"
#include "frame/pool.h"
#include <string.h>

#define REGION 512 /* pages, of a worker */
#define WARM 2	   /* turns */

/* --- operations --- */

static struct quire_mm *child;
static struct frame *batch[STOCK_BATCH];

static void touch_first(const struct place *place, unsigned turn)
{
	(void)turn;
	fault(place->base, QUIRE_WRITE);
}

static void drain_stock(const struct place *place, unsigned turn)
{
	touch_first(place, turn);
	frame_drain();
}

/* Full, and as much again in hand as is moved at a time. => the stock is refilled in such batches
 */
static void fill_stock(const struct place *place, unsigned turn)
{
	struct frame *frames[STOCK_SIZE];

	(void)place, (void)turn;
	frame_drain();
	for (unsigned i = 0; i < STOCK_SIZE; i++)
		frames[i] = frame_alloc(0);
	for (unsigned i = 0; i < STOCK_BATCH; i++)
		batch[i] = frame_alloc(0);
	for (unsigned i = 0; i < STOCK_SIZE; i++)
		frame_put(frames[i]);
}

static void write_one(const struct place *place, unsigned turn)
{
	fault(page_of(place, turn), QUIRE_WRITE);
}

static void write_another(const struct place *place, unsigned turn)
{
	fault(page_of(place, turn) + PAGE, QUIRE_WRITE);
}

static void free_batch(const struct place *place, unsigned turn)
{
	(void)place, (void)turn;
	for (unsigned i = 0; i < STOCK_BATCH; i++)
		frame_put(batch[i]);
}

static void map_region(const struct place *place)
{
	map(place->base, REGION, READ_WRITE);
}

static void map_anew(const struct place *place, unsigned turn)
{
	(void)turn;
	unmap(place->base, REGION);
	map_region(place);
}

static void give_back(const struct place *place, unsigned turn)
{
	(void)turn;
	expect_equal(quire_madvise(mm, place->base, REGION * PAGE, QUIRE_MADV_DONTNEED), 0);
}

static void map_write_unmap(const struct place *place, unsigned turn)
{
	(void)turn;
	map(place->base, 1, READ_WRITE);
	fault(place->base, QUIRE_WRITE);
	unmap(place->base, 1);
}

static void protect_and_back(const struct place *place, unsigned turn)
{
	(void)turn;
	fault(place->base, QUIRE_WRITE);
	protect(place->base, 1, QUIRE_PROT_READ);
	protect(place->base, 1, READ_WRITE);
}

static void fork_child(const struct place *place, unsigned turn)
{
	(void)place, (void)turn;
	expect_equal(quire_fork(mm, &child), 0);
}

static void destroy_child(const struct place *place, unsigned turn)
{
	(void)place, (void)turn;
	quire_mm_destroy(child);
}

static const struct operation write_page = { .name = "first write",
					     .before = touch_first,
					     .run = write_one };
static const struct operation write_refill = { .name = "first write (stock empty)",
					       .before = drain_stock,
					       .run = write_another };
static const struct operation spill = { .name = "free (stock full)",
					.before = fill_stock,
					.run = free_batch };
static const struct operation remap = { .name = "munmap and mmap",
					.prepare = map_region,
					.run = map_anew };
static const struct operation dontneed = { .name = "madvise", .run = give_back };
static const struct operation local = { .name = "mmap, write, munmap", .run = map_write_unmap };
static const struct operation mprotect_twice = { .name = "mprotect and back",
						 .run = protect_and_back };
static const struct operation fork_once = { .name = "fork", .run = fork_child };
static const struct operation destroy = { .name = "end of the child", .run = destroy_child };

/* --- loops --- */

static const struct place workers_far = { "", A + 16 * LEAF, 0 };
static const struct place other_far = { "", A + 24 * LEAF, 0 };
static const struct place slots[] = { { "", A + 1024 * LEAF, 0 }, { "", A + 1536 * LEAF, 0 } };

#define IN_ONE_VMA .at = { &HOME, &workers_far }, .beside = &other_far
#define SECTION                                                                                    \
	{                                                                                          \
		&write_page, &write_refill, &spill, &dontneed                                      \
	}
static const struct loop loops[] = {
	{ "low-fault", { &write_page, &write_refill }, IN_ONE_VMA },
	{ "page_fault1",
	  { &remap, &write_page, &write_refill, &spill },
	  .at = { &slots[0], &slots[1] } },
	{ "local", { &local }, .at = { &slots[0], &slots[1] } },
	{ "antagonist-spin", SECTION, IN_ONE_VMA },
	{ "antagonist-mprotect-vma", SECTION, IN_ONE_VMA, .other = { &mprotect_twice } },
	{ "antagonist-fork", SECTION, IN_ONE_VMA, .other = { &fork_once, &destroy } },
};

/* --- recording --- */

static struct log *recorded;

static void note_access(const volatile void *p, size_t size, enum explore_access kind)
{
	struct access *last = recorded->list + recorded->count - 1;

	if (!is_watched((uintptr_t)p, recorded->cpu))
		return;
	/* This one is still to come; the last has been made. */
	if (recorded->count && last->size == sizeof(last->after))
		last->after = *(const volatile uint32_t *)last->address;
	if (recorded->count == ACCESSES)
		explore_fail("an operation makes too many accesses");
	recorded->list[recorded->count++] = (struct access){ (uintptr_t)p, size, kind, 0 };
}

static void make_ready(unsigned cpu, const struct operation *o, const struct place *place,
		       unsigned turn)
{
	as_cpu(cpu);
	warm_up();
	if (o->before)
		o->before(place, turn);
}

/* => ready */
static void run_logged(unsigned cpu, const struct operation *o, const struct place *place,
		       unsigned turn, struct log *log)
{
	static uint32_t end;

	as_cpu(cpu);
	log->count = 0;
	log->cpu = cpu;
	recorded = log;
	explore_observer = note_access;
	o->run(place, turn);
	/* What the last access left. */
	note_access(&end, sizeof(end), EXPLORE_READ);
	log->count--;
	explore_observer = NULL;
}

static void perform(unsigned cpu, const struct operation *o, const struct place *place,
		    unsigned turn, struct log *log)
{
	make_ready(cpu, o, place, turn);
	if (log)
		run_logged(cpu, o, place, turn, log);
	else
		o->run(place, turn);
}

struct logs logs;

static void perform_all(unsigned cpu, const struct operation *const *operations,
			const struct place *place, unsigned turn, struct log *logs)
{
	for (unsigned i = 0; i < OPERATIONS && operations[i]; i++)
		perform(cpu, operations[i], place, turn, logs ? &logs[i] : NULL);
}

static void prepare_all(unsigned cpu, const struct operation *const *operations,
			const struct place *place)
{
	as_cpu(cpu);
	for (unsigned i = 0; i < OPERATIONS && operations[i]; i++)
		if (operations[i]->prepare)
			operations[i]->prepare(place);
}

static void idle(void)
{
}

static void record_loop(const struct loop *l, enum quire_mode mode)
{
	static const struct scenario two = { .name = "loops", .run = { idle, idle } };
	static const struct scenario three = { .name = "loops", .run = { idle, idle, idle } };

	memset(&logs, 0, sizeof(logs));
	explore_open(l->other[0] ? &three : &two, mode);
	as_cpu(0);
	prepare_world();
	prepare_all(0, l->workers, l->at[0]);
	prepare_all(1, l->workers, l->at[1]);
	for (unsigned turn = 0; turn <= WARM; turn++) {
		if (l->other[0])
			perform_all(OTHER, l->other, l->beside, turn, NULL);
		perform_all(0, l->workers, l->at[0], turn, NULL);
		perform_all(1, l->workers, l->at[1], turn, NULL);
	}
	perform_all(0, l->workers, l->at[0], WARM + 1, logs.steady);
	perform_all(1, l->workers, l->at[1], WARM + 1, logs.second);
	if (!l->other[0])
		return;
	perform_all(OTHER, l->other, l->beside, WARM + 1, logs.others);
	/* Each worker's operation as the first after the other's: the place of turn 0 is free. */
	for (unsigned i = 0; i < OPERATIONS && l->workers[i]; i++) {
		as_cpu(0);
		give_back(l->at[0], 0);
		make_ready(0, l->workers[i], l->at[0], 0);
		perform_all(OTHER, l->other, l->beside, 0, logs.causes[i]);
		run_logged(0, l->workers[i], l->at[0], 0, &logs.changed[i]);
	}
}

void print_loops(void)
{
	static const char *const modes[] = {
		[QUIRE_SPECULATIVE] = "speculative",
		[QUIRE_VMA_LOCK] = "vma-lock",
		[QUIRE_CLASSIC] = "classic",
	};
	const char *separator = "";

	printf("{\n  \"schema\": \"quire-footprints/1\",\n  \"loops\": [");
	for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		for (unsigned mode = 0; mode < MODES; mode++) {
			record_loop(&loops[i], (enum quire_mode)mode);
			printf("%s\n    {\"loop\": \"%s\", \"mode\": \"%s\",\n", separator,
			       loops[i].name, modes[mode]);
			write_loop(stdout, &loops[i]);
			putchar('}');
			explore_close();
			separator = ",";
		}
	}
	puts("\n  ]\n}");
}
