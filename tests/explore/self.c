/* SPDX-License-Identifier: MIT */
/*
 * The explorer's own tests: small programs without Quire whose outcomes under each memory are
 * known. Each kind of failure is met once, and the classic litmus tests tell the memories apart.
 */
#include "explore.h"
#include "port.h"
#include "sync/sleep.h"
#include "space/vma.h"
#include "sync/spin.h"

#include <string.h>

static _Atomic uint32_t x, y, word;
static uint32_t plain, r0, r1, r2;
static struct spinlock lock;
static void *object;

static void zero(void)
{
	at_store(&x, 0u);
	at_store(&y, 0u);
	at_store(&word, 0u);
	spin_init(&lock);
	plain = r0 = r1 = r2 = 0;
}

/* Store buffering: both read 0 where stores may be delayed past later loads. */
static void sb_0(void)
{
	at_store(&x, 1u);
	r0 = at_load(&y);
}

static void sb_1(void)
{
	at_store(&y, 1u);
	r1 = at_load(&x);
}

static void not_both_zero(void)
{
	expect(r0 || r1);
}

SCENARIO(self_store_buffering, "Dekker without fences fails from TSO on", .setup = zero,
	 .run = { sb_0, sb_1 }, .check = not_both_zero, .fails = "not so: r0 || r1",
	 .fails_in = EXPLORE_TSO);

static void sb_fence_0(void)
{
	at_store(&x, 1u);
	at_fence();
	r0 = at_load(&y);
}

static void sb_fence_1(void)
{
	at_store(&y, 1u);
	at_fence();
	r1 = at_load(&x);
}

SCENARIO(self_store_buffering_fences, "Dekker with fences holds", .setup = zero,
	 .run = { sb_fence_0, sb_fence_1 }, .check = not_both_zero);

/* Message passing: the flag is seen and the data is not, where stores may change places. */
static void mp_writer(void)
{
	at_store(&x, 1u);
	at_store(&y, 1u);
}

static void mp_release(void)
{
	at_store(&x, 1u);
	at_store_release(&y, 1u);
}

static void mp_reader(void)
{
	r0 = at_load_acquire(&y);
	r1 = at_load(&x);
}

static void data_with_flag(void)
{
	expect(!r0 || r1);
}

SCENARIO(self_message_passing, "relaxed message passing fails out of order only", .setup = zero,
	 .run = { mp_writer, mp_reader }, .check = data_with_flag, .fails = "not so: !r0 || r1",
	 .fails_in = EXPLORE_OUT_OF_ORDER);

SCENARIO(self_message_passing_release, "with release it holds", .setup = zero,
	 .run = { mp_release, mp_reader }, .check = data_with_flag);

/* The same with plain data: a race unless both release and acquire are there. */
static void publish(void)
{
	plain = 1;
	at_store_release(&y, 1u);
}

static void publish_relaxed(void)
{
	plain = 1;
	at_store(&y, 1u);
}

static void publish_fence(void)
{
	plain = 1;
	at_fence();
	at_store(&y, 1u);
}

static void use(void)
{
	if (at_load_acquire(&y))
		r1 = plain;
}

static void use_relaxed(void)
{
	if (at_load(&y))
		r1 = plain;
}

SCENARIO(self_publish, "release and acquire order plain data", .setup = zero,
	 .run = { publish, use });
SCENARIO(self_publish_fence, "so does a full fence", .setup = zero, .run = { publish_fence, use });
SCENARIO(self_publish_relaxed, "a lost release is a data race", .setup = zero,
	 .run = { publish_relaxed, use }, .fails = "data race");
SCENARIO(self_use_relaxed, "a lost acquire is a data race", .setup = zero,
	 .run = { publish, use_relaxed }, .fails = "data race");

/* Two that add: the update that is lost needs a preemption between load and store. */
static void add_badly(void)
{
	at_store(&x, at_load(&x) + 1);
}

static void add_well(void)
{
	at_add(&x, 1u);
}

static void add_locked(void)
{
	spin_lock(&lock, RANK_TREE);
	plain++;
	at_store(&x, at_load(&x) + 1);
	spin_unlock(&lock);
}

static void three(void)
{
	expect_equal(at_load(&x), 3);
}

SCENARIO(self_lost_update, "load and store are two steps", .setup = zero,
	 .run = { add_badly, add_badly, add_badly }, .check = three, .fails = "at_load(&x) is");
SCENARIO(self_add, "a read-modify-write is one", .setup = zero,
	 .run = { add_well, add_well, add_well }, .check = three);
SCENARIO(self_spin_lock, "a spin lock excludes, and orders what it guards", .setup = zero,
	 .run = { add_locked, add_locked, add_locked }, .check = three);

/* Sleeping. */
static void sleep_until_set(void)
{
	while (at_load_acquire(&word) == 0)
		sleep_on(&word, 0);
}

static void set_and_wake(void)
{
	at_store_release(&word, 1u);
	port_wake(&word);
}

static void wake_and_set(void)
{
	port_wake(&word);
	at_store_release(&word, 1u);
}

SCENARIO(self_wake, "who sleeps is woken", .setup = zero, .run = { sleep_until_set, set_and_wake });
SCENARIO(self_lost_wake, "a wake before the store is lost: deadlock", .setup = zero,
	 .run = { sleep_until_set, wake_and_set }, .fails = "deadlock");

/* Spinning. */
static void spin_until_set(void)
{
	for (unsigned turn = 0; at_load_acquire(&word) == 0; turn++)
		port_pause(turn);
}

static void nothing(void)
{
}

SCENARIO(self_spin, "who spins gives way", .setup = zero, .run = { spin_until_set, set_and_wake });
SCENARIO(self_livelock, "who spins for ever is found", .setup = zero,
	 .run = { spin_until_set, nothing }, .fails = "livelock");

/* Ranks. */
static struct spinlock second;

static void right_order(void)
{
	spin_lock(&lock, RANK_TREE);
	spin_lock(&second, RANK_POOL);
	spin_unlock(&second);
	spin_unlock(&lock);
}

static void wrong_order(void)
{
	spin_lock(&second, RANK_POOL);
	spin_lock(&lock, RANK_TREE);
	spin_unlock(&lock);
	spin_unlock(&second);
}

SCENARIO(self_rank, "locks in the wrong order", .setup = zero, .run = { right_order, wrong_order },
	 .fails = "panic at");

/* Freed memory: a reader in no section; then one in a section. */
static struct slab *const slab = &vma_slab;

static void an_object(void)
{
	zero();
	object = slab_alloc(slab);
	memset(object, 0, slab->size);
	at_store(&x, 1u);
}

static void free_it(void)
{
	at_store_release(&x, 0u);
	slab_free(slab, object);
}

static void read_it(void)
{
	if (at_load_acquire(&x))
		r1 = at_load((_Atomic uint32_t *)object);
}

SCENARIO(self_freed, "an access to freed memory", .setup = an_object, .run = { free_it, read_it },
	 .fails = "access to freed memory");

static void free_vma(struct deferred *d)
{
	slab_free(slab, container_of(d, struct vma, deferred));
}

static void defer_it(void)
{
	at_store_release(&x, 0u);
	section_enter();
	grace_defer(&((struct vma *)object)->deferred, free_vma);
	section_leave();
	grace_barrier(0);
}

static void read_in_section(void)
{
	section_enter();
	read_it();
	section_leave();
}

SCENARIO(self_deferred, "freed after a grace period", .setup = an_object,
	 .run = { defer_it, read_in_section });

static void leak_it(void)
{
	read_it();
}

SCENARIO(self_leak, "what is not freed is found", .setup = an_object, .run = { leak_it },
	 .fails = "slab_drain");

static void go_astray(void)
{
	if (at_load(&x))
		plain = *(volatile uint32_t *)(uintptr_t)(at_load(&x) * 8);
}

static void set_x(void)
{
	at_store(&x, 1u);
}

SCENARIO(self_crash, "a wild access is a failed schedule", .setup = zero,
	 .run = { go_astray, set_x }, .fails = "signal 11");

static void loop(void)
{
	volatile uint32_t *p = &plain;

	while (at_load(&x))
		for (*p = 1; *p;)
			;
}

SCENARIO(self_endless, "so is a loop without an end", .setup = zero, .run = { loop, set_x },
	 .fails = "endless");

/* Two who wait for each other in turns, and one preemption that must still be tried. */
static void ping(void)
{
	for (uint32_t i = 0; i < 4; i++) {
		at_store_release(&word, 2 * i + 1);
		for (unsigned turn = 0; at_load_acquire(&word) != 2 * i + 2; turn++)
			port_pause(turn);
	}
	at_store(&x, 1u);
	at_store(&x, 0u);
}

static void pong(void)
{
	for (uint32_t i = 0; i < 4; i++) {
		for (unsigned turn = 0; at_load_acquire(&word) != 2 * i + 1; turn++)
			port_pause(turn);
		at_store_release(&word, 2 * i + 2);
	}
	if (at_load(&y) == 0)
		port_pause(0);
	expect(at_load(&x) == 0);
}

SCENARIO(self_turns, "taking turns at spinning hides no preemption", .setup = zero,
	 .run = { ping, pong }, .fails = "at_load(&x) == 0");

/* A compare-and-swap that fails is no barrier. */
static void sb_cas_0(void)
{
	uint32_t seven = 7;

	at_store(&x, 1u);
	at_cas(&word, &seven, 1u);
	r0 = at_load(&y);
}

static void sb_cas_1(void)
{
	uint32_t seven = 7;

	at_store(&y, 1u);
	at_cas(&word, &seven, 1u);
	r1 = at_load(&x);
}

SCENARIO(self_failing_cas, "Dekker with failing compare-and-swaps fails out of order",
	 .setup = zero, .run = { sb_cas_0, sb_cas_1 }, .check = not_both_zero,
	 .fails = "not so: r0 || r1", .fails_in = EXPLORE_OUT_OF_ORDER);

/* Plain and atomic; parts of a word; memory on a stack. */
static void write_plainly(void)
{
	*(volatile uint32_t *)(uintptr_t)&x = 5;
	at_store(&y, 1u);
}

static void read_atomically(void)
{
	if (at_load(&y))
		r1 = at_load(&x);
}

SCENARIO(self_mixed, "an atomic load races with a plain write", .setup = zero,
	 .run = { write_plainly, read_atomically }, .fails = "data race");

static union {
	volatile uint32_t word;
	volatile uint8_t bytes[4];
} parts;

static void write_word(void)
{
	parts.word = 0x01010101;
}

static void read_byte(void)
{
	r1 = parts.bytes[1];
}

SCENARIO(self_parts, "a byte races with its word", .setup = zero, .run = { write_word, read_byte },
	 .fails = "data race");

static _Atomic(uint32_t *) lent;

static void lend(void)
{
	uint32_t own = 1;

	at_store_release(&lent, &own);
	*(volatile uint32_t *)&own = 2;
	spin_until_set();
}

static void borrow(void)
{
	uint32_t *p = at_load_acquire(&lent);

	if (p)
		*(volatile uint32_t *)p = 3;
	at_store_release(&word, 1u);
}

static void zero_lent(void)
{
	zero();
	at_store(&lent, NULL);
}

SCENARIO(self_stack, "stacks are memory, too", .setup = zero_lent, .run = { lend, borrow },
	 .fails = "data race");
