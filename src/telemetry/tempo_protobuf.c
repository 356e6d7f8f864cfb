/*
 * A trace as protobuf: OTLP's TracesData, which is Tempo's Trace; version 2 has it as field 1 of
 * its answer.
 *
 * Messages are written in one pass: room for a length of five bytes is left in front and filled in
 * at the end (a longer varint than needed is valid protobuf). Trees of the generated code would
 * need several times the memory.
 */
#include "telemetry/tempo.h"

#include "otel/pb.h"
#include <string.h>

enum { LENGTH_SIZE = 5 };

static void put_varint(struct obs_buffer *out, uint64_t value)
{
    char bytes[10];
    size_t size = 0;

    do {
        bytes[size] = (char)(value & 0x7f);
        value >>= 7;
        if (value > 0)
            bytes[size] = (char)(bytes[size] | 0x80);
        size++;
    } while (value > 0);
    obs_buffer_append(out, bytes, size);
}

static void put_tag(struct obs_buffer *out, unsigned field, unsigned wire)
{
    put_varint(out, obs_pb_tag(field, wire));
}

static void put_bytes(struct obs_buffer *out, unsigned field, const void *data, size_t size)
{
    put_tag(out, field, OBS_PB_BYTES);
    put_varint(out, size);
    obs_buffer_append(out, data, size);
}

static void put_text(struct obs_buffer *out, unsigned field, struct text_view text)
{
    if (text.size > 0)
        put_bytes(out, field, text.text, text.size);
}

static void put_uint(struct obs_buffer *out, unsigned field, uint64_t value)
{
    put_tag(out, field, OBS_PB_VARINT);
    put_varint(out, value);
}

static void put_fixed64(struct obs_buffer *out, unsigned field, uint64_t value)
{
    char bytes[8];

    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (char)(value >> (8 * i));
    put_tag(out, field, OBS_PB_FIXED64);
    obs_buffer_append(out, bytes, sizeof(bytes));
}

/* Return: where the message's bytes begin, for end(). */
static size_t begin(struct obs_buffer *out, unsigned field)
{
    static const char ROOM[LENGTH_SIZE];

    put_tag(out, field, OBS_PB_BYTES);
    obs_buffer_append(out, ROOM, LENGTH_SIZE);
    return out->size;
}

static void end(struct obs_buffer *out, size_t start)
{
    size_t size = out->size - start;

    if (out->error != 0)
        return;
    for (unsigned i = 0; i < LENGTH_SIZE; i++) {
        unsigned more = i + 1 < LENGTH_SIZE ? 0x80 : 0;

        out->data[start - LENGTH_SIZE + i] = (char)((size & 0x7f) | more);
        size >>= 7;
    }
}

static void put_value(struct obs_buffer *out, const struct value *value)
{
    uint64_t bits;

    switch (value->type) {
    case VALUE_BOOL:
        put_uint(out, 2, value->is.boolean);
        break;
    case VALUE_INT:
        put_uint(out, 3, (uint64_t)value->is.integer);
        break;
    case VALUE_DOUBLE:
        memcpy(&bits, &value->is.number, sizeof(bits));
        put_fixed64(out, 4, bits);
        break;
    default: /* an empty text is a value, too */
        put_bytes(out, 1, value->is.text.size ? value->is.text.text : "", value->is.text.size);
        break;
    }
}

static void put_attributes(struct obs_buffer *out, unsigned field, const struct attribute *list,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t pair = begin(out, field), value;

        put_text(out, 1, list[i].name);
        value = begin(out, 2);
        put_value(out, &list[i].value);
        end(out, value);
        end(out, pair);
    }
}

static void put_event(struct obs_buffer *out, const struct span_event *event)
{
    size_t start = begin(out, 11);

    put_fixed64(out, 1, event->time_ns);
    put_text(out, 2, event->name);
    put_attributes(out, 3, event->attributes, event->attribute_count);
    end(out, start);
}

static void put_link(struct obs_buffer *out, const struct span_link *link)
{
    size_t start = begin(out, 13);

    put_bytes(out, 1, link->trace_id, 16);
    put_bytes(out, 2, link->span_id, 8);
    put_attributes(out, 4, link->attributes, link->attribute_count);
    end(out, start);
}

static void put_status(struct obs_buffer *out, const struct span_view *span)
{
    size_t start = begin(out, 15);

    put_text(out, 2, span->status_message);
    if (span->status != SPAN_STATUS_UNSET)
        put_uint(out, 3, span->status);
    end(out, start);
}

static void put_span(struct obs_buffer *out, const struct span_view *span)
{
    static const uint8_t NONE[8] = {0};
    size_t start = begin(out, 2);

    put_bytes(out, 1, span->trace_id, 16);
    put_bytes(out, 2, span->span_id, 8);
    put_text(out, 3, span->trace_state);
    if (memcmp(span->parent_span_id, NONE, sizeof(NONE)) != 0)
        put_bytes(out, 4, span->parent_span_id, 8);
    put_text(out, 5, span->name);
    put_uint(out, 6, span->kind);
    put_fixed64(out, 7, span->start_ns);
    put_fixed64(out, 8, span->end_ns);
    put_attributes(out, 9, span->attributes, span->attribute_count);
    for (size_t i = 0; i < span->event_count; i++)
        put_event(out, &span->events[i]);
    for (size_t i = 0; i < span->link_count; i++)
        put_link(out, &span->links[i]);
    put_status(out, span);
    end(out, start);
}

/* Spans from @at on that share a scope and a resource. Return: the first that does not. */
static size_t put_scope(struct obs_buffer *out, const struct tempo_spans *spans, size_t at)
{
    const struct span_view *first = &spans->list[at];
    size_t start = begin(out, 2), scope = begin(out, 1);

    put_text(out, 1, first->scope_name);
    put_text(out, 2, first->scope_version);
    end(out, scope);
    for (; at < spans->count && tempo_same_resource(first, &spans->list[at]) &&
           tempo_same_scope(first, &spans->list[at]);
         at++)
        put_span(out, &spans->list[at]);
    end(out, start);
    return at;
}

static size_t put_resource(struct obs_buffer *out, const struct tempo_spans *spans, size_t at)
{
    const struct span_view *first = &spans->list[at];
    size_t start = begin(out, 1), resource = begin(out, 1);

    put_attributes(out, 1, first->resource, first->resource_count);
    end(out, resource);
    while (at < spans->count && tempo_same_resource(first, &spans->list[at]))
        at = put_scope(out, spans, at);
    end(out, start);
    return at;
}

void tempo_trace_protobuf(const struct tempo_spans *spans, enum tempo_version version,
                          struct obs_buffer *out)
{
    size_t start = version == TEMPO_V2 ? begin(out, 1) : 0;

    for (size_t at = 0; at < spans->count;)
        at = put_resource(out, spans, at);
    if (version == TEMPO_V2)
        end(out, start);
}
