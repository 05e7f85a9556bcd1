/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of nanoseconds, and order statistics of a few samples.
 *
 * Values below 32 have a bucket each; above, each octave is divided into 32 buckets, so a quantile
 * is at most 1/32 above the truth and never below it. The maximum is exact. One writer; merging and
 * reading happen after it has ended.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_LINEAR 32u
#define HISTOGRAM_OCTAVES                                                                          \
	36u /* up to 2^40 ns: 18 minutes; what is longer counts in the last bucket */
#define HISTOGRAM_BUCKETS (HISTOGRAM_LINEAR * HISTOGRAM_OCTAVES)

struct histogram {
	uint64_t count, sum, max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The smallest value that at least `share` (0 to 1) of all values do not exceed, rounded up to its
 * bucket's end. Empty: 0. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

/* The largest value that a bucket counts; of the last, the largest that it is meant for. */
uint64_t histogram_bucket_end(size_t bucket);

/* Median, smallest and largest. => count > 0; sorts the samples in place */
struct spread {
	double median, min, max;
};
struct spread spread_of(double *samples, size_t count);

#endif
