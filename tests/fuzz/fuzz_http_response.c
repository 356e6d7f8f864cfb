/*
 * The load generator's reader of replies: any bytes, in any pieces.
 *
 * The first byte says how large the pieces are, the second whether the request was HEAD. Whatever
 * arrives, memory stays within the limits, and the outcome does not depend on the pieces.
 */
#include "load/response.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct response_limits LIMITS = {
    .head_bytes = 1024, .keep_bytes = 256, .body_bytes = 4096};

static void look_at_head(const struct obs_http1_head *head, void *userdata)
{
    volatile char last = 0;

    for (size_t i = 0; i < head->header_count; i++) {
        const struct obs_http1_header *header = &head->headers[i];

        if (header->name.size > 0)
            last = header->name.text[header->name.size - 1];
        if (header->value.size > 0)
            last = header->value.text[header->value.size - 1];
    }
    (void)last;
    ++*(int *)userdata;
}

static int read_in_pieces(const uint8_t *data, size_t size, size_t piece, bool was_head,
                          struct response *r)
{
    struct obs_http1_head head;
    int outcome = RESPONSE_MORE, heads = 0;

    response_begin(r, &LIMITS, was_head, true);
    for (size_t at = 0; at < size && outcome == RESPONSE_MORE; at += piece) {
        size_t part = size - at < piece ? size - at : piece, used = 0;
        char *copy = malloc(part); /* of its exact size, so that reads beyond it are found */

        if (!copy)
            abort();
        memcpy(copy, data + at, part);
        outcome = response_feed(r, &LIMITS, &head, copy, part, &used, look_at_head, &heads);
        free(copy);
        assert(used <= part);
        assert(r->head.size <= LIMITS.head_bytes && r->body.size <= LIMITS.keep_bytes);
    }
    assert(heads <= 1 && (outcome != RESPONSE_DONE || heads == 1));
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct response pieces, whole;
    bool was_head;
    size_t piece;
    int a, b;

    if (size < 2)
        return 0;
    piece = data[0] % 64 + 1U;
    was_head = data[1] % 8 == 0;
    data += 2;
    size -= 2;
    a = read_in_pieces(data, size, piece, was_head, &pieces);
    b = read_in_pieces(data, size, size ? size : 1, was_head, &whole);
    /* Limits are met earlier or later depending on the pieces; what is good is good either way. */
    if (a != RESPONSE_TOO_LARGE && b != RESPONSE_TOO_LARGE) {
        assert(a == b);
        if (a == RESPONSE_DONE) {
            assert(pieces.status == whole.status && pieces.body.size == whole.body.size);
            assert(pieces.body_size == whole.body_size);
        }
    }
    response_done(&pieces);
    response_done(&whole);
    return 0;
}
