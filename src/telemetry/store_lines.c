/*
 * Reading lines in time order: a merge over batches and blocks.
 *
 * Each is a source, sorted inside. Sources are opened lazily, when the merge reaches their first
 * time, so that memory is bounded by how many overlap. Going backwards is going forwards over
 * inverted times.
 */
#include "telemetry/store_internal.h"

#include <errno.h>

struct line_source {
    uint64_t first_key; /* least key inside; inverted time when going backwards */
    const struct row_batch *batch;
    struct row *rows; /* opened: what fits, in key order */
    size_t count, next;
    struct row_scratch scratch;
};

struct line_merge {
    const struct line_query *query;
    struct line_source *sources; /* by first_key */
    size_t source_count, opened;
    struct line_source **heap; /* least key first */
    size_t heap_count;
};

static uint64_t key_of(const struct line_query *query, uint64_t time_ns)
{
    return query->is_forward ? time_ns : ~time_ns;
}

static bool is_wanted(const struct line_query *query, const struct line_view *line)
{
    return line->time_ns >= query->from_ns && line->time_ns < query->until_ns &&
           (query->contains.size == 0 ||
            memmem(line->line.text, line->line.size, query->contains.text, query->contains.size)) &&
           labels_fit(line->labels, line->label_count, query);
}

static int compare_forward(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int compare_backward(const void *a, const void *b)
{
    return compare_forward(b, a);
}

static int open_batch(const struct line_query *query, struct line_source *source)
{
    struct line_view line;
    struct row row;
    size_t offset = 0;

    source->rows = calloc((size_t)source->batch->count + 1, sizeof(*source->rows));
    if (!source->rows)
        return -ENOMEM;
    while (source->count < source->batch->count && row_next(source->batch, &offset, &row)) {
        int r = row_read_line(source->batch, &row, &source->scratch, &line);

        if (r < 0)
            return r;
        if (is_wanted(query, &line))
            source->rows[source->count++] = row;
    }
    qsort(source->rows, source->count, sizeof(*source->rows),
          query->is_forward ? compare_forward : compare_backward);
    return 0;
}

static uint64_t next_key(const struct line_query *query, const struct line_source *source)
{
    return key_of(query, source->rows[source->next].time_ns);
}

static void close_source(struct line_source *source)
{
    free(source->rows);
    source->rows = NULL;
    row_scratch_done(&source->scratch);
}

/* ---- heap ---- */

static bool goes_before(const struct line_merge *m, const struct line_source *a,
                        const struct line_source *b)
{
    uint64_t x = next_key(m->query, a), y = next_key(m->query, b);

    return x != y ? x < y : a < b;
}

static void sift_down(struct line_merge *m, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        struct line_source *moved = m->heap[at];

        if (left < m->heap_count && goes_before(m, m->heap[left], m->heap[least]))
            least = left;
        if (right < m->heap_count && goes_before(m, m->heap[right], m->heap[least]))
            least = right;
        if (least == at)
            return;
        m->heap[at] = m->heap[least];
        m->heap[least] = moved;
        at = least;
    }
}

static void push(struct line_merge *m, struct line_source *source)
{
    size_t at = m->heap_count++;

    m->heap[at] = source;
    while (at > 0 && goes_before(m, m->heap[at], m->heap[(at - 1) / 2])) {
        struct line_source *parent = m->heap[(at - 1) / 2];

        m->heap[(at - 1) / 2] = m->heap[at];
        m->heap[at] = parent;
        at = (at - 1) / 2;
    }
}

/* Take the least source's line away. */
static void advance(struct line_merge *m)
{
    struct line_source *source = m->heap[0];

    if (++source->next == source->count) {
        close_source(source);
        m->heap[0] = m->heap[--m->heap_count];
    }
    if (m->heap_count > 0)
        sift_down(m, 0);
}

/* ---- merge ---- */

static int open_due(struct line_merge *m)
{
    while (m->opened < m->source_count) {
        struct line_source *source = &m->sources[m->opened];
        int r;

        if (m->heap_count > 0 && next_key(m->query, m->heap[0]) < source->first_key)
            return 0;
        m->opened++;
        r = open_batch(m->query, source);
        if (r < 0)
            return r;
        if (source->count > 0)
            push(m, source);
        else
            close_source(source);
    }
    return 0;
}

static int run(struct line_merge *m, store_line_fn *fn, void *userdata)
{
    for (;;) {
        struct line_source *source;
        struct line_view line;
        int r = open_due(m);

        if (r < 0 || m->heap_count == 0)
            return r;
        source = m->heap[0];
        r = row_read_line(source->batch, &source->rows[source->next], &source->scratch, &line);
        if (r < 0)
            return r;
        if (fn(&line, userdata) == STORE_STOP)
            return 0;
        advance(m);
    }
}

static int compare_sources(const void *a, const void *b)
{
    const struct line_source *x = a, *y = b;

    return x->first_key < y->first_key ? -1 : x->first_key > y->first_key;
}

static int make_sources(struct line_merge *m, const struct snapshot *snapshot)
{
    const struct line_query *query = m->query;

    m->sources = calloc(snapshot->batch_count + 1, sizeof(*m->sources));
    m->heap = calloc(snapshot->batch_count + 1, sizeof(struct line_source *));
    if (!m->sources || !m->heap)
        return -ENOMEM;
    for (size_t i = 0; i < snapshot->batch_count; i++) {
        const struct row_batch *batch = snapshot->batches[i];

        if (batch->what == ROW_LINES &&
            range_meets(batch->min_ns, batch->max_ns, query->from_ns, query->until_ns))
            m->sources[m->source_count++] = (struct line_source){
                .first_key = query->is_forward ? batch->min_ns : ~batch->max_ns, .batch = batch};
    }
    qsort(m->sources, m->source_count, sizeof(*m->sources), compare_sources);
    return 0;
}

int store_scan_lines(struct store *store, const char *tenant, const struct line_query *query,
                     store_line_fn *fn, void *userdata)
{
    OBS_CLEANUP(snapshot_done) struct snapshot snapshot = {0};
    struct line_merge merge = {.query = query};
    int r = snapshot_take(store, tenant, &snapshot);

    if (r == 0)
        r = make_sources(&merge, &snapshot);
    if (r == 0)
        r = run(&merge, fn, userdata);
    for (size_t i = 0; i < merge.opened; i++)
        close_source(&merge.sources[i]);
    free(merge.sources);
    free(merge.heap);
    return r;
}
