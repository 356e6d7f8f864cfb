/* Settings over HTTP: see settings_api.h. */
#include "base/settings_api.h"

#include "base/http_server.h"
#include "base/settings.h"
#include <errno.h>
#include <string.h>

static void reply_made(struct obs_http_request *request, int r, json_t *made)
{
    OBS_JSON json = made;

    if (r < 0)
        obs_http_reply_problemf(request, 500, "out of memory");
    else
        obs_http_reply_json(request, 200, json);
}

static void reply_settings(struct obs_http_request *request, struct obs_settings *settings)
{
    json_t *json = NULL;
    int r = obs_settings_json(settings, &json);

    reply_made(request, r, json);
}

static void reply_schema(struct obs_http_request *request, const struct obs_settings_schema *schema)
{
    json_t *json = NULL;
    int r = obs_settings_schema_json(schema, &json);

    reply_made(request, r, json);
}

static int status_of(int r)
{
    if (r == OBS_SETTINGS_REFUSED)
        return 422;
    return r == -ENOSPC || r == -EDQUOT || r == -EFBIG ? 507 : 500;
}

static void change(struct obs_http_request *request, struct obs_settings *settings,
                   int (*apply)(struct obs_settings *, const json_t *, struct obs_reason *))
{
    OBS_JSON values = NULL;
    struct obs_reason why = {.text = "out of memory"};
    size_t size;
    const char *body = obs_http_body(request, &size);
    int r = obs_json_parse(body, size, &values, &why);

    if (r == OBS_JSON_REFUSED) {
        obs_http_reply_problem(request, 400, &why);
        return;
    }
    if (r == 0)
        r = apply(settings, values, &why);
    if (r == 0)
        reply_settings(request, settings);
    else
        obs_http_reply_problem(request, status_of(r), &why);
}

static void reset(struct obs_http_request *request, struct obs_settings *settings)
{
    struct obs_reason why = {.text = "out of memory"};
    int r = obs_settings_reset(settings, &why);

    if (r == 0)
        reply_settings(request, settings);
    else
        obs_http_reply_problem(request, status_of(r), &why);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

void obs_settings_api_handle(struct obs_http_request *request, struct obs_settings *settings,
                             const struct obs_settings_schema *schema)
{
    const char *method = obs_http_method(request);

    if (ends_with(obs_http_path(request), "/schema"))
        reply_schema(request, schema);
    else if (strcmp(method, "PUT") == 0)
        change(request, settings, obs_settings_replace);
    else if (strcmp(method, "POST") == 0)
        change(request, settings, obs_settings_merge);
    else if (strcmp(method, "DELETE") == 0)
        reset(request, settings);
    else
        reply_settings(request, settings);
}
