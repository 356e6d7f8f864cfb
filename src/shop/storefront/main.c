/* observa-storefront: the shop's public API. */
#include "shop/storefront/settings.h"
#include "shop/storefront/storefront.h"
#include <errno.h>
#include <string.h>

enum { ARG_CATALOG, ARG_ORDERS, ARG_COUNT };

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_CATALOG] = {"catalog", "OBSERVA_CATALOG", NULL, "ADDRESS", "where catalog is reached"},
    [ARG_ORDERS] = {"orders", "OBSERVA_ORDERS", NULL, "ADDRESS", "where orders is reached"},
};

static const struct obs_http_route ROUTES[] = {
    {"GET", "/api/home", storefront_get_home, OBS_HTTP_ON_WORKER},
    {"GET", "/api/products", storefront_get_products, OBS_HTTP_ON_WORKER},
    {"GET", "/api/products/{id}", storefront_get_product, OBS_HTTP_ON_WORKER},
    {"GET", "/api/products/{id}/recommendations", storefront_get_recommendations,
     OBS_HTTP_ON_WORKER},
    {"GET", "/api/search", storefront_get_search, OBS_HTTP_ON_WORKER},
    {"POST", "/api/checkout", storefront_post_checkout, OBS_HTTP_ON_WORKER},
    {"GET", "/api/orders/{id}", storefront_get_order, OBS_HTTP_ON_WORKER},
};

void storefront_policy_read(struct storefront *storefront, struct storefront_policy *ret_policy)
{
    const struct obs_settings_view *view =
        obs_settings_acquire(service_settings(storefront->service));

    *ret_policy = (struct storefront_policy){
        .candidates = (unsigned)obs_setting_int(view, ROW_RECOMMENDATIONS_CANDIDATES),
        .affinity = obs_setting_number(view, ROW_RECOMMENDATIONS_AFFINITY),
        .delivery_quote_ms = (unsigned)obs_setting_int(view, ROW_DELIVERY_QUOTE_MS),
        .catalog_timeout_ms = (unsigned)obs_setting_int(view, ROW_CATALOG_TIMEOUT),
        .orders_timeout_ms = (unsigned)obs_setting_int(view, ROW_ORDERS_TIMEOUT),
        .retries = (unsigned)obs_setting_int(view, ROW_UPSTREAM_RETRIES),
        .retry_delay_ms = (unsigned)obs_setting_int(view, ROW_UPSTREAM_RETRY_DELAY),
    };
    obs_settings_release(view);
}

static void storefront_stop(void *userdata)
{
    struct storefront *storefront = userdata;

    storefront->catalog = obs_upstream_free(storefront->catalog);
    storefront->orders = obs_upstream_free(storefront->orders);
    storefront->sessions = session_cache_free(storefront->sessions);
    free(storefront);
}

static int open_upstream(struct storefront *storefront, const char *peer, const char *address,
                         struct obs_upstream **ret_upstream, struct obs_reason *reterr_reason)
{
    struct obs_http_client_options options = {.idle_max = 16};
    struct obs_reason why = {0};
    int r = obs_address_parse(address, &options.address, &why);

    if (r != 0) {
        obs_reason_set(reterr_reason, "--%s: %s", peer, why.text);
        return r < 0 ? r : -EINVAL;
    }
    return obs_upstream_new(service_telemetry(storefront->service), peer, &options, ret_upstream);
}

static int open_sessions(struct storefront *storefront)
{
    const struct obs_settings_view *view =
        obs_settings_acquire(service_settings(storefront->service));
    int r =
        session_cache_new((size_t)obs_setting_int(view, ROW_SESSION_MAX_ENTRIES),
                          (unsigned)obs_setting_int(view, ROW_SESSION_TTL), &storefront->sessions);

    obs_settings_release(view);
    return r;
}

static int storefront_start(struct service *service, const char *const *args, void **ret_state,
                            struct obs_reason *reterr_reason)
{
    struct storefront *storefront = calloc(1, sizeof(*storefront));
    int r;

    if (!storefront)
        return -ENOMEM;
    storefront->service = service;
    r = open_upstream(storefront, "catalog", args[ARG_CATALOG], &storefront->catalog,
                      reterr_reason);
    if (r == 0)
        r = open_upstream(storefront, "orders", args[ARG_ORDERS], &storefront->orders,
                          reterr_reason);
    if (r == 0)
        r = open_sessions(storefront);
    if (r < 0) {
        storefront_stop(storefront);
        return r;
    }
    *ret_state = storefront;
    return 0;
}

static void storefront_changed(void *userdata, const struct obs_settings_view *view)
{
    struct storefront *storefront = userdata;

    session_cache_configure(storefront->sessions,
                            (size_t)obs_setting_int(view, ROW_SESSION_MAX_ENTRIES),
                            (unsigned)obs_setting_int(view, ROW_SESSION_TTL));
}

int main(int argc, char *argv[])
{
    struct service_definition definition = {
        .name = "storefront",
        .summary = "the shop's public API",
        .settings = &STOREFRONT_SETTINGS,
        .routes = ROUTES,
        .route_count = OBS_COUNT(ROUTES),
        .args = ARGS,
        .arg_count = ARG_COUNT,
        .row_workers = SERVICE_ROW_WORKERS,
        .row_queue_limit = SERVICE_ROW_QUEUE_LIMIT,
        .row_trace_ratio = SERVICE_ROW_TRACE_RATIO,
        .row_log_level = SERVICE_ROW_LOG_LEVEL,
        .start = storefront_start,
        .changed = storefront_changed,
        .stop = storefront_stop,
    };

    return service_run(&definition, argc, argv);
}
