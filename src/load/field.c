#include "load/field.h"
#include "base/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t write_path(const struct field_path *path, char *out, size_t size)
{
    size_t used;
    int n;

    if (!path)
        return 0;
    used = write_path(path->up, out, size);
    if (path->name)
        n = snprintf(out + used, size - used, "%s%s", used > 0 ? "." : "", path->name);
    else
        n = snprintf(out + used, size - used, "[%zu]", path->index);
    if (n < 0)
        return used;
    return used + (size_t)n < size ? used + (size_t)n : size - 1;
}

int field_refuse(const struct field_object *o, const char *name, const char *format, ...)
{
    char where[120] = "", what[200];
    struct field_path last = {.up = o->path, .name = name};
    va_list args;

    write_path(name ? &last : o->path, where, sizeof(where));
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    obs_reason_set(o->reason, "%s%s%s", where, *where ? " " : "", what);
    return FIELD_REFUSED;
}

int field_expected(const struct field_object *o, const char *name, const char *expected)
{
    const json_t *value = json_object_get(o->json, name);
    char *shown = NULL;

    if (!value)
        return field_refuse(o, name, "is missing: expected %s", expected);
    shown = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    if (shown && strlen(shown) > 40)
        memcpy(shown + 37, "...", 4);
    field_refuse(o, name, "is %s: expected %s", shown ? shown : "?", expected);
    free(shown);
    return FIELD_REFUSED;
}

static bool is_listed(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static void join(const char *const *names, char *out, size_t size)
{
    size_t used = 0;

    *out = '\0';
    for (size_t i = 0; names[i] && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", names[i]);

        used += n > 0 ? (size_t)n : 0;
    }
}

int field_open(const json_t *json, const struct field_path *path, const char *const *names,
               struct obs_reason *reason, struct field_object *ret_object)
{
    struct field_object o = {.json = json, .path = path, .reason = reason};
    const char *name;
    json_t *value;
    char known[160];

    if (!json_is_object(json))
        return field_refuse(&o, NULL, "is not an object: expected {…}");
    json_object_foreach ((json_t *)json, name, value) {
        if (is_listed(name, names))
            continue;
        join(names, known, sizeof(known));
        return field_refuse(&o, NULL, "has no field \"%.40s\": known are %s", name, known);
    }
    *ret_object = o;
    return 0;
}

int field_number(const struct field_object *o, const char *name, bool is_required, double min,
                 double max, double *ret_value)
{
    const json_t *value = json_object_get(o->json, name);
    char expected[80];

    if (!value && !is_required)
        return 0;
    if (json_is_number(value)) {
        double number = json_number_value(value);

        if (number >= min && number <= max) {
            *ret_value = number;
            return 0;
        }
    }
    snprintf(expected, sizeof(expected), "a number from %g to %g", min, max);
    return field_expected(o, name, expected);
}

int field_integer(const struct field_object *o, const char *name, bool is_required, int64_t min,
                  int64_t max, int64_t *ret_value)
{
    const json_t *value = json_object_get(o->json, name);
    char expected[80];

    if (!value && !is_required)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= min &&
        json_integer_value(value) <= max) {
        *ret_value = json_integer_value(value);
        return 0;
    }
    snprintf(expected, sizeof(expected), "an integer from %lld to %lld", (long long)min,
             (long long)max);
    return field_expected(o, name, expected);
}

int field_boolean(const struct field_object *o, const char *name, bool *ret_value)
{
    const json_t *value = json_object_get(o->json, name);

    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return field_expected(o, name, "true or false");
    *ret_value = json_is_true(value);
    return 0;
}

int field_text(const struct field_object *o, const char *name, bool is_required, size_t max_size,
               const char **ret_value)
{
    const json_t *value = json_object_get(o->json, name);
    char expected[80];

    if (!value && !is_required)
        return 0;
    if (json_is_string(value)) {
        size_t size = json_string_length(value);

        /* An embedded NUL is refused by the JSON reader. */
        if (size > 0 && size <= max_size) {
            *ret_value = json_string_value(value);
            return 0;
        }
    }
    snprintf(expected, sizeof(expected), "a text of 1 to %zu bytes", max_size);
    return field_expected(o, name, expected);
}

int field_duration(const struct field_object *o, const char *name, bool is_required,
                   uint64_t max_ns, uint64_t *ret_ns)
{
    const json_t *value = json_object_get(o->json, name);
    char expected[96];
    uint64_t ns;

    if (!value && !is_required)
        return 0;
    if (json_is_string(value) && obs_text_parse_duration(json_string_value(value), &ns) == 0 &&
        ns <= max_ns) {
        *ret_ns = ns;
        return 0;
    }
    snprintf(expected, sizeof(expected), "a duration such as \"250ms\" or \"30s\", at most %gs",
             (double)max_ns / 1e9);
    return field_expected(o, name, expected);
}

int field_choice(const struct field_object *o, const char *name, bool is_required,
                 const char *const *choices, unsigned *ret_index)
{
    const json_t *value = json_object_get(o->json, name);
    char known[120], expected[140];

    if (!value && !is_required)
        return 0;
    for (unsigned i = 0; json_is_string(value) && choices[i]; i++) {
        if (strcmp(choices[i], json_string_value(value)) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    join(choices, known, sizeof(known));
    snprintf(expected, sizeof(expected), "one of %s", known);
    return field_expected(o, name, expected);
}

int field_array(const struct field_object *o, const char *name, bool is_required, size_t min,
                size_t max, const json_t **ret_array)
{
    const json_t *value = json_object_get(o->json, name);
    char expected[80];

    *ret_array = NULL;
    if (!value && !is_required)
        return 0;
    if (json_is_array(value) && json_array_size(value) >= min && json_array_size(value) <= max) {
        *ret_array = value;
        return 0;
    }
    snprintf(expected, sizeof(expected), "a list of %zu to %zu elements", min, max);
    return field_expected(o, name, expected);
}
