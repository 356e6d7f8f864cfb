/* Agent client: see agent_client.h. */
#include "cli/agent_client.h"

#include "base/http_client.h"
#include "cli/keys.h"
#include "cli/suggest.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_SECONDS 60
#define UNITS_KNOWN_MAX 256
#define CALL_MS 10000

static const char *const AGENTS[] = {PATHS_TENANT, PATHS_PLATFORM};

_Bool agent_is_absent(int r)
{
    return r == -ENOENT || r == -ECONNREFUSED;
}

char *agent_address(const struct paths *paths, const char *tenant, char out[PATHS_ROOM])
{
    if (strcmp(tenant, PATHS_PLATFORM) == 0)
        return paths_format(out, "unix:%s/platform/agent.sock", paths->run);
    return paths_format(out, "unix:%s/tenants/%s/agent.sock", paths->run, tenant);
}

int agent_token(const struct paths *paths, const char *tenant, char **ret_token,
                struct obs_reason *reterr_reason)
{
    char key[PATHS_ROOM];

    return keys_token(paths_format(key, "%s/platform/keys/agent.key", paths->state), tenant,
                      TOKEN_SECONDS, ret_token, reterr_reason);
}

static int read_reply(const struct obs_http_reply_data *reply, json_t **ret_body)
{
    const char *text = reply->body.data ? reply->body.data : "";

    if (obs_json_parse(text, reply->body.size, ret_body, NULL) != 0)
        *ret_body = json_pack("{s:s%}", "text", text, reply->body.size);
    if (!*ret_body) /* not UTF-8 */
        *ret_body = json_object();
    return *ret_body ? 0 : -ENOMEM;
}

int agent_call(const struct paths *paths, const char *tenant, const char *method,
               const char *target, const json_t *body, int *ret_status, json_t **ret_body,
               struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_http_client_freep) struct obs_http_client *client = NULL;
    OBS_CLEANUP(obs_freep) char *token = NULL;
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_client_options options = {0};
    struct obs_http_call call = {.method = method, .target = target, .timeout_ms = CALL_MS};
    struct obs_http_call_header header = {.name = "Authorization"};
    struct obs_buffer text = OBS_BUFFER_INIT(1048576);
    char address[PATHS_ROOM], bearer[2048];
    int r;

    if (obs_address_parse(agent_address(paths, tenant, address), &options.address, reterr_reason) !=
        0)
        return -EINVAL;
    r = agent_token(paths, tenant, &token, reterr_reason);
    if (r < 0)
        return r;
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", token);
    header.value = bearer;
    call.headers = &header;
    call.header_count = 1;
    if (body) {
        r = obs_json_emit(body, &text);
        call.body = text.data;
        call.body_size = text.size;
        call.content_type = "application/json";
    }
    if (r == 0)
        r = obs_http_client_new(&options, &client);
    if (r == 0)
        r = obs_http_client_call(client, &call, &reply);
    obs_buffer_done(&text);
    if (r == 0)
        r = read_reply(&reply, ret_body);
    if (r < 0)
        obs_reason_set(reterr_reason, "the agent of %s: %s", tenant, strerror(-r));
    *ret_status = reply.status;
    return r;
}

int agent_status(const struct paths *paths, const char *tenant, json_t **ret_status,
                 struct obs_reason *reterr_reason)
{
    OBS_JSON body = NULL;
    int status = 0;
    int r = agent_call(paths, tenant, "GET", "/v1/status", NULL, &status, &body, reterr_reason);

    if (r < 0)
        return r;
    if (status != 200 || !json_is_array(json_object_get(body, "units"))) {
        obs_reason_set(reterr_reason, "the agent of %s answered %d: %s", tenant, status,
                       agent_refusal(body));
        return -EPROTO;
    }
    *ret_status = OBS_TAKE(body);
    return 0;
}

const char *agent_refusal(const json_t *body)
{
    static const char *const FIELDS[] = {"detail", "title", "text"};

    for (size_t i = 0; i < OBS_COUNT(FIELDS); i++) {
        const char *text = json_string_value(json_object_get(body, FIELDS[i]));

        if (text && text[0] != '\0')
            return text;
    }
    return "no reason given";
}

/* Names of the units of an agent, borrowed from @status. */
static size_t names_of(const json_t *status, const char **names, size_t count, size_t max)
{
    size_t i;
    json_t *unit;

    json_array_foreach (json_object_get(status, "units"), i, unit) {
        const char *name = json_string_value(json_object_get(unit, "name"));

        if (name && count < max)
            names[count++] = name;
    }
    return count;
}

static bool has_unit(const json_t *status, const char *name)
{
    const char *names[UNITS_KNOWN_MAX];
    size_t count = names_of(status, names, 0, UNITS_KNOWN_MAX);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

int agent_find_unit(const struct paths *paths, const char *word, char ret_tenant[64],
                    const char **ret_unit, struct obs_reason *reterr_reason)
{
    json_t *statuses[OBS_COUNT(AGENTS)] = {0};
    const char *names[UNITS_KNOWN_MAX], *nearest;
    const char *slash = strchr(word, '/');
    const char *unit = slash ? slash + 1 : word;
    size_t count = 0;
    int r = 1, answers = 0;

    for (size_t i = 0; i < OBS_COUNT(AGENTS) && r == 1; i++) {
        if (slash && ((size_t)(slash - word) != strlen(AGENTS[i]) ||
                      strncmp(word, AGENTS[i], (size_t)(slash - word)) != 0))
            continue;
        r = agent_status(paths, AGENTS[i], &statuses[i], reterr_reason);
        if (r < 0 && !agent_is_absent(r))
            break;
        answers += r == 0;
        count = names_of(statuses[i], names, count, UNITS_KNOWN_MAX);
        if (r == 0 && has_unit(statuses[i], unit))
            (void)snprintf(ret_tenant, 64, "%s", AGENTS[i]);
        else
            r = 1;
    }
    *ret_unit = unit;
    nearest = suggest_nearest(unit, names, count);
    if (r == 1 && answers == 0 && !slash)
        r = -ECONNREFUSED;
    if (r == 1 && nearest)
        obs_reason_set(reterr_reason, "there is no unit \"%s\": did you mean \"%s\"?", word,
                       nearest);
    else if (r == 1)
        obs_reason_set(reterr_reason, "there is no unit \"%s\": observa status lists them", word);
    for (size_t i = 0; i < OBS_COUNT(AGENTS); i++)
        json_decref(statuses[i]);
    return r;
}
