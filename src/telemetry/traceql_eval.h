#pragma once
/* What the evaluator's files share. */
#include "telemetry/traceql.h"

struct traceql_context {               /* where an expression is looked at */
    const struct span_view *view;      /* a span … */
    const struct traceql_trace *trace; /* … of this trace; NULL when only the span is known */
    uint32_t index;
    const struct traceql_spanset *spanset; /* of aggregates */
    unsigned hex_turn;
    char hex[2][TRACEQL_HEX_SIZE]; /* ids as text: two sides of a comparison */
};

struct traceql_value traceql_evaluate(const struct traceql_node *node,
                                      struct traceql_context *context);

struct traceql_execution {
    const struct traceql_trace *trace;
    struct obs_arena *arena;
    uint64_t deadline_ns;
    int error; /* 0, TRACEQL_TIMEOUT, -ENOMEM: the first; results are void then */
};

/* Spans of @input that fit; NULL: none (or error). */
struct traceql_spanset *traceql_filter(struct traceql_execution *x, const struct traceql_node *node,
                                       const struct traceql_spanset *input);
struct traceql_spanset *traceql_relate(struct traceql_execution *x, const struct traceql_node *node,
                                       const struct traceql_spanset *a,
                                       const struct traceql_spanset *b);
struct traceql_spanset *traceql_unite(struct traceql_execution *x, const struct traceql_spanset *a,
                                      const struct traceql_spanset *b);
/* Room for @capacity spans. */
struct traceql_spanset *traceql_spanset_new(struct traceql_execution *x, uint32_t capacity);
