#pragma once
/*
 * Address: where a server listens or is reached, `unix:PATH` or `tcp:HOST:PORT`.
 *
 * HOST is a numeric address or a name (resolved once, when parsed); IPv6 in brackets. Port 0 asks
 * the kernel for a free one when listening.
 */
#include "base/reason.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct obs_address {
    struct sockaddr_storage socket_address;
    socklen_t size;
    char text[160]; /* as given: "unix:/run/x.sock", "tcp:127.0.0.1:8080" */
};

enum obs_address_outcome {
    OBS_ADDRESS_OK = 0,
    OBS_ADDRESS_REFUSED = 1, /* reason says why: form, length, unknown host, in use, permission */
};

int obs_address_parse(const char *text, struct obs_address *ret_address,
                      struct obs_reason *reterr_reason);

/**
 * obs_address_listen() - bind and listen, non-blocking, close-on-exec
 *
 * A stale unix socket (nobody accepts behind it) is replaced; a live one is refused as in use. New
 * unix sockets get mode 0600 unless @group_access (then 0660). @address->text is updated when port
 * 0 became a real port.
 *
 * Return: 0, OBS_ADDRESS_REFUSED, or < 0.
 */
int obs_address_listen(struct obs_address *address, int backlog, _Bool group_access, int *ret_fd,
                       struct obs_reason *reterr_reason);

/* Begin a non-blocking, close-on-exec connection. Return: 0 (connected or under way), < 0. */
int obs_address_connect(const struct obs_address *address, int *ret_fd);

/* The port of a TCP address, 0 for a unix socket. */
uint16_t obs_address_port(const struct obs_address *address);
