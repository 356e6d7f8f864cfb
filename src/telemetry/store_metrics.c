#include "telemetry/store_metrics.h"

#include <errno.h>

#define STORE_METRICS(ROW)                                                                         \
    ROW(spans, "telemetry_store_spans", OBS_GAUGE, "", "Spans that are kept")                      \
    ROW(lines, "telemetry_store_lines", OBS_GAUGE, "", "Log lines that are kept")                  \
    ROW(segments, "telemetry_store_segments", OBS_GAUGE, "", "Segments on disk")                   \
    ROW(disk_bytes, "telemetry_store_disk_bytes", OBS_GAUGE, "bytes", "Segments and logs on disk") \
    ROW(head_bytes, "telemetry_store_head_bytes", OBS_GAUGE, "bytes",                              \
        "Memory of what is not yet in a segment")                                                  \
    ROW(damaged_segments, "telemetry_store_damaged_segments", OBS_COUNTER, "",                     \
        "Damaged files set aside, and logs with damaged batches")                                  \
    ROW(damaged_blocks, "telemetry_store_damaged_blocks", OBS_COUNTER, "",                         \
        "Times that a block could not be read")                                                    \
    ROW(dropped_segments, "telemetry_store_dropped_segments", OBS_COUNTER, "",                     \
        "Segments dropped by retention")

static const struct obs_metric METRICS[] = {
#define ROW(field, name_, type_, unit_, help_)                                                     \
    {.name = name_, .type = type_, .unit = unit_, .help = help_},
    STORE_METRICS(ROW)
#undef ROW
};

static void collect(struct obs_metrics *metrics, void *userdata)
{
    struct store_stats stats;
    const struct obs_metric *metric = METRICS;

    store_stats(userdata, &stats);
#define ROW(field, name_, type_, unit_, help_)                                                     \
    (type_ == OBS_GAUGE ? obs_gauge_set : obs_counter_set)(                                        \
        obs_metric_only(obs_metrics_family(metrics, metric++)), (double)stats.field);
    STORE_METRICS(ROW)
#undef ROW
}

int store_metrics_start(struct store *store, struct obs_metrics *metrics)
{
    for (size_t i = 0; i < OBS_COUNT(METRICS); i++)
        if (!obs_metrics_family(metrics, &METRICS[i]))
            return -ENOMEM;
    return obs_metrics_on_collect(metrics, collect, store);
}
