#pragma once
/*
 * Running a query: over a source of lines, within limits, to a result that loki_reply.c writes.
 */
#include "telemetry/logql.h"
#include "telemetry/store.h"

enum {
    LOGQL_ENTRIES_MAX = 5000,       /* lines in an answer */
    LOGQL_SERIES_MAX = 500,         /* series in an answer */
    LOGQL_INNER_SERIES_MAX = 20000, /* series that an aggregation reads */
    LOGQL_STEPS_MAX = 11000,
    LOGQL_SAMPLES_MAX = 2000000, /* that quantile_over_time keeps */
};
#define LOGQL_LINES_MAX 100000000ULL        /* scanned by one query */
#define LOGQL_MEMORY_MAX ((size_t)48 << 20) /* of one query */

/* Where lines come from: as store_scan_lines(). */
struct logql_source {
    int (*scan)(void *userdata, const struct line_query *query, store_line_fn *fn,
                void *fn_userdata);
    void *userdata;
};
struct logql_store_source { /* userdata of logql_scan_store() */
    struct store *store;
    const char *tenant;
};
int logql_scan_store(void *userdata, const struct line_query *query, store_line_fn *fn,
                     void *fn_userdata);

struct logql_range {
    uint64_t start_ns,
        end_ns;       /* lines: [start, end); numbers: evaluated at start, start + step … end */
    uint64_t step_ns; /* numbers: 0 for once, at start */
    uint64_t interval_ns; /* lines: at most one each interval; 0: all */
    unsigned limit;       /* lines */
    bool is_forward;
    uint64_t deadline_ns; /* obs_mono_ns() */
};

struct logql_stats {
    uint64_t lines, bytes; /* read */
    uint64_t kept;         /* passed the pipeline */
};

struct logql_result_entry {
    uint64_t time_ns;
    struct text_view line;
    size_t stream;
    const struct label *metadata, *parsed; /* only when categorized */
    size_t metadata_count, parsed_count;
};
struct logql_result_stream {
    const struct label *labels; /* sorted */
    size_t label_count;
    size_t entries;
};
struct logql_lines {
    struct obs_arena *arena; /* of everything here */
    struct logql_result_stream *streams;
    size_t stream_count;
    struct logql_result_entry *entries; /* in the order asked for */
    size_t count;
    bool is_categorized;
    struct logql_stats stats;
};

/* @is_categorized: streams have only their own labels; metadata and parsed labels stand beside each
 * line. Return: LOGQL_OK, LOGQL_REFUSED, LOGQL_TIMEOUT, -ENOMEM, the source's error. */
int logql_run_lines(const struct logql_query *query, const struct logql_source *source,
                    const struct logql_range *range, bool is_categorized,
                    struct logql_lines **ret_lines, struct obs_reason *reterr_reason);
struct logql_lines *logql_lines_free(struct logql_lines *lines);

struct logql_series {
    const struct label *labels; /* sorted by name */
    size_t label_count;
    uint64_t hash;  /* of the labels */
    double *values; /* [steps] */
    bool *has;      /* [steps]: there is a value */
};
struct logql_numbers {
    struct obs_arena *arena;
    struct logql_series **series; /* sorted by labels; topk of one step: by value */
    size_t count;
    bool is_scalar; /* one series without labels, and it is no vector */
    size_t steps;
    uint64_t start_ns, step_ns;
    struct logql_stats stats;
};
int logql_run_numbers(const struct logql_query *query, const struct logql_source *source,
                      const struct logql_range *range, struct logql_numbers **ret_numbers,
                      struct obs_reason *reterr_reason);
struct logql_numbers *logql_numbers_free(struct logql_numbers *numbers);

/* The matchers of a query's selector, for store_streams() and the like; in @arena. */
int logql_line_query(const struct logql_query *query, struct obs_arena *arena,
                     struct line_query *ret_query);
OBS_DEFINE_CLEANUP(struct logql_lines *, logql_lines_free)
OBS_DEFINE_CLEANUP(struct logql_numbers *, logql_numbers_free)
