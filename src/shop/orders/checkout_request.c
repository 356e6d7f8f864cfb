#include "shop/orders/checkout_request.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_MAX                                                                                     \
    INT64_C(9007199254740991) /* the largest integer that every JSON reader keeps exact */

int checkout_key_check(const char *key, struct obs_reason *reterr_reason)
{
    size_t size = strlen(key);

    if (size == 0 || size > CHECKOUT_KEY_MAX) {
        obs_reason_set(reterr_reason, "header Idempotency-Key has %zu characters: expected 1 to %d",
                       size, CHECKOUT_KEY_MAX);
        return CHECKOUT_REQUEST_REFUSED;
    }
    for (size_t i = 0; i < size; i++)
        if (key[i] <= ' ' || key[i] > '~') {
            obs_reason_set(reterr_reason,
                           "header Idempotency-Key holds a space or a character outside ASCII");
            return CHECKOUT_REQUEST_REFUSED;
        }
    return CHECKOUT_REQUEST_OK;
}

static int read_user(const json_t *json, struct checkout_request *request,
                     struct obs_reason *reterr_reason)
{
    const json_t *user = json_object_get(json, "user_id");
    const char *text = NULL;
    int64_t number = 0;
    int r;

    if (json_is_string(user)) {
        r = obs_json_get_text(json, "user_id", CHECKOUT_USER_MAX, &text, reterr_reason);
        if (r == 0 && *text == '\0') {
            obs_reason_set(reterr_reason, "\"user_id\" is empty");
            return CHECKOUT_REQUEST_REFUSED;
        }
        if (r == 0)
            snprintf(request->user_id, sizeof(request->user_id), "%s", text);
        return r;
    }
    r = obs_json_get_int(json, "user_id", 1, ID_MAX, &number, reterr_reason);
    if (r == 0)
        snprintf(request->user_id, sizeof(request->user_id), "%" PRId64, number);
    return r;
}

static int read_item(const json_t *json, struct checkout_item *item,
                     struct obs_reason *reterr_reason)
{
    static const char *const NAMES[] = {"product_id", "quantity", "unit_price_cents", NULL};
    int r;

    if (!json_is_object(json)) {
        obs_reason_set(reterr_reason, "expected an object");
        return CHECKOUT_REQUEST_REFUSED;
    }
    r = obs_json_only(json, NAMES, reterr_reason);
    if (r == 0)
        r = obs_json_get_int(json, "product_id", 1, ID_MAX, &item->product_id, reterr_reason);
    if (r == 0)
        r = obs_json_get_int(json, "quantity", 1, CHECKOUT_QUANTITY_MAX, &item->quantity,
                             reterr_reason);
    if (r == 0)
        r = obs_json_get_int(json, "unit_price_cents", 0, CHECKOUT_PRICE_MAX_CENTS,
                             &item->unit_price_cents, reterr_reason);
    return r;
}

/* Keep the items sorted. Return: false when the product is already there. */
static bool insert_item(struct checkout_request *request, const struct checkout_item *item)
{
    size_t at = request->item_count;

    while (at > 0 && request->items[at - 1].product_id > item->product_id)
        at--;
    if (at > 0 && request->items[at - 1].product_id == item->product_id)
        return false;
    memmove(&request->items[at + 1], &request->items[at],
            (request->item_count - at) * sizeof(*item));
    request->items[at] = *item;
    request->item_count++;
    request->total_cents += item->quantity * item->unit_price_cents;
    return true;
}

static int read_items(const json_t *json, struct checkout_request *request,
                      struct obs_reason *reterr_reason)
{
    const json_t *items = json_object_get(json, "items");
    size_t count = json_array_size(items);

    if (!json_is_array(items) || count == 0 || count > CHECKOUT_ITEMS_MAX) {
        obs_reason_set(reterr_reason, "\"items\": expected an array of 1 to %d items",
                       CHECKOUT_ITEMS_MAX);
        return CHECKOUT_REQUEST_REFUSED;
    }
    for (size_t i = 0; i < count; i++) {
        struct checkout_item item = {0};
        struct obs_reason why = {0};
        int r = read_item(json_array_get(items, i), &item, &why);
        if (r == 0 && !insert_item(request, &item)) {
            obs_reason_set(&why, "\"product_id\" %" PRId64 " stands in an earlier item",
                           item.product_id);
            r = CHECKOUT_REQUEST_REFUSED;
        }
        if (r < 0)
            return r;
        if (r > 0) {
            obs_reason_set(reterr_reason, "\"items\"[%zu]: %.200s", i, why.text);
            return CHECKOUT_REQUEST_REFUSED;
        }
    }
    return 0;
}

int checkout_request_read(const json_t *json, struct checkout_request *ret_request,
                          struct obs_reason *reterr_reason)
{
    static const char *const NAMES[] = {"user_id", "items", "delivery_note", NULL};
    struct checkout_request request = {.delivery_note = ""};
    int r;

    if (!json_is_object(json)) {
        obs_reason_set(reterr_reason, "body: expected a JSON object");
        return CHECKOUT_REQUEST_REFUSED;
    }
    r = obs_json_only(json, NAMES, reterr_reason);
    if (r == 0)
        r = read_user(json, &request, reterr_reason);
    if (r == 0)
        r = read_items(json, &request, reterr_reason);
    if (r == 0)
        r = obs_json_opt_text(json, "delivery_note", CHECKOUT_NOTE_MAX, &request.delivery_note,
                              reterr_reason);
    if (r == 0)
        *ret_request = request;
    return r;
}

int checkout_request_fingerprint(const struct checkout_request *request, struct obs_buffer *b)
{
    obs_buffer_append_json(b, request->user_id, strlen(request->user_id));
    for (size_t i = 0; i < request->item_count; i++) {
        const struct checkout_item *item = &request->items[i];
        /* Not the price: the storefront looks it up anew when a buyer asks again. */
        obs_buffer_printf(b, "|%" PRId64 "*%" PRId64, item->product_id, item->quantity);
    }
    obs_buffer_append_char(b, '|');
    return obs_buffer_append_json(b, request->delivery_note, strlen(request->delivery_note));
}
