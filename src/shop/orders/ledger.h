#pragma once
/* Ledger: reads orders, and moves an accepted order to its end, once. */
#include "shop/orders/orders.h"
#include <jansson.h>

enum ledger_outcome {
    LEDGER_OK = 0,
    LEDGER_TROUBLE = 1, /* see ret_trouble */
    LEDGER_NOT_FOUND = 2,
    LEDGER_CONFLICT = 3, /* the order already ended in another state */
};

/* All return an enum ledger_outcome value or -ENOMEM; *ret_trouble is set with LEDGER_TROUBLE.
 * Worker threads. @order_id: checked with order_id_is_valid(). */

/* {"order_id","user_id","status","total_cents","created_at","items":[…],"history":[…]} */
int ledger_find(struct orders *orders, const char *order_id, json_t **ret_json,
                enum orders_trouble *ret_trouble);

/* Oldest first. @state: NULL for all. {"orders":[{"order_id","status","age_seconds",…}]} */
int ledger_list(struct orders *orders, const char *state, unsigned limit, json_t **ret_json,
                enum orders_trouble *ret_trouble);

/* Idempotent: LEDGER_OK again when the order is there already. @ret_is_new: this call moved it. */
int ledger_fulfil(struct orders *orders, const char *order_id, const char *detail, bool *ret_is_new,
                  enum orders_trouble *ret_trouble);
/* Gives the reserved stock back as well. */
int ledger_dead_letter(struct orders *orders, const char *order_id, const char *detail,
                       bool *ret_is_new, enum orders_trouble *ret_trouble);
