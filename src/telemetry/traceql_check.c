/*
 * Checker: types of a query's expressions, as far as they are known before a span is seen.
 *
 * `{ name = 5 }` can never be true: it is a mistake, and is told as one, at its operator.
 */
#include "telemetry/traceql_parse.h"

#include "telemetry/regex.h"
#include <errno.h>
#include <string.h>

static const char *type_text(enum traceql_type type)
{
    static const char *const TEXTS[] = {"nil",      "text",       "a whole number",
                                        "a number", "a duration", "true or false",
                                        "a status", "a kind",     "a field"};

    return TEXTS[type];
}

static bool is_number(enum traceql_type type)
{
    return type == TRACEQL_INT || type == TRACEQL_FLOAT || type == TRACEQL_DURATION;
}

static bool may_be_number(const struct traceql_node *node)
{
    return node->type == TRACEQL_ANY || is_number(node->type);
}

static bool may_be_bool(const struct traceql_node *node)
{
    return node->type == TRACEQL_ANY || node->type == TRACEQL_BOOL;
}

static struct traceql_node *mismatch(struct parser *p, const struct traceql_node *node)
{
    return parser_refuse(p, node->line, node->column, "cannot compare %s with %s",
                         type_text(node->a->type), type_text(node->b->type));
}

static bool is_ordering(enum traceql_op op)
{
    return op >= TRACEQL_OP_LESS && op <= TRACEQL_OP_GREATER_EQUAL;
}

static bool is_id(const struct traceql_node *node)
{
    return node->kind == TRACEQL_FIELD && (node->is.field.id == TRACEQL_FIELD_SPAN_ID ||
                                           node->is.field.id == TRACEQL_FIELD_PARENT_ID ||
                                           node->is.field.id == TRACEQL_FIELD_TRACE_ID);
}

/* Tempo leaves out an id's leading zeros: `trace:id = "1f"` finds it all the same. */
static bool pad_id(struct parser *p, const struct traceql_node *field, struct traceql_node *value)
{
    size_t size = field->is.field.id == TRACEQL_FIELD_TRACE_ID ? 32 : 16;
    struct text_view *text = &value->is.value.is.text;
    char *padded;

    if (!is_id(field) || value->kind != TRACEQL_VALUE || text->size >= size)
        return true;
    padded = obs_arena_alloc(p->query->arena, size + 1);
    if (!padded) {
        p->error = -ENOMEM;
        return false;
    }
    memset(padded, '0', size);
    memcpy(padded + size - text->size, text->text, text->size);
    *text = (struct text_view){padded, size};
    return true;
}

static struct traceql_node *check_comparison(struct parser *p, struct traceql_node *node)
{
    enum traceql_type a = node->a->type, b = node->b->type;

    node->type = TRACEQL_BOOL;
    if (a == TRACEQL_NIL || b == TRACEQL_NIL) {
        if (is_ordering(node->op))
            return parser_refuse(p, node->line, node->column, "nil has no order: use = or !=");
        return node;
    }
    if (a != b && a != TRACEQL_ANY && b != TRACEQL_ANY && !(is_number(a) && is_number(b)))
        return mismatch(p, node);
    if (is_ordering(node->op)) {
        enum traceql_type known = a == TRACEQL_ANY ? b : a;

        if (known == TRACEQL_BOOL || known == TRACEQL_STATUS || known == TRACEQL_KIND)
            return parser_refuse(p, node->line, node->column,
                                 "%s has no order: use = or !=", type_text(known));
    }
    if (b == TRACEQL_STRING && !pad_id(p, node->a, node->b))
        return NULL;
    return a == TRACEQL_STRING && !pad_id(p, node->b, node->a) ? NULL : node;
}

static struct traceql_node *check_regex(struct parser *p, struct traceql_node *node)
{
    struct traceql_query *query = p->query;
    struct obs_reason why = {0};
    int r;

    node->type = TRACEQL_BOOL;
    if (node->b->kind != TRACEQL_VALUE || node->b->type != TRACEQL_STRING)
        return parser_refuse(p, node->b->line, node->b->column,
                             "a regular expression must be text in quotes");
    if (node->a->type != TRACEQL_STRING && node->a->type != TRACEQL_ANY)
        return parser_refuse(p, node->line, node->column,
                             "a regular expression is for text, not for %s",
                             type_text(node->a->type));
    if (query->regex_count == TRACEQL_REGEXES_MAX)
        return parser_refuse(p, node->line, node->column, "more than %d regular expressions",
                             TRACEQL_REGEXES_MAX);
    r = regex_compile(node->b->is.value.is.text, REGEX_ANCHORED, &node->regex, &why);
    if (r == REGEX_REFUSED)
        return parser_refuse(p, node->b->line, node->b->column, "%s", why.text);
    if (r < 0) {
        p->error = r;
        return NULL;
    }
    query->regexes[query->regex_count++] = node->regex;
    return node;
}

static struct traceql_node *check_logic(struct parser *p, struct traceql_node *node)
{
    const struct traceql_node *wrong = may_be_bool(node->a) ? node->b : node->a;

    node->type = TRACEQL_BOOL;
    if (may_be_bool(node->a) && may_be_bool(node->b))
        return node;
    return parser_refuse(p, wrong->line, wrong->column, "expected a condition, not %s",
                         type_text(wrong->type));
}

static struct traceql_node *check_arithmetic(struct parser *p, struct traceql_node *node)
{
    const struct traceql_node *wrong = may_be_number(node->a) ? node->b : node->a;

    node->type = TRACEQL_FLOAT;
    if (may_be_number(node->a) && may_be_number(node->b))
        return node;
    return parser_refuse(p, wrong->line, wrong->column, "expected a number, not %s",
                         type_text(wrong->type));
}

struct traceql_node *checker_binary(struct parser *p, struct traceql_node *node)
{
    node->needs_trace = node->a->needs_trace || node->b->needs_trace;
    node->has_aggregate = node->a->has_aggregate || node->b->has_aggregate;
    switch (node->op) {
    case TRACEQL_OP_AND:
    case TRACEQL_OP_OR:
        return check_logic(p, node);
    case TRACEQL_OP_REGEX:
    case TRACEQL_OP_NOT_REGEX:
        return check_regex(p, node);
    case TRACEQL_OP_ADD:
    case TRACEQL_OP_SUBTRACT:
    case TRACEQL_OP_MULTIPLY:
    case TRACEQL_OP_DIVIDE:
    case TRACEQL_OP_MODULO:
    case TRACEQL_OP_POWER:
        return check_arithmetic(p, node);
    default:
        return check_comparison(p, node);
    }
}

/* A signed literal is a literal: hints and messages see it as one. */
static struct traceql_node *fold_sign(struct traceql_node *node)
{
    struct traceql_value *value = &node->a->is.value;

    if (value->type == TRACEQL_FLOAT)
        value->is.number = -value->is.number;
    else
        value->is.integer = value->is.integer == INT64_MIN ? INT64_MAX : -value->is.integer;
    node->a->source = node->source;
    node->a->line = node->line;
    node->a->column = node->column;
    return node->a;
}

struct traceql_node *checker_unary(struct parser *p, struct traceql_node *node)
{
    node->needs_trace = node->a->needs_trace;
    node->has_aggregate = node->a->has_aggregate;
    if (node->op == TRACEQL_OP_NOT) {
        node->type = TRACEQL_BOOL;
        if (may_be_bool(node->a))
            return node;
        return parser_refuse(p, node->a->line, node->a->column, "expected a condition, not %s",
                             type_text(node->a->type));
    }
    node->type = node->a->type == TRACEQL_ANY ? TRACEQL_FLOAT : node->a->type;
    if (!may_be_number(node->a))
        return parser_refuse(p, node->a->line, node->a->column, "expected a number, not %s",
                             type_text(node->a->type));
    return node->a->kind == TRACEQL_VALUE ? fold_sign(node) : node;
}

struct traceql_node *checker_aggregate(struct parser *p, struct traceql_node *node)
{
    node->type = node->op == TRACEQL_OP_COUNT ? TRACEQL_INT : TRACEQL_FLOAT;
    if (!node->a || may_be_number(node->a))
        return node;
    return parser_refuse(p, node->a->line, node->a->column, "expected a number, not %s",
                         type_text(node->a->type));
}

struct traceql_node *checker_filter(struct parser *p, struct traceql_node *node)
{
    node->needs_trace = node->a->needs_trace;
    if (may_be_bool(node->a))
        return node;
    return parser_refuse(p, node->a->line, node->a->column,
                         "expected a condition such as `%.*s = …`, not %s",
                         (int)(node->a->source.size > 40 ? 40 : node->a->source.size),
                         node->a->source.text, type_text(node->a->type));
}

struct traceql_node *checker_scalar(struct parser *p, struct traceql_node *node)
{
    const struct traceql_node *test = node->a;

    if (test->kind == TRACEQL_BINARY && test->has_aggregate && test->op >= TRACEQL_OP_EQUAL &&
        test->op <= TRACEQL_OP_GREATER_EQUAL && is_number(test->a->type) &&
        is_number(test->b->type))
        return node;
    return parser_refuse(
        p, test->line, test->column,
        "expected a comparison of an aggregate with a number, such as count() > 2");
}
