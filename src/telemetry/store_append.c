/*
 * Appending: rows are written outside of any lock, one write to the log and one place in the head
 * under the tenant's.
 */
#include "telemetry/store_internal.h"

#include <errno.h>

struct store_batch {
    struct store *store;
    struct tenant *tenant;
    struct row_writer rows;
};

struct store_batch *store_batch_free(struct store_batch *batch)
{
    if (batch) {
        row_writer_done(&batch->rows);
        free(batch);
    }
    return NULL;
}

static int batch_new(struct store *store, const char *tenant_name, enum row_what what,
                     struct store_batch **ret_batch, struct obs_reason *reterr_reason)
{
    struct tenant *tenant;
    struct store_batch *batch;
    int r = tenant_get(store, tenant_name, &tenant, reterr_reason);

    if (r != 0)
        return r;
    batch = calloc(1, sizeof(*batch));
    if (!batch)
        return -ENOMEM;
    batch->store = store;
    batch->tenant = tenant;
    row_writer_init(&batch->rows, what);
    *ret_batch = batch;
    return 0;
}

int store_batch_spans(struct store *store, const char *tenant, struct store_batch **ret_batch,
                      struct obs_reason *reterr_reason)
{
    return batch_new(store, tenant, ROW_SPANS, ret_batch, reterr_reason);
}

int store_batch_lines(struct store *store, const char *tenant, struct store_batch **ret_batch,
                      struct obs_reason *reterr_reason)
{
    return batch_new(store, tenant, ROW_LINES, ret_batch, reterr_reason);
}

void store_batch_new_origin(struct store_batch *batch)
{
    row_writer_new_origin(&batch->rows);
}

void store_batch_span(struct store_batch *batch, const struct span_view *span)
{
    row_writer_span(&batch->rows, span);
}

void store_batch_line(struct store_batch *batch, const struct line_view *line)
{
    row_writer_line(&batch->rows, line);
}

size_t store_batch_count(const struct store_batch *batch)
{
    return batch->rows.count;
}

static int commit(struct store *store, struct tenant *tenant, struct row_batch *rows)
{
    pthread_mutex_lock(&tenant->mutex);
    head_add(tenant->active, rows);
    atomic_fetch_add(&store->head_bytes, rows->size);
    pthread_mutex_unlock(&tenant->mutex);
    return 0;
}

int store_batch_commit(struct store_batch *batch, struct obs_reason *reterr_reason)
{
    struct row_batch *rows;
    int r;

    if (batch->rows.count == 0)
        return 0;
    r = row_writer_finish(&batch->rows, &rows);
    if (r == -EMSGSIZE) {
        obs_reason_set(reterr_reason, "the batch is too large");
        return STORE_REFUSED;
    }
    if (r < 0)
        return r;
    return commit(batch->store, batch->tenant, rows);
}

int store_append_spans(struct store *store, const char *tenant, const struct span_view *spans,
                       size_t count, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(store_batch_freep) struct store_batch *batch = NULL;
    int r = store_batch_spans(store, tenant, &batch, reterr_reason);

    for (size_t i = 0; r == 0 && i < count; i++)
        store_batch_span(batch, &spans[i]);
    return r == 0 ? store_batch_commit(batch, reterr_reason) : r;
}

int store_append_lines(struct store *store, const char *tenant, const struct line_view *lines,
                       size_t count, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(store_batch_freep) struct store_batch *batch = NULL;
    int r = store_batch_lines(store, tenant, &batch, reterr_reason);

    for (size_t i = 0; r == 0 && i < count; i++)
        store_batch_line(batch, &lines[i]);
    if (r == 0)
        r = store_batch_commit(batch, reterr_reason);
    if (r == 0 && store->on_lines)
        store->on_lines(tenant, lines, count, store->on_lines_userdata);
    return r;
}
