#pragma once
/* Payment: authorizes a customer's card at the payment provider, which this shop only plays. */
#include <stdint.h>

enum payment_outcome {
    PAYMENT_AUTHORIZED = 0,
    PAYMENT_DECLINED = 1,
};

/* Takes as long as the provider does, under a span "payment.authorize". @median_ms: 0 answers at
 * once. */
int payment_authorize(unsigned median_ms, double decline_ratio, int64_t total_cents);
