#include "shop/fulfilment/message.h"
#include "base/json.h"
#include <stdio.h>
#include <string.h>

static int read_items(const json_t *json, struct message_order *order,
                      struct obs_reason *reterr_reason)
{
    const json_t *items = json_object_get(json, "items");
    size_t count = json_array_size(items);

    if (!json_is_array(items) || count == 0 || count > MESSAGE_ITEMS_MAX) {
        obs_reason_set(reterr_reason, "\"items\": expected an array of 1 to %d items",
                       MESSAGE_ITEMS_MAX);
        return MESSAGE_MALFORMED;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t product_id = 0, quantity = 0;
        const json_t *item = json_array_get(items, i);
        struct obs_reason why = {0};
        int r = obs_json_get_int(item, "product_id", 1, INT64_MAX, &product_id, &why);
        if (r == 0)
            r = obs_json_get_int(item, "quantity", 1, 1000000, &quantity, &why);
        if (r > 0)
            obs_reason_set(reterr_reason, "\"items\"[%zu]: %.200s", i, why.text);
        if (r != 0)
            return r;
        order->pieces += quantity;
    }
    order->item_count = count;
    return 0;
}

static int check_label(const json_t *json, struct obs_reason *reterr_reason)
{
    const json_t *note = json_object_get(json, "delivery_note");

    if (!note || (json_is_string(note) && json_string_length(note) <= MESSAGE_LABEL_NOTE_MAX))
        return 0;
    obs_reason_set(reterr_reason, "label: \"delivery_note\" has %zu bytes, %d fit",
                   json_string_length(note), MESSAGE_LABEL_NOTE_MAX);
    return MESSAGE_MALFORMED;
}

int message_read(const void *body, size_t size, struct message_order *ret_order,
                 struct obs_reason *reterr_reason)
{
    OBS_JSON json = NULL;
    const char *order_id = NULL;
    int r;

    *ret_order = (struct message_order){0};
    r = obs_json_parse(body, size, &json, reterr_reason);
    if (r == 0)
        r = obs_json_get_text(json, "order_id", MESSAGE_ORDER_ID_SIZE - 1, &order_id,
                              reterr_reason);
    if (r != 0)
        return r;
    snprintf(ret_order->order_id, sizeof(ret_order->order_id), "%s", order_id);
    r = read_items(json, ret_order, reterr_reason);
    return r == 0 ? check_label(json, reterr_reason) : r;
}

enum message_fate message_on_arrival(const struct fulfilment_settings *settings, int64_t attempts)
{
    return settings->on_error == FULFILMENT_DEAD_LETTER && attempts >= settings->max_deliveries
               ? MESSAGE_SPENT
               : MESSAGE_WORK;
}

enum message_fate message_on_failure(const struct fulfilment_settings *settings)
{
    return settings->on_error == FULFILMENT_REQUEUE ? MESSAGE_REQUEUE : MESSAGE_AGAIN;
}
