/* Settings of units: kept by the agent, or the unit's own on its admin address, which is asked in
 * turn. */
#include "agent/control.h"

#include "base/http_client.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PROXY_TIMEOUT_MS 5000

struct control_proxies {
    const struct unit_table *table;
    struct obs_http_client *clients[UNITS_MAX]; /* as the table's units; NULL for most */
};

int control_proxies_new(const struct unit_table *table, struct control_proxies **ret_proxies)
{
    struct control_proxies *proxies = calloc(1, sizeof(*proxies));
    int r = proxies ? 0 : -ENOMEM;

    if (proxies)
        proxies->table = table;
    for (size_t i = 0; i < table->count && r == 0; i++) {
        struct obs_http_client_options options = {.idle_max = 1};

        if (!table->units[i]->has_admin)
            continue;
        options.address = table->units[i]->admin;
        r = obs_http_client_new(&options, &proxies->clients[i]);
    }
    if (r < 0)
        proxies = control_proxies_free(proxies);
    *ret_proxies = proxies;
    return r;
}

struct control_proxies *control_proxies_free(struct control_proxies *proxies)
{
    for (size_t i = 0; proxies && i < proxies->table->count; i++)
        if (proxies->clients[i])
            obs_http_client_free(proxies->clients[i]);
    free(proxies);
    return NULL;
}

static void reply_failure(struct obs_http_request *request, const struct unit *unit, int r)
{
    if (r == -ETIMEDOUT)
        obs_http_reply_problemf(request, 504, "%s did not answer within %d ms", unit->name,
                                PROXY_TIMEOUT_MS);
    else if (r == -EPROTO || r == -EMSGSIZE)
        obs_http_reply_problemf(request, 502, "%s gave an answer that makes no sense", unit->name);
    else
        obs_http_reply_problemf(request, 503, "%s cannot be asked: %s", unit->name, strerror(-r));
}

static void forward(struct obs_http_request *request, const struct unit *unit,
                    struct obs_http_client *client, bool is_schema)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call call = {.method = obs_http_method(request),
                                 .target = is_schema ? "/config/schema" : "/config",
                                 .timeout_ms = PROXY_TIMEOUT_MS};
    const struct obs_span_text *type;
    char content_type[120] = "application/json";
    int r;

    call.body = obs_http_body(request, &call.body_size);
    if (call.body_size > 0)
        call.content_type = "application/json";
    if (strcmp(call.method, "HEAD") == 0)
        call.method = "GET";
    r = obs_http_client_call(client, &call, &reply);
    if (r < 0) {
        reply_failure(request, unit, r);
        return;
    }
    type = obs_http1_find(&reply.parsed, "content-type");
    if (type)
        snprintf(content_type, sizeof(content_type), "%.*s", (int)type->size, type->text);
    obs_http_reply(request, reply.status, content_type, reply.body.data, reply.body.size);
}

static bool asks_for_schema(const struct obs_http_request *request)
{
    const char *route = obs_http_route(request);
    size_t size = strlen(route);

    return size > 7 && strcmp(route + size - 7, "/schema") == 0;
}

void control_config(struct obs_http_request *request, void *userdata)
{
    struct control *control = userdata;
    struct control_options *parts = control_parts(control);
    const char *name = obs_http_param(request, "name");
    size_t i = 0;

    if (!control_admits(control, request))
        return;
    while (i < parts->table->count && strcmp(parts->table->units[i]->name, name) != 0)
        i++;
    if (i == parts->table->count)
        control_reply_no_unit(control, request);
    else if (parts->table->units[i]->settings != UNIT_SETTINGS_NONE)
        served_handle(parts->served, parts->table->units[i], request);
    else if (control_proxies_of(control)->clients[i])
        forward(request, parts->table->units[i], control_proxies_of(control)->clients[i],
                asks_for_schema(request));
    else
        obs_http_reply_problemf(request, 404, "%s has no settings", name);
}
