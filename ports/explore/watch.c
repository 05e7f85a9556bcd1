/* SPDX-License-Identifier: MIT */
/*
 * Plain accesses: the core and the port are compiled with the calls that a thread sanitizer makes
 * before each access, and this is what they call.
 *
 *   undo      what a run is about to change is saved, 64 bytes at a time, once in a run
 *   races     for each byte: who wrote it last by a plain write and who has read it since, by
 *             vector clock (memory.c). Two of them not ordered: a data race
 *   freed     slab_free and the last frame_put free nothing while a run lasts: they fill the memory
 *             with POISON and mark it, and any later access fails. It is freed after the run
 *   stacks    what another CPU's stack holds may be used as long as its function has not returned
 *
 * All that is kept per page of 4 KiB, in shadows found by the page's address. Marks carry the
 * number of the run, and clocks rise from run to run, so nothing is cleared in between.
 */
#include "inside.h"
#include "frame/frame.h"
#include "frame/slab.h"
#include <stdlib.h>
#include <string.h>

#define SHADOWS 4096
#define CHUNK 64u /* bytes saved at a time */
#define GRAIN 16u /* of freed memory */
#define POISON 0x5a
#define FREED_MAX 4096
#define ACCESSES_MAX 10000000u
#define OWN_STACK (256u << 10)

struct cell {
	uint32_t written, read[CPUS]; /* clocks */
	uint8_t writer;
	const void *written_at, *read_at[CPUS];
};

struct shadow {
	uintptr_t page;					   /* address >> 12; 0: none */
	uint32_t saved[4096 / CHUNK], freed[4096 / GRAIN]; /* in which run */
	struct cell cells[4096];
};

static struct shadow *shadows[SHADOWS];
static uint32_t run;

static struct saved {
	unsigned char *address, bytes[CHUNK];
} * log_entries;
static size_t log_count, log_room;

static struct freed {
	struct slab *slab; /* NULL: a frame */
	void *what;
} freed[FREED_MAX];
static unsigned freed_count;
static unsigned accesses; /* plain ones, in this run */

static struct shadow *shadow_of(uintptr_t address)
{
	static struct shadow *last;
	uintptr_t page = address >> 12;
	size_t i = page % SHADOWS;

	if (last != NULL && last->page == page)
		return last;
	while (shadows[i] != NULL && shadows[i]->page != page)
		i = (i + 1) % SHADOWS;
	if (shadows[i] == NULL) {
		shadows[i] = calloc(1, sizeof(struct shadow));
		shadows[i]->page = page;
	}
	last = shadows[i];
	return last;
}

/* Whose stack the address is in; CPUS: nobody's. */
static unsigned stack_of(uintptr_t address)
{
	for (unsigned i = 0; i < vcpu_count; i++) {
		uintptr_t top = (uintptr_t)vcpus[i].stack_top;

		if (address < top && address >= top - STACK_SIZE)
			return i;
	}
	return CPUS;
}

void watch_forget_clocks(void)
{
	for (size_t i = 0; i < SHADOWS; i++)
		if (shadows[i] != NULL)
			memset(shadows[i]->cells, 0, sizeof(shadows[i]->cells));
}

/* --- undoing --- */

void watch_begin_run(void)
{
	run++;
	log_count = freed_count = accesses = 0;
}

static void save_chunk(unsigned char *address)
{
	struct shadow *s = shadow_of((uintptr_t)address);
	uint32_t *mark = &s->saved[(uintptr_t)address % 4096 / CHUNK];

	if (*mark == run)
		return;
	*mark = run;
	if (log_count == log_room) {
		log_room = log_room ? 2 * log_room : 1024;
		log_entries = realloc(log_entries, log_room * sizeof(*log_entries));
	}
	log_entries[log_count].address = address;
	memcpy(log_entries[log_count++].bytes, address, CHUNK);
}

void watch_save(volatile void *p, size_t size)
{
	uintptr_t at = (uintptr_t)p & ~(uintptr_t)(CHUNK - 1), end = (uintptr_t)p + size;

	if (stack_of((uintptr_t)p) != CPUS)
		return;
	for (; at < end; at += CHUNK)
		save_chunk((unsigned char *)at);
}

void watch_undo(void)
{
	while (log_count > 0) {
		log_count--;
		memcpy(log_entries[log_count].address, log_entries[log_count].bytes, CHUNK);
	}
}

uint64_t watch_memory(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < log_count; i++) {
		const struct saved *entry = &log_entries[i];
		uint64_t hash = (uintptr_t)entry->address, word;

		if (memcmp(entry->address, entry->bytes, CHUNK) == 0)
			continue;
		for (unsigned at = 0; at < CHUNK; at += sizeof(word)) {
			memcpy(&word, entry->address + at, sizeof(word));
			hash = mix(hash, word);
		}
		sum += hash;
	}
	return sum;
}

/* --- freed memory and dead stacks --- */

static void mark_freed(const void *p, size_t size)
{
	for (uintptr_t at = (uintptr_t)p; at < (uintptr_t)p + size; at += GRAIN)
		shadow_of(at)->freed[at % 4096 / GRAIN] = run;
}

void watch_atomic(const volatile void *p, size_t size, const void *pc)
{
	uintptr_t at = (uintptr_t)p;
	unsigned owner = stack_of(at);
	char place[256];

	(void)size;
	if (owner != CPUS) {
		if (owner != self && (const volatile char *)p < vcpus[owner].stack_low)
			explore_fail("access to the stack of CPU %u after its function returned, "
				     "at %s",
				     owner, report_place(pc, place, sizeof(place)));
		return;
	}
	if (shadow_of(at)->freed[at % 4096 / GRAIN] == run)
		explore_fail("access to freed memory at %s",
			     report_place(pc, place, sizeof(place)));
}

/* As a plain write it must be ordered after every access to the memory. */
static void poison(void *memory, size_t size, const void *pc)
{
	watch_plain(memory, size, true, pc);
	memory_freed(memory, size);
	mark_freed(memory, size);
}

static void free_later(struct slab *slab, void *what, void *memory, size_t size, const void *pc)
{
	if (freed_count == FREED_MAX)
		explore_fail("too much is freed in one run");
	freed[freed_count++] = (struct freed){ slab, what };
	poison(memory, size, pc);
	memset(memory, POISON, size);
}

void __real_slab_free(struct slab *, void *);
void __wrap_slab_free(struct slab *, void *);
void __real_frame_put(struct frame *);
void __wrap_frame_put(struct frame *);
void __real_frame_put_zeroed(struct frame *);
void __wrap_frame_put_zeroed(struct frame *);
void __real_frame_put_all(const uint32_t *, size_t);
void __wrap_frame_put_all(const uint32_t *, size_t);

void __wrap_slab_free(struct slab *slab, void *object)
{
	if (phase != PHASE_RUN) {
		__real_slab_free(slab, object);
		return;
	}
	free_later(slab, object, object, slab->size, __builtin_return_address(0));
}

static void put_frame(struct frame *frame, const void *pc)
{
	uint32_t refs = at_sub(&frame->refs, 1u); /* as frame_put does */

	if (refs == 0)
		explore_fail("a frame without references is put");
	if (refs != 1)
		return;
	free_later(NULL, frame, frame_bytes(frame), PAGE_SIZE << frame->order, pc);
	poison((char *)frame + GRAIN, sizeof(*frame) - GRAIN, pc);
}

void __wrap_frame_put(struct frame *frame)
{
	if (phase != PHASE_RUN)
		__real_frame_put(frame);
	else
		put_frame(frame, __builtin_return_address(0));
}

void __wrap_frame_put_zeroed(struct frame *frame)
{
	if (phase != PHASE_RUN)
		__real_frame_put_zeroed(frame);
	else
		put_frame(frame, __builtin_return_address(0));
}

void __wrap_frame_put_all(const uint32_t *frames, size_t count)
{
	if (phase != PHASE_RUN) {
		__real_frame_put_all(frames, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		put_frame(frame_table + frames[i], __builtin_return_address(0));
}

void watch_release_freed(void)
{
	for (unsigned i = 0; i < freed_count; i++) {
		struct frame *frame = freed[i].what;

		if (freed[i].slab != NULL) {
			__real_slab_free(freed[i].slab, freed[i].what);
			continue;
		}
		at_store(&frame->refs, 1u);
		__real_frame_put(frame);
	}
	freed_count = 0;
}

/* --- races --- */

static void race(const char *what, const void *pc, const void *other_pc, unsigned other)
{
	char here[256], there[256];

	explore_fail("data race: %s by CPU %u at %s, CPU %u at %s", what, self,
		     report_place(pc, here, sizeof(here)), other,
		     report_place(other_pc, there, sizeof(there)));
}

static void check_cell(struct cell *c, bool write, const void *pc)
{
	const uint32_t *seen = vcpus[self].clock.at;

	if (c->written > seen[c->writer])
		race(write ? "write after write" : "read after write", pc, c->written_at,
		     c->writer);
	if (!write) {
		c->read[self] = seen[self];
		c->read_at[self] = pc;
		return;
	}
	for (unsigned i = 0; i < vcpu_count; i++)
		if (c->read[i] > seen[i] && i != self)
			race("write after read", pc, c->read_at[i], i);
	c->written = seen[self];
	c->writer = (uint8_t)self;
	c->written_at = pc;
}

void (*explore_observer)(const volatile void *p, size_t size, enum explore_access);

void watch_observe(const volatile void *p, size_t size, enum explore_access access)
{
	const char *stack = __builtin_frame_address(0);

	if (explore_observer == NULL || phase != PHASE_SETUP)
		return;
	/* Outside runs everything is done on the thread's own stack. */
	if ((const volatile char *)p < stack || (const volatile char *)p > stack + OWN_STACK)
		explore_observer(p, size, access);
}

void watch_plain(const volatile void *p, size_t size, bool write, const void *pc)
{
	uintptr_t at = (uintptr_t)p;

	if (phase == PHASE_SETUP) {
		watch_observe(p, size, write ? EXPLORE_WRITE : EXPLORE_READ);
		return;
	}
	/* A loop that makes no step must end as well. */
	if (++accesses > ACCESSES_MAX) {
		accesses = 0;
		explore_fail("endless: %u plain accesses", ACCESSES_MAX);
	}
	if (phase == PHASE_CHECK) {
		if (write)
			watch_save((volatile void *)at, size);
		return;
	}
	/* A CPU's own TLB is changed by it alone, often, and as a whole. */
	if (at - (uintptr_t)soft_self < sizeof(soft_self->public.tlb)) {
		if (write)
			watch_save((volatile void *)at, size);
		return;
	}
	memory_before_plain_read(p, (unsigned)size);
	watch_atomic(p, size, pc);
	if (write)
		watch_save((volatile void *)at, size);
	for (uintptr_t end = at + size; at < end; at++)
		check_cell(&shadow_of(at)->cells[at % 4096], write, pc);
}

void watch_mixed(const volatile void *p, const void *pc)
{
	const struct cell *c = &shadow_of((uintptr_t)p)->cells[(uintptr_t)p % 4096];

	if (c->written > vcpus[self].clock.at[c->writer])
		race("atomic load after plain write", pc, c->written_at, c->writer);
}

/* The guest's accesses: atomic among themselves, but a page is cleared and copied plainly. */
static void watch_guest(const volatile void *p, bool write, const void *pc)
{
	uintptr_t at = (uintptr_t)p;
	const struct cell *c = &shadow_of(at)->cells[at % 4096];
	const uint32_t *seen = vcpus[self].clock.at;

	if (phase != PHASE_RUN)
		return;
	if (c->written > seen[c->writer])
		race("access by the guest after write", pc, c->written_at, c->writer);
	for (unsigned i = 0; write && i < vcpu_count; i++)
		if (c->read[i] > seen[i] && i != self)
			race("write by the guest after read", pc, c->read_at[i], i);
}

/* --- what the instrumented code calls --- */

#define ACCESS(name, size, write)                                                                  \
	void __tsan_##name(void *p);                                                               \
	void __tsan_##name(void *p)                                                                \
	{                                                                                          \
		watch_plain(p, size, write, __builtin_return_address(0));                          \
	}
#define ACCESSES(size)                                                                             \
	ACCESS(read##size, size, false)                                                            \
	ACCESS(write##size, size, true)
#define UNALIGNED(size)                                                                            \
	ACCESS(unaligned_read##size, size, false)                                                  \
	ACCESS(unaligned_write##size, size, true)

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
UNALIGNED(2)
UNALIGNED(4)
UNALIGNED(8)
UNALIGNED(16)

void __tsan_init(void);
void __tsan_init(void)
{
}

/* Atomics that are not written with sync/atomic.h: those of guests, and in public headers. */
#define ATOMIC(bits, type)                                                                         \
	type __tsan_atomic##bits##_load(const volatile type *p, int order);                        \
	type __tsan_atomic##bits##_load(const volatile type *p, int order)                         \
	{                                                                                          \
		EXPLORE_SITE(GUEST_ACCESS);                                                        \
		(void)order;                                                                       \
		const void *pc = __builtin_return_address(0);                                      \
		type value = (type)memory_load(p, sizeof(*p), EXPLORE_RELAXED, &site_, pc);        \
		watch_guest(p, false, pc);                                                         \
		return value;                                                                      \
	}                                                                                          \
	void __tsan_atomic##bits##_store(volatile type *p, type value, int order);                 \
	void __tsan_atomic##bits##_store(volatile type *p, type value, int order)                  \
	{                                                                                          \
		EXPLORE_SITE(GUEST_ACCESS);                                                        \
		(void)order;                                                                       \
		memory_store(p, sizeof(*p), value, EXPLORE_RELAXED, &site_,                        \
			     __builtin_return_address(0));                                         \
		watch_guest(p, true, __builtin_return_address(0));                                 \
	}

ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

#define ATOMIC_RMW(bits, type, name, expression)                                                   \
	type __tsan_atomic##bits##_##name(volatile type *p, type value, int order);                \
	type __tsan_atomic##bits##_##name(volatile type *p, type value, int order)                 \
	{                                                                                          \
		EXPLORE_SITE(GUEST_ACCESS);                                                        \
		type old = *p;                                                                     \
                                                                                                   \
		(void)order;                                                                       \
		while (!explore_cas(p, sizeof(*p), &old, expression, &site_))                      \
			;                                                                          \
		return old;                                                                        \
	}
#define ATOMIC_RMWS(bits, type)                                                                    \
	ATOMIC_RMW(bits, type, exchange, value)                                                    \
	ATOMIC_RMW(bits, type, fetch_add, old + value)                                             \
	ATOMIC_RMW(bits, type, fetch_and, old &value)                                              \
	ATOMIC_RMW(bits, type, fetch_or, old | value)                                              \
	ATOMIC_RMW(bits, type, fetch_xor, old ^ value)                                             \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected,        \
							  type desired, int order, int failed);    \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected,        \
							  type desired, int order, int failed)     \
	{                                                                                          \
		EXPLORE_SITE(GUEST_ACCESS);                                                        \
		(void)order, (void)failed;                                                         \
		return explore_cas(p, sizeof(*p), expected, desired, &site_);                      \
	}                                                                                          \
	type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type expected,           \
							type desired, int order, int failed);      \
	type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type expected,           \
							type desired, int order, int failed)       \
	{                                                                                          \
		EXPLORE_SITE(GUEST_ACCESS);                                                        \
		(void)order, (void)failed;                                                         \
		explore_cas(p, sizeof(*p), &expected, desired, &site_);                            \
		return expected;                                                                   \
	}

ATOMIC_RMWS(32, uint32_t)
ATOMIC_RMWS(64, uint64_t)

/* What memset and the others are called in the instrumented code: structures and arrays, too. */
void *watch_memset(void *, int, size_t);
void *watch_memcpy(void *, const void *, size_t);
void *watch_memmove(void *, const void *, size_t);

void *watch_memset(void *p, int byte, size_t size)
{
	watch_plain(p, size, true, __builtin_return_address(0));
	return memset(p, byte, size);
}

void *watch_memcpy(void *to, const void *from, size_t size)
{
	watch_plain(from, size, false, __builtin_return_address(0));
	watch_plain(to, size, true, __builtin_return_address(0));
	return memcpy(to, from, size);
}

void *watch_memmove(void *to, const void *from, size_t size)
{
	watch_plain(from, size, false, __builtin_return_address(0));
	watch_plain(to, size, true, __builtin_return_address(0));
	return memmove(to, from, size);
}

/* Two halves, between which others may run; races are looked for in the first bytes of each. */
#define LOOKED_AT 16

void port_clear_page(void *page)
{
	char *half = page;

	for (unsigned i = 0; i < 2; i++, half += HALF) {
		watch_plain(half, LOOKED_AT, true, __builtin_return_address(0));
		if (phase != PHASE_SETUP)
			watch_save(half, HALF);
		memset(half, 0, HALF);
	}
}

void port_copy_page(void *to, const void *from)
{
	/* Another mapping may write to a page of an object: any word is the old or the new one. */
	bool changes = frame_of_bytes(from)->kind == FRAME_OBJECT;
	const char *source = from;
	char *target = to;

	for (unsigned i = 0; i < 2; i++, source += HALF, target += HALF) {
		EXPLORE_SITE("page being copied");

		explore_load(source, 8, EXPLORE_RELAXED, &site_);
		if (changes && phase == PHASE_RUN)
			watch_mixed(source, __builtin_return_address(0));
		else if (!changes)
			watch_plain(source, LOOKED_AT, false, __builtin_return_address(0));
		watch_plain(target, LOOKED_AT, true, __builtin_return_address(0));
		if (phase != PHASE_SETUP)
			watch_save(target, HALF);
		memcpy(target, source, HALF);
	}
}
