#pragma once
/*
 * Model: what the telemetry store keeps, as its readers see it.
 *
 * Views are borrowed: they are good inside the callback that they were given to. Text is not
 * NUL-terminated. Names follow OTLP (opentelemetry/proto/trace/v1, logs/v1).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_view {
    const char *text;
    size_t size;
};

enum value_type { VALUE_TEXT, VALUE_INT, VALUE_DOUBLE, VALUE_BOOL };

/* OTLP's arrays and key-value lists are kept as their JSON text (VALUE_TEXT). */
struct value {
    enum value_type type;
    union {
        struct text_view text;
        int64_t integer;
        double number;
        bool boolean;
    } is;
};

struct attribute {
    struct text_view name;
    struct value value;
};

enum { SPAN_STATUS_UNSET, SPAN_STATUS_OK, SPAN_STATUS_ERROR };

struct span_event {
    uint64_t time_ns;
    struct text_view name;
    const struct attribute *attributes;
    size_t attribute_count;
};

struct span_link {
    uint8_t trace_id[16], span_id[8];
    const struct attribute *attributes;
    size_t attribute_count;
};

struct span_view {
    uint8_t trace_id[16], span_id[8], parent_span_id[8]; /* parent all zero: root */
    uint64_t start_ns, end_ns;                           /* Unix time */
    struct text_view service;                            /* resource attribute service.name */
    struct text_view name;
    uint8_t kind;   /* OTLP span kind, 0 to 5 */
    uint8_t status; /* SPAN_STATUS_… */
    struct text_view status_message, trace_state, scope_name, scope_version;
    const struct attribute *attributes, *resource; /* resource holds service.name too */
    size_t attribute_count, resource_count;
    const struct span_event *events;
    size_t event_count;
    const struct span_link *links;
    size_t link_count;
};

/* A log line. Its stream is its sorted label set, as Loki sees it. */
struct label {
    struct text_view name, value;
};

struct line_view {
    uint64_t time_ns;
    struct text_view line;
    const struct label *labels; /* of the stream, sorted by name */
    size_t label_count;
    const struct label *metadata; /* structured metadata of the line: trace_id, span_id, … */
    size_t metadata_count;
    uint64_t stream; /* equal for lines of one stream, within one read */
};
