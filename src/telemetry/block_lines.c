/*
 * Log lines in columns. Sections:
 *
 *   streams: varint count, then each stream record (head_row.c)
 *   core: times (difference to the row before), streams, sizes of lines
 *   text: all lines, one behind the other
 *   metadata: block_sets.c
 */
#include "telemetry/block.h"

#include <errno.h>

enum { TIMES, STREAMS, SIZES, TEXT };

/* ---- writing ---- */

static int put_metadata(struct block_writer *w, const struct line_view *line)
{
    if (row_scratch_attributes(&w->scratch, line->metadata_count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < line->metadata_count; i++)
        w->scratch.attributes[i] = (struct attribute){
            line->metadata[i].name, {VALUE_TEXT, {.text = line->metadata[i].value}}};
    return block_sets_add(&w->sets, w->scratch.attributes, line->metadata_count, NULL);
}

static int write_row(struct block_writer *w, const struct block_row *row, uint64_t *latest_ns)
{
    struct line_view line;
    uint32_t stream;
    bool is_new;
    int r = row_read_line(row->batch, &row->row, &w->scratch, &line);

    if (r < 0)
        return r;
    stream = store_set_put(&w->origins, row_shared(row->batch, &row->row), &is_new);
    if (stream == STORE_SET_NONE)
        return -ENOMEM;
    bytes_put_varint(&w->part[TIMES], line.time_ns - *latest_ns);
    *latest_ns = line.time_ns;
    bytes_put_varint(&w->part[STREAMS], stream);
    bytes_put_varint(&w->part[SIZES], line.line.size);
    bytes_put(&w->part[TEXT], line.line.text, line.line.size);
    return put_metadata(w, &line);
}

static int write_streams(struct block_writer *w)
{
    bytes_clear(&w->raw);
    bytes_put_varint(&w->raw, w->origins.count);
    for (size_t i = 0; i < w->origins.count; i++)
        bytes_put_text(&w->raw, w->origins.entries[i].text);
    return block_add_section(w, LINES_STREAMS, &w->raw);
}

static int write_core(struct block_writer *w)
{
    bytes_clear(&w->raw);
    for (unsigned i = TIMES; i <= SIZES; i++) {
        bytes_put(&w->raw, w->part[i].data, w->part[i].size);
        w->raw.has_failed |= w->part[i].has_failed;
    }
    return block_add_section(w, LINES_CORE, &w->raw);
}

int block_write_lines(struct block_writer *w, const struct block_row *rows, size_t count)
{
    uint64_t latest_ns = 0;
    int r = block_writer_begin(w, ROW_LINES, count);

    w->scratch.shared = NULL;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = write_row(w, &rows[i], &latest_ns);
    if (r == 0)
        r = write_streams(w);
    if (r == 0)
        r = write_core(w);
    if (r == 0)
        r = block_add_section(w, LINES_TEXT, &w->part[TEXT]);
    if (r == 0) {
        bytes_clear(&w->raw);
        block_sets_put(&w->sets, &w->raw);
        r = block_add_section(w, LINES_METADATA, &w->raw);
    }
    w->info.min_ns = rows[0].row.time_ns;
    w->info.max_ns = rows[count - 1].row.time_ns;
    return r;
}

/* ---- reading ---- */

static struct bytes_in section_in(const struct block_reader *r, unsigned section)
{
    const struct bytes_out *raw = &r->sections[section];

    return (struct bytes_in){raw->data, raw->data + raw->size, false};
}

static int make_streams(struct block_reader *r, size_t count)
{
    struct block_stream *streams;

    if (count <= r->stream_capacity)
        return 0;
    streams = reallocarray(r->streams, count, sizeof(*streams));
    if (!streams)
        return -ENOMEM;
    memset(streams + r->stream_capacity, 0, (count - r->stream_capacity) * sizeof(*streams));
    r->streams = streams;
    r->stream_capacity = count;
    return 0;
}

int block_parse_streams(struct block_reader *r)
{
    struct bytes_in in;
    size_t count;
    int e = block_load(r, LINES_STREAMS);

    if (e < 0 || r->is_parsed[LINES_STREAMS])
        return e;
    in = section_in(r, LINES_STREAMS);
    count = bytes_get_count(&in);
    e = make_streams(r, count);
    for (size_t i = 0; e == 0 && i < count; i++) {
        struct row_scratch scratch = {0};

        e = row_parse_stream(bytes_get_text(&in), &scratch);
        free((struct label *)r->streams[i].labels);
        r->streams[i] =
            (struct block_stream){scratch.labels, scratch.label_count, scratch.stream, false};
    }
    r->stream_count = count;
    r->is_parsed[LINES_STREAMS] = e == 0;
    return e;
}

static int parse_core(struct block_reader *r)
{
    struct bytes_in in = section_in(r, LINES_CORE);
    size_t count = r->info.count;
    uint64_t time_ns = 0, at = 0;

    if (count > BLOCK_ROWS_MAX)
        return -EBADMSG;
    if (!r->times)
        r->times = malloc(BLOCK_ROWS_MAX * sizeof(*r->times));
    if (!r->trace_refs)
        r->trace_refs = malloc((2 * BLOCK_ROWS_MAX + 1) * sizeof(*r->trace_refs));
    if (!r->times || !r->trace_refs)
        return -ENOMEM;
    r->stream_refs = r->trace_refs;
    r->line_at = r->stream_refs + BLOCK_ROWS_MAX;
    for (size_t i = 0; i < count; i++)
        r->times[i] = time_ns += bytes_get_varint(&in);
    for (size_t i = 0; i < count; i++) {
        uint64_t stream = bytes_get_varint(&in);

        if (stream >= r->stream_count)
            return -EBADMSG;
        r->stream_refs[i] = (uint32_t)stream;
    }
    for (size_t i = 0; i < count; i++) {
        r->line_at[i] = (uint32_t)at;
        at += bytes_get_varint(&in);
        if (at > r->info.sections[LINES_TEXT].raw_size)
            return -EBADMSG;
    }
    r->line_at[count] = (uint32_t)at;
    return in.has_failed ? -EBADMSG : 0;
}

int block_parse_lines(struct block_reader *r)
{
    int e = block_parse_streams(r);

    if (e == 0)
        e = block_load(r, LINES_CORE);
    if (e < 0 || r->is_parsed[LINES_CORE])
        return e;
    e = parse_core(r);
    r->is_parsed[LINES_CORE] = e == 0;
    return e;
}

struct text_view block_line_text(const struct block_reader *r, size_t i)
{
    return (struct text_view){(char *)r->sections[LINES_TEXT].data + r->line_at[i],
                              r->line_at[i + 1] - r->line_at[i]};
}

static int parse_metadata(struct block_reader *r)
{
    struct bytes_in in;
    int e = block_load(r, LINES_METADATA);

    if (e < 0)
        return e;
    in = section_in(r, LINES_METADATA);
    e = block_sets_read(&in, r->info.count, &r->sets);
    r->is_parsed[LINES_METADATA] = e == 0;
    return e;
}

static int get_metadata(struct block_reader *r, size_t i, struct line_view *line)
{
    size_t first = r->sets.first[i], count = r->sets.first[i + 1] - first;

    if (count > r->metadata_capacity) {
        struct label *metadata = reallocarray(r->metadata, count, sizeof(*metadata));

        if (!metadata)
            return -ENOMEM;
        r->metadata = metadata;
        r->metadata_capacity = count;
    }
    for (size_t k = 0; k < count; k++) {
        const struct attribute *attribute = &r->sets.attributes[first + k];

        if (attribute->value.type != VALUE_TEXT)
            return -EBADMSG;
        r->metadata[k] = (struct label){attribute->name, attribute->value.is.text};
    }
    line->metadata = r->metadata;
    line->metadata_count = count;
    return 0;
}

int block_line(struct block_reader *r, size_t i, struct line_view *line)
{
    const struct block_stream *stream;
    int e = r->is_parsed[LINES_METADATA] ? 0 : block_parse_lines(r);

    if (e == 0 && !r->has[LINES_TEXT])
        e = block_load(r, LINES_TEXT);
    if (e == 0 && !r->is_parsed[LINES_METADATA])
        e = parse_metadata(r);
    if (e < 0)
        return e;
    stream = &r->streams[r->stream_refs[i]];
    *line = (struct line_view){.time_ns = r->times[i],
                               .line = block_line_text(r, i),
                               .labels = stream->labels,
                               .label_count = stream->label_count,
                               .stream = stream->hash};
    return get_metadata(r, i, line);
}
