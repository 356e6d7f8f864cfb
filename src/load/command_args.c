#include "load/command_args.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_duration(const char *flag, const char *text, uint64_t *ret_ns, struct obs_reason *why)
{
    if (*text == '\0' || obs_text_parse_duration(text, ret_ns) == 0)
        return 0;
    obs_reason_set(why, "--%s is \"%.40s\": expected a duration such as 250ms, 30s or 2m", flag,
                   text);
    return 1;
}

int command_count(const char *flag, const char *text, uint64_t min, uint64_t max,
                  uint64_t *ret_value, struct obs_reason *why)
{
    uint64_t value;

    if (*text == '\0')
        return 0;
    if (obs_text_parse_u64(text, strlen(text), max, &value) == 0 && value >= min) {
        *ret_value = value;
        return 0;
    }
    obs_reason_set(why, "--%s is \"%.40s\": expected an integer from %llu to %llu", flag, text,
                   (unsigned long long)min, (unsigned long long)max);
    return 1;
}

int command_number(const char *flag, const char *text, double min, double max, double *ret_value,
                   struct obs_reason *why)
{
    char *end;
    double value;

    if (*text == '\0')
        return 0;
    value = strtod(text, &end);
    if (*end == '\0' && end != text && value >= min && value <= max) {
        *ret_value = value;
        return 0;
    }
    obs_reason_set(why, "--%s is \"%.40s\": expected a number from %g to %g", flag, text, min, max);
    return 1;
}

int command_fail(const char *command, int r, const struct obs_reason *why)
{
    fprintf(stderr, "observa-load %s: %s\n", command, *why->text ? why->text : strerror(-r));
    return EXIT_FAILURE;
}
