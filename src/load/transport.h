#pragma once
/*
 * Transport: one non-blocking connection to the target, plain or TLS.
 *
 * What it waits for is told by transport_wants(): a TLS read may need to write and the other way
 * round. The caller owns the readiness (epoll).
 */
#include "load/target.h"
#include <stddef.h>
#include <sys/types.h>

struct transport {
    int fd;           /* -1: closed */
    bool is_open;     /* requests may be sent */
    bool has_socket;  /* the socket is connected; TLS may still shake hands */
    bool wants_write; /* TLS: what blocks is writing */
    SSL *tls;
};

/* All return 0 or more when they did something, -EAGAIN when they must wait, else the failure as
 * -errno; -EPROTO for TLS failures. */
int transport_connect(struct transport *t, const struct target *target);
int transport_continue(struct transport *t, const struct target *target); /* 0: is_open now */
ssize_t transport_read(struct transport *t, char *data, size_t size); /* 0: closed by the peer */
ssize_t transport_write(struct transport *t, const char *data, size_t size);
void transport_close(struct transport *t); /* fine when closed */
