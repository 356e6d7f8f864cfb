/* Logs of units: the last lines, and those that come. */
#include "agent/control.h"

#include "base/text.h"
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#define LINES_STANDARD 100
#define FOLLOWERS_MAX 64
#define TAIL_BYTES_MAX (8 * CAPTURE_RING_BYTES)

struct log_follower {
    LIST_ENTRY(log_follower) link;
    struct control_logs *logs;
    struct capture_follower *follower;
    struct obs_http_stream *stream;
    uint64_t skipped; /* lines, while the client read too slowly */
};

struct control_logs {
    LIST_HEAD(, log_follower) followers;
    size_t count;
};

static void append_line(const char *line, size_t size, void *userdata)
{
    obs_buffer_append(userdata, line, size);
    obs_buffer_append_char(userdata, '\n');
}

static void append_event(const char *line, size_t size, void *userdata)
{
    obs_buffer_append_text(userdata, "data: ");
    obs_buffer_append(userdata, line, size);
    obs_buffer_append_text(userdata, "\n\n");
}

static void follower_free(struct log_follower *f)
{
    LIST_REMOVE(f, link);
    f->logs->count--;
    capture_unfollow(f->follower);
    free(f);
}

static void on_gone(void *userdata)
{
    follower_free(userdata);
}

static void on_line(const char *line, size_t size, void *userdata)
{
    struct log_follower *f = userdata;
    struct obs_buffer b = OBS_BUFFER_INIT(2 * CAPTURE_LINE_MAX + 8 * CAPTURE_LINE_MAX);

    if (f->skipped > 0)
        obs_buffer_printf(&b, ": %llu lines skipped\n\n", (unsigned long long)f->skipped);
    append_event(line, size, &b);
    if (!b.error && obs_http_stream_write(f->stream, b.data, b.size) == OBS_HTTP_STREAM_OK)
        f->skipped = 0;
    else
        f->skipped++;
    obs_buffer_done(&b);
}

static struct control_logs *logs_of(struct control *control)
{
    struct control_logs **logs = control_followers(control);

    if (!*logs)
        *logs = calloc(1, sizeof(**logs));
    return *logs;
}

static void follow(struct control *control, struct obs_http_request *request,
                   struct capture *capture, size_t lines)
{
    struct control_logs *logs = logs_of(control);
    struct obs_buffer b = OBS_BUFFER_INIT(TAIL_BYTES_MAX);
    struct log_follower *f;

    if (!logs || logs->count == FOLLOWERS_MAX) {
        obs_http_reply_problemf(request, 503, "%d clients follow logs already", FOLLOWERS_MAX);
        return;
    }
    f = calloc(1, sizeof(*f));
    if (f)
        f->follower = capture_follow(capture, on_line, f);
    if (!f || !f->follower) {
        free(f);
        obs_http_reply_problemf(request, 500, "out of memory");
        return;
    }
    f->logs = logs;
    LIST_INSERT_HEAD(&logs->followers, f, link);
    logs->count++;
    obs_http_reply_header(request, "Cache-Control", "no-store");
    f->stream = obs_http_stream_begin(request, 200, "text/event-stream", on_gone, f);
    if (!f->stream) {
        follower_free(f);
        return;
    }
    obs_buffer_append_text(&b, ": log\n\n");
    capture_tail(capture, lines, append_event, &b);
    if (!b.error)
        obs_http_stream_write(f->stream, b.data, b.size);
    obs_buffer_done(&b);
}

void control_get_logs(struct obs_http_request *request, void *userdata)
{
    struct control *control = userdata;
    const char *lines = obs_http_query(request, "lines");
    const char *is_following = obs_http_query(request, "follow");
    struct obs_buffer b = OBS_BUFFER_INIT(TAIL_BYTES_MAX);
    uint64_t count = LINES_STANDARD;
    struct supervised *s;

    if (!control_admits(control, request))
        return;
    s = supervisor_find(control_parts(control)->supervisor, obs_http_param(request, "name"));
    if (!s) {
        control_reply_no_unit(control, request);
        return;
    }
    if (lines && obs_text_parse_u64(lines, strlen(lines), CAPTURE_RING_LINES, &count) != 0) {
        obs_http_reply_problemf(request, 422, "\"lines\" is \"%.20s\": expected 0 to %d", lines,
                                CAPTURE_RING_LINES);
        return;
    }
    if (is_following && strcmp(is_following, "1") == 0) {
        follow(control, request, supervised_capture(s), count);
        return;
    }
    capture_tail(supervised_capture(s), count, append_line, &b);
    if (b.error)
        obs_http_reply_problemf(request, 500, "out of memory");
    else
        obs_http_reply(request, 200, "application/x-ndjson", b.data ? b.data : "", b.size);
    obs_buffer_done(&b);
}

void control_close_logs(struct control *control)
{
    struct control_logs **logs = control_followers(control);

    while (*logs && !LIST_EMPTY(&(*logs)->followers)) {
        struct log_follower *f = LIST_FIRST(&(*logs)->followers);

        obs_http_stream_end(f->stream);
        follower_free(f);
    }
    free(*logs);
    *logs = NULL;
}
