/* HTTP requests as handlers see them, and the replies they make. */
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

/* ---- replies ---- */

static bool is_clean(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

void obs_http_reply_header(struct obs_http_request *request, const char *name, const char *value)
{
    /* A header that would end early and begin another is a bug of ours or an attack: left out. */
    if (!is_clean(name) || !is_clean(value))
        return;
    obs_buffer_append_text(&request->reply_headers, name);
    obs_buffer_append(&request->reply_headers, ": ", 2);
    obs_buffer_append_text(&request->reply_headers, value);
    obs_buffer_append(&request->reply_headers, "\r\n", 2);
}

/* The Date header line, made once a second for all threads. */
static void append_date(struct obs_http_request *request)
{
    struct obs_http_server *server = request->server;
    uint64_t second = obs_time_ns() / OBS_NS_PER_SECOND;

    pthread_mutex_lock(&server->date_mutex);
    if (server->date_second != second) {
        time_t now = (time_t)second;
        struct tm utc;

        gmtime_r(&now, &utc);
        strftime(server->date, sizeof(server->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        server->date_second = second;
    }
    obs_buffer_append_text(&request->reply_head, server->date);
    pthread_mutex_unlock(&server->date_mutex);
}

static void append_number(struct obs_buffer *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    obs_buffer_append(b, digits + at, sizeof(digits) - at);
}

static void append_status_line(struct obs_http_request *request, int status)
{
    struct obs_buffer *head = &request->reply_head;

    obs_buffer_append(head, "HTTP/1.1 ", 9);
    append_number(head, (uint64_t)status);
    obs_buffer_append_char(head, ' ');
    obs_buffer_append_text(head, obs_http1_status_text(status));
    obs_buffer_append(head, "\r\n", 2);
    append_date(request);
}

/* Everything of the head but its framing and the empty line. */
static void begin_head(struct obs_http_request *request, int status, const char *content_type)
{
    struct obs_buffer *head = &request->reply_head;

    request->status = status;
    request->is_replied = true;
    append_status_line(request, status);
    if (content_type && is_clean(content_type)) {
        obs_buffer_append(head, "Content-Type: ", 14);
        obs_buffer_append_text(head, content_type);
        obs_buffer_append(head, "\r\n", 2);
    }
    obs_buffer_append(head, request->reply_headers.data, request->reply_headers.size);
    if (request->server->is_draining)
        request->keep_alive = false;
    if (!request->keep_alive)
        obs_buffer_append_text(head, "Connection: close\r\n");
    else if (request->head.minor_version == 0)
        obs_buffer_append_text(head, "Connection: keep-alive\r\n");
}

static void end_reply(struct obs_http_request *request, int status)
{
    struct obs_buffer *head = &request->reply_head;

    if (status != 204 && status != 304) {
        obs_buffer_append(head, "Content-Length: ", 16);
        append_number(head, request->reply_body.size);
        obs_buffer_append(head, "\r\n", 2);
    }
    obs_buffer_append(head, "\r\n", 2);
    if (request->is_head || status == 204 || status == 304)
        obs_buffer_clear(&request->reply_body);
    if (request->is_deferred && request->has_handler_returned)
        connection_finish(request);
}

void obs_http_reply(struct obs_http_request *request, int status, const char *content_type,
                    const void *body, size_t size)
{
    if (request->is_replied)
        return;
    if (obs_buffer_append(&request->reply_body, body, size) < 0) {
        obs_buffer_clear(&request->reply_body);
        status = 500;
    }
    begin_head(request, status, content_type);
    end_reply(request, status);
}

void obs_http_reply_buffer(struct obs_http_request *request, int status, const char *content_type,
                           struct obs_buffer *body)
{
    if (request->is_replied)
        return;
    obs_buffer_done(&request->reply_body);
    request->reply_body = *body;
    *body = OBS_BUFFER_INIT(body->limit);
    begin_head(request, status, content_type);
    end_reply(request, status);
}

static int dump_to_buffer(const char *data, size_t size, void *userdata)
{
    return obs_buffer_append(userdata, data, size) < 0 ? -1 : 0;
}

static void reply_json_as(struct obs_http_request *request, int status, const char *content_type,
                          const json_t *json)
{
    if (request->is_replied)
        return;
    if (json_dump_callback(json, dump_to_buffer, &request->reply_body, JSON_COMPACT) < 0) {
        obs_buffer_clear(&request->reply_body);
        status = 500;
    }
    begin_head(request, status, content_type);
    end_reply(request, status);
}

void obs_http_reply_json(struct obs_http_request *request, int status, const json_t *json)
{
    reply_json_as(request, status, "application/json", json);
}

void obs_http_reply_problem(struct obs_http_request *request, int status,
                            const struct obs_reason *reason)
{
    OBS_JSON problem = json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title",
                                 obs_http1_status_text(status), "status", status);
    json_t *detail = json_string(reason->text);

    /* A reason cut in the middle of a character is no valid text: say at least the title. */
    if (problem && detail)
        json_object_set_new(problem, "detail", detail);
    if (problem && reason->line > 0)
        json_object_set_new(problem, "line", json_integer(reason->line));
    if (problem && reason->column > 0)
        json_object_set_new(problem, "column", json_integer(reason->column));
    reply_json_as(request, status, "application/problem+json", problem);
}

void obs_http_reply_problemf(struct obs_http_request *request, int status, const char *format, ...)
{
    struct obs_reason reason = {0};
    va_list args;

    va_start(args, format);
    vsnprintf(reason.text, sizeof(reason.text), format, args);
    va_end(args);
    obs_http_reply_problem(request, status, &reason);
}

void obs_http_request_defer(struct obs_http_request *request, void (*gone)(void *userdata),
                            void *userdata)
{
    request->is_deferred = true;
    request->gone = gone;
    request->gone_userdata = userdata;
}

/* ---- streams ---- */

#define STREAM_WAITING_MAX (1024 * 1024)

struct obs_http_stream *obs_http_stream_begin(struct obs_http_request *request, int status,
                                              const char *content_type,
                                              void (*gone)(void *userdata), void *userdata)
{
    struct obs_http_stream *stream = &request->stream;

    *stream = (struct obs_http_stream){.request = request,
                                       .out = OBS_BUFFER_INIT(STREAM_WAITING_MAX),
                                       .gone = gone,
                                       .userdata = userdata,
                                       .is_chunked = request->head.minor_version == 1};
    if (!stream->is_chunked)
        request->keep_alive = false;
    begin_head(request, status, content_type);
    obs_buffer_append_text(&request->reply_head,
                           stream->is_chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    request->is_deferred = true;
    connection_stream_start(request->connection);
    return stream;
}

int obs_http_stream_write(struct obs_http_stream *stream, const void *data, size_t size)
{
    char line[24];
    int line_size = snprintf(line, sizeof(line), "%zx\r\n", size);

    if (size == 0)
        return OBS_HTTP_STREAM_OK; /* an empty chunk would end the stream */
    if (stream->out.size + size + sizeof(line) + 2 > STREAM_WAITING_MAX)
        return OBS_HTTP_STREAM_FULL;
    if (stream->is_chunked)
        obs_buffer_append(&stream->out, line, (size_t)line_size);
    obs_buffer_append(&stream->out, data, size);
    if (stream->is_chunked)
        obs_buffer_append(&stream->out, "\r\n", 2);
    connection_flush(stream->request->connection);
    return OBS_HTTP_STREAM_OK;
}

void obs_http_stream_end(struct obs_http_stream *stream)
{
    stream->has_ended = true;
    stream->gone = NULL;
    if (stream->is_chunked)
        obs_buffer_append(&stream->out, "0\r\n\r\n", 5);
    connection_flush(stream->request->connection);
}
