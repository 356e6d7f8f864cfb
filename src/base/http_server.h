#pragma once
/*
 * HTTP server: an event loop that reads requests, and handlers that answer them.
 *
 * One thread (the event base's) reads, parses and writes. A route is answered on the loop (never
 * blocks: health, metrics) or by a worker of the server's pool (plain blocking code). When the
 * pool's queue is full the request is answered 503 with Retry-After at once.
 *
 * Why not a library: docs/adr/0002-http.md.
 */
#include "base/address.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/reason.h"
#include "base/worker_pool.h"

struct event_base;
struct obs_http_server;
struct obs_http_request;
struct obs_http_stream;

struct obs_http_limits {
    size_t head_bytes;         /* request line and headers; over: 431 (414 for the target) */
    size_t body_bytes;         /* decoded body; over: 413 */
    unsigned connections;      /* open at once; over: accept waits */
    unsigned head_timeout_ms;  /* first byte to end of head; over: 408 */
    unsigned body_timeout_ms;  /* end of head to end of body; over: 408 */
    unsigned idle_timeout_ms;  /* between requests; over: closed */
    unsigned write_timeout_ms; /* no progress while sending a reply; over: closed */
};
#define OBS_HTTP_LIMITS_DEFAULT                                                                    \
    ((struct obs_http_limits){.head_bytes = 16384,                                                 \
                              .body_bytes = 1048576,                                               \
                              .connections = 4096,                                                 \
                              .head_timeout_ms = 10000,                                            \
                              .body_timeout_ms = 30000,                                            \
                              .idle_timeout_ms = 75000,                                            \
                              .write_timeout_ms = 30000})

/* Runs once per request, on the loop or in a worker. It must reply exactly once before it returns,
 * or (loop routes only) take the request over with obs_http_request_defer(). */
typedef void obs_http_handler(struct obs_http_request *request, void *userdata);

enum obs_http_where { OBS_HTTP_ON_LOOP, OBS_HTTP_ON_WORKER };

struct obs_http_route {
    const char *method; /* "GET"; HEAD is answered by GET's route without its body */
    const char
        *pattern; /* "/products/{id}": {name} takes one segment; "/files/{path...}" the rest */
    obs_http_handler *handler;
    enum obs_http_where where;
};

/* What instrumentation hangs on: every request passes these once, in this order. */
struct obs_http_observer {
    void (*begin)(struct obs_http_request *request, void *userdata); /* loop: head and body read */
    void (*enter)(struct obs_http_request *request,
                  void *userdata); /* handler's thread, before it */
    void (*leave)(struct obs_http_request *request,
                  void *userdata);                                 /* handler's thread, after it */
    void (*end)(struct obs_http_request *request, void *userdata); /* loop: reply written or lost */
    void *userdata;
};

struct obs_http_server_options {
    const struct obs_http_route *routes; /* borrowed for the server's life */
    size_t route_count;
    void *userdata;               /* of all handlers */
    struct obs_worker_pool *pool; /* borrowed; NULL when no route is ON_WORKER */
    struct obs_http_limits limits;
    const struct obs_http_observer *observer; /* borrowed; NULL for none */
};

/* Return: 0, -ENOMEM, -EINVAL (a route without pool, a bad pattern). */
int obs_http_server_new(struct event_base *base, const struct obs_http_server_options *options,
                        struct obs_http_server **ret_server);
/* Serve what arrives on @listen_fd (from obs_address_listen(); taken). May be called several times.
 */
int obs_http_server_add(struct obs_http_server *server, int listen_fd);
/* Stop accepting; running requests end, idle connections close. @done runs on the loop when the
 * last connection is gone or @timeout_ms has passed. */
void obs_http_server_drain(struct obs_http_server *server, unsigned timeout_ms,
                           void (*done)(void *userdata), void *userdata);
/* Closes what is open. The pool must have been freed or drained before. */
struct obs_http_server *obs_http_server_free(struct obs_http_server *server);

struct obs_http_server_stats {
    unsigned connections; /* open now */
    uint64_t accepted;    /* connections since start */
    uint64_t requests;    /* requests with a good head since start */
    uint64_t malformed;   /* refused by the parser, a limit or a timeout */
};
void obs_http_server_stats(const struct obs_http_server *server,
                           struct obs_http_server_stats *ret_stats);

/* ---- a request, valid until its handler has replied and returned ---- */

const char *obs_http_method(const struct obs_http_request *request);
const char *obs_http_path(const struct obs_http_request *request);   /* decoded */
const char *obs_http_target(const struct obs_http_request *request); /* as sent */
const char *obs_http_route(const struct obs_http_request *request); /* pattern, "" when none fits */
/* NULL when absent. Header names in lower case. Values are NUL-terminated and borrowed. */
const char *obs_http_header(const struct obs_http_request *request, const char *name);
const char *obs_http_param(const struct obs_http_request *request, const char *name);
const char *obs_http_query(const struct obs_http_request *request, const char *name);
const char *obs_http_body(const struct obs_http_request *request, size_t *ret_size);
struct obs_arena *obs_http_arena(struct obs_http_request *request); /* freed with the request */
int obs_http_status(const struct obs_http_request *request); /* replied status; 499 when the client
                                                              * left before the reply; 0 before */
uint64_t
obs_http_started_ns(const struct obs_http_request *request); /* Unix time, first byte read */
uint64_t obs_http_waited_ns(const struct obs_http_request *request);  /* in the pool's queue */
uint64_t obs_http_elapsed_ns(const struct obs_http_request *request); /* since the first byte */
size_t obs_http_response_size(const struct obs_http_request *request);

/* Space for an observer's own state, zeroed at the request's start. */
#define OBS_HTTP_SLOT_SIZE 1024
void *obs_http_slot(struct obs_http_request *request);

/* ---- replies: handler's thread; bytes are copied unless said otherwise ---- */

void obs_http_reply_header(struct obs_http_request *request, const char *name, const char *value);
void obs_http_reply(struct obs_http_request *request, int status, const char *content_type,
                    const void *body, size_t size);
/* Takes the buffer's bytes; @body is empty afterwards. */
void obs_http_reply_buffer(struct obs_http_request *request, int status, const char *content_type,
                           struct obs_buffer *body);
void obs_http_reply_json(struct obs_http_request *request, int status, const json_t *json);
/* application/problem+json (RFC 9457): {"type":"about:blank","title":…,"status":…,"detail":reason}.
 */
void obs_http_reply_problem(struct obs_http_request *request, int status,
                            const struct obs_reason *reason);
void obs_http_reply_problemf(struct obs_http_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Loop routes: answer later, from the loop's thread. The request stays valid until it is replied
 * to;
 * @gone (may be NULL) runs when the client leaves first, and the reply must still be made. */
void obs_http_request_defer(struct obs_http_request *request, void (*gone)(void *userdata),
                            void *userdata);

/* ---- streams: replies of unknown length, from the loop's thread (server-sent events, log tails)
 * ---- */

enum obs_http_stream_outcome {
    OBS_HTTP_STREAM_OK = 0,
    OBS_HTTP_STREAM_FULL =
        1, /* the client reads too slowly: over 1 MiB waits; nothing was queued */
};
/* Loop routes only, instead of a reply. @gone runs once when the client leaves; then the stream is
 * no more. The stream keeps the request (path, headers) valid. */
struct obs_http_stream *obs_http_stream_begin(struct obs_http_request *request, int status,
                                              const char *content_type,
                                              void (*gone)(void *userdata), void *userdata);
int obs_http_stream_write(struct obs_http_stream *stream, const void *data, size_t size);
void obs_http_stream_end(struct obs_http_stream *stream); /* @gone is not called after this */
