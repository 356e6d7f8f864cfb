#pragma once
/*
 * Message: what fulfilment reads out of an `order.accepted` message, and what becomes of one that
 * it cannot work off.
 *
 * Deliveries are counted in the message itself (header x-attempts), because classic queues do not
 * count them: a failed message is published again with the count raised and acknowledged once the
 * broker has the new copy. A crash in between leaves two copies, which is harmless: orders takes a
 * report twice. A copy that arrives with its last attempt behind it is rejected unworked; the
 * broker moves it, headers and all, to the dead-letter exchange.
 */
#include "base/reason.h"
#include "shop/fulfilment/settings.h"
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_ORDER_ID_SIZE 40
#define MESSAGE_LABEL_NOTE_MAX 200 /* bytes of delivery note that fit on a parcel's label */
#define MESSAGE_ITEMS_MAX 1000
#define MESSAGE_BODY_MAX (1u << 20) /* bytes; a larger message is rejected unread */

struct message_order {
    char order_id[MESSAGE_ORDER_ID_SIZE]; /* "" when it could not be read */
    size_t item_count;
    int64_t pieces;
};

enum message_outcome {
    MESSAGE_OK = 0,
    MESSAGE_MALFORMED = 1, /* reason set; order_id is set all the same when it could be read */
};

int message_read(const void *body, size_t size, struct message_order *ret_order,
                 struct obs_reason *reterr_reason);

enum message_fate {
    MESSAGE_WORK,    /* on arrival: work on it */
    MESSAGE_REQUEUE, /* after a failure: back to its place in the queue, uncounted */
    MESSAGE_AGAIN,   /* after a failure: published again with the count raised */
    MESSAGE_SPENT,   /* on arrival: set aside */
};

/* @attempts: header x-attempts. */
enum message_fate message_on_arrival(const struct fulfilment_settings *settings, int64_t attempts);
enum message_fate message_on_failure(const struct fulfilment_settings *settings);
