#include "load/control.h"
#include "base/clock.h"
#include "base/http_server.h"
#include "base/log.h"
#include "base/text.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define METRICS_BYTES_MAX (8 << 20)
#define EVENTS_BYTES_MAX (16 << 20)
#define EVENTS_PER_REPLY 10000

struct control {
    struct control_options options;
    struct obs_http_server *server;
    struct obs_worker_pool *pool;
    struct stats *stats; /* of the loop's thread */
    struct histogram *latency;
};

static void get_health(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain", "ok\n", 3);
}

static void get_metrics(struct obs_http_request *request, void *userdata)
{
    struct control *c = userdata;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(METRICS_BYTES_MAX);

    if (obs_metrics_emit(c->options.metrics, &b) < 0)
        obs_http_reply_problemf(request, 500, "the exposition does not fit into memory");
    else
        obs_http_reply_buffer(request, 200, OBS_OPENMETRICS_TYPE, &b);
}

/* ---- the plan ---- */

static void reply_plan(struct obs_http_request *request, struct control *c)
{
    OBS_CLEANUP(plan_unrefp) struct plan *plan = engine_plan(c->options.engine);
    OBS_JSON json = plan_json(plan, c->options.script);

    json_object_set_new(json, "target_rps", json_real(plan_rate(plan, obs_mono_ns())));
    json_object_set_new(json, "change", json_integer((json_int_t)plan->sequence));
    json_object_set_new(json, "script", json_string(c->options.script->name));
    json_object_set_new(json, "target", json_string(c->options.target));
    obs_http_reply_json(request, 200, json);
}

static void get_load(struct obs_http_request *request, void *userdata)
{
    reply_plan(request, userdata);
}

static void change_load(struct obs_http_request *request, struct control *c, bool is_replacement)
{
    struct obs_reason why = {0};
    OBS_JSON json = NULL;
    size_t size = 0;
    const char *body = obs_http_body(request, &size);
    OBS_CLEANUP(obs_freep) char *shown = NULL;
    int r = obs_json_parse(body ? body : "", size, &json, &why);

    if (r != 0) {
        obs_http_reply_problem(request, 400, &why);
        return;
    }
    r = engine_change(c->options.engine, json, is_replacement, &why);
    if (r == PLAN_REFUSED) {
        obs_http_reply_problem(request, 422, &why);
        return;
    }
    if (r < 0) {
        obs_http_reply_problemf(request, 500, "the load could not be changed: %s", strerror(-r));
        return;
    }
    shown = json_dumps(json, JSON_COMPACT);
    obs_log(OBS_LOG_INFO, "load changed",
            OBS_TEXT("change", shown && strlen(shown) < 1000 ? shown : ""));
    reply_plan(request, c);
}

static void put_load(struct obs_http_request *request, void *userdata)
{
    change_load(request, userdata, true);
}

static void patch_load(struct obs_http_request *request, void *userdata)
{
    change_load(request, userdata, false);
}

/* ---- status ---- */

static void add_outcomes(json_t *json, const struct journey_stats *stats)
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
        const char *name = outcome_name((enum outcome)o);
        json_int_t before = json_integer_value(json_object_get(json, name));

        json_object_set_new(json, name, json_integer(before + (json_int_t)stats->outcomes[o]));
    }
}

static json_t *journeys_status(struct control *c)
{
    const struct script *script = c->options.script;
    json_t *groups = json_object();

    for (unsigned g = 0; g < script->group_count; g++) {
        json_t *group = json_object();

        histogram_clear(c->latency);
        for (unsigned i = 0; i < script->journey_count; i++) {
            if (script->journeys[i].group != g)
                continue;
            add_outcomes(group, &c->stats->journeys[i]);
            histogram_add(c->latency, c->stats->journeys[i].duration);
        }
        json_object_set_new(group, "p50_ms",
                            json_real((double)histogram_quantile(c->latency, 0.5) / 1e6));
        json_object_set_new(group, "p95_ms",
                            json_real((double)histogram_quantile(c->latency, 0.95) / 1e6));
        json_object_set_new(group, "p99_ms",
                            json_real((double)histogram_quantile(c->latency, 0.99) / 1e6));
        json_object_set_new(groups, script->groups[g], group);
    }
    return groups;
}

static void get_status(struct obs_http_request *request, void *userdata)
{
    struct control *c = userdata;
    OBS_CLEANUP(plan_unrefp) struct plan *plan = engine_plan(c->options.engine);
    uint64_t now_ns = obs_mono_ns(), began_ns = engine_started_ns(c->options.engine);
    OBS_JSON json = json_object();
    json_t *failures = json_object();

    engine_stats(c->options.engine, c->stats);
    json_object_set_new(json, "uptime_s",
                        json_real(now_ns > began_ns ? (double)(now_ns - began_ns) / 1e9 : 0));
    json_object_set_new(json, "loop", json_string(c->options.is_closed_loop ? "closed" : "open"));
    json_object_set_new(json, "paused", json_boolean(plan->is_paused));
    json_object_set_new(json, "target_rps", json_real(plan_rate(plan, now_ns)));
#define STATUS_JSON(name, meaning)                                                                 \
    json_object_set_new(json, #name, json_integer((json_int_t)c->stats->name));
    STATS_COUNTERS(STATUS_JSON)
#undef STATUS_JSON
    json_object_set_new(json, "waiting", json_integer((json_int_t)c->stats->waiting));
    json_object_set_new(json, "in_flight", json_integer((json_int_t)c->stats->in_flight));
    json_object_set_new(json, "connections", json_integer((json_int_t)c->stats->open));
    for (unsigned i = 1; i < FAILURE_COUNT; i++)
        if (c->stats->failures[i] > 0)
            json_object_set_new(failures, failure_name((enum failure)i),
                                json_integer((json_int_t)c->stats->failures[i]));
    json_object_set_new(json, "failures", failures);
    json_object_set_new(json, "journeys", journeys_status(c));
    if (c->options.events)
        json_object_set_new(json, "last_event",
                            json_integer((json_int_t)event_log_last(c->options.events)));
    obs_http_reply_json(request, 200, json);
}

/* ---- events ---- */

static void append_event(struct obs_buffer *b, const struct script *script,
                         const struct event *event)
{
    const struct journey *journey = &script->journeys[event->journey];
    char time[OBS_RFC3339_SIZE], trace[33];

    obs_time_rfc3339(event->time_ns, time);
    obs_buffer_printf(b, "{\"seq\":%" PRIu64 ",\"time\":\"%s\",\"user\":%" PRIu32 ",\"journey\":",
                      event->sequence, time, event->user);
    obs_buffer_append_json(b, script->groups[journey->group],
                           strlen(script->groups[journey->group]));
    obs_buffer_printf(b, ",\"outcome\":\"%s\",\"duration_ms\":%.3f",
                      outcome_name((enum outcome)event->outcome),
                      (double)event->duration_us / 1000);
    if (event->failure != FAILURE_NONE)
        obs_buffer_printf(b, ",\"failure\":\"%s\"", failure_name((enum failure)event->failure));
    if (event->trace_id[0] | event->trace_id[1]) {
        obs_text_hex((const uint8_t *)event->trace_id, sizeof(event->trace_id), trace);
        obs_buffer_printf(b, ",\"trace_id\":\"%s\"", trace);
    }
    obs_buffer_append_char(b, '}');
}

static bool read_number(struct obs_http_request *request, const char *name, uint64_t max,
                        uint64_t *ret_value)
{
    const char *text = obs_http_query(request, name);

    if (!text || obs_text_parse_u64(text, strlen(text), max, ret_value) == 0)
        return true;
    obs_http_reply_problemf(request, 422, "\"%s\" is \"%.40s\": expected 0 to %" PRIu64, name, text,
                            max);
    return false;
}

static void get_events(struct obs_http_request *request, void *userdata)
{
    struct control *c = userdata;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(EVENTS_BYTES_MAX);
    OBS_CLEANUP(obs_freep) struct event *events = NULL;
    uint64_t after = 0, limit = 1000, lost = 0;
    size_t count;

    if (!c->options.events) {
        obs_http_reply_problemf(request, 404, "this run keeps no events: start it with --events");
        return;
    }
    if (!read_number(request, "after", UINT64_MAX, &after) ||
        !read_number(request, "limit", EVENTS_PER_REPLY, &limit))
        return;
    events = calloc((size_t)limit + 1, sizeof(*events));
    if (!events) {
        obs_http_reply_problemf(request, 500, "no memory");
        return;
    }
    count = event_log_read(c->options.events, after, events, (size_t)limit, &lost);
    obs_buffer_printf(
        &b, "{\"last\":%" PRIu64 ",\"next\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"events\":[",
        event_log_last(c->options.events), count > 0 ? events[count - 1].sequence : after + lost,
        lost);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            obs_buffer_append_char(&b, ',');
        append_event(&b, c->options.script, &events[i]);
    }
    if (obs_buffer_append_text(&b, "]}\n") < 0)
        obs_http_reply_problemf(request, 500, "the events do not fit: ask for fewer");
    else
        obs_http_reply_buffer(request, 200, "application/json", &b);
}

static const struct obs_http_route ROUTES[] = {
    {"GET", "/healthz", get_health, OBS_HTTP_ON_LOOP},
    {"GET", "/readyz", get_health, OBS_HTTP_ON_LOOP},
    {"GET", "/metrics", get_metrics, OBS_HTTP_ON_LOOP},
    {"GET", "/load", get_load, OBS_HTTP_ON_LOOP},
    {"PUT", "/load", put_load, OBS_HTTP_ON_WORKER},
    {"PATCH", "/load", patch_load, OBS_HTTP_ON_WORKER},
    {"GET", "/load/status", get_status, OBS_HTTP_ON_LOOP},
    {"GET", "/events", get_events, OBS_HTTP_ON_LOOP},
};

struct control *control_free(struct control *c)
{
    if (!c)
        return NULL;
    obs_worker_pool_free(c->pool);
    obs_http_server_free(c->server);
    stats_free(c->stats);
    histogram_free(c->latency);
    free(c);
    return NULL;
}

int control_new(struct event_base *base, const struct control_options *options,
                struct obs_address *address, struct control **ret_control,
                struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(control_freep) struct control *c = calloc(1, sizeof(*c));
    struct obs_http_server_options server = {.routes = ROUTES,
                                             .route_count = OBS_COUNT(ROUTES),
                                             .userdata = c,
                                             .limits = OBS_HTTP_LIMITS_DEFAULT};
    int fd = -1, r;

    if (!c)
        return -ENOMEM;
    c->options = *options;
    server.limits.connections = 64;
    r = stats_new(options->script, &c->stats);
    if (r == 0)
        r = histogram_new(&c->latency);
    if (r == 0)
        r = obs_worker_pool_new("control", 1, 32, &c->pool);
    server.pool = c->pool;
    if (r == 0)
        r = obs_http_server_new(base, &server, &c->server);
    if (r == 0)
        r = obs_address_listen(address, 64, true, &fd, reterr_reason);
    if (r != 0)
        return r;
    r = obs_http_server_add(c->server, fd);
    if (r != 0)
        return r;
    *ret_control = OBS_TAKE(c);
    return 0;
}
