#pragma once
/*
 * What the handlers of Tempo's API share. The API: docs/traceql.md.
 *
 * Handlers run in workers. Each query has a deadline (telemetry.query_timeout_ms), a limit on its
 * memory, and limits on what it answers; what does not fit is refused, never cut in silence.
 */
#include "telemetry/telemetry.h"
#include "telemetry/traceql.h"

#define TEMPO_TRACE_BYTES_MAX (48U << 20)  /* one trace in memory */
#define TEMPO_GATHER_BYTES_MAX (32U << 20) /* the traces of a round of a search */
#define TEMPO_REPLY_BYTES_MAX (64U << 20)
#define TEMPO_NAMES_MAX 10000 /* tag names or values in one answer */

enum tempo_outcome { /* beside those of TraceQL */
                     TEMPO_OK = 0,
                     TEMPO_REFUSED = TRACEQL_REFUSED, /* 400 */
                     TEMPO_TIMEOUT = TRACEQL_TIMEOUT, /* 504 */
                     TEMPO_TOO_MUCH = 3,              /* 422: reason */
};

struct tempo_range {
    uint64_t from_ns, until_ns;
};

/* Parameters. Each answers 400 and returns false when there is nonsense. */
bool tempo_read_range(struct obs_http_request *request, struct tempo_range *ret_range);
bool tempo_read_uint(struct obs_http_request *request, const char *name, uint64_t max,
                     uint64_t *value);
/* Answer for an outcome other than TEMPO_OK (or < 0). */
void tempo_reply_failed(struct obs_http_request *request, const struct telemetry *telemetry, int r,
                        const struct obs_reason *why);
uint64_t tempo_deadline(const struct telemetry *telemetry);
/* The buffer's bytes as JSON, or what went wrong with it. */
void tempo_reply_json(struct obs_http_request *request, const struct telemetry *telemetry,
                      struct obs_buffer *body);

/* ---- spans that outlive the store's callback (tempo_spans.c) ---- */

struct tempo_spans {
    struct obs_arena *arena; /* borrowed: what the views point to */
    struct span_view *list;
    size_t count, capacity;
    const struct traceql_query *only; /* attributes it wants; NULL: everything, with events */
    int error;                        /* 0, TEMPO_TOO_MUCH, -ENOMEM (the arena's limit, too) */
};
int tempo_spans_add(struct tempo_spans *spans, const struct span_view *span);
void tempo_spans_done(struct tempo_spans *spans); /* the list; the arena stays */
/* Every span of a trace. Return: spans->error, or < 0 from the store. */
int tempo_spans_find(struct store *store, const char *tenant, const uint8_t trace_id[16],
                     struct tempo_spans *spans);

/* ---- a trace as OTLP (tempo_json.c, tempo_protobuf.c) ---- */

enum tempo_version { TEMPO_V1, TEMPO_V2 };
/* Spans of one resource together, of one scope together, by start time. Drops repeated ones. */
void tempo_spans_sort(struct tempo_spans *spans);
bool tempo_same_resource(const struct span_view *a, const struct span_view *b);
bool tempo_same_scope(const struct span_view *a, const struct span_view *b);
void tempo_trace_json(const struct tempo_spans *spans, enum tempo_version version,
                      struct obs_buffer *out);
void tempo_trace_protobuf(const struct tempo_spans *spans, enum tempo_version version,
                          struct obs_buffer *out);
void tempo_value_json(const struct value *value, struct obs_buffer *out);
static inline void tempo_text_json(struct text_view text, struct obs_buffer *out)
{
    obs_buffer_append_json(out, text.size > 0 ? text.text : "", text.size);
}

/* ---- search (tempo_search.c) ---- */

struct tempo_search {
    struct store *store;
    const char *tenant;
    const struct traceql_query *query;
    struct tempo_range range;
    size_t limit, spans_per_set;
    uint64_t deadline_ns;
};
/* The reply's body. Return: an outcome, < 0. */
int tempo_search_run(const struct tempo_search *search, struct obs_buffer *out,
                     struct obs_reason *reterr_reason);
/* One trace of the answer (tempo_result.c). */
void tempo_result_json(const struct tempo_search *search, const struct traceql_trace *trace,
                       const struct traceql_spanset *found, struct obs_buffer *out);

obs_http_handler tempo_handle_trace, tempo_handle_trace_v2, tempo_handle_search, tempo_handle_tags,
    tempo_handle_tags_v2, tempo_handle_values, tempo_handle_values_v2, tempo_handle_graph;
