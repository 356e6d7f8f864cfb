/*
 * HTTP connections: the state machine between a socket and its requests (states: http_internal.h).
 *
 * Bytes are read into the server's scratch space and parsed there; only what cannot be used yet is
 * copied to the connection, so an idle connection holds no buffer. While a request is in work the
 * reading goes on, bounded, so that a client that leaves is noticed and pipelined requests wait
 * here.
 */
#include "base/http_internal.h"

#include "base/clock.h"
#include "base/text.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define LINGER_MS 1000

enum step { STEP_GO_ON, STEP_WAIT };

static void on_readable(evutil_socket_t fd, short what, void *userdata);
static void on_writable(evutil_socket_t fd, short what, void *userdata);

static void set_state(struct connection *c, enum connection_state state, unsigned timeout_ms)
{
    c->state = state;
    c->deadline = timeout_ms > 0 ? obs_mono_ns() + timeout_ms * OBS_NS_PER_MS : 0;
}

static size_t in_limit(const struct connection *c)
{
    return c->server->options.limits.head_bytes + sizeof(c->server->scratch);
}

int connection_new(struct obs_http_server *server, int fd)
{
    struct connection *c = calloc(1, sizeof(*c));
    int on = 1;

    if (!c)
        return -ENOMEM;
    c->server = server;
    c->fd = fd;
    c->in = OBS_BUFFER_INIT(in_limit(c));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on unix sockets: fine */
    event_assign(&c->on_readable, server->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->on_writable, server->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (event_add(&c->on_readable, NULL) < 0) {
        free(c);
        return -ENOMEM;
    }
    set_state(c, CONNECTION_IDLE, server->options.limits.idle_timeout_ms);
    c->next = server->connections;
    if (c->next)
        c->next->previous = c;
    server->connections = c;
    return 0;
}

void connection_close(struct connection *c)
{
    if (c->is_in_input) { /* connection_input() closes when it is done with us */
        c->is_broken = c->close_after = true;
        return;
    }
    event_del(&c->on_readable);
    event_del(&c->on_writable);
    close(c->fd);
    if (c->request)
        request_free(c->request);
    obs_buffer_done(&c->in);
    server_closed(c->server, c);
    free(c);
}

/* ---- writing ---- */

static void stop_writing(struct connection *c)
{
    if (c->is_writing)
        event_del(&c->on_writable);
    c->is_writing = false;
}

/* The request is over, its reply written or lost. False: so is the connection, and @c is gone. */
static bool end_request(struct connection *c)
{
    struct obs_http_request *request = c->request;
    bool keep = request->keep_alive && !c->is_broken && !c->close_after;

    if (c->server->options.observer)
        request_observe(request, c->server->options.observer->end);
    c->request = NULL;
    request_free(request);
    stop_writing(c);
    if (keep && !(c->is_ended && c->in.size == 0)) {
        set_state(c, CONNECTION_IDLE, c->server->options.limits.idle_timeout_ms);
        return true;
    }
    if (c->is_broken || c->is_ended || shutdown(c->fd, SHUT_WR) < 0) {
        set_state(c, CONNECTION_LINGER, 0);
        connection_close(c);
        return false;
    }
    /* Reading on for a moment keeps the kernel from resetting a reply the peer has not read yet. */
    set_state(c, CONNECTION_LINGER, LINGER_MS);
    if (!c->is_in_input)
        obs_buffer_done(&c->in);
    event_add(&c->on_readable, NULL);
    return true;
}

static bool is_stream_reply(const struct obs_http_request *request)
{
    return request->stream.request != NULL;
}

/* What is left to write, as at most two pieces. */
static int pieces(struct obs_http_request *request, struct iovec out[2])
{
    struct obs_buffer *parts[2] = {&request->reply_head, is_stream_reply(request)
                                                             ? &request->stream.out
                                                             : &request->reply_body};
    size_t skip = request->written;
    int count = 0;

    for (int i = 0; i < 2; i++) {
        size_t size = parts[i]->size;

        if (skip < size) {
            out[count++] = (struct iovec){parts[i]->data + skip, size - skip};
            skip = 0;
        } else {
            skip -= size;
        }
    }
    return count;
}

/* Count @sent bytes; those of a stream's body are dropped so that its buffer stays small. */
static void account(struct obs_http_request *request, size_t sent)
{
    size_t head_left = 0;

    request->written += sent;
    if (!is_stream_reply(request))
        return;
    if (request->written > request->reply_head.size) {
        head_left = request->written - request->reply_head.size;
        obs_buffer_consume(&request->stream.out, head_left);
        request->written = request->reply_head.size;
    }
}

enum sent { SENT_ALL, SENT_SOME, SENT_BROKEN };

static enum sent send_reply(struct connection *c)
{
    struct iovec out[2];
    struct msghdr message = {.msg_iov = out};

    for (;;) {
        ssize_t n;

        message.msg_iovlen = (size_t)pieces(c->request, out);
        if (message.msg_iovlen == 0)
            return SENT_ALL;
        n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n >= 0)
            account(c->request, (size_t)n);
        else if (errno == EAGAIN)
            return SENT_SOME;
        else if (errno != EINTR)
            return SENT_BROKEN;
    }
}

static void wait_writable(struct connection *c)
{
    c->deadline = obs_mono_ns() + c->server->options.limits.write_timeout_ms * OBS_NS_PER_MS;
    if (!c->is_writing)
        event_add(&c->on_writable, NULL);
    c->is_writing = true;
}

static void input_pending(struct connection *c);
static void connection_gone(struct connection *c);

void connection_flush(struct connection *c)
{
    struct obs_http_request *request = c->request;
    bool is_stream = c->state == CONNECTION_STREAM;

    if (is_stream && !request->has_handler_returned)
        return; /* the handler's caller flushes */
    switch (c->is_broken ? SENT_BROKEN : send_reply(c)) {
    case SENT_SOME:
        wait_writable(c);
        return;
    case SENT_BROKEN:
        c->is_broken = true;
        if (is_stream && !request->stream.has_ended) {
            /* The writer is on the stack above us: tell it from the loop. */
            event_active(&c->on_readable, EV_READ, 0);
            return;
        }
        request->is_client_gone = true;
        break;
    case SENT_ALL:
        stop_writing(c);
        c->deadline = 0;
        if (is_stream && !request->stream.has_ended)
            return;
        break;
    }
    if (end_request(c))
        input_pending(c);
}

static void on_writable(evutil_socket_t fd, short what, void *userdata)
{
    connection_flush(userdata);
}

void connection_finish(struct obs_http_request *request)
{
    struct connection *c = request->connection;

    set_state(c, CONNECTION_REPLY, 0);
    connection_flush(c);
}

void connection_stream_start(struct connection *c)
{
    set_state(c, CONNECTION_STREAM, 0);
}

/* ---- from request to reply ---- */

static void run_handler(struct obs_http_request *request)
{
    const struct obs_http_server_options *options = &request->server->options;

    if (options->observer)
        request_observe(request, options->observer->enter);
    request->route->handler(request, options->userdata);
    if (options->observer)
        request_observe(request, options->observer->leave);
    if (!request->is_replied && !request->is_deferred)
        obs_http_reply_problemf(request, 500, "the handler of %s made no reply",
                                request->route->pattern);
    request->has_handler_returned = true;
}

static void run_on_worker(void *userdata)
{
    struct obs_http_request *request = userdata;
    struct obs_http_server *server = request->server;
    bool was_empty;

    request->waited_ns = obs_mono_ns() - request->queued_mono_ns;
    run_handler(request);
    request->next = NULL;
    pthread_mutex_lock(&server->done_mutex);
    was_empty = server->done == NULL;
    *server->done_tail = request;
    server->done_tail = &request->next;
    pthread_mutex_unlock(&server->done_mutex);
    if (was_empty) {
        ssize_t n = write(server->done_fd, &(uint64_t){1}, sizeof(uint64_t));

        (void)n; /* fails only when the counter is full: then the loop has been told already */
    }
}

static void run_on_loop(struct obs_http_request *request)
{
    struct connection *c = request->connection;

    run_handler(request);
    if (c->state == CONNECTION_STREAM)
        connection_flush(c);
    else if (request->is_replied)
        connection_finish(request);
}

static void reply_no_route(struct obs_http_request *request)
{
    char allow[128];

    if (route_methods(&request->server->options, request->path, allow, sizeof(allow))) {
        obs_http_reply_header(request, "Allow", allow);
        obs_http_reply_problemf(request, 405, "%s does not take %s: use %s", request->path,
                                request->method, allow);
    } else {
        obs_http_reply_problemf(request, 404, "nothing is at %s", request->path);
    }
    connection_finish(request);
}

static void dispatch(struct connection *c)
{
    struct obs_http_request *request = c->request;
    const struct obs_http_server_options *options = &c->server->options;

    set_state(c, CONNECTION_WORK, 0);
    c->server->stats.requests++;
    request->route = route_find(options, request->method, request->path);
    if (options->observer)
        request_observe(request, options->observer->begin);
    if (!request->route) {
        reply_no_route(request);
        return;
    }
    if (request->route->where == OBS_HTTP_ON_LOOP) {
        run_on_loop(request);
        return;
    }
    request->queued_mono_ns = obs_mono_ns();
    if (obs_worker_pool_submit(options->pool, run_on_worker, request) == OBS_WORKER_POOL_FULL) {
        obs_http_reply_header(request, "Retry-After", "1");
        obs_http_reply_problemf(request, 503, "all workers are busy and the queue is full");
        connection_finish(request);
    }
}

/* Answer what is not a request we can take, and close: its end cannot be known. */
static void refuse(struct connection *c, int status, const struct obs_reason *why)
{
    c->server->stats.malformed++;
    c->close_after = true;
    if (!c->request)
        c->request = request_new(c, NULL, NULL);
    if (!c->request) {
        connection_close(c);
        return;
    }
    c->request->keep_alive = false;
    set_state(c, CONNECTION_WORK, 0);
    if (c->server->options.observer)
        request_observe(c->request, c->server->options.observer->begin);
    obs_http_reply_problem(c->request, status, why);
    connection_finish(c->request);
}

static void refusef(struct connection *c, int status, const char *format, size_t number)
{
    struct obs_reason why = {0};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    obs_reason_set(&why, format, number);
#pragma GCC diagnostic pop
    refuse(c, status, &why);
}

/* ---- reading ---- */

static bool has_good_escapes(struct obs_span_text target)
{
    for (size_t i = 0; i < target.size; i++) {
        uint8_t byte;
        char digits[2];

        if (target.text[i] != '%')
            continue;
        if (target.size - i < 3)
            return false;
        digits[0] = (char)(target.text[i + 1] | 0x20); /* to lower case; leaves digits alone */
        digits[1] = (char)(target.text[i + 2] | 0x20);
        if (obs_text_unhex(digits, 2, &byte, 1) != OBS_TEXT_OK || byte == 0)
            return false;
        i += 2;
    }
    return true;
}

/* The head is good: is its request? Sets up the body. */
static void begin_request(struct connection *c, const struct obs_http1_head *head, const char *data,
                          bool is_body_here)
{
    struct obs_http_request *request;
    size_t path_size = 0;
    size_t limit = c->server->options.limits.body_bytes;

    if (!has_good_escapes(head->target)) {
        refusef(c, 400, "the request target holds a bad percent-escape", 0);
        return;
    }
    request = c->request = request_new(c, head, data);
    if (!request) {
        connection_close(c);
        return;
    }
    obs_text_percent_decode(request->target, strcspn(request->target, "?"), false, request->path,
                            head->target.size + 1, &path_size);
    if (head->framing == OBS_HTTP1_LENGTH && head->content_length > limit) {
        refusef(c, 413, "the body is over the limit of %zu bytes", limit);
        return;
    }
    obs_http1_body_init(&c->body, head);
    if (head->framing == OBS_HTTP1_NO_BODY ||
        (head->framing == OBS_HTTP1_LENGTH && head->content_length == 0)) {
        dispatch(c);
        return;
    }
    set_state(c, CONNECTION_BODY, c->server->options.limits.body_timeout_ms);
    if (head->expect_continue && !is_body_here)
        send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
}

static enum step feed_head(struct connection *c, const char *data, size_t size, size_t *ret_used)
{
    struct obs_http1_head *head = &c->server->scratch_head;
    size_t limit = c->server->options.limits.head_bytes;
    struct obs_reason why = {0};
    int status = 400, r;

    if (c->state == CONNECTION_IDLE) {
        c->started_ns = obs_time_ns();
        c->started_mono_ns = obs_mono_ns();
        c->scanned = 0;
        c->state = CONNECTION_HEAD;
        c->deadline =
            c->started_mono_ns + c->server->options.limits.head_timeout_ms * OBS_NS_PER_MS;
    }
    r = obs_http1_parse_request(data, size, &c->scanned, head, &status, &why);
    if (r == OBS_HTTP1_BAD) {
        refuse(c, status, &why);
    } else if ((r == OBS_HTTP1_DONE ? head->size : size) > limit) {
        if (c->scanned <= 2) /* not even the request line has ended */
            refusef(c, 414, "the request line is over the limit of %zu bytes", limit);
        else
            refusef(c, 431, "the request head is over the limit of %zu bytes", limit);
    } else if (r == OBS_HTTP1_MORE) {
        return STEP_WAIT;
    } else {
        *ret_used = head->size;
        begin_request(c, head, data, size > head->size);
    }
    return STEP_GO_ON;
}

static enum step feed_body(struct connection *c, const char *data, size_t size, size_t *ret_used)
{
    struct obs_span_text piece;
    struct obs_reason why = {0};
    int r = obs_http1_body_next(&c->body, data, size, ret_used, &piece, &why);

    if (r == OBS_HTTP1_BAD) {
        refuse(c, 400, &why);
        return STEP_GO_ON;
    }
    if (piece.size > 0 && obs_buffer_append(&c->request->body, piece.text, piece.size) < 0) {
        refusef(c, 413, "the body is over the limit of %zu bytes",
                c->server->options.limits.body_bytes);
        return STEP_GO_ON;
    }
    if (r == OBS_HTTP1_DONE)
        dispatch(c);
    return r == OBS_HTTP1_MORE && *ret_used == 0 ? STEP_WAIT : STEP_GO_ON;
}

/* Use as much of the bytes as the connection's state allows. Return: bytes used. */
static size_t feed(struct connection *c, const char *data, size_t size)
{
    size_t used = 0;

    while (used < size && c->state <= CONNECTION_BODY && !c->close_after) {
        size_t n = 0;
        enum step step = c->state == CONNECTION_BODY ? feed_body(c, data + used, size - used, &n)
                                                     : feed_head(c, data + used, size - used, &n);

        used += n;
        if (step == STEP_WAIT)
            break;
    }
    return used;
}

/* New bytes (may be none: then what waits in `in` is looked at again). */
static void connection_input(struct connection *c, const char *data, size_t size)
{
    size_t used;

    c->is_in_input = true;
    if (c->in.size > 0) {
        obs_buffer_append(&c->in, data, size); /* fits: see on_readable() */
        used = feed(c, c->in.data, c->in.size);
        obs_buffer_consume(&c->in, used);
    } else {
        used = feed(c, data, size);
        if (used < size)
            obs_buffer_append(&c->in, data + used, size - used);
    }
    c->is_in_input = false;
    if (c->state == CONNECTION_LINGER) {
        obs_buffer_done(&c->in);
        if (c->is_broken || c->is_ended)
            connection_close(c);
        return;
    }
    if (c->is_broken && !c->request) {
        connection_close(c);
        return;
    }
    if (c->in.size == 0 && c->in.capacity > 0)
        obs_buffer_done(&c->in);
}

/* A request has ended outside connection_input(): go on with what waits. */
static void input_pending(struct connection *c)
{
    if (c->is_in_input || c->state != CONNECTION_IDLE)
        return;
    if (!c->is_ended)
        event_add(&c->on_readable, NULL); /* it may have been paused; no cost when it was not */
    if (c->in.size > 0)
        connection_input(c, NULL, 0);
}

/* Nobody will read what we write. */
static void connection_gone(struct connection *c)
{
    struct obs_http_request *request = c->request;

    c->is_broken = true;
    event_del(&c->on_readable);
    switch (c->state) {
    case CONNECTION_WORK:
        request->is_client_gone = true;
        if (request->is_deferred && request->gone)
            request->gone(request->gone_userdata);
        return; /* the reply still comes */
    case CONNECTION_STREAM:
        request->is_client_gone = true;
        if (request->stream.gone)
            request->stream.gone(request->stream.userdata);
        end_request(c);
        return;
    case CONNECTION_REPLY:
        request->is_client_gone = true;
        end_request(c);
        return;
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        c->server->stats.malformed++;
        break;
    case CONNECTION_IDLE:
    case CONNECTION_LINGER:
        break;
    }
    connection_close(c);
}

/* The peer has said all it will; it may still wait for its reply. */
static void connection_ended(struct connection *c)
{
    bool waits_for_reply =
        c->state == CONNECTION_REPLY || (c->state == CONNECTION_WORK && !c->request->is_deferred);

    c->is_ended = true;
    if (waits_for_reply)
        event_del(&c->on_readable);
    else
        connection_gone(c);
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
    struct connection *c = userdata;
    struct obs_http_server *server = c->server;
    size_t room = sizeof(server->scratch);
    ssize_t n;

    if (c->is_broken) {
        connection_gone(c);
        return;
    }
    if (c->state != CONNECTION_LINGER && c->in.size > 0) {
        size_t left = c->in.limit - c->in.size;

        if (left == 0) { /* only while a request is in work: heads are bounded below this */
            event_del(&c->on_readable);
            return;
        }
        room = room < left ? room : left;
    }
    n = recv(fd, server->scratch, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        connection_gone(c);
    else if (n == 0)
        connection_ended(c);
    else if (c->state != CONNECTION_LINGER)
        connection_input(c, server->scratch, (size_t)n);
}

void connection_expire(struct connection *c)
{
    switch (c->state) {
    case CONNECTION_HEAD:
        refusef(c, 408, "the request head did not arrive within %zu ms",
                c->server->options.limits.head_timeout_ms);
        break;
    case CONNECTION_BODY:
        refusef(c, 408, "the request body did not arrive within %zu ms",
                c->server->options.limits.body_timeout_ms);
        break;
    case CONNECTION_IDLE:
    case CONNECTION_WORK:
    case CONNECTION_REPLY:
    case CONNECTION_STREAM:
    case CONNECTION_LINGER:
        connection_gone(c);
        break;
    }
}
