#include "load/record.h"
#include <errno.h>
#include <string.h>

struct record *record_free(struct record *record)
{
    if (!record)
        return NULL;
    stats_free(record->stats);
    histogram_free(record->latency);
    histogram_free(record->before);
    histogram_free(record->difference);
    free(record->intervals);
    free(record);
    return NULL;
}

int record_new(const struct script *script, struct record **ret_record)
{
    OBS_CLEANUP(record_freep) struct record *record = calloc(1, sizeof(*record));
    int r;

    if (!record)
        return -ENOMEM;
    r = stats_new(script, &record->stats);
    if (r == 0)
        r = histogram_new(&record->latency);
    if (r == 0)
        r = histogram_new(&record->before);
    if (r == 0)
        r = histogram_new(&record->difference);
    if (r < 0)
        return r;
    *ret_record = OBS_TAKE(record);
    return 0;
}

static struct interval *next_interval(struct record *record)
{
    if (record->count == RECORD_INTERVALS_MAX) {
        record->count /= 2;
        memmove(record->intervals, record->intervals + record->count,
                record->count * sizeof(*record->intervals));
    }
    if (record->count == record->capacity) {
        size_t wanted = record->capacity ? record->capacity * 2 : 64;
        struct interval *grown = reallocarray(record->intervals, wanted, sizeof(*grown));

        if (!grown)
            return NULL;
        record->intervals = grown;
        record->capacity = wanted;
    }
    return &record->intervals[record->count];
}

static void count_journeys(const struct stats *stats, uint64_t *ret_all, uint64_t *ret_bad)
{
    *ret_all = *ret_bad = 0;
    for (unsigned i = 0; i < stats->journey_count; i++)
        for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
            *ret_all += stats->journeys[i].outcomes[o];
            *ret_bad += o == OUTCOME_OK ? 0 : stats->journeys[i].outcomes[o];
        }
}

void record_finish(struct record *record, struct engine *engine)
{
    engine_stats(engine, record->stats);
    stats_latency(record->stats, record->latency);
}

const struct interval *record_sample(struct record *record, struct engine *engine, uint64_t now_ns)
{
    struct interval *interval = next_interval(record);
    uint64_t began_ns = engine_started_ns(engine), all, bad;
    const struct histogram *h = record->difference;

    if (!interval)
        return NULL;
    record_finish(record, engine);
    histogram_difference(record->difference, record->latency, record->before);
    histogram_clear(record->before);
    histogram_add(record->before, record->latency);
    count_journeys(record->stats, &all, &bad);
    if (record->sampled_ns == 0)
        record->sampled_ns = began_ns;
    *interval = (struct interval){
        .t_s = now_ns > began_ns ? (double)(now_ns - began_ns) / 1e9 : 0,
        .length_s = (double)(now_ns - record->sampled_ns) / 1e9,
        .replies = record->stats->replies - record->replies,
        .journeys = all - record->journeys,
        .bad = bad - record->bad,
        .p50_ns = histogram_quantile(h, 0.5),
        .p95_ns = histogram_quantile(h, 0.95),
        .p99_ns = histogram_quantile(h, 0.99),
        .max_ns = h->max_ns,
    };
    record->replies = record->stats->replies;
    record->journeys = all;
    record->bad = bad;
    record->sampled_ns = now_ns;
    record->count++;
    return interval;
}
