#include "telemetry/profile_time.h"

#include "base/clock.h"
#include "base/text.h"
#include <string.h>

/* Past the last of an int64: then. */
static uint64_t times(uint64_t value, uint64_t unit)
{
    return value > INT64_MAX / unit ? INT64_MAX : value * unit;
}

static uint64_t to_ns(uint64_t value)
{
    return value < 100000000000ULL         ? times(value, OBS_NS_PER_SECOND)
           : value < 100000000000000ULL    ? value * OBS_NS_PER_MS
           : value < 100000000000000000ULL ? value * OBS_NS_PER_US
                                           : value;
}

static uint64_t unit_ns(char unit)
{
    switch (unit) {
    case 's':
        return OBS_NS_PER_SECOND;
    case 'm':
        return 60 * OBS_NS_PER_SECOND;
    case 'h':
        return 3600 * OBS_NS_PER_SECOND;
    case 'd':
        return 86400 * OBS_NS_PER_SECOND;
    case 'w':
        return 7 * 86400 * OBS_NS_PER_SECOND;
    default:
        return 0;
    }
}

static int refuse(const char *name, const char *text, size_t at, struct obs_reason *reterr_reason)
{
    obs_reason_set_at(
        reterr_reason, 1, (unsigned)at + 1,
        "%s=%.40s: not a time at position %zu (expected now, now-1h, or Unix seconds, "
        "ms, us or ns)",
        name, text, at + 1);
    return PROFILE_TIME_REFUSED;
}

static int parse_relative(const char *name, const char *text, uint64_t now_ns, uint64_t *ret_ns,
                          struct obs_reason *reterr_reason)
{
    size_t size = strlen(text);
    uint64_t count, unit;

    if (size == 3) {
        *ret_ns = now_ns;
        return 0;
    }
    if (text[3] != '-')
        return refuse(name, text, 3, reterr_reason);
    unit = unit_ns(text[size - 1]);
    if (unit == 0)
        return refuse(name, text, size - 1, reterr_reason);
    if (obs_text_parse_u64(text + 4, size - 5, 1000000000, &count) != 0)
        return refuse(name, text, 4, reterr_reason);
    *ret_ns = count >= now_ns / unit ? 0 : now_ns - count * unit;
    return 0;
}

int profile_time_parse(const char *name, const char *text, uint64_t now_ns, uint64_t *ret_ns,
                       struct obs_reason *reterr_reason)
{
    uint64_t value;

    if (strncmp(text, "now", 3) == 0)
        return parse_relative(name, text, now_ns, ret_ns, reterr_reason);
    if (obs_text_parse_u64(text, strlen(text), INT64_MAX, &value) != 0)
        return refuse(name, text, strspn(text, "0123456789"), reterr_reason);
    *ret_ns = to_ns(value);
    return 0;
}
