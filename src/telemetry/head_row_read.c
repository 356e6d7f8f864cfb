/* Reading rows: bounded, though a frame's checksum was right: the disk may have been written by
 * anyone. */
#include "telemetry/head_row.h"

#include "telemetry/head_row_layout.h"
#include <errno.h>

enum { FILTERED_ROWS_MIN = 16 };

struct row_batch *row_batch_free(struct row_batch *batch)
{
    if (batch) {
        free(batch->frame);
        free(batch->traces);
        free(batch);
    }
    return NULL;
}

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
