#include "load/histogram.h"
#include <errno.h>
#include <math.h>
#include <string.h>

/* Counters are read by the reporting thread while their owner records. A load and a store each, not
 * one locked operation: there is only one writer. */
#define READ(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

int histogram_new(struct histogram **ret_histogram)
{
    struct histogram *h = calloc(1, sizeof(*h)); /* large: fresh pages, zero and not yet resident */

    if (!h)
        return -ENOMEM;
    h->min_ns = UINT64_MAX;
    h->first = HISTOGRAM_SIZE;
    *ret_histogram = h;
    return 0;
}

struct histogram *histogram_free(struct histogram *h)
{
    free(h);
    return NULL;
}

void histogram_clear(struct histogram *h)
{
    if (h->first <= h->last)
        memset(h->counts + h->first, 0, (h->last - h->first + 1) * sizeof(h->counts[0]));
    h->count = h->sum_ns = h->max_ns = 0;
    h->min_ns = UINT64_MAX;
    h->first = HISTOGRAM_SIZE;
    h->last = 0;
}

uint64_t histogram_part_top(uint32_t part)
{
    unsigned shift;

    if (part < 2 * HISTOGRAM_PARTS)
        return part;
    shift = (part >> HISTOGRAM_BITS) - 1;
    return ((((uint64_t)(part & (HISTOGRAM_PARTS - 1)) | HISTOGRAM_PARTS) + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value_ns)
{
    uint32_t part;

    if (value_ns > HISTOGRAM_MAX_NS)
        value_ns = HISTOGRAM_MAX_NS;
    part = histogram_part(value_ns);
    WRITE(h->counts[part], READ(h->counts[part]) + 1);
    WRITE(h->sum_ns, READ(h->sum_ns) + value_ns);
    if (value_ns < READ(h->min_ns))
        WRITE(h->min_ns, value_ns);
    if (value_ns > READ(h->max_ns))
        WRITE(h->max_ns, value_ns);
    if (part < READ(h->first))
        WRITE(h->first, part);
    if (part > READ(h->last))
        WRITE(h->last, part);
    /* Last: a reader that sees the count sees at most that many values missing, never more. */
    __atomic_store_n(&h->count, READ(h->count) + 1, __ATOMIC_RELEASE);
}

void histogram_add(struct histogram *into, const struct histogram *from)
{
    uint32_t first = READ(from->first), last = READ(from->last);
    uint64_t min_ns = READ(from->min_ns), max_ns = READ(from->max_ns);

    /* The sum of what was seen, not `from->count`, so that counts and parts always agree. */
    for (uint32_t i = first; i <= last && i < HISTOGRAM_SIZE; i++) {
        uint64_t n = READ(from->counts[i]);

        into->counts[i] += n;
        into->count += n;
    }
    into->sum_ns += READ(from->sum_ns);
    if (first < into->first)
        into->first = first;
    if (last > into->last)
        into->last = last;
    if (min_ns < into->min_ns)
        into->min_ns = min_ns;
    if (max_ns > into->max_ns)
        into->max_ns = max_ns;
}

void histogram_difference(struct histogram *into, const struct histogram *now,
                          const struct histogram *before)
{
    histogram_clear(into);
    for (uint32_t i = now->first; i <= now->last && i < HISTOGRAM_SIZE; i++) {
        uint64_t n = now->counts[i] - before->counts[i];

        if (n == 0)
            continue;
        into->counts[i] = n;
        into->count += n;
        if (into->first > i)
            into->first = i;
        into->last = i;
    }
    into->sum_ns = now->sum_ns - before->sum_ns;
    if (into->count > 0) {
        into->min_ns = into->first > 0 ? histogram_part_top(into->first - 1) + 1 : 0;
        into->max_ns = histogram_part_top(into->last);
    }
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    double rank = ceil(share * (double)h->count);
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank, seen = 0;

    if (h->count == 0)
        return 0;
    if (wanted >= h->count)
        return h->max_ns;
    for (uint32_t i = h->first; i <= h->last; i++) {
        seen += h->counts[i];
        if (seen >= wanted) {
            uint64_t top = histogram_part_top(i);

            return top < h->max_ns ? top : h->max_ns;
        }
    }
    return h->max_ns;
}

uint64_t histogram_count_to(const struct histogram *h, uint64_t limit_ns)
{
    uint64_t seen = 0;

    for (uint32_t i = h->first; i <= h->last && i < HISTOGRAM_SIZE; i++) {
        if (histogram_part_top(i) > limit_ns)
            break;
        seen += h->counts[i];
    }
    return seen;
}

double histogram_mean_ns(const struct histogram *h)
{
    return h->count > 0 ? (double)h->sum_ns / (double)h->count : 0;
}
