/* HTTP requests: their life, and what a handler reads of them. */
#include "base/http_internal.h"

#include "base/clock.h"
#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARENA_LIMIT (4 * 1024 * 1024)
#define REPLY_HEADERS_MAX 8192
#define KEPT_BYTES 16384 /* a request going back to the free list keeps buffers up to this size */
#define FREE_REQUESTS_MAX 64

/* ---- life ---- */

/* Copy the head and the room for the decoded path; point the spans into the copy. */
static int copy_head(struct obs_http_request *request, const struct obs_http1_head *head,
                     const char *data)
{
    size_t needed = head->size + head->target.size + 2;
    ptrdiff_t shift;

    if (needed > request->text_capacity) {
        char *text = realloc(request->text, needed);

        if (!text)
            return -ENOMEM;
        request->text = text;
        request->text_capacity = needed;
    }
    memcpy(request->text, data, head->size);
    shift = request->text - data;
    memcpy(&request->head, head, offsetof(struct obs_http1_head, headers));
    request->head.header_count = head->header_count;
    request->head.framing = head->framing;
    request->head.content_length = head->content_length;
    request->head.keep_alive = head->keep_alive;
    request->head.expect_continue = head->expect_continue;
    request->head.size = head->size;
    request->head.method.text += shift;
    request->head.target.text += shift;
    for (size_t i = 0; i < head->header_count; i++) {
        struct obs_http1_header *header = &request->head.headers[i];

        *header = head->headers[i];
        header->name.text += shift;
        header->value.text += shift;
        /* What follows a name or a value is a colon, white space or CR: never part of another. */
        *(char *)(header->name.text + header->name.size) = '\0';
        *(char *)(header->value.text + header->value.size) = '\0';
    }
    return 0;
}

/* An absolute target without a path reads "/" from a literal: copy it like any other. */
static void set_lines(struct obs_http_request *request, const struct obs_http1_head *head,
                      const char *data)
{
    struct obs_span_text target = head->target;
    bool is_inside = target.text >= data && target.text < data + head->size;

    request->method = (char *)request->head.method.text;
    request->method[request->head.method.size] = '\0';
    request->path = request->text + head->size;
    if (is_inside) {
        request->target = (char *)request->head.target.text;
        request->target[target.size] = '\0';
    } else {
        request->target = "/";
    }
}

struct obs_http_request *request_new(struct connection *c, const struct obs_http1_head *head,
                                     const char *data)
{
    struct obs_http_server *server = c->server;
    struct obs_http_request *request = server->free_requests;

    if (request) {
        server->free_requests = request->next;
        server->free_count--;
    } else {
        request = calloc(1, sizeof(*request));
        if (!request)
            return NULL;
        request->reply_headers = OBS_BUFFER_INIT(REPLY_HEADERS_MAX);
        request->reply_head = OBS_BUFFER_INIT(REPLY_HEADERS_MAX + 1024);
        request->reply_body = OBS_BUFFER_INIT(SIZE_MAX / 2);
        request->body = OBS_BUFFER_INIT(server->options.limits.body_bytes);
    }
    request->connection = c;
    request->server = server;
    request->started_ns = c->started_ns;
    request->started_mono_ns = c->started_mono_ns;
    request->method = request->target = request->path = "";
    request->keep_alive = false;
    if (head) {
        if (copy_head(request, head, data) < 0) {
            request_free(request);
            return NULL;
        }
        set_lines(request, head, data);
        request->keep_alive = head->keep_alive;
        request->is_head = strcmp(request->method, "HEAD") == 0;
    }
    return request;
}

static void reset_buffer(struct obs_buffer *b)
{
    if (b->capacity > KEPT_BYTES)
        obs_buffer_done(b);
    else
        obs_buffer_clear(b);
}

void request_destroy(struct obs_http_request *request)
{
    obs_buffer_done(&request->body);
    obs_buffer_done(&request->reply_headers);
    obs_buffer_done(&request->reply_head);
    obs_buffer_done(&request->reply_body);
    free(request->text);
    free(request);
}

void request_free(struct obs_http_request *request)
{
    struct obs_http_server *server = request->server;

    request->arena = obs_arena_free(request->arena);
    obs_buffer_done(&request->stream.out);
    if (server->free_count >= FREE_REQUESTS_MAX) {
        request_destroy(request);
        return;
    }
    reset_buffer(&request->body);
    reset_buffer(&request->reply_headers);
    reset_buffer(&request->reply_head);
    reset_buffer(&request->reply_body);
    request->head.header_count = 0;
    request->route = NULL;
    request->waited_ns = request->written = 0;
    request->status = 0;
    request->is_replied = request->is_deferred = request->has_handler_returned = false;
    request->is_client_gone = request->is_head = false;
    request->gone = NULL;
    request->stream = (struct obs_http_stream){0};
    memset(request->slot, 0, sizeof(request->slot));
    request->next = server->free_requests;
    server->free_requests = request;
    server->free_count++;
}

void request_observe(struct obs_http_request *request,
                     void (*hook)(struct obs_http_request *request, void *userdata))
{
    if (hook)
        hook(request, request->server->options.observer->userdata);
}

/* ---- what a handler reads ---- */

const char *obs_http_method(const struct obs_http_request *request)
{
    return request->method;
}

const char *obs_http_path(const struct obs_http_request *request)
{
    return request->path;
}

const char *obs_http_target(const struct obs_http_request *request)
{
    return request->target;
}

const char *obs_http_route(const struct obs_http_request *request)
{
    return request->route ? request->route->pattern : "";
}

const char *obs_http_header(const struct obs_http_request *request, const char *name)
{
    const struct obs_span_text *value = obs_http1_find(&request->head, name);

    return value ? value->text : NULL;
}

struct obs_arena *obs_http_arena(struct obs_http_request *request)
{
    if (!request->arena && obs_arena_new(ARENA_LIMIT, &request->arena) < 0)
        return NULL;
    return request->arena;
}

/* Reading a parameter makes its copy in the arena: a change nobody outside sees. */
static char *arena_text(const struct obs_http_request *request, const char *text, size_t size)
{
    struct obs_arena *arena = obs_http_arena((struct obs_http_request *)request);

    return arena ? obs_arena_strndup(arena, text, size) : NULL;
}

const char *obs_http_param(const struct obs_http_request *request, const char *name)
{
    size_t size = 0;
    const char *value =
        request->route ? route_param(request->route->pattern, request->path, name, &size) : NULL;

    return value ? arena_text(request, value, size) : NULL;
}

const char *obs_http_query(const struct obs_http_request *request, const char *name)
{
    const char *at = strchr(request->target, '?');
    size_t name_size = strlen(name);

    while (at && *at != '\0') {
        size_t size = strcspn(++at, "&");

        if (size >= name_size && memcmp(at, name, name_size) == 0 &&
            (size == name_size || at[name_size] == '=')) {
            size_t skip = size == name_size ? size : name_size + 1;
            char *value = arena_text(request, at + skip, size - skip);

            if (!value || obs_text_percent_decode(value, size - skip, true, value, size - skip + 1,
                                                  &size) != OBS_TEXT_OK)
                return NULL;
            return value;
        }
        at += size;
    }
    return NULL;
}

const char *obs_http_body(const struct obs_http_request *request, size_t *ret_size)
{
    *ret_size = request->body.size;
    return request->body.size > 0 ? request->body.data : "";
}

int obs_http_status(const struct obs_http_request *request)
{
    return request->is_client_gone ? 499 : request->status;
}

uint64_t obs_http_started_ns(const struct obs_http_request *request)
{
    return request->started_ns;
}

uint64_t obs_http_waited_ns(const struct obs_http_request *request)
{
    return request->waited_ns;
}

uint64_t obs_http_elapsed_ns(const struct obs_http_request *request)
{
    return obs_mono_ns() - request->started_mono_ns;
}

size_t obs_http_response_size(const struct obs_http_request *request)
{
    return request->reply_body.size;
}

void *obs_http_slot(struct obs_http_request *request)
{
    return request->slot;
}
