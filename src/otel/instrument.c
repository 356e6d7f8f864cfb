/*
 * The server's side. A request's state lives in its slot, so instrumentation allocates nothing; the
 * only shared writes are the series' own counters and the tracer's queue.
 *
 * Health checks and scrapes are left out altogether: they come every second, always succeed fast,
 * and would pull every percentile and error ratio towards themselves.
 */
#include "otel/instrument.h"

#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_KEPT 128 /* bytes of a path in a span: the rest of its text is the handler's */
#define LOG_FIELDS_MAX (8 + OBS_SPAN_ATTRIBUTES_MAX)
#define NO_ROUTE "unmatched"

struct obs_http_instrument {
    struct obs_telemetry telemetry;
    struct obs_http_observer observer;
    struct obs_metric_family *duration;
    struct obs_metric_series *inflight;
    bool is_access_logged;
};

/* In the request's slot, which starts zeroed. */
struct observed {
    bool is_observed;
    uint8_t status_attribute; /* index, with a recording span */
    struct obs_span *before;  /* current span outside the handler */
    struct obs_span span;
};
_Static_assert(sizeof(struct observed) <= OBS_HTTP_SLOT_SIZE, "an observed request fits its slot");

static const char *const ignored_routes[] = {"/healthz", "/readyz", "/metrics"};
static const char *const known_methods[] = {"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                                            "OPTIONS", "PATCH", "CONNECT", "TRACE"};

static bool is_ignored(const char *route)
{
    for (size_t i = 0; i < OBS_COUNT(ignored_routes); i++)
        if (strcmp(route, ignored_routes[i]) == 0)
            return true;
    return false;
}

/* Methods come from the client: what HTTP does not define is one value (semantic conventions). */
static const char *method_label(const struct obs_http_request *request)
{
    const char *method = obs_http_method(request);

    for (size_t i = 0; method && i < OBS_COUNT(known_methods); i++)
        if (strcmp(method, known_methods[i]) == 0)
            return known_methods[i];
    return "_OTHER";
}

static const char *route_label(const struct obs_http_request *request)
{
    const char *route = obs_http_route(request);

    return *route ? route : NO_ROUTE;
}

static const char *path_text(const struct obs_http_request *request)
{
    const char *path = obs_http_path(request);

    return path ? path : "";
}

/* ---- observer ---- */

static void start_span(struct obs_http_instrument *instrument, struct observed *o,
                       const struct obs_http_request *request)
{
    const char *traceparent = obs_http_header(request, "traceparent");
    struct obs_trace_context parent;
    bool has_parent = traceparent && obs_traceparent_parse(traceparent, strlen(traceparent),
                                                           &parent) == OBS_TRACE_OK;
    char name[128], path[PATH_KEPT + 1];

    snprintf(name, sizeof(name), "%s %s", method_label(request), route_label(request));
    obs_span_start(&o->span, instrument->telemetry.tracer, OBS_SPAN_SERVER, name,
                   has_parent ? &parent : NULL);
    if (!o->span.tracer)
        return;
    snprintf(path, sizeof(path), "%s", path_text(request));
    obs_span_set_start(&o->span, obs_http_started_ns(request));
    obs_span_text(&o->span, OBS_ATTR_HTTP_METHOD, method_label(request));
    obs_span_text(&o->span, OBS_ATTR_HTTP_ROUTE, route_label(request));
    obs_span_text(&o->span, OBS_ATTR_URL_PATH, path);
    /* Now, while there is room; the value comes at the end. */
    o->status_attribute = o->span.attribute_count;
    obs_span_int(&o->span, OBS_ATTR_HTTP_STATUS, 0);
}

static void begin(struct obs_http_request *request, void *userdata)
{
    struct obs_http_instrument *instrument = userdata;
    struct observed *o = obs_http_slot(request);

    if (is_ignored(obs_http_route(request)))
        return;
    o->is_observed = true;
    obs_gauge_add(instrument->inflight, 1);
    start_span(instrument, o, request);
}

static void enter(struct obs_http_request *request, void *userdata)
{
    struct observed *o = obs_http_slot(request);
    uint64_t waited_ns;

    if (!o->is_observed)
        return;
    waited_ns = obs_http_waited_ns(request);
    if (waited_ns > 0)
        obs_span_number(&o->span, OBS_ATTR_QUEUE_WAIT_MS, (double)waited_ns / 1e6);
    o->before = obs_span_enter(&o->span);
}

static void leave(struct obs_http_request *request, void *userdata)
{
    struct observed *o = obs_http_slot(request);

    if (o->is_observed)
        obs_span_leave(o->before);
}

static void count(struct obs_http_instrument *instrument, const struct observed *o,
                  const struct obs_http_request *request, double seconds)
{
    unsigned status = (unsigned)obs_http_status(request);
    const char status_text[] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                                (char)('0' + status % 10), '\0'};
    const char *values[] = {route_label(request), method_label(request), status_text};

    obs_histogram_observe(obs_metric_series(instrument->duration, values), seconds,
                          &o->span.context);
    obs_gauge_add(instrument->inflight, -1);
}

/* What the handler noted about the request's subject (app.order.id and the like) is what a person
 * searches the log for. */
static size_t add_noted(const struct obs_span *span, struct obs_log_field *fields, size_t used)
{
    for (size_t i = 0; i < span->attribute_count; i++) {
        const struct obs_span_attribute *attribute = &span->attributes[i];

        if (strncmp(attribute->name, "app.", 4) != 0)
            continue;
        fields[used++] = attribute->type == OBS_ATTRIBUTE_TEXT
                             ? OBS_TEXT(attribute->name, span->text + attribute->value.text)
                         : attribute->type == OBS_ATTRIBUTE_INT
                             ? OBS_INT(attribute->name, attribute->value.integer)
                         : attribute->type == OBS_ATTRIBUTE_DOUBLE
                             ? OBS_NUMBER(attribute->name, attribute->value.number)
                             : OBS_BOOL(attribute->name, attribute->value.boolean);
    }
    return used;
}

static double milliseconds(uint64_t ns)
{
    return (double)(ns / OBS_NS_PER_US) / 1e3;
}

static void log_access(struct observed *o, const struct obs_http_request *request,
                       uint64_t elapsed_ns)
{
    struct obs_log_field fields[LOG_FIELDS_MAX] = {
        OBS_TEXT("method", obs_http_method(request)),
        OBS_TEXT("route", route_label(request)),
        OBS_TEXT("path", path_text(request)),
        OBS_INT("status", obs_http_status(request)),
        OBS_NUMBER("duration_ms", milliseconds(elapsed_ns)),
        OBS_INT("response_bytes", obs_http_response_size(request)),
    };
    size_t used = add_noted(&o->span, fields, 6);
    struct obs_span *before = obs_span_enter(&o->span); /* the line carries the request's ids */

    obs_log_fields(OBS_LOG_INFO, "request", fields, used);
    obs_span_leave(before);
}

static void end_span(struct observed *o, int status, uint64_t end_ns)
{
    char type[16];

    if (!o->span.tracer)
        return;
    o->span.attributes[o->status_attribute].value.integer = status;
    if (status >= 500) {
        snprintf(type, sizeof(type), "%d", status);
        obs_span_text(&o->span, OBS_ATTR_ERROR_TYPE, type);
        if (!o->span.is_error)
            obs_span_error(&o->span, obs_http1_status_text(status));
    }
    obs_span_end_at(&o->span, end_ns);
}

static void end(struct obs_http_request *request, void *userdata)
{
    struct obs_http_instrument *instrument = userdata;
    struct observed *o = obs_http_slot(request);
    uint64_t elapsed_ns;

    if (!o->is_observed)
        return;
    elapsed_ns = obs_http_elapsed_ns(request);
    count(instrument, o, request, (double)elapsed_ns / 1e9);
    if (instrument->is_access_logged)
        log_access(o, request, elapsed_ns);
    end_span(o, obs_http_status(request), obs_http_started_ns(request) + elapsed_ns);
}

/* ---- instrument ---- */

int obs_http_instrument_new(struct obs_telemetry *telemetry, bool is_access_logged,
                            struct obs_http_instrument **ret_instrument)
{
    struct obs_metric_family *duration =
        obs_metrics_named(telemetry->metrics, OBS_HTTP_SERVER_DURATION);
    struct obs_metric_family *inflight = obs_metrics_named(telemetry->metrics, OBS_APP_INFLIGHT);
    struct obs_http_instrument *instrument = calloc(1, sizeof(*instrument));

    if (!duration || !inflight || !instrument) {
        free(instrument);
        return -ENOMEM;
    }
    *instrument = (struct obs_http_instrument){
        .telemetry = *telemetry,
        .observer =
            {.begin = begin, .enter = enter, .leave = leave, .end = end, .userdata = instrument},
        .duration = duration,
        .inflight = obs_metric_only(inflight),
        .is_access_logged = is_access_logged,
    };
    *ret_instrument = instrument;
    return 0;
}

struct obs_http_instrument *obs_http_instrument_free(struct obs_http_instrument *instrument)
{
    free(instrument);
    return NULL;
}

const struct obs_http_observer *obs_http_instrument_observer(struct obs_http_instrument *instrument)
{
    return &instrument->observer;
}
