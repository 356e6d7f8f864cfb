#include "shop/orders/payment.h"
#include "base/clock.h"
#include "otel/names.h"
#include "otel/trace.h"
#include "shop/service/latency.h"

#define SPREAD 0.25 /* 95 % of answers within 1.5 times the median */

int payment_authorize(unsigned median_ms, double decline_ratio, int64_t total_cents)
{
    struct obs_span span;
    bool is_declined = latency_random() < decline_ratio * 4294967296.0;

    obs_span_start_child(&span, OBS_SPAN_CLIENT, "payment.authorize");
    obs_span_text(&span, OBS_ATTR_PEER_SERVICE, "payment-provider");
    obs_span_int(&span, "payment.amount_cents", total_cents);
    if (median_ms > 0)
        obs_sleep_ns((uint64_t)(latency_next_ms(median_ms, SPREAD) * 1e6));
    obs_span_text(&span, "payment.result", is_declined ? "declined" : "authorized");
    obs_span_end(&span);
    return is_declined ? PAYMENT_DECLINED : PAYMENT_AUTHORIZED;
}
