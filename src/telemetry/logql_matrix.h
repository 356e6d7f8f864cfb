#pragma once
/*
 * Matrix: what an expression is at every step at once: series of values, or one scalar for all.
 * Numbers are computed expression by expression over whole matrices, not step by step.
 */
#include "telemetry/logql_ast.h"
#include "telemetry/logql_run.h"

struct logql_eval { /* one run */
    const struct logql_source *source;
    const struct logql_range *range;
    struct obs_arena *arena;
    struct obs_reason *reason;
    struct logql_stats stats;
    size_t steps;
};

struct logql_matrix {
    struct logql_series **series;
    size_t count, capacity;
    size_t *slots; /* by hash: series index + 1; slot_count is a power of two */
    size_t slot_count;
    bool is_scalar;
    double scalar;
};

/* Each returns LOGQL_OK, LOGQL_REFUSED, LOGQL_TIMEOUT or < 0. */
int logql_eval(struct logql_eval *eval, const struct logql_expr *expr,
               struct logql_matrix *ret_matrix);
/* @grouping: of an aggregation around it that adds up (or takes minimum or maximum) as this one
 * does; NULL: none. */
int logql_eval_range(struct logql_eval *eval, const struct logql_expr *expr,
                     const struct logql_grouping *grouping, struct logql_matrix *ret_matrix);
int logql_eval_aggregate(struct logql_eval *eval, const struct logql_expr *expr,
                         const struct logql_matrix *in, struct logql_matrix *ret_matrix);
int logql_eval_binary(struct logql_eval *eval, const struct logql_expr *expr,
                      const struct logql_matrix *left, const struct logql_matrix *right,
                      struct logql_matrix *ret_matrix);

/* The series with these labels (sorted); made, with no value yet, when it is new. NULL: memory or
 * series are at their limit; see logql_matrix_full(). */
struct logql_series *logql_matrix_series(struct logql_eval *eval, struct logql_matrix *matrix,
                                         const struct label *labels, size_t count,
                                         size_t *ret_index);
int logql_matrix_full(struct logql_eval *eval, const struct logql_matrix *matrix);
/* A copy without values. */
struct logql_series *logql_matrix_add(struct logql_eval *eval, struct logql_matrix *matrix,
                                      const struct label *labels, size_t count, uint64_t hash);
/* Labels that a grouping leaves, into @out[count]; their number. */
size_t logql_group_labels(const struct logql_grouping *grouping, const struct label *labels,
                          size_t count, struct label *out);
