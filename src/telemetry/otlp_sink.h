#pragma once
/*
 * Sink: where both encodings of OTLP put what they have decoded, record by record. It checks each
 * against the limits and hands it to the store's batch; what cannot be kept is counted, with the
 * first reason, for the partial success.
 */
#include "base/arena.h"
#include "base/buffer.h"
#include "telemetry/store.h"
#include "telemetry/store_bytes.h"

enum {
    OTLP_ATTRIBUTES_MAX = 2048, /* of a span with its events and links, or of a log record */
    OTLP_RESOURCE_MAX = 256,
    OTLP_EVENTS_MAX = 512,
    OTLP_LINKS_MAX = 512,
    OTLP_NAME_BYTES_MAX = 1024,
    OTLP_VALUE_BYTES_MAX = 256 << 10,
    OTLP_LINE_BYTES_MAX = 256 << 10,
    OTLP_DEPTH_MAX = 16, /* of arrays and lists in values */
};

enum otlp_outcome {
    OTLP_OK = 0,
    OTLP_MALFORMED = 1, /* the whole request: reason */
};

struct otlp_log { /* beside what span_view has */
    uint64_t time_ns, observed_ns;
    uint64_t severity;
    struct text_view severity_text, event_name;
    struct value body;
    struct text_view trace_id, span_id; /* bytes; empty: none */
};

struct otlp_sink {
    struct store_batch *batch;
    bool is_logs;
    uint64_t oldest_ns, newest_ns; /* times that are believed */
    uint64_t accepted, rejected;
    struct obs_reason why;   /* of the first record rejected */
    struct obs_arena *arena; /* of texts that have to be made: one of the next two */
    struct obs_arena *resource_arena, *record_arena;
    struct obs_buffer text;

    const char *record_refusal; /* the record that is being read cannot be kept: why */
    struct text_view service, scope_name, scope_version;
    struct attribute *resource, *attributes;
    size_t resource_count, attribute_count;
    const char *resource_refusal;
    struct span_event *events;
    size_t event_count;
    struct span_link *links;
    size_t link_count;
    struct span_view span;
    struct otlp_log log;
    struct text_view trace_id, span_id, parent_span_id;
    struct label *metadata, *resource_labels; /* of log lines; NULL: not made yet */
    size_t resource_label_count;
};

/* @batch is borrowed. Return: 0, -ENOMEM. */
int otlp_sink_init(struct otlp_sink *sink, struct store_batch *batch, bool is_logs);
void otlp_sink_done(struct otlp_sink *sink);

void otlp_sink_resource(struct otlp_sink *sink); /* a new resource begins: no attributes yet */
void otlp_sink_scope(struct otlp_sink *sink, struct text_view name, struct text_view version);
/* A resource attribute, or one of the record. Only counts once a limit is passed. */
void otlp_sink_resource_attribute(struct otlp_sink *sink, const struct attribute *attribute);
void otlp_sink_attribute(struct otlp_sink *sink, const struct attribute *attribute);
void otlp_sink_begin(struct otlp_sink *sink); /* a record begins: fill span or log */
/* Its attributes are those added since: begin with sink->attribute_count. */
void otlp_sink_event(struct otlp_sink *sink, const struct span_event *event, size_t first);
void otlp_sink_link(struct otlp_sink *sink, struct text_view trace_id, struct text_view span_id,
                    size_t first);
void otlp_sink_end(struct otlp_sink *sink); /* check, keep or reject */

/* Copy of text that lives as long as the record (or resource). */
struct text_view otlp_sink_keep(struct otlp_sink *sink, const char *text, size_t size);
struct text_view otlp_sink_base64(struct otlp_sink *sink, struct text_view bytes);

/* The two encodings. Return: enum otlp_outcome, -ENOMEM. */
int otlp_proto_decode(struct otlp_sink *sink, struct text_view message,
                      struct obs_reason *reterr_reason);
int otlp_json_decode(struct otlp_sink *sink, struct text_view text,
                     struct obs_reason *reterr_reason);
