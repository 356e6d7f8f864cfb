#pragma once
/*
 * Work: one message from its arrival to its verdict: read, pack, book a carrier, report to orders.
 *
 * The message stays unacknowledged until orders has taken the report, so a crash at any point leads
 * to another delivery and never to a lost order.
 */
#include "otel/instrument.h"
#include "shop/fulfilment/bench.h"
#include "shop/fulfilment/shipments.h"

struct delivery { /* a message, copied out of the link */
    uint64_t tag;
    unsigned generation; /* of the link it came by */
    bool is_redelivered;
    int64_t attempts;
    char message_id[128], type[64], traceparent[240], last_error[240];
    char *body;
    size_t body_size;
};

enum verdict {
    VERDICT_ACK,
    VERDICT_REQUEUE, /* back to the queue as it is */
    VERDICT_AGAIN,   /* publish again with attempts + 1 and last_error, then acknowledge */
    VERDICT_REJECT,  /* to the dead-letter exchange */
};

struct work {
    struct obs_telemetry *telemetry; /* all borrowed */
    struct obs_upstream *orders;
    struct bench *bench;
    struct shipments *shipments;
    struct obs_metric_series *consumed_remote, *consumed_none, *duration;
    struct obs_metric_series *fulfilled, *requeued, *retried, *dead_lettered;
};

void work_init(struct work *work, struct obs_telemetry *telemetry, struct obs_upstream *orders,
               struct bench *bench, struct shipments *shipments);

/* Worker thread; blocks until the message's fate is known or the bench is closed (REQUEUE).
 * @delivery->last_error is set with AGAIN. */
enum verdict work_run(struct work *work, const struct fulfilment_settings *settings,
                      struct delivery *delivery);
