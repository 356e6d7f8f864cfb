#include "shop/storefront/upstream.h"
#include "base/clock.h"
#include "base/log.h"
#include "shop/service/latency.h"
#include <errno.h>
#include <string.h>

enum { CONTENT_TYPE_MAX = 96 };

static bool may_repeat(const struct upstream_call *c)
{
    if (strcmp(c->call.method, "GET") == 0)
        return true;
    for (size_t i = 0; i < c->call.header_count; i++)
        if (strcmp(c->call.headers[i].name, "Idempotency-Key") == 0)
            return true;
    return false;
}

static bool is_worth_repeating(int r, const struct obs_http_reply_data *reply)
{
    if (r < 0)
        return r != -EINVAL && r != -ENOMEM && r != -EMSGSIZE;
    return reply->status >= 502 && reply->status <= 504;
}

int upstream_call_make(const struct storefront_policy *policy, struct upstream_call *c,
                       struct obs_http_reply_data *ret_reply)
{
    uint64_t delay_ms = policy->retry_delay_ms;
    unsigned tries_left = may_repeat(c) ? policy->retries : 0;
    int r;

    c->call.timeout_ms = c->timeout_ms;
    for (;;) {
        r = obs_upstream_call(c->upstream, c->route, &c->call, ret_reply);
        if (tries_left-- == 0 || !is_worth_repeating(r, ret_reply))
            return r;
        obs_http_reply_data_done(ret_reply);
        *ret_reply = (struct obs_http_reply_data){0};
        /* Spread the retries of many callers over half of the delay. */
        obs_sleep_ns((delay_ms + delay_ms * (latency_random() % 1024) / 2048) * OBS_NS_PER_MS);
        delay_ms *= 2;
    }
}

int upstream_get_catalog(struct storefront *storefront, const struct storefront_policy *policy,
                         const char *route, const char *target,
                         struct obs_http_reply_data *ret_reply)
{
    struct upstream_call call = {.upstream = storefront->catalog,
                                 .peer = "catalog",
                                 .route = route,
                                 .timeout_ms = policy->catalog_timeout_ms,
                                 .call = {.method = "GET", .target = target}};

    return upstream_call_make(policy, &call, ret_reply);
}

/* ---- what the user gets ---- */

static void reply_unreachable(struct obs_http_request *request, const char *peer, int r)
{
    obs_log(OBS_LOG_WARN, "call to another service failed", OBS_TEXT("peer.service", peer),
            OBS_TEXT("error", strerror(-r)));
    if (r == -ETIMEDOUT) {
        obs_http_reply_problemf(request, 504, "%s did not answer in time", peer);
        return;
    }
    if (r == -ENOMEM || r == -EINVAL) {
        obs_http_reply_problemf(request, 500, "the request could not be answered");
        return;
    }
    obs_http_reply_problemf(request, 502, "%s cannot be reached", peer);
}

void upstream_hand_on(struct obs_http_request *request, struct obs_http_reply_data *reply)
{
    const struct obs_span_text *type = obs_http1_find(&reply->parsed, "content-type");
    char content_type[CONTENT_TYPE_MAX] = "application/json";

    if (type && type->size < sizeof(content_type)) {
        memcpy(content_type, type->text, type->size);
        content_type[type->size] = '\0';
    }
    obs_http_reply_buffer(request, reply->status, content_type, &reply->body);
}

bool upstream_is_good(struct obs_http_request *request, const char *peer, int r,
                      struct obs_http_reply_data *reply)
{
    if (r < 0) {
        reply_unreachable(request, peer, r);
        return false;
    }
    if (reply->status < 400)
        return true;
    if (reply->status < 500) {
        upstream_hand_on(request, reply);
        return false;
    }
    if (reply->status == 503) {
        obs_http_reply_header(request, "Retry-After", "1");
        obs_http_reply_problemf(request, 503, "%s is busy", peer);
    } else if (reply->status == 504) {
        obs_http_reply_problemf(request, 504, "%s did not answer in time", peer);
    } else {
        obs_http_reply_problemf(request, 502, "%s answered %d", peer, reply->status);
    }
    return false;
}
