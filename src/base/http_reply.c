/* Replies: built in the handler's thread, written by the connection. */
#include "base/http_internal.h"

#include "base/clock.h"
#include <stdio.h>
#include <string.h>

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
