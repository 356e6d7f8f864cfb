#include "shop/storefront/delivery.h"
#include "base/clock.h"
#include "otel/names.h"
#include "otel/trace.h"
#include "shop/service/latency.h"

enum { FREE_FROM_CENTS = 6000, PARCEL_CENTS = 490, BULKY_FROM_CENTS = 30000 };

void delivery_quote_ask(unsigned median_ms, int64_t goods_cents, struct delivery_quote *ret_quote)
{
    struct obs_span span;

    obs_span_start_child(&span, OBS_SPAN_CLIENT, "POST /quotes");
    obs_span_text(&span, OBS_ATTR_PEER_SERVICE, "carrier");
    if (median_ms > 0)
        obs_sleep_ns((uint64_t)(latency_next_ms(median_ms, 0.25) * (double)OBS_NS_PER_MS));
    ret_quote->days = goods_cents >= BULKY_FROM_CENTS ? 4 : 2;
    ret_quote->price_cents = goods_cents >= FREE_FROM_CENTS ? 0 : PARCEL_CENTS;
    obs_span_end(&span);
}
