/* SPDX-License-Identifier: MIT */
/* Grace periods: nothing is freed under a reader, all is freed in the end, a stalled CPU is named.
 */
#include "threads.h"
#include "trace/trace.h"

#define LONG (60000 * MILLISECOND) /* by then it will never be */

struct item {
	struct deferred deferred;
	unsigned number;
};

static struct item items[1000];
static _Atomic uint32_t freed, out_of_order, stage, leave;
static unsigned last_freed;

static void start(unsigned cpus, uint64_t stall_ns)
{
	cpus_start(cpus, stall_ns);
	at_store(&freed, 0u);
	at_store(&out_of_order, 0u);
	at_store(&stage, 0u);
	at_store(&leave, 0u);
	last_freed = 0;
	for (unsigned i = 0; i < 1000; i++)
		items[i].number = i + 1;
}

static void note_freed(struct deferred *d)
{
	struct item *item = container_of(d, struct item, deferred);

	if (item->number != last_freed + 1)
		at_add(&out_of_order, 1u);
	last_freed = item->number;
	thread_check(!section_inside());
	at_add(&freed, 1u);
}

static void test_nesting(void **state)
{
	(void)state;
	start(2, 0);
	assert_false(grace_is_online());
	grace_online();
	grace_online();
	assert_false(section_inside());
	section_enter();
	section_enter();
	section_leave();
	assert_true(section_inside());
	section_leave();
	assert_false(section_inside());
	grace_offline();
	assert_true(grace_is_online());
	grace_offline();
	assert_false(grace_is_online());
	assert_int_equal(at_load(&grace_cpus[0].seen), 0);

	/* Around a sleep: all levels at once, and back. */
	assert_int_equal(grace_suspend(), 0);
	grace_resume(0);
	assert_false(grace_is_online());
	grace_online();
	grace_online();
	assert_int_equal(grace_suspend(), 2);
	assert_false(grace_is_online());
	assert_int_equal(at_load(&grace_cpus[0].seen), 0);
	grace_resume(2);
	grace_offline();
	assert_true(grace_is_online());
	grace_offline();
	assert_false(grace_is_online());
	cpus_stop();
}

static void offline_too_often(void)
{
	grace_online();
	grace_offline();
	grace_offline();
}

#ifdef QUIRE_DEBUG

static void section_offline(void)
{
	section_enter();
}

static void offline_in_section(void)
{
	grace_online();
	section_enter();
	grace_offline();
}

static void poll_in_section(void)
{
	grace_online();
	section_enter();
	grace_poll();
}

static void barrier_in_section(void)
{
	grace_online();
	section_enter();
	grace_barrier(1);
}

static void barrier_offline(void)
{
	grace_barrier(1);
}

static void leave_without(void)
{
	grace_online();
	section_leave();
}

#endif

static void test_misuse_panics(void **state)
{
	(void)state;
	start(1, 0);
	assert_true(panics(offline_too_often));
#ifdef QUIRE_DEBUG
	assert_true(panics(section_offline));
	assert_true(panics(offline_in_section));
	assert_true(panics(poll_in_section));
	assert_true(panics(barrier_in_section));
	assert_true(panics(barrier_offline));
	assert_true(panics(leave_without));
#endif
	cpus_stop();
}

static void test_batches(void **state)
{
	(void)state;
	start(1, 0);
	grace_online();
	/* Less than a batch: nothing happens until somebody asks. */
	for (unsigned i = 0; i < GRACE_BATCH - 1; i++)
		grace_defer(&items[i].deferred, note_freed);
	for (unsigned i = 0; i < 10; i++)
		grace_poll();
	assert_int_equal(at_load(&freed), 0);
	assert_int_equal(grace_pending(), GRACE_BATCH - 1);
	/* A full batch: the period begins; a poll is a quiescent state of the only CPU, and frees.
	 */
	grace_defer(&items[GRACE_BATCH - 1].deferred, note_freed);
	assert_int_equal(at_load(&freed), 0);
	grace_poll();
	assert_int_equal(at_load(&freed), GRACE_BATCH);
	assert_int_equal(grace_pending(), 0);
	/* More: polls alone free all but what is less than a batch, a barrier that. */
	for (unsigned i = GRACE_BATCH; i < 1000; i++) {
		grace_defer(&items[i].deferred, note_freed);
		if (i % 100 == 0)
			grace_poll();
	}
	grace_poll();
	grace_poll();
	assert_true(grace_pending() < GRACE_BATCH);
	assert_int_equal(at_load(&freed) + grace_pending(), 1000);
	assert_true(grace_barrier(LONG));
	assert_int_equal(at_load(&freed), 1000);
	assert_int_equal(at_load(&out_of_order), 0);
	assert_int_equal(grace_pending(), 0);
	assert_true(grace_barrier(0)); /* with nothing to do */
	grace_offline();
	cpus_stop();
}

/* A reader on CPU 1, in a section (twice) or merely online, until told to leave. */

static void read_nested(unsigned cpu)
{
	(void)cpu;
	section_enter();
	section_enter();
	at_store_release(&stage, 1u);
	await(&leave, 1);
	section_leave();
	at_store_release(&stage, 2u);
	await(&leave, 2);
	section_leave();
	at_store_release(&stage, 3u);
	await(&leave, 3);
}

static void test_section_holds_up(void **state)
{
	struct thread reader;

	(void)state;
	start(2, 0);
	grace_online();
	thread_start(&reader, 1, read_nested);
	await(&stage, 1);
	grace_defer(&items[0].deferred, note_freed);
	assert_false(grace_barrier(20 * MILLISECOND));
	/* The end of an inner section is no quiescent state. */
	at_store_release(&leave, 1u);
	await(&stage, 2);
	assert_false(grace_barrier(20 * MILLISECOND));
	assert_int_equal(at_load(&freed), 0);
	assert_int_equal(grace_pending(), 1);
	at_store_release(&leave, 2u);
	await(&stage, 3);
	/* The reader's CPU is still online, but the end of its section was enough. */
	assert_true(grace_barrier(LONG));
	assert_int_equal(at_load(&freed), 1);
	/* For what comes later, it isn't. */
	grace_defer(&items[1].deferred, note_freed);
	assert_false(grace_barrier(20 * MILLISECOND));
	at_store_release(&leave, 3u);
	assert_true(grace_barrier(LONG));
	assert_int_equal(at_load(&freed), 2);
	thread_join(&reader);
	grace_offline();
	cpus_stop();
}

/* A section that began after the raise does not hold up: the CPU came online after it. */
static void test_newcomer_does_not_hold_up(void **state)
{
	struct thread reader;

	(void)state;
	start(3, 0);
	grace_online();
	for (unsigned i = 0; i < GRACE_BATCH; i++)
		grace_defer(&items[i].deferred, note_freed);
	thread_start(&reader, 1, read_nested);
	await(&stage, 1);
	grace_poll();
	assert_int_equal(at_load(&freed), GRACE_BATCH);
	at_store_release(&leave, 3u);
	thread_join(&reader);
	grace_offline();
	cpus_stop();
}

static void defer_and_go(unsigned cpu)
{
	(void)cpu;
	/* One full batch that waits, and some that gather. */
	for (unsigned i = 0; i < GRACE_BATCH + 10; i++)
		grace_defer(&items[i].deferred, note_freed);
}

static void test_lists_of_the_departed(void **state)
{
	struct thread thread;

	(void)state;
	start(4, 0);
	thread_start(&thread, 3, defer_and_go);
	thread_join(&thread);
	assert_int_equal(grace_pending(), GRACE_BATCH + 10);
	grace_online();
	grace_poll(); /* nobody else's list */
	assert_int_equal(at_load(&freed), 0);
	assert_true(grace_barrier(LONG));
	assert_int_equal(at_load(&freed), GRACE_BATCH + 10);
	assert_int_equal(at_load(&out_of_order), 0);
	grace_offline();
	cpus_stop();
}

static void free_and_defer_next(struct deferred *d)
{
	struct item *item = container_of(d, struct item, deferred);

	if (item->number < 5)
		grace_defer(&items[item->number].deferred, free_and_defer_next);
	at_add(&freed, 1u);
}

static void test_callback_defers(void **state)
{
	(void)state;
	start(1, 0);
	grace_online();
	grace_defer(&items[0].deferred, free_and_defer_next);
	for (unsigned i = 1; i <= 5; i++) {
		assert_true(grace_barrier(LONG));
		assert_int_equal(at_load(&freed), i);
		assert_int_equal(grace_pending(), i < 5);
	}
	grace_offline();
	cpus_stop();
}

/* A barrier also waits for what another CPU is freeing at the moment. */

static void free_slowly(struct deferred *d)
{
	(void)d;
	at_store_release(&stage, 1u);
	await(&leave, 1);
	at_add(&freed, 1u);
}

static void free_while_asked(unsigned cpu)
{
	(void)cpu;
	for (unsigned i = 0; i < GRACE_BATCH; i++)
		grace_defer(&items[i].deferred, i ? note_freed : free_slowly);
	while (at_load(&freed) < GRACE_BATCH)
		grace_poll();
}

static void test_barrier_waits_for_callbacks(void **state)
{
	struct thread thread;

	(void)state;
	start(2, 0);
	thread_start(&thread, 1, free_while_asked);
	await(&stage, 1);
	grace_online();
	assert_false(grace_barrier(20 * MILLISECOND));
	at_store_release(&leave, 1u);
	assert_true(grace_barrier(LONG));
	assert_int_equal(at_load(&freed), GRACE_BATCH);
	grace_offline();
	thread_join(&thread);
	cpus_stop();
}

/* ... though later items of that CPU have waited long enough, too: a list is freed in order. */

static void free_deferring_more(struct deferred *d)
{
	(void)d;
	at_store_release(&stage, 1u);
	await(&leave, 1);
	for (unsigned i = GRACE_BATCH; i < 2 * GRACE_BATCH; i++)
		grace_defer(&items[i].deferred, note_freed);
	at_store_release(&stage, 2u);
	await(&leave, 2);
	note_freed(d);
}

static void free_and_defer_more(unsigned cpu)
{
	(void)cpu;
	for (unsigned i = 0; i < GRACE_BATCH; i++)
		grace_defer(&items[i].deferred, i ? note_freed : free_deferring_more);
	grace_poll();
}

static void ask_for_all(unsigned cpu)
{
	(void)cpu;
	thread_check(grace_barrier(0));
	thread_check(at_load(&freed) >= GRACE_BATCH);
	at_store_release(&stage, 3u);
}

static void test_lists_are_freed_in_order(void **state)
{
	struct thread freeing, asking;

	(void)state;
	start(3, 0);
	thread_start(&freeing, 1, free_and_defer_more);
	await(&stage, 1);
	thread_start(&asking, 2, ask_for_all);
	nap(10 * MILLISECOND);
	at_store_release(&leave, 1u);
	await(&stage, 2);
	/* CPU 1 is online and can't pass; for the second batch to be ripe, it must look so. */
	at_store_release(&grace_cpus[1].seen, 0ull);
	nap(20 * MILLISECOND);
	assert_int_equal(at_load_acquire(&stage), 2);
	assert_int_equal(at_load(&freed), 0);
	at_store_release(&leave, 2u);
	thread_join(&freeing);
	thread_join(&asking);
	grace_online();
	assert_true(grace_barrier(LONG));
	grace_offline();
	assert_int_equal(at_load(&freed), 2 * GRACE_BATCH);
	assert_int_equal(at_load(&out_of_order), 0);
	cpus_stop();
}

#define STALL (100 * MILLISECOND)

/* Until so many were reported, by barriers or by polls alone. */
static void await_stalls(uint64_t count, bool barriers)
{
	for (uint64_t since = port_clock(); grace_stalls() < count;) {
		assert_true(port_clock() - since < LONG);
		if (barriers)
			assert_false(grace_barrier(MILLISECOND));
		else
			grace_poll();
	}
	assert_int_equal(grace_stalls(), count);
}

static void test_stall_is_reported(void **state)
{
	struct thread reader;
	struct quire_event events[16];
	void *rings = aligned_alloc(128, (trace_memory(4) + 127) / 128 * 128);
	uint64_t since, stalls;
	size_t count;

	(void)state;
	assert_non_null(rings);
	trace_init(rings, 4);
	start(4, STALL);
	grace_online();
	thread_start(&reader, 2, read_nested);
	await(&stage, 1);
	grace_defer(&items[0].deferred, note_freed);
	since = port_clock();
	assert_false(grace_barrier(STALL / 10));
	stalls = grace_stalls();
	/* Not before its time: that may have come, if the host did not run us. */
	assert_true(stalls == 0 || port_clock() - since >= STALL);
	await_stalls(1, true);
	assert_true(port_clock() - since >= STALL);
	assert_false(grace_barrier(50 * MILLISECOND));
	assert_int_equal(grace_stalls(), 1); /* once for each period */
	count = quire_events(0, events, 16);
	assert_int_equal(count, 1);
	assert_int_equal(events[0].counter, QUIRE_COUNTER_COUNT);
	assert_int_equal(events[0].address, 2);
	assert_null(events[0].mm);

	at_store_release(&leave, 2u);
	await(&stage, 3);
	assert_true(grace_barrier(LONG));
	/* The CPU is online and silent: the next period stalls, and polls find that, too. */
	for (unsigned i = 1; i <= GRACE_BATCH; i++)
		grace_defer(&items[i].deferred, note_freed);
	await_stalls(2, false);
	at_store_release(&leave, 3u);
	thread_join(&reader);
	grace_poll();
	assert_int_equal(at_load(&freed), GRACE_BATCH + 1);
	assert_int_equal(grace_pending(), 0);
	grace_offline();
	cpus_stop();
	free(rings);
}

static void test_no_reports_unless_asked(void **state)
{
	struct thread reader;

	(void)state;
	start(2, 0);
	grace_online();
	thread_start(&reader, 1, read_nested);
	await(&stage, 1);
	grace_defer(&items[0].deferred, note_freed);
	assert_false(grace_barrier(30 * MILLISECOND));
	assert_int_equal(grace_stalls(), 0);
	at_store_release(&leave, 3u);
	thread_join(&reader);
	grace_offline();
	cpus_stop();
}

/* At random: readers follow pointers, writers replace what they point to and poison it when it is
 * free. */

#define STRESSERS 4
#define SLOTS 8
#define ALIVE 0xa11fe5ul

struct object {
	unsigned long mark; /* plain: ThreadSanitizer shall see what is not ordered */
	struct deferred deferred;
	unsigned long mark_too;
};

static struct object *_Atomic slots[SLOTS];
static _Atomic uint64_t end_at, looks, replaced, buried, barriers;

static bool enough(void)
{
	return at_load(&looks) > 1000 && at_load(&replaced) > 1000 && at_load(&barriers) > 3;
}

static struct object *object_new(void)
{
	struct object *object = malloc(sizeof(*object));

	object->mark = object->mark_too = ALIVE;
	return object;
}

static void bury(struct deferred *d)
{
	struct object *object = container_of(d, struct object, deferred);

	thread_check(object->mark == ALIVE && object->mark_too == ALIVE);
	object->mark = object->mark_too = 0xdeadul;
	free(object);
	at_add(&buried, 1ull);
}

static void look(uint32_t *random)
{
	struct object *object;
	unsigned depth = 1 + random_next(random) % 3;

	for (unsigned i = 0; i < depth; i++)
		section_enter();
	object = at_load_acquire(&slots[random_next(random) % SLOTS]);
	thread_check(object->mark == ALIVE);
	if (depth > 1)
		section_leave();
	if (random_next(random) % 64 == 0)
		sched_yield();
	thread_check(object->mark_too == ALIVE);
	for (unsigned i = depth > 1; i < depth; i++)
		section_leave();
	at_add(&looks, 1ull);
}

static void replace(uint32_t *random)
{
	struct object *fresh = object_new(), *old;

	section_enter();
	old = at_xchg(&slots[random_next(random) % SLOTS], fresh);
	grace_defer(&old->deferred, bury);
	section_leave();
	at_add(&replaced, 1ull);
}

static void stress(unsigned cpu)
{
	uint32_t random = 0x9e3779b9u * (cpu + 1);

	/* Until the time is up; on a busy machine longer, but not for ever. */
	while (port_clock() < at_load(&end_at) + (enough() ? 0 : LONG)) {
		uint32_t r = random_next(&random) % 64;

		if (r < 40) {
			look(&random);
		} else if (r < 58) {
			replace(&random);
		} else if (r < 61) {
			grace_poll();
		} else if (r < 63) {
			grace_offline();
			if (random_next(&random) % 16 == 0)
				nap(MILLISECOND / 10);
			grace_online();
		} else if (random_next(&random) % 16 == 0) {
			thread_check(grace_barrier(0));
			at_add(&barriers, 1ull);
		}
	}
}

static void test_stress(void **state)
{
	(void)state;
	start(STRESSERS, 0);
	for (unsigned i = 0; i < SLOTS; i++)
		at_store(&slots[i], object_new());
	at_store(&end_at, port_clock() + 1500 * MILLISECOND);
	threads_run(STRESSERS, stress);
	assert_int_equal(at_load(&replaced), at_load(&buried) + grace_pending());
	grace_online();
	assert_true(grace_barrier(LONG));
	grace_offline();
	assert_int_equal(at_load(&replaced), at_load(&buried));
	assert_int_equal(grace_pending(), 0);
	assert_true(enough());
	for (unsigned i = 0; i < SLOTS; i++)
		free(at_load(&slots[i]));
	cpus_stop();
}

/*
 * Coming online: the CPU that frees sees that there is a reader, or the reader does not find the
 * object. Readers come and go all the time, and the writer frees at once. Without the fences the
 * window is a few nanoseconds wide, so this is a chance to see it, no proof.
 */

static void come_and_go(unsigned cpu)
{
	grace_offline();
	while (port_clock() < at_load(&end_at)) {
		for (unsigned i = 0; i < 100; i++) {
			grace_online();
			if (cpu != 0) {
				struct object *object;

				section_enter();
				object = at_load_acquire(&slots[0]);
				for (unsigned look = 0; look < 500; look++)
					thread_check(object->mark == ALIVE);
				section_leave();
			} else {
				struct object *old = at_xchg(&slots[0], object_new());

				grace_defer(&old->deferred, bury);
				thread_check(grace_barrier(0));
			}
			grace_offline();
		}
	}
	grace_online();
}

static void test_coming_online(void **state)
{
	(void)state;
	start(2, 0);
	at_store(&slots[0], object_new());
	at_store(&end_at, port_clock() + 700 * MILLISECOND);
	threads_run(2, come_and_go);
	free(at_load(&slots[0]));
	cpus_stop();
}

/* What a CPU deferred is gone after its own barrier, whatever the others do to its list meanwhile.
 */

static void count_freed(struct deferred *d)
{
	at_add(&freed, 1u);
	items[container_of(d, struct item, deferred)->number].number++; /* plain: the CPU's own */
}

static void check_barriers(unsigned cpu)
{
	struct item mine[100];

	for (unsigned round = 0; round < 200; round++) {
		unsigned count = 1 + (round * 7 + cpu) % 100;

		items[cpu].number = 0;
		for (unsigned i = 0; i < count; i++) {
			mine[i].number = cpu;
			grace_defer(&mine[i].deferred, count_freed);
		}
		thread_check(grace_barrier(0));
		thread_check(items[cpu].number == count);
	}
}

static void test_barriers_side_by_side(void **state)
{
	(void)state;
	start(STRESSERS, 0);
	threads_run(STRESSERS, check_barriers);
	assert_int_equal(grace_pending(), 0);
	cpus_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_misuse_panics),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_section_holds_up),
		cmocka_unit_test(test_newcomer_does_not_hold_up),
		cmocka_unit_test(test_lists_of_the_departed),
		cmocka_unit_test(test_callback_defers),
		cmocka_unit_test(test_barrier_waits_for_callbacks),
		cmocka_unit_test(test_lists_are_freed_in_order),
		cmocka_unit_test(test_stall_is_reported),
		cmocka_unit_test(test_no_reports_unless_asked),
		cmocka_unit_test(test_stress),
		cmocka_unit_test(test_coming_online),
		cmocka_unit_test(test_barriers_side_by_side),
	};

	return cmocka_run_group_tests_name("grace", tests, NULL, NULL);
}
