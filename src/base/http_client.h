#pragma once
/*
 * HTTP client: blocking calls with a deadline, for worker threads, over kept connections.
 *
 * One client per upstream address, shared by all threads. An idle connection is checked before it
 * is used again; when the server closed it all the same before the first byte of the reply, the
 * call is made once more on a new connection if its method is idempotent (RFC 9110 section 9.2.2).
 */
#include "base/address.h"
#include "base/buffer.h"
#include "base/http1.h"

struct obs_http_client;

struct obs_http_client_options {
    struct obs_address address;
    char host[128];        /* Host header; "localhost" when empty */
    unsigned idle_max;     /* connections kept open, 0: 32 */
    unsigned idle_ms;      /* closed when unused for so long, 0: 30000 */
    size_t head_bytes_max; /* 0: 16384 */
    size_t body_bytes_max; /* decoded, 0: 8 MiB */
    char headers[512]; /* of every call: whole lines, "Name: value\r\n"; the caller's to check */
};

struct obs_http_call_header {
    const char *name, *value; /* refused (-EINVAL) when they hold CR, LF or NUL */
};

struct obs_http_call {
    const char *method, *target; /* target in origin form, already encoded */
    const struct obs_http_call_header *headers;
    size_t header_count;
    const void
        *body; /* with Content-Length when body_size > 0 or the method is POST, PUT or PATCH */
    size_t body_size;
    const char *content_type; /* NULL for none */
    unsigned timeout_ms;      /* the whole call, 0: 5000 */
};

struct obs_http_reply_data {
    int status;
    struct obs_buffer head, body; /* raw head; decoded body */
    struct obs_http1_head parsed; /* spans into head.data */
};
void obs_http_reply_data_done(struct obs_http_reply_data *reply);
#define OBS_HTTP_REPLY OBS_CLEANUP(obs_http_reply_data_done) struct obs_http_reply_data

int obs_http_client_new(const struct obs_http_client_options *options,
                        struct obs_http_client **ret_client);
struct obs_http_client *obs_http_client_free(struct obs_http_client *client);

/**
 * obs_http_client_call() - one request and its whole reply
 *
 * Any HTTP status is success. Thread-safe. @ret_reply is released by the caller with
 * obs_http_reply_data_done() in any case.
 *
 * Return: 0; -ETIMEDOUT (deadline), -ECONNREFUSED, -ENOENT (no socket there), -ECONNRESET,
 * -EPROTO (not HTTP), -EMSGSIZE (reply over a limit), -EINVAL (bad call), -ENOMEM, other -errno.
 */
int obs_http_client_call(struct obs_http_client *client, const struct obs_http_call *call,
                         struct obs_http_reply_data *ret_reply);

struct obs_http_client_stats {
    uint64_t calls, connects, reused;
    unsigned idle, in_use;
};
void obs_http_client_stats(struct obs_http_client *client, struct obs_http_client_stats *ret_stats);
OBS_DEFINE_CLEANUP(struct obs_http_client *, obs_http_client_free)
