#include "shop/fulfilment/work.h"
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include "shop/service/amqp.h"
#include "shop/service/latency.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct task { /* one run */
    struct work *work;
    const struct fulfilment_settings *settings;
    struct delivery *delivery;
    struct message_order order;
    struct obs_span span;
    uint64_t start_ns;
};

/* ---- reports to orders ---- */

enum report_outcome {
    REPORT_TAKEN = 0,
    REPORT_REFUSED = 1,     /* orders knows better; asking again will not help */
    REPORT_INTERRUPTED = 2, /* the bench was closed */
};

/* Return: HTTP status, or < 0. */
static int post(struct task *t, const char *action, const char *route, const json_t *body)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_buffer text = OBS_BUFFER_INIT(4096);
    char target[96];
    struct obs_http_call call = {.method = "POST",
                                 .target = target,
                                 .content_type = "application/json",
                                 .timeout_ms = t->settings->report_timeout_ms};
    int r = obs_json_emit(body, &text);

    snprintf(target, sizeof(target), "/orders/%s/%s", t->order.order_id, action);
    call.body = text.data;
    call.body_size = text.size;
    if (r == 0)
        r = obs_upstream_call(t->work->orders, route, &call, &reply);
    obs_buffer_done(&text);
    return r < 0 ? r : reply.status;
}

/* Sends until orders answers for good: it takes the same report any number of times. */
static enum report_outcome report(struct task *t, const char *action, const char *route,
                                  const json_t *body, int *ret_status)
{
    for (unsigned failures = 1;; failures++) {
        int status = post(t, action, route, body);
        *ret_status = status;
        if (status >= 200 && status < 300)
            return REPORT_TAKEN;
        if (status >= 400 && status < 500 && status != 408 && status != 429)
            return REPORT_REFUSED;
        if (failures == 1)
            obs_log(OBS_LOG_WARN, "orders did not take the report, trying again",
                    OBS_TEXT("order_id", t->order.order_id), OBS_INT("status", status),
                    OBS_TEXT("error", status < 0 ? strerror(-status) : NULL));
        if (!bench_wait(t->work->bench, amqp_backoff_ms(failures, latency_random())))
            return REPORT_INTERRUPTED;
    }
}

/* ---- the ways a message ends ---- */

static enum verdict fail(struct task *t, const char *why)
{
    enum message_fate fate = message_on_failure(t->settings);

    obs_span_error(&t->span, why);
    obs_log(OBS_LOG_ERROR, "message failed", OBS_TEXT("order_id", t->order.order_id),
            OBS_TEXT("error", why), OBS_INT("attempts", t->delivery->attempts + 1),
            OBS_BOOL("redelivered", t->delivery->is_redelivered));
    snprintf(t->delivery->last_error, sizeof(t->delivery->last_error), "%s", why);
    bench_wait(t->work->bench, t->settings->retry_delay_ms);
    if (fate == MESSAGE_REQUEUE) {
        obs_counter_add(t->work->requeued, 1);
        return VERDICT_REQUEUE;
    }
    obs_counter_add(t->work->retried, 1);
    return VERDICT_AGAIN;
}

static enum verdict set_aside(struct task *t)
{
    OBS_JSON body = json_pack("{s:s}", "reason", t->delivery->last_error);
    int status = 0;

    if (t->order.order_id[0] != '\0' && report(t, "dead-lettered", "/orders/{id}/dead-lettered",
                                               body, &status) == REPORT_INTERRUPTED)
        return VERDICT_REQUEUE;
    obs_counter_add(t->work->dead_lettered, 1);
    obs_span_error(&t->span, t->delivery->last_error);
    obs_log(OBS_LOG_WARN, "message set aside", OBS_TEXT("order_id", t->order.order_id),
            OBS_TEXT("error", t->delivery->last_error), OBS_INT("attempts", t->delivery->attempts));
    return VERDICT_REJECT;
}

static enum verdict finish(struct task *t, const struct bench_booking *booking)
{
    double duration_ms = (double)(obs_mono_ns() - t->start_ns) / 1e6;
    struct shipment shipment = {
        .pieces = t->order.pieces, .shipped_ns = obs_time_ns(), .duration_ms = duration_ms};

    snprintf(shipment.order_id, sizeof(shipment.order_id), "%s", t->order.order_id);
    snprintf(shipment.carrier, sizeof(shipment.carrier), "%s", booking->carrier);
    snprintf(shipment.tracking, sizeof(shipment.tracking), "%s", booking->tracking);
    shipments_add(t->work->shipments, &shipment);
    obs_counter_add(t->work->fulfilled, 1);
    obs_log(OBS_LOG_INFO, "order shipped", OBS_TEXT("order_id", t->order.order_id),
            OBS_TEXT("carrier", booking->carrier), OBS_NUMBER("duration_ms", duration_ms));
    return VERDICT_ACK;
}

static enum verdict ship(struct task *t)
{
    struct bench_booking booking = {0};
    OBS_JSON body = NULL;
    char why[96];
    int status = 0;

    if (!bench_pack(t->work->bench, t->settings, &t->order) ||
        !bench_book(t->work->bench, t->settings, &t->order, &booking))
        return VERDICT_REQUEUE;
    body = json_pack("{s:s}", "tracking", booking.tracking);
    switch (report(t, "fulfilled", "POST /orders/{id}/fulfilled", body, &status)) {
    case REPORT_TAKEN:
        return finish(t, &booking);
    case REPORT_INTERRUPTED:
        return VERDICT_REQUEUE;
    default:
        snprintf(why, sizeof(why), "orders refused the report with status %d", status);
        return fail(t, why);
    }
}

static enum verdict work_off(struct task *t)
{
    struct obs_reason why = {0};
    int r = message_read(t->delivery->body, t->delivery->body_size, &t->order, &why);

    if (t->order.order_id[0] != '\0')
        obs_span_text(&t->span, OBS_ATTR_ORDER_ID, t->order.order_id);
    if (message_on_arrival(t->settings, t->delivery->attempts) == MESSAGE_SPENT)
        return set_aside(t);
    if (r != 0)
        return fail(t, why.text[0] != '\0' ? why.text : "out of memory");
    return ship(t);
}

/* ---- spans and metrics around it ---- */

static void start_span(struct task *t)
{
    struct delivery *delivery = t->delivery;
    struct obs_trace_context parent;
    bool is_remote = obs_traceparent_parse(delivery->traceparent, strlen(delivery->traceparent),
                                           &parent) == OBS_TRACE_OK;

    obs_counter_add(is_remote ? t->work->consumed_remote : t->work->consumed_none, 1);
    obs_span_start(&t->span, t->work->telemetry->tracer, OBS_SPAN_CONSUMER, "fulfilment process",
                   is_remote ? &parent : NULL);
    obs_span_text(&t->span, OBS_ATTR_MESSAGING_SYSTEM, "rabbitmq");
    obs_span_text(&t->span, OBS_ATTR_MESSAGING_DESTINATION, AMQP_QUEUE);
    obs_span_text(&t->span, OBS_ATTR_MESSAGING_ID, delivery->message_id);
    obs_span_bool(&t->span, OBS_ATTR_MESSAGING_REDELIVERED, delivery->is_redelivered);
    if (delivery->attempts > 0)
        obs_span_int(&t->span, "messaging.attempts", delivery->attempts);
}

enum verdict work_run(struct work *work, const struct fulfilment_settings *settings,
                      struct delivery *delivery)
{
    struct task t = {
        .work = work, .settings = settings, .delivery = delivery, .start_ns = obs_mono_ns()};
    struct obs_span *before;
    enum verdict verdict;

    start_span(&t);
    before = obs_span_enter(&t.span);
    verdict = work_off(&t);
    obs_span_leave(before);
    obs_histogram_observe(work->duration, (double)(obs_mono_ns() - t.start_ns) / 1e9,
                          &t.span.context);
    obs_span_end(&t.span);
    return verdict;
}

void work_init(struct work *work, struct obs_telemetry *telemetry, struct obs_upstream *orders,
               struct bench *bench, struct shipments *shipments)
{
    struct obs_metrics *metrics = telemetry->metrics;
    struct obs_metric_family *consumed = obs_metrics_named(metrics, OBS_FULFILMENT_CONSUMED);
    struct obs_metric_family *results = obs_metrics_named(metrics, OBS_FULFILMENT_RESULTS);

    *work = (struct work){
        .telemetry = telemetry,
        .orders = orders,
        .bench = bench,
        .shipments = shipments,
        .consumed_remote = obs_metric_series(consumed, (const char *const[]){"remote"}),
        .consumed_none = obs_metric_series(consumed, (const char *const[]){"none"}),
        .duration = obs_metric_only(obs_metrics_named(metrics, OBS_FULFILMENT_DURATION)),
        .fulfilled = obs_metric_series(results, (const char *const[]){"fulfilled"}),
        .requeued = obs_metric_series(results, (const char *const[]){"requeued"}),
        .retried = obs_metric_series(results, (const char *const[]){"retried"}),
        .dead_lettered = obs_metric_series(results, (const char *const[]){"dead_lettered"}),
    };
}
