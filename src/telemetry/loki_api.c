/* Loki's HTTP API (grafana.com/docs/loki, "Loki HTTP API"), as far as docs/logql.md says. */
#include "telemetry/loki_api.h"
#include "telemetry/telemetry.h"

#define READ(path, handler)                                                                        \
    {"GET", "/loki/api/v1/" path, handler, OBS_HTTP_ON_WORKER},                                    \
    {                                                                                              \
        "POST", "/loki/api/v1/" path, handler, OBS_HTTP_ON_WORKER                                  \
    }

static const struct obs_http_route READ_ROUTES[] = {
    READ("query", loki_query),
    READ("query_range", loki_query_range),
    READ("labels", loki_labels),
    READ("label/{name}/values", loki_label_values),
    READ("series", loki_series),
    READ("index/stats", loki_index_stats),
    {"GET", "/loki/api/v1/label", loki_labels, OBS_HTTP_ON_WORKER}, /* older clients */
    {"GET", "/loki/api/v1/tail", loki_tail, OBS_HTTP_ON_LOOP},
    {"GET", "/loki/api/v1/status/buildinfo", loki_buildinfo, OBS_HTTP_ON_LOOP},
};
static const struct obs_http_route PUSH_ROUTES[] = {
    {"POST", "/loki/api/v1/push", loki_push, OBS_HTTP_ON_WORKER},
};

const struct telemetry_routes LOKI_ROUTES = {READ_ROUTES, OBS_COUNT(READ_ROUTES)};
const struct telemetry_routes LOKI_PUSH_ROUTES = {PUSH_ROUTES, OBS_COUNT(PUSH_ROUTES)};

/* Grafana asks for the version to know what it may use: it is that of the API spoken here. */
void loki_buildinfo(struct obs_http_request *request, void *userdata)
{
    static const char BODY[] =
        "{\"version\":\"3.0.0\",\"revision\":\"observa-telemetry " OBS_VERSION
        "\",\"branch\":\"\",\"buildDate\":\"\",\"buildUser\":\"\","
        "\"goVersion\":\"\"}";

    obs_http_reply(request, 200, "application/json", BODY, sizeof(BODY) - 1);
}
