#include "shop/storefront/checkout.h"
#include <inttypes.h>
#include <string.h>

int checkout_key_check(const char *key, struct obs_reason *reterr_reason)
{
    size_t size = key ? strlen(key) : 0;
    bool is_good = size >= 1 && size <= CHECKOUT_KEY_MAX;

    for (size_t i = 0; is_good && i < size; i++)
        is_good = key[i] > ' ' && key[i] <= '~';
    if (is_good)
        return CHECKOUT_OK;
    obs_reason_set(reterr_reason,
                   "header Idempotency-Key: expected 1 to %d visible ASCII characters",
                   CHECKOUT_KEY_MAX);
    return CHECKOUT_REFUSED;
}

static int check_user(const json_t *body, struct obs_reason *reterr_reason)
{
    const char *text = NULL;
    int64_t number = 0;
    int r;

    if (!json_is_string(json_object_get(body, "user_id")))
        return obs_json_get_int(body, "user_id", 1, INT64_C(9007199254740991), &number,
                                reterr_reason);
    r = obs_json_get_text(body, "user_id", CHECKOUT_USER_MAX, &text, reterr_reason);
    if (r == 0 && *text == '\0') {
        obs_reason_set(reterr_reason, "\"user_id\" is empty");
        return CHECKOUT_REFUSED;
    }
    return r;
}

static int check_item(const json_t *item, struct obs_reason *reterr_reason)
{
    static const char *const NAMES[] = {"product_id", "quantity", NULL};
    int64_t number = 0;
    int r;

    if (!json_is_object(item)) {
        obs_reason_set(reterr_reason, "expected an object");
        return CHECKOUT_REFUSED;
    }
    r = obs_json_only(item, NAMES, reterr_reason);
    if (r == 0)
        r = obs_json_get_int(item, "product_id", 1, INT32_MAX, &number, reterr_reason);
    if (r == 0)
        r = obs_json_get_int(item, "quantity", 1, CHECKOUT_QUANTITY_MAX, &number, reterr_reason);
    return r;
}

static bool is_twice(const json_t *items, size_t at)
{
    int64_t id = json_integer_value(json_object_get(json_array_get(items, at), "product_id"));

    for (size_t i = 0; i < at; i++)
        if (json_integer_value(json_object_get(json_array_get(items, i), "product_id")) == id)
            return true;
    return false;
}

static int check_items(const json_t *items, struct obs_reason *reterr_reason)
{
    size_t count = json_array_size(items);

    if (!json_is_array(items) || count == 0 || count > CHECKOUT_ITEMS_MAX) {
        obs_reason_set(reterr_reason, "\"items\": expected an array of 1 to %d items",
                       CHECKOUT_ITEMS_MAX);
        return CHECKOUT_REFUSED;
    }
    for (size_t i = 0; i < count; i++) {
        struct obs_reason why = {0};
        int r = check_item(json_array_get(items, i), &why);

        if (r == 0 && is_twice(items, i)) {
            obs_reason_set(&why, "\"product_id\" stands in an earlier item");
            r = CHECKOUT_REFUSED;
        }
        if (r != 0) {
            obs_reason_set(reterr_reason, "\"items\"[%zu]: %.200s", i, why.text);
            return r;
        }
    }
    return CHECKOUT_OK;
}

int checkout_body_check(const json_t *body, struct obs_reason *reterr_reason)
{
    static const char *const NAMES[] = {"user_id", "items", "delivery_note", NULL};
    const char *note = "";
    int r;

    if (!json_is_object(body)) {
        obs_reason_set(reterr_reason, "body: expected a JSON object");
        return CHECKOUT_REFUSED;
    }
    r = obs_json_only(body, NAMES, reterr_reason);
    if (r == 0)
        r = check_user(body, reterr_reason);
    if (r == 0)
        r = check_items(json_object_get(body, "items"), reterr_reason);
    if (r == 0)
        r = obs_json_opt_text(body, "delivery_note", CHECKOUT_NOTE_MAX, &note, reterr_reason);
    return r;
}

int checkout_ids(const json_t *body, struct obs_buffer *b)
{
    const json_t *items = json_object_get(body, "items");
    json_t *item;
    size_t i;

    json_array_foreach (items, i, item)
        obs_buffer_printf(b, "%s%" JSON_INTEGER_FORMAT, i > 0 ? "," : "",
                          json_integer_value(json_object_get(item, "product_id")));
    return b->error;
}

static const json_t *find_product(const json_t *products, json_int_t id)
{
    const json_t *items = json_object_get(products, "items");
    json_t *item;
    size_t i;

    json_array_foreach (items, i, item)
        if (json_integer_value(json_object_get(item, "id")) == id)
            return item;
    return NULL;
}

int checkout_price(json_t *body, const json_t *products, struct obs_reason *reterr_reason)
{
    json_t *items = json_object_get(body, "items"), *item;
    size_t i;

    json_array_foreach (items, i, item) {
        json_int_t id = json_integer_value(json_object_get(item, "product_id"));
        const json_t *product = find_product(products, id);
        const json_t *price = json_object_get(product, "price_cents");

        if (!product || !json_is_integer(price)) {
            obs_reason_set(reterr_reason,
                           "\"items\"[%zu]: \"product_id\" %" JSON_INTEGER_FORMAT
                           ": there is no such product",
                           i, id);
            return CHECKOUT_REFUSED;
        }
        json_object_set_new(item, "unit_price_cents", json_integer(json_integer_value(price)));
    }
    return CHECKOUT_OK;
}
