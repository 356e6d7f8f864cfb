/*
 * Updates are single atomic operations on the series' own words: an addition for a bucket, a
 * compare-and-swap loop for doubles. The text of a series' labels is made once, when the series is.
 *
 * An exemplar is replaced by every sampled observation of its bucket. Two threads that want to
 * write the same one at once do not wait for each other: the second leaves, its trace is as good as
 * the first.
 */
#include "otel/metrics.h"

#include "base/clock.h"
#include "otel/registry.h"
#include "otel/trace.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define LABELS_TEXT_MAX 4096

static struct obs_metric_series *series_free(struct obs_metric_series *series)
{
    if (!series)
        return NULL;
    if (series->histogram)
        free(series->histogram->exemplars);
    free(series->histogram);
    free(series->labels);
    free(series->values);
    free(series);
    return NULL;
}

static struct obs_metric_family *family_free(struct obs_metric_family *family)
{
    struct obs_metric_series *series, *next;

    if (!family)
        return NULL;
    for (series = atomic_load(&family->first); series; series = next) {
        next = atomic_load(&series->next);
        series_free(series);
    }
    series_free(family->other);
    free(family->heads);
    pthread_mutex_destroy(&family->lock);
    free(family);
    return NULL;
}

struct obs_metrics *obs_metrics_free(struct obs_metrics *metrics)
{
    struct obs_metric_family *family, *next;

    if (!metrics)
        return NULL;
    for (family = atomic_load(&metrics->first); family; family = next) {
        next = atomic_load(&family->next);
        family_free(family);
    }
    pthread_mutex_destroy(&metrics->lock);
    pthread_mutex_destroy(&metrics->emitting);
    free(metrics->service);
    free(metrics);
    return NULL;
}

int obs_metrics_new(const char *service, const char *version, struct obs_metrics **ret_metrics)
{
    OBS_CLEANUP(obs_metrics_freep) struct obs_metrics *metrics = calloc(1, sizeof(*metrics));

    if (!metrics)
        return -ENOMEM;
    pthread_mutex_init(&metrics->lock, NULL);
    pthread_mutex_init(&metrics->emitting, NULL);
    metrics->service = strdup(service);
    if (!metrics->service)
        return -ENOMEM;
    obs_metrics_set_version(metrics, version);
    *ret_metrics = OBS_TAKE(metrics);
    return 0;
}

void obs_metrics_set_version(struct obs_metrics *metrics, const char *version)
{
    pthread_mutex_lock(&metrics->lock);
    strncpy(metrics->version, version, sizeof(metrics->version) - 1);
    pthread_mutex_unlock(&metrics->lock);
}

int obs_metrics_on_collect(struct obs_metrics *metrics,
                           void (*collect)(struct obs_metrics *metrics, void *userdata),
                           void *userdata)
{
    int r = 0;

    pthread_mutex_lock(&metrics->lock);
    if (metrics->collector_count == REGISTRY_COLLECTORS_MAX)
        r = -ENOMEM;
    else
        metrics->collectors[metrics->collector_count++] = (struct collector){collect, userdata};
    pthread_mutex_unlock(&metrics->lock);
    return r;
}

/* ---- series ---- */

int registry_append_escaped(struct obs_buffer *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            obs_buffer_append_text(b, "\\n");
        else if (*text == '"' || *text == '\\')
            obs_buffer_append(b, (const char[]){'\\', *text}, 2);
        else
            obs_buffer_append_char(b, *text);
    }
    return b->error;
}

static char *labels_text(const struct obs_metric_family *family, const char *const *values)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LABELS_TEXT_MAX);

    obs_buffer_append_text(&b, "");
    for (size_t i = 0; i < family->label_count; i++) {
        obs_buffer_append_text(&b, i ? "," : "");
        obs_buffer_append_text(&b, family->metric.labels[i]);
        obs_buffer_append_text(&b, "=\"");
        registry_append_escaped(&b, values[i]);
        obs_buffer_append_text(&b, "\"");
    }
    if (b.error)
        obs_buffer_done(&b);
    return b.data; /* the caller's now */
}

static char *values_copy(const struct obs_metric_family *family, const char *const *values)
{
    size_t size = 1;
    char *copy, *end;

    for (size_t i = 0; i < family->label_count; i++)
        size += strlen(values[i]) + 1;
    copy = end = calloc(1, size);
    for (size_t i = 0; copy && i < family->label_count; i++)
        end = stpcpy(end, values[i]) + 1;
    return copy;
}

static struct histogram *histogram_new(size_t bucket_count)
{
    struct histogram *h = calloc(1, sizeof(*h) + (bucket_count + 1) * sizeof(h->counts[0]));

    if (!h)
        return NULL;
    h->exemplars = calloc(bucket_count + 1, sizeof(*h->exemplars));
    if (!h->exemplars) {
        free(h);
        return NULL;
    }
    return h;
}

static struct obs_metric_series *series_new(struct obs_metric_family *family,
                                            const char *const *values)
{
    struct obs_metric_series *series = calloc(1, sizeof(*series));

    if (!series)
        return NULL;
    series->family = family;
    series->labels = labels_text(family, values);
    series->values = values_copy(family, values);
    if (family->metric.type == OBS_HISTOGRAM)
        series->histogram = histogram_new(family->metric.bucket_count);
    if (!series->labels || !series->values ||
        (family->metric.type == OBS_HISTOGRAM && !series->histogram))
        return series_free(series);
    return series;
}

/* FNV-1a over the values with their ends, so that ("ab","c") and ("a","bc") differ. */
static uint64_t values_hash(const char *const *values, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < count; i++) {
        const unsigned char *c = (const unsigned char *)values[i];

        do
            hash = (hash ^ *c) * 0x100000001b3ULL;
        while (*c++);
    }
    return hash;
}

static bool values_equal(const struct obs_metric_series *series, const char *const *values)
{
    const char *own = series->values;

    for (size_t i = 0; i < series->family->label_count; i++) {
        if (strcmp(own, values[i]) != 0)
            return false;
        own += strlen(own) + 1;
    }
    return true;
}

static struct obs_metric_series *series_find(_Atomic(struct obs_metric_series *) *head,
                                             uint64_t hash, const char *const *values)
{
    struct obs_metric_series *series = atomic_load_explicit(head, memory_order_acquire);

    while (series && !(series->hash == hash && values_equal(series, values)))
        series = atomic_load_explicit(&series->next_hash, memory_order_acquire);
    return series;
}

static void series_append(struct obs_metric_family *family, struct obs_metric_series *series)
{
    if (family->last)
        atomic_store_explicit(&family->last->next, series, memory_order_release);
    else
        atomic_store_explicit(&family->first, series, memory_order_release);
    family->last = series;
    family->series_count++;
}

/* With the family's lock held. */
static struct obs_metric_series *series_add(struct obs_metric_family *family,
                                            _Atomic(struct obs_metric_series *) *head,
                                            uint64_t hash, const char *const *values)
{
    struct obs_metric_series *series = series_find(head, hash, values);

    if (series)
        return series;
    if (family->series_count < OBS_METRIC_SERIES_MAX)
        series = series_new(family, values);
    if (!series)
        return family->other;
    series->hash = hash;
    atomic_store_explicit(&series->next_hash, atomic_load(head), memory_order_relaxed);
    atomic_store_explicit(head, series, memory_order_release);
    series_append(family, series);
    return series;
}

struct obs_metric_series *obs_metric_series(struct obs_metric_family *family,
                                            const char *const *values)
{
    struct obs_metric_series *series;
    _Atomic(struct obs_metric_series *) *head;
    uint64_t hash;

    if (family->label_count == 0)
        return atomic_load_explicit(&family->first, memory_order_acquire);
    hash = values_hash(values, family->label_count);
    head = &family->heads[hash % REGISTRY_HASH_SIZE];
    series = series_find(head, hash, values);
    if (series)
        return series;
    pthread_mutex_lock(&family->lock);
    series = series_add(family, head, hash, values);
    pthread_mutex_unlock(&family->lock);
    return series;
}

struct obs_metric_series *obs_metric_only(struct obs_metric_family *family)
{
    assert(family->label_count == 0);
    return obs_metric_series(family, NULL);
}

/* ---- families ---- */

static const char *const OTHER[OBS_METRIC_LABELS_MAX] = {"other", "other", "other",
                                                         "other", "other", "other"};

static struct obs_metric_family *family_new(struct obs_metrics *metrics,
                                            const struct obs_metric *metric)
{
    struct obs_metric_family *family = calloc(1, sizeof(*family));
    struct obs_metric_series *first;

    if (!family)
        return NULL;
    pthread_mutex_init(&family->lock, NULL);
    family->metrics = metrics;
    family->metric = *metric;
    while (metric->labels[family->label_count])
        family->label_count++;
    first = series_new(family, OTHER);
    if (!first)
        return family_free(family);
    if (family->label_count == 0) {
        series_append(family, first);
        return family;
    }
    family->other = first;
    family->heads = calloc(REGISTRY_HASH_SIZE, sizeof(*family->heads));
    return family->heads ? family : family_free(family);
}

static bool is_same_shape(const struct obs_metric *a, const struct obs_metric *b)
{
    if (a->type != b->type || a->bucket_count != b->bucket_count)
        return false;
    for (size_t i = 0; i <= OBS_METRIC_LABELS_MAX; i++) {
        if (!a->labels[i] || !b->labels[i])
            return a->labels[i] == b->labels[i];
        if (strcmp(a->labels[i], b->labels[i]) != 0)
            return false;
    }
    return true;
}

static struct obs_metric_family *family_find(struct obs_metrics *metrics, const char *name)
{
    struct obs_metric_family *family = atomic_load(&metrics->first);

    while (family && strcmp(family->metric.name, name) != 0)
        family = atomic_load(&family->next);
    return family;
}

struct obs_metric_family *obs_metrics_family(struct obs_metrics *metrics,
                                             const struct obs_metric *metric)
{
    struct obs_metric_family *family;

    pthread_mutex_lock(&metrics->lock);
    family = family_find(metrics, metric->name);
    if (family) {
        assert(is_same_shape(&family->metric, metric));
    } else {
        family = family_new(metrics, metric);
        if (family) {
            if (metrics->last)
                atomic_store_explicit(&metrics->last->next, family, memory_order_release);
            else
                atomic_store_explicit(&metrics->first, family, memory_order_release);
            metrics->last = family;
        }
    }
    pthread_mutex_unlock(&metrics->lock);
    return family;
}

/* ---- updates ---- */

static void double_add(_Atomic uint64_t *bits, double value)
{
    uint64_t old = atomic_load_explicit(bits, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(bits, &old,
                                                  registry_bits(registry_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void obs_counter_add(struct obs_metric_series *series, double value)
{
    assert(value >= 0);
    double_add(&series->value, value);
}

void obs_counter_set(struct obs_metric_series *series, double total)
{
    atomic_store_explicit(&series->value, registry_bits(total), memory_order_relaxed);
}

void obs_gauge_set(struct obs_metric_series *series, double value)
{
    atomic_store_explicit(&series->value, registry_bits(value), memory_order_relaxed);
}

void obs_gauge_add(struct obs_metric_series *series, double value)
{
    double_add(&series->value, value);
}

/* Release stores keep the words behind the odd sequence, the acquire loads of the reader keep its
 * second look at the sequence behind the words. */
static void exemplar_write(struct exemplar *exemplar, double value,
                           const struct obs_trace_context *context, uint64_t time_ns)
{
    unsigned sequence = atomic_load_explicit(&exemplar->sequence, memory_order_relaxed);
    uint64_t words[5] = {0};

    memcpy(words, context->trace_id, 16);
    memcpy(words + 2, context->span_id, 8);
    words[3] = registry_bits(value);
    words[4] = time_ns;
    if ((sequence & 1) ||
        !atomic_compare_exchange_strong_explicit(&exemplar->sequence, &sequence, sequence + 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    for (size_t i = 0; i < OBS_COUNT(words); i++)
        atomic_store_explicit(&exemplar->words[i], words[i], memory_order_release);
    atomic_store_explicit(&exemplar->sequence, sequence + 2, memory_order_release);
}

bool registry_exemplar_read(struct exemplar *exemplar, struct exemplar_value *ret_value)
{
    uint64_t words[5];

    for (int tries = 0; tries < 8; tries++) {
        unsigned sequence = atomic_load_explicit(&exemplar->sequence, memory_order_acquire);

        if (sequence == 0)
            return false;
        for (size_t i = 0; i < OBS_COUNT(words); i++)
            words[i] = atomic_load_explicit(&exemplar->words[i], memory_order_acquire);
        if ((sequence & 1) ||
            atomic_load_explicit(&exemplar->sequence, memory_order_relaxed) != sequence)
            continue;
        memcpy(ret_value->trace_id, words, 16);
        memcpy(ret_value->span_id, words + 2, 8);
        ret_value->value = registry_double(words[3]);
        ret_value->time_ns = words[4];
        return true;
    }
    return false;
}

static size_t bucket_of(const struct obs_metric *metric, double value)
{
    size_t bucket = 0;

    while (bucket < metric->bucket_count && !(value <= metric->buckets[bucket]))
        bucket++;
    return bucket;
}

void obs_histogram_observe(struct obs_metric_series *series, double value,
                           const struct obs_trace_context *context)
{
    struct histogram *h = series->histogram;
    size_t bucket = bucket_of(&series->family->metric, value);

    atomic_fetch_add_explicit(&h->counts[bucket], 1, memory_order_relaxed);
    double_add(&h->sum, value);
    if (context && obs_trace_is_sampled(context))
        exemplar_write(&h->exemplars[bucket], value, context, obs_time_ns());
}

void obs_histogram_set(struct obs_metric_series *series, const uint64_t *counts, double sum)
{
    struct histogram *h = series->histogram;

    for (size_t i = 0; i <= series->family->metric.bucket_count; i++)
        atomic_store_explicit(&h->counts[i], counts[i], memory_order_relaxed);
    atomic_store_explicit(&h->sum, registry_bits(sum), memory_order_relaxed);
}

void obs_histogram_exemplar(struct obs_metric_series *series, double value,
                            const struct obs_trace_context *context, uint64_t time_ns)
{
    size_t bucket = bucket_of(&series->family->metric, value);

    exemplar_write(&series->histogram->exemplars[bucket], value, context, time_ns);
}
