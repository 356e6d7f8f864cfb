/* GET /api/search: parameters, by TraceQL (q) or by tags. */
#include "telemetry/tempo.h"

#include "base/text.h"
#include <errno.h>
#include <string.h>

enum {
    LIMIT_DEFAULT = 20,
    LIMIT_MAX = 1000,
    SPANS_DEFAULT = 3,
    SPANS_MAX = 100,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* One `name=value` or `name="two words"`; @buffer takes what quotes hold. Return: what is left,
 * NULL when it is not that. */
static const char *read_pair(const char *at, char *buffer, struct text_view *ret_name,
                             struct text_view *ret_value)
{
    size_t used = 0;

    ret_name->text = at;
    while (*at != '\0' && *at != '=' && !is_blank(*at))
        at++;
    ret_name->size = (size_t)(at - ret_name->text);
    if (ret_name->size == 0 || *at++ != '=')
        return NULL;
    if (*at != '"') {
        ret_value->text = at;
        while (*at != '\0' && !is_blank(*at))
            at++;
        ret_value->size = (size_t)(at - ret_value->text);
        return at;
    }
    for (at++; *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        if (*at == '\0')
            return NULL;
        buffer[used++] = *at;
    }
    *ret_value = (struct text_view){buffer, used};
    return at + 1;
}

static int parse_tags(const char *text, struct traceql_query *query, struct obs_reason *why)
{
    const char *at = text;
    char *buffer = strdup(text);
    int r = buffer ? 0 : -ENOMEM;

    while (r == 0) {
        struct text_view name, value;
        const char *start;

        while (is_blank(*at))
            at++;
        if (*at == '\0')
            break;
        start = at;
        at = read_pair(at, buffer, &name, &value);
        if (!at) {
            obs_reason_set(why,
                           "tags at their character %zu: expected name=value or name=\"a value\"",
                           (size_t)(start - text) + 1);
            r = TRACEQL_REFUSED;
        } else {
            r = traceql_tags_add(query, name, value);
            if (r == TRACEQL_REFUSED)
                obs_reason_set(why, "too many tags");
        }
    }
    free(buffer);
    return r;
}

static int parse_duration(struct obs_http_request *request, const char *name, enum traceql_op op,
                          struct traceql_query *query, struct obs_reason *why)
{
    const char *text = obs_http_query(request, name);
    uint64_t ns;

    if (!text || text[0] == '\0')
        return 0;
    if (obs_text_parse_duration(text, &ns) == OBS_TEXT_OK)
        return traceql_tags_add_duration(query, op, ns);
    obs_reason_set(why, "%s is \"%.40s\": expected a duration such as 100ms or 2s", name, text);
    return TRACEQL_REFUSED;
}

static int parse_by_tags(struct obs_http_request *request, struct traceql_query **ret_query,
                         struct obs_reason *why)
{
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *query = NULL;
    const char *tags = obs_http_query(request, "tags");
    int r = traceql_tags_new(&query);

    if (r == 0 && tags)
        r = parse_tags(tags, query, why);
    if (r == 0)
        r = parse_duration(request, "minDuration", TRACEQL_OP_GREATER_EQUAL, query, why);
    if (r == 0)
        r = parse_duration(request, "maxDuration", TRACEQL_OP_LESS_EQUAL, query, why);
    if (r == 0)
        *ret_query = OBS_TAKE(query);
    return r;
}

static bool is_given(struct obs_http_request *request, const char *name)
{
    const char *text = obs_http_query(request, name);

    return text && text[0] != '\0';
}

static int parse_query(struct obs_http_request *request, struct traceql_query **ret_query,
                       struct obs_reason *why)
{
    const char *q = obs_http_query(request, "q");

    if (!is_given(request, "q"))
        return parse_by_tags(request, ret_query, why);
    if (is_given(request, "tags") || is_given(request, "minDuration") ||
        is_given(request, "maxDuration")) {
        obs_reason_set(why, "q stands alone: without tags, minDuration and maxDuration (write "
                            "traceDuration in q)");
        return TRACEQL_REFUSED;
    }
    return traceql_parse(q, strlen(q), ret_query, why);
}

void tempo_handle_search(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    struct tempo_search search = {.store = telemetry->store,
                                  .tenant = telemetry_tenant(request, telemetry),
                                  .deadline_ns = tempo_deadline(telemetry)};
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *query = NULL;
    struct obs_buffer body = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX);
    uint64_t limit = LIMIT_DEFAULT, spans_per_set = SPANS_DEFAULT;
    struct obs_reason why = {0};
    int r;

    if (!search.tenant || !tempo_read_range(request, &search.range) ||
        !tempo_read_uint(request, "limit", LIMIT_MAX, &limit) ||
        !tempo_read_uint(request, "spss", SPANS_MAX, &spans_per_set))
        return;
    r = parse_query(request, &query, &why);
    search.query = query;
    search.limit = limit > 0 ? limit : LIMIT_DEFAULT;
    search.spans_per_set = spans_per_set > 0 ? spans_per_set : SPANS_DEFAULT;
    if (r == 0)
        r = tempo_search_run(&search, &body, &why);
    if (r != 0)
        tempo_reply_failed(request, telemetry, r, &why);
    else
        tempo_reply_json(request, telemetry, &body);
    obs_buffer_done(&body);
}
