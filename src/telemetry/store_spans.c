/* Reading spans: the head's batches row by row, then segments' blocks, newest first. */
#include "telemetry/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct span_read {
    const struct span_hints *hints; /* NULL: by trace ids */
    const uint8_t (*trace_ids)[16]; /* sorted */
    uint64_t *trace_hashes;         /* for filters */
    size_t trace_count;
    store_span_fn *fn;
    void *userdata;
    struct row_scratch scratch;
    bool is_wanted[BLOCK_ROWS_MAX]; /* of a block's traces */
};

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static bool is_wanted_trace(const struct span_read *read, const uint8_t trace_id[16])
{
    return bsearch(trace_id, read->trace_ids, read->trace_count, 16, compare_ids) != NULL;
}

static bool row_is_wanted(const struct span_read *read, const struct row *row)
{
    if (!read->hints)
        return is_wanted_trace(read, row_trace_id(row));
    return times_fit(row->time_ns, row_span_end_ns(row), read->hints);
}

static bool batch_is_possible(const struct span_read *read, const struct row_batch *batch)
{
    for (size_t i = 0; i < read->trace_count; i++)
        if (row_batch_has_trace(batch, read->trace_ids[i]))
            return true;
    return false;
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
    if (!read->hints && !batch_is_possible(read, batch))
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

/* ---- blocks ---- */

static bool is_possible(struct span_read *read, struct block_reader *block)
{
    const struct span_hints *hints = read->hints;
    struct value text = {.type = VALUE_TEXT};

    if (!hints)
        return true; /* the filter of traces has been asked */
    text.is.text = hints->service;
    if (hints->service.size > 0 &&
        !block_has_value(block, block_value_hash(BLOCK_SERVICE_KEY, &text)))
        return false;
    text.is.text = hints->name;
    if (hints->name.size > 0 && !block_has_value(block, block_value_hash(BLOCK_NAME_KEY, &text)))
        return false;
    return hints->equals.name.size == 0 ||
           block_has_value(block, block_value_hash(hints->equals.name, &hints->equals.value));
}

/* Does the row pass what can be asked without its attributes? */
static bool block_row_is_wanted(const struct span_read *read, const struct block_reader *block,
                                size_t i)
{
    const struct span_hints *hints = read->hints;

    if (!hints)
        return read->is_wanted[block->trace_refs[i]];
    return times_fit(block->times[i], block->ends[i], hints) &&
           (hints->service.size == 0 ||
            text_equal(block->origins[block->origin_refs[i]].service, hints->service)) &&
           (hints->name.size == 0 || text_equal(block->names[block->name_refs[i]], hints->name));
}

static int read_block(struct span_read *read, struct block_reader *block)
{
    struct span_view span;
    int r;

    if (!is_possible(read, block))
        return STORE_GO_ON;
    r = read->hints ? block_parse_core(block) : block_parse_ids(block);
    for (size_t i = 0; r == 0 && !read->hints && i < block->trace_count; i++)
        read->is_wanted[i] = is_wanted_trace(read, block->trace_ids + i * 16);
    for (size_t i = 0; r == 0 && i < block->info.count; i++) {
        if (!block_row_is_wanted(read, block, i))
            continue;
        r = block_span(block, i, &span);
        if (r == 0 && (!read->hints || span_fits(&span, read->hints)) &&
            read->fn(&span, read->userdata) == STORE_STOP)
            return STORE_STOP;
    }
    return r;
}

static bool block_meets(const struct span_read *read, const struct block_info *info)
{
    const struct span_hints *hints = read->hints;

    return info->what == ROW_SPANS &&
           (!hints ||
            (range_meets(info->min_ns, info->max_ns, hints->from_ns, hints->until_ns) &&
             info->duration_max_ns >= hints->duration_min_ns &&
             (hints->duration_max_ns == 0 || info->duration_min_ns <= hints->duration_max_ns)));
}

/* ---- order ---- */

struct span_source {
    uint64_t max_ns;
    const struct row_batch *batch; /* NULL: a block */
    size_t segment, block;
};

static int compare_sources(const void *a, const void *b)
{
    const struct span_source *x = a, *y = b;

    return x->max_ns > y->max_ns ? -1 : x->max_ns < y->max_ns;
}

static int make_sources(const struct span_read *read, const struct snapshot *snapshot,
                        struct span_source **ret_sources, size_t *ret_count)
{
    size_t room = snapshot->batch_count + 1, count = 0;
    struct span_source *sources;

    for (size_t i = 0; i < snapshot->segment_count; i++)
        room += snapshot->segments[i]->block_count;
    sources = calloc(room, sizeof(*sources));
    if (!sources)
        return -ENOMEM;
    for (size_t i = 0; i < snapshot->batch_count; i++)
        sources[count++] = (struct span_source){.max_ns = snapshot->batches[i]->max_ns,
                                                .batch = snapshot->batches[i]};
    for (size_t i = 0; i < snapshot->segment_count; i++)
        for (size_t k = 0; k < snapshot->segments[i]->block_count; k++)
            if (block_meets(read, &snapshot->segments[i]->blocks[k]))
                sources[count++] =
                    (struct span_source){snapshot->segments[i]->blocks[k].max_ns, NULL, i, k};
    qsort(sources, count, sizeof(*sources), compare_sources);
    *ret_sources = sources;
    *ret_count = count;
    return 0;
}

static bool segment_block_is_possible(const struct span_read *read, struct segment *segment,
                                      size_t block, int fd)
{
    for (size_t i = 0; i < read->trace_count; i++)
        if (segment_has_trace(segment, fd, block, read->trace_hashes[i]))
            return true;
    return false;
}

/* Look-ups by trace share parsed blocks; scans, which go through many, use one of their own. */
static int read_segment_block(struct span_read *read, struct snapshot *snapshot,
                              struct block_reader *own, const struct span_source *source, int fd)
{
    struct segment *segment = snapshot->segments[source->segment];
    struct store_cache *cache = &snapshot->store->cache;
    struct block_reader *shared;
    int r;

    if (read->hints) {
        block_reader_open(own, fd, &segment->blocks[source->block]);
        return read_block(read, own);
    }
    if (!segment_block_is_possible(read, segment, source->block, fd))
        return STORE_GO_ON;
    shared = store_cache_take(cache, segment, source->block, fd);
    if (!shared)
        return -ENOMEM;
    r = read_block(read, shared);
    store_cache_give(cache, segment, source->block, shared, r >= 0);
    return r;
}

static int read_source(struct span_read *read, struct snapshot *snapshot, struct block_reader *own,
                       const struct span_source *source)
{
    struct segment *segment;
    int r;

    if (source->batch)
        return read_batch(read, source->batch);
    segment = snapshot->segments[source->segment];
    if (!read->hints && atomic_load(&segment->trace_filters) &&
        !segment_block_is_possible(read, segment, source->block, -1))
        return STORE_GO_ON; /* without opening the file */
    r = snapshot_file(snapshot, source->segment);
    if (r >= 0)
        r = read_segment_block(read, snapshot, own, source, r);
    if (r >= 0 || r == -ENOMEM || r == -EMFILE)
        return r;
    snapshot_damaged(snapshot, source->segment, r);
    return STORE_GO_ON;
}

static int read_all(struct store *store, const char *tenant, struct span_read *read)
{
    OBS_CLEANUP(snapshot_done) struct snapshot snapshot = {0};
    OBS_CLEANUP(obs_freep) struct span_source *sources = NULL;
    struct block_reader block = {0};
    size_t count = 0;
    int r = snapshot_take(store, tenant, &snapshot);

    if (r == 0)
        r = make_sources(read, &snapshot, &sources, &count);
    for (size_t i = 0; r == STORE_GO_ON && i < count; i++)
        r = read_source(read, &snapshot, &block, &sources[i]);
    block_reader_done(&block);
    row_scratch_done(&read->scratch);
    return r < 0 ? r : 0;
}

int store_find_traces(struct store *store, const char *tenant, const uint8_t (*trace_ids)[16],
                      size_t count, store_span_fn *fn, void *userdata)
{
    OBS_CLEANUP(obs_freep) uint64_t *hashes = calloc(count + 1, sizeof(*hashes));
    struct span_read read = {.trace_ids = trace_ids,
                             .trace_hashes = hashes,
                             .trace_count = count,
                             .fn = fn,
                             .userdata = userdata};

    if (!hashes)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        hashes[i] = block_trace_hash(trace_ids[i]);
    return read_all(store, tenant, &read);
}

int store_find_trace(struct store *store, const char *tenant, const uint8_t trace_id[16],
                     store_span_fn *fn, void *userdata)
{
    return store_find_traces(store, tenant, (const uint8_t(*)[16])trace_id, 1, fn, userdata);
}

int store_scan_spans(struct store *store, const char *tenant, const struct span_hints *hints,
                     store_span_fn *fn, void *userdata)
{
    struct span_read read = {.hints = hints, .fn = fn, .userdata = userdata};

    return read_all(store, tenant, &read);
}
