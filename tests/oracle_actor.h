/* SPDX-License-Identifier: MIT */
/*
 * For test_contents.c: a thread that does the same by Linux and by Quire, what is its own, what is
 * compared, and how a difference is told: the thread's sequence ends, and main tells.
 */
#ifndef QUIRE_TESTS_ORACLE_ACTOR_H
#define QUIRE_TESTS_ORACLE_ACTOR_H

#include "oracle_contents.h"
#include "oracle_layout.h"

#include <stdatomic.h>

#define LOG 24
#define OWNED 4 /* pages of the common file: these are mine, the next ones not */
#define FORK_STORES 8

static struct quire_mm *spaces[2];
static _Thread_local struct quire_mm *mm; /* the thread's: the same one, or each its own */
static atomic_bool stop;
static bool trace; /* each step is told */

static struct {
	const char *name;
	uint64_t seed;
	bool two;
} run;

static struct {
	atomic_ullong calls, errors, accesses, signals, layouts, forks, syncs, skipped;
} totals;

/* What one side's child sees: each page, twice, with stores in between. */
struct view {
	struct outcome before[ARENA_PAGES], stores[FORK_STORES], after[ARENA_PAGES];
};

/* One thread's part. */
struct actor {
	unsigned number, step;
	struct quire_soft_cpu *cpu;
	uint64_t base, pages; /* its addresses */
	uint64_t random;
	bool thorough, pages_out;
	int maps;
	char log[LOG][220], what[400];
	sigjmp_buf out;
	struct layout linux_, quire;
	struct view *linux_view, quire_view; /* Linux's is shared with its child */
	unsigned char buffer[2][3 * PAGE];
};

static struct actor actors[2];
static _Thread_local struct actor *me;

static uint64_t random_below(uint64_t n)
{
	me->random ^= me->random << 13;
	me->random ^= me->random >> 7;
	me->random ^= me->random << 17;
	return (me->random >> 11) % n;
}

static bool one_in(unsigned n)
{
	return random_below(n) == 0;
}

/* --- saying what happened --- */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(me->log[me->step % LOG], sizeof(me->log[0]), format, arguments);
	va_end(arguments);
}

__attribute__((format(printf, 1, 2))) static void note_more(const char *format, ...)
{
	char *text = me->log[me->step % LOG];
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + length, sizeof(me->log[0]) - length, format, arguments);
	va_end(arguments);
}

/* The thread's sequence is over; who waits for it tells. */
__attribute__((format(printf, 1, 2), noreturn)) static void differ(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(me->what, sizeof(me->what), format, arguments);
	va_end(arguments);
	atomic_store(&stop, true);
	siglongjmp(me->out, 1);
}

#define need(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			differ("%s:%d: %s", __FILE__, __LINE__, #x);                               \
	} while (0)

static void tell(const struct actor *actor)
{
	print_error("%s, seed %llu, thread %u, step %u (its pages begin at arena%+lld):\n",
		    run.name, (unsigned long long)run.seed, actor->number, actor->step,
		    (long long)(actor->base - ARENA) / (long long)PAGE);
	for (unsigned i = actor->step < LOG - 1 ? 0 : actor->step - (LOG - 1); i <= actor->step;
	     i++)
		print_error("  %3u %s\n", i, actor->log[i % LOG]);
	if (!actor->what[0])
		return;
	layout_print("Linux", &actor->linux_);
	layout_print("Quire", &actor->quire);
	print_error("%s\n", actor->what);
}

/* --- what is mine --- */

/* What Quire shows at an address. */
struct place {
	bool mapped, shared;
	unsigned file; /* CONTENTS: none of ours */
	uint64_t offset, end;
	bool anonymous; /* private memory */
};

static struct place place_at(uint64_t address)
{
	struct place place = { .file = CONTENTS };
	struct quire_vma_info info;

	if (quire_vma_find(mm, address, &info) != 0 || info.start > address)
		return place;
	place.mapped = true;
	place.shared = info.shared;
	place.anonymous = !info.object;
	place.offset = info.offset + (address - info.start);
	place.end = info.end;
	while (info.object && place.file > 0 && contents[place.file - 1].object != info.object)
		place.file--;
	place.file = place.file > 0 && info.object ? place.file - 1 : CONTENTS;
	return place;
}

/* Is this file the thread's alone? */
static bool own_file(unsigned file)
{
	return !run.two || file != 0;
}

static bool own_page(unsigned file, uint64_t offset)
{
	return file == CONTENTS || own_file(file) || offset / PAGE / OWNED % 2 == me->number;
}

static bool own_place(uint64_t address)
{
	struct place place = place_at(address);

	return own_page(place.file, place.offset);
}

static unsigned some_file(void)
{
	unsigned file = (unsigned)random_below(3);

	return file ? file + 2 * me->number : 0;
}

/* --- what is compared --- */

/* Only what is between start and end. */
static void cut_layout(struct layout *layout, uint64_t start, uint64_t end)
{
	unsigned count = 0;

	for (unsigned i = 0; i < layout->count; i++)
		if (layout->areas[i].start >= start && layout->areas[i].end <= end)
			layout->areas[count++] = layout->areas[i];
	layout->count = count;
}

static void compare_layouts(void)
{
	uint64_t end = me->base + me->pages * PAGE;

	layout_linux(me->maps, &me->linux_);
	layout_quire(mm, &me->quire);
	cut_layout(&me->linux_, me->base, end);
	cut_layout(&me->quire, me->base, end);
	atomic_fetch_add(&totals.layouts, 1);
	if (!layout_alike(&me->linux_, &me->quire))
		differ("the layouts differ");
}

static struct outcome compare_access(const struct access *access)
{
	struct outcome l = linux_access(access), q = quire_access_do(me->cpu, access);
	bool same = l.verdict == q.verdict && l.address == q.address &&
		    (l.value == q.value || !own_place(access->address));

	atomic_fetch_add_explicit(&totals.accesses, 1, memory_order_relaxed);
	if (l.verdict != QUIRE_FAULT_DONE)
		atomic_fetch_add_explicit(&totals.signals, 1, memory_order_relaxed);
	if (!same) {
		struct place place = place_at(access->address);

		differ("access %d of %u bytes at arena%+lld.%llx (file %d, %#llx): "
		       "Linux %d %#llx at %#llx, Quire %d %#llx at %#llx",
		       (int)access->kind, access->size,
		       (long long)(access->address - ARENA) / (long long)PAGE,
		       (unsigned long long)(access->address % PAGE),
		       place.file == CONTENTS ? -1 : (int)place.file,
		       (unsigned long long)place.offset, (int)l.verdict,
		       (unsigned long long)l.value, (unsigned long long)l.address, (int)q.verdict,
		       (unsigned long long)q.value, (unsigned long long)q.address);
	}
	return l;
}

/* Each so many bytes of a page, and where its file ends. */
static void compare_page(uint64_t page, unsigned stride)
{
	struct place place = place_at(page);
	struct access load = { QUIRE_READ, page, 8, 0 };
	uint64_t size = place.file == CONTENTS ? 0 : content_size(place.file);

	if (compare_access(&load).verdict != QUIRE_FAULT_DONE)
		return;
	for (load.address = page + stride; load.address < page + PAGE; load.address += stride)
		compare_access(&load);
	if (size > place.offset && size < place.offset + PAGE)
		for (unsigned i = 0; i < 2; i++) {
			load.address = page + (size - place.offset - 1 + i) / 8 * 8;
			if (load.address < page + PAGE)
				compare_access(&load);
		}
}

static void compare_all(unsigned stride)
{
	for (uint64_t p = 0; p < me->pages; p++)
		compare_page(me->base + p * PAGE, stride);
}

static bool elsewhere(int64_t result)
{
	return result > 0 && ((uint64_t)result < WINDOW || (uint64_t)result >= WINDOW_END);
}

static int64_t compare_call(const struct oracle_call *call, int64_t *linux_place)
{
	int64_t q = quire_call(mm, call), l = linux_call(call);

	atomic_fetch_add(&totals.calls, 1);
	if (l < 0)
		atomic_fetch_add(&totals.errors, 1);
	if (q != l && !(linux_place && elsewhere(q) && elsewhere(l)))
		differ("%s: Linux %lld, Quire %lld", oracle_text(call), (long long)l, (long long)q);
	if (linux_place)
		*linux_place = l;
	return q;
}

/* What is stored of my pages of [offset, end), and the size. => Quire has written them */
static void compare_stored(unsigned file, uint64_t offset, uint64_t end)
{
	uint64_t size = content_size(file);

	if (contents[file].stored < 0)
		return;
	if (stored_size(contents[file].stored) != size)
		differ("file %u: Linux has %llu bytes, what is stored %llu", file,
		       (unsigned long long)size,
		       (unsigned long long)stored_size(contents[file].stored));
	for (end = end < size ? end : size; offset < end; offset += PAGE - offset % PAGE) {
		uint64_t next = offset + PAGE - offset % PAGE, at = CONTENT_SAME;

		if (own_page(file, offset))
			at = content_compare(file, offset, next < end ? next : end);
		if (at != CONTENT_SAME)
			differ("file %u: what is stored differs at %#llx", file,
			       (unsigned long long)at);
	}
}

#endif
