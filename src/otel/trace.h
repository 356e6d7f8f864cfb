#pragma once
/*
 * Traces: W3C Trace Context (https://www.w3.org/TR/trace-context/, level 1) and spans.
 *
 * A span is a plain value on its owner's stack or in its request; ending it copies it into the
 * tracer's bounded queue, never blocking. What does not fit is dropped and counted.
 */
#include "base/cleanup.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct obs_tracer;

struct obs_trace_context {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags; /* bit 0: sampled */
};

#define OBS_TRACEPARENT_SIZE 56 /* "00-<32 hex>-<16 hex>-<2 hex>" and NUL */

enum obs_trace_outcome {
    OBS_TRACE_OK = 0,
    OBS_TRACE_BAD = 1, /* not a valid traceparent; start a new trace */
};

int obs_traceparent_parse(const char *text, size_t size, struct obs_trace_context *ret_context);
void obs_traceparent_emit(const struct obs_trace_context *context, char out[OBS_TRACEPARENT_SIZE]);
bool obs_trace_is_valid(const struct obs_trace_context *context); /* ids not all zero */
static inline bool obs_trace_is_sampled(const struct obs_trace_context *context)
{
    return (context->flags & 1) != 0;
}

/* OTLP span kinds and their numbers. */
enum obs_span_kind {
    OBS_SPAN_INTERNAL = 1,
    OBS_SPAN_SERVER = 2,
    OBS_SPAN_CLIENT = 3,
    OBS_SPAN_PRODUCER = 4,
    OBS_SPAN_CONSUMER = 5,
};

#define OBS_SPAN_ATTRIBUTES_MAX 12
#define OBS_SPAN_TEXT_MAX 320 /* bytes of name and attribute text; longer is truncated */

struct obs_span_attribute {
    const char *name; /* static: a name from otel/names.h */
    enum { OBS_ATTRIBUTE_TEXT, OBS_ATTRIBUTE_INT, OBS_ATTRIBUTE_DOUBLE, OBS_ATTRIBUTE_BOOL } type;
    union {
        uint16_t text; /* offset in the span's text */
        int64_t integer;
        double number;
        bool boolean;
    } value;
};

struct obs_span {
    struct obs_tracer *tracer; /* NULL: not recording; every call on it is a no-op */
    struct obs_trace_context context;
    uint8_t parent_span_id[8]; /* zero: root */
    enum obs_span_kind kind;
    uint64_t start_ns, end_ns; /* Unix time */
    bool is_error;
    uint16_t name;    /* offset in text */
    uint16_t message; /* offset in text of the error's description; meaningful with is_error */
    uint16_t text_size;
    uint8_t attribute_count;
    struct obs_span_attribute attributes[OBS_SPAN_ATTRIBUTES_MAX];
    char text[OBS_SPAN_TEXT_MAX];
};

/**
 * obs_span_start() - begin a span now
 * @tracer: NULL is fine: the context is still made and handed on, nothing is recorded
 * @parent: NULL or invalid: a new trace, sampled as the tracer's ratio says. Otherwise its trace
 * and sampling decision are kept.
 */
void obs_span_start(struct obs_span *span, struct obs_tracer *tracer, enum obs_span_kind kind,
                    const char *name, const struct obs_trace_context *parent);
void obs_span_set_start(struct obs_span *span, uint64_t start_ns); /* for starts noticed late */
void obs_span_text(struct obs_span *span, const char *name, const char *value); /* copied */
void obs_span_int(struct obs_span *span, const char *name, int64_t value);
void obs_span_number(struct obs_span *span, const char *name, double value);
void obs_span_bool(struct obs_span *span, const char *name, bool value);
void obs_span_error(struct obs_span *span, const char *message); /* status ERROR, copied */
void obs_span_end(struct obs_span *span);                        /* now; once */
void obs_span_end_at(struct obs_span *span, uint64_t end_ns);

/* The span this thread works in: parent of what it calls, ids of what it logs. Enter returns the
 * one before, to be given back to leave. */
struct obs_span *obs_span_current(void); /* NULL: none */
struct obs_span *obs_span_enter(struct obs_span *span);
void obs_span_leave(struct obs_span *before);
/* Context of the current span, or NULL. */
const struct obs_trace_context *obs_trace_current(void);
/* Start an internal or client span under the current one; recording only if there is one. */
void obs_span_start_child(struct obs_span *span, enum obs_span_kind kind, const char *name);

struct obs_tracer_options {
    const char *service;  /* resource attribute service.name */
    const char *version;  /* service.version; see obs_tracer_set_version() */
    const char *resource; /* OTEL_RESOURCE_ATTRIBUTES form "k=v,k=v"; NULL or "" for none */
    const char *endpoint; /* OTEL_EXPORTER_OTLP_ENDPOINT: "http://HOST:PORT" or "unix:PATH"; NULL
                           * or "": spans are made for exemplars and logs, none is exported */
    double sample_ratio;  /* of new traces, 0 to 1 */
    size_t queue_limit;   /* spans waiting; 0: 4096 */
    size_t batch_max;     /* spans per request; 0: 512 */
    unsigned flush_ms;    /* longest wait before a batch goes out; 0: 1000 */
    unsigned retry_ms;    /* first pause before a failed batch is sent again; 0: 200 */
    unsigned give_up_ms;  /* age at which a batch is dropped; 0: 60000 */
};

struct obs_tracer_stats {
    uint64_t ended, exported, dropped; /* spans; dropped: queue full, or refused for good */
    uint64_t batches, failures; /* requests sent; requests that failed and were tried again */
    size_t queued;
};

/* Starts the exporter's thread when there is an endpoint. Return: 0, -EINVAL (endpoint), -ENOMEM.
 */
int obs_tracer_new(const struct obs_tracer_options *options, struct obs_tracer **ret_tracer);
/* Both any thread. Spans that ended before a change keep the version they ended under. */
void obs_tracer_set_version(struct obs_tracer *tracer, const char *version);
void obs_tracer_set_ratio(struct obs_tracer *tracer, double sample_ratio);
void obs_tracer_stats(struct obs_tracer *tracer, struct obs_tracer_stats *ret_stats);
/* Sends what waits, for at most @timeout_ms, then stops. No span may be in use any more. NULL is
 * fine; returns NULL. */
struct obs_tracer *obs_tracer_free(struct obs_tracer *tracer, unsigned timeout_ms);
