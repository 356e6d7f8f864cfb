#include "agent/stub_status.h"

#include "base/cleanup.h"
#include "base/http_client.h"
#include "otel/names.h"
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 800

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

static void set_all(struct obs_metrics *metrics, const struct stub_status *s)
{
    const struct {
        enum obs_metric_name name;
        unsigned long long value;
    } values[] = {
        {OBS_NGINX_ACTIVE, s->active},     {OBS_NGINX_READING, s->reading},
        {OBS_NGINX_WRITING, s->writing},   {OBS_NGINX_WAITING, s->waiting},
        {OBS_NGINX_ACCEPTED, s->accepted}, {OBS_NGINX_HANDLED, s->handled},
        {OBS_NGINX_REQUESTS, s->requests},
    };

    for (size_t i = 0; i < OBS_COUNT(values); i++) {
        struct obs_metric_series *series =
            obs_metric_only(obs_metrics_named(metrics, values[i].name));

        if (OBS_METRICS[values[i].name].type == OBS_COUNTER)
            obs_counter_set(series, (double)values[i].value);
        else
            obs_gauge_set(series, (double)values[i].value);
    }
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
