#include "telemetry/pyroscope.h"

#include "base/clock.h"
#include "telemetry/profile_time.h"
#include <errno.h>
#include <string.h>

void pyroscope_refuse(struct obs_http_request *request, int status, const struct obs_reason *reason)
{
    struct obs_reason memory = {.text = "there is no memory for this"};

    if (status == 429 || status == 503)
        obs_http_reply_header(request, "Retry-After", "1");
    obs_http_reply_problem(request, status, reason->text[0] != '\0' ? reason : &memory);
}

void pyroscope_query_failed(struct obs_http_request *request, int error)
{
    if (error == -ETIMEDOUT)
        obs_http_reply_problemf(request, 504, "the query took too long: ask for a shorter time");
    else if (error == -EMSGSIZE)
        obs_http_reply_problemf(request, 422,
                                "the profiles of this query have too many different stacks or "
                                "names: ask for a shorter time or fewer series");
    else if (error == -ENOMEM)
        obs_http_reply_problemf(request, 503, "there is no memory for this query");
    else
        obs_http_reply_problemf(request, 500, "the profiles cannot be read: %s", strerror(-error));
}

int pyroscope_time(struct obs_http_request *request, const char *name, const char *standard,
                   uint64_t *ret_ns)
{
    const char *text = obs_http_query(request, name);
    struct obs_reason why = {0};

    if (!text || text[0] == '\0')
        text = standard;
    if (!text) {
        obs_http_reply_problemf(request, 400, "the parameter %s is missing", name);
        return 1;
    }
    if (profile_time_parse(name, text, obs_time_ns(), ret_ns, &why) == 0)
        return 0;
    obs_http_reply_problem(request, 400, &why);
    return 1;
}

uint64_t pyroscope_deadline(const struct telemetry *telemetry)
{
    return telemetry->query_timeout_ms ? obs_mono_ns() + telemetry->query_timeout_ms * OBS_NS_PER_MS
                                       : 0;
}

#define BOTH(method, path, handler)                                                                \
    {method, path, handler, OBS_HTTP_ON_WORKER},                                                   \
    {                                                                                              \
        method, "/pyroscope" path, handler, OBS_HTTP_ON_WORKER                                     \
    }

static const struct obs_http_route ROUTES[] = {
    BOTH("POST", "/ingest", pyroscope_ingest),
    BOTH("GET", "/render", pyroscope_render),
    BOTH("GET", "/render-diff", pyroscope_render_diff),
    BOTH("GET", "/labels", pyroscope_label_names),
    BOTH("GET", "/label-names", pyroscope_label_names),
    BOTH("GET", "/label-values", pyroscope_label_values),
    BOTH("GET", "/api/apps", pyroscope_apps),
};
const struct telemetry_routes PROFILE_ROUTES = {ROUTES, OBS_COUNT(ROUTES)};
