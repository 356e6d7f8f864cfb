/*
 * Range aggregations: one pass over the lines, each added to every step whose window holds it.
 *
 * What adds up exactly (counts, bytes) is kept as differences between steps, so a line costs two
 * additions however long the window is. Sums of unwrapped numbers, minima and the like are updated
 * step by step. quantile_over_time keeps its samples. A window is (t - range, t], as in Loki.
 */
#include "telemetry/logql_matrix.h"
#include "telemetry/logql_scan.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    size_t first, last; /* steps whose window holds it */
    double value;
    struct sample *next;
};

struct accumulator { /* of one series, beside series->values */
    double *count;   /* [steps + 1]; differences where the operation adds up exactly */
    double *spread;  /* [steps + 1]: stddev, stdvar */
    struct sample *samples, **last_sample;
    size_t sample_count;
};

struct range_eval {
    struct logql_eval *eval;
    const struct logql_expr *expr;
    const struct logql_grouping *grouping; /* NULL: full label sets */
    struct logql_matrix *matrix;
    struct accumulator **accumulators; /* beside matrix->series */
    size_t capacity, samples;
    int64_t shift; /* offset: added to a line's time */
};

static bool is_exact(const struct logql_expr *expr)
{
    return expr->range_op <= RANGE_ABSENT && expr->log.unwrap.size == 0;
}

/* Steps whose window holds a line of @time_ns: [first, last]; false: none. */
static bool find_steps(const struct range_eval *r, uint64_t time_ns, size_t *ret_first,
                       size_t *ret_last)
{
    int64_t step = r->eval->range->step_ns ? (int64_t)r->eval->range->step_ns : 1;
    int64_t since = (int64_t)time_ns + r->shift - (int64_t)r->eval->range->start_ns;
    int64_t first = since <= 0 ? 0 : (since + step - 1) / step;
    int64_t until = since + (int64_t)r->expr->range_ns - 1;
    int64_t last = until < 0 ? -1 : until / step;

    if (last >= (int64_t)r->eval->steps)
        last = (int64_t)r->eval->steps - 1;
    *ret_first = (size_t)first;
    *ret_last = (size_t)last;
    return last >= 0 && first <= last;
}

static struct accumulator *new_accumulator(struct range_eval *r)
{
    struct obs_arena *arena = r->eval->arena;
    struct accumulator *a = obs_arena_alloc(arena, sizeof(*a));
    size_t size = (r->eval->steps + 1) * sizeof(double);

    if (!a)
        return NULL;
    a->last_sample = &a->samples;
    a->count = obs_arena_alloc(arena, size);
    if (r->expr->range_op == RANGE_STDDEV || r->expr->range_op == RANGE_STDVAR)
        a->spread = obs_arena_alloc(arena, size);
    return a->count && (a->spread ||
                        (r->expr->range_op != RANGE_STDDEV && r->expr->range_op != RANGE_STDVAR))
               ? a
               : NULL;
}

static struct accumulator *find_accumulator(struct range_eval *r, size_t index)
{
    if (index >= r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : 64;
        struct accumulator **more =
            obs_arena_alloc(r->eval->arena, capacity * sizeof(struct accumulator *));

        if (!more)
            return NULL;
        if (r->capacity > 0)
            memcpy(more, r->accumulators, r->capacity * sizeof(struct accumulator *));
        r->accumulators = more;
        r->capacity = capacity;
    }
    if (!r->accumulators[index])
        r->accumulators[index] = new_accumulator(r);
    return r->accumulators[index];
}

static void update(enum logql_range_op op, double *value, double *count, double *spread, double v)
{
    double before = *value;

    *count += 1;
    switch (op) {
    case RANGE_MIN:
        *value = *count == 1 || v < *value || isnan(*value) ? v : *value;
        break;
    case RANGE_MAX:
        *value = *count == 1 || v > *value || isnan(*value) ? v : *value;
        break;
    case RANGE_FIRST:
        *value = *count == 1 ? v : *value;
        break;
    case RANGE_LAST:
        *value = v;
        break;
    case RANGE_STDDEV:
    case RANGE_STDVAR: /* Welford: value is the mean so far */
        *value += (v - before) / *count;
        *spread += (v - before) * (v - *value);
        break;
    default:
        *value += v;
        break;
    }
}

static bool keep_sample(struct range_eval *r, struct accumulator *a, size_t first, size_t last,
                        double value)
{
    struct sample *sample = obs_arena_alloc(r->eval->arena, sizeof(*sample));

    if (!sample || ++r->samples > LOGQL_SAMPLES_MAX)
        return false;
    *sample = (struct sample){first, last, value, NULL};
    *a->last_sample = sample;
    a->last_sample = &sample->next;
    a->sample_count++;
    return true;
}

static bool add(struct range_eval *r, struct logql_series *series, struct accumulator *a,
                size_t first, size_t last, double value)
{
    if (r->expr->range_op == RANGE_QUANTILE)
        return keep_sample(r, a, first, last, value);
    if (is_exact(r->expr)) {
        series->values[first] += value;
        series->values[last + 1] -= value;
        a->count[first] += 1;
        a->count[last + 1] -= 1;
        return true;
    }
    for (size_t k = first; k <= last; k++)
        update(r->expr->range_op, &series->values[k], &a->count[k],
               a->spread ? &a->spread[k] : NULL, value);
    return true;
}

/* ---- a line's series and value ---- */

static bool is_bytes(enum logql_range_op op)
{
    return op == RANGE_BYTES || op == RANGE_BYTES_RATE;
}

static enum store_next refuse_marked(struct logql_scan *scan, const struct logql_labels *labels)
{
    struct text_view type = logql_labels_get(labels, (struct text_view){LOGQL_ERROR, 9});
    struct text_view why = logql_labels_get(labels, (struct text_view){LOGQL_ERROR_DETAILS, 17});

    return logql_scan_refuse(scan, LOGQL_REFUSED,
                             "pipeline error: '%.*s' (%.*s). Use a label filter to intentionally "
                             "skip this error: | __error__=\"\" behind the stage that fails",
                             (int)(type.size > 48 ? 48 : type.size), type.text,
                             (int)(why.size > 64 ? 64 : why.size), why.text);
}

/* `by (…)`: only these are looked for; the names are sorted, so the key is. */
static size_t make_key_by(const struct logql_grouping *by, const struct logql_labels *labels,
                          struct label *key)
{
    size_t count = 0;

    for (size_t i = 0; i < by->count; i++) {
        const struct logql_entry *entry = logql_labels_find(labels, by->names[i]);

        if (entry && (i == 0 || !text_equal(by->names[i - 1], by->names[i])))
            key[count++] = (struct label){entry->name, entry->value};
    }
    return count;
}

static size_t make_key(const struct range_eval *r, struct logql_labels *labels, struct label *key)
{
    struct label all[LOGQL_LABELS_MAX];

    if (r->grouping && !r->grouping->is_without)
        return make_key_by(r->grouping, labels, key);
    logql_labels_sort(labels);
    for (size_t i = 0; i < labels->count; i++)
        all[i] = (struct label){labels->entries[i].name, labels->entries[i].value};
    if (r->grouping)
        return logql_group_labels(r->grouping, all, labels->count, key);
    memcpy(key, all, labels->count * sizeof(*key));
    return labels->count;
}

static enum store_next take(struct logql_scan *scan, uint64_t time_ns, struct text_view line,
                            void *userdata)
{
    struct range_eval *r = userdata;
    struct logql_labels *labels = logql_pipeline_labels(scan->pipeline);
    struct label key[LOGQL_LABELS_MAX];
    struct logql_series *series;
    struct accumulator *a;
    size_t first, last, count, index = 0;
    double value = is_bytes(r->expr->range_op) ? (double)line.size : 1;

    if (!find_steps(r, time_ns, &first, &last))
        return STORE_GO_ON;
    if (r->expr->log.unwrap.size > 0 && logql_pipeline_unwrap(scan->pipeline, &value) != LINE_KEPT)
        return STORE_GO_ON;
    if (labels->has_error)
        return refuse_marked(scan, labels);
    count = make_key(r, labels, key);
    series = logql_matrix_series(r->eval, r->matrix, key, count, &index);
    a = series ? find_accumulator(r, index) : NULL;
    if (a && add(r, series, a, first, last, value))
        return STORE_GO_ON;
    if (r->samples > LOGQL_SAMPLES_MAX)
        return logql_scan_refuse(scan, LOGQL_REFUSED,
                                 "quantile_over_time keeps at most %d samples: shorten the query",
                                 LOGQL_SAMPLES_MAX);
    scan->result = logql_matrix_full(r->eval, r->matrix);
    return STORE_STOP;
}

/* ---- from sums to answers ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* As Prometheus interpolates: @sorted[count]. */
static double quantile(double q, const double *sorted, size_t count)
{
    double rank, weight;
    size_t low, high;

    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    rank = q * ((double)count - 1);
    low = (size_t)floor(rank);
    high = low + 1 < count ? low + 1 : count - 1;
    weight = rank - floor(rank);
    return sorted[low] * (1 - weight) + sorted[high] * weight;
}

static int finish_quantile(struct range_eval *r, struct logql_series *series, struct accumulator *a)
{
    const struct sample *oldest = a->samples;
    double *window = malloc((a->sample_count + 1) * sizeof(double));

    if (!window)
        return logql_matrix_full(r->eval, r->matrix);
    /* Samples came in time order: those of a step are one run of the list. */
    for (size_t k = 0; k < r->eval->steps; k++) {
        size_t count = 0;

        while (oldest && oldest->last < k)
            oldest = oldest->next;
        for (const struct sample *s = oldest; s && s->first <= k; s = s->next)
            if (s->last >= k && !isnan(s->value))
                window[count++] = s->value;
        if (count == 0)
            continue;
        qsort(window, count, sizeof(double), by_value);
        series->values[k] = quantile(r->expr->number, window, count);
        series->has[k] = true;
    }
    free(window);
    return LOGQL_OK;
}

static double finish_value(const struct range_eval *r, double value, double count, double spread)
{
    switch (r->expr->range_op) {
    case RANGE_RATE:
    case RANGE_BYTES_RATE:
        return value / ((double)r->expr->range_ns / 1e9);
    case RANGE_AVG:
        return value / count;
    case RANGE_STDVAR:
        return spread / count;
    case RANGE_STDDEV:
        return sqrt(spread / count);
    default:
        return value;
    }
}

static int finish(struct range_eval *r, struct logql_series *series, struct accumulator *a)
{
    double value = 0, count = 0;

    if (r->expr->range_op == RANGE_QUANTILE)
        return finish_quantile(r, series, a);
    for (size_t k = 0; k < r->eval->steps; k++) {
        if (is_exact(r->expr)) {
            value += series->values[k];
            count += a->count[k];
        } else {
            value = series->values[k];
            count = a->count[k];
        }
        series->has[k] = count > 0;
        series->values[k] =
            count > 0 ? finish_value(r, value, count, a->spread ? a->spread[k] : 0) : 0;
    }
    return LOGQL_OK;
}

/* absent_over_time: 1 where nothing was, labelled with what the selector says for sure. */
static int finish_absent(struct range_eval *r)
{
    const struct logql_log *log = &r->expr->log;
    struct label labels[LOGQL_LABELS_MAX];
    struct logql_matrix out = {0};
    struct logql_series *series;
    size_t count = 0, index;

    for (size_t i = 0; i < log->matcher_count && count < LOGQL_LABELS_MAX; i++) {
        bool is_alone = log->matchers[i].op == MATCH_EQUAL && log->matchers[i].value.size > 0;

        for (size_t j = 0; j < log->matcher_count; j++)
            if (i != j && text_equal(log->matchers[i].name, log->matchers[j].name))
                is_alone = false;
        if (is_alone)
            labels[count++] = (struct label){log->matchers[i].name, log->matchers[i].value};
    }
    for (size_t i = 1; i < count; i++) /* few: insertion sort */
        for (size_t j = i; j > 0 && logql_text_compare(labels[j - 1].name, labels[j].name) > 0;
             j--) {
            struct label swap = labels[j];

            labels[j] = labels[j - 1];
            labels[j - 1] = swap;
        }
    series = logql_matrix_series(r->eval, &out, labels, count, &index);
    if (!series)
        return logql_matrix_full(r->eval, &out);
    for (size_t k = 0; k < r->eval->steps; k++) {
        series->has[k] = r->matrix->count == 0 || !r->matrix->series[0]->has[k];
        series->values[k] = 1;
    }
    *r->matrix = out;
    return LOGQL_OK;
}

int logql_eval_range(struct logql_eval *eval, const struct logql_expr *expr,
                     const struct logql_grouping *grouping, struct logql_matrix *ret_matrix)
{
    static const struct logql_grouping ALL = {.is_present = true};
    struct range_eval r = {.eval = eval,
                           .expr = expr,
                           .matrix = ret_matrix,
                           .grouping = grouping,
                           .shift = expr->offset_ns};
    int64_t first = (int64_t)eval->range->start_ns - expr->offset_ns - (int64_t)expr->range_ns + 1;
    int64_t last = (int64_t)eval->range->start_ns - expr->offset_ns +
                   (int64_t)((eval->steps - 1) * eval->range->step_ns) + 1;
    struct logql_scan scan = {.source = eval->source,
                              .log = &expr->log,
                              .from_ns = first > 0 ? (uint64_t)first : 0,
                              .until_ns = last > 0 ? (uint64_t)last : 0,
                              .is_forward = true,
                              .deadline_ns = eval->range->deadline_ns,
                              .arena = eval->arena,
                              .reason = eval->reason,
                              .stats = &eval->stats,
                              .fn = take,
                              .userdata = &r};
    int result;

    if (expr->range_op == RANGE_ABSENT)
        r.grouping = &ALL;
    else if (!grouping && expr->grouping.is_present)
        r.grouping = &expr->grouping;
    result = logql_scan_run(&scan);
    for (size_t i = 0; i < ret_matrix->count && result == LOGQL_OK; i++)
        result = finish(&r, ret_matrix->series[i], r.accumulators[i]);
    if (result == LOGQL_OK && expr->range_op == RANGE_ABSENT)
        result = finish_absent(&r);
    return result;
}
