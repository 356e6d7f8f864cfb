/*
 * OTLP in JSON (https://protobuf.dev/programming-guides/json/ with OTLP's own rules: ids in hex,
 * lowerCamelCase names, enums as integers). 64-bit integers may be strings or numbers; unknown
 * members are skipped. A tree is built first: this is the way of browsers and of people with curl.
 */
#include "base/json.h"
#include "base/text.h"
#include "telemetry/otlp_sink.h"

#include <errno.h>
#include <stdlib.h>

struct json_reader {
    struct otlp_sink *sink;
    struct obs_reason *reason;
    bool is_malformed;
};

static void malformed(struct json_reader *r, const char *name, const char *expected,
                      const json_t *found)
{
    char shown[OBS_JSON_SHOWN_SIZE];

    if (!r->is_malformed)
        obs_reason_set(r->reason, "\"%s\" is %s: expected %s", name, obs_json_show(found, shown),
                       expected);
    r->is_malformed = true;
}

static struct text_view get_text(struct json_reader *r, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (!value || json_is_null(value))
        return (struct text_view){"", 0};
    if (!json_is_string(value)) {
        malformed(r, name, "a string", value);
        return (struct text_view){"", 0};
    }
    return (struct text_view){json_string_value(value), json_string_length(value)};
}

static bool parse_signed(const char *text, size_t size, int64_t *ret_value)
{
    bool is_negative = size > 0 && text[0] == '-';
    uint64_t magnitude;

    if (obs_text_parse_u64(text + is_negative, size - is_negative,
                           (uint64_t)INT64_MAX + is_negative, &magnitude) != OBS_TEXT_OK)
        return false;
    *ret_value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static uint64_t get_u64(struct json_reader *r, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    uint64_t number = 0;

    if (!value || json_is_null(value))
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return (uint64_t)json_integer_value(value);
    if (json_is_string(value) &&
        obs_text_parse_u64(json_string_value(value), json_string_length(value), UINT64_MAX,
                           &number) == OBS_TEXT_OK)
        return number;
    malformed(r, name, "an unsigned 64-bit integer", value);
    return 0;
}

/* Hex of any case into bytes that live as long as the record. What is no hex stays a wrong size,
 * and the sink refuses the record for it. */
static struct text_view get_id(struct json_reader *r, const json_t *object, const char *name,
                               size_t size)
{
    struct text_view hex = get_text(r, object, name);
    char lower[32];
    uint8_t bytes[16];

    if (hex.size == 0)
        return hex;
    if (hex.size != size * 2)
        return (struct text_view){hex.text, 1};
    for (size_t i = 0; i < hex.size; i++)
        lower[i] =
            (char)(hex.text[i] >= 'A' && hex.text[i] <= 'F' ? hex.text[i] + 32 : hex.text[i]);
    if (obs_text_unhex(lower, hex.size, bytes, size) != OBS_TEXT_OK)
        return (struct text_view){hex.text, 1};
    return otlp_sink_keep(r->sink, (const char *)bytes, size);
}

static const json_t *get_array(struct json_reader *r, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (value && !json_is_array(value) && !json_is_null(value))
        malformed(r, name, "an array", value);
    return value;
}

/* ---- values ---- */

static json_t *plain(struct json_reader *r, const json_t *any, unsigned depth);

static json_t *plain_list(struct json_reader *r, const json_t *list, unsigned depth)
{
    json_t *out = json_array(), *item;
    size_t i;

    json_array_foreach (get_array(r, list, "values"), i, item)
        json_array_append_new(out, plain(r, item, depth + 1));
    return out;
}

static json_t *plain_object(struct json_reader *r, const json_t *list, unsigned depth)
{
    json_t *out = json_object(), *item;
    size_t i;

    json_array_foreach (get_array(r, list, "values"), i, item) {
        const char *key = json_string_value(json_object_get(item, "key"));

        if (key)
            json_object_set_new(out, key, plain(r, json_object_get(item, "value"), depth + 1));
    }
    return out;
}

static bool get_int(struct json_reader *r, const json_t *value, int64_t *ret_value)
{
    if (json_is_integer(value)) {
        *ret_value = json_integer_value(value);
        return true;
    }
    if (json_is_string(value) &&
        parse_signed(json_string_value(value), json_string_length(value), ret_value))
        return true;
    malformed(r, "intValue", "a 64-bit integer", value);
    return false;
}

/* An AnyValue as the JSON that it stands for. */
static json_t *plain(struct json_reader *r, const json_t *any, unsigned depth)
{
    const json_t *value;
    int64_t integer;

    if (depth > OTLP_DEPTH_MAX) {
        r->sink->record_refusal = "a value is nested more than 16 levels deep";
        return json_null();
    }
    if ((value = json_object_get(any, "intValue")) != NULL)
        return get_int(r, value, &integer) ? json_integer(integer) : json_null();
    if ((value = json_object_get(any, "arrayValue")) != NULL)
        return plain_list(r, value, depth);
    if ((value = json_object_get(any, "kvlistValue")) != NULL)
        return plain_object(r, value, depth);
    if ((value = json_object_get(any, "stringValue")) != NULL ||
        (value = json_object_get(any, "boolValue")) != NULL ||
        (value = json_object_get(any, "doubleValue")) != NULL ||
        (value = json_object_get(any, "bytesValue")) != NULL)
        return json_incref((json_t *)value);
    return json_null();
}

static struct text_view made_text(struct json_reader *r, const json_t *any)
{
    OBS_JSON json = plain(r, any, 0);

    obs_buffer_clear(&r->sink->text);
    if (!json || obs_json_emit(json, &r->sink->text) < 0) {
        r->sink->record_refusal = "a value is longer than 512 KiB as JSON";
        return (struct text_view){"", 0};
    }
    return otlp_sink_keep(r->sink, r->sink->text.data, r->sink->text.size);
}

static void read_double(struct json_reader *r, const json_t *found, struct value *value)
{
    const char *text = json_string_value(found);

    value->type = VALUE_DOUBLE;
    if (json_is_number(found))
        value->is.number = json_number_value(found);
    else if (text && strcmp(text, "NaN") == 0)
        value->is.number = __builtin_nan("");
    else if (text && (strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0))
        value->is.number = text[0] == '-' ? -__builtin_inf() : __builtin_inf();
    else
        malformed(r, "doubleValue", "a number", found);
}

static struct value read_value(struct json_reader *r, const json_t *any)
{
    struct value value = {VALUE_TEXT, {.text = {"", 0}}};
    const json_t *found;
    int64_t integer = 0;

    if (any && !json_is_object(any))
        malformed(r, "value", "an object", any);
    if ((found = json_object_get(any, "stringValue")) != NULL) {
        value.is.text = get_text(r, any, "stringValue");
    } else if ((found = json_object_get(any, "intValue")) != NULL) {
        if (get_int(r, found, &integer))
            value = (struct value){VALUE_INT, {.integer = integer}};
    } else if ((found = json_object_get(any, "boolValue")) != NULL) {
        if (!json_is_boolean(found))
            malformed(r, "boolValue", "true or false", found);
        value = (struct value){VALUE_BOOL, {.boolean = json_is_true(found)}};
    } else if ((found = json_object_get(any, "doubleValue")) != NULL) {
        read_double(r, found, &value);
    } else if (json_object_get(any, "bytesValue")) {
        value.is.text = get_text(r, any, "bytesValue"); /* base64 already */
    } else if (json_object_get(any, "arrayValue") || json_object_get(any, "kvlistValue")) {
        value.is.text = made_text(r, any);
    }
    return value;
}

static void read_attributes(struct json_reader *r, const json_t *object,
                            void (*add)(struct otlp_sink *sink, const struct attribute *attribute))
{
    const json_t *list = get_array(r, object, "attributes");
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        struct attribute attribute = {get_text(r, item, "key"),
                                      read_value(r, json_object_get(item, "value"))};

        if (r->is_malformed)
            return;
        add(r->sink, &attribute);
    }
}

/* ---- spans ---- */

static void read_events(struct json_reader *r, const json_t *span)
{
    json_t *item;
    size_t i;

    json_array_foreach (get_array(r, span, "events"), i, item) {
        struct span_event event = {.time_ns = get_u64(r, item, "timeUnixNano"),
                                   .name = get_text(r, item, "name")};
        size_t first = r->sink->attribute_count;

        read_attributes(r, item, otlp_sink_attribute);
        otlp_sink_event(r->sink, &event, first);
    }
}

static void read_links(struct json_reader *r, const json_t *span)
{
    json_t *item;
    size_t i;

    json_array_foreach (get_array(r, span, "links"), i, item) {
        struct text_view trace_id = get_id(r, item, "traceId", 16);
        struct text_view span_id = get_id(r, item, "spanId", 8);
        size_t first = r->sink->attribute_count;

        read_attributes(r, item, otlp_sink_attribute);
        otlp_sink_link(r->sink, trace_id, span_id, first);
    }
}

static void read_span(struct json_reader *r, const json_t *json)
{
    struct otlp_sink *s = r->sink;
    const json_t *status = json_object_get(json, "status");

    otlp_sink_begin(s);
    s->trace_id = get_id(r, json, "traceId", 16);
    s->span_id = get_id(r, json, "spanId", 8);
    s->parent_span_id = get_id(r, json, "parentSpanId", 8);
    s->span.trace_state = get_text(r, json, "traceState");
    s->span.name = get_text(r, json, "name");
    s->span.kind = (uint8_t)(get_u64(r, json, "kind") & 0xff);
    s->span.start_ns = get_u64(r, json, "startTimeUnixNano");
    s->span.end_ns = get_u64(r, json, "endTimeUnixNano");
    s->span.status = (uint8_t)(get_u64(r, status, "code") & 0xff);
    s->span.status_message = get_text(r, status, "message");
    read_attributes(r, json, otlp_sink_attribute);
    s->span.attribute_count = s->attribute_count;
    read_events(r, json);
    read_links(r, json);
    if (!r->is_malformed)
        otlp_sink_end(s);
}

/* ---- logs ---- */

static void read_log(struct json_reader *r, const json_t *json)
{
    struct otlp_sink *s = r->sink;

    otlp_sink_begin(s);
    s->trace_id = get_id(r, json, "traceId", 16);
    s->span_id = get_id(r, json, "spanId", 8);
    s->log.time_ns = get_u64(r, json, "timeUnixNano");
    s->log.observed_ns = get_u64(r, json, "observedTimeUnixNano");
    s->log.severity = get_u64(r, json, "severityNumber");
    s->log.severity_text = get_text(r, json, "severityText");
    s->log.body = read_value(r, json_object_get(json, "body"));
    read_attributes(r, json, otlp_sink_attribute);
    if (!r->is_malformed)
        otlp_sink_end(s);
}

/* ---- what both have ---- */

static void read_scope(struct json_reader *r, const json_t *json)
{
    const json_t *scope = json_object_get(json, "scope");
    json_t *item;
    size_t i;

    otlp_sink_scope(r->sink, get_text(r, scope, "name"), get_text(r, scope, "version"));
    json_array_foreach (get_array(r, json, r->sink->is_logs ? "logRecords" : "spans"), i, item) {
        if (!json_is_object(item))
            malformed(r, r->sink->is_logs ? "logRecords" : "spans", "objects inside", item);
        if (r->is_malformed)
            return;
        if (r->sink->is_logs)
            read_log(r, item);
        else
            read_span(r, item);
    }
}

static void read_resource(struct json_reader *r, const json_t *json)
{
    struct otlp_sink *s = r->sink;
    json_t *item;
    size_t i;

    otlp_sink_resource(s);
    s->record_refusal = NULL;
    read_attributes(r, json_object_get(json, "resource"), otlp_sink_resource_attribute);
    if (s->record_refusal)
        s->resource_refusal = s->record_refusal;
    json_array_foreach (get_array(r, json, s->is_logs ? "scopeLogs" : "scopeSpans"), i, item)
        read_scope(r, item);
}

int otlp_json_decode(struct otlp_sink *sink, struct text_view text,
                     struct obs_reason *reterr_reason)
{
    OBS_JSON root = NULL;
    struct json_reader reader = {sink, reterr_reason, false};
    json_t *item;
    size_t i;
    int r = obs_json_parse(text.text, text.size, &root, reterr_reason);

    if (r != 0)
        return r < 0 ? r : OTLP_MALFORMED;
    if (!json_is_object(root)) {
        obs_reason_set(reterr_reason, "the body is not a JSON object");
        return OTLP_MALFORMED;
    }
    json_array_foreach (get_array(&reader, root, sink->is_logs ? "resourceLogs" : "resourceSpans"),
                        i, item)
        read_resource(&reader, item);
    return reader.is_malformed ? OTLP_MALFORMED : OTLP_OK;
}
