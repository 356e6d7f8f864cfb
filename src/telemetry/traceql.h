#pragma once
/*
 * TraceQL: Tempo's query language, compiled and run over the spans of one trace.
 *
 * What is not understood is refused with its place, never guessed. Language and limits:
 * docs/traceql.md. A query is used by one thread at a time.
 */
#include "base/arena.h"
#include "base/reason.h"
#include "telemetry/store.h"
#include "telemetry/traceql_ast.h"

#define TRACEQL_SIZE_MAX 8192 /* bytes of a query */
#define TRACEQL_DEPTH_MAX 64  /* parentheses and signs inside each other */

enum traceql_outcome {
    TRACEQL_OK = 0,
    TRACEQL_REFUSED = 1, /* reason, with line and column */
    TRACEQL_TIMEOUT = 2, /* deadline passed */
};

/* Return: 0, TRACEQL_REFUSED, -ENOMEM. @text is copied. */
int traceql_parse(const char *text, size_t size, struct traceql_query **ret_query,
                  struct obs_reason *reterr_reason);
/* A field alone, as in the path of Tempo's tag values: `.a`, `resource.service.name`, `status`. */
int traceql_parse_field(const char *text, size_t size, struct traceql_query **ret_query,
                        struct obs_reason *reterr_reason);
struct traceql_query *traceql_query_free(struct traceql_query *query);
OBS_DEFINE_CLEANUP(struct traceql_query *, traceql_query_free)

/* The search by tags: `{ a && b && … }` of conditions. All return -ENOMEM or 0 (or TRACEQL_REFUSED:
 * too many). */
int traceql_tags_new(struct traceql_query **ret_query);
/* A tag's value has @value in it, whatever the case. Names: attributes, and name, status, error,
 * root.name, root.service.name. */
int traceql_tags_add(struct traceql_query *query, struct text_view name, struct text_view value);
int traceql_tags_add_duration(struct traceql_query *query, enum traceql_op op, uint64_t ns);

/* ---- before traces are put together: what one span alone tells (traceql_hints.c) ---- */

/* False: a trace does not match because of this span. Every trace that matches has a span for which
 * this is true. See traceql_gave_up(). */
bool traceql_may_match(const struct traceql_query *query, const struct span_view *span);
/* Every trace with such a span matches. */
bool traceql_is_single(const struct traceql_query *query);
/* Sets everything but the times. What the hints leave out, traceql_may_match() is false for. */
void traceql_hints(const struct traceql_query *query, struct span_hints *ret_hints);
/* The query looks at this attribute. */
bool traceql_wants(const struct traceql_query *query, struct text_view name);

/* ---- a whole trace ---- */

struct traceql_span {
    const struct span_view *view;
    uint32_t parent;      /* index, TRACEQL_NO_SPAN for roots and orphans */
    uint32_t left, right; /* nested set, from 1 */
    uint32_t child_count;
};
#define TRACEQL_NO_SPAN UINT32_MAX
#define TRACEQL_SPANS_MAX 100000 /* of one trace */

struct traceql_trace {
    struct traceql_span *spans; /* by start time */
    uint32_t count;
    uint32_t *order; /* parents before children */
    uint32_t root;   /* TRACEQL_NO_SPAN when it is not there */
    uint64_t start_ns, end_ns;
};

/* Spans are borrowed; memory is the arena's. A span given twice (same id and kind) counts once.
 * Return: 0, TRACEQL_REFUSED (over TRACEQL_SPANS_MAX), -ENOMEM. */
int traceql_trace_build(const struct span_view *spans, size_t count, struct obs_arena *arena,
                        struct traceql_trace *ret_trace, struct obs_reason *reterr_reason);

struct traceql_label { /* of a spanset: `count()` 3, `by(name)` "GET /" */
    struct text_view name;
    struct traceql_value value;
    struct traceql_label *next;
};

struct traceql_spanset {
    uint32_t *spans; /* indices, ascending; never empty */
    uint32_t count;
    struct traceql_label *labels; /* newest first */
    struct traceql_spanset *next;
};

/* What the query finds in one trace; NULL: nothing. Memory is the arena's; its limit: -ENOMEM.
 * @deadline_ns: obs_mono_ns(), 0: none. Return: 0, TRACEQL_REFUSED (a regular expression gave up),
 * TRACEQL_TIMEOUT, -ENOMEM. */
int traceql_run(const struct traceql_query *query, const struct traceql_trace *trace,
                uint64_t deadline_ns, struct obs_arena *arena,
                struct traceql_spanset **ret_spansets, struct obs_reason *reterr_reason);
/* A regular expression has taken too many steps: answers are not complete. Sets the reason. */
bool traceql_gave_up(const struct traceql_query *query, struct obs_reason *reterr_reason);

/* ---- values ---- */

#define TRACEQL_HEX_SIZE 33
/* The field's value of a span; TRACEQL_NIL when it has none. @trace may be NULL for fields of one
 * span. @hex: room for ids as text. */
struct traceql_value traceql_field_value(const struct traceql_field *field,
                                         const struct span_view *view,
                                         const struct traceql_trace *trace, uint32_t index,
                                         char hex[TRACEQL_HEX_SIZE]);
/* As text: "ok", "server", "1.5s", "200". @out is used when the value is not text already. */
#define TRACEQL_TEXT_SIZE 48
struct text_view traceql_value_text(const struct traceql_value *value, char out[TRACEQL_TEXT_SIZE]);
int traceql_value_compare(const struct traceql_value *a, const struct traceql_value *b); /* total */
/* `a op b` for comparison operators other than regular expressions. */
bool traceql_value_test(enum traceql_op op, const struct traceql_value *a,
                        const struct traceql_value *b);
bool traceql_value_number(const struct traceql_value *value, double *ret_number);
const char *traceql_status_text(int64_t status);
const char *traceql_kind_text(int64_t kind);
static inline uint64_t traceql_duration(const struct span_view *view)
{
    return view->end_ns > view->start_ns ? view->end_ns - view->start_ns : 0;
}
