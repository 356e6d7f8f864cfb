#pragma once
/* Pipeline: one line through the stages of a log query. One thread at a time. */
#include "base/cleanup.h"
#include "telemetry/logql_ast.h"
#include "telemetry/logql_labels.h"

struct logql_pipeline;

/* Borrows @log. Return: 0, -ENOMEM. */
int logql_pipeline_new(const struct logql_log *log, struct logql_pipeline **ret_pipeline);
struct logql_pipeline *logql_pipeline_free(struct logql_pipeline *pipeline);

enum logql_verdict {
    LINE_DROPPED,
    LINE_KEPT,
    LINE_TOO_LARGE, /* its labels or formats need more memory than a line may take */
};

/* @ret_line and the labels are good until the next call. The selector is not looked at. */
enum logql_verdict logql_pipeline_run(struct logql_pipeline *pipeline, const struct line_view *line,
                                      struct text_view *ret_line);
struct logql_labels *logql_pipeline_labels(struct logql_pipeline *pipeline);
/* After run() kept the line: its unwrapped value, through the filters behind unwrap. A value that
 * is no number sets __error__ and is 0. LINE_DROPPED: no such label. */
enum logql_verdict logql_pipeline_unwrap(struct logql_pipeline *pipeline, double *ret_value);

/* Does the selector fit the stream's labels (sorted or not)? */
bool logql_selects(const struct logql_log *log, const struct label *labels, size_t count);
/* What an index may use: bytes that every line wanted holds, and metadata it has. */
void logql_hints(const struct logql_log *log, struct text_view *ret_contains,
                 struct label *ret_metadata);
OBS_DEFINE_CLEANUP(struct logql_pipeline *, logql_pipeline_free)
