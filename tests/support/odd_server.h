#pragma once
/*
 * Odd server: an HTTP server that behaves as the request's path says, well or badly. A thread for
 * each connection; all end with it.
 *
 *   /ok                     200, 12 bytes           /echo      200, the request itself
 *   /status/N               that status             /json      200, {"n": number of the request, …}
 *   /flaky                  503, 503, 200, …: every third request is answered well, per
 * Idempotency-Key /poll/N                 {"state":"busy"} N times for each x-user, then
 * {"state":"done"} /cookie                 sets a cookie `seen`; answers "first" without it,
 * "again" with it /refuse-reuse           answers, then closes without saying so before the next
 * request is answered /reset                  RST instead of a reply  /close     end of the
 * connection instead /half                   half of a body          /garbage   bytes that are no
 * HTTP /double-length          two Content-Lengths     /trickle   one byte each 50 ms, without end
 *   /huge                   a body without end      /huge-head a head without end
 *   /silent                 nothing                 /close-delimited  HTTP/1.0, body until the end
 *   /chunked                chunks                  /slow/MS   200 after MS milliseconds
 */
#include "base/cleanup.h"
#include <stdint.h>

struct odd_server;

/* On a free port of loopback; or on the unix socket @path. */
int odd_server_start(const char *path, struct odd_server **ret_server);
struct odd_server *odd_server_free(struct odd_server *server);
const char *
odd_server_url(const struct odd_server *server); /* "http://127.0.0.1:PORT" or "unix:PATH" */
uint64_t odd_server_requests(const struct odd_server *server);
uint64_t odd_server_connections(const struct odd_server *server);
/* Copy of the newest request's head. */
void odd_server_last(struct odd_server *server, char *out, size_t size);
OBS_DEFINE_CLEANUP(struct odd_server *, odd_server_free)
