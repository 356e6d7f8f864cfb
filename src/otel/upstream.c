/* The client's side of otel/instrument.h: calls under a client span, with traceparent and a
 * duration. */
#include "base/clock.h"
#include "otel/instrument.h"
#include "otel/names.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADERS_MAX 24

struct obs_upstream {
    struct obs_http_client *client;
    struct obs_metric_family *duration;
    char *peer;
};

struct obs_upstream *obs_upstream_free(struct obs_upstream *upstream)
{
    if (!upstream)
        return NULL;
    obs_http_client_free(upstream->client);
    free(upstream->peer);
    free(upstream);
    return NULL;
}

int obs_upstream_new(struct obs_telemetry *telemetry, const char *peer,
                     const struct obs_http_client_options *options,
                     struct obs_upstream **ret_upstream)
{
    struct obs_upstream *upstream = calloc(1, sizeof(*upstream));
    int r;

    if (!upstream)
        return -ENOMEM;
    upstream->duration = obs_metrics_named(telemetry->metrics, OBS_HTTP_CLIENT_DURATION);
    upstream->peer = strdup(peer);
    r = upstream->duration && upstream->peer ? obs_http_client_new(options, &upstream->client)
                                             : -ENOMEM;
    if (r < 0) {
        obs_upstream_free(upstream);
        return r;
    }
    *ret_upstream = upstream;
    return 0;
}

/* Stands in for the status code when there was no reply. */
static const char *failure_name(int error)
{
    switch (error) {
    case -ETIMEDOUT:
        return "timeout";
    case -ECONNREFUSED:
    case -ENOENT:
        return "refused";
    case -ECONNRESET:
    case -EPIPE:
        return "reset";
    default:
        return "error";
    }
}

static void end_span(struct obs_span *span, const char *result, int status, int error)
{
    if (status > 0)
        obs_span_int(span, OBS_ATTR_HTTP_STATUS, status);
    if (error < 0 || status >= 400) {
        obs_span_text(span, OBS_ATTR_ERROR_TYPE, result);
        obs_span_error(span, error < 0 ? strerror(-error) : obs_http1_status_text(status));
    }
    obs_span_end(span);
}

static void start_span(struct obs_span *span, const struct obs_upstream *upstream,
                       const char *route, const struct obs_http_call *call)
{
    char path[128];

    obs_span_start_child(span, OBS_SPAN_CLIENT, route);
    if (!span->tracer)
        return;
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(call->target, "?"), call->target);
    obs_span_text(span, OBS_ATTR_HTTP_METHOD, call->method);
    obs_span_text(span, OBS_ATTR_PEER_SERVICE, upstream->peer);
    obs_span_text(span, OBS_ATTR_URL_PATH, path);
}

int obs_upstream_call(struct obs_upstream *upstream, const char *route,
                      const struct obs_http_call *call, struct obs_http_reply_data *ret_reply)
{
    struct obs_http_call_header headers[HEADERS_MAX];
    char traceparent[OBS_TRACEPARENT_SIZE], status[12];
    struct obs_http_call traced = *call;
    const char *values[] = {upstream->peer, route, status};
    struct obs_span span;
    uint64_t start_ns = obs_mono_ns();
    int r;

    if (call->header_count >= HEADERS_MAX)
        return -EINVAL;
    start_span(&span, upstream, route, call);
    obs_traceparent_emit(&span.context, traceparent);
    if (call->header_count > 0)
        memcpy(headers, call->headers, call->header_count * sizeof(headers[0]));
    headers[traced.header_count++] = (struct obs_http_call_header){"traceparent", traceparent};
    traced.headers = headers;

    r = obs_http_client_call(upstream->client, &traced, ret_reply);
    if (r < 0)
        snprintf(status, sizeof(status), "%s", failure_name(r));
    else
        snprintf(status, sizeof(status), "%d", ret_reply->status);
    obs_histogram_observe(obs_metric_series(upstream->duration, values),
                          (double)(obs_mono_ns() - start_ns) / 1e9, &span.context);
    end_span(&span, status, r < 0 ? 0 : ret_reply->status, r);
    return r;
}
