/*
 * JSON: jansson reads; we check the depth first (jansson's own limit is 2048 levels of recursion)
 * and write ourselves, because jansson 2.14 writes 0.2 as 0.20000000000000001.
 */
#include "base/json.h"

#include "base/text.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 128

/* Place of the bracket that opens one level too many, or NULL. Exact for valid JSON; on anything
 * else jansson has the last word. */
static const char *too_deep(const char *text, size_t size)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > DEPTH_MAX)
            return text + i;
        else if (!in_string && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return NULL;
}

static void place_of(const char *text, const char *at, unsigned *ret_line, unsigned *ret_column)
{
    *ret_line = *ret_column = 1;
    for (; text < at; text++) {
        ++*ret_column;
        if (*text == '\n') {
            ++*ret_line;
            *ret_column = 1;
        }
    }
}

int obs_json_parse(const char *text, size_t size, json_t **ret_json,
                   struct obs_reason *reterr_reason)
{
    const char *deep = too_deep(text, size), *nul = size ? memchr(text, '\0', size) : NULL;
    unsigned line, column;
    json_error_t error;
    json_t *json;

    if (deep) {
        place_of(text, deep, &line, &column);
        obs_reason_set_at(reterr_reason, line, column, "more than %d levels of nesting", DEPTH_MAX);
        return OBS_JSON_REFUSED;
    }
    if (nul) { /* jansson takes one at the end of the input for the end */
        place_of(text, nul, &line, &column);
        obs_reason_set_at(reterr_reason, line, column, "not valid JSON: a NUL byte");
        return OBS_JSON_REFUSED;
    }
    json = json_loadb(size ? text : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json && json_error_code(&error) == json_error_out_of_memory)
        return -ENOMEM;
    if (!json) {
        obs_reason_set_at(reterr_reason, error.line > 0 ? (unsigned)error.line : 1,
                          error.column > 0 ? (unsigned)error.column : 1, "not valid JSON: %s",
                          size ? error.text : "empty");
        return OBS_JSON_REFUSED;
    }
    *ret_json = json;
    return OBS_JSON_OK;
}

const char *obs_json_show(const json_t *value, char out[OBS_JSON_SHOWN_SIZE])
{
    char number[OBS_TEXT_NUMBER_SIZE];
    size_t used, size;

    if (!value)
        return strcpy(out, "missing");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return strcpy(out, "an object");
    case JSON_ARRAY:
        return strcpy(out, "an array");
    case JSON_STRING:
        out[0] = '"';
        size = 1 + obs_text_json_escape(json_string_value(value), json_string_length(value),
                                        out + 1, OBS_JSON_SHOWN_SIZE - 6, &used);
        strcpy(out + size, used < json_string_length(value) ? "...\"" : "\"");
        return out;
    case JSON_INTEGER:
        snprintf(out, OBS_JSON_SHOWN_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return out;
    case JSON_REAL:
        return strcpy(out, obs_text_number(json_real_value(value), number));
    case JSON_TRUE:
        return strcpy(out, "true");
    case JSON_FALSE:
        return strcpy(out, "false");
    case JSON_NULL:
        break;
    }
    return strcpy(out, "null");
}

/* Refuse @value of field @name because it is not @expected. */
static int refuse(const char *name, const json_t *value, const char *expected,
                  struct obs_reason *reterr_reason)
{
    char shown[OBS_JSON_SHOWN_SIZE];

    obs_reason_set(reterr_reason, "\"%s\" is %s: expected %s", name, obs_json_show(value, shown),
                   expected);
    return OBS_JSON_REFUSED;
}

static int check_object(const json_t *object, struct obs_reason *reterr_reason)
{
    char shown[OBS_JSON_SHOWN_SIZE];

    if (json_is_object(object))
        return OBS_JSON_OK;
    obs_reason_set(reterr_reason, "the value is %s: expected an object",
                   obs_json_show(object, shown));
    return OBS_JSON_REFUSED;
}

int obs_json_get_text(const json_t *object, const char *name, size_t max_size,
                      const char **ret_value, struct obs_reason *reterr_reason)
{
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    char expected[64];

    if (check_object(object, reterr_reason) != 0)
        return OBS_JSON_REFUSED;
    if (!text || size > max_size || memchr(text, '\0', size)) {
        snprintf(expected, sizeof(expected), "a text of at most %zu bytes", max_size);
        return refuse(name, value, expected, reterr_reason);
    }
    *ret_value = text;
    return OBS_JSON_OK;
}

int obs_json_opt_text(const json_t *object, const char *name, size_t max_size,
                      const char **ret_value, struct obs_reason *reterr_reason)
{
    if (json_is_object(object) && !json_object_get(object, name))
        return OBS_JSON_OK;
    return obs_json_get_text(object, name, max_size, ret_value, reterr_reason);
}

int obs_json_get_int(const json_t *object, const char *name, int64_t min, int64_t max,
                     int64_t *ret_value, struct obs_reason *reterr_reason)
{
    const json_t *value = json_object_get(object, name);
    char expected[80];

    if (check_object(object, reterr_reason) != 0)
        return OBS_JSON_REFUSED;
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        snprintf(expected, sizeof(expected), "an integer from %" PRId64 " to %" PRId64, min, max);
        return refuse(name, value, expected, reterr_reason);
    }
    *ret_value = json_integer_value(value);
    return OBS_JSON_OK;
}

int obs_json_opt_int(const json_t *object, const char *name, int64_t min, int64_t max,
                     int64_t *ret_value, struct obs_reason *reterr_reason)
{
    if (json_is_object(object) && !json_object_get(object, name))
        return OBS_JSON_OK;
    return obs_json_get_int(object, name, min, max, ret_value, reterr_reason);
}

int obs_json_opt_bool(const json_t *object, const char *name, bool *ret_value,
                      struct obs_reason *reterr_reason)
{
    const json_t *value = json_object_get(object, name);

    if (check_object(object, reterr_reason) != 0)
        return OBS_JSON_REFUSED;
    if (!value)
        return OBS_JSON_OK;
    if (!json_is_boolean(value))
        return refuse(name, value, "true or false", reterr_reason);
    *ret_value = json_is_true(value);
    return OBS_JSON_OK;
}

int obs_json_only(const json_t *object, const char *const *names, struct obs_reason *reterr_reason)
{
    struct obs_buffer known = OBS_BUFFER_INIT(160);
    json_t *object_ = (json_t *)object; /* jansson's iterator wants it so; nothing is changed */
    const char *key;
    json_t *value;

    if (check_object(object, reterr_reason) != 0)
        return OBS_JSON_REFUSED;
    json_object_foreach (object_, key, value) {
        size_t i = 0;

        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (names[i])
            continue;
        for (i = 0; names[i]; i++)
            obs_buffer_printf(&known, "%s%s", i ? ", " : "", names[i]);
        obs_reason_set(reterr_reason, "\"%.60s\" is unknown: expected only %s%s", key,
                       known.data ? known.data : "no fields", known.error ? ", ..." : "");
        obs_buffer_done(&known);
        return OBS_JSON_REFUSED;
    }
    return OBS_JSON_OK;
}

static int emit(const json_t *json, struct obs_buffer *b);

static int emit_object(const json_t *json, struct obs_buffer *b)
{
    json_t *object = (json_t *)json;
    const char *key, *separator = "";
    json_t *value;

    obs_buffer_append_char(b, '{');
    json_object_foreach (object, key, value) {
        obs_buffer_append_text(b, separator);
        obs_buffer_append_json(b, key, strlen(key));
        obs_buffer_append_char(b, ':');
        if (emit(value, b) < 0)
            return b->error;
        separator = ",";
    }
    return obs_buffer_append_char(b, '}');
}

static int emit_array(const json_t *json, struct obs_buffer *b)
{
    size_t i;
    json_t *value;

    obs_buffer_append_char(b, '[');
    json_array_foreach (json, i, value) {
        if (i > 0)
            obs_buffer_append_char(b, ',');
        if (emit(value, b) < 0)
            return b->error;
    }
    return obs_buffer_append_char(b, ']');
}

static int emit_real(double value, struct obs_buffer *b)
{
    char number[OBS_TEXT_NUMBER_SIZE];

    obs_text_number(value, number);
    obs_buffer_append_text(b, number);
    /* A real stays a real for the next reader. */
    return strpbrk(number, ".e") ? b->error : obs_buffer_append_text(b, ".0");
}

static int emit(const json_t *json, struct obs_buffer *b)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return emit_object(json, b);
    case JSON_ARRAY:
        return emit_array(json, b);
    case JSON_STRING:
        return obs_buffer_append_json(b, json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return obs_buffer_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    case JSON_REAL:
        return emit_real(json_real_value(json), b);
    case JSON_TRUE:
        return obs_buffer_append_text(b, "true");
    case JSON_FALSE:
        return obs_buffer_append_text(b, "false");
    case JSON_NULL:
        break;
    }
    return obs_buffer_append_text(b, "null");
}

int obs_json_emit(const json_t *json, struct obs_buffer *b)
{
    size_t before = b->size;
    int r = b->error ? b->error : emit(json, b);

    if (r < 0 && b->data) {
        b->size = before;
        b->data[before] = '\0';
    }
    return r;
}
