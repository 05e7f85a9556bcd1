/* SPDX-License-Identifier: MIT */
/* The simulation of bench/scale_model, in cases whose result can be worked out by hand. */
#include "scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TRANSFER 50.0
#define REMOTE 200.0
#define WINDOW 1e6
#define MANY 16

static struct step steps[4];

/* One line, and each worker does so many steps on it again and again. */
static struct system one_line(unsigned count, double end)
{
	struct system system = { .place_count = 2, .space_lock = -1 };

	system.worker.count = 1;
	system.worker.phases[0] = (struct phase){
		.tasks = { {
			.steady = { .steps = steps, .count = count, .end = end, .poll = end },
			.repeat = 1,
			.units = 1,
		} },
		.count = 1,
		.times = 1,
	};
	return system;
}

static double rate_of(const struct system *system, unsigned cpus, unsigned socket)
{
	const struct machine machine = { cpus, socket, TRANSFER, REMOTE };
	struct outcome outcome;

	assert_true(simulate(system, &machine, WINDOW, &outcome));
	return outcome.rate;
}

static void assert_near(double value, double wanted)
{
	if (value < 0.99 * wanted || value > 1.01 * wanted)
		fail_msg("%g, not %g", value, wanted);
}

static void private_work_is_linear(void **state)
{
	struct system system = one_line(0, 100);

	(void)state;
	for (unsigned cpus = 1; cpus <= 64; cpus *= 4)
		assert_near(rate_of(&system, cpus, 64), cpus * 1e9 / 100);
}

static void a_line_that_all_write_moves_once_for_each(void **state)
{
	struct system system = one_line(1, 0);

	(void)state;
	steps[0] = (struct step){ .kind = STEP_WRITE, .work = 10, .lock = -1 };
	/* Alone, it stays. */
	assert_near(rate_of(&system, 1, 64), 1e9 / 10);
	for (unsigned cpus = 2; cpus <= 64; cpus *= 2)
		assert_near(rate_of(&system, cpus, 64), 1e9 / TRANSFER);
	/* Each socket has one CPU. */
	assert_near(rate_of(&system, 8, 1), 1e9 / REMOTE);
}

static void a_line_that_all_read_stays(void **state)
{
	struct system system = one_line(1, 0);

	(void)state;
	steps[0] = (struct step){ .kind = STEP_READ, .work = 100, .lock = -1 };
	assert_near(rate_of(&system, MANY, 64), MANY * 1e9 / 100);
}

static void workers_lines_do_not_meet(void **state)
{
	struct system system = one_line(1, 0);

	(void)state;
	system.places[0] = PLACE_WORKER;
	steps[0] =
		(struct step){ .kind = STEP_WRITE, .work = 100, .lock = -1, .worker = STEP_MINE };
	assert_near(rate_of(&system, MANY, 64), MANY * 1e9 / 100);
	/* A socket's line moves among its CPUs only, and each socket has its own. */
	system.places[0] = PLACE_SOCKET;
	steps[0].work = 10;
	assert_near(rate_of(&system, MANY, 8), 2 * 1e9 / TRANSFER);
}

/* Readers do not exclude each other, but each comes and goes through the count. */
static void a_lock_for_reading_is_bounded_by_its_line(void **state)
{
	struct system system = one_line(2, 0);

	(void)state;
	steps[0] = (struct step){ .kind = STEP_LOCK_SHARED, .work = 1, .lock = 1 };
	steps[1] = (struct step){ .kind = STEP_UNLOCK, .work = 300, .lock = 1 };
	assert_near(rate_of(&system, 1, 64), 1e9 / 301);
	assert_near(rate_of(&system, MANY, 64), 1e9 / (2 * TRANSFER));
}

/* The line comes, is held, and has been seen by who waits: it is asked for once more to unlock. */
static void a_lock_for_writing_is_bounded_by_its_hold(void **state)
{
	struct system system = one_line(2, 0);

	(void)state;
	steps[0] = (struct step){ .kind = STEP_LOCK, .work = 1, .lock = 1 };
	steps[1] = (struct step){ .kind = STEP_UNLOCK, .work = 1000, .lock = 1 };
	assert_near(rate_of(&system, 1, 64), 1e9 / 1001);
	assert_near(rate_of(&system, MANY, 64), 1e9 / (1000 + 2 * TRANSFER));
}

/* Whoever of the two has it, the other does nothing: together they do what one does alone. */
static void readers_and_writers_exclude_each_other(void **state)
{
	static struct step writing[] = {
		{ .kind = STEP_LOCK, .work = 1, .lock = 1 },
		{ .kind = STEP_UNLOCK, .work = 1000, .lock = 1 },
	};
	const struct machine machine = { 2, 64, TRANSFER, REMOTE };
	struct system system = one_line(2, 0);
	struct outcome outcome;

	(void)state;
	steps[0] = (struct step){ .kind = STEP_LOCK_SHARED, .work = 1, .lock = 1 };
	steps[1] = (struct step){ .kind = STEP_UNLOCK, .work = 1000, .lock = 1 };
	system.has_other = true;
	system.other = system.worker;
	system.other.phases[0].tasks[0].steady.steps = writing;
	assert_true(simulate(&system, &machine, WINDOW, &outcome));
	assert_true(outcome.rate > 0 && outcome.other_rate > 0);
	assert_true(outcome.rate + outcome.other_rate < 1e9 / 1000);
}

static void a_flush_waits_for_all_others(void **state)
{
	struct system system = one_line(1, 0);
	double alone, others;

	(void)state;
	steps[0] = (struct step){ .kind = STEP_FLUSH, .work = 100, .lock = -1 };
	alone = rate_of(&system, 1, 64);
	assert_near(alone, 1e9 / 100);
	/* The second CPU does nothing else, and answers at once: there, back, and read. */
	system.has_other = system.other_spins = true;
	others = rate_of(&system, 2, 64);
	assert_near(others, 1e9 / (100 + 3 * TRANSFER));
}

/* The other writes what workers read: a transfer after each of its operations, for each. */
static void what_is_changed_is_done_differently(void **state)
{
	static struct step other = { .kind = STEP_WRITE, .work = 10000, .lock = -1 };
	struct system system = one_line(1, 0);
	struct task *task = &system.worker.phases[0].tasks[0];
	static struct step slow = { .kind = STEP_READ, .work = 5100, .lock = -1 };

	(void)state;
	steps[0] = (struct step){ .kind = STEP_READ, .work = 100, .lock = -1 };
	task->changed = (struct sequence){ .steps = &slow, .count = 1 };
	system.has_other = true;
	system.other = system.worker;
	system.other.phases[0].tasks[0].changed.count = 0;
	system.other.phases[0].tasks[0].steady.steps = &other;
	/* Of each 10 us and a transfer, 5.1 and a transfer go for the slow one. */
	assert_near(rate_of(&system, 2, 64), 1e9 / (10000 + TRANSFER) * (1 + 4900 / 100.0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_work_is_linear),
		cmocka_unit_test(a_line_that_all_write_moves_once_for_each),
		cmocka_unit_test(a_line_that_all_read_stays),
		cmocka_unit_test(workers_lines_do_not_meet),
		cmocka_unit_test(a_lock_for_reading_is_bounded_by_its_line),
		cmocka_unit_test(a_lock_for_writing_is_bounded_by_its_hold),
		cmocka_unit_test(readers_and_writers_exclude_each_other),
		cmocka_unit_test(a_flush_waits_for_all_others),
		cmocka_unit_test(what_is_changed_is_done_differently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
