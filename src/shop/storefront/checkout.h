#pragma once
/*
 * Checkout: what a visitor sends, checked, and what orders gets to see.
 *
 *   in:  {"user_id": 17, "items": [{"product_id": 4, "quantity": 2}], "delivery_note": "…"}
 *   out: the same, with "unit_price_cents" in each item
 */
#include "base/buffer.h"
#include "base/json.h"
#include "base/reason.h"

enum { CHECKOUT_ITEMS_MAX = 20, CHECKOUT_QUANTITY_MAX = 99, CHECKOUT_KEY_MAX = 64 };
enum { CHECKOUT_NOTE_MAX = 500, CHECKOUT_USER_MAX = 64 };

enum checkout_outcome {
    CHECKOUT_OK = 0,
    CHECKOUT_REFUSED = 1, /* reason names the field */
};

/* Idempotency-Key: 1 to 64 visible ASCII characters. NULL is refused. */
int checkout_key_check(const char *key, struct obs_reason *reterr_reason);
int checkout_body_check(const json_t *body, struct obs_reason *reterr_reason);

/* Ids of the items for catalog: "1,2,3". @body has passed the check. Return: 0 or the buffer's
 * error. */
int checkout_ids(const json_t *body, struct obs_buffer *b);
/* Set each item's price from catalog's {"items":[{"id","price_cents",…}]}. CHECKOUT_REFUSED when
 * one is not there. */
int checkout_price(json_t *body, const json_t *products, struct obs_reason *reterr_reason);
