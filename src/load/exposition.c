#include "load/exposition.h"
#include "base/clock.h"
#include "otel/names.h"
#include <errno.h>

struct group_series {
    struct obs_metric_series *outcomes[OUTCOME_COUNT], *duration, *target;
    struct histogram *sum;
};

struct exposition {
    struct engine *engine;
    const struct script *script;
    struct stats *stats;
    struct group_series groups[SCRIPT_JOURNEYS_MAX];
    struct obs_metric_series *sent, *late, *dropped, *waiting, *in_flight, *connections;
};

struct exposition *exposition_free(struct exposition *e)
{
    if (!e)
        return NULL;
    for (unsigned i = 0; i < SCRIPT_JOURNEYS_MAX; i++)
        histogram_free(e->groups[i].sum);
    stats_free(e->stats);
    free(e);
    return NULL;
}

static void set_histogram(struct obs_metric_series *series, const struct histogram *h)
{
    uint64_t counts[64] = {0}, below = 0;

    for (size_t i = 0; i < OBS_DURATION_BUCKET_COUNT && i < OBS_COUNT(counts) - 1; i++) {
        uint64_t upto = histogram_count_to(h, (uint64_t)(OBS_DURATION_BUCKETS[i] * 1e9));

        counts[i] = upto - below;
        below = upto;
    }
    counts[OBS_DURATION_BUCKET_COUNT] = h->count - below;
    obs_histogram_set(series, counts, (double)h->sum_ns / 1e9);
}

static void set_exemplars(struct obs_metric_series *series, const struct journey_stats *stats)
{
    struct obs_trace_context context;
    uint64_t value_ns, time_ns;

    for (unsigned i = 0; i < STATS_EXEMPLARS; i++)
        if (exemplar_get(&stats->exemplars[i], &context, &value_ns, &time_ns))
            obs_histogram_exemplar(series, (double)value_ns / 1e9, &context, time_ns);
}

static void collect_journeys(struct exposition *e)
{
    OBS_CLEANUP(plan_unrefp) struct plan *plan = engine_plan(e->engine);
    uint64_t outcomes[SCRIPT_JOURNEYS_MAX][OUTCOME_COUNT] = {0};
    double wanted[SCRIPT_JOURNEYS_MAX] = {0}, rate = plan_rate(plan, obs_mono_ns());

    for (unsigned g = 0; g < e->script->group_count; g++)
        histogram_clear(e->groups[g].sum);
    for (unsigned i = 0; i < e->script->journey_count; i++) {
        unsigned g = e->script->journeys[i].group;
        const struct journey_stats *stats = &e->stats->journeys[i];

        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            outcomes[g][o] += stats->outcomes[o];
        histogram_add(e->groups[g].sum, stats->duration);
        wanted[g] += rate * plan_share(plan, e->script, i);
    }
    for (unsigned g = 0; g < e->script->group_count; g++) {
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            obs_counter_set(e->groups[g].outcomes[o], (double)outcomes[g][o]);
        set_histogram(e->groups[g].duration, e->groups[g].sum);
        obs_gauge_set(e->groups[g].target, wanted[g]);
    }
    for (unsigned i = 0; i < e->script->journey_count; i++)
        set_exemplars(e->groups[e->script->journeys[i].group].duration, &e->stats->journeys[i]);
}

static void collect(struct obs_metrics *metrics, void *userdata)
{
    struct exposition *e = userdata;

    engine_stats(e->engine, e->stats);
    collect_journeys(e);
    obs_counter_set(e->sent, (double)e->stats->sent);
    obs_counter_set(e->late, (double)e->stats->late);
    obs_counter_set(e->dropped, (double)e->stats->dropped);
    obs_gauge_set(e->waiting, (double)e->stats->waiting);
    obs_gauge_set(e->in_flight, (double)e->stats->in_flight);
    obs_gauge_set(e->connections, (double)e->stats->open);
}

static struct obs_metric_series *series(struct obs_metrics *metrics, enum obs_metric_name name,
                                        const char *first, const char *second)
{
    struct obs_metric_family *family = obs_metrics_named(metrics, name);

    if (!family)
        return NULL;
    return first ? obs_metric_series(family, (const char *const[]){first, second})
                 : obs_metric_only(family);
}

static int make_series(struct exposition *e, struct obs_metrics *m)
{
    bool is_complete = true;

    for (unsigned g = 0; g < e->script->group_count; g++) {
        struct group_series *group = &e->groups[g];
        const char *name = e->script->groups[g];

        for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
            group->outcomes[o] =
                series(m, OBS_JOURNEY_REQUESTS, name, outcome_name((enum outcome)o));
            is_complete &= group->outcomes[o] != NULL;
        }
        group->duration = series(m, OBS_JOURNEY_DURATION, name, NULL);
        group->target = series(m, OBS_LOADGEN_TARGET, name, NULL);
        is_complete &= group->duration && group->target && histogram_new(&group->sum) == 0;
    }
    e->sent = series(m, OBS_LOADGEN_ARRIVALS, "sent", NULL);
    e->late = series(m, OBS_LOADGEN_ARRIVALS, "late", NULL);
    e->dropped = series(m, OBS_LOADGEN_ARRIVALS, "dropped", NULL);
    e->waiting = series(m, OBS_LOADGEN_WAITING, NULL, NULL);
    e->in_flight = series(m, OBS_LOADGEN_IN_FLIGHT, NULL, NULL);
    e->connections = series(m, OBS_LOADGEN_CONNECTIONS, NULL, NULL);
    return is_complete && e->sent && e->late && e->dropped && e->waiting && e->in_flight &&
                   e->connections
               ? 0
               : -ENOMEM;
}

int exposition_new(struct obs_metrics *metrics, struct engine *engine, const struct script *script,
                   struct exposition **ret_exposition)
{
    struct exposition *e = calloc(1, sizeof(*e));
    int r;

    if (!e)
        return -ENOMEM;
    e->engine = engine;
    e->script = script;
    r = stats_new(script, &e->stats);
    if (r == 0)
        r = make_series(e, metrics);
    if (r == 0)
        r = obs_metrics_on_collect(metrics, collect, e);
    if (r < 0) {
        exposition_free(e);
        return r;
    }
    *ret_exposition = e;
    return 0;
}
