#pragma once
/*
 * Histogram: durations in nanoseconds with a relative error of at most 1/2048 (0.05 %), from 1 ns
 * to HISTOGRAM_MAX_NS, in the log-linear layout of HdrHistogram: each power of two is divided into
 * 1024 equal parts. (Debian 12 has no HDR histogram library for C.)
 *
 * One thread records; others may read at the same time and see each counter whole (relaxed atomics,
 * plain moves on x86). Memory is 264 kB of address space, of which only the parts in use are
 * resident.
 */
#include "base/cleanup.h"
#include <stdint.h>

#define HISTOGRAM_BITS 10
#define HISTOGRAM_PARTS (1U << HISTOGRAM_BITS)
#define HISTOGRAM_MAX_NS ((1ULL << 42) - 1) /* 73 minutes; longer counts as this */
#define HISTOGRAM_SIZE ((42 - HISTOGRAM_BITS + 1) * HISTOGRAM_PARTS)

struct histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t min_ns, max_ns; /* exact; min is UINT64_MAX when empty */
    uint32_t first, last;    /* parts in use: counts[first..last]; first > last when empty */
    uint64_t counts[HISTOGRAM_SIZE];
};

int histogram_new(struct histogram **ret_histogram); /* 0, -ENOMEM */
struct histogram *histogram_free(struct histogram *h);
void histogram_clear(struct histogram *h);

/* The part that @value_ns counts in, and the largest value of a part. */
static inline uint32_t histogram_part(uint64_t value_ns)
{
    unsigned shift;

    if (value_ns < 2 * HISTOGRAM_PARTS)
        return (uint32_t)value_ns;
    shift = 63U - (unsigned)__builtin_clzll(value_ns) - HISTOGRAM_BITS;
    return (uint32_t)((shift << HISTOGRAM_BITS) + (value_ns >> shift));
}
uint64_t histogram_part_top(uint32_t part);

/* The owner's thread. */
void histogram_record(struct histogram *h, uint64_t value_ns);
void histogram_add(struct histogram *into, const struct histogram *from);
/* What @now holds beyond @before, an earlier copy of the same histogram; min and max are then as
 * exact as the parts. */
void histogram_difference(struct histogram *into, const struct histogram *now,
                          const struct histogram *before);

/* The smallest value such that @share (0 to 1) of all values are not above it; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double share);
/* Values at most @limit_ns, as exact as the parts. */
uint64_t histogram_count_to(const struct histogram *h, uint64_t limit_ns);
double histogram_mean_ns(const struct histogram *h);
OBS_DEFINE_CLEANUP(struct histogram *, histogram_free)
