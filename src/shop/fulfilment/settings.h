#pragma once
/* Settings of fulfilment, read from one view into plain values when they change. */
#include "shop/service/service.h"

enum fulfilment_row {
    FULFILMENT_ROW_CONCURRENCY = SERVICE_ROW_FIRST_OWN,
    FULFILMENT_ROW_PREFETCH,
    FULFILMENT_ROW_ON_ERROR,
    FULFILMENT_ROW_MAX_DELIVERIES,
    FULFILMENT_ROW_RETRY_DELAY,
    FULFILMENT_ROW_WORK_DURATION,
    FULFILMENT_ROW_CARRIER_LATENCY,
    FULFILMENT_ROW_CARRIER_TIMEOUT,
    FULFILMENT_ROW_REPORT_TIMEOUT,
    FULFILMENT_ROW_COUNT,
};

enum fulfilment_on_error { FULFILMENT_DEAD_LETTER, FULFILMENT_REQUEUE };

struct fulfilment_settings {
    unsigned concurrency, prefetch;
    enum fulfilment_on_error on_error;
    unsigned max_deliveries, retry_delay_ms;
    unsigned work_duration_ms, carrier_latency_ms, carrier_timeout_ms, report_timeout_ms;
};

extern const struct obs_settings_schema FULFILMENT_SETTINGS;

void fulfilment_settings_read(const struct obs_settings_view *view,
                              struct fulfilment_settings *ret_settings);
