/*
 * Two listeners, two worker pools, one loop.
 *
 * The admin listener has a small pool of its own. If settings and profiles shared the API's
 * workers, a saturated service could be neither looked at nor repaired, which is the moment both
 * are needed.
 */
#include "shop/service/service.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/settings_page.h"
#include "otel/profiler.h"
#include "shop/service/service_internal.h"
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { ARGS_MAX = 32, ADMIN_WORKERS = 2, ADMIN_QUEUE = 32, ADMIN_CONNECTIONS = 64, BACKLOG = 1024 };
enum { DRAIN_MS = 5000, ADMIN_DRAIN_MS = 200, FLUSH_MS = 1000 };
enum { CONNECTIONS = 2048, FILES_WANTED = 4096 };

/* Threads of the shop keep little on their stacks; sanitizers need far more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STACK_BYTES = 2 << 20 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { STACK_BYTES = 2 << 20 };
#else
enum { STACK_BYTES = 256 << 10 };
#endif
#else
enum { STACK_BYTES = 256 << 10 };
#endif

static const struct obs_arg COMMON_ARGS[ARG_COMMON_COUNT] = {
    [ARG_LISTEN] = {"listen", "OBSERVA_LISTEN", NULL, "ADDRESS",
                    "where users and services connect"},
    [ARG_ADMIN] = {"admin", "OBSERVA_ADMIN", NULL, "ADDRESS",
                   "health, metrics, settings, profiles"},
    [ARG_STATE] = {"state", "OBSERVA_STATE", "", "DIR",
                   "keeps settings.json; empty: in memory only"},
    [ARG_OTLP] = {"otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "", "URL", "receiver of spans"},
    [ARG_RESOURCE] = {"resource", "OTEL_RESOURCE_ATTRIBUTES", "", "K=V,…",
                      "attributes of all spans"},
    [ARG_PROFILES] = {"profiles-endpoint", "OBSERVA_PROFILES_ENDPOINT", "", "URL",
                      "receiver of CPU profiles"},
};

struct obs_telemetry *service_telemetry(struct service *service)
{
    return &service->telemetry;
}

struct obs_settings *service_settings(struct service *service)
{
    return service->settings;
}

struct event_base *service_loop(struct service *service)
{
    return service->loop;
}

/* ---- listeners ---- */

static int listen_at(const char *flag, const char *text, struct obs_http_server *server,
                     struct obs_address *ret_address, struct obs_reason *reterr_reason)
{
    struct obs_reason why = {0};
    int fd = -1;
    int r = obs_address_parse(text, ret_address, &why);

    if (r == 0)
        r = obs_address_listen(ret_address, BACKLOG, true, &fd, &why);
    if (r == 0)
        r = obs_http_server_add(server, fd);
    if (r == 0)
        return 0;
    obs_reason_set(reterr_reason, "--%s %s: %s", flag, text,
                   why.text[0] != '\0' ? why.text : strerror(r < 0 ? -r : EINVAL));
    ret_address->text[0] = '\0'; /* not ours: what is there may be another's socket */
    return r < 0 ? r : -EADDRINUSE;
}

static int make_servers(struct service *s, struct obs_reason *reterr_reason)
{
    const struct service_definition *d = s->definition;
    struct obs_http_server_options api = {.routes = d->routes,
                                          .route_count = d->route_count,
                                          .userdata = s->state,
                                          .pool = s->pool,
                                          .limits = OBS_HTTP_LIMITS_DEFAULT,
                                          .observer = &s->observer};
    struct obs_http_server_options admin = {.routes = SERVICE_ADMIN_ROUTES,
                                            .route_count = SERVICE_ADMIN_ROUTE_COUNT,
                                            .userdata = s,
                                            .pool = s->admin_pool,
                                            .limits = OBS_HTTP_LIMITS_DEFAULT};
    int r;

    api.limits.connections = CONNECTIONS;
    admin.limits.connections = ADMIN_CONNECTIONS;
    r = obs_http_server_new(s->loop, &api, &s->server);
    if (r == 0)
        r = obs_http_server_new(s->loop, &admin, &s->admin_server);
    if (r < 0)
        obs_reason_set(reterr_reason, "cannot make the HTTP servers: %s", strerror(-r));
    return r;
}

static int make_pools(struct service *s, struct obs_reason *reterr_reason)
{
    const struct service_definition *d = s->definition;
    const struct obs_settings_view *view = obs_settings_acquire(s->settings);
    unsigned workers =
        d->row_workers != SIZE_MAX ? (unsigned)obs_setting_int(view, d->row_workers) : 1;
    size_t limit =
        d->row_queue_limit != SIZE_MAX ? (size_t)obs_setting_int(view, d->row_queue_limit) : 64;
    int r = obs_worker_pool_new(d->name, workers, limit, &s->pool);

    obs_settings_release(view);
    if (r == 0)
        r = obs_worker_pool_new("admin", ADMIN_WORKERS, ADMIN_QUEUE, &s->admin_pool);
    if (r < 0)
        obs_reason_set(reterr_reason, "cannot start worker threads: %s", strerror(-r));
    return r;
}

/* ---- end ---- */

static void forget_socket(const struct obs_address *address)
{
    if (strncmp(address->text, "unix:", 5) == 0)
        (void)unlink(address->text + 5);
}

static void admin_drained(void *userdata)
{
    struct service *s = userdata;

    event_base_loopbreak(s->loop);
}

static void drained(void *userdata)
{
    struct service *s = userdata;

    s->is_drained = true;
    obs_http_server_drain(s->admin_server, ADMIN_DRAIN_MS, admin_drained, s);
}

static void on_terminate(int number, short what, void *userdata)
{
    struct service *s = userdata;

    if (atomic_exchange(&s->is_draining, true)) { /* asked twice: leave at once */
        event_base_loopbreak(s->loop);
        return;
    }
    obs_log(OBS_LOG_INFO, "stopping", OBS_INT("signal", number));
    forget_socket(&s->listen); /* callers are refused at once instead of waiting for nobody */
    obs_http_server_drain(s->server, DRAIN_MS, drained, s);
}

/* Workers inside a request past the deadline cannot be stopped. Their state may be neither freed
 * nor waited for, so the process ends as it stands. */
static void leave_if_busy(struct service *s)
{
    struct obs_worker_pool_stats api, admin;

    obs_worker_pool_stats(s->pool, &api);
    obs_worker_pool_stats(s->admin_pool, &admin);
    if (s->is_drained && api.busy + admin.busy + api.queued + admin.queued == 0)
        return;
    obs_log(OBS_LOG_WARN, "stopped with requests still running", OBS_INT("api.busy", api.busy),
            OBS_INT("api.queued", api.queued), OBS_INT("admin.busy", admin.busy));
    forget_socket(&s->admin);
    obs_profiler_stop();
    s->telemetry.tracer = obs_tracer_free(s->telemetry.tracer, FLUSH_MS);
    _exit(EXIT_SUCCESS);
}

static void service_done(struct service *s)
{
    s->pool = obs_worker_pool_free(s->pool);
    s->admin_pool = obs_worker_pool_free(s->admin_pool);
    s->server = obs_http_server_free(s->server);
    s->admin_server = obs_http_server_free(s->admin_server);
    if (s->state && s->definition->stop)
        s->definition->stop(s->state);
    obs_profiler_stop();
    s->instrument = obs_http_instrument_free(s->instrument);
    s->telemetry.tracer = obs_tracer_free(s->telemetry.tracer, FLUSH_MS);
    s->telemetry.metrics = obs_metrics_free(s->telemetry.metrics);
    s->settings = obs_settings_free(s->settings);
    if (s->loop)
        event_base_free(s->loop);
}

/* ---- run ---- */

static void prepare_process(void)
{
    pthread_attr_t attributes;
    struct rlimit files;

    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
    if (pthread_attr_init(&attributes) == 0) {
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
        (void)pthread_setattr_default_np(&attributes);
        (void)pthread_attr_destroy(&attributes);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

static int service_start(struct service *s, const char *const *args,
                         struct obs_reason *reterr_reason)
{
    const struct service_definition *d = s->definition;
    const struct obs_settings_view *view;
    int r = service_settings_open(s, args[ARG_STATE], reterr_reason);

    if (r == 0)
        r = service_telemetry_start(s, args, reterr_reason);
    if (r < 0)
        return r;
    s->loop = event_base_new();
    if (!s->loop)
        return -ENOMEM;
    r = make_pools(s, reterr_reason);
    if (r == 0 && d->start)
        r = d->start(s, args + ARG_COMMON_COUNT, &s->state, reterr_reason);
    if (r == 0)
        r = make_servers(s, reterr_reason);
    if (r < 0)
        return r;
    view = obs_settings_acquire(s->settings);
    service_settings_apply(s, view);
    obs_settings_release(view);
    service_settings_watch(s);
    r = listen_at("admin", args[ARG_ADMIN], s->admin_server, &s->admin, reterr_reason);
    if (r == 0)
        r = listen_at("listen", args[ARG_LISTEN], s->server, &s->listen, reterr_reason);
    if (r == 0)
        service_profiler_start(s, args);
    return r;
}

static int service_serve(struct service *s)
{
    struct event *on_term = evsignal_new(s->loop, SIGTERM, on_terminate, s);
    struct event *on_int = evsignal_new(s->loop, SIGINT, on_terminate, s);
    int r = -ENOMEM;

    if (on_term && on_int && event_add(on_term, NULL) == 0 && event_add(on_int, NULL) == 0) {
        obs_log(OBS_LOG_INFO, "serving", OBS_TEXT("listen", s->listen.text),
                OBS_TEXT("admin", s->admin.text));
        r = event_base_dispatch(s->loop) < 0 ? -EIO : 0;
        leave_if_busy(s);
        forget_socket(&s->admin);
        obs_log(OBS_LOG_INFO, "stopped", OBS_INT("pid", getpid()));
    }
    if (on_term)
        event_free(on_term);
    if (on_int)
        event_free(on_int);
    return r;
}

/* The common flags, then the service's own. Return: as obs_args_parse(). */
static int read_args(const struct service_definition *d, int argc, char *argv[],
                     const char *values[ARGS_MAX], struct obs_reason *reterr_reason)
{
    struct obs_arg args[ARGS_MAX];
    char program[64];
    size_t count = ARG_COMMON_COUNT + d->arg_count;

    if (count > ARGS_MAX)
        return -E2BIG;
    memcpy(args, COMMON_ARGS, sizeof(COMMON_ARGS));
    if (d->arg_count > 0)
        memcpy(args + ARG_COMMON_COUNT, d->args, d->arg_count * sizeof(*args));
    (void)snprintf(program, sizeof(program), "observa-%s", d->name);
    return obs_args_parse(program, d->summary, args, count, argc, argv, values, NULL,
                          reterr_reason);
}

int service_run(const struct service_definition *definition, int argc, char *argv[])
{
    const char *values[ARGS_MAX] = {0};
    struct service service = {.definition = definition};
    struct obs_reason why = {0};
    int r;

    prepare_process();
    if (definition->migrate && argc > 1 && strcmp(argv[1], "migrate") == 0)
        return definition->migrate(argc - 1, argv + 1);
    if (argc == 2 && strcmp(argv[1], "settings") == 0)
        return obs_settings_page(definition->settings, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    r = read_args(definition, argc, argv, values, &why);
    if (r == OBS_ARGS_HELP)
        return EXIT_SUCCESS;
    if (r != 0) {
        fprintf(stderr, "observa-%s: %s\n", definition->name, why.text);
        return 2;
    }
    r = service_start(&service, values, &why);
    if (r < 0) {
        fprintf(stderr, "observa-%s: %s\n", definition->name,
                why.text[0] != '\0' ? why.text : strerror(-r));
        forget_socket(&service.admin);
    } else {
        r = service_serve(&service);
    }
    service_done(&service);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
