/* YAML scalar: see yaml_scalar.h. */
#include "base/yaml_scalar.h"

#include "base/text.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* Spell a core-schema float as JSON does: no plus, no leading zeros, digits around the point. False
 * when it is none. */
static bool as_json_number(const char *text, char *out, size_t capacity)
{
    size_t whole, fraction = 0, exponent = 0;
    const char *sign = *text == '-' ? "-" : "", *whole_at, *fraction_at = "", *exponent_at = "";

    text += *text == '-' || *text == '+';
    whole = strspn(text, "0123456789");
    whole_at = text;
    text += whole;
    if (*text == '.') {
        fraction_at = ++text;
        fraction = strspn(text, "0123456789");
        text += fraction;
    }
    if (whole == 0 && fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        size_t digits;

        exponent_at = text++;
        text += *text == '-' || *text == '+';
        digits = strspn(text, "0123456789");
        if (digits == 0)
            return false;
        text += digits;
        exponent = (size_t)(text - exponent_at);
    }
    if (*text != '\0')
        return false;
    for (; whole > 1 && *whole_at == '0'; whole--)
        whole_at++;
    return snprintf(out, capacity, "%s%.*s%s%.*s%.*s", sign, whole ? (int)whole : 1,
                    whole ? whole_at : "0", fraction ? "." : "", (int)fraction, fraction_at,
                    (int)exponent, exponent_at) < (int)capacity;
}

/* Return: 0, and *ret_json untouched when @text is no integer; OBS_YAML_SCALAR_RANGE. */
static int read_integer(const char *text, json_t **ret_json)
{
    bool is_negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    uint64_t value = 0, max = (uint64_t)INT64_MAX + is_negative;
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 10;

    if (base != 10)
        digits = text + 2;
    if (*digits == '\0' || digits[strspn(digits, base == 16  ? "0123456789abcdefABCDEF"
                                                 : base == 8 ? "01234567"
                                                             : "0123456789")] != '\0')
        return 0;
    for (; *digits; digits++) {
        int c = *digits, digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

        if (value > (max - (unsigned)digit) / (unsigned)base)
            return OBS_YAML_SCALAR_RANGE;
        value = value * (unsigned)base + (unsigned)digit;
    }
    *ret_json = json_integer(is_negative ? (json_int_t)(0 - value) : (json_int_t)value);
    return 0;
}

int obs_yaml_scalar(const char *text, json_t **ret_json)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const wild[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF", "+.inf",
                                       "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", NULL};
    json_t *json = NULL;
    char number[400];
    double value;

    if (is_one_of(text, nulls))
        json = json_null();
    else if (is_one_of(text, trues) || is_one_of(text, falses))
        json = json_boolean((*text | 0x20) == 't');
    else if (is_one_of(text, wild))
        return OBS_YAML_SCALAR_NOT_FINITE;
    else if (read_integer(text, &json) != 0)
        return OBS_YAML_SCALAR_RANGE;
    else if (!json && as_json_number(text, number, sizeof(number))) {
        if (obs_text_parse_number(number, strlen(number), &value) != OBS_TEXT_OK)
            return OBS_YAML_SCALAR_RANGE;
        json = json_real(value);
    } else if (!json) {
        json = json_string(text);
    }
    if (!json)
        return -ENOMEM;
    *ret_json = json;
    return OBS_YAML_SCALAR_OK;
}
