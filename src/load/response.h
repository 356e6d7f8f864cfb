#pragma once
/*
 * Response: one reply, read from whatever pieces it arrives in, in bounded memory.
 *
 * A reply that arrives whole, as nearly all do, is parsed where the socket's bytes already are and
 * nothing is allocated. Syntax is base/http1's; interim (1xx) replies are passed over.
 */
#include "base/buffer.h"
#include "base/http1.h"

struct response_limits {
    size_t head_bytes;   /* head of one reply */
    size_t keep_bytes;   /* body kept for checks; the rest is only counted */
    uint64_t body_bytes; /* body read at all */
};
#define RESPONSE_LIMITS_DEFAULT                                                                    \
    ((struct response_limits){.head_bytes = 16384, .keep_bytes = 1 << 20, .body_bytes = 1ULL << 30})

enum response_outcome {
    RESPONSE_DONE = 0,
    RESPONSE_MORE = 1,
    RESPONSE_BAD = 2,       /* not HTTP; the connection cannot be used further */
    RESPONSE_TOO_LARGE = 3, /* over a limit; likewise */
};

/* Runs once, when the final head is there; @head's spans are good only during the call. */
typedef void response_head_fn(const struct obs_http1_head *head, void *userdata);

struct response {
    int status;      /* 0: no final head yet */
    bool keep_alive; /* the connection takes another request */
    bool has_bytes;  /* anything has arrived */
    bool was_head, keeps_body;
    bool is_cut; /* the body was larger than what is kept */
    uint64_t body_size;
    size_t scanned;
    struct obs_buffer head; /* of an incomplete head */
    struct obs_buffer body; /* kept, when keeps_body */
    struct obs_http1_body decoder;
};

void response_begin(struct response *r, const struct response_limits *limits, bool was_head,
                    bool keeps_body);
/* Gives back the memory; response_begin() again before the next reply. */
void response_done(struct response *r);

/**
 * response_feed() - take the next bytes
 * @head: scratch of the caller
 * @ret_used: how many of them belong to this reply
 * Return: an enum response_outcome value.
 */
int response_feed(struct response *r, const struct response_limits *limits,
                  struct obs_http1_head *head, const char *data, size_t size, size_t *ret_used,
                  response_head_fn *on_head, void *userdata);
/* The peer has closed: RESPONSE_DONE when that ends the body, else RESPONSE_MORE (it is
 * incomplete). */
int response_close(struct response *r);
