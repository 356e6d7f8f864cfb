#pragma once
/*
 * Metrics: counters, gauges and histograms, exposed as OpenMetrics text 1.0.0 with exemplars.
 *
 * A family has a name and label names; a series is one set of label values. Look a series up once
 * and keep the pointer: it lives as long as the registry. Updates take no lock shared between
 * series. Every series carries the registry's constant labels (`service`, `version`).
 *
 * Names stand in otel/names.h; units are Prometheus's base units (seconds, bytes).
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

#define OBS_METRIC_LABELS_MAX 6
#define OBS_METRIC_SERIES_MAX                                                                      \
    1000 /* per family; past it, updates go to one series labelled "other" */

struct obs_metrics;
struct obs_metric_family;
struct obs_metric_series;
struct obs_trace_context;

enum obs_metric_type { OBS_COUNTER, OBS_GAUGE, OBS_HISTOGRAM };

struct obs_metric {
    const char *name; /* counters without "_total": the emitter adds it */
    enum obs_metric_type type;
    const char *unit; /* "seconds", "bytes"; "" for none */
    const char *help;
    const char *labels[OBS_METRIC_LABELS_MAX + 1]; /* ends with NULL */
    const double *buckets;                         /* histograms: ascending upper bounds, no +Inf */
    size_t bucket_count;
};

/* Seconds, 1 ms to 10 s: http.server.request.duration's advised bounds plus finer ones below. */
extern const double OBS_DURATION_BUCKETS[];
extern const size_t OBS_DURATION_BUCKET_COUNT;

int obs_metrics_new(const char *service, const char *version, struct obs_metrics **ret_metrics);
struct obs_metrics *obs_metrics_free(struct obs_metrics *metrics);
/* The version label of everything emitted from now on. Any thread. */
void obs_metrics_set_version(struct obs_metrics *metrics, const char *version);

/* NULL on -ENOMEM only; a name registered twice with the same shape gives the same family, with
 * another shape is a bug. @metric is copied; strings inside are borrowed for the registry's life.
 */
struct obs_metric_family *obs_metrics_family(struct obs_metrics *metrics,
                                             const struct obs_metric *metric);
/* @values: one per label, copied. Thread-safe. Never NULL (the "other" series past the limit). */
struct obs_metric_series *obs_metric_series(struct obs_metric_family *family,
                                            const char *const *values);
/* Series of a family without labels. */
struct obs_metric_series *obs_metric_only(struct obs_metric_family *family);

void obs_counter_add(struct obs_metric_series *series, double value);
/* A counter that mirrors a total kept elsewhere; never goes down but to 0. */
void obs_counter_set(struct obs_metric_series *series, double total);
void obs_gauge_set(struct obs_metric_series *series, double value);
void obs_gauge_add(struct obs_metric_series *series, double value);
/* @context: sampled trace to keep as the bucket's exemplar (trace_id, span_id); NULL for none. */
void obs_histogram_observe(struct obs_metric_series *series, double value,
                           const struct obs_trace_context *context);
/* A histogram that mirrors one kept elsewhere: @counts[bucket_count + 1], one per bucket, not added
 * up, the last for what is over all bounds. */
void obs_histogram_set(struct obs_metric_series *series, const uint64_t *counts, double sum);
/* Keep an exemplar without counting @value; @time_ns: when it was observed, Unix time. */
void obs_histogram_exemplar(struct obs_metric_series *series, double value,
                            const struct obs_trace_context *context, uint64_t time_ns);

/* Called at the start of each emission, to set gauges that are read rather than kept. */
int obs_metrics_on_collect(struct obs_metrics *metrics,
                           void (*collect)(struct obs_metrics *metrics, void *userdata),
                           void *userdata);

/* process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
 * process_start_time_seconds, process_threads of this process. */
int obs_metrics_add_process(struct obs_metrics *metrics);

#define OBS_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
/* Append the exposition, with "# EOF". Return: 0 or the buffer's error. Thread-safe. */
int obs_metrics_emit(struct obs_metrics *metrics, struct obs_buffer *b);
OBS_DEFINE_CLEANUP(struct obs_metrics *, obs_metrics_free)
