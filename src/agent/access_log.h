#pragma once
/*
 * Access log: turns a gateway's access log lines into what an instrumented server reports: request
 * durations with exemplars, and server spans. Fields: docs/agent.md, nginx-access.
 *
 * Loop thread only.
 */
#include "base/cleanup.h"
#include "otel/metrics.h"
#include <stddef.h>

struct access_log;

struct access_log_options {
    const char *service;             /* borrowed */
    const char *version;             /* copied; see access_log_set_version() */
    const char *const *routes;       /* borrowed; ends with NULL */
    const char *endpoint, *resource; /* for spans, as struct obs_tracer_options */
};

int access_log_new(const struct access_log_options *options, struct access_log **ret_log);
struct access_log *access_log_free(struct access_log *log);

/* A line without its fields, or with bad ones, counts in access_log_bad_lines(). */
void access_log_take(struct access_log *log, const char *line, size_t size);
void access_log_set_version(struct access_log *log, const char *version); /* any thread */

struct obs_metrics *access_log_metrics(struct access_log *log);
uint64_t access_log_bad_lines(const struct access_log *log);

/* The first of @routes (ends with NULL) that fits @path, "other" when none does. `{x}` is one
 * segment that is not empty. */
const char *access_log_route(const char *const *routes, const char *path);

OBS_DEFINE_CLEANUP(struct access_log *, access_log_free)
