/* observa-fulfilment: packs accepted orders, books carriers, reports back to orders. See
 * consumer.h. */
#include "base/address.h"
#include "shop/fulfilment/consumer.h"
#include "shop/service/broker_args.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ARG_ORDERS, ARG_AMQP, ARG_COUNT = ARG_AMQP + BROKER_ARG_COUNT };

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_ORDERS] = {"orders", "OBSERVA_ORDERS", NULL, "ADDRESS", "the service orders"},
    BROKER_ARGS(ARG_AMQP),
};

struct fulfilment {
    struct obs_upstream *orders;
    struct bench *bench;
    struct shipments *shipments;
    struct work work;
    struct consumer *consumer;
};

static void stop(void *state)
{
    struct fulfilment *f = state;

    f->consumer = consumer_free(f->consumer);
    f->orders = obs_upstream_free(f->orders);
    f->bench = bench_free(f->bench);
    f->shipments = shipments_free(f->shipments);
    free(f);
}

static int open_orders(struct fulfilment *f, struct obs_telemetry *telemetry, const char *address,
                       struct obs_reason *reterr_reason)
{
    struct obs_http_client_options options = {.host = "orders"};
    struct obs_reason why = {0};
    int r = obs_address_parse(address, &options.address, &why);

    if (r != 0) {
        obs_reason_set(reterr_reason, "--orders %s: %.160s", address, why.text);
        return r;
    }
    return obs_upstream_new(telemetry, "orders", &options, &f->orders);
}

static int start_consumer(struct fulfilment *f, struct service *service,
                          const struct broker_address *broker)
{
    struct consumer_options options = {.work = &f->work,
                                       .bench = f->bench,
                                       .host = broker->host,
                                       .port = broker->port,
                                       .vhost = broker->vhost,
                                       .user = broker->user,
                                       .password_file = broker->password_file};
    const struct obs_settings_view *view = obs_settings_acquire(service_settings(service));

    fulfilment_settings_read(view, &options.settings);
    obs_settings_release(view);
    return consumer_new(&options, &f->consumer);
}

static int start_parts(struct fulfilment *f, struct service *service, const char *const *arg_values,
                       struct obs_reason *reterr_reason)
{
    static struct broker_address broker; /* the consumer borrows its texts until the end */
    struct obs_telemetry *telemetry = service_telemetry(service);
    int r = broker_address_read(arg_values + ARG_AMQP, &broker, reterr_reason);

    if (r == 0)
        r = open_orders(f, telemetry, arg_values[ARG_ORDERS], reterr_reason);
    if (r != 0)
        return r;
    f->bench = bench_new();
    f->shipments = shipments_new();
    if (!f->bench || !f->shipments)
        return -ENOMEM;
    work_init(&f->work, telemetry, f->orders, f->bench, f->shipments);
    return start_consumer(f, service, &broker);
}

static int start(struct service *service, const char *const *arg_values, void **ret_state,
                 struct obs_reason *reterr_reason)
{
    struct fulfilment *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    r = start_parts(f, service, arg_values, reterr_reason);
    if (r != 0) {
        stop(f);
        return r < 0 ? r : -EINVAL;
    }
    *ret_state = f;
    return 0;
}

static bool is_ready(void *state, struct obs_reason *reterr_reason)
{
    struct fulfilment *f = state;

    if (consumer_is_consuming(f->consumer))
        return true;
    obs_reason_set(reterr_reason, "not connected to the broker");
    return false;
}

static void changed(void *state, const struct obs_settings_view *view)
{
    struct fulfilment *f = state;
    struct fulfilment_settings settings;

    fulfilment_settings_read(view, &settings);
    consumer_configure(f->consumer, &settings);
}

static void handle_recent(struct obs_http_request *request, void *userdata)
{
    struct fulfilment *f = userdata;

    shipments_reply(f->shipments, request);
}

int main(int argc, char *argv[])
{
    static const struct obs_http_route ROUTES[] = {
        {"GET", "/shipments/recent", handle_recent, OBS_HTTP_ON_WORKER},
    };
    const struct service_definition definition = {
        .name = "fulfilment",
        .summary = "packs accepted orders, books carriers, reports back to orders",
        .settings = &FULFILMENT_SETTINGS,
        .routes = ROUTES,
        .route_count = OBS_COUNT(ROUTES),
        .args = ARGS,
        .arg_count = ARG_COUNT,
        .row_workers = SERVICE_ROW_WORKERS,
        .row_queue_limit = SERVICE_ROW_QUEUE_LIMIT,
        .row_trace_ratio = SERVICE_ROW_TRACE_RATIO,
        .row_log_level = SERVICE_ROW_LOG_LEVEL,
        .start = start,
        .is_ready = is_ready,
        .changed = changed,
        .stop = stop,
    };

    return service_run(&definition, argc, argv);
}
