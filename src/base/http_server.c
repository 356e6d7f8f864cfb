/*
 * HTTP server: listeners, the way back from the workers, deadlines, drain.
 *
 * Deadlines are checked by one sweep over all connections, four times a second: cheaper than moving
 * a timer for every read of every connection, and exact enough for limits of seconds.
 */
#include "base/http_internal.h"

#include "base/clock.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define SWEEP_MS 250
#define ACCEPT_BATCH 64

static struct timeval milliseconds(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static void on_sweep(evutil_socket_t fd, short what, void *userdata)
{
    struct obs_http_server *server = userdata;
    uint64_t now = obs_mono_ns();

    for (struct connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        if (c->deadline != 0 && now > c->deadline)
            connection_expire(c);
    }
    server_resume_accept(server); /* after running out of file descriptors */
    if (!server->connections) {
        event_del(&server->sweep);
        server->is_sweeping = false;
    }
}

static void start_sweep(struct obs_http_server *server)
{
    struct timeval period = milliseconds(SWEEP_MS);

    if (!server->is_sweeping)
        event_add(&server->sweep, &period);
    server->is_sweeping = true;
}

/* Workers have finished some requests. */
static void on_done(evutil_socket_t fd, short what, void *userdata)
{
    struct obs_http_server *server = userdata;
    struct obs_http_request *request;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));

    (void)n; /* the list says what there is */
    pthread_mutex_lock(&server->done_mutex);
    request = server->done;
    server->done = NULL;
    server->done_tail = &server->done;
    pthread_mutex_unlock(&server->done_mutex);
    while (request) {
        struct obs_http_request *next = request->next;

        connection_finish(request);
        request = next;
    }
}

static void pause_accept(struct obs_http_server *server)
{
    for (struct listener *l = server->listeners; l; l = l->next)
        event_del(&l->event);
    server->is_accepting = false;
    start_sweep(server);
}

void server_resume_accept(struct obs_http_server *server)
{
    if (server->is_accepting || server->is_draining ||
        server->stats.connections >= server->options.limits.connections)
        return;
    for (struct listener *l = server->listeners; l; l = l->next)
        event_add(&l->event, NULL);
    server->is_accepting = true;
}

static void on_accept(evutil_socket_t listen_fd, short what, void *userdata)
{
    struct obs_http_server *server = ((struct listener *)userdata)->server;

    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd;

        if (server->stats.connections >= server->options.limits.connections) {
            pause_accept(server);
            return;
        }
        fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accept(server); /* the sweep tries again */
            return;
        }
        if (connection_new(server, fd) < 0) {
            close(fd);
            return;
        }
        server->stats.connections++;
        server->stats.accepted++;
        start_sweep(server);
    }
}

int obs_http_server_add(struct obs_http_server *server, int listen_fd)
{
    struct listener *l = calloc(1, sizeof(*l));

    if (!l) {
        close(listen_fd);
        return -ENOMEM;
    }
    l->server = server;
    l->fd = listen_fd;
    l->next = server->listeners;
    server->listeners = l;
    event_assign(&l->event, server->base, listen_fd, EV_READ | EV_PERSIST, on_accept, l);
    server->is_accepting = true;
    return event_add(&l->event, NULL) < 0 ? -ENOMEM : 0;
}

static bool options_are_valid(const struct obs_http_server_options *options)
{
    for (size_t i = 0; i < options->route_count; i++) {
        if (!route_pattern_is_valid(options->routes[i].pattern))
            return false;
        if (options->routes[i].where == OBS_HTTP_ON_WORKER && !options->pool)
            return false;
    }
    return true;
}

static void on_drain_timeout(evutil_socket_t fd, short what, void *userdata);

int obs_http_server_new(struct event_base *base, const struct obs_http_server_options *options,
                        struct obs_http_server **ret_server)
{
    struct obs_http_server *server;

    if (!options_are_valid(options))
        return -EINVAL;
    server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->base = base;
    server->options = *options;
    server->done_tail = &server->done;
    pthread_mutex_init(&server->done_mutex, NULL);
    pthread_mutex_init(&server->date_mutex, NULL);
    event_assign(&server->sweep, base, -1, EV_PERSIST, on_sweep, server);
    evtimer_assign(&server->drain_timeout, base, on_drain_timeout, server);
    server->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    event_assign(&server->done_event, base, server->done_fd, EV_READ | EV_PERSIST, on_done, server);
    if (server->done_fd < 0 || event_add(&server->done_event, NULL) < 0) {
        obs_http_server_free(server);
        return -ENOMEM;
    }
    *ret_server = server;
    return 0;
}

static void close_listeners(struct obs_http_server *server)
{
    while (server->listeners) {
        struct listener *l = server->listeners;

        server->listeners = l->next;
        event_del(&l->event);
        close(l->fd);
        free(l);
    }
    server->is_accepting = false;
}

static void drained(struct obs_http_server *server)
{
    void (*done)(void *userdata) = server->drained;

    server->drained = NULL;
    event_del(&server->drain_timeout);
    if (done)
        done(server->drained_userdata);
}

static void on_drain_timeout(evutil_socket_t fd, short what, void *userdata)
{
    drained(userdata);
}

void server_closed(struct obs_http_server *server, struct connection *c)
{
    if (c->previous)
        c->previous->next = c->next;
    else
        server->connections = c->next;
    if (c->next)
        c->next->previous = c->previous;
    server->stats.connections--;
    server_resume_accept(server);
    if (server->is_draining && !server->connections)
        drained(server);
}

void obs_http_server_drain(struct obs_http_server *server, unsigned timeout_ms,
                           void (*done)(void *userdata), void *userdata)
{
    struct timeval timeout = milliseconds(timeout_ms);

    server->is_draining = true;
    server->drained = done;
    server->drained_userdata = userdata;
    close_listeners(server);
    event_add(&server->drain_timeout, &timeout);
    for (struct connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        if (c->state == CONNECTION_IDLE)
            connection_close(c);
    }
    if (!server->connections && server->drained)
        drained(server);
}

struct obs_http_server *obs_http_server_free(struct obs_http_server *server)
{
    if (!server)
        return NULL;
    server->is_draining = true;
    server->drained = NULL;
    close_listeners(server);
    while (server->connections)
        connection_close(server->connections);
    server->options.limits.connections = 0;
    while (server->free_requests) {
        struct obs_http_request *request = server->free_requests;

        server->free_requests = request->next;
        request_destroy(request);
    }
    event_del(&server->sweep);
    event_del(&server->drain_timeout);
    if (server->done_fd >= 0) {
        event_del(&server->done_event);
        close(server->done_fd);
    }
    pthread_mutex_destroy(&server->done_mutex);
    pthread_mutex_destroy(&server->date_mutex);
    free(server);
    return NULL;
}

void obs_http_server_stats(const struct obs_http_server *server,
                           struct obs_http_server_stats *ret_stats)
{
    *ret_stats = server->stats;
}
