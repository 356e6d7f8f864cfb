/* Buying: prices come from catalog, the order is made by orders. */
#include "base/log.h"
#include "base/text.h"
#include "shop/storefront/checkout.h"
#include "shop/storefront/storefront.h"
#include "shop/storefront/upstream.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 64 << 10, ORDER_ID_MAX = 64 };

/* The body of the request, checked; NULL after replying why not. */
static json_t *read_checkout(struct obs_http_request *request)
{
    struct obs_reason why = {0};
    OBS_JSON body = NULL;
    size_t size = 0;
    const char *text = obs_http_body(request, &size);
    int r = checkout_key_check(obs_http_header(request, "idempotency-key"), &why);

    if (r == 0 && obs_json_parse(text, size, &body, &why) != 0) {
        obs_http_reply_problemf(request, 400, "body: %.200s", why.text);
        return NULL;
    }
    if (r == 0)
        r = checkout_body_check(body, &why);
    if (r == 0)
        return OBS_TAKE(body);
    obs_http_reply_problem(request, 422, &why);
    return NULL;
}

/* Put catalog's prices into @body. False after replying why not. */
static bool add_prices(struct obs_http_request *request, struct storefront *storefront,
                       const struct storefront_policy *policy, json_t *body)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer target = OBS_BUFFER_INIT(1024);
    OBS_HTTP_REPLY reply = {0};
    OBS_JSON products = NULL;
    struct obs_reason why = {0};
    int r;

    obs_buffer_append_text(&target, "/products/batch?ids=");
    if (checkout_ids(body, &target) < 0) {
        obs_http_reply_problemf(request, 500, "the request could not be answered");
        return false;
    }
    r = upstream_get_catalog(storefront, policy, "GET /products/batch", target.data, &reply);
    if (!upstream_is_good(request, "catalog", r, &reply))
        return false;
    if (obs_json_parse(reply.body.data, reply.body.size, &products, &why) != 0) {
        obs_http_reply_problemf(request, 502, "catalog answered what is no JSON");
        return false;
    }
    if (checkout_price(body, products, &why) != CHECKOUT_OK) {
        obs_http_reply_problem(request, 422, &why);
        return false;
    }
    return true;
}

static int send_order(struct obs_http_request *request, struct storefront *storefront,
                      const struct storefront_policy *policy, const json_t *body,
                      struct obs_http_reply_data *ret_reply)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer text = OBS_BUFFER_INIT(BODY_MAX);
    struct obs_http_call_header key = {"Idempotency-Key",
                                       obs_http_header(request, "idempotency-key")};
    struct upstream_call call = {.upstream = storefront->orders,
                                 .peer = "orders",
                                 .route = "POST /orders",
                                 .timeout_ms = policy->orders_timeout_ms};
    int r = obs_json_emit(body, &text);

    if (r < 0)
        return r;
    call.call = (struct obs_http_call){.method = "POST",
                                       .target = "/orders",
                                       .headers = &key,
                                       .header_count = 1,
                                       .body = text.data,
                                       .body_size = text.size,
                                       .content_type = "application/json"};
    return upstream_call_make(policy, &call, ret_reply);
}

void storefront_post_checkout(struct obs_http_request *request, void *userdata)
{
    struct storefront *storefront = userdata;
    struct storefront_policy policy;
    OBS_HTTP_REPLY reply = {0};
    OBS_JSON body = read_checkout(request);
    const struct obs_span_text *replay;
    int r;

    if (!body)
        return;
    storefront_policy_read(storefront, &policy);
    if (!add_prices(request, storefront, &policy, body))
        return;
    r = send_order(request, storefront, &policy, body, &reply);
    if (!upstream_is_good(request, "orders", r, &reply))
        return;
    replay = obs_http1_find(&reply.parsed, "idempotent-replay");
    if (replay)
        obs_http_reply_header(request, "Idempotent-Replay", "true");
    upstream_hand_on(request, &reply);
}

void storefront_get_order(struct obs_http_request *request, void *userdata)
{
    struct storefront *storefront = userdata;
    const char *id = obs_http_param(request, "id");
    struct storefront_policy policy;
    OBS_HTTP_REPLY reply = {0};
    char target[128];
    struct upstream_call call = {.upstream = storefront->orders,
                                 .peer = "orders",
                                 .route = "GET /orders/{id}",
                                 .call = {.method = "GET", .target = target}};
    int r;

    if (strlen(id) > ORDER_ID_MAX || !session_id_is_valid(id)) {
        obs_http_reply_problemf(request, 404, "there is no order \"%.40s\"", id);
        return;
    }
    (void)snprintf(target, sizeof(target), "/orders/%s", id);
    storefront_policy_read(storefront, &policy);
    call.timeout_ms = policy.orders_timeout_ms;
    r = upstream_call_make(&policy, &call, &reply);
    if (upstream_is_good(request, "orders", r, &reply))
        upstream_hand_on(request, &reply);
}
