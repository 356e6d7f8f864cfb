/*
 * Settings view: checks values against the table and answers for them.
 *
 * Every value in force, also a default, passes the same check, so a table with a default out of its
 * own range is found when the program starts.
 */
#include "base/settings_view.h"

#include "base/text.h"
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_SIZE 96
#define STRING_MAX_SIZE 200

struct value {
    union {
        bool boolean;
        int64_t integer;
        double number;
        unsigned choice;
    } as;
    char *text; /* CHOICE and STRING */
};

struct obs_settings_view {
    atomic_uint references;
    const struct obs_settings_schema *schema;
    json_t *chosen;
    struct value values[]; /* schema->row_count */
};

/* ---- one value against its row ---- */

/* Index of @text among "a|b|c", or -1. */
static int choice_index(const char *choices, const char *text)
{
    size_t size = strlen(text);
    int index = 0;

    for (const char *at = choices; at; index++) {
        const char *bar = strchr(at, '|');
        size_t length = bar ? (size_t)(bar - at) : strlen(at);

        if (length == size && memcmp(at, text, size) == 0)
            return index;
        at = bar ? bar + 1 : NULL;
    }
    return -1;
}

static bool is_clean_text(const char *text, size_t size)
{
    if (size > STRING_MAX_SIZE)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return false;
    return true;
}

static void refuse_value(const struct obs_setting *row, const json_t *json,
                         struct obs_reason *reterr_reason)
{
    char shown[OBS_JSON_SHOWN_SIZE], low[OBS_TEXT_NUMBER_SIZE], high[OBS_TEXT_NUMBER_SIZE];
    char choices[120];
    size_t size = 0;

    obs_json_show(json, shown);
    switch (row->type) {
    case OBS_SETTING_BOOL:
        obs_reason_set(reterr_reason, "\"%s\" is %s: expected true or false", row->name, shown);
        return;
    case OBS_SETTING_INT:
    case OBS_SETTING_NUMBER:
        obs_reason_set(reterr_reason, "\"%s\" is %s: expected %s from %s to %s%s%s", row->name,
                       shown, row->type == OBS_SETTING_INT ? "an integer" : "a number",
                       obs_text_number(row->minimum, low), obs_text_number(row->maximum, high),
                       *row->unit ? " " : "", row->unit);
        return;
    case OBS_SETTING_CHOICE:
        for (const char *at = row->choices; *at && size + 3 < sizeof(choices); at++) {
            choices[size++] = *at == '|' ? ',' : *at;
            if (*at == '|')
                choices[size++] = ' ';
        }
        choices[size] = '\0';
        obs_reason_set(reterr_reason, "\"%s\" is %s: expected one of %s", row->name, shown,
                       choices);
        return;
    case OBS_SETTING_STRING:
        break;
    }
    obs_reason_set(reterr_reason,
                   "\"%s\" is %s: expected a text of at most %d bytes without control characters",
                   row->name, shown, STRING_MAX_SIZE);
}

static bool is_in_range(const struct obs_setting *row, double value)
{
    return value >= row->minimum && value <= row->maximum;
}

/* Return: 0; OBS_SETTINGS_REFUSED, without a reason; -ENOMEM. */
static int read_value(const struct obs_setting *row, const json_t *json, struct value *ret_value)
{
    const char *text = json_string_value(json);
    int index;

    switch (row->type) {
    case OBS_SETTING_BOOL:
        ret_value->as.boolean = json_is_true(json);
        return json_is_boolean(json) ? 0 : OBS_SETTINGS_REFUSED;
    case OBS_SETTING_INT:
        ret_value->as.integer = json_integer_value(json);
        return json_is_integer(json) && is_in_range(row, (double)ret_value->as.integer)
                   ? 0
                   : OBS_SETTINGS_REFUSED;
    case OBS_SETTING_NUMBER:
        ret_value->as.number = json_number_value(json);
        return json_is_number(json) && is_in_range(row, ret_value->as.number)
                   ? 0
                   : OBS_SETTINGS_REFUSED;
    case OBS_SETTING_CHOICE:
        index = text ? choice_index(row->choices, text) : -1;
        if (index < 0)
            return OBS_SETTINGS_REFUSED;
        ret_value->as.choice = (unsigned)index;
        break;
    case OBS_SETTING_STRING:
        if (!text || !is_clean_text(text, json_string_length(json)))
            return OBS_SETTINGS_REFUSED;
        break;
    }
    ret_value->text = strdup(text);
    return ret_value->text ? 0 : -ENOMEM;
}

/* A default of the table as JSON; NULL when it is not of the row's type, or out of memory. */
static json_t *standard_json(const struct obs_setting *row, const char *text)
{
    json_error_t error;

    if (row->type == OBS_SETTING_CHOICE || row->type == OBS_SETTING_STRING)
        return json_string(text);
    return json_loads(text, JSON_DECODE_ANY, &error);
}

/* ---- the operator's JSON ---- */

static const struct obs_setting *find_row(const struct obs_settings_schema *schema,
                                          const char *name)
{
    for (size_t i = 0; i < schema->row_count; i++)
        if (strcmp(schema->rows[i].name, name) == 0)
            return &schema->rows[i];
    return NULL;
}

static int flatten_one(const struct obs_settings_schema *schema, const char *name, json_t *value,
                       json_t *flat, struct obs_reason *reterr_reason)
{
    const struct obs_setting *row = find_row(schema, name);
    struct value checked = {0};
    int r = 0;

    if (!row) {
        obs_reason_set(reterr_reason, "\"%.100s\" is not a setting of %s: see /config/schema", name,
                       schema->service);
        return OBS_SETTINGS_REFUSED;
    }
    if (json_object_get(flat, name)) {
        obs_reason_set(reterr_reason, "\"%s\" is given twice", name);
        return OBS_SETTINGS_REFUSED;
    }
    if (!json_is_null(value))
        r = read_value(row, value, &checked);
    free(checked.text);
    if (r == OBS_SETTINGS_REFUSED)
        refuse_value(row, value, reterr_reason);
    if (r == 0 && json_object_set(flat, name, value) < 0)
        r = -ENOMEM;
    return r;
}

static int flatten_into(const struct obs_settings_schema *schema, const char *prefix,
                        const json_t *values, json_t *flat, struct obs_reason *reterr_reason)
{
    json_t *object = (json_t *)values; /* jansson's iterator wants it so; nothing is changed */
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value) {
        char name[NAME_MAX_SIZE];
        int r;

        /* A name that is too long is no name of the table either; cut, it must not become one. */
        if (snprintf(name, sizeof(name), "%s%s%s", prefix ? prefix : "", prefix ? "." : "", key) >=
            (int)sizeof(name))
            name[0] = '?';
        if (json_is_object(value) && json_object_size(value) > 0)
            r = flatten_into(schema, name, value, flat, reterr_reason);
        else
            r = flatten_one(schema, name, value, flat, reterr_reason);
        if (r != 0)
            return r;
    }
    return 0;
}

int obs_settings_flatten(const struct obs_settings_schema *schema, const json_t *values,
                         json_t **ret_flat, struct obs_reason *reterr_reason)
{
    OBS_JSON flat = json_object();
    char shown[OBS_JSON_SHOWN_SIZE];
    int r;

    if (!flat)
        return -ENOMEM;
    if (!json_is_object(values)) {
        obs_reason_set(reterr_reason, "the settings are %s: expected an object of names and values",
                       obs_json_show(values, shown));
        return OBS_SETTINGS_REFUSED;
    }
    r = flatten_into(schema, NULL, values, flat, reterr_reason);
    if (r == 0)
        *ret_flat = OBS_TAKE(flat);
    return r;
}

/* ---- the view ---- */

static const struct obs_release *find_release(const struct obs_settings_schema *schema,
                                              const char *version)
{
    for (size_t i = 0; i < schema->release_count; i++)
        if (strcmp(schema->releases[i].version, version) == 0)
            return &schema->releases[i];
    return NULL;
}

static const char *standard_of(const struct obs_setting *row, const struct obs_release *release)
{
    for (size_t i = 0; release && i < OBS_COUNT(release->values) && release->values[i].name; i++)
        if (strcmp(release->values[i].name, row->name) == 0)
            return release->values[i].value;
    return row->standard;
}

static int fill_row(struct obs_settings_view *view, size_t index, const struct obs_release *release,
                    struct obs_reason *reterr_reason)
{
    const struct obs_setting *row = &view->schema->rows[index];
    OBS_JSON standard = NULL;
    json_t *json = json_object_get(view->chosen, row->name);
    int r;

    if (!json)
        json = standard = standard_json(row, standard_of(row, release));
    r = read_value(row, json, &view->values[index]);
    if (r == OBS_SETTINGS_REFUSED) {
        obs_reason_set(reterr_reason, "the table of %s has a bad default for \"%s\"",
                       view->schema->service, row->name);
        return -EINVAL;
    }
    return r;
}

static void view_free(struct obs_settings_view *view)
{
    for (size_t i = 0; i < view->schema->row_count; i++)
        free(view->values[i].text);
    json_decref(view->chosen);
    free(view);
}

int obs_settings_view_new(const struct obs_settings_schema *schema, json_t *chosen,
                          struct obs_settings_view **ret_view, struct obs_reason *reterr_reason)
{
    struct obs_settings_view *view =
        calloc(1, sizeof(*view) + schema->row_count * sizeof(view->values[0]));
    const struct obs_release *release = NULL;
    int r = 0;

    if (!view)
        return -ENOMEM;
    atomic_init(&view->references, 1);
    view->schema = schema;
    view->chosen = json_deep_copy(chosen);
    if (!view->chosen)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < schema->row_count; i++) {
        r = fill_row(view, i, release, reterr_reason);
        if (r == 0 && i == 0) /* row 0 is the version; the others' defaults depend on it */
            release = find_release(schema, view->values[0].text);
    }
    if (r < 0) {
        view_free(view);
        return r;
    }
    *ret_view = view;
    return 0;
}

const struct obs_settings_view *obs_settings_view_ref(struct obs_settings_view *view)
{
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    return view;
}

void obs_settings_release(const struct obs_settings_view *view)
{
    struct obs_settings_view *own = (struct obs_settings_view *)view;

    if (own && atomic_fetch_sub_explicit(&own->references, 1, memory_order_acq_rel) == 1)
        view_free(own);
}

json_t *obs_settings_view_chosen(const struct obs_settings_view *view)
{
    return view->chosen;
}

json_t *obs_settings_view_value(const struct obs_settings_view *view, size_t row)
{
    const struct value *value = &view->values[row];
    double number;

    switch (view->schema->rows[row].type) {
    case OBS_SETTING_BOOL:
        return json_boolean(value->as.boolean);
    case OBS_SETTING_INT:
        return json_integer(value->as.integer);
    case OBS_SETTING_NUMBER: /* 1, not 1.0, for people's eyes; JSON knows one kind of number */
        number = value->as.number;
        if (number > -1e15 && number < 1e15 && !((double)(int64_t)number < number) &&
            !((double)(int64_t)number > number))
            return json_integer((int64_t)number);
        return json_real(number);
    case OBS_SETTING_CHOICE:
    case OBS_SETTING_STRING:
        break;
    }
    return json_string(value->text);
}

bool obs_settings_view_same(const struct obs_settings_view *a, const struct obs_settings_view *b,
                            size_t row)
{
    const struct value *x = &a->values[row], *y = &b->values[row];

    return x->text ? strcmp(x->text, y->text) == 0 : memcmp(&x->as, &y->as, sizeof(x->as)) == 0;
}

static const struct value *value_of(const struct obs_settings_view *view, size_t row,
                                    enum obs_setting_type type)
{
    assert(row < view->schema->row_count && view->schema->rows[row].type == type);
    return &view->values[row];
}

bool obs_setting_bool(const struct obs_settings_view *view, size_t row)
{
    return value_of(view, row, OBS_SETTING_BOOL)->as.boolean;
}

int64_t obs_setting_int(const struct obs_settings_view *view, size_t row)
{
    return value_of(view, row, OBS_SETTING_INT)->as.integer;
}

double obs_setting_number(const struct obs_settings_view *view, size_t row)
{
    return value_of(view, row, OBS_SETTING_NUMBER)->as.number;
}

const char *obs_setting_text(const struct obs_settings_view *view, size_t row)
{
    assert(row < view->schema->row_count && view->values[row].text);
    return view->values[row].text;
}

unsigned obs_setting_choice(const struct obs_settings_view *view, size_t row)
{
    return value_of(view, row, OBS_SETTING_CHOICE)->as.choice;
}

/* ---- the table as JSON ---- */

static json_t *choices_json(const char *choices)
{
    json_t *array = json_array();

    for (const char *at = choices; array && at;) {
        const char *bar = strchr(at, '|');

        json_array_append_new(array, json_stringn(at, bar ? (size_t)(bar - at) : strlen(at)));
        at = bar ? bar + 1 : NULL;
    }
    return array;
}

static json_t *row_json(const struct obs_setting *row)
{
    static const char *const types[] = {"boolean", "integer", "number", "choice", "string"};
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:s, s:b, s:s}", "name", row->name, "type", types[row->type],
                  "default", standard_json(row, row->standard), "unit", row->unit, "needs_restart",
                  row->needs_restart, "meaning", row->meaning);

    if (json && row->type == OBS_SETTING_CHOICE)
        json_object_set_new(json, "choices", choices_json(row->choices));
    if (json && row->type == OBS_SETTING_INT) {
        json_object_set_new(json, "minimum", json_integer((json_int_t)row->minimum));
        json_object_set_new(json, "maximum", json_integer((json_int_t)row->maximum));
    }
    if (json && row->type == OBS_SETTING_NUMBER) {
        json_object_set_new(json, "minimum", json_real(row->minimum));
        json_object_set_new(json, "maximum", json_real(row->maximum));
    }
    return json;
}

int obs_settings_schema_json(const struct obs_settings_schema *schema, json_t **ret_json)
{
    OBS_JSON rows = json_array();

    for (size_t i = 0; i < schema->row_count; i++)
        if (json_array_append_new(rows, row_json(&schema->rows[i])) < 0)
            return -ENOMEM;
    *ret_json = json_pack("{s:s, s:O}", "service", schema->service, "settings", rows);
    return *ret_json ? 0 : -ENOMEM;
}
