#include "agent/variables.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A small sorted-by-nothing array: tens of names, read at start and when files are rendered. */
struct variable {
    char *name, *value;
};

struct variables {
    const struct variables *parent;
    struct variable *items;
    size_t count;
};

int variables_new(const struct variables *parent, struct variables **ret_variables)
{
    struct variables *v = calloc(1, sizeof(*v));

    if (!v)
        return -ENOMEM;
    v->parent = parent;
    *ret_variables = v;
    return 0;
}

struct variables *variables_free(struct variables *v)
{
    if (!v)
        return NULL;
    for (size_t i = 0; i < v->count; i++) {
        free(v->items[i].name);
        free(v->items[i].value);
    }
    free(v->items);
    free(v);
    return NULL;
}

static bool is_name(const char *text, size_t size)
{
    if (size == 0 || size > 100 || !isalpha((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
            return false;
    return true;
}

static const char *find(const struct variables *v, const char *name, size_t size)
{
    for (; v; v = v->parent)
        for (size_t i = 0; i < v->count; i++)
            if (strncmp(v->items[i].name, name, size) == 0 && v->items[i].name[size] == '\0')
                return v->items[i].value;
    return NULL;
}

const char *variables_find(const struct variables *v, const char *name)
{
    return find(v, name, strlen(name));
}

static int append(struct variables *v, const char *name, const char *value)
{
    OBS_CLEANUP(obs_freep) char *name_copy = strdup(name);
    OBS_CLEANUP(obs_freep) char *value_copy = strdup(value);
    struct variable *items = reallocarray(v->items, v->count + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    v->items = items;
    if (!name_copy || !value_copy)
        return -ENOMEM;
    items[v->count++] = (struct variable){OBS_TAKE(name_copy), OBS_TAKE(value_copy)};
    return 0;
}

int variables_set(struct variables *v, const char *name, const char *value,
                  struct obs_reason *reterr_reason)
{
    if (!is_name(name, strlen(name))) {
        obs_reason_set(reterr_reason, "\"%.60s\" is no name of a variable", name);
        return VARIABLES_REFUSED;
    }
    for (size_t i = 0; i < v->count; i++) {
        if (strcmp(v->items[i].name, name) == 0) {
            char *copy = strdup(value);

            if (!copy)
                return -ENOMEM;
            free(v->items[i].value);
            v->items[i].value = copy;
            return 0;
        }
    }
    if (v->count == VARIABLES_MAX) {
        obs_reason_set(reterr_reason, "more than %d variables", VARIABLES_MAX);
        return VARIABLES_REFUSED;
    }
    return append(v, name, value);
}

int variables_set_pair(struct variables *v, const char *pair, struct obs_reason *reterr_reason)
{
    const char *equals = strchr(pair, '=');
    char name[128];

    if (!equals || (size_t)(equals - pair) >= sizeof(name)) {
        obs_reason_set(reterr_reason, "\"%.60s\" is not of the form NAME=VALUE", pair);
        return VARIABLES_REFUSED;
    }
    memcpy(name, pair, (size_t)(equals - pair));
    name[equals - pair] = '\0';
    return variables_set(v, name, equals + 1, reterr_reason);
}

int variables_set_json(struct variables *v, const char *prefix, const json_t *object,
                       struct obs_reason *reterr_reason)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        char name[256], number[64];
        const char *text = number;
        int r;

        if (snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key) >=
            (int)sizeof(name)) {
            obs_reason_set(reterr_reason, "the name of variable \"%.60s…\" is too long", name);
            return VARIABLES_REFUSED;
        }
        if (json_is_object(value)) {
            r = variables_set_json(v, name, value, reterr_reason);
            if (r != 0)
                return r;
            continue;
        }
        if (json_is_string(value)) {
            text = json_string_value(value);
        } else if (json_is_integer(value)) {
            snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        } else if (json_is_real(value)) {
            snprintf(number, sizeof(number), "%.15g", json_real_value(value));
        } else if (json_is_boolean(value)) {
            text = json_is_true(value) ? "true" : "false";
        } else {
            obs_reason_set(reterr_reason, "variable \"%.60s\" is neither a text nor a number",
                           name);
            return VARIABLES_REFUSED;
        }
        r = variables_set(v, name, text, reterr_reason);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- filling in ---- */

static void refuse_at(const char *text, const char *place, struct obs_reason *reterr_reason,
                      const char *what, const char *name, size_t size)
{
    unsigned line = 1, column = 1;

    for (const char *p = text; p < place; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    obs_reason_set_at(reterr_reason, line, column, "%s \"%.*s\"", what,
                      (int)(size < 60 ? size : 60), name);
}

/* One `${…}` that begins at @open and ends at @close (the brace). */
static int fill_one(const struct variables *v, const char *text, const char *open,
                    const char *close, struct obs_buffer *b, struct obs_reason *reterr_reason)
{
    const char *name = open + 2;
    size_t size = (size_t)(close - name);
    const char *otherwise = memmem(name, size, ":-", 2);
    size_t name_size = otherwise ? (size_t)(otherwise - name) : size;
    const char *value;

    if (!is_name(name, name_size)) {
        refuse_at(text, open, reterr_reason, "not a variable's name:", name, name_size);
        return VARIABLES_REFUSED;
    }
    value = find(v, name, name_size);
    if (value)
        return obs_buffer_append_text(b, value);
    if (otherwise)
        return obs_buffer_append(b, otherwise + 2, (size_t)(close - otherwise - 2));
    refuse_at(text, open, reterr_reason, "there is no variable", name, name_size);
    return VARIABLES_REFUSED;
}

int variables_fill(const struct variables *v, const char *text, size_t size, struct obs_buffer *b,
                   struct obs_reason *reterr_reason)
{
    const char *end = text + size, *at = text;

    while (at < end) {
        const char *dollar = memchr(at, '$', (size_t)(end - at));
        const char *close;
        int r;

        if (!dollar)
            return obs_buffer_append(b, at, (size_t)(end - at));
        r = obs_buffer_append(b, at, (size_t)(dollar - at));
        if (r < 0)
            return r;
        if (end - dollar >= 3 && memcmp(dollar, "$${", 3) == 0) {
            r = obs_buffer_append_text(b, "${");
            at = dollar + 3;
        } else if (end - dollar >= 2 && dollar[1] == '{') {
            close = memchr(dollar, '}', (size_t)(end - dollar));
            if (!close) {
                refuse_at(text, dollar, reterr_reason, "no closing brace after", dollar,
                          (size_t)(end - dollar));
                return VARIABLES_REFUSED;
            }
            r = fill_one(v, text, dollar, close, b, reterr_reason);
            at = close + 1;
        } else {
            r = obs_buffer_append_char(b, '$');
            at = dollar + 1;
        }
        if (r != 0)
            return r;
    }
    return obs_buffer_append(b, "", 0);
}
