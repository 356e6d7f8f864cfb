#pragma once
/* Scan: the lines of one log query through its pipeline, counted and bounded. */
#include "telemetry/logql_pipeline.h"
#include "telemetry/logql_run.h"

struct logql_scan;

/* A line that was kept: its labels are logql_pipeline_labels(pipeline). Return: STORE_GO_ON,
 * STORE_STOP; a refusal is noted with logql_scan_refuse() first. */
typedef enum store_next logql_kept_fn(struct logql_scan *scan, uint64_t time_ns,
                                      struct text_view line, void *userdata);

struct logql_scan {
    const struct logql_source *source;
    const struct logql_log *log;
    uint64_t from_ns, until_ns;
    bool is_forward;
    uint64_t deadline_ns;
    struct obs_arena *arena; /* memory of the query */
    struct obs_reason *reason;
    struct logql_stats *stats;
    logql_kept_fn *fn;
    void *userdata;
    struct logql_pipeline *pipeline; /* from here on its own */
    int result;
};

/* Return: as logql_run_lines(). */
int logql_scan_run(struct logql_scan *scan);
enum store_next logql_scan_refuse(struct logql_scan *scan, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int logql_check_regexes(const struct logql_query *query, struct obs_reason *reterr_reason);
/* Copies into @arena; NULL when it is full. */
struct label *logql_copy_labels(struct obs_arena *arena, const struct label *labels, size_t count);
uint64_t logql_hash_labels(const struct label *labels, size_t count);
bool logql_labels_equal(const struct label *a, size_t a_count, const struct label *b,
                        size_t b_count);
