#include "otel/exporter.h"

#include "base/clock.h"
#include "base/log.h"
#include "otel/otlp.h"
#include "otel/retry.h"
#include <string.h>

#define CALL_TIMEOUT_MS 5000
#define PAUSE_MAX_MS 5000
#define RETRY_AFTER_MAX_MS 30000
#define WARN_EVERY_NS (60 * OBS_NS_PER_SECOND)

struct batch {
    size_t spans;
    size_t end; /* offset in the queue's draining buffer */
    uint16_t version;
    struct obs_buffer body;
};

enum export_outcome {
    EXPORT_OK = 0,
    EXPORT_LATER = 1,
    EXPORT_REFUSED = 2,
};

struct export_result {
    int status;        /* 0: no reply */
    int error;         /* < 0: why there was none */
    uint64_t rejected; /* spans, with EXPORT_OK */
    uint64_t retry_after_ms;
};

/* ---- versions ---- */

void obs_exporter_set_version(struct obs_exporter *e, const char *version)
{
    uint16_t i = 0;

    pthread_mutex_lock(&e->version_lock);
    while (i < OBS_EXPORTER_VERSIONS_MAX - 1 && e->versions[i] &&
           strcmp(e->versions[i], version) != 0)
        i++;
    if (!e->versions[i])
        e->versions[i] = strdup(version);
    if (e->versions[i])
        atomic_store(&e->version, i);
    pthread_mutex_unlock(&e->version_lock);
}

static const char *version_text(struct obs_exporter *e, uint16_t version)
{
    const char *text;

    pthread_mutex_lock(&e->version_lock);
    text = e->versions[version];
    pthread_mutex_unlock(&e->version_lock);
    return text ? text : ""; /* never changed once set */
}

/* ---- one request ---- */

/* A batch ends where the version changes, because a request has one resource. */
static size_t batch_measure(const struct obs_span_queue *q, struct batch *batch)
{
    struct obs_queued_span span;
    size_t at = q->drained, spans_size = 0;

    while (batch->spans < q->batch_max && obs_span_queue_next(q, &at, &span)) {
        if (batch->spans == 0)
            batch->version = span.version;
        if (span.version != batch->version)
            break;
        spans_size += obs_otlp_span_size(span.size);
        batch->spans++;
        batch->end = at;
    }
    return spans_size;
}

static int batch_make(struct obs_exporter *e, struct batch *batch)
{
    size_t spans_size = batch_measure(&e->queue, batch);
    struct obs_queued_span span;
    size_t at = e->queue.drained;

    obs_otlp_begin(&batch->body, &e->resource, version_text(e, batch->version), spans_size);
    while (at < batch->end && obs_span_queue_next(&e->queue, &at, &span))
        obs_otlp_append_span(&batch->body, span.encoded, span.size);
    return batch->body.error;
}

static int judge(const struct obs_http_reply_data *reply, struct export_result *result)
{
    result->status = reply->status;
    switch (reply->status) {
    case 200 ... 299:
        result->rejected = obs_otlp_rejected(reply->body.data, reply->body.size);
        return EXPORT_OK;
    case 429:
    case 502:
    case 503:
    case 504:
        result->retry_after_ms = obs_retry_after_ms(&reply->parsed, RETRY_AFTER_MAX_MS);
        return EXPORT_LATER;
    default:
        return EXPORT_REFUSED;
    }
}

static int post(struct obs_exporter *e, const struct batch *batch, struct export_result *result)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call call = {
        .method = "POST",
        .target = e->target,
        .body = batch->body.data,
        .body_size = batch->body.size,
        .content_type = "application/x-protobuf",
        .timeout_ms = obs_span_queue_time_left_ms(&e->queue, CALL_TIMEOUT_MS),
    };

    *result = (struct export_result){0};
    if (call.timeout_ms == 0)
        return EXPORT_LATER;
    atomic_fetch_add(&e->batches, 1);
    result->error = obs_http_client_call(e->client, &call, &reply);
    return result->error < 0 ? EXPORT_LATER : judge(&reply, result);
}

/* ---- again and again ---- */

static uint64_t pause_ms(const struct obs_exporter *e, unsigned attempt,
                         const struct export_result *result)
{
    uint64_t pause = obs_retry_pause_ms(e->retry_ms, attempt, PAUSE_MAX_MS);

    return result->retry_after_ms > pause ? result->retry_after_ms : pause;
}

static void warn(struct obs_exporter *e, const struct export_result *result, size_t spans)
{
    uint64_t now_ns = obs_mono_ns();

    if (e->warned_ns != 0 && now_ns - e->warned_ns < WARN_EVERY_NS)
        return;
    e->warned_ns = now_ns;
    obs_log(OBS_LOG_WARN, "spans not delivered, ignoring", OBS_INT("spans", spans),
            OBS_INT("http.response.status_code", result->status),
            OBS_TEXT("error", result->error < 0 ? strerror(-result->error) : ""));
}

/* Return: EXPORT_OK or EXPORT_REFUSED. */
static int post_until_settled(struct obs_exporter *e, const struct batch *batch,
                              struct export_result *result)
{
    uint64_t give_up_ns = obs_mono_ns() + e->give_up_ms * OBS_NS_PER_MS;

    for (unsigned attempt = 0;; attempt++) {
        int r = post(e, batch, result);
        uint64_t next_ns;

        if (r == EXPORT_OK)
            return r;
        atomic_fetch_add(&e->failures, 1);
        if (r == EXPORT_REFUSED)
            return r;
        next_ns = obs_mono_ns() + pause_ms(e, attempt, result) * OBS_NS_PER_MS;
        if (next_ns > give_up_ns)
            return EXPORT_REFUSED;
        obs_span_queue_sleep(&e->queue, next_ns);
        if (obs_span_queue_time_left_ms(&e->queue, CALL_TIMEOUT_MS) == 0)
            return EXPORT_REFUSED;
    }
}

static void settle(struct obs_exporter *e, const struct batch *batch, int r,
                   const struct export_result *result)
{
    uint64_t lost = r == EXPORT_OK ? result->rejected : batch->spans;

    if (lost > batch->spans)
        lost = batch->spans;
    atomic_fetch_add(&e->exported, batch->spans - lost);
    atomic_fetch_add(&e->dropped, lost);
    if (lost > 0)
        warn(e, result, (size_t)lost);
    obs_span_queue_release(&e->queue, batch->end, batch->spans);
}

static void export_batch(struct obs_exporter *e)
{
    struct batch batch = {.body = OBS_BUFFER_INIT(SIZE_MAX / 2)};
    struct export_result result = {0};
    int r = batch_make(e, &batch);

    if (r < 0) {
        result.error = r; /* no memory for the request: these spans go, the program stays */
        r = EXPORT_REFUSED;
    } else {
        r = post_until_settled(e, &batch, &result);
    }
    settle(e, &batch, r, &result);
    obs_buffer_done(&batch.body);
}

void obs_exporter_run(struct obs_exporter *e)
{
    while (obs_span_queue_wait(&e->queue))
        export_batch(e);
}
