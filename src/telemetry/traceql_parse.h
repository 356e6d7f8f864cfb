#pragma once
/* What parser and checker share. The checker refuses what can never be true by its types. */
#include "telemetry/traceql.h"
#include "telemetry/traceql_lexer.h"
#include <stdarg.h>

struct parser {
    struct traceql_query *query;
    struct traceql_token *tokens; /* ends with TRACEQL_TOKEN_END */
    size_t at;
    unsigned depth;
    bool is_scalar; /* aggregates and numbers, no fields */
    int error;      /* 0, TRACEQL_REFUSED (`why` is set), -ENOMEM */
    struct obs_reason *why;
};

int traceql_query_new(struct traceql_query **ret_query);
void traceql_choose_witness(struct traceql_node *pipeline);

/* NULL sets `error`. */
struct traceql_node *parser_node(struct parser *p, enum traceql_kind kind);
struct traceql_node *parser_mention(struct parser *p, struct traceql_node *node);
/* Always NULL. */
struct traceql_node *parser_refuse(struct parser *p, unsigned line, unsigned column,
                                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Each sets the node's type and returns it, or refuses. */
struct traceql_node *checker_unary(struct parser *p, struct traceql_node *node);
struct traceql_node *checker_binary(struct parser *p, struct traceql_node *node);
struct traceql_node *checker_aggregate(struct parser *p, struct traceql_node *node);
struct traceql_node *checker_filter(struct parser *p, struct traceql_node *node);
struct traceql_node *checker_scalar(struct parser *p, struct traceql_node *node);

/* ---- of the parser's two files ---- */

const struct traceql_token *parser_peek(const struct parser *p);
const struct traceql_token *parser_take(struct parser *p); /* stays at the end */
bool parser_take_if(struct parser *p, enum traceql_token_type type);
bool parser_is_name(const struct traceql_token *token, const char *name);
/* Refuses the next word; always NULL. */
struct traceql_node *parser_unexpected(struct parser *p, const char *expected);
struct traceql_node *parser_node_at(struct parser *p, enum traceql_kind kind,
                                    const struct traceql_token *token);
/* The node's text goes from @start to the last word taken. */
void parser_end_source(const struct parser *p, struct traceql_node *node, const char *start);
bool parser_enter(struct parser *p); /* one level deeper; the caller takes it back from `depth` */
struct traceql_node *parser_expression(struct parser *p, int level); /* level 1: all operators */
enum traceql_op parser_aggregate_of(const struct traceql_token *token);
struct traceql_node *parser_attribute(struct parser *p);
struct traceql_node *parser_intrinsic(struct parser *p); /* NULL without error: it is none */
