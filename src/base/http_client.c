/*
 * HTTP client: one call at a time per connection, idle connections on a stack.
 *
 * The most recently used connection is taken first, so that a quiet client ends up with few. A kept
 * connection is looked at (MSG_PEEK) before use: a server that closed it while idle is noticed
 * without losing the call.
 */
#include "base/http_client.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define CALL_HEAD_MAX 16384
#define INTERIM_MAX 8 /* 1xx responses before the real one */

struct kept {
    int fd;
    uint64_t since_ns; /* monotonic */
};

struct obs_http_client {
    struct obs_http_client_options options;
    pthread_mutex_t mutex;
    struct kept *idle; /* options.idle_max entries; stats.idle in use */
    struct obs_http_client_stats stats;
};

/* One call under way. */
struct exchange {
    struct obs_http_client *client;
    const struct obs_http_call *call;
    struct obs_http_reply_data *reply;
    uint64_t deadline_ns;
    int fd;
    bool is_reused, has_reply_begun, is_head;
    bool may_keep;
};

int obs_http_client_new(const struct obs_http_client_options *options,
                        struct obs_http_client **ret_client)
{
    struct obs_http_client *client = calloc(1, sizeof(*client));

    if (!client)
        return -ENOMEM;
    client->options = *options;
    if (client->options.host[0] == '\0')
        strcpy(client->options.host, "localhost");
    if (client->options.idle_max == 0)
        client->options.idle_max = 32;
    if (client->options.idle_ms == 0)
        client->options.idle_ms = 30000;
    if (client->options.head_bytes_max == 0)
        client->options.head_bytes_max = 16384;
    if (client->options.body_bytes_max == 0)
        client->options.body_bytes_max = 8 * 1024 * 1024;
    client->idle = calloc(client->options.idle_max, sizeof(*client->idle));
    if (!client->idle) {
        free(client);
        return -ENOMEM;
    }
    pthread_mutex_init(&client->mutex, NULL);
    *ret_client = client;
    return 0;
}

struct obs_http_client *obs_http_client_free(struct obs_http_client *client)
{
    if (!client)
        return NULL;
    for (unsigned i = 0; i < client->stats.idle; i++)
        close(client->idle[i].fd);
    pthread_mutex_destroy(&client->mutex);
    free(client->idle);
    free(client);
    return NULL;
}

void obs_http_reply_data_done(struct obs_http_reply_data *reply)
{
    obs_buffer_done(&reply->head);
    obs_buffer_done(&reply->body);
}

void obs_http_client_stats(struct obs_http_client *client, struct obs_http_client_stats *ret_stats)
{
    pthread_mutex_lock(&client->mutex);
    *ret_stats = client->stats;
    pthread_mutex_unlock(&client->mutex);
}

/* ---- connections ---- */

/* Close what has been idle for too long; the oldest are at the bottom. With the mutex held. */
static void drop_stale(struct obs_http_client *client, uint64_t now)
{
    unsigned stale = 0;

    while (stale < client->stats.idle &&
           now - client->idle[stale].since_ns > client->options.idle_ms * OBS_NS_PER_MS)
        close(client->idle[stale++].fd);
    client->stats.idle -= stale;
    memmove(client->idle, client->idle + stale, client->stats.idle * sizeof(*client->idle));
}

/* Nothing may be readable on an idle connection: neither an end nor an answer nobody asked for. */
static bool is_usable(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int take_idle(struct obs_http_client *client)
{
    int fd = -1;

    pthread_mutex_lock(&client->mutex);
    client->stats.calls++;
    client->stats.in_use++;
    drop_stale(client, obs_mono_ns());
    while (fd < 0 && client->stats.idle > 0) {
        fd = client->idle[--client->stats.idle].fd;
        if (!is_usable(fd)) {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0)
        client->stats.reused++;
    pthread_mutex_unlock(&client->mutex);
    return fd;
}

static void give_back(struct exchange *x)
{
    struct obs_http_client *client = x->client;

    pthread_mutex_lock(&client->mutex);
    client->stats.in_use--;
    if (x->fd >= 0 && x->may_keep && client->stats.idle < client->options.idle_max)
        client->idle[client->stats.idle++] = (struct kept){OBS_TAKE_FD(x->fd), obs_mono_ns()};
    pthread_mutex_unlock(&client->mutex);
    obs_closep(&x->fd);
    x->fd = -1;
}

/* Wait for @events until the deadline. Return: 0, -ETIMEDOUT, -errno. */
static int wait_for(struct exchange *x, short events)
{
    for (;;) {
        struct pollfd wanted = {.fd = x->fd, .events = events};
        uint64_t now = obs_mono_ns();
        uint64_t left = x->deadline_ns > now ? x->deadline_ns - now : 0;
        struct timespec timeout = {.tv_sec = (time_t)(left / OBS_NS_PER_SECOND),
                                   .tv_nsec = (long)(left % OBS_NS_PER_SECOND)};
        int n = left > 0 ? ppoll(&wanted, 1, &timeout, NULL) : 0;

        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int open_connection(struct exchange *x)
{
    int error = 0;
    socklen_t size = sizeof(error);
    int r = obs_address_connect(&x->client->options.address, &x->fd);

    if (r < 0)
        return r;
    pthread_mutex_lock(&x->client->mutex);
    x->client->stats.connects++;
    pthread_mutex_unlock(&x->client->mutex);
    r = wait_for(x, POLLOUT);
    if (r < 0)
        return r;
    if (getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return -error;
}

/* ---- sending ---- */

static bool is_clean(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

static bool has_body(const struct obs_http_call *call)
{
    return call->body_size > 0 || strcmp(call->method, "POST") == 0 ||
           strcmp(call->method, "PUT") == 0 || strcmp(call->method, "PATCH") == 0;
}

static int write_head(const struct exchange *x, struct obs_buffer *head)
{
    const struct obs_http_call *call = x->call;

    if (strpbrk(call->method, " \r\n") || call->target[0] != '/' || strpbrk(call->target, " \r\n"))
        return -EINVAL;
    obs_buffer_printf(head, "%s %s HTTP/1.1\r\nHost: %s\r\n", call->method, call->target,
                      x->client->options.host);
    obs_buffer_append_text(head, x->client->options.headers);
    for (size_t i = 0; i < call->header_count; i++) {
        const struct obs_http_call_header *header = &call->headers[i];

        if (!is_clean(header->name) || !is_clean(header->value))
            return -EINVAL;
        obs_buffer_printf(head, "%s: %s\r\n", header->name, header->value);
    }
    if (call->content_type) {
        if (!is_clean(call->content_type))
            return -EINVAL;
        obs_buffer_printf(head, "Content-Type: %s\r\n", call->content_type);
    }
    if (has_body(call))
        obs_buffer_printf(head, "Content-Length: %zu\r\n", call->body_size);
    return obs_buffer_append(head, "\r\n", 2) < 0 ? -EINVAL : 0;
}

static int send_all(struct exchange *x, const struct obs_buffer *head)
{
    const char *body = x->call->body_size > 0 ? x->call->body : "";
    size_t total = head->size + x->call->body_size, sent = 0;

    while (sent < total) {
        size_t head_left = sent < head->size ? head->size - sent : 0;
        size_t body_at = sent > head->size ? sent - head->size : 0;
        struct iovec pieces[2] = {
            {head->data + head->size - head_left, head_left},
            {(char *)body + body_at, x->call->body_size - body_at},
        };
        struct msghdr message = {.msg_iov = head_left > 0 ? pieces : pieces + 1,
                                 .msg_iovlen = head_left > 0 ? 2 : 1};
        ssize_t n = sendmsg(x->fd, &message, MSG_NOSIGNAL);
        int r = 0;

        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            r = wait_for(x, POLLOUT);
        else if (errno != EINTR)
            r = errno == EPIPE ? -ECONNRESET : -errno;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- receiving ---- */

/* Add what has arrived to @b. Return: bytes (0: the peer has ended), -ETIMEDOUT, -errno. */
static ssize_t receive(struct exchange *x, struct obs_buffer *b)
{
    for (;;) {
        char *space = NULL;
        ssize_t n;
        int r = obs_buffer_reserve(b, 4096, &space);

        if (r < 0)
            return r;
        n = recv(x->fd, space, 4096, 0);
        if (n >= 0) {
            obs_buffer_added(b, (size_t)n);
            x->has_reply_begun |= n > 0;
            return n;
        }
        r = errno == EAGAIN ? wait_for(x, POLLIN) : errno == EINTR ? 0 : -errno;
        if (r < 0)
            return r;
    }
}

/* Read into reply->head until a final head is there; what follows it goes to @rest. */
static int receive_head(struct exchange *x, struct obs_buffer *rest)
{
    struct obs_buffer *head = &x->reply->head;
    size_t scanned = 0;

    for (unsigned interim = 0; interim <= INTERIM_MAX;) {
        int r = head->size == 0 ? OBS_HTTP1_MORE
                                : obs_http1_parse_response(head->data, head->size, &scanned,
                                                           x->is_head, &x->reply->parsed, NULL);

        if (r == OBS_HTTP1_BAD)
            return -EPROTO;
        if (r == OBS_HTTP1_DONE && x->reply->parsed.status >= 200) {
            size_t size = x->reply->parsed.size;

            x->reply->status = x->reply->parsed.status;
            return obs_buffer_append(rest, head->data + size, head->size - size);
        }
        if (r == OBS_HTTP1_DONE) {
            obs_buffer_consume(head, x->reply->parsed.size);
            scanned = 0;
            interim++;
            continue;
        }
        if (head->size >= x->client->options.head_bytes_max)
            return -EMSGSIZE;
        ssize_t n = receive(x, head);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return x->has_reply_begun ? -EPROTO : -ECONNRESET;
    }
    return -EPROTO;
}

/* Decode @raw into the reply's body; @raw keeps what is not used yet. Return: obs_http1_outcome, <
 * 0. */
static int decode(struct exchange *x, struct obs_http1_body *body, struct obs_buffer *raw)
{
    const char *bytes = raw->size > 0 ? raw->data : "";
    size_t at = 0;
    int r = OBS_HTTP1_MORE;

    while (r == OBS_HTTP1_MORE && (at < raw->size || body->framing == OBS_HTTP1_NO_BODY)) {
        struct obs_span_text piece;
        size_t used;

        r = obs_http1_body_next(body, bytes + at, raw->size - at, &used, &piece, NULL);
        at += used;
        if (r == OBS_HTTP1_BAD)
            return -EPROTO;
        if (piece.size > 0 && obs_buffer_append(&x->reply->body, piece.text, piece.size) < 0)
            return x->reply->body.error;
    }
    obs_buffer_consume(raw, at);
    return r;
}

static int receive_body(struct exchange *x, struct obs_buffer *raw)
{
    struct obs_http1_body body;

    obs_http1_body_init(&body, &x->reply->parsed);
    if (body.framing == OBS_HTTP1_LENGTH && body.left == 0)
        body.framing = OBS_HTTP1_NO_BODY;
    for (;;) {
        int r = decode(x, &body, raw);
        ssize_t n;

        if (r < 0)
            return r;
        if (r == OBS_HTTP1_DONE) {
            x->may_keep = x->reply->parsed.keep_alive && raw->size == 0;
            return 0;
        }
        n = receive(x, raw);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return body.framing == OBS_HTTP1_UNTIL_CLOSE ? 0 : -EPROTO;
    }
}

static int run_once(struct exchange *x, const struct obs_buffer *head)
{
    struct obs_buffer rest = OBS_BUFFER_INIT(x->client->options.head_bytes_max + 65536);
    int r = x->fd < 0 ? open_connection(x) : 0;

    if (r == 0)
        r = send_all(x, head);
    /* A server may answer early and close: its answer is worth more than our broken pipe. */
    if (r == 0 || r == -ECONNRESET) {
        int sent = r;

        r = receive_head(x, &rest);
        if (r < 0 && sent < 0)
            r = sent;
    }
    if (r == 0)
        r = receive_body(x, &rest);
    obs_buffer_done(&rest);
    return r;
}

static bool is_idempotent(const char *method)
{
    return strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0;
}

static void forget_reply(struct exchange *x)
{
    obs_buffer_clear(&x->reply->head);
    obs_buffer_clear(&x->reply->body);
    x->reply->status = 0;
}

int obs_http_client_call(struct obs_http_client *client, const struct obs_http_call *call,
                         struct obs_http_reply_data *ret_reply)
{
    struct obs_buffer head = OBS_BUFFER_INIT(CALL_HEAD_MAX);
    unsigned timeout_ms = call->timeout_ms > 0 ? call->timeout_ms : 5000;
    struct exchange x = {.client = client,
                         .call = call,
                         .reply = ret_reply,
                         .deadline_ns = obs_mono_ns() + timeout_ms * OBS_NS_PER_MS,
                         .fd = -1,
                         .is_head = strcmp(call->method, "HEAD") == 0};
    int r;

    *ret_reply =
        (struct obs_http_reply_data){.head = OBS_BUFFER_INIT(client->options.head_bytes_max + 4096),
                                     .body = OBS_BUFFER_INIT(client->options.body_bytes_max)};
    r = write_head(&x, &head);
    if (r == 0) {
        x.fd = take_idle(client);
        x.is_reused = x.fd >= 0;
        r = run_once(&x, &head);
        if (r == -ECONNRESET && x.is_reused && !x.has_reply_begun && is_idempotent(call->method)) {
            obs_closep(&x.fd);
            x.fd = -1;
            forget_reply(&x);
            r = run_once(&x, &head);
        }
        x.may_keep &= r == 0;
        give_back(&x);
    }
    obs_buffer_done(&head);
    return r;
}
