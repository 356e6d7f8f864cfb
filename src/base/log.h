#pragma once
/*
 * Log: one JSON object a line to standard output.
 *
 *   {"time":"2026-11-23T15:46:50.123456Z","level":"info","service":"orders","version":"1.2",
 *    "message":"order created","trace_id":"…","span_id":"…","order_id":"…"}
 *
 * A line is at most OBS_LOG_LINE_MAX bytes and goes out in one write(), so that lines of several
 * threads and processes never mix. A full pipe does not block the caller: the line is dropped and
 * counted. A line that would be longer is cut inside a text or between fields and ends in
 * "truncated":true. A message takes at most half a line. Names of fields follow OpenTelemetry's
 * semantic conventions where there is one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OBS_LOG_LINE_MAX                                                                           \
    4096 /* PIPE_BUF on Linux: the largest write() that is atomic on a pipe                        \
          */

enum obs_log_level { OBS_LOG_DEBUG, OBS_LOG_INFO, OBS_LOG_WARN, OBS_LOG_ERROR };

enum obs_log_type { OBS_LOG_TEXT, OBS_LOG_INTEGER, OBS_LOG_NUMBER, OBS_LOG_BOOLEAN };

struct obs_log_field {
    const char *name; /* needs no escaping */
    enum obs_log_type type;
    union {
        const char *text; /* NULL prints null */
        int64_t integer;
        double number;
        bool boolean;
    } value;
};

#define OBS_TEXT(name_, v)                                                                         \
    ((struct obs_log_field){.name = (name_), .type = OBS_LOG_TEXT, .value.text = (v)})
#define OBS_INT(name_, v)                                                                          \
    ((struct obs_log_field){                                                                       \
        .name = (name_), .type = OBS_LOG_INTEGER, .value.integer = (int64_t)(v)})
#define OBS_NUMBER(name_, v)                                                                       \
    ((struct obs_log_field){.name = (name_), .type = OBS_LOG_NUMBER, .value.number = (v)})
#define OBS_BOOL(name_, v)                                                                         \
    ((struct obs_log_field){.name = (name_), .type = OBS_LOG_BOOLEAN, .value.boolean = (v)})

/* obs_log(OBS_LOG_INFO, "order created", OBS_TEXT("order_id", id), OBS_INT("lines", n)); */
#define obs_log(level, message, ...)                                                               \
    obs_log_fields((level), (message), (const struct obs_log_field[]){__VA_ARGS__},                \
                   sizeof((const struct obs_log_field[]){__VA_ARGS__}) /                           \
                       sizeof(struct obs_log_field))

void obs_log_fields(enum obs_log_level level, const char *message,
                    const struct obs_log_field *fields, size_t count);

/* Once, at start. @service and @version are copied (at most 31 bytes each). Lines below @least are
 * not written. Standard output becomes non-blocking when it is a pipe or a socket. */
void obs_log_setup(const char *service, const char *version, enum obs_log_level least);
void obs_log_set_version(const char *version);                            /* any thread */
void obs_log_set_level(enum obs_log_level least);                         /* any thread */
int obs_log_level_parse(const char *text, enum obs_log_level *ret_level); /* 0 or -EINVAL */

/* The trace that this thread works for: hex ids as in the line, NULL for none; copied. */
void obs_log_set_trace(const char *trace_id, const char *span_id);

uint64_t obs_log_dropped(void); /* lines lost since start: full or closed pipe, full disk */
