#include "shop/fulfilment/settings.h"

static const struct obs_setting ROWS[] = {
    {.name = "version",
     .type = OBS_SETTING_CHOICE,
     .standard = "1.2",
     .choices = "1.2",
     .unit = "",
     .meaning = "release that runs"},
    SERVICE_SETTINGS("2", "64"),
    [FULFILMENT_ROW_CONCURRENCY] = {.name = "consumer.concurrency",
                                    .type = OBS_SETTING_INT,
                                    .standard = "4",
                                    .minimum = 1,
                                    .maximum = 64,
                                    .unit = "threads",
                                    .meaning = "orders worked on at the same time"},
    [FULFILMENT_ROW_PREFETCH] = {.name = "consumer.prefetch",
                                 .type = OBS_SETTING_INT,
                                 .standard = "8",
                                 .minimum = 1,
                                 .maximum = 1000,
                                 .unit = "messages",
                                 .meaning = "messages the broker hands over before one is "
                                            "acknowledged; fewer than consumer.concurrency leaves "
                                            "threads without work"},
    [FULFILMENT_ROW_ON_ERROR] = {.name = "consumer.on_error",
                                 .type = OBS_SETTING_CHOICE,
                                 .standard = "dead_letter",
                                 .choices = "dead_letter|requeue",
                                 .unit = "",
                                 .meaning = "what becomes of a message that cannot be worked off: "
                                            "dead_letter sets it aside after "
                                            "consumer.max_deliveries, requeue returns it to the "
                                            "queue"},
    [FULFILMENT_ROW_MAX_DELIVERIES] = {.name = "consumer.max_deliveries",
                                       .type = OBS_SETTING_INT,
                                       .standard = "3",
                                       .minimum = 1,
                                       .maximum = 100,
                                       .unit = "deliveries",
                                       .meaning = "attempts before a message is set aside"},
    [FULFILMENT_ROW_RETRY_DELAY] = {.name = "consumer.retry_delay",
                                    .type = OBS_SETTING_INT,
                                    .standard = "20",
                                    .minimum = 0,
                                    .maximum = 60000,
                                    .unit = "ms",
                                    .meaning = "pause before a failed message goes back"},
    [FULFILMENT_ROW_WORK_DURATION] = {.name = "work.duration_ms",
                                      .type = OBS_SETTING_INT,
                                      .standard = "120",
                                      .minimum = 0,
                                      .maximum = 60000,
                                      .unit = "ms",
                                      .meaning = "median time to pack an order"},
    [FULFILMENT_ROW_CARRIER_LATENCY] = {.name = "carrier.latency_ms",
                                        .type = OBS_SETTING_INT,
                                        .standard = "60",
                                        .minimum = 0,
                                        .maximum = 120000,
                                        .unit = "ms",
                                        .meaning = "median answer time of the first carrier"},
    [FULFILMENT_ROW_CARRIER_TIMEOUT] = {.name = "carrier.timeout_ms",
                                        .type = OBS_SETTING_INT,
                                        .standard = "30000",
                                        .minimum = 10,
                                        .maximum = 120000,
                                        .unit = "ms",
                                        .meaning = "longest wait for the first carrier; then the "
                                                   "second one is booked"},
    [FULFILMENT_ROW_REPORT_TIMEOUT] = {.name = "report.timeout_ms",
                                       .type = OBS_SETTING_INT,
                                       .standard = "3000",
                                       .minimum = 10,
                                       .maximum = 60000,
                                       .unit = "ms",
                                       .meaning = "longest wait for orders to take a report, "
                                                  "before it is sent again"},
};
_Static_assert(OBS_COUNT(ROWS) == FULFILMENT_ROW_COUNT, "one row per enum member");

static const struct obs_release RELEASES[] = {{.version = "1.2"}};

const struct obs_settings_schema FULFILMENT_SETTINGS = {
    .service = "fulfilment",
    .rows = ROWS,
    .row_count = OBS_COUNT(ROWS),
    .releases = RELEASES,
    .release_count = OBS_COUNT(RELEASES),
};

static unsigned read_unsigned(const struct obs_settings_view *view, size_t row)
{
    return (unsigned)obs_setting_int(view, row);
}

void fulfilment_settings_read(const struct obs_settings_view *view,
                              struct fulfilment_settings *ret_settings)
{
    *ret_settings = (struct fulfilment_settings){
        .concurrency = read_unsigned(view, FULFILMENT_ROW_CONCURRENCY),
        .prefetch = read_unsigned(view, FULFILMENT_ROW_PREFETCH),
        .on_error = (enum fulfilment_on_error)obs_setting_choice(view, FULFILMENT_ROW_ON_ERROR),
        .max_deliveries = read_unsigned(view, FULFILMENT_ROW_MAX_DELIVERIES),
        .retry_delay_ms = read_unsigned(view, FULFILMENT_ROW_RETRY_DELAY),
        .work_duration_ms = read_unsigned(view, FULFILMENT_ROW_WORK_DURATION),
        .carrier_latency_ms = read_unsigned(view, FULFILMENT_ROW_CARRIER_LATENCY),
        .carrier_timeout_ms = read_unsigned(view, FULFILMENT_ROW_CARRIER_TIMEOUT),
        .report_timeout_ms = read_unsigned(view, FULFILMENT_ROW_REPORT_TIMEOUT),
    };
}
