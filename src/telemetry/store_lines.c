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
    uint64_t first_key;            /* least key inside; inverted time when going backwards */
    const struct row_batch *batch; /* NULL: a block */
    size_t segment, block;
    struct row *rows;     /* opened: what fits, in key order; of a batch */
    uint32_t *block_rows; /* of a block */
    size_t count, next;
    struct row_scratch scratch;
    struct block_reader *reader;
};

enum { READERS_KEPT = 4 };

struct line_merge {
    const struct line_query *query;
    struct snapshot *snapshot;
    struct block_reader *readers[READERS_KEPT]; /* not in use now */
    size_t reader_count;
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

/* ---- blocks ---- */

static bool mark_streams(const struct line_query *query, struct block_reader *block)
{
    bool any = false;

    for (size_t i = 0; i < block->stream_count; i++) {
        struct block_stream *stream = &block->streams[i];

        stream->fits = labels_fit(stream->labels, stream->label_count, query);
        any |= stream->fits;
    }
    return any;
}

static bool block_row_is_wanted(const struct line_query *query, const struct block_reader *block,
                                size_t i)
{
    return block->times[i] >= query->from_ns && block->times[i] < query->until_ns &&
           block->streams[block->stream_refs[i]].fits;
}

/* Search the text as a whole: most blocks have no or few hits. A hit that begins in one line and
 * ends in the next is none. */
static size_t pick_containing(const struct line_query *query, const struct block_reader *block,
                              uint32_t *rows)
{
    const char *text = (const char *)block->sections[LINES_TEXT].data;
    size_t end = block->line_at[block->info.count], at = 0, row = 0, count = 0;
    const char *hit;

    while (at < end && (hit = memmem(text + at, end - at, query->contains.text,
                                     query->contains.size)) != NULL) {
        size_t place = (size_t)(hit - text);

        while (block->line_at[row + 1] <= place)
            row++;
        if (place + query->contains.size > block->line_at[row + 1]) {
            at = place + 1;
            continue;
        }
        if (block_row_is_wanted(query, block, row))
            rows[count++] = (uint32_t)row;
        at = block->line_at[row + 1];
    }
    return count;
}

static size_t pick_rows(const struct line_query *query, const struct block_reader *block,
                        uint32_t *rows)
{
    size_t count = 0;

    if (query->contains.size > 0)
        return pick_containing(query, block, rows);
    for (size_t i = 0; i < block->info.count; i++)
        if (block_row_is_wanted(query, block, i))
            rows[count++] = (uint32_t)i;
    return count;
}

static int open_block(const struct line_query *query, struct line_source *source)
{
    struct block_reader *block = source->reader;
    int r = block_parse_streams(block);

    if (r < 0 || !mark_streams(query, block))
        return r;
    r = block_parse_lines(block);
    if (r == 0 && query->contains.size > 0)
        r = block_load(block, LINES_TEXT);
    if (r < 0)
        return r;
    source->block_rows = malloc(block->info.count * sizeof(*source->block_rows));
    if (!source->block_rows)
        return -ENOMEM;
    source->count = pick_rows(query, block, source->block_rows);
    for (size_t i = 0; !query->is_forward && i < source->count / 2; i++) {
        uint32_t other = source->block_rows[source->count - 1 - i];

        source->block_rows[source->count - 1 - i] = source->block_rows[i];
        source->block_rows[i] = other;
    }
    return 0;
}

static int open_segment_block(struct line_merge *m, struct line_source *source)
{
    int fd = snapshot_file(m->snapshot, source->segment), r = fd;

    source->reader = m->reader_count > 0 ? m->readers[--m->reader_count]
                                         : calloc(1, sizeof(struct block_reader));
    if (!source->reader)
        return -ENOMEM;
    if (fd >= 0) {
        block_reader_open(source->reader, fd,
                          &m->snapshot->segments[source->segment]->blocks[source->block]);
        r = open_block(m->query, source);
    }
    if (r >= 0 || r == -ENOMEM || r == -EMFILE)
        return r < 0 ? r : 0;
    snapshot_damaged(m->snapshot, source->segment, r);
    source->count = 0;
    return 0;
}

/* ---- sources ---- */

static uint64_t next_key(const struct line_query *query, const struct line_source *source)
{
    if (source->reader)
        return key_of(query, source->reader->times[source->block_rows[source->next]]);
    return key_of(query, source->rows[source->next].time_ns);
}

static int read_line(struct line_source *source, struct line_view *ret_line)
{
    if (source->reader)
        return block_line(source->reader, source->block_rows[source->next], ret_line);
    return row_read_line(source->batch, &source->rows[source->next], &source->scratch, ret_line);
}

static void close_source(struct line_merge *m, struct line_source *source)
{
    free(source->rows);
    free(source->block_rows);
    source->rows = NULL;
    source->block_rows = NULL;
    row_scratch_done(&source->scratch);
    if (source->reader && m->reader_count < READERS_KEPT) {
        m->readers[m->reader_count++] = source->reader;
    } else if (source->reader) {
        block_reader_done(source->reader);
        free(source->reader);
    }
    source->reader = NULL;
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
        close_source(m, source);
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
        r = source->batch ? open_batch(m->query, source) : open_segment_block(m, source);
        if (r < 0)
            return r;
        if (source->count > 0)
            push(m, source);
        else
            close_source(m, source);
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
        r = read_line(source, &line);
        if (r < 0 && source->reader && r != -ENOMEM) { /* the rest of this block is lost */
            snapshot_damaged(m->snapshot, source->segment, r);
            source->next = source->count - 1;
            advance(m);
            continue;
        }
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

static void add_source(struct line_merge *m, uint64_t min_ns, uint64_t max_ns,
                       struct line_source source)
{
    if (!range_meets(min_ns, max_ns, m->query->from_ns, m->query->until_ns))
        return;
    source.first_key = m->query->is_forward ? min_ns : ~max_ns;
    m->sources[m->source_count++] = source;
}

static int make_sources(struct line_merge *m)
{
    const struct snapshot *s = m->snapshot;
    size_t room = s->batch_count + 1;

    for (size_t i = 0; i < s->segment_count; i++)
        room += s->segments[i]->block_count;
    m->sources = calloc(room, sizeof(*m->sources));
    m->heap = calloc(room, sizeof(struct line_source *));
    if (!m->sources || !m->heap)
        return -ENOMEM;
    for (size_t i = 0; i < s->batch_count; i++)
        if (s->batches[i]->what == ROW_LINES)
            add_source(m, s->batches[i]->min_ns, s->batches[i]->max_ns,
                       (struct line_source){.batch = s->batches[i]});
    for (size_t i = 0; i < s->segment_count; i++)
        for (size_t k = 0; k < s->segments[i]->block_count; k++) {
            const struct block_info *info = &s->segments[i]->blocks[k];

            if (info->what == ROW_LINES)
                add_source(m, info->min_ns, info->max_ns,
                           (struct line_source){.segment = i, .block = k});
        }
    qsort(m->sources, m->source_count, sizeof(*m->sources), compare_sources);
    return 0;
}

static void merge_done(struct line_merge *m)
{
    for (size_t i = 0; i < m->opened; i++)
        close_source(m, &m->sources[i]);
    for (size_t i = 0; i < m->reader_count; i++) {
        block_reader_done(m->readers[i]);
        free(m->readers[i]);
    }
    free(m->sources);
    free(m->heap);
}

int store_scan_lines(struct store *store, const char *tenant, const struct line_query *query,
                     store_line_fn *fn, void *userdata)
{
    OBS_CLEANUP(snapshot_done) struct snapshot snapshot = {0};
    struct line_merge merge = {.query = query, .snapshot = &snapshot};
    int r = snapshot_take(store, tenant, &snapshot);

    if (r == 0)
        r = make_sources(&merge);
    if (r == 0)
        r = run(&merge, fn, userdata);
    merge_done(&merge);
    return r;
}
