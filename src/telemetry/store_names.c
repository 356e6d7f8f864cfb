/* What there is: label names and values, streams, attribute names and values, each once. */
#include "telemetry/store_internal.h"

#include <errno.h>

/* ---- streams ---- */

struct stream_walk {
    uint64_t from_ns, until_ns;
    int (*visit)(struct stream_walk *walk, const struct line_view *stream); /* GO_ON, STOP or < 0 */
    struct store_set seen;
    struct store_set streams; /* hashes of streams that were visited */
    struct text_view name;
    const struct line_query *query;
    store_text_fn *text_fn;
    store_line_fn *line_fn;
    void *userdata;
};

static int visit_once(struct stream_walk *walk, const struct line_view *stream)
{
    struct text_view key = {(const char *)&stream->stream, sizeof(stream->stream)};
    bool is_new;

    if (store_set_put(&walk->streams, key, &is_new) == STORE_SET_NONE)
        return -ENOMEM;
    return is_new ? walk->visit(walk, stream) : STORE_GO_ON;
}

static int walk_batch(struct stream_walk *walk, const struct row_batch *batch,
                      struct row_scratch *scratch)
{
    const uint8_t *latest = NULL;
    struct line_view line;
    struct row row;
    size_t offset = 0;
    int r = STORE_GO_ON;

    while (r == STORE_GO_ON && row_next(batch, &offset, &row)) {
        const uint8_t *shared = (const uint8_t *)row_shared(batch, &row).text;

        if (shared == latest || row.time_ns < walk->from_ns || row.time_ns >= walk->until_ns)
            continue;
        latest = shared;
        r = row_read_line(batch, &row, scratch, &line);
        line.line = (struct text_view){"", 0};
        line.metadata_count = 0;
        if (r == 0)
            r = visit_once(walk, &line);
    }
    return r;
}

static int walk_block(struct stream_walk *walk, struct block_reader *block)
{
    int r = block_parse_streams(block);

    for (size_t i = 0; r == STORE_GO_ON && i < block->stream_count; i++) {
        struct line_view line = {.line = {"", 0},
                                 .labels = block->streams[i].labels,
                                 .label_count = block->streams[i].label_count,
                                 .stream = block->streams[i].hash};

        r = visit_once(walk, &line);
    }
    return r;
}

/* A block answers for all its streams, also those whose lines are just outside of the range. */
static int walk_segment(struct stream_walk *walk, struct snapshot *snapshot, size_t segment,
                        struct block_reader *block)
{
    const struct segment *s = snapshot->segments[segment];
    int r = STORE_GO_ON;

    for (size_t i = 0; r == STORE_GO_ON && i < s->block_count; i++) {
        int fd;

        if (s->blocks[i].what != ROW_LINES ||
            !range_meets(s->blocks[i].min_ns, s->blocks[i].max_ns, walk->from_ns, walk->until_ns))
            continue;
        r = fd = snapshot_file(snapshot, segment);
        if (fd >= 0) {
            block_reader_open(block, fd, &s->blocks[i]);
            r = walk_block(walk, block);
        }
        if (r < 0 && r != -ENOMEM && r != -EMFILE) {
            snapshot_damaged(snapshot, segment, r);
            r = STORE_GO_ON;
        }
    }
    return r;
}

static int walk_streams(struct store *store, const char *tenant, struct stream_walk *walk)
{
    OBS_CLEANUP(snapshot_done) struct snapshot snapshot = {0};
    OBS_CLEANUP(row_scratch_done) struct row_scratch scratch = {0};
    struct block_reader block = {0};
    int r = snapshot_take(store, tenant, &snapshot);

    walk->seen.is_copying = walk->streams.is_copying = true;
    for (size_t i = 0; r == STORE_GO_ON && i < snapshot.batch_count; i++) {
        const struct row_batch *batch = snapshot.batches[i];

        if (batch->what == ROW_LINES &&
            range_meets(batch->min_ns, batch->max_ns, walk->from_ns, walk->until_ns)) {
            scratch.shared = NULL;
            r = walk_batch(walk, batch, &scratch);
        }
    }
    for (size_t i = 0; r == STORE_GO_ON && i < snapshot.segment_count; i++)
        r = walk_segment(walk, &snapshot, i, &block);
    block_reader_done(&block);
    store_set_done(&walk->seen);
    store_set_done(&walk->streams);
    return r < 0 ? r : 0;
}

static int say_once(struct stream_walk *walk, struct text_view text)
{
    bool is_new;

    if (store_set_put(&walk->seen, text, &is_new) == STORE_SET_NONE)
        return -ENOMEM;
    return is_new ? (int)walk->text_fn(text, walk->userdata) : STORE_GO_ON;
}

static int visit_names(struct stream_walk *walk, const struct line_view *stream)
{
    int r = STORE_GO_ON;

    for (size_t i = 0; r == STORE_GO_ON && i < stream->label_count; i++)
        r = say_once(walk, stream->labels[i].name);
    return r;
}

static int visit_values(struct stream_walk *walk, const struct line_view *stream)
{
    int r = STORE_GO_ON;

    for (size_t i = 0; r == STORE_GO_ON && i < stream->label_count; i++)
        if (text_equal(stream->labels[i].name, walk->name))
            r = say_once(walk, stream->labels[i].value);
    return r;
}

static int visit_fitting(struct stream_walk *walk, const struct line_view *stream)
{
    return labels_fit(stream->labels, stream->label_count, walk->query)
               ? (int)walk->line_fn(stream, walk->userdata)
               : STORE_GO_ON;
}

int store_label_names(struct store *store, const char *tenant, uint64_t from_ns, uint64_t until_ns,
                      store_text_fn *fn, void *userdata)
{
    struct stream_walk walk = {.from_ns = from_ns,
                               .until_ns = until_ns,
                               .visit = visit_names,
                               .text_fn = fn,
                               .userdata = userdata};

    return walk_streams(store, tenant, &walk);
}

int store_label_values(struct store *store, const char *tenant, struct text_view name,
                       uint64_t from_ns, uint64_t until_ns, store_text_fn *fn, void *userdata)
{
    struct stream_walk walk = {.from_ns = from_ns,
                               .until_ns = until_ns,
                               .visit = visit_values,
                               .name = name,
                               .text_fn = fn,
                               .userdata = userdata};

    return walk_streams(store, tenant, &walk);
}

int store_streams(struct store *store, const char *tenant, const struct line_query *query,
                  store_line_fn *fn, void *userdata)
{
    struct stream_walk walk = {.from_ns = query->from_ns,
                               .until_ns = query->until_ns,
                               .visit = visit_fitting,
                               .query = query,
                               .line_fn = fn,
                               .userdata = userdata};

    return walk_streams(store, tenant, &walk);
}

/* ---- attributes ---- */

struct tag_walk {
    bool is_resource;
    struct text_view name; /* of values; empty: names are wanted */
    struct store_set seen;
    struct bytes_out key;
    store_text_fn *text_fn;
    enum store_next (*value_fn)(const struct value *value, void *userdata);
    void *userdata;
    int r; /* STORE_GO_ON, STORE_STOP or < 0 */
};

static void see_value(struct tag_walk *walk, const struct value *value)
{
    bool is_new = false;

    bytes_clear(&walk->key);
    bytes_put_u8(&walk->key, (uint8_t)value->type);
    if (value->type == VALUE_TEXT)
        bytes_put(&walk->key, value->is.text.text, value->is.text.size);
    else if (value->type == VALUE_BOOL)
        bytes_put_u8(&walk->key, value->is.boolean);
    else
        bytes_put_u64(&walk->key, (uint64_t)value->is.integer); /* or the bits of the double */
    if (walk->key.has_failed ||
        store_set_put(&walk->seen, (struct text_view){(char *)walk->key.data, walk->key.size},
                      &is_new) == STORE_SET_NONE)
        walk->r = -ENOMEM;
    else if (is_new)
        walk->r = (int)walk->value_fn(value, walk->userdata);
}

static void see_attribute(struct tag_walk *walk, const struct attribute *attribute)
{
    bool is_new = false;

    if (walk->value_fn) {
        if (text_equal(attribute->name, walk->name))
            see_value(walk, &attribute->value);
    } else if (store_set_put(&walk->seen, attribute->name, &is_new) == STORE_SET_NONE) {
        walk->r = -ENOMEM;
    } else if (is_new) {
        walk->r = (int)walk->text_fn(attribute->name, walk->userdata);
    }
}

static void see_span(const struct span_view *span, struct tag_walk *walk)
{
    const struct attribute *attributes = walk->is_resource ? span->resource : span->attributes;
    size_t count = walk->is_resource ? span->resource_count : span->attribute_count;

    for (size_t i = 0; walk->r == STORE_GO_ON && i < count; i++)
        see_attribute(walk, &attributes[i]);
}

/* Blocks answer from their dictionaries, also for spans that are just outside of the range. */
static int see_block_name(struct text_view name, const struct value *value, void *userdata)
{
    struct tag_walk *walk = userdata;
    struct attribute attribute = {name, {VALUE_TEXT, {.text = {"", 0}}}};

    if (value)
        attribute.value = *value;
    see_attribute(walk, &attribute);
    return walk->r;
}

static int walk_tag_batch(struct tag_walk *walk, const struct row_batch *batch, uint64_t from_ns,
                          uint64_t until_ns, struct row_scratch *scratch)
{
    struct span_view span;
    struct row row;
    size_t offset = 0;
    int r = 0;

    scratch->shared = NULL;
    while (walk->r == STORE_GO_ON && row_next(batch, &offset, &row)) {
        if (!range_meets(row.time_ns, row_span_end_ns(&row), from_ns, until_ns))
            continue;
        r = row_read_span(batch, &row, scratch, &span);
        if (r < 0)
            return r;
        see_span(&span, walk);
    }
    return walk->r;
}

static int walk_tag_segment(struct tag_walk *walk, struct snapshot *snapshot, size_t segment,
                            uint64_t from_ns, uint64_t until_ns, struct block_reader *block)
{
    const struct segment *s = snapshot->segments[segment];
    int r = STORE_GO_ON;

    for (size_t i = 0; r == STORE_GO_ON && i < s->block_count; i++) {
        int fd;

        if (s->blocks[i].what != ROW_SPANS ||
            !range_meets(s->blocks[i].min_ns, s->blocks[i].max_ns, from_ns, until_ns))
            continue;
        r = fd = snapshot_file(snapshot, segment);
        if (fd >= 0) {
            block_reader_open(block, fd, &s->blocks[i]);
            r = block_span_names(block, walk->is_resource, walk->value_fn ? &walk->name : NULL,
                                 see_block_name, walk);
        }
        if (r < 0 && r != -ENOMEM && r != -EMFILE) {
            snapshot_damaged(snapshot, segment, r);
            r = STORE_GO_ON;
        }
    }
    return r;
}

static int walk_tags(struct store *store, const char *tenant, uint64_t from_ns, uint64_t until_ns,
                     struct tag_walk *walk)
{
    OBS_CLEANUP(snapshot_done) struct snapshot snapshot = {0};
    OBS_CLEANUP(row_scratch_done) struct row_scratch scratch = {0};
    struct block_reader block = {0};
    int r = snapshot_take(store, tenant, &snapshot);

    walk->seen.is_copying = true;
    for (size_t i = 0; r == STORE_GO_ON && i < snapshot.batch_count; i++) {
        const struct row_batch *batch = snapshot.batches[i];

        if (batch->what == ROW_SPANS &&
            range_meets(batch->min_ns, batch->max_ns, from_ns, until_ns))
            r = walk_tag_batch(walk, batch, from_ns, until_ns, &scratch);
    }
    for (size_t i = snapshot.segment_count; r == STORE_GO_ON && i-- > 0;)
        r = walk_tag_segment(walk, &snapshot, i, from_ns, until_ns, &block);
    block_reader_done(&block);
    store_set_done(&walk->seen);
    bytes_done(&walk->key);
    return r < 0 ? r : 0;
}

int store_span_tags(struct store *store, const char *tenant, uint64_t from_ns, uint64_t until_ns,
                    bool is_resource, store_text_fn *fn, void *userdata)
{
    struct tag_walk walk = {.is_resource = is_resource, .text_fn = fn, .userdata = userdata};

    return walk_tags(store, tenant, from_ns, until_ns, &walk);
}

int store_span_tag_values(struct store *store, const char *tenant, struct text_view name,
                          uint64_t from_ns, uint64_t until_ns, bool is_resource,
                          enum store_next (*fn)(const struct value *value, void *userdata),
                          void *userdata)
{
    struct tag_walk walk = {
        .is_resource = is_resource, .name = name, .value_fn = fn, .userdata = userdata};

    return walk_tags(store, tenant, from_ns, until_ns, &walk);
}
