/* observa-telemetry: docs/telemetry.md. */
#include "base/args.h"
#include "base/log.h"
#include "base/text.h"
#include "otel/names.h"
#include "telemetry/loki_tails.h"
#include "telemetry/profile_store.h"
#include "telemetry/store_metrics.h"
#include "telemetry/telemetry.h"
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { LISTENERS_MAX = 8, ROUTES_MAX = 96, BACKLOG = 1024, DRAIN_MS = 5000, FILES_WANTED = 65536 };
enum { BODY_BYTES_MAX = 16 << 20, CONNECTIONS_MAX = 512, QUEUE_LIMIT = 256 };

enum {
    ARG_LISTEN,
    ARG_ADMIN,
    ARG_DATA,
    ARG_RETENTION,
    ARG_TENANT_BYTES,
    ARG_HEAD_BYTES,
    ARG_DEFAULT_TENANT,
    ARG_WORKERS,
    ARG_QUERY_TIMEOUT,
    ARG_COUNT
};

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_LISTEN] = {"listen", "OBSERVA_LISTEN", "tcp:127.0.0.1:4318", "ADDRESS,…",
                    "where data comes in and queries are answered: tcp:HOST:PORT or unix:PATH, "
                    "several with commas"},
    [ARG_ADMIN] = {"admin", "OBSERVA_ADMIN", "", "ADDRESS",
                   "/ready, /healthz, /metrics; they are on every --listen address too"},
    [ARG_DATA] = {"data", "OBSERVA_DATA", NULL, "DIR", "where everything is kept"},
    [ARG_RETENTION] = {"retention", NULL, "48h", "TIME", "age at which data is dropped"},
    [ARG_TENANT_BYTES] = {"tenant-bytes", NULL, "2147483648", "BYTES",
                          "of one tenant's spans and lines on disk; the oldest go first"},
    [ARG_HEAD_BYTES] = {"head-bytes", NULL, "33554432", "BYTES",
                        "of memory for what is not yet in a segment"},
    [ARG_DEFAULT_TENANT] = {"default-tenant", NULL, "solo", "NAME",
                            "of requests without X-Scope-OrgID; empty: they are refused"},
    [ARG_WORKERS] = {"workers", NULL, "8", "COUNT", "threads that answer requests"},
    [ARG_QUERY_TIMEOUT] = {"query-timeout", NULL, "30s", "TIME", "longest that a query may take"},
};

struct program {
    struct telemetry telemetry;
    struct obs_http_route routes[ROUTES_MAX];
    size_t route_count;
    struct event_base *loop;
    struct obs_worker_pool *pool;
    struct obs_http_server *server;
    struct obs_http_instrument *instrument;
    struct obs_address listeners[LISTENERS_MAX];
    size_t listener_count;
    struct event *on_term, *on_int;
    bool is_draining;
};

/* ---- routes of its own ---- */

static void get_ready(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain; charset=utf-8", "ready\n", 6);
}

static void get_metrics(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    struct obs_buffer b = OBS_BUFFER_INIT(4 << 20);

    if (obs_metrics_emit(telemetry->own.metrics, &b) < 0)
        obs_http_reply_problemf(request, 500, "the metrics are too large");
    else
        obs_http_reply_buffer(request, 200, OBS_OPENMETRICS_TYPE, &b);
    obs_buffer_done(&b);
}

static const struct obs_http_route OWN_ROUTES[] = {
    {"GET", "/ready", get_ready, OBS_HTTP_ON_LOOP},
    {"GET", "/readyz", get_ready, OBS_HTTP_ON_LOOP},
    {"GET", "/healthz", get_ready, OBS_HTTP_ON_LOOP},
    {"GET", "/metrics", get_metrics, OBS_HTTP_ON_WORKER},
};

static void add_routes(struct program *p, const struct obs_http_route *routes, size_t count)
{
    for (size_t i = 0; i < count && p->route_count < ROUTES_MAX; i++)
        p->routes[p->route_count++] = routes[i];
}

static void join_routes(struct program *p)
{
    static const struct telemetry_routes *const APIS[] = {
        &OTLP_ROUTES, &LOKI_PUSH_ROUTES, &TEMPO_ROUTES, &LOKI_ROUTES, &PROFILE_ROUTES,
    };

    add_routes(p, OWN_ROUTES, OBS_COUNT(OWN_ROUTES));
    for (size_t i = 0; i < OBS_COUNT(APIS); i++)
        add_routes(p, APIS[i]->routes, APIS[i]->count);
}

/* ---- listeners ---- */

static int listen_at(struct program *p, const char *text, struct obs_reason *reterr_reason)
{
    struct obs_address *address = &p->listeners[p->listener_count];
    struct obs_reason why = {0};
    int fd = -1, r;

    if (p->listener_count == LISTENERS_MAX) {
        obs_reason_set(reterr_reason, "more than %d addresses to listen at", LISTENERS_MAX);
        return -E2BIG;
    }
    r = obs_address_parse(text, address, &why);
    if (r == 0)
        r = obs_address_listen(address, BACKLOG, true, &fd, &why);
    if (r == 0)
        r = obs_http_server_add(p->server, fd);
    if (r != 0) {
        obs_reason_set(reterr_reason, "%s: %s", text,
                       why.text[0] != '\0' ? why.text : strerror(r < 0 ? -r : EINVAL));
        return r < 0 ? r : -EADDRINUSE;
    }
    p->listener_count++;
    obs_log(OBS_LOG_INFO, "listening", OBS_TEXT("address", address->text));
    return 0;
}

static int listen_all(struct program *p, const char *list, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) char *copy = strdup(list);
    char *rest = copy, *one;
    int r = copy ? 0 : -ENOMEM;

    while (r == 0 && rest && (one = strsep(&rest, ",")) != NULL)
        if (*one != '\0')
            r = listen_at(p, one, reterr_reason);
    return r;
}

/* ---- start ---- */

static void prepare_process(void)
{
    struct rlimit files;

    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

static int read_number(const char *const *values, size_t arg, uint64_t min, uint64_t max,
                       uint64_t *ret_value, struct obs_reason *reterr_reason)
{
    if (obs_text_parse_u64(values[arg], strlen(values[arg]), max, ret_value) == OBS_TEXT_OK &&
        *ret_value >= min)
        return 0;
    obs_reason_set(reterr_reason, "--%s %s: expected a number from %llu to %llu", ARGS[arg].name,
                   values[arg], (unsigned long long)min, (unsigned long long)max);
    return -EINVAL;
}

static int read_time(const char *const *values, size_t arg, uint64_t *ret_ns,
                     struct obs_reason *reterr_reason)
{
    if (obs_text_parse_duration(values[arg], ret_ns) == OBS_TEXT_OK && *ret_ns > 0)
        return 0;
    obs_reason_set(reterr_reason, "--%s %s: expected a time such as 48h or 30s", ARGS[arg].name,
                   values[arg]);
    return -EINVAL;
}

static int open_stores(struct program *p, const char *const *values,
                       struct obs_reason *reterr_reason)
{
    struct store_options options = {.folder = NULL, .metrics = p->telemetry.own.metrics};
    struct profile_store_options profiles = {0};
    OBS_CLEANUP(obs_freep) char *store_folder = NULL, *profile_folder = NULL;
    int r = read_time(values, ARG_RETENTION, &options.retention_ns, reterr_reason);

    if (r == 0)
        r = read_number(values, ARG_TENANT_BYTES, 1 << 20, UINT64_MAX, &options.tenant_bytes_max,
                        reterr_reason);
    if (r == 0)
        r = read_number(values, ARG_HEAD_BYTES, 1 << 20, UINT64_MAX, &options.head_bytes_max,
                        reterr_reason);
    if (r < 0)
        return r;
    if (asprintf(&store_folder, "%s/store", values[ARG_DATA]) < 0 ||
        asprintf(&profile_folder, "%s/profiles", values[ARG_DATA]) < 0)
        return -ENOMEM;
    options.folder = store_folder;
    profiles.folder = profile_folder;
    profiles.retention_ns = options.retention_ns;
    r = store_open(&options, &p->telemetry.store, reterr_reason);
    if (r == 0)
        r = profile_store_open(&profiles, &p->telemetry.profiles, reterr_reason);
    return r > 0 ? -EINVAL : r;
}

static int make_metrics(struct program *p)
{
    struct obs_telemetry *own = &p->telemetry.own;
    int r = obs_metrics_new("telemetry", OBS_VERSION, &own->metrics);

    if (r == 0)
        r = obs_metrics_add_process(own->metrics);
    if (r == 0)
        r = obs_http_instrument_new(own, false, &p->instrument);
    return r;
}

static int make_server(struct program *p, const char *const *values,
                       struct obs_reason *reterr_reason)
{
    struct obs_http_server_options options = {
        .routes = p->routes, .userdata = &p->telemetry, .limits = OBS_HTTP_LIMITS_DEFAULT};
    uint64_t workers;
    int r = read_number(values, ARG_WORKERS, 1, 64, &workers, reterr_reason);

    join_routes(p);
    if (r == 0)
        r = obs_worker_pool_new("telemetry", (unsigned)workers, QUEUE_LIMIT, &p->pool);
    if (r == 0)
        r = loki_tails_new(p->loop, p->telemetry.store, &p->telemetry.tails);
    if (r < 0)
        return r;
    options.route_count = p->route_count;
    options.pool = p->pool;
    options.observer = obs_http_instrument_observer(p->instrument);
    options.limits.body_bytes = BODY_BYTES_MAX;
    options.limits.connections = CONNECTIONS_MAX;
    return obs_http_server_new(p->loop, &options, &p->server);
}

static int start(struct program *p, const char *const *values, struct obs_reason *reterr_reason)
{
    uint64_t timeout_ns;
    int r = read_time(values, ARG_QUERY_TIMEOUT, &timeout_ns, reterr_reason);

    if (r < 0)
        return r;
    p->telemetry.query_timeout_ms = (unsigned)(timeout_ns / 1000000);
    p->telemetry.default_tenant = values[ARG_DEFAULT_TENANT];
    if (values[ARG_DEFAULT_TENANT][0] != '\0' &&
        !store_tenant_is_good(values[ARG_DEFAULT_TENANT])) {
        obs_reason_set(reterr_reason, "--default-tenant %s: not a tenant's name",
                       values[ARG_DEFAULT_TENANT]);
        return -EINVAL;
    }
    p->loop = event_base_new();
    r = p->loop ? make_metrics(p) : -ENOMEM;
    if (r == 0)
        r = open_stores(p, values, reterr_reason);
    if (r == 0)
        r = store_metrics_start(p->telemetry.store, p->telemetry.own.metrics);
    if (r == 0)
        r = make_server(p, values, reterr_reason);
    if (r == 0)
        r = listen_all(p, values[ARG_ADMIN], reterr_reason);
    return r == 0 ? listen_all(p, values[ARG_LISTEN], reterr_reason) : r;
}

/* ---- end ---- */

static void drained(void *userdata)
{
    struct program *p = userdata;

    event_base_loopbreak(p->loop);
}

static void on_terminate(int number, short what, void *userdata)
{
    struct program *p = userdata;

    if (p->is_draining) { /* asked twice: leave at once */
        event_base_loopbreak(p->loop);
        return;
    }
    p->is_draining = true;
    obs_log(OBS_LOG_INFO, "stopping", OBS_INT("signal", number));
    obs_http_server_drain(p->server, DRAIN_MS, drained, p);
}

static int serve(struct program *p)
{
    p->on_term = evsignal_new(p->loop, SIGTERM, on_terminate, p);
    p->on_int = evsignal_new(p->loop, SIGINT, on_terminate, p);
    if (!p->on_term || !p->on_int || event_add(p->on_term, NULL) < 0 ||
        event_add(p->on_int, NULL) < 0)
        return -ENOMEM;
    obs_log(OBS_LOG_INFO, "serving", OBS_INT("pid", getpid()));
    return event_base_dispatch(p->loop) < 0 ? -EIO : 0;
}

static void program_done(struct program *p)
{
    p->pool = obs_worker_pool_free(p->pool);
    p->server = obs_http_server_free(p->server);
    p->telemetry.tails = loki_tails_free(p->telemetry.tails);
    p->telemetry.profiles = profile_store_free(p->telemetry.profiles);
    p->instrument = obs_http_instrument_free(p->instrument);
    p->telemetry.own.metrics = obs_metrics_free(p->telemetry.own.metrics);
    p->telemetry.store = store_free(p->telemetry.store);
    if (p->on_term)
        event_free(p->on_term);
    if (p->on_int)
        event_free(p->on_int);
    if (p->loop)
        event_base_free(p->loop);
    for (size_t i = 0; i < p->listener_count; i++)
        if (strncmp(p->listeners[i].text, "unix:", 5) == 0)
            (void)unlink(p->listeners[i].text + 5);
}

int main(int argc, char *argv[])
{
    static struct program program;
    const char *values[ARG_COUNT] = {0};
    struct obs_reason why = {0};
    int r;

    prepare_process();
    r = obs_args_parse("observa-telemetry", "keeps traces, logs and profiles, and answers for them",
                       ARGS, ARG_COUNT, argc, argv, values, NULL, &why);
    if (r == OBS_ARGS_HELP)
        return EXIT_SUCCESS;
    if (r != 0) {
        fprintf(stderr, "observa-telemetry: %s\n", why.text);
        return 2;
    }
    obs_log_setup("telemetry", OBS_VERSION, OBS_LOG_INFO);
    r = start(&program, values, &why);
    if (r < 0)
        fprintf(stderr, "observa-telemetry: %s\n", why.text[0] != '\0' ? why.text : strerror(-r));
    else
        r = serve(&program);
    program_done(&program);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
