#pragma once
/*
 * Checkout request: the body of POST /orders, checked, and in one canonical form.
 *
 *   {"user_id": 17, "items": [{"product_id": 4, "quantity": 2, "unit_price_cents": 1999}],
 *    "delivery_note": "leave at the door"}
 */
#include "base/buffer.h"
#include "base/json.h"
#include "base/reason.h"

#define CHECKOUT_ITEMS_MAX 50
#define CHECKOUT_QUANTITY_MAX 99
#define CHECKOUT_PRICE_MAX_CENTS 100000000
#define CHECKOUT_NOTE_MAX 500
#define CHECKOUT_USER_MAX 64
#define CHECKOUT_KEY_MAX 200

struct checkout_item {
    int64_t product_id, quantity, unit_price_cents;
};

struct checkout_request {
    char user_id[CHECKOUT_USER_MAX + 1];
    struct checkout_item items[CHECKOUT_ITEMS_MAX]; /* ascending product_id, each once */
    size_t item_count;
    int64_t total_cents;
    const char *delivery_note; /* "" when absent; borrowed from the JSON */
};

enum checkout_request_outcome {
    CHECKOUT_REQUEST_OK = 0,
    CHECKOUT_REQUEST_REFUSED = 1, /* reason names the field */
};

/* @json: the parsed body; must live as long as @ret_request. */
int checkout_request_read(const json_t *json, struct checkout_request *ret_request,
                          struct obs_reason *reterr_reason);

/* Idempotency-Key: 1 to 200 visible ASCII characters. */
int checkout_key_check(const char *key, struct obs_reason *reterr_reason);

/* Append what makes two requests the same order: equal for equal content, whatever the order of
 * items and members or the spacing was. Return: 0 or the buffer's error. */
int checkout_request_fingerprint(const struct checkout_request *request, struct obs_buffer *b);
