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

const struct traceql_token *parser_peek(const struct parser *p)
{
    return &p->tokens[p->at];
}

const struct traceql_token *parser_take(struct parser *p)
{
    const struct traceql_token *token = parser_peek(p);

    if (token->type != TRACEQL_TOKEN_END)
        p->at++;
    return token;
}

bool parser_is_name(const struct traceql_token *token, const char *name)
{
    return token->type == TRACEQL_TOKEN_NAME && text_view_equal(token->source, text_view_of(name));
}

bool parser_take_if(struct parser *p, enum traceql_token_type type)
{
    if (parser_peek(p)->type != type)
        return false;
    p->at++;
    return true;
}

/* "unexpected X: expected Y" at the word that stands there. */
struct traceql_node *parser_unexpected(struct parser *p, const char *expected)
{
    const struct traceql_token *token = parser_peek(p);

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

struct traceql_node *parser_node_at(struct parser *p, enum traceql_kind kind,
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
void parser_end_source(const struct parser *p, struct traceql_node *node, const char *start)
{
    const struct traceql_token *last = &p->tokens[p->at - 1];

    node->source =
        (struct text_view){start, (size_t)(last->source.text + last->source.size - start)};
}

bool parser_enter(struct parser *p)
{
    if (++p->depth <= TRACEQL_DEPTH_MAX)
        return true;
    parser_refuse(p, parser_peek(p)->line, parser_peek(p)->column,
                  "more than %d levels inside each other", TRACEQL_DEPTH_MAX);
    return false;
}

/* ---- spansets ---- */

static struct traceql_node *parse_pipeline(struct parser *p);

static struct traceql_node *parse_filter(struct parser *p)
{
    struct traceql_node *node = parser_node_at(p, TRACEQL_FILTER, parser_take(p));

    if (!node || parser_take_if(p, TRACEQL_TOKEN_CLOSE_BRACE))
        return node;
    p->is_scalar = false;
    node->a = parser_expression(p, 1);
    if (!node->a)
        return NULL;
    if (!parser_take_if(p, TRACEQL_TOKEN_CLOSE_BRACE))
        return parser_unexpected(p, "an operator or \"}\"");
    return checker_filter(p, node);
}

static struct traceql_node *parse_spanset(struct parser *p)
{
    struct traceql_node *node;

    if (parser_peek(p)->type == TRACEQL_TOKEN_OPEN_BRACE)
        return parse_filter(p);
    if (parser_peek(p)->type != TRACEQL_TOKEN_OPEN)
        return parser_unexpected(p, "spans in braces, such as { status = error }");
    parser_take(p);
    if (!parser_enter(p))
        return NULL;
    node = parse_pipeline(p);
    p->depth--;
    if (node && !parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\")\" or an operator between spansets");
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
        const struct traceql_token *token = parser_peek(p);
        enum traceql_op op;
        bool is_negated;
        int have = spanset_level(token, &op, &is_negated);
        struct traceql_node *pair;

        if (have == 0 || have < level)
            return left;
        pair = parser_node_at(p, TRACEQL_SPANSET_PAIR, parser_take(p));
        if (!pair || !parser_enter(p))
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
    struct traceql_node *node = parser_node_at(p, TRACEQL_BY, parser_take(p));
    const char *start = node ? node->source.text : NULL;

    if (!node)
        return NULL;
    if (!parser_take_if(p, TRACEQL_TOKEN_OPEN))
        return parser_unexpected(p, "\"(\"");
    p->is_scalar = false;
    node->a = parser_expression(p, 1);
    if (!node->a)
        return NULL;
    if (!parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\")\"");
    parser_end_source(p, node, start);
    return node;
}

static struct traceql_node *parse_coalesce(struct parser *p)
{
    struct traceql_node *node = parser_node_at(p, TRACEQL_COALESCE, parser_take(p));

    if (!parser_take_if(p, TRACEQL_TOKEN_OPEN))
        return parser_unexpected(p, "\"(\"");
    if (!parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\")\"");
    return node;
}

/* Mentioning the fields is all: what a result shows are the fields mentioned. */
static struct traceql_node *parse_select(struct parser *p)
{
    struct traceql_node *node = parser_node_at(p, TRACEQL_SELECT, parser_take(p));

    if (!parser_take_if(p, TRACEQL_TOKEN_OPEN))
        return parser_unexpected(p, "\"(\"");
    do {
        if (parser_peek(p)->type == TRACEQL_TOKEN_ATTRIBUTE) {
            if (!parser_attribute(p))
                return NULL;
        } else if (!parser_intrinsic(p)) {
            return p->error != 0 ? NULL : parser_unexpected(p, "a field");
        }
    } while (parser_take_if(p, TRACEQL_TOKEN_COMMA));
    if (!parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\",\" or \")\"");
    return node;
}

static struct traceql_node *parse_scalar(struct parser *p)
{
    struct traceql_node *node = parser_node_at(p, TRACEQL_SCALAR, parser_peek(p));

    if (!node)
        return NULL;
    p->is_scalar = true;
    node->a = parser_expression(p, 1);
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
    return at > p->at &&
           (parser_is_name(&p->tokens[at], "by") || parser_is_name(&p->tokens[at], "coalesce") ||
            parser_is_name(&p->tokens[at], "select"));
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
    const struct traceql_token *token = parser_peek(p);

    if (begins_spanset(p))
        return parse_spansets(p, 1);
    if (parser_is_name(token, "by"))
        return parse_by(p);
    if (parser_is_name(token, "coalesce"))
        return parse_coalesce(p);
    if (parser_is_name(token, "select"))
        return parse_select(p);
    for (size_t i = 0; i < OBS_COUNT(METRICS); i++) {
        if (parser_is_name(token, METRICS[i]))
            return parser_refuse(p, token->line, token->column,
                                 "%s() is not supported: metrics of traces are not computed here",
                                 METRICS[i]);
    }
    if (parser_aggregate_of(token) != TRACEQL_OP_NONE || token->type == TRACEQL_TOKEN_OPEN ||
        token->type == TRACEQL_TOKEN_VALUE ||
        (token->type == TRACEQL_TOKEN_OPERATOR && token->op == TRACEQL_OP_SUBTRACT))
        return parse_scalar(p);
    return parser_unexpected(
        p, "spans in braces, such as { status = error }, or count(), avg(), max(), "
           "min(), sum(), by(), select() or coalesce()");
}

static bool is_spanset(const struct traceql_node *node)
{
    return node->kind == TRACEQL_FILTER || node->kind == TRACEQL_SPANSET_PAIR ||
           node->kind == TRACEQL_PIPELINE;
}

static struct traceql_node *parse_pipeline(struct parser *p)
{
    struct traceql_node *pipeline = parser_node_at(p, TRACEQL_PIPELINE, parser_peek(p)), *last;

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
    while (parser_take_if(p, TRACEQL_TOKEN_PIPE)) {
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
    parser_take(p);
    if (!parser_take_if(p, TRACEQL_TOKEN_OPEN))
        return parser_unexpected(p, "\"(\"");
    if (!parser_is_name(parser_peek(p), "most_recent"))
        return parser_unexpected(p, "most_recent: other hints are not supported");
    parser_take(p);
    if (parser_peek(p)->type != TRACEQL_TOKEN_OPERATOR || parser_peek(p)->op != TRACEQL_OP_EQUAL)
        return parser_unexpected(p, "\"=\"");
    parser_take(p);
    if (!parser_is_name(parser_peek(p), "true") && !parser_is_name(parser_peek(p), "false"))
        return parser_unexpected(p, "true or false");
    p->query->is_most_recent = parser_is_name(parser_take(p), "true");
    if (!parser_take_if(p, TRACEQL_TOKEN_CLOSE))
        return parser_unexpected(p, "\")\"");
    return true;
}

static struct traceql_node *parse_query(struct parser *p)
{
    struct traceql_node *root = parse_pipeline(p);

    if (root && parser_is_name(parser_peek(p), "with"))
        parse_with(p);
    if (p->error == 0 && root && parser_peek(p)->type != TRACEQL_TOKEN_END)
        return parser_unexpected(p, "\"|\", an operator between spansets, or the end");
    return p->error == 0 ? root : NULL;
}

static struct traceql_node *parse_only_field(struct parser *p)
{
    struct traceql_node *field = NULL, *root = parser_node(p, TRACEQL_PIPELINE);

    if (parser_peek(p)->type == TRACEQL_TOKEN_ATTRIBUTE)
        field = parser_attribute(p);
    else
        field = parser_intrinsic(p);
    if (p->error == 0 && (!field || parser_peek(p)->type != TRACEQL_TOKEN_END))
        parser_unexpected(p,
                          "a field such as .service.name, resource.service.name, span.x or status");
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
