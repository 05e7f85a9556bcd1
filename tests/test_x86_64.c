/* SPDX-License-Identifier: MIT */
/*
 * The x86_64 port on a host: entries, and shootdowns with threads that play CPUs.
 *
 *     CPU (thread)   root, TLB of a few pages, key register, an interrupt that is pending
 *     space          one page of entries, found by the root
 *
 * The property: when port_flush has returned nobody writes through an entry that was replaced
 * before. What it costs: who is interrupted, and what is dropped.
 */
#include "x86.h"

#include "space/mm.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <time.h>

#define CPUS 4
#define SPACES 2
#define PAGES 8
#define KERNEL 0x1000ull
#define ROOT(space) (0x2000ull + (space)*0x1000)
#define BASE 0x400000ull
#define STRESS_NS 1000000000ull
#define STANDSTILL_NS 60000000000ull /* by then it will never be enough */

struct cpu {
	struct quire_x86_cpu block;
	uint64_t root;
	int tlb[PAGES]; /* a frame; -1: nothing */
	_Atomic uint32_t interrupt;
	uint64_t taken, reloads, dropped; /* interrupts, whole drops, pages */
	uint32_t random;
};

static struct cpu cpus[CPUS];
static _Thread_local struct cpu *self;
static _Atomic int slots[SPACES][PAGES];	       /* the entries: frames */
static _Atomic uint64_t frames[SPACES * PAGES + CPUS]; /* what was written there */
static struct quire_mm spaces[SPACES];
static _Alignas(4096) unsigned char memory[(2 + SPACES) << PAGE_SHIFT];
static uint64_t cr4, efer;
static uint32_t keys;
static _Atomic uint64_t sent;

/* --- what the port is made of */

unsigned x86_cpu_index(void)
{
	return self->block.index;
}

uint64_t x86_root(void)
{
	return self->root;
}

static unsigned any(unsigned below)
{
	self->random ^= self->random << 13;
	self->random ^= self->random >> 17;
	self->random ^= self->random << 5;
	return self->random % below;
}

static void walk(unsigned page)
{
	if (self->root != KERNEL)
		self->tlb[page] = at_load(&slots[(self->root - ROOT(0)) >> PAGE_SHIFT][page]);
}

/*
 * Until the very instruction the CPU uses what it has, and it begins to walk as soon as it is over,
 * without being asked.
 */
void x86_load_root(uint64_t root)
{
	if (any(4) == 0)
		sched_yield();
	for (unsigned i = 0; i < PAGES; i++)
		if (self->tlb[i] >= 0)
			at_store(&frames[self->tlb[i]], 1ull);
	self->root = root;
	self->reloads++;
	for (unsigned i = 0; i < PAGES; i++)
		self->tlb[i] = -1;
	walk(any(PAGES));
	if (any(4) == 0)
		sched_yield();
}

void x86_drop_page(uint64_t address)
{
	uint64_t page = (address - BASE) >> PAGE_SHIFT;

	self->dropped++;
	if (page < PAGES)
		self->tlb[page] = -1;
}

uint64_t x86_cr4(void)
{
	return cr4;
}

uint64_t x86_efer(void)
{
	return efer;
}

uint32_t x86_key_register(void)
{
	return keys;
}

bool x86_interrupts_enabled(void)
{
	return true;
}

static void look_for_interrupt(void)
{
	if (at_load(&self->interrupt) != 0 && at_xchg(&self->interrupt, 0u) != 0) {
		self->taken++;
		quire_x86_flush_interrupt();
	}
}

void x86_pause(void)
{
	look_for_interrupt();
	sched_yield();
}

void quire_x86_send(unsigned cpu)
{
	at_add(&sent, 1ull);
	at_xchg(&cpus[cpu].interrupt, 1u);
}

void quire_x86_wait(uint32_t *word, uint32_t seen)
{
	(void)word, (void)seen;
}

void quire_x86_wake(uint32_t *word)
{
	(void)word;
}

uint64_t quire_x86_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

_Noreturn void quire_x86_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void play(unsigned cpu)
{
	self = &cpus[cpu];
}

static int fresh(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	x86_machine = (struct x86_machine){ (uint64_t)memory, KERNEL, true };
	memset(memory + KERNEL, 0x5a, PAGE_SIZE);
	memset(cpus, 0, sizeof(cpus));
	for (unsigned i = 0; i < CPUS; i++) {
		play(i);
		quire_x86_cpu_init(&cpus[i].block, i);
		cpus[i].random = i + 1;
		x86_load_root(KERNEL);
		cpus[i].reloads = 0;
	}
	for (unsigned i = 0; i < SPACES; i++)
		assert_int_equal(port_space_init(&spaces[i].tables.port, ROOT(i) >> PAGE_SHIFT, 4),
				 0);
	at_store(&sent, 0ull);
	play(0);
	return 0;
}

/* --- entries */

static void entry_gives_back(pte e, uint64_t pfn, unsigned rights, unsigned key)
{
	assert_true(pte_is_mapped(e) && !pte_is_busy(e) && !pte_is_table(e) && !pte_is_huge(e));
	assert_int_equal(pte_pfn(e), pfn);
	assert_int_equal(pte_rights(e), rights);
	assert_int_equal(pte_key(e), key);
	/* What the CPU makes of it. It can't refuse reading where it allows anything else. */
	assert_int_equal((e & X86_PRESENT) != 0, rights != 0);
	assert_int_equal((e & X86_WRITE) != 0, (rights & RIGHT_WRITE) != 0);
	assert_int_equal((e & X86_NX) == 0, (rights & RIGHT_EXEC) != 0);
	assert_true((e & X86_PRESENT) == 0 || (e & X86_USER) != 0);
}

static void entries(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 0x12345, (1ull << 40) - 1 };

	(void)state;
	for (unsigned n = 0; n < 4; n++)
		for (unsigned rights = 0; rights < 8; rights++)
			for (unsigned key = 0; key < 16; key++) {
				pte e = pte_make(numbers[n], rights, key);

				entry_gives_back(e, numbers[n], rights, key);
				assert_false(pte_is_accessed(e) || pte_is_dirty(e) ||
					     pte_is_special(e));
				e = pte_special(pte_accessed(e));
				entry_gives_back(e, numbers[n], rights, key);
				assert_true(pte_is_accessed(e) && pte_is_special(e));
				assert_false(pte_is_dirty(e));
				e = pte_dirty(e);
				entry_gives_back(e, numbers[n], rights, key);
				assert_true(pte_is_accessed(e) && pte_is_special(e) &&
					    pte_is_dirty(e));
				e = pte_change(e, RIGHT_READ, 3);
				entry_gives_back(e, numbers[n], RIGHT_READ, 3);
				assert_true(pte_is_accessed(e) && pte_is_special(e) &&
					    pte_is_dirty(e));
			}
}

static void other_entries(void **state)
{
	const uint64_t last = (1ull << 40) - 1;

	(void)state;
	assert_true(pte_is_table(pte_table(last)) && pte_pfn(pte_table(last)) == last);
	assert_false(pte_is_mapped(pte_table(5)) || pte_is_busy(pte_table(5)) ||
		     pte_is_huge(pte_table(5)));
	assert_int_equal(pte_table(0) & (X86_PRESENT | X86_WRITE | X86_USER | X86_NX),
			 X86_PRESENT | X86_WRITE | X86_USER);
	for (uint64_t cookie = 0; cookie <= last; cookie += last) {
		assert_true(pte_is_busy(pte_busy(cookie)));
		assert_false(pte_is_mapped(pte_busy(cookie)) || pte_is_table(pte_busy(cookie)));
		assert_int_equal(pte_busy(cookie) & X86_PRESENT, 0);
	}
	assert_true(pte_busy(0) != pte_busy(last) && pte_busy(0) != PTE_NONE);
	assert_false(pte_is_mapped(PTE_NONE) || pte_is_table(PTE_NONE) || pte_is_busy(PTE_NONE));
	assert_true(pte_is_huge(pte_make(512, RIGHT_READ, 0) | X86_HUGE));
}

static void key_register(void **state)
{
	(void)state;
	keys = 1u << 2 * 3 | 2u << 2 * 15;
	assert_true(port_key_allows(0, true) && port_key_allows(0, false));
	assert_false(port_key_allows(3, true) || port_key_allows(3, false));
	assert_true(port_key_allows(15, false) && !port_key_allows(15, true));
	x86_machine.keys = false;
	assert_true(port_key_allows(3, true));
	keys = 0;
}

static void start(void **state)
{
	struct quire_x86_config config = { 0xffff800000000000, KERNEL, CPUS };

	(void)state;
	cr4 = 0, efer = 1u << 11;
	assert_int_equal(quire_x86_init(&config), 4);
	assert_false(x86_machine.keys);
	cr4 = 1u << 12 | 1u << 22;
	assert_int_equal(quire_x86_init(&config), 5);
	assert_true(x86_machine.keys);
	efer = 0;
	assert_int_equal(quire_x86_init(&config), -QUIRE_ENODEV);
	efer = 1u << 11;
	config.direct_map = 0x7fff00000000;
	assert_int_equal(quire_x86_init(&config), -QUIRE_EINVAL);
	config.direct_map = 0xff00000000000000;
	assert_int_equal(quire_x86_init(&config), 5);
	cr4 = 0;
	assert_int_equal(quire_x86_init(&config), -QUIRE_EINVAL);
	config.direct_map = 0xffff800000000001;
	assert_int_equal(quire_x86_init(&config), -QUIRE_EINVAL);
	config.direct_map = 0xffff800000000000, config.kernel_root = 7;
	assert_int_equal(quire_x86_init(&config), -QUIRE_EINVAL);
	config.kernel_root = KERNEL, config.cpus = MAX_CPUS + 1;
	assert_int_equal(quire_x86_init(&config), -QUIRE_EINVAL);
}

/* --- who is asked, and what is dropped */

static struct port_space *port(unsigned space)
{
	return &spaces[space].tables.port;
}

static void the_kernel_is_in_every_root(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SPACES; i++) {
		assert_memory_equal(memory + ROOT(i) + 2048, memory + KERNEL + 2048, 2048);
		for (unsigned byte = 0; byte < 2048; byte++)
			assert_int_equal(memory[ROOT(i) + byte], 0);
		port_space_exit(port(i));
	}
}

/* [pages] of space 0 on CPU 0: so many pages dropped singly, so many times everything. */
static void drops(uint64_t pages, bool tables, uint64_t singly, uint64_t whole)
{
	cpus[0].dropped = cpus[0].reloads = 0;
	port_flush(port(0), BASE, BASE + pages * PAGE_SIZE, tables);
	assert_int_equal(cpus[0].dropped, singly);
	assert_int_equal(cpus[0].reloads, whole);
}

static void own_flush(void **state)
{
	(void)state;
	drops(1, true, 0, 0);
	quire_x86_switch(&spaces[0]);
	assert_int_equal(cpus[0].root, ROOT(0));
	drops(1, false, 1, 0);
	drops(1, true, 1, 0);
	drops(32, false, 32, 0);
	drops(33, false, 0, 1);
	drops(0, true, 0, 1);
	cpus[0].reloads = 0;
	quire_x86_switch(&spaces[0]);
	assert_int_equal(cpus[0].reloads, 0);
	quire_x86_switch(NULL);
	assert_int_equal(cpus[0].root, KERNEL);
	drops(33, true, 0, 0);
	port_space_exit(port(0));
	assert_int_equal(at_load(&sent), 0);
}

/* Idle, in another space, or gone: no interrupt. Flushes return at once, as nobody plays them. */
static void only_who_runs_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		play(i);
		quire_x86_switch(&spaces[i == 2]);
	}
	play(1);
	quire_x86_switch(NULL);
	play(0);
	port_flush(port(0), BASE, BASE + PAGE_SIZE, true);
	play(2);
	port_flush(port(1), BASE, BASE + PAGE_SIZE, true);
	quire_x86_switch(&spaces[0]);
	quire_x86_switch(NULL);
	play(3);
	port_flush(port(1), BASE, BASE + PAGE_SIZE, true);
	port_space_exit(port(1));
	assert_int_equal(at_load(&sent), 0);
}

/* --- with threads */

static int spare[CPUS]; /* each CPU's own */
static _Atomic uint32_t over, wrong;
static _Atomic uint64_t edits, writes;
static uint64_t end_of_stress;

static bool enough(void)
{
	return at_load(&edits) > 1000 && at_load(&writes) > 1000;
}

/* A program's store: translated by the TLB or by a walk from the root, and no interrupt between. */
static void store(unsigned page)
{
	look_for_interrupt();
	if (self->root == KERNEL)
		return;
	if (self->tlb[page] < 0)
		walk(page);
	at_store(&frames[self->tlb[page]], 1ull);
	at_add(&writes, 1ull);
}

/* Replace an entry; what was there is ours when the flush is over. */
static void edit(unsigned space, unsigned page, bool tables)
{
	uint64_t mark = 1000 + self->block.index;
	uint64_t at = BASE + page * PAGE_SIZE;
	int old = at_xchg(&slots[space][page], spare[self->block.index]);

	if (tables)
		port_flush(port(space), at, at, true);
	else
		port_flush(port(space), at, at + PAGE_SIZE, false);
	at_store(&frames[old], mark);
	for (unsigned turn = any(50); turn > 0; turn--)
		x86_pause();
	if (at_load(&frames[old]) != mark)
		at_add(&wrong, 1u);
	spare[self->block.index] = old;
	at_add(&edits, 1ull);
}

static void *live(void *p)
{
	self = p;
	/* Until the time is up; on a busy machine longer, but not for ever. */
	while (quire_x86_clock() < end_of_stress + (enough() ? 0 : STANDSTILL_NS)) {
		switch (any(16)) {
		case 0:
			quire_x86_switch(any(3) == 0 ? NULL : &spaces[any(SPACES)]);
			break;
		case 1:
			edit(any(SPACES), any(PAGES), any(4) == 0);
			break;
		case 2:
			x86_pause();
			break;
		default:
			store(any(PAGES));
		}
	}
	/* Others may still wait for us. */
	for (at_add(&over, 1u); at_load(&over) < CPUS;)
		x86_pause();
	quire_x86_switch(NULL);
	return NULL;
}

static void no_write_after_flush(void **state)
{
	pthread_t threads[CPUS];

	(void)state;
	for (int i = 0; i < SPACES * PAGES; i++)
		at_store(&slots[i / PAGES][i % PAGES], i);
	for (int i = 0; i < CPUS; i++)
		spare[i] = SPACES * PAGES + i;
	end_of_stress = quire_x86_clock() + STRESS_NS;
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, live, &cpus[i]), 0);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < SPACES; i++)
		port_space_exit(port(i));
	assert_int_equal(at_load(&wrong), 0);
	assert_true(enough());
	print_message("# %llu edits, %llu interrupts, %llu stores\n",
		      (unsigned long long)at_load(&edits), (unsigned long long)at_load(&sent),
		      (unsigned long long)at_load(&writes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(entries, fresh),
		cmocka_unit_test_setup(other_entries, fresh),
		cmocka_unit_test_setup(key_register, fresh),
		cmocka_unit_test_setup(start, fresh),
		cmocka_unit_test_setup(the_kernel_is_in_every_root, fresh),
		cmocka_unit_test_setup(own_flush, fresh),
		cmocka_unit_test_setup(only_who_runs_it, fresh),
		cmocka_unit_test_setup(no_write_after_flush, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
