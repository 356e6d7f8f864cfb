#pragma once
/* Pyroscope's HTTP API, of its own handlers' use: docs/profiles.md. */
#include "telemetry/profile_store.h"
#include "telemetry/telemetry.h"

#define PYROSCOPE_BODY_MAX (16u << 20)

/* 400, 413, 429, 503, 504, 507…: what an outcome is over HTTP, with the reason as the problem. */
void pyroscope_refuse(struct obs_http_request *request, int status,
                      const struct obs_reason *reason);
/* A query that failed: < 0 from profile_scan() and from what its callbacks do. */
void pyroscope_query_failed(struct obs_http_request *request, int error);

/* Parameter as a time; @standard when it is not there. Return: 0, 1 (answered). */
int pyroscope_time(struct obs_http_request *request, const char *name, const char *standard,
                   uint64_t *ret_ns);
uint64_t pyroscope_deadline(const struct telemetry *telemetry);

/* A part of a multipart/form-data body (RFC 7578); data points into the body. */
struct pyroscope_part {
    char name[64];
    struct text_view data;
};
#define PYROSCOPE_PARTS_MAX 8
/* Return: 0, 400 (reason). */
int pyroscope_parts(const char *content_type, struct text_view body,
                    struct pyroscope_part parts[PYROSCOPE_PARTS_MAX], size_t *ret_count,
                    struct obs_reason *reterr_reason);

obs_http_handler pyroscope_ingest, pyroscope_render, pyroscope_render_diff, pyroscope_label_names,
    pyroscope_label_values, pyroscope_apps;
