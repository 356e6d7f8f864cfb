/* Parser of what stands inside braces and of what aggregates compute: fields, values, operators. */
#include "telemetry/traceql_parse.h"

#include <string.h>

static int level_of(enum traceql_op op)
{
    if (op == TRACEQL_OP_AND || op == TRACEQL_OP_OR)
        return 1;
    if (op >= TRACEQL_OP_EQUAL && op <= TRACEQL_OP_NOT_REGEX)
        return 2;
    if (op == TRACEQL_OP_ADD || op == TRACEQL_OP_SUBTRACT)
        return 3;
    if (op == TRACEQL_OP_MULTIPLY || op == TRACEQL_OP_DIVIDE || op == TRACEQL_OP_MODULO)
        return 5;
    return op == TRACEQL_OP_POWER ? 6 : 0;
}
enum { LEVEL_NOT = 5, LEVEL_SIGN = 6 };

/* The lexer cannot tell these apart: between spansets they are structural. */
static enum traceql_op comparison_of(const struct traceql_token *token)
{
    if (token->op == TRACEQL_OP_CHILD || token->op == TRACEQL_OP_PARENT)
        return TRACEQL_OP_NONE; /* !> &> … */
    return token->op;
}

static struct traceql_node *parse_constant(struct parser *p)
{
    static const struct {
        const char *name;
        enum traceql_type type;
        int64_t value;
    } CONSTANTS[] = {
        {"nil", TRACEQL_NIL, 0},
        {"true", TRACEQL_BOOL, 1},
        {"false", TRACEQL_BOOL, 0},
        {"unset", TRACEQL_STATUS, 0},
        {"ok", TRACEQL_STATUS, 1},
        {"error", TRACEQL_STATUS, 2},
        {"unspecified", TRACEQL_KIND, 0},
        {"internal", TRACEQL_KIND, 1},
        {"server", TRACEQL_KIND, 2},
        {"client", TRACEQL_KIND, 3},
        {"producer", TRACEQL_KIND, 4},
        {"consumer", TRACEQL_KIND, 5},
        {"minInt", TRACEQL_INT, INT64_MIN},
        {"maxInt", TRACEQL_INT, INT64_MAX},
    };

    for (size_t i = 0; i < OBS_COUNT(CONSTANTS); i++) {
        struct traceql_node *node;

        if (!parser_is_name(parser_peek(p), CONSTANTS[i].name))
            continue;
        node = parser_node_at(p, TRACEQL_VALUE, parser_take(p));
        if (!node)
            return NULL;
        node->type = node->is.value.type = CONSTANTS[i].type;
        if (node->type == TRACEQL_BOOL)
            node->is.value.is.boolean = CONSTANTS[i].value != 0;
        else
            node->is.value.is.integer = CONSTANTS[i].value;
        return node;
    }
    return NULL;
}

static struct traceql_node *parse_value(struct parser *p)
{
    struct traceql_node *node = parser_node_at(p, TRACEQL_VALUE, parser_peek(p));

    if (!node)
        return NULL;
    node->is.value = parser_take(p)->value;
    node->type = node->is.value.type;
    return node;
}

struct traceql_node *parser_intrinsic(struct parser *p)
{
    static const struct {
        const char *bare, *scoped;
        enum traceql_type type;
        bool needs_trace;
    } INTRINSICS[] = {
#define ROW(id, bare, scoped, type, is_of_trace) {bare, scoped, TRACEQL_##type, is_of_trace},
        TRACEQL_INTRINSICS(ROW)
#undef ROW
    };

    for (size_t i = 0; i < OBS_COUNT(INTRINSICS); i++) {
        struct traceql_node *node;

        if (!parser_is_name(parser_peek(p), INTRINSICS[i].bare) &&
            !parser_is_name(parser_peek(p), INTRINSICS[i].scoped))
            continue;
        node = parser_node_at(p, TRACEQL_FIELD, parser_take(p));
        if (!node)
            return NULL;
        node->type = INTRINSICS[i].type;
        node->needs_trace = INTRINSICS[i].needs_trace;
        node->is.field.id = (enum traceql_field_id)i;
        node->is.field.name = node->source;
        return parser_mention(p, node);
    }
    return NULL;
}

struct traceql_node *parser_attribute(struct parser *p)
{
    const struct traceql_token *token = parser_take(p);
    struct traceql_node *node = parser_node_at(p, TRACEQL_FIELD, token);

    if (!node)
        return NULL;
    node->type = TRACEQL_ANY;
    node->is.field = (struct traceql_field){
        .id = TRACEQL_FIELD_ATTRIBUTE, .scope = token->scope, .name = token->value.is.text};
    return parser_mention(p, node);
}

/* Fields that a result shows: each once. */
struct traceql_node *parser_mention(struct parser *p, struct traceql_node *node)
{
    struct traceql_query *query = p->query;

    for (size_t i = 0; i < query->field_count; i++) {
        const struct traceql_field *have = &query->fields[i];

        if (have->id == node->is.field.id && have->scope == node->is.field.scope &&
            (have->id != TRACEQL_FIELD_ATTRIBUTE ||
             text_view_equal(have->name, node->is.field.name)))
            return node;
    }
    if (query->field_count == TRACEQL_FIELDS_MAX)
        return parser_refuse(p, node->line, node->column, "more than %d different fields",
                             TRACEQL_FIELDS_MAX);
    query->fields[query->field_count++] = node->is.field;
    return node;
}

enum traceql_op parser_aggregate_of(const struct traceql_token *token)
{
    static const char *const NAMES[] = {"count", "avg", "max", "min", "sum"};

    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        if (parser_is_name(token, NAMES[i]))
            return (enum traceql_op)(TRACEQL_OP_COUNT + i);
    }
    return TRACEQL_OP_NONE;
}

static struct traceql_node *parse_aggregate(struct parser *p)
{
    const struct traceql_token *name = parser_peek(p);
    struct traceql_node *node = parser_node_at(p, TRACEQL_AGGREGATE, name);

    if (!node)
        return NULL;
    node->op = parser_aggregate_of(parser_take(p));
    node->has_aggregate = true;
    if (!parser_take_if(p, TRACEQL_TOKEN_OPEN))
        return parser_unexpected(p, "\"(\"");
    if (node->op != TRACEQL_OP_COUNT) {
        p->is_scalar = false;
        node->a = parser_expression(p, 1);
        p->is_scalar = true;
        if (!node->a)
            return NULL;
    }
    if (!parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\")\"");
    parser_end_source(p, node, name->source.text);
    return checker_aggregate(p, node);
}

static struct traceql_node *parse_parentheses(struct parser *p)
{
    struct traceql_node *node;

    parser_take(p);
    if (!parser_enter(p))
        return NULL;
    node = parser_expression(p, 1);
    p->depth--;
    if (node && !parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\")\" or an operator");
    return node;
}

static struct traceql_node *parse_sign(struct parser *p)
{
    const struct traceql_token *sign = parser_take(p);
    struct traceql_node *node = parser_node_at(p, TRACEQL_UNARY, sign);

    if (!node || !parser_enter(p))
        return NULL;
    node->op = sign->op;
    node->a = parser_expression(p, sign->op == TRACEQL_OP_NOT ? LEVEL_NOT : LEVEL_SIGN);
    p->depth--;
    if (!node->a)
        return NULL;
    parser_end_source(p, node, sign->source.text);
    return checker_unary(p, node);
}

static struct traceql_node *parse_operand(struct parser *p)
{
    const struct traceql_token *token = parser_peek(p);
    struct traceql_node *node = NULL;

    if (token->type == TRACEQL_TOKEN_OPEN)
        return parse_parentheses(p);
    if (token->type == TRACEQL_TOKEN_VALUE)
        return parse_value(p);
    if (token->type == TRACEQL_TOKEN_OPERATOR &&
        (token->op == TRACEQL_OP_SUBTRACT || token->op == TRACEQL_OP_NOT))
        return parse_sign(p);
    if (p->is_scalar) {
        if (parser_aggregate_of(token) != TRACEQL_OP_NONE)
            return parse_aggregate(p);
        return parser_unexpected(p, "count(), avg(), max(), min(), sum() or a number");
    }
    if (token->type == TRACEQL_TOKEN_ATTRIBUTE)
        return parser_attribute(p);
    if (token->type == TRACEQL_TOKEN_NAME) {
        node = parse_constant(p);
        if (!node && p->error == 0)
            node = parser_intrinsic(p);
        if (!node && p->error == 0)
            return parser_unexpected(
                p, "a field such as name, span.x, resource.x or .x, or a value (text "
                   "needs quotes)");
        return node;
    }
    return parser_unexpected(p, "a field or a value");
}

struct traceql_node *parser_expression(struct parser *p, int level)
{
    const char *start = parser_peek(p)->source.text;
    struct traceql_node *left = parse_operand(p);

    while (left) {
        const struct traceql_token *token = parser_peek(p);
        enum traceql_op op =
            token->type == TRACEQL_TOKEN_OPERATOR ? comparison_of(token) : TRACEQL_OP_NONE;
        int have = level_of(op);
        struct traceql_node *pair;

        if (have == 0 || have < level)
            return left;
        pair = parser_node_at(p, TRACEQL_BINARY, parser_take(p));
        if (!pair || !parser_enter(p))
            return NULL;
        pair->op = op;
        pair->a = left;
        pair->b = parser_expression(p, op == TRACEQL_OP_POWER ? have : have + 1);
        p->depth--;
        if (!pair->b)
            return NULL;
        parser_end_source(p, pair, start);
        left = checker_binary(p, pair);
    }
    return NULL;
}
