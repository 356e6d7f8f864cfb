#include "otel/span_queue.h"

#include "base/clock.h"
#include "otel/otlp.h"
#include <string.h>

#define KEPT_BYTES 16384 /* a buffer that grew past this is given back when it is empty */

struct record_head {
    uint16_t version, size;
};

void obs_span_queue_init(struct obs_span_queue *q, size_t limit, size_t batch_max,
                         uint64_t flush_ns)
{
    size_t bytes = limit * (sizeof(struct record_head) + OBS_OTLP_SPAN_MAX);
    pthread_condattr_t monotonic;

    *q = (struct obs_span_queue){.limit = limit, .batch_max = batch_max, .flush_ns = flush_ns};
    q->filling = OBS_BUFFER_INIT(bytes);
    q->draining = OBS_BUFFER_INIT(bytes);
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void obs_span_queue_done(struct obs_span_queue *q)
{
    obs_buffer_done(&q->filling);
    obs_buffer_done(&q->draining);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
}

static int append_record(struct obs_span_queue *q, uint16_t version, const uint8_t *encoded,
                         size_t size)
{
    struct record_head head = {version, (uint16_t)size};
    char *space;

    if (obs_buffer_reserve(&q->filling, sizeof(head) + size, &space) < 0) {
        q->filling.error = 0; /* memory is short: this span is lost, a later one may fit */
        return OBS_SPAN_QUEUE_FULL;
    }
    memcpy(space, &head, sizeof(head));
    memcpy(space + sizeof(head), encoded, size);
    obs_buffer_added(&q->filling, sizeof(head) + size);
    return OBS_SPAN_QUEUE_OK;
}

/* The exporter needs waking twice a batch: for the first span, whose time it then waits out, and
 * for the one that fills the batch. */
static bool must_wake(const struct obs_span_queue *q)
{
    return q->is_waiting && (q->fresh == 1 || q->fresh == q->batch_max);
}

int obs_span_queue_put(struct obs_span_queue *q, uint16_t version, const uint8_t *encoded,
                       size_t size)
{
    bool is_waking;
    int r;

    pthread_mutex_lock(&q->lock);
    r = q->count < q->limit ? append_record(q, version, encoded, size) : OBS_SPAN_QUEUE_FULL;
    if (r != OBS_SPAN_QUEUE_OK) {
        pthread_mutex_unlock(&q->lock);
        return r;
    }
    if (q->fresh == 0)
        q->first_ns = obs_mono_ns();
    q->fresh++;
    q->count++;
    is_waking = must_wake(q);
    pthread_mutex_unlock(&q->lock);
    if (is_waking)
        pthread_cond_signal(&q->wake);
    return OBS_SPAN_QUEUE_OK;
}

void obs_span_queue_stop(struct obs_span_queue *q, uint64_t stop_ns)
{
    pthread_mutex_lock(&q->lock);
    q->is_stopping = true;
    q->stop_ns = stop_ns;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_signal(&q->wake);
}

size_t obs_span_queue_count(struct obs_span_queue *q)
{
    size_t count;

    pthread_mutex_lock(&q->lock);
    count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}

/* ---- the exporter's side; `draining` is its own, and changes hands under the lock ---- */

static void wait_until(struct obs_span_queue *q, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % OBS_NS_PER_SECOND)};

    pthread_cond_timedwait(&q->wake, &q->lock, &until);
}

static void swap_buffers(struct obs_span_queue *q)
{
    struct obs_buffer empty = q->draining;

    q->draining = q->filling;
    q->filling = empty;
    q->drained = 0;
    q->fresh = 0;
}

static bool is_due(const struct obs_span_queue *q)
{
    return q->drained < q->draining.size || q->fresh >= q->batch_max ||
           (q->fresh > 0 && (q->is_stopping || obs_mono_ns() >= q->first_ns + q->flush_ns));
}

static bool is_over(const struct obs_span_queue *q)
{
    return q->is_stopping && (q->count == 0 || obs_mono_ns() >= q->stop_ns);
}

bool obs_span_queue_wait(struct obs_span_queue *q)
{
    bool is_there;

    pthread_mutex_lock(&q->lock);
    q->is_waiting = true;
    while (!is_over(q) && !is_due(q)) {
        if (q->fresh > 0)
            wait_until(q, q->first_ns + q->flush_ns);
        else
            pthread_cond_wait(&q->wake, &q->lock);
    }
    q->is_waiting = false;
    is_there = !is_over(q);
    if (is_there && q->drained == q->draining.size)
        swap_buffers(q);
    pthread_mutex_unlock(&q->lock);
    return is_there;
}

void obs_span_queue_sleep(struct obs_span_queue *q, uint64_t until_ns)
{
    bool was_stopping;

    pthread_mutex_lock(&q->lock);
    was_stopping = q->is_stopping;
    while (obs_mono_ns() < until_ns && q->is_stopping == was_stopping &&
           !(q->is_stopping && obs_mono_ns() >= q->stop_ns))
        wait_until(q, q->is_stopping && q->stop_ns < until_ns ? q->stop_ns : until_ns);
    pthread_mutex_unlock(&q->lock);
}

bool obs_span_queue_next(const struct obs_span_queue *q, size_t *at,
                         struct obs_queued_span *ret_span)
{
    struct record_head head;

    if (*at >= q->draining.size)
        return false;
    memcpy(&head, q->draining.data + *at, sizeof(head));
    *ret_span = (struct obs_queued_span){
        .version = head.version,
        .size = head.size,
        .encoded = (const uint8_t *)q->draining.data + *at + sizeof(head),
    };
    *at += sizeof(head) + head.size;
    return true;
}

void obs_span_queue_release(struct obs_span_queue *q, size_t at, size_t spans)
{
    pthread_mutex_lock(&q->lock);
    q->drained = at;
    q->count -= spans;
    if (q->drained == q->draining.size) {
        obs_buffer_clear(&q->draining);
        q->drained = 0;
        if (q->draining.capacity > KEPT_BYTES)
            obs_buffer_done(&q->draining);
    }
    pthread_mutex_unlock(&q->lock);
}

unsigned obs_span_queue_time_left_ms(struct obs_span_queue *q, unsigned most_ms)
{
    uint64_t now_ns = obs_mono_ns(), left_ms = most_ms;

    pthread_mutex_lock(&q->lock);
    if (q->is_stopping)
        left_ms = q->stop_ns > now_ns ? (q->stop_ns - now_ns) / OBS_NS_PER_MS : 0;
    pthread_mutex_unlock(&q->lock);
    return left_ms < most_ms ? (unsigned)left_ms : most_ms;
}
