#pragma once
/*
 * HTTP/1.1 message syntax (RFC 9112): heads of requests and responses, and the framing of bodies.
 *
 * Strict where leniency lets two readers of one stream disagree (RFC 9112 section 11.2): a bare CR
 * or LF, white space before a colon, obsolete line folding, a NUL anywhere, Content-Length given
 * twice or beside Transfer-Encoding, and any transfer coding but a single `chunked` are refused.
 *
 * The parser copies nothing: spans point into the caller's bytes, which must stay while they are
 * used.
 */
#include "base/reason.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OBS_HTTP1_HEADERS_MAX 64

struct obs_span_text {
    const char *text; /* not NUL-terminated */
    size_t size;
};

struct obs_http1_header {
    struct obs_span_text name, value; /* value without surrounding white space */
};

enum obs_http1_framing {
    OBS_HTTP1_NO_BODY,
    OBS_HTTP1_LENGTH,      /* content_length bytes follow */
    OBS_HTTP1_CHUNKED,     /* chunks follow */
    OBS_HTTP1_UNTIL_CLOSE, /* responses only */
};

struct obs_http1_head {
    struct obs_span_text method, target; /* requests */
    int status;                          /* responses: status code */
    int minor_version;                   /* HTTP/1.x */
    struct obs_http1_header headers[OBS_HTTP1_HEADERS_MAX];
    size_t header_count;
    enum obs_http1_framing framing;
    uint64_t content_length; /* with OBS_HTTP1_LENGTH */
    bool keep_alive;         /* the peer will take another message on this connection */
    bool expect_continue;    /* Expect: 100-continue */
    size_t size;             /* bytes of the head, with the empty line */
};

enum obs_http1_outcome {
    OBS_HTTP1_DONE = 0,
    OBS_HTTP1_MORE = 1, /* syntax fine so far, incomplete */
    OBS_HTTP1_BAD = 2,  /* refused; the connection cannot be used further */
};

/**
 * obs_http1_parse_request() / _response() - parse one head at the start of data[size]
 * @scanned: how far an earlier call that answered MORE has looked (0 at first); updated
 * @reterr_status: requests, on BAD: the status to answer with (400, 414, 431, 501, 505)
 *
 * Return: an enum obs_http1_outcome value.
 */
int obs_http1_parse_request(const char *data, size_t size, size_t *scanned,
                            struct obs_http1_head *ret_head, int *reterr_status,
                            struct obs_reason *reterr_reason);
/* @request_was_head: the response to HEAD has no body whatever its headers say. */
int obs_http1_parse_response(const char *data, size_t size, size_t *scanned, bool request_was_head,
                             struct obs_http1_head *ret_head, struct obs_reason *reterr_reason);

/* First header of that name (lower case given, compared without case), or NULL. */
const struct obs_span_text *obs_http1_find(const struct obs_http1_head *head, const char *name);

/* Body decoder: one per message, after its head. */
struct obs_http1_body {
    enum obs_http1_framing framing;
    uint64_t left;  /* bytes left of the body or of the chunk */
    int state;      /* of the chunk grammar, see http1.c */
    unsigned extra; /* bytes of chunk extensions and trailers seen, bounded */
};

void obs_http1_body_init(struct obs_http1_body *body, const struct obs_http1_head *head);

/**
 * obs_http1_body_next() - take the next piece of the body
 * @data, size: raw bytes received
 * @ret_used: raw bytes consumed by this call
 * @ret_piece: decoded bytes, inside @data; may be empty
 *
 * Call again with the rest while it returns MORE and @ret_used > 0. DONE: the message ends at
 * @ret_used (a piece may come with it). UNTIL_CLOSE never answers DONE.
 */
int obs_http1_body_next(struct obs_http1_body *body, const char *data, size_t size,
                        size_t *ret_used, struct obs_span_text *ret_piece,
                        struct obs_reason *reterr_reason);

bool obs_http1_is_token(char c); /* tchar of RFC 9110 section 5.6.2 */

const char *obs_http1_status_text(int status); /* "Not Found"; "Unknown" for others */
