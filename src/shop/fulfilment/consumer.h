#pragma once
/*
 * Consumer: takes messages off the queue `fulfilment`, has them worked off by N threads, and tells
 * the broker what became of each.
 *
 *   broker ◄──► link thread ──deliveries──► worker threads (work.c)
 *                    ▲                            │
 *                    └────── verdicts ────────────┘
 *
 * One thread speaks AMQP, so heartbeats go on however long the work takes. Broker gone: it comes
 * back by itself; work in hand goes on, its verdicts are dropped, and the broker delivers those
 * messages again.
 */
#include "shop/fulfilment/work.h"

struct consumer;

struct consumer_options {
    struct work *work;   /* borrowed */
    struct bench *bench; /* borrowed; closed when stopping takes too long */
    const char *host, *vhost, *user, *password_file; /* borrowed */
    uint16_t port;
    struct fulfilment_settings settings;
};

int consumer_new(const struct consumer_options *options, struct consumer **ret_consumer);
/* Takes effect without losing a message. Any thread. */
void consumer_configure(struct consumer *consumer, const struct fulfilment_settings *settings);
bool consumer_is_consuming(struct consumer *consumer);
/* Takes no more messages, finishes those in hand (8 s at most), and leaves the rest to the broker.
 */
struct consumer *consumer_free(struct consumer *consumer);
