#include "agent/admin.h"

#include "agent/ship.h"
#include "agent/stub_status.h"
#include "agent/version.h"
#include "otel/names.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define METRICS_BYTES_MAX 4194304

struct admin {
    struct supervisor *supervisor;
    struct ship *ship;
    struct obs_metrics *metrics;
    struct obs_http_server *server;
};

/* Families are there from the first call on; a look-up is a walk over a few names. */
static struct obs_metric_series *series(struct admin *admin, enum obs_metric_name name,
                                        const char *unit, const char *label)
{
    return obs_metric_series(obs_metrics_named(admin->metrics, name),
                             (const char *const[]){unit, label});
}

static void collect_unit(struct admin *admin, struct supervised *s)
{
    const char *name = supervised_unit(s)->name;
    int code = 0;

    if (!supervised_last_exit(s, &code))
        code = 0;
    obs_counter_set(series(admin, OBS_CONTAINER_CPU, name, NULL), supervised_cpu_seconds(s));
    obs_gauge_set(series(admin, OBS_CONTAINER_MEMORY, name, NULL),
                  (double)supervised_memory_bytes(s));
    obs_gauge_set(series(admin, OBS_CONTAINER_START, name, NULL), supervised_started_seconds(s));
    obs_counter_set(series(admin, OBS_CONTAINER_RESTARTS, name, NULL), supervised_restarts(s));
    obs_gauge_set(series(admin, OBS_CONTAINER_LAST_EXIT, name, NULL), code);
    obs_counter_set(series(admin, OBS_CONTAINER_LOG_LINES_LOST, name, NULL),
                    (double)capture_lost_lines(supervised_capture(s)));
    for (size_t state = 0; state < UNIT_STATE_COUNT; state++)
        obs_gauge_set(series(admin, OBS_CONTAINER_STATE, name, UNIT_STATE_TEXTS[state]),
                      supervised_state(s) == state);
}

static void collect_ship(struct admin *admin)
{
    struct ship_counts counts;

    ship_count(admin->ship, &counts);
    obs_counter_set(series(admin, OBS_LOG_LINES_SHIPPED, NULL, NULL), (double)counts.shipped);
    obs_counter_set(series(admin, OBS_LOG_LINES_UNSHIPPED, "overflow", NULL),
                    (double)counts.overflowed);
    obs_counter_set(series(admin, OBS_LOG_LINES_UNSHIPPED, "refused", NULL),
                    (double)counts.refused);
    obs_counter_set(series(admin, OBS_LOG_SHIP_FAILURES, NULL, NULL), (double)counts.failures);
    obs_gauge_set(series(admin, OBS_LOG_LINES_WAITING, NULL, NULL), (double)counts.waiting);
}

static void collect(struct obs_metrics *metrics, void *userdata)
{
    struct admin *admin = userdata;

    for (size_t i = 0; i < supervisor_count(admin->supervisor); i++)
        collect_unit(admin, supervisor_at(admin->supervisor, i));
    if (admin->ship)
        collect_ship(admin);
}

/* ---- routes ---- */

static void reply_metrics(struct obs_http_request *request, struct obs_metrics *metrics)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(METRICS_BYTES_MAX);

    if (obs_metrics_emit(metrics, &b) < 0)
        obs_http_reply_problemf(request, 500, "the exposition does not fit into memory");
    else
        obs_http_reply_buffer(request, 200, OBS_OPENMETRICS_TYPE, &b);
}

static void get_metrics(struct obs_http_request *request, void *userdata)
{
    reply_metrics(request, ((struct admin *)userdata)->metrics);
}

/* On a worker: the gateway is asked whether it is there, so that `up` tells the truth. */
static void get_gateway_metrics(struct obs_http_request *request, void *userdata)
{
    struct admin *admin = userdata;
    const char *name = obs_http_param(request, "unit");
    struct supervised *s = supervisor_find(admin->supervisor, name);
    struct access_log *log = s ? supervised_access_log(s) : NULL;
    struct obs_reason why = {0};

    if (!log)
        obs_http_reply_problemf(request, 404, "there is no gateway \"%.40s\"", name);
    else if (supervised_unit(s)->has_stub_status &&
             stub_status_collect(&supervised_unit(s)->stub_status, supervised_unit(s)->stub_path,
                                 access_log_metrics(log), &why) != 0)
        obs_http_reply_problem(request, 503, &why);
    else
        reply_metrics(request, access_log_metrics(log));
}

static void get_health(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain", "ok\n", 3);
}

static void get_ready(struct obs_http_request *request, void *userdata)
{
    struct admin *admin = userdata;

    for (size_t i = 0; i < supervisor_count(admin->supervisor); i++) {
        struct supervised *s = supervisor_at(admin->supervisor, i);

        if (supervised_unit(s)->is_required && !supervised_is_ready(s)) {
            obs_http_reply_problemf(request, 503, "%s is %s", supervised_unit(s)->name,
                                    UNIT_STATE_TEXTS[supervised_state(s)]);
            return;
        }
    }
    obs_http_reply(request, 200, "text/plain", "ready\n", 6);
}

static const struct obs_http_route ROUTES[] = {
    {"GET", "/metrics", get_metrics, OBS_HTTP_ON_LOOP},
    {"GET", "/metrics/{unit}", get_gateway_metrics, OBS_HTTP_ON_WORKER},
    {"GET", "/healthz", get_health, OBS_HTTP_ON_LOOP},
    {"GET", "/readyz", get_ready, OBS_HTTP_ON_LOOP},
};

/* ---- the whole ---- */

static int make_metrics(struct admin *admin)
{
    int r = obs_metrics_new("agent", AGENT_VERSION, &admin->metrics);

    if (r == 0)
        r = obs_metrics_add_process(admin->metrics);
    return r == 0 ? obs_metrics_on_collect(admin->metrics, collect, admin) : r;
}

int admin_new(struct event_base *base, struct supervisor *supervisor, struct ship *ship,
              struct obs_worker_pool *pool, struct admin **ret_admin)
{
    OBS_CLEANUP(admin_freep) struct admin *admin = calloc(1, sizeof(*admin));
    struct obs_http_server_options options = {.routes = ROUTES,
                                              .route_count = OBS_COUNT(ROUTES),
                                              .userdata = admin,
                                              .pool = pool,
                                              .limits = OBS_HTTP_LIMITS_DEFAULT};
    int r;

    if (!admin)
        return -ENOMEM;
    admin->supervisor = supervisor;
    admin->ship = ship;
    options.limits.connections = 64;
    r = make_metrics(admin);
    if (r == 0)
        r = obs_http_server_new(base, &options, &admin->server);
    if (r < 0)
        return r;
    *ret_admin = OBS_TAKE(admin);
    return 0;
}

int admin_listen(struct admin *admin, int listen_fd)
{
    return obs_http_server_add(admin->server, listen_fd);
}

struct admin *admin_free(struct admin *admin)
{
    if (!admin)
        return NULL;
    if (admin->server)
        obs_http_server_free(admin->server);
    if (admin->metrics)
        obs_metrics_free(admin->metrics);
    free(admin);
    return NULL;
}
