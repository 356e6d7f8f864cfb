/* Reading spans: the head's batches row by row, then segments' blocks, newest first. */
#include "telemetry/store_internal.h"

#include <errno.h>

struct span_read {
    const struct span_hints *hints; /* NULL: by trace id */
    const uint8_t *trace_id;
    store_span_fn *fn;
    void *userdata;
    struct row_scratch scratch;
};

static bool row_is_wanted(const struct span_read *read, const struct row *row)
{
    if (read->trace_id)
        return memcmp(row_trace_id(row), read->trace_id, 16) == 0;
    return times_fit(row->time_ns, row_span_end_ns(row), read->hints);
}

/* Return: STORE_GO_ON, STORE_STOP or < 0. */
static int read_batch(struct span_read *read, const struct row_batch *batch)
{
    struct span_view span;
    struct row row;
    size_t offset = 0;

    if (batch->what != ROW_SPANS ||
        (read->hints &&
         !range_meets(batch->min_ns, batch->max_ns, read->hints->from_ns, read->hints->until_ns)))
        return STORE_GO_ON;
    read->scratch.shared = NULL;
    while (row_next(batch, &offset, &row)) {
        int r;

        if (!row_is_wanted(read, &row))
            continue;
        r = row_read_span(batch, &row, &read->scratch, &span);
        if (r < 0)
            return r;
        if ((!read->hints || span_fits(&span, read->hints)) &&
            read->fn(&span, read->userdata) == STORE_STOP)
            return STORE_STOP;
    }
    return STORE_GO_ON;
}

static int read_all(struct store *store, const char *tenant, struct span_read *read)
{
    OBS_CLEANUP(snapshot_done) struct snapshot snapshot = {0};
    int r = snapshot_take(store, tenant, &snapshot);

    for (size_t i = snapshot.batch_count; r == STORE_GO_ON && i-- > 0;)
        r = read_batch(read, snapshot.batches[i]);
    row_scratch_done(&read->scratch);
    return r < 0 ? r : 0;
}

int store_find_trace(struct store *store, const char *tenant, const uint8_t trace_id[16],
                     store_span_fn *fn, void *userdata)
{
    struct span_read read = {.trace_id = trace_id, .fn = fn, .userdata = userdata};

    return read_all(store, tenant, &read);
}

int store_scan_spans(struct store *store, const char *tenant, const struct span_hints *hints,
                     store_span_fn *fn, void *userdata)
{
    struct span_read read = {.hints = hints, .fn = fn, .userdata = userdata};

    return read_all(store, tenant, &read);
}
