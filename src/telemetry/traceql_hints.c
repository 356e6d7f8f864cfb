/*
 * Hints: what a query says about single spans, before traces are put together.
 *
 * A witness is a span that a matching trace must have. For `a && b` and for structural operators
 * both sides must find something, so the side that narrows more is asked; for `a || b` either; for
 * a pipeline its first stage. Where a condition is about the whole trace, one span cannot answer,
 * and the answer is "perhaps".
 */
#include "telemetry/traceql_eval.h"
#include "telemetry/traceql_parse.h"

#include "telemetry/regex.h"

/* How much an expression narrows: 0 not at all, 1 some condition, 2 and more what an index knows.
 */
static int weight(const struct traceql_node *node)
{
    int a, b;

    if (!node || node->kind != TRACEQL_BINARY)
        return node ? (node->needs_trace || node->kind == TRACEQL_VALUE ? 0 : 1) : 0;
    a = weight(node->a);
    b = weight(node->b);
    if (node->op == TRACEQL_OP_AND)
        return a + b > 8 ? 8 : a + b;
    if (node->op == TRACEQL_OP_OR)
        return a < b ? a : b;
    if (node->needs_trace)
        return 0;
    return node->op == TRACEQL_OP_EQUAL ? 3 : 1;
}

static int witness_weight(struct traceql_node *node)
{
    int a, b;

    switch (node->kind) {
    case TRACEQL_FILTER:
        return weight(node->a);
    case TRACEQL_PIPELINE:
        return witness_weight(node->a);
    case TRACEQL_SPANSET_PAIR:
        a = witness_weight(node->a);
        b = witness_weight(node->b);
        if (node->op == TRACEQL_OP_OR)
            return a < b ? a : b;
        /* `{a} !> {b}` finds b also where there is no a */
        node->is_witness_b = node->is_negated || b > a;
        return node->is_witness_b ? b : a;
    default:
        return 0;
    }
}

static void choose_in_stages(struct traceql_node *stage)
{
    for (; stage; stage = stage->next)
        witness_weight(stage);
}

void traceql_choose_witness(struct traceql_node *pipeline)
{
    choose_in_stages(pipeline->a);
}

static bool may_be_true(const struct traceql_node *node, const struct span_view *view)
{
    struct traceql_value value;

    if (node->needs_trace) {
        if (node->kind == TRACEQL_BINARY && node->op == TRACEQL_OP_AND)
            return may_be_true(node->a, view) && may_be_true(node->b, view);
        if (node->kind == TRACEQL_BINARY && node->op == TRACEQL_OP_OR)
            return may_be_true(node->a, view) || may_be_true(node->b, view);
        return true;
    }
    value = traceql_evaluate(node, &(struct traceql_context){.view = view});
    return value.type == TRACEQL_BOOL && value.is.boolean;
}

static bool is_witness(const struct traceql_node *node, const struct span_view *view)
{
    switch (node->kind) {
    case TRACEQL_FILTER:
        return !node->a || may_be_true(node->a, view);
    case TRACEQL_PIPELINE:
        return is_witness(node->a, view);
    case TRACEQL_SPANSET_PAIR:
        if (node->op == TRACEQL_OP_OR)
            return is_witness(node->a, view) || is_witness(node->b, view);
        return is_witness(node->is_witness_b ? node->b : node->a, view);
    default:
        return true;
    }
}

bool traceql_may_match(const struct traceql_query *query, const struct span_view *span)
{
    return is_witness(query->root, span);
}

bool traceql_is_single(const struct traceql_query *query)
{
    const struct traceql_node *stage = query->root->a;

    if (stage->kind != TRACEQL_FILTER || stage->needs_trace)
        return false;
    while (stage->next && (stage->next->kind == TRACEQL_SELECT))
        stage = stage->next;
    return !stage->next;
}

bool traceql_wants(const struct traceql_query *query, struct text_view name)
{
    for (size_t i = 0; i < query->field_count; i++) {
        if (query->fields[i].id == TRACEQL_FIELD_ATTRIBUTE &&
            text_view_equal(query->fields[i].name, name))
            return true;
    }
    return false;
}

bool traceql_gave_up(const struct traceql_query *query, struct obs_reason *reterr_reason)
{
    for (size_t i = 0; i < query->regex_count; i++) {
        if (!regex_gave_up(query->regexes[i]))
            continue;
        obs_reason_set(reterr_reason,
                       "a regular expression takes too many steps on some value: simplify it");
        return true;
    }
    return false;
}

/* ---- for the store ---- */

static const struct traceql_node *witness_filter(const struct traceql_node *node)
{
    switch (node->kind) {
    case TRACEQL_FILTER:
        return node->a;
    case TRACEQL_PIPELINE:
        return witness_filter(node->a);
    case TRACEQL_SPANSET_PAIR:
        if (node->op == TRACEQL_OP_OR)
            return NULL; /* two filters: one hint would leave out the other's */
        return witness_filter(node->is_witness_b ? node->b : node->a);
    default:
        return NULL;
    }
}

static void hint_attribute(const struct traceql_field *field, const struct traceql_value *value,
                           struct span_hints *hints)
{
    if (value->type == TRACEQL_STRING && field->scope == TRACEQL_SCOPE_RESOURCE &&
        text_view_equal(field->name, text_view_of("service.name"))) {
        hints->service = value->is.text;
        return;
    }
    if (hints->equals.name.size > 0)
        return;
    hints->equals.name = field->name;
    switch (value->type) { /* the store compares numbers by value, too */
    case TRACEQL_STRING:
        hints->equals.value = (struct value){.type = VALUE_TEXT, .is.text = value->is.text};
        break;
    case TRACEQL_INT:
        hints->equals.value = (struct value){.type = VALUE_INT, .is.integer = value->is.integer};
        break;
    case TRACEQL_BOOL:
        hints->equals.value = (struct value){.type = VALUE_BOOL, .is.boolean = value->is.boolean};
        break;
    default:
        hints->equals.name.size = 0;
        break;
    }
}

static void hint_duration(enum traceql_op op, int64_t ns, struct span_hints *hints)
{
    uint64_t bound = ns > 0 ? (uint64_t)ns : 0;
    bool is_equal = op == TRACEQL_OP_EQUAL;

    if (is_equal || op == TRACEQL_OP_GREATER || op == TRACEQL_OP_GREATER_EQUAL) {
        if (bound > hints->duration_min_ns)
            hints->duration_min_ns = bound;
    }
    if (bound > 0 && (is_equal || op == TRACEQL_OP_LESS || op == TRACEQL_OP_LESS_EQUAL)) {
        if (hints->duration_max_ns == 0 || bound < hints->duration_max_ns)
            hints->duration_max_ns = bound;
    }
}

static void hint_comparison(const struct traceql_node *node, struct span_hints *hints)
{
    const struct traceql_field *field = &node->a->is.field;
    const struct traceql_value *value = &node->b->is.value;

    if (node->a->kind != TRACEQL_FIELD || node->b->kind != TRACEQL_VALUE)
        return;
    if (field->id == TRACEQL_FIELD_DURATION && value->type != TRACEQL_FLOAT)
        hint_duration(node->op, value->is.integer, hints);
    if (node->op != TRACEQL_OP_EQUAL)
        return;
    /* An empty text in a hint means none. */
    if (value->type == TRACEQL_STRING && value->is.text.size == 0)
        return;
    if (field->id == TRACEQL_FIELD_NAME)
        hints->name = value->is.text;
    else if (field->id == TRACEQL_FIELD_ATTRIBUTE)
        hint_attribute(field, value, hints);
}

static void hint_expression(const struct traceql_node *node, struct span_hints *hints)
{
    if (!node || node->kind != TRACEQL_BINARY)
        return;
    if (node->op == TRACEQL_OP_AND) {
        hint_expression(node->a, hints);
        hint_expression(node->b, hints);
    } else {
        hint_comparison(node, hints);
    }
}

void traceql_hints(const struct traceql_query *query, struct span_hints *ret_hints)
{
    struct span_hints hints = {.from_ns = ret_hints->from_ns, .until_ns = ret_hints->until_ns};

    hint_expression(witness_filter(query->root), &hints);
    *ret_hints = hints;
}
