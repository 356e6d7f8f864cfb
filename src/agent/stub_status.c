#include "agent/stub_status.h"

#include "base/cleanup.h"
#include "base/http_client.h"
#include "otel/metrics.h"
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 800

/*  member, name, type, help */
#define STUB_STATUS_METRICS(ROW)                                                                   \
    ROW(active, "nginx_connections_active", OBS_GAUGE, "Open client connections")                  \
    ROW(reading, "nginx_connections_reading", OBS_GAUGE,                                           \
        "Connections whose request is being read")                                                 \
    ROW(writing, "nginx_connections_writing", OBS_GAUGE, "Connections that are being answered")    \
    ROW(waiting, "nginx_connections_waiting", OBS_GAUGE, "Idle client connections")                \
    ROW(accepted, "nginx_connections_accepted", OBS_COUNTER, "Client connections accepted")        \
    ROW(handled, "nginx_connections_handled", OBS_COUNTER,                                         \
        "Client connections handled; less than accepted when a limit was reached")                 \
    ROW(requests, "nginx_http_requests", OBS_COUNTER, "Requests read")

int stub_status_parse(const char *text, struct stub_status *ret_status)
{
    struct stub_status s;
    int n =
        sscanf(text,
               "Active connections: %llu server accepts handled requests %llu %llu %llu "
               "Reading: %llu Writing: %llu Waiting: %llu",
               &s.active, &s.accepted, &s.handled, &s.requests, &s.reading, &s.writing, &s.waiting);

    if (n != 7)
        return STUB_STATUS_REFUSED;
    *ret_status = s;
    return 0;
}

static void set(struct obs_metrics *metrics, const struct obs_metric *metric, double value)
{
    struct obs_metric_family *family = obs_metrics_family(metrics, metric);

    if (!family)
        return;
    if (metric->type == OBS_COUNTER)
        obs_counter_set(obs_metric_only(family), value);
    else
        obs_gauge_set(obs_metric_only(family), value);
}

static void set_all(struct obs_metrics *metrics, const struct stub_status *s)
{
#define STUB_STATUS_SET(member, name_, type_, help_)                                               \
    set(metrics,                                                                                   \
        &(struct obs_metric){.name = (name_), .type = (type_), .unit = "", .help = (help_)},       \
        (double)s->member);
    STUB_STATUS_METRICS(STUB_STATUS_SET)
#undef STUB_STATUS_SET
}

int stub_status_collect(const struct obs_address *address, const char *path,
                        struct obs_metrics *metrics, struct obs_reason *reterr_reason)
{
    struct obs_http_client_options options = {.address = *address, .idle_max = 1};
    OBS_CLEANUP(obs_http_client_freep) struct obs_http_client *client = NULL;
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call call = {.method = "GET", .target = path, .timeout_ms = TIMEOUT_MS};
    struct stub_status status;
    int r = obs_http_client_new(&options, &client);

    if (r == 0)
        r = obs_http_client_call(client, &call, &reply);
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", address->text, strerror(-r));
        return r;
    }
    if (reply.status != 200 || !reply.body.data ||
        stub_status_parse(reply.body.data, &status) != 0) {
        obs_reason_set(reterr_reason, "%s answers %d, but not with its status", address->text,
                       reply.status);
        return STUB_STATUS_REFUSED;
    }
    set_all(metrics, &status);
    return 0;
}
