/* query and query_range. */
#include "base/clock.h"
#include "telemetry/loki_api.h"
#include "telemetry/loki_params.h"
#include "telemetry/loki_reply.h"
#include "telemetry/telemetry.h"
#include <string.h>

struct asked {
    struct loki_params params;
    struct logql_range range;
    struct logql_query *query;
    struct logql_store_source store;
    struct obs_reason why;
};

/* false: it has been answered. */
static bool start(struct obs_http_request *request, const struct telemetry *telemetry,
                  struct asked *asked)
{
    const char *text;
    int r;

    asked->store.store = telemetry->store;
    asked->store.tenant = telemetry_tenant(request, telemetry);
    if (!asked->store.tenant)
        return false;
    asked->range.limit = 100;
    asked->range.deadline_ns = obs_mono_ns() + telemetry->query_timeout_ms * OBS_NS_PER_MS;
    r = loki_params_read(request, &asked->params, &asked->why);
    if (r == 0)
        r = loki_param_limit(&asked->params, &asked->range.limit);
    if (r == 0)
        r = loki_param_direction(&asked->params, &asked->range.is_forward);
    if (r != 0) {
        loki_reply_refusal(request, r, &asked->why);
        return false;
    }
    text = loki_param(&asked->params, "query");
    if (!text)
        text = "";
    r = logql_parse(text, strlen(text), &asked->query, &asked->why);
    if (r != LOGQL_OK)
        loki_reply_outcome(request, r, &asked->why);
    return r == LOGQL_OK;
}

static void answer_numbers(struct obs_http_request *request, struct asked *asked, bool is_instant)
{
    OBS_CLEANUP(logql_numbers_freep) struct logql_numbers *numbers = NULL;
    struct logql_source source = {logql_scan_store, &asked->store};
    int r = logql_run_numbers(asked->query, &source, &asked->range, &numbers, &asked->why);

    if (r != LOGQL_OK)
        loki_reply_outcome(request, r, &asked->why);
    else
        loki_reply_numbers(request, numbers, is_instant);
}

static void answer_lines(struct obs_http_request *request, struct asked *asked)
{
    OBS_CLEANUP(logql_lines_freep) struct logql_lines *lines = NULL;
    struct logql_source source = {logql_scan_store, &asked->store};
    const char *flags = obs_http_header(request, "x-loki-response-encoding-flags");
    int r = logql_run_lines(asked->query, &source, &asked->range,
                            flags && strstr(flags, "categorize-labels"), &lines, &asked->why);

    if (r != LOGQL_OK)
        loki_reply_outcome(request, r, &asked->why);
    else
        loki_reply_lines(request, lines);
}

void loki_query(struct obs_http_request *request, void *userdata)
{
    struct asked asked = {0};

    if (start(request, userdata, &asked)) {
        asked.range.start_ns = obs_time_ns();
        if (loki_param_time(&asked.params, "time", &asked.range.start_ns) != 0) {
            loki_reply_refusal(request, 400, &asked.why);
        } else if (logql_is_log(asked.query)) {
            obs_reason_set(&asked.why, "log queries are not supported as an instant query type, "
                                       "please change your query to a range query type");
            loki_reply_refusal(request, 400, &asked.why);
        } else {
            asked.range.end_ns = asked.range.start_ns;
            answer_numbers(request, &asked, true);
        }
    }
    logql_query_free(asked.query);
}

/* Loki's own: 250 points, at least a second apart. */
static uint64_t default_step(const struct logql_range *range)
{
    uint64_t seconds = (range->end_ns - range->start_ns) / OBS_NS_PER_SECOND / 250;

    return (seconds > 0 ? seconds : 1) * OBS_NS_PER_SECOND;
}

void loki_query_range(struct obs_http_request *request, void *userdata)
{
    struct asked asked = {0};

    if (start(request, userdata, &asked)) {
        int r = loki_param_range(&asked.params, 3600 * OBS_NS_PER_SECOND, &asked.range);

        if (r == 0) {
            asked.range.step_ns = default_step(&asked.range);
            r = loki_param_duration(&asked.params, "step", &asked.range.step_ns);
        }
        if (r == 0)
            r = loki_param_duration(&asked.params, "interval", &asked.range.interval_ns);
        if (r != 0)
            loki_reply_refusal(request, r, &asked.why);
        else if (logql_is_log(asked.query))
            answer_lines(request, &asked);
        else
            answer_numbers(request, &asked, false);
    }
    logql_query_free(asked.query);
}
