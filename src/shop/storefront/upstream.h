#pragma once
/*
 * Upstream calls of a request: deadline, retries where the policy wants them, and what to tell the
 * user when they fail.
 */
#include "otel/instrument.h"
#include "shop/storefront/storefront.h"

struct upstream_call {
    struct obs_upstream *upstream;
    const char *peer;  /* "catalog", for answers */
    const char *route; /* names the span: "GET /products/{id}" */
    unsigned timeout_ms;
    struct obs_http_call call; /* timeout_ms is set from above */
};

/* Calls that failed with a timeout, a broken connection, 502, 503 or 504 are made again as often as
 * the policy says: only those that may be repeated (GET, or with an Idempotency-Key). Return: 0 for
 * any status, or obs_http_client_call()'s error. */
int upstream_call_make(const struct storefront_policy *policy, struct upstream_call *call,
                       struct obs_http_reply_data *ret_reply);

/* GET @target of catalog. */
int upstream_get_catalog(struct storefront *storefront, const struct storefront_policy *policy,
                         const char *route, const char *target,
                         struct obs_http_reply_data *ret_reply);

/* Is it an answer (2xx)? If not, answer the user: 502 cannot be reached or broke, 503 busy, 504 too
 * slow; 4xx is handed on as it is. */
bool upstream_is_good(struct obs_http_request *request, const char *peer, int r,
                      struct obs_http_reply_data *reply);
/* Hand on status, content type and body. */
void upstream_hand_on(struct obs_http_request *request, struct obs_http_reply_data *reply);
