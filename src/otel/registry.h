#pragma once
/*
 * Registry: the inside of otel/metrics.h, shared by metrics.c (updates) and openmetrics.c (text).
 *
 * Families and series are only ever added, at the end of singly linked lists with release stores,
 * so readers walk them without a lock. Adding takes the registry's or the family's mutex.
 */
#include "otel/metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define REGISTRY_VERSION_SIZE 64
#define REGISTRY_COLLECTORS_MAX 16
#define REGISTRY_HASH_SIZE 128 /* heads per labelled family; a power of two */

/* One writer at a time: `sequence` is odd while the words change, and who finds it odd leaves. */
struct exemplar {
    atomic_uint sequence; /* 0: never set */
    _Atomic uint64_t words[5];
};

struct exemplar_value {
    uint8_t trace_id[16], span_id[8];
    double value;
    uint64_t time_ns;
};

struct histogram {
    _Atomic uint64_t sum;       /* bits of a double */
    struct exemplar *exemplars; /* [bucket_count + 1] */
    _Atomic uint64_t counts[];  /* [bucket_count + 1], not cumulative; the last is +Inf's */
};

struct obs_metric_series {
    struct obs_metric_family *family;
    _Atomic(struct obs_metric_series *) next;      /* in the family, in order of creation */
    _Atomic(struct obs_metric_series *) next_hash; /* in the hash chain */
    uint64_t hash;
    _Atomic uint64_t value; /* bits of a double: counters and gauges */
    struct histogram *histogram;
    char *labels; /* `route="/x",method="GET"`, escaped; "" without labels */
    char *values; /* as given, each with its NUL, one after the other */
};

struct obs_metric_family {
    struct obs_metrics *metrics;
    struct obs_metric metric;
    size_t label_count;
    _Atomic(struct obs_metric_family *) next;
    pthread_mutex_t lock; /* adding series */
    _Atomic(struct obs_metric_series *) first;
    struct obs_metric_series *last;
    size_t series_count;
    struct obs_metric_series *other; /* past OBS_METRIC_SERIES_MAX, or when memory is short */
    _Atomic(struct obs_metric_series *) *heads; /* [REGISTRY_HASH_SIZE], NULL without labels */
};

struct collector {
    void (*collect)(struct obs_metrics *metrics, void *userdata);
    void *userdata;
};

struct obs_metrics {
    pthread_mutex_t lock; /* families, collectors, version */
    pthread_mutex_t emitting;
    char *service;
    char version[REGISTRY_VERSION_SIZE];
    _Atomic(struct obs_metric_family *) first;
    struct obs_metric_family *last;
    struct collector collectors[REGISTRY_COLLECTORS_MAX];
    size_t collector_count;
};

static inline double registry_double(uint64_t bits)
{
    double value;

    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint64_t registry_bits(double value)
{
    uint64_t bits;

    __builtin_memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* Append @text as the inside of a quoted label value (OpenMetrics 1.0.0, escaped-string). */
int registry_append_escaped(struct obs_buffer *b, const char *text);
/* False when there is none, or it changes all the time. */
bool registry_exemplar_read(struct exemplar *exemplar, struct exemplar_value *ret_value);
