#pragma once
/*
 * Service: the skeleton that all services of the shop share.
 *
 * A service is a process of the "workers" shape: one event loop, a bounded pool of worker threads,
 * two listeners. `--listen` is its API, for users and other services. `--admin` is the control and
 * observability path: /healthz, /readyz, /metrics, /config, /config/schema, /debug/pprof/profile.
 * So nothing that reaches the API can reach the settings.
 *
 * service_run() reads the arguments, opens settings, telemetry and profiler, calls the service's
 * hooks, serves until SIGTERM, drains, and returns the exit status.
 */
#include "base/args.h"
#include "base/http_server.h"
#include "base/settings.h"
#include "otel/instrument.h"
#include "otel/names.h"

struct service; /* handed to hooks and handlers */

struct service_definition {
    const char *name;    /* "catalog" */
    const char *summary; /* for --help */
    const struct obs_settings_schema *settings;
    const struct obs_http_route *routes; /* of the API; handlers get the service's own state */
    size_t route_count;
    const struct obs_arg *args; /* beyond the common ones */
    size_t arg_count;

    /* Rows of the settings that the skeleton itself obeys; SIZE_MAX: none. */
    size_t row_workers, row_queue_limit, row_trace_ratio, row_log_level;

    /* Make the service's state. Runs before anything listens; may connect, must not wait for
     * others. Return: 0 or < 0 (logged by the skeleton with the reason). */
    int (*start)(struct service *service, const char *const *arg_values, void **ret_state,
                 struct obs_reason *reterr_reason);
    /* Is everything there that a request needs? NULL: always. Worker thread. The reason says what
     * is missing, one line. */
    bool (*is_ready)(void *state, struct obs_reason *reterr_reason);
    void (*changed)(void *state, const struct obs_settings_view *view); /* may be NULL */
    void (*stop)(void *state); /* no request runs any more; release everything */

    /* Rules between settings, before a change is written; may be NULL. See
     * obs_settings_on_change(). */
    int (*check)(const struct obs_settings_view *next, struct obs_reason *reterr_reason);
    /* `observa-<name> migrate …`: usually one call of migrate_main(). NULL: no such subcommand. */
    int (*migrate)(int argc, char *argv[]);
};

int service_run(const struct service_definition *definition, int argc, char *argv[]);

struct obs_telemetry *service_telemetry(struct service *service);
struct obs_settings *service_settings(struct service *service);
struct event_base *service_loop(struct service *service);

/* Rows every service's settings table starts with, after `version`. */
#define SERVICE_SETTINGS(workers, queue_limit)                                                     \
    {.name = "server.workers",                                                                     \
     .type = OBS_SETTING_INT,                                                                      \
     .standard = workers,                                                                          \
     .minimum = 1,                                                                                 \
     .maximum = 64,                                                                                \
     .unit = "threads",                                                                            \
     .meaning = "threads that answer requests"},                                                   \
        {.name = "server.queue_limit",                                                             \
         .type = OBS_SETTING_INT,                                                                  \
         .standard = queue_limit,                                                                  \
         .minimum = 1,                                                                             \
         .maximum = 10000,                                                                         \
         .unit = "requests",                                                                       \
         .meaning = "requests that may wait for a thread; more are answered 503"},                 \
        {.name = "trace.sample_ratio",                                                             \
         .type = OBS_SETTING_NUMBER,                                                               \
         .standard = "1",                                                                          \
         .minimum = 0,                                                                             \
         .maximum = 1,                                                                             \
         .unit = "",                                                                               \
         .meaning = "share of new traces that are recorded"},                                      \
    {                                                                                              \
        .name = "log.level", .type = OBS_SETTING_CHOICE, .standard = "info",                       \
        .choices = "debug|info|warn|error", .unit = "", .meaning = "least level that is logged"    \
    }
enum {
    SERVICE_ROW_VERSION,
    SERVICE_ROW_WORKERS,
    SERVICE_ROW_QUEUE_LIMIT,
    SERVICE_ROW_TRACE_RATIO,
    SERVICE_ROW_LOG_LEVEL,
    SERVICE_ROW_FIRST_OWN
};
