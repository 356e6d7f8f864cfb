/* HTTP/1.1 bodies: a chunked one is a small state machine that takes bytes in any split. */
#include "base/http1.h"

#define CHUNK_EXTRA_MAX 4096 /* extensions and trailers of one body */

/* Chunk grammar of RFC 9112 section 7.1, one state per place in it. */
enum chunk_state {
    CHUNK_SIZE_FIRST, /* before the first digit of a size */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START, /* at the start of a line after the last chunk */
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_END,
};

void obs_http1_body_init(struct obs_http1_body *body, const struct obs_http1_head *head)
{
    *body = (struct obs_http1_body){.framing = head->framing, .left = head->content_length};
    if (head->framing == OBS_HTTP1_CHUNKED)
        body->left = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int expect_char(struct obs_http1_body *body, char c, char expected, enum chunk_state next)
{
    if (c != expected)
        return OBS_HTTP1_BAD;
    body->state = (int)next;
    return OBS_HTTP1_MORE;
}

static int chunk_size_char(struct obs_http1_body *body, char c)
{
    int digit = hex_digit(c);

    if (digit >= 0) {
        if (body->left > (UINT64_MAX >> 5))
            return OBS_HTTP1_BAD;
        body->left = body->left * 16 + (uint64_t)digit;
        body->state = CHUNK_SIZE;
        return OBS_HTTP1_MORE;
    }
    if (body->state == CHUNK_SIZE_FIRST)
        return OBS_HTTP1_BAD;
    if (c == ';') {
        body->state = CHUNK_EXTENSION;
        return OBS_HTTP1_MORE;
    }
    return expect_char(body, c, '\r', CHUNK_SIZE_LF);
}

/* An extension or a trailer: its text is of no interest, only its end and its size. */
static int skipped_char(struct obs_http1_body *body, char c, enum chunk_state at_cr)
{
    unsigned char byte = (unsigned char)c;

    if (c == '\r') {
        body->state = (int)at_cr;
        return OBS_HTTP1_MORE;
    }
    if ((byte < ' ' && c != '\t') || byte == 0x7f || ++body->extra > CHUNK_EXTRA_MAX)
        return OBS_HTTP1_BAD;
    return OBS_HTTP1_MORE;
}

static int chunk_char(struct obs_http1_body *body, char c)
{
    switch ((enum chunk_state)body->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        return chunk_size_char(body, c);
    case CHUNK_EXTENSION:
        return skipped_char(body, c, CHUNK_SIZE_LF);
    case CHUNK_SIZE_LF:
        return expect_char(body, c, '\n', body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START);
    case CHUNK_DATA_CR:
        return expect_char(body, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return expect_char(body, c, '\n', CHUNK_SIZE_FIRST);
    case CHUNK_TRAILER_START:
        if (c == '\r') {
            body->state = CHUNK_END_LF;
            return OBS_HTTP1_MORE;
        }
        if (!obs_http1_is_token(c))
            return OBS_HTTP1_BAD;
        body->state = CHUNK_TRAILER;
        return OBS_HTTP1_MORE;
    case CHUNK_TRAILER:
        return skipped_char(body, c, CHUNK_TRAILER_LF);
    case CHUNK_TRAILER_LF:
        return expect_char(body, c, '\n', CHUNK_TRAILER_START);
    case CHUNK_END_LF:
        return c == '\n' ? OBS_HTTP1_DONE : OBS_HTTP1_BAD;
    case CHUNK_DATA: /* taken in one piece by next_chunked() */
    case CHUNK_END:
        break;
    }
    return OBS_HTTP1_BAD;
}

static int next_chunked(struct obs_http1_body *body, const char *data, size_t size,
                        size_t *ret_used, struct obs_span_text *ret_piece, struct obs_reason *why)
{
    size_t at = 0;

    while (at < size) {
        int r;

        if (body->state == CHUNK_DATA) {
            size_t take = body->left < size - at ? (size_t)body->left : size - at;

            *ret_piece = (struct obs_span_text){data + at, take};
            *ret_used = at + take;
            body->left -= take;
            if (body->left == 0)
                body->state = CHUNK_DATA_CR;
            return OBS_HTTP1_MORE;
        }
        r = chunk_char(body, data[at++]);
        *ret_used = at;
        if (r == OBS_HTTP1_DONE)
            body->state = CHUNK_END;
        if (r == OBS_HTTP1_BAD)
            obs_reason_set(why, "the chunked body is malformed or its extensions are too long");
        if (r != OBS_HTTP1_MORE)
            return r;
    }
    return OBS_HTTP1_MORE;
}

int obs_http1_body_next(struct obs_http1_body *body, const char *data, size_t size,
                        size_t *ret_used, struct obs_span_text *ret_piece,
                        struct obs_reason *reterr_reason)
{
    *ret_used = 0;
    *ret_piece = (struct obs_span_text){data, 0};
    switch (body->framing) {
    case OBS_HTTP1_NO_BODY:
        return OBS_HTTP1_DONE;
    case OBS_HTTP1_CHUNKED:
        return next_chunked(body, data, size, ret_used, ret_piece, reterr_reason);
    case OBS_HTTP1_UNTIL_CLOSE:
        *ret_used = ret_piece->size = size;
        return OBS_HTTP1_MORE;
    case OBS_HTTP1_LENGTH:
        break;
    }
    *ret_used = ret_piece->size = body->left < size ? (size_t)body->left : size;
    body->left -= *ret_used;
    return body->left == 0 ? OBS_HTTP1_DONE : OBS_HTTP1_MORE;
}
