#include "load/stats.h"
#include <errno.h>
#include <string.h>

struct stats *stats_free(struct stats *stats)
{
    if (!stats)
        return NULL;
    for (unsigned i = 0; stats->journeys && i < stats->journey_count; i++)
        histogram_free(stats->journeys[i].duration);
    for (unsigned i = 0; stats->steps && i < stats->step_count; i++)
        histogram_free(stats->steps[i].latency);
    histogram_free(stats->service);
    free(stats->journeys);
    free(stats->steps);
    free(stats);
    return NULL;
}

int stats_new(const struct script *script, struct stats **ret_stats)
{
    OBS_CLEANUP(stats_freep) struct stats *stats = calloc(1, sizeof(*stats));
    int r;

    if (!stats)
        return -ENOMEM;
    stats->journey_count = script->journey_count;
    stats->step_count = script->step_total;
    stats->journeys = calloc(stats->journey_count, sizeof(*stats->journeys));
    stats->steps = calloc(stats->step_count, sizeof(*stats->steps));
    r = stats->journeys && stats->steps ? histogram_new(&stats->service) : -ENOMEM;
    for (unsigned i = 0; r == 0 && i < stats->journey_count; i++)
        r = histogram_new(&stats->journeys[i].duration);
    for (unsigned i = 0; r == 0 && i < stats->step_count; i++)
        r = histogram_new(&stats->steps[i].latency);
    if (r < 0)
        return r;
    *ret_stats = OBS_TAKE(stats);
    return 0;
}

void stats_clear(struct stats *stats)
{
    struct journey_stats *journeys = stats->journeys;
    struct step_stats *steps = stats->steps;
    struct histogram *service = stats->service;
    unsigned journey_count = stats->journey_count, step_count = stats->step_count;

    for (unsigned i = 0; i < journey_count; i++) {
        histogram_clear(journeys[i].duration);
        memset(journeys[i].outcomes, 0, sizeof(journeys[i].outcomes));
        memset((void *)journeys[i].exemplars, 0, sizeof(journeys[i].exemplars));
    }
    for (unsigned i = 0; i < step_count; i++) {
        struct histogram *latency = steps[i].latency;

        histogram_clear(latency);
        steps[i] = (struct step_stats){.latency = latency};
    }
    histogram_clear(service);
    *stats = (struct stats){.service = service,
                            .journeys = journeys,
                            .steps = steps,
                            .journey_count = journey_count,
                            .step_count = step_count};
}

static void add_all(uint64_t *into, const uint64_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        into[i] += stats_read(&from[i]);
}

static void add_journey(struct journey_stats *into, const struct journey_stats *from)
{
    add_all(into->outcomes, from->outcomes, OUTCOME_COUNT);
    histogram_add(into->duration, from->duration);
    for (unsigned i = 0; i < STATS_EXEMPLARS; i++) {
        struct obs_trace_context context, old;
        uint64_t value_ns, time_ns, old_value_ns, old_time_ns = 0;

        if (!exemplar_get(&from->exemplars[i], &context, &value_ns, &time_ns))
            continue;
        if (!exemplar_get(&into->exemplars[i], &old, &old_value_ns, &old_time_ns) ||
            time_ns > old_time_ns)
            exemplar_set(&into->exemplars[i], &context, value_ns, time_ns);
    }
}

void stats_add(struct stats *into, const struct stats *from)
{
#define STATS_ADD(name, meaning) into->name += stats_read(&from->name);
    STATS_COUNTERS(STATS_ADD)
#undef STATS_ADD
    into->in_flight += stats_read(&from->in_flight);
    into->waiting += stats_read(&from->waiting);
    into->open += stats_read(&from->open);
    add_all(into->failures, from->failures, FAILURE_COUNT);
    add_all(into->statuses, from->statuses, STATS_STATUS_MAX);
    histogram_add(into->service, from->service);
    for (unsigned i = 0; i < into->journey_count; i++)
        add_journey(&into->journeys[i], &from->journeys[i]);
    for (unsigned i = 0; i < into->step_count; i++) {
        into->steps[i].requests += stats_read(&from->steps[i].requests);
        into->steps[i].replies += stats_read(&from->steps[i].replies);
        add_all(into->steps[i].failures, from->steps[i].failures, FAILURE_COUNT);
        histogram_add(into->steps[i].latency, from->steps[i].latency);
    }
}

void stats_latency(const struct stats *stats, struct histogram *into)
{
    histogram_clear(into);
    for (unsigned i = 0; i < stats->step_count; i++)
        histogram_add(into, stats->steps[i].latency);
}

static uint64_t load_id(const uint8_t *bytes)
{
    uint64_t id;

    memcpy(&id, bytes, sizeof(id));
    return id;
}

void exemplar_set(struct exemplar *e, const struct obs_trace_context *context, uint64_t value_ns,
                  uint64_t time_ns)
{
    uint32_t sequence = atomic_load_explicit(&e->sequence, memory_order_relaxed);

    atomic_store_explicit(&e->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&e->trace_high, load_id(context->trace_id), memory_order_relaxed);
    atomic_store_explicit(&e->trace_low, load_id(context->trace_id + 8), memory_order_relaxed);
    atomic_store_explicit(&e->span, load_id(context->span_id), memory_order_relaxed);
    atomic_store_explicit(&e->value_ns, value_ns, memory_order_relaxed);
    atomic_store_explicit(&e->time_ns, time_ns, memory_order_relaxed);
    atomic_store_explicit(&e->sequence, sequence + 2, memory_order_release);
}

bool exemplar_get(const struct exemplar *e, struct obs_trace_context *ret_context,
                  uint64_t *ret_value_ns, uint64_t *ret_time_ns)
{
    uint64_t id[3];

    for (int i = 0; i < 8; i++) { /* the writer is quick; give up rather than wait */
        uint32_t before = atomic_load_explicit(&e->sequence, memory_order_acquire);

        if (before == 0)
            return false;
        id[0] = atomic_load_explicit(&e->trace_high, memory_order_relaxed);
        id[1] = atomic_load_explicit(&e->trace_low, memory_order_relaxed);
        id[2] = atomic_load_explicit(&e->span, memory_order_relaxed);
        *ret_value_ns = atomic_load_explicit(&e->value_ns, memory_order_relaxed);
        *ret_time_ns = atomic_load_explicit(&e->time_ns, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && before == atomic_load_explicit(&e->sequence, memory_order_relaxed)) {
            memcpy(ret_context->trace_id, id, 16);
            memcpy(ret_context->span_id, id + 2, 8);
            ret_context->flags = 1;
            return true;
        }
    }
    return false;
}
