/*
 * A row is written once and read a few times: by queries while it is in the head, and once more
 * when it is sealed. So numbers that filters look at stand at fixed places, and text is not
 * interned here.
 */
#include "telemetry/head_row.h"

#include <errno.h>

enum { RECORD_SPAN = 1, RECORD_LINE = 2, RECORD_ORIGIN = 3, RECORD_STREAM = 4 };
enum { RECORD_HEAD = 5, FILTERED_ROWS_MIN = 16 };
/* Both kinds of rows: record head, u32 shared, u64 time. */
enum {
    AT_SHARED = RECORD_HEAD,
    AT_TIME = 9,
    AT_END = 17,
    AT_TRACE = 25,
    AT_SPAN = 41,
    AT_PARENT = 49,
    AT_KIND = 57,
    AT_STATUS = 58,
    AT_SPAN_REST = 59,
    AT_LINE_REST = 17
};
#define BATCH_BYTES_MAX ((size_t)1 << 30)

struct row_batch *row_batch_free(struct row_batch *batch)
{
    if (batch) {
        free(batch->frame);
        free(batch->traces);
        free(batch);
    }
    return NULL;
}

/* ---- writing ---- */

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

/* ---- reading ---- */

static uint64_t trace_hash(const uint8_t *trace_id)
{
    return bytes_hash(trace_id, 16, 1);
}

/* Two bits for each trace out of at least 16: a walk over a batch in vain is rare. */
static bool trace_bits(struct row_batch *batch, const uint8_t *trace_id, bool is_set)
{
    uint64_t hash = trace_hash(trace_id), first = hash & (batch->trace_bits - 1),
             second = hash >> 32 & (batch->trace_bits - 1);

    if (!is_set)
        return (batch->traces[first >> 6] >> (first & 63) & 1) != 0 &&
               (batch->traces[second >> 6] >> (second & 63) & 1) != 0;
    batch->traces[first >> 6] |= 1ULL << (first & 63);
    batch->traces[second >> 6] |= 1ULL << (second & 63);
    return true;
}

static void make_filter(struct row_batch *batch)
{
    struct row row;
    size_t offset = 0;

    if (batch->what != ROW_SPANS || batch->count < FILTERED_ROWS_MIN)
        return;
    for (batch->trace_bits = 64; batch->trace_bits < (uint64_t)batch->count * 16;)
        batch->trace_bits *= 2;
    batch->traces = calloc(batch->trace_bits / 64, sizeof(*batch->traces));
    while (batch->traces && row_next(batch, &offset, &row))
        trace_bits(batch, row_trace_id(&row), true);
}

bool row_batch_has_trace(const struct row_batch *batch, const uint8_t trace_id[16])
{
    return !batch->traces || trace_bits((struct row_batch *)batch, trace_id, false);
}

int row_batch_open(uint8_t *frame, size_t size, struct row_batch **ret_batch)
{
    const uint8_t *head = frame + ROW_FRAME_SIZE;
    struct row_batch *batch;

    if (size < ROW_FRAME_SIZE + ROW_HEAD_SIZE || head[0] != ROW_VERSION ||
        (head[1] != ROW_SPANS && head[1] != ROW_LINES))
        return -EBADMSG;
    batch = calloc(1, sizeof(*batch));
    if (!batch)
        return -ENOMEM;
    batch->what = head[1];
    memcpy(&batch->count, head + 4, 4);
    memcpy(&batch->min_ns, head + 8, 8);
    memcpy(&batch->max_ns, head + 16, 8);
    batch->frame = frame;
    batch->size = size;
    make_filter(batch);
    *ret_batch = batch;
    return 0;
}

bool row_next_stream(const struct row_batch *batch, size_t *offset, uint64_t *ret_hash)
{
    if (*offset == 0)
        *offset = ROW_FRAME_SIZE + ROW_HEAD_SIZE;
    while (batch->size - *offset >= RECORD_HEAD + 8) {
        const uint8_t *at = batch->frame + *offset;
        uint32_t size;

        memcpy(&size, at, 4);
        if (size < RECORD_HEAD || size > batch->size - *offset)
            return false;
        *offset += size;
        if (at[4] == RECORD_STREAM && size >= RECORD_HEAD + 8) {
            memcpy(ret_hash, at + RECORD_HEAD, 8);
            return true;
        }
    }
    return false;
}

bool row_next(const struct row_batch *batch, size_t *offset, struct row *ret_row)
{
    if (*offset == 0)
        *offset = ROW_FRAME_SIZE + ROW_HEAD_SIZE;
    while (batch->size - *offset >= AT_LINE_REST) {
        const uint8_t *at = batch->frame + *offset;
        uint32_t size;

        memcpy(&size, at, 4);
        if (size < RECORD_HEAD || size > batch->size - *offset)
            return false;
        *offset += size;
        if ((at[4] == RECORD_SPAN && size >= AT_SPAN_REST) ||
            (at[4] == RECORD_LINE && size >= AT_LINE_REST)) {
            ret_row->at = at;
            memcpy(&ret_row->time_ns, at + AT_TIME, 8);
            return true;
        }
    }
    return false;
}

const uint8_t *row_trace_id(const struct row *row)
{
    return row->at + AT_TRACE;
}

const uint8_t *row_span_id(const struct row *row)
{
    return row->at + AT_SPAN;
}

const uint8_t *row_parent_id(const struct row *row)
{
    return row->at + AT_PARENT;
}

uint64_t row_span_end_ns(const struct row *row)
{
    uint64_t end_ns;

    memcpy(&end_ns, row->at + AT_END, 8);
    return end_ns;
}

struct text_view row_shared(const struct row_batch *batch, const struct row *row)
{
    uint32_t offset, size = 0;

    memcpy(&offset, row->at + AT_SHARED, 4);
    if (offset > batch->size - RECORD_HEAD)
        return (struct text_view){"", 0};
    memcpy(&size, batch->frame + offset, 4);
    if (size < RECORD_HEAD || size > batch->size - offset)
        return (struct text_view){"", 0};
    return (struct text_view){(const char *)batch->frame + offset, size};
}

static bool grow(void *array, size_t *capacity, size_t needed, size_t element)
{
    void **pointer = array;
    size_t wanted = *capacity ? *capacity : 16;
    void *grown;

    if (needed <= *capacity)
        return true;
    while (wanted < needed)
        wanted *= 2;
    grown = reallocarray(*pointer, wanted, element);
    if (!grown)
        return false;
    *pointer = grown;
    *capacity = wanted;
    return true;
}

int row_scratch_attributes(struct row_scratch *scratch, size_t needed)
{
    return grow(&scratch->attributes, &scratch->attribute_capacity, needed,
                sizeof(*scratch->attributes))
               ? 0
               : -ENOMEM;
}

void row_scratch_done(struct row_scratch *scratch)
{
    free(scratch->attributes);
    free(scratch->resource);
    free(scratch->events);
    free(scratch->links);
    free(scratch->labels);
    free(scratch->metadata);
    *scratch = (struct row_scratch){0};
}

static void get_value(struct bytes_in *in, struct value *value)
{
    const uint8_t *raw;

    value->type = bytes_get_u8(in);
    switch (value->type) {
    case VALUE_TEXT:
        value->is.text = bytes_get_text(in);
        return;
    case VALUE_INT:
        value->is.integer = bytes_unzigzag(bytes_get_varint(in));
        return;
    case VALUE_DOUBLE:
        raw = bytes_get(in, 8);
        if (raw)
            memcpy(&value->is.number, raw, 8);
        return;
    case VALUE_BOOL:
        value->is.boolean = bytes_get_u8(in) != 0;
        return;
    default:
        bytes_fail(in);
    }
}

static void get_attributes(struct bytes_in *in, struct attribute *attributes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        attributes[i].name = bytes_get_text(in);
        get_value(in, &attributes[i].value);
    }
}

/* Events' and links' attributes stand behind the span's own in one array. It may move while it
 * grows, so they are pointed to only at the end: until then @attributes holds the place as a
 * number. */
int row_read_extra(struct text_view extra, struct row_scratch *scratch, size_t used,
                   struct span_view *span)
{
    struct bytes_in in = {(const uint8_t *)extra.text, (const uint8_t *)extra.text + extra.size,
                          false};
    size_t first = used;

    span->event_count = bytes_get_count(&in);
    if (!grow(&scratch->events, &scratch->event_capacity, span->event_count,
              sizeof(*scratch->events)))
        return -ENOMEM;
    for (size_t i = 0; i < span->event_count; i++) {
        struct span_event *event = &scratch->events[i];

        event->time_ns = bytes_get_u64(&in);
        event->name = bytes_get_text(&in);
        event->attribute_count = bytes_get_count(&in);
        if (row_scratch_attributes(scratch, used + event->attribute_count) < 0)
            return -ENOMEM;
        get_attributes(&in, scratch->attributes + used, event->attribute_count);
        used += event->attribute_count;
    }
    span->link_count = bytes_get_count(&in);
    if (!grow(&scratch->links, &scratch->link_capacity, span->link_count, sizeof(*scratch->links)))
        return -ENOMEM;
    for (size_t i = 0; i < span->link_count; i++) {
        struct span_link *link = &scratch->links[i];
        const uint8_t *ids = bytes_get(&in, 24);

        if (!ids)
            return -EBADMSG;
        memcpy(link->trace_id, ids, 16);
        memcpy(link->span_id, ids + 16, 8);
        link->attribute_count = bytes_get_count(&in);
        if (row_scratch_attributes(scratch, used + link->attribute_count) < 0)
            return -ENOMEM;
        get_attributes(&in, scratch->attributes + used, link->attribute_count);
        used += link->attribute_count;
    }
    for (size_t i = 0; i < span->event_count; i++) {
        scratch->events[i].attributes = scratch->attributes + first;
        first += scratch->events[i].attribute_count;
    }
    for (size_t i = 0; i < span->link_count; i++) {
        scratch->links[i].attributes = scratch->attributes + first;
        first += scratch->links[i].attribute_count;
    }
    span->events = scratch->events;
    span->links = scratch->links;
    return in.has_failed ? -EBADMSG : 0;
}

static struct bytes_in record_rest(const uint8_t *record, size_t skip)
{
    uint32_t size;

    memcpy(&size, record, 4);
    return (struct bytes_in){record + skip, record + size, size < skip};
}

/* Where the fields of a shared record of @type begin; a failed reader when it is none. */
static struct bytes_in shared_fields(struct text_view record, uint8_t type)
{
    const uint8_t *at = (const uint8_t *)record.text;

    if (record.size < RECORD_HEAD || at[4] != type)
        return (struct bytes_in){at, at, true};
    return (struct bytes_in){at + RECORD_HEAD, at + record.size, false};
}

int row_parse_origin(struct text_view record, struct row_scratch *scratch)
{
    struct bytes_in in = shared_fields(record, RECORD_ORIGIN);
    size_t count;

    scratch->service = bytes_get_text(&in);
    scratch->scope_name = bytes_get_text(&in);
    scratch->scope_version = bytes_get_text(&in);
    count = bytes_get_count(&in);
    if (!grow(&scratch->resource, &scratch->resource_capacity, count, sizeof(*scratch->resource)))
        return -ENOMEM;
    get_attributes(&in, scratch->resource, count);
    scratch->resource_count = count;
    return in.has_failed ? -EBADMSG : 0;
}

static int read_origin(const struct row_batch *batch, const struct row *row,
                       struct row_scratch *scratch)
{
    struct text_view origin = row_shared(batch, row);
    int r;

    if (scratch->shared == (const uint8_t *)origin.text)
        return 0;
    r = row_parse_origin(origin, scratch);
    scratch->shared = r < 0 ? NULL : (const uint8_t *)origin.text;
    return r;
}

int row_read_span(const struct row_batch *batch, const struct row *row, struct row_scratch *scratch,
                  struct span_view *ret_span)
{
    struct bytes_in in = record_rest(row->at, AT_SPAN_REST);
    struct span_view *span = ret_span;
    size_t count;
    int r = read_origin(batch, row, scratch);

    if (r < 0)
        return r;
    span->start_ns = row->time_ns;
    span->end_ns = row_span_end_ns(row);
    memcpy(span->trace_id, row->at + AT_TRACE, 16);
    memcpy(span->span_id, row->at + AT_SPAN, 8);
    memcpy(span->parent_span_id, row->at + AT_PARENT, 8);
    span->kind = row->at[AT_KIND];
    span->status = row->at[AT_STATUS];
    span->service = scratch->service;
    span->scope_name = scratch->scope_name;
    span->scope_version = scratch->scope_version;
    span->resource = scratch->resource;
    span->resource_count = scratch->resource_count;
    span->name = bytes_get_text(&in);
    span->status_message = bytes_get_text(&in);
    span->trace_state = bytes_get_text(&in);
    count = bytes_get_count(&in);
    if (row_scratch_attributes(scratch, count) < 0)
        return -ENOMEM;
    get_attributes(&in, scratch->attributes, count);
    r = row_read_extra((struct text_view){(const char *)in.at, (size_t)(in.end - in.at)}, scratch,
                       count, span);
    span->attributes = scratch->attributes;
    span->attribute_count = count;
    return in.has_failed ? -EBADMSG : r;
}

static void get_labels(struct bytes_in *in, struct label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        labels[i].name = bytes_get_text(in);
        labels[i].value = bytes_get_text(in);
    }
}

int row_parse_stream(struct text_view record, struct row_scratch *scratch)
{
    struct bytes_in in = shared_fields(record, RECORD_STREAM);
    size_t count;

    scratch->stream = bytes_get_u64(&in);
    count = bytes_get_count(&in);
    if (!grow(&scratch->labels, &scratch->label_capacity, count, sizeof(*scratch->labels)))
        return -ENOMEM;
    get_labels(&in, scratch->labels, count);
    scratch->label_count = count;
    return in.has_failed ? -EBADMSG : 0;
}

static int read_stream(const struct row_batch *batch, const struct row *row,
                       struct row_scratch *scratch)
{
    struct text_view stream = row_shared(batch, row);
    int r;

    if (scratch->shared == (const uint8_t *)stream.text)
        return 0;
    r = row_parse_stream(stream, scratch);
    scratch->shared = r < 0 ? NULL : (const uint8_t *)stream.text;
    return r;
}

int row_read_line(const struct row_batch *batch, const struct row *row, struct row_scratch *scratch,
                  struct line_view *ret_line)
{
    struct bytes_in in = record_rest(row->at, AT_LINE_REST);
    size_t count;
    int r = read_stream(batch, row, scratch);

    if (r < 0)
        return r;
    ret_line->time_ns = row->time_ns;
    ret_line->stream = scratch->stream;
    ret_line->labels = scratch->labels;
    ret_line->label_count = scratch->label_count;
    ret_line->line = bytes_get_text(&in);
    count = bytes_get_count(&in);
    if (!grow(&scratch->metadata, &scratch->metadata_capacity, count, sizeof(*scratch->metadata)))
        return -ENOMEM;
    get_labels(&in, scratch->metadata, count);
    ret_line->metadata = scratch->metadata;
    ret_line->metadata_count = count;
    return in.has_failed ? -EBADMSG : 0;
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
