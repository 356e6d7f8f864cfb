/* Tempo's API: routes, parameters, and how queries fail. */
#include "telemetry/tempo.h"

#include "base/clock.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>

#define SECONDS_MAX 4102444800ULL /* the year 2100 */
#define TIMEOUT_MS_DEFAULT 30000

static void handle_echo(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain; charset=utf-8", "echo", 4);
}

/* Clients look at the version to see what they may ask for. */
static void handle_buildinfo(struct obs_http_request *request, void *userdata)
{
    OBS_JSON info =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "version", "2.7.0", "revision", OBS_VERSION,
                  "branch", "observa-telemetry", "buildUser", "", "buildDate", "", "goVersion", "");

    obs_http_reply_json(request, 200, info);
}

static const struct obs_http_route ROUTES[] = {
    {"GET", "/api/traces/{id}", tempo_handle_trace, OBS_HTTP_ON_WORKER},
    {"GET", "/api/v2/traces/{id}", tempo_handle_trace_v2, OBS_HTTP_ON_WORKER},
    {"GET", "/api/search", tempo_handle_search, OBS_HTTP_ON_WORKER},
    {"GET", "/api/search/tags", tempo_handle_tags, OBS_HTTP_ON_WORKER},
    {"GET", "/api/v2/search/tags", tempo_handle_tags_v2, OBS_HTTP_ON_WORKER},
    {"GET", "/api/search/tag/{name}/values", tempo_handle_values, OBS_HTTP_ON_WORKER},
    {"GET", "/api/v2/search/tag/{name}/values", tempo_handle_values_v2, OBS_HTTP_ON_WORKER},
    {"GET", "/api/service-graph", tempo_handle_graph, OBS_HTTP_ON_WORKER},
    {"GET", "/api/echo", handle_echo, OBS_HTTP_ON_LOOP},
    {"GET", "/api/status/buildinfo", handle_buildinfo, OBS_HTTP_ON_LOOP},
};
const struct telemetry_routes TEMPO_ROUTES = {.routes = ROUTES, .count = OBS_COUNT(ROUTES)};

bool tempo_read_uint(struct obs_http_request *request, const char *name, uint64_t max,
                     uint64_t *value)
{
    const char *text = obs_http_query(request, name);

    if (!text || text[0] == '\0')
        return true;
    if (obs_text_parse_u64(text, strlen(text), max, value) == OBS_TEXT_OK)
        return true;
    obs_http_reply_problemf(request, 400, "%s is \"%.40s\": expected a whole number up to %llu",
                            name, text, (unsigned long long)max);
    return false;
}

bool tempo_read_range(struct obs_http_request *request, struct tempo_range *ret_range)
{
    uint64_t start = 0, end = SECONDS_MAX;

    if (!tempo_read_uint(request, "start", SECONDS_MAX, &start) ||
        !tempo_read_uint(request, "end", SECONDS_MAX, &end))
        return false;
    if (start > end) {
        obs_http_reply_problemf(request, 400, "start %llu is after end %llu",
                                (unsigned long long)start, (unsigned long long)end);
        return false;
    }
    *ret_range = (struct tempo_range){.from_ns = start * OBS_NS_PER_SECOND,
                                      .until_ns = end * OBS_NS_PER_SECOND};
    if (end == start) /* that second */
        ret_range->until_ns += OBS_NS_PER_SECOND;
    return true;
}

static unsigned timeout_ms(const struct telemetry *telemetry)
{
    return telemetry->query_timeout_ms > 0 ? telemetry->query_timeout_ms : TIMEOUT_MS_DEFAULT;
}

uint64_t tempo_deadline(const struct telemetry *telemetry)
{
    return obs_mono_ns() + timeout_ms(telemetry) * OBS_NS_PER_MS;
}

void tempo_reply_failed(struct obs_http_request *request, const struct telemetry *telemetry, int r,
                        const struct obs_reason *why)
{
    if (r == TEMPO_REFUSED && why && why->line > 0) {
        struct obs_reason placed = {.line = why->line, .column = why->column};

        obs_reason_set_at(&placed, why->line, why->column,
                          "invalid TraceQL query: line %u, column "
                          "%u: %.180s",
                          why->line, why->column, why->text);
        obs_http_reply_problem(request, 400, &placed);
    } else if (r == TEMPO_REFUSED && why) {
        obs_http_reply_problem(request, 400, why);
    } else if (r == TEMPO_TIMEOUT) {
        obs_http_reply_problemf(request, 504,
                                "the query took longer than %u ms: narrow its time range or its "
                                "conditions",
                                timeout_ms(telemetry));
    } else if (r == TEMPO_TOO_MUCH) {
        obs_http_reply_problem(request, 422, why);
    } else if (r == -ENOMEM || r == -EMSGSIZE) {
        obs_http_reply_problemf(request, 422,
                                "the query needs more memory than one query may have: narrow its "
                                "time range or its limits");
    } else {
        obs_http_reply_problemf(request, 500, "the store could not be read: %s", strerror(-r));
    }
}

void tempo_reply_json(struct obs_http_request *request, const struct telemetry *telemetry,
                      struct obs_buffer *body)
{
    if (body->error != 0)
        tempo_reply_failed(request, telemetry, body->error, NULL);
    else
        obs_http_reply_buffer(request, 200, "application/json", body);
    obs_buffer_done(body);
}
