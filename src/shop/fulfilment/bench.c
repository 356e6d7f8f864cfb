#include "shop/fulfilment/bench.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include "otel/trace.h"
#include "shop/service/latency.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define PACK_SPREAD 0.3
#define CARRIER_SPREAD 0.35
#define SECOND_CARRIER_MS 50.0

struct bench {
    pthread_mutex_t lock;
    pthread_cond_t closed;
    bool is_closed;
};

struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    pthread_condattr_t attributes;

    if (!bench)
        return NULL;
    pthread_mutex_init(&bench->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&bench->closed, &attributes);
    pthread_condattr_destroy(&attributes);
    return bench;
}

struct bench *bench_free(struct bench *bench)
{
    if (!bench)
        return NULL;
    pthread_cond_destroy(&bench->closed);
    pthread_mutex_destroy(&bench->lock);
    free(bench);
    return NULL;
}

void bench_close(struct bench *bench)
{
    pthread_mutex_lock(&bench->lock);
    bench->is_closed = true;
    pthread_cond_broadcast(&bench->closed);
    pthread_mutex_unlock(&bench->lock);
}

bool bench_wait(struct bench *bench, double ms)
{
    uint64_t until_ns = obs_mono_ns() + (uint64_t)(ms * 1e6);
    struct timespec until = {.tv_sec = (time_t)(until_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % OBS_NS_PER_SECOND)};
    bool is_closed;

    pthread_mutex_lock(&bench->lock);
    while (!bench->is_closed &&
           pthread_cond_timedwait(&bench->closed, &bench->lock, &until) != ETIMEDOUT)
        ;
    is_closed = bench->is_closed;
    pthread_mutex_unlock(&bench->lock);
    return !is_closed;
}

static bool end_span(struct obs_span *span, bool is_done)
{
    if (!is_done)
        obs_span_error(span, "interrupted");
    obs_span_end(span);
    return is_done;
}

bool bench_pack(struct bench *bench, const struct fulfilment_settings *settings,
                const struct message_order *order)
{
    struct obs_span span;

    obs_span_start_child(&span, OBS_SPAN_INTERNAL, "pack");
    obs_span_int(&span, "app.order.pieces", order->pieces);
    return end_span(&span,
                    bench_wait(bench, latency_next_ms(settings->work_duration_ms, PACK_SPREAD)));
}

/* ---- carriers ---- */

enum answer { ANSWER_GIVEN, ANSWER_LATE, ANSWER_INTERRUPTED };

static enum answer ask_carrier(struct bench *bench, const char *carrier, double median_ms,
                               double timeout_ms)
{
    double ms = latency_next_ms(median_ms, CARRIER_SPREAD);
    bool is_late = ms > timeout_ms;
    struct obs_span span;
    bool is_done;

    obs_span_start_child(&span, OBS_SPAN_CLIENT, "carrier.book");
    obs_span_text(&span, OBS_ATTR_PEER_SERVICE, carrier);
    is_done = bench_wait(bench, is_late ? timeout_ms : ms);
    if (is_done && is_late)
        obs_span_error(&span, "timed out");
    end_span(&span, is_done);
    return !is_done ? ANSWER_INTERRUPTED : (is_late ? ANSWER_LATE : ANSWER_GIVEN);
}

/* FNV-1a of the order's id: a booking repeated after a crash is the same booking. */
static void write_tracking(const struct message_order *order, const char *prefix,
                           struct bench_booking *booking)
{
    uint64_t hash = 14695981039346656037ULL;

    for (const char *c = order->order_id; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211ULL;
    snprintf(booking->tracking, sizeof(booking->tracking), "%s%012llu", prefix,
             (unsigned long long)(hash % 1000000000000ULL));
}

bool bench_book(struct bench *bench, const struct fulfilment_settings *settings,
                const struct message_order *order, struct bench_booking *ret_booking)
{
    enum answer answer =
        ask_carrier(bench, "northline", settings->carrier_latency_ms, settings->carrier_timeout_ms);

    snprintf(ret_booking->carrier, sizeof(ret_booking->carrier), "northline");
    write_tracking(order, "NL", ret_booking);
    if (answer == ANSWER_LATE) {
        obs_log(OBS_LOG_WARN, "carrier timed out, booking the second one",
                OBS_TEXT("carrier", "northline"), OBS_TEXT("order_id", order->order_id),
                OBS_INT("timeout_ms", settings->carrier_timeout_ms));
        answer = ask_carrier(bench, "harbour", SECOND_CARRIER_MS, 10 * SECOND_CARRIER_MS);
        snprintf(ret_booking->carrier, sizeof(ret_booking->carrier), "harbour");
        write_tracking(order, "HB", ret_booking);
    }
    return answer != ANSWER_INTERRUPTED;
}
