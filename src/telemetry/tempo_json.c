/*
 * A trace as JSON, the way Tempo writes it: protobuf's JSON mapping of OTLP. Ids are base64 there
 * (OTLP's own JSON has hex), 64-bit numbers are text, kinds and status codes are names, empty
 * fields are left out. Version 1 says `batches` where OTLP says `resourceSpans`; version 2 wraps
 * the trace.
 */
#include "telemetry/tempo.h"

#include "base/text.h"
#include <math.h>

static void append_id(struct obs_buffer *out, const char *name, const uint8_t *id, size_t size)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[32];
    size_t used = 0;

    for (size_t i = 0; i < size; i += 3) {
        unsigned left = (unsigned)(size - i);
        unsigned bits = (unsigned)id[i] << 16 | (left > 1 ? (unsigned)id[i + 1] << 8 : 0) |
                        (left > 2 ? id[i + 2] : 0);

        text[used++] = DIGITS[bits >> 18];
        text[used++] = DIGITS[bits >> 12 & 63];
        text[used++] = left > 1 ? DIGITS[bits >> 6 & 63] : '=';
        text[used++] = left > 2 ? DIGITS[bits & 63] : '=';
    }
    obs_buffer_printf(out, "\"%s\":\"%.*s\"", name, (int)used, text);
}

static void append_text(struct obs_buffer *out, const char *name, struct text_view text)
{
    if (text.size == 0)
        return;
    obs_buffer_printf(out, ",\"%s\":", name);
    tempo_text_json(text, out);
}

void tempo_value_json(const struct value *value, struct obs_buffer *out)
{
    char number[OBS_TEXT_NUMBER_SIZE];

    switch (value->type) {
    case VALUE_INT:
        obs_buffer_printf(out, "{\"intValue\":\"%lld\"}", (long long)value->is.integer);
        break;
    case VALUE_DOUBLE:
        if (isfinite(value->is.number))
            obs_buffer_printf(out, "{\"doubleValue\":%s}",
                              obs_text_number(value->is.number, number));
        else
            obs_buffer_printf(out, "{\"doubleValue\":\"%s\"}",
                              isnan(value->is.number) ? "NaN"
                              : value->is.number > 0  ? "Infinity"
                                                      : "-Infinity");
        break;
    case VALUE_BOOL:
        obs_buffer_printf(out, "{\"boolValue\":%s}", value->is.boolean ? "true" : "false");
        break;
    default:
        obs_buffer_append_text(out, "{\"stringValue\":");
        tempo_text_json(value->is.text, out);
        obs_buffer_append_char(out, '}');
        break;
    }
}

static void append_attributes(struct obs_buffer *out, const struct attribute *list, size_t count)
{
    obs_buffer_append_text(out, "\"attributes\":[");
    for (size_t i = 0; i < count; i++) {
        obs_buffer_append_text(out, i > 0 ? ",{\"key\":" : "{\"key\":");
        tempo_text_json(list[i].name, out);
        obs_buffer_append_text(out, ",\"value\":");
        tempo_value_json(&list[i].value, out);
        obs_buffer_append_char(out, '}');
    }
    obs_buffer_append_char(out, ']');
}

static void append_events(struct obs_buffer *out, const struct span_view *span)
{
    obs_buffer_append_text(out, ",\"events\":[");
    for (size_t i = 0; i < span->event_count; i++) {
        const struct span_event *event = &span->events[i];

        obs_buffer_printf(out, "%s{\"timeUnixNano\":\"%llu\"", i > 0 ? "," : "",
                          (unsigned long long)event->time_ns);
        append_text(out, "name", event->name);
        if (event->attribute_count > 0) {
            obs_buffer_append_char(out, ',');
            append_attributes(out, event->attributes, event->attribute_count);
        }
        obs_buffer_append_char(out, '}');
    }
    obs_buffer_append_char(out, ']');
}

static void append_links(struct obs_buffer *out, const struct span_view *span)
{
    obs_buffer_append_text(out, ",\"links\":[");
    for (size_t i = 0; i < span->link_count; i++) {
        const struct span_link *link = &span->links[i];

        obs_buffer_append_text(out, i > 0 ? ",{" : "{");
        append_id(out, "traceId", link->trace_id, 16);
        obs_buffer_append_char(out, ',');
        append_id(out, "spanId", link->span_id, 8);
        if (link->attribute_count > 0) {
            obs_buffer_append_char(out, ',');
            append_attributes(out, link->attributes, link->attribute_count);
        }
        obs_buffer_append_char(out, '}');
    }
    obs_buffer_append_char(out, ']');
}

static void append_status(struct obs_buffer *out, const struct span_view *span)
{
    obs_buffer_append_text(out, ",\"status\":{");
    if (span->status != SPAN_STATUS_UNSET)
        obs_buffer_printf(out, "\"code\":\"%s\"",
                          span->status == SPAN_STATUS_OK ? "STATUS_CODE_OK" : "STATUS_CODE_ERROR");
    if (span->status_message.size > 0) {
        obs_buffer_append_text(out, span->status != SPAN_STATUS_UNSET ? ",\"message\":"
                                                                      : "\"message\":");
        tempo_text_json(span->status_message, out);
    }
    obs_buffer_append_char(out, '}');
}

static void append_span(struct obs_buffer *out, const struct span_view *span)
{
    static const char *const KINDS[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
                                        "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
                                        "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER"};
    static const uint8_t NONE[8] = {0};

    obs_buffer_append_char(out, '{');
    append_id(out, "traceId", span->trace_id, 16);
    obs_buffer_append_char(out, ',');
    append_id(out, "spanId", span->span_id, 8);
    append_text(out, "traceState", span->trace_state);
    if (__builtin_memcmp(span->parent_span_id, NONE, 8) != 0) {
        obs_buffer_append_char(out, ',');
        append_id(out, "parentSpanId", span->parent_span_id, 8);
    }
    append_text(out, "name", span->name);
    if (span->kind > 0 && span->kind < OBS_COUNT(KINDS))
        obs_buffer_printf(out, ",\"kind\":\"%s\"", KINDS[span->kind]);
    obs_buffer_printf(out, ",\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"",
                      (unsigned long long)span->start_ns, (unsigned long long)span->end_ns);
    if (span->attribute_count > 0) {
        obs_buffer_append_char(out, ',');
        append_attributes(out, span->attributes, span->attribute_count);
    }
    if (span->event_count > 0)
        append_events(out, span);
    if (span->link_count > 0)
        append_links(out, span);
    append_status(out, span);
    obs_buffer_append_char(out, '}');
}

static void append_scope(struct obs_buffer *out, const struct span_view *span)
{
    obs_buffer_append_text(out, "{\"scope\":{");
    if (span->scope_name.size > 0) {
        obs_buffer_append_text(out, "\"name\":");
        tempo_text_json(span->scope_name, out);
        append_text(out, "version", span->scope_version);
    }
    obs_buffer_append_text(out, "},\"spans\":[");
}

static void append_resources(const struct tempo_spans *spans, struct obs_buffer *out)
{
    for (size_t i = 0; i < spans->count; i++) {
        const struct span_view *span = &spans->list[i], *before = i > 0 ? span - 1 : NULL;
        bool is_resource = !before || !tempo_same_resource(before, span);
        bool is_scope = is_resource || !tempo_same_scope(before, span);

        if (is_resource) {
            obs_buffer_append_text(out, before ? "]}]},{\"resource\":{" : "{\"resource\":{");
            append_attributes(out, span->resource, span->resource_count);
            obs_buffer_append_text(out, "},\"scopeSpans\":[");
        } else {
            obs_buffer_append_text(out, is_scope ? "]}," : ",");
        }
        if (is_scope)
            append_scope(out, span);
        append_span(out, span);
    }
    if (spans->count > 0)
        obs_buffer_append_text(out, "]}]}");
}

void tempo_trace_json(const struct tempo_spans *spans, enum tempo_version version,
                      struct obs_buffer *out)
{
    obs_buffer_append_text(out, version == TEMPO_V1 ? "{\"batches\":["
                                                    : "{\"trace\":{\"resourceSpans\":[");
    append_resources(spans, out);
    obs_buffer_append_text(out, version == TEMPO_V1 ? "]}" : "]},\"metrics\":{}}");
}
