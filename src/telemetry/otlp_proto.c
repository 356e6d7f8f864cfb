/*
 * OTLP in protobuf (opentelemetry-proto 1.x), read straight from the wire.
 *
 * A message's parts may come in any order, so what others need is looked for first: the resource
 * before the scopes, the scope before the records. Unknown fields are skipped.
 */
#include "telemetry/otlp_sink.h"
#include "telemetry/otlp_wire.h"

#include <errno.h>

/* ---- values ---- */

static bool put_json(struct otlp_sink *s, struct text_view any, unsigned depth);

static void put_json_member(struct otlp_sink *s, struct text_view pair, unsigned depth)
{
    struct bytes_in in = wire_open(pair);
    struct text_view key = {"", 0}, value = {"", 0};
    struct wire_field f;

    while (wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_BYTES))
            key = f.bytes;
        else if (wire_is(&f, 2, WIRE_BYTES))
            value = f.bytes;
    }
    if (in.has_failed)
        s->record_refusal = "a value is malformed";
    obs_buffer_append_json(&s->text, key.text, key.size);
    obs_buffer_append_char(&s->text, ':');
    put_json(s, value, depth);
}

static void put_json_list(struct otlp_sink *s, struct text_view list, bool is_array, unsigned depth)
{
    struct bytes_in in = wire_open(list);
    struct wire_field f;
    bool is_first = true;

    obs_buffer_append_char(&s->text, is_array ? '[' : '{');
    while (!s->record_refusal && wire_next(&in, &f)) {
        if (!wire_is(&f, 1, WIRE_BYTES))
            continue;
        if (!is_first)
            obs_buffer_append_char(&s->text, ',');
        is_first = false;
        if (is_array)
            put_json(s, f.bytes, depth + 1);
        else
            put_json_member(s, f.bytes, depth + 1);
    }
    if (in.has_failed)
        s->record_refusal = "a value is malformed";
    obs_buffer_append_char(&s->text, is_array ? ']' : '}');
}

static void put_json_number(struct otlp_sink *s, double number)
{
    if (number - number == 0)
        obs_buffer_printf(&s->text, "%.17g", number);
    else
        obs_buffer_append_text(&s->text, number > 0   ? "\"Infinity\""
                                         : number < 0 ? "\"-Infinity\""
                                                      : "\"NaN\"");
}

static bool put_json(struct otlp_sink *s, struct text_view any, unsigned depth)
{
    struct bytes_in in = wire_open(any);
    struct wire_field f;
    bool has_value = false;
    double number;

    if (depth > OTLP_DEPTH_MAX) {
        s->record_refusal = "a value is nested more than 16 levels deep";
        return false;
    }
    while (!has_value && wire_next(&in, &f)) {
        has_value = f.number >= 1 && f.number <= 7;
        if (wire_is(&f, 1, WIRE_BYTES))
            obs_buffer_append_json(&s->text, f.bytes.text, f.bytes.size);
        else if (wire_is(&f, 2, WIRE_VARINT))
            obs_buffer_append_text(&s->text, f.integer ? "true" : "false");
        else if (wire_is(&f, 3, WIRE_VARINT))
            obs_buffer_printf(&s->text, "%lld", (long long)f.integer);
        else if (wire_is(&f, 4, WIRE_FIXED64)) {
            memcpy(&number, &f.integer, 8);
            put_json_number(s, number);
        } else if (wire_is(&f, 5, WIRE_BYTES) || wire_is(&f, 6, WIRE_BYTES)) {
            put_json_list(s, f.bytes, f.number == 5, depth);
        } else if (wire_is(&f, 7, WIRE_BYTES)) {
            struct text_view text = otlp_sink_base64(s, f.bytes);

            obs_buffer_append_json(&s->text, text.text, text.size);
        } else {
            has_value = false;
        }
    }
    if (in.has_failed)
        s->record_refusal = "a value is malformed";
    if (!has_value)
        obs_buffer_append_text(&s->text, "null");
    return true;
}

static struct text_view json_of(struct otlp_sink *s, struct text_view list, bool is_array)
{
    obs_buffer_clear(&s->text);
    put_json_list(s, list, is_array, 1);
    if (s->text.error)
        s->record_refusal = "a value is longer than 512 KiB as JSON";
    return s->record_refusal ? (struct text_view){"", 0}
                             : otlp_sink_keep(s, s->text.data, s->text.size);
}

/* Return: false when the message is malformed. */
static bool read_value(struct otlp_sink *s, struct text_view any, struct value *value)
{
    struct bytes_in in = wire_open(any);
    struct wire_field f;

    *value = (struct value){VALUE_TEXT, {.text = {"", 0}}};
    while (wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_BYTES)) {
            *value = (struct value){VALUE_TEXT, {.text = f.bytes}};
        } else if (wire_is(&f, 2, WIRE_VARINT)) {
            *value = (struct value){VALUE_BOOL, {.boolean = f.integer != 0}};
        } else if (wire_is(&f, 3, WIRE_VARINT)) {
            *value = (struct value){VALUE_INT, {.integer = (int64_t)f.integer}};
        } else if (wire_is(&f, 4, WIRE_FIXED64)) {
            value->type = VALUE_DOUBLE;
            memcpy(&value->is.number, &f.integer, 8);
        } else if (wire_is(&f, 5, WIRE_BYTES) || wire_is(&f, 6, WIRE_BYTES)) {
            *value = (struct value){VALUE_TEXT, {.text = json_of(s, f.bytes, f.number == 5)}};
        } else if (wire_is(&f, 7, WIRE_BYTES)) {
            *value = (struct value){VALUE_TEXT, {.text = otlp_sink_base64(s, f.bytes)}};
        }
    }
    return !in.has_failed;
}

static bool read_attribute(struct otlp_sink *s, struct text_view pair, struct attribute *attribute)
{
    struct bytes_in in = wire_open(pair);
    struct wire_field f;

    *attribute = (struct attribute){{"", 0}, {VALUE_TEXT, {.text = {"", 0}}}};
    while (wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_BYTES))
            attribute->name = f.bytes;
        else if (wire_is(&f, 2, WIRE_BYTES) && !read_value(s, f.bytes, &attribute->value))
            return false;
    }
    return !in.has_failed;
}

static bool add_attribute(struct otlp_sink *s, struct text_view pair)
{
    struct attribute attribute;

    if (!read_attribute(s, pair, &attribute))
        return false;
    otlp_sink_attribute(s, &attribute);
    return true;
}

/* ---- spans ---- */

static bool read_event(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct span_event event = {.name = {"", 0}};
    size_t first = s->attribute_count;
    struct wire_field f;

    while (wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_FIXED64))
            event.time_ns = f.integer;
        else if (wire_is(&f, 2, WIRE_BYTES))
            event.name = f.bytes;
        else if (wire_is(&f, 3, WIRE_BYTES) && !add_attribute(s, f.bytes))
            return false;
    }
    otlp_sink_event(s, &event, first);
    return !in.has_failed;
}

static bool read_link(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct text_view trace_id = {"", 0}, span_id = {"", 0};
    size_t first = s->attribute_count;
    struct wire_field f;

    while (wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_BYTES))
            trace_id = f.bytes;
        else if (wire_is(&f, 2, WIRE_BYTES))
            span_id = f.bytes;
        else if (wire_is(&f, 4, WIRE_BYTES) && !add_attribute(s, f.bytes))
            return false;
    }
    otlp_sink_link(s, trace_id, span_id, first);
    return !in.has_failed;
}

static bool read_status(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct wire_field f;

    while (wire_next(&in, &f)) {
        if (wire_is(&f, 2, WIRE_BYTES))
            s->span.status_message = f.bytes;
        else if (wire_is(&f, 3, WIRE_VARINT))
            s->span.status = f.integer <= 2 ? (uint8_t)f.integer : 0;
    }
    return !in.has_failed;
}

static bool read_span_field(struct otlp_sink *s, const struct wire_field *f)
{
    struct span_view *span = &s->span;

    if (f->type == WIRE_FIXED64 && f->number == 7)
        span->start_ns = f->integer;
    else if (f->type == WIRE_FIXED64 && f->number == 8)
        span->end_ns = f->integer;
    else if (f->type == WIRE_VARINT && f->number == 6)
        span->kind = f->integer <= 5 ? (uint8_t)f->integer : 0;
    if (f->type != WIRE_BYTES)
        return true;
    switch (f->number) {
    case 1:
        s->trace_id = f->bytes;
        return true;
    case 2:
        s->span_id = f->bytes;
        return true;
    case 3:
        span->trace_state = f->bytes;
        return true;
    case 4:
        s->parent_span_id = f->bytes;
        return true;
    case 5:
        span->name = f->bytes;
        return true;
    case 15:
        return read_status(s, f->bytes);
    default:
        return true;
    }
}

/* Attributes of the span must stand in one piece: first they, then those of events and links. */
static bool read_span(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct wire_field f;
    bool is_good = true, has_more = false;

    otlp_sink_begin(s);
    while (is_good && wire_next(&in, &f)) {
        if (wire_is(&f, 9, WIRE_BYTES))
            is_good = add_attribute(s, f.bytes);
        else if (wire_is(&f, 11, WIRE_BYTES) || wire_is(&f, 13, WIRE_BYTES))
            has_more = true;
        else
            is_good = read_span_field(s, &f);
    }
    is_good &= !in.has_failed;
    s->span.attribute_count = s->attribute_count;
    in = wire_open(message);
    while (is_good && has_more && wire_next(&in, &f)) {
        if (wire_is(&f, 11, WIRE_BYTES))
            is_good = read_event(s, f.bytes);
        else if (wire_is(&f, 13, WIRE_BYTES))
            is_good = read_link(s, f.bytes);
    }
    if (is_good)
        otlp_sink_end(s);
    return is_good;
}

/* ---- logs ---- */

static bool read_log(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct wire_field f;
    bool is_good = true;

    otlp_sink_begin(s);
    while (is_good && wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_FIXED64))
            s->log.time_ns = f.integer;
        else if (wire_is(&f, 11, WIRE_FIXED64))
            s->log.observed_ns = f.integer;
        else if (wire_is(&f, 2, WIRE_VARINT))
            s->log.severity = f.integer;
        else if (wire_is(&f, 3, WIRE_BYTES))
            s->log.severity_text = f.bytes;
        else if (wire_is(&f, 5, WIRE_BYTES))
            is_good = read_value(s, f.bytes, &s->log.body);
        else if (wire_is(&f, 6, WIRE_BYTES))
            is_good = add_attribute(s, f.bytes);
        else if (wire_is(&f, 9, WIRE_BYTES))
            s->trace_id = f.bytes;
        else if (wire_is(&f, 10, WIRE_BYTES))
            s->span_id = f.bytes;
    }
    is_good &= !in.has_failed;
    if (is_good)
        otlp_sink_end(s);
    return is_good;
}

/* ---- what both have ---- */

static bool read_scope(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct text_view name = {"", 0}, version = {"", 0};
    struct wire_field f;

    while (wire_next(&in, &f)) {
        if (wire_is(&f, 1, WIRE_BYTES))
            name = f.bytes;
        else if (wire_is(&f, 2, WIRE_BYTES))
            version = f.bytes;
    }
    otlp_sink_scope(s, name, version);
    return !in.has_failed;
}

static bool read_resource(struct otlp_sink *s, struct text_view message)
{
    struct bytes_in in = wire_open(message);
    struct attribute attribute;
    struct wire_field f;

    s->record_refusal = NULL;
    while (wire_next(&in, &f)) {
        if (!wire_is(&f, 1, WIRE_BYTES))
            continue;
        if (!read_attribute(s, f.bytes, &attribute))
            return false;
        otlp_sink_resource_attribute(s, &attribute);
    }
    if (s->record_refusal)
        s->resource_refusal = s->record_refusal;
    return !in.has_failed;
}

static bool read_first(struct otlp_sink *s, struct text_view message,
                       bool (*read)(struct otlp_sink *s, struct text_view part))
{
    struct bytes_in in = wire_open(message);
    struct wire_field f;

    while (wire_next(&in, &f))
        if (wire_is(&f, 1, WIRE_BYTES))
            return read(s, f.bytes);
    return !in.has_failed;
}

static bool read_each(struct otlp_sink *s, struct text_view message, uint32_t number,
                      bool (*read)(struct otlp_sink *s, struct text_view part))
{
    struct bytes_in in = wire_open(message);
    struct wire_field f;

    while (wire_next(&in, &f))
        if (wire_is(&f, number, WIRE_BYTES) && !read(s, f.bytes))
            return false;
    return !in.has_failed;
}

static bool read_scope_records(struct otlp_sink *s, struct text_view message)
{
    otlp_sink_scope(s, (struct text_view){"", 0}, (struct text_view){"", 0});
    return read_first(s, message, read_scope) &&
           read_each(s, message, 2, s->is_logs ? read_log : read_span);
}

static bool read_resource_records(struct otlp_sink *s, struct text_view message)
{
    otlp_sink_resource(s);
    return read_first(s, message, read_resource) && read_each(s, message, 2, read_scope_records);
}

int otlp_proto_decode(struct otlp_sink *sink, struct text_view message,
                      struct obs_reason *reterr_reason)
{
    if (read_each(sink, message, 1, read_resource_records))
        return OTLP_OK;
    obs_reason_set(reterr_reason,
                   "the body is not the OTLP protobuf message of this path: "
                   "a length or a field is wrong behind record %llu",
                   (unsigned long long)(sink->accepted + sink->rejected));
    return OTLP_MALFORMED;
}
