#pragma once
/* Settings of orders, read from one view into plain values when they change. */
#include "shop/service/service.h"

enum orders_row {
    ORDERS_ROW_POOL_SIZE = SERVICE_ROW_FIRST_OWN,
    ORDERS_ROW_ACQUIRE_TIMEOUT,
    ORDERS_ROW_STATEMENT_TIMEOUT,
    ORDERS_ROW_IDLE_TIMEOUT,
    ORDERS_ROW_IDEMPOTENCY,
    ORDERS_ROW_CHECKOUT_FLOW,
    ORDERS_ROW_AUTHORIZE_MS,
    ORDERS_ROW_DECLINE_RATIO,
    ORDERS_ROW_REPLENISH_S,
    ORDERS_ROW_PROPAGATE_TRACE,
    ORDERS_ROW_CONFIRM_TIMEOUT,
    ORDERS_ROW_BATCH,
    ORDERS_ROW_COUNT,
};

enum orders_flow { ORDERS_FLOW_CLASSIC, ORDERS_FLOW_STAGED };

struct orders_settings {
    unsigned pool_size, acquire_timeout_ms, statement_timeout_ms, idle_timeout_ms;
    bool is_idempotent;
    enum orders_flow flow;
    unsigned authorize_ms;
    double decline_ratio;
    unsigned replenish_s;
    bool propagates_trace;
    unsigned confirm_timeout_ms, batch;
};

extern const struct obs_settings_schema ORDERS_SETTINGS;

void orders_settings_read(const struct obs_settings_view *view,
                          struct orders_settings *ret_settings);
