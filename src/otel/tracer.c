/*
 * A tracer decides which new traces are recorded, and hands ended spans to its exporter.
 *
 * The exporter's thread may sit in a call to a receiver that does not answer when the tracer is
 * freed. Waiting would hold up the program's end, so past the caller's patience the thread is left
 * behind as the tracer's owner: it frees it when the call returns, or the process ends first.
 */
#include "otel/tracer.h"

#include "base/clock.h"
#include "otel/endpoint.h"
#include "otel/exporter.h"
#include "otel/otlp.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define QUEUE_LIMIT 4096
#define BATCH_MAX 512
#define FLUSH_MS 1000
#define RETRY_MS 200
#define GIVE_UP_MS 60000

struct obs_tracer {
    _Atomic uint64_t sample_below; /* compared with the low half of a trace id */
    _Atomic uint64_t ended;
    struct obs_exporter exporter; /* unused without an endpoint */
    bool is_exporting;

    pthread_t thread;
    pthread_mutex_t lock; /* the two below */
    pthread_cond_t finished;
    bool is_finished, is_left_behind;
};

static struct obs_tracer *tracer_destroy(struct obs_tracer *tracer)
{
    struct obs_exporter *e = &tracer->exporter;

    obs_http_client_free(e->client);
    obs_span_queue_done(&e->queue);
    obs_buffer_done(&e->resource);
    for (size_t i = 0; i < OBS_COUNT(e->versions); i++)
        free(e->versions[i]);
    pthread_mutex_destroy(&e->version_lock);
    pthread_mutex_destroy(&tracer->lock);
    pthread_cond_destroy(&tracer->finished);
    free(tracer);
    return NULL;
}

static void *export_thread(void *userdata)
{
    struct obs_tracer *tracer = userdata;
    bool is_left_behind;

    obs_exporter_run(&tracer->exporter);
    pthread_mutex_lock(&tracer->lock);
    tracer->is_finished = true;
    is_left_behind = tracer->is_left_behind;
    pthread_cond_signal(&tracer->finished);
    pthread_mutex_unlock(&tracer->lock);
    if (is_left_behind)
        tracer_destroy(tracer);
    return NULL;
}

/* Signals are the program's business; only the profiler's must reach every thread. */
static int start_thread(struct obs_tracer *tracer)
{
    sigset_t blocked, before;
    int r;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    r = pthread_create(&tracer->thread, NULL, export_thread, tracer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -r;
    pthread_setname_np(tracer->thread, "span-export");
    return 0;
}

static int start_export(struct obs_tracer *tracer, const struct obs_tracer_options *options)
{
    struct obs_exporter *e = &tracer->exporter;
    struct obs_endpoint endpoint;
    int r = obs_endpoint_parse(options->endpoint, &endpoint, NULL);

    if (r != 0)
        return r < 0 ? r : -EINVAL;
    endpoint.client.idle_max = 1;
    snprintf(e->target, sizeof(e->target), "%s/v1/traces", endpoint.prefix);
    r = obs_otlp_resource(options->service, options->resource, &e->resource);
    if (r == 0)
        r = obs_http_client_new(&endpoint.client, &e->client);
    if (r == 0)
        r = start_thread(tracer);
    tracer->is_exporting = r == 0;
    return r;
}

static unsigned or_default(size_t value, unsigned standard)
{
    return value ? (unsigned)value : standard;
}

static void init_exporter(struct obs_exporter *e, const struct obs_tracer_options *options)
{
    size_t limit = options->queue_limit ? options->queue_limit : QUEUE_LIMIT;

    obs_span_queue_init(&e->queue, limit, or_default(options->batch_max, BATCH_MAX),
                        or_default(options->flush_ms, FLUSH_MS) * OBS_NS_PER_MS);
    e->resource = OBS_BUFFER_INIT(16384);
    e->retry_ms = or_default(options->retry_ms, RETRY_MS);
    e->give_up_ms = or_default(options->give_up_ms, GIVE_UP_MS);
    pthread_mutex_init(&e->version_lock, NULL);
    obs_exporter_set_version(e, options->version ? options->version : "");
}

int obs_tracer_new(const struct obs_tracer_options *options, struct obs_tracer **ret_tracer)
{
    struct obs_tracer *tracer = calloc(1, sizeof(*tracer));
    pthread_condattr_t monotonic;
    int r = 0;

    if (!tracer)
        return -ENOMEM;
    pthread_mutex_init(&tracer->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&tracer->finished, &monotonic);
    pthread_condattr_destroy(&monotonic);
    init_exporter(&tracer->exporter, options);
    obs_tracer_set_ratio(tracer, options->sample_ratio);
    if (options->endpoint && *options->endpoint)
        r = start_export(tracer, options);
    if (r < 0) {
        tracer_destroy(tracer);
        return r;
    }
    *ret_tracer = tracer;
    return 0;
}

/* Return: the thread is gone, and the caller owns the tracer again. */
static bool wait_for_thread(struct obs_tracer *tracer, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % OBS_NS_PER_SECOND)};
    bool is_finished;
    int r = 0;

    pthread_mutex_lock(&tracer->lock);
    while (!tracer->is_finished && r == 0)
        r = pthread_cond_timedwait(&tracer->finished, &tracer->lock, &until);
    is_finished = tracer->is_finished;
    if (!is_finished) {
        tracer->is_left_behind = true;
        pthread_detach(tracer->thread);
    }
    pthread_mutex_unlock(&tracer->lock);
    if (is_finished)
        pthread_join(tracer->thread, NULL);
    return is_finished;
}

struct obs_tracer *obs_tracer_free(struct obs_tracer *tracer, unsigned timeout_ms)
{
    uint64_t stop_ns = obs_mono_ns() + timeout_ms * OBS_NS_PER_MS;

    if (!tracer)
        return NULL;
    if (tracer->is_exporting) {
        obs_span_queue_stop(&tracer->exporter.queue, stop_ns);
        if (!wait_for_thread(tracer, stop_ns + 100 * OBS_NS_PER_MS))
            return NULL;
    }
    return tracer_destroy(tracer);
}

void obs_tracer_set_version(struct obs_tracer *tracer, const char *version)
{
    obs_exporter_set_version(&tracer->exporter, version);
}

void obs_tracer_set_ratio(struct obs_tracer *tracer, double sample_ratio)
{
    uint64_t below = sample_ratio >= 1   ? UINT64_MAX
                     : sample_ratio <= 0 ? 0
                                         : (uint64_t)(sample_ratio * 0x1p64);

    atomic_store(&tracer->sample_below, below);
}

bool obs_tracer_is_sampled(struct obs_tracer *tracer, const uint8_t trace_id[16])
{
    uint64_t below = atomic_load_explicit(&tracer->sample_below, memory_order_relaxed);
    uint64_t low;

    memcpy(&low, trace_id + 8, sizeof(low));
    return below == UINT64_MAX || low < below;
}

void obs_tracer_take(struct obs_tracer *tracer, const struct obs_span *span)
{
    struct obs_exporter *e = &tracer->exporter;
    uint8_t encoded[OBS_OTLP_SPAN_MAX];
    size_t size;

    atomic_fetch_add_explicit(&tracer->ended, 1, memory_order_relaxed);
    if (!tracer->is_exporting)
        return;
    size = obs_otlp_encode_span(span, encoded);
    if (obs_span_queue_put(&e->queue, atomic_load_explicit(&e->version, memory_order_relaxed),
                           encoded, size) != OBS_SPAN_QUEUE_OK)
        atomic_fetch_add_explicit(&e->dropped, 1, memory_order_relaxed);
}

void obs_tracer_stats(struct obs_tracer *tracer, struct obs_tracer_stats *ret_stats)
{
    struct obs_exporter *e = &tracer->exporter;

    *ret_stats = (struct obs_tracer_stats){
        .ended = atomic_load(&tracer->ended),
        .exported = atomic_load(&e->exported),
        .dropped = atomic_load(&e->dropped),
        .batches = atomic_load(&e->batches),
        .failures = atomic_load(&e->failures),
        .queued = obs_span_queue_count(&e->queue),
    };
}
