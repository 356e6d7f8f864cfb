/*
 * OpenMetrics text 1.0.0, https://github.com/OpenObservability/OpenMetrics: what obs_metrics_emit()
 * appends. Differences from the older Prometheus text format that matter here: counters' families
 * stand without `_total`, timestamps are seconds, exemplars follow `#`, and the end is marked.
 */
#include "base/clock.h"
#include "base/text.h"
#include "otel/registry.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONSTANT_LABELS_MAX 1024

struct emission {
    struct obs_buffer *b;
    const char *constant; /* `service="…",version="…"` */
    const struct obs_metric *metric;
    const char *labels; /* of the series */
};

static void append_number(struct obs_buffer *b, double value)
{
    char text[OBS_TEXT_NUMBER_SIZE];

    if (fabs(value) < 1e15 && value == floor(value)) /* most values; several times as fast */
        obs_buffer_printf(b, "%" PRId64, (int64_t)value);
    else
        obs_buffer_append_text(b, obs_text_number(value, text));
}

/* Bounds are spelled as floats, so that `le` is the same text whoever exposes it. */
static void append_bound(struct obs_buffer *b, double bound)
{
    append_number(b, bound);
    if (bound == floor(bound))
        obs_buffer_append_text(b, ".0");
}

/* `name_suffix{constant,labels` with the brace still open. */
static void append_sample(const struct emission *e, const char *suffix)
{
    obs_buffer_append_text(e->b, e->metric->name);
    obs_buffer_append_text(e->b, suffix);
    obs_buffer_append_char(e->b, '{');
    obs_buffer_append_text(e->b, e->constant);
    if (*e->labels) {
        obs_buffer_append_char(e->b, ',');
        obs_buffer_append_text(e->b, e->labels);
    }
}

static void append_value(const struct emission *e, const char *suffix, double value)
{
    append_sample(e, suffix);
    obs_buffer_append_text(e->b, "} ");
    append_number(e->b, value);
    obs_buffer_append_char(e->b, '\n');
}

static void append_exemplar(struct obs_buffer *b, struct exemplar *exemplar)
{
    char trace_id[33], span_id[17];
    struct exemplar_value kept;

    if (!registry_exemplar_read(exemplar, &kept))
        return;
    obs_text_hex(kept.trace_id, sizeof(kept.trace_id), trace_id);
    obs_text_hex(kept.span_id, sizeof(kept.span_id), span_id);
    obs_buffer_printf(b, " # {trace_id=\"%s\",span_id=\"%s\"} ", trace_id, span_id);
    append_number(b, kept.value);
    obs_buffer_printf(b, " %" PRIu64 ".%03u", (uint64_t)(kept.time_ns / OBS_NS_PER_SECOND),
                      (unsigned)(kept.time_ns % OBS_NS_PER_SECOND / OBS_NS_PER_MS));
}

static void append_histogram(const struct emission *e, struct histogram *h)
{
    uint64_t total = 0;

    for (size_t i = 0; i <= e->metric->bucket_count; i++) {
        total += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        append_sample(e, "_bucket");
        obs_buffer_append_text(e->b, ",le=\"");
        if (i < e->metric->bucket_count)
            append_bound(e->b, e->metric->buckets[i]);
        else
            obs_buffer_append_text(e->b, "+Inf");
        obs_buffer_append_text(e->b, "\"} ");
        append_number(e->b, (double)total);
        append_exemplar(e->b, &h->exemplars[i]);
        obs_buffer_append_char(e->b, '\n');
    }
    append_value(e, "_sum", registry_double(atomic_load(&h->sum)));
    append_value(e, "_count", (double)total);
}

static void append_series(struct emission *e, struct obs_metric_series *series)
{
    e->labels = series->labels;
    if (e->metric->type == OBS_HISTOGRAM)
        append_histogram(e, series->histogram);
    else
        append_value(e, e->metric->type == OBS_COUNTER ? "_total" : "",
                     registry_double(atomic_load(&series->value)));
}

/* "If specified, the unit MUST be a suffix of the metric family name". */
static bool name_has_unit(const struct obs_metric *metric)
{
    size_t name = strlen(metric->name), unit = strlen(metric->unit);

    return unit > 0 && name > unit + 1 && metric->name[name - unit - 1] == '_' &&
           strcmp(metric->name + name - unit, metric->unit) == 0;
}

static void append_head(const struct emission *e)
{
    static const char *const types[] = {
        [OBS_COUNTER] = "counter", [OBS_GAUGE] = "gauge", [OBS_HISTOGRAM] = "histogram"};

    obs_buffer_printf(e->b, "# TYPE %s %s\n", e->metric->name, types[e->metric->type]);
    if (name_has_unit(e->metric))
        obs_buffer_printf(e->b, "# UNIT %s %s\n", e->metric->name, e->metric->unit);
    obs_buffer_printf(e->b, "# HELP %s ", e->metric->name);
    registry_append_escaped(e->b, e->metric->help);
    obs_buffer_append_char(e->b, '\n');
}

static bool series_is_used(struct obs_metric_series *series)
{
    size_t buckets = series->family->metric.bucket_count;

    if (!series->histogram)
        return atomic_load(&series->value) != 0;
    for (size_t i = 0; i <= buckets; i++)
        if (atomic_load(&series->histogram->counts[i]) != 0)
            return true;
    return false;
}

static void append_family(struct emission *e, struct obs_metric_family *family)
{
    struct obs_metric_series *series = atomic_load(&family->first);

    if (!series)
        return;
    e->metric = &family->metric;
    append_head(e);
    for (; series; series = atomic_load_explicit(&series->next, memory_order_acquire))
        append_series(e, series);
    if (family->other && series_is_used(family->other))
        append_series(e, family->other);
}

static void run_collectors(struct obs_metrics *metrics)
{
    struct collector collectors[REGISTRY_COLLECTORS_MAX];
    size_t count;

    pthread_mutex_lock(&metrics->lock);
    count = metrics->collector_count;
    memcpy(collectors, metrics->collectors, sizeof(collectors));
    pthread_mutex_unlock(&metrics->lock);
    for (size_t i = 0; i < count; i++) /* unlocked: they may add families */
        collectors[i].collect(metrics, collectors[i].userdata);
}

static int constant_labels(struct obs_metrics *metrics, struct obs_buffer *constant)
{
    char version[REGISTRY_VERSION_SIZE];

    pthread_mutex_lock(&metrics->lock);
    memcpy(version, metrics->version, sizeof(version));
    pthread_mutex_unlock(&metrics->lock);
    obs_buffer_append_text(constant, "service=\"");
    registry_append_escaped(constant, metrics->service);
    obs_buffer_append_text(constant, "\",version=\"");
    registry_append_escaped(constant, version);
    return obs_buffer_append_text(constant, "\"");
}

int obs_metrics_emit(struct obs_metrics *metrics, struct obs_buffer *b)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer constant = OBS_BUFFER_INIT(CONSTANT_LABELS_MAX);
    struct emission e = {.b = b};
    struct obs_metric_family *family;
    int r = constant_labels(metrics, &constant);

    if (r < 0)
        return r;
    e.constant = constant.data;
    pthread_mutex_lock(&metrics->emitting);
    run_collectors(metrics);
    for (family = atomic_load(&metrics->first); family; family = atomic_load(&family->next))
        append_family(&e, family);
    pthread_mutex_unlock(&metrics->emitting);
    return obs_buffer_append_text(b, "# EOF\n");
}
