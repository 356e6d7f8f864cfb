#include "load/response.h"

void response_begin(struct response *r, const struct response_limits *limits, bool was_head,
                    bool keeps_body)
{
    *r = (struct response){
        .was_head = was_head,
        .keeps_body = keeps_body,
        .head = OBS_BUFFER_INIT(limits->head_bytes),
        .body = OBS_BUFFER_INIT(limits->keep_bytes),
    };
}

void response_done(struct response *r)
{
    if (r->head.data)
        obs_buffer_done(&r->head);
    if (r->body.data)
        obs_buffer_done(&r->body);
}

/* A final head has been parsed: remember what the rest needs. */
static void take_head(struct response *r, const struct obs_http1_head *head,
                      response_head_fn *on_head, void *userdata)
{
    r->status = head->status;
    r->keep_alive = head->keep_alive && head->framing != OBS_HTTP1_UNTIL_CLOSE;
    obs_http1_body_init(&r->decoder, head);
    if (on_head)
        on_head(head, userdata);
}

/* Parse heads at data[size] until a final one is complete. Sets *ret_used to the bytes of all
 * complete heads. */
static int parse_heads(struct response *r, struct obs_http1_head *head, const char *data,
                       size_t size, size_t *ret_used, response_head_fn *on_head, void *userdata)
{
    for (;;) {
        int outcome = obs_http1_parse_response(data + *ret_used, size - *ret_used, &r->scanned,
                                               r->was_head, head, NULL);

        if (outcome == OBS_HTTP1_MORE)
            return RESPONSE_MORE;
        if (outcome == OBS_HTTP1_BAD || head->status == 101) /* nobody asked to switch */
            return RESPONSE_BAD;
        *ret_used += head->size;
        r->scanned = 0;
        if (head->status >= 200) {
            take_head(r, head, on_head, userdata);
            return RESPONSE_DONE;
        }
    }
}

/* The head comes in pieces: gather them. */
static int gather_head(struct response *r, struct obs_http1_head *head, const char *data,
                       size_t size, size_t *ret_used, response_head_fn *on_head, void *userdata)
{
    size_t before = r->head.size, room = r->head.limit - before, parsed = 0;
    size_t taken = size < room ? size : room;
    int outcome;

    if (obs_buffer_append(&r->head, data, taken) != 0)
        return RESPONSE_TOO_LARGE;
    outcome = parse_heads(r, head, r->head.data, r->head.size, &parsed, on_head, userdata);
    if (outcome == RESPONSE_MORE && parsed > 0)
        obs_buffer_consume(&r->head, parsed);
    if (outcome == RESPONSE_MORE && r->head.size >= r->head.limit)
        return RESPONSE_TOO_LARGE;
    /* Heads end beyond what earlier calls brought, or those calls would have ended them. */
    *ret_used = outcome == RESPONSE_DONE ? parsed - before : taken;
    if (outcome == RESPONSE_DONE)
        obs_buffer_done(&r->head);
    return outcome;
}

static int read_head(struct response *r, struct obs_http1_head *head, const char *data, size_t size,
                     size_t *ret_used, response_head_fn *on_head, void *userdata)
{
    int outcome;
    size_t rest;

    if (r->head.size > 0)
        return gather_head(r, head, data, size, ret_used, on_head, userdata);
    outcome = parse_heads(r, head, data, size, ret_used, on_head, userdata);
    if (outcome == RESPONSE_DONE)
        return head->size > r->head.limit ? RESPONSE_TOO_LARGE : RESPONSE_DONE;
    if (outcome != RESPONSE_MORE)
        return outcome;
    rest = size - *ret_used;
    if (rest >= r->head.limit || obs_buffer_append(&r->head, data + *ret_used, rest) != 0)
        return RESPONSE_TOO_LARGE;
    *ret_used = size;
    return RESPONSE_MORE;
}

static void keep(struct response *r, struct obs_span_text piece)
{
    size_t room = r->body.limit - r->body.size;

    if (piece.size > room) {
        piece.size = room;
        r->is_cut = true;
    }
    if (piece.size > 0 && obs_buffer_append(&r->body, piece.text, piece.size) != 0)
        r->is_cut = true;
}

static int read_body(struct response *r, const struct response_limits *limits, const char *data,
                     size_t size, size_t *ret_used)
{
    for (;;) {
        struct obs_span_text piece;
        size_t used = 0;
        int outcome = obs_http1_body_next(&r->decoder, data + *ret_used, size - *ret_used, &used,
                                          &piece, NULL);

        if (outcome == OBS_HTTP1_BAD)
            return RESPONSE_BAD;
        *ret_used += used;
        r->body_size += piece.size;
        if (r->body_size > limits->body_bytes)
            return RESPONSE_TOO_LARGE;
        if (r->keeps_body && piece.size > 0)
            keep(r, piece);
        if (outcome == OBS_HTTP1_DONE)
            return RESPONSE_DONE;
        if (used == 0 || *ret_used == size)
            return RESPONSE_MORE;
    }
}

int response_feed(struct response *r, const struct response_limits *limits,
                  struct obs_http1_head *head, const char *data, size_t size, size_t *ret_used,
                  response_head_fn *on_head, void *userdata)
{
    *ret_used = 0;
    r->has_bytes |= size > 0;
    if (r->status == 0) {
        int outcome = read_head(r, head, data, size, ret_used, on_head, userdata);

        if (outcome != RESPONSE_DONE)
            return outcome;
    }
    return read_body(r, limits, data, size, ret_used);
}

int response_close(struct response *r)
{
    return r->status != 0 && r->decoder.framing == OBS_HTTP1_UNTIL_CLOSE ? RESPONSE_DONE
                                                                         : RESPONSE_MORE;
}
