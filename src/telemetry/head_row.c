/*
 * A row is written once and read a few times: by queries while it is in the head, and once more
 * when it is sealed. So numbers that filters look at stand at fixed places, and text is not
 * interned here.
 */
#include "telemetry/head_row.h"

#include "telemetry/head_row_layout.h"
#include <errno.h>

#define BATCH_BYTES_MAX ((size_t)1 << 30)

static void put_value(struct bytes_out *out, const struct value *value)
{
    bytes_put_u8(out, (uint8_t)value->type);
    switch (value->type) {
    case VALUE_TEXT:
        bytes_put_text(out, value->is.text);
        return;
    case VALUE_INT:
        bytes_put_varint(out, bytes_zigzag(value->is.integer));
        return;
    case VALUE_DOUBLE:
        bytes_put(out, &value->is.number, sizeof(value->is.number));
        return;
    case VALUE_BOOL:
        bytes_put_u8(out, value->is.boolean);
        return;
    }
}

static void put_attributes(struct bytes_out *out, const struct attribute *attributes, size_t count)
{
    bytes_put_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        bytes_put_text(out, attributes[i].name);
        put_value(out, &attributes[i].value);
    }
}

static void put_labels(struct bytes_out *out, const struct label *labels, size_t count)
{
    bytes_put_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        bytes_put_text(out, labels[i].name);
        bytes_put_text(out, labels[i].value);
    }
}

static size_t begin_record(struct bytes_out *out, uint8_t type)
{
    size_t at = out->size;

    bytes_put_u32(out, 0);
    bytes_put_u8(out, type);
    return at;
}

static void end_record(struct bytes_out *out, size_t at)
{
    uint32_t size = (uint32_t)(out->size - at);

    if (!out->has_failed)
        memcpy(out->data + at, &size, sizeof(size));
}

void row_writer_init(struct row_writer *w, enum row_what what)
{
    static const uint8_t EMPTY[ROW_FRAME_SIZE + ROW_HEAD_SIZE];

    *w = (struct row_writer){.what = what, .min_ns = UINT64_MAX};
    bytes_put(&w->out, EMPTY, sizeof(EMPTY));
}

void row_writer_done(struct row_writer *w)
{
    bytes_done(&w->out);
}

void row_writer_new_origin(struct row_writer *w)
{
    w->shared = 0;
}

static void put_origin(struct row_writer *w, const struct span_view *span)
{
    size_t at = begin_record(&w->out, RECORD_ORIGIN);

    w->shared = (uint32_t)at;
    w->shared_key = span->resource;
    w->shared_count = span->resource_count;
    w->shared_scope = span->scope_name.text;
    w->shared_service = span->service.text;
    bytes_put_text(&w->out, span->service);
    bytes_put_text(&w->out, span->scope_name);
    bytes_put_text(&w->out, span->scope_version);
    put_attributes(&w->out, span->resource, span->resource_count);
    end_record(&w->out, at);
}

void row_put_extra(struct bytes_out *out, const struct span_view *span)
{
    bytes_put_varint(out, span->event_count);
    for (size_t i = 0; i < span->event_count; i++) {
        const struct span_event *event = &span->events[i];

        bytes_put_u64(out, event->time_ns);
        bytes_put_text(out, event->name);
        put_attributes(out, event->attributes, event->attribute_count);
    }
    bytes_put_varint(out, span->link_count);
    for (size_t i = 0; i < span->link_count; i++) {
        bytes_put(out, span->links[i].trace_id, 16);
        bytes_put(out, span->links[i].span_id, 8);
        put_attributes(out, span->links[i].attributes, span->links[i].attribute_count);
    }
}

static void note_times(struct row_writer *w, uint64_t from_ns, uint64_t until_ns)
{
    w->count++;
    if (from_ns < w->min_ns)
        w->min_ns = from_ns;
    if (until_ns > w->max_ns)
        w->max_ns = until_ns;
}

void row_writer_span(struct row_writer *w, const struct span_view *span)
{
    struct bytes_out *out = &w->out;
    size_t at;

    if (w->shared == 0 || w->shared_key != span->resource ||
        w->shared_count != span->resource_count || w->shared_scope != span->scope_name.text ||
        w->shared_service != span->service.text)
        put_origin(w, span);
    at = begin_record(out, RECORD_SPAN);
    bytes_put_u32(out, w->shared);
    bytes_put_u64(out, span->start_ns);
    bytes_put_u64(out, span->end_ns);
    bytes_put(out, span->trace_id, 16);
    bytes_put(out, span->span_id, 8);
    bytes_put(out, span->parent_span_id, 8);
    bytes_put_u8(out, span->kind);
    bytes_put_u8(out, span->status);
    bytes_put_text(out, span->name);
    bytes_put_text(out, span->status_message);
    bytes_put_text(out, span->trace_state);
    put_attributes(out, span->attributes, span->attribute_count);
    row_put_extra(out, span);
    end_record(out, at);
    note_times(w, span->start_ns, span->end_ns > span->start_ns ? span->end_ns : span->start_ns);
}

static uint32_t put_stream(struct row_writer *w, const struct line_view *line, uint64_t hash)
{
    size_t at = begin_record(&w->out, RECORD_STREAM);

    bytes_put_u64(&w->out, hash);
    put_labels(&w->out, line->labels, line->label_count);
    end_record(&w->out, at);
    return (uint32_t)at;
}

void row_writer_line(struct row_writer *w, const struct line_view *line)
{
    uint64_t hash = row_stream_hash(line->labels, line->label_count);
    size_t slot = hash % OBS_COUNT(w->streams);
    struct bytes_out *out = &w->out;
    size_t at;

    if (w->streams[slot].offset == 0 || w->streams[slot].hash != hash) {
        w->streams[slot].offset = put_stream(w, line, hash);
        w->streams[slot].hash = hash;
    }
    at = begin_record(out, RECORD_LINE);
    bytes_put_u32(out, w->streams[slot].offset);
    bytes_put_u64(out, line->time_ns);
    bytes_put_text(out, line->line);
    put_labels(out, line->metadata, line->metadata_count);
    end_record(out, at);
    note_times(w, line->time_ns, line->time_ns);
}

static void put_batch_head(struct row_writer *w)
{
    uint8_t *frame = w->out.data, *head = frame + ROW_FRAME_SIZE;
    uint32_t size = (uint32_t)(w->out.size - ROW_FRAME_SIZE), crc;

    head[0] = ROW_VERSION;
    head[1] = (uint8_t)w->what;
    memcpy(head + 4, &w->count, 4);
    memcpy(head + 8, &w->min_ns, 8);
    memcpy(head + 16, &w->max_ns, 8);
    crc = bytes_crc32c(head, size);
    memcpy(frame, &size, 4);
    memcpy(frame + 4, &crc, 4);
}

int row_writer_finish(struct row_writer *w, struct row_batch **ret_batch)
{
    uint8_t *fitting;
    int r;

    if (w->out.has_failed)
        return -ENOMEM;
    if (w->out.size > BATCH_BYTES_MAX)
        return -EMSGSIZE;
    put_batch_head(w);
    fitting = realloc(w->out.data, w->out.size);
    if (fitting)
        w->out.data = fitting;
    r = row_batch_open(w->out.data, w->out.size, ret_batch);
    if (r == 0)
        w->out = (struct bytes_out){0};
    return r;
}

uint64_t row_stream_hash(const struct label *labels, size_t count)
{
    uint64_t hash = count;

    for (size_t i = 0; i < count; i++) {
        hash = bytes_hash(labels[i].name.text, labels[i].name.size, hash);
        hash = bytes_hash(labels[i].value.text, labels[i].value.size, hash);
    }
    return hash;
}
