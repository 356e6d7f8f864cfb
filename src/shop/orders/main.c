/* observa-orders: see orders.h for what it does, settings.c for what an operator may change. */
#include "base/address.h"
#include "base/text.h"
#include "shop/orders/api.h"
#include "shop/orders/checkout.h"
#include "shop/orders/outbox.h"
#include "shop/orders/watch.h"
#include "shop/service/broker_args.h"
#include "shop/service/migrate.h"
#include <errno.h>
#include <string.h>

#define DATABASE_NAME "orders"
#define BACKGROUND_CONNECTIONS 2 /* one for the outbox, one for the watch */

enum { ARG_DATABASE, ARG_AMQP, ARG_COUNT = ARG_AMQP + BROKER_ARG_COUNT };

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_DATABASE] = {"database", "OBSERVA_DATABASE", NULL, "CONNINFO",
                      "libpq connection string; the password comes from its passfile"},
    BROKER_ARGS(ARG_AMQP),
};

/* What main owns beside the state that handlers see. */
struct process {
    struct orders orders;            /* first: handlers and hooks get a pointer to it */
    struct obs_telemetry background; /* its pool must not show among the requests' metrics */
    struct db_pool *background_pool;
    struct broker_address broker;
};

struct orders_settings orders_settings_now(struct orders *orders)
{
    struct orders_settings settings;

    pthread_mutex_lock(&orders->settings_lock);
    settings = orders->settings;
    pthread_mutex_unlock(&orders->settings_lock);
    return settings;
}

enum orders_trouble orders_trouble(int outcome, const struct db_connection *connection)
{
    switch (outcome) {
    case DB_OK:
        return ORDERS_TROUBLE_NONE;
    case DB_TIMEOUT:
        return ORDERS_BUSY;
    case DB_UNAVAILABLE:
        return ORDERS_UNAVAILABLE;
    default: /* 57014: canceled by statement_timeout; 55P03: by lock_timeout */
        return connection && (strcmp(db_sqlstate(connection), "57014") == 0 ||
                              strcmp(db_sqlstate(connection), "55P03") == 0)
                   ? ORDERS_SLOW
                   : ORDERS_FAILED;
    }
}

static void stop(void *state)
{
    struct process *p = state;

    p->orders.watch = watch_free(p->orders.watch);
    p->orders.outbox = outbox_free(p->orders.outbox);
    p->orders.sessions = checkout_sessions_free(p->orders.sessions);
    p->orders.pool = db_pool_free(p->orders.pool);
    p->background_pool = db_pool_free(p->background_pool);
    p->background.metrics = obs_metrics_free(p->background.metrics);
    pthread_mutex_destroy(&p->orders.settings_lock);
    free(p);
}

static int start_pools(struct process *p, const char *conninfo)
{
    const struct orders_settings *settings = &p->orders.settings;
    struct db_pool_options options = {.conninfo = conninfo,
                                      .database = DATABASE_NAME,
                                      .size = settings->pool_size,
                                      .acquire_timeout_ms = settings->acquire_timeout_ms,
                                      .statement_timeout_ms = settings->statement_timeout_ms};
    int r = db_pool_new(p->orders.telemetry, &options, &p->orders.pool);

    if (r < 0)
        return r;
    r = obs_metrics_new("orders", "", &p->background.metrics);
    if (r < 0)
        return r;
    p->background.tracer = p->orders.telemetry->tracer;
    options.size = BACKGROUND_CONNECTIONS;
    return db_pool_new(&p->background, &options, &p->background_pool);
}

static int start_threads(struct process *p)
{
    const struct outbox_options options = {.telemetry = p->orders.telemetry,
                                           .pool = p->background_pool,
                                           .host = p->broker.host,
                                           .port = p->broker.port,
                                           .vhost = p->broker.vhost,
                                           .user = p->broker.user,
                                           .password_file = p->broker.password_file,
                                           .settings = p->orders.settings};
    int r = outbox_new(&options, &p->orders.outbox);

    if (r == 0)
        r = watch_new(p->orders.telemetry, p->background_pool, &p->orders.settings,
                      &p->orders.watch);
    return r;
}

static int start_parts(struct process *p, const char *conninfo)
{
    struct obs_metrics *metrics = p->orders.telemetry->metrics;
    int r;

    p->orders.created = obs_metric_only(obs_metrics_named(metrics, OBS_ORDERS_CREATED));
    p->orders.fulfilled = obs_metric_only(obs_metrics_named(metrics, OBS_ORDERS_FULFILLED));
    p->orders.dead_lettered = obs_metric_only(obs_metrics_named(metrics, OBS_ORDERS_DEAD_LETTERED));
    p->orders.sessions = checkout_sessions_new();
    if (!p->orders.sessions)
        return -ENOMEM;
    r = start_pools(p, conninfo);
    return r < 0 ? r : start_threads(p);
}

static int start(struct service *service, const char *const *arg_values, void **ret_state,
                 struct obs_reason *reterr_reason)
{
    struct process *p = calloc(1, sizeof(*p));
    const struct obs_settings_view *view;
    int r;

    if (!p)
        return -ENOMEM;
    p->orders.telemetry = service_telemetry(service);
    pthread_mutex_init(&p->orders.settings_lock, NULL);
    view = obs_settings_acquire(service_settings(service));
    orders_settings_read(view, &p->orders.settings);
    obs_settings_release(view);
    r = broker_address_read(arg_values + ARG_AMQP, &p->broker, reterr_reason);
    if (r == 0) {
        r = start_parts(p, arg_values[ARG_DATABASE]);
        if (r < 0)
            obs_reason_set(reterr_reason, "cannot start: %s", strerror(-r));
    }
    if (r != 0) {
        stop(p);
        return r < 0 ? r : -EINVAL;
    }
    *ret_state = p;
    return 0;
}

static bool is_ready(void *state, struct obs_reason *reterr_reason)
{
    struct process *p = state;

    if (watch_is_database_up(p->orders.watch))
        return true;
    obs_reason_set(reterr_reason, "the database does not answer");
    return false;
}

static void changed(void *state, const struct obs_settings_view *view)
{
    struct process *p = state;
    struct orders_settings settings;
    enum orders_flow flow_before;

    orders_settings_read(view, &settings);
    pthread_mutex_lock(&p->orders.settings_lock);
    flow_before = p->orders.settings.flow;
    p->orders.settings = settings;
    pthread_mutex_unlock(&p->orders.settings_lock);
    db_pool_configure(p->orders.pool, settings.pool_size, settings.acquire_timeout_ms,
                      settings.statement_timeout_ms);
    outbox_configure(p->orders.outbox, &settings);
    watch_configure(p->orders.watch, &settings);
    if (settings.flow != flow_before) /* a deployment would end the old release's sessions too */
        checkout_sessions_end(p->orders.sessions);
}

static int migrate(int argc, char *argv[])
{
    static const struct migrate_definition DEFINITION = {.service = "orders"};

    return migrate_main(&DEFINITION, argc, argv);
}

int main(int argc, char *argv[])
{
    const struct service_definition definition = {
        .name = "orders",
        .summary = "takes orders, owns stock, hands orders to fulfilment",
        .settings = &ORDERS_SETTINGS,
        .routes = ORDERS_ROUTES,
        .route_count = ORDERS_ROUTE_COUNT,
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
        .migrate = migrate,
    };

    return service_run(&definition, argc, argv);
}
