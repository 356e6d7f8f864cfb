#pragma once
/* Delivery: what the carrier asks for a parcel, and when it arrives. The carrier is outside the
 * shop and does not exist, so its answer time is drawn (shop/service/latency.h). */
#include <stdint.h>

struct delivery_quote {
    unsigned days;
    int64_t price_cents;
};

/* Blocks for one answer time. */
void delivery_quote_ask(unsigned median_ms, int64_t goods_cents, struct delivery_quote *ret_quote);
