#pragma once
/*
 * Orders: takes orders, owns stock, and tells fulfilment about each accepted order exactly as often
 * as the broker needs to hear it.
 *
 *   POST /orders ── one transaction: idempotency key · stock · order · outbox row
 *                                                                  │
 *                       publisher thread (outbox.c) ── AMQP, confirmed ──► queue `fulfilment`
 *   fulfilment ── POST /orders/{id}/fulfilled ──► state
 */
#include "shop/orders/settings.h"
#include "shop/service/db_pool.h"
#include <pthread.h>

struct outbox;
struct watch;
struct checkout_sessions;

struct orders {
    struct obs_telemetry *telemetry; /* borrowed */
    struct db_pool *pool;            /* of requests */
    struct checkout_sessions *sessions;
    struct outbox *outbox;
    struct watch *watch;
    struct obs_metric_series *created, *fulfilled, *dead_lettered;
    pthread_mutex_t settings_lock;
    struct orders_settings settings; /* under settings_lock; see orders_settings_now() */
};

struct orders_settings orders_settings_now(struct orders *orders);

/* What a failed database call means to a caller over HTTP. */
enum orders_trouble {
    ORDERS_TROUBLE_NONE = 0,
    ORDERS_BUSY = 1,        /* no connection became free in time */
    ORDERS_UNAVAILABLE = 2, /* the database cannot be reached, or the outcome is unknown */
    ORDERS_SLOW = 3,        /* a statement ran into its time limit */
    ORDERS_FAILED = 4,      /* the database refused a statement */
    ORDERS_TROUBLE_COUNT,
};

/* @outcome: of a db_* call. @connection: may be NULL. */
enum orders_trouble orders_trouble(int outcome, const struct db_connection *connection);
