#pragma once
/*
 * Outbox: carries messages of committed orders from the table `outbox` to the broker.
 *
 * At least once: a row goes away only after the broker confirmed its message, so whatever dies in
 * between, the message is sent again; consumers recognise an order by its id. The publisher waits
 * for an absent broker as long as it takes and holds nothing up meanwhile.
 *
 * One thread with an AMQP connection of its own; it uses one connection of @pool while it
 * publishes.
 */
#include "shop/orders/settings.h"
#include "shop/service/db_pool.h"
#include <stdint.h>

struct outbox;

struct outbox_options {
    struct obs_telemetry *telemetry;                 /* borrowed */
    struct db_pool *pool;                            /* borrowed; not the one of requests */
    const char *host, *vhost, *user, *password_file; /* borrowed */
    uint16_t port;
    struct orders_settings settings;
};

int outbox_new(const struct outbox_options *options, struct outbox **ret_outbox);
void outbox_configure(struct outbox *outbox, const struct orders_settings *settings);
void outbox_wake(struct outbox *outbox); /* there is something new. Any thread. */
/* Finishes the batch in hand, at most mq.confirm_timeout; what is left stays in the table. */
struct outbox *outbox_free(struct outbox *outbox);
