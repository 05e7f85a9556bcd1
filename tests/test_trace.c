/* SPDX-License-Identifier: MIT */
/* Sums, names, and the rings of events: at rest, over their size, and while their owner writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "trace/trace.h"

#define CPUS 3
#define RING 256

static void *memory;

static int setup(void **state)
{
	size_t size = trace_memory(CPUS);

	(void)state;
	if (size % 128 != 0)
		return -1;
	memory = aligned_alloc(128, size);
	if (!memory)
		return -1;
	memset(memory, 0xff, size);
	trace_init(memory, CPUS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	soft_cpu_index = 0;
	free(memory);
	return 0;
}

/* Never looked into. */
static struct quire_mm *mm_number(uintptr_t n)
{
	return (struct quire_mm *)(n * 64);
}

static void test_events(void **state)
{
	struct quire_event events[4];
	uint64_t before = port_clock(), after;

	(void)state;
	for (unsigned cpu = 0; cpu <= CPUS; cpu++)
		assert_int_equal(quire_events(cpu, events, 4), 0);
	soft_cpu_index = 2;
	trace_event(mm_number(5), 0x7000, QUIRE_CLASSIC_NO_VMA);
	trace_event(NULL, 1, QUIRE_COUNTER_COUNT);
	after = port_clock();
	assert_int_equal(quire_events(0, events, 4), 0);
	assert_int_equal(quire_events(1, events, 4), 0);
	assert_int_equal(quire_events(2, events, 4), 2);
	assert_ptr_equal(events[0].mm, mm_number(5));
	assert_int_equal(events[0].address, 0x7000);
	assert_int_equal(events[0].counter, QUIRE_CLASSIC_NO_VMA);
	assert_int_equal(events[0].cpu, 2);
	assert_true(before <= events[0].time && events[0].time <= events[1].time);
	assert_true(events[1].time <= after);
	assert_null(events[1].mm);
	assert_int_equal(events[1].address, 1);
	assert_int_equal(events[1].counter, QUIRE_COUNTER_COUNT);
	assert_int_equal(events[1].sequence, events[0].sequence + 1);

	/* Fewer than there are: the last ones. */
	assert_int_equal(quire_events(2, events + 2, 1), 1);
	assert_int_equal(events[2].sequence, events[1].sequence);
	assert_int_equal(quire_events(2, NULL, 0), 0);
}

static void test_ring_wraps(void **state)
{
	struct quire_event events[2 * RING];

	(void)state;
	soft_cpu_index = 1;
	for (uint64_t i = 1; i <= 5 * RING + 17; i++) {
		size_t expected = i < RING ? i : RING;

		trace_event(mm_number(1), i, QUIRE_OOMS);
		assert_int_equal(quire_events(1, events, 2 * RING), expected);
		for (size_t k = 0; k < expected; k++) {
			assert_int_equal(events[k].address, i - expected + 1 + k);
			assert_int_equal(events[k].sequence, i - expected + 1 + k);
		}
	}
}

static _Atomic bool stop;
static _Atomic uint64_t written;

/* Each event says the same number in all that it says. */
static void *owner(void *argument)
{
	(void)argument;
	soft_cpu_index = 1;
	for (uint64_t i = 1; !at_load(&stop); i++) {
		trace_event(mm_number(i), i << 12, (unsigned)(i % QUIRE_COUNTER_COUNT));
		at_store(&written, i);
	}
	return NULL;
}

static void test_reading_while_written(void **state)
{
	struct quire_event events[RING];
	uint64_t since = port_clock(), read = 0, last = 0;
	pthread_t thread;

	(void)state;
	at_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, owner, NULL), 0);
	/* A minute without enough to read: the owner does not write. */
	while (port_clock() - since < (read > 1000 ? 700000000ull : 60000000000ull)) {
		size_t count = quire_events(1, events, RING);
		uint32_t previous = 0;

		assert_true(count <= RING);
		for (size_t k = 0; k < count; k++) {
			uint64_t i = events[k].address >> 12;

			assert_int_equal(events[k].sequence, (uint32_t)i);
			assert_ptr_equal(events[k].mm, mm_number((uintptr_t)i));
			assert_int_equal(events[k].counter, i % QUIRE_COUNTER_COUNT);
			assert_true(events[k].sequence > previous);
			previous = events[k].sequence;
		}
		read += count;
		last = count ? events[count - 1].sequence : last;
	}
	at_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(read > 1000 && last <= at_load(&written) + 1);
}

static void test_sum(void **state)
{
	static struct trace_block blocks[2];
	struct quire_stats stats = { .tables = 7 };

	(void)state;
	at_store(&blocks[0].anonymous, 5);
	at_store(&blocks[1].anonymous, -3);
	for (unsigned i = 0; i < 3; i++)
		trace_count(&blocks[0].counters[QUIRE_FLUSHES]);
	trace_count(&blocks[1].counters[QUIRE_FLUSHES]);
	trace_count(&blocks[1].counters[QUIRE_TABLES_FREED]);
	trace_count(&blocks[0].faults[QUIRE_PATH_SPECULATIVE][QUIRE_KIND_ZERO_READ]);
	trace_count(&blocks[1].faults[QUIRE_PATH_CLASSIC][QUIRE_KIND_VERDICT]);
	trace_sum(&stats, &blocks[1]);
	assert_int_equal((int64_t)stats.anonymous, -3);
	trace_sum(&stats, &blocks[0]);
	assert_int_equal(stats.anonymous, 2);
	assert_int_equal(stats.counters[QUIRE_FLUSHES], 4);
	assert_int_equal(stats.counters[QUIRE_TABLES_FREED], 1);
	assert_int_equal(stats.counters[QUIRE_RETRY_VMA], 0);
	assert_int_equal(stats.faults[QUIRE_PATH_SPECULATIVE][QUIRE_KIND_ZERO_READ], 1);
	assert_int_equal(stats.faults[QUIRE_PATH_CLASSIC][QUIRE_KIND_VERDICT], 1);
	assert_int_equal(stats.tables, 7);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(quire_path_name(QUIRE_PATH_SPECULATIVE), "speculative");
	assert_string_equal(quire_path_name(QUIRE_PATH_CLASSIC), "classic");
	assert_null(quire_path_name(QUIRE_PATH_COUNT));
	assert_string_equal(quire_kind_name(QUIRE_KIND_ZERO_READ), "zero_read");
	assert_string_equal(quire_kind_name(QUIRE_KIND_VERDICT), "verdict");
	assert_null(quire_kind_name(QUIRE_KIND_COUNT));
	assert_string_equal(quire_counter_name(QUIRE_RETRY_VMA), "vma_changed");
	assert_string_equal(quire_counter_name(QUIRE_CLASSIC_OFF), "speculation_off");
	assert_string_equal(quire_counter_name(QUIRE_LEAF_CONTENDED), "leaf_contended");
	assert_string_equal(quire_counter_name(QUIRE_TABLES_FREED), "tables_freed");
	assert_null(quire_counter_name(QUIRE_COUNTER_COUNT));
	for (unsigned a = 0; a < QUIRE_COUNTER_COUNT; a++)
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(quire_counter_name((enum quire_counter)a),
						quire_counter_name((enum quire_counter)b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reading_while_written, setup, teardown),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
