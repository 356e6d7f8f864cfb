#pragma once
/* Loki's answers: refusals are plain text, results are JSON with statistics. */
#include "base/http_server.h"
#include "telemetry/logql_run.h"

#define LOKI_REPLY_MAX ((size_t)64 << 20)

void loki_reply_refusal(struct obs_http_request *request, int status,
                        const struct obs_reason *reason);
/* By an outcome of logql_*: 400, 504, or 500. */
void loki_reply_outcome(struct obs_http_request *request, int outcome,
                        const struct obs_reason *reason);
void loki_reply_lines(struct obs_http_request *request, const struct logql_lines *lines);
/* @is_instant: vector or scalar; else matrix. */
void loki_reply_numbers(struct obs_http_request *request, const struct logql_numbers *numbers,
                        bool is_instant);
void loki_reply_body(struct obs_http_request *request, struct obs_buffer *body); /* 200; takes it */

void loki_put_labels(struct obs_buffer *b, const struct label *labels, size_t count);
