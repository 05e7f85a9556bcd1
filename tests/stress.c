/* SPDX-License-Identifier: MIT */
/*
 * Stress: virtual CPUs in threads do everything at once in a few shared spaces, and check what they
 * read back.
 *
 *     stress [--seconds N] [--cpus N] [--mode speculative|vma-lock|classic] [--levels 4|5]
 *            [--seed S]
 *
 * What each space holds:
 *
 *   owned      one run of pages, dealt out to the CPUs four by four. Only its owner calls or writes
 *              in a page, and knows exactly what it must read there, and which accesses must be
 *              refused; but VMAs, leaves and tables are shared with all others.
 *   counter    a page to which everybody adds: no addition may be lost, whatever is forked or
 *              protected meanwhile
 *   ladders    a page for each CPU, which stores rising numbers in its first word and then in its
 *              last. A child must find in it the page of one moment, not from before the fork began
 *              nor after it ended; and it must not change any more (H40)
 *   racy       everybody maps, unmaps, moves and writes: a word is 0, or was once written to such
 *              a word
 *   flicker    the same: one page that comes and goes, and its leaf with it
 *   heap       the same, by brk
 *   elsewhere  mappings that one CPU makes where mmap puts them, and takes away again; stacks
 *   ledger     pages of a file that all spaces map, children too. Each CPU counts in words of its
 *              own, wherever it has just mapped them, and knows what is there; while pages are
 *              written, evicted, protected. What a sync has reported as done is in the store.
 *   cuttings   pages of a file that is cut, made longer and pierced all the time, mapped among the
 *              racy ones
 *
 * From time to time the world stops and is validated. Exit status 0: nothing was wrong.
 */
#define _GNU_SOURCE
#include "port.h"
#include <quire/quire.h>
#include <quire/soft.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define ANONYMOUS (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)
#define FIXED (ANONYMOUS | QUIRE_MAP_FIXED)
#define MOVE_FIXED (QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED)
#define PAGES(n) ((uint64_t)(n)*PAGE_SIZE)

#define SPACES 2
#define CPUS 16
#define RUN 4	 /* owned pages that lie side by side */
#define SLOTS 48 /* owned pages of one CPU in one space */
#define RACY_PAGES 24
#define HEAP_PAGES 24

#define OWNED (0x10200000ull - PAGES(40)) /* across two leaves */
#define COUNTER 0x18000000ull
#define LADDERS (COUNTER + PAGE_SIZE)
#define RACY 0x20000000ull    /* with a leaf of its own, which comes and goes */
#define FLICKER 0x24000000ull /* a page, and all its tables with it */
#define HEAP 0x28000000ull
#define STACKS 0x40000000ull				 /* 16 MiB for each CPU */
#define LEDGER (0x30200000ull - PAGES(LEDGER_PAGES / 2)) /* across two leaves */
#define LEDGER_PAGES 8
#define CUT_PAGES 20
#define RACY_TAG 0x7ace000000000000ull

struct slot_model {
	uint64_t value; /* in three words of the page; 0: fresh */
	int prot;
	bool mapped;
};

struct worker {
	pthread_t thread;
	struct quire_soft_cpu *cpu;
	unsigned index;
	uint32_t random;
	uint64_t version, calls;
	uint64_t added[SPACES], ladder[SPACES], ledger[LEDGER_PAGES];
	struct slot_model slots[SPACES][SLOTS];
	/* What the current step works in. */
	unsigned space;
	struct quire_mm *mm;
	struct slot_model *own;
};

static struct {
	unsigned seconds, cpus, levels, seed;
	enum quire_mode mode;
} options = { 10, 4, 4, 1, QUIRE_SPECULATIVE };

static const char *const mode_names[] = { "speculative", "vma-lock", "classic" };
static struct quire_mm *spaces[SPACES];
static struct quire_object *ledger, *cuttings;
static struct worker workers[CPUS];
static _Atomic bool wrong, over;

/* The world stops: everybody but CPU 0 is parked between two steps. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t go;
	_Atomic bool stop;
	_Atomic unsigned parked;
} world = { .mutex = PTHREAD_MUTEX_INITIALIZER, .go = PTHREAD_COND_INITIALIZER };

static __attribute__((format(printf, 2, 3))) void complain(const struct worker *w,
							   const char *format, ...)
{
	va_list arguments;

	if (at_xchg(&wrong, true))
		return;
	fprintf(stderr, "stress: CPU %u, space %u: ", w->index, w->space);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
}

static uint32_t draw(struct worker *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return w->random % below;
}

/* --- accesses */

static bool load(struct worker *w, uint64_t address, uint64_t *value)
{
	return quire_soft_load(w->cpu, address, 8, value);
}

/* An access that must not be refused. */
static uint64_t must_load(struct worker *w, uint64_t address)
{
	uint64_t value = 0;

	if (!load(w, address, &value))
		complain(w, "reading %#lx is refused (%d)", address, w->cpu->verdict);
	return value;
}

static void must_store(struct worker *w, uint64_t address, uint64_t value)
{
	if (!quire_soft_rmw(w->cpu, address, 8, QUIRE_SOFT_XCHG, &value))
		complain(w, "writing %#lx is refused (%d)", address, w->cpu->verdict);
}

static void must(struct worker *w, const char *call, uint64_t address, int64_t result)
{
	if (result < 0)
		complain(w, "%s at %#lx fails (%ld)", call, address, (long)result);
}

/* --- stores */

static struct store {
	_Atomic uint64_t words[CUT_PAGES * PAGE_SIZE / 8];
	uint64_t size;
} ledger_store = { .size = PAGES(LEDGER_PAGES) }, cut_store = { .size = PAGES(CUT_PAGES) };

/* Whole words: all sizes here are such. Others may write to a page while it is saved. */
static int store_read(void *store, uint64_t offset, const struct quire_buffer *buffers,
		      unsigned count)
{
	const struct store *s = store;

	for (unsigned i = 0; i < count; offset += buffers[i++].length)
		for (uint64_t at = 0; at < buffers[i].length; at += 8)
			at_store((_Atomic uint64_t *)((char *)buffers[i].bytes + at),
				 at_load(&s->words[(offset + at) / 8]));
	return 0;
}

static int store_write(void *store, uint64_t offset, const struct quire_buffer *buffers,
		       unsigned count)
{
	struct store *s = store;

	for (unsigned i = 0; i < count; offset += buffers[i++].length)
		for (uint64_t at = 0; at < buffers[i].length; at += 8)
			at_store(&s->words[(offset + at) / 8],
				 at_load((_Atomic uint64_t *)((char *)buffers[i].bytes + at)));
	return 0;
}

/* A hole may reach beyond the end. */
static int store_remove(void *store, uint64_t offset, uint64_t length)
{
	struct store *s = store;

	for (uint64_t at = offset; at < offset + length && at < PAGES(CUT_PAGES); at += 8)
		at_store(&s->words[at / 8], 0ull);
	return 0;
}

static int store_size(void *store, uint64_t *size)
{
	*size = ((const struct store *)store)->size;
	return 0;
}

static int store_resize(void *store, uint64_t size)
{
	struct store *s = store;

	if (size < s->size)
		store_remove(store, size, s->size - size);
	s->size = size;
	return 0;
}

static const struct quire_store_ops store_ops = {
	.read = store_read,
	.write = store_write,
	.size = store_size,
	.resize = store_resize,
	.remove = store_remove,
};

/* --- owned pages */

static uint64_t slot_address(const struct worker *w, unsigned slot)
{
	return OWNED + PAGES((slot / RUN * options.cpus + w->index) * RUN + slot % RUN);
}

static const uint64_t places[] = { 0, 2048, PAGE_SIZE - 8 };

static void check_refusal(struct worker *w, uint64_t address, const struct slot_model *slot)
{
	enum quire_verdict expected = slot->mapped ? QUIRE_FAULT_ACCERR : QUIRE_FAULT_MAPERR;

	if (w->cpu->verdict != expected)
		complain(w, "%#lx is refused with %d instead of %d", address, w->cpu->verdict,
			 expected);
}

static void read_slot(struct worker *w, unsigned i)
{
	const struct slot_model *slot = &w->own[i];
	uint64_t address = slot_address(w, i), value;

	for (unsigned p = 0; p < 3; p++) {
		bool done = load(w, address + places[p], &value);

		if (done != (slot->mapped && slot->prot != QUIRE_PROT_NONE))
			complain(w, "reading %#lx is %s (mapped %d, prot %d, verdict %d)", address,
				 done ? "allowed" : "refused", slot->mapped, slot->prot,
				 w->cpu->verdict);
		else if (!done)
			check_refusal(w, address, slot);
		else if (value != slot->value)
			complain(w, "%#lx has %#lx instead of %#lx", address + places[p], value,
				 slot->value);
	}
}

static void write_slot(struct worker *w, unsigned i)
{
	struct slot_model *slot = &w->own[i];
	uint64_t address = slot_address(w, i);
	uint64_t value = (w->index + 1ull) << 56 | (uint64_t)w->space << 52 | ++w->version;

	if (!slot->mapped || !(slot->prot & QUIRE_PROT_WRITE)) {
		if (quire_soft_store(w->cpu, address, 8, value))
			complain(w, "writing %#lx is allowed", address);
		else
			check_refusal(w, address, slot);
		return;
	}
	for (unsigned p = 0; p < 3; p++)
		must_store(w, address + places[p], value);
	slot->value = value;
}

static void map_slots(struct worker *w, unsigned i, unsigned count)
{
	static const int prots[] = { RW, RW, RW, QUIRE_PROT_READ, QUIRE_PROT_NONE };
	int prot = prots[draw(w, 5)];
	uint64_t address = slot_address(w, i);

	must(w, "mmap", address, quire_mmap(w->mm, address, PAGES(count), prot, FIXED));
	for (unsigned n = 0; n < count; n++)
		w->own[i + n] = (struct slot_model){ 0, prot, true };
}

static void unmap_slots(struct worker *w, unsigned i, unsigned count)
{
	uint64_t address = slot_address(w, i);

	must(w, "munmap", address, quire_munmap(w->mm, address, PAGES(count)));
	for (unsigned n = 0; n < count; n++)
		w->own[i + n].mapped = false;
}

static void protect_slots(struct worker *w, unsigned i, unsigned count)
{
	static const int prots[] = { RW, QUIRE_PROT_READ, QUIRE_PROT_NONE,
				     QUIRE_PROT_READ | QUIRE_PROT_EXEC };
	int prot = prots[draw(w, 4)];
	uint64_t address = slot_address(w, i);

	must(w, "mprotect", address, quire_mprotect(w->mm, address, PAGES(count), prot));
	for (unsigned n = 0; n < count; n++)
		w->own[i + n].prot = prot;
}

static void move_slot(struct worker *w, unsigned i)
{
	unsigned to = draw(w, SLOTS);
	int flags = MOVE_FIXED | (draw(w, 4) ? 0 : QUIRE_MREMAP_DONTUNMAP);
	struct slot_model *slot = &w->own[i];

	if (!slot->mapped || to == i)
		return;
	must(w, "mremap", slot_address(w, i),
	     quire_mremap(w->mm, slot_address(w, i), PAGE_SIZE, PAGE_SIZE, flags,
			  slot_address(w, to)));
	w->own[to] = *slot;
	slot->mapped = flags & QUIRE_MREMAP_DONTUNMAP;
	slot->value = 0;
}

/* What leaves contents and rights alone, or forgets the contents. */
static void advise_slot(struct worker *w, unsigned i)
{
	static const int advices[] = { QUIRE_MADV_RANDOM, QUIRE_MADV_NORMAL, QUIRE_MADV_DONTNEED,
				       QUIRE_MADV_FREE, QUIRE_MADV_POPULATE_READ };
	int advice = advices[draw(w, 5)];
	int error;

	if (!w->own[i].mapped)
		return;
	error = quire_madvise(w->mm, slot_address(w, i), PAGE_SIZE, advice);
	if (!error && (advice == QUIRE_MADV_DONTNEED || advice == QUIRE_MADV_FREE))
		w->own[i].value = 0;
	/* EINVAL: locked, or populated without the right to read. */
	if (error && error != -QUIRE_EINVAL)
		must(w, "madvise", slot_address(w, i), error);
}

static void lock_slots(struct worker *w, unsigned i, unsigned count)
{
	uint64_t address = slot_address(w, i);

	if (draw(w, 2))
		must(w, "munlock", address, quire_munlock(w->mm, address, PAGES(count)));
	else
		quire_mlock(w->mm, address, PAGES(count)); /* ENOMEM: no right to read */
}

static bool all_mapped(const struct worker *w, unsigned i, unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		if (!w->own[i + n].mapped)
			return false;
	return true;
}

static void owned(struct worker *w)
{
	unsigned i = draw(w, SLOTS), count = 1 + draw(w, RUN - i % RUN);

	switch (draw(w, 16)) {
	case 0:
		map_slots(w, i, count);
		break;
	case 1:
		unmap_slots(w, i, count);
		break;
	case 2:
	case 3:
		if (all_mapped(w, i, count))
			protect_slots(w, i, count);
		break;
	case 4:
		move_slot(w, i);
		break;
	case 5:
		advise_slot(w, i);
		break;
	case 6:
		if (all_mapped(w, i, count))
			lock_slots(w, i, count);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		read_slot(w, i);
		break;
	default:
		write_slot(w, i);
	}
}

/* --- counter and ladders */

static uint64_t ladder_of(const struct worker *w)
{
	return LADDERS + PAGES(w->index);
}

static void count_up(struct worker *w)
{
	unsigned times = 1 + draw(w, 256);

	while (times--) {
		uint64_t one = 1, rung = ++w->ladder[w->space];

		if (quire_soft_rmw(w->cpu, COUNTER, 8, QUIRE_SOFT_ADD, &one))
			w->added[w->space]++;
		must_store(w, ladder_of(w), rung);
		must_store(w, ladder_of(w) + PAGE_SIZE - 8, rung);
		quire_soft_safepoint(w->cpu);
	}
	if (must_load(w, ladder_of(w)) != w->ladder[w->space])
		complain(w, "a ladder has lost a rung");
}

static void protect(struct worker *w, uint64_t start, uint64_t length)
{
	must(w, "mprotect", start, quire_mprotect(w->mm, start, length, QUIRE_PROT_READ));
	sched_yield();
	must(w, "mprotect", start, quire_mprotect(w->mm, start, length, RW));
}

/* --- the ledger */

static uint64_t ledger_word(const struct worker *w, unsigned page)
{
	return PAGES(page) + (w->index * 61 % 512) * 8;
}

/* Where pages of the ledger from `first` on are mapped: read one, and count in it if that is let.
 */
static void count_in(struct worker *w, uint64_t start, unsigned first, unsigned pages)
{
	unsigned page = first + draw(w, pages);
	uint64_t address = start + ledger_word(w, page) - PAGES(first), one = 1;

	if (quire_soft_rmw(w->cpu, address, 8, QUIRE_SOFT_ADD, &one))
		w->ledger[page]++;
	else if (w->cpu->verdict != QUIRE_FAULT_ACCERR)
		complain(w, "the ledger at %#lx is refused with %d", address, w->cpu->verdict);
	if (must_load(w, address) != w->ledger[page])
		complain(w, "the ledger has lost a count of page %u", page);
}

/* What is reported as written is in the store: all that this CPU has counted by now. */
static void sync_ledger(struct worker *w)
{
	unsigned page = draw(w, LEDGER_PAGES);
	uint64_t value;

	if (draw(w, 2))
		must(w, "msync", LEDGER + PAGES(page),
		     quire_msync(w->mm, LEDGER + PAGES(page), PAGE_SIZE, QUIRE_MS_SYNC));
	else
		must(w, "sync", 0, quire_object_sync(ledger, PAGES(page), PAGE_SIZE));
	value = at_load(&ledger_store.words[ledger_word(w, page) / 8]);
	if (value != w->ledger[page])
		complain(w, "%lu of %lu counts of page %u are stored", value, w->ledger[page],
			 page);
}

/* A mapping of one's own of some of it, which moves, and goes while what it shows is dirty. */
static void map_ledger(struct worker *w)
{
	unsigned first = draw(w, LEDGER_PAGES), pages = 1 + draw(w, LEDGER_PAGES - first);
	int64_t place = quire_mmap_object(w->mm, 0, PAGES(pages), RW, QUIRE_MAP_SHARED, ledger,
					  PAGES(first), RW),
		moved;

	must(w, "mmap", 0, place);
	if (place < 0)
		return;
	count_in(w, (uint64_t)place, first, pages);
	moved = quire_mremap(w->mm, (uint64_t)place, PAGES(pages), PAGES(pages),
			     draw(w, 2) ? QUIRE_MREMAP_MAYMOVE
					: QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_DONTUNMAP,
			     0);
	must(w, "mremap", (uint64_t)place, moved);
	count_in(w, (uint64_t)moved, first, pages);
	must(w, "munmap", (uint64_t)moved, quire_munmap(w->mm, (uint64_t)moved, PAGES(pages)));
	if (moved != place)
		must(w, "munmap", (uint64_t)place,
		     quire_munmap(w->mm, (uint64_t)place, PAGES(pages)));
}

/* A private one: what is written there is nobody else's. */
static void copy_ledger(struct worker *w)
{
	unsigned page = draw(w, LEDGER_PAGES);
	int64_t place = quire_mmap_object(w->mm, 0, PAGE_SIZE, RW, QUIRE_MAP_PRIVATE, ledger,
					  PAGES(page), QUIRE_PROT_READ);
	uint64_t address = (uint64_t)place + ledger_word(w, page) - PAGES(page);

	must(w, "mmap", 0, place);
	if (place < 0)
		return;
	if (draw(w, 2) && must_load(w, address) != w->ledger[page])
		complain(w, "a private mapping of page %u shows something else", page);
	must_store(w, address ^ 8, 1);
	if (must_load(w, address) != w->ledger[page])
		complain(w, "a copy of page %u has something else", page);
	must_store(w, address, 0);
	must(w, "munmap", (uint64_t)place, quire_munmap(w->mm, (uint64_t)place, PAGE_SIZE));
}

static void drop_ledger(struct worker *w)
{
	uint64_t start = LEDGER + PAGES(draw(w, LEDGER_PAGES));

	switch (draw(w, 4)) {
	case 0:
		must(w, "madvise", start,
		     quire_madvise(w->mm, start, PAGE_SIZE, QUIRE_MADV_PAGEOUT));
		break;
	case 1:
		quire_object_invalidate(ledger, 0, PAGES(LEDGER_PAGES)); /* EBUSY: dirty ones */
		break;
	case 2:
		must(w, "madvise", start,
		     quire_madvise(w->mm, start, PAGE_SIZE, QUIRE_MADV_DONTNEED));
		break;
	default:
		quire_reclaim(4);
	}
}

static void keep_ledger(struct worker *w)
{
	switch (draw(w, 16)) {
	case 0:
	case 1:
		sync_ledger(w);
		break;
	case 2:
		map_ledger(w);
		break;
	case 3:
		copy_ledger(w);
		break;
	case 4:
		drop_ledger(w);
		break;
	default:
		count_in(w, LEDGER, 0, LEDGER_PAGES);
	}
}

/* --- cuttings */

static void cut(struct worker *w)
{
	uint64_t size = draw(w, (uint32_t)PAGES(CUT_PAGES)) & ~7u, value, word;
	uint64_t page = PAGES(draw(w, CUT_PAGES - 1));

	switch (draw(w, 6)) {
	case 0:
		must(w, "truncate", size, quire_object_truncate(cuttings, size));
		break;
	case 1:
		must(w, "truncate", 0, quire_object_truncate(cuttings, PAGES(CUT_PAGES)));
		break;
	case 2:
		must(w, "remove", page, quire_object_remove(cuttings, page, PAGE_SIZE));
		break;
	case 3:
		must(w, "sync", 0, quire_object_sync(cuttings, 0, UINT64_MAX));
		break;
	case 4:
		word = size / 8 % 512;
		value = RACY_TAG | word << 32 | w->random;
		must(w, "write", size, quire_object_write(cuttings, size, &value, 8));
		break;
	default:
		word = size / 8 % 512;
		if (quire_object_read(cuttings, size, &value, 8) == 8 && value != 0 &&
		    value >> 32 != (RACY_TAG | word << 32) >> 32)
			complain(w, "the file has %#lx at %#lx", value, size);
	}
}

static void map_cuttings(struct worker *w, uint64_t start, uint64_t length)
{
	quire_mmap_object(w->mm, start, length, RW,
			  (draw(w, 2) ? QUIRE_MAP_SHARED : QUIRE_MAP_PRIVATE) | QUIRE_MAP_FIXED,
			  cuttings, PAGES(draw(w, CUT_PAGES)), RW);
}

/* --- racy pages */

/* A word that anybody may write: what is read there was written to such a word, or is 0. */
static void racy_access(struct worker *w, uint64_t start, unsigned pages)
{
	uint64_t word = draw(w, 512), value = RACY_TAG | word << 32 | w->random;
	uint64_t address = start + PAGES(draw(w, pages)) + word * 8;
	bool done;

	if (draw(w, 2)) {
		done = quire_soft_store(w->cpu, address, 8, value);
	} else {
		done = load(w, address, &value);
		if (done && value != 0 && value >> 32 != (RACY_TAG | word << 32) >> 32)
			complain(w, "%#lx has %#lx", address, value);
	}
	if (!done && w->cpu->verdict != QUIRE_FAULT_MAPERR &&
	    w->cpu->verdict != QUIRE_FAULT_ACCERR && w->cpu->verdict != QUIRE_FAULT_BUS)
		complain(w, "%#lx is refused with %d", address, w->cpu->verdict);
}

/* All results are possible here. */
static void racy_call(struct worker *w, uint64_t start, uint64_t length)
{
	unsigned char vector[RACY_PAGES];

	switch (draw(w, 16)) {
	case 0:
		quire_mmap(w->mm, start, length, RW, FIXED);
		break;
	case 1:
		quire_mmap(w->mm, start, length, RW,
			   QUIRE_MAP_SHARED | QUIRE_MAP_ANONYMOUS | QUIRE_MAP_FIXED);
		break;
	case 9:
	case 10:
		map_cuttings(w, start, length);
		break;
	case 11:
		quire_msync(w->mm, start, length, QUIRE_MS_SYNC);
		break;
	case 12:
		quire_madvise(w->mm, start, length,
			      draw(w, 2) ? QUIRE_MADV_PAGEOUT : QUIRE_MADV_REMOVE);
		break;
	case 13:
		quire_mremap(w->mm, start, 0, length, MOVE_FIXED,
			     RACY + PAGES(draw(w, RACY_PAGES / 2)));
		break;
	case 2:
		quire_munmap(w->mm, start, length);
		break;
	case 3:
		quire_munmap(w->mm, RACY, PAGES(RACY_PAGES));
		break;
	case 4:
		quire_mprotect(w->mm, start, length, draw(w, 2) ? RW : QUIRE_PROT_READ);
		break;
	case 5:
		quire_madvise(w->mm, start, length, QUIRE_MADV_DONTNEED);
		break;
	case 6:
		quire_madvise(w->mm, start, length, QUIRE_MADV_POPULATE_WRITE);
		break;
	case 7:
		quire_mlock2(w->mm, start, length, draw(w, 2) ? QUIRE_MLOCK_ONFAULT : 0);
		break;
	case 8:
		quire_mincore(w->mm, start, length, vector);
		break;
	default:
		quire_mremap(w->mm, start, length, length, MOVE_FIXED,
			     RACY + PAGES(draw(w, RACY_PAGES / 2)));
	}
}

static void racy(struct worker *w)
{
	unsigned page = draw(w, RACY_PAGES), count = 1 + draw(w, RACY_PAGES - page);

	if (draw(w, 4))
		for (unsigned i = 0; i < 8; i++)
			racy_access(w, RACY, RACY_PAGES);
	else
		racy_call(w, RACY + PAGES(page), PAGES(count));
}

static void flicker(struct worker *w)
{
	if (draw(w, 2)) {
		if (draw(w, 2))
			must(w, "mmap", FLICKER, quire_mmap(w->mm, FLICKER, PAGE_SIZE, RW, FIXED));
		else
			map_cuttings(w, FLICKER, PAGE_SIZE);
		racy_access(w, FLICKER, 1);
		must(w, "munmap", FLICKER, quire_munmap(w->mm, FLICKER, PAGE_SIZE));
	} else {
		for (unsigned i = 0; i < 16; i++)
			racy_access(w, FLICKER, 1);
	}
}

static void heap(struct worker *w)
{
	if (draw(w, 4) == 0)
		quire_brk(w->mm, HEAP + PAGES(draw(w, HEAP_PAGES)) + draw(w, 4096));
	else
		racy_access(w, HEAP, HEAP_PAGES);
}

/* --- elsewhere */

static void check_word(struct worker *w, uint64_t address, uint64_t expected)
{
	uint64_t value = must_load(w, address);

	if (value != expected)
		complain(w, "%#lx has %#lx instead of %#lx", address, value, expected);
}

/* A mapping of one's own: fresh, written, moved, half protected, gone. */
static void elsewhere(struct worker *w)
{
	unsigned pages = draw(w, 8) ? 2 + draw(w, 20) : 600, step = 1 + draw(w, pages);
	int64_t place = quire_mmap(w->mm, 0, PAGES(pages), RW, ANONYMOUS), moved;
	uint64_t at = (uint64_t)place;

	must(w, "mmap", 0, place);
	if (place < 0)
		return;
	for (unsigned i = 0; i < pages; i += step) {
		check_word(w, at + PAGES(i) + 1000, 0);
		must_store(w, at + PAGES(i) + 1000, at + i + 1);
	}
	moved = quire_mremap(w->mm, at, PAGES(pages), PAGES(pages + 5), QUIRE_MREMAP_MAYMOVE, 0);
	must(w, "mremap", at, moved);
	if (moved < 0)
		return;
	for (unsigned i = 0; i < pages; i += step)
		check_word(w, (uint64_t)moved + PAGES(i) + 1000, at + i + 1);
	check_word(w, (uint64_t)moved + PAGES(pages) + 1000, 0);
	at = (uint64_t)moved;
	must(w, "mprotect", at, quire_mprotect(w->mm, at, PAGE_SIZE, QUIRE_PROT_NONE));
	if (quire_soft_store(w->cpu, at, 8, 1) || w->cpu->verdict != QUIRE_FAULT_ACCERR)
		complain(w, "%#lx is protected and can be written", at);
	must(w, "munmap", at, quire_munmap(w->mm, at, PAGES(pages + 5)));
}

static void stack(struct worker *w)
{
	uint64_t top = STACKS + (w->index + 1ull) * (16 << 20);
	unsigned depth = 2 + draw(w, 30);

	must(w, "mmap", top,
	     quire_mmap(w->mm, top - PAGE_SIZE, PAGE_SIZE, RW, FIXED | QUIRE_MAP_GROWSDOWN));
	for (unsigned i = 1; i <= depth; i += 1 + draw(w, 3))
		must_store(w, top - PAGES(i), top + i);
	must_store(w, top - PAGES(depth), 5);
	check_word(w, top - PAGES(depth), 5);
	must(w, "munmap", top, quire_munmap(w->mm, top - PAGES(depth), PAGES(depth)));
	if (load(w, top - PAGE_SIZE, &top))
		complain(w, "a stack that is gone can be read");
}

/* --- fork */

struct rungs {
	uint64_t first, last;
};

static void read_ladders(struct worker *w, struct rungs *rungs)
{
	for (unsigned i = 0; i < options.cpus; i++) {
		/* The last word first: it never is ahead of the first. */
		rungs[i].last = must_load(w, LADDERS + PAGES(i) + PAGE_SIZE - 8);
		rungs[i].first = must_load(w, LADDERS + PAGES(i));
	}
}

static void check_ladders(struct worker *w, const struct rungs *before, const struct rungs *child,
			  const struct rungs *after)
{
	for (unsigned i = 0; i < options.cpus; i++) {
		if (child[i].last < before[i].last || child[i].first > after[i].first)
			complain(w, "ladder %u is of no moment of the fork", i);
		if (child[i].last > child[i].first || child[i].first - child[i].last > 1)
			complain(w, "ladder %u is of several moments: %lu, %lu", i, child[i].first,
				 child[i].last);
	}
}

static void switch_to(struct worker *w, struct quire_mm *mm)
{
	w->mm = mm;
	quire_soft_switch(w->cpu, mm);
}

/* Pages of the others: each word is one that their owner has written, or 0. */
static void check_foreign(struct worker *w)
{
	for (unsigned n = 0; n < 32; n++) {
		unsigned page = draw(w, SLOTS * options.cpus);
		uint64_t address = OWNED + PAGES(page) + places[draw(w, 3)], value = 0;
		uint64_t tag = (page / RUN % options.cpus + 1ull) << 4 | w->space;

		if (load(w, address, &value) && value != 0 && value >> 52 != tag)
			complain(w, "%#lx has %#lx, which its owner has not written", address,
				 value);
	}
}

/* The child is this CPU's alone. */
static void live_in_child(struct worker *w, struct quire_mm *child)
{
	struct slot_model saved[SLOTS], *own = w->own;
	struct quire_mm *grandchild;

	memcpy(saved, own, sizeof(saved));
	w->own = saved;
	for (unsigned i = 0; i < SLOTS; i++)
		read_slot(w, i);
	check_foreign(w);
	for (unsigned n = draw(w, 30); n > 0; n--)
		owned(w);
	must_store(w, COUNTER, 0);
	must_store(w, ladder_of(w), 0);
	/* The ledger is the same as the parent's. */
	for (unsigned n = draw(w, 10); n > 0; n--)
		keep_ledger(w);
	if (draw(w, 4) == 0) {
		must(w, "fork", 0, quire_fork(child, &grandchild));
		for (unsigned n = draw(w, 30); n > 0; n--)
			owned(w);
		quire_mm_destroy(grandchild);
	}
	w->own = own;
}

static void do_fork(struct worker *w)
{
	static struct rungs rungs[CPUS][4][CPUS];
	struct rungs(*mine)[CPUS] = rungs[w->index];
	struct quire_mm *parent = w->mm, *child;
	int error;

	read_ladders(w, mine[0]);
	must_load(w, COUNTER);
	error = quire_fork(parent, &child);
	must(w, "fork", 0, error);
	if (error)
		return;
	read_ladders(w, mine[1]);
	switch_to(w, child);
	read_ladders(w, mine[2]);
	check_ladders(w, mine[0], mine[2], mine[1]);
	sched_yield();
	read_ladders(w, mine[3]);
	if (memcmp(mine[2], mine[3], options.cpus * sizeof(struct rungs)) != 0)
		complain(w, "a write of the parent has reached the child");
	/* The counter may be protected: by a writer that the fork came between. */
	quire_mprotect(child, COUNTER, PAGE_SIZE, RW);
	quire_mprotect(child, LEDGER, PAGES(LEDGER_PAGES), RW);
	live_in_child(w, child);
	switch_to(w, parent);
	quire_mm_destroy(child);
	for (unsigned i = 0; i < SLOTS; i++)
		read_slot(w, i);
	check_word(w, ladder_of(w), w->ladder[w->space]);
}

/* --- the whole */

static void lock_everything(struct worker *w)
{
	must(w, "mlockall", 0,
	     quire_mlockall(w->mm, QUIRE_MCL_FUTURE | (draw(w, 2) ? QUIRE_MCL_ONFAULT : 0)));
	must(w, "munlockall", 0, quire_munlockall(w->mm));
}

static void look_around(struct worker *w)
{
	struct quire_stats stats;
	struct quire_vma_info info;
	char text[4096];
	int key;

	quire_stats(draw(w, 2) ? w->mm : NULL, &stats);
	quire_mm_maps(w->mm, text, sizeof(text));
	quire_vma_find(w->mm, slot_address(w, draw(w, SLOTS)), &info);
	key = quire_pkey_alloc(w->mm);
	if (key > 0) {
		must(w, "pkey_mprotect", LADDERS,
		     quire_pkey_mprotect(w->mm, ladder_of(w), PAGE_SIZE, RW, key));
		must(w, "pkey_mprotect", LADDERS,
		     quire_pkey_mprotect(w->mm, ladder_of(w), PAGE_SIZE, RW, 0));
		must(w, "pkey_free", 0, quire_pkey_free(w->mm, key));
	}
	quire_idle(8);
	quire_mm_set_speculation(w->mm, draw(w, 8) != 0);
}

static void step(struct worker *w)
{
	uint32_t what = draw(w, 256);

	w->calls++;
	if (what < 6)
		do_fork(w);
	else if (what < 7)
		lock_everything(w);
	else if (what < 10)
		look_around(w);
	else if (what < 14)
		elsewhere(w);
	else if (what < 18)
		stack(w);
	else if (what < 19)
		protect(w, COUNTER, PAGE_SIZE);
	else if (what < 20)
		protect(w, LEDGER, PAGES(LEDGER_PAGES));
	else if (what < 50)
		count_up(w);
	else if (what < 80)
		racy(w);
	else if (what < 100)
		flicker(w);
	else if (what < 115)
		heap(w);
	else if (what < 155)
		keep_ledger(w);
	else if (what < 165)
		cut(w);
	else
		owned(w);
}

static void park(struct worker *w)
{
	quire_soft_leave(w->cpu);
	pthread_mutex_lock(&world.mutex);
	at_add(&world.parked, 1u);
	while (at_load(&world.stop))
		pthread_cond_wait(&world.go, &world.mutex);
	at_sub(&world.parked, 1u);
	pthread_mutex_unlock(&world.mutex);
	quire_soft_enter(w->cpu);
}

/* Every count is there, and stored once all is written. => nothing else runs */
static void inspect_ledger(struct worker *w)
{
	must(w, "sync", 0, quire_object_sync(ledger, 0, UINT64_MAX));
	for (unsigned i = 0; i < options.cpus; i++)
		for (unsigned page = 0; page < LEDGER_PAGES; page++) {
			uint64_t at = ledger_word(&workers[i], page);
			uint64_t stored = at_load(&ledger_store.words[at / 8]);

			if (must_load(w, LEDGER + at) != workers[i].ledger[page] ||
			    stored != workers[i].ledger[page])
				complain(w, "of %lu counts of CPU %u in page %u %lu are stored",
					 workers[i].ledger[page], i, page, stored);
		}
}

/* CPU 0: stop the others, look, and let them go on. */
static void inspect(struct worker *w)
{
	const char *what;

	at_store(&world.stop, true);
	while (at_load_acquire(&world.parked) < options.cpus - 1) {
		quire_soft_safepoint(w->cpu);
		sched_yield();
	}
	what = quire_validate(NULL);
	if (what)
		complain(w, "not valid: %s", what);
	for (unsigned s = 0; s < SPACES; s++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < options.cpus; i++)
			sum += workers[i].added[s];
		w->space = s;
		switch_to(w, spaces[s]);
		if (must_load(w, COUNTER) != sum)
			complain(w, "the counter has lost additions");
	}
	inspect_ledger(w);
	pthread_mutex_lock(&world.mutex);
	at_store(&world.stop, false);
	pthread_cond_broadcast(&world.go);
	pthread_mutex_unlock(&world.mutex);
	/* So that nobody is counted twice. */
	while (at_load(&world.parked) > 0) {
		quire_soft_safepoint(w->cpu);
		sched_yield();
	}
}

static void choose_space(struct worker *w)
{
	w->space = draw(w, SPACES);
	w->own = w->slots[w->space];
	switch_to(w, spaces[w->space]);
}

static void begin(struct worker *w)
{
	w->cpu = quire_soft_attach(w->index);
	w->random = options.seed * 2654435761u + w->index * 40503u + 1;
	quire_soft_enter(w->cpu);
	choose_space(w);
}

static void finish(struct worker *w)
{
	quire_soft_switch(w->cpu, NULL);
	quire_soft_leave(w->cpu);
}

static void *run(void *argument)
{
	struct worker *w = argument;

	begin(w);
	while (!at_load(&over) || at_load(&world.stop)) {
		if (at_load(&world.stop))
			park(w);
		if (draw(w, 32) == 0)
			choose_space(w);
		step(w);
		quire_soft_safepoint(w->cpu);
	}
	finish(w);
	quire_soft_detach(w->cpu);
	return NULL;
}

/* CPU 0 works as all others do, and looks at the clock. */
static void conduct(struct worker *w)
{
	uint64_t end = port_clock() + options.seconds * 1000000000ull;
	uint64_t next = port_clock() + 500000000;

	while (port_clock() < end && !at_load(&wrong)) {
		if (port_clock() >= next) {
			inspect(w);
			next = port_clock() + 500000000;
			choose_space(w);
		}
		for (unsigned i = 0; i < 32; i++)
			step(w);
		choose_space(w);
		quire_soft_safepoint(w->cpu);
	}
	inspect(w);
	at_store(&over, true);
}

static void create_spaces(void)
{
	const struct quire_mm_config config = {
		.mode = options.mode,
		.mmap_top = 0x7f0000000000,
		.brk_start = HEAP,
		.limits.stack = 1 << 20, /* so that no stack grows where another was */
	};

	if (quire_file_create(&store_ops, &ledger_store, NULL, &ledger) ||
	    quire_file_create(&store_ops, &cut_store, NULL, &cuttings))
		abort();
	for (unsigned s = 0; s < SPACES; s++) {
		int64_t result = -1;

		if (quire_mm_create(&config, &spaces[s]) == 0)
			result = quire_mmap(spaces[s], COUNTER, PAGES(1 + options.cpus), RW, FIXED);
		if (result != (int64_t)COUNTER)
			abort();
		result = quire_mmap_object(spaces[s], LEDGER, PAGES(LEDGER_PAGES), RW,
					   QUIRE_MAP_SHARED | QUIRE_MAP_FIXED, ledger, 0, RW);
		if (result != (int64_t)LEDGER)
			abort();
	}
}

static void report(void)
{
	struct quire_stats stats;
	uint64_t calls = 0;
	bool all = true;

	quire_stats(NULL, &stats);
	for (unsigned i = 0; i < options.cpus; i++)
		calls += workers[i].calls;
	printf("%s, %u levels, %u CPUs, seed %u: %lu steps\n", mode_names[options.mode],
	       options.levels, options.cpus, options.seed, calls);
	for (unsigned p = 0; p < QUIRE_PATH_COUNT; p++)
		for (unsigned k = 0; k < QUIRE_KIND_COUNT; k++)
			if (stats.faults[p][k])
				printf("  %12lu %s, %s\n", stats.faults[p][k],
				       quire_path_name((enum quire_path)p),
				       quire_kind_name((enum quire_kind)k));
	for (unsigned c = 0; c < QUIRE_COUNTER_COUNT; c++)
		printf("  %12lu %s\n", stats.counters[c],
		       quire_counter_name((enum quire_counter)c));
	/* The baselines look nothing up that may change, but for entries. */
	if (options.mode != QUIRE_SPECULATIVE)
		return;
	for (unsigned c = QUIRE_RETRY_VMA; c <= QUIRE_RETRY_WAIT; c++) {
		if (!stats.counters[c])
			printf("not seen: %s\n", quire_counter_name((enum quire_counter)c));
		all = all && stats.counters[c];
	}
	if (all)
		printf("all reasons to retry were seen\n");
}

/* Everything is given back. */
static void close_down(struct worker *w, uint64_t free_before)
{
	struct quire_memory_stats stats;
	const char *what;

	for (unsigned s = 0; s < SPACES; s++)
		quire_mm_destroy(spaces[s]);
	quire_object_put(ledger);
	quire_object_put(cuttings);
	quire_barrier(0);
	what = quire_validate(NULL);
	if (what)
		complain(w, "not valid at the end: %s", what);
	quire_memory_stats(&stats);
	/* What the caches of small objects keep. */
	if (stats.free + 2000 < free_before || stats.deferred)
		complain(w, "%lu frames of %lu are back, %lu deferred", stats.free, free_before,
			 stats.deferred);
}

static void stress(void)
{
	struct quire_memory_stats stats;
	struct worker *w = &workers[0];

	w->cpu = quire_soft_attach(0);
	quire_soft_enter(w->cpu);
	quire_memory_stats(&stats);
	create_spaces();
	quire_soft_leave(w->cpu);
	quire_soft_detach(w->cpu);
	begin(w);
	for (unsigned i = 1; i < options.cpus; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
			abort();
	}
	conduct(w);
	/* Outside: nobody waits for this CPU while it waits for the others. */
	finish(w);
	for (unsigned i = 1; i < options.cpus; i++)
		pthread_join(workers[i].thread, NULL);
	quire_soft_enter(w->cpu);
	report();
	close_down(w, stats.free);
	quire_soft_leave(w->cpu);
	quire_soft_detach(w->cpu);
}

static unsigned number(const char *text, unsigned low, unsigned high)
{
	char *rest;
	unsigned long value = strtoul(text, &rest, 10);

	if (*rest || rest == text || value < low || value > high) {
		fprintf(stderr, "stress: %s is not a number from %u to %u\n", text, low, high);
		exit(2);
	}
	return (unsigned)value;
}

static enum quire_mode mode_of(const char *text)
{
	for (unsigned m = 0; m < 3; m++)
		if (strcmp(text, mode_names[m]) == 0)
			return (enum quire_mode)m;
	fprintf(stderr, "stress: there is no mode %s\n", text);
	exit(2);
}

static void parse(int count, char **words)
{
	for (int i = 1; i < count; i += 2) {
		const char *value = i + 1 < count ? words[i + 1] : "";

		if (strcmp(words[i], "--seconds") == 0)
			options.seconds = number(value, 1, 1000000);
		else if (strcmp(words[i], "--cpus") == 0)
			options.cpus = number(value, 1, CPUS);
		else if (strcmp(words[i], "--levels") == 0)
			options.levels = number(value, 4, 5);
		else if (strcmp(words[i], "--seed") == 0)
			options.seed = number(value, 0, UINT32_MAX);
		else if (strcmp(words[i], "--mode") == 0)
			options.mode = mode_of(value);
		else {
			fprintf(stderr, "stress [--seconds N] [--cpus N] [--mode M] [--levels 4|5]"
					" [--seed S]\n");
			exit(2);
		}
	}
}

int main(int count, char **words)
{
	parse(count, words);

	struct quire_soft_config config = {
		.cpus = options.cpus,
		.memory = 512 << 20,
		.nodes = options.cpus > 1 ? 2 : 1,
		.levels = options.levels,
	};

	if (quire_soft_init(&config) != 0)
		return 2;
	stress();
	if (quire_soft_exit() != 0)
		at_store(&wrong, true);
	return at_load(&wrong);
}
