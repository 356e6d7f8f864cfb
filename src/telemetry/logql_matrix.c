#include "telemetry/logql_matrix.h"
#include "telemetry/logql_labels.h"
#include "telemetry/logql_scan.h"
#include <errno.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

static bool is_named(const struct logql_grouping *grouping, struct text_view name)
{
    for (size_t i = 0; i < grouping->count; i++)
        if (text_equal(grouping->names[i], name))
            return true;
    return false;
}

size_t logql_group_labels(const struct logql_grouping *grouping, const struct label *labels,
                          size_t count, struct label *out)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (is_named(grouping, labels[i].name) != grouping->is_without)
            out[kept++] = labels[i];
    return kept;
}

int logql_matrix_full(struct logql_eval *eval, const struct logql_matrix *matrix)
{
    if (matrix->count >= LOGQL_INNER_SERIES_MAX)
        obs_reason_set(eval->reason,
                       "maximum of series (%d) reached inside a query: aggregate by fewer labels, "
                       "such as sum by (service_name) (…), or drop labels that differ in each line",
                       LOGQL_INNER_SERIES_MAX);
    else
        obs_reason_set(eval->reason, "the query needs more than 48 MiB: ask for fewer series or "
                                     "fewer steps");
    return LOGQL_REFUSED;
}

static bool grow(struct logql_eval *eval, struct logql_matrix *matrix)
{
    size_t capacity = matrix->capacity ? matrix->capacity * 2 : 64;
    struct logql_series **series;

    if (matrix->count < matrix->capacity)
        return true;
    series = obs_arena_alloc(eval->arena, capacity * sizeof(struct logql_series *));
    if (!series)
        return false;
    if (matrix->count > 0)
        memcpy(series, matrix->series, matrix->count * sizeof(struct logql_series *));
    matrix->series = series;
    matrix->capacity = capacity;
    return true;
}

struct logql_series *logql_matrix_add(struct logql_eval *eval, struct logql_matrix *matrix,
                                      const struct label *labels, size_t count, uint64_t hash)
{
    struct logql_series *series;

    if (matrix->count >= LOGQL_INNER_SERIES_MAX || !grow(eval, matrix))
        return NULL;
    series = obs_arena_alloc(eval->arena, sizeof(*series));
    if (!series)
        return NULL;
    series->labels = labels;
    series->label_count = count;
    series->hash = hash;
    series->values = obs_arena_alloc(eval->arena, (eval->steps + 1) * sizeof(double));
    series->has = obs_arena_alloc(eval->arena, eval->steps + 1);
    if (!series->values || !series->has)
        return NULL;
    matrix->series[matrix->count++] = series;
    return series;
}

static bool rehash(struct logql_eval *eval, struct logql_matrix *matrix)
{
    size_t slots = matrix->slot_count ? matrix->slot_count * 4 : FIRST_SLOTS;

    if (matrix->count * 2 < matrix->slot_count)
        return true;
    matrix->slots = obs_arena_alloc(eval->arena, slots * sizeof(*matrix->slots));
    if (!matrix->slots)
        return false;
    matrix->slot_count = slots;
    for (size_t i = 0; i < matrix->count; i++) {
        size_t slot = matrix->series[i]->hash & (slots - 1);

        while (matrix->slots[slot] > 0)
            slot = (slot + 1) & (slots - 1);
        matrix->slots[slot] = i + 1;
    }
    return true;
}

struct logql_series *logql_matrix_series(struct logql_eval *eval, struct logql_matrix *matrix,
                                         const struct label *labels, size_t count,
                                         size_t *ret_index)
{
    uint64_t hash = logql_hash_labels(labels, count);
    struct logql_series *series;
    size_t slot;

    if (!rehash(eval, matrix))
        return NULL;
    slot = hash & (matrix->slot_count - 1);
    for (; matrix->slots[slot] > 0; slot = (slot + 1) & (matrix->slot_count - 1)) {
        series = matrix->series[matrix->slots[slot] - 1];
        *ret_index = matrix->slots[slot] - 1;
        if (series->hash == hash &&
            logql_labels_equal(series->labels, series->label_count, labels, count))
            return series;
    }
    labels = logql_copy_labels(eval->arena, labels, count);
    series = labels ? logql_matrix_add(eval, matrix, labels, count, hash) : NULL;
    if (!series)
        return NULL;
    matrix->slots[slot] = matrix->count;
    *ret_index = matrix->count - 1;
    return series;
}
