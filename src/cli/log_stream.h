#pragma once
/*
 * Log stream: the lines of one unit, from its agent, as they come (GET /v1/units/U/logs).
 *
 * Not the HTTP client: that one wants a whole reply, and a followed log has no end.
 */
#include "cli/paths.h"
#include <stdbool.h>

struct log_stream;

enum log_stream_outcome {
    LOG_STREAM_MORE = 0, /* more may come */
    LOG_STREAM_END = 1,  /* the reply is complete, or the agent is gone */
};

typedef void log_stream_line_fn(const char *line, void *userdata);

/* Connect and ask for the last @lines, and with @is_followed for all to come. Return: 0, -errno
 * (reason set). */
int log_stream_new(const struct paths *paths, const char *tenant, const char *unit, unsigned lines,
                   bool is_followed, struct log_stream **ret_stream,
                   struct obs_reason *reterr_reason);
struct log_stream *log_stream_free(struct log_stream *stream); /* NULL is fine; returns NULL */

int log_stream_fd(const struct log_stream *stream); /* to poll for input */

/* Read what is there; @line is called for each whole line. Return: an enum value, or -errno (reason
 * set), -EPROTO when the agent refuses. */
int log_stream_read(struct log_stream *stream, log_stream_line_fn *line, void *userdata,
                    struct obs_reason *reterr_reason);
