#pragma once
/*
 * LogQL: Loki's query language, as far as docs/logql.md says. What is beyond it is refused with the
 * token and its place: `parse error at line 1, col 12: …`.
 *
 * A query is for one thread at a time: its regular expressions keep the place of their last match.
 */
#include "base/cleanup.h"
#include "base/reason.h"
#include "telemetry/model.h"

#define LOGQL_QUERY_MAX 32768 /* bytes */
#define LOGQL_STREAM_LABELS_MAX 64

enum logql_outcome {
    LOGQL_OK = 0,
    LOGQL_REFUSED = 1, /* the query is wrong or asks for more than its limits; reason: 400 */
    LOGQL_TIMEOUT = 2, /* reason: 504 */
};

struct logql_query;

/* Return: LOGQL_OK, LOGQL_REFUSED, -ENOMEM. */
int logql_parse(const char *text, size_t size, struct logql_query **ret_query,
                struct obs_reason *reterr_reason);
/* As logql_parse(), for a bare selector such as `{a="b"}` (series, labels, stats). */
int logql_parse_selector(const char *text, size_t size, struct logql_query **ret_query,
                         struct obs_reason *reterr_reason);
struct logql_query *logql_query_free(struct logql_query *query);

/* A log query; otherwise it computes numbers. */
bool logql_is_log(const struct logql_query *query);

struct obs_arena;
/* The labels of a pushed stream, `{a="b", c="d"}`, as written, in @arena. Borrows @text. */
int logql_parse_labels(struct text_view text, struct obs_arena *arena, struct label **ret_labels,
                       size_t *ret_count, struct obs_reason *reterr_reason);
/* [a-zA-Z_][a-zA-Z0-9_]* */
bool logql_is_label_name(struct text_view name);
OBS_DEFINE_CLEANUP(struct logql_query *, logql_query_free)
