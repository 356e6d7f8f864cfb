#pragma once
/*
 * Store: spans and log lines, durable, by tenant and time.
 *
 * Written by the ingest handlers, read by the query APIs, in many threads at once. What an append
 * has acknowledged is on disk and is seen by the next read. On-disk format:
 * docs/telemetry-format.md.
 */
#include "base/cleanup.h"
#include "base/reason.h"
#include "telemetry/model.h"

struct store;
struct obs_metrics;

struct store_options {
    const char *folder;
    uint64_t retention_ns;       /* segments older than this are dropped; 0: 48 h */
    uint64_t tenant_bytes_max;   /* per tenant, oldest segments go first; 0: 2 GiB */
    uint64_t head_bytes_max;     /* memory of not yet compressed data, all tenants; 0: 32 MiB */
    struct obs_metrics *metrics; /* segment and byte figures; may be NULL */
};

enum store_outcome {
    STORE_OK = 0,
    STORE_BUSY = 1,    /* too much waits to be written: try again (429 or 503 with Retry-After) */
    STORE_FULL = 2,    /* the disk or a limit is full; queries go on (507) */
    STORE_REFUSED = 3, /* a tenant name or a value that cannot be kept: reason */
};

#define STORE_TENANT_MAX 64 /* [A-Za-z0-9_-]; also a folder's name */
#define STORE_STREAMS_MAX                                                                          \
    10000 /* of a tenant's lines between two segments; over: STORE_REFUSED                         \
           */
bool store_tenant_is_good(const char *name);

int store_open(const struct store_options *options, struct store **ret_store,
               struct obs_reason *reterr_reason);
struct store *store_free(struct store *store); /* writes what waits */

/* Append a batch: all of it is durable when this returns STORE_OK, none of it otherwise. Views are
 * copied. Concurrent batches share one fdatasync. */
int store_append_spans(struct store *store, const char *tenant, const struct span_view *spans,
                       size_t count, struct obs_reason *reterr_reason);
int store_append_lines(struct store *store, const char *tenant, const struct line_view *lines,
                       size_t count, struct obs_reason *reterr_reason);

/* The same, row by row, for who decodes as it goes: nothing but the rows is kept in memory. Make a
 * batch, add to it (views are copied), commit it once, free it. Rows that point to the same
 * resource or label array share one copy of it; store_batch_new_origin() says that the array has
 * new content. */
struct store_batch;
int store_batch_spans(struct store *store, const char *tenant, struct store_batch **ret_batch,
                      struct obs_reason *reterr_reason);
int store_batch_lines(struct store *store, const char *tenant, struct store_batch **ret_batch,
                      struct obs_reason *reterr_reason);
void store_batch_new_origin(struct store_batch *batch);
void store_batch_span(struct store_batch *batch, const struct span_view *span);
void store_batch_line(struct store_batch *batch, const struct line_view *line);
size_t store_batch_count(const struct store_batch *batch); /* rows added */
int store_batch_commit(struct store_batch *batch, struct obs_reason *reterr_reason);
struct store_batch *store_batch_free(struct store_batch *batch);
OBS_DEFINE_CLEANUP(struct store_batch *, store_batch_free)

enum store_next { STORE_GO_ON = 0, STORE_STOP = 1 };
typedef enum store_next store_span_fn(const struct span_view *span, void *userdata);
typedef enum store_next store_line_fn(const struct line_view *line, void *userdata);

/* Every span of a trace, in no particular order. */
int store_find_trace(struct store *store, const char *tenant, const uint8_t trace_id[16],
                     store_span_fn *fn, void *userdata);
/* Of several, each block read once. @trace_ids are sorted (memcmp); spans come in no order. */
int store_find_traces(struct store *store, const char *tenant, const uint8_t (*trace_ids)[16],
                      size_t count, store_span_fn *fn, void *userdata);

/* Narrowing that indexes can do. A reader still checks each span: hints never leave one out that
 * fits. */
struct span_hints {
    uint64_t from_ns, until_ns;                /* spans that overlap [from, until) */
    struct text_view service;                  /* only this one; empty: any */
    struct text_view name;                     /* only this span name; empty: any */
    uint64_t duration_min_ns, duration_max_ns; /* max 0: none */
    struct attribute equals; /* span or resource attribute that must be equal; name empty: none */
};
/* Newest blocks first; within a block in no particular order. */
int store_scan_spans(struct store *store, const char *tenant, const struct span_hints *hints,
                     store_span_fn *fn, void *userdata);

/* Label matchers as Loki has them. */
enum matcher_op { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX };
struct matcher {
    struct text_view name, value;
    enum matcher_op op;
    const void *regex; /* compiled by the caller: see store_line_query.regex_matches */
};
struct line_query {
    uint64_t from_ns, until_ns; /* [from, until) */
    bool is_forward;            /* oldest first; else newest first: lines come in time order */
    const struct matcher *matchers;
    size_t matcher_count;
    bool (*regex_matches)(const void *regex, struct text_view value); /* anchored */
    struct text_view contains; /* every line wanted holds these bytes; empty: no such hint */
    /* Every line wanted has this name with this value in its metadata or its stream (trace_id);
     * name empty: no such hint. */
    struct label metadata_equals;
};
int store_scan_lines(struct store *store, const char *tenant, const struct line_query *query,
                     store_line_fn *fn, void *userdata);

/* What there is, for completion: each name or value once. Time range as above. */
typedef enum store_next store_text_fn(struct text_view text, void *userdata);
int store_label_names(struct store *store, const char *tenant, uint64_t from_ns, uint64_t until_ns,
                      store_text_fn *fn, void *userdata);
int store_label_values(struct store *store, const char *tenant, struct text_view name,
                       uint64_t from_ns, uint64_t until_ns, store_text_fn *fn, void *userdata);
/* Streams (label sets) that fit the matchers; the view's line is empty. */
int store_streams(struct store *store, const char *tenant, const struct line_query *query,
                  store_line_fn *fn, void *userdata);
int store_span_tags(struct store *store, const char *tenant, uint64_t from_ns, uint64_t until_ns,
                    bool is_resource, store_text_fn *fn, void *userdata);
int store_span_tag_values(struct store *store, const char *tenant, struct text_view name,
                          uint64_t from_ns, uint64_t until_ns, bool is_resource,
                          enum store_next (*fn)(const struct value *value, void *userdata),
                          void *userdata);

struct store_stats {
    uint64_t spans, lines, segments, disk_bytes, head_bytes;
    uint64_t damaged_segments; /* set aside since start, logs with damaged batches too */
    uint64_t damaged_blocks;   /* times that a block could not be read */
    uint64_t dropped_segments; /* by retention, since start */
};
/* Seal what is in memory into segments now. For tests and benchmarks. */
int store_seal_now(struct store *store);
void store_stats(struct store *store, struct store_stats *ret_stats);
int store_tenants(struct store *store, store_text_fn *fn, void *userdata);

/* Called after each append of lines, in the appending thread: for live tails. */
void store_on_lines(struct store *store,
                    void (*fn)(const char *tenant, const struct line_view *lines, size_t count,
                               void *userdata),
                    void *userdata);
OBS_DEFINE_CLEANUP(struct store *, store_free)
