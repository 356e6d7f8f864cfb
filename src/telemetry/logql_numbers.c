/* Queries that compute: from the tree to series. */
#include "telemetry/logql_labels.h"
#include "telemetry/logql_matrix.h"
#include "telemetry/logql_scan.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct logql_numbers *logql_numbers_free(struct logql_numbers *numbers)
{
    if (!numbers)
        return NULL;
    obs_arena_free(numbers->arena);
    free(numbers);
    return NULL;
}

/* sum by (…) of what adds up, max of maxima: the inner series need not be kept apart. Saves the
 * series that labels of single lines (trace_id) would make. */
static bool can_push_down(const struct logql_expr *expr)
{
    static const struct {
        bool adds;
    } RANGE_OPS[] = {
#define ROW(id, name, unwrap, adds) {adds},
        LOGQL_RANGE_OPS(ROW)
#undef ROW
    };
    const struct logql_expr *inner = expr->left;

    if (inner->type != EXPR_RANGE || inner->grouping.is_present)
        return false;
    return (expr->vector_op == VECTOR_SUM && RANGE_OPS[inner->range_op].adds) ||
           (expr->vector_op == VECTOR_MAX && inner->range_op == RANGE_MAX) ||
           (expr->vector_op == VECTOR_MIN && inner->range_op == RANGE_MIN);
}

static int eval_vector(struct logql_eval *eval, const struct logql_expr *expr,
                       struct logql_matrix *ret_matrix)
{
    struct logql_matrix inner = {0};
    int r;

    if (can_push_down(expr))
        return logql_eval_range(eval, expr->left, &expr->grouping, ret_matrix);
    r = logql_eval(eval, expr->left, &inner);
    if (r != LOGQL_OK)
        return r;
    if (inner.is_scalar) {
        obs_reason_set(eval->reason,
                       "parse error at line %u, col %u: an aggregation needs a vector",
                       expr->place.line, expr->place.column);
        return LOGQL_REFUSED;
    }
    return logql_eval_aggregate(eval, expr, &inner, ret_matrix);
}

static int eval_binary(struct logql_eval *eval, const struct logql_expr *expr,
                       struct logql_matrix *ret_matrix)
{
    struct logql_matrix left = {0}, right = {0};
    int r = logql_eval(eval, expr->left, &left);

    if (r == LOGQL_OK)
        r = logql_eval(eval, expr->right, &right);
    return r != LOGQL_OK ? r : logql_eval_binary(eval, expr, &left, &right, ret_matrix);
}

static int eval_constant(struct logql_eval *eval, double number, struct logql_matrix *ret_matrix)
{
    size_t index;
    struct logql_series *series = logql_matrix_series(eval, ret_matrix, NULL, 0, &index);

    if (!series)
        return logql_matrix_full(eval, ret_matrix);
    for (size_t k = 0; k < eval->steps; k++) {
        series->values[k] = number;
        series->has[k] = true;
    }
    return LOGQL_OK;
}

int logql_eval(struct logql_eval *eval, const struct logql_expr *expr,
               struct logql_matrix *ret_matrix)
{
    switch (expr->type) {
    case EXPR_RANGE:
        return logql_eval_range(eval, expr, NULL, ret_matrix);
    case EXPR_VECTOR:
        return eval_vector(eval, expr, ret_matrix);
    case EXPR_BINARY:
        return eval_binary(eval, expr, ret_matrix);
    case EXPR_CONSTANT:
        return eval_constant(eval, expr->number, ret_matrix);
    case EXPR_NUMBER:
        ret_matrix->is_scalar = true;
        ret_matrix->scalar = expr->number;
        return LOGQL_OK;
    case EXPR_LOG:
        break;
    }
    return -EINVAL; /* the caller asked logql_is_log() */
}

/* ---- the answer ---- */

static int by_labels(const void *a, const void *b)
{
    const struct logql_series *x = *(struct logql_series *const *)a,
                              *y = *(struct logql_series *const *)b;

    for (size_t i = 0; i < x->label_count && i < y->label_count; i++) {
        int order = logql_text_compare(x->labels[i].name, y->labels[i].name);

        if (!order)
            order = logql_text_compare(x->labels[i].value, y->labels[i].value);
        if (order)
            return order;
    }
    return (x->label_count > y->label_count) - (x->label_count < y->label_count);
}

static int largest_first(const void *a, const void *b)
{
    double x = (*(struct logql_series *const *)a)->values[0],
           y = (*(struct logql_series *const *)b)->values[0];

    return x == y ? by_labels(a, b) : (x < y) - (x > y);
}

static int smallest_first(const void *a, const void *b)
{
    double x = (*(struct logql_series *const *)a)->values[0],
           y = (*(struct logql_series *const *)b)->values[0];

    return x == y ? by_labels(a, b) : (x > y) - (x < y);
}

static void sort(const struct logql_expr *root, struct logql_numbers *numbers)
{
    bool is_ranked = root->type == EXPR_VECTOR && numbers->steps == 1;

    if (numbers->count > 1)
        qsort(numbers->series, numbers->count, sizeof(struct logql_series *),
              is_ranked && root->vector_op == VECTOR_TOPK      ? largest_first
              : is_ranked && root->vector_op == VECTOR_BOTTOMK ? smallest_first
                                                               : by_labels);
}

static int take_matrix(struct logql_eval *eval, struct logql_matrix *matrix,
                       struct logql_numbers *numbers)
{
    if (matrix->is_scalar) {
        numbers->is_scalar = true;
        if (eval_constant(eval, matrix->scalar, matrix) != LOGQL_OK)
            return LOGQL_REFUSED;
    }
    for (size_t i = 0; i < matrix->count; i++)
        if (memchr(matrix->series[i]->has, 1, eval->steps))
            matrix->series[numbers->count++] = matrix->series[i];
    numbers->series = matrix->series;
    if (numbers->count > LOGQL_SERIES_MAX) {
        obs_reason_set(eval->reason, "maximum of series (%d) reached for a single query",
                       LOGQL_SERIES_MAX);
        return LOGQL_REFUSED;
    }
    return LOGQL_OK;
}

static int count_steps(const struct logql_range *range, size_t *ret_steps,
                       struct obs_reason *reterr_reason)
{
    uint64_t steps =
        range->step_ns == 0 ? 1 : (range->end_ns - range->start_ns) / range->step_ns + 1;

    if (steps > LOGQL_STEPS_MAX) {
        obs_reason_set(reterr_reason,
                       "exceeded maximum resolution of 11,000 points per time series. Try "
                       "increasing the value of the step parameter");
        return LOGQL_REFUSED;
    }
    *ret_steps = steps;
    return LOGQL_OK;
}

int logql_run_numbers(const struct logql_query *query, const struct logql_source *source,
                      const struct logql_range *range, struct logql_numbers **ret_numbers,
                      struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(logql_numbers_freep) struct logql_numbers *numbers = calloc(1, sizeof(*numbers));
    struct logql_eval eval = {.source = source, .range = range, .reason = reterr_reason};
    struct logql_matrix matrix = {0};
    int r;

    if (!numbers)
        return -ENOMEM;
    r = count_steps(range, &eval.steps, reterr_reason);
    if (r == LOGQL_OK)
        r = obs_arena_new(LOGQL_MEMORY_MAX, &numbers->arena);
    eval.arena = numbers->arena;
    if (r == LOGQL_OK)
        r = logql_eval(&eval, query->root, &matrix);
    if (r == LOGQL_OK)
        r = logql_check_regexes(query, reterr_reason);
    if (r == LOGQL_OK)
        r = take_matrix(&eval, &matrix, numbers);
    if (r != LOGQL_OK)
        return r;
    numbers->steps = eval.steps;
    numbers->start_ns = range->start_ns;
    numbers->step_ns = range->step_ns;
    numbers->stats = eval.stats;
    sort(query->root, numbers);
    *ret_numbers = OBS_TAKE(numbers);
    return LOGQL_OK;
}
