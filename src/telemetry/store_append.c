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

/* ---- durability ---- */

/* What stands behind `synced` in the log is cut off; its batches are dead. */
static void give_up(struct head *head)
{
    wal_cut(head->wal);
    for (struct row_batch *batch = head->first; batch; batch = batch->next)
        if (batch->log_end > head->wal->synced && !atomic_exchange(&batch->is_dead, true))
            *(batch->what == ROW_SPANS ? &head->span_count : &head->line_count) -= batch->count;
}

/* Whoever finds no sync under way makes one for all that has been written until then. */
void store_sync(struct tenant *tenant, struct head *head, off_t until)
{
    struct wal *wal = head->wal;

    while (wal->synced < until && wal->written >= until) {
        off_t written = wal->written;
        int r;

        if (wal->is_syncing) {
            pthread_cond_wait(&tenant->synced, &tenant->mutex);
            continue;
        }
        wal->is_syncing = true;
        pthread_mutex_unlock(&tenant->mutex);
        r = fdatasync(wal->fd);
        pthread_mutex_lock(&tenant->mutex);
        wal->is_syncing = false;
        if (r == 0)
            wal->synced = written;
        else
            give_up(head);
        pthread_cond_broadcast(&tenant->synced);
    }
}

static int refuse(struct store *store, int error, struct obs_reason *reterr_reason)
{
    if (error == -ENOSPC || error == -EDQUOT || error == -EFBIG || error == -EIO) {
        obs_reason_set(reterr_reason, "the disk of the telemetry store: %s", strerror(-error));
        store_kick(store);
        return STORE_FULL;
    }
    return error;
}

static int check_room(struct store *store, size_t size, struct obs_reason *reterr_reason)
{
    size_t used = atomic_load(&store->head_bytes), limit = store->options.head_bytes_max;
    int error = atomic_load(&store->seal_error);

    if (used > limit / 2)
        store_kick(store);
    if (used == 0 || used + size <= limit)
        return 0;
    if (error < 0)
        return refuse(store, error, reterr_reason);
    obs_reason_set(reterr_reason, "%zu bytes wait to be written, the most that may", used);
    return STORE_BUSY;
}

static int commit(struct store *store, struct tenant *tenant, struct row_batch *rows,
                  struct head **ret_head, struct obs_reason *reterr_reason)
{
    struct head *head;
    int r = check_room(store, rows->size, reterr_reason);

    if (r != 0)
        return r;
    pthread_mutex_lock(&tenant->mutex);
    head = tenant->active;
    r = rows->what == ROW_LINES ? head_note_streams(head, rows, STORE_STREAMS_MAX) : 0;
    if (r < 0) {
        pthread_mutex_unlock(&tenant->mutex);
        if (r == -E2BIG)
            obs_reason_set(reterr_reason,
                           "more than %d log streams at a time: a label has too many values",
                           STORE_STREAMS_MAX);
        return r == -E2BIG ? STORE_REFUSED : r;
    }
    r = wal_write(head->wal, rows->frame, rows->size);
    if (r < 0) {
        pthread_mutex_unlock(&tenant->mutex);
        return refuse(store, r, reterr_reason);
    }
    rows->log_end = head->wal->written;
    head_add(head, rows);
    atomic_fetch_add(&store->head_bytes, rows->size);
    *ret_head = head_ref(head);
    store_sync(tenant, head, rows->log_end);
    r = atomic_load(&rows->is_dead) ? -EIO : 0;
    pthread_mutex_unlock(&tenant->mutex);
    return r < 0 ? refuse(store, r, reterr_reason) : 0;
}

static void show_lines(struct store *store, const struct tenant *tenant,
                       const struct row_batch *rows)
{
    OBS_CLEANUP(row_scratch_done) struct row_scratch scratch = {0};
    struct line_view line;
    struct row row;
    size_t offset = 0;

    while (row_next(rows, &offset, &row) && row_read_line(rows, &row, &scratch, &line) == 0)
        store->on_lines(tenant->name, &line, 1, store->on_lines_userdata);
}

int store_batch_commit(struct store_batch *batch, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(head_unrefp) struct head *head = NULL; /* keeps the rows while they are shown */
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
    r = commit(batch->store, batch->tenant, rows, &head, reterr_reason);
    if (!head)
        row_batch_free(rows);
    if (r == 0 && rows->what == ROW_LINES && batch->store->on_lines)
        show_lines(batch->store, batch->tenant, rows);
    return r;
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
    return r == 0 ? store_batch_commit(batch, reterr_reason) : r;
}
