#include "agent/access_log.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "otel/names.h"
#include "otel/trace.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIME_MAX_S 1e10 /* the year 2286 */
#define FLUSH_MS 100    /* when the agent ends, what waits gets this long */

struct access_log {
    struct access_log_options options;
    struct obs_metrics *metrics;
    struct obs_metric_family *durations;
    struct obs_tracer *tracer;
    uint64_t bad_lines;
};

int access_log_new(const struct access_log_options *options, struct access_log **ret_log)
{
    OBS_CLEANUP(access_log_freep) struct access_log *log = calloc(1, sizeof(*log));
    struct obs_tracer_options tracer = {.service = options->service,
                                        .version = options->version,
                                        .resource = options->resource,
                                        .endpoint = options->endpoint,
                                        .sample_ratio = 1};
    int r;

    if (!log)
        return -ENOMEM;
    log->options = *options;
    r = obs_metrics_new(options->service, options->version, &log->metrics);
    if (r == 0)
        r = obs_tracer_new(&tracer, &log->tracer);
    if (r < 0)
        return r;
    log->durations = obs_metrics_named(log->metrics, OBS_HTTP_SERVER_DURATION);
    if (!log->durations)
        return -ENOMEM;
    *ret_log = OBS_TAKE(log);
    return 0;
}

struct access_log *access_log_free(struct access_log *log)
{
    if (!log)
        return NULL;
    if (log->tracer)
        obs_tracer_free(log->tracer, FLUSH_MS);
    if (log->metrics)
        obs_metrics_free(log->metrics);
    free(log);
    return NULL;
}

static bool route_fits(const char *route, const char *path)
{
    while (*route && *path) {
        if (*route == '{') {
            size_t segment = strcspn(path, "/");

            if (segment == 0)
                return false;
            path += segment;
            route += strcspn(route, "}");
            route += *route == '}';
        } else if (*route++ != *path++) {
            return false;
        }
    }
    return *route == '\0' && *path == '\0';
}

const char *access_log_route(const char *const *routes, const char *path)
{
    for (; *routes; routes++)
        if (route_fits(*routes, path))
            return *routes;
    return "other";
}

struct access {
    const char *method, *path, *route;
    int status;
    double duration_s;
    uint64_t end_ns;
    struct obs_trace_context context;
    uint8_t parent_span_id[8];
};

static bool read_hex(const json_t *line, const char *name, uint8_t *ret_bytes, size_t size)
{
    const char *text = json_string_value(json_object_get(line, name));

    return text && obs_text_unhex(text, strlen(text), ret_bytes, size) == 0;
}

static bool read_access(const struct access_log *log, const json_t *line, struct access *ret)
{
    const json_t *duration = json_object_get(line, "duration_s");
    const json_t *time = json_object_get(line, "time_s");
    double ended_s;

    ret->method = json_string_value(json_object_get(line, "method"));
    ret->path = json_string_value(json_object_get(line, "path"));
    ret->status = (int)json_integer_value(json_object_get(line, "status"));
    if (!ret->method || !ret->path || ret->status < 100 || ret->status > 599 ||
        !json_is_number(duration))
        return false;
    ret->route = access_log_route(log->options.routes, ret->path);
    ret->duration_s = json_number_value(duration);
    ended_s = json_is_number(time) ? json_number_value(time) : (double)obs_time_ns() / 1e9;
    if (!(ended_s >= 0 && ended_s <= TIME_MAX_S) ||
        !(ret->duration_s >= 0 && ret->duration_s <= ended_s))
        return false;
    ret->end_ns = (uint64_t)(ended_s * 1e9);
    if (read_hex(line, "trace_id", ret->context.trace_id, 16) &&
        read_hex(line, "span_id", ret->context.span_id, 8))
        ret->context.flags = 1;
    if (!read_hex(line, "parent_span_id", ret->parent_span_id, 8))
        memset(ret->parent_span_id, 0, 8);
    return true;
}

static void emit_span(struct access_log *log, const struct access *access, const json_t *line)
{
    const char *upstream = json_string_value(json_object_get(line, "upstream"));
    struct obs_span span;
    char name[160];

    snprintf(name, sizeof(name), "%s %s", access->method, access->route);
    obs_span_start(&span, log->tracer, OBS_SPAN_SERVER, name, &access->context);
    span.context = access->context;
    memcpy(span.parent_span_id, access->parent_span_id, 8);
    obs_span_set_start(&span, access->end_ns - (uint64_t)(access->duration_s * 1e9));
    obs_span_text(&span, OBS_ATTR_HTTP_METHOD, access->method);
    obs_span_text(&span, OBS_ATTR_HTTP_ROUTE, access->route);
    obs_span_text(&span, OBS_ATTR_URL_PATH, access->path);
    obs_span_int(&span, OBS_ATTR_HTTP_STATUS, access->status);
    if (upstream && *upstream)
        obs_span_text(&span, OBS_ATTR_SERVER_ADDRESS, upstream);
    if (access->status >= 500)
        obs_span_error(&span, "");
    obs_span_end_at(&span, access->end_ns);
}

/* Methods are a client's text; only these become labels. */
static const char *known_method(const char *method)
{
    static const char *const KNOWN[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"};

    for (size_t i = 0; i < OBS_COUNT(KNOWN); i++)
        if (strcmp(KNOWN[i], method) == 0)
            return method;
    return "_OTHER";
}

void access_log_take(struct access_log *log, const char *line, size_t size)
{
    OBS_JSON json = NULL;
    struct access access = {0};
    char status[16];

    if (obs_json_parse(line, size, &json, NULL) != 0 || !read_access(log, json, &access)) {
        log->bad_lines++;
        return;
    }
    access.method = known_method(access.method);
    snprintf(status, sizeof(status), "%d", access.status);
    obs_histogram_observe(
        obs_metric_series(log->durations,
                          (const char *const[]){access.route, access.method, status}),
        access.duration_s, access.context.flags ? &access.context : NULL);
    if (access.context.flags)
        emit_span(log, &access, json);
}

void access_log_set_version(struct access_log *log, const char *version)
{
    obs_metrics_set_version(log->metrics, version);
    obs_tracer_set_version(log->tracer, version);
}

struct obs_metrics *access_log_metrics(struct access_log *log)
{
    return log->metrics;
}

uint64_t access_log_bad_lines(const struct access_log *log)
{
    return log->bad_lines;
}
