#pragma once
/*
 * AMQP link: one connection and one channel to the broker, in confirm mode, for one thread.
 *
 *   exchange `orders` (direct) --fulfilment--> queue `fulfilment`
 *                                                  | rejected
 *   exchange `orders.dead` (fanout) <--------------+----> queue `fulfilment.dead`
 *
 * What arrives (deliveries, confirms, returned messages) is handed to the owner by
 * amqp_link_pump(), in the owner's thread, so there is no lock and no second place that reads the
 * socket. Heartbeats are served by pump as well: call it at least every few seconds.
 *
 * A link that failed stays failed: free it and open another. The broker then delivers again what
 * was not acknowledged.
 */
#include "base/address.h"
#include "base/cleanup.h"
#include "base/reason.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMQP_EXCHANGE "orders"
#define AMQP_QUEUE "fulfilment" /* also the routing key */
#define AMQP_DEAD_EXCHANGE "orders.dead"
#define AMQP_DEAD_QUEUE "fulfilment.dead"

#define AMQP_HEADER_TRACEPARENT "traceparent"
#define AMQP_HEADER_ATTEMPTS "x-attempts"     /* deliveries that failed before this one */
#define AMQP_HEADER_LAST_ERROR "x-last-error" /* why the latest of them failed */

#define AMQP_HEADER_TEXT_MAX 240
#define AMQP_ATTEMPTS_MAX 1000000

struct amqp_link;

struct amqp_link_options {
    const char *host;
    uint16_t port;
    const char *vhost, *user, *password;
    const char *name;     /* of the connection, as the broker shows it */
    unsigned timeout_ms;  /* connecting, and every question to the broker; 0: 5000 */
    unsigned heartbeat_s; /* 0: 10 */
};

enum amqp_outcome {
    AMQP_OK = 0,
    AMQP_REFUSED = 1, /* the broker said no (login, vhost, a declaration); reason set */
};

/* One message, in either direction. Outgoing: "" or NULL leaves a field out. Incoming: borrowed for
 * the duration of the callback, texts NUL-terminated. */
struct amqp_message {
    const char *exchange, *routing_key;
    const char *message_id, *type;
    const char *traceparent; /* header; "" when absent or not text */
    int64_t attempts;        /* header, 0 to AMQP_ATTEMPTS_MAX; 0 when absent */
    const char *last_error;  /* header; "" when absent */
    const void *body;
    size_t body_size;

    /* Incoming only. */
    uint64_t tag; /* for amqp_link_ack() and _reject() */
    bool redelivered;
};

struct amqp_link_events { /* all optional */
    void (*delivered)(const struct amqp_message *message, void *userdata);
    /* @sequence: as given by amqp_link_publish(). @is_multiple: and all before it. */
    void (*confirmed)(uint64_t sequence, bool is_multiple, bool is_accepted, void *userdata);
    /* A mandatory message that no queue would take; its confirm follows. */
    void (*returned)(const struct amqp_message *message, void *userdata);
    /* The broker ended the consumer (its queue was deleted). */
    void (*cancelled)(void *userdata);
    void *userdata;
};

/**
 * amqp_link_open() - connect, log in, open the channel in confirm mode
 * @events: copied; its userdata is borrowed for the link's life
 *
 * Return: 0, AMQP_REFUSED, < 0 (-ECONNREFUSED, -ETIMEDOUT, -EIO …; reason set as well).
 */
int amqp_link_open(const struct amqp_link_options *options, const struct amqp_link_events *events,
                   struct amqp_link **ret_link, struct obs_reason *reterr_reason);
struct amqp_link *amqp_link_free(struct amqp_link *link); /* says goodbye when the link is well */
/* The peer is not to be trusted any more: every further call fails, and _free says no goodbye,
 * which a broker that hangs would not answer. */
void amqp_link_abandon(struct amqp_link *link);

/* Make sure that the exchanges, queues and bindings above exist. Return as above. */
int amqp_link_declare(struct amqp_link *link, struct obs_reason *reterr_reason);

/* Persistent and mandatory. Returns once the bytes are handed to the kernel; the broker's word
 * comes through `confirmed`. Return: 0, -EIO. */
int amqp_link_publish(struct amqp_link *link, const struct amqp_message *message,
                      uint64_t *ret_sequence);

/* Deliveries of @queue begin; at most @prefetch may be unacknowledged. Return: 0, AMQP_REFUSED,
 * -EIO. */
int amqp_link_consume(struct amqp_link *link, const char *queue, uint16_t prefetch,
                      struct obs_reason *reterr_reason);
/* No further deliveries after what is on its way. Return: 0, -EIO. */
int amqp_link_cancel(struct amqp_link *link);
int amqp_link_ack(struct amqp_link *link, uint64_t tag);                  /* 0, -EIO */
int amqp_link_reject(struct amqp_link *link, uint64_t tag, bool requeue); /* 0, -EIO */

/**
 * amqp_link_pump() - handle what has arrived; wait for something to arrive
 * @wake_fd: an eventfd that ends the wait early and is drained; -1 for none
 * @timeout_ms: longest wait
 *
 * Return: 0, -EIO when the link is lost (reason set).
 */
int amqp_link_pump(struct amqp_link *link, int wake_fd, unsigned timeout_ms,
                   struct obs_reason *reterr_reason);

/* Exponential: 100 ms, 200, 400 … up to 1 s, each shortened at random by up to a quarter, so that
 * many clients of one broker do not come back together. @failures: in a row, at least 1; @random:
 * any bits. */
unsigned amqp_backoff_ms(unsigned failures, uint32_t random);

/* First line of a file, for passwords. Return: 0, -errno, -EMSGSIZE. */
int amqp_password_read(const char *path, char *password, size_t capacity,
                       struct obs_reason *reterr_reason);
OBS_DEFINE_CLEANUP(struct amqp_link *, amqp_link_free)
