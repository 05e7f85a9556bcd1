/* SPDX-License-Identifier: MIT */
/* The soft port with the core behind it: start, virtual CPUs, verdicts, pages that change hands. */
#include "port.h"
#include <quire/soft.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

#define RW (QUIRE_PROT_READ | QUIRE_PROT_WRITE)
#define ANONYMOUS (QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS)
#define STRESS_NS 1500000000ull
#define STANDSTILL_NS 60000000000ull /* by then it will never be enough */

static struct quire_soft_cpu *cpu;
static struct quire_mm *mm;

static int start(unsigned levels)
{
	struct quire_soft_config config = {
		.cpus = 4, .memory = 32 << 20, .nodes = 2, .levels = levels
	};
	int error = quire_soft_init(&config);

	if (error != 0)
		return error;
	cpu = quire_soft_attach(0);
	quire_soft_enter(cpu);
	error = quire_mm_create(NULL, &mm);
	quire_soft_switch(cpu, mm);
	return error;
}

static int setup(void **state)
{
	(void)state;
	return start(0);
}

static int teardown(void **state)
{
	(void)state;
	const char *broken = quire_validate(NULL);

	if (broken != NULL)
		print_error("%s\n", broken);
	quire_soft_switch(cpu, NULL);
	quire_mm_destroy(mm);
	quire_soft_leave(cpu);
	quire_soft_detach(cpu);
	return quire_soft_exit() != 0 || broken != NULL;
}

static uint64_t map(uint64_t pages, int prot)
{
	int64_t address = quire_mmap(mm, 0, pages * PAGE_SIZE, prot, ANONYMOUS);

	assert_true(address > 0);
	return (uint64_t)address;
}

static int init(unsigned cpus, uint64_t memory, unsigned nodes, unsigned levels)
{
	return quire_soft_init(&(struct quire_soft_config){
		.cpus = cpus, .memory = memory, .nodes = nodes, .levels = levels });
}

static void starting(void **state)
{
	(void)state;
	assert_int_equal(init(0, 8 << 20, 1, 4), -QUIRE_EINVAL);
	assert_int_equal(init(257, 8 << 20, 1, 4), -QUIRE_EINVAL);
	assert_int_equal(init(1, 8 << 20, 9, 4), -QUIRE_EINVAL);
	assert_int_equal(init(1, 8 << 20, 1, 3), -QUIRE_EINVAL);
	assert_int_equal(init(1, 8 << 20, 1, 6), -QUIRE_EINVAL);
	assert_int_equal(init(1, 0, 1, 4), -QUIRE_ENOMEM);
	assert_int_equal(init(1, 4096, 1, 4), -QUIRE_ENOMEM);
	assert_int_equal(init(1, UINT64_MAX, 1, 4), -QUIRE_ENOMEM);
	assert_int_equal(init(1, 1ull << 50, 1, 4), -QUIRE_ENOMEM);
	assert_null(quire_soft_attach(0));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(init(256, 64 << 20, 8, 5), 0);
		assert_int_equal(init(1, 8 << 20, 1, 4), -QUIRE_EBUSY);
		assert_int_equal(quire_soft_exit(), 0);
	}
}

/* From another thread: CPU 0 is taken, CPU 3 is not. */
static void *attach_other(void *argument)
{
	bool *right = argument;
	struct quire_soft_cpu *other = quire_soft_attach(0);

	*right = other == NULL && quire_soft_self() == NULL;
	other = quire_soft_attach(3);
	*right = *right && other != NULL && other->index == 3 && quire_soft_self() == other;
	quire_soft_detach(other);
	return NULL;
}

static void attaching(void **state)
{
	pthread_t thread;
	bool right = false;

	(void)state;
	assert_int_equal(init(4, 32 << 20, 2, 0), 0);
	assert_null(quire_soft_attach(4));
	struct quire_soft_cpu *mine = quire_soft_attach(0);

	assert_non_null(mine);
	assert_ptr_equal(quire_soft_self(), mine);
	assert_null(quire_soft_attach(1));
	assert_int_equal(port_cpu_node(1), 0);
	assert_int_equal(port_cpu_node(2), 1);
	pthread_create(&thread, NULL, attach_other, &right);
	pthread_join(thread, NULL);
	assert_true(right);
	assert_int_equal(quire_soft_exit(), -QUIRE_EBUSY);
	quire_soft_detach(mine);
	assert_null(quire_soft_self());
	assert_int_equal(quire_soft_exit(), 0);
}

static void refused(uint64_t address, bool done, enum quire_verdict verdict)
{
	assert_false(done);
	assert_int_equal(cpu->verdict, verdict);
	assert_int_equal(cpu->fault_address, address);
}

static void verdicts(void **state)
{
	uint64_t base = map(2, RW), v = 0;

	(void)state;
	assert_int_equal(quire_munmap(mm, base + PAGE_SIZE, PAGE_SIZE), 0);
	assert_true(quire_soft_load(cpu, base + 8, 8, &v));
	assert_int_equal(v, 0);
	assert_true(quire_soft_store(cpu, base + 8, 8, 0x1234));
	assert_true(quire_soft_load(cpu, base + 8, 8, &v));
	assert_int_equal(v, 0x1234);
	refused(base + PAGE_SIZE, quire_soft_load(cpu, base + PAGE_SIZE, 4, &v),
		QUIRE_FAULT_MAPERR);
	refused(1ull << 48, quire_soft_load(cpu, 1ull << 48, 4, &v), QUIRE_FAULT_MAPERR);
	refused(UINT64_MAX - 7, quire_soft_store(cpu, UINT64_MAX - 7, 8, 1), QUIRE_FAULT_MAPERR);
	refused(base, quire_soft_translate(cpu, base, QUIRE_EXEC) != NULL, QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, base, PAGE_SIZE, QUIRE_PROT_READ), 0);
	refused(base + 8, quire_soft_store(cpu, base + 8, 8, 1), QUIRE_FAULT_ACCERR);
	assert_true(quire_soft_load(cpu, base + 8, 8, &v));
	assert_int_equal(v, 0x1234);
	assert_int_equal(quire_mprotect(mm, base, PAGE_SIZE, QUIRE_PROT_NONE), 0);
	refused(base + 8, quire_soft_load(cpu, base + 8, 8, &v), QUIRE_FAULT_ACCERR);
	assert_int_equal(quire_mprotect(mm, base, PAGE_SIZE, RW | QUIRE_PROT_EXEC), 0);
	assert_non_null(quire_soft_translate(cpu, base, QUIRE_EXEC));
	assert_true(quire_soft_load(cpu, base + 8, 8, &v));
	assert_int_equal(v, 0x1234);
	quire_soft_switch(cpu, NULL);
	refused(base, quire_soft_load(cpu, base, 8, &v), QUIRE_FAULT_MAPERR);
}

static void keys(void **state)
{
	uint64_t base = map(1, RW), v;
	int key = quire_pkey_alloc(mm);

	(void)state;
	assert_true(key > 0);
	assert_int_equal(quire_pkey_mprotect(mm, base, PAGE_SIZE, RW, key), 0);
	assert_true(quire_soft_store(cpu, base, 8, 5));
	quire_soft_keys(cpu, 2u << 2 * key);
	assert_true(quire_soft_load(cpu, base, 8, &v));
	refused(base, quire_soft_store(cpu, base, 8, 6), QUIRE_FAULT_PKUERR);
	quire_soft_keys(cpu, 1u << 2 * key);
	refused(base, quire_soft_load(cpu, base, 8, &v), QUIRE_FAULT_PKUERR);
	quire_soft_keys(cpu, 0);
	assert_true(quire_soft_load(cpu, base, 8, &v));
	assert_int_equal(v, 5);
}

/* Blocks stop where the mapping does, and say how far they came. */
static void blocks(void **state)
{
	static char text[3 * 4096], back[3 * 4096];
	uint64_t base = map(3, RW);

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 + i / 256);
	assert_int_equal(quire_munmap(mm, base + 2 * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(quire_soft_write(cpu, base + 3, text, sizeof(text)), 2 * PAGE_SIZE - 3);
	assert_int_equal(cpu->verdict, QUIRE_FAULT_MAPERR);
	assert_int_equal(cpu->fault_address, base + 2 * PAGE_SIZE);
	assert_int_equal(quire_soft_read(cpu, base + 3, back, sizeof(back)), 2 * PAGE_SIZE - 3);
	assert_memory_equal(back, text, 2 * PAGE_SIZE - 3);
	assert_int_equal(quire_soft_read(cpu, base + 2 * PAGE_SIZE, back, 1), 0);
	assert_int_equal(quire_soft_read(cpu, 0, back, 0), 0);
}

/* Addresses that only five levels reach. */
static void five_levels(void **state)
{
	const uint64_t high = 0x00ff123456789000;
	uint64_t v;

	(void)state;
	assert_int_equal(start(5), 0);
	assert_int_equal(quire_mmap(mm, high, PAGE_SIZE, RW, ANONYMOUS | QUIRE_MAP_FIXED), high);
	assert_true(quire_soft_store(cpu, high + 40, 4, 77));
	assert_true(quire_soft_load(cpu, high + 40, 4, &v));
	assert_int_equal(v, 77);
	refused(high ^ 1ull << 50, quire_soft_load(cpu, high ^ 1ull << 50, 4, &v),
		QUIRE_FAULT_MAPERR);
	assert_int_equal(teardown(NULL), 0);
}

/*
 * Pages that change hands. Two CPUs store, several times between two safepoints, to a page that a
 * third maps and unmaps without end; that one and a fourth map pages of their own, which get the
 * frames that were just freed, and look whether anybody else writes to them.
 */
#define SHARED 0x10000000

static _Atomic uint32_t done;
static _Atomic uint64_t wrong, stores;

static void *storing(void *argument)
{
	struct quire_soft_cpu *me = quire_soft_attach(*(unsigned *)argument);
	uint64_t count = 0;

	quire_soft_enter(me);
	quire_soft_switch(me, mm);
	while (at_load(&done) == 0) {
		uint64_t *p = quire_soft_translate(me, SHARED, QUIRE_WRITE);

		for (unsigned i = 0; p != NULL && i < 50; i++)
			__atomic_store_n(&p[i], 0xbad, __ATOMIC_RELAXED);
		if (p != NULL) {
			at_add(&stores, 1ull);
			count++;
		}
		quire_soft_safepoint(me);
		if (count % 512 == 0) {
			quire_soft_leave(me);
			sched_yield();
			quire_soft_enter(me);
		}
	}
	quire_soft_leave(me);
	quire_soft_detach(me);
	return NULL;
}

/* A page of this CPU's own, in a frame of somebody else's before. */
static void look(struct quire_soft_cpu *me)
{
	int64_t own = quire_mmap(mm, 0, PAGE_SIZE, RW, ANONYMOUS);
	volatile uint64_t *p = quire_soft_translate(me, (uint64_t)own, QUIRE_WRITE);

	if (p == NULL) {
		at_add(&wrong, 1ull);
		return;
	}
	for (unsigned i = 0; i < 50; i++) {
		if (p[i] != 0)
			at_add(&wrong, 1ull);
		p[i] = i + 1;
	}
	for (unsigned i = 0; i < 50; i++)
		if (p[i] != i + 1)
			at_add(&wrong, 1ull);
	if (quire_munmap(mm, (uint64_t)own, PAGE_SIZE) != 0)
		at_add(&wrong, 1ull);
}

static void *looking(void *argument)
{
	struct quire_soft_cpu *me = quire_soft_attach(*(unsigned *)argument);

	quire_soft_enter(me);
	quire_soft_switch(me, mm);
	while (at_load(&done) == 0)
		look(me);
	quire_soft_leave(me);
	quire_soft_detach(me);
	return NULL;
}

static void pages_change_hands(void **state)
{
	unsigned index[] = { 1, 2, 3 };
	uint64_t since = port_clock();
	pthread_t threads[3];

	(void)state;
	at_store(&done, 0u);
	at_store(&wrong, 0ull);
	at_store(&stores, 0ull);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, i < 2 ? storing : looking, &index[i]);
	while (port_clock() - since < (at_load(&stores) > 100 ? STRESS_NS : STANDSTILL_NS)) {
		assert_int_equal(quire_mmap(mm, SHARED, PAGE_SIZE, RW,
					    ANONYMOUS | QUIRE_MAP_FIXED_NOREPLACE),
				 SHARED);
		for (unsigned turn = 0; turn < 100; turn++)
			port_pause(turn);
		assert_int_equal(quire_munmap(mm, SHARED, PAGE_SIZE), 0);
		look(cpu);
	}
	at_store(&done, 1u);
	quire_soft_leave(cpu);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	quire_soft_enter(cpu);
	assert_int_equal(at_load(&wrong), 0);
	assert_true(at_load(&stores) > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starting),
		cmocka_unit_test(attaching),
		cmocka_unit_test_setup_teardown(verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(keys, setup, teardown),
		cmocka_unit_test_setup_teardown(blocks, setup, teardown),
		cmocka_unit_test(five_levels),
		cmocka_unit_test_setup_teardown(pages_change_hands, setup, teardown),
	};

	return cmocka_run_group_tests_name("soft_space", tests, NULL, NULL);
}
