#pragma once
/*
 * Stats: what one thread has counted, and the sum over all.
 *
 * Only the owner writes, with plain loads and stores that other threads may read at any time
 * (stats_count()). Nothing is reset while a run lasts: whoever wants an interval subtracts.
 *
 * Arrivals: scheduled = sent + late + dropped + waiting, and nothing waits when a run has ended.
 * Journeys: sent + late + followed = the sum of all outcomes + under way (`cut` at the end of a
 * run).
 */
#include "load/histogram.h"
#include "load/outcome.h"
#include "load/script.h"
#include "otel/trace.h"
#include <stdatomic.h>

#define STATS_STATUS_MAX 600

/*  counter, meaning */
#define STATS_COUNTERS(ROW)                                                                        \
    ROW(scheduled, "arrivals whose time has come")                                                 \
    ROW(sent, "journeys begun on time")                                                            \
    ROW(late, "journeys begun later than the tolerance, because no user was free or the "          \
              "generator was busy; their latency counts from when they were due")                  \
    ROW(dropped, "arrivals given up: no user became free in time")                                 \
    ROW(followed, "journeys begun because another one ended ok")                                   \
    ROW(cut, "journeys under way when the run ended")                                              \
    ROW(requests, "requests sent")                                                                 \
    ROW(replies, "complete replies")                                                               \
    ROW(retries, "requests sent again because a step asked for it")                                \
    ROW(resent, "requests sent again because a kept connection had been closed")                   \
    ROW(connects, "connections opened")                                                            \
    ROW(bytes_in, "bytes received")                                                                \
    ROW(bytes_out, "bytes sent")

/* The last sampled trace of each duration bucket, for exemplars. Written by one thread, read by
 * another: a sequence lock, odd while it is written. */
#define STATS_EXEMPLARS 24
struct exemplar {
    _Atomic uint32_t sequence;
    _Atomic uint64_t trace_high, trace_low, span, value_ns, time_ns;
};

struct journey_stats {
    uint64_t outcomes[OUTCOME_COUNT];
    struct histogram *duration; /* from when it was due, without think time; every outcome */
    struct exemplar exemplars[STATS_EXEMPLARS];
};

struct step_stats {
    uint64_t requests, replies;
    uint64_t failures[FAILURE_COUNT];
    struct histogram *latency; /* from when the request was due; replies and timeouts */
};

struct stats {
#define STATS_FIELD(name, meaning) uint64_t name;
    STATS_COUNTERS(STATS_FIELD)
#undef STATS_FIELD
    uint64_t in_flight; /* journeys under way */
    uint64_t waiting;   /* arrivals due and not yet begun */
    uint64_t open;      /* connections */
    uint64_t failures[FAILURE_COUNT];
    uint64_t statuses[STATS_STATUS_MAX];
    struct histogram *service; /* from when the request was really sent; replies only */
    unsigned journey_count, step_count;
    struct journey_stats *journeys; /* as in the script */
    struct step_stats *steps;       /* of all journeys, one after the other */
};

static inline void stats_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline uint64_t stats_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

int stats_new(const struct script *script, struct stats **ret_stats);
struct stats *stats_free(struct stats *stats);
void stats_clear(struct stats *stats);
/* Add what @from holds now; @from may be counting meanwhile. Exemplars: the newer one stays. */
void stats_add(struct stats *into, const struct stats *from);
/* All latencies of @stats in one histogram (cleared first). */
void stats_latency(const struct stats *stats, struct histogram *into);

void exemplar_set(struct exemplar *exemplar, const struct obs_trace_context *context,
                  uint64_t value_ns, uint64_t time_ns);
/* False: there is none. */
bool exemplar_get(const struct exemplar *exemplar, struct obs_trace_context *ret_context,
                  uint64_t *ret_value_ns, uint64_t *ret_time_ns);
OBS_DEFINE_CLEANUP(struct stats *, stats_free)
