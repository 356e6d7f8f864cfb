#include "load/check.h"
#include "load/pointer.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum operator{
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_LESS,
    OP_AT_MOST,
    OP_MORE,
    OP_AT_LEAST,
    OP_IN,
    OP_EXISTS
};
static const char *const OPERATORS[] = {"==", "!=", "<", "<=", ">", ">=", "in", "exists", NULL};

struct check {
    enum check_subject subject;
    char *name; /* header or JSON pointer */
    enum operator op;
    json_t *value;         /* JSON checks; NULL with `exists` */
    struct template *text; /* text looked for, or `value` when it is a text */
    char shown[120];
};

struct check *check_free(struct check *check)
{
    if (!check)
        return NULL;
    free(check->name);
    json_decref(check->value);
    template_free(check->text);
    free(check);
    return NULL;
}

static int compile(struct check *check, const struct field_object *o, const char *name,
                   const char *text, const struct variable_table *table)
{
    char unknown[48];
    int r = template_compile(text, VARIABLE_IN_TEXT, false, table, &check->text, unknown);

    if (r == -ENOENT)
        return field_refuse(o, name, "has {%s}, which is no variable", unknown);
    return r;
}

static int parse_body(struct check *check, const struct field_object *o,
                      const struct variable_table *table)
{
    const char *text = NULL;
    int r = field_text(o, "body", true, 1024, &text);

    if (r != 0)
        return r;
    snprintf(check->shown, sizeof(check->shown), "body contains \"%s\"", text);
    return compile(check, o, "body", text, table);
}

static int parse_header(struct check *check, const struct field_object *o,
                        const struct variable_table *table)
{
    const char *name = NULL, *text = NULL;
    int r = field_text(o, "header", true, 100, &name);

    if (r == 0)
        r = field_text(o, "contains", true, 1024, &text);
    if (r != 0)
        return r;
    check->name = strdup(name);
    if (!check->name)
        return -ENOMEM;
    for (char *p = check->name; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    snprintf(check->shown, sizeof(check->shown), "header %s contains \"%s\"", name, text);
    return compile(check, o, "contains", text, table);
}

static int parse_value(struct check *check, const struct field_object *o,
                       const struct variable_table *table)
{
    json_t *value = json_object_get(o->json, "value");

    if (check->op == OP_EXISTS)
        return value ? field_expected(o, "value", "nothing with op exists") : 0;
    if (!value)
        return field_expected(o, "value", "what the reply is compared with");
    if (check->op == OP_IN && !json_is_array(value))
        return field_expected(o, "value", "a list with op in");
    if (check->op >= OP_LESS && check->op <= OP_AT_LEAST && !json_is_number(value) &&
        !json_is_string(value))
        return field_expected(o, "value", "a number");
    check->value = json_incref(value);
    return json_is_string(value) ? compile(check, o, "value", json_string_value(value), table) : 0;
}

static int parse_json(struct check *check, const struct field_object *o,
                      const struct variable_table *table)
{
    const char *pointer = NULL;
    unsigned op = OP_EXISTS;
    char *shown;
    int r = field_text(o, "json", true, 512, &pointer);

    if (r == 0 && !pointer_is_valid(pointer))
        r = field_expected(o, "json", "a JSON Pointer such as \"/items/0/id\"");
    if (r == 0)
        r = field_choice(o, "op", true, OPERATORS, &op);
    if (r != 0)
        return r;
    check->op = (enum operator)op;
    check->name = strdup(pointer);
    if (!check->name)
        return -ENOMEM;
    r = parse_value(check, o, table);
    if (r != 0)
        return r;
    shown = check->value ? json_dumps(check->value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    snprintf(check->shown, sizeof(check->shown), "json %s %s%s%s", pointer, OPERATORS[op],
             shown ? " " : "", shown ? shown : "");
    free(shown);
    return 0;
}

int check_parse(const json_t *json, const struct field_path *path,
                const struct variable_table *table, struct check **ret_check,
                struct obs_reason *reterr_reason)
{
    static const struct {
        const char *names[4];
        int (*parse)(struct check *check, const struct field_object *o,
                     const struct variable_table *table);
    } SUBJECTS[] = {
        [CHECK_BODY] = {{"body", NULL}, parse_body},
        [CHECK_HEADER] = {{"header", "contains", NULL}, parse_header},
        [CHECK_JSON] = {{"json", "op", "value", NULL}, parse_json},
    };
    OBS_CLEANUP(check_freep) struct check *check = calloc(1, sizeof(*check));
    struct field_object o = {json, path, reterr_reason};
    int r;

    if (!check)
        return -ENOMEM;
    for (unsigned i = 0; i < OBS_COUNT(SUBJECTS); i++) {
        if (!json_object_get(json, SUBJECTS[i].names[0]))
            continue;
        check->subject = (enum check_subject)i;
        r = field_open(json, path, SUBJECTS[i].names, reterr_reason, &o);
        if (r == 0)
            r = SUBJECTS[i].parse(check, &o, table);
        if (r != 0)
            return r;
        *ret_check = OBS_TAKE(check);
        return 0;
    }
    return field_refuse(&o, NULL, "checks nothing: expected one of \"body\", \"header\", \"json\"");
}

enum check_subject check_subject(const struct check *check)
{
    return check->subject;
}

uint64_t check_variables(const struct check *check)
{
    return check->text ? template_variables(check->text) : 0;
}

const char *check_text(const struct check *check)
{
    return check->shown;
}

/* ---- does it hold? ---- */

static bool contains(const struct check *check, const char *text, size_t size,
                     const struct variable_table *table, const struct variable_values *values)
{
    struct obs_buffer wanted = OBS_BUFFER_INIT(64 << 10);
    bool is_found = template_emit(check->text, table, values, &wanted) == 0 &&
                    (wanted.size == 0 || memmem(text, size, wanted.data, wanted.size));

    obs_buffer_done(&wanted);
    return is_found;
}

bool check_head(const struct check *check, const struct obs_http1_head *head,
                const struct variable_table *table, const struct variable_values *values)
{
    const struct obs_span_text *value = obs_http1_find(head, check->name);

    return value && contains(check, value->text, value->size, table, values);
}

bool check_body(const struct check *check, const char *body, size_t size,
                const struct variable_table *table, const struct variable_values *values)
{
    return contains(check, body, size, table, values);
}

static bool compare(double order, enum operator op)
{
    switch (op) {
    case OP_EQUAL:
        return order == 0;
    case OP_NOT_EQUAL:
        return order != 0;
    case OP_LESS:
        return order < 0;
    case OP_AT_MOST:
        return order <= 0;
    case OP_MORE:
        return order > 0;
    case OP_AT_LEAST:
        return order >= 0;
    default:
        return false;
    }
}

/* A variable's value is text, so against a number it is compared as a number when it is one. */
static bool compare_text(const struct check *check, const json_t *found, const char *wanted)
{
    char *end;
    double number;

    if (json_is_string(found))
        return compare(strcmp(json_string_value(found), wanted), check->op);
    if (!json_is_number(found))
        return check->op == OP_NOT_EQUAL;
    number = strtod(wanted, &end);
    if (end == wanted || *end)
        return check->op == OP_NOT_EQUAL;
    return compare(json_number_value(found) - number, check->op);
}

bool check_json(const struct check *check, json_t *json, const struct variable_table *table,
                const struct variable_values *values)
{
    json_t *found = json ? pointer_find(json, check->name) : NULL;
    const json_t *element;
    size_t i;

    if (!found)
        return false;
    if (check->op == OP_EXISTS)
        return true;
    if (check->op == OP_IN) {
        json_array_foreach (check->value, i, element)
            if (json_equal(found, element))
                return true;
        return false;
    }
    if (check->text) {
        struct obs_buffer wanted = OBS_BUFFER_INIT(64 << 10);
        bool holds = obs_buffer_append(&wanted, "", 0) == 0 &&
                     template_emit(check->text, table, values, &wanted) == 0 &&
                     compare_text(check, found, wanted.data ? wanted.data : "");

        obs_buffer_done(&wanted);
        return holds;
    }
    if (json_is_number(found) && json_is_number(check->value))
        return compare(json_number_value(found) - json_number_value(check->value), check->op);
    return json_equal(found, check->value) == (check->op == OP_EQUAL) &&
           (check->op == OP_EQUAL || check->op == OP_NOT_EQUAL);
}
