/* Binary operations: numbers with numbers, vectors with numbers, vectors with vectors one to one.
 */
#include "telemetry/logql_labels.h"
#include "telemetry/logql_matrix.h"
#include "telemetry/logql_scan.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_comparison(enum logql_binary_op op)
{
    return op >= BINARY_EQUAL && op <= BINARY_LESS_EQUAL;
}

static double calculate(enum logql_binary_op op, double a, double b)
{
    switch (op) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUBTRACT:
        return a - b;
    case BINARY_MULTIPLY:
        return a * b;
    case BINARY_DIVIDE:
        return b == 0 ? NAN : a / b; /* as Loki, unlike Prometheus */
    case BINARY_MODULO:
        return b == 0 ? NAN : fmod(a, b);
    case BINARY_POWER:
        return pow(a, b);
    case BINARY_EQUAL:
        return a == b;
    case BINARY_NOT_EQUAL:
        return a != b;
    case BINARY_GREATER:
        return a > b;
    case BINARY_GREATER_EQUAL:
        return a >= b;
    case BINARY_LESS:
        return a < b;
    case BINARY_LESS_EQUAL:
        return a <= b;
    case BINARY_AND:
    case BINARY_OR:
    case BINARY_UNLESS:
        break;
    }
    return NAN;
}

/* One step. A comparison without `bool` keeps @kept where it is true. false: no value. */
static bool operate(const struct logql_expr *expr, double a, double b, double kept,
                    double *ret_value)
{
    double result = calculate(expr->binary_op, a, b);

    if (!is_comparison(expr->binary_op) || expr->is_bool) {
        *ret_value = result;
        return true;
    }
    *ret_value = kept;
    return result != 0;
}

static int with_scalar(struct logql_eval *eval, const struct logql_expr *expr,
                       const struct logql_matrix *left, const struct logql_matrix *right,
                       struct logql_matrix *out)
{
    const struct logql_matrix *vector = left->is_scalar ? right : left;

    for (size_t i = 0; i < vector->count; i++) {
        const struct logql_series *in = vector->series[i];
        struct logql_series *series =
            logql_matrix_add(eval, out, in->labels, in->label_count, in->hash);

        if (!series)
            return logql_matrix_full(eval, out);
        for (size_t k = 0; k < eval->steps; k++)
            series->has[k] =
                in->has[k] && operate(expr, left->is_scalar ? left->scalar : in->values[k],
                                      right->is_scalar ? right->scalar : in->values[k],
                                      in->values[k], &series->values[k]);
    }
    return LOGQL_OK;
}

/* ---- vectors ---- */

/* Without on or ignoring: all labels, that is, ignoring none. */
static const struct logql_grouping *matching(const struct logql_expr *expr)
{
    static const struct logql_grouping ALL = {.is_present = true, .is_without = true};

    return expr->grouping.is_present ? &expr->grouping : &ALL;
}

/* For each series the group of its matching labels, numbered as @groups has them. */
static int number_groups(struct logql_eval *eval, const struct logql_expr *expr,
                         const struct logql_matrix *in, struct logql_matrix *groups,
                         size_t *ret_group_of)
{
    struct label labels[LOGQL_LABELS_MAX];

    for (size_t i = 0; i < in->count; i++) {
        size_t count = logql_group_labels(matching(expr), in->series[i]->labels,
                                          in->series[i]->label_count, labels);

        if (!logql_matrix_series(eval, groups, labels, count, &ret_group_of[i]))
            return logql_matrix_full(eval, groups);
    }
    return LOGQL_OK;
}

static int refuse_many(struct logql_eval *eval, const char *side)
{
    obs_reason_set(eval->reason,
                   "multiple matches for labels: many series on the %s hand-side have the same "
                   "matching labels, and group_left and group_right are not supported",
                   side);
    return LOGQL_REFUSED;
}

/* groups->values[k] becomes the right side's value of the group, has[k] that there is one. */
static int fill_right(struct logql_eval *eval, const struct logql_matrix *right,
                      struct logql_matrix *groups, const size_t *group_of, bool is_set)
{
    for (size_t i = 0; i < right->count; i++) {
        struct logql_series *group = groups->series[group_of[i]];

        for (size_t k = 0; k < eval->steps; k++) {
            if (!right->series[i]->has[k])
                continue;
            if (group->has[k] && !is_set)
                return refuse_many(eval, "right");
            group->has[k] = true;
            group->values[k] = right->series[i]->values[k];
        }
    }
    return LOGQL_OK;
}

static int calculate_left(struct logql_eval *eval, const struct logql_expr *expr,
                          const struct logql_matrix *left, const struct logql_matrix *groups,
                          const size_t *group_of, struct logql_matrix *out)
{
    size_t index = 0;

    for (size_t i = 0; i < left->count; i++) {
        const struct logql_series *group = groups->series[group_of[i]], *in = left->series[i];
        struct logql_series *series =
            logql_matrix_series(eval, out, group->labels, group->label_count, &index);

        if (!series)
            return logql_matrix_full(eval, out);
        for (size_t k = 0; k < eval->steps; k++) {
            double value;

            if (!in->has[k] || !group->has[k] ||
                !operate(expr, in->values[k], group->values[k], in->values[k], &value))
                continue;
            if (series->has[k])
                return refuse_many(eval, "left");
            series->has[k] = true;
            series->values[k] = value;
        }
    }
    return LOGQL_OK;
}

static int copy_where(struct logql_eval *eval, const struct logql_matrix *in,
                      const struct logql_matrix *groups, const size_t *group_of, int wanted,
                      struct logql_matrix *out)
{
    for (size_t i = 0; i < in->count; i++) {
        const struct logql_series *from = in->series[i];
        struct logql_series *series =
            logql_matrix_add(eval, out, from->labels, from->label_count, from->hash);

        if (!series)
            return logql_matrix_full(eval, out);
        for (size_t k = 0; k < eval->steps; k++) {
            series->has[k] =
                from->has[k] && (wanted < 0 || groups->series[group_of[i]]->has[k] == wanted);
            series->values[k] = from->values[k];
        }
    }
    return LOGQL_OK;
}

/* `or` may meet the same label set on both sides, at different steps: they are one series. */
static int merge_or(struct logql_eval *eval, const struct logql_matrix *in,
                    struct logql_matrix *out)
{
    size_t index = 0;

    for (size_t i = 0; i < in->count; i++) {
        struct logql_series *series = logql_matrix_series(eval, out, in->series[i]->labels,
                                                          in->series[i]->label_count, &index);

        if (!series)
            return logql_matrix_full(eval, out);
        for (size_t k = 0; k < eval->steps; k++) {
            if (!in->series[i]->has[k] || series->has[k])
                continue;
            series->has[k] = true;
            series->values[k] = in->series[i]->values[k];
        }
    }
    return LOGQL_OK;
}

static int combine_sets(struct logql_eval *eval, const struct logql_expr *expr,
                        const struct logql_matrix *left, const struct logql_matrix *right,
                        struct logql_matrix *groups, const size_t *left_groups,
                        const size_t *right_groups, struct logql_matrix *out)
{
    struct logql_matrix rest = {0};
    int r;

    if (expr->binary_op != BINARY_OR) {
        r = fill_right(eval, right, groups, right_groups, true);
        return r != LOGQL_OK ? r
                             : copy_where(eval, left, groups, left_groups,
                                          expr->binary_op == BINARY_AND, out);
    }
    r = fill_right(eval, left, groups, left_groups, true);
    if (r == LOGQL_OK)
        r = copy_where(eval, right, groups, right_groups, false, &rest);
    if (r == LOGQL_OK)
        r = merge_or(eval, left, out);
    return r != LOGQL_OK ? r : merge_or(eval, &rest, out);
}

static int with_vector(struct logql_eval *eval, const struct logql_expr *expr,
                       const struct logql_matrix *left, const struct logql_matrix *right,
                       struct logql_matrix *out)
{
    struct logql_matrix groups = {0};
    size_t *left_groups = calloc(left->count + 1, sizeof(size_t));
    size_t *right_groups = calloc(right->count + 1, sizeof(size_t));
    int r = left_groups && right_groups ? LOGQL_OK : -ENOMEM;

    if (r == LOGQL_OK)
        r = number_groups(eval, expr, left, &groups, left_groups);
    if (r == LOGQL_OK)
        r = number_groups(eval, expr, right, &groups, right_groups);
    if (r == LOGQL_OK && expr->binary_op >= BINARY_AND) {
        r = combine_sets(eval, expr, left, right, &groups, left_groups, right_groups, out);
    } else if (r == LOGQL_OK) {
        r = fill_right(eval, right, &groups, right_groups, false);
        if (r == LOGQL_OK)
            r = calculate_left(eval, expr, left, &groups, left_groups, out);
    }
    free(left_groups);
    free(right_groups);
    return r;
}

int logql_eval_binary(struct logql_eval *eval, const struct logql_expr *expr,
                      const struct logql_matrix *left, const struct logql_matrix *right,
                      struct logql_matrix *ret_matrix)
{
    if (left->is_scalar && right->is_scalar) {
        ret_matrix->is_scalar = true;
        ret_matrix->scalar = calculate(expr->binary_op, left->scalar, right->scalar);
        return LOGQL_OK;
    }
    if (!left->is_scalar && !right->is_scalar)
        return with_vector(eval, expr, left, right, ret_matrix);
    if (expr->binary_op >= BINARY_AND) {
        obs_reason_set(eval->reason,
                       "parse error at line %u, col %u: unexpected literal for leg of "
                       "logical/set binary operation",
                       expr->place.line, expr->place.column);
        return LOGQL_REFUSED;
    }
    return with_scalar(eval, expr, left, right, ret_matrix);
}
