#include "agent/control.h"

#include "agent/version.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define DRAIN_MS 500

struct control {
    struct control_options options;
    struct obs_http_server *server;
    struct control_proxies *proxies;
    struct control_logs *logs;
    uint64_t started_ns;
};

struct control_options *control_parts(struct control *control)
{
    return &control->options;
}

struct control_logs **control_followers(struct control *control)
{
    return &control->logs;
}

struct control_proxies *control_proxies_of(struct control *control)
{
    return control->proxies;
}

/* ---- admission ---- */

bool control_admits(struct control *control, struct obs_http_request *request)
{
    struct obs_reason why = {0};
    char challenge[400];

    if (token_check(control->options.tokens, obs_http_header(request, "authorization"),
                    (int64_t)(obs_time_ns() / OBS_NS_PER_SECOND), &why) == 0)
        return true;
    snprintf(challenge, sizeof(challenge),
             "Bearer realm=\"%s\", error=\"invalid_token\", error_description=\"%s\"",
             control->options.tenant, why.text);
    obs_http_reply_header(request, "WWW-Authenticate", challenge);
    obs_http_reply_problem(request, 401, &why);
    return false;
}

void control_reply_no_unit(struct control *control, struct obs_http_request *request)
{
    const struct unit_table *table = control->options.table;
    char names[160] = "";
    size_t size = 0;

    for (size_t i = 0; i < table->count && size < sizeof(names) - UNIT_NAME_MAX - 8; i++)
        size += (size_t)snprintf(names + size, sizeof(names) - size, "%s%s", i ? ", " : "",
                                 table->units[i]->name);
    obs_http_reply_problemf(
        request, 404, "there is no unit \"%.40s\"; there are %s%s", obs_http_param(request, "name"),
        names, table->count > 0 && size >= sizeof(names) - UNIT_NAME_MAX - 8 ? ", …" : "");
}

/* The unit that an admitted request names; NULL: answered. */
static struct supervised *find_unit(struct control *control, struct obs_http_request *request)
{
    struct supervised *s;

    if (!control_admits(control, request))
        return NULL;
    s = supervisor_find(control->options.supervisor, obs_http_param(request, "name"));
    if (!s)
        control_reply_no_unit(control, request);
    return s;
}

static void reply_unit(struct obs_http_request *request, int status, struct supervised *s)
{
    OBS_JSON json = NULL;

    if (supervised_json(s, &json) < 0)
        obs_http_reply_problemf(request, 500, "out of memory");
    else
        obs_http_reply_json(request, status, json);
}

/* ---- looking ---- */

static json_t *units_json(const struct supervisor *supervisor)
{
    json_t *units = json_array();

    for (size_t i = 0; i < supervisor_count(supervisor); i++) {
        json_t *unit = NULL;

        if (supervised_json(supervisor_at(supervisor, i), &unit) == 0)
            json_array_append_new(units, unit);
    }
    return units;
}

static void get_units(struct obs_http_request *request, void *userdata)
{
    struct control *control = userdata;
    OBS_JSON json = NULL;

    if (!control_admits(control, request))
        return;
    json = json_pack("{s:o}", "units", units_json(control->options.supervisor));
    obs_http_reply_json(request, 200, json);
}

static void get_unit(struct obs_http_request *request, void *userdata)
{
    struct supervised *s = find_unit(userdata, request);

    if (s)
        reply_unit(request, 200, s);
}

static void get_status(struct obs_http_request *request, void *userdata)
{
    struct control *control = userdata;
    OBS_JSON json = NULL;
    char started[OBS_RFC3339_SIZE];

    if (!control_admits(control, request))
        return;
    obs_time_rfc3339(control->started_ns, started);
    json = json_pack("{s:s, s:b, s:s, s:i, s:s, s:o}", "tenant", control->options.tenant, "ready",
                     supervisor_is_ready(control->options.supervisor), "version", AGENT_VERSION,
                     "pid", (int)getpid(), "started", started, "units",
                     units_json(control->options.supervisor));
    obs_http_reply_json(request, 200, json);
}

/* ---- acting ---- */

static void act(struct obs_http_request *request, struct control *control, const char *what,
                int (*action)(struct supervised *, struct obs_reason *))
{
    struct supervised *s = find_unit(control, request);
    struct obs_reason why = {0};

    if (!s)
        return;
    if (action(s, &why) != 0) {
        obs_http_reply_problem(request, 409, &why);
        return;
    }
    obs_log(OBS_LOG_INFO, what, OBS_TEXT("unit", supervised_unit(s)->name));
    reply_unit(request, 202, s);
}

static void post_start(struct obs_http_request *request, void *userdata)
{
    act(request, userdata, "start asked for", supervised_start);
}

static void post_stop(struct obs_http_request *request, void *userdata)
{
    act(request, userdata, "stop asked for", supervised_stop);
}

static void post_restart(struct obs_http_request *request, void *userdata)
{
    act(request, userdata, "restart asked for", supervised_restart);
}

/* Return: the signal's number; 0: answered. */
static int read_signal(struct obs_http_request *request)
{
    static const char *const ALLOWED[] = {"TERM", "HUP", "KILL", "USR1", "STOP", "CONT"};
    OBS_JSON json = NULL;
    struct obs_reason why = {0};
    const char *name = NULL;
    size_t size;
    const char *body = obs_http_body(request, &size);

    if (obs_json_parse(body, size, &json, &why) != 0) {
        obs_http_reply_problem(request, 400, &why);
        return 0;
    }
    if (obs_json_only(json, (const char *const[]){"signal", NULL}, &why) != 0 ||
        obs_json_get_text(json, "signal", 10, &name, &why) != 0) {
        obs_http_reply_problem(request, 422, &why);
        return 0;
    }
    for (size_t i = 0; i < OBS_COUNT(ALLOWED); i++)
        if (strcmp(name, ALLOWED[i]) == 0)
            return unit_signal_parse(name);
    obs_http_reply_problemf(
        request, 422, "\"signal\" is \"%s\": expected TERM, HUP, KILL, USR1, STOP or CONT", name);
    return 0;
}

static void post_signal(struct obs_http_request *request, void *userdata)
{
    struct supervised *s = find_unit(userdata, request);
    struct obs_reason why = {0};
    int number = s ? read_signal(request) : 0;

    if (number == 0)
        return;
    if (supervised_signal(s, number, &why) != 0) {
        obs_http_reply_problem(request, 409, &why);
        return;
    }
    obs_log(OBS_LOG_INFO, "signal sent", OBS_TEXT("unit", supervised_unit(s)->name),
            OBS_TEXT("signal", unit_signal_name(number)));
    reply_unit(request, 202, s);
}

static void post_shutdown(struct obs_http_request *request, void *userdata)
{
    struct control *control = userdata;

    if (!control_admits(control, request))
        return;
    obs_http_reply(request, 202, "application/json", "{}", 2);
    obs_log(OBS_LOG_INFO, "shutdown asked for");
    control->options.shutdown(control->options.userdata);
}

/* ---- the whole ---- */

static const struct obs_http_route ROUTES[] = {
    {"GET", "/v1/status", get_status, OBS_HTTP_ON_LOOP},
    {"GET", "/v1/units", get_units, OBS_HTTP_ON_LOOP},
    {"GET", "/v1/units/{name}", get_unit, OBS_HTTP_ON_LOOP},
    {"POST", "/v1/units/{name}/start", post_start, OBS_HTTP_ON_LOOP},
    {"POST", "/v1/units/{name}/stop", post_stop, OBS_HTTP_ON_LOOP},
    {"POST", "/v1/units/{name}/restart", post_restart, OBS_HTTP_ON_LOOP},
    {"POST", "/v1/units/{name}/signal", post_signal, OBS_HTTP_ON_LOOP},
    {"GET", "/v1/units/{name}/logs", control_get_logs, OBS_HTTP_ON_LOOP},
    {"GET", "/v1/units/{name}/config", control_config, OBS_HTTP_ON_WORKER},
    {"PUT", "/v1/units/{name}/config", control_config, OBS_HTTP_ON_WORKER},
    {"POST", "/v1/units/{name}/config", control_config, OBS_HTTP_ON_WORKER},
    {"DELETE", "/v1/units/{name}/config", control_config, OBS_HTTP_ON_WORKER},
    {"GET", "/v1/units/{name}/config/schema", control_config, OBS_HTTP_ON_WORKER},
    {"POST", "/v1/shutdown", post_shutdown, OBS_HTTP_ON_LOOP},
};

int control_new(const struct control_options *options, struct control **ret_control)
{
    OBS_CLEANUP(control_freep) struct control *control = calloc(1, sizeof(*control));
    struct obs_http_server_options server = {.routes = ROUTES,
                                             .route_count = OBS_COUNT(ROUTES),
                                             .userdata = control,
                                             .pool = options->pool,
                                             .limits = OBS_HTTP_LIMITS_DEFAULT};
    int r;

    if (!control)
        return -ENOMEM;
    control->options = *options;
    control->started_ns = obs_time_ns();
    server.limits.connections = CONNECTIONS_MAX;
    r = control_proxies_new(options->table, &control->proxies);
    if (r == 0)
        r = obs_http_server_new(options->base, &server, &control->server);
    if (r < 0)
        return r;
    *ret_control = OBS_TAKE(control);
    return 0;
}

int control_listen(struct control *control, int listen_fd)
{
    return obs_http_server_add(control->server, listen_fd);
}

void control_drain(struct control *control, void (*done)(void *userdata), void *userdata)
{
    control_close_logs(control);
    obs_http_server_drain(control->server, DRAIN_MS, done, userdata);
}

struct control *control_free(struct control *control)
{
    if (!control)
        return NULL;
    control_close_logs(control);
    if (control->server)
        obs_http_server_free(control->server);
    control_proxies_free(control->proxies);
    free(control);
    return NULL;
}
