/* SPDX-License-Identifier: MIT */
/* Parts of `quire bench`: histogram, order statistics, names. The command itself: test_bench.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench_operations.h"

static struct histogram *empty(void)
{
	struct histogram *histogram = calloc(1, sizeof *histogram);

	assert_non_null(histogram);
	return histogram;
}

static void test_empty(void **state)
{
	struct histogram *h = empty();

	(void)state;
	assert_int_equal(histogram_quantile(h, 0.0), 0);
	assert_int_equal(histogram_quantile(h, 0.5), 0);
	assert_int_equal(histogram_quantile(h, 1.0), 0);
	free(h);
}

/* Small values are exact. */
static void test_linear(void **state)
{
	struct histogram *h = empty();

	(void)state;
	for (uint64_t value = 0; value < 32; value++)
		histogram_add(h, value);
	assert_int_equal(h->count, 32);
	assert_int_equal(h->sum, 31 * 32 / 2);
	assert_int_equal(histogram_quantile(h, 0.0), 0);
	assert_int_equal(histogram_quantile(h, 0.5), 15);
	assert_int_equal(histogram_quantile(h, 0.75), 23);
	assert_int_equal(histogram_quantile(h, 1.0), 31);
	free(h);
}

/* Alone among smaller and larger ones, a value comes back at most 1/32 larger and never smaller. */
static void test_precision(void **state)
{
	(void)state;
	for (uint64_t value = 1; value < UINT64_C(1) << 39; value += 1 + value / 7) {
		struct histogram *h = empty();

		histogram_add(h, 0);
		histogram_add(h, value);
		histogram_add(h, UINT64_C(1) << 39);

		uint64_t got = histogram_quantile(h, 0.6);

		assert_true(got >= value);
		assert_true(got - value <= value / 32);
		free(h);
	}
}

/* Both sides of each power of two, where buckets change their width. */
static void test_octaves(void **state)
{
	(void)state;
	for (unsigned shift = 1; shift < 39; shift++)
		for (int off = -1; off <= 1; off++) {
			uint64_t value = (UINT64_C(1) << shift) + (uint64_t)(int64_t)off;
			struct histogram *h = empty();

			histogram_add(h, value);
			histogram_add(h, UINT64_MAX);

			uint64_t got = histogram_quantile(h, 0.5);

			assert_true(got >= value && got - value <= value / 32);
			assert_int_equal(histogram_quantile(h, 1.0), UINT64_MAX);
			free(h);
		}
}

/* The quantile never exceeds the largest value that was added. */
static void test_maximum(void **state)
{
	struct histogram *h = empty();

	(void)state;
	histogram_add(h, 1000003);
	assert_int_equal(h->max, 1000003);
	assert_int_equal(histogram_quantile(h, 0.5), 1000003);
	assert_int_equal(histogram_quantile(h, 0.9999), 1000003);
	free(h);
}

/* A quantile counts values, it does not interpolate: one in 1,000 is beyond p99.8, not beyond
 * p99.9. */
static void test_rare(void **state)
{
	struct histogram *h = empty();

	(void)state;
	for (unsigned i = 0; i < 999; i++)
		histogram_add(h, 10);
	histogram_add(h, 5000);
	assert_int_equal(histogram_quantile(h, 0.99), 10);
	assert_int_equal(histogram_quantile(h, 0.999), 10);
	assert_int_equal(histogram_quantile(h, 0.9999), 5000);
	free(h);
}

static void test_merge(void **state)
{
	struct histogram *a = empty(), *b = empty(), *both = empty();

	(void)state;
	for (uint64_t i = 0; i < 10000; i++) {
		uint64_t value = i * i % 65537 * 17;

		histogram_add(i % 3 ? a : b, value);
		histogram_add(both, value);
	}
	histogram_merge(a, b);
	assert_memory_equal(a, both, sizeof *both);
	free(a);
	free(b);
	free(both);
}

static void test_spread(void **state)
{
	double odd[] = { 5, 1, 4 }, even[] = { 8, 2, 4, 6 }, one[] = { 7 };
	struct spread spread = spread_of(odd, 3);

	(void)state;
	assert_true(spread.median == 4 && spread.min == 1 && spread.max == 5);
	spread = spread_of(even, 4);
	assert_true(spread.median == 5 && spread.min == 2 && spread.max == 8);
	spread = spread_of(one, 1);
	assert_true(spread.median == 7 && spread.min == 7 && spread.max == 7);
}

/* Names fit the tables' columns, and say which loop is meant. */
static void test_loop_names(void **state)
{
	const struct loop *const tables[] = { bench_loops, bench_files, bench_ebizzy,
					      bench_antagonists };
	const char *names[64];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		for (const struct loop *loop = tables[i]; loop->name; loop++) {
			assert_true(strlen(loop->name) <= 30);
			assert_true(strlen(loop->group) <= 14);
			assert_true(loop->min_cpus > 0 && loop->unit && loop->what);
			for (size_t j = 0; j < count; j++)
				assert_string_not_equal(names[j], loop->name);
			assert_true(count < 64);
			names[count++] = loop->name;
		}
}

/* Names of operations are also read back from the command line of the program that counts. */
static void test_operation_names(void **state)
{
	(void)state;
	for (const struct operation *o = operations; o->name; o++) {
		assert_true(strlen(o->name) <= 20);
		assert_null(strchr(o->name, ':'));
		assert_ptr_equal(operation_find(o->name), o);
		assert_true(o->low < o->high && o->units > 0);
		assert_true(o->units > 1 || o->high <= OPERATION_PAGES);
	}
	assert_ptr_equal(operation_find("copy-page"), &copy_operation);
	assert_null(operation_find("no-such-operation"));
}

/* Each bucket ends where the next begins. */
static void test_bucket_ends(void **state)
{
	(void)state;
	for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
		struct histogram *h = empty();

		histogram_add(h, histogram_bucket_end(i - 1));
		histogram_add(h, histogram_bucket_end(i - 1) + 1);
		histogram_add(h, histogram_bucket_end(i));
		assert_int_equal(h->buckets[i - 1], 1);
		assert_int_equal(h->buckets[i], 2);
		free(h);
	}
}

/* What is to be drawn: the first two loops of a table in two modes, on 1 to `sizes` times 2 CPUs.
 */
static struct series *some_series(const struct loop *loops, unsigned sizes, size_t *count)
{
	struct series *series = calloc(4 * sizes, sizeof *series);

	assert_non_null(series);
	*count = 4 * sizes;
	for (size_t i = 0; i < *count; i++) {
		struct series *s = &series[i];

		s->loop = &loops[i % 4 / 2];
		s->mode = i % 2 ? BENCH_HOST : QUIRE_SPECULATIVE;
		s->cpus = 1u << i / 4;
		for (s->count = 0; s->count < 3; s->count++)
			s->rates[s->count] = 1e6 * (double)(i + s->count + 1);
		for (uint64_t value = 1; value < 1000000; value *= 3)
			histogram_add(&s->latency, value * (i + 1));
	}
	return series;
}

static char *contents(const char *directory, const char *name)
{
	char path[128], *text = calloc(1, 1 << 20);
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	file = fopen(path, "r");
	assert_true(text && file);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	assert_int_equal(unlink(path), 0);
	return text;
}

/* Draw twice: there are these files and no others, both times the same bytes. */
static void draw(const struct loop *loops, unsigned sizes, const char *const *names)
{
	char directory[] = "/tmp/quire-test-bench-XXXXXX";
	struct bench_options options = { .plots = mkdtemp(directory),
					 .modes = { QUIRE_SPECULATIVE, BENCH_HOST },
					 .mode_count = 2 };
	char *first[3];
	size_t count;
	struct series *series = some_series(loops, sizes, &count);

	assert_non_null(options.plots);
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_true(bench_plot(&options, series, count));
		for (size_t i = 0; names[i]; i++) {
			char *text = contents(directory, names[i]);

			assert_non_null(strstr(text, "</svg>"));
			assert_non_null(strstr(text, "speculative"));
			assert_non_null(strstr(text, "host"));
			if (turn == 0) {
				first[i] = text;
				continue;
			}
			assert_string_equal(text, first[i]);
			free(text);
			free(first[i]);
		}
	}
	/* Nothing else is in it. */
	assert_int_equal(rmdir(directory), 0);
	free(series);
}

static void need_gnuplot(void)
{
	if (system("command -v gnuplot >/dev/null") != 0) {
		print_message("no gnuplot\n");
		skip();
	}
}

static void test_plot_bars(void **state)
{
	static const char *const names[] = { "radixvm.svg", NULL };

	(void)state;
	need_gnuplot();
	draw(bench_loops, 2, names);
}

static void test_plot_lines(void **state)
{
	static const char *const names[] = { "radixvm.svg", NULL };

	(void)state;
	need_gnuplot();
	draw(bench_loops, 3, names);
}

static void test_plot_antagonists(void **state)
{
	static const char *const names[] = { "antagonists.svg", "antagonists-kept-1.svg",
					     "antagonists-latency-1.svg", NULL };

	(void)state;
	need_gnuplot();
	draw(bench_antagonists, 1, names);
}

/* What can't be drawn is said, and leaves nothing behind. */
static void test_plot_fails(void **state)
{
	struct bench_options options = { .plots = "/proc/no-such-directory", .mode_count = 1 };
	size_t count;
	struct series *series = some_series(bench_loops, 1, &count);

	(void)state;
	assert_false(bench_plot_start(&options));
	assert_false(bench_plot(&options, series, count));
	free(series);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	    cmocka_unit_test(test_linear),
		cmocka_unit_test(test_precision),   cmocka_unit_test(test_octaves),
		cmocka_unit_test(test_maximum),	    cmocka_unit_test(test_rare),
		cmocka_unit_test(test_merge),	    cmocka_unit_test(test_spread),
		cmocka_unit_test(test_loop_names),  cmocka_unit_test(test_operation_names),
		cmocka_unit_test(test_bucket_ends), cmocka_unit_test(test_plot_bars),
		cmocka_unit_test(test_plot_lines),  cmocka_unit_test(test_plot_antagonists),
		cmocka_unit_test(test_plot_fails),
	};

	return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
