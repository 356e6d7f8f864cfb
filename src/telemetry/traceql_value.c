/*
 * Values: what a field is on a span, and how two of them compare.
 *
 * Numbers, whole numbers and durations compare with each other by value; otherwise types must be
 * the same, and a comparison of two different types is false, also with !=. So is every comparison
 * with what is missing, but for `= nil` and `!= nil`.
 */
#include "telemetry/traceql.h"

#include "base/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const STATUS_TEXTS[] = {"unset", "ok", "error"};
static const char *const KIND_TEXTS[] = {"unspecified", "internal", "server",
                                         "client",      "producer", "consumer"};

const char *traceql_status_text(int64_t status)
{
    return status >= 0 && status < 3 ? STATUS_TEXTS[status] : "unset";
}

const char *traceql_kind_text(int64_t kind)
{
    return kind >= 0 && kind < 6 ? KIND_TEXTS[kind] : "unspecified";
}

bool traceql_value_number(const struct traceql_value *value, double *ret_number)
{
    switch (value->type) {
    case TRACEQL_INT:
    case TRACEQL_DURATION:
        *ret_number = (double)value->is.integer;
        return true;
    case TRACEQL_FLOAT:
        *ret_number = value->is.number;
        return true;
    default:
        return false;
    }
}

static bool is_whole(const struct traceql_value *value)
{
    return value->type == TRACEQL_INT || value->type == TRACEQL_DURATION;
}

static int compare_text(struct text_view a, struct text_view b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int r = size > 0 ? memcmp(a.text, b.text, size) : 0;

    return r != 0 ? r : (a.size > b.size) - (a.size < b.size);
}

static int compare_numbers(double a, double b)
{
    return (a > b) - (a < b);
}

int traceql_value_compare(const struct traceql_value *a, const struct traceql_value *b)
{
    double x, y;

    if (is_whole(a) && is_whole(b))
        return (a->is.integer > b->is.integer) - (a->is.integer < b->is.integer);
    if (traceql_value_number(a, &x) && traceql_value_number(b, &y)) {
        if (isnan(x) || isnan(y)) /* after everything, for sorting */
            return isnan(x) - isnan(y);
        return compare_numbers(x, y);
    }
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    switch (a->type) {
    case TRACEQL_STRING:
        return compare_text(a->is.text, b->is.text);
    case TRACEQL_BOOL:
        return (int)a->is.boolean - (int)b->is.boolean;
    case TRACEQL_STATUS:
    case TRACEQL_KIND:
        return (a->is.integer > b->is.integer) - (a->is.integer < b->is.integer);
    default:
        return 0;
    }
}

static bool is_comparable(const struct traceql_value *a, const struct traceql_value *b)
{
    double x, y;

    if (traceql_value_number(a, &x) && traceql_value_number(b, &y))
        return !isnan(x) && !isnan(y);
    return a->type == b->type && a->type != TRACEQL_NIL;
}

bool traceql_value_test(enum traceql_op op, const struct traceql_value *a,
                        const struct traceql_value *b)
{
    int r;

    if (!is_comparable(a, b))
        return false;
    r = traceql_value_compare(a, b);
    switch (op) {
    case TRACEQL_OP_EQUAL:
        return r == 0;
    case TRACEQL_OP_NOT_EQUAL:
        return r != 0;
    case TRACEQL_OP_LESS:
        return r < 0;
    case TRACEQL_OP_LESS_EQUAL:
        return r <= 0;
    case TRACEQL_OP_GREATER:
        return r > 0;
    case TRACEQL_OP_GREATER_EQUAL:
        return r >= 0;
    default:
        return false;
    }
}

/* As Go prints durations: 1.5s, 446.979497ms, 0s. */
static void duration_text(int64_t ns, char out[TRACEQL_TEXT_SIZE])
{
    double value = (double)ns;
    const char *unit = "ns";

    if (ns == 0)
        unit = "s";
    else if (fabs(value) >= 1e9)
        value /= 1e9, unit = "s";
    else if (fabs(value) >= 1e6)
        value /= 1e6, unit = "ms";
    else if (fabs(value) >= 1e3)
        value /= 1e3, unit = "us";
    snprintf(out, TRACEQL_TEXT_SIZE, "%.15g%s", value, unit);
}

struct text_view traceql_value_text(const struct traceql_value *value, char out[TRACEQL_TEXT_SIZE])
{
    switch (value->type) {
    case TRACEQL_STRING:
        return value->is.text;
    case TRACEQL_INT:
        snprintf(out, TRACEQL_TEXT_SIZE, "%lld", (long long)value->is.integer);
        break;
    case TRACEQL_FLOAT:
        obs_text_number(value->is.number, out);
        break;
    case TRACEQL_DURATION:
        duration_text(value->is.integer, out);
        break;
    case TRACEQL_BOOL:
        return text_view_of(value->is.boolean ? "true" : "false");
    case TRACEQL_STATUS:
        return text_view_of(traceql_status_text(value->is.integer));
    case TRACEQL_KIND:
        return text_view_of(traceql_kind_text(value->is.integer));
    default:
        return text_view_of("nil");
    }
    return text_view_of(out);
}

/* ---- fields ---- */

static struct traceql_value of_text(struct text_view text)
{
    return (struct traceql_value){.type = TRACEQL_STRING, .is.text = text};
}

static struct traceql_value of_integer(enum traceql_type type, uint64_t value)
{
    return (struct traceql_value){.type = type,
                                  .is.integer = value > INT64_MAX ? INT64_MAX : (int64_t)value};
}

static struct traceql_value of_id(const uint8_t *id, size_t size, char hex[TRACEQL_HEX_SIZE])
{
    obs_text_hex(id, size, hex);
    return of_text((struct text_view){hex, size * 2});
}

static struct traceql_value of_attribute(const struct value *value)
{
    switch (value->type) {
    case VALUE_TEXT:
        return of_text(value->is.text);
    case VALUE_INT:
        return (struct traceql_value){.type = TRACEQL_INT, .is.integer = value->is.integer};
    case VALUE_DOUBLE:
        return (struct traceql_value){.type = TRACEQL_FLOAT, .is.number = value->is.number};
    case VALUE_BOOL:
        return (struct traceql_value){.type = TRACEQL_BOOL, .is.boolean = value->is.boolean};
    default:
        return (struct traceql_value){.type = TRACEQL_NIL};
    }
}

static const struct value *find(const struct attribute *attributes, size_t count,
                                struct text_view name)
{
    for (size_t i = 0; i < count; i++) {
        if (text_view_equal(attributes[i].name, name))
            return &attributes[i].value;
    }
    return NULL;
}

static struct traceql_value attribute_value(const struct traceql_field *field,
                                            const struct span_view *view)
{
    const struct value *value = NULL;

    if (field->scope != TRACEQL_SCOPE_RESOURCE)
        value = find(view->attributes, view->attribute_count, field->name);
    if (!value && field->scope != TRACEQL_SCOPE_SPAN) {
        if (view->service.size > 0 && text_view_equal(field->name, text_view_of("service.name")))
            return of_text(view->service);
        value = find(view->resource, view->resource_count, field->name);
    }
    return value ? of_attribute(value) : (struct traceql_value){.type = TRACEQL_NIL};
}

static struct traceql_value structure_value(enum traceql_field_id id,
                                            const struct traceql_trace *trace, uint32_t index)
{
    const struct traceql_span *span = &trace->spans[index];

    switch (id) {
    case TRACEQL_FIELD_CHILD_COUNT:
        return of_integer(TRACEQL_INT, span->child_count);
    case TRACEQL_FIELD_NESTED_SET_LEFT:
        return of_integer(TRACEQL_INT, span->left);
    case TRACEQL_FIELD_NESTED_SET_RIGHT:
        return of_integer(TRACEQL_INT, span->right);
    default:
        break;
    }
    return (struct traceql_value){.type = TRACEQL_INT,
                                  .is.integer = span->parent == TRACEQL_NO_SPAN
                                                    ? -1
                                                    : (int64_t)trace->spans[span->parent].left};
}

static struct traceql_value trace_value(enum traceql_field_id id, const struct traceql_trace *trace,
                                        uint32_t index)
{
    const struct span_view *root =
        trace->root == TRACEQL_NO_SPAN ? NULL : trace->spans[trace->root].view;

    switch (id) {
    case TRACEQL_FIELD_TRACE_DURATION:
        return of_integer(TRACEQL_DURATION, trace->end_ns - trace->start_ns);
    case TRACEQL_FIELD_ROOT_NAME:
        return root ? of_text(root->name) : (struct traceql_value){.type = TRACEQL_NIL};
    case TRACEQL_FIELD_ROOT_SERVICE:
        return root ? of_text(root->service) : (struct traceql_value){.type = TRACEQL_NIL};
    default:
        return structure_value(id, trace, index);
    }
}

struct traceql_value traceql_field_value(const struct traceql_field *field,
                                         const struct span_view *view,
                                         const struct traceql_trace *trace, uint32_t index,
                                         char hex[TRACEQL_HEX_SIZE])
{
    switch (field->id) {
    case TRACEQL_FIELD_ATTRIBUTE:
        return attribute_value(field, view);
    case TRACEQL_FIELD_NAME:
        return of_text(view->name);
    case TRACEQL_FIELD_STATUS:
        return of_integer(TRACEQL_STATUS, view->status);
    case TRACEQL_FIELD_STATUS_MESSAGE:
        return of_text(view->status_message);
    case TRACEQL_FIELD_DURATION:
        return of_integer(TRACEQL_DURATION, traceql_duration(view));
    case TRACEQL_FIELD_KIND:
        return of_integer(TRACEQL_KIND, view->kind);
    case TRACEQL_FIELD_SPAN_ID:
        return of_id(view->span_id, 8, hex);
    case TRACEQL_FIELD_PARENT_ID:
        return of_id(view->parent_span_id, 8, hex);
    case TRACEQL_FIELD_TRACE_ID:
        return of_id(view->trace_id, 16, hex);
    case TRACEQL_FIELD_SCOPE_NAME:
        return of_text(view->scope_name);
    case TRACEQL_FIELD_SCOPE_VERSION:
        return of_text(view->scope_version);
    default:
        return trace ? trace_value(field->id, trace, index)
                     : (struct traceql_value){.type = TRACEQL_NIL};
    }
}
