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
