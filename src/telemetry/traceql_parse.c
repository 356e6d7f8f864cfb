/*
 * Parser: words to a tree, by recursive descent with precedence climbing.
 *
 * Precedence is Tempo's, from loose to tight: | ; && and || (equal, from the left); comparisons and
 * structural operators; + - ; ! ; * / % ; ^ (from the right). That && and || are equal surprises:
 * docs/traceql.md says it, and parentheses help.
 */
#include "telemetry/traceql_parse.h"

#include "telemetry/regex.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARENA_BYTES_MAX (2U << 20)

static const struct traceql_token *peek(const struct parser *p)
{
    return &p->tokens[p->at];
}

static const struct traceql_token *take(struct parser *p)
{
    const struct traceql_token *token = peek(p);

    if (token->type != TRACEQL_TOKEN_END)
        p->at++;
    return token;
}

static bool is_name(const struct traceql_token *token, const char *name)
{
    return token->type == TRACEQL_TOKEN_NAME && text_view_equal(token->source, text_view_of(name));
}

static bool take_if(struct parser *p, enum traceql_token_type type)
{
    if (peek(p)->type != type)
        return false;
    p->at++;
    return true;
}

/* "unexpected X: expected Y" at the word that stands there. */
static struct traceql_node *unexpected(struct parser *p, const char *expected)
{
    const struct traceql_token *token = peek(p);

    if (token->type == TRACEQL_TOKEN_END)
        return parser_refuse(p, token->line, token->column, "unexpected end: expected %s",
                             expected);
    return parser_refuse(p, token->line, token->column, "unexpected \"%.*s\": expected %s",
                         (int)(token->source.size > 60 ? 60 : token->source.size),
                         token->source.text, expected);
}

struct traceql_node *parser_refuse(struct parser *p, unsigned line, unsigned column,
                                   const char *format, ...)
{
    char text[200];
    va_list args;

    if (p->error == 0) { /* the first one is the cause */
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        obs_reason_set_at(p->why, line, column, "%s", text);
        p->error = TRACEQL_REFUSED;
    }
    return NULL;
}

static struct traceql_node *node_at(struct parser *p, enum traceql_kind kind,
                                    const struct traceql_token *token)
{
    struct traceql_node *node = parser_node(p, kind);

    if (node) {
        node->line = token->line;
        node->column = token->column;
        node->source = token->source;
    }
    return node;
}

struct traceql_node *parser_node(struct parser *p, enum traceql_kind kind)
{
    struct traceql_node *node = obs_arena_alloc(p->query->arena, sizeof(*node));

    if (!node) {
        p->error = -ENOMEM;
        return NULL;
    }
    node->kind = kind;
    return node;
}

/* Text from @node's start to the last word taken. */
static void end_source(const struct parser *p, struct traceql_node *node, const char *start)
{
    const struct traceql_token *last = &p->tokens[p->at - 1];

    node->source =
        (struct text_view){start, (size_t)(last->source.text + last->source.size - start)};
}

static bool enter(struct parser *p)
{
    if (++p->depth <= TRACEQL_DEPTH_MAX)
        return true;
    parser_refuse(p, peek(p)->line, peek(p)->column, "more than %d levels inside each other",
                  TRACEQL_DEPTH_MAX);
    return false;
}

/* ---- expressions ---- */

static struct traceql_node *parse_expression(struct parser *p, int level);

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

        if (!is_name(peek(p), CONSTANTS[i].name))
            continue;
        node = node_at(p, TRACEQL_VALUE, take(p));
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
    struct traceql_node *node = node_at(p, TRACEQL_VALUE, peek(p));

    if (!node)
        return NULL;
    node->is.value = take(p)->value;
    node->type = node->is.value.type;
    return node;
}

static struct traceql_node *parse_intrinsic(struct parser *p)
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

        if (!is_name(peek(p), INTRINSICS[i].bare) && !is_name(peek(p), INTRINSICS[i].scoped))
            continue;
        node = node_at(p, TRACEQL_FIELD, take(p));
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

static struct traceql_node *parse_attribute(struct parser *p)
{
    const struct traceql_token *token = take(p);
    struct traceql_node *node = node_at(p, TRACEQL_FIELD, token);

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

static enum traceql_op aggregate_of(const struct traceql_token *token)
{
    static const char *const NAMES[] = {"count", "avg", "max", "min", "sum"};

    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        if (is_name(token, NAMES[i]))
            return (enum traceql_op)(TRACEQL_OP_COUNT + i);
    }
    return TRACEQL_OP_NONE;
}

static struct traceql_node *parse_aggregate(struct parser *p)
{
    const struct traceql_token *name = peek(p);
    struct traceql_node *node = node_at(p, TRACEQL_AGGREGATE, name);

    if (!node)
        return NULL;
    node->op = aggregate_of(take(p));
    node->has_aggregate = true;
    if (!take_if(p, TRACEQL_TOKEN_OPEN))
        return unexpected(p, "\"(\"");
    if (node->op != TRACEQL_OP_COUNT) {
        p->is_scalar = false;
        node->a = parse_expression(p, 1);
        p->is_scalar = true;
        if (!node->a)
            return NULL;
    }
    if (!take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\")\"");
    end_source(p, node, name->source.text);
    return checker_aggregate(p, node);
}

static struct traceql_node *parse_parentheses(struct parser *p)
{
    struct traceql_node *node;

    take(p);
    if (!enter(p))
        return NULL;
    node = parse_expression(p, 1);
    p->depth--;
    if (node && !take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\")\" or an operator");
    return node;
}

static struct traceql_node *parse_sign(struct parser *p)
{
    const struct traceql_token *sign = take(p);
    struct traceql_node *node = node_at(p, TRACEQL_UNARY, sign);

    if (!node || !enter(p))
        return NULL;
    node->op = sign->op;
    node->a = parse_expression(p, sign->op == TRACEQL_OP_NOT ? LEVEL_NOT : LEVEL_SIGN);
    p->depth--;
    if (!node->a)
        return NULL;
    end_source(p, node, sign->source.text);
    return checker_unary(p, node);
}

static struct traceql_node *parse_operand(struct parser *p)
{
    const struct traceql_token *token = peek(p);
    struct traceql_node *node = NULL;

    if (token->type == TRACEQL_TOKEN_OPEN)
        return parse_parentheses(p);
    if (token->type == TRACEQL_TOKEN_VALUE)
        return parse_value(p);
    if (token->type == TRACEQL_TOKEN_OPERATOR &&
        (token->op == TRACEQL_OP_SUBTRACT || token->op == TRACEQL_OP_NOT))
        return parse_sign(p);
    if (p->is_scalar) {
        if (aggregate_of(token) != TRACEQL_OP_NONE)
            return parse_aggregate(p);
        return unexpected(p, "count(), avg(), max(), min(), sum() or a number");
    }
    if (token->type == TRACEQL_TOKEN_ATTRIBUTE)
        return parse_attribute(p);
    if (token->type == TRACEQL_TOKEN_NAME) {
        node = parse_constant(p);
        if (!node && p->error == 0)
            node = parse_intrinsic(p);
        if (!node && p->error == 0)
            return unexpected(p, "a field such as name, span.x, resource.x or .x, or a value (text "
                                 "needs quotes)");
        return node;
    }
    return unexpected(p, "a field or a value");
}

static struct traceql_node *parse_expression(struct parser *p, int level)
{
    const char *start = peek(p)->source.text;
    struct traceql_node *left = parse_operand(p);

    while (left) {
        const struct traceql_token *token = peek(p);
        enum traceql_op op =
            token->type == TRACEQL_TOKEN_OPERATOR ? comparison_of(token) : TRACEQL_OP_NONE;
        int have = level_of(op);
        struct traceql_node *pair;

        if (have == 0 || have < level)
            return left;
        pair = node_at(p, TRACEQL_BINARY, take(p));
        if (!pair || !enter(p))
            return NULL;
        pair->op = op;
        pair->a = left;
        pair->b = parse_expression(p, op == TRACEQL_OP_POWER ? have : have + 1);
        p->depth--;
        if (!pair->b)
            return NULL;
        end_source(p, pair, start);
        left = checker_binary(p, pair);
    }
    return NULL;
}

/* ---- spansets ---- */

static struct traceql_node *parse_pipeline(struct parser *p);

static struct traceql_node *parse_filter(struct parser *p)
{
    struct traceql_node *node = node_at(p, TRACEQL_FILTER, take(p));

    if (!node || take_if(p, TRACEQL_TOKEN_CLOSE_BRACE))
        return node;
    p->is_scalar = false;
    node->a = parse_expression(p, 1);
    if (!node->a)
        return NULL;
    if (!take_if(p, TRACEQL_TOKEN_CLOSE_BRACE))
        return unexpected(p, "an operator or \"}\"");
    return checker_filter(p, node);
}

static struct traceql_node *parse_spanset(struct parser *p)
{
    struct traceql_node *node;

    if (peek(p)->type == TRACEQL_TOKEN_OPEN_BRACE)
        return parse_filter(p);
    if (peek(p)->type != TRACEQL_TOKEN_OPEN)
        return unexpected(p, "spans in braces, such as { status = error }");
    take(p);
    if (!enter(p))
        return NULL;
    node = parse_pipeline(p);
    p->depth--;
    if (node && !take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\")\" or an operator between spansets");
    return node;
}

/* 0: not an operator between spansets. */
static int spanset_level(const struct traceql_token *token, enum traceql_op *ret_op,
                         bool *ret_is_negated)
{
    if (token->type != TRACEQL_TOKEN_OPERATOR)
        return 0;
    *ret_op = token->op;
    *ret_is_negated = token->is_negated;
    switch (token->op) {
    case TRACEQL_OP_AND:
    case TRACEQL_OP_OR:
        return 1;
    case TRACEQL_OP_GREATER:
        *ret_op = TRACEQL_OP_CHILD;
        return 2;
    case TRACEQL_OP_LESS:
        *ret_op = TRACEQL_OP_PARENT;
        return 2;
    case TRACEQL_OP_NOT_REGEX: /* !~ */
        *ret_op = TRACEQL_OP_SIBLING;
        *ret_is_negated = true;
        return 2;
    default:
        return token->op >= TRACEQL_OP_CHILD && token->op <= TRACEQL_OP_SIBLING ? 2 : 0;
    }
}

static struct traceql_node *parse_spansets(struct parser *p, int level)
{
    struct traceql_node *left = parse_spanset(p);

    while (left) {
        const struct traceql_token *token = peek(p);
        enum traceql_op op;
        bool is_negated;
        int have = spanset_level(token, &op, &is_negated);
        struct traceql_node *pair;

        if (have == 0 || have < level)
            return left;
        pair = node_at(p, TRACEQL_SPANSET_PAIR, take(p));
        if (!pair || !enter(p))
            return NULL;
        pair->op = op;
        pair->is_negated = is_negated;
        pair->is_union = token->is_union;
        pair->a = left;
        pair->b = parse_spansets(p, have + 1);
        p->depth--;
        if (!pair->b)
            return NULL;
        left = pair;
    }
    return NULL;
}

/* ---- pipelines ---- */

static struct traceql_node *parse_by(struct parser *p)
{
    struct traceql_node *node = node_at(p, TRACEQL_BY, take(p));
    const char *start = node ? node->source.text : NULL;

    if (!node)
        return NULL;
    if (!take_if(p, TRACEQL_TOKEN_OPEN))
        return unexpected(p, "\"(\"");
    p->is_scalar = false;
    node->a = parse_expression(p, 1);
    if (!node->a)
        return NULL;
    if (!take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\")\"");
    end_source(p, node, start);
    return node;
}

static struct traceql_node *parse_coalesce(struct parser *p)
{
    struct traceql_node *node = node_at(p, TRACEQL_COALESCE, take(p));

    if (!take_if(p, TRACEQL_TOKEN_OPEN))
        return unexpected(p, "\"(\"");
    if (!take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\")\"");
    return node;
}

/* Mentioning the fields is all: what a result shows are the fields mentioned. */
static struct traceql_node *parse_select(struct parser *p)
{
    struct traceql_node *node = node_at(p, TRACEQL_SELECT, take(p));

    if (!take_if(p, TRACEQL_TOKEN_OPEN))
        return unexpected(p, "\"(\"");
    do {
        if (peek(p)->type == TRACEQL_TOKEN_ATTRIBUTE) {
            if (!parse_attribute(p))
                return NULL;
        } else if (!parse_intrinsic(p)) {
            return p->error != 0 ? NULL : unexpected(p, "a field");
        }
    } while (take_if(p, TRACEQL_TOKEN_COMMA));
    if (!take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\",\" or \")\"");
    return node;
}

static struct traceql_node *parse_scalar(struct parser *p)
{
    struct traceql_node *node = node_at(p, TRACEQL_SCALAR, peek(p));

    if (!node)
        return NULL;
    p->is_scalar = true;
    node->a = parse_expression(p, 1);
    p->is_scalar = false;
    return node->a ? checker_scalar(p, node) : NULL;
}

/* A parenthesis may open spansets or arithmetic: what is inside it tells. */
static bool begins_spanset(const struct parser *p)
{
    size_t at = p->at;

    while (p->tokens[at].type == TRACEQL_TOKEN_OPEN)
        at++;
    if (p->tokens[at].type == TRACEQL_TOKEN_OPEN_BRACE)
        return true;
    return at > p->at && (is_name(&p->tokens[at], "by") || is_name(&p->tokens[at], "coalesce") ||
                          is_name(&p->tokens[at], "select"));
}

static struct traceql_node *parse_stage(struct parser *p)
{
    static const char *const METRICS[] = {"rate",
                                          "count_over_time",
                                          "min_over_time",
                                          "max_over_time",
                                          "avg_over_time",
                                          "sum_over_time",
                                          "quantile_over_time",
                                          "histogram_over_time",
                                          "compare",
                                          "topk",
                                          "bottomk"};
    const struct traceql_token *token = peek(p);

    if (begins_spanset(p))
        return parse_spansets(p, 1);
    if (is_name(token, "by"))
        return parse_by(p);
    if (is_name(token, "coalesce"))
        return parse_coalesce(p);
    if (is_name(token, "select"))
        return parse_select(p);
    for (size_t i = 0; i < OBS_COUNT(METRICS); i++) {
        if (is_name(token, METRICS[i]))
            return parser_refuse(p, token->line, token->column,
                                 "%s() is not supported: metrics of traces are not computed here",
                                 METRICS[i]);
    }
    if (aggregate_of(token) != TRACEQL_OP_NONE || token->type == TRACEQL_TOKEN_OPEN ||
        token->type == TRACEQL_TOKEN_VALUE ||
        (token->type == TRACEQL_TOKEN_OPERATOR && token->op == TRACEQL_OP_SUBTRACT))
        return parse_scalar(p);
    return unexpected(p, "spans in braces, such as { status = error }, or count(), avg(), max(), "
                         "min(), sum(), by(), select() or coalesce()");
}

static bool is_spanset(const struct traceql_node *node)
{
    return node->kind == TRACEQL_FILTER || node->kind == TRACEQL_SPANSET_PAIR ||
           node->kind == TRACEQL_PIPELINE;
}

static struct traceql_node *parse_pipeline(struct parser *p)
{
    struct traceql_node *pipeline = node_at(p, TRACEQL_PIPELINE, peek(p)), *last;

    if (!pipeline)
        return NULL;
    last = pipeline->a = parse_stage(p);
    if (!last)
        return NULL;
    if (!is_spanset(last)) { /* `count() > 2` is `{ } | count() > 2` */
        pipeline->a = parser_node(p, TRACEQL_FILTER);
        if (!pipeline->a)
            return NULL;
        pipeline->a->next = last;
    }
    while (take_if(p, TRACEQL_TOKEN_PIPE)) {
        last->next = parse_stage(p);
        last = last->next;
        if (!last)
            return NULL;
    }
    return pipeline;
}

/* with (most_recent = true) */
static bool parse_with(struct parser *p)
{
    take(p);
    if (!take_if(p, TRACEQL_TOKEN_OPEN))
        return unexpected(p, "\"(\"");
    if (!is_name(peek(p), "most_recent"))
        return unexpected(p, "most_recent: other hints are not supported");
    take(p);
    if (peek(p)->type != TRACEQL_TOKEN_OPERATOR || peek(p)->op != TRACEQL_OP_EQUAL)
        return unexpected(p, "\"=\"");
    take(p);
    if (!is_name(peek(p), "true") && !is_name(peek(p), "false"))
        return unexpected(p, "true or false");
    p->query->is_most_recent = is_name(take(p), "true");
    if (!take_if(p, TRACEQL_TOKEN_CLOSE))
        return unexpected(p, "\")\"");
    return true;
}

static struct traceql_node *parse_query(struct parser *p)
{
    struct traceql_node *root = parse_pipeline(p);

    if (root && is_name(peek(p), "with"))
        parse_with(p);
    if (p->error == 0 && root && peek(p)->type != TRACEQL_TOKEN_END)
        return unexpected(p, "\"|\", an operator between spansets, or the end");
    return p->error == 0 ? root : NULL;
}

static struct traceql_node *parse_only_field(struct parser *p)
{
    struct traceql_node *field = NULL, *root = parser_node(p, TRACEQL_PIPELINE);

    if (peek(p)->type == TRACEQL_TOKEN_ATTRIBUTE)
        field = parse_attribute(p);
    else
        field = parse_intrinsic(p);
    if (p->error == 0 && (!field || peek(p)->type != TRACEQL_TOKEN_END))
        unexpected(p, "a field such as .service.name, resource.service.name, span.x or status");
    if (p->error != 0 || !root)
        return NULL;
    root->a = parser_node(p, TRACEQL_FILTER);
    return root->a ? root : NULL;
}

struct traceql_query *traceql_query_free(struct traceql_query *query)
{
    if (!query)
        return NULL;
    for (size_t i = 0; i < query->regex_count; i++)
        regex_free(query->regexes[i]);
    obs_arena_free(query->arena);
    free(query);
    return NULL;
}

int traceql_query_new(struct traceql_query **ret_query)
{
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *query = calloc(1, sizeof(*query));

    if (!query || obs_arena_new(ARENA_BYTES_MAX, &query->arena) < 0)
        return -ENOMEM;
    *ret_query = OBS_TAKE(query);
    return 0;
}

static int parse(const char *text, size_t size, struct traceql_node *(*rule)(struct parser *),
                 struct traceql_query **ret_query, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *query = NULL;
    struct parser parser = {.why = reterr_reason};
    char *copy;
    size_t count;
    int r;

    if (size > TRACEQL_SIZE_MAX) {
        obs_reason_set_at(reterr_reason, 1, 1, "query of %zu bytes: at most %d", size,
                          TRACEQL_SIZE_MAX);
        return TRACEQL_REFUSED;
    }
    r = traceql_query_new(&query);
    if (r < 0)
        return r;
    copy = obs_arena_alloc(query->arena, size + 1);
    if (!copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(copy, text, size);
    parser.query = query;
    r = traceql_lex((struct text_view){copy, size}, query->arena, &parser.tokens, &count,
                    reterr_reason);
    if (r != 0)
        return r;
    query->root = rule(&parser);
    if (!query->root)
        return parser.error != 0 ? parser.error : -ENOMEM;
    traceql_choose_witness(query->root);
    *ret_query = OBS_TAKE(query);
    return 0;
}

int traceql_parse(const char *text, size_t size, struct traceql_query **ret_query,
                  struct obs_reason *reterr_reason)
{
    return parse(text, size, parse_query, ret_query, reterr_reason);
}

int traceql_parse_field(const char *text, size_t size, struct traceql_query **ret_query,
                        struct obs_reason *reterr_reason)
{
    return parse(text, size, parse_only_field, ret_query, reterr_reason);
}
