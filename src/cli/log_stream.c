/* Log stream: see log_stream.h. */
#include "cli/log_stream.h"

#include "base/address.h"
#include "base/buffer.h"
#include "base/http1.h"
#include "cli/agent_client.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BYTES_MAX (8 * 1024 * 1024)
#define SEND_MS 5000

struct log_stream {
    int fd;
    bool is_followed, has_head, is_refused;
    size_t scanned;
    struct obs_http1_body body;
    struct obs_buffer raw, text;
};

struct log_stream *log_stream_free(struct log_stream *s)
{
    if (!s)
        return NULL;
    if (s->fd >= 0)
        close(s->fd);
    obs_buffer_done(&s->raw);
    obs_buffer_done(&s->text);
    free(s);
    return NULL;
}

OBS_DEFINE_CLEANUP(struct log_stream *, log_stream_free)

static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&wait, 1, SEND_MS) <= 0)
            return -ETIMEDOUT;
        n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

int log_stream_new(const struct paths *paths, const char *tenant, const char *unit, unsigned lines,
                   bool is_followed, struct log_stream **ret_stream,
                   struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(log_stream_freep) struct log_stream *s = calloc(1, sizeof(*s));
    OBS_CLEANUP(obs_freep) char *token = NULL;
    struct obs_address address;
    char text[PATHS_ROOM], request[4096];
    int r, size;

    if (!s)
        return -ENOMEM;
    s->fd = -1;
    s->is_followed = is_followed;
    s->raw.limit = s->text.limit = BYTES_MAX;
    if (obs_address_parse(agent_address(paths, tenant, text), &address, reterr_reason) != 0)
        return -EINVAL;
    r = agent_token(paths, tenant, &token, reterr_reason);
    if (r < 0)
        return r;
    size = snprintf(request, sizeof(request),
                    "GET /v1/units/%s/logs?lines=%u%s HTTP/1.1\r\nHost: agent\r\n"
                    "Authorization: Bearer %s\r\nConnection: close\r\n\r\n",
                    unit, lines, is_followed ? "&follow=1" : "", token);
    r = obs_address_connect(&address, &s->fd);
    if (r == 0)
        r = send_all(s->fd, request, (size_t)size);
    if (r < 0) {
        obs_reason_set(reterr_reason, "the agent of %s: %s", tenant, strerror(-r));
        return r;
    }
    *ret_stream = OBS_TAKE(s);
    return 0;
}

int log_stream_fd(const struct log_stream *s)
{
    return s->fd;
}

/* Return: 0 (head read), 1 (incomplete), -EPROTO. */
static int read_head(struct log_stream *s, struct obs_reason *reterr_reason)
{
    struct obs_http1_head head;
    int r = obs_http1_parse_response(s->raw.data ? s->raw.data : "", s->raw.size, &s->scanned,
                                     false, &head, reterr_reason);

    if (r == OBS_HTTP1_MORE)
        return 1;
    if (r != OBS_HTTP1_DONE)
        return -EPROTO;
    s->is_refused = head.status != 200;
    obs_http1_body_init(&s->body, &head);
    obs_buffer_consume(&s->raw, head.size);
    s->has_head = true;
    return 0;
}

/* Return: 1 at the end of the body, 0 when more may come, < 0. */
static int decode(struct log_stream *s, struct obs_reason *reterr_reason)
{
    for (;;) {
        struct obs_span_text piece = {0};
        size_t used = 0;
        int r = obs_http1_body_next(&s->body, s->raw.data ? s->raw.data : "", s->raw.size, &used,
                                    &piece, reterr_reason);

        if (r == OBS_HTTP1_BAD)
            return -EPROTO;
        if (piece.size > 0 && obs_buffer_append(&s->text, piece.text, piece.size) < 0)
            return s->text.error;
        obs_buffer_consume(&s->raw, used);
        if (r == OBS_HTTP1_DONE)
            return 1;
        if (used == 0)
            return 0;
    }
}

static void give_lines(struct log_stream *s, log_stream_line_fn *line, void *userdata)
{
    char *start = s->text.data, *end;

    if (!start)
        return;
    while ((end = memchr(start, '\n', s->text.size - (size_t)(start - s->text.data)))) {
        *end = '\0';
        if (!s->is_followed)
            line(start, userdata);
        else if (strncmp(start, "data:", 5) == 0)
            line(start + (start[5] == ' ' ? 6 : 5), userdata);
        start = end + 1;
    }
    obs_buffer_consume(&s->text, (size_t)(start - s->text.data));
}

static int refuse(struct log_stream *s, struct obs_reason *reterr_reason)
{
    OBS_JSON body = NULL;

    (void)obs_json_parse(s->text.data ? s->text.data : "", s->text.size, &body, NULL);
    obs_reason_set(reterr_reason, "%s", agent_refusal(body));
    return -EPROTO;
}

int log_stream_read(struct log_stream *s, log_stream_line_fn *line, void *userdata,
                    struct obs_reason *reterr_reason)
{
    char *space;
    bool is_closed;
    ssize_t n;
    int r = obs_buffer_reserve(&s->raw, 65536, &space);

    if (r < 0)
        return r;
    n = recv(s->fd, space, 65536, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return LOG_STREAM_MORE;
    is_closed = n <= 0;
    if (n > 0)
        obs_buffer_added(&s->raw, (size_t)n);
    r = s->has_head ? 0 : read_head(s, reterr_reason);
    if (r == 0)
        r = decode(s, reterr_reason);
    else if (r == 1)
        r = 0;
    if (r < 0)
        return r;
    if (s->is_refused && (r == 1 || is_closed))
        return refuse(s, reterr_reason);
    if (!s->is_refused)
        give_lines(s, line, userdata);
    return r == 1 || is_closed ? LOG_STREAM_END : LOG_STREAM_MORE;
}
