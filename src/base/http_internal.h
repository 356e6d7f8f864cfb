#pragma once
/*
 * HTTP server, inside: what http_server.c (listeners, limits of time), http_connection.c (reading
 * and writing) and http_request.c (handlers' view, replies) share.
 *
 * Life of a request:
 *
 *   read head ─ read body ─ dispatch ─┬─ on the loop ────────────┬─ write reply ─ next request
 *                                     └─ queue ─ worker ─ return ┘
 *
 * A connection has at most one request in work; what the peer sends meanwhile waits in `in`.
 */
#include "base/arena.h"
#include "base/http1.h"
#include "base/http_server.h"
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>

enum connection_state {
    CONNECTION_IDLE,   /* between requests */
    CONNECTION_HEAD,   /* some bytes of a head are there */
    CONNECTION_BODY,   /* head is read, body is not */
    CONNECTION_WORK,   /* a handler has the request */
    CONNECTION_REPLY,  /* the reply is being written */
    CONNECTION_STREAM, /* the reply goes on until obs_http_stream_end() */
    CONNECTION_LINGER, /* our side is shut; what still comes is thrown away */
};

struct connection {
    struct obs_http_server *server;
    struct connection *next, *previous; /* in server->connections */
    int fd;
    enum connection_state state;
    bool is_ended;                        /* the peer sends no more */
    bool is_broken;                       /* writing is of no use */
    bool close_after;                     /* close when the reply is written */
    bool is_writing;                      /* on_writable is registered */
    bool is_in_input;                     /* guards against re-entering connection_input() */
    uint64_t deadline;                    /* monotonic; 0: none */
    uint64_t started_ns, started_mono_ns; /* first byte of the request being read */
    struct obs_buffer in;
    size_t scanned; /* see obs_http1_parse_request() */
    struct obs_http1_body body;
    struct obs_http_request *request;
    struct event on_readable, on_writable;
};

struct obs_http_stream {
    struct obs_http_request *request;
    struct obs_buffer out;
    void (*gone)(void *userdata);
    void *userdata;
    bool is_chunked, has_ended;
};

struct obs_http_request {
    struct connection *connection;
    struct obs_http_server *server;
    struct obs_http_request *next; /* in the free list or the list of those done by workers */
    const struct obs_http_route *route;
    struct obs_http1_head head; /* spans into `text` */
    char *text;                 /* copy of the head, NUL after each name and value; then the path */
    size_t text_capacity;
    char *method, *target, *path;
    struct obs_arena *arena; /* made at first use */
    struct obs_buffer body;

    uint64_t started_ns, started_mono_ns, queued_mono_ns, waited_ns;
    int status;
    bool is_replied, is_deferred, has_handler_returned, is_client_gone;
    bool is_head, keep_alive;
    struct obs_buffer reply_headers; /* of obs_http_reply_header() */
    struct obs_buffer reply_head, reply_body;
    size_t written; /* of reply_head and reply_body together */
    void (*gone)(void *userdata);
    void *gone_userdata;
    struct obs_http_stream stream;
    _Alignas(16) char slot[OBS_HTTP_SLOT_SIZE];
};

struct listener {
    struct obs_http_server *server;
    struct listener *next;
    int fd;
    struct event event;
};

struct obs_http_server {
    struct event_base *base;
    struct obs_http_server_options options;
    struct listener *listeners;
    struct connection *connections;
    struct obs_http_request *free_requests;
    unsigned free_count;
    struct obs_http_server_stats stats;
    bool is_accepting, is_draining;
    struct event sweep; /* ends what is past its deadline */
    bool is_sweeping;
    void (*drained)(void *userdata);
    void *drained_userdata;
    struct event drain_timeout;

    int done_fd; /* eventfd: workers have put something into `done` */
    struct event done_event;
    pthread_mutex_t done_mutex;
    struct obs_http_request *done, **done_tail;

    char date[40]; /* Date header, good for date_second */
    pthread_mutex_t date_mutex;
    uint64_t date_second;
    char scratch[65536]; /* where reads go first */
    struct obs_http1_head scratch_head;
};

/* http_connection.c */
int connection_new(struct obs_http_server *server, int fd);
void connection_close(struct connection *c);
void connection_expire(struct connection *c);             /* its deadline has passed */
void connection_finish(struct obs_http_request *request); /* replied: write */
void connection_stream_start(struct connection *c);
void connection_flush(struct connection *c);

/* http_request.c */
struct obs_http_request *request_new(struct connection *c, const struct obs_http1_head *head,
                                     const char *data); /* NULL on -ENOMEM */
void request_free(struct obs_http_request *request);
void request_destroy(struct obs_http_request *request); /* off the free list */
void request_observe(struct obs_http_request *request,
                     void (*hook)(struct obs_http_request *request, void *userdata));

/* http_route.c */
bool route_pattern_is_valid(const char *pattern);
/* The route for @method and @path, or NULL. */
const struct obs_http_route *route_find(const struct obs_http_server_options *options,
                                        const char *method, const char *path);
/* "GET, PUT": what @path takes, for Allow. False when nothing is there. */
bool route_methods(const struct obs_http_server_options *options, const char *path, char *out,
                   size_t capacity);
/* Value of {name} in @path; NULL when the pattern has no such name. */
const char *route_param(const char *pattern, const char *path, const char *name, size_t *ret_size);

/* http_server.c */
void server_closed(struct obs_http_server *server, struct connection *c);
void server_resume_accept(struct obs_http_server *server);
