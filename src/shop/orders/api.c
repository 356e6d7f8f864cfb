#include "shop/orders/api.h"
#include "base/log.h"
#include "base/text.h"
#include "otel/names.h"
#include "shop/orders/checkout.h"
#include "shop/orders/ledger.h"
#include "shop/orders/outbox.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DETAIL_MAX 300
#define LIST_STANDARD 50
#define LIST_MAX 500

static const struct {
    int status;
    const char *text;
} TROUBLES[ORDERS_TROUBLE_COUNT] = {
    [ORDERS_TROUBLE_NONE] = {500, "internal error"},
    [ORDERS_BUSY] = {503, "no database connection became free in time; try again"},
    [ORDERS_UNAVAILABLE] = {503, "the database cannot be reached; try again with the same "
                                 "Idempotency-Key"},
    [ORDERS_SLOW] = {503, "the database took too long; try again"},
    [ORDERS_FAILED] = {500, "the database refused the change"},
};

static void reply_trouble(struct obs_http_request *request, enum orders_trouble trouble)
{
    if (TROUBLES[trouble].status == 503)
        obs_http_reply_header(request, "Retry-After", "1");
    if (obs_span_current())
        obs_span_error(obs_span_current(), TROUBLES[trouble].text);
    obs_http_reply_problemf(request, TROUBLES[trouble].status, "%s", TROUBLES[trouble].text);
}

static void reply_broken(struct obs_http_request *request, int r)
{
    obs_log(OBS_LOG_ERROR, "request failed", OBS_TEXT(OBS_ATTR_HTTP_ROUTE, obs_http_route(request)),
            OBS_TEXT("error", strerror(-r)));
    obs_http_reply_problemf(request, 500, "internal error");
}

/* Replies and answers false when the body is not good JSON. @allows_empty: no body is {}. */
static bool read_body(struct obs_http_request *request, bool allows_empty, json_t **ret_json)
{
    size_t size = 0;
    const char *body = obs_http_body(request, &size);
    struct obs_reason why = {0};
    int r;

    if (size == 0 && allows_empty) {
        *ret_json = json_object();
        return true;
    }
    r = obs_json_parse(body ? body : "", size, ret_json, &why);
    if (r == 0)
        return true;
    if (r < 0)
        reply_broken(request, r);
    else
        obs_http_reply_problemf(request, 400, "body: %s", why.text);
    return false;
}

/* ---- POST /orders ---- */

static void reply_order(struct obs_http_request *request, int status,
                        const struct checkout_result *result)
{
    OBS_JSON json =
        json_pack("{s:s, s:s, s:I, s:s}", "order_id", result->order_id, "status", result->status,
                  "total_cents", (json_int_t)result->total_cents, "created_at", result->created_at);

    obs_http_reply_json(request, status, json);
}

static void accept_order(struct orders *orders, struct obs_http_request *request,
                         const struct checkout_result *result, size_t item_count)
{
    obs_counter_add(orders->created, 1);
    outbox_wake(orders->outbox);
    if (obs_span_current())
        obs_span_text(obs_span_current(), OBS_ATTR_ORDER_ID, result->order_id);
    obs_log(OBS_LOG_INFO, "order accepted", OBS_TEXT("order_id", result->order_id),
            OBS_INT("items", item_count), OBS_INT("total_cents", result->total_cents));
    reply_order(request, 201, result);
}

/* As obs_http_reply_problem(), with a member that programs can read (RFC 9457 section 3.2). */
static void reply_out_of_stock(struct obs_http_request *request,
                               const struct checkout_result *result)
{
    struct obs_buffer body = OBS_BUFFER_INIT(512);
    char detail[80];

    snprintf(detail, sizeof(detail), "product %" PRId64 " is out of stock", result->product_id);
    obs_log(OBS_LOG_INFO, "order refused", OBS_TEXT("reason", detail));
    obs_buffer_printf(&body,
                      "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,"
                      "\"detail\":\"%s\",\"product_id\":%" PRId64 "}",
                      detail, result->product_id);
    obs_http_reply_buffer(request, 409, "application/problem+json", &body);
    obs_buffer_done(&body);
}

static void reply_checkout(struct orders *orders, struct obs_http_request *request, int outcome,
                           const struct checkout_result *result, size_t item_count)
{
    switch (outcome) {
    case CHECKOUT_ACCEPTED:
        accept_order(orders, request, result, item_count);
        break;
    case CHECKOUT_REPLAYED:
        obs_http_reply_header(request, "Idempotent-Replay", "true");
        reply_order(request, 200, result);
        break;
    case CHECKOUT_KEY_REUSED:
        obs_http_reply_problemf(request, 422,
                                "header Idempotency-Key was used before for another order");
        break;
    case CHECKOUT_OUT_OF_STOCK:
        reply_out_of_stock(request, result);
        break;
    case CHECKOUT_DECLINED:
        obs_http_reply_problemf(request, 402, "the payment was declined");
        break;
    default:
        reply_trouble(request, result->trouble);
    }
}

static void handle_checkout(struct obs_http_request *request, void *userdata)
{
    struct orders *orders = userdata;
    const char *key = obs_http_header(request, "idempotency-key");
    OBS_JSON json = NULL;
    struct checkout_request checkout;
    struct checkout_result result;
    struct obs_reason why = {0};
    int r;

    if (!read_body(request, false, &json))
        return;
    r = key ? checkout_key_check(key, &why) : 0;
    if (r == 0)
        r = checkout_request_read(json, &checkout, &why);
    if (r > 0) {
        obs_http_reply_problem(request, 422, &why);
        return;
    }
    if (r == 0)
        r = checkout_run(orders, &checkout, key, &result);
    if (r < 0)
        reply_broken(request, r);
    else
        reply_checkout(orders, request, r, &result, checkout.item_count);
}

/* ---- the rest ---- */

static void reply_ledger(struct obs_http_request *request, int r, enum orders_trouble trouble,
                         const char *order_id)
{
    if (r < 0)
        reply_broken(request, r);
    else if (r == LEDGER_NOT_FOUND)
        obs_http_reply_problemf(request, 404, "no order %.36s", order_id);
    else if (r == LEDGER_CONFLICT)
        obs_http_reply_problemf(request, 409, "order %.36s has already ended otherwise", order_id);
    else
        reply_trouble(request, trouble);
}

/* The path's order id, or NULL after replying 404: what is no id names no order. */
static const char *order_id_of(struct obs_http_request *request)
{
    const char *order_id = obs_http_param(request, "id");

    if (order_id && order_id_is_valid(order_id)) {
        if (obs_span_current())
            obs_span_text(obs_span_current(), OBS_ATTR_ORDER_ID, order_id);
        return order_id;
    }
    obs_http_reply_problemf(request, 404, "id: expected an order id of 36 characters");
    return NULL;
}

static void handle_find(struct obs_http_request *request, void *userdata)
{
    const char *order_id = order_id_of(request);
    enum orders_trouble trouble = ORDERS_TROUBLE_NONE;
    OBS_JSON json = NULL;
    int r;

    if (!order_id)
        return;
    r = ledger_find(userdata, order_id, &json, &trouble);
    if (r == 0)
        obs_http_reply_json(request, 200, json);
    else
        reply_ledger(request, r, trouble, order_id);
}

static bool is_state(const char *text)
{
    return strcmp(text, "accepted") == 0 || strcmp(text, "fulfilled") == 0 ||
           strcmp(text, "dead_lettered") == 0;
}

static void handle_list(struct obs_http_request *request, void *userdata)
{
    const char *state = obs_http_query(request, "state");
    const char *limit_text = obs_http_query(request, "limit");
    enum orders_trouble trouble = ORDERS_TROUBLE_NONE;
    OBS_JSON json = NULL;
    uint64_t limit = LIST_STANDARD;
    int r;

    if (state && !is_state(state)) {
        obs_http_reply_problemf(request, 422,
                                "state: expected accepted, fulfilled or dead_lettered");
        return;
    }
    if (limit_text &&
        (obs_text_parse_u64(limit_text, strlen(limit_text), LIST_MAX, &limit) != 0 || limit == 0)) {
        obs_http_reply_problemf(request, 422, "limit: expected an integer from 1 to %d", LIST_MAX);
        return;
    }
    r = ledger_list(userdata, state, (unsigned)limit, &json, &trouble);
    if (r == 0)
        obs_http_reply_json(request, 200, json);
    else
        reply_ledger(request, r, trouble, "");
}

struct ending { /* one of the two ways in which an order ends */
    const char *field, *status, *message;
    int (*end)(struct orders *orders, const char *order_id, const char *detail, bool *ret_is_new,
               enum orders_trouble *ret_trouble);
};
static const struct ending FULFILLED = {"tracking", "fulfilled", "order fulfilled", ledger_fulfil};
static const struct ending DEAD_LETTERED = {"reason", "dead_lettered", "order dead-lettered",
                                            ledger_dead_letter};

static void handle_ending(struct orders *orders, struct obs_http_request *request,
                          const struct ending *ending, struct obs_metric_series *counter)
{
    const char *order_id = order_id_of(request), *detail = "";
    enum orders_trouble trouble = ORDERS_TROUBLE_NONE;
    struct obs_reason why = {0};
    OBS_JSON body = NULL;
    OBS_JSON reply = NULL;
    bool is_new = false;
    int r;

    if (!order_id || !read_body(request, true, &body))
        return;
    if (!json_is_object(body)) {
        obs_http_reply_problemf(request, 422, "body: expected a JSON object");
        return;
    }
    if (obs_json_opt_text(body, ending->field, DETAIL_MAX, &detail, &why) > 0) {
        obs_http_reply_problem(request, 422, &why);
        return;
    }
    r = ending->end(orders, order_id, detail, &is_new, &trouble);
    if (r != 0) {
        reply_ledger(request, r, trouble, order_id);
        return;
    }
    if (is_new) {
        obs_counter_add(counter, 1);
        obs_log(OBS_LOG_INFO, ending->message, OBS_TEXT("order_id", order_id),
                OBS_TEXT(ending->field, detail));
    }
    reply = json_pack("{s:s, s:s}", "order_id", order_id, "status", ending->status);
    obs_http_reply_json(request, 200, reply);
}

static void handle_fulfilled(struct obs_http_request *request, void *userdata)
{
    struct orders *orders = userdata;

    handle_ending(orders, request, &FULFILLED, orders->fulfilled);
}

static void handle_dead_lettered(struct obs_http_request *request, void *userdata)
{
    struct orders *orders = userdata;

    handle_ending(orders, request, &DEAD_LETTERED, orders->dead_lettered);
}

const struct obs_http_route ORDERS_ROUTES[] = {
    {"POST", "/orders", handle_checkout, OBS_HTTP_ON_WORKER},
    {"GET", "/orders", handle_list, OBS_HTTP_ON_WORKER},
    {"GET", "/orders/{id}", handle_find, OBS_HTTP_ON_WORKER},
    {"POST", "/orders/{id}/fulfilled", handle_fulfilled, OBS_HTTP_ON_WORKER},
    {"POST", "/orders/{id}/dead-lettered", handle_dead_lettered, OBS_HTTP_ON_WORKER},
};
const size_t ORDERS_ROUTE_COUNT = OBS_COUNT(ORDERS_ROUTES);
