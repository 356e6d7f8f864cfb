#pragma once
/*
 * Telemetry: what the request handlers of observa-telemetry share.
 *
 * Each API is one file with a table of routes; main.c joins the tables. The tenant comes from
 * X-Scope-OrgID; what to do without it is a setting.
 */
#include "base/http_server.h"
#include "otel/instrument.h"
#include "telemetry/store.h"

struct profile_store;
struct loki_tails;

struct telemetry { /* userdata of every handler */
    struct store *store;
    struct profile_store *profiles;
    struct loki_tails *tails;   /* live tails; NULL: none, they are answered 503 */
    struct obs_telemetry own;   /* metrics and spans about this process itself */
    const char *default_tenant; /* "" : a request without X-Scope-OrgID is refused with 401 */
    unsigned query_timeout_ms;
};

/* The request's tenant; NULL when it was refused, and then it has been answered. */
const char *telemetry_tenant(struct obs_http_request *request, const struct telemetry *telemetry);

/* Undo Content-Encoding gzip or zstd, bounded by @limit. Return: 0, 415 (unknown encoding), 413
 * (over the limit), 400 (damaged): answer with it and the reason. The body is the
 * caller's, a plain one too: obs_buffer_done().
 * On failure there is none. */
int telemetry_body(struct obs_http_request *request, size_t limit, struct obs_buffer *ret_body,
                   struct obs_reason *reterr_reason);

struct telemetry_routes {
    const struct obs_http_route *routes;
    size_t count;
};
extern const struct telemetry_routes OTLP_ROUTES, LOKI_PUSH_ROUTES, TEMPO_ROUTES, LOKI_ROUTES,
    PROFILE_ROUTES;
