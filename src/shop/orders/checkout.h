#pragma once
/*
 * Checkout: turns a checked request into an accepted order, in one transaction.
 *
 * Rows of stock are locked in the order of product_id, so two checkouts never wait for each other
 * in a circle.
 */
#include "shop/orders/checkout_request.h"
#include "shop/orders/order_id.h"
#include "shop/orders/orders.h"

enum checkout_outcome {
    CHECKOUT_ACCEPTED = 0,
    CHECKOUT_TROUBLE = 1, /* see result.trouble; nothing is known to have changed */
    CHECKOUT_REPLAYED,    /* the key's earlier order is in the result */
    CHECKOUT_KEY_REUSED,  /* the key belongs to a request with other content */
    CHECKOUT_OUT_OF_STOCK,
    CHECKOUT_DECLINED,
};

struct checkout_result {
    char order_id[ORDER_ID_SIZE];
    char status[16];
    char created_at[40]; /* RFC 3339 */
    int64_t total_cents;
    int64_t product_id; /* OUT_OF_STOCK: which one */
    enum orders_trouble trouble;
};

/* @key: NULL or "" when the client gave none. Worker thread. Return: an enum checkout_outcome
 * value, or < 0 (-ENOMEM). */
int checkout_run(struct orders *orders, const struct checkout_request *request, const char *key,
                 struct checkout_result *ret_result);

/* Database sessions of checkouts that wait for a customer's next step (flow `staged`). */
struct checkout_sessions *checkout_sessions_new(void);
void checkout_sessions_end(struct checkout_sessions *sessions); /* gives all back */
struct checkout_sessions *checkout_sessions_free(struct checkout_sessions *sessions);
