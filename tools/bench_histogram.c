/* SPDX-License-Identifier: MIT */
#include "bench_histogram.h"

#include <stdlib.h>

#define LINEAR_SHIFT 5u /* log2 of HISTOGRAM_LINEAR */

static size_t bucket_of(uint64_t value)
{
	if (value < HISTOGRAM_LINEAR)
		return (size_t)value;

	unsigned exponent = 63u - (unsigned)__builtin_clzll(value);
	unsigned octave = exponent - LINEAR_SHIFT + 1;

	if (octave >= HISTOGRAM_OCTAVES)
		return HISTOGRAM_BUCKETS - 1;
	return octave * HISTOGRAM_LINEAR +
	       (size_t)((value >> (exponent - LINEAR_SHIFT)) & (HISTOGRAM_LINEAR - 1));
}

uint64_t histogram_bucket_end(size_t bucket)
{
	uint64_t octave = bucket / HISTOGRAM_LINEAR, part = bucket % HISTOGRAM_LINEAR;

	if (octave == 0)
		return part;
	return ((HISTOGRAM_LINEAR + part + 1) << (octave - 1)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	histogram->buckets[bucket_of(value)]++;
	if (value > histogram->max)
		histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
	double exact = share * (double)histogram->count;
	uint64_t wanted = (uint64_t)exact, seen = 0;

	if ((double)wanted < exact || wanted == 0)
		wanted++;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += histogram->buckets[i];
		if (seen >= wanted)
			return histogram_bucket_end(i) < histogram->max ? histogram_bucket_end(i)
									: histogram->max;
	}
	return histogram->max;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread spread_of(double *samples, size_t count)
{
	qsort(samples, count, sizeof *samples, compare);
	return (struct spread){
		.median = (samples[(count - 1) / 2] + samples[count / 2]) / 2,
		.min = samples[0],
		.max = samples[count - 1],
	};
}
