#pragma once
/*
 * Instrumentation: what every server and client of ours reports, said once.
 *
 * Server: http_server_request_duration_seconds{route,status_code} with exemplars,
 * app_inflight_requests, server span under the caller's traceparent, one access log line per
 * request. Client: traceparent on the way out, client span,
 * http_client_request_duration_seconds{peer, status_code}.
 */
#include "base/http_client.h"
#include "base/http_server.h"
#include "otel/metrics.h"
#include "otel/trace.h"

struct obs_telemetry { /* what a program carries around; all borrowed by who gets a pointer to it */
    struct obs_metrics *metrics;
    struct obs_tracer *tracer; /* may be NULL */
};

struct obs_http_instrument;

/* @is_access_logged: one info line per request ("request", with method, route, status,
 * duration_ms). */
int obs_http_instrument_new(struct obs_telemetry *telemetry, bool is_access_logged,
                            struct obs_http_instrument **ret_instrument);
struct obs_http_instrument *obs_http_instrument_free(struct obs_http_instrument *instrument);
/* For obs_http_server_options; lives as long as the instrument. During a handler the server span is
 * the thread's current span. */
const struct obs_http_observer *
obs_http_instrument_observer(struct obs_http_instrument *instrument);

/* An instrumented upstream: a client, and the name of the service behind it. */
struct obs_upstream;
int obs_upstream_new(struct obs_telemetry *telemetry, const char *peer,
                     const struct obs_http_client_options *options,
                     struct obs_upstream **ret_upstream);
struct obs_upstream *obs_upstream_free(struct obs_upstream *upstream);
/* obs_http_client_call() under a client span ("GET /products/{id}": @route names it, low
 * cardinality). */
int obs_upstream_call(struct obs_upstream *upstream, const char *route,
                      const struct obs_http_call *call, struct obs_http_reply_data *ret_reply);
