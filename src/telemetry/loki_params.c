#include "telemetry/loki_params.h"
#include "base/clock.h"
#include "base/text.h"
#include "telemetry/logql_lex.h"
#include <math.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define TIME_MAX_NS 4000000000000000000ULL /* 2096: beyond is nobody's log */

static int bad(const struct loki_params *params, const char *name, const char *wanted,
               const char *value)
{
    obs_reason_set(params->reason, "invalid %s \"%.60s\": expected %s", name, value, wanted);
    return 400;
}

static int add_pairs(struct obs_http_request *request, struct loki_params *params, const char *at,
                     size_t size)
{
    const char *end = at + size;

    while (at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        const char *equals;
        char *name, *value;
        size_t name_size, value_size;

        if (!stop)
            stop = end;
        equals = memchr(at, '=', (size_t)(stop - at));
        name_size = (size_t)((equals ? equals : stop) - at);
        value_size = equals ? (size_t)(stop - equals - 1) : 0;
        name = obs_arena_copy(obs_http_arena(request), at, name_size);
        value = obs_arena_copy(obs_http_arena(request), equals ? equals + 1 : "", value_size);
        if (params->count == LOKI_PARAMS_MAX || !name || !value ||
            obs_text_percent_decode(name, name_size, true, name, name_size + 1, NULL) != 0 ||
            obs_text_percent_decode(value, value_size, true, value, value_size + 1, NULL) != 0) {
            obs_reason_set(params->reason, "the parameters are not well formed, or over %d",
                           LOKI_PARAMS_MAX);
            return 400;
        }
        params->params[params->count++] = (struct loki_param){name, value};
        at = stop + 1;
    }
    return 0;
}

int loki_params_read(struct obs_http_request *request, struct loki_params *ret_params,
                     struct obs_reason *reterr_reason)
{
    static const char FORM[] = "application/x-www-form-urlencoded";
    const char *type = obs_http_header(request, "content-type");
    const char *query = strchr(obs_http_target(request), '?');
    size_t size;
    const char *body = obs_http_body(request, &size);
    int r = 0;

    ret_params->count = 0;
    ret_params->reason = reterr_reason;
    if (strcmp(obs_http_method(request), "POST") == 0 && size > 0 && type &&
        strncasecmp(type, FORM, sizeof(FORM) - 1) == 0)
        r = add_pairs(request, ret_params, body, size);
    if (r == 0 && query)
        r = add_pairs(request, ret_params, query + 1, strlen(query + 1));
    return r;
}

const char *loki_param(const struct loki_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->params[i].name, name) == 0)
            return params->params[i].value;
    return NULL;
}

static bool read_rfc3339(const char *text, uint64_t *ret_ns)
{
    struct tm tm = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t fraction = 0, scale = OBS_NS_PER_SECOND;
    int hours, minutes, used = 0;
    int64_t seconds;

    if (!at)
        return false;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= scale > 1 ? 10 : 1)
            fraction += scale > 1 ? (uint64_t)(*at - '0') * (scale / 10) : 0;
    seconds = timegm(&tm);
    if (*at == 'Z' || *at == 'z') {
        at++;
    } else if ((*at == '+' || *at == '-') &&
               sscanf(at + 1, "%2d:%2d%n", &hours, &minutes, &used) == 2 && used == 5) {
        seconds -= (*at == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
        at += 6;
    } else {
        return false;
    }
    if (*at != '\0' || seconds < 0)
        return false;
    *ret_ns = (uint64_t)seconds * OBS_NS_PER_SECOND + fraction;
    return *ret_ns <= TIME_MAX_NS;
}

bool loki_read_time(const char *text, uint64_t *ret_ns)
{
    struct text_view view = {text, strlen(text)};
    double seconds;

    if (obs_text_parse_u64(text, view.size, TIME_MAX_NS, ret_ns) == OBS_TEXT_OK) {
        if (view.size <= 10)
            *ret_ns *= OBS_NS_PER_SECOND;
        return *ret_ns <= TIME_MAX_NS;
    }
    if (logql_read_number(view, &seconds)) {
        if (!(seconds >= 0 && seconds <= TIME_MAX_NS / 1e9))
            return false;
        *ret_ns = (uint64_t)floor(seconds) * OBS_NS_PER_SECOND +
                  (uint64_t)((seconds - floor(seconds)) * 1e9);
        return true;
    }
    return read_rfc3339(text, ret_ns);
}

int loki_param_time(const struct loki_params *params, const char *name, uint64_t *ret_ns)
{
    const char *value = loki_param(params, name);

    if (!value || *value == '\0')
        return 0;
    return loki_read_time(value, ret_ns)
               ? 0
               : bad(params, name, "Unix nanoseconds, seconds or an RFC 3339 time", value);
}

int loki_param_duration(const struct loki_params *params, const char *name, uint64_t *ret_ns)
{
    const char *value = loki_param(params, name);
    struct text_view view = {value, value ? strlen(value) : 0};
    double seconds;

    if (view.size == 0)
        return 0;
    if (!logql_read_number(view, &seconds) && !logql_read_duration(view, &seconds))
        return bad(params, name, "seconds or a duration such as 5m", value);
    if (!(seconds > 0 && seconds <= 366 * 86400.0) || llround(seconds * 1e9) == 0)
        return bad(params, name, "a duration above 0 and up to 366d", value);
    *ret_ns = (uint64_t)llround(seconds * 1e9);
    return 0;
}

int loki_param_range(const struct loki_params *params, uint64_t default_ns,
                     struct logql_range *range)
{
    uint64_t now = obs_time_ns(), since = default_ns;
    int r;

    range->end_ns = now;
    range->start_ns = UINT64_MAX;
    r = loki_param_time(params, "end", &range->end_ns);
    if (r == 0)
        r = loki_param_time(params, "start", &range->start_ns);
    if (r == 0)
        r = loki_param_duration(params, "since", &since);
    if (r != 0)
        return r;
    if (range->start_ns == UINT64_MAX) {
        uint64_t from = range->end_ns < now ? range->end_ns : now;

        range->start_ns = from > since ? from - since : 0;
    }
    if (range->end_ns < range->start_ns) {
        obs_reason_set(params->reason, "end timestamp must not be before or equal to start time");
        return 400;
    }
    return 0;
}

int loki_param_limit(const struct loki_params *params, unsigned *ret_limit)
{
    const char *value = loki_param(params, "limit");
    uint64_t limit;

    if (!value || *value == '\0')
        return 0;
    if (obs_text_parse_u64(value, strlen(value), UINT32_MAX, &limit) != OBS_TEXT_OK || limit == 0)
        return bad(params, "limit", "a positive number", value);
    if (limit > LOGQL_ENTRIES_MAX) {
        obs_reason_set(params->reason,
                       "max entries limit per query exceeded, limit > max_entries_limit_per_query "
                       "(%llu > %d)",
                       (unsigned long long)limit, LOGQL_ENTRIES_MAX);
        return 400;
    }
    *ret_limit = (unsigned)limit;
    return 0;
}

int loki_param_direction(const struct loki_params *params, bool *ret_is_forward)
{
    const char *value = loki_param(params, "direction");

    if (!value || *value == '\0')
        return 0;
    *ret_is_forward = strcasecmp(value, "forward") == 0;
    if (!*ret_is_forward && strcasecmp(value, "backward") != 0)
        return bad(params, "direction", "forward or backward", value);
    return 0;
}
