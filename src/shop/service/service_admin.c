/* The admin listener: what operators, Prometheus and the agent ask of a service. */
#include "base/log.h"
#include "base/settings_api.h"
#include "base/text.h"
#include "otel/profiler.h"
#include "shop/service/service_internal.h"
#include <string.h>

enum { METRICS_BYTES_MAX = 8 << 20, PROFILE_BYTES_MAX = 16 << 20 };
enum { PROFILE_SECONDS_STANDARD = 10, PROFILE_SECONDS_MAX = 60 };

static void get_health(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain", "ok\n", 3);
}

static void get_metrics(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(METRICS_BYTES_MAX);

    if (obs_metrics_emit(s->telemetry.metrics, &b) < 0)
        obs_http_reply_problemf(request, 500, "the exposition does not fit into memory");
    else
        obs_http_reply_buffer(request, 200, OBS_OPENMETRICS_TYPE, &b);
}

static void get_ready(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;
    struct obs_reason why = {0};

    if (atomic_load(&s->is_draining))
        obs_http_reply_problemf(request, 503, "stopping");
    else if (s->definition->is_ready && !s->definition->is_ready(s->state, &why))
        obs_http_reply_problem(request, 503, &why);
    else
        obs_http_reply(request, 200, "text/plain", "ready\n", 6);
}

static void handle_config(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;

    obs_settings_api_handle(request, s->settings, s->definition->settings);
}

/* ?seconds=1..60 &format=folded|pprof */
static void get_profile(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(PROFILE_BYTES_MAX);
    const char *text = obs_http_query(request, "seconds");
    const char *format = obs_http_query(request, "format");
    bool is_folded = format && strcmp(format, "folded") == 0;
    uint64_t seconds = PROFILE_SECONDS_STANDARD;
    int r;

    if (text && (obs_text_parse_u64(text, strlen(text), PROFILE_SECONDS_MAX, &seconds) != 0 ||
                 seconds == 0)) {
        obs_http_reply_problemf(request, 422, "\"seconds\" is \"%s\": expected 1 to %d", text,
                                PROFILE_SECONDS_MAX);
        return;
    }
    if (format && !is_folded && strcmp(format, "pprof") != 0) {
        obs_http_reply_problemf(request, 422, "\"format\" is \"%s\": expected folded or pprof",
                                format);
        return;
    }
    r = obs_profiler_take((unsigned)seconds, is_folded ? OBS_PROFILE_FOLDED : OBS_PROFILE_PPROF,
                          &b);
    if (r == OBS_PROFILER_BUSY) {
        obs_http_reply_header(request, "Retry-After", "10");
        obs_http_reply_problemf(request, 503, "another profile is being taken");
    } else if (r < 0) {
        obs_http_reply_problemf(request, 500, "the profile could not be taken: %s", strerror(-r));
    } else {
        obs_http_reply_buffer(
            request, 200, is_folded ? "text/plain; charset=utf-8" : "application/octet-stream", &b);
    }
}

const struct obs_http_route SERVICE_ADMIN_ROUTES[] = {
    {"GET", "/healthz", get_health, OBS_HTTP_ON_LOOP},
    {"GET", "/metrics", get_metrics, OBS_HTTP_ON_LOOP},
    {"GET", "/readyz", get_ready, OBS_HTTP_ON_WORKER},
    {"GET", "/config", handle_config, OBS_HTTP_ON_WORKER},
    {"PUT", "/config", handle_config, OBS_HTTP_ON_WORKER},
    {"POST", "/config", handle_config, OBS_HTTP_ON_WORKER},
    {"DELETE", "/config", handle_config, OBS_HTTP_ON_WORKER},
    {"GET", "/config/schema", handle_config, OBS_HTTP_ON_WORKER},
    {"GET", "/debug/pprof/profile", get_profile, OBS_HTTP_ON_WORKER},
};
const size_t SERVICE_ADMIN_ROUTE_COUNT = OBS_COUNT(SERVICE_ADMIN_ROUTES);
