/* SPDX-License-Identifier: MIT */
/* The table and the JSON of bench/retry; docs/benchmarks.md says what each column and key means. */
#include "retry.h"

#include <string.h>

#include "bench_histogram.h"
#include "conditions.h"

const char *retry_policy_name(enum policy policy)
{
	static const char *const names[] = { "retry", "hand-over", "classic", "classic-anew" };

	return names[policy];
}

static struct spread spread(const struct point *point)
{
	double sorted[MOST_REPEAT];

	memcpy(sorted, point->samples, point->count * sizeof *sorted);
	return spread_of(sorted, point->count);
}

double retry_nanoseconds(const struct point *point)
{
	return spread(point).median;
}

static double instructions(const struct point *point)
{
	return point->instructions;
}

typedef double (*figure)(const struct point *);

/*
 * What one more failure costs: the slope of the straight line that fits a line's points best. By
 * faults the cost is such a line.
 */
static double slope(const struct point *line, figure cost)
{
	const double count = (double)retry_line(line);
	double x = 0, y = 0, xx = 0, xy = 0;

	for (size_t i = 0; i < retry_line(line); i++) {
		x += line[i].rate;
		y += cost(&line[i]);
		xx += line[i].rate * line[i].rate;
		xy += line[i].rate * cost(&line[i]);
	}
	return (count * xy - x * y) / (count * xx - x * x);
}

/*
 * From which rate on is it cheaper to go to the classic path at once than to begin anew? Both keep
 * what they have prepared. Between two rates the cost is taken as a straight line. -1: from none.
 * => the first of an operation's and reason's points
 */
static double break_even(const struct point *first, figure cost)
{
	const size_t count = retry_line(first);
	const struct point *again = first + HAND_OVER * count, *classic = first + CLASSIC * count;
	double from = -1, above = 0;

	for (size_t i = count; i-- > 0;) {
		double gain = cost(&again[i]) - cost(&classic[i]);

		if (gain <= 0) {
			if (from > 0)
				from -= (from - first[i].rate) * above / (above - gain);
			break;
		}
		from = first[i].rate;
		above = gain;
	}
	return from;
}

/* Table */

static void print_heading(const struct point *first)
{
	printf("\n%s, %s: nanoseconds%s a fault\n%-12s", first->operation->name,
	       quire_counter_name(first->reason), first->instructions < 0 ? "" : " (instructions)",
	       first->attempts ? "of attempts" : "of faults");
	for (size_t i = 0; i < retry_line(first); i++)
		printf(" %10.0f %%", first[i].rate * 100);
	printf("\n");
}

static void print_line(const struct point *line)
{
	printf("%-12s", retry_policy_name(line->policy));
	for (size_t i = 0; i < retry_line(line); i++) {
		printf(" %5.0f", retry_nanoseconds(&line[i]));
		if (line[i].instructions < 0)
			printf("%7s", "");
		else
			printf(" (%4.0f)", line[i].instructions);
	}
	printf("\n");
}

static void print_cost(const struct point *first)
{
	const char *separator = "    a change costs:";

	for (unsigned p = 0; p < POLICIES; p++) {
		const struct point *line = first + p * retry_line(first);

		printf("%s %s %.0f ns", separator, retry_policy_name((enum policy)p),
		       slope(line, retry_nanoseconds));
		if (line->instructions >= 0)
			printf(", %.0f instructions", slope(line, instructions));
		separator = ";";
	}
	printf("\n");
}

static void print_break_even(const struct point *first)
{
	double by_time = break_even(first, retry_nanoseconds);
	double by_count = break_even(first, instructions);

	printf("    to go to the classic path at once is cheaper ");
	if (by_time < 0)
		printf("at no rate (by time)");
	else
		printf("from %.0f %% on (by time)", by_time * 100);
	if (first->instructions >= 0 && by_count >= 0)
		printf(", from %.0f %% on (by instructions)", by_count * 100);
	else if (first->instructions >= 0)
		printf(", at no rate (by instructions)");
	printf("\n");
}

void retry_table(const struct points *points, const struct retry_options *options)
{
	conditions_line("");
	printf("%u faults in each window, median of %u windows\n", options->faults,
	       options->repeat);
	for (size_t i = 0; i < points->count; i += POLICIES * retry_line(&points->at[i])) {
		const struct point *first = &points->at[i];

		print_heading(first);
		for (unsigned p = 0; p < POLICIES; p++)
			print_line(first + p * retry_line(first));
		if (first->attempts)
			print_break_even(first);
		else
			print_cost(first);
	}
}

/* JSON */

static void print_number(const char *key, double value, bool known)
{
	printf(", \"%s\": ", key);
	if (known)
		printf("%.4g", value);
	else
		printf("null");
}

static void print_name(const struct point *point)
{
	printf("    {\"operation\": \"%s\", \"reason\": \"%s\", \"per\": \"%s\"",
	       point->operation->name, quire_counter_name(point->reason),
	       point->attempts ? "attempt" : "fault");
}

static void print_result(const struct point *point)
{
	struct spread ns = spread(point);

	print_name(point);
	printf(", \"policy\": \"%s\", \"rate\": %g", retry_policy_name(point->policy), point->rate);
	printf(",\n     \"nanoseconds\": %.1f, \"spread\": {\"min\": %.1f, \"max\": %.1f}",
	       ns.median, ns.min, ns.max);
	print_number("instructions", point->instructions, point->instructions >= 0);
	print_number("retries_per_fault", point->retries, true);
	print_number("classic_share", point->classic, true);
	printf("}");
}

static void json_costs(const struct points *points)
{
	const char *separator = "";

	printf(",\n  \"costs\": [");
	for (size_t i = 0; i < points->count; i += retry_line(&points->at[i])) {
		const struct point *line = &points->at[i];

		if (line->attempts)
			continue;
		printf("%s\n", separator);
		print_name(line);
		printf(", \"policy\": \"%s\"", retry_policy_name(line->policy));
		print_number("nanoseconds", slope(line, retry_nanoseconds), true);
		print_number("instructions", slope(line, instructions), line->instructions >= 0);
		printf("}");
		separator = ",";
	}
	printf("\n  ]");
}

static void json_break_even(const struct points *points)
{
	const char *separator = "";

	printf(",\n  \"break_even\": [");
	for (size_t i = 0; i < points->count; i += POLICIES * retry_line(&points->at[i])) {
		const struct point *first = &points->at[i];
		double by_time = break_even(first, retry_nanoseconds);
		double by_count = break_even(first, instructions);

		if (!first->attempts)
			continue;
		printf("%s\n", separator);
		print_name(first);
		print_number("nanoseconds", by_time, by_time >= 0);
		print_number("instructions", by_count, first->instructions >= 0 && by_count >= 0);
		printf("}");
		separator = ",";
	}
	printf("\n  ]");
}

void retry_json(const struct points *points, const struct retry_options *options)
{
	const char *separator = "";

	printf("{\n  \"schema\": \"quire-retry/1\",\n  \"conditions\": {\n");
	conditions_json(options->command);
	printf(",\n    \"faults\": %u, \"repeat\": %u\n  },\n  \"results\": [", options->faults,
	       options->repeat);
	for (size_t i = 0; i < points->count; i++) {
		printf("%s\n", separator);
		print_result(&points->at[i]);
		separator = ",";
	}
	printf("\n  ]");
	json_costs(points);
	json_break_even(points);
	printf("\n}\n");
}
