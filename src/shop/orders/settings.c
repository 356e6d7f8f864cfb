#include "shop/orders/settings.h"

static const struct obs_setting ROWS[] = {
    {.name = "version", .type = OBS_SETTING_CHOICE, .standard = "1.2", .choices = "1.2|1.3",
     .unit = "", .meaning = "release that runs"},
    SERVICE_SETTINGS("16", "256"),
    [ORDERS_ROW_POOL_SIZE] = {.name = "db.pool_size", .type = OBS_SETTING_INT, .standard = "20",
                              .minimum = 1, .maximum = 200, .unit = "connections",
                              .meaning = "database connections that may be open at once"},
    [ORDERS_ROW_ACQUIRE_TIMEOUT] = {.name = "db.acquire_timeout", .type = OBS_SETTING_INT,
                                    .standard = "2000", .minimum = 1, .maximum = 60000,
                                    .unit = "ms",
                                    .meaning = "longest wait for a free database connection"},
    [ORDERS_ROW_STATEMENT_TIMEOUT] = {.name = "db.statement_timeout", .type = OBS_SETTING_INT,
                                      .standard = "5000", .minimum = 0, .maximum = 600000,
                                      .unit = "ms",
                                      .meaning = "longest time of one SQL statement; 0: no limit"},
    [ORDERS_ROW_IDLE_TIMEOUT] = {.name = "db.idle_in_transaction_timeout",
                                 .type = OBS_SETTING_INT, .standard = "0", .minimum = 0,
                                 .maximum = 600000, .unit = "ms",
                                 .meaning = "the database ends a session that does nothing inside "
                                            "a transaction for so long; 0: never"},
    [ORDERS_ROW_IDEMPOTENCY] = {.name = "idempotency", .type = OBS_SETTING_CHOICE,
                                .standard = "on", .choices = "on|off", .unit = "",
                                .meaning = "answer a repeated Idempotency-Key with the order it "
                                           "made the first time"},
    [ORDERS_ROW_CHECKOUT_FLOW] = {.name = "checkout.flow", .type = OBS_SETTING_CHOICE,
                                  .standard = "classic", .choices = "classic|staged", .unit = "",
                                  .meaning = "steps of a checkout: classic looks for an earlier "
                                             "order first, staged does all in one transaction"},
    [ORDERS_ROW_AUTHORIZE_MS] = {.name = "payment.authorize_ms", .type = OBS_SETTING_INT,
                                 .standard = "60", .minimum = 0, .maximum = 30000, .unit = "ms",
                                 .meaning = "median answer time of the payment provider"},
    [ORDERS_ROW_DECLINE_RATIO] = {.name = "payment.decline_ratio", .type = OBS_SETTING_NUMBER,
                                  .standard = "0", .minimum = 0, .maximum = 1, .unit = "",
                                  .meaning = "share of payments that the provider declines"},
    [ORDERS_ROW_REPLENISH_S] = {.name = "stock.replenish_interval", .type = OBS_SETTING_INT,
                                .standard = "30", .minimum = 0, .maximum = 86400, .unit = "s",
                                .meaning = "time between deliveries of new stock; 0: none"},
    [ORDERS_ROW_PROPAGATE_TRACE] = {.name = "mq.propagate_trace", .type = OBS_SETTING_BOOL,
                                    .standard = "true", .unit = "",
                                    .meaning = "send the trace context along with each message"},
    [ORDERS_ROW_CONFIRM_TIMEOUT] = {.name = "mq.confirm_timeout", .type = OBS_SETTING_INT,
                                    .standard = "5000", .minimum = 50, .maximum = 60000,
                                    .unit = "ms",
                                    .meaning = "longest wait for the broker to confirm messages"},
    [ORDERS_ROW_BATCH] = {.name = "mq.batch", .type = OBS_SETTING_INT, .standard = "50",
                          .minimum = 1, .maximum = 500, .unit = "messages",
                          .meaning = "messages published before waiting for their confirms"},
};
_Static_assert(OBS_COUNT(ROWS) == ORDERS_ROW_COUNT, "one row per enum member");

static const struct obs_release RELEASES[] = {
    {.version = "1.2"},
    {.version = "1.3", .values = {{"checkout.flow", "staged"}, {"mq.batch", "100"}}},
};

const struct obs_settings_schema ORDERS_SETTINGS = {
    .service = "orders",
    .rows = ROWS,
    .row_count = OBS_COUNT(ROWS),
    .releases = RELEASES,
    .release_count = OBS_COUNT(RELEASES),
};

static unsigned read_unsigned(const struct obs_settings_view *view, size_t row)
{
    return (unsigned)obs_setting_int(view, row);
}

void orders_settings_read(const struct obs_settings_view *view, struct orders_settings *ret_settings)
{
    *ret_settings = (struct orders_settings){
        .pool_size = read_unsigned(view, ORDERS_ROW_POOL_SIZE),
        .acquire_timeout_ms = read_unsigned(view, ORDERS_ROW_ACQUIRE_TIMEOUT),
        .statement_timeout_ms = read_unsigned(view, ORDERS_ROW_STATEMENT_TIMEOUT),
        .idle_timeout_ms = read_unsigned(view, ORDERS_ROW_IDLE_TIMEOUT),
        .is_idempotent = obs_setting_choice(view, ORDERS_ROW_IDEMPOTENCY) == 0,
        .flow = (enum orders_flow)obs_setting_choice(view, ORDERS_ROW_CHECKOUT_FLOW),
        .authorize_ms = read_unsigned(view, ORDERS_ROW_AUTHORIZE_MS),
        .decline_ratio = obs_setting_number(view, ORDERS_ROW_DECLINE_RATIO),
        .replenish_s = read_unsigned(view, ORDERS_ROW_REPLENISH_S),
        .propagates_trace = obs_setting_bool(view, ORDERS_ROW_PROPAGATE_TRACE),
        .confirm_timeout_ms = read_unsigned(view, ORDERS_ROW_CONFIRM_TIMEOUT),
        .batch = read_unsigned(view, ORDERS_ROW_BATCH),
    };
}
