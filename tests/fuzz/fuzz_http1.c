/*
 * The request parser and the chunk decoder must take any bytes, and must not care how the network
 * cut them: the outcome for the input whole and in pieces is the same.
 */
#include "base/http1.h"
#include <stdlib.h>
#include <string.h>

struct result {
    int outcome, status;
    size_t head_size, used, body_size;
    unsigned body_hash;
};

static void decode_body(const struct obs_http1_head *head, const char *data, size_t size,
                        size_t step, struct result *result)
{
    struct obs_http1_body body;
    struct obs_reason why;
    int r = OBS_HTTP1_MORE;

    obs_http1_body_init(&body, head);
    while (r == OBS_HTTP1_MORE && result->used < size) {
        size_t left = size - result->used, take = left < step ? left : step, used;
        struct obs_span_text piece;

        r = obs_http1_body_next(&body, data + result->used, take, &used, &piece, &why);
        result->used += used;
        if (r == OBS_HTTP1_BAD)
            break;
        result->body_size += piece.size;
        for (size_t i = 0; i < piece.size; i++)
            result->body_hash = result->body_hash * 31 + (unsigned char)piece.text[i];
    }
    result->outcome = result->outcome * 8 + r;
}

static struct result parse(const char *data, size_t size, size_t step)
{
    struct obs_http1_head head;
    struct obs_reason why;
    struct result result = {.outcome = OBS_HTTP1_MORE};
    size_t scanned = 0;

    for (size_t have = step; result.outcome == OBS_HTTP1_MORE; have += step) {
        size_t now = have < size ? have : size;

        result.outcome = obs_http1_parse_request(data, now, &scanned, &head, &result.status, &why);
        if (now == size)
            break;
    }
    if (result.outcome == OBS_HTTP1_DONE) {
        result.status = 0;
        result.head_size = head.size;
        decode_body(&head, data + head.size, size - head.size, step, &result);
    }
    if (result.outcome != OBS_HTTP1_BAD)
        result.status = 0;
    return result;
}

static void parse_response(const char *data, size_t size)
{
    struct obs_http1_head head;
    struct obs_reason why;
    size_t scanned = 0;
    struct result result = {0};

    if (obs_http1_parse_response(data, size, &scanned, false, &head, &why) == OBS_HTTP1_DONE)
        decode_body(&head, data + head.size, size - head.size, 7, &result);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
    /* A copy of the exact size, so that reading past it is seen. */
    char *data = malloc(size + 1);
    struct result whole, pieces;

    if (!data)
        return 0;
    memcpy(data, bytes, size);
    data = realloc(data, size ? size : 1);
    whole = parse(data, size, size ? size : 1);
    pieces = parse(data, size, 1);
    if (whole.outcome != pieces.outcome || whole.head_size != pieces.head_size ||
        whole.body_size != pieces.body_size || whole.body_hash != pieces.body_hash)
        abort();
    parse_response(data, size);
    free(data);
    return 0;
}
