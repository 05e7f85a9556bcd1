/* SPDX-License-Identifier: MIT */
/*
 * The loops of docs/benchmarks.md, by system calls.
 *
 *     low:   │ worker 0's area │  gap  │ worker 1's area │  gap  │ ...   each in its own, in order
 *     high:  │ area 0 │ area 1 │ ...      all places shuffled, each worker has a share of them
 */
#include "loops.h"

#define BYTE                                                                                       \
	'q' /* of files; what is written to shared mappings, too, so that they stay as they are */

static unsigned char *slot(const struct worker *w)
{
	return ARENA + w->index * SLOT;
}

static void map_at(unsigned char *at, size_t pages)
{
	map(at, pages * PAGE, RW, PRIVATE | MAP_FIXED, -1);
}

static void write_page(unsigned char *page)
{
	*(volatile unsigned char *)page = BYTE;
}

static uint32_t next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return w->random;
}

static void spin(unsigned turn)
{
	if (turn % 1024 == 1023)
		call0(__NR_sched_yield);
	else
		pause_cpu();
}

/* All workers arrive. => false if the loop is stopped meanwhile */
static bool barrier(void)
{
	uint32_t phase = atomic_load_explicit(&run.phase, memory_order_relaxed);

	/* Acquire, release: what each did before is before what all do after. */
	if (atomic_fetch_add_explicit(&run.arrived, 1, memory_order_acq_rel) == run.workers - 1) {
		atomic_store_explicit(&run.arrived, 0, memory_order_relaxed);
		/* Release: pairs with the load below. */
		atomic_store_explicit(&run.phase, phase + 1, memory_order_release);
	}
	/* Acquire: pairs with the store above. */
	for (unsigned i = 0; atomic_load_explicit(&run.phase, memory_order_acquire) == phase; i++) {
		if (stopped())
			return false;
		spin(i);
	}
	return true;
}

/* --- RadixVM --- */

static void local(struct worker *w)
{
	while (going(w)) {
		map_at(slot(w), 1);
		write_page(slot(w));
		unmap(slot(w), 1);
		add(&w->count, 1);
	}
}

/* Puts a page into an empty mailbox, or takes what is there (give is NULL). => NULL when stopped */
static unsigned char *exchange(struct worker *owner, unsigned char *give)
{
	for (unsigned i = 0; !stopped(); i++) {
		/* Acquire: pairs with the release below, of the giver or of the taker. */
		unsigned char *found = atomic_load_explicit(&owner->mailbox, memory_order_acquire);

		if (!found == !give) {
			spin(i);
			continue;
		}
		/* Release: pairs with the load above. */
		atomic_store_explicit(&owner->mailbox, give, memory_order_release);
		return give ? give : found;
	}
	return NULL;
}

static void pipeline(struct worker *w)
{
	struct worker *neighbour = &run.worker[(w->index + 1) % run.workers];

	for (size_t i = 0; going(w); i++) {
		unsigned char *page = slot(w) + i % 512 * PAGE;

		map_at(page, 1);
		write_page(page);
		if (!exchange(neighbour, page))
			return;
		page = exchange(w, NULL);
		if (!page)
			return;
		write_page(page);
		unmap(page, 1);
		add(&w->count, 2);
	}
}

enum { GLOBAL = 16 }; /* pages that each worker maps */

static void write_shuffled(struct worker *w, uint16_t *order, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned other = i + next_random(w) % (count - i);
		uint16_t page = order[other];

		order[other] = order[i];
		order[i] = page;
		write_page(ARENA + page * PAGE);
	}
	add(&w->count, count);
}

static void global(struct worker *w)
{
	unsigned char *own = ARENA + w->index * GLOBAL * PAGE;
	uint16_t order[MOST_WORKERS * GLOBAL];
	unsigned count = run.workers * GLOBAL;

	for (unsigned i = 0; i < count; i++)
		order[i] = (uint16_t)i;
	while (going(w)) {
		map_at(own, GLOBAL);
		if (!barrier())
			return;
		write_shuffled(w, order, count);
		if (!barrier())
			return;
		unmap(own, GLOBAL);
	}
}

/* --- will-it-scale --- */

/* Each worker's file, with all its pages. It stays for the loops that follow. */
static long file_of(unsigned index)
{
	static long files[MOST_WORKERS];
	long file = files[index];

	if (file)
		return file;
	file = call2(__NR_memfd_create, "loop", 0);
	must(file > 0 && call2(__NR_ftruncate, file, run.pages * PAGE) == 0, "memfd_create");
	unsigned char *p = map(NULL, run.pages * PAGE, RW, MAP_SHARED, file);
	for (size_t i = 0; i < run.pages; i++)
		p[i * PAGE] = BYTE;
	unmap(p, run.pages);
	files[index] = file;
	return file;
}

static void open_files(void)
{
	for (unsigned i = 0; i < run.workers; i++)
		file_of(i);
}

/* What is mapped: new memory, or a file privately or shared. */
enum { ANONYMOUS, FILE_PRIVATE, FILE_SHARED };

static void map_large(struct worker *w)
{
	if (run.loop->argument == ANONYMOUS)
		map_at(slot(w), run.pages);
	else
		map(slot(w), run.pages * PAGE, RW,
		    MAP_FIXED | (run.loop->argument == FILE_SHARED ? MAP_SHARED : MAP_PRIVATE),
		    file_of(w->index));
}

static void page_fault(struct worker *w)
{
	while (going(w)) {
		map_large(w);
		for (size_t i = 0; i < run.pages; i++) {
			if (stopped())
				return;
			write_page(slot(w) + i * PAGE);
			add(&w->count, 1);
		}
		unmap(slot(w), run.pages);
	}
}

static void map_unmap(struct worker *w)
{
	while (going(w)) {
		map_large(w);
		unmap(slot(w), run.pages);
		add(&w->count, 1);
	}
}

static void malloc1(struct worker *w)
{
	while (going(w)) {
		map_at(slot(w), run.pages);
		write_page(slot(w));
		unmap(slot(w), run.pages);
		add(&w->count, 1);
	}
}

/* All workers move the end of one heap. */
static void brk1(struct worker *w)
{
	static _Atomic long end;

	if (!end)
		end = call1(__NR_brk, 0);
	while (going(w)) {
		call1(__NR_brk, end + (long)PAGE);
		call1(__NR_brk, end);
		add(&w->count, 1);
	}
}

static void tlb_flush(struct worker *w)
{
	bool anonymous = run.loop->argument == ANONYMOUS;
	size_t pages = anonymous ? (1ul << 20) / PAGE : run.pages;

	map_large(w);
	while (going(w)) {
		volatile unsigned char *page = slot(w) + next_random(w) % pages * PAGE;
		*page = 1;
		call3(__NR_madvise, page, PAGE, MADV_DONTNEED);
		must(*page == (anonymous ? 0 : BYTE), "DONTNEED");
		add(&w->count, 1);
	}
}

/* --- low and high contention --- */

enum { MMAP, MMAP_FAULT, FAULT, UNMAP_VIRT, UNMAP, OPERATION = 0xf, HIGH = 0x10 };
enum { AREA = 512 }; /* pages of each worker */

static uint32_t places[MOST_WORKERS * AREA]; /* page numbers in the arena */

static unsigned operation(void)
{
	return run.loop->argument & OPERATION;
}

static unsigned place_pages(void)
{
	return operation() == MMAP ? 4 : 1;
}

/* Faults of all are to be in one VMA, at low contention too: without gaps the areas merge. */
static size_t area_of(unsigned index)
{
	bool gaps = !(run.loop->argument & HIGH) && operation() != FAULT;

	return index * (gaps ? SLOT / PAGE : AREA);
}

static void lay_out_places(void)
{
	unsigned each = AREA / place_pages(), count = run.workers * each;
	struct worker dice = { .random = 88675123 };

	for (unsigned i = 0; i < count; i++)
		places[i] = (uint32_t)(area_of(i / each) + i % each * place_pages());
	for (unsigned i = count - 1; i > 0 && run.loop->argument & HIGH; i--) {
		unsigned other = next_random(&dice) % (i + 1);
		uint32_t place = places[i];

		places[i] = places[other];
		places[other] = place;
	}
}

static void at_place(unsigned char *place)
{
	if (operation() >= UNMAP_VIRT)
		unmap(place, 1);
	else if (operation() != FAULT)
		map_at(place, place_pages());
	if (operation() == FAULT || operation() == MMAP_FAULT)
		write_page(place);
}

/* Only the operations count as time: all workers do them at once, between two barriers. */
static void contention(struct worker *w)
{
	unsigned each = AREA / place_pages();
	const uint32_t *own = places + w->index * each;
	unsigned char *area = ARENA + area_of(w->index) * PAGE;

	while (going(w)) {
		if (operation() >= FAULT)
			map_at(area, AREA);
		if (!barrier())
			return;
		for (unsigned i = 0; i < each && operation() == UNMAP; i++)
			write_page(ARENA + own[i] * PAGE);
		if (!barrier())
			return;
		uint64_t start = timed_begin();
		for (unsigned i = 0; i < each; i++)
			at_place(ARENA + own[i] * PAGE);
		add(&w->ticks, timed_end() - start);
		add(&w->count, each);
		if (!barrier())
			return;
		unmap(area, AREA);
	}
}

/* --- ebizzy in form: an allocator that maps each chunk --- */

enum { CHUNKS = 16, CHUNK = 128 }; /* so many, of so many pages: what is copied from */
#define FILLED ((uint64_t *)(void *)(ARENA + MOST_WORKERS * SLOT))
#define PAGE_WORDS (PAGE / sizeof(uint64_t))

/* The i-th word of a chunk is i. */
static void fill_chunks(void)
{
	map_at((void *)FILLED, CHUNKS * CHUNK);
	for (size_t i = 0; i < CHUNKS * CHUNK * PAGE_WORDS; i++)
		FILLED[i] = i % (CHUNK * PAGE_WORDS);
}

/* The last of so many words in ascending order that is not above the key. */
static uint64_t search(const uint64_t *words, size_t count, uint64_t key)
{
	size_t low = 0;

	while (count - low > 1) {
		size_t middle = low + (count - low) / 2;

		if (words[middle] > key)
			count = middle;
		else
			low = middle;
	}
	return words[low];
}

static void ebizzy(struct worker *w)
{
	while (going(w)) {
		size_t pages = 1 + next_random(w) % CHUNK, left = pages * PAGE_WORDS;
		size_t first = next_random(w) % (CHUNK - pages + 1) * PAGE_WORDS;
		uint64_t key = first + next_random(w) % left;
		void *from = FILLED + next_random(w) % CHUNKS * CHUNK * PAGE_WORDS + first;
		void *copy = map(NULL, pages * PAGE, RW, PRIVATE, -1), *to = copy;

		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(left)::"memory");
		must(search(copy, pages * PAGE_WORDS, key) == key, "a search");
		unmap(copy, pages);
		add(&w->count, 1);
	}
}

#define CONTENTION(name, operation)                                                                \
	{ "low-" name, "operations", contention, lay_out_places, operation, true },                \
	{                                                                                          \
		"high-" name, "operations", contention, lay_out_places, (operation) | HIGH, true   \
	}

const struct loop loops[] = {
	{ "local", "touches", local, NULL, 0, false },
	{ "pipeline", "touches", pipeline, NULL, 0, false },
	{ "global", "touches", global, NULL, 0, false },
	{ "page_fault1", "faults", page_fault, NULL, ANONYMOUS, false },
	{ "page_fault2", "faults", page_fault, open_files, FILE_PRIVATE, false },
	{ "page_fault3", "faults", page_fault, open_files, FILE_SHARED, false },
	{ "mmap1", "iterations", map_unmap, NULL, ANONYMOUS, false },
	{ "mmap2", "iterations", map_unmap, open_files, FILE_PRIVATE, false },
	{ "brk1", "iterations", brk1, NULL, 0, false },
	{ "malloc1", "iterations", malloc1, NULL, 0, false },
	{ "tlb_flush1", "iterations", tlb_flush, open_files, FILE_PRIVATE, false },
	{ "tlb_flush2", "iterations", tlb_flush, NULL, ANONYMOUS, false },
	CONTENTION("mmap", MMAP),
	CONTENTION("mmap-fault", MMAP_FAULT),
	CONTENTION("fault", FAULT),
	CONTENTION("unmap-virt", UNMAP_VIRT),
	CONTENTION("unmap", UNMAP),
	{ "ebizzy", "iterations", ebizzy, fill_chunks, 0, false },
	{ NULL, NULL, NULL, NULL, 0, false },
};
