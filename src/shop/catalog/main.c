/* observa-catalog: products, prices and search. */
#include "base/log.h"
#include "shop/catalog/catalog.h"
#include "shop/catalog/seed.h"
#include "shop/catalog/settings.h"
#include "shop/service/migrate.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ARG_DATABASE, ARG_REDIS, ARG_COUNT };

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_DATABASE] = {"database", "OBSERVA_DATABASE", NULL, "CONNINFO", "libpq connection string"},
    [ARG_REDIS] = {"redis", "OBSERVA_REDIS", NULL, "ADDRESS", "the cache"},
};

void catalog_policy_read(struct catalog *catalog, struct catalog_policy *ret_policy)
{
    const struct obs_settings_view *view = obs_settings_acquire(service_settings(catalog->service));

    *ret_policy = (struct catalog_policy){
        .is_cache_enabled = obs_setting_bool(view, ROW_CACHE_ENABLED),
        .is_single_flight = obs_setting_bool(view, ROW_CACHE_SINGLE_FLIGHT),
        .is_keyed_by_request =
            obs_setting_choice(view, ROW_CACHE_KEY_FIELDS) == KEY_FIELDS_PRODUCT_REQUEST,
        .ttl_ms = (unsigned)obs_setting_int(view, ROW_CACHE_TTL) * 1000,
        .negative_ttl_ms = (unsigned)obs_setting_int(view, ROW_CACHE_NEGATIVE_TTL) * 1000,
        .search_ttl_ms = (unsigned)obs_setting_int(view, ROW_SEARCH_CACHE_TTL) * 1000,
        .jitter = obs_setting_number(view, ROW_CACHE_JITTER),
        .candidates = (unsigned)obs_setting_int(view, ROW_SEARCH_CANDIDATES),
        .ranking = obs_setting_choice(view, ROW_SEARCH_RANKING),
    };
    obs_settings_release(view);
}

/* ---- outcomes ---- */

int catalog_outcome_of(const struct db_connection *connection, int r)
{
    if (r == DB_TIMEOUT)
        return CATALOG_BUSY;
    if (r == DB_UNAVAILABLE)
        return CATALOG_DOWN;
    if (r < 0)
        return r;
    if (strcmp(db_sqlstate(connection), "57014") == 0) /* query_canceled: statement_timeout */
        return CATALOG_SLOW;
    obs_log(OBS_LOG_ERROR, "database refused a statement",
            OBS_TEXT("sqlstate", db_sqlstate(connection)),
            OBS_TEXT("error", db_message(connection)));
    return -EIO;
}

void catalog_reply_failure(struct obs_http_request *request, int outcome, const char *what)
{
    switch (outcome) {
    case CATALOG_ABSENT:
        obs_http_reply_problemf(request, 404, "there is no such %s", what);
        break;
    case CATALOG_BUSY:
        obs_http_reply_header(request, "Retry-After", "1");
        obs_http_reply_problemf(request, 503, "no database connection became free in time");
        break;
    case CATALOG_SLOW:
        obs_http_reply_problemf(request, 504, "the database did not answer in time");
        break;
    case CATALOG_DOWN:
        obs_http_reply_header(request, "Retry-After", "1");
        obs_http_reply_problemf(request, 503, "the database cannot be reached");
        break;
    default:
        obs_http_reply_problemf(request, 500, "the request could not be answered");
        break;
    }
}

/* ---- hooks ---- */

static void catalog_stop(void *userdata)
{
    struct catalog *catalog = userdata;

    catalog->db = db_pool_free(catalog->db);
    catalog->cache = cache_free(catalog->cache);
    catalog->flights = single_flight_free(catalog->flights);
    free(catalog);
}

static int open_backends(struct catalog *catalog, const char *const *args,
                         struct obs_reason *reterr_reason)
{
    struct obs_telemetry *telemetry = service_telemetry(catalog->service);
    const struct obs_settings_view *view = obs_settings_acquire(service_settings(catalog->service));
    struct db_pool_options db = {
        .conninfo = args[ARG_DATABASE],
        .database = "catalog",
        .size = (unsigned)obs_setting_int(view, ROW_DB_POOL_SIZE),
        .acquire_timeout_ms = (unsigned)obs_setting_int(view, ROW_DB_ACQUIRE_TIMEOUT),
        .statement_timeout_ms = (unsigned)obs_setting_int(view, ROW_DB_STATEMENT_TIMEOUT)};
    struct cache_options cache = {.address = args[ARG_REDIS],
                                  .pool_size = (unsigned)obs_setting_int(view, ROW_CACHE_POOL_SIZE),
                                  .timeout_ms = (unsigned)obs_setting_int(view, ROW_CACHE_TIMEOUT)};
    struct obs_reason why = {0};
    int r = single_flight_new(&catalog->flights);

    obs_settings_release(view);
    if (r == 0)
        r = db_pool_new(telemetry, &db, &catalog->db);
    if (r == 0)
        r = cache_new(telemetry, &cache, &catalog->cache, &why);
    if (why.text[0] != '\0')
        obs_reason_set(reterr_reason, "--redis: %s", why.text);
    return r;
}

static int catalog_start(struct service *service, const char *const *args, void **ret_state,
                         struct obs_reason *reterr_reason)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    int r;

    if (!catalog)
        return -ENOMEM;
    catalog->service = service;
    r = open_backends(catalog, args, reterr_reason);
    if (r < 0) {
        catalog_stop(catalog);
        return r;
    }
    *ret_state = catalog;
    return 0;
}

/* The schema is looked for until it was seen once. Later a lock on products would only make the
 * probe wait for what users wait for anyway. */
static bool catalog_is_ready(void *userdata, struct obs_reason *reterr_reason)
{
    struct catalog *catalog = userdata;
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    bool has_schema = atomic_load(&catalog->has_schema);
    int r = db_acquire(catalog->db, &connection);

    if (r == DB_TIMEOUT)
        return true; /* busy, not absent */
    if (r == DB_OK)
        r = db_query(connection, "ready",
                     has_schema ? "SELECT 1" : "SELECT 1 FROM products LIMIT 1", 0, NULL, NULL);
    if (r == DB_OK)
        atomic_store(&catalog->has_schema, true);
    else if (r == DB_REJECTED)
        obs_reason_set(reterr_reason, "database: %s", db_message(connection));
    else
        obs_reason_set(reterr_reason, "the database cannot be reached");
    return r == DB_OK;
}

static void catalog_changed(void *userdata, const struct obs_settings_view *view)
{
    struct catalog *catalog = userdata;

    db_pool_configure(catalog->db, (unsigned)obs_setting_int(view, ROW_DB_POOL_SIZE),
                      (unsigned)obs_setting_int(view, ROW_DB_ACQUIRE_TIMEOUT),
                      (unsigned)obs_setting_int(view, ROW_DB_STATEMENT_TIMEOUT));
    cache_configure(catalog->cache, (unsigned)obs_setting_int(view, ROW_CACHE_POOL_SIZE),
                    (unsigned)obs_setting_int(view, ROW_CACHE_TIMEOUT));
}

static int catalog_migrate(int argc, char *argv[])
{
    static const struct migrate_definition DEFINITION = {.service = "catalog",
                                                         .seed = catalog_seed};

    return migrate_main(&DEFINITION, argc, argv);
}

int main(int argc, char *argv[])
{
    struct service_definition definition = {
        .name = "catalog",
        .summary = "products, prices and search of the shop",
        .settings = &CATALOG_SETTINGS,
        .routes = CATALOG_ROUTES,
        .route_count = CATALOG_ROUTE_COUNT,
        .args = ARGS,
        .arg_count = ARG_COUNT,
        .row_workers = SERVICE_ROW_WORKERS,
        .row_queue_limit = SERVICE_ROW_QUEUE_LIMIT,
        .row_trace_ratio = SERVICE_ROW_TRACE_RATIO,
        .row_log_level = SERVICE_ROW_LOG_LEVEL,
        .start = catalog_start,
        .is_ready = catalog_is_ready,
        .changed = catalog_changed,
        .stop = catalog_stop,
        .migrate = catalog_migrate,
    };

    return service_run(&definition, argc, argv);
}
