/* Aggregations over series: sum by (…), topk, and the like, step by step. */
#include "telemetry/logql_labels.h"
#include "telemetry/logql_matrix.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct logql_series *find_group(struct logql_eval *eval, const struct logql_expr *expr,
                                       struct logql_matrix *out, const struct logql_series *series,
                                       size_t *ret_index)
{
    struct label labels[LOGQL_LABELS_MAX];
    size_t count = logql_group_labels(&expr->grouping, series->labels, series->label_count, labels);

    return logql_matrix_series(eval, out, labels, count, ret_index);
}

static void add(enum logql_vector_op op, double *value, double *count, double *spread, double v)
{
    double before = *value;

    *count += 1;
    switch (op) {
    case VECTOR_MIN:
        *value = *count == 1 || v < *value || isnan(*value) ? v : *value;
        break;
    case VECTOR_MAX:
        *value = *count == 1 || v > *value || isnan(*value) ? v : *value;
        break;
    case VECTOR_STDDEV:
    case VECTOR_STDVAR:
        *value += (v - before) / *count;
        *spread += (v - before) * (v - *value);
        break;
    default:
        *value += v;
        break;
    }
}

static double finish(enum logql_vector_op op, double value, double count, double spread)
{
    switch (op) {
    case VECTOR_AVG:
        return value / count;
    case VECTOR_COUNT:
        return count;
    case VECTOR_STDDEV:
        return sqrt(spread / count);
    case VECTOR_STDVAR:
        return spread / count;
    default:
        return value;
    }
}

/* Step by step within a series first: its group is found once. Counts and spreads stand in two
 * matrices of the same shape. */
static int aggregate(struct logql_eval *eval, const struct logql_expr *expr,
                     const struct logql_matrix *in, struct logql_matrix *out)
{
    struct logql_matrix beside = {0};
    size_t index = 0;

    for (size_t i = 0; i < in->count; i++) {
        struct logql_series *group = find_group(eval, expr, out, in->series[i], &index);

        if (!group)
            return logql_matrix_full(eval, out);
        while (beside.count < 2 * out->count)
            if (!logql_matrix_add(eval, &beside, NULL, 0, 0))
                return logql_matrix_full(eval, &beside);
        for (size_t k = 0; k < eval->steps; k++) {
            if (!in->series[i]->has[k])
                continue;
            group->has[k] = true;
            add(expr->vector_op, &group->values[k], &beside.series[2 * index]->values[k],
                &beside.series[2 * index + 1]->values[k], in->series[i]->values[k]);
        }
    }
    for (size_t i = 0; i < out->count; i++)
        for (size_t k = 0; k < eval->steps; k++)
            if (out->series[i]->has[k])
                out->series[i]->values[k] =
                    finish(expr->vector_op, out->series[i]->values[k],
                           beside.series[2 * i]->values[k], beside.series[2 * i + 1]->values[k]);
    return LOGQL_OK;
}

struct ranked {
    double value;
    size_t series, group;
};

static int by_group_and_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (isnan(x->value) || isnan(y->value))
        return isnan(x->value) - isnan(y->value);
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return (x->series > y->series) - (x->series < y->series);
}

static void choose(const struct logql_expr *expr, const struct ranked *ranked, size_t count,
                   struct logql_matrix *out, size_t step)
{
    size_t in_group = 0;

    for (size_t i = 0; i < count; i++) {
        in_group = i > 0 && ranked[i - 1].group == ranked[i].group ? in_group + 1 : 0;
        if ((double)in_group >= expr->number)
            continue;
        out->series[ranked[i].series]->has[step] = true;
        out->series[ranked[i].series]->values[step] =
            expr->vector_op == VECTOR_BOTTOMK ? -ranked[i].value : ranked[i].value;
    }
}

/* topk, bottomk: the chosen series keep their labels. */
static int rank(struct logql_eval *eval, const struct logql_expr *expr,
                const struct logql_matrix *in, struct logql_matrix *out)
{
    struct logql_matrix groups = {0};
    struct ranked *ranked = malloc((in->count + 1) * sizeof(*ranked));
    size_t *group_of = calloc(in->count + 1, sizeof(*group_of));
    int r = ranked && group_of ? LOGQL_OK : -ENOMEM;

    for (size_t i = 0; i < in->count && r == LOGQL_OK; i++)
        if (!find_group(eval, expr, &groups, in->series[i], &group_of[i]) ||
            !logql_matrix_add(eval, out, in->series[i]->labels, in->series[i]->label_count,
                              in->series[i]->hash))
            r = logql_matrix_full(eval, out);
    for (size_t k = 0; k < eval->steps && r == LOGQL_OK; k++) {
        size_t count = 0;

        for (size_t i = 0; i < in->count; i++) {
            double value = in->series[i]->values[k];

            if (in->series[i]->has[k])
                ranked[count++] = (struct ranked){
                    expr->vector_op == VECTOR_BOTTOMK ? -value : value, i, group_of[i]};
        }
        qsort(ranked, count, sizeof(*ranked), by_group_and_value);
        choose(expr, ranked, count, out, k);
    }
    free(ranked);
    free(group_of);
    return r;
}

int logql_eval_aggregate(struct logql_eval *eval, const struct logql_expr *expr,
                         const struct logql_matrix *in, struct logql_matrix *ret_matrix)
{
    if (expr->vector_op == VECTOR_TOPK || expr->vector_op == VECTOR_BOTTOMK)
        return rank(eval, expr, in, ret_matrix);
    return aggregate(eval, expr, in, ret_matrix);
}
